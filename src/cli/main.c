/* `detec`: finds the command and runs it. */
#include <signal.h>
#include <stdio.h>

#include "cli/cli.h"

static int run(struct cli *cli)
{
    const struct options *options = &cli->options;
    int status = EXIT_DONE;
    if ((options->given & OPTION_VERSION) != 0)
        fprintf(cli->output.out, "detec %s\n", DETEC_VERSION);
    else if ((options->given & OPTION_HELP) != 0)
        options_print_help(cli_commands, options->command, cli->output.out);
    else
        status = options->command->run(cli);
    return status;
}

int main(int argc, char **argv)
{
    struct cli cli = {.in = stdin};
    /* A closed pipe or connection is an error to be told, not a silent death. */
    signal(SIGPIPE, SIG_IGN);
    if (options_parse(argc, argv, cli_commands, stderr, &cli.options) != ERR_OK)
        return EXIT_USAGE;
    output_init(&cli.output, stdout, stderr);
    const int status = run(&cli);
    return output_flush(&cli.output) == ERR_OK ? status : EXIT_FAILED;
}
