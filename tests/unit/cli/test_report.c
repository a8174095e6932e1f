/* What is shown for answers of the daemons, to the letter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include <stdlib.h>
#include <string.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/hosts.h"
#include "cli/netcheck.h"
#include "cli/report.h"

static struct output output;
static char *text;
static size_t text_len;

static int set_up(void **state)
{
    FILE *stream = open_memstream(&text, &text_len);
    output_init(&output, stream, stream);
    assert_false(output.has_colors); /* no terminal */
    return 0;
}

static int tear_down(void **state)
{
    free(text);
    return 0;
}

static const char *shown(void)
{
    fclose(output.out);
    return text;
}

static json_t *load(const char *json)
{
    json_error_t error;
    json_t *value = json_loads(json, JSON_DECODE_ANY, &error);
    if (value == NULL)
        fail_msg("%s", error.text);
    return value;
}

static void test_status(void **state)
{
    json_t *status =
        load("{\"version\": \"0.1.0\", \"name\": \"pc.z.example\", \"zone\": \"z.example\","
             " \"is_static\": true, \"key\": \"KEY=\", \"address\": \"0.0.0.2\","
             " \"pool\": \"0.0.0.0/8\", \"port\": 32589, \"uptime_s\": 7500,"
             " \"login\": {\"state\": \"logged-in\", \"connector\": \"203.0.113.10:4500\", "
             "\"way\": \"tls 443 via http://proxy:3128\","
             "   \"since_s\": 65, \"lease_s\": 120, \"rtt_ms\": 23.42, \"connector_key\": "
             "\"CKEY=\", \"error\": null, \"retry_s\": 0},"
             " \"nat\": {\"class\": \"behind NAT\", \"public\": \"198.51.100.7:61022\","
             "   \"local\": [\"192.168.1.5:32589\", \"[2001:db8::5]:32589\"]},"
             " \"dns\": {\"mode\": \"capture\", \"is_active\": true, \"queries\": 12345,"
             "   \"rewritten\": 4, \"error\": null},"
             " \"guard\": {\"is_intact\": true, \"restored\": 0}, \"tunnels\": 2, \"calls\": 1,"
             " \"esp_offload\": {\"mode\": \"auto\", \"is_active\": false, \"reason\": \"no ESP\"},"
             " \"drops\": {\"replay\": 3, \"no tunnel\": 0, \"policy\": 10000},"
             " \"refused\": [{\"name\": \"x.other.example\", \"key\": \"XKEY=\","
             "   \"reason\": \"not allowed\", \"count\": 2, \"ago_s\": 61}]}");
    report_print_status(&output, status);
    json_decref(status);
    assert_string_equal(shown(),
                        "pc.z.example  static name\n"
                        "  key       KEY=\n"
                        "  zone      z.example, its connector's key CKEY=\n"
                        "  login     logged in at 203.0.113.10:4500 (tls 443 via "
                        "http://proxy:3128) for 1m 5s, 23.4 ms away, lease 2m\n"
                        "  address   0.0.0.2, peers in 0.0.0.0/8\n"
                        "  nat       behind NAT, seen as 198.51.100.7:61022, UDP port 32589 here\n"
                        "  local     192.168.1.5:32589\n"
                        "            [2001:db8::5]:32589\n"
                        "  dns       captured, 12 345 queries, 4 answers rewritten\n"
                        "  guard     intact\n"
                        "  ESP       in user space: no ESP\n"
                        "  tunnels   2, 1 being called\n"
                        "  detecd    0.1.0, up for 2h 5m\n"
                        "  drops     replay 3, policy 10 000\n"
                        "\n"
                        "Callers refused\n"
                        "  NAME             REASON       TIMES    AGO  KEY\n"
                        "  x.other.example  not allowed      2  1m 1s  XKEY=\n");
}

