#include "sampler/candidates.h"
#include "sampler/sampler.h"
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct oll_sampler_params PLAIN = {
    .temperature = 1, .top_p = 1, .typical_p = 1, .repeat_penalty = 1};

static struct oll_sampler *new_sampler(struct oll_sampler_params p, uint32_t n)
{
    struct oll_sampler *s = NULL;
    CHECK_OK(oll_sampler_new(&p, n, &s, NULL));
    return s;
}

TEST(arg_max_takes_the_lower_id_and_skips_nan)
{
    struct oll_sampler_params p = PLAIN;
    p.temperature = 0;
    struct oll_sampler *s = new_sampler(p, 5);
    float logits[] = {NAN, 1, 3, 3, -INFINITY};
    CHECK_EQ(oll_sampler_sample(s, logits), 2);
    float none[] = {NAN, -INFINITY, NAN, -INFINITY, NAN};
    CHECK_EQ(oll_sampler_sample(s, none), OLL_SAMPLER_NO_TOKEN);
    oll_sampler_free(s);
    s = new_sampler(PLAIN, 5);
    CHECK_EQ(oll_sampler_sample(s, none), OLL_SAMPLER_NO_TOKEN);
    oll_sampler_free(s);
}

/* Frequencies of 200,000 draws against the softmax. */
TEST(draws_follow_the_softmax)
{
    enum { N = 6, DRAWS = 200000 };
    const float logits[N] = {0.5f, -1, 2, 1.5f, 0, -3};
    struct oll_sampler_params p = PLAIN;
    p.temperature = 0.7f;
    p.seed = 42;
    struct oll_sampler *s = new_sampler(p, N);
    int counts[N] = {0};
    double sum = 0;
    for (int i = 0; i < DRAWS; i++) {
        float copy[N];
        memcpy(copy, logits, sizeof copy);
        counts[oll_sampler_sample(s, copy)]++;
    }
    for (int i = 0; i < N; i++)
        sum += exp((double)logits[i] / 0.7);
    for (int i = 0; i < N; i++) {
        double expected = exp((double)logits[i] / 0.7) / sum, got = counts[i] / (double)DRAWS;
        CHECK_MSG(fabs(got - expected) < 5 * sqrt(expected / DRAWS) + 1e-5,
                  "id %d: %f, expected %f", i, got, expected);
    }
    oll_sampler_free(s);
}

TEST(the_seed_decides)
{
    enum { N = 1000 };
    float logits[N], copy[N];
    uint64_t state = 1;
    for (int i = 0; i < N; i++)
        logits[i] = (float)(testing_random(&state) % 1000) / 200;
    struct oll_sampler_params p = PLAIN;
    p.top_k = 40;
    p.top_p = 0.9f;
    int same = 0, different = 0;
    p.seed = 7;
    struct oll_sampler *a = new_sampler(p, N), *b = new_sampler(p, N);
    p.seed = 8;
    struct oll_sampler *c = new_sampler(p, N);
    for (int i = 0; i < 100; i++) {
        memcpy(copy, logits, sizeof copy);
        int32_t x = oll_sampler_sample(a, copy);
        memcpy(copy, logits, sizeof copy);
        same += x == oll_sampler_sample(b, copy);
        memcpy(copy, logits, sizeof copy);
        different += x != oll_sampler_sample(c, copy);
    }
    CHECK_EQ(same, 100);
    CHECK(different > 50);
    oll_sampler_free(a);
    oll_sampler_free(b);
    oll_sampler_free(c);
}

/* Which ids can come out at all, over many draws. */
static uint64_t reachable(struct oll_sampler_params p, const float *logits, uint32_t n)
{
    struct oll_sampler *s = new_sampler(p, n);
    uint64_t set = 0;
    float copy[64];
    for (int i = 0; i < 20000; i++) {
        memcpy(copy, logits, n * sizeof *copy);
        set |= 1ull << oll_sampler_sample(s, copy);
    }
    oll_sampler_free(s);
    return set;
}

TEST(filters_keep_what_they_should)
{
    /* Probabilities 0.4 0.3 0.2 0.06 0.04, out of order. */
    const float logits[] = {logf(0.06f), logf(0.4f), logf(0.04f), logf(0.3f), logf(0.2f)};
    struct oll_sampler_params p = PLAIN;
    p.top_k = 2;
    CHECK_EQ(reachable(p, logits, 5), 1u << 1 | 1u << 3);
    p = PLAIN;
    p.top_p = 0.75f; /* 0.4 + 0.3 < 0.75: the third closes the set */
    CHECK_EQ(reachable(p, logits, 5), 1u << 1 | 1u << 3 | 1u << 4);
    p.top_k = 9; /* beyond the vocabulary: off */
    CHECK_EQ(reachable(p, logits, 5), 1u << 1 | 1u << 3 | 1u << 4);
    p.top_k = 4; /* 0.4, 0.3 of 0.96: still below 0.75 */
    CHECK_EQ(reachable(p, logits, 5), 1u << 1 | 1u << 3 | 1u << 4);
    p.top_k = 3; /* of 0.9: 0.778 */
    CHECK_EQ(reachable(p, logits, 5), 1u << 1 | 1u << 3);
    p = PLAIN;
    p.min_p = 0.4f; /* at least 0.16 */
    CHECK_EQ(reachable(p, logits, 5), 1u << 1 | 1u << 3 | 1u << 4);
    p = PLAIN;
    p.temperature = 5; /* the filters look at temperature 1 all the same */
    p.min_p = 0.4f;
    CHECK_EQ(reachable(p, logits, 5), 1u << 1 | 1u << 3 | 1u << 4);
    p = PLAIN;
    p.typical_p = 0.2f; /* entropy 1.357: surprise 1.204 of id 3 is nearest, it holds 0.3 */
    CHECK_EQ(reachable(p, logits, 5), 1u << 3);
    p.typical_p = 0.45f; /* next 1.609 of id 4 */
    CHECK_EQ(reachable(p, logits, 5), 1u << 3 | 1u << 4);
    p = PLAIN;
    p.top_p = 1e-6f;
    CHECK_EQ(reachable(p, logits, 5), 1u << 1);
}

