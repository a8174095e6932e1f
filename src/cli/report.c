/* `detec status`, `detec peers`. */
#include "cli/report.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/daemon.h"
#include "cli/format.h"

static void print_label(struct output *output, const char *label)
{
    output_print(output, STYLE_FAINT, "  %-9s ", label);
}

static void print_login(struct output *output, const json_t *login)
{
    const char *state = format_get_text(login, "state");
    const char *connector = format_get_text(login, "connector");
    const char *error = format_get_text(login, "error");
    const bool is_up = strcmp(state, "logged-in") == 0;
    const bool is_bad = strcmp(state, "refused") == 0 || strcmp(state, "down") == 0;
    char text[FORMAT_CAP];
    print_label(output, "login");
    output_text(output,
                is_up    ? STYLE_GOOD
                : is_bad ? STYLE_BAD
                         : STYLE_WARN,
                is_up ? "logged in" : state);
    if (connector[0] != '\0')
        output_print(output, STYLE_PLAIN, " at %s", connector);
    if (is_up && format_has(login, "way"))
        output_print(output, STYLE_PLAIN, " (%s)", format_get_text(login, "way"));
    if (is_up && format_has(login, "since_s"))
        output_print(output, STYLE_PLAIN, " for %s",
                     format_seconds(format_get_number(login, "since_s", 0), text));
    if (is_up && format_get_number(login, "rtt_ms", 0) > 0)
        output_print(output, STYLE_PLAIN, ", %s away",
                     format_ms(format_get_number(login, "rtt_ms", 0), text));
    if (is_up && format_has(login, "lease_s"))
        output_print(output, STYLE_PLAIN, ", lease %s",
                     format_seconds(format_get_number(login, "lease_s", 0), text));
    if (error[0] != '\0')
        output_print(output, STYLE_BAD, ": %s", error);
    if (!is_up && format_get_number(login, "retry_s", 0) > 0)
        output_print(output, STYLE_PLAIN, "; next attempt in %s",
                     format_seconds(format_get_number(login, "retry_s", 0), text));
    output_newline(output);
}

static void print_zone(struct output *output, const json_t *status)
{
    const char *key = format_get_text(json_object_get(status, "login"), "connector_key");
    print_label(output, "zone");
    output_text(output, STYLE_PLAIN, format_get_text(status, "zone"));
    if (key[0] != '\0')
        output_print(output, STYLE_PLAIN, ", its connector's key %s", key);
    output_newline(output);
}

static void print_nat(struct output *output, const json_t *nat, uint64_t port)
{
    const char *outside = format_get_text(nat, "public");
    const json_t *local = json_object_get(nat, "local");
    const char *class = format_get_text(nat, "class");
    print_label(output, "nat");
    output_text(output, STYLE_PLAIN, class[0] != '\0' ? class : "unknown");
    if (outside[0] != '\0')
        output_print(output, STYLE_PLAIN, ", seen as %s", outside);
    if (port > 0)
        output_print(output, STYLE_PLAIN, ", UDP port %u here", (unsigned)port);
    output_newline(output);
    if (format_has(nat, "mapping")) {
        print_label(output, "");
        output_print(output, STYLE_PLAIN, "mapping %s, filtering %s",
                     format_get_text(nat, "mapping"), format_get_text(nat, "filtering"));
        output_newline(output);
    }
    for (size_t i = 0; i < json_array_size(local); i++) {
        const char *address = json_string_value(json_array_get(local, i));
        print_label(output, i == 0 ? "local" : "");
        output_text(output, STYLE_PLAIN, address != NULL ? address : "");
        output_newline(output);
    }
}

static void print_keepalive(struct output *output, const json_t *keepalive)
{
    char text[FORMAT_CAP];
    if (!json_is_object(keepalive))
        return;
    print_label(output, "keepalive");
    if (format_get_bool(keepalive, "is_needed"))
        output_print(output, STYLE_PLAIN, "every %s",
                     format_seconds(format_get_number(keepalive, "interval_s", 0), text));
    else
        output_text(output, STYLE_PLAIN, "not needed: packets get in unasked");
    output_newline(output);
}

