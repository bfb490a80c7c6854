/* Opens bytes as a model file and, when that succeeds, uses everything a caller can reach: each
 * metadata value as each type, each string, the first and last byte and the decoded first row of
 * each tensor. */
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "gguf/gguf.h"
#include "kernels/quant.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static volatile unsigned sink;

static void use_bytes(const void *data, uint64_t n)
{
    const unsigned char *bytes = data;
    if (n)
        sink += bytes[0] + bytes[n / 2] + bytes[n - 1];
}

static void use_strings(const struct oll_gguf_kv *kv)
{
    struct oll_gguf_str *strings = oll_alloc((size_t)kv->count, sizeof *strings);
    char text[64];
    if (strings && oll_gguf_kv_strings(kv, strings, NULL) == OLL_OK)
        for (uint64_t i = 0; i < kv->count; i++) {
            use_bytes(strings[i].data, strings[i].len);
            sink += (unsigned)strlen(oll_gguf_printable(strings[i], text, sizeof text));
        }
    oll_free(strings);
}

static void use_value(const struct oll_gguf_kv *kv)
{
    uint64_t at[] = {0, kv->count / 2, kv->count - 1};
    use_bytes(kv->data, kv->data_bytes);
    for (int i = 0; kv->count > 0 && i < 3; i++) {
        uint64_t u = 0;
        int64_t s = 0;
        double f = 0;
        bool b = false;
        struct oll_error err = {0};
        sink += oll_gguf_kv_u64(kv, at[i], &u, &err) == OLL_OK;
        sink += oll_gguf_kv_i64(kv, at[i], &s, &err) == OLL_OK;
        sink += oll_gguf_kv_f64(kv, at[i], &f, &err) == OLL_OK;
        sink += oll_gguf_kv_bool(kv, at[i], &b, &err) == OLL_OK;
    }
    use_strings(kv);
}

/* The file holds the row, so its size bounds what is allocated. */
static void use_row(const struct oll_gguf_tensor *tensor, const unsigned char *values)
{
    float *row = oll_alloc((size_t)tensor->ne[0], sizeof *row);
    if (row) {
        oll_dequantize_row(tensor->dtype, values, row, (size_t)tensor->ne[0]);
        use_bytes(row, tensor->ne[0] * sizeof *row);
    }
    oll_free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct oll_gguf *gguf = NULL;
    struct oll_error err = {0};
    oll_log_set_level(OLL_LOG_ERROR); /* odd bools warn */
    if (oll_gguf_open_memory(data, n_bytes, "fuzz", &gguf, &err) != OLL_OK) {
        OLL_ASSERT(!gguf && err.text[0] != '\0' && !strchr(err.text, '\n'));
        return 0;
    }
    for (uint64_t i = 0; i < oll_gguf_n_kv(gguf); i++)
        use_value(oll_gguf_kv_at(gguf, i));
    for (uint64_t i = 0; i < oll_gguf_n_tensors(gguf); i++) {
        const struct oll_gguf_tensor *tensor = oll_gguf_tensor_at(gguf, i);
        const unsigned char *values = NULL;
        OLL_ASSERT(tensor->data >= data && tensor->n_bytes <= n_bytes &&
                   tensor->data + tensor->n_bytes <= data + n_bytes);
        if (oll_gguf_data(gguf, tensor, &values, &err) == OLL_OK) {
            use_bytes(values, tensor->n_bytes);
            use_row(tensor, values);
        }
    }
    oll_gguf_close(gguf);
    return 0;
}
