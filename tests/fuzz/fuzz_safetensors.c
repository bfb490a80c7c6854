/* What a conversion parses. The first byte says what: a safetensors file, a tokenizer.model, the
 * pre-tokenizer of a tokenizer.json, a config.json. Whatever is accepted lies within its file and
 * its limits. */
#include "engine/convert/convert_internal.h"

#include "engine/base/mem.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void use_file(const uint8_t *data, size_t n)
{
    struct safetensors *st = NULL;
    if (safetensors_open_memory(data, n, "fuzz", &st, NULL) != OLL_OK)
        return;
    for (uint64_t i = 0; i < safetensors_count(st); i++) {
        const struct safetensors_tensor *t = safetensors_at(st, i);
        OLL_ASSERT(t->name && t->type_name && t->n_dims <= SAFETENSORS_DIMS_MAX);
        OLL_ASSERT(t->data >= data && t->data + t->n_bytes <= data + n);
        volatile unsigned char touched = t->n_bytes ? t->data[0] + t->data[t->n_bytes - 1] : 0;
        (void)touched;
    }
    safetensors_close(st);
}

static void use_pieces(struct convert *c, const uint8_t *data, size_t n)
{
    struct convert_vocab vocab;
    bool space_prefix;
    if (convert_read_spm(c, data, n, 3, &vocab, &space_prefix) != OLL_OK)
        return;
    for (uint64_t i = 0; i < vocab.n; i++) {
        OLL_ASSERT(vocab.types[i] >= 1 && vocab.types[i] <= 6);
        OLL_ASSERT(vocab.tokens[i].len <= n);
    }
}

static void use_steps(struct convert *c, const uint8_t *data, size_t n)
{
    struct oll_json *root;
    const char *name;
    if (oll_json_parse(&c->arena, (const char *)data, n, NULL, &root, NULL) == OLL_OK &&
        convert_pre_name(c, root, false, &name) == OLL_OK)
        OLL_ASSERT(name != NULL);
}

static void use_config(struct convert *c, const uint8_t *data, size_t n)
{
    struct oll_json *root;
    if (oll_json_parse(&c->arena, (const char *)data, n, NULL, &root, NULL) != OLL_OK ||
        convert_take_config(c, root) != OLL_OK)
        return;
    OLL_ASSERT(c->arch && c->n_head > 0 && c->n_head_kv > 0 && c->head_dim > 0);
    if (convert_put_config(c) == OLL_OK)
        OLL_ASSERT(c->n_kvs > 5 && c->n_kvs <= CONVERT_KEYS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct oll_error err = {0};
    if (n_bytes == 0)
        return 0;
    struct convert *c = oll_calloc(1, sizeof *c);
    if (!c)
        return 0;
    c->err = &err;
    oll_arena_init(&c->arena, 64 << 20);
    switch (data[0] % 4) {
    case 0: use_file(data + 1, n_bytes - 1); break;
    case 1: use_pieces(c, data + 1, n_bytes - 1); break;
    case 2: use_steps(c, data + 1, n_bytes - 1); break;
    default: use_config(c, data + 1, n_bytes - 1); break;
    }
    oll_free(c->tensors);
    oll_arena_free(&c->arena);
    oll_free(c);
    return 0;
}
