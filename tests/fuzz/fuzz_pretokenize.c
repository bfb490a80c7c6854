/* Any text through every algorithm and every pre-tokenizer, with small vocabularies of our own: the
 * first byte chooses, the second one holds the flags. Pieces must cover the text, ids must be in
 * range, and whatever is encoded must decode. */
#include "engine/base/log.h"
#include "engine/base/strbuf.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/tokenizer.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_PAIRS = 1 << 16 };

static void use(const struct oll_tokenizer *tok, const char *text, size_t n, unsigned flags)
{
    struct oll_tokens ids = {0};
    struct oll_strbuf out;
    struct oll_stream_decoder dec;
    oll_strbuf_init(&out, 16u << 20);
    oll_stream_decoder_init(&dec, tok, flags & OLL_ENCODE_PARSE_SPECIAL);
    oll_status status = oll_tokenizer_encode(tok, text, n, flags, &ids);
    OLL_ASSERT(status == OLL_OK || status == OLL_ERR_MEMORY || status == OLL_ERR_UNSUPPORTED);
    for (size_t i = 0; i < ids.n; i++) {
        OLL_ASSERT(ids.ids[i] >= 0 && ids.ids[i] < oll_tokenizer_n_tokens(tok));
        oll_stream_decoder_add(&dec, ids.ids[i], &out);
    }
    oll_stream_decoder_finish(&dec, &out);
    oll_strbuf_clear(&out);
    status = oll_tokenizer_decode(tok, ids.ids, ids.n, true, &out);
    OLL_ASSERT(status == OLL_OK || status == OLL_ERR_LIMIT);
    oll_strbuf_free(&out);
    oll_tokens_free(&ids);
}

/* ---- vocabularies ---- */

static void put(struct oll_strbuf *sb, uint64_t v, size_t n) { oll_strbuf_add(sb, &v, n); }

static void put_text(struct oll_strbuf *sb, const char *s, size_t n)
{
    put(sb, n, 8);
    oll_strbuf_add(sb, s, n);
}

static void put_str(struct oll_strbuf *sb, const char *key, const char *value)
{
    put_text(sb, key, strlen(key));
    put(sb, OLL_GGUF_STRING, 4);
    put_text(sb, value, strlen(value));
}

static void put_array(struct oll_strbuf *sb, const char *key, enum oll_gguf_type type, size_t n)
{
    put_text(sb, key, strlen(key));
    put(sb, OLL_GGUF_ARRAY, 4);
    put(sb, type, 4);
    put(sb, n, 8);
}

static const char *const texts[] = {"<unk>",   "<s>",
                                    "</s>",    "\n\n",
                                    "a",       "b",
                                    "c",       "\u0120",
                                    "\u2581",  "ab",
                                    "bc",      "abc",
                                    "aa",      "aaaa",
                                    "\u0120a", "\u2581a",
                                    "1",       "11",
                                    "<0x0A>",  "\n",
                                    "\u010a",  "\u010a\u010a",
                                    "'s",      "s",
                                    "'",       "\u2581\u2581",
                                    "[UNK]",   "##a",
                                    "<mask>",  "(",
                                    ".",       "..",
                                    "\u00e9",  "e",
                                    "<",       ">"};
static const char *const merges[] = {"a b",      "b c", "ab c",          "a a", "aa aa", "\u0120 a",
                                     "\u2581 a", "1 1", "\u010a \u010a", "' s", ". ."};
enum { N_TEXTS = sizeof texts / sizeof texts[0], N_MERGES = sizeof merges / sizeof merges[0] };

/* A vocabulary of the chosen algorithm; BPE with the chosen pre-tokenizer. */
static struct oll_tokenizer *make(const char *model, const char *pre)
{
    struct oll_strbuf file;
    struct oll_gguf *gguf = NULL;
    struct oll_tokenizer *tok = NULL;
    oll_strbuf_init(&file, MAX_PAIRS);
    oll_strbuf_adds(&file, "GGUF");
    put(&file, 3, 4);
    put(&file, 0, 8);
    put(&file, 7, 8);
    put_str(&file, "general.architecture", "fuzz");
    put_str(&file, "tokenizer.ggml.model", model);
    put_str(&file, "tokenizer.ggml.pre", pre);
    put_array(&file, "tokenizer.ggml.tokens", OLL_GGUF_STRING, N_TEXTS);
    for (int i = 0; i < N_TEXTS; i++)
        put_text(&file, texts[i], strlen(texts[i]));
    put_array(&file, "tokenizer.ggml.token_type", OLL_GGUF_I32, N_TEXTS);
    for (int i = 0; i < N_TEXTS; i++)
        put(&file, i == 0 ? 2 : i < 3 ? 3 : i == 3 ? 4 : i == 18 ? 6 : 1, 4);
    put_array(&file, "tokenizer.ggml.scores", OLL_GGUF_F32, N_TEXTS);
    for (int i = 0; i < N_TEXTS; i++) {
        float score = (float)-(i % 7);
        oll_strbuf_add(&file, &score, sizeof score);
    }
    put_array(&file, "tokenizer.ggml.merges", OLL_GGUF_STRING, N_MERGES);
    for (int i = 0; i < N_MERGES; i++)
        put_text(&file, merges[i], strlen(merges[i]));
    OLL_ASSERT(oll_gguf_open_memory(file.data, file.len, "made", &gguf, NULL) == OLL_OK);
    OLL_ASSERT(oll_tokenizer_new(gguf, 0, &tok, NULL) == OLL_OK);
    oll_gguf_close(gguf);
    oll_strbuf_free(&file);
    return tok;
}

static struct oll_tokenizer *choose(unsigned choice)
{
    static const char *const models[] = {"llama", "bert", "t5", "gemma4", "whitespace"};
    static struct oll_tokenizer *made[128]; /* kept for the life of the process */
    unsigned n_schemes = 0, n_models = sizeof models / sizeof models[0];
    while (pretok_schemes[n_schemes].names)
        n_schemes++;
    choice %= n_models + n_schemes;
    OLL_ASSERT(n_models + n_schemes <= 128);
    if (!made[choice] && choice < n_models)
        made[choice] = make(models[choice], "");
    if (!made[choice]) {
        char pre[64] = "";
        const char *names = pretok_schemes[choice - n_models].names;
        memcpy(pre, names, strcspn(names, " "));
        made[choice] = make("gpt2", pre);
    }
    return made[choice];
}

static void cut(const char *text, size_t n)
{
    for (const struct pretok_scheme *s = pretok_schemes; s->names; s++) {
        struct pretok_iter it;
        const char *piece, *at = text;
        size_t len;
        pretok_begin(&it, s, text, n);
        for (; pretok_next(&it, &piece, &len); at += len)
            OLL_ASSERT(piece == at && len > 0);
        OLL_ASSERT(at == text + n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 2;
    oll_log_set_level(OLL_LOG_ERROR); /* guesses for the small vocabularies are no news here */
    if (size < 2)
        return 0;
    cut(text, size - 2);
    use(choose(data[0]), text, size - 2, data[1] & 7u);
    return 0;
}
