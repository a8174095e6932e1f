/* detec.conf: defaults, every key, and mistakes that are told with line and key. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/deadline.h"
#include "host/config.h"
#include "names/trust.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

static struct host_config config;
static char report[65536];

static int load(const char *text)
{
    char file[] = "/tmp/test-host-config-XXXXXX";
    int fd = mkstemp(file);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    memset(report, 0, sizeof(report));
    FILE *f = fmemopen(report, sizeof(report) - 1, "w");
    int error = host_config_load(file, &config, f);
    fclose(f);
    unlink(file);
    return error;
}

static void test_defaults(void **state)
{
    assert_int_equal(load("[host]\nname = Home-PC.Detec.Example.NET.\n"), ERR_OK);
    assert_string_equal(config.name, "home-pc.detec.example.net");
    assert_string_equal(config.zone, "detec.example.net");
    assert_int_equal(config.port, 32589);
    assert_int_equal(config.connector.port, 0);
    assert_int_equal(config.pool.bits, 8);
    assert_int_equal(config.dns, DNS_MODE_CAPTURE);
    assert_int_equal(config.accept, TRUST_LEVEL_CONNECTOR);
    assert_int_equal(config.allow_count, 0);
    assert_int_equal(config.idle_us, 600 * SECOND_US);
    assert_false(config.has_connector_key);
    assert_string_equal(config.state, "/var/lib/detec");
    assert_int_equal(config.esp_offload, ESP_OFFLOAD_AUTO);
}

static void test_esp_offload(void **state)
{
    assert_int_equal(load("[host]\nname = a.one.example\nesp-offload = off\n"), ERR_OK);
    assert_int_equal(config.esp_offload, ESP_OFFLOAD_OFF);
    assert_int_equal(load("[host]\nname = a.one.example\nesp-offload = kernel\n"), ERR_OK);
    assert_int_equal(config.esp_offload, ESP_OFFLOAD_KERNEL);
    assert_int_equal(load("[host]\nname = a.one.example\nesp-offload = yes\n"), ERR_INVALID);
    assert_non_null(strstr(report, "auto, kernel or off"));
}

static void test_every_key(void **state)
{
    assert_int_equal(
        load("[host]\nname = a.one.example\nzone = one.example\nkey = /k\nconnector = 192.0.2.1\n"
             "connector-key = " KEY "\nport = 4\npool = 10.9.0.0/16\ndns = off\nidle = 5m\n"
             "attempt-timeout = 300ms\nlease = 60s\nkeepalive = 10s\nrekey = 30m\nstate = /s\n"
             "socket = /x\ninterface = tun9\nmtu = 1400\nthreads = 8\nsuites = paper, aes256-gcm\n"
             "mac = 02:00:5e:10:00:01\nlog = debug\n"
             "[trust]\naccept = pinned\npin = b.one.example " KEY "\n"
             "pin = c.one.example " KEY "\nconnector-key = two.example " KEY "\n"
             "private-connector = two.example\nprivate-connector = three.example\n"
             "[allow]\nallow = *.one.example tcp/22\nallow = nobody\n"),
        ERR_OK);
    assert_int_equal(config.connector.port, 4500);
    assert_true(config.has_connector_key);
    assert_int_equal(config.attempt_us, 300 * MS_US);
    assert_int_equal(config.threads, 8);
    assert_int_equal(config.suite_count, 2);
    assert_int_equal(config.suites[0], SPUT_PAPER);
    assert_int_equal(config.suites[1], SPUT_AES256_GCM);
    assert_true(config.has_mac);
    assert_int_equal(config.mac[2], 0x5e);
    assert_int_equal(config.accept, TRUST_LEVEL_PINNED);
    assert_int_equal(config.pin_count, 2);
    assert_string_equal(config.pins[1].name, "c.one.example");
    assert_int_equal(config.connector_pin_count, 1);
    assert_string_equal(config.connector_pins[0].name, "two.example");
    assert_int_equal(config.private_zone_count, 2);
    assert_int_equal(config.allow_count, 2);
    assert_string_equal(config.allow[0], "*.one.example tcp/22");
}

/* A mistake is told with its line; nothing of the file is taken. */
static void expect_mistake(const char *line, const char *told)
{
    char text[1024];
    snprintf(text, sizeof(text), "[host]\nname = a.one.example\n%s\n", line);
    memset(&config, 0x5a, sizeof(config));
    assert_int_equal(load(text), ERR_INVALID);
    assert_int_equal(config.port, 0x5a5a);
    if (strstr(report, told) == NULL)
        fail_msg("'%s' is told as: %s", line, report);
}

