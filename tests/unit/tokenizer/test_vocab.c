/* What a vocabulary says about its tokens, and files that lie. */
#include "tests/unit/tokenizer/forge_vocab.h"

#include "engine/base/base64.h"
#include "engine/base/mem.h"

#include <math.h>

#define COUNT(a) (sizeof a / sizeof a[0])

/* A loadable SPM vocabulary of these texts; NULL types: none in the file. */
static void forge_texts(struct forge *f, const char *const *texts, const int32_t *types, size_t n)
{
    forge_init(f, "test", "llama");
    forge_strings(f, "tokenizer.ggml.tokens", texts, n);
    if (types)
        forge_i32s(f, "tokenizer.ggml.token_type", types, n);
}

TEST(roles_come_from_keys_then_from_texts)
{
    static const char *const texts[] = {"<unk>",      "<s>",   "</s>", "<|im_end|>",
                                        "<|eot_id|>", "<PRE>", "a"};
    static const int32_t types[] = {2, 3, 3, 1, 3, 1, 1};
    struct forge f;
    forge_texts(&f, texts, types, COUNT(texts));
    forge_u32(&f, "tokenizer.ggml.eos_token_id", 6);
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_EQ(oll_tokenizer_role(tok, OLL_ROLE_BOS), 1); /* the model's default */
    CHECK_EQ(oll_tokenizer_role(tok, OLL_ROLE_EOS), 6); /* the key */
    CHECK_EQ(oll_tokenizer_role(tok, OLL_ROLE_EOT), 4); /* the first text of the list */
    CHECK_EQ(oll_tokenizer_role(tok, OLL_ROLE_FIM_PRE), 5);
    CHECK_EQ(oll_tokenizer_role(tok, OLL_ROLE_MASK), OLL_TOKEN_NONE);
    CHECK(oll_tokenizer_is_control(tok, 5)); /* corrected from normal */
    CHECK(!oll_tokenizer_is_control(tok, 6));
    static const bool eog[] = {false, false, true, true, true, false, true};
    for (int32_t id = 0; id < 7; id++)
        CHECK_EQ(oll_tokenizer_is_eog(tok, id), eog[id]);
    CHECK(!oll_tokenizer_is_eog(tok, -1) && !oll_tokenizer_is_eog(tok, 7));
    oll_tokenizer_free(tok);
}

TEST(old_files_without_types_get_some)
{
    static const char *const texts[] = {"<unk>", "<s>", "</s>", "<|im_end|>", "<0x41>", "a"};
    struct oll_strbuf out;
    struct forge f;
    forge_texts(&f, texts, NULL, COUNT(texts));
    forge_u32(&f, "tokenizer.ggml.bos_token_id", 1);
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK(oll_tokenizer_is_control(tok, 1));
    CHECK(oll_tokenizer_is_control(tok, 3));
    CHECK(!oll_tokenizer_is_control(tok, 5));
    oll_strbuf_init(&out, 10);
    CHECK_OK(oll_tokenizer_decode(tok, (const int32_t[]){4}, 1, false, &out));
    CHECK_STR(out.data, "A");
    oll_strbuf_free(&out);
    oll_tokenizer_free(tok);
}

TEST(harmony_ends_with_return_and_call)
{
    static const char *const texts[] = {"<unk>",     "<|return|>",  "<|call|>", "<|end|>",
                                        "<|start|>", "<|channel|>", "<unused1>"};
    static const int32_t types[] = {2, 3, 3, 3, 3, 3, 3};
    struct forge f;
    forge_texts(&f, texts, types, COUNT(texts));
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK(oll_tokenizer_is_eog(tok, 1) && oll_tokenizer_is_eog(tok, 2));
    CHECK(!oll_tokenizer_is_eog(tok, 3));
    CHECK(!oll_tokenizer_is_control(tok, 3) && oll_tokenizer_is_special(tok, 3));
    CHECK(!oll_tokenizer_is_control(tok, 4) && oll_tokenizer_is_special(tok, 4));
    CHECK(!oll_tokenizer_is_special(tok, 6)); /* an unused token decodes like any other */
    oll_tokenizer_free(tok);
}

