/* detecd: options, then one of: check, guard, cleanup, run. */
#include "host/bringup.h"
#include "host/host.h"
#include "host/upnp_helper.h"
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2

static const char USAGE[] =
    "usage: detecd [-c FILE] [--check | --guard | --cleanup]\n"
    "\n"
    "Reaches any host by its name, end-to-end encrypted, behind any NAT; and is reached so.\n"
    "Runs in the foreground and logs to stderr.\n"
    "\n"
    "  -c, --config FILE  configuration (default /etc/detec/detec.conf)\n"
    "      --check        check the configuration and exit\n"
    "      --guard        set up the leak guard (at boot, before the network) and exit\n"
    "      --cleanup      remove everything a detecd that is gone has left, the leak guard too\n"
    "      --export-keys FILE  write the keys of all tunnels to FILE, for debugging (whoever "
    "reads\n"
    "                     it reads the traffic)\n"
    "  -h, --help         this text\n"
    "  -V, --version      version\n"
    "\n"
    "SIGTERM and SIGINT log out and exit; SIGHUP reads [allow] anew. See detecd(8), "
    "detec.conf(5).\n";

enum action { ACTION_RUN, ACTION_CHECK, ACTION_GUARD, ACTION_CLEANUP };

static int run(enum action action, const char *file, const char *export_file)
{
    struct host_config *config = calloc(1, sizeof(*config));
    if (config == NULL)
        return EXIT_FAILURE;
    int error = host_config_load(file, config, stderr);
    if (error == ERR_OK) {
        log_set_level((enum log_level)config->log_level);
        switch (action) {
        case ACTION_RUN:
            error = host_run(config, export_file);
            break;
        case ACTION_CHECK:
            error = host_check(config);
            break;
        case ACTION_GUARD:
            error = host_guard(config);
            break;
        case ACTION_CLEANUP:
            error = host_cleanup(config);
            break;
        }
    }
    host_config_done(config);
    free(config);
    return error == ERR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    enum { OPTION_CHECK = 256, OPTION_GUARD, OPTION_CLEANUP, OPTION_EXPORT };
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"check", no_argument, NULL, OPTION_CHECK},
        {"guard", no_argument, NULL, OPTION_GUARD},
        {"cleanup", no_argument, NULL, OPTION_CLEANUP},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {"export-keys", required_argument, NULL, OPTION_EXPORT},
        {NULL, 0, NULL, 0},
    };
    const char *export_file = NULL;
    const char *file = "/etc/detec/detec.conf";
    enum action action = ACTION_RUN;
    unsigned actions = 0;
    log_init("detecd", LOG_LEVEL_INFO);
    signal(SIGPIPE, SIG_IGN); /* who hangs up on us must not end us */
    if (argc > 1 && strcmp(argv[1], UPNP_HELPER_OPTION) == 0)
        return upnp_helper_main(argc - 2, argv + 2);
    for (int option; (option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            file = optarg;
            break;
        case OPTION_CHECK:
        case OPTION_GUARD:
        case OPTION_CLEANUP:
            action = (enum action)(option - OPTION_CHECK + ACTION_CHECK);
            actions++;
            break;
        case OPTION_EXPORT:
            export_file = optarg;
            break;
        case 'h':
            fputs(USAGE, stdout);
            return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        case 'V':
            puts("detecd " DETEC_VERSION);
            return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        default:
            fputs("Try `detecd --help`.\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc || actions > 1) {
        if (optind < argc)
            fprintf(stderr, "detecd: unexpected argument: %s\n", argv[optind]);
        else
            fputs("detecd: only one of --check, --guard and --cleanup at a time\n", stderr);
        fputs("Try `detecd --help`.\n", stderr);
        return EXIT_USAGE;
    }
    return run(action, file, export_file);
}
