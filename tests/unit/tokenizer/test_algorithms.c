/* The algorithms against their definitions, on random vocabularies and texts: the cuts and the
 * shortcuts of the encoder must not show. */
#include "tests/unit/tokenizer/forge_vocab.h"

#include "engine/base/mem.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_TOKENS = 60, MAX_WORD = 5, MAX_TEXT = 90 };

/* A vocabulary of the letters a, b and c, the blank (spelled ' ' here) and words of them. */
struct words {
    char words[MAX_TOKENS][MAX_WORD + 1];
    float scores[MAX_TOKENS];
    int n;
};

static int find_word(const struct words *v, const char *p, size_t n)
{
    for (int i = 0; i < v->n; i++)
        if (strlen(v->words[i]) == n && memcmp(v->words[i], p, n) == 0)
            return i;
    return -1;
}

static void random_words(struct words *v, uint64_t *seed)
{
    static const char letters[] = "abc ";
    int n_wanted = 4 + (int)(testing_random(seed) % (MAX_TOKENS - 4));
    v->n = 0;
    for (int i = 0; i < 4; i++) {
        v->words[v->n][0] = letters[i];
        v->words[v->n++][1] = '\0';
    }
    for (int i = 0; i < 4 * n_wanted && v->n < n_wanted; i++) {
        char word[MAX_WORD + 1] = "";
        size_t len = 2 + testing_random(seed) % (MAX_WORD - 1);
        for (size_t k = 0; k < len; k++)
            word[k] = letters[testing_random(seed) % 4];
        if (find_word(v, word, len) < 0)
            memcpy(v->words[v->n++], word, sizeof word);
    }
    for (int i = 0; i < v->n; i++)
        v->scores[i] = -(float)(testing_random(seed) % 12);
}

/* The same words in the spelling of files. */
static void spell(const struct words *v, const char *blank, char out[MAX_TOKENS][32],
                  const char *texts[MAX_TOKENS])
{
    for (int i = 0; i < v->n; i++) {
        out[i][0] = '\0';
        for (const char *p = v->words[i]; *p; p++)
            snprintf(out[i] + strlen(out[i]), 32 - strlen(out[i]), "%.*s",
                     *p == ' ' ? (int)strlen(blank) : 1, *p == ' ' ? blank : p);
        texts[i] = out[i];
    }
}

static size_t random_text(uint64_t *seed, char *text)
{
    size_t n = testing_random(seed) % MAX_TEXT;
    uint64_t n_letters = 1 + testing_random(seed) % 4;
    for (size_t i = 0; i < n; i++)
        text[i] = "a bc"[testing_random(seed) % n_letters];
    text[n] = '\0';
    return n;
}

static void check_ids(const struct oll_tokenizer *tok, const char *text, size_t n,
                      const int32_t *expected, size_t n_expected)
{
    struct oll_tokens ids = {0};
    /* The second time the encoder may know some words. */
    for (int round = 0; round < 2; round++) {
        ids.n = 0;
        CHECK_OK(oll_tokenizer_encode(tok, text, n, OLL_ENCODE_CONTINUE, &ids));
        CHECK_MSG(
            ids.n == n_expected &&
                (n_expected == 0 || memcmp(ids.ids, expected, n_expected * sizeof *expected) == 0),
            "\"%s\" gives other tokens", text);
    }
    oll_tokens_free(&ids);
}

/* ---- merging by score ---- */

static size_t merge_by_score(const struct words *v, const char *text, size_t n, int32_t *ids)
{
    size_t begin[MAX_TEXT + 1], count = n;
    for (size_t i = 0; i <= n; i++)
        begin[i] = i;
    for (;;) {
        size_t best = count;
        float score = 0;
        for (size_t i = 0; i + 1 < count; i++) {
            int id = find_word(v, text + begin[i], begin[i + 2] - begin[i]);
            if (id >= 0 && (best == count || v->scores[id] > score)) {
                best = i;
                score = v->scores[id];
            }
        }
        if (best == count)
            break;
        memmove(begin + best + 1, begin + best + 2, (count - best - 1) * sizeof *begin);
        count--;
    }
    for (size_t i = 0; i < count; i++)
        ids[i] = find_word(v, text + begin[i], begin[i + 1] - begin[i]);
    return count;
}