TEST(more_end_tokens_and_suppressed_ones)
{
    static const char *const texts[] = {"<unk>", "a", "b", "c", "d"};
    static const int32_t ends[] = {2, 99}, quiet[] = {1, -1, 3, 77};
    struct forge f;
    size_t n;
    forge_texts(&f, texts, NULL, COUNT(texts));
    forge_i32s(&f, "tokenizer.ggml.eos_token_ids", ends, COUNT(ends));
    forge_i32s(&f, "tokenizer.ggml.suppress_tokens", quiet, COUNT(quiet));
    forge_u32(&f, "tokenizer.ggml.eos_token_id", 4000000000u);
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK(oll_tokenizer_is_eog(tok, 2) && !oll_tokenizer_is_eog(tok, 1));
    const int32_t *ids = oll_tokenizer_suppressed(tok, &n);
    CHECK(n == 2 && ids[0] == 1 && ids[1] == 3);
    CHECK_EQ(oll_tokenizer_role(tok, OLL_ROLE_EOS), OLL_TOKEN_NONE);
    oll_tokenizer_free(tok);
}

TEST(texts_are_found_and_shown)
{
    static const char *const texts[] = {"<unk>", "\u2581a", "b", "", "b", "bad\xff"};
    struct forge f;
    size_t n;
    forge_texts(&f, texts, NULL, COUNT(texts));
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_EQ(oll_tokenizer_n_tokens(tok), 6);
    CHECK_EQ(oll_tokenizer_find(tok, "b", 1), 4); /* the last of equal ones */
    CHECK_EQ(oll_tokenizer_find(tok, "\u2581a", 4), 1);
    CHECK_EQ(oll_tokenizer_find(tok, " a", 2), OLL_TOKEN_NONE);
    CHECK_STR(encoded(tok, "b", OLL_ENCODE_CONTINUE), "4");
    const char *text = oll_tokenizer_text(tok, 3, &n);
    CHECK(n == 9 && memcmp(text, "[EMPTY_3]", 9) == 0);
    text = oll_tokenizer_text(tok, 99, &n);
    CHECK(n == 0 && text != NULL);
    oll_tokenizer_free(tok);
}

TEST(a_shorter_embedding_cuts_the_list)
{
    static const char *const texts[] = {"<unk>", "a", "b", "c"};
    struct oll_strbuf file;
    struct oll_gguf *gguf = NULL;
    struct oll_tokenizer *tok = NULL;
    struct forge f;
    forge_texts(&f, texts, NULL, COUNT(texts));
    oll_strbuf_init(&file, 1 << 20);
    forge_file(&f, &file);
    CHECK_OK(oll_gguf_open_memory(file.data, file.len, "forged", &gguf, NULL));
    CHECK_OK(oll_tokenizer_new(gguf, 2, &tok, NULL));
    CHECK_EQ(oll_tokenizer_n_tokens(tok), 2);
    CHECK_STR(encoded(tok, "ab", OLL_ENCODE_CONTINUE), "1 0");
    oll_tokenizer_free(tok);
    oll_gguf_close(gguf);
    oll_strbuf_free(&file);
}

/* ---- files that lie ---- */

static void check_refused(struct forge *f, oll_status expected, const char *word)
{
    struct oll_tokenizer *tok = NULL;
    struct oll_error err = {0};
    CHECK_STATUS(forge_load(f, &tok, &err), expected);
    CHECK_MSG(strstr(err.text, word) != NULL, "'%s' does not name %s", err.text, word);
    oll_tokenizer_free(tok);
}

TEST(bad_vocabularies_are_refused)
{
    static const char *const texts[] = {"a", "b", "ab"};
    static const int32_t short_types[] = {1, 1};
    struct forge f;

    forge_init(&f, "test", "wordfish");
    check_refused(&f, OLL_ERR_UNSUPPORTED, "wordfish");

    forge_init(&f, "test", "llama");
    check_refused(&f, OLL_ERR_FORMAT, "tokenizer.ggml.tokens");

    forge_init(&f, "test", "llama");
    forge_strings(&f, "tokenizer.ggml.tokens", texts, 0);
    check_refused(&f, OLL_ERR_FORMAT, "tokenizer.ggml.tokens");

    forge_texts(&f, texts, NULL, 3);
    forge_i32s(&f, "tokenizer.ggml.token_type", short_types, 2);
    check_refused(&f, OLL_ERR_FORMAT, "token_type");

    forge_texts(&f, texts, NULL, 3);
    forge_f32s(&f, "tokenizer.ggml.scores", (const float[]){0}, 1);
    check_refused(&f, OLL_ERR_FORMAT, "scores");

    forge_init(&f, "test", "gpt2");
    forge_strings(&f, "tokenizer.ggml.tokens", texts, 3);
    forge_str(&f, "tokenizer.ggml.pre", "gpt-2");
    check_refused(&f, OLL_ERR_FORMAT, "merges");

    forge_init(&f, "test", "gpt2");
    forge_strings(&f, "tokenizer.ggml.tokens", texts, 3);
    forge_strings(&f, "tokenizer.ggml.merges", texts, 3);
    forge_str(&f, "tokenizer.ggml.pre", "no-such-scheme");
    check_refused(&f, OLL_ERR_UNSUPPORTED, "no-such-scheme");

    char *long_text = oll_calloc(1 << 20, 1);
    OLL_ASSERT(long_text);
    memset(long_text, 'x', (1 << 20) - 1);
    forge_texts(&f, (const char *const[]){"a", long_text}, NULL, 2);
    check_refused(&f, OLL_ERR_LIMIT, "token 1");
    oll_free(long_text);
}

