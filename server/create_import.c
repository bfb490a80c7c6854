/* Published models on their way in: conversion, and the template that a model's own behaves like
 * (store-and-registry 10.2, 10.6). */
#include "engine/base/mem.h"
#include "engine/chat/detect.h"
#include "engine/chat/jinja_native.h"
#include "engine/convert/convert.h"
#include "registry/blob_write.h"
#include "registry/manifest_write.h"
#include "registry/model_info.h"
#include "server/create.h"

#include <string.h>

enum { TEMPLATE_BYTES_MAX = 1024 * 1024 };

/* ---- safetensors ---- */

/* Keeps a client that waits from being taken for gone, and stops when it is. */
static bool still_wanted(void *user, uint64_t done, uint64_t total)
{
    struct create *c = user;
    return c->events->status(c->events->user, "converting model", "0000000000000000000", total,
                             done);
}

oll_status create_convert(struct create *c, const struct create_file *files, size_t n)
{
    const struct oll_convert_options options = {.progress = still_wanted, .user = c};
    struct oll_convert_file *list = oll_arena_alloc(c->arena, n, sizeof *list);
    struct create_layer l = {.is_new = true};
    struct oll_blob_writer *w = NULL;
    struct oll_error why = {0};
    if (!list)
        return OLL_FAIL(c->err, OLL_ERR_MEMORY, "out of memory for the list of files");
    for (size_t i = 0; i < n; i++)
        list[i] = (struct oll_convert_file){files[i].name, files[i].path};
    OLL_TRY(create_tell(c, "converting model"));
    OLL_TRY(oll_blob_writer_new(c->store, c->lease, &w, c->err));
    const struct oll_gguf_sink sink = {create_sink_write, w};
    oll_status status = oll_convert_model(list, n, &sink, &options, &why);
    if (status != OLL_OK) {
        oll_blob_writer_free(w);
        /* What is wrong with the files is the request's fault. */
        if (status == OLL_ERR_FORMAT || status == OLL_ERR_UNSUPPORTED ||
            status == OLL_ERR_NOT_FOUND || status == OLL_ERR_LIMIT)
            return create_fail400(c, status, "%s", why.text);
        return OLL_FAIL(c->err, status, "%s", why.text);
    }
    OLL_TRY(create_finish_blob(c, w, &l));
    l.layer.media_type = oll_media_type(c->arena, "model");
    return create_add_layer(c, &l);
}

/* ---- templates ---- */

/* The model's own template, opened for the end-of-sequence text that was asked for last. */
struct own_template {
    const struct oll_strbuf *text;
    struct jinja_native *native;
    char eos[64];
};

static oll_status render_own(void *context, const struct chat_conversation *conversation,
                             const char *eos_token, struct oll_strbuf *out, struct oll_error *err)
{
    struct own_template *own = context;
    const struct jinja_native_params params = {.bos = "", .eos = eos_token};
    if (strlen(eos_token) >= sizeof own->eos)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "an end-of-sequence text of %zu bytes",
                        strlen(eos_token));
    if (!own->native || strcmp(own->eos, eos_token) != 0) {
        oll_jinja_native_free(own->native);
        own->native = NULL;
        OLL_TRY(oll_jinja_native_open(own->text->data, own->text->len, &params, &own->native, err));
        memcpy(own->eos, eos_token, strlen(eos_token) + 1);
    }
    return oll_jinja_native_render(own->native, conversation, 0, out, err);
}

/* {"stop": [...]} of up to NAMED_STOPS_MAX texts; NULL when memory is short. */
static const struct oll_json *stops_of(struct create *c, const char *const *stops)
{
    struct oll_strbuf text;
    struct oll_json_writer w;
    struct oll_json *root = NULL;
    oll_strbuf_init(&text, TEMPLATE_BYTES_MAX);
    oll_json_write_init(&w, &text);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "stop");
    oll_json_write_array_begin(&w);
    for (int i = 0; i < NAMED_STOPS_MAX && stops[i]; i++)
        oll_json_write_str(&w, stops[i]);
    oll_json_write_array_end(&w);
    oll_json_write_object_end(&w);
    if (text.status != OLL_OK ||
        oll_json_parse(c->arena, text.data, text.len, NULL, &root, NULL) != OLL_OK)
        root = NULL;
    oll_strbuf_free(&text);
    return root;
}

static oll_status use_stops(struct create *c, const char *const *stops)
{
    if (!stops[0])
        return OLL_OK;
    c->base_params = stops_of(c, stops);
    return c->base_params ? OLL_OK
                          : OLL_FAIL(c->err, OLL_ERR_MEMORY, "out of memory for stop strings");
}

static oll_status use_named(struct create *c, const struct named_template *t)
{
    OLL_TRY(create_put_layer(c, "template", t->text, strlen(t->text)));
    c->template_name = t->name;
    return use_stops(c, t->stops);
}

/* Families whose format no template states (templates-and-constraints 5.3). What the request says
 * comes later and wins. */
static oll_status use_family(struct create *c, const char *path)
{
    static const struct {
        const char *architecture, *name; /* of renderer and parser */
        const char *stops[NAMED_STOPS_MAX];
    } families[] = {
        {"gemma4", "gemma4", {"<turn|>"}},
        {"laguna", "laguna", {NULL}},
        {"nemotron_h", "nemotron-3-nano", {NULL}},
        {"nemotron_h_moe", "nemotron-3-nano", {NULL}},
        {"nemotron_h_omni", "nemotron-3-nano", {NULL}},
    };
    struct oll_model_facts facts;
    OLL_TRY(oll_model_facts_read(models_facts(c->models), path, &facts, c->err));
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(facts.architecture, families[i].architecture) == 0) {
            c->config.renderer = c->config.parser = families[i].name;
            return use_stops(c, families[i].stops);
        }
    return OLL_OK;
}

oll_status create_detect_template(struct create *c)
{
    const struct oll_layer *model = create_find_layer(c, "model");
    const struct named_template *found = NULL;
    const char *path;
    struct oll_strbuf text;
    if (!model)
        return OLL_OK;
    OLL_TRY(create_blob_path(c, &model->digest, &path));
    oll_strbuf_init(&text, TEMPLATE_BYTES_MAX);
    struct own_template own = {.text = &text};
    oll_status status = oll_model_info_write(path, NULL, NULL, NULL, &text, c->err);
    if (status == OLL_OK && text.status == OLL_OK && text.len > 0)
        status = chat_detect_named(render_own, &own, &found, c->err);
    oll_jinja_native_free(own.native);
    oll_strbuf_free(&text);
    if (status == OLL_OK && found)
        status = use_named(c, found);
    return status == OLL_OK ? use_family(c, path) : status;
}