static void test_status_down(void **state)
{
    json_t *status = load(
        "{\"version\": \"0.1.0\", \"name\": null, \"zone\": \"z.example\", \"address\": "
        "\"0.0.0.2\","
        " \"pool\": \"0.0.0.0/8\", \"key\": \"KEY=\","
        " \"login\": {\"state\": \"down\", \"connector\": null, \"error\": \"no route to host\","
        "   \"retry_s\": 12},"
        " \"nat\": {\"class\": \"unknown\", \"public\": null, \"local\": []},"
        " \"dns\": {\"mode\": \"off\", \"is_active\": false},"
        " \"guard\": {\"is_intact\": false, \"restored\": 3}, \"tunnels\": 0, \"calls\": 0}");
    report_print_status(&output, status);
    json_decref(status);
    assert_string_equal(
        shown(), "(no name yet)\n"
                 "  key       KEY=\n"
                 "  zone      z.example\n"
                 "  login     down: no route to host; next attempt in 12 s\n"
                 "  address   0.0.0.2, peers in 0.0.0.0/8\n"
                 "  nat       unknown\n"
                 "  dns       off: applications do not find hosts by their names\n"
                 "  guard     broken: packets to peers may leave unencrypted, restored 3 times: "
                 "another program removes its rules\n"
                 "  tunnels   0\n"
                 "  detecd    0.1.0, up for 0 s\n");
}

/* An older or newer daemon's answer is shown as far as it goes. */
static void test_status_empty(void **state)
{
    json_t *status = load("{}");
    report_print_status(&output, status);
    json_decref(status);
    assert_non_null(strstr(shown(), "(no name yet)"));
}

static void test_status_port_mapping(void **state)
{
    json_t *status = load("{\"port_mapping\": {\"state\": \"mapped\", \"gateway\": \"10.0.1.1\","
                          " \"protocol\": \"PCP\", \"external\": \"100.64.0.7:32589\","
                          " \"is_usable\": false, \"expires_s\": 3540}}");
    json_t *usable = load("{\"port_mapping\": {\"state\": \"mapped\", \"gateway\": \"10.0.1.1\","
                          " \"protocol\": \"UPnP\", \"external\": \"198.51.100.7:41000\","
                          " \"is_usable\": true, \"expires_s\": null}}");
    json_t *none = load("{\"port_mapping\": {\"state\": \"unavailable\","
                        " \"gateway\": \"10.0.1.1\", \"error\": \"it refused\"}}");
    json_t *off = load("{\"port_mapping\": {\"state\": \"off\"}}");
    report_print_status(&output, status);
    report_print_status(&output, usable);
    report_print_status(&output, none);
    report_print_status(&output, off);
    json_decref(status);
    json_decref(usable);
    json_decref(none);
    json_decref(off);
    const char *lines = shown();
    assert_non_null(strstr(lines, "  mapped    100.64.0.7:32589 by PCP at 10.0.1.1, lease 59m; "
                                  "of no use: the gateway is behind another NAT\n"));
    assert_non_null(strstr(lines, "  mapped    198.51.100.7:41000 by UPnP at 10.0.1.1\n"));
    const char *last = strstr(lines, "  mapped    no, gateway 10.0.1.1: it refused\n");
    assert_non_null(last);
    assert_null(strstr(last + 1, "  mapped"));
}

static void test_peers(void **state)
{
    json_t *peers = load(
        "[{\"name\": \"laptop.z.example\", \"address\": \"0.0.0.86\", \"state\": \"up\","
        "  \"path\": \"direct 198.51.100.9:32589\", \"suite\": \"aes128-gcm\","
        "  \"direction\": \"out\", \"age_s\": 3725, \"idle_s\": 2, \"bytes_in\": 1500000,"
        "  \"bytes_out\": 999, \"rtt_ms\": 0.42, \"path_mtu\": 1492, \"last_error\": null},"
        " {\"name\": \"b.z.example\", \"address\": \"0.0.0.87\", \"state\": \"calling\","
        "  \"path\": null, \"suite\": null, \"direction\": \"in\", \"age_s\": 0, \"idle_s\": 0,"
        "  \"bytes_in\": 0, \"bytes_out\": 0, \"rtt_ms\": null, \"last_error\": \"no answer\"}]");
    assert_int_equal(report_print_peers(&output, peers), ERR_OK);
    json_decref(peers);
    assert_string_equal(
        shown(),
        "PEER              ADDRESS   STATE    PATH                       SUITE       DIR    AGE  "
        "IDLE      IN    OUT      RTT   MTU  ERROR\n"
        "laptop.z.example  0.0.0.86  up       direct 198.51.100.9:32589  aes128-gcm  out  1h 2m   "
        "2 s  1.5 MB  999 B  0.42 ms  1492  -\n"
        "b.z.example       0.0.0.87  calling  -                          -           in       -  "
        "   -       -      -        -     -  no answer\n");
}

