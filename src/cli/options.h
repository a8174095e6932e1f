/* The command line: which command, its operands and options, checked against the table of commands.
 * Every problem is one message that names what is wrong and what is allowed. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum option_id {
    OPTION_HELP = 1 << 0,
    OPTION_VERSION = 1 << 1,
    OPTION_SOCKET = 1 << 2,
    OPTION_JSON = 1 << 3,
    OPTION_TIMEOUT = 1 << 4,
    OPTION_COUNT = 1 << 5,
    OPTION_YES = 1 << 6,
    OPTION_MAC = 1 << 7,
    OPTION_DATABASE = 1 << 8,
    OPTION_CONNECTOR = 1 << 9,
    OPTION_LIFETIME = 1 << 10,
};

#define OPERANDS_MAX 2
#define MAC_LEN      6
#define COUNT_MAX    1000 /* as in detecd */

struct cli;

struct command {
    const char *name;     /* "host add": words separated by one space */
    const char *operands; /* "NAME KEY", or "" */
    size_t operand_count;
    unsigned options; /* enum option_id, besides --help */
    const char *summary;
    const char *details;         /* for `detec COMMAND --help`: whole lines */
    int (*run)(struct cli *cli); /* returns an enum exit_status */
};

struct options {
    const struct command *command; /* NULL with is_help (of the whole program) or is_version */
    unsigned given;                /* enum option_id */
    const char *operands[OPERANDS_MAX];
    const char *socket;   /* NULL: not given */
    const char *database; /* likewise */
    const char *mac;      /* likewise; checked */
    uint64_t timeout_us;  /* 0: not given */
    uint64_t lifetime_us; /* 0: not given */
    uint32_t count;       /* 0: not given */
};

/* commands ends with a NULL name. Problems go to err. ERR_INVALID if there was any; texts of the
 * result are borrowed from argv. */
MUST_USE int options_parse(int argc, char *const *argv, const struct command *commands, FILE *err,
                           struct options *ret_options);
/* The help of one command (or of all, with NULL). */
void options_print_help(const struct command *commands, const struct command *command, FILE *out);

#endif
