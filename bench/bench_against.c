#include "bench/bench_against.h"

#include "bench/bench_stats.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"

#include <stdio.h>
#include <string.h>

/* ---- rounds ---- */

static oll_status keep_median(void *ctx, const struct bench_result *result, struct oll_error *err)
{
    (void)err;
    *(double *)ctx = result->samples->speed.median;
    return OLL_OK;
}

/* The model is loaded for the test and given back, as the other program does. */
static oll_status run_ours(const struct bench_against_params *params, const struct bench_test *test,
                           double *speed, struct oll_error *err)
{
    struct bench_run_params run = params->run;
    run.tests = test;
    run.n_tests = 1;
    run.n_first = 0;
    run.no_peak = true;
    run.result = keep_median;
    run.ctx = speed;
    return bench_run(&run, err);
}

static oll_status run_theirs(const struct bench_against_params *params,
                             const struct bench_test *test, double *speed, struct oll_error *err)
{
    struct bench_peer peer = params->peer;
    struct bench_stats stats;
    uint32_t n = 0;
    double *ts = oll_alloc(BENCH_PEER_SAMPLES_MAX, sizeof *ts);
    if (!ts)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    peer.model = params->run.path;
    peer.n_repeat = params->run.repeat.n;
    peer.watch = params->run.watch;
    const oll_status status = bench_peer_run(&peer, test, ts, &n, err);
    if (status == OLL_OK) {
        bench_stats_of(ts, n, &stats);
        *speed = stats.median;
    }
    oll_free(ts);
    return status;
}

static oll_status run_duel(const struct bench_against_params *params, uint32_t round,
                           struct bench_duel *duel, struct oll_error *err)
{
    const bool ours_first = round % 2 == 0;
    char name[BENCH_TEST_NAME_MAX];
    double speeds[2] = {0, 0}; /* ours, theirs */
    bench_test_name(duel->test, name);
    for (int i = 0; i < 2; i++) {
        const bool is_ours = (i == 0) == ours_first;
        bench_watch_show(params->run.watch, "round %u of %u: %s, %s", round + 1, params->n_rounds,
                         name, is_ours ? "oll" : params->peer.path);
        OLL_TRY(is_ours ? run_ours(params, duel->test, &speeds[0], err)
                        : run_theirs(params, duel->test, &speeds[1], err));
    }
    if (!(speeds[0] > 0) || !(speeds[1] > 0))
        return OLL_FAIL(err, OLL_ERR_INTERNAL, "%s: a speed of 0", name);
    duel->ours[duel->n] = speeds[0];
    duel->theirs[duel->n] = speeds[1];
    duel->ratios[duel->n++] = speeds[0] / speeds[1];
    return OLL_OK;
}

oll_status bench_against(const struct bench_against_params *params, struct bench_duel **out,
                         struct oll_error *err)
{
    if (params->n_rounds < 1 || params->n_rounds > BENCH_ROUNDS_MAX)
        return OLL_FAIL(err, OLL_ERR_ARG, "%u rounds; 1 to %d are possible", params->n_rounds,
                        BENCH_ROUNDS_MAX);
    struct bench_duel *duels = oll_calloc(params->run.n_tests, sizeof *duels);
    if (!duels)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    oll_status status = OLL_OK;
    for (uint32_t i = 0; i < params->run.n_tests; i++)
        duels[i].test = &params->run.tests[i];
    for (uint32_t r = 0; r < params->n_rounds && status == OLL_OK; r++)
        for (uint32_t i = 0; i < params->run.n_tests && status == OLL_OK; i++)
            status = run_duel(params, r, &duels[i], err);
    bench_watch_show(params->run.watch, "%s", "");
    if (status == OLL_OK || status == OLL_ERR_CANCELED)
        *out = duels;
    else
        oll_free(duels);
    return status;
}

/* ---- summaries ---- */

struct summary {
    struct bench_stats ours, theirs, ratio;
    uint32_t n_won, n_lost;
    double sign_p;
};

static void summarise(const struct bench_duel *duel, struct summary *s)
{
    double values[BENCH_ROUNDS_MAX];
    memset(s, 0, sizeof *s);
    memcpy(values, duel->ours, duel->n * sizeof *values);
    bench_stats_of(values, duel->n, &s->ours);
    memcpy(values, duel->theirs, duel->n * sizeof *values);
    bench_stats_of(values, duel->n, &s->theirs);
    memcpy(values, duel->ratios, duel->n * sizeof *values);
    bench_stats_of(values, duel->n, &s->ratio);
    for (uint32_t i = 0; i < duel->n; i++) {
        s->n_won += duel->ratios[i] > 1;
        s->n_lost += duel->ratios[i] < 1;
    }
    s->sign_p = bench_sign_p(s->n_won, s->n_lost);
}

