/* Parsing the command line and printing its help, both from the same tables. */
#include "cli/options.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* A day: longer waits are typing errors. */
#define TIMEOUT_MAX_US ((uint64_t)86400 * 1000000)
/* As in detecd. */
#define LIFETIME_MIN_US ((uint64_t)1000000)
#define LIFETIME_MAX_US ((uint64_t)300 * 1000000)
#define WORDS_MAX       (2 + OPERANDS_MAX + 1) /* one too many is kept, to be named */

struct option {
    enum option_id id;
    const char *name;  /* without the dashes */
    char letter;       /* or 0 */
    const char *value; /* name of its value, or NULL */
    const char *help;
};

static const struct option options_known[] = {
    {OPTION_JSON, "json", 0, NULL, "print the daemon's answer as JSON, one object a line"},
    {OPTION_TIMEOUT, "timeout", 0, "S", "give up after so long: 30, 90s, 2m (seconds if bare)"},
    {OPTION_COUNT, "count", 'c', "N", "send so many (1 to 1000, default 4)"},
    {OPTION_LIFETIME, "lifetime", 0, "S",
     "also find how long mappings last: silences up to S: 60s, 5m"},
    {OPTION_CONNECTOR, "connector", 0, NULL, "NAME is a zone: forget the key of its connector"},
    {OPTION_YES, "yes", 'y', NULL, "do not ask"},
    {OPTION_MAC, "mac", 0, "M", "accept log-ins with this MAC address only: 02:00:5e:10:00:01"},
    {OPTION_DATABASE, "database", 0, "FILE",
     "work on the database file itself; detec-connector is not running"},
    {OPTION_SOCKET, "socket", 0, "PATH", "the daemon's control socket"},
    {OPTION_HELP, "help", 'h', NULL, "show this help"},
    {OPTION_VERSION, "version", 'V', NULL, "show the version"},
};
#define OPTION_KNOWN_COUNT (sizeof options_known / sizeof options_known[0])

struct parse {
    int argc;
    char *const *argv;
    int at; /* next argument */
    const struct command *commands;
    FILE *err;
    struct options options;
    const char *words[WORDS_MAX];
    size_t word_count;
    bool has_too_many;
};

static int complain(struct parse *parse, const char *format, ...) PRINTF_LIKE(2, 3);

static int complain(struct parse *parse, const char *format, ...)
{
    va_list arguments;
    fputs("detec: ", parse->err);
    va_start(arguments, format);
    vfprintf(parse->err, format, arguments);
    va_end(arguments);
    fputc('\n', parse->err);
    return ERR_INVALID;
}

static int take_count(struct parse *parse, const char *value)
{
    const size_t len = strspn(value, "0123456789");
    const unsigned long count = len > 0 && len <= 5 ? strtoul(value, NULL, 10) : 0;
    if (value[len] != '\0' || count == 0 || count > COUNT_MAX)
        return complain(parse, "--count %s: allowed: 1 to %d", value, COUNT_MAX);
    parse->options.count = (uint32_t)count;
    return ERR_OK;
}

static int take_mac(struct parse *parse, const char *value)
{
    bool is_good = strlen(value) == MAC_LEN * 3 - 1;
    for (size_t i = 0; is_good && value[i] != '\0'; i++) {
        is_good = i % 3 == 2 ? value[i] == ':' : strchr("0123456789abcdefABCDEF", value[i]) != NULL;
    }
    if (!is_good)
        return complain(parse, "--mac %s: allowed: a MAC address such as 02:00:5e:10:00:01", value);
    parse->options.mac = value;
    return ERR_OK;
}

static int take_timeout(struct parse *parse, const char *value)
{
    uint64_t us;
    if (duration_parse(value, &us) != ERR_OK || us == 0 || us > TIMEOUT_MAX_US)
        return complain(parse, "--timeout %s: allowed: a duration up to a day, such as 30, 90s, 2m",
                        value);
    parse->options.timeout_us = us;
    return ERR_OK;
}

static int take_lifetime(struct parse *parse, const char *value)
{
    uint64_t us;
    if (duration_parse(value, &us) != ERR_OK || us < LIFETIME_MIN_US || us > LIFETIME_MAX_US)
        return complain(parse, "--lifetime %s: allowed: a duration from 1s to 5m, such as 60s, 2m",
                        value);
    parse->options.lifetime_us = us;
    return ERR_OK;
}

static int take_path(struct parse *parse, const struct option *option, const char *value)
{
    if (value[0] == '\0')
        return complain(parse, "--%s: allowed: a path", option->name);
    if (option->id == OPTION_SOCKET)
        parse->options.socket = value;
    else
        parse->options.database = value;
    return ERR_OK;
}

