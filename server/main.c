/* The binary `oll`: its commands in the order of the help text. */
#include "server/cli.h"

#include <signal.h>

const struct cli_command *const cli_commands[] = {
    0,
};

int main(int argc, char **argv)
{
    /* A reader that goes away shows as a failed write, not as a signal. */
    signal(SIGPIPE, SIG_IGN);
    return cli_main(argc, argv);
}
