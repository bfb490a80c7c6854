#include "server/create.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "registry/blob_write.h"
#include "registry/manifest_write.h"
#include "registry/store_gc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

oll_status create_fail400(struct create *c, oll_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    oll_error_setv(c->err, status, fmt, args);
    va_end(args);
    c->http_status = 400;
    return status;
}

oll_status create_tell(struct create *c, const char *text)
{
    if (!c->events->status(c->events->user, text, "", 0, 0))
        return OLL_FAIL(c->err, OLL_ERR_CANCELED, "the client went away");
    return OLL_OK;
}

/* ---- config ---- */

/* Strings of an array that are strings; *out is in the arena. */
static uint32_t take_strings(struct create *c, const struct oll_json *list, const char ***out)
{
    uint32_t n = 0;
    *out = oll_arena_alloc(c->arena, list->n ? list->n : 1, sizeof **out);
    for (const struct oll_json *s = list->first; s && *out; s = s->next)
        if (s->type == OLL_JSON_STRING)
            (*out)[n++] = s->str;
    return n;
}

static oll_status describe_model(struct create *c, const struct oll_layer *layer)
{
    struct oll_model_config *config = &c->config;
    struct oll_model_facts facts;
    char count[OLL_MODEL_FACTS_TEXT_MAX];
    const char *path;
    OLL_TRY(create_blob_path(c, &layer->digest, &path));
    OLL_TRY(oll_model_facts_read(models_facts(c->models), path, &facts, c->err));
    oll_model_facts_count_text(facts.n_params, count);
    config->format = "gguf";
    config->family = oll_arena_strdup(c->arena, facts.architecture);
    config->n_params = oll_arena_strdup(c->arena, count);
    config->quantization = oll_arena_strdup(c->arena, facts.quantization);
    config->families[config->n_families++] = config->family;
    return OLL_OK;
}

/* What the weights say, over what the parent's config said. */
static oll_status describe(struct create *c)
{
    struct oll_model_config *config = &c->config;
    uint32_t n_models = 0;
    for (uint32_t i = 0; i < c->n_layers; i++)
        n_models += oll_layer_is(&c->layers[i].layer, "model");
    if (n_models == 0)
        return OLL_OK;
    config->n_families = 0;
    config->families = oll_arena_alloc(c->arena, n_models, sizeof *config->families);
    if (!config->families)
        return OLL_FAIL(c->err, OLL_ERR_MEMORY, "out of memory for the config");
    for (uint32_t i = 0; i < c->n_layers; i++)
        if (oll_layer_is(&c->layers[i].layer, "model"))
            OLL_TRY(describe_model(c, &c->layers[i].layer));
    return OLL_OK;
}

static void set_text(const char **field, const char *value)
{
    if (value && *value)
        *field = value;
}

/* The family that was asked for goes in front of those that were found. */
static void override_family(struct create *c, const char *family)
{
    struct oll_model_config *config = &c->config;
    const char **list = oll_arena_alloc(c->arena, (size_t)config->n_families + 1, sizeof *list);
    if (!list)
        return;
    list[0] = config->family = family;
    for (uint32_t i = 0; i < config->n_families; i++)
        list[i + 1] = config->families[i];
    config->families = list;
    config->n_families++;
}

static oll_status finish_config(struct create *c)
{
    const struct create_request *r = c->request;
    const struct create_info *info = &r->info;
    struct oll_model_config *config = &c->config;
    OLL_TRY(describe(c));
    set_text(&config->renderer, r->renderer);
    set_text(&config->parser, r->parser);
    set_text(&config->requires_version, r->requires_version);
    if (info->family && *info->family)
        override_family(c, info->family);
    set_text(&config->n_params, info->n_params);
    set_text(&config->quantization, info->quantization);
    set_text(&config->base_name, info->base_name);
    if (info->capabilities)
        config->n_capabilities = take_strings(c, info->capabilities, &config->capabilities);
    if (info->context_length)
        config->context_length = info->context_length;
    if (info->embedding_length)
        config->embedding_length = info->embedding_length;
    return c->arena->status == OLL_OK
               ? OLL_OK
               : OLL_FAIL(c->err, c->arena->status, "out of memory for the config");
}

/* ---- manifest ---- */

static oll_status tell_layers(struct create *c)
{
    for (uint32_t i = 0; i < c->n_layers; i++) {
        char text[64 + OLL_DIGEST_TEXT_MAX], digest[OLL_DIGEST_TEXT_MAX];
        oll_digest_text(&c->layers[i].layer.digest, digest);
        if (c->template_name && oll_layer_is(&c->layers[i].layer, "template"))
            snprintf(text, sizeof text, "using autodetected template %s", c->template_name);
        else
            snprintf(text, sizeof text, "%s layer %s",
                     c->layers[i].existed ? "using existing" : "creating new", digest);
        OLL_TRY(create_tell(c, text));
    }
    return OLL_OK;
}

