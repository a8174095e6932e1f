/* sim: runs worlds from seeds. A seed that breaks an invariant is printed with the command that
 * plays it again. */
#include "scenario.h"
#include "tunnel/rcu.h"
#include "tunnel/tunnel.h"
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct options {
    const struct scenario *scenario;
    uint64_t seed;
    uint64_t runs;
    bool has_trace, has_rows, runs_twice;
};

static int usage(void)
{
    fprintf(stderr,
            "usage: sim [--seed N] [--runs K] [--scenario NAME] [--trace] [--rows] "
            "[--twice]\n"
            "  --trace  prints all that happens (and what the daemons log)\n"
            "  --rows   a line for each pair of hosts: kinds, path, theory, ms to the first "
            "reply\n"
            "  --twice  runs each seed twice and compares\n"
            "scenarios:\n");
    for (size_t i = 0; scenario_at(i) != NULL; i++)
        fprintf(stderr, "  %-8s %s\n", scenario_at(i)->name, scenario_at(i)->text);
    return 2;
}

static bool parse(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {{"seed", required_argument, NULL, 's'},
                                          {"runs", required_argument, NULL, 'r'},
                                          {"scenario", required_argument, NULL, 'n'},
                                          {"trace", no_argument, NULL, 't'},
                                          {"rows", no_argument, NULL, 'o'},
                                          {"twice", no_argument, NULL, 'w'},
                                          {NULL, 0, NULL, 0}};
    *options = (struct options){.scenario = scenario_at(0), .seed = 1, .runs = 1};
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 's':
            options->seed = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            options->runs = strtoull(optarg, NULL, 10);
            break;
        case 'n':
            options->scenario = scenario_find(optarg);
            break;
        case 't':
            options->has_trace = true;
            break;
        case 'o':
            options->has_rows = true;
            break;
        case 'w':
            options->runs_twice = true;
            break;
        default:
            return false;
        }
    }
    return options->scenario != NULL && optind == argc;
}

/* True if all is well. */
static bool run_seed(const struct options *options, uint64_t seed)
{
    struct verdict verdict, again;
    FILE *rows = options->has_rows ? stdout : NULL;
    scenario_run(options->scenario, seed, options->has_trace, rows, &verdict);
    if (options->runs_twice && verdict.why[0] == '\0') {
        scenario_run(options->scenario, seed, false, NULL, &again);
        if (again.hash != verdict.hash || again.steps != verdict.steps)
            strcpy(verdict.why, "the same seed gave another course");
    }
    if (verdict.why[0] == '\0')
        return true;
    printf("seed %" PRIu64 " (%s), at %.3f s: %s\n  again: sim --scenario %s --seed %" PRIu64
           " --trace\n",
           seed, options->scenario->name, (double)verdict.end_us / SECOND_US, verdict.why,
           options->scenario->name, seed);
    fflush(stdout);
    return false;
}

int main(int argc, char **argv)
{
    struct options options;
    uint64_t failed = 0;
    if (!parse(argc, argv, &options))
        return usage();
    tunnel_thread_register();
    for (uint64_t i = 0; i < options.runs; i++)
        failed += !run_seed(&options, options.seed + i);
    tunnel_thread_unregister();
    printf("%" PRIu64 " runs, %" PRIu64 " failed\n", options.runs, failed);
    return failed == 0 ? 0 : 1;
}
