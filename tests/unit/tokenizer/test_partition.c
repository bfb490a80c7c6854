/* Special tokens in a text: the automaton against the rule as it is stated, which splits the text
 * by one token after the other, the longest first. */
#include "tests/unit/tokenizer/forge_vocab.h"

#include "tokenizer/algorithms.h"

enum { MAX_TOKENS = 24, MAX_TEXT = 64, CONTROL = 3, USER = 4 };

struct piece {
    size_t begin, end;
    int32_t id;
};

struct pieces {
    struct piece items[2 * MAX_TEXT];
    size_t n;
};

/* Splits raw pieces at each occurrence of one token. */
static void split_by(struct pieces *p, const char *text, const char *token, int32_t id)
{
    struct pieces out = {.n = 0};
    size_t len = strlen(token);
    for (size_t i = 0; i < p->n; i++) {
        struct piece rest = p->items[i];
        for (size_t at = rest.begin; rest.id < 0 && at + len <= rest.end;) {
            if (memcmp(text + at, token, len) != 0) {
                at++;
                continue;
            }
            if (at > rest.begin)
                out.items[out.n++] = (struct piece){rest.begin, at, -1};
            out.items[out.n++] = (struct piece){at, at + len, id};
            at += len;
            rest.begin = at;
        }
        if (rest.begin < rest.end)
            out.items[out.n++] = rest;
    }
    *p = out;
}

static void split_by_rule(struct pieces *p, const char *text, const char *const *tokens,
                          const int32_t *types, int32_t n, bool parse_special)
{
    *p = (struct pieces){.n = 0};
    if (text[0])
        p->items[p->n++] = (struct piece){0, strlen(text), -1};
    for (size_t len = 16; len > 0; len--)
        for (int32_t id = 0; id < n; id++)
            if (strlen(tokens[id]) == len && (types[id] == USER || parse_special))
                split_by(p, text, tokens[id], id);
}

static void make_word(uint64_t *seed, char *out, int n_letters, int max_len)
{
    int len = 1 + (int)(testing_random(seed) % (uint64_t)max_len);
    for (int i = 0; i < len; i++)
        out[i] = "ab<>"[testing_random(seed) % (uint64_t)n_letters];
    out[len] = '\0';
}

static void check_text(const struct partition *part, const char *text, const char *const *tokens,
                       const int32_t *types, int32_t n, bool parse_special)
{
    struct pieces expected;
    struct fragments got = {0};
    split_by_rule(&expected, text, tokens, types, n, parse_special);
    CHECK_OK(partition_split(part, text, strlen(text), parse_special, &got));
    bool same = got.n == expected.n;
    for (size_t i = 0; i < got.n && same; i++)
        same = got.items[i].begin == expected.items[i].begin &&
               got.items[i].end == expected.items[i].end && got.items[i].id == expected.items[i].id;
    CHECK_MSG(same, "\"%s\" is cut differently", text);
    fragments_free(&got);
}

TEST(cuts_as_the_rule_says)
{
    uint64_t seed = 11;
    for (int round = 0; round < 400; round++) {
        char words[MAX_TOKENS][16], text[MAX_TEXT];
        const char *tokens[MAX_TOKENS];
        int32_t types[MAX_TOKENS], n = 0;
        int n_letters = 1 + (int)(testing_random(&seed) % 4);
        for (int i = 0; i < MAX_TOKENS; i++) {
            bool known = false;
            make_word(&seed, words[n], n_letters, 8);
            for (int32_t k = 0; k < n; k++)
                known |= strcmp(words[k], words[n]) == 0;
            if (known)
                continue;
            tokens[n] = words[n];
            types[n++] = testing_random(&seed) % 2 ? CONTROL : USER;
        }
        struct forge f;
        forge_init(&f, "test", "none");
        forge_strings(&f, "tokenizer.ggml.tokens", tokens, (size_t)n);
        forge_i32s(&f, "tokenizer.ggml.token_type", types, (size_t)n);
        struct oll_tokenizer *tok = forge_must_load(&f);
        for (int i = 0; i < 60; i++) {
            make_word(&seed, text, n_letters, MAX_TEXT - 1);
            check_text(&tok->partition, text, tokens, types, n, true);
            check_text(&tok->partition, text, tokens, types, n, false);
        }
        oll_tokenizer_free(tok);
    }
}

/* SPM with single letters, so that ids show the cuts. */
static struct oll_tokenizer *letters(const char *name, const char *arch)
{
    static const char *const tokens[] = {"<unk>",        "<s>",   "</s>",   "a",   "b",
                                         "\xE2\x96\x81", "<|x|>", "<mask>", "<u>", "\n"};
    static const int32_t types[] = {2, 3, 3, 1, 1, 1, 3, 3, 4, 1};
    static const float scores[10] = {0};
    struct forge f;
    forge_init(&f, arch, "llama");
    forge_str(&f, "general.name", name);
    forge_strings(&f, "tokenizer.ggml.tokens", tokens, 10);
    forge_i32s(&f, "tokenizer.ggml.token_type", types, 10);
    forge_f32s(&f, "tokenizer.ggml.scores", scores, 10);
    forge_bool(&f, "tokenizer.ggml.add_space_prefix", false);
    return forge_must_load(&f);
}

TEST(control_tokens_are_parsed_only_on_request)
{
    struct oll_tokenizer *tok = letters("x", "llama");
    CHECK_STR(encoded(tok, "a<|x|>b", OLL_ENCODE_PARSE_SPECIAL), "3 6 4");
    CHECK_STR(encoded(tok, "a<u>b", 0), "3 8 4");
    /* The letters of the mark are unknown here: five times <unk>, never the token. */
    CHECK_STR(encoded(tok, "a<|x|>b", 0), "3 0 0 0 0 0 4");
    oll_tokenizer_free(tok);
}

TEST(some_models_drop_white_space_beside_special_tokens)
{
    struct oll_tokenizer *plain = letters("x", "llama");
    struct oll_tokenizer *phi = letters("Phi-3 mini", "phi3");
    struct oll_tokenizer *moe = letters("x", "nomic-bert-moe");
    unsigned parse = OLL_ENCODE_PARSE_SPECIAL;
    CHECK_STR(encoded(plain, "a <|x|> \nb", parse), "3 5 6 5 9 4");
    CHECK_STR(encoded(phi, "a <|x|> \nb", parse), "3 5 6 4");
    CHECK_STR(encoded(phi, "a<s> b", parse), "3 1 5 4");
    CHECK_STR(encoded(moe, "a <mask> b", parse), "3 7 5 4");
    CHECK_STR(encoded(moe, "a <|x|> b", parse), "3 5 6 5 4");
    CHECK_STR(encoded(phi, "<|x|> \n ", parse), "6");
    oll_tokenizer_free(plain);
    oll_tokenizer_free(phi);
    oll_tokenizer_free(moe);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
