/* The binary `oll`: its commands in the order of the help text. */
#include "server/cli.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

extern const struct cli_command cli_serve;
extern const struct cli_command cli_create, cli_show, cli_link;
extern const struct cli_command cli_run;
extern const struct cli_command cli_pull, cli_push;
extern const struct cli_command cli_list, cli_cp, cli_rm;
extern const struct cli_command cli_ps, cli_stop, cli_help;
extern const struct cli_command cli_doctor, cli_completion, cli_man;
extern const struct cli_command cli_verify, cli_du, cli_prune, cli_export, cli_save, cli_load,
    cli_store_folder;
extern const struct cli_command cli_tokenize, cli_detokenize;
extern const struct cli_command cli_bench;
extern const struct cli_command cli_gguf;
extern const struct cli_command cli_template;
extern const struct cli_command cli_plan;
extern const struct cli_command cli_logits;
extern const struct cli_command cli_perplexity;
extern const struct cli_command cli_embed;
extern const struct cli_command cli_runner;

/* First those that Ollama has, in its order. */
const struct cli_command *const cli_commands[] = {
    &cli_serve,
    &cli_create,
    &cli_show,
    &cli_run,
    &cli_stop,
    &cli_pull,
    &cli_push,
    &cli_list,
    &cli_ps,
    &cli_cp,
    &cli_rm,
    &cli_help,
    /* The store of this machine. */
    &cli_verify,
    &cli_du,
    &cli_prune,
    &cli_export,
    &cli_link,
    &cli_save,
    &cli_load,
    &cli_store_folder,
    /* Tools. */
    &cli_embed,
    &cli_tokenize,
    &cli_detokenize,
    &cli_gguf,
    &cli_template,
    &cli_plan,
    &cli_logits,
    &cli_perplexity,
    &cli_bench,
    &cli_doctor,
    &cli_completion,
    &cli_man,
    &cli_runner,
    NULL,
};

/* Whether nobody reads the pipe any more, as after `oll list | head -1`. */
static bool reader_left(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP)) != 0;
}

int main(int argc, char **argv)
{
    /* A reader that goes away shows as a failed write, not as a signal. */
    signal(SIGPIPE, SIG_IGN);
    int code = cli_main(argc, argv);
    /* An answer that did not reach the disk is no success. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == 0 && !reader_left())
        code = cli_failf("standard output cannot be written; is the disk full?");
    return code;
}
