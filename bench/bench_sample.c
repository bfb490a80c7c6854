#include "bench/bench_sample.h"

#include "bench/bench_fill.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/oll.h"
#include "sampler/sampler.h"

#include <math.h>
#include <string.h>

enum { WARM_UP_ROUNDS = 5, N_LIKELY = 200, N_LAST = 64 };

/* ---- chains ---- */

static struct oll_sampler_params base_params(void)
{
    const struct oll_options o = oll_options_default();
    return (struct oll_sampler_params){.seed = 1,
                                       .temperature = o.temperature,
                                       .top_k = o.top_k,
                                       .top_p = o.top_p,
                                       .min_p = o.min_p,
                                       .typical_p = o.typical_p,
                                       .repeat_last_n = (uint32_t)o.repeat_last_n,
                                       .repeat_penalty = o.repeat_penalty,
                                       .presence_penalty = o.presence_penalty,
                                       .frequency_penalty = o.frequency_penalty};
}

static void make_default(struct oll_sampler_params *p) { (void)p; }
static void make_greedy(struct oll_sampler_params *p) { p->temperature = 0; }

/* No top_k: the filter over the whole vocabulary that costs most. */
static void make_top_p(struct oll_sampler_params *p)
{
    p->top_k = 0;
    p->top_p = 0.95f;
}

static void make_penalties(struct oll_sampler_params *p)
{
    p->repeat_penalty = 1.1f;
    p->repeat_last_n = N_LAST;
}

static const struct {
    const char *name;
    void (*make)(struct oll_sampler_params *p);
} chains[] = {{"default", make_default},
              {"greedy", make_greedy},
              {"top_p", make_top_p},
              {"penalties", make_penalties}};

/* ---- logits ---- */

/* A sum of four uniform values, near enough to a normal one; variance 1. */
static float bell(uint64_t *state)
{
    const uint64_t r = bench_random(state);
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (double)(r >> (16 * i) & 0xffff) / 65535.0 - 0.5;
    return (float)(sum * sqrt(3));
}

static void draw_logits(float *logits, uint32_t n, uint64_t *state)
{
    for (uint32_t i = 0; i < n; i++)
        logits[i] = 2 * bell(state);
    for (uint32_t i = 0; i < N_LIKELY; i++)
        logits[bench_random(state) % n] = 8 + 4 * bell(state);
}

/* ---- rounds ---- */

static oll_status time_rounds(struct oll_sampler *sampler, const struct bench_sample_params *params,
                              uint32_t n_vocab, float *logits, double *us, struct oll_error *err)
{
    uint64_t state = n_vocab;
    for (uint32_t i = 0; i < N_LAST; i++)
        oll_sampler_accept(sampler, (int32_t)(bench_random(&state) % n_vocab));
    for (uint32_t i = 0; i < params->n_rounds + WARM_UP_ROUNDS; i++) {
        if (bench_watch_aborted(params->watch))
            return OLL_FAIL(err, OLL_ERR_CANCELED, "stopped");
        draw_logits(logits, n_vocab, &state);
        const uint64_t start = oll_clock_ns();
        const int32_t token = oll_sampler_sample(sampler, logits);
        oll_sampler_accept(sampler, token);
        const uint64_t end = oll_clock_ns();
        if (token < 0 || (uint32_t)token >= n_vocab)
            return OLL_FAIL(err, OLL_ERR_INTERNAL, "token %d of %u was chosen", token, n_vocab);
        if (i >= WARM_UP_ROUNDS)
            us[i - WARM_UP_ROUNDS] = (double)(end - start) * 1e-3;
    }
    return OLL_OK;
}

static oll_status run_chain(const struct bench_sample_params *params, size_t i_chain,
                            uint32_t n_vocab, float *logits, double *us, struct oll_error *err)
{
    struct oll_sampler *sampler = NULL;
    struct oll_sampler_params p = base_params();
    struct bench_sample_result r = {.chain = chains[i_chain].name, .n_vocab = n_vocab};
    chains[i_chain].make(&p);
    bench_watch_show(params->watch, "%s, %u tokens", r.chain, n_vocab);
    OLL_TRY(oll_sampler_new(&p, n_vocab, &sampler, err));
    const oll_status status = time_rounds(sampler, params, n_vocab, logits, us, err);
    oll_sampler_free(sampler);
    bench_watch_show(params->watch, "%s", "");
    if (status != OLL_OK)
        return status;
    bench_stats_of(us, params->n_rounds, &r.us);
    r.p99_us = bench_percentile(us, params->n_rounds, 0.99);
    return params->result(params->ctx, &r, err);
}

oll_status bench_sample_run(const struct bench_sample_params *params, struct oll_error *err)
{
    static const uint32_t sizes[] = {32768, 131072, 262144};
    const uint32_t *n_vocabs = params->n_vocab ? &params->n_vocab : sizes;
    const size_t n_size = params->n_vocab ? 1 : sizeof sizes / sizeof sizes[0];
    if (params->n_rounds < 1 || params->n_rounds > BENCH_SAMPLE_ROUNDS_MAX)
        return OLL_FAIL(err, OLL_ERR_ARG, "%u rounds; 1 to %d are possible", params->n_rounds,
                        BENCH_SAMPLE_ROUNDS_MAX);
    float *logits = oll_alloc(n_vocabs[n_size - 1], sizeof *logits);
    double *us = oll_alloc(params->n_rounds, sizeof *us);
    oll_status status =
        logits && us ? OLL_OK : OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for the logits");
    for (size_t i = 0; i < n_size * (sizeof chains / sizeof chains[0]) && status == OLL_OK; i++)
        status = run_chain(params, i % (sizeof chains / sizeof chains[0]),
                           n_vocabs[i / (sizeof chains / sizeof chains[0])], logits, us, err);
    oll_free(logits);
    oll_free(us);
    return status;
}
