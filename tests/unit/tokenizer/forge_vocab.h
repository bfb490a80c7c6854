/* Vocabularies made up in memory: the metadata of a GGUF file, key by key. */
#ifndef OLL_TESTS_FORGE_VOCAB_H
#define OLL_TESTS_FORGE_VOCAB_H

#include "tests/testing.h"

#include "engine/base/strbuf.h"
#include "gguf/gguf.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <string.h>

struct forge {
    struct oll_strbuf pairs;
    uint64_t n_pairs;
};

static inline void forge_raw(struct oll_strbuf *sb, uint64_t v, size_t n)
{
    oll_strbuf_add(sb, &v, n); /* little-endian, as every supported machine */
}

static inline void forge_bytes(struct oll_strbuf *sb, const char *s, size_t n)
{
    forge_raw(sb, n, 8);
    oll_strbuf_add(sb, s, n);
}

static inline void forge_key(struct forge *f, const char *key, enum oll_gguf_type type)
{
    forge_bytes(&f->pairs, key, strlen(key));
    forge_raw(&f->pairs, type, 4);
    f->n_pairs++;
}

static inline void forge_array(struct forge *f, const char *key, enum oll_gguf_type type, size_t n)
{
    forge_key(f, key, OLL_GGUF_ARRAY);
    forge_raw(&f->pairs, type, 4);
    forge_raw(&f->pairs, n, 8);
}

static inline void forge_str(struct forge *f, const char *key, const char *value)
{
    forge_key(f, key, OLL_GGUF_STRING);
    forge_bytes(&f->pairs, value, strlen(value));
}

static inline void forge_u32(struct forge *f, const char *key, uint32_t value)
{
    forge_key(f, key, OLL_GGUF_U32);
    forge_raw(&f->pairs, value, 4);
}

static inline void forge_bool(struct forge *f, const char *key, bool value)
{
    forge_key(f, key, OLL_GGUF_BOOL);
    forge_raw(&f->pairs, value, 1);
}

static inline void forge_strings(struct forge *f, const char *key, const char *const *s, size_t n)
{
    forge_array(f, key, OLL_GGUF_STRING, n);
    for (size_t i = 0; i < n; i++)
        forge_bytes(&f->pairs, s[i], strlen(s[i]));
}

static inline void forge_i32s(struct forge *f, const char *key, const int32_t *v, size_t n)
{
    forge_array(f, key, OLL_GGUF_I32, n);
    oll_strbuf_add(&f->pairs, v, n * sizeof *v);
}

static inline void forge_f32s(struct forge *f, const char *key, const float *v, size_t n)
{
    forge_array(f, key, OLL_GGUF_F32, n);
    oll_strbuf_add(&f->pairs, v, n * sizeof *v);
}

static inline void forge_init(struct forge *f, const char *arch, const char *model)
{
    oll_strbuf_init(&f->pairs, 64u << 20);
    f->n_pairs = 0;
    forge_str(f, "general.architecture", arch);
    forge_str(f, "tokenizer.ggml.model", model);
}

/* Writes the file and forgets the pairs. */
static inline void forge_file(struct forge *f, struct oll_strbuf *file)
{
    oll_strbuf_adds(file, "GGUF");
    forge_raw(file, 3, 4);
    forge_raw(file, 0, 8);
    forge_raw(file, f->n_pairs, 8);
    oll_strbuf_add(file, f->pairs.data, f->pairs.len);
    oll_strbuf_free(&f->pairs);
}

/* Builds the tokenizer and forgets the pairs. */
static inline oll_status forge_load(struct forge *f, struct oll_tokenizer **tok,
                                    struct oll_error *err)
{
    struct oll_strbuf file;
    struct oll_gguf *gguf = NULL;
    oll_strbuf_init(&file, 65u << 20);
    forge_file(f, &file);
    oll_status status = oll_gguf_open_memory(file.data, file.len, "forged", &gguf, err);
    if (status == OLL_OK)
        status = oll_tokenizer_new(gguf, 0, tok, err);
    oll_gguf_close(gguf);
    oll_strbuf_free(&file);
    return status;
}

static inline struct oll_tokenizer *forge_must_load(struct forge *f)
{
    struct oll_tokenizer *tok = NULL;
    struct oll_error err = {0};
    CHECK_MSG(forge_load(f, &tok, &err) == OLL_OK, "%s", oll_error_text(&err));
    return tok;
}

/* The ids of a text as "1 2 3"; valid until the next call. */
static inline const char *encoded(const struct oll_tokenizer *tok, const char *text, unsigned flags)
{
    static char out[4096];
    struct oll_tokens ids = {0};
    size_t n = 0;
    CHECK_OK(oll_tokenizer_encode(tok, text, strlen(text), flags, &ids));
    out[0] = '\0';
    for (size_t i = 0; i < ids.n && n < sizeof out - 16; i++)
        n += (size_t)snprintf(out + n, sizeof out - n, i ? " %d" : "%d", ids.ids[i]);
    oll_tokens_free(&ids);
    return out;
}

#endif
