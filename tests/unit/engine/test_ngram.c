/* The index of n-grams: small cases by hand, random texts against a search through all of the text.
 */
#include "engine/ngram.h"

#include "tests/testing.h"

#include <string.h>

static struct ngram_index make(uint32_t n_tokens)
{
    struct ngram_index ix;
    CHECK_OK(ngram_init(&ix, n_tokens, NULL));
    return ix;
}

TEST(a_new_text_has_no_source)
{
    const int32_t tokens[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct ngram_index ix = make(100);
    ngram_follow(&ix, tokens, 0);
    CHECK_EQ(ix.source, 0);
    for (uint32_t n = 1; n <= 9; n++) {
        ngram_follow(&ix, tokens, n);
        CHECK_EQ(ix.n, n);
        CHECK_EQ(ix.source, 0);
    }
    ngram_free(&ix);
}

TEST(the_source_goes_along_and_the_draft_follows_it)
{
    const int32_t tokens[] = {1, 2, 3, 4, 5, 9, 1, 2, 3, 4, 7};
    int32_t draft[4];
    struct ngram_index ix = make(100);
    ngram_follow(&ix, tokens, 7); /* one token alone is no n-gram */
    CHECK_EQ(ix.source, 0);
    ngram_follow(&ix, tokens, 8);
    CHECK_EQ(ix.source, 2);
    CHECK_EQ(ix.n_match, 2);
    ngram_draft(&ix, tokens, 4, draft);
    CHECK(draft[0] == 3 && draft[1] == 4 && draft[2] == 5 && draft[3] == 9);
    ngram_follow(&ix, tokens, 10);
    CHECK_EQ(ix.source, 4);
    CHECK_EQ(ix.n_match, 4);
    ngram_follow(&ix, tokens, 11); /* 7 came where 5 was */
    CHECK_EQ(ix.source, 0);
    CHECK_EQ(ix.n_match, 0);
    ngram_free(&ix);
}

TEST(a_draft_goes_round_where_the_text_repeats_itself)
{
    const int32_t tokens[] = {5, 1, 2, 1, 2};
    int32_t draft[5];
    struct ngram_index ix = make(100);
    ngram_follow(&ix, tokens, 5);
    CHECK_EQ(ix.source, 3);
    ngram_draft(&ix, tokens, 5, draft);
    CHECK(draft[0] == 1 && draft[1] == 2 && draft[2] == 1 && draft[3] == 2 && draft[4] == 1);
    ngram_free(&ix);
}

TEST(the_longest_match_counts_then_the_newest)
{
    const int32_t longest[] = {1, 2, 3, 9, 2, 3, 8, 0, 1, 2, 3};
    const int32_t newest[] = {2, 3, 9, 0, 2, 3, 8, 7, 2, 3};
    struct ngram_index ix = make(100);
    ngram_follow(&ix, longest, 11);
    CHECK_EQ(ix.source, 3);
    CHECK_EQ(ix.n_match, 3);
    ngram_clear(&ix);
    CHECK_EQ(ix.n, 0);
    ngram_follow(&ix, newest, 10);
    CHECK_EQ(ix.source, 6);
    ngram_free(&ix);
}

TEST(another_text_begins_with_nothing)
{
    const int32_t tokens[] = {1, 2, 3, 1, 2};
    struct ngram_index ix = make(100);
    ngram_follow(&ix, tokens, 5);
    CHECK_EQ(ix.source, 2);
    ngram_clear(&ix);
    ngram_follow(&ix, tokens + 3, 2);
    CHECK_EQ(ix.source, 0);
    ngram_free(&ix);
}

/* Length of the match of the two places. */
static uint32_t match(const int32_t *tokens, uint32_t place, uint32_t end)
{
    uint32_t n = 0;
    while (n < NGRAM_MATCH_MAX && n < place && tokens[place - 1 - n] == tokens[end - 1 - n])
        n++;
    return n;
}

/* In random texts of few different tokens a source is what it says, and there is one wherever the
 * last two tokens have been before; with a table that is far too small, only the former. */
static void random_text(uint32_t n_tokens, uint32_t n_kinds, uint32_t n_place, uint64_t seed)
{
    enum { N_MAX = 3000 };
    static int32_t tokens[N_MAX];
    struct ngram_index ix = make(n_place);
    uint32_t n_found = 0, n_missed = 0, n = 0;
    CHECK(n_tokens <= N_MAX);
    while (n < n_tokens) {
        /* Pieces of what was, and new tokens between them. */
        const uint32_t from = n ? (uint32_t)(testing_random(&seed) % n) : 0;
        const uint32_t n_piece = (uint32_t)(testing_random(&seed) % 20);
        for (uint32_t i = 0; i < n_piece && n < n_tokens; i++, n++)
            tokens[n] = n > from + i && testing_random(&seed) % 10
                            ? tokens[from + i]
                            : (int32_t)(testing_random(&seed) % n_kinds);
        if (testing_random(&seed) % 2)
            continue; /* several tokens at once */
        ngram_follow(&ix, tokens, n);
        CHECK(ix.n == n && ix.source < (n ? n : 1));
        bool is_known = false;
        for (uint32_t p = NGRAM_SHORTEST; p < n && !is_known; p++)
            is_known = match(tokens, p, n) >= NGRAM_SHORTEST;
        if (ix.source)
            CHECK_MSG(ix.n_match >= 1 && ix.n_match <= match(tokens, ix.source, n),
                      "place %u of %u: %u tokens, not %u", ix.source, n,
                      match(tokens, ix.source, n), ix.n_match);
        n_found += ix.source > 0;
        n_missed += is_known && !ix.source;
        CHECK(is_known || !ix.source || ix.n_match < NGRAM_SHORTEST);
    }
    CHECK_MSG(n_found > 0, "%u tokens of %u kinds: nothing found", n_tokens, n_kinds);
    if (n_place >= 8 * n_tokens)
        CHECK_MSG(n_missed <= n_found / 50, "%u missed, %u found", n_missed, n_found);
    ngram_free(&ix);
}

TEST(random_texts)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        random_text(600, 5 + (uint32_t)seed * 10, 65536, seed);
        random_text(3000, 1000, 1, seed);
    }
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