static oll_status put_config(struct create *c, struct oll_layer *out)
{
    struct oll_strbuf text;
    oll_strbuf_init(&text, OLL_MANIFEST_BYTES_MAX);
    oll_model_config_write(&c->config, &text);
    *out = (struct oll_layer){
        .media_type = oll_config_media_type, .from = "", .name = "", .size_bytes = text.len};
    oll_status status = text.status == OLL_OK ? oll_blob_put(c->store, c->lease, text.data,
                                                             text.len, &out->digest, NULL, c->err)
                                              : OLL_FAIL(c->err, text.status, "config too large");
    oll_strbuf_free(&text);
    return status;
}

/* Blobs that only the old manifest of this name used go; that they could not is no failure. */
static void drop_replaced(struct create *c, const char *old, size_t n_old,
                          const struct oll_strbuf *now)
{
    struct oll_digest *digests = NULL;
    struct oll_error why = {0};
    size_t n = 0;
    oll_status status = oll_catalog_replaced(old, n_old, now->data, now->len, &digests, &n, &why);
    if (status == OLL_OK)
        status = oll_store_drop_unused(c->store, digests, n, &why);
    if (status != OLL_OK)
        oll_log_warn("create", "couldn't remove unused layers: %s", oll_error_text(&why));
    oll_free(digests);
}

static oll_status write_manifest(struct create *c)
{
    struct oll_manifest m = {.n_layers = c->n_layers};
    struct oll_strbuf text;
    char *old = NULL;
    size_t n_old = 0;
    oll_strbuf_init(&text, OLL_MANIFEST_BYTES_MAX);
    m.layers = oll_arena_alloc(c->arena, c->n_layers ? c->n_layers : 1, sizeof *m.layers);
    if (!m.layers)
        return OLL_FAIL(c->err, OLL_ERR_MEMORY, "out of memory for the manifest");
    for (uint32_t i = 0; i < c->n_layers; i++)
        m.layers[i] = c->layers[i].layer;
    OLL_TRY(put_config(c, &m.config));
    oll_manifest_write(&m, true, &text);
    oll_status status =
        text.status == OLL_OK ? OLL_OK : OLL_FAIL(c->err, text.status, "manifest too large");
    if (status == OLL_OK)
        status = create_tell(c, "writing manifest");
    if (status == OLL_OK && oll_catalog_read(c->store, &c->target, &old, &n_old, NULL) != OLL_OK)
        old = NULL;
    if (status == OLL_OK)
        status = oll_catalog_write(c->store, &c->target, text.data, text.len, c->err);
    oll_lease_free(c->lease);
    c->lease = NULL;
    if (status == OLL_OK && old && c->prune)
        drop_replaced(c, old, n_old, &text);
    oll_free(old);
    oll_strbuf_free(&text);
    return status;
}

static oll_status run(struct create *c)
{
    const struct create_request *r = c->request;
    OLL_TRY(create_add_base(c));
    OLL_TRY(create_quantize(c, "model", r->quantize));
    OLL_TRY(create_add_adapters(c));
    OLL_TRY(create_quantize(c, "draft", r->draft_quantize));
    OLL_TRY(create_add_texts(c));
    OLL_TRY(finish_config(c));
    OLL_TRY(tell_layers(c));
    OLL_TRY(write_manifest(c));
    return create_tell(c, "success");
}

oll_status create_model(struct models *models, const struct create_request *request,
                        const struct create_events *events, struct oll_arena *arena, bool prune,
                        int *http_status, struct oll_error *err)
{
    struct create c = {.models = models,
                       .store = models_store(models),
                       .request = request,
                       .events = events,
                       .arena = arena,
                       .prune = prune,
                       .http_status = 500,
                       .config = {.format = "gguf"},
                       .err = err};
    oll_status status = OLL_OK;
    *http_status = 500;
    if (!c.store)
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "this server has no model store");
    OLL_TRY(oll_reference_parse(request->name, &c.target, err));
    OLL_TRY(oll_catalog_canonical(c.store, &c.target, err));
    c.layers = oll_arena_alloc(arena, CREATE_LAYERS_MAX, sizeof *c.layers);
    if (!c.layers)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the layers");
    status = oll_lease_new(c.store, &c.lease, err);
    if (status == OLL_OK)
        status = run(&c);
    oll_lease_free(c.lease);
    *http_status = c.http_status;
    return status;
}
