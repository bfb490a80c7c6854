/* Two programs on the same tests, alternately: in every round each test runs with both, the first
 * one changing from round to round, since a machine's speed drifts. A round gives one ratio per
 * test; their median and a sign test say who is faster. */
#ifndef OLL_BENCH_BENCH_AGAINST_H
#define OLL_BENCH_BENCH_AGAINST_H

#include "bench/bench_peer.h"
#include "bench/bench_run.h"
#include "engine/base/strbuf.h"

enum { BENCH_ROUNDS_MAX = 100 };

struct bench_against_params {
    struct bench_run_params run; /* `result` and `ctx` are not used */
    struct bench_peer peer;      /* model and repetitions are taken from `run` */
    uint32_t n_rounds;
};

/* One test. Arrays hold a value per round: the median speed of its repetitions. */
struct bench_duel {
    const struct bench_test *test;
    uint32_t n; /* rounds done by both */
    double ours[BENCH_ROUNDS_MAX], theirs[BENCH_ROUNDS_MAX], ratios[BENCH_ROUNDS_MAX];
};

/* *out has one element per test of the run and is released with oll_free, also after
 * OLL_ERR_CANCELED, when it holds the rounds so far. */
oll_status bench_against(const struct bench_against_params *params, struct bench_duel **out,
                         struct oll_error *err) OLL_MUST_USE;

/* Summaries as a table or as JSON; `peer` is the name to print. */
void bench_against_table(const struct bench_duel *duels, uint32_t n, const char *peer,
                         struct oll_strbuf *out);
void bench_against_json(const struct bench_duel *duels, uint32_t n, const char *peer,
                        const char *model, struct oll_strbuf *out);

#endif
