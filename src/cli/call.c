/* `detec call`, `hangup`, `ping` and `trust`: what concerns one other host. */
#include "cli/call.h"

#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/daemon.h"
#include "cli/format.h"

/* detecd gives up by its own clock; we wait a little longer, for its answer to say why. */
#define CALL_TIMEOUT_US ((uint64_t)60 * 1000000)
#define PING_TIMEOUT_US ((uint64_t)2 * 1000000)
#define MARGIN_US       ((uint64_t)5 * 1000000)
#define PING_COUNT      4

struct ping_run {
    struct cli *cli;
    struct ping_figures figures;
};

static void flush(struct output *output)
{
    /* A failure is told once, at the end of the program. */
    fflush(output->out);
}

static void print_step(struct output *output, const char *mark, enum style style,
                       const json_t *line, const char *detail)
{
    char ms[FORMAT_CAP] = "";
    if (format_has(line, "ms"))
        format_ms(format_get_number(line, "ms", 0), ms);
    output_print(output, style, "  %-6s ", mark);
    output_print(output, STYLE_PLAIN, "%-10s  %9s  ", format_get_text(line, "step"), ms);
    output_text(output, STYLE_PLAIN, detail);
    output_newline(output);
    flush(output);
}

void call_print_step(struct output *output, const json_t *line)
{
    print_step(output, "done", STYLE_GOOD, line, format_get_text(line, "detail"));
}

int call_print_end(struct output *output, const char *name, const json_t *answer)
{
    const json_t *peer = json_object_get(answer, "peer");
    const char *hint = format_get_text(answer, "hint");
    char total[FORMAT_CAP];
    format_ms(format_get_number(answer, "total_ms", 0), total);
    if (format_get_bool(answer, "up")) {
        output_text(output, STYLE_STRONG, name);
        output_text(output, STYLE_GOOD, " is up");
        output_print(output, STYLE_PLAIN, " after %s: %s, %s, %s", total,
                     format_get_text(peer, "address"), format_get_text(peer, "path"),
                     format_get_text(peer, "suite"));
        output_newline(output);
        return EXIT_DONE;
    }
    print_step(output, "failed", STYLE_BAD, answer, format_get_text(answer, "error"));
    output_text(output, STYLE_STRONG, name);
    output_text(output, STYLE_BAD, " is not up");
    output_print(output, STYLE_PLAIN, " after %s.%s%s", total, hint[0] != '\0' ? " " : "", hint);
    output_newline(output);
    return EXIT_FAILED;
}

static void take_step(void *context, json_t *line)
{
    struct cli *cli = context;
    if (format_has(line, "step"))
        call_print_step(&cli->output, line);
}

/* Makes {"command": command, "name": the name meant}. Returns an enum exit_status, having told what
 * failed; *ret_request is set with EXIT_DONE only. */
static int name_request(struct cli *cli, const char *command, char name[NAME_TEXT_CAP],
                        json_t **ret_request)
{
    if (daemon_read_name(cli, cli->options.operands[0], name) != ERR_OK)
        return EXIT_USAGE;
    json_t *request = json_pack("{s:s, s:s}", "command", command, "name", name);
    if (request == NULL) {
        output_error(&cli->output, "%s", error_text(ERR_NOMEM));
        return EXIT_FAILED;
    }
    *ret_request = request;
    return EXIT_DONE;
}

static void set_ms(json_t *request, const char *key, uint64_t us)
{
    /* A failure leaves the daemon's default, and json_pack has just had memory. */
    (void)json_object_set_new(request, key, json_integer((json_int_t)((us + 999) / 1000)));
}

