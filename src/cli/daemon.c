/* Requests and answers of the control protocol, and what to say when they fail. */
#include "cli/daemon.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/channel.h"
#include "cli/format.h"

static const struct {
    const char *program;
    const char *variable; /* of the environment */
    const char *socket;
} daemons[] = {
    [DAEMON_HOST] = {"detecd", "DETEC_SOCKET", "/run/detec/detecd.sock"},
    [DAEMON_CONNECTOR] = {"detec-connector", "DETEC_CONNECTOR_SOCKET",
                          "/run/detec-connector/connector.sock"},
};

const char *daemon_socket(const struct cli *cli, enum daemon daemon)
{
    const char *value = getenv(daemons[daemon].variable);
    if (cli->options.socket != NULL)
        return cli->options.socket;
    if (value == NULL || value[0] == '\0')
        value = getenv("DETEC_SOCKET"); /* names whichever daemon the command is for */
    return value != NULL && value[0] != '\0' ? value : daemons[daemon].socket;
}

static void tell_connect(struct cli *cli, enum daemon daemon, const char *path, int error)
{
    const char *program = daemons[daemon].program;
    if (error == ERR_NOT_FOUND)
        output_error(
            &cli->output,
            "%s is not running: nothing listens at %s; start it with `systemctl start %s`, "
            "or name another socket with --socket",
            program, path, program);
    else if (error == ERR_REFUSED)
        output_error(&cli->output, "%s may not be used by this user; try again as root", path);
    else if (error == ERR_INVALID)
        output_error(&cli->output, "%s: the path is too long for a socket; allowed: 107 characters",
                     path);
    else
        output_error(&cli->output, "%s cannot be reached at %s: %s", program, path,
                     error == ERR_IO ? strerror(errno) : error_text(error));
}

/* The connector's program: beside this one, or in the sbin beside its bin; else wherever PATH says.
 */