static int take_option(struct parse *parse, const struct option *option, const char *value)
{
    if ((parse->options.given & option->id) != 0 && option->value != NULL)
        return complain(parse, "--%s is given twice; allowed: once", option->name);
    parse->options.given |= option->id;
    switch (option->id) {
    case OPTION_COUNT:
        return take_count(parse, value);
    case OPTION_MAC:
        return take_mac(parse, value);
    case OPTION_TIMEOUT:
        return take_timeout(parse, value);
    case OPTION_LIFETIME:
        return take_lifetime(parse, value);
    case OPTION_SOCKET:
    case OPTION_DATABASE:
        return take_path(parse, option, value);
    case OPTION_HELP:
    case OPTION_VERSION:
    case OPTION_JSON:
    case OPTION_YES:
    case OPTION_CONNECTOR:
        break;
    }
    return ERR_OK;
}

/* "--name", "--name=value", "--name value". */
static int take_long(struct parse *parse, const char *argument)
{
    const char *name = argument + 2;
    const size_t len = strcspn(name, "=");
    for (size_t i = 0; i < OPTION_KNOWN_COUNT; i++) {
        const struct option *option = &options_known[i];
        if (strlen(option->name) != len || strncmp(option->name, name, len) != 0)
            continue;
        const char *value = name[len] == '=' ? name + len + 1 : NULL;
        if (option->value == NULL && value != NULL)
            return complain(parse, "--%s takes no value", option->name);
        if (option->value != NULL && value == NULL) {
            if (parse->at >= parse->argc)
                return complain(parse, "--%s needs a value: --%s %s", option->name, option->name,
                                option->value);
            value = parse->argv[parse->at++];
        }
        return take_option(parse, option, value);
    }
    return complain(parse, "there is no option %s; `detec --help` lists all", argument);
}

/* "-y", "-c 3", "-c3", "-yc3". */
static int take_short(struct parse *parse, const char *argument)
{
    for (const char *at = argument + 1; *at != '\0'; at++) {
        const struct option *option = NULL;
        for (size_t i = 0; i < OPTION_KNOWN_COUNT; i++)
            option = options_known[i].letter == *at ? &options_known[i] : option;
        if (option == NULL)
            return complain(parse, "there is no option %s; `detec --help` lists all", argument);
        const char *value = NULL;
        if (option->value != NULL && at[1] != '\0')
            value = at + 1;
        else if (option->value != NULL && parse->at < parse->argc)
            value = parse->argv[parse->at++];
        else if (option->value != NULL)
            return complain(parse, "-%c needs a value: -%c %s", *at, *at, option->value);
        const int error = take_option(parse, option, value);
        if (error != ERR_OK || option->value != NULL)
            return error;
    }
    return ERR_OK;
}

static void take_word(struct parse *parse, const char *word)
{
    if (parse->word_count < WORDS_MAX)
        parse->words[parse->word_count++] = word;
    else
        parse->has_too_many = true;
}

static int take_arguments(struct parse *parse)
{
    bool is_word_only = false;
    while (parse->at < parse->argc) {
        const char *argument = parse->argv[parse->at++];
        int error = ERR_OK;
        if (is_word_only || argument[0] != '-' || argument[1] == '\0')
            take_word(parse, argument);
        else if (strcmp(argument, "--") == 0)
            is_word_only = true;
        else if (argument[1] == '-')
            error = take_long(parse, argument);
        else
            error = take_short(parse, argument);
        if (error != ERR_OK)
            return error;
    }
    return ERR_OK;
}

/* How many of the words given are the command's name; 0: it is another command. */
static size_t match_command(const struct parse *parse, const struct command *command)
{
    const char *name = command->name;
    for (size_t i = 0; i < parse->word_count; i++) {
        const size_t len = strcspn(name, " ");
        if (strlen(parse->words[i]) != len || strncmp(parse->words[i], name, len) != 0)
            return 0;
        if (name[len] == '\0')
            return i + 1;
        name += len + 1;
    }
    return 0;
}

/* Is this command one of the group that word names ("host" of "host add")? */
static bool is_in_group(const struct command *command, const char *word)
{
    const size_t len = strlen(word);
    return strncmp(command->name, word, len) == 0 && command->name[len] == ' ';
}

static bool is_group(const struct parse *parse, const char *word)
{
    bool is_found = false;
    for (const struct command *c = parse->commands; c->name != NULL; c++)
        is_found = is_found || is_in_group(c, word);
    return is_found;
}

static void complain_command(struct parse *parse)
{
    const char *word = parse->words[0];
    if (!is_group(parse, word)) {
        complain(parse, "there is no command \"%s\"; `detec --help` lists all", word);
        return;
    }
    if (parse->word_count > 1)
        fprintf(parse->err, "detec: there is no command \"%s %s\"; allowed:", word,
                parse->words[1]);
    else
        fprintf(parse->err, "detec: \"%s\" is half a command; allowed:", word);
    const char *separator = " ";
    for (const struct command *c = parse->commands; c->name != NULL; c++) {
        if (!is_in_group(c, word))
            continue;
        fprintf(parse->err, "%s%s", separator, c->name);
        separator = ", ";
    }
    fputc('\n', parse->err);
}