static void test_no_peers(void **state)
{
    json_t *peers = load("[]");
    assert_int_equal(report_print_peers(&output, peers), ERR_OK);
    json_decref(peers);
    assert_non_null(strstr(shown(), "No tunnels."));
}

static void test_call(void **state)
{
    json_t *step = load("{\"step\": \"name\", \"ms\": 1.234, \"detail\": \"0.0.0.86\"}");
    json_t *last = load("{\"done\": true, \"up\": true, \"total_ms\": 83.4, \"peer\":"
                        " {\"address\": \"0.0.0.86\", \"path\": \"direct 198.51.100.9:32589\","
                        "  \"suite\": \"aes128-gcm\"}}");
    call_print_step(&output, step);
    assert_int_equal(call_print_end(&output, "b.z.example", last), EXIT_DONE);
    json_decref(step);
    json_decref(last);
    assert_string_equal(shown(),
                        "  done   name          1.23 ms  0.0.0.86\n"
                        "b.z.example is up after 83.4 ms: 0.0.0.86, direct 198.51.100.9:32589, "
                        "aes128-gcm\n");
}

static void test_call_failed(void **state)
{
    json_t *last =
        load("{\"done\": true, \"up\": false, \"step\": \"punch\", \"error\": \"no hole\","
             " \"hint\": \"Open UDP port 32589.\", \"total_ms\": 15002}");
    assert_int_equal(call_print_end(&output, "b.z.example", last), EXIT_FAILED);
    json_decref(last);
    assert_string_equal(shown(), "  failed punch                  no hole\n"
                                 "b.z.example is not up after 15 s. Open UDP port 32589.\n");
}

static void test_ping(void **state)
{
    struct ping_figures figures = {0};
    json_t *lines =
        load("[{\"reply\": 1, \"ms\": 2.5, \"path\": \"direct 192.0.2.1:5\"}, {\"lost\": 2},"
             " {\"reply\": 3, \"ms\": 1.5, \"path\": \"direct 192.0.2.1:5\"}, {}]");
    json_t *last = load("{\"done\": true, \"sent\": 3, \"received\": 2}");
    size_t i;
    json_t *line;
    json_array_foreach(lines, i, line) call_print_ping(&output, line, &figures);
    call_print_ping_end(&output, last, &figures);
    json_decref(lines);
    json_decref(last);
    assert_string_equal(shown(), "reply 1    2.50 ms  direct 192.0.2.1:5\n"
                                 "lost  2\n"
                                 "reply 3    1.50 ms  direct 192.0.2.1:5\n"
                                 "3 sent, 2 received, 33 % lost; least 1.50 ms, mean 2.00 ms, most "
                                 "2.50 ms\n");
}

static void test_hosts(void **state)
{
    json_t *hosts = load(
        "[{\"name\": \"pc.z.example\", \"key\": \"A=\", \"mac\": \"02:00:5e:10:00:01\","
        "  \"is_static\": true, \"is_logged_in\": true, \"lease_s\": 90, \"since_s\": 4000},"
        " {\"name\": \"b.z.example\", \"key\": \"B=\", \"mac\": null, \"is_static\": true,"
        "  \"is_logged_in\": false, \"lease_s\": null, \"since_s\": null},"
        " {\"name\": \"h-aaaa.z.example\", \"key\": \"C=\", \"mac\": null, \"is_static\": false,"
        "  \"is_logged_in\": false, \"lease_s\": 5, \"since_s\": null}]");
    assert_int_equal(hosts_print(&output, hosts), ERR_OK);
    json_decref(hosts);
    assert_string_equal(
        shown(), "NAME              KIND     STATE      SINCE   LEASE  MAC                KEY\n"
                 "pc.z.example      static   logged in  1h 6m  1m 30s  02:00:5e:10:00:01  A=\n"
                 "b.z.example       static   away           -       -  -                  B=\n"
                 "h-aaaa.z.example  dynamic  lost           -     5 s  -                  C=\n");
}

