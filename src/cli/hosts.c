/* `detec host add|remove|list`: the connector's host database, through the running connector or,
 * with
 * --database, through one that is started for this alone. */
#include "cli/hosts.h"

#include <string.h>

#include "cli/cli.h"
#include "cli/daemon.h"
#include "cli/format.h"
#include "crypto/identity.h"

int hosts_print(struct output *output, const json_t *hosts)
{
    static const char *const headings[] = {"NAME",   "KIND", "STATE", ">SINCE",
                                           ">LEASE", "MAC",  "KEY"};
    struct table table;
    size_t i;
    json_t *host;
    char text[FORMAT_CAP];
    if (json_array_size(hosts) == 0) {
        output_text(output, STYLE_PLAIN, "No hosts. `detec host add NAME KEY` adds one.");
        output_newline(output);
        return ERR_OK;
    }
    table_init(&table, sizeof headings / sizeof headings[0], headings);
    json_array_foreach(hosts, i, host)
    {
        const bool is_online = format_get_bool(host, "is_logged_in");
        const char *state = is_online ? "logged in" : format_has(host, "lease_s") ? "lost" : "away";
        table_add_row(&table);
        table_set_text(&table, 0, STYLE_STRONG, format_get_text(host, "name"));
        table_set_text(&table, 1, STYLE_PLAIN,
                       format_get_bool(host, "is_static") ? "static" : "dynamic");
        table_set_text(&table, 2, is_online ? STYLE_GOOD : STYLE_FAINT, state);
        if (format_has(host, "since_s"))
            table_set_text(&table, 3, STYLE_PLAIN,
                           format_seconds(format_get_number(host, "since_s", 0), text));
        if (format_has(host, "lease_s"))
            table_set_text(&table, 4, STYLE_PLAIN,
                           format_seconds(format_get_number(host, "lease_s", 0), text));
        table_set_text(&table, 5, STYLE_PLAIN, format_get_text(host, "mac"));
        table_set_text(&table, 6, STYLE_PLAIN, format_get_text(host, "key"));
    }
    const int error = table_print(&table, output, 0);
    table_done(&table);
    return error;
}

int hosts_add(struct cli *cli)
{
    char name[NAME_TEXT_CAP];
    struct public_key key;
    json_t *answer = NULL;
    const char *key_text = cli->options.operands[1];
    if (daemon_read_name(cli, cli->options.operands[0], name) != ERR_OK)
        return EXIT_USAGE;
    if (public_key_parse(key_text, &key) != ERR_OK) {
        output_error(&cli->output,
                     "\"%s\" is not a public key: allowed is the line that `detec pubkey "
                     "FILE` prints on the host",
                     key_text);
        return EXIT_USAGE;
    }
    json_t *request = json_pack("{s:s, s:s, s:s, s:s?}", "command", "host-add", "name", name, "key",
                                key_text, "mac", cli->options.mac);
    const int error =
        daemon_ask(cli, DAEMON_CONNECTOR, request, DAEMON_TIMEOUT_US, NULL, NULL, &answer);
    if (error == ERR_OK) {
        const char *full = format_get_text(answer, "name");
        output_print(&cli->output, STYLE_PLAIN, "%s now belongs to the key %s.",
                     full[0] != '\0' ? full : name, key_text);
        output_newline(&cli->output);
    }
    json_decref(answer);
    return error == ERR_OK ? EXIT_DONE : EXIT_FAILED;
}

int hosts_remove(struct cli *cli)
{
    char name[NAME_TEXT_CAP];
    json_t *answer = NULL;
    if (daemon_read_name(cli, cli->options.operands[0], name) != ERR_OK)
        return EXIT_USAGE;
    json_t *request = json_pack("{s:s, s:s}", "command", "host-remove", "name", name);
    const int error =
        daemon_ask(cli, DAEMON_CONNECTOR, request, DAEMON_TIMEOUT_US, NULL, NULL, &answer);
    if (error == ERR_OK) {
        const char *full = format_get_text(answer, "name");
        output_print(&cli->output, STYLE_PLAIN, "%s is removed.", full[0] != '\0' ? full : name);
        output_newline(&cli->output);
    }
    json_decref(answer);
    return error == ERR_OK ? EXIT_DONE : EXIT_FAILED;
}

int hosts_list(struct cli *cli)
{
    json_t *answer = NULL;
    json_t *request = json_pack("{s:s}", "command", "host-list");
    const int error =
        daemon_ask(cli, DAEMON_CONNECTOR, request, DAEMON_TIMEOUT_US, NULL, NULL, &answer);
    int status = error == ERR_OK ? EXIT_DONE : EXIT_FAILED;
    if (error == ERR_OK && (cli->options.given & OPTION_JSON) == 0 &&
        hosts_print(&cli->output, json_object_get(answer, "hosts")) != ERR_OK) {
        output_error(&cli->output, "the hosts could not be shown: %s", error_text(ERR_NOMEM));
        status = EXIT_FAILED;
    }
    json_decref(answer);
    return status;
}