static void test_mistakes(void **state)
{
    expect_mistake("port = 0", ":3");
    expect_mistake("port = 65536", "port");
    expect_mistake("pool = 127.0.0.0/8", "pool");
    expect_mistake("pool = 10.0.0.0/7", "pool");
    expect_mistake("pool = 224.0.0.0/8", "pool");
    expect_mistake("pool = 10.0.0.0/29", "pool");
    expect_mistake("dns = resolved", "dns");
    expect_mistake("idle = 0s", "idle");
    expect_mistake("rekey = never", "rekey");
    expect_mistake("suites =", "suites");
    expect_mistake("suites = paper, paper", "suites");
    expect_mistake("suites = des", "suites");
    expect_mistake("mac = 02:00:5e:10:00", "mac");
    expect_mistake("mac = 02-00-5e-10-00-01", "mac");
    expect_mistake("interface = a/b", "interface");
    expect_mistake("interface = sixteen-letters0", "interface");
    expect_mistake("mtu = 1279", "mtu");
    expect_mistake("mtu = 1500x", "mtu");
    expect_mistake("threads = 0", "threads");
    expect_mistake("threads = 9", "threads");
    expect_mistake("threads = 2x", "threads");
    expect_mistake("connector-key = short", "connector-key");
    expect_mistake("connector = nowhere:1", "connector");
    expect_mistake("zone = two.example", "not below the zone");
    expect_mistake("no-such-key = 1", "no-such-key");
    expect_mistake("[trust]\naccept = everybody", "accept");
    expect_mistake("[trust]\npin = b.one.example", "pin");
    expect_mistake("[trust]\npin = b.one.example short", "pin");
    expect_mistake("[allow]\nallow = *example.net", "allow");
    expect_mistake("[allow]\nallow = a.one.example tcp/0", "allow");
    expect_mistake("[allow]\nalow = nobody", "alow");
}

/* Everything that a [peer] may say. */
static void test_peers(void **state)
{
    assert_int_equal(
        load("[peer Office]\naddress = VPN.Example.com\nid = vpn.example.com\nlocal-id = "
             "me@example.com\n"
             "auth = psk\npsk = \"a long secret\"\nlocal-ts = 10.3.0.7\nremote-ts = 10.3.0.1/32\n"
             "rekey = 5m\ndpd = 10s\nstart = always\n"
             "[peer lab]\nauth = pubkey\npeer-key = /p\nport = 32000\nmode = transport\n"
             "local-id = keyid:0102\nstart = never\ntransport = auto\ntcp-port = 443\n"
             "[peer old]\nauth = psk\npsk = 12345678\nmode = transport\nlocal-id = a\n"
             "ike-version = 1\nike = aes128-cbc, sha384, modp2048\nesp = aes128-cbc-sha256\n"),
        ERR_OK);
    assert_string_equal(config.zone, ""); /* no connector at all */
    assert_int_equal(config.ike_port, 500);
    assert_int_equal(config.ike_nat_port, 4500);
    assert_int_equal(config.plain.count, 3);
    const struct plain_config *office = &config.plain.peers[0], *lab = &config.plain.peers[1];
    assert_string_equal(office->name, "office.peer.detec.internal");
    assert_string_equal(office->address, "vpn.example.com");
    assert_string_equal(office->psk, "a long secret");
    assert_int_equal(office->port, 500);
    assert_int_equal(office->mode, PLAIN_MODE_TUNNEL);
    assert_int_equal(office->start, PLAIN_START_ALWAYS);
    assert_int_equal(office->remote_ts.list[0].bits, 32);
    assert_int_equal(office->rekey_us, 300 * SECOND_US);
    assert_int_equal(office->dpd_us, 10 * SECOND_US);
    assert_int_equal(lab->port, 32000);
    assert_int_equal(config.ike_tcp_port, 4500);
    assert_int_equal(office->transport, PLAIN_TRANSPORT_UDP);
    assert_int_equal(office->tcp_port, 4500);
    assert_int_equal(lab->transport, PLAIN_TRANSPORT_AUTO);
    assert_int_equal(lab->tcp_port, 443);
    assert_int_equal(lab->mode, PLAIN_MODE_TRANSPORT);
    assert_string_equal(lab->peer_key_file, "/p");
    assert_int_equal(lab->ike_version, 2);
    assert_int_equal(config.plain.peers[2].ike_version, 1);
    host_config_done(&config);
}

