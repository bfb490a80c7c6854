/* `oll runner`: the process of one loaded model, started by the server. */
#include "server/cli.h"
#include "server/runner_child.h"

static int run_runner(const struct cli_args *args)
{
    (void)args;
    if (runner_child_run(RUNNER_CHILD_FD) != 0)
        return cli_failf("this command is started by the server, with a socket");
    return 0;
}

const struct cli_command cli_runner = {
    .name = "runner",
    .usage = "",
    .summary = "Run one model for a server",
    .hidden = true,
    .run = run_runner,
};
