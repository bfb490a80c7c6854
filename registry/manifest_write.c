#include "registry/manifest_write.h"

const char oll_manifest_media_type[] = "application/vnd.docker.distribution.manifest.v2+json";
const char oll_config_media_type[] = "application/vnd.docker.container.image.v1+json";

static void member(struct oll_json_writer *w, const char *key, const char *value)
{
    oll_json_write_key(w, key);
    oll_json_write_str(w, value ? value : "");
}

static void optional(struct oll_json_writer *w, const char *key, const char *value)
{
    if (value && *value)
        member(w, key, value);
}

static void optional_count(struct oll_json_writer *w, const char *key, uint64_t value)
{
    if (value == 0)
        return;
    oll_json_write_key(w, key);
    oll_json_write_uint(w, value);
}

static void list(struct oll_json_writer *w, const char *const *items, uint32_t n)
{
    oll_json_write_array_begin(w);
    for (uint32_t i = 0; i < n; i++)
        oll_json_write_str(w, items[i]);
    oll_json_write_array_end(w);
}

static void layer(struct oll_json_writer *w, const struct oll_layer *l)
{
    char digest[OLL_DIGEST_TEXT_MAX] = "";
    if (l->media_type)
        oll_digest_text(&l->digest, digest);
    oll_json_write_object_begin(w);
    member(w, "mediaType", l->media_type);
    member(w, "digest", digest);
    oll_json_write_key(w, "size");
    oll_json_write_uint(w, l->size_bytes);
    optional(w, "from", l->from);
    optional(w, "name", l->name);
    oll_json_write_object_end(w);
}

void oll_manifest_write(const struct oll_manifest *manifest, bool newline, struct oll_strbuf *out)
{
    struct oll_json_writer w;
    oll_json_write_init(&w, out);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "schemaVersion");
    oll_json_write_int(&w, 2);
    member(&w, "mediaType", oll_manifest_media_type);
    oll_json_write_key(&w, "config");
    layer(&w, &manifest->config);
    oll_json_write_key(&w, "layers");
    if (manifest->layers) {
        oll_json_write_array_begin(&w);
        for (uint32_t i = 0; i < manifest->n_layers; i++)
            layer(&w, &manifest->layers[i]);
        oll_json_write_array_end(&w);
    } else {
        oll_json_write_null(&w);
    }
    oll_json_write_object_end(&w);
    if (newline)
        oll_strbuf_addc(out, '\n');
}

void oll_model_config_write(const struct oll_model_config *config, struct oll_strbuf *out)
{
    struct oll_json_writer w;
    oll_json_write_init(&w, out);
    oll_json_write_object_begin(&w);
    member(&w, "model_format", config->format);
    member(&w, "model_family", config->family);
    oll_json_write_key(&w, "model_families");
    if (config->families)
        list(&w, config->families, config->n_families);
    else
        oll_json_write_null(&w);
    member(&w, "model_type", config->n_params);
    member(&w, "file_type", config->quantization);
    optional(&w, "renderer", config->renderer);
    optional(&w, "parser", config->parser);
    optional(&w, "requires", config->requires_version);
    optional(&w, "remote_host", config->remote_host);
    optional(&w, "remote_model", config->remote_model);
    if (config->n_capabilities) {
        oll_json_write_key(&w, "capabilities");
        list(&w, config->capabilities, config->n_capabilities);
    }
    optional_count(&w, "context_length", config->context_length);
    optional_count(&w, "embedding_length", config->embedding_length);
    optional(&w, "base_name", config->base_name);
    if (config->draft) {
        oll_json_write_key(&w, "draft");
        oll_json_write_node(&w, config->draft, false);
    }
    member(&w, "architecture", "amd64");
    member(&w, "os", "linux");
    oll_json_write_object_end(&w);
    oll_strbuf_addc(out, '\n');
}

void oll_params_write(const struct oll_json *params, struct oll_strbuf *out)
{
    struct oll_json_writer w;
    oll_json_write_init(&w, out);
    oll_json_write_node(&w, params, true);
    oll_strbuf_addc(out, '\n');
}

const char *oll_media_type(struct oll_arena *arena, const char *kind)
{
    return oll_arena_printf(arena, "application/vnd.ollama.image.%s", kind);
}
