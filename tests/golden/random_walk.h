/* Random walks through a constraint, byte by byte. */
#ifndef OLL_TESTS_GOLDEN_RANDOM_WALK_H
#define OLL_TESTS_GOLDEN_RANDOM_WALK_H

#include "engine/base/strbuf.h"
#include "sampler/constraint.h"
#include "tests/testing.h"

struct walk {
    struct oll_constraint *c;
    const struct oll_token_trie *trie; /* of the vocabulary, or of nothing */
    const struct oll_tokenizer *tok;   /* NULL: by bytes */
    struct oll_strbuf text;
    uint64_t random;
    const char *markers[2]; /* what ends free text, tried now and then; NULL: nothing does */
    const char *pending;    /* rest of the marker that is being tried */
};

static inline uint32_t walk_draw(struct walk *w, uint32_t n)
{
    return (uint32_t)(testing_random(&w->random) % n);
}

static inline bool walk_has(const uint64_t *bits, uint32_t i)
{
    return bits[i >> 6] >> (i & 63) & 1;
}

/* One byte further: more often one of `closers`, the longer the text. False: there is none. */
bool walk_byte(struct walk *w, const char *closers);

#endif