int call_start(struct cli *cli)
{
    char name[NAME_TEXT_CAP];
    json_t *answer = NULL, *request = NULL;
    int status = name_request(cli, "call", name, &request);
    if (status != EXIT_DONE)
        return status;
    const bool is_json = (cli->options.given & OPTION_JSON) != 0;
    const uint64_t timeout_us =
        cli->options.timeout_us > 0 ? cli->options.timeout_us : CALL_TIMEOUT_US;
    set_ms(request, "timeout_ms", timeout_us);
    if (!is_json) {
        output_print(&cli->output, STYLE_PLAIN, "Calling %s", name);
        output_newline(&cli->output);
        flush(&cli->output);
    }
    status = EXIT_FAILED;
    if (daemon_ask(cli, DAEMON_HOST, request, timeout_us + MARGIN_US, take_step, cli, &answer) ==
        ERR_OK) {
        if (is_json)
            status = format_get_bool(answer, "up") ? EXIT_DONE : EXIT_FAILED;
        else
            status = call_print_end(&cli->output, name, answer);
    }
    json_decref(answer);
    return status;
}

int call_hang_up(struct cli *cli)
{
    char name[NAME_TEXT_CAP];
    json_t *answer = NULL, *request = NULL;
    int status = name_request(cli, "hangup", name, &request);
    if (status != EXIT_DONE)
        return status;
    const int error = daemon_ask(cli, DAEMON_HOST, request, DAEMON_TIMEOUT_US, NULL, NULL, &answer);
    json_decref(answer);
    if (error != ERR_OK)
        return EXIT_FAILED;
    if ((cli->options.given & OPTION_JSON) != 0)
        return EXIT_DONE;
    output_print(&cli->output, STYLE_PLAIN, "The tunnel to %s is closed.", name);
    output_newline(&cli->output);
    return EXIT_DONE;
}

void call_print_ping(struct output *output, const json_t *line, struct ping_figures *figures)
{
    char text[FORMAT_CAP];
    if (format_has(line, "reply")) {
        const double ms = format_get_number(line, "ms", 0);
        output_print(output, STYLE_PLAIN, "reply %llu  %9s  %s",
                     (unsigned long long)format_get_count(line, "reply"), format_ms(ms, text),
                     format_get_text(line, "path"));
        if (figures->replies == 0 || ms < figures->least_ms)
            figures->least_ms = ms;
        if (figures->replies == 0 || ms > figures->most_ms)
            figures->most_ms = ms;
        figures->sum_ms += ms;
        figures->replies++;
    } else if (format_has(line, "lost")) {
        output_print(output, STYLE_BAD, "lost  %llu",
                     (unsigned long long)format_get_count(line, "lost"));
    } else {
        return;
    }
    output_newline(output);
    flush(output);
}

void call_print_ping_end(struct output *output, const json_t *answer,
                         const struct ping_figures *figures)
{
    const uint64_t sent = format_get_count(answer, "sent");
    const uint64_t received = format_get_count(answer, "received");
    const double lost_percent =
        sent > 0 && received <= sent ? 100.0 * (double)(sent - received) / (double)sent : 0;
    output_print(output, STYLE_PLAIN, "%llu sent, %llu received, ", (unsigned long long)sent,
                 (unsigned long long)received);
    output_print(output, lost_percent > 0 ? STYLE_BAD : STYLE_GOOD, "%.0f %% lost", lost_percent);
    if (figures->replies > 0) {
        char least[FORMAT_CAP], mean[FORMAT_CAP], most[FORMAT_CAP];
        output_print(output, STYLE_PLAIN, "; least %s, mean %s, most %s",
                     format_ms(figures->least_ms, least),
                     format_ms(figures->sum_ms / figures->replies, mean),
                     format_ms(figures->most_ms, most));
    }
    output_newline(output);
}

static void take_ping(void *context, json_t *line)
{
    struct ping_run *run = context;
    call_print_ping(&run->cli->output, line, &run->figures);
}