#define PEER_TS  "[peer a]\nauth = psk\npsk = 12345678\n"
#define PEER_PSK "[peer a]\nauth = psk\npsk = 12345678\nmode = transport\n"

static void test_networks(void **state)
{
    assert_int_equal(
        load("[peer office]\nauth = psk\npsk = 12345678\nlocal-id = a\n"
             "local-ts = 10.3.0.7, 10.3.0.0/24, 2001:db8:3::/64\nremote-ts = 10.9.0.0/16 "
             "10.10.0.3,2001:db8:9::7\n"
             "[peer single]\nauth = psk\npsk = 12345678\nlocal-id = a\n"
             "local-ts = 10.3.0.7, 2001:db8:3::7\nremote-ts = 10.9.0.9 2001:db8:9::7\n"),
        ERR_OK);
    const struct plain_config *office = &config.plain.peers[0], *single = &config.plain.peers[1];
    char text[ADDRESS_TEXT_CAP];
    assert_true(plain_config_has_network(office));
    assert_false(plain_config_has_network(single));
    struct address a = plain_ts_address(&office->local_ts, ADDRESS_IPV4);
    assert_string_equal(address_format(&a, text, sizeof(text)), "10.3.0.7");
    a = plain_ts_address(&office->local_ts, ADDRESS_IPV6);
    assert_string_equal(address_format(&a, text, sizeof(text)), "2001:db8:3::1");
    a = plain_ts_address(&office->remote_ts, ADDRESS_IPV4); /* single ones stand before networks */
    assert_string_equal(address_format(&a, text, sizeof(text)), "10.10.0.3");
    const struct selectors s = plain_ts_selectors(&office->local_ts);
    assert_int_equal(s.count, 3);
    assert_string_equal(address_format(&s.list[1].last, text, sizeof(text)), "10.3.0.255");
    assert_string_equal(address_format(&s.list[2].last, text, sizeof(text)),
                        "2001:db8:3:0:ffff:ffff:ffff:ffff");
    host_config_done(&config);
}

