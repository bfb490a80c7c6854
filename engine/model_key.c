#include "engine/model_key.h"

#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "engine/base/sha256.h"
#include "engine/base/version.h"

#include <string.h>
#include <sys/stat.h>

enum { SAMPLE_BYTES = 4096 };

/* Texts are told apart by their ends. */
static void add_text(struct oll_sha256 *h, const char *text)
{
    oll_sha256_update(h, text, strlen(text) + 1);
}

static void add_u64(struct oll_sha256 *h, uint64_t v) { oll_sha256_update(h, &v, sizeof v); }

static void add_tensor(struct oll_sha256 *h, const struct oll_gguf_tensor *t)
{
    const size_t n = t->n_bytes < SAMPLE_BYTES ? (size_t)t->n_bytes : SAMPLE_BYTES;
    add_u64(h, t->name.len);
    oll_sha256_update(h, t->name.data, (size_t)t->name.len);
    oll_sha256_update(h, t->ne, sizeof t->ne);
    add_u64(h, (uint64_t)t->dtype);
    add_u64(h, t->n_bytes);
    oll_sha256_update(h, t->data, n);
    oll_sha256_update(h, t->data + t->n_bytes - n, n);
}

static void add_file(struct oll_sha256 *h, const struct oll_gguf *gguf)
{
    struct stat st = {0};
    add_u64(h, oll_gguf_file_bytes(gguf));
    if (stat(oll_gguf_path(gguf), &st) == 0) {
        add_u64(h, (uint64_t)st.st_mtim.tv_sec);
        add_u64(h, (uint64_t)st.st_mtim.tv_nsec);
    }
    add_u64(h, oll_gguf_n_kv(gguf));
    for (uint64_t i = 0; i < oll_gguf_n_kv(gguf); i++) {
        const struct oll_gguf_kv *kv = oll_gguf_kv_at(gguf, i);
        add_u64(h, kv->key.len);
        oll_sha256_update(h, kv->key.data, (size_t)kv->key.len);
        add_u64(h, (uint64_t)kv->type << 8 | (uint64_t)kv->elem_type);
        add_u64(h, kv->data_bytes);
        oll_sha256_update(h, kv->data, (size_t)kv->data_bytes);
    }
    add_u64(h, oll_gguf_n_tensors(gguf));
    for (uint64_t i = 0; i < oll_gguf_n_tensors(gguf); i++)
        add_tensor(h, oll_gguf_tensor_at(gguf, i));
}

static oll_status add_ropes(struct oll_sha256 *h, const struct oll_model *model, uint32_t n_ctx,
                            struct oll_error *err)
{
    for (size_t i = 0; i < sizeof model->hp.ropes / sizeof *model->hp.ropes; i++) {
        const struct rope_params *rope = &model->hp.ropes[i];
        if (rope->n_rot == 0)
            continue;
        float *freq = oll_calloc(rope->n_rot, sizeof *freq);
        if (!freq)
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the key of a model");
        const float magnitude = rope_frequencies(rope, n_ctx, freq);
        oll_sha256_update(h, freq, rope->n_rot * sizeof *freq);
        oll_sha256_update(h, &magnitude, sizeof magnitude);
        oll_free(freq);
    }
    return OLL_OK;
}

oll_status model_key(const struct oll_model *model, enum oll_dtype kv_dtype, uint32_t n_ctx,
                     uint8_t out[32], struct oll_error *err)
{
    char cpu[128];
    struct oll_sha256 *h = oll_sha256_new();
    if (!h)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the key of a model");
    oll_platform_cpu_name(cpu, sizeof cpu);
    add_text(h, "oll kv page 1");
    add_text(h, OLL_VERSION);
    add_text(h, cpu);
    add_u64(h, (uint64_t)kv_dtype);
    for (uint32_t il = 0; il < model->hp.n_layer; il++)
        add_text(h, model->devices[model->placement.layer_device[il]].dev->ops->name);
    add_file(h, model->gguf);
    add_text(h, model->adapter.gguf ? "adapter" : "");
    if (model->adapter.gguf)
        add_file(h, model->adapter.gguf);
    oll_status status = add_ropes(h, model, n_ctx, err);
    if (status == OLL_OK)
        oll_sha256_final(h, out);
    oll_sha256_free(h);
    return status;
}
