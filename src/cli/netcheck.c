/* `detec netcheck`: what the network between here and others does, and what that means for calls.
 */
#include "cli/netcheck.h"

#include <string.h>

#include "cli/cli.h"
#include "cli/daemon.h"
#include "cli/format.h"
#include "cli/report.h"

#define RUN_TIMEOUT_US      ((uint64_t)40 * 1000000) /* of a run without the lifetime */
#define LIFETIME_TIMEOUT_US ((uint64_t)60 * 1000000) /* besides the lifetime itself */
#define MTU_ORDINARY        1500
#define MTU_IPV6_MIN        1280

static void print_label(struct output *output, const char *label)
{
    output_print(output, STYLE_FAINT, "  %-12s ", label);
}

/* A kind of mapping or filtering, how it is for calls, and what it means. */
struct meaning {
    const char *kind;
    enum style style;
    const char *text;
};

static const struct meaning mappings[] = {
    {"none", STYLE_GOOD, "no address translation"},
    {"endpoint-independent", STYLE_GOOD, "every peer sees the same port"},
    {"not port-dependent", STYLE_GOOD,
     "every peer may see the same port (a connector with two addresses could tell)"},
    {"address-dependent", STYLE_WARN, "each peer address sees another port"},
    {"address-and-port-dependent", STYLE_WARN, "each peer sees another port"},
    {NULL, STYLE_FAINT, "the tests did not get through"},
};

static const struct meaning filterings[] = {
    {"endpoint-independent", STYLE_GOOD, "anybody's packets get in"},
    {"not port-dependent", STYLE_GOOD,
     "packets get in from any port of an address that was written to, or from anywhere"},
    {"address-dependent", STYLE_GOOD, "packets get in from addresses that were written to"},
    {"address-and-port-dependent", STYLE_PLAIN,
     "packets get in from addresses and ports that were written to"},
    {NULL, STYLE_FAINT, "the tests did not get through"},
};

static void print_meaning(struct output *output, const char *label, const struct meaning *meanings,
                          const char *kind)
{
    while (meanings->kind != NULL && strcmp(meanings->kind, kind) != 0)
        meanings++;
    print_label(output, label);
    output_text(output, meanings->style, kind[0] != '\0' ? kind : "unknown");
    output_print(output, STYLE_PLAIN, ": %s", meanings->text);
    output_newline(output);
}

static void print_udp(struct output *output, const json_t *netcheck)
{
    const double ms = format_get_number(netcheck, "rtt_ms", 0);
    const double login_ms = format_get_number(netcheck, "login_rtt_ms", 0);
    const bool is_open = format_get_bool(netcheck, "is_udp_open");
    char text[FORMAT_CAP];
    print_label(output, "connector");
    output_text(output, STYLE_PLAIN, format_get_text(netcheck, "connector"));
    if (ms > 0)
        output_print(output, STYLE_PLAIN, ", %s away", format_ms(ms, text));
    if (login_ms > 0)
        output_print(output, STYLE_PLAIN, " (%s by TCP)", format_ms(login_ms, text));
    output_newline(output);
    print_label(output, "udp");
    output_text(output, is_open ? STYLE_GOOD : STYLE_BAD,
                is_open ? "open" : "blocked: no answer from the connector's UDP port");
    output_newline(output);
}

static void print_ports(struct output *output, const json_t *netcheck)
{
    const char *ports = format_get_text(netcheck, "ports");
    const json_t *hairpin = json_object_get(netcheck, "hairpin");
    print_label(output, "ports");
    if (strcmp(ports, "sequential") == 0)
        output_print(output, STYLE_PLAIN, "sequential, in steps of %lld",
                     (long long)json_integer_value(json_object_get(netcheck, "port_step")));
    else
        output_text(output, STYLE_PLAIN, ports[0] != '\0' ? ports : "unknown");
    output_newline(output);
    if (!json_is_boolean(hairpin))
        return;
    print_label(output, "hairpin");
    output_text(output, STYLE_PLAIN,
                json_is_true(hairpin) ? "yes: hosts behind this NAT meet by its outer address, too"
                                      : "no: hosts behind this NAT meet by their inner addresses");
    output_newline(output);
}

static void print_lifetime(struct output *output, const json_t *lifetime)
{
    const double alive_s = format_get_number(lifetime, "alive_s", 0);
    const double dead_s = format_get_number(lifetime, "dead_s", 0);
    char alive[FORMAT_CAP], dead[FORMAT_CAP];
    if (!json_is_object(lifetime))
        return;
    format_seconds(alive_s, alive);
    format_seconds(dead_s, dead);
    print_label(output, "lifetime");
    if (dead_s <= 0)
        output_print(output, STYLE_GOOD, "at least %s of silence", alive);
    else if (alive_s <= 0)
        output_print(output, STYLE_BAD, "less than %s of silence: keepalives may not be enough",
                     dead);
    else
        output_print(output, alive_s >= 20 ? STYLE_GOOD : STYLE_WARN, "%s of silence, but not %s%s",
                     alive, dead, alive_s >= 20 ? "" : "; set keepalive in detec.conf below that");
    output_newline(output);
}