void report_print_port_mapping(struct output *output, const char *label, const json_t *mapping)
{
    const char *state = format_get_text(mapping, "state");
    const char *error = format_get_text(mapping, "error");
    char text[FORMAT_CAP];
    if (state[0] == '\0' || strcmp(state, "off") == 0 || strcmp(state, "not needed") == 0)
        return;
    output_text(output, STYLE_FAINT, label);
    if (strcmp(state, "mapped") != 0) {
        output_print(output, STYLE_PLAIN, "%s, gateway %s",
                     strcmp(state, "searching") == 0 ? "not yet" : "no",
                     format_get_text(mapping, "gateway"));
        if (error[0] != '\0')
            output_print(output, STYLE_PLAIN, ": %s", error);
        output_newline(output);
        return;
    }
    output_print(output, STYLE_PLAIN, "%s by %s at %s", format_get_text(mapping, "external"),
                 format_get_text(mapping, "protocol"), format_get_text(mapping, "gateway"));
    if (format_get_number(mapping, "expires_s", 0) > 0)
        output_print(output, STYLE_PLAIN, ", lease %s",
                     format_seconds(format_get_number(mapping, "expires_s", 0), text));
    if (!format_get_bool(mapping, "is_usable"))
        output_text(output, STYLE_WARN, "; of no use: the gateway is behind another NAT");
    output_newline(output);
}

static void print_dns(struct output *output, const json_t *dns)
{
    const char *error = format_get_text(dns, "error");
    const bool is_off = strcmp(format_get_text(dns, "mode"), "off") == 0;
    const bool is_active = format_get_bool(dns, "is_active");
    char queries[FORMAT_CAP], rewritten[FORMAT_CAP];
    print_label(output, "dns");
    if (is_off)
        output_text(output, STYLE_WARN, "off: applications do not find hosts by their names");
    else
        output_text(output, is_active ? STYLE_GOOD : STYLE_BAD,
                    is_active ? "captured" : "not captured");
    if (is_active)
        output_print(output, STYLE_PLAIN, ", %s queries, %s answers rewritten",
                     format_count(format_get_count(dns, "queries"), queries),
                     format_count(format_get_count(dns, "rewritten"), rewritten));
    if (error[0] != '\0')
        output_print(output, STYLE_BAD, ": %s", error);
    output_newline(output);
}

static void print_guard(struct output *output, const json_t *guard)
{
    const bool is_intact = format_get_bool(guard, "is_intact");
    const uint64_t restored = format_get_count(guard, "restored");
    print_label(output, "guard");
    output_text(output, is_intact ? STYLE_GOOD : STYLE_BAD,
                is_intact ? "intact" : "broken: packets to peers may leave unencrypted");
    if (restored > 0)
        output_print(output, STYLE_WARN, ", restored %llu times: another program removes its rules",
                     (unsigned long long)restored);
    output_newline(output);
}

/* Who does ESP, and why the kernel does not. */
static void print_esp(struct output *output, const json_t *esp)
{
    const char *reason = format_get_text(esp, "reason");
    if (esp == NULL)
        return;
    print_label(output, "ESP");
    output_text(output, STYLE_PLAIN,
                format_get_bool(esp, "is_active") ? "in the kernel, for plain IPsec peers"
                                                  : "in user space");
    if (reason[0] != '\0')
        output_print(output, STYLE_PLAIN, ": %s", reason);
    output_newline(output);
}

static void print_drops(struct output *output, const json_t *drops)
{
    const char *reason;
    json_t *count;
    bool is_first = true;
    char text[FORMAT_CAP];
    json_object_foreach((json_t *)drops, reason, count)
    {
        if (json_number_value(count) <= 0)
            continue;
        if (is_first)
            print_label(output, "drops");
        output_print(output, STYLE_PLAIN, "%s%s %s", is_first ? "" : ", ", reason,
                     format_count((uint64_t)json_number_value(count), text));
        is_first = false;
    }
    if (!is_first)
        output_newline(output);
}

