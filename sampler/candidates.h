/* Candidates: the tokens that are still in the race, and the filters that thin them out. */
#ifndef OLL_SAMPLER_CANDIDATES_H
#define OLL_SAMPLER_CANDIDATES_H

#include <stdbool.h>
#include <stdint.h>

struct candidate {
    float logit;
    int32_t id;
};

struct candidates {
    struct candidate *v; /* room for twice the vocabulary: filters use what lies behind n */
    float *p;            /* scratch of the filters: probabilities or scores, same length as v */
    uint32_t n;
    bool sorted; /* best first */
};

/* Fills c with the k best of logits[0..n), sorted; NaN and -inf never get in. */
void candidates_top_k(struct candidates *c, const float *logits, uint32_t n, uint32_t k);
/* Fills c with all, in the order of their ids. */
void candidates_all(struct candidates *c, const float *logits, uint32_t n);
/* Fills c, sorted, with at least the smallest set of best tokens that holds the share `top_p` of
 * the probability of all; usually a few dozen more. */
void candidates_nucleus(struct candidates *c, const float *logits, uint32_t n, float top_p);
void candidates_sort(struct candidates *c);

/* Locally typical sampling, Meister et al. 2022 (arXiv:2202.00666): keeps the tokens whose surprise
 * is nearest to the entropy until they hold `typical_p`. */
void candidates_typical_p(struct candidates *c, float typical_p);
/* Nucleus sampling, Holtzman et al. 2019 (arXiv:1904.09751): the best tokens until they hold
 * `top_p`. */
void candidates_top_p(struct candidates *c, float top_p);
/* Min-p, Nguyen et al. 2024 (arXiv:2407.01082): tokens at least `min_p` times as likely as the
 * best. */
void candidates_min_p(struct candidates *c, float min_p);

/* Draws by softmax(logit / temperature); `u` is uniform in [0, 1). */
int32_t candidates_draw(struct candidates *c, float temperature, double u);

#endif
