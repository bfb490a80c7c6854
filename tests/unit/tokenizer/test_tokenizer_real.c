/* Properties that hold for every real vocabulary of shared/data/vocab, and the ids of real models.
 */
#include "tests/testing.h"

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "engine/base/utf8.h"
#include "tokenizer/tokenizer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum kind {
    BYTES,  /* any bytes come back, but for those that the vocabulary lacks */
    UTF8,   /* any UTF-8 without U+2581 comes back behind a blank */
    ONE_WAY /* text is normalised */
};

static const struct {
    const char *name;
    enum kind kind;
    int n_missing; /* bytes without a token */
} vocabularies[] = {
    {"aquila", BYTES, 0},
    {"baichuan", UTF8, 0},
    {"bert-bge", ONE_WAY, 0},
    {"command-r", BYTES, 0},
    {"deepseek-coder", BYTES, 13},
    {"deepseek-llm", BYTES, 13},
    {"falcon", BYTES, 28},
    {"gpt-2", BYTES, 0},
    {"gpt-neox", BYTES, 13},
    {"llama-bpe", BYTES, 0},
    {"llama-spm", UTF8, 0},
    {"mpt", BYTES, 13},
    {"nomic-bert-moe", ONE_WAY, 0},
    {"phi-3", UTF8, 0},
    {"qwen2", BYTES, 0},
    {"qwen35", BYTES, 0},
    {"refact", BYTES, 14},
    {"starcoder", BYTES, 14},
};

enum { N_VOCABULARIES = sizeof vocabularies / sizeof vocabularies[0] };

static struct oll_tokenizer *load_file(const char *path)
{
    struct oll_gguf *gguf = NULL;
    struct oll_tokenizer *tok = NULL;
    struct oll_error err = {0};
    CHECK_MSG(oll_gguf_open(path, &gguf, &err) == OLL_OK, "%s", oll_error_text(&err));
    if (gguf)
        CHECK_MSG(oll_tokenizer_new(gguf, 0, &tok, &err) == OLL_OK, "%s", oll_error_text(&err));
    oll_gguf_close(gguf);
    return tok;
}

/* NULL after marking the program as skipped when the file is absent. */
static struct oll_tokenizer *load_vocabulary(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s", testing_shared("data/vocab/ggml-vocab-%s.gguf", name));
    if (path[0])
        return load_file(path);
    testing_skip("no vocabulary %s in shared/data/vocab", name);
    return NULL;
}

/* ---- there and back ---- */

static size_t random_utf8(uint64_t *seed, char *out, size_t max)
{
    static const uint32_t limits[] = {0x80, 0x80, 0x250, 0x3100, 0xA000, 0x11000, 0x110000};
    size_t n = 0;
    while (n + 4 <= max) {
        uint32_t limit = limits[testing_random(seed) % 7];
        uint32_t cp = (uint32_t)(testing_random(seed) % limit);
        if (testing_random(seed) % 6 == 0)
            cp = ' ';
        if (cp < 0xD800 || cp > 0xDFFF)
            n += cp == 0x2581 ? 0 : (size_t)oll_utf8_encode(cp, out + n);
    }
    return n;
}

/* Which bytes have a token, of byte-level vocabularies. */
static int find_bytes(const struct oll_tokenizer *tok, bool has[256])
{
    int n_missing = 0;
    for (int b = 0; b < 256; b++) {
        struct oll_tokens ids = {0};
        const char byte = (char)b;
        CHECK_OK(oll_tokenizer_encode(tok, &byte, 1, 0, &ids));
        has[b] = ids.n > 0;
        n_missing += ids.n == 0;
        oll_tokens_free(&ids);
    }
    return n_missing;
}

