/* Seeded generator: xoshiro256** by Blackman and Vigna (2018, https://prng.di.unimi.it), state
 * filled by SplitMix64 as its authors advise. */
#ifndef OLL_SAMPLER_RANDOM_H
#define OLL_SAMPLER_RANDOM_H

#include <stdint.h>

struct random_state {
    uint64_t s[4];
};

static inline void random_seed(struct random_state *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        r->s[i] = z ^ (z >> 31);
    }
}

static inline uint64_t random_rotl(uint64_t x, int k) { return x << k | x >> (64 - k); }

static inline uint64_t random_next(struct random_state *r)
{
    uint64_t *s = r->s, result = random_rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = random_rotl(s[3], 45);
    return result;
}

/* Uniform in [0, 1), 53 bits. */
static inline double random_unit(struct random_state *r)
{
    return (double)(random_next(r) >> 11) * 0x1p-53;
}

#endif
