/* What speculation (engine/speculate.h) brings and costs: replies with it and without, in pairs one
 * after the other, so that a change of the machine's speed meets both. Each pair is also compared:
 * the texts are the same. */
#ifndef OLL_BENCH_BENCH_SPECULATE_H
#define OLL_BENCH_BENCH_SPECULATE_H

#include "bench/bench_stats.h"
#include "bench/bench_watch.h"

enum { BENCH_SPECULATE_ROUNDS_MAX = 1000 };

/* One kind of text; rates in tokens per second after the first token. */
struct bench_speculate_result {
    const char *name;
    uint32_t n_reply, n_drafted, n_accepted; /* of the last reply with speculation */
    struct bench_stats off, on;
    struct bench_stats gain; /* on / off, of each pair */
};

struct bench_speculate_params {
    const char *path;   /* of the model */
    const char *text;   /* name of the only text to be measured; NULL: all */
    uint32_t n_tokens;  /* most of a reply */
    uint32_t n_rounds;  /* pairs of each text */
    uint32_t n_clients; /* replies at the same time */
    int n_threads;
    const struct bench_watch *watch;
    void (*result)(void *ctx, const struct bench_speculate_result *result);
    void *ctx;
};

oll_status bench_speculate_run(const struct bench_speculate_params *params,
                               struct oll_error *err) OLL_MUST_USE;

#endif
