/* Another program with the command line and JSON of llama-bench: run for one test, its speeds read.
 *
 * Tests of several sequences go to a program beside it whose name has "llama-batched-bench" for
 * "llama-bench"; that one measures once per run. */
#ifndef OLL_BENCH_BENCH_PEER_H
#define OLL_BENCH_BENCH_PEER_H

#include "bench/bench_plan.h"
#include "bench/bench_watch.h"

enum { BENCH_PEER_ARGS_MAX = 32, BENCH_PEER_SAMPLES_MAX = 1000 };

struct bench_peer {
    const char *path;        /* of the program */
    const char *model;       /* file */
    const char *const *more; /* further arguments, NULL-terminated; NULL: none */
    uint32_t n_repeat;
    const struct bench_watch *watch;
};

/* Runs the test; ts [BENCH_PEER_SAMPLES_MAX] gets *n speeds in tokens per second, at least one. The
 * program's standard error is dropped. OLL_ERR_NOT_FOUND when it cannot be started, OLL_ERR_FORMAT
 * when what it prints cannot be read, OLL_ERR_CANCELED. */
oll_status bench_peer_run(const struct bench_peer *peer, const struct bench_test *test, double *ts,
                          uint32_t *n, struct oll_error *err) OLL_MUST_USE;

/* Reads the speeds of a test from the text that the program printed: an array of llama-bench, or
 * lines of llama-batched-bench for several sequences. */
oll_status bench_peer_parse(const char *text, size_t n_text, const struct bench_test *test,
                            double *ts, uint32_t *n, struct oll_error *err) OLL_MUST_USE;

/* Splits text at blanks into a NULL-terminated list that is released with oll_free; NULL when out
 * of memory or when there are more than BENCH_PEER_ARGS_MAX words. */
char **bench_peer_words(const char *text);

#endif
