/* Forges GGUF files byte by byte, also ones that no writer would make. Records are appended in
 * order; the caller states the counts of the header itself. */
#ifndef OLL_GGUF_FORGE_H
#define OLL_GGUF_FORGE_H

#include "engine/base/mem.h"
#include "gguf/gguf.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORGE_MAX_BYTES = 1024 };

struct forge {
    unsigned char data[FORGE_MAX_BYTES];
    size_t n;
};

static inline void forge_bytes(struct forge *f, const void *bytes, size_t n)
{
    OLL_ASSERT(n <= FORGE_MAX_BYTES - f->n);
    if (n > 0)
        memcpy(f->data + f->n, bytes, n);
    f->n += n;
}

static inline void forge_u8(struct forge *f, uint8_t v) { forge_bytes(f, &v, 1); }
static inline void forge_u16(struct forge *f, uint16_t v) { forge_bytes(f, &v, 2); }
static inline void forge_u32(struct forge *f, uint32_t v) { forge_bytes(f, &v, 4); }
static inline void forge_u64(struct forge *f, uint64_t v) { forge_bytes(f, &v, 8); }
static inline void forge_f32(struct forge *f, float v) { forge_bytes(f, &v, 4); }

static inline void forge_str(struct forge *f, const char *s)
{
    forge_u64(f, strlen(s));
    forge_bytes(f, s, strlen(s));
}

static inline void forge_header(struct forge *f, uint32_t version, uint64_t n_tensors,
                                uint64_t n_kv)
{
    f->n = 0;
    forge_bytes(f, "GGUF", 4);
    forge_u32(f, version);
    forge_u64(f, n_tensors);
    forge_u64(f, n_kv);
}

/* Key and type; the value is up to the caller. */
static inline void forge_key(struct forge *f, const char *key, uint32_t type)
{
    forge_str(f, key);
    forge_u32(f, type);
}

static inline void forge_kv_str(struct forge *f, const char *key, const char *value)
{
    forge_key(f, key, OLL_GGUF_STRING);
    forge_str(f, value);
}

static inline void forge_kv_u32(struct forge *f, const char *key, uint32_t value)
{
    forge_key(f, key, OLL_GGUF_U32);
    forge_u32(f, value);
}

static inline void forge_kv_f32(struct forge *f, const char *key, float value)
{
    forge_key(f, key, OLL_GGUF_F32);
    forge_f32(f, value);
}

/* Key, array of `elem_type` with `count` elements, which follow. */
static inline void forge_array(struct forge *f, const char *key, uint32_t elem_type, uint64_t count)
{
    forge_key(f, key, OLL_GGUF_ARRAY);
    forge_u32(f, elem_type);
    forge_u64(f, count);
}

static inline void forge_arch(struct forge *f) { forge_kv_str(f, "general.architecture", "llama"); }

static inline void forge_tensor(struct forge *f, const char *name, uint32_t n_dims,
                                const uint64_t *ne, uint32_t type, uint64_t offset)
{
    forge_str(f, name);
    forge_u32(f, n_dims);
    for (uint32_t d = 0; d < n_dims; d++)
        forge_u64(f, ne[d]);
    forge_u32(f, type);
    forge_u64(f, offset);
}

static inline void forge_pad(struct forge *f, size_t alignment)
{
    while (f->n % alignment != 0)
        forge_u8(f, 0);
}

static inline void forge_zeros(struct forge *f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        forge_u8(f, 0);
}

/* A header of one key, the architecture, and one tensor info; the data section begins behind it. */
static inline void forge_one_tensor(struct forge *f, uint32_t n_dims, const uint64_t *ne,
                                    uint32_t type, uint64_t offset)
{
    forge_header(f, 3, 1, 1);
    forge_arch(f);
    forge_tensor(f, "blk.0.ffn_up.weight", n_dims, ne, type, offset);
    forge_pad(f, 32);
}

/* A small valid model: every type of value, two tensors. */
static inline void forge_model(struct forge *f)
{
    const uint64_t norm[1] = {4}, weight[2] = {32, 2};
    forge_header(f, 3, 2, 8);
    forge_arch(f);
    forge_kv_u32(f, "llama.block_count", 1);
    forge_kv_f32(f, "llama.rope.freq_base", 1e4f);
    forge_key(f, "a.bool", OLL_GGUF_BOOL);
    forge_u8(f, 1);
    forge_key(f, "a.i64", OLL_GGUF_I64);
    forge_u64(f, (uint64_t)-5);
    forge_array(f, "tokenizer.ggml.tokens", OLL_GGUF_STRING, 3);
    forge_str(f, "a");
    forge_str(f, "");
    forge_str(f, "\xc3\xa9");
    forge_array(f, "tokenizer.ggml.scores", OLL_GGUF_F32, 3);
    for (int i = 0; i < 3; i++)
        forge_f32(f, -(float)i);
    forge_array(f, "a.empty", OLL_GGUF_U16, 0);
    forge_tensor(f, "output_norm.weight", 1, norm, OLL_F32, 0);
    forge_tensor(f, "output.weight", 2, weight, OLL_Q8_0, 32);
    forge_pad(f, 32);
    for (int i = 0; i < 4; i++)
        forge_f32(f, (float)i);
    forge_pad(f, 32);
    forge_zeros(f, 68);
}

/* Creates an empty folder of our own; its path, at most 255 bytes, goes to `out`. */
static inline void forge_folder(char out[256])
{
    const char *base = getenv("TMPDIR");
    snprintf(out, 256, "%s/oll-gguf-XXXXXX", base && base[0] ? base : P_tmpdir);
    OLL_ASSERT(mkdtemp(out));
}

/* Opens a copy of exactly n bytes, so that sanitizers see a read behind the last one. *copy is
 * freed by the caller after the reader. */
static inline oll_status forge_open_bytes(const void *data, size_t n, unsigned char **copy,
                                          struct oll_gguf **out, struct oll_error *err)
{
    *copy = oll_alloc(n, 1);
    OLL_ASSERT(*copy);
    if (n > 0)
        memcpy(*copy, data, n);
    return oll_gguf_open_memory(*copy, n, "forged.gguf", out, err);
}

/* The bytes are refused with this status, and with one line that names the file and contains `part`
 * and, unless 0, the byte. */
static inline void forge_check_refused_bytes(const void *data, size_t n, oll_status status,
                                             const char *part, const char *file, int line)
{
    struct oll_gguf *gguf = NULL;
    struct oll_error err = {0};
    unsigned char *copy;
    const oll_status got = forge_open_bytes(data, n, &copy, &gguf, &err);
    testing_check_status(got, status, part, file, line);
    testing_check(got == OLL_OK || (strstr(err.text, part) && strstr(err.text, "forged.gguf") &&
                                    !strchr(err.text, '\n')),
                  file, line, "\"%s\" does not contain \"%s\"", err.text, part);
    oll_gguf_close(gguf);
    oll_free(copy);
}

#define CHECK_REFUSED(f, status, part)                                                             \
    forge_check_refused_bytes((f)->data, (f)->n, (status), (part), __FILE__, __LINE__)

static inline void forge_check_accepted(const struct forge *f, const char *file, int line)
{
    struct oll_gguf *gguf = NULL;
    struct oll_error err = {0};
    unsigned char *copy;
    testing_check(forge_open_bytes(f->data, f->n, &copy, &gguf, &err) == OLL_OK, file, line,
                  "refused: %s", err.text);
    oll_gguf_close(gguf);
    oll_free(copy);
}

#define CHECK_ACCEPTED(f) forge_check_accepted((f), __FILE__, __LINE__)

#endif
