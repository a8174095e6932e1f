/* One run of `detec`: what was asked, where it is shown, and the commands by what they are about.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "cli/options.h"
#include "cli/output.h"

struct cli {
    struct options options;
    struct output output;
    FILE *in; /* answers to questions */
};

/* The table of all commands; ends with a NULL name. */
extern const struct command cli_commands[];

/* Each returns an enum exit_status, having told what failed. */
int keys_generate(struct cli *cli);
int keys_show_public(struct cli *cli);
int report_status(struct cli *cli);
int report_peers(struct cli *cli);
int netcheck_run(struct cli *cli);
int call_start(struct cli *cli);
int call_hang_up(struct cli *cli);
int call_ping(struct cli *cli);
int call_trust(struct cli *cli);
int hosts_add(struct cli *cli);
int hosts_remove(struct cli *cli);
int hosts_list(struct cli *cli);

#endif