TEST(odd_values_do_no_harm)
{
    static const char *const texts[] = {"<unk>", "a", "b", "ab", "ba"};
    static const int32_t types[] = {-7, 0, 99, 1, 1};
    const float scores[] = {NAN, NAN, INFINITY, NAN, -1};
    struct forge f;
    forge_texts(&f, texts, types, 5);
    forge_f32s(&f, "tokenizer.ggml.scores", scores, 5);
    forge_u32(&f, "tokenizer.ggml.bos_token_id", 5);
    forge_u32(&f, "tokenizer.ggml.unknown_token_id", UINT32_MAX);
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_STR(encoded(tok, "bab", OLL_ENCODE_CONTINUE | OLL_ENCODE_ADD_SPECIAL), "4 2");
    oll_tokenizer_free(tok);
}

TEST(odd_merges_are_left_out)
{
    static const char *const texts[] = {"a", "b", "ab", "aa"};
    static const char *const merges[] = {"ab",  "a",    "",    " ",   "a ",   " a",  "a b c",
                                         "x y", "a aa", "b b", "a a", "aa a", "a b", "a b"};
    struct forge f;
    forge_init(&f, "test", "gpt2");
    forge_str(&f, "tokenizer.ggml.pre", "gpt-2");
    forge_strings(&f, "tokenizer.ggml.tokens", texts, COUNT(texts));
    forge_strings(&f, "tokenizer.ggml.merges", merges, COUNT(merges));
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_STR(encoded(tok, "aab", 0), "3 1");
    CHECK_STR(encoded(tok, "ab", 0), "2");
    oll_tokenizer_free(tok);
}

/* Every damage of the normaliser's table is met by a text that would follow it. */
TEST(forged_charsmaps_are_bounded)
{
    static const char *const texts[] = {"<pad>", "</s>", "<unk>", "a", "b"};
    uint64_t seed = 9;
    for (int round = 0; round < 300; round++) {
        unsigned char blob[200];
        size_t n = testing_random(&seed) % sizeof blob;
        for (size_t i = 0; i < n; i++)
            blob[i] = (unsigned char)testing_random(&seed);
        if (n > 4 && round % 4) {
            uint32_t n_array = (uint32_t)((testing_random(&seed) % (n - 4)) & ~3u);
            memcpy(blob, &n_array, 4);
        }
        struct forge f;
        struct oll_error err = {0};
        struct oll_tokenizer *tok = NULL;
        forge_init(&f, "t5", "t5");
        forge_strings(&f, "tokenizer.ggml.tokens", texts, COUNT(texts));
        forge_array(&f, "tokenizer.ggml.precompiled_charsmap", OLL_GGUF_U8, n);
        oll_strbuf_add(&f.pairs, blob, n);
        oll_status status = forge_load(&f, &tok, &err);
        CHECK(status == OLL_OK || status == OLL_ERR_FORMAT);
        for (int c = 1; c < 256 && tok; c++) {
            const char text[] = {(char)c, (char)(255 - c), 'a', (char)(c / 2), '\0'};
            encoded(tok, text, 0);
        }
        oll_tokenizer_free(tok);
    }
}

/* A table that turns A into a: unit 'A' leads to the unit that holds the replacement's offset. */
static size_t make_charsmap(unsigned char *blob)
{
    const uint32_t n_units = 'A' + 1, unit = 1 << 10 | 1 << 8 | 'A', n_array = 4 * n_units;
    memset(blob, 0, 4 + n_array);
    memcpy(blob, &n_array, 4);
    memcpy(blob + 4 + 4 * 'A', &unit, 4);
    memcpy(blob + 4 + n_array, "a", 2);
    return 4 + n_array + 2;
}

