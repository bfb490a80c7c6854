/* The tokenizer's behaviour on small made-up vocabularies. */
#include "tests/unit/tokenizer/forge_vocab.h"

#include "engine/base/utf8.h"

#define MARK     "\u2581"
#define COUNT(a) (sizeof a / sizeof a[0])

enum { ADD = OLL_ENCODE_ADD_SPECIAL, PARSE = OLL_ENCODE_PARSE_SPECIAL };

/* ---- byte-level BPE ---- */

/* Letters and some words; G-dot is the blank. */
static const char *const bpe_tokens[] = {"a",   "b",  "c",       "\u0120",   "ab",
                                         "abc", "bc", "\u0120a", "\u0120ab", "<|end|>",
                                         "<s>", "aa", "aaaa"};
static const int32_t bpe_types[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 1, 1};
static const char *const bpe_merges[] = {"b c",       "a b", "\u0120 a", "ab c",
                                         "\u0120a b", "a a", "aa aa"};

static void forge_bpe(struct forge *f, const char *pre)
{
    forge_init(f, "test", "gpt2");
    forge_str(f, "tokenizer.ggml.pre", pre);
    forge_strings(f, "tokenizer.ggml.tokens", bpe_tokens, COUNT(bpe_tokens));
    forge_i32s(f, "tokenizer.ggml.token_type", bpe_types, COUNT(bpe_types));
    forge_strings(f, "tokenizer.ggml.merges", bpe_merges, COUNT(bpe_merges));
    forge_u32(f, "tokenizer.ggml.bos_token_id", 10);
    forge_u32(f, "tokenizer.ggml.eos_token_id", 9);
}

TEST(bpe_merges_by_rank)
{
    struct forge f;
    forge_bpe(&f, "gpt-2");
    struct oll_tokenizer *tok = forge_must_load(&f);
    /* "b c" comes before "a b", so "abc" ends as "a" "bc" although "abc" is a token. */
    CHECK_STR(encoded(tok, "abc", 0), "0 6");
    CHECK_STR(encoded(tok, "abc", 0), "0 6"); /* nothing learnt wrongly */
    CHECK_STR(encoded(tok, " ab", 0), "3 4");
    CHECK_STR(encoded(tok, " a", 0), "7");
    CHECK_STR(encoded(tok, " a", 0), "7");
    CHECK_STR(encoded(tok, "aaaaa", 0), "12 0");
    CHECK_STR(encoded(tok, "", 0), "");
    CHECK_STR(encoded(tok, "xa", 0), "0"); /* no token for the byte */
    oll_tokenizer_free(tok);
}

TEST(bpe_takes_whole_pieces_where_the_model_does)
{
    struct forge f;
    forge_bpe(&f, "llama-bpe");
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_STR(encoded(tok, "abc", 0), "5");
    CHECK_STR(encoded(tok, "abcab", 0), "0 6 4");
    CHECK(oll_tokenizer_adds_bos(tok)); /* the scheme's own default */
    oll_tokenizer_free(tok);
}

TEST(first_and_last_tokens_are_added_on_request)
{
    struct forge f;
    forge_bpe(&f, "gpt-2");
    forge_bool(&f, "tokenizer.ggml.add_bos_token", true);
    forge_bool(&f, "tokenizer.ggml.add_eos_token", true);
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_STR(encoded(tok, "a", ADD), "10 0 9");
    CHECK_STR(encoded(tok, "", ADD), "10 9");
    CHECK_STR(encoded(tok, "a", 0), "0");
    /* A template that writes the first token itself does not double it. */
    CHECK_STR(encoded(tok, "<s>a", ADD | PARSE), "10 0 9");
    CHECK_STR(encoded(tok, "<s><s>a", ADD | PARSE), "10 10 0 9");
    CHECK_STR(encoded(tok, "<s>a", PARSE), "10 0");
    CHECK_STR(encoded(tok, "a<s>", ADD | PARSE), "10 0 10 9");
    CHECK(oll_tokenizer_adds_bos(tok) && oll_tokenizer_adds_eos(tok));
    oll_tokenizer_free(tok);
}

