/* When the grammar has the word: at once, after thinking, and while it is not known yet. */
#include "engine/guard.h"

#include "engine/base/mem.h"
#include "tests/testing.h"

#include <string.h>

static struct oll_tokenizer *tok;
static struct oll_token_trie *trie;
static const char *grammar; /* instead of the schema of integers */

struct bed {
    struct guard guard;
    struct split split;
    struct oll_constraint_program *program;
    struct oll_sampler *sampler;
    float *logits;
};

static bool vocabulary(void)
{
    struct oll_gguf *gguf = NULL;
    struct oll_error err = {0};
    const char *path = testing_shared("data/vocab/ggml-vocab-llama-bpe.gguf");
    if (tok)
        return true;
    if (!*path) {
        testing_skip("shared/data/vocab is absent");
        return false;
    }
    CHECK_OK(oll_gguf_open(path, &gguf, &err));
    CHECK_OK(oll_tokenizer_new(gguf, 0, &tok, &err));
    oll_gguf_close(gguf);
    CHECK_OK(oll_token_trie_new(tok, (uint32_t)oll_tokenizer_n_tokens(tok), &trie, &err));
    return trie != NULL;
}

/* `starts`: the prompt has opened the thinking. */
static void open_bed(struct bed *b, bool thinks, bool starts)
{
    struct oll_error err = {0};
    struct chat_parser_config config = {.think_open = "<think>",
                                        .think_close = "</think>",
                                        .starts_thinking = starts,
                                        .think = OLL_THINK_ON};
    struct oll_constraint_source source = {.format_json = grammar ? NULL : "{\"type\":\"integer\"}",
                                           .grammar = grammar};
    struct oll_sampler_params params = {.top_p = 1, .typical_p = 1, .repeat_penalty = 1};
    memset(b, 0, sizeof *b);
    CHECK_OK(split_init(&b->split, thinks ? &config : NULL, &err));
    CHECK_OK(oll_constraint_compile(&source, tok, &b->program, &err));
    CHECK_OK(guard_init(&b->guard, b->program, trie, &b->split, false, &err));
    CHECK_OK(oll_sampler_new(&params, trie->n_vocab, &b->sampler, &err));
    b->logits = oll_calloc(trie->n_vocab, sizeof *b->logits);
}

static void close_bed(struct bed *b)
{
    guard_free(&b->guard);
    split_free(&b->split);
    oll_constraint_program_release(b->program);
    oll_sampler_free(b->sampler);
    oll_free(b->logits);
}

static int32_t token_of(const char *text)
{
    struct oll_tokens ids = {0};
    CHECK_OK(oll_tokenizer_encode(tok, text, strlen(text), OLL_ENCODE_CONTINUE, &ids));
    int32_t id = ids.n ? ids.ids[0] : -1;
    oll_tokens_free(&ids);
    return id;
}

/* The model wants `wish` most, then `second`; returns what it gets, and goes on with that. */
static int32_t step(struct bed *b, const char *wish, const char *second)
{
    struct oll_error err = {0};
    const char *bytes;
    size_t n;
    bool ends, stuck;
    memset(b->logits, 0, trie->n_vocab * sizeof *b->logits);
    b->logits[token_of(second)] = 5;
    b->logits[token_of(wish)] = 9;
    int32_t token = oll_sampler_sample(b->sampler, b->logits);
    oll_status status = guard_choose(&b->guard, &b->split, b->sampler, b->logits, &token, &err);
    CHECK_MSG(status == OLL_OK, "%s", err.text);
    CHECK_OK(guard_accept(&b->guard, &b->split, token, &ends, &stuck, &err));
    oll_tokenizer_piece(tok, token, true, &bytes, &n);
    CHECK_OK(split_text(&b->split, bytes, n, &err));
    CHECK_OK(guard_follow(&b->guard, &b->split, &err));
    return token;
}

TEST(without_thinking_all_is_constrained)
{
    struct bed b;
    if (!vocabulary())
        return;
    open_bed(&b, false, false);
    CHECK(b.guard.active);
    CHECK_EQ(step(&b, "Hello", "7"), token_of("7"));
    CHECK_EQ(step(&b, "8", "x"), token_of("8"));
    close_bed(&b);
}

TEST(thinking_is_free_and_the_answer_is_not)
{
    struct bed b;
    if (!vocabulary())
        return;
    open_bed(&b, true, true);
    CHECK(!b.guard.active);
    CHECK_EQ(step(&b, "Hello", "7"), token_of("Hello"));
    const char *const close[] = {"</", "think", ">"};
    for (int i = 0; i < 3; i++)
        CHECK_EQ(step(&b, close[i], "7"), token_of(close[i]));
    CHECK(b.guard.active);
    CHECK_EQ(step(&b, "Hello", "7"), token_of("7"));
    close_bed(&b);
}

TEST(a_model_may_think_or_answer_but_nothing_else)
{
    struct bed b;
    if (!vocabulary())
        return;
    open_bed(&b, true, false); /* it never thinks: constrained from the first byte on */
    CHECK_EQ(step(&b, "Hello", "7"), token_of("7"));
    CHECK(b.guard.active);
    CHECK_EQ(step(&b, "<", "8"), token_of("8"));
    close_bed(&b);
    open_bed(&b, true, false); /* it begins the tag, and must end it */
    CHECK_EQ(step(&b, "<", "7"), token_of("<"));
    CHECK_EQ(step(&b, "7", "think"), token_of("think"));
    CHECK_EQ(step(&b, "Hello", ">"), token_of(">"));
    CHECK_EQ(step(&b, "Hello", "7"), token_of("Hello"));
    CHECK(!b.guard.active);
    close_bed(&b);
}

TEST(equal_pieces_in_a_row_are_noticed)
{
    struct bed b;
    struct oll_error err = {0};
    bool ends, stuck = false;
    int n = 0;
    if (!vocabulary())
        return;
    grammar = "root ::= \"1\"*";
    open_bed(&b, false, false);
    grammar = NULL;
    for (; n < 40 && !stuck; n++)
        CHECK_OK(guard_accept(&b.guard, &b.split, token_of("1"), &ends, &stuck, &err));
    CHECK_EQ(n, 31);
    close_bed(&b);
}

int main(int argc, char **argv)
{
    int code = testing_main(argc, argv);
    oll_token_trie_free(trie);
    oll_tokenizer_free(tok);
    return code;
}