static void check_round_trip(const struct oll_tokenizer *tok, const char *name, const char *text,
                             size_t n, const bool has[256])
{
    struct oll_tokens ids = {0};
    struct oll_strbuf out, expected;
    oll_strbuf_init(&out, 1 << 20);
    oll_strbuf_init(&expected, 1 << 20);
    for (size_t i = 0; i < n; i++)
        if (!has || has[(unsigned char)text[i]])
            oll_strbuf_addc(&expected, text[i]);
    CHECK_OK(oll_tokenizer_encode(tok, text, n, 0, &ids));
    CHECK_OK(oll_tokenizer_decode(tok, ids.ids, ids.n, true, &out));
    if (!has && out.len > 0 && out.data[0] == ' ')
        oll_strbuf_drop(&out, 1);
    CHECK_MSG(out.len == expected.len && memcmp(out.data, expected.data, out.len) == 0,
              "%s: \"%s\" comes back as \"%s\"", name, expected.data, out.data);
    oll_strbuf_free(&out);
    oll_strbuf_free(&expected);
    oll_tokens_free(&ids);
}

TEST(text_comes_back)
{
    uint64_t seed = 17;
    for (int v = 0; v < N_VOCABULARIES; v++) {
        const char *name = vocabularies[v].name;
        bool has[256], bytes = vocabularies[v].kind == BYTES;
        struct oll_tokenizer *tok = load_vocabulary(name);
        if (tok && bytes)
            CHECK_EQ(find_bytes(tok, has), vocabularies[v].n_missing);
        for (int i = 0; i < 300 && tok && vocabularies[v].kind != ONE_WAY; i++) {
            char text[300];
            size_t n = random_utf8(&seed, text, testing_random(&seed) % sizeof text);
            check_round_trip(tok, name, text, n, bytes ? has : NULL);
            for (size_t k = 0; k < n && bytes; k++)
                text[k] = (char)testing_random(&seed);
            check_round_trip(tok, name, text, n, bytes ? has : NULL);
        }
        oll_tokenizer_free(tok);
    }
}

/* ---- hostile texts ---- */

static double thread_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* The promise is 100 ms a megabyte for an optimised build; this bound only tells linear from
 * quadratic, which would take minutes, on any machine and with sanitizers. */
enum { RUN_BYTES = 1 << 18, RUN_MS = 2500 };

TEST(long_runs_take_linear_time)
{
    static const char *const symbols[] = {
        "a",      "A",      " ",          "\n",     "\t",     "1",      ".",      "'",
        "-",      "=",      "<",          "[",      "_",      "/",      "\0",     "\u00e9",
        "\u4e2d", "\u0301", "\U0001f600", "\u200d", "\xff",   "\xe4",   "\u2581", "\u00a0",
        "x y",    "\r\n",   " \n",        "aA",     "\u00f5", "\ufdfa", "<|",     "</s"};
    char *text = oll_alloc(RUN_BYTES + 16, 1);
    OLL_ASSERT(text);
    double worst = 0;
    for (int v = 0; v < N_VOCABULARIES; v++) {
        struct oll_tokenizer *tok = load_vocabulary(vocabularies[v].name);
        for (size_t s = 0; s < sizeof symbols / sizeof symbols[0] && tok; s++) {
            struct oll_tokens ids = {0};
            size_t len = symbols[s][0] ? strlen(symbols[s]) : 1, n = 0;
            for (; n + len <= RUN_BYTES; n += len)
                memcpy(text + n, symbols[s], len);
            double start = thread_ms();
            CHECK_OK(oll_tokenizer_encode(tok, text, n,
                                          OLL_ENCODE_ADD_SPECIAL | OLL_ENCODE_PARSE_SPECIAL, &ids));
            double ms = thread_ms() - start;
            worst = ms > worst ? ms : worst;
            CHECK_MSG(ms < RUN_MS, "%s, symbol %zu: %.0f ms", vocabularies[v].name, s, ms);
            oll_tokens_free(&ids);
        }
        oll_tokenizer_free(tok);
    }
    printf("  worst: %.1f ms for %d KiB\n", worst, RUN_BYTES / 1024);
    oll_free(text);
}

/* ---- shared by threads ---- */

struct share {
    const struct oll_tokenizer *tok;
    const char *text;
    size_t n;
    struct oll_tokens ids;
};

static void *encode_share(void *arg)
{
    struct share *share = arg;
    for (int i = 0; i < 5; i++) {
        share->ids.n = 0;
        if (oll_tokenizer_encode(share->tok, share->text, share->n, 0, &share->ids) != OLL_OK)
            return NULL;
    }
    return share;
}