TEST(encoding_appends)
{
    struct forge f;
    struct oll_tokens ids = {0};
    forge_bpe(&f, "gpt-2");
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_OK(oll_tokenizer_encode(tok, "a", 1, 0, &ids));
    CHECK_OK(oll_tokenizer_encode(tok, "b", 1, 0, &ids));
    CHECK(ids.n == 2 && ids.ids[0] == 0 && ids.ids[1] == 1);
    oll_tokens_free(&ids);
    oll_tokenizer_free(tok);
}

/* ---- SentencePiece ---- */

static const char *const spm_tokens[] = {"<unk>", "<s>", "</s>",   "<0x21>",  MARK,      "a",
                                         "b",     "ab",  MARK "a", MARK "ab", MARK MARK, "<s",
                                         "s",     "<",   ">",      "s>"};
static const int32_t spm_types[] = {2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
static const float spm_scores[] = {0, 0, 0, 0, -9, -9, -9, -1, -2, -3, -4, -1, -9, -9, -9, -2};

static void forge_spm(struct forge *f)
{
    forge_init(f, "test", "llama");
    forge_strings(f, "tokenizer.ggml.tokens", spm_tokens, COUNT(spm_tokens));
    forge_i32s(f, "tokenizer.ggml.token_type", spm_types, COUNT(spm_types));
    forge_f32s(f, "tokenizer.ggml.scores", spm_scores, COUNT(spm_scores));
}

TEST(spm_prefixes_and_falls_back_to_bytes)
{
    struct forge f;
    forge_spm(&f);
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_STR(encoded(tok, "ab", 0), "9");
    CHECK_STR(encoded(tok, "ab", OLL_ENCODE_CONTINUE), "7");
    CHECK_STR(encoded(tok, " ab", 0), "4 9");
    CHECK_STR(encoded(tok, " ab", OLL_ENCODE_CONTINUE), "9");
    CHECK_STR(encoded(tok, "a!", 0), "8 3");
    CHECK_STR(encoded(tok, "a?", 0), "8 0");
    CHECK_STR(encoded(tok, "a\u00e9", 0), "8 0 0"); /* two bytes, both unknown */
    CHECK_STR(encoded(tok, "", ADD), "1");
    /* The word mark in the text is the same as a blank. */
    CHECK_STR(encoded(tok, MARK "ab", OLL_ENCODE_CONTINUE), "9");
    oll_tokenizer_free(tok);
}

TEST(spm_prefixes_after_special_tokens)
{
    struct forge f;
    forge_spm(&f);
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_STR(encoded(tok, "<s>ab</s>ab", PARSE), "1 9 2 9");
    CHECK_STR(encoded(tok, "a</s>b", PARSE | OLL_ENCODE_CONTINUE), "5 2 4 6");
    oll_tokenizer_free(tok);
}

TEST(text_never_merges_into_a_control_token)
{
    struct forge f;
    forge_spm(&f);
    forge_bool(&f, "tokenizer.ggml.add_space_prefix", false);
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_STR(encoded(tok, "<s>", PARSE), "1");
    CHECK_STR(encoded(tok, "<s>", 0), "13 12 14");
    CHECK_STR(encoded(tok, "<s>", 0), "13 12 14");
    oll_tokenizer_free(tok);
}

/* ---- WordPiece ---- */

static const char *const wp_tokens[] = {"[PAD]",   "[UNK]", "[CLS]",       "[SEP]",
                                        MARK "un", "aff",   "able",        MARK ",",
                                        MARK "a",  "b",     MARK "\u4e2d", MARK "resume"};
static const int32_t wp_types[] = {3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1};

TEST(wordpiece_takes_the_longest_from_the_left)
{
    struct forge f;
    forge_init(&f, "bert", "bert");
    forge_strings(&f, "tokenizer.ggml.tokens", wp_tokens, COUNT(wp_tokens));
    forge_i32s(&f, "tokenizer.ggml.token_type", wp_types, COUNT(wp_types));
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_STR(encoded(tok, "Unaffable", ADD), "2 4 5 6 3");
    CHECK_STR(encoded(tok, "", ADD), "2 3");
    CHECK_STR(encoded(tok, "ab,a", 0), "8 9 7 8");
    CHECK_STR(encoded(tok, "abx a", 0), "1 8"); /* one unknown part spoils the word */
    CHECK_STR(encoded(tok, "a\u4e2da", 0), "8 10 8");
    CHECK_STR(encoded(tok, "R\u00e9sum\u00e9", 0), "11");
    CHECK_STR(encoded(tok, "re\u0301sume\u0301", 0), "11");
    CHECK_STR(encoded(tok,
                      "a\x01\u00ad"
                      "b\t\n a",
                      0),
              "8 9 8");
    CHECK_STR(encoded(tok,
                      "a\xff"
                      "b",
                      0),
              "8 9");
    CHECK_EQ(oll_tokenizer_role(tok, OLL_ROLE_BOS), 2);
    CHECK_EQ(oll_tokenizer_role(tok, OLL_ROLE_SEP), 3);
    oll_tokenizer_free(tok);
}

TEST(wordpiece_reads_the_makers_spelling)
{
    static const char *const tokens[] = {"[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able"};
    static const int32_t types[] = {3, 3, 3, 1, 1, 1};
    struct oll_strbuf out;
    struct forge f;
    forge_init(&f, "bert", "bert");
    forge_strings(&f, "tokenizer.ggml.tokens", tokens, COUNT(tokens));
    forge_i32s(&f, "tokenizer.ggml.token_type", types, COUNT(types));
    struct oll_tokenizer *tok = forge_must_load(&f);
    CHECK_STR(encoded(tok, "unaffable aff", ADD), "1 3 4 5 0 2");
    oll_strbuf_init(&out, 100);
    CHECK_OK(oll_tokenizer_decode(tok, (const int32_t[]){1, 3, 4, 5}, 4, false, &out));
    CHECK_STR(out.data, " unaffable");
    oll_strbuf_free(&out);
    oll_tokenizer_free(tok);
}

/* ---- unigram ---- */

static const char *const uni_tokens[] = {"<pad>", "</s>", "<unk>",  MARK,   "a", "b",
                                         "ab",    "abab", MARK "a", "x  y", "fi"};
static const int32_t uni_types[] = {3, 3, 2, 1, 1, 1, 1, 1, 1, 4, 1};
static const float uni_scores[] = {0, 0, 0, -3, -2, -2, -3, -5, -4, 0, -2};

static struct oll_tokenizer *unigram(bool shrink, bool prefix)
{
    struct forge f;
    forge_init(&f, "t5", "t5");
    forge_strings(&f, "tokenizer.ggml.tokens", uni_tokens, COUNT(uni_tokens));
    forge_i32s(&f, "tokenizer.ggml.token_type", uni_types, COUNT(uni_types));
    forge_f32s(&f, "tokenizer.ggml.scores", uni_scores, COUNT(uni_scores));
    forge_bool(&f, "tokenizer.ggml.remove_extra_whitespaces", shrink);
    forge_bool(&f, "tokenizer.ggml.add_space_prefix", prefix);
    return forge_must_load(&f);
}

TEST(unigram_finds_the_best_sum)
{
    struct oll_tokenizer *tok = unigram(true, true);
    CHECK_STR(encoded(tok, "abab", 0), "3 7"); /* -3 -5, against -4 -2 -3 */
    CHECK_STR(encoded(tok, "a", 0), "8");
    CHECK_STR(encoded(tok, "b", 0), "3 5");
    CHECK_STR(encoded(tok, "  a   b ", ADD), "8 3 5 1");
    CHECK_STR(encoded(tok, "a\u4e2d\u6587??b", 0), "8 2 5"); /* unknowns in a row are one */
    CHECK_STR(encoded(tok, "   ", 0), "");
    CHECK_STR(encoded(tok, "", ADD), "1");
    oll_tokenizer_free(tok);
    tok = unigram(false, false);
    CHECK_STR(encoded(tok, " a  b", 0), "8 3 3 5");
    CHECK_STR(encoded(tok, "bx  yb", 0), "5 9 5"); /* user defined tokens come first */
    oll_tokenizer_free(tok);
}

/* ---- decoding ---- */

TEST(special_tokens_are_rendered_on_request)
{
    struct oll_strbuf out;
    struct forge f;
    forge_bpe(&f, "gpt-2");
    struct oll_tokenizer *tok = forge_must_load(&f);
    const int32_t ids[] = {10, 8, 0, 9};
    oll_strbuf_init(&out, 100);
    CHECK_OK(oll_tokenizer_decode(tok, ids, 4, true, &out));
    CHECK_STR(out.data, "<s> aba<|end|>");
    oll_strbuf_clear(&out);
    CHECK_OK(oll_tokenizer_decode(tok, ids, 4, false, &out));
    CHECK_STR(out.data, " aba");
    CHECK_STATUS(oll_tokenizer_decode(tok, (const int32_t[]){0, 13}, 2, true, &out), OLL_ERR_ARG);
    CHECK_STATUS(oll_tokenizer_decode(tok, (const int32_t[]){-1}, 1, true, &out), OLL_ERR_ARG);
    CHECK_STR(out.data, " aba"); /* nothing was added */
    oll_strbuf_free(&out);
    oll_tokenizer_free(tok);
}

/* One token for every byte. */
static struct oll_tokenizer *bytes_tokenizer(void)
{
    static char texts[256][8];
    static const char *tokens[257];
    static int32_t types[257];
    for (int b = 0; b < 256; b++) {
        snprintf(texts[b], sizeof texts[b], "<0x%02X>", (unsigned)b);
        tokens[b] = texts[b];
        types[b] = 6;
    }
    tokens[256] = "\u00e9\xE4\xB8"; /* a text that ends inside a character */
    types[256] = 1;
    struct forge f;
    forge_init(&f, "test", "llama");
    forge_strings(&f, "tokenizer.ggml.tokens", tokens, 257);
    forge_i32s(&f, "tokenizer.ggml.token_type", types, 257);
    return forge_must_load(&f);
}

/* What a stream of these bytes must show: whole characters, U+FFFD for each broken one. */
static void repair(const char *p, size_t n, struct oll_strbuf *out)
{
    while (n > 0) {
        uint32_t cp;
        size_t len = (size_t)oll_utf8_decode(p, n, &cp);
        if (len > 0) {
            oll_strbuf_add(out, p, len);
        } else {
            /* The longest start of some character; one byte where none begins so. */
            for (len = n < 3 ? n : 3; len > 1 && oll_utf8_complete_len(p, len) != 0; len--) {
            }
            oll_strbuf_adds(out, "\xEF\xBF\xBD");
        }
        p += len;
        n -= len;
    }
}

TEST(a_stream_never_shows_half_a_character)
{
    static const char *const parts[] = {"a",       "\u00e9", "\u4e2d",   "\U0001f600",   "\xff",
                                        "\xe4",    "\x80",   "\xf0\x9f", "\xed\xa0\x80", "\xc0\xaf",
                                        "\xf4\x90"};
    struct oll_tokenizer *tok = bytes_tokenizer();
    struct oll_stream_decoder dec;
    struct oll_strbuf text, expected, got;
    uint64_t seed = 5;
    oll_strbuf_init(&text, 1000);
    oll_strbuf_init(&expected, 1000);
    oll_strbuf_init(&got, 1000);
    for (int round = 0; round < 3000; round++) {
        oll_strbuf_clear(&text);
        oll_strbuf_clear(&expected);
        oll_strbuf_clear(&got);
        oll_stream_decoder_init(&dec, tok, false);
        for (int i = (int)(testing_random(&seed) % 8); i >= 0; i--) {
            if (testing_random(&seed) % 8 == 0) {
                oll_strbuf_adds(&text, "\u00e9\xE4\xB8");
                oll_stream_decoder_add(&dec, 256, &got);
            } else {
                const char *s = parts[testing_random(&seed) % COUNT(parts)];
                oll_strbuf_adds(&text, s);
                for (; *s; s++)
                    oll_stream_decoder_add(&dec, (unsigned char)*s, &got);
            }
            CHECK(oll_utf8_valid(got.data, got.len));
            CHECK(dec.n_pending <= 3);
        }
        oll_stream_decoder_add(&dec, 9999, &got); /* ids out of range say nothing */
        oll_stream_decoder_finish(&dec, &got);
        repair(text.data, text.len, &expected);
        CHECK(got.len == expected.len && memcmp(got.data, expected.data, got.len) == 0);
    }
    oll_strbuf_free(&text);
    oll_strbuf_free(&expected);
    oll_strbuf_free(&got);
    oll_tokenizer_free(tok);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