TEST(charsmaps_are_bytes_or_base64_in_pieces)
{
    static const char *const texts[] = {"<pad>", "</s>", "<unk>", "a"};
    unsigned char blob[300];
    size_t n = make_charsmap(blob);
    struct oll_strbuf base64;
    oll_strbuf_init(&base64, 1024);
    oll_base64_encode(blob, n, &base64);
    for (int in_pieces = 0; in_pieces < 2; in_pieces++) {
        struct forge f;
        forge_init(&f, "bert", "t5");
        forge_strings(&f, "tokenizer.ggml.tokens", texts, COUNT(texts));
        forge_bool(&f, "tokenizer.ggml.add_space_prefix", false);
        if (in_pieces) {
            forge_array(&f, "tokenizer.ggml.precompiled_charsmap", OLL_GGUF_STRING, base64.len);
            for (size_t i = 0; i < base64.len; i++)
                forge_bytes(&f.pairs, base64.data + i, 1);
        } else {
            forge_array(&f, "tokenizer.ggml.precompiled_charsmap", OLL_GGUF_U8, n);
            oll_strbuf_add(&f.pairs, blob, n);
        }
        struct oll_tokenizer *tok = forge_must_load(&f);
        CHECK_STR(encoded(tok, "A", 0), "3");
        oll_tokenizer_free(tok);
    }
    oll_strbuf_free(&base64);
}

TEST(a_charsmap_of_other_strings_is_refused)
{
    static const char *const texts[] = {"<pad>", "</s>", "<unk>", "a"};
    struct forge f;
    forge_init(&f, "bert", "t5");
    forge_strings(&f, "tokenizer.ggml.tokens", texts, COUNT(texts));
    forge_strings(&f, "tokenizer.ggml.precompiled_charsmap", (const char *const[]){"A", "?"}, 2);
    check_refused(&f, OLL_ERR_FORMAT, "precompiled_charsmap");
}

/* The ids of "a't" tell how the text was cut: as one piece, before the mark, or round it. */
static void check_guess(const char *arch, const char *pre, const char *ids)
{
    static const char *const texts[] = {"a", "'", "t", "'t", "a't"};
    static const char *const merges[] = {"' t", "a 't"};
    struct forge f;
    forge_init(&f, arch, "gpt2");
    if (pre)
        forge_str(&f, "tokenizer.ggml.pre", pre);
    forge_bool(&f, "tokenizer.ggml.add_bos_token", false);
    forge_strings(&f, "tokenizer.ggml.tokens", texts, COUNT(texts));
    forge_strings(&f, "tokenizer.ggml.merges", merges, COUNT(merges));
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_STR(encoded(tok, "a't", 0), ids);
    oll_tokenizer_free(tok);
}

TEST(a_missing_pre_is_guessed_from_the_architecture)
{
    check_guess("gpt-oss", NULL, "4");
    check_guess("gptoss", NULL, "4");
    check_guess("gptoss", "default", "4");
    check_guess("mistral3", NULL, "0 3");
    check_guess("glmocr", NULL, "0 3");
    check_guess("lfm2", NULL, "0 3");
    check_guess("test", NULL, "0 1 2");
    check_guess("test", "default", "0 1 2");
}

/* Early files of llama 3 say "default"; their end token gives them away, and a token begins texts.
 */
TEST(a_default_pre_is_doubted_where_tokens_tell_more)
{
    enum { N = 128010 };
    struct forge f;
    char text[16];
    forge_init(&f, "llama", "gpt2");
    forge_str(&f, "tokenizer.ggml.pre", "default");
    forge_u32(&f, "tokenizer.ggml.bos_token_id", 5);
    forge_array(&f, "tokenizer.ggml.tokens", OLL_GGUF_STRING, N);
    for (int id = 0; id < N; id++) {
        snprintf(text, sizeof text, "t%d", id);
        const char *t = id == N - 1 ? "<|eot_id|>" : id == 0 ? "a" : text;
        forge_bytes(&f.pairs, t, strlen(t));
    }
    forge_strings(&f, "tokenizer.ggml.merges", (const char *const[]){"a b"}, 1);
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_STR(encoded(tok, "a", OLL_ENCODE_ADD_SPECIAL), "5 0");
    oll_tokenizer_free(tok);
}

TEST(a_model_without_a_tokenizer_takes_only_ids)
{
    struct forge f;
    struct oll_tokens ids = {0};
    forge_init(&f, "test", "none");
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_EQ(oll_tokenizer_n_tokens(tok), 0);
    CHECK_STATUS(oll_tokenizer_encode(tok, "a", 1, 3, &ids), OLL_ERR_UNSUPPORTED);
    oll_tokenizer_free(tok);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