static int find_command(struct parse *parse, size_t *ret_words)
{
    for (const struct command *c = parse->commands; c->name != NULL; c++) {
        const size_t words = match_command(parse, c);
        if (words > 0) {
            parse->options.command = c;
            *ret_words = words;
            return ERR_OK;
        }
    }
    complain_command(parse);
    return ERR_INVALID;
}

static int check_options(struct parse *parse)
{
    const struct command *command = parse->options.command;
    for (size_t i = 0; i < OPTION_KNOWN_COUNT; i++) {
        const struct option *option = &options_known[i];
        if ((parse->options.given & option->id & ~command->options) != 0)
            return complain(parse, "`detec %s` has no option --%s; `detec %s --help` lists them",
                            command->name, option->name, command->name);
    }
    return ERR_OK;
}

static int check_operands(struct parse *parse, size_t first)
{
    const struct command *command = parse->options.command;
    const size_t count = parse->word_count - first;
    if (parse->has_too_many || count > command->operand_count)
        return complain(parse, "\"%s\" is one argument too many; usage: detec %s%s%s",
                        parse->words[first + command->operand_count < parse->word_count
                                         ? first + command->operand_count
                                         : parse->word_count - 1],
                        command->name, command->operands[0] != '\0' ? " " : "", command->operands);
    if (count < command->operand_count)
        return complain(parse, "an argument is missing; usage: detec %s %s", command->name,
                        command->operands);
    for (size_t i = 0; i < count; i++)
        parse->options.operands[i] = parse->words[first + i];
    return ERR_OK;
}

static int check(struct parse *parse)
{
    size_t words = 0;
    if ((parse->options.given & OPTION_VERSION) != 0)
        return ERR_OK;
    if (parse->word_count == 0) {
        if ((parse->options.given & OPTION_HELP) != 0)
            return ERR_OK;
        return complain(parse, "a command is missing; `detec --help` lists all");
    }
    /* The help of a group is the list of all. */
    if ((parse->options.given & OPTION_HELP) != 0 && parse->word_count == 1 &&
        is_group(parse, parse->words[0]))
        return ERR_OK;
    int error = find_command(parse, &words);
    if (error != ERR_OK || (parse->options.given & OPTION_HELP) != 0)
        return error;
    error = check_options(parse);
    return error != ERR_OK ? error : check_operands(parse, words);
}

int options_parse(int argc, char *const *argv, const struct command *commands, FILE *err,
                  struct options *ret_options)
{
    struct parse parse = {.argc = argc, .argv = argv, .at = 1, .commands = commands, .err = err};
    int error = take_arguments(&parse);
    if (error == ERR_OK)
        error = check(&parse);
    if (error == ERR_OK)
        *ret_options = parse.options;
    return error;
}

static void print_options(unsigned options, FILE *out)
{
    fputs("\nOptions:\n", out);
    for (size_t i = 0; i < OPTION_KNOWN_COUNT; i++) {
        const struct option *option = &options_known[i];
        char left[48];
        if ((options & option->id) == 0)
            continue;
        snprintf(left, sizeof left, "%s%c%s--%s%s%s", option->letter != 0 ? "-" : " ",
                 option->letter != 0 ? option->letter : ' ', option->letter != 0 ? ", " : "  ",
                 option->name, option->value != NULL ? " " : "",
                 option->value != NULL ? option->value : "");
        fprintf(out, "  %-21s  %s\n", left, option->help);
    }
}

static void print_commands(const struct command *commands, FILE *out)
{
    fputs("Usage: detec COMMAND [OPTION]...\n\n"
          "Calls hosts by their names and looks after this one.\n\nCommands:\n",
          out);
    for (const struct command *c = commands; c->name != NULL; c++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", c->name, c->operands[0] != '\0' ? " " : "",
                 c->operands);
        fprintf(out, "  %-21s  %s\n", left, c->summary);
    }
    print_options(OPTION_SOCKET | OPTION_JSON | OPTION_HELP | OPTION_VERSION, out);
    fputs("\n`detec COMMAND --help` tells more about one command; detec(1) about all.\n", out);
}

void options_print_help(const struct command *commands, const struct command *command, FILE *out)
{
    if (command == NULL) {
        print_commands(commands, out);
        return;
    }
    fprintf(out, "Usage: detec %s%s%s [OPTION]...\n\n%s", command->name,
            command->operands[0] != '\0' ? " " : "", command->operands, command->details);
    print_options(command->options | OPTION_HELP, out);
}
