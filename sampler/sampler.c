#include "sampler/sampler.h"

#include "engine/base/mem.h"
#include "sampler/candidates.h"
#include "sampler/random.h"

#include <math.h>
#include <string.h>

struct oll_sampler {
    struct oll_sampler_params params;
    uint32_t n_vocab;
    struct random_state random;
    struct candidates candidates;
    /* The last repeat_last_n tokens, a ring, and how often each id stands in it. */
    int32_t *recent;
    uint32_t recent_n, recent_next;
    uint32_t *counts; /* [n_vocab], NULL when the penalties are off */
};

static bool penalties_on(const struct oll_sampler_params *p)
{
    return p->repeat_last_n > 0 &&
           (p->repeat_penalty != 1 || p->presence_penalty != 0 || p->frequency_penalty != 0);
}

static oll_status check_params(const struct oll_sampler_params *p, struct oll_error *err)
{
    const struct {
        const char *name;
        float value;
    } floats[] = {
        {"temperature", p->temperature},
        {"top_p", p->top_p},
        {"min_p", p->min_p},
        {"typical_p", p->typical_p},
        {"repeat_penalty", p->repeat_penalty},
        {"presence_penalty", p->presence_penalty},
        {"frequency_penalty", p->frequency_penalty},
    };
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        if (!isfinite(floats[i].value))
            return OLL_FAIL(err, OLL_ERR_ARG, "%s: not a finite number", floats[i].name);
    if (p->repeat_penalty <= 0)
        return OLL_FAIL(err, OLL_ERR_ARG, "repeat_penalty: must be above 0");
    return OLL_OK;
}

oll_status oll_sampler_new(const struct oll_sampler_params *params, uint32_t n_vocab,
                           struct oll_sampler **out, struct oll_error *err)
{
    OLL_TRY(check_params(params, err));
    if (n_vocab == 0)
        return OLL_FAIL(err, OLL_ERR_ARG, "the vocabulary is empty");
    struct oll_sampler *s = oll_calloc(1, sizeof *s);
    if (!s)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a sampler");
    s->params = *params;
    s->n_vocab = n_vocab;
    random_seed(&s->random, params->seed);
    s->candidates.v = oll_alloc(2 * (size_t)n_vocab, sizeof *s->candidates.v);
    s->candidates.p = oll_alloc(n_vocab, sizeof *s->candidates.p);
    bool ok = s->candidates.v && s->candidates.p;
    if (ok && penalties_on(params)) {
        s->recent = oll_alloc(params->repeat_last_n, sizeof *s->recent);
        s->counts = oll_calloc(n_vocab, sizeof *s->counts);
        ok = s->recent && s->counts;
    }
    if (!ok) {
        oll_sampler_free(s);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a sampler of %u tokens", n_vocab);
    }
    *out = s;
    return OLL_OK;
}

void oll_sampler_free(struct oll_sampler *s)
{
    if (!s)
        return;
    oll_free(s->candidates.v);
    oll_free(s->candidates.p);
    oll_free(s->recent);
    oll_free(s->counts);
    oll_free(s);
}

void oll_sampler_accept(struct oll_sampler *s, int32_t token)
{
    if (!s->counts || token < 0 || (uint32_t)token >= s->n_vocab)
        return;
    if (s->recent_n == s->params.repeat_last_n)
        s->counts[s->recent[s->recent_next]]--;
    else
        s->recent_n++;
    s->recent[s->recent_next] = token;
    s->counts[token]++;
    s->recent_next = (s->recent_next + 1) % s->params.repeat_last_n;
}

/* Repeat penalty: Keskar et al. 2019 (arXiv:1909.05858), with the sign rule that makes it lower
 * negative logits too. Presence and frequency: as OpenAI's API describes them. Each distinct token
 * of the window is changed once: its count is taken at the first visit, marked by the top bit until
 * the second loop clears the marks. */
static void apply_penalties(struct oll_sampler *s, float *logits)
{
    const uint32_t done = 0x80000000u;
    const struct oll_sampler_params *p = &s->params;
    for (uint32_t i = 0; i < s->recent_n; i++) {
        int32_t id = s->recent[i];
        uint32_t count = s->counts[id];
        if (count & done)
            continue;
        s->counts[id] |= done;
        float x = logits[id];
        x = x > 0 ? x / p->repeat_penalty : x * p->repeat_penalty;
        logits[id] = x - (float)count * p->frequency_penalty - p->presence_penalty;
    }
    for (uint32_t i = 0; i < s->recent_n; i++)
        s->counts[s->recent[i]] &= ~done;
}

static int32_t arg_max(const float *logits, uint32_t n)
{
    int32_t best = OLL_SAMPLER_NO_TOKEN;
    float max = -INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        if (logits[i] > max) {
            max = logits[i];
            best = (int32_t)i;
        }
    }
    return best;
}

int32_t oll_sampler_sample(struct oll_sampler *s, float *logits)
{
    if (s->counts)
        apply_penalties(s, logits);
    return oll_sampler_redraw(s, logits);
}

int32_t oll_sampler_redraw(struct oll_sampler *s, const float *logits)
{
    const struct oll_sampler_params *p = &s->params;
    struct candidates *c = &s->candidates;
    if (p->temperature <= 0)
        return arg_max(logits, s->n_vocab);
    bool whole = p->top_k <= 0 || (uint32_t)p->top_k >= s->n_vocab;
    bool nucleus = whole && p->typical_p >= 1 && p->top_p < 1;
    if (nucleus)
        candidates_nucleus(c, logits, s->n_vocab, p->top_p);
    else if (whole)
        candidates_all(c, logits, s->n_vocab);
    else
        candidates_top_k(c, logits, s->n_vocab, (uint32_t)p->top_k);
    if (c->n == 0)
        return OLL_SAMPLER_NO_TOKEN;
    candidates_typical_p(c, p->typical_p);
    if (!nucleus) /* else it was cut when it was gathered */
        candidates_top_p(c, p->top_p);
    candidates_min_p(c, p->min_p);
    return candidates_draw(c, p->temperature, random_unit(&s->random));
}

double oll_logsumexp(const float *logits, uint32_t n)
{
    float max = -INFINITY;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        max = logits[i] > max ? logits[i] : max;
    if (!(max > -INFINITY))
        return -INFINITY;
    for (uint32_t i = 0; i < n; i++)
        if (logits[i] > -INFINITY)
            sum += (double)expf(logits[i] - max);
    return (double)max + log(sum);
}

uint32_t oll_top_logits(const float *logits, uint32_t n, uint32_t k, int32_t *ids)
{
    /* k is small (20 at most in the APIs): insertion into a short sorted list. */
    uint32_t have = 0;
    for (uint32_t i = 0; i < n && k > 0; i++) {
        if (!(logits[i] > -INFINITY) || (have == k && !(logits[i] > logits[ids[k - 1]])))
            continue;
        uint32_t at = have < k ? have++ : k - 1;
        for (; at > 0 && logits[ids[at - 1]] < logits[i]; at--)
            ids[at] = ids[at - 1];
        ids[at] = (int32_t)i;
    }
    return have;
}