static void test_peer_mistakes(void **state)
{
    static const struct {
        const char *text, *word;
    } mistakes[] = {
        {"[peer a.b]\nauth = null\n", "[peer a.b]"},
        {"[peer a]\nlocal-id = x\nmode = transport\n", ":3: [peer a] auth: missing"},
        {"[peer a]\nauth = psk\nmode = transport\n", "psk: missing"},
        {"[peer a]\nauth = psk\npsk = short\n", "psk = …"},
        {"[peer a]\nauth = null\npsk = 12345678\nmode = transport\n", "psk: of no use"},
        {"[peer a]\nauth = pubkey\nmode = transport\n", "peer-key: missing"},
        {"[peer a]\nauth = cert\nmode = transport\n", "ca: missing"},
        {"[peer a]\nauth = cert\nca = /c\nmode = transport\n", "id: missing"},
        {"[peer a]\nauth = cert\nca = /c\nid = b\nmode = transport\n", "cert, key: missing"},
        {"[peer a]\nauth = psk\npsk = 12345678\n", "local-ts, remote-ts"},
        {PEER_PSK "start = always\n", "address: missing"},
        {PEER_PSK "start = soon\n", "start"},
        {PEER_PSK "port = 0\n", "port"},
        {PEER_PSK "address = 0.0.0.0\n", "address"},
        {PEER_PSK "local-ts = 127.0.0.1\n", "local-ts"},
        {PEER_PSK "local-ts = 10.0.0.1/24\n", "local-ts"},
        {PEER_PSK "local-ts = 10.0.0.0/7\n", "local-ts"},
        {PEER_PSK "local-ts = 2001::/15\n", "local-ts"},
        {PEER_PSK "local-ts = fe80::1\n", "local-ts"},
        {PEER_PSK "local-ts = 10.0.0.0/8, 10.1.0.0/16\n", "local-ts"},
        {PEER_PSK "local-ts = 10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7 "
                  "10.0.0.8 10.0.0.9\n",
         "local-ts"},
        {PEER_TS "local-ts = 10.0.0.1\nremote-ts = 2001:db8::1\n", "a family that the other"},
        {PEER_TS "local-ts = 10.0.0.1\nremote-ts = 10.0.0.0/24\n", "local-ts: overlaps"},
        {PEER_TS "local-ts = 10.0.0.1\nremote-ts = 0.1.0.0/24\n", "overlaps the pool"},
        {PEER_TS "local-ts = 2001::1\nremote-ts = fd64:6574::/32\n", "overlaps the pool"},
        {PEER_TS "local-ts = 10.0.0.1\nremote-ts = 192.0.2.0/24\naddress = 192.0.2.9\n",
         "address: lies in"},
        {PEER_TS "mode = beet\nlocal-ts = 10.0.0.1\nremote-ts = 192.0.2.0/24\n",
         "in mode beet one"},
        {PEER_TS "mode = beet\nlocal-ts = 10.0.0.1, 2001::1\nremote-ts = 10.0.0.2, 2001::2\n",
         "in mode beet one"},
        {PEER_TS "local-ts = 10.0.0.1\nremote-ts = 192.0.2.0/24\n[peer b]\nauth = psk\npsk = "
                 "12345678\nlocal-ts = 10.0.0.1\nremote-ts = 192.0.0.0/16\n",
         "overlaps another peer's"},
        {PEER_TS "local-id = b\nike-version = 1\nlocal-ts = 10.0.0.1 10.0.0.3\nremote-ts = "
                 "10.0.0.2\n",
         "with IKEv1 one each"},
        {PEER_PSK "dpd = 10ms\n", "dpd"},
        {PEER_PSK "ike-version = 3\n", "ike-version"},
        {PEER_PSK "transport = stream\n", "udp, auto or tcp"},
        {PEER_PSK "tcp-port = 65536\n", "a TCP port"},
        {PEER_PSK "ike-version = 1\nlocal-id = b\ntransport = tcp\n", "transport: IKEv1"},
        {PEER_PSK "local-id = b\nike-version = 1\nike = aes256-gcm\n", "aes256-cbc, aes128-cbc"},
        {PEER_PSK "local-id = b\nike-version = 1\nesp = chacha20-poly1305\n", "nothing that IKEv1"},
        {"[peer a]\nauth = null\nlocal-id = b\nmode = transport\nike-version = 1\n",
         "psk, pubkey or cert"},
        {PEER_PSK "local-id = b\nlocal-auth = pubkey\nike-version = 1\n", "psk is for both sides"},
        {"[peer a]\nauth = psk\npsk = 12345678\nlocal-id = b\nmode = beet\nlocal-ts = 10.0.0.1\n"
         "remote-ts = 10.0.0.2\nike-version = 1\n",
         "not beet"},
        {PEER_PSK PEER_PSK, "given twice"},
    };
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        char text[1024];
        snprintf(text, sizeof(text), "[host]\nname = a.one.example\n%s", mistakes[i].text);
        assert_int_equal(load(text), ERR_INVALID);
        assert_non_null(strstr(report, mistakes[i].word));
        assert_null(strstr(report, "short"));
    }
    assert_int_equal(load("[host]\nport = 4500\nname = a.one.example\n" PEER_PSK), ERR_INVALID);
    assert_non_null(strstr(report, "ike-nat-port"));
    assert_int_equal(load(PEER_PSK), ERR_INVALID);
    assert_non_null(strstr(report, "local-id: missing"));
}

