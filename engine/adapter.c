#include "engine/adapter.h"

#include "engine/base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 160 };

static bool str_is(struct oll_gguf_str s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, (size_t)s.len) == 0;
}

/* The key has this value; the text says what the file is for otherwise. */
static oll_status check_key(const struct oll_gguf *gguf, const char *key, const char *want,
                            struct oll_error *err)
{
    struct oll_gguf_str s = {.data = "missing", .len = 7};
    char found[64];
    oll_status status = oll_gguf_str(gguf, key, &s, err);
    if (status != OLL_OK && status != OLL_ERR_NOT_FOUND)
        return status;
    if (status == OLL_OK && str_is(s, want))
        return OLL_OK;
    return OLL_FAIL(err, OLL_ERR_FORMAT, "adapter does not fit base: %s is %s, expected %s", key,
                    oll_gguf_printable(s, found, sizeof found), want);
}

static oll_status read_facts(struct adapter *a, const char *architecture, struct oll_error *err)
{
    double alpha = NAN;
    OLL_TRY(check_key(a->gguf, "general.type", "adapter", err));
    OLL_TRY(check_key(a->gguf, "general.architecture", architecture, err));
    OLL_TRY(check_key(a->gguf, "adapter.type", "lora", err));
    oll_status status = oll_gguf_f64(a->gguf, "adapter.lora.alpha", &alpha, err);
    if (status != OLL_OK && status != OLL_ERR_NOT_FOUND)
        return status;
    if (!(fabs(alpha) <= 1e6))
        return OLL_FAIL(err, OLL_ERR_FORMAT,
                        "adapter.lora.alpha is missing or %g, expected a usable number", alpha);
    a->alpha = (float)alpha;
    a->used = oll_calloc((size_t)oll_gguf_n_tensors(a->gguf) + 1, sizeof *a->used);
    return a->used ? OLL_OK : OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for an adapter's tensors");
}

oll_status adapter_open(const char *path, const char *architecture, struct adapter *adapter,
                        struct oll_error *err)
{
    *adapter = (struct adapter){0};
    OLL_TRY(oll_gguf_open(path, &adapter->gguf, err));
    oll_status status = read_facts(adapter, architecture, err);
    if (status != OLL_OK)
        oll_error_prefix(err, "%s", path);
    return status;
}

void adapter_close(struct adapter *adapter)
{
    oll_free(adapter->used);
    oll_gguf_close(adapter->gguf);
    *adapter = (struct adapter){0};
}

static const struct oll_gguf_tensor *find(struct adapter *adapter, const char *name,
                                          const char *suffix)
{
    char full[NAME_MAX_BYTES];
    snprintf(full, sizeof full, "%s.%s", name, suffix);
    const struct oll_gguf_tensor *t = oll_gguf_find_tensor(adapter->gguf, full);
    if (t)
        adapter->used[t - oll_gguf_tensor_at(adapter->gguf, 0)] = true;
    return t;
}

/* [ne0, ne1] with nothing further. */
static bool has_shape(const struct oll_gguf_tensor *t, uint64_t ne0, uint64_t ne1)
{
    return t->ne[0] == ne0 && t->ne[1] == ne1 && t->ne[2] == 1 && t->ne[3] == 1;
}

oll_status adapter_find(struct adapter *adapter, const char *name, uint64_t n_in, uint64_t n_out,
                        struct adapter_pair *out, struct oll_error *err)
{
    const struct oll_gguf_tensor *a = find(adapter, name, "lora_a");
    const struct oll_gguf_tensor *b = find(adapter, name, "lora_b");
    *out = (struct adapter_pair){0};
    if (!a && !b)
        return OLL_OK;
    if (!a || !b)
        return OLL_FAIL(err, OLL_ERR_FORMAT,
                        "adapter does not fit base: tensor %s has lora_%c alone", name,
                        a ? 'a' : 'b');
    const uint64_t rank = a->ne[1];
    if (!has_shape(a, n_in, rank) || !has_shape(b, rank, n_out))
        return OLL_FAIL(err, OLL_ERR_FORMAT,
                        "adapter does not fit base: tensor %s [%" PRIu64 ", %" PRIu64
                        "] has lora_a [%" PRIu64 ", %" PRIu64 "] and lora_b [%" PRIu64 ", %" PRIu64
                        "]",
                        name, n_in, n_out, a->ne[0], a->ne[1], b->ne[0], b->ne[1]);
    if (rank > n_in && rank > n_out)
        return OLL_FAIL(err, OLL_ERR_LIMIT,
                        "adapter does not fit base: tensor %s has rank %" PRIu64, name, rank);
    *out = (struct adapter_pair){a, b, adapter->alpha / (float)rank};
    return OLL_OK;
}

oll_status adapter_check_used(const struct adapter *adapter, struct oll_error *err)
{
    char name[NAME_MAX_BYTES];
    for (uint64_t i = 0; i < oll_gguf_n_tensors(adapter->gguf); i++)
        if (!adapter->used[i])
            return OLL_FAIL(
                err, OLL_ERR_FORMAT,
                "adapter does not fit base: nothing in the model can take tensor %s "
                "(embeddings, heads, norms and experts cannot be adapted)",
                oll_gguf_printable(oll_gguf_tensor_at(adapter->gguf, i)->name, name, sizeof name));
    return OLL_OK;
}