TEST(penalties_by_hand)
{
    struct oll_sampler_params p = PLAIN;
    p.temperature = 0;
    p.repeat_last_n = 3;
    p.repeat_penalty = 2;
    p.presence_penalty = 0.5f;
    p.frequency_penalty = 0.25f;
    struct oll_sampler *s = new_sampler(p, 4);
    const int32_t text[] = {3, 0, 1, 1}; /* 3 has left the window */
    for (int i = 0; i < 4; i++)
        oll_sampler_accept(s, text[i]);
    float logits[] = {4, -1, 1.2f, 0};
    CHECK_EQ(oll_sampler_sample(s, logits), 0);
    CHECK_MSG(logits[0] == 4 / 2.0f - 0.25f - 0.5f, "%g", (double)logits[0]);
    CHECK_MSG(logits[1] == -1 * 2 - 2 * 0.25f - 0.5f, "%g", (double)logits[1]);
    CHECK(logits[2] == 1.2f && logits[3] == 0);
    oll_sampler_free(s);
}

static int compare_desc(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return x->id - y->id;
}

TEST(top_k_equals_a_full_sort)
{
    enum { N = 5000 };
    static float logits[N];
    static struct candidate all[N], v[2 * N];
    static float probs[N];
    static int32_t ids[N];
    uint64_t state = 3;
    for (int round = 0; round < 50; round++) {
        uint32_t n = 1 + (uint32_t)(testing_random(&state) % N);
        uint32_t k = 1 + (uint32_t)(testing_random(&state) % 300);
        for (uint32_t i = 0; i < n; i++) {
            logits[i] = (float)(testing_random(&state) % 997) - 400; /* many ties */
            all[i] = (struct candidate){logits[i], (int32_t)i};
        }
        qsort(all, n, sizeof *all, compare_desc);
        struct candidates c = {.v = v, .p = probs};
        candidates_top_k(&c, logits, n, k);
        uint32_t expected = k < n ? k : n;
        CHECK_EQ(c.n, expected);
        CHECK(memcmp(c.v, all, expected * sizeof *all) == 0);
        CHECK_EQ(oll_top_logits(logits, n, k, ids), expected);
        for (uint32_t i = 0; i < expected; i++)
            if (ids[i] != all[i].id) {
                CHECK_EQ(ids[i], all[i].id);
                break;
            }
    }
}

TEST(nucleus_equals_sorting_everything)
{
    enum { N = 3000 };
    static float logits[N], probs[N];
    static struct candidate all[N], v[2 * N];
    uint64_t state = 9;
    for (int round = 0; round < 30; round++) {
        float spread = (float)(1 + testing_random(&state) % 30);
        float top_p = (float)(1 + testing_random(&state) % 99) / 100;
        double total = 0, cumulative = 0;
        uint32_t expected = 0;
        for (uint32_t i = 0; i < N; i++) {
            logits[i] = (float)(testing_random(&state) % 10000) / 10000 * spread;
            all[i] = (struct candidate){logits[i], (int32_t)i};
        }
        qsort(all, N, sizeof *all, compare_desc);
        for (uint32_t i = 0; i < N; i++)
            total += (double)expf(all[i].logit - all[0].logit);
        while (expected < N && cumulative < (double)top_p * total)
            cumulative += (double)expf(all[expected++].logit - all[0].logit);
        struct candidates c = {.v = v, .p = probs};
        candidates_nucleus(&c, logits, N, top_p);
        /* Sums in another order: a token at the very edge may fall on either side. */
        CHECK_MSG(c.n + 1 >= expected && c.n <= expected + 1, "%u, expected %u", c.n, expected);
        CHECK(memcmp(c.v, all, (c.n < expected ? c.n : expected) * sizeof *all) == 0);
    }
}

TEST(bad_parameters_are_named)
{
    struct oll_error err = {0};
    struct oll_sampler *s = NULL;
    struct oll_sampler_params p = PLAIN;
    p.top_p = NAN;
    CHECK_STATUS(oll_sampler_new(&p, 5, &s, &err), OLL_ERR_ARG);
    CHECK_STR(err.text, "top_p: not a finite number");
    p = PLAIN;
    p.repeat_penalty = 0;
    CHECK_STATUS(oll_sampler_new(&p, 5, &s, NULL), OLL_ERR_ARG);
}

TEST(logsumexp_by_hand)
{
    const float logits[] = {1, 2, NAN, -INFINITY, 1000};
    CHECK(fabs(oll_logsumexp(logits, 2) - log(exp(1) + exp(2))) < 1e-6);
    CHECK(fabs(oll_logsumexp(logits, 5) - 1000) < 1e-6);
    CHECK(oll_logsumexp(logits + 2, 2) == -INFINITY);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