static void test_netcheck(void **state)
{
    json_t *netcheck = load(
        "{\"connector\": \"203.0.113.10:4500\", \"is_udp_open\": true, \"rtt_ms\": 12.34,"
        " \"login_rtt_ms\": 13.5, \"public\": \"198.51.100.7:40123\","
        " \"mapping\": \"endpoint-independent\", \"filtering\": \"address-and-port-dependent\","
        " \"ports\": \"preserved\", \"port_step\": null, \"hairpin\": false, \"mtu\": 1492,"
        " \"lifetime\": {\"alive_s\": 20, \"dead_s\": 30},"
        " \"port_mapping\": {\"state\": \"mapped\", \"gateway\": \"192.168.1.1\","
        " \"protocol\": \"PCP\", \"external\": \"198.51.100.7:32589\","
        " \"is_usable\": true, \"expires_s\": 3000}}");
    netcheck_print(&output, netcheck);
    json_decref(netcheck);
    assert_string_equal(
        shown(),
        "  connector    203.0.113.10:4500, 12.3 ms away (13.5 ms by TCP)\n"
        "  udp          open\n"
        "  seen as      198.51.100.7:40123\n"
        "  mapping      endpoint-independent: every peer sees the same port\n"
        "  filtering    address-and-port-dependent: packets get in from addresses and ports that "
        "were written to\n"
        "  ports        preserved\n"
        "  hairpin      no: hosts behind this NAT meet by their inner addresses\n"
        "  lifetime     20 s of silence, but not 30 s\n"
        "  mtu          1492 bytes to the connector; longer packets do not get there\n"
        "  port mapping 198.51.100.7:32589 by PCP at 192.168.1.1, lease 50m\n"
        "\n"
        "An easy NAT: direct paths open to nearly every host.\n");
}

/* The last line for every kind of result. */
static void test_netcheck_verdicts(void **state)
{
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"{\"is_udp_open\": false}", "Without UDP no direct path opens."},
        {"{\"is_udp_open\": true, \"mapping\": \"none\", \"filtering\": \"endpoint-independent\"}",
         "Nothing stands in the way"},
        {"{\"is_udp_open\": true, \"mapping\": \"none\", \"filtering\": \"address-dependent\"}",
         "only a firewall"},
        {"{\"is_udp_open\": true, \"mapping\": \"unknown\", \"filtering\": \"unknown\"}",
         "stays unknown"},
        {"{\"is_udp_open\": true, \"mapping\": \"address-dependent\", \"ports\": \"sequential\","
         " \"port_step\": 2, \"hairpin\": true}",
         "can be guessed"},
        {"{\"is_udp_open\": true, \"mapping\": \"address-and-port-dependent\","
         " \"ports\": \"random\"}",
         "not to those behind another hard one"},
        {"{\"is_udp_open\": true, \"mapping\": \"not port-dependent\"}", "An easy NAT"},
        {"{\"is_udp_open\": false, \"port_mapping\": {\"state\": \"unavailable\","
         " \"gateway\": \"192.0.2.1\", \"error\": \"silent\"}}",
         "no, gateway 192.0.2.1: silent"},
        {"{\"is_udp_open\": true, \"mapping\": \"none\", \"lifetime\": {\"alive_s\": 300,"
         " \"dead_s\": null}}",
         "at least 5m of silence"},
        {"{\"is_udp_open\": true, \"mapping\": \"none\", \"lifetime\": {\"alive_s\": 0,"
         " \"dead_s\": 5}}",
         "less than 5 s of silence"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *netcheck = load(cases[i].json);
        netcheck_print(&output, netcheck);
        json_decref(netcheck);
        fflush(output.out);
        if (strstr(text, cases[i].says) == NULL)
            fail_msg("%s is not in %s", cases[i].says, text);
    }
    (void)shown();
}