static void test_proxy(void **state)
{
    unsetenv("https_proxy"), unsetenv("HTTPS_PROXY"), unsetenv("all_proxy"), unsetenv("ALL_PROXY");
    assert_int_equal(load("[host]\nname = a.one.example\n"), ERR_OK);
    assert_true(config.is_proxy_automatic);
    assert_false(config.has_proxy);
    setenv("HTTPS_PROXY", "http://u:secret@p.example:3128", 1);
    assert_int_equal(load("[host]\nname = a.one.example\n"), ERR_OK);
    assert_true(config.has_proxy);
    assert_string_equal(config.proxy.name, "p.example");
    assert_int_equal(load("[host]\nname = a.one.example\nproxy = none\n"), ERR_OK);
    assert_false(config.has_proxy);
    assert_int_equal(load("[host]\nname = a.one.example\nproxy = http://192.0.2.9:8080\n"), ERR_OK);
    assert_int_equal(config.proxy.endpoint.port, 8080);
    setenv("HTTPS_PROXY", "socks5://u:secret@p.example:3128", 1);
    assert_int_equal(load("[host]\nname = a.one.example\n"), ERR_OK);
    assert_false(config.has_proxy);
    assert_non_null(strstr(report, "HTTPS_PROXY"));
    assert_null(strstr(report, "secret"));
    unsetenv("HTTPS_PROXY");
    /* A mistake does not tell the password to whoever reads the log. */
    expect_mistake("proxy = https://u:secret@p.example", "proxy");
    assert_null(strstr(report, "secret"));
}

static void test_no_name(void **state)
{
    assert_int_equal(load("[host]\nport = 5\n"), ERR_INVALID);
    assert_non_null(strstr(report, "name"));
    assert_int_equal(load("[host]\nzone = one.example\n"), ERR_OK);
    assert_string_equal(config.name, "");
    FILE *f = fmemopen(report, sizeof(report) - 1, "w");
    assert_int_equal(host_config_load("/nonexistent/detec.conf", &config, f), ERR_INVALID);
    fclose(f);
    assert_non_null(strstr(report, "/nonexistent/detec.conf"));
}

static void test_too_many(void **state)
{
    char text[32768] = "[host]\nname = a.one.example\n[allow]\n";
    for (int i = 0; i < HOST_RULES_MAX; i++)
        strcat(text, "allow = b.one.example tcp/22\n");
    assert_int_equal(load(text), ERR_OK);
    assert_int_equal(config.allow_count, HOST_RULES_MAX);
    strcat(text, "allow = nobody\n"); /* one that must not get lost in silence */
    assert_int_equal(load(text), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peers),         cmocka_unit_test(test_networks),
        cmocka_unit_test(test_peer_mistakes), cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_esp_offload),   cmocka_unit_test(test_every_key),
        cmocka_unit_test(test_mistakes),      cmocka_unit_test(test_proxy),
        cmocka_unit_test(test_no_name),       cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