static void print_refused(struct output *output, const json_t *refused)
{
    static const char *const headings[] = {"NAME", "REASON", ">TIMES", ">AGO", "KEY"};
    struct table table;
    size_t i;
    json_t *caller;
    char text[FORMAT_CAP];
    if (json_array_size(refused) == 0)
        return;
    output_newline(output);
    output_text(output, STYLE_STRONG, "Callers refused");
    output_newline(output);
    table_init(&table, 5, headings);
    json_array_foreach(refused, i, caller)
    {
        table_add_row(&table);
        table_set_text(&table, 0, STYLE_PLAIN, format_get_text(caller, "name"));
        table_set_text(&table, 1, STYLE_WARN, format_get_text(caller, "reason"));
        table_set_text(&table, 2, STYLE_PLAIN,
                       format_count(format_get_count(caller, "count"), text));
        table_set_text(&table, 3, STYLE_PLAIN,
                       format_seconds(format_get_number(caller, "ago_s", 0), text));
        table_set_text(&table, 4, STYLE_FAINT, format_get_text(caller, "key"));
    }
    if (table_print(&table, output, 2) != ERR_OK)
        output_error(output, "the refused callers could not be shown: %s", error_text(ERR_NOMEM));
    table_done(&table);
}

void report_print_status(struct output *output, const json_t *status)
{
    const char *name = format_get_text(status, "name");
    const uint64_t calls = format_get_count(status, "calls");
    char text[FORMAT_CAP];
    output_text(output, STYLE_STRONG, name[0] != '\0' ? name : "(no name yet)");
    /* Until the connector has given one, it is the name of the configuration. */
    if (format_get_bool(status, "is_static"))
        output_text(output, STYLE_FAINT, "  static name");
    else if (strcmp(format_get_text(json_object_get(status, "login"), "state"), "logged-in") == 0)
        output_text(output, STYLE_FAINT, "  dynamic name");
    output_newline(output);
    print_label(output, "key");
    output_text(output, STYLE_PLAIN, format_get_text(status, "key"));
    output_newline(output);
    print_zone(output, status);
    print_login(output, json_object_get(status, "login"));
    print_label(output, "address");
    output_print(output, STYLE_PLAIN, "%s, peers in %s", format_get_text(status, "address"),
                 format_get_text(status, "pool"));
    output_newline(output);
    print_nat(output, json_object_get(status, "nat"), format_get_count(status, "port"));
    report_print_port_mapping(output, "  mapped    ", json_object_get(status, "port_mapping"));
    print_keepalive(output, json_object_get(status, "keepalive"));
    print_dns(output, json_object_get(status, "dns"));
    print_guard(output, json_object_get(status, "guard"));
    print_esp(output, json_object_get(status, "esp_offload"));
    print_label(output, "tunnels");
    output_print(output, STYLE_PLAIN, "%s",
                 format_count(format_get_count(status, "tunnels"), text));
    if (calls > 0)
        output_print(output, STYLE_WARN, ", %s being called", format_count(calls, text));
    output_newline(output);
    print_label(output, "detecd");
    output_print(output, STYLE_PLAIN, "%s, up for %s", format_get_text(status, "version"),
                 format_seconds(format_get_number(status, "uptime_s", 0), text));
    output_newline(output);
    print_drops(output, json_object_get(status, "drops"));
    print_refused(output, json_object_get(status, "refused"));
}

static enum style state_style(const char *state)
{
    if (strcmp(state, "up") == 0)
        return STYLE_GOOD;
    return strcmp(state, "calling") == 0 ? STYLE_WARN : STYLE_FAINT;
}

