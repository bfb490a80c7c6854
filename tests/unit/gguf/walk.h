/* Touches everything an open model gives access to, for tests of damaged files: whatever the reader
 * accepts must be usable. */
#ifndef OLL_GGUF_WALK_H
#define OLL_GGUF_WALK_H

#include "engine/base/mem.h"
#include "gguf/gguf.h"

#include <string.h>

static volatile unsigned char walk_sink;

static inline void walk_bytes(const void *data, uint64_t n)
{
    unsigned char sum = 0;
    for (uint64_t i = 0; i < n; i++)
        sum = (unsigned char)(sum + ((const unsigned char *)data)[i]);
    walk_sink = sum;
}

static inline void walk_kv(const struct oll_gguf_kv *kv)
{
    char text[40];
    oll_gguf_printable(kv->key, text, sizeof text);
    walk_bytes(kv->data, kv->data_bytes);
    if (kv->elem_type == OLL_GGUF_STRING) {
        struct oll_gguf_str *s = oll_alloc((size_t)kv->count, sizeof *s);
        OLL_ASSERT(s && oll_gguf_kv_strings(kv, s, NULL) == OLL_OK);
        for (uint64_t i = 0; i < kv->count; i++)
            walk_bytes(s[i].data, s[i].len);
        oll_free(s);
        return;
    }
    for (uint64_t i = 0; i <= kv->count; i++) { /* one beyond: refused, not read */
        uint64_t u;
        int64_t v;
        double d;
        bool b;
        const oll_status status = oll_gguf_kv_f64(kv, i, &d, NULL);
        OLL_ASSERT((status == OLL_OK) == (i < kv->count));
        walk_sink =
            (unsigned char)(oll_gguf_kv_u64(kv, i, &u, NULL) + oll_gguf_kv_i64(kv, i, &v, NULL) +
                            oll_gguf_kv_bool(kv, i, &b, NULL));
    }
}

static inline void walk_gguf(struct oll_gguf *gguf)
{
    for (uint64_t i = 0; i < oll_gguf_n_kv(gguf); i++)
        walk_kv(oll_gguf_kv_at(gguf, i));
    for (uint64_t i = 0; i < oll_gguf_n_tensors(gguf); i++) {
        const struct oll_gguf_tensor *t = oll_gguf_tensor_at(gguf, i);
        const unsigned char *data = NULL;
        char name[OLL_GGUF_MAX_NAME + 1] = {0};
        memcpy(name, t->name.data, (size_t)t->name.len);
        OLL_ASSERT(memchr(name, 0, (size_t)t->name.len) || oll_gguf_find_tensor(gguf, name) == t);
        OLL_ASSERT(oll_gguf_data(gguf, t, &data, NULL) == OLL_OK);
        walk_bytes(data, t->n_bytes);
    }
}

#endif
