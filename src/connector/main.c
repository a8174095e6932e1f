/* `detec-connector`: options, then one of: check, edit hosts, run. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "connector/hosts.h"
#include "connector/server.h"

#define EXIT_USAGE  2
#define CONFIG_FILE "/etc/detec/connector.conf"

static const char usage[] =
    "Usage: detec-connector [-c FILE] [--check]\n"
    "\n"
    "Logs hosts in, serves their names as a DNS zone, and brings two hosts together. Runs in the\n"
    "foreground and logs to stderr.\n"
    "\n"
    "Options:\n"
    "  -c, --config FILE  the configuration (default " CONFIG_FILE ")\n"
    "      --check        check the configuration, the key and the host database, and exit\n"
    "      --edit-hosts FILE\n"
    "                     answer requests of `detec host --database FILE` on standard input\n"
    "  -h, --help         show this help\n"
    "  -V, --version      show the version\n"
    "\n"
    "SIGTERM and SIGINT say goodbye to all hosts and exit; SIGHUP reads the configuration again.\n"
    "See detec-connector(8) and connector.conf(5).\n";

enum action { ACTION_RUN, ACTION_CHECK, ACTION_EDIT };

struct options {
    const char *config;
    const char *database;
    enum action action;
};

static int print(const char *text)
{
    return fputs(text, stdout) != EOF && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Returns -1 to go on, else the exit status. */
static int parse(int argc, char **argv, struct options *ret_options)
{
    enum { OPTION_CHECK = 256, OPTION_EDIT };
    static const struct option known[] = {
        {"config", required_argument, NULL, 'c'},
        {"check", no_argument, NULL, OPTION_CHECK},
        {"edit-hosts", required_argument, NULL, OPTION_EDIT},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "c:hV", known, NULL)) != -1) {
        switch (option) {
        case 'c':
            ret_options->config = optarg;
            break;
        case OPTION_CHECK:
            ret_options->action = ACTION_CHECK;
            break;
        case OPTION_EDIT:
            ret_options->action = ACTION_EDIT;
            ret_options->database = optarg;
            break;
        case 'h':
            return print(usage);
        case 'V':
            return print("detec-connector " DETEC_VERSION "\n");
        default:
            fputs("Try `detec-connector --help`.\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind == argc)
        return -1;
    fprintf(stderr, "detec-connector: unexpected argument: %s\nTry `detec-connector --help`.\n",
            argv[optind]);
    return EXIT_USAGE;
}

static int edit_hosts(const char *file)
{
    struct database *database = NULL;
    char text[256];
    int error = database_open(file, &database, text, sizeof text);
    if (error != ERR_OK) {
        /* As an answer: who asked is waiting for one. */
        json_t *answer = hosts_fail("host database %s: %s", file, text);
        (void)json_dumpf(answer, stdout, JSON_COMPACT);
        (void)print("\n");
        json_decref(answer);
        return EXIT_FAILURE;
    }
    error = hosts_serve(database, stdin, stdout);
    database_close(database);
    return error == ERR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct options options = {.config = CONFIG_FILE, .action = ACTION_RUN};
    struct connector_config config;
    signal(SIGPIPE, SIG_IGN);
    log_init("detec-connector", LOG_LEVEL_INFO);
    const int status = parse(argc, argv, &options);
    if (status >= 0)
        return status;
    if (options.action == ACTION_EDIT)
        return edit_hosts(options.database);
    if (connector_config_load(options.config, &config, stderr) != ERR_OK)
        return EXIT_FAILURE;
    log_set_level(config.log_level);
    const int error = options.action == ACTION_CHECK ? server_check(&config) : server_run(&config);
    return error == ERR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