static void find_connector(char *ret_path, size_t cap)
{
    static const char *const places[] = {"", "/../sbin"};
    char own[PATH_MAX];
    const ssize_t len = readlink("/proc/self/exe", own, sizeof own - 1);
    own[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(own, '/');
    for (size_t i = 0; slash != NULL && i < sizeof places / sizeof places[0]; i++) {
        const int count =
            snprintf(ret_path, cap, "%.*s%s/detec-connector", (int)(slash - own), own, places[i]);
        if (count > 0 && (size_t)count < cap && access(ret_path, X_OK) == 0)
            return;
    }
    snprintf(ret_path, cap, "detec-connector");
}

static int open_database(struct cli *cli, struct channel *ret_channel)
{
    char program[PATH_MAX], option[] = "--edit-hosts";
    char *file = strdup(cli->options.database);
    if (file == NULL)
        return ERR_NOMEM;
    char *const argv[] = {program, option, file, NULL};
    find_connector(program, sizeof program);
    const int error = channel_spawn(argv, ret_channel);
    if (error != ERR_OK)
        output_error(&cli->output,
                     "--database needs the program detec-connector, which could not be started: %s",
                     error == ERR_IO ? strerror(errno) : error_text(error));
    free(file);
    return error;
}

static int open_channel(struct cli *cli, enum daemon daemon, struct channel *ret_channel)
{
    if (daemon == DAEMON_CONNECTOR && cli->options.database != NULL)
        return open_database(cli, ret_channel);
    const char *path = daemon_socket(cli, daemon);
    const int error = channel_connect(path, ret_channel);
    if (error != ERR_OK)
        tell_connect(cli, daemon, path, error);
    return error;
}

static void tell_exchange(struct cli *cli, enum daemon daemon, int error)
{
    const char *program = daemons[daemon].program;
    if (error == ERR_TIMEOUT)
        output_error(&cli->output, "%s does not answer; `systemctl status %s` tells more", program,
                     program);
    else if (error == ERR_TRUNCATED)
        output_error(&cli->output, "%s ended before its answer; its log tells why", program);
    else if (error == ERR_IO)
        output_error(&cli->output, "%s was lost: %s", program, strerror(errno));
    else
        output_error(&cli->output, "%s gave no usable answer: %s", program, error_text(error));
}

/* What a command is asked for, out of its envelope; streams and failures keep theirs. */
static const json_t *content_of(const json_t *line)
{
    static const char *const keys[] = {"status", "peers", "hosts", "netcheck"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && format_get_bool(line, "done"); i++) {
        const json_t *content = json_object_get(line, keys[i]);
        if (content != NULL)
            return content;
    }
    return line;
}

static void print_json(struct cli *cli, const json_t *line)
{
    /* ASCII only: no text in it can drive a terminal. */
    if (json_dumpf(content_of(line), cli->output.out, JSON_COMPACT | JSON_ENSURE_ASCII) == 0)
        fputc('\n', cli->output.out);
    fflush(cli->output.out);
}

/* What becomes of an answer's lines. */
struct lines {
    bool is_printed; /* --json */
    daemon_line *on_line;
    void *context;
};

/* A long list comes in several lines, which are one to whoever asks. True: this is such a line, and
 * not the last. */
static bool keep_part(const json_t *line, json_t **parts)
{
    json_t *list = json_object_get(line, "peers");
    if (!json_is_array(list) || format_get_bool(line, "done"))
        return false;
    if (*parts == NULL)
        *parts = json_array();
    (void)json_array_extend(*parts, list);
    return true;
}

/* Takes over parts. */
static void join_parts(json_t *line, json_t *parts)
{
    const json_t *last = json_object_get(line, "peers");
    if (parts == NULL)
        return;
    if (json_is_array(last))
        (void)json_array_extend(parts, (json_t *)(uintptr_t)last);
    (void)json_object_set_new(line, "peers", parts);
}

/* Reads lines until the one that is "done". */
static int read_answer(struct cli *cli, struct channel *channel, uint64_t timeout_us,
                       const struct lines *lines, json_t **ret_answer)
{
    json_t *parts = NULL;
    for (;;) {
        char *text = NULL;
        int error = channel_read(channel, timeout_us, &text);
        json_t *line = error == ERR_OK ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
        if (error == ERR_OK && !json_is_object(line))
            error = ERR_INVALID;
        if (error != ERR_OK) {
            json_decref(line);
            json_decref(parts);
            return error;
        }
        const bool is_last = format_get_bool(line, "done");
        if (is_last)
            join_parts(line, parts);
        if (is_last || !keep_part(line, &parts)) {
            if (lines->is_printed)
                print_json(cli, line);
            else if (!is_last && lines->on_line != NULL)
                lines->on_line(lines->context, line);
        }
        if (is_last) {
            *ret_answer = line;
            return ERR_OK;
        }
        json_decref(line);
    }
}

/* An answer with "up" says itself what became of the call. */
static int check_answer(struct cli *cli, const json_t *answer)
{
    const char *error = format_get_text(answer, "error");
    const char *hint = format_get_text(answer, "hint");
    if (error[0] == '\0' || format_has(answer, "up"))
        return ERR_OK;
    output_error(&cli->output, "%s%s%s", error, hint[0] != '\0' ? "; " : "", hint);
    return ERR_REFUSED;
}

static int exchange(struct cli *cli, enum daemon daemon, const json_t *request, uint64_t timeout_us,
                    const struct lines *lines, json_t **ret_answer)
{
    struct channel channel;
    char *text = json_dumps(request, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (text == NULL) {
        output_error(&cli->output, "%s", error_text(ERR_NOMEM));
        return ERR_NOMEM;
    }
    int error = open_channel(cli, daemon, &channel);
    if (error == ERR_OK) {
        const int write_error = channel_write(&channel, text, timeout_us);
        /* Who ends before it reads the request may have said why. */
        error = read_answer(cli, &channel, timeout_us, lines, ret_answer);
        if (error != ERR_OK && write_error != ERR_OK)
            error = write_error;
        if (error != ERR_OK)
            tell_exchange(cli, daemon, error);
        channel_close(&channel);
    }
    free(text);
    return error != ERR_OK ? error : check_answer(cli, *ret_answer);
}

int daemon_ask_quietly(struct cli *cli, enum daemon daemon, json_t *request, uint64_t timeout_us,
                       json_t **ret_answer)
{
    const struct lines lines = {.is_printed = false};
    const int error = exchange(cli, daemon, request, timeout_us, &lines, ret_answer);
    json_decref(request);
    return error;
}

int daemon_ask(struct cli *cli, enum daemon daemon, json_t *request, uint64_t timeout_us,
               daemon_line *on_line, void *context, json_t **ret_answer)
{
    const struct lines lines = {.is_printed = (cli->options.given & OPTION_JSON) != 0,
                                .on_line = on_line,
                                .context = context};
    const int error = exchange(cli, daemon, request, timeout_us, &lines, ret_answer);
    json_decref(request);
    return error;
}

int daemon_read_name(struct cli *cli, const char *text, char ret_name[NAME_TEXT_CAP])
{
    const int error = name_normalize(text, ret_name);
    if (error != ERR_OK)
        output_error(&cli->output,
                     "\"%s\" is not a host name: allowed are labels of letters, digits and '-', "
                     "separated by dots",
                     text);
    return error;
}