TEST(threads_share_a_tokenizer)
{
    struct oll_tokenizer *tok = load_vocabulary("gpt-2");
    char text[20000];
    uint64_t seed = 23;
    size_t n = random_utf8(&seed, text, sizeof text);
    struct share shares[4];
    pthread_t threads[4];
    for (int i = 0; i < 4 && tok; i++) {
        shares[i] = (struct share){tok, text, n, {0}};
        OLL_ASSERT(pthread_create(&threads[i], NULL, encode_share, &shares[i]) == 0);
    }
    for (int i = 0; i < 4 && tok; i++) {
        void *ok = NULL;
        pthread_join(threads[i], &ok);
        CHECK(ok != NULL);
        CHECK(shares[i].ids.n == shares[0].ids.n &&
              memcmp(shares[i].ids.ids, shares[0].ids.ids,
                     shares[0].ids.n * sizeof *shares[0].ids.ids) == 0);
    }
    for (int i = 0; i < 4 && tok; i++)
        oll_tokens_free(&shares[i].ids);
    oll_tokenizer_free(tok);
}

/* ---- real models ---- */

static void check_ids(const char *what, const struct oll_tokenizer *tok, const char *text, size_t n,
                      const struct oll_json *expected)
{
    struct oll_tokens ids = {0};
    CHECK_OK(oll_tokenizer_encode(tok, text, n, OLL_ENCODE_ADD_SPECIAL | OLL_ENCODE_PARSE_SPECIAL,
                                  &ids));
    size_t i = 0;
    const struct oll_json *id = expected ? expected->first : NULL;
    for (; id && i < ids.n && ids.ids[i] == id->i; id = id->next)
        i++;
    CHECK_MSG(!id && i == ids.n && i > 0, "%s differs at token %zu: \"%.40s\"", what, i, text);
    oll_tokens_free(&ids);
}

static void check_golden(const char *name, const struct oll_tokenizer *tok)
{
    char *data = NULL, *text = NULL;
    uint64_t n, n_text;
    struct oll_arena arena;
    struct oll_json *root;
    struct oll_error err = {0};
    oll_arena_init(&arena, 256u << 20);
    if (!CHECK_OK(oll_file_read(testing_shared("data/golden/%s.json", name), 16 << 20, &data, &n,
                                &err)) ||
        !CHECK_OK(oll_file_read(testing_shared("data/golden/real-text.txt"), 1 << 20, &text,
                                &n_text, &err)))
        goto done;
    if (!CHECK_OK(oll_json_parse(&arena, data, (size_t)n, NULL, &root, &err)))
        goto done;
    const struct oll_json *prompts = oll_json_get(root, "prompts");
    CHECK(prompts && prompts->n > 0);
    for (const struct oll_json *p = prompts ? prompts->first : NULL; p; p = p->next) {
        const struct oll_json *prompt = oll_json_get(p, "text");
        check_ids(name, tok, prompt->str, prompt->str_len, oll_json_get(p, "tokens"));
    }
    check_ids(name, tok, text, (size_t)n_text,
              oll_json_get(oll_json_get(root, "perplexity"), "tokens"));
done:
    oll_arena_free(&arena);
    oll_free(data);
    oll_free(text);
}

TEST(real_models_give_the_golden_ids)
{
    static const char *const models[][2] = {{"SmolLM2-135M-Instruct.Q4_1.gguf", "real-smollm2"},
                                            {"gemma-3-270m-q4_k_m.gguf", "real-gemma3-270m"}};
    const char *folder = getenv("OLL_TEST_MODELS");
    if (!folder) {
        testing_skip("OLL_TEST_MODELS names no folder of real models");
        return;
    }
    for (int i = 0; i < 2; i++) {
        char path[1024];
        struct oll_file_map map = {0};
        snprintf(path, sizeof path, "%s/%s", folder, models[i][0]);
        bool there = oll_file_map(path, &map, NULL) == OLL_OK;
        oll_file_unmap(&map);
        if (!there) {
            testing_skip("no model %s", path);
            continue;
        }
        struct oll_tokenizer *tok = load_file(path);
        if (tok)
            check_golden(models[i][1], tok);
        oll_tokenizer_free(tok);
    }
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
