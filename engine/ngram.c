#include "engine/ngram.h"

#include "engine/base/mem.h"

#include <string.h>

enum { PLACES_MIN = 64, PLACES_MAX = 1 << 16 };

static const uint32_t orders[NGRAM_ORDERS] = {NGRAM_SHORTEST, 3, 4, 8};

oll_status ngram_init(struct ngram_index *ix, uint32_t n_tokens, struct oll_error *err)
{
    *ix = (struct ngram_index){.n_place = PLACES_MIN};
    while (ix->n_place < n_tokens && ix->n_place < PLACES_MAX)
        ix->n_place *= 2;
    ix->places = oll_calloc((size_t)NGRAM_ORDERS * ix->n_place, sizeof *ix->places);
    if (!ix->places)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for an index of %u places", ix->n_place);
    return OLL_OK;
}

void ngram_free(struct ngram_index *ix)
{
    oll_free(ix->places);
    *ix = (struct ngram_index){0};
}

void ngram_clear(struct ngram_index *ix)
{
    if (ix->n > 0)
        memset(ix->places, 0, (size_t)NGRAM_ORDERS * ix->n_place * sizeof *ix->places);
    ix->n = ix->source = ix->n_match = 0;
}

/* The places of the n-grams that end before `end`, one for each order that fits. The hash of an
 * order is that of the shorter ones gone on. */
static int places_of(const struct ngram_index *ix, const int32_t *tokens, uint32_t end,
                     uint32_t *out[NGRAM_ORDERS])
{
    uint64_t hash = 0;
    uint32_t n = 0;
    int i = 0;
    for (; i < NGRAM_ORDERS && orders[i] <= end; i++) {
        for (; n < orders[i]; n++)
            hash = (hash + (uint32_t)tokens[end - 1 - n] + 1) * 0x9E3779B97F4A7C15u;
        /* The upper bits of a product depend on all of its factor. */
        out[i] = &ix->places[(size_t)i * ix->n_place + ((hash >> 32) & (ix->n_place - 1))];
    }
    return i;
}

/* Tokens before both places that agree. */
static uint32_t match_of(const int32_t *tokens, uint32_t place, uint32_t end)
{
    uint32_t n = 0;
    while (n < NGRAM_MATCH_MAX && n < place && tokens[place - 1 - n] == tokens[end - 1 - n])
        n++;
    return n;
}

/* The longest match counts; of equal ones the source at hand, then the newest. */
static void look_up(struct ngram_index *ix, const int32_t *tokens, uint32_t end)
{
    uint32_t *places[NGRAM_ORDERS];
    if (ix->n_match == NGRAM_MATCH_MAX)
        return;
    for (int i = places_of(ix, tokens, end, places) - 1; i >= 0; i--) {
        const uint32_t n_match = *places[i] ? match_of(tokens, *places[i], end) : 0;
        if (n_match < orders[i]) /* another n-gram has taken its place */
            continue;
        if (n_match > ix->n_match) {
            ix->source = *places[i];
            ix->n_match = n_match;
        }
        return;
    }
}

void ngram_follow(struct ngram_index *ix, const int32_t *tokens, uint32_t n)
{
    uint32_t *places[NGRAM_ORDERS];
    if (ix->n >= n)
        return;
    for (; ix->n < n; ix->n++) {
        /* What ends before this token goes on with it. */
        for (int i = places_of(ix, tokens, ix->n, places) - 1; i >= 0; i--)
            *places[i] = ix->n;
        if (ix->source && tokens[ix->source] == tokens[ix->n]) {
            ix->source++;
            ix->n_match += ix->n_match < NGRAM_MATCH_MAX;
        } else {
            ix->source = ix->n_match = 0;
        }
    }
    look_up(ix, tokens, n);
}

void ngram_draft(const struct ngram_index *ix, const int32_t *tokens, uint32_t n_draft,
                 int32_t *draft)
{
    const uint32_t n_left = ix->n - ix->source;
    for (uint32_t i = 0; i < n_draft; i++)
        draft[i] = i < n_left ? tokens[ix->source + i] : draft[i - n_left];
}