TEST(spm_merges_by_score)
{
    static struct words v;
    uint64_t seed = 31;
    for (int round = 0; round < 150; round++) {
        char spelt[MAX_TOKENS][32], text[MAX_TEXT];
        const char *texts[MAX_TOKENS];
        struct forge f;
        random_words(&v, &seed);
        spell(&v, "\u2581", spelt, texts);
        forge_init(&f, "test", "llama");
        forge_strings(&f, "tokenizer.ggml.tokens", texts, (size_t)v.n);
        forge_f32s(&f, "tokenizer.ggml.scores", v.scores, (size_t)v.n);
        struct oll_tokenizer *tok = forge_must_load(&f);
        for (int i = 0; i < 40; i++) {
            int32_t ids[MAX_TEXT];
            size_t n = random_text(&seed, text);
            check_ids(tok, text, n, ids, merge_by_score(&v, text, n, ids));
        }
        oll_tokenizer_free(tok);
    }
}

/* ---- merging by a list ---- */

struct merge_rule {
    int left, right, merged;
};

/* Random splits of the words; the list has them in a random order, some twice. */
static int random_merges(const struct words *v, uint64_t *seed, struct merge_rule *rules, int max)
{
    int n = 0;
    for (int tries = 0; tries < 4 * max && n < max; tries++) {
        int id = (int)(testing_random(seed) % (uint64_t)v->n);
        size_t len = strlen(v->words[id]);
        if (len < 2)
            continue;
        size_t cut = 1 + testing_random(seed) % (len - 1);
        int left = find_word(v, v->words[id], cut);
        int right = find_word(v, v->words[id] + cut, len - cut);
        if (left >= 0 && right >= 0)
            rules[n++] = (struct merge_rule){left, right, id};
    }
    return n;
}

static size_t merge_by_list(const struct words *v, const struct merge_rule *rules, int n_rules,
                            const char *text, size_t n, int32_t *ids)
{
    size_t count = n;
    for (size_t i = 0; i < n; i++)
        ids[i] = find_word(v, text + i, 1);
    for (int r = 0; r < n_rules;) {
        size_t i = 0;
        while (i + 1 < count && (ids[i] != rules[r].left || ids[i + 1] != rules[r].right))
            i++;
        if (i + 1 >= count) {
            r++;
            continue;
        }
        ids[i] = rules[r].merged;
        memmove(ids + i + 1, ids + i + 2, (count - i - 2) * sizeof *ids);
        count--;
        r = 0; /* the new symbol may have a better pair */
    }
    return count;
}

/* Without a pre-tokenizer that cuts: one line, merged as a whole. `pre` NULL: raw text (gemma4). */
static void check_merges(const char *model, const char *pre, const char *blank)
{
    static struct words v;
    uint64_t seed = 37;
    for (int round = 0; round < 150; round++) {
        char spelt[MAX_TOKENS][32], lines[100][80], text[MAX_TEXT];
        const char *texts[MAX_TOKENS], *merges[100];
        struct merge_rule rules[100];
        struct forge f;
        random_words(&v, &seed);
        spell(&v, blank, spelt, texts);
        int n_rules = random_merges(&v, &seed, rules, 1 + (int)(testing_random(&seed) % 100));
        if (n_rules == 0)
            continue;
        for (int i = 0; i < n_rules; i++) {
            snprintf(lines[i], sizeof lines[i], "%s %s", texts[rules[i].left],
                     texts[rules[i].right]);
            merges[i] = lines[i];
        }
        forge_init(&f, "test", model);
        if (pre)
            forge_str(&f, "tokenizer.ggml.pre", pre);
        forge_strings(&f, "tokenizer.ggml.tokens", texts, (size_t)v.n);
        forge_strings(&f, "tokenizer.ggml.merges", merges, (size_t)n_rules);
        struct oll_tokenizer *tok = forge_must_load(&f);
        for (int i = 0; i < 40; i++) {
            int32_t ids[MAX_TEXT];
            size_t n = random_text(&seed, text);
            check_ids(tok, text, n, ids, merge_by_list(&v, rules, n_rules, text, n, ids));
        }
        oll_tokenizer_free(tok);
    }
}

TEST(raw_bpe_merges_by_list) { check_merges("gemma4", NULL, "\u2581"); }

/* superbpe cuts only digits, so a piece is the whole text. */
TEST(mapped_bpe_merges_by_list) { check_merges("gpt2", "superbpe", "\u0120"); }

/* Without merges the id of a pair's text is its rank. */
TEST(kimi_merges_by_id)
{
    static const char *const texts[] = {"a", "b", "c", "bc", "ab", "abc", "cc"};
    struct forge f;
    forge_init(&f, "test", "gpt2");
    forge_str(&f, "tokenizer.ggml.pre", "kimi-k2");
    forge_strings(&f, "tokenizer.ggml.tokens", texts, 7);
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_STR(encoded(tok, "abc", 0), "5");
    CHECK_STR(encoded(tok, "abcc", 0), "5 2");
    CHECK_STR(encoded(tok, "ccc", 0), "6 2");
    oll_tokenizer_free(tok);
}