/* Pings go through a tunnel: opens it, silently if it is there or comes up. */
static int bring_up(struct cli *cli, const char *name)
{
    json_t *answer = NULL;
    json_t *request = json_pack("{s:s, s:s}", "command", "call", "name", name);
    set_ms(request, "timeout_ms", CALL_TIMEOUT_US);
    int status = EXIT_FAILED;
    if (daemon_ask_quietly(cli, DAEMON_HOST, request, CALL_TIMEOUT_US + MARGIN_US, &answer) ==
        ERR_OK)
        status = format_get_bool(answer, "up") ? EXIT_DONE : EXIT_FAILED;
    if (answer != NULL && format_has(answer, "step"))
        output_error(&cli->output, "%s does not come up: %s: %s; %s", name,
                     format_get_text(answer, "step"), format_get_text(answer, "error"),
                     format_get_text(answer, "hint"));
    json_decref(answer);
    return status;
}

int call_ping(struct cli *cli)
{
    char name[NAME_TEXT_CAP];
    json_t *answer = NULL, *request = NULL;
    int status = name_request(cli, "ping", name, &request);
    if (status != EXIT_DONE)
        return status;
    if (bring_up(cli, name) != EXIT_DONE) {
        json_decref(request);
        return EXIT_FAILED;
    }
    struct ping_run run = {.cli = cli};
    const uint32_t count = cli->options.count > 0 ? cli->options.count : PING_COUNT;
    const uint64_t timeout_us =
        cli->options.timeout_us > 0 ? cli->options.timeout_us : PING_TIMEOUT_US;
    set_ms(request, "timeout_ms", timeout_us);
    (void)json_object_set_new(request, "count", json_integer((json_int_t)count));
    const int error =
        daemon_ask(cli, DAEMON_HOST, request, timeout_us + MARGIN_US, take_ping, &run, &answer);
    const bool has_replies = format_get_count(answer, "received") > 0;
    if (error == ERR_OK && (cli->options.given & OPTION_JSON) == 0)
        call_print_ping_end(&cli->output, answer, &run.figures);
    json_decref(answer);
    return error == ERR_OK && has_replies ? EXIT_DONE : EXIT_FAILED;
}

/* Does the user want the key of name forgotten? */
static bool confirm_trust(struct cli *cli, const char *name, bool is_connector)
{
    char line[16] = "";
    if ((cli->options.given & OPTION_YES) != 0)
        return true;
    if (!isatty(fileno(cli->in))) {
        output_error(&cli->output,
                     "forgetting the key of %s needs a yes: no terminal to ask on, so "
                     "give --yes",
                     name);
        return false;
    }
    fprintf(cli->output.err,
            "%s%s will be trusted with whatever key it has next time. Go on only if you know\n"
            "why its key has changed. Forget the pinned key? [y/N] ",
            is_connector ? "The connector of " : "", name);
    fflush(cli->output.err);
    if (fgets(line, sizeof line, cli->in) != NULL &&
        (strcmp(line, "y\n") == 0 || strcmp(line, "yes\n") == 0))
        return true;
    output_error(&cli->output, "nothing was changed");
    return false;
}

int call_trust(struct cli *cli)
{
    char name[NAME_TEXT_CAP];
    json_t *answer = NULL, *request = NULL;
    int status = name_request(cli, "trust", name, &request);
    if (status != EXIT_DONE)
        return status;
    const bool is_connector = (cli->options.given & OPTION_CONNECTOR) != 0;
    if (is_connector)
        (void)json_object_set_new(request, "connector", json_true());
    if (!confirm_trust(cli, name, is_connector)) {
        json_decref(request);
        return EXIT_FAILED;
    }
    const int error = daemon_ask(cli, DAEMON_HOST, request, DAEMON_TIMEOUT_US, NULL, NULL, &answer);
    if (error == ERR_OK) {
        output_print(&cli->output, STYLE_PLAIN,
                     "Forgot the key %s of %s%s; the one it has next time is pinned.",
                     format_get_text(answer, "forgotten"), is_connector ? "the connector of " : "",
                     name);
        output_newline(&cli->output);
    }
    json_decref(answer);
    return error == ERR_OK ? EXIT_DONE : EXIT_FAILED;
}
