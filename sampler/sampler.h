/* Sampler: from logits to the next token of one request.
 *
 * Order of the chain (what users of Ollama rely on): repeat, presence and frequency penalties over
 * the last `repeat_last_n` tokens -> top_k -> typical_p -> top_p -> min_p -> temperature -> draw.
 * Temperature comes last, so the filters see probabilities at temperature 1, taken anew over what
 * the filters before left; each keeps at least one token. A temperature of 0 or less takes the
 * largest logit after the penalties, ties to the lower id.
 *
 * The same seed, parameters and logits give the same tokens on every machine with IEEE arithmetic.
 * Cost is one scan of the logits and work on the few candidates that survive it; no sort of the
 * whole vocabulary. A sampler belongs to one thread at a time and does not allocate after
 * oll_sampler_new. */
#ifndef OLL_SAMPLER_SAMPLER_H
#define OLL_SAMPLER_SAMPLER_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { OLL_SAMPLER_NO_TOKEN = -1 };

struct oll_sampler_params {
    uint64_t seed;
    float temperature;                         /* <= 0: arg max */
    int32_t top_k;                             /* <= 0: off */
    float top_p;                               /* >= 1: off */
    float min_p;                               /* <= 0: off */
    float typical_p;                           /* >= 1: off */
    uint32_t repeat_last_n;                    /* tokens that the penalties look back; 0: off */
    float repeat_penalty;                      /* 1: off */
    float presence_penalty, frequency_penalty; /* 0: off */
};

struct oll_sampler;

/* `n_vocab`: number of logits that may be chosen (ids of padding rows lie beyond it). OLL_ERR_ARG
 * names a parameter that is not finite. */
oll_status oll_sampler_new(const struct oll_sampler_params *params, uint32_t n_vocab,
                           struct oll_sampler **out, struct oll_error *err) OLL_MUST_USE;
void oll_sampler_free(struct oll_sampler *s);

/* Tells the sampler about a token of the text so far: prompt tokens in order, then each sampled
 * one. */
void oll_sampler_accept(struct oll_sampler *s, int32_t token);

/* Chooses a token. logits [n_vocab] are changed by the penalties. Entries that are NaN or -inf are
 * never chosen; OLL_SAMPLER_NO_TOKEN when there is no other. */
int32_t oll_sampler_sample(struct oll_sampler *s, float *logits);

/* Chooses again from the same logits, of which some have become -inf since: the penalties, which
 * oll_sampler_sample has taken off, are not taken off twice. */
int32_t oll_sampler_redraw(struct oll_sampler *s, const float *logits);

/* ln(sum exp(logits[i])), NaN entries left out; -inf when there is nothing. */
double oll_logsumexp(const float *logits, uint32_t n);

/* The `k` largest logits, best first, ties to the lower id; returns how many there are (k, or fewer
 * when others are NaN or -inf). ids [k]. */
uint32_t oll_top_logits(const float *logits, uint32_t n, uint32_t k, int32_t *ids);

#endif
