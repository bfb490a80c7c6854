/* The compiled normaliser of SentencePiece models (`precompiled_charsmap`): a double-array trie
 * from byte strings to replacements.
 *
 *   OFFSET  SIZE  DESCRIPTION
 *   0       4     n, bytes of the array, little-endian
 *   4       n     units of 4 bytes; see charsmap_match
 *   4 + n         replacements, each with a terminating NUL
 *
 * Every index and offset of the file is checked before use. */
#include "tokenizer/algorithms.h"

#include "engine/base/base64.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"

enum { CHARSMAP_MAX_BYTES = 64 << 20 };

static uint32_t unit_base(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

size_t charsmap_match(const struct charsmap *map, const char *p, size_t n, const char **replacement,
                      size_t *n_replacement)
{
    size_t matched = 0;
    if (map->n_units == 0)
        return 0;
    uint32_t index = unit_base(map->units[0]);
    for (size_t i = 0; i < n && p[i] != '\0'; i++) {
        uint32_t byte = (unsigned char)p[i];
        index ^= byte;
        if (index >= map->n_units || (map->units[index] & 0x800000FF) != byte)
            break;
        bool leaf = map->units[index] >> 8 & 1;
        index ^= unit_base(map->units[index]);
        if (!leaf)
            continue;
        if (index >= map->n_units)
            break;
        uint32_t off = map->units[index] & 0x7FFFFFFF;
        /* The strings end with a terminator, so one that starts inside them is whole. */
        if (off >= map->n_strings)
            break;
        matched = i + 1;
        *replacement = map->strings + off;
        *n_replacement = strlen(map->strings + off);
    }
    return matched;
}

static const char charsmap_key[] = "tokenizer.ggml.precompiled_charsmap";

/* Base64 whose characters another producer writes as an array of strings. */
static oll_status read_base64(const struct oll_gguf_kv *kv, struct oll_strbuf *bytes,
                              struct oll_error *err)
{
    struct oll_strbuf text;
    oll_status status = OLL_OK;
    struct oll_gguf_str *parts = oll_alloc((size_t)kv->count, sizeof *parts);
    oll_strbuf_init(&text, CHARSMAP_MAX_BYTES);
    if (!parts) {
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for %s", charsmap_key);
        goto done;
    }
    OLL_TRY_DONE(oll_gguf_kv_strings(kv, parts, err));
    for (uint64_t i = 0; i < kv->count; i++)
        oll_strbuf_add(&text, parts[i].data, (size_t)parts[i].len);
    if (text.status != OLL_OK)
        status = OLL_FAIL(err, text.status, "%s: cannot be joined", charsmap_key);
    else if (text.len > 0 && oll_base64_decode(text.data, text.len, bytes, NULL) != OLL_OK)
        status = OLL_FAIL(err, OLL_ERR_FORMAT, "%s: its strings are no base64", charsmap_key);
done:
    oll_strbuf_free(&text);
    oll_free(parts);
    return status;
}

/* The bytes of the key, whichever way the file holds them. */
static oll_status read_blob(const struct oll_gguf *gguf, struct oll_strbuf *bytes,
                            struct oll_error *err)
{
    const struct oll_gguf_kv *kv = oll_gguf_find(gguf, charsmap_key);
    if (!kv || kv->count == 0)
        return OLL_OK;
    if (kv->type == OLL_GGUF_ARRAY && kv->elem_type == OLL_GGUF_STRING)
        return read_base64(kv, bytes, err);
    if (kv->type != OLL_GGUF_ARRAY ||
        (kv->elem_type != OLL_GGUF_U8 && kv->elem_type != OLL_GGUF_I8)) {
        oll_log_warn("tokenizer", "%s is no array of bytes and is ignored", charsmap_key);
        return OLL_OK;
    }
    oll_strbuf_add(bytes, kv->data, (size_t)kv->count);
    if (bytes->status != OLL_OK)
        return OLL_FAIL(err, bytes->status, "%s: %llu bytes; at most %d are taken", charsmap_key,
                        (unsigned long long)kv->count, CHARSMAP_MAX_BYTES);
    return OLL_OK;
}

oll_status charsmap_load(struct charsmap *map, const struct oll_gguf *gguf, struct oll_error *err)
{
    struct oll_strbuf bytes;
    uint32_t n_array = 0;
    oll_status status = OLL_OK;
    oll_strbuf_init(&bytes, CHARSMAP_MAX_BYTES);
    OLL_TRY_DONE(read_blob(gguf, &bytes, err));
    const char *blob = bytes.data;
    size_t n = bytes.len;
    if (n == 0)
        goto done;
    if (n >= 4)
        memcpy(&n_array, blob, 4);
    if (n < 4 || n_array > n - 4 || n_array % 4 != 0) {
        status = OLL_FAIL(err, OLL_ERR_FORMAT,
                          "tokenizer.ggml.precompiled_charsmap: %zu bytes cannot hold an array of "
                          "%u bytes",
                          n, (unsigned)n_array);
        goto done;
    }
    size_t n_strings = n - 4 - n_array;
    while (n_strings > 0 && blob[4 + n_array + n_strings - 1] != '\0')
        n_strings--;
    map->units = oll_alloc(n_array / 4 + 1, sizeof *map->units);
    map->strings = oll_alloc(n_strings + 1, 1);
    if (!map->units || !map->strings) {
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the normaliser");
        goto done;
    }
    memcpy(map->units, blob + 4, n_array);
    memcpy(map->strings, blob + 4 + n_array, n_strings);
    map->n_units = n_array / 4;
    map->n_strings = n_strings;
done:
    oll_strbuf_free(&bytes);
    return status;
}

void charsmap_free(struct charsmap *map)
{
    oll_free(map->units);
    oll_free(map->strings);
}
