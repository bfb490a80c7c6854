/* The list of layers, and those that hold texts and settings (store-and-registry 10.4). */
#include "engine/base/mem.h"
#include "engine/chat/go_template.h"
#include "registry/blob_write.h"
#include "registry/manifest_write.h"
#include "server/create.h"

#include <stdlib.h>
#include <string.h>

enum { DOCUMENT_BYTES_MAX = 64 * 1024 * 1024 };

/* ---- the list ---- */

oll_status create_add_layer(struct create *c, const struct create_layer *layer)
{
    if (c->n_layers == CREATE_LAYERS_MAX)
        return create_fail400(c, OLL_ERR_LIMIT, "a model of more than %d layers",
                              CREATE_LAYERS_MAX);
    c->layers[c->n_layers++] = *layer;
    return OLL_OK;
}

oll_status create_put_layer(struct create *c, const char *kind, const void *data, size_t n)
{
    struct create_layer l = {.is_new = true, .layer = {.from = "", .name = "", .size_bytes = n}};
    OLL_TRY(oll_blob_put(c->store, c->lease, data, n, &l.layer.digest, &l.existed, c->err));
    l.layer.media_type = oll_media_type(c->arena, kind);
    return create_add_layer(c, &l);
}

void create_drop_layers(struct create *c, const char *kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_layers; i++)
        if (!oll_layer_is(&c->layers[i].layer, kind))
            c->layers[n++] = c->layers[i];
    c->n_layers = n;
}

const struct oll_layer *create_find_layer(const struct create *c, const char *kind)
{
    for (uint32_t i = c->n_layers; i > 0; i--)
        if (oll_layer_is(&c->layers[i - 1].layer, kind))
            return &c->layers[i - 1].layer;
    return NULL;
}

/* ---- texts ---- */

static oll_status put_text(struct create *c, const char *kind, const char *text)
{
    if (!*text)
        return OLL_OK;
    create_drop_layers(c, kind);
    return create_put_layer(c, kind, text, strlen(text));
}

static oll_status put_template(struct create *c)
{
    const char *text = c->request->template_text;
    struct go_template *parsed = NULL;
    struct oll_error why = {0};
    if (!*text)
        return OLL_OK;
    oll_status status = go_template_parse(text, strlen(text), &parsed, &why);
    go_template_free(parsed);
    if (status != OLL_OK)
        return create_fail400(c, status, "template error: %s", oll_error_text(&why));
    create_drop_layers(c, "prompt"); /* the old name of the same thing */
    c->template_name = NULL;
    return put_text(c, "template", text);
}

static oll_status put_license(struct create *c, const struct oll_json *license)
{
    if (license->type != OLL_JSON_STRING || license->str_len == 0)
        return OLL_OK;
    return create_put_layer(c, "license", license->str, license->str_len);
}

static oll_status put_licenses(struct create *c)
{
    const struct oll_json *license = c->request->license;
    if (!license)
        return OLL_OK;
    if (license->type != OLL_JSON_ARRAY)
        return put_license(c, license);
    for (const struct oll_json *l = license->first; l; l = l->next)
        OLL_TRY(put_license(c, l));
    return OLL_OK;
}

/* ---- parameters ---- */

static int compare_members(const void *a, const void *b)
{
    const struct oll_json *x = *(const struct oll_json *const *)a;
    const struct oll_json *y = *(const struct oll_json *const *)b;
    const uint32_t n = x->key_len < y->key_len ? x->key_len : y->key_len;
    const int order = memcmp(x->key, y->key, n);
    return order ? order : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

/* Members of both objects by key; those of `over` win. *members is in the arena. */
static size_t merge(struct create *c, const struct oll_json *base, const struct oll_json *over,
                    const struct oll_json ***members)
{
    const size_t max = (base ? base->n : 0) + (over ? over->n : 0);
    const struct oll_json **list = oll_arena_alloc(c->arena, max ? max : 1, sizeof(void *));
    size_t n = 0;
    if (!list)
        return 0;
    for (const struct oll_json *m = over ? over->first : NULL; m; m = m->next)
        list[n++] = m;
    for (const struct oll_json *m = base ? base->first : NULL; m; m = m->next)
        if (!oll_json_get(over, m->key))
            list[n++] = m;
    qsort(list, n, sizeof *list, compare_members);
    *members = list;
    return n;
}

static oll_status put_document(struct create *c, const char *kind, struct oll_strbuf *text)
{
    oll_status status = text->status;
    if (status == OLL_OK)
        status = create_put_layer(c, kind, text->data, text->len);
    else
        status = OLL_FAIL(c->err, status, "the %s are too large", kind);
    oll_strbuf_free(text);
    return status;
}

static oll_status put_params(struct create *c)
{
    const struct oll_json **members = NULL;
    struct oll_strbuf text;
    struct oll_json_writer w;
    size_t n = merge(c, c->base_params, c->request->parameters, &members);
    create_drop_layers(c, "params");
    if (n == 0)
        return OLL_OK;
    oll_strbuf_init(&text, DOCUMENT_BYTES_MAX);
    oll_json_write_init(&w, &text);
    oll_json_write_object_begin(&w);
    for (size_t i = 0; i < n; i++) {
        oll_json_write_keyn(&w, members[i]->key, members[i]->key_len);
        oll_json_write_node(&w, members[i], true);
    }
    oll_json_write_object_end(&w);
    oll_strbuf_addc(&text, '\n');
    return put_document(c, "params", &text);
}

/* ---- messages ---- */

static void write_message(struct oll_json_writer *w, const struct oll_json *message)
{
    static const char *const optional[] = {"thinking", "images", "tool_calls", "tool_name",
                                           "tool_call_id"};
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "role");
    oll_json_write_str(w, oll_json_get_str(message, "role", ""));
    oll_json_write_key(w, "content");
    oll_json_write_str(w, oll_json_get_str(message, "content", ""));
    for (size_t i = 0; i < sizeof optional / sizeof optional[0]; i++) {
        const struct oll_json *v = oll_json_get_fold(message, optional[i]);
        const bool is_empty = !v || v->type == OLL_JSON_NULL ||
                              (v->type == OLL_JSON_STRING && v->str_len == 0) ||
                              (v->type == OLL_JSON_ARRAY && v->n == 0);
        if (is_empty)
            continue;
        oll_json_write_key(w, optional[i]);
        oll_json_write_node(w, v, false);
    }
    oll_json_write_object_end(w);
}

static oll_status put_messages(struct create *c)
{
    const struct oll_json *messages = c->request->messages;
    struct oll_strbuf text;
    struct oll_json_writer w;
    if (!messages || messages->n == 0)
        return OLL_OK;
    for (const struct oll_json *m = messages->first; m; m = m->next)
        if (m->type != OLL_JSON_OBJECT)
            return create_fail400(c, OLL_ERR_ARG, "messages must be objects");
    create_drop_layers(c, "messages");
    oll_strbuf_init(&text, DOCUMENT_BYTES_MAX);
    oll_json_write_init(&w, &text);
    oll_json_write_array_begin(&w);
    for (const struct oll_json *m = messages->first; m; m = m->next)
        write_message(&w, m);
    oll_json_write_array_end(&w);
    oll_strbuf_addc(&text, '\n');
    return put_document(c, "messages", &text);
}

oll_status create_add_texts(struct create *c)
{
    OLL_TRY(put_template(c));
    OLL_TRY(put_text(c, "system", c->request->system));
    OLL_TRY(put_licenses(c));
    OLL_TRY(put_params(c));
    return put_messages(c);
}
