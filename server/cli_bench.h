/* What the commands of `oll bench` have in common. */
#ifndef OLL_SERVER_CLI_BENCH_H
#define OLL_SERVER_CLI_BENCH_H

#include "bench/bench_report.h"
#include "server/cli.h"

enum { CLI_BENCH_PATH_MAX = 2048 };

/* A watch whose progress line stands on standard error when that is a terminal, and that is told to
 * stop by the first Ctrl-C (the second one kills). */
void cli_bench_watch(struct bench_watch *watch);

/* Facts of this machine; `devices` and `isa` as given on the command line, NULL by default. The
 * struct borrows both. */
void cli_bench_machine(const char *devices, const char *isa, struct bench_machine *out);

/* "<folder of the variable, else home/fallback>/oll/<leaf>"; prints the error and returns false
 * when there is no home. */
bool cli_bench_folder(const char *variable, const char *fallback, const char *leaf,
                      char out[CLI_BENCH_PATH_MAX]);

/* Reads all values of a repeated list option into `list`, `fallback` when there are none; prints
 * the error and returns false. */
bool cli_bench_list(const struct cli_args *args, const char *name, uint32_t fallback, uint32_t min,
                    uint32_t max, struct bench_list *list);

/* Number of compute threads when none is given: physical cores. */
uint32_t cli_bench_threads(void);

/* What `oll bench MODEL` has read from its command line. */
struct cli_bench_setup {
    const struct cli_args *args;
    char *path; /* of the model file */
    struct bench_test *tests;
    uint32_t n_tests;
    struct bench_run_params run;
    struct bench_machine machine;
    enum bench_format format;
};

/* `oll bench MODEL --against PROGRAM`; returns the exit code. */
int cli_bench_against(struct cli_bench_setup *setup);

#endif