/* Nobody's words drive the terminal: a refused stranger chooses its own name. */
static void test_control_characters(void **state)
{
    json_t *peers = json_pack("[{s:s, s:s}]", "name",
                              "\033]0;owned\007\r\n\xc2\x9b"
                              "2J",
                              "last_error", "caf\xc3\xa9 \xe2\x80\xae");
    assert_int_equal(report_print_peers(&output, peers), ERR_OK);
    json_decref(peers);
    const char *all = shown();
    assert_non_null(strstr(all, "?]0;owned?????2J"));
    assert_non_null(strstr(all, "caf\xc3\xa9 ???"));
    assert_null(strchr(all, '\033'));
    assert_null(strchr(all, '\r'));
}

static void test_styles(void **state)
{
    output.has_colors = true;
    output_text(&output, STYLE_GOOD, "up");
    output_text(&output, STYLE_PLAIN, " and ");
    output_text(&output, STYLE_BAD, "");
    assert_string_equal(shown(), "\033[32mup\033[0m and ");
}

static void test_no_color(void **state)
{
    /* output_init looks at the variable before it looks at the stream. */
    struct output other;
    setenv("NO_COLOR", "1", 1);
    output_init(&other, stdout, stderr);
    unsetenv("NO_COLOR");
    assert_false(other.has_colors);
    (void)shown();
}

static void test_full_disk(void **state)
{
    FILE *full = fopen("/dev/full", "w"), *err = output.err;
    struct output broken;
    assert_non_null(full);
    output_init(&broken, full, err);
    output_text(&broken, STYLE_PLAIN, "lost");
    assert_int_equal(output_flush(&broken), ERR_IO);
    assert_int_equal(output_flush(&broken), ERR_IO); /* told once */
    fclose(full);
    assert_string_equal(shown(),
                        "detec: the output could not be written: No space left on device\n");
}

static void test_formats(void **state)
{
    char buffer[FORMAT_CAP];
    static const struct {
        double ms;
        const char *text;
    } times[] = {{0, "0.00 ms"},    {0.424, "0.42 ms"}, {9.994, "9.99 ms"}, {9.996, "10.0 ms"},
                 {99.96, "100 ms"}, {999.4, "999 ms"},  {999.6, "1.00 s"},  {12000, "12 s"}};
    static const struct {
        uint64_t count;
        const char *text;
    } counts[] = {
        {0, "0"}, {9999, "9999"}, {10000, "10 000"}, {1234567, "1 234 567"}, {100000, "100 000"}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        assert_string_equal(format_ms(times[i].ms, buffer), times[i].text);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        assert_string_equal(format_count(counts[i].count, buffer), counts[i].text);
    json_t *odd = load("{\"a\": -5, \"b\": 1e300, \"c\": \"text\", \"d\": null}");
    assert_int_equal(format_get_count(odd, "a"), 0);
    assert_int_equal(format_get_count(odd, "b"), 0);
    assert_int_equal(format_get_count(odd, "c"), 0);
    assert_string_equal(format_get_text(odd, "a"), "");
    assert_false(format_has(odd, "d"));
    assert_false(format_has(odd, "e"));
    json_decref(odd);
    (void)shown();
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_status),
        TEST(test_status_down),
        TEST(test_status_empty),
        TEST(test_status_port_mapping),
        TEST(test_peers),
        TEST(test_no_peers),
        TEST(test_call),
        TEST(test_call_failed),
        TEST(test_ping),
        TEST(test_hosts),
        TEST(test_netcheck),
        TEST(test_netcheck_verdicts),
        TEST(test_control_characters),
        TEST(test_styles),
        TEST(test_no_color),
        TEST(test_full_disk),
        TEST(test_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