static void fill_peer(struct table *table, const json_t *peer)
{
    char text[FORMAT_CAP];
    const char *state = format_get_text(peer, "state");
    table_add_row(table);
    table_set_text(table, 0, STYLE_STRONG, format_get_text(peer, "name"));
    table_set_text(table, 1, STYLE_PLAIN, format_get_text(peer, "address"));
    table_set_text(table, 2, state_style(state), state);
    table_set_text(table, 3, STYLE_PLAIN, format_get_text(peer, "path"));
    table_set_text(table, 4, STYLE_PLAIN, format_get_text(peer, "suite"));
    table_set_text(table, 5, STYLE_PLAIN, format_get_text(peer, "direction"));
    table_set_text(table, 12, STYLE_BAD, format_get_text(peer, "last_error"));
    if (format_has(peer, "path_reason"))
        table_set_text(table, 12, STYLE_PLAIN, format_get_text(peer, "path_reason"));
    if (strcmp(state, "up") != 0 && strcmp(state, "closing") != 0)
        return; /* no tunnel to tell figures of */
    table_set_text(table, 6, STYLE_PLAIN,
                   format_seconds(format_get_number(peer, "age_s", 0), text));
    table_set_text(table, 7, STYLE_PLAIN,
                   format_seconds(format_get_number(peer, "idle_s", 0), text));
    table_set_text(table, 8, STYLE_PLAIN, format_bytes(format_get_count(peer, "bytes_in"), text));
    table_set_text(table, 9, STYLE_PLAIN, format_bytes(format_get_count(peer, "bytes_out"), text));
    if (format_has(peer, "rtt_ms"))
        table_set_text(table, 10, STYLE_PLAIN,
                       format_ms(format_get_number(peer, "rtt_ms", 0), text));
    if (format_has(peer, "path_mtu")) {
        snprintf(text, sizeof(text), "%llu",
                 (unsigned long long)format_get_count(peer, "path_mtu"));
        table_set_text(table, 11, STYLE_PLAIN, text);
    }
}

int report_print_peers(struct output *output, const json_t *peers)
{
    static const char *const headings[] = {"PEER", "ADDRESS", "STATE", "PATH", "SUITE",
                                           "DIR",  ">AGE",    ">IDLE", ">IN",  ">OUT",
                                           ">RTT", ">MTU",    "ERROR"};
    struct table table;
    size_t i;
    json_t *peer;
    if (json_array_size(peers) == 0) {
        output_text(output, STYLE_PLAIN,
                    "No tunnels. `detec call NAME` opens one; so does any "
                    "packet to a host's name.");
        output_newline(output);
        return ERR_OK;
    }
    table_init(&table, sizeof headings / sizeof headings[0], headings);
    json_array_foreach(peers, i, peer) fill_peer(&table, peer);
    const int error = table_print(&table, output, 0);
    table_done(&table);
    return error;
}

/* Asks for one thing and returns the member of the answer that holds it, or NULL with *ret_status
 * set. */
static const json_t *ask(struct cli *cli, const char *command, json_t **ret_answer, int *ret_status)
{
    const int error = daemon_ask(cli, DAEMON_HOST, json_pack("{s:s}", "command", command),
                                 DAEMON_TIMEOUT_US, NULL, NULL, ret_answer);
    *ret_status = error == ERR_OK ? EXIT_DONE : EXIT_FAILED;
    if (error != ERR_OK || (cli->options.given & OPTION_JSON) != 0)
        return NULL;
    const json_t *value = json_object_get(*ret_answer, command);
    if (value == NULL) {
        output_error(&cli->output, "detecd's answer has no \"%s\"; are both of one version?",
                     command);
        *ret_status = EXIT_FAILED;
    }
    return value;
}

int report_status(struct cli *cli)
{
    json_t *answer = NULL;
    int status;
    const json_t *value = ask(cli, "status", &answer, &status);
    if (value != NULL)
        report_print_status(&cli->output, value);
    json_decref(answer);
    return status;
}

int report_peers(struct cli *cli)
{
    json_t *answer = NULL;
    int status;
    const json_t *value = ask(cli, "peers", &answer, &status);
    if (value != NULL && report_print_peers(&cli->output, value) != ERR_OK) {
        output_error(&cli->output, "the peers could not be shown: %s", error_text(ERR_NOMEM));
        status = EXIT_FAILED;
    }
    json_decref(answer);
    return status;
}