TEST(raw_bpe_spells_blanks_and_falls_back_to_bytes)
{
    static const char *const texts[] = {"<bos>", "\u2581", "a",      "\u2581a", "\n",
                                        "\n\n",  "<0xE2>", "<0x96>", "<0x21>",  "\u2581\u2581"};
    static const int32_t types[] = {3, 1, 1, 1, 1, 1, 6, 6, 6, 1};
    static const char *const merges[] = {"\u2581 a"};
    struct forge f;
    forge_init(&f, "test", "gemma4");
    forge_strings(&f, "tokenizer.ggml.tokens", texts, 10);
    forge_i32s(&f, "tokenizer.ggml.token_type", types, 10);
    forge_strings(&f, "tokenizer.ggml.merges", merges, 1);
    forge_u32(&f, "tokenizer.ggml.bos_token_id", 0);
    forge_bool(&f, "tokenizer.ggml.add_bos_token", false);
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_STR(encoded(tok, " a", OLL_ENCODE_ADD_SPECIAL), "0 3"); /* the key is overruled */
    CHECK_STR(encoded(tok, "a  a", 0), "2 1 3");
    CHECK_STR(encoded(tok, "a\n\na\n", 0), "2 5 2 4"); /* lines are taken whole */
    CHECK_STR(encoded(tok, "!\u2580", 0), "8 6 7");    /* 0x80 has no token */
    oll_tokenizer_free(tok);
}

TEST(whitespace_lowers_and_keeps_blanks)
{
    static const char *const texts[] = {"a", "\u00e9", " ", "a\u00e9", "\u2581"};
    static const char *const merges[] = {"a \u00e9"};
    struct forge f;
    forge_init(&f, "test", "whitespace");
    forge_strings(&f, "tokenizer.ggml.tokens", texts, 5);
    forge_strings(&f, "tokenizer.ggml.merges", merges, 1);
    forge_bool(&f, "tokenizer.ggml.normalizer.lowercase", true);
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_STR(encoded(tok, "A\u00c9 a\u2581", 0), "3 2 0 4");
    oll_tokenizer_free(tok);
}

/* ---- unigram ---- */

/* The highest sum of all ways to cut text[0..n), or -INFINITY. */
static double best_sum(const struct words *v, const char *text, size_t n)
{
    double best[MAX_TEXT + 1] = {0};
    for (size_t end = 1; end <= n; end++) {
        best[end] = -INFINITY;
        for (size_t begin = end > MAX_WORD ? end - MAX_WORD : 0; begin < end; begin++) {
            int id = find_word(v, text + begin, end - begin);
            if (id >= 0 && best[begin] + (double)v->scores[id] > best[end])
                best[end] = best[begin] + (double)v->scores[id];
        }
    }
    return best[n];
}

TEST(unigram_reaches_the_best_sum)
{
    static struct words v;
    uint64_t seed = 41;
    for (int round = 0; round < 150; round++) {
        char spelt[MAX_TOKENS][32], text[MAX_TEXT];
        const char *texts[MAX_TOKENS];
        struct forge f;
        random_words(&v, &seed);
        spell(&v, "\u2581", spelt, texts);
        forge_init(&f, "t5", "t5");
        forge_strings(&f, "tokenizer.ggml.tokens", texts, (size_t)v.n);
        forge_f32s(&f, "tokenizer.ggml.scores", v.scores, (size_t)v.n);
        forge_bool(&f, "tokenizer.ggml.add_space_prefix", false);
        struct oll_tokenizer *tok = forge_must_load(&f);
        for (int i = 0; i < 40; i++) {
            struct oll_tokens ids = {0};
            size_t n = random_text(&seed, text), at = 0;
            double sum = 0;
            CHECK_OK(oll_tokenizer_encode(tok, text, n, 0, &ids));
            for (size_t k = 0; k < ids.n; k++) {
                const char *word = v.words[ids.ids[k]];
                CHECK(strncmp(text + at, word, strlen(word)) == 0);
                at += strlen(word);
                sum += (double)v.scores[ids.ids[k]];
            }
            CHECK_EQ(at, n);
            CHECK_MSG(sum == best_sum(&v, text, n), "\"%s\": %g, not %g", text, sum,
                      best_sum(&v, text, n));
            oll_tokens_free(&ids);
        }
        oll_tokenizer_free(tok);
    }
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
