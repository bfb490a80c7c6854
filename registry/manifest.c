#include "registry/manifest.h"

#include "engine/base/json.h"
#include "engine/base/mem.h"

#include <string.h>

static const char kind_prefix[] = "application/vnd.ollama.image.";

static const struct oll_json_limits limits = {
    .max_depth = 16,
    .max_nodes = 64 * 1024,
    .max_members = 1024,
    .max_key_bytes = 256,
    .replace_utf8 = true,
};

static oll_status parse_object(struct oll_arena *arena, const char *text, size_t n,
                               struct oll_json **root, struct oll_error *err)
{
    if (n > OLL_MANIFEST_BYTES_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "document of %zu bytes, at most %d are read", n,
                        OLL_MANIFEST_BYTES_MAX);
    OLL_TRY(oll_json_parse(arena, text, n, &limits, root, err));
    if ((*root)->type != OLL_JSON_OBJECT)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "document is no JSON object");
    return OLL_OK;
}

static oll_status parse_layer(const struct oll_json *node, struct oll_layer *out,
                              struct oll_error *err)
{
    const struct oll_json *size = oll_json_get(node, "size");
    const char *digest = oll_json_get_str(node, "digest", NULL);
    if (node->type != OLL_JSON_OBJECT || !digest)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "layer without a digest at byte %zu", node->offset);
    out->media_type = oll_json_get_str(node, "mediaType", "");
    out->from = oll_json_get_str(node, "from", "");
    out->name = oll_json_get_str(node, "name", "");
    if (size && (size->type != OLL_JSON_NUMBER || !size->is_int || size->i < 0))
        return OLL_FAIL(err, OLL_ERR_FORMAT, "layer with a bad size at byte %zu", size->offset);
    out->size_bytes = size ? (uint64_t)size->i : 0;
    return oll_digest_parse(digest, &out->digest, err);
}

static oll_status hash_document(const char *text, size_t n, char id[OLL_SHA256_HEX + 1],
                                struct oll_error *err)
{
    uint8_t bytes[OLL_SHA256_BYTES];
    struct oll_sha256 *h = oll_sha256_new();
    if (!h)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a digest");
    oll_sha256_update(h, text, n);
    oll_sha256_final(h, bytes);
    oll_sha256_free(h);
    oll_sha256_hex(bytes, id);
    return OLL_OK;
}

static oll_status add_size(struct oll_manifest *m, uint64_t n, struct oll_error *err)
{
    if (!oll_add_u64(m->total_bytes, n, &m->total_bytes))
        return OLL_FAIL(err, OLL_ERR_FORMAT, "layer sizes beyond 64 bits");
    return OLL_OK;
}

oll_status oll_manifest_parse(struct oll_arena *arena, const char *text, size_t n,
                              struct oll_manifest *out, struct oll_error *err)
{
    struct oll_json *root;
    struct oll_manifest m = {0};
    OLL_TRY(parse_object(arena, text, n, &root, err));
    const struct oll_json *layers = oll_json_get(root, "layers");
    const struct oll_json *config = oll_json_get(root, "config");
    if (config && config->type == OLL_JSON_OBJECT && oll_json_get_str(config, "digest", "")[0]) {
        OLL_TRY(parse_layer(config, &m.config, err));
        OLL_TRY(add_size(&m, m.config.size_bytes, err));
    }
    if (layers && layers->type == OLL_JSON_ARRAY) {
        if (layers->n > OLL_MANIFEST_LAYERS_MAX)
            return OLL_FAIL(err, OLL_ERR_LIMIT, "manifest of %zu layers, at most %d", layers->n,
                            OLL_MANIFEST_LAYERS_MAX);
        m.layers = oll_arena_alloc(arena, layers->n, sizeof *m.layers);
        if (!m.layers)
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a manifest");
        for (const struct oll_json *l = layers->first; l; l = l->next) {
            OLL_TRY(parse_layer(l, &m.layers[m.n_layers], err));
            OLL_TRY(add_size(&m, m.layers[m.n_layers++].size_bytes, err));
        }
    }
    OLL_TRY(hash_document(text, n, m.id, err));
    *out = m;
    return OLL_OK;
}

bool oll_layer_is(const struct oll_layer *layer, const char *kind)
{
    size_t n = sizeof kind_prefix - 1;
    return strncmp(layer->media_type, kind_prefix, n) == 0 &&
           strcmp(layer->media_type + n, kind) == 0;
}

/* Strings of an array; *out stays NULL when there is no such array. */
static oll_status parse_list(struct oll_arena *arena, const struct oll_json *root, const char *key,
                             const char ***out, uint32_t *n, struct oll_error *err)
{
    const struct oll_json *list = oll_json_get(root, key);
    if (!list || list->type != OLL_JSON_ARRAY)
        return OLL_OK;
    *out = oll_arena_alloc(arena, list->n ? list->n : 1, sizeof **out);
    if (!*out)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a model's config");
    for (const struct oll_json *s = list->first; s; s = s->next)
        if (s->type == OLL_JSON_STRING)
            (*out)[(*n)++] = s->str;
    return OLL_OK;
}

static uint64_t count_of(const struct oll_json *root, const char *key)
{
    const struct oll_json *v = oll_json_get(root, key);
    return v && v->type == OLL_JSON_NUMBER && v->is_int && v->i > 0 ? (uint64_t)v->i : 0;
}

oll_status oll_model_config_parse(struct oll_arena *arena, const char *text, size_t n,
                                  struct oll_model_config *out, struct oll_error *err)
{
    struct oll_json *root;
    struct oll_model_config c = {0};
    OLL_TRY(parse_object(arena, text, n, &root, err));
    c.format = oll_json_get_str(root, "model_format", "");
    if (!*c.format)
        c.format = "gguf";
    c.family = oll_json_get_str(root, "model_family", "");
    c.n_params = oll_json_get_str(root, "model_type", "");
    c.quantization = oll_json_get_str(root, "file_type", "");
    c.renderer = oll_json_get_str(root, "renderer", "");
    c.parser = oll_json_get_str(root, "parser", "");
    c.requires_version = oll_json_get_str(root, "requires", "");
    c.remote_host = oll_json_get_str(root, "remote_host", "");
    c.remote_model = oll_json_get_str(root, "remote_model", "");
    c.base_name = oll_json_get_str(root, "base_name", "");
    c.draft = oll_json_get(root, "draft");
    if (c.draft && c.draft->type != OLL_JSON_OBJECT)
        c.draft = NULL;
    c.context_length = count_of(root, "context_length");
    c.embedding_length = count_of(root, "embedding_length");
    OLL_TRY(parse_list(arena, root, "model_families", &c.families, &c.n_families, err));
    OLL_TRY(parse_list(arena, root, "capabilities", &c.capabilities, &c.n_capabilities, err));
    *out = c;
    return OLL_OK;
}