static void print_mtu(struct output *output, const json_t *netcheck)
{
    const uint64_t mtu = format_get_count(netcheck, "mtu");
    if (mtu == 0)
        return;
    print_label(output, "mtu");
    output_print(output, mtu >= MTU_IPV6_MIN ? STYLE_PLAIN : STYLE_WARN, "%llu bytes",
                 (unsigned long long)mtu);
    if (mtu < MTU_ORDINARY)
        output_text(output, STYLE_PLAIN, " to the connector; longer packets do not get there");
    output_newline(output);
}

static bool is(const char *text, const char *other)
{
    return strcmp(text, other) == 0;
}

/* One sentence that says what it comes to. */
static void print_verdict(struct output *output, const json_t *netcheck)
{
    const char *mapping = format_get_text(netcheck, "mapping");
    const char *filtering = format_get_text(netcheck, "filtering");
    const bool is_hard =
        is(mapping, "address-dependent") || is(mapping, "address-and-port-dependent");
    const bool is_predictable = !is(format_get_text(netcheck, "ports"), "random");
    enum style style = STYLE_GOOD;
    const char *text;
    if (!format_get_bool(netcheck, "is_udp_open")) {
        style = STYLE_BAD;
        text = "Without UDP no direct path opens. A firewall on the way would have to let UDP out.";
    } else if (is(mapping, "none") && is(filtering, "endpoint-independent")) {
        text = "Nothing stands in the way: every host can reach this one directly.";
    } else if (is(mapping, "none") && is(filtering, "not port-dependent")) {
        text = "No NAT: direct paths open to every host.";
    } else if (is(mapping, "none")) {
        text = "No NAT, only a firewall that lets answers in: direct paths open to every host.";
    } else if (is(mapping, "unknown") && format_get_bool(netcheck, "is_udp_open")) {
        style = STYLE_WARN;
        text = "The connector's second UDP port cannot be reached, so the NAT's kind stays "
               "unknown.";
    } else if (is_hard) {
        style = STYLE_WARN;
        text = is_predictable ? "A hard NAT whose ports can be guessed: direct paths open to most "
                                "hosts."
                              : "A hard NAT: direct paths open to hosts with an easy one, not to "
                                "those behind another hard one.";
    } else {
        text = "An easy NAT: direct paths open to nearly every host.";
    }
    output_newline(output);
    output_text(output, style, text);
    output_newline(output);
}

void netcheck_print(struct output *output, const json_t *netcheck)
{
    const char *seen = format_get_text(netcheck, "public");
    print_udp(output, netcheck);
    if (seen[0] != '\0') {
        print_label(output, "seen as");
        output_text(output, STYLE_PLAIN, seen);
        output_newline(output);
    }
    if (format_get_bool(netcheck, "is_udp_open")) {
        print_meaning(output, "mapping", mappings, format_get_text(netcheck, "mapping"));
        print_meaning(output, "filtering", filterings, format_get_text(netcheck, "filtering"));
        print_ports(output, netcheck);
        print_lifetime(output, json_object_get(netcheck, "lifetime"));
        print_mtu(output, netcheck);
    }
    report_print_port_mapping(output, "  port mapping ", json_object_get(netcheck, "port_mapping"));
    print_verdict(output, netcheck);
}

int netcheck_run(struct cli *cli)
{
    const uint64_t lifetime_us = cli->options.lifetime_us;
    json_t *answer = NULL;
    json_t *request = lifetime_us > 0 ? json_pack("{s:s, s:I}", "command", "netcheck",
                                                  "lifetime_ms", (json_int_t)(lifetime_us / 1000))
                                      : json_pack("{s:s}", "command", "netcheck");
    const int error = daemon_ask(
        cli, DAEMON_HOST, request,
        lifetime_us > 0 ? lifetime_us + LIFETIME_TIMEOUT_US : RUN_TIMEOUT_US, NULL, NULL, &answer);
    int status = error == ERR_OK ? EXIT_DONE : EXIT_FAILED;
    if (error == ERR_OK && (cli->options.given & OPTION_JSON) == 0) {
        const json_t *value = json_object_get(answer, "netcheck");
        if (value != NULL) {
            netcheck_print(&cli->output, value);
        } else {
            output_error(&cli->output,
                         "detecd's answer has no \"netcheck\"; are both of one version?");
            status = EXIT_FAILED;
        }
    }
    json_decref(answer);
    return status;
}