void bench_against_table(const struct bench_duel *duels, uint32_t n, const char *peer,
                         struct oll_strbuf *out)
{
    oll_strbuf_printf(out,
                      "Tokens per second: median (smallest to largest) over rounds; ratio of oll "
                      "to %s.\n\n"
                      "| test                 | threads |                        oll |"
                      "                       peer | ratio |    spread    |   won |     p |\n"
                      "| -------------------- | ------: | -------------------------: |"
                      " -------------------------: | ----: | -----------: | ----: | ----: |\n",
                      peer);
    for (uint32_t i = 0; i < n; i++) {
        struct summary s;
        char name[BENCH_TEST_NAME_MAX], ours[64], theirs[64], spread[32], won[16];
        if (duels[i].n == 0)
            continue;
        summarise(&duels[i], &s);
        bench_test_name(duels[i].test, name);
        snprintf(ours, sizeof ours, "%.1f (%.1f to %.1f)", s.ours.median, s.ours.min, s.ours.max);
        snprintf(theirs, sizeof theirs, "%.1f (%.1f to %.1f)", s.theirs.median, s.theirs.min,
                 s.theirs.max);
        snprintf(spread, sizeof spread, "%.2f to %.2f", s.ratio.min, s.ratio.max);
        snprintf(won, sizeof won, "%u/%u", s.n_won, duels[i].n);
        oll_strbuf_printf(out, "| %-20s | %7u | %26s | %26s | %5.2f | %12s | %5s | %5.3f |\n", name,
                          duels[i].test->n_threads, ours, theirs, s.ratio.median, spread, won,
                          s.sign_p);
    }
}

static void put_stats(struct oll_json_writer *w, const char *key, const double *values,
                      const struct bench_stats *stats, uint32_t n)
{
    oll_json_write_key(w, key);
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "median");
    oll_json_write_double(w, stats->median);
    oll_json_write_key(w, "min");
    oll_json_write_double(w, stats->min);
    oll_json_write_key(w, "max");
    oll_json_write_double(w, stats->max);
    oll_json_write_key(w, "rounds");
    oll_json_write_array_begin(w);
    for (uint32_t i = 0; i < n; i++)
        oll_json_write_double(w, values[i]);
    oll_json_write_array_end(w);
    oll_json_write_object_end(w);
}

static void put_uint(struct oll_json_writer *w, const char *key, uint32_t value)
{
    oll_json_write_key(w, key);
    oll_json_write_uint(w, value);
}

static void put_duel(struct oll_json_writer *w, const struct bench_duel *duel)
{
    const struct bench_test *t = duel->test;
    struct summary s;
    char name[BENCH_TEST_NAME_MAX];
    summarise(duel, &s);
    bench_test_name(t, name);
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "test");
    oll_json_write_str(w, name);
    put_uint(w, "n_prompt", t->n_prompt);
    put_uint(w, "n_gen", t->n_gen);
    put_uint(w, "n_depth", t->n_depth);
    put_uint(w, "n_parallel", t->n_parallel);
    put_uint(w, "n_threads", t->n_threads);
    put_uint(w, "n_ubatch", t->n_ubatch);
    put_stats(w, "oll", duel->ours, &s.ours, duel->n);
    put_stats(w, "peer", duel->theirs, &s.theirs, duel->n);
    put_stats(w, "ratio", duel->ratios, &s.ratio, duel->n);
    put_uint(w, "n_won", s.n_won);
    put_uint(w, "n_lost", s.n_lost);
    oll_json_write_key(w, "sign_p");
    oll_json_write_double(w, s.sign_p);
    oll_json_write_object_end(w);
}

void bench_against_json(const struct bench_duel *duels, uint32_t n, const char *peer,
                        const char *model, struct oll_strbuf *out)
{
    struct oll_json_writer w;
    oll_json_write_init(&w, out);
    w.keep_html = true;
    w.indent = 2;
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "model_filename");
    oll_json_write_str(&w, model);
    oll_json_write_key(&w, "peer");
    oll_json_write_str(&w, peer);
    oll_json_write_key(&w, "tests");
    oll_json_write_array_begin(&w);
    for (uint32_t i = 0; i < n; i++)
        if (duels[i].n > 0)
            put_duel(&w, &duels[i]);
    oll_json_write_array_end(&w);
    oll_json_write_object_end(&w);
    oll_strbuf_addc(out, '\n');
}
