/* Where the weights of a new model come from (store-and-registry 10.2, 10.3). */
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/convert/quantize.h"
#include "registry/blob_write.h"
#include "registry/gguf_import.h"
#include "registry/manifest_write.h"
#include "registry/pull.h"
#include "server/create.h"
#include "server/env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILES_MAX = 4096 };

oll_status create_blob_path(struct create *c, const struct oll_digest *digest, const char **path)
{
    char *text = NULL;
    OLL_TRY(oll_blob_path(c->store, digest, &text, c->err));
    *path = oll_arena_strdup(c->arena, text);
    oll_free(text);
    return *path ? OLL_OK : OLL_FAIL(c->err, OLL_ERR_MEMORY, "out of memory for a path");
}

/* ---- another model ---- */

static void tell_transfer(void *user, const struct oll_transfer_event *event)
{
    struct create *c = user;
    /* That nobody listens shows at the next line of our own. */
    c->gone |=
        !c->events->status(c->events->user, event->status, event->digest ? event->digest : "",
                           event->total, event->completed);
}

static bool nobody_waits(void *user)
{
    const struct create *c = user;
    return c->gone || (c->events->canceled && c->events->canceled(c->events->user));
}

/* Brings a parent that is not here; never over plain HTTP. */
static oll_status pull_parent(struct create *c, const struct oll_reference *ref)
{
    char key[ENV_TEXT_MAX];
    const struct oll_transfer transfer = {.store = c->store,
                                          .ref = ref,
                                          .prune = c->prune,
                                          .key_path = env_key(key) ? key : NULL,
                                          .progress = tell_transfer,
                                          .canceled = nobody_waits,
                                          .user = c};
    return oll_pull(&transfer, c->err);
}

static oll_status load_parent(struct create *c, struct oll_stored_model *parent)
{
    struct oll_reference ref;
    struct oll_error why = {0};
    if (oll_reference_parse(c->request->from, &ref, &why) != OLL_OK)
        return create_fail400(c, OLL_ERR_ARG, "%s", why.text);
    OLL_TRY(oll_catalog_canonical(c->store, &ref, c->err));
    oll_status status = oll_catalog_load(c->store, &ref, true, c->arena, parent, &why);
    if (status == OLL_ERR_NOT_FOUND && ref.source == OLL_SOURCE_ANY) {
        OLL_TRY(pull_parent(c, &ref));
        why = (struct oll_error){0};
        status = oll_catalog_load(c->store, &ref, true, c->arena, parent, &why);
    }
    if (status == OLL_ERR_NOT_FOUND)
        return OLL_FAIL(c->err, status, "pull model manifest: file does not exist");
    return status == OLL_OK ? OLL_OK : OLL_FAIL(c->err, status, "%s", why.text);
}

static oll_status add_parent(struct create *c)
{
    struct oll_stored_model parent;
    char from[OLL_REFERENCE_TEXT_MAX];
    OLL_TRY(load_parent(c, &parent));
    oll_reference_short(&parent.ref, from);
    const char *from_text = oll_arena_strdup(c->arena, from);
    for (uint32_t i = 0; i < parent.manifest.n_layers; i++) {
        struct create_layer l = {.layer = parent.manifest.layers[i], .existed = true};
        l.layer.from = from_text;
        OLL_TRY(oll_lease_add(c->lease, &l.layer.digest, 1, c->err));
        if (!oll_blob_reuse(c->store, &l.layer.digest, UINT64_MAX))
            return OLL_FAIL(c->err, OLL_ERR_FORMAT, "a layer of %s is missing from the store",
                            from);
        OLL_TRY(create_add_layer(c, &l));
    }
    c->config = parent.config;
    c->config.context_length = c->config.embedding_length = 0;
    c->config.base_name = "";
    c->base_params = parent.params;
    return OLL_OK;
}

/* ---- files ---- */

/* The files of an object name -> digest, in bytewise order of their names. */
static oll_status find_files(struct create *c, const struct oll_json *object,
                             struct create_file **out, size_t *n)
{
    if (object->n > FILES_MAX)
        return create_fail400(c, OLL_ERR_LIMIT, "more than %d files", FILES_MAX);
    struct create_file *files = oll_arena_alloc(c->arena, object->n ? object->n : 1, sizeof *files);
    if (!files)
        return OLL_FAIL(c->err, OLL_ERR_MEMORY, "out of memory for the list of files");
    for (size_t i = 0; i < object->n; i++) {
        const struct oll_json *m = object->sorted[i];
        struct create_file *f = &files[i];
        struct stat st;
        f->name = m->key;
        OLL_TRY(oll_digest_parse(m->type == OLL_JSON_STRING ? m->str : "", &f->digest, c->err));
        OLL_TRY(oll_lease_add(c->lease, &f->digest, 1, c->err));
        if (oll_blob_reuse(c->store, &f->digest, UINT64_MAX))
            OLL_TRY(create_blob_path(c, &f->digest, &f->path));
        if (!f->path || stat(f->path, &st) != 0)
            return OLL_FAIL(c->err, OLL_ERR_NOT_FOUND, "blob of file %s is not in the store",
                            f->name);
        f->n_bytes = (uint64_t)st.st_size;
        if (!oll_import_split_name(f->name, &f->n_prefix, &f->no, &f->count) || f->count < 2)
            f->count = 0;
    }
    *out = files;
    *n = object->n;
    return OLL_OK;
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), n_end = strlen(end);
    return n >= n_end && strcmp(s + n - n_end, end) == 0;
}

/* ---- blobs that are made here ---- */

oll_status create_sink_write(void *user, const void *data, size_t n, struct oll_error *err)
{
    return oll_blob_writer_write(user, data, n, err);
}

oll_status create_finish_blob(struct create *c, struct oll_blob_writer *w, struct create_layer *out)
{
    struct stat st;
    const char *path;
    OLL_TRY(oll_blob_writer_finish(w, NULL, &out->layer.digest, &out->existed, c->err));
    OLL_TRY(create_blob_path(c, &out->layer.digest, &path));
    if (stat(path, &st) != 0)
        return OLL_FAIL(c->err, OLL_ERR_IO, "a blob that was just written is gone");
    out->is_new = true;
    out->layer.from = out->layer.name = "";
    out->layer.size_bytes = (uint64_t)st.st_size;
    return OLL_OK;
}

struct progress {
    struct create *c;
    const char *text;
};

static bool tell_progress(void *user, uint64_t done, uint64_t total)
{
    const struct progress *p = user;
    return p->c->events->status(p->c->events->user, p->text, "0000000000000000000", total, done);
}

/* Writes a model through the quantiser into a new blob. */
static oll_status write_model(struct create *c, const char *const *paths, uint32_t n_parts,
                              struct oll_quantize_options *options, struct create_layer *out)
{
    struct oll_blob_writer *w = NULL;
    OLL_TRY(oll_blob_writer_new(c->store, c->lease, &w, c->err));
    const struct oll_gguf_sink sink = {create_sink_write, w};
    oll_status status = oll_quantize_model(paths, n_parts, &sink, options, c->err);
    if (status != OLL_OK) {
        oll_blob_writer_free(w);
        return status;
    }
    return create_finish_blob(c, w, out);
}

/* ---- GGUF ---- */

/* The files [first, last) are the parts of one model, or one file. */
static oll_status add_gguf(struct create *c, const struct create_file *files, size_t n)
{
    const char **paths = oll_arena_alloc(c->arena, n, sizeof *paths), *kind = NULL;
    struct create_layer l = {.is_new = true, .existed = true};
    struct oll_error why = {0};
    if (!paths)
        return OLL_FAIL(c->err, OLL_ERR_MEMORY, "out of memory for the list of files");
    for (size_t i = 0; i < n; i++)
        paths[i] = files[i].path;
    oll_status status = oll_import_kind(paths, (uint32_t)n, &kind, &why);
    if (status != OLL_OK)
        return create_fail400(c, status, "%s", why.text);
    if (n == 1) {
        l.layer = (struct oll_layer){
            .digest = files[0].digest, .size_bytes = files[0].n_bytes, .from = "", .name = ""};
    } else {
        struct oll_quantize_options keep = {.target = OLL_TARGET_KEEP};
        OLL_TRY(write_model(c, paths, (uint32_t)n, &keep, &l));
    }
    l.layer.media_type = oll_media_type(c->arena, kind);
    return create_add_layer(c, &l);
}

/* Parts of one split model stand together, since their names are in order. Returns how many there
 * are from `first` on; 1 for a file of its own. */
static oll_status count_parts(struct create *c, const struct create_file *files, size_t n,
                              size_t *n_parts)
{
    *n_parts = 1;
    if (files[0].count == 0)
        return OLL_OK;
    for (size_t i = 0; i < files[0].count; i++)
        if (i >= n || files[i].count != files[0].count || files[i].no != i + 1 ||
            files[i].n_prefix != files[0].n_prefix ||
            strncmp(files[i].name, files[0].name, files[0].n_prefix) != 0)
            return create_fail400(c, OLL_ERR_ARG, "part %zu of %u of %.*s is missing", i + 1,
                                  files[0].count, (int)files[0].n_prefix, files[0].name);
    *n_parts = files[0].count;
    return OLL_OK;
}

static oll_status add_ggufs(struct create *c, const struct create_file *files, size_t n)
{
    OLL_TRY(create_tell(c, "parsing GGUF"));
    for (size_t i = 0, n_parts; i < n; i += n_parts) {
        OLL_TRY(count_parts(c, files + i, n - i, &n_parts));
        OLL_TRY(add_gguf(c, files + i, n_parts));
    }
    return OLL_OK;
}

enum file_kind { FILES_UNKNOWN, FILES_GGUF, FILES_SAFETENSORS };

/* The first file that settles it, settles it. */
static enum file_kind kind_of_files(const struct create_file *files, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (ends_with(files[i].name, ".safetensors"))
            return FILES_SAFETENSORS;
        if (ends_with(files[i].name, ".gguf") || oll_import_is_gguf(files[i].path))
            return FILES_GGUF;
    }
    return FILES_UNKNOWN;
}

static oll_status add_files(struct create *c)
{
    struct create_file *files;
    size_t n;
    OLL_TRY(find_files(c, c->request->files, &files, &n));
    switch (kind_of_files(files, n)) {
    case FILES_GGUF: OLL_TRY(add_ggufs(c, files, n)); break;
    case FILES_SAFETENSORS: OLL_TRY(create_convert(c, files, n)); break;
    case FILES_UNKNOWN: return create_fail400(c, OLL_ERR_ARG, "unknown type");
    }
    return create_detect_template(c);
}

oll_status create_add_base(struct create *c)
{
    if (*c->request->from)
        return add_parent(c);
    if (c->request->files)
        return add_files(c);
    return create_fail400(c, OLL_ERR_ARG, "neither 'from' or 'files' was specified");
}

/* ---- adapters and drafts ---- */

/* Adds files as layers of one kind, which they must be of; "model" files make a draft. */
static oll_status add_as(struct create *c, const struct oll_json *object, const char *kind)
{
    struct create_file *files;
    size_t n;
    const char *found = NULL;
    struct oll_error why = {0};
    oll_status status = find_files(c, object, &files, &n);
    if (status != OLL_OK) {
        c->http_status = 400;
        return status;
    }
    if (n > 1 && kind_of_files(files, n) == FILES_GGUF)
        return create_fail400(c, OLL_ERR_ARG, "only one %s is currently supported", kind);
    if (n != 1 || kind_of_files(files, n) != FILES_GGUF)
        return create_fail400(c, OLL_ERR_UNSUPPORTED,
                              "the %s must be one GGUF file; other kinds are not read", kind);
    status = oll_import_kind(&files[0].path, 1, &found, &why);
    if (status != OLL_OK)
        return create_fail400(c, status, "%s", why.text);
    if ((strcmp(kind, "adapter") == 0) != (strcmp(found, "adapter") == 0))
        return create_fail400(c, OLL_ERR_ARG, "the file given as %s is a %s", kind, found);
    create_drop_layers(c, kind);
    struct create_layer l = {.is_new = true,
                             .existed = true,
                             .layer = {.digest = files[0].digest,
                                       .size_bytes = files[0].n_bytes,
                                       .from = "",
                                       .name = "",
                                       .media_type = oll_media_type(c->arena, kind)}};
    return create_add_layer(c, &l);
}

oll_status create_add_adapters(struct create *c)
{
    if (c->request->adapters && c->request->adapters->n > 0)
        OLL_TRY(add_as(c, c->request->adapters, "adapter"));
    if (c->request->draft_files && c->request->draft_files->n > 0)
        OLL_TRY(add_as(c, c->request->draft_files, "draft"));
    return OLL_OK;
}

/* ---- quantising ---- */

static bool is_float_type(const char *name)
{
    return strcmp(name, "F32") == 0 || strcmp(name, "F16") == 0 || strcmp(name, "BF16") == 0;
}

static oll_status quantize_layer(struct create *c, struct create_layer *l,
                                 enum oll_quantize_target target)
{
    struct oll_model_facts facts;
    const char *path;
    OLL_TRY(create_blob_path(c, &l->layer.digest, &path));
    OLL_TRY(oll_model_facts_read(models_facts(c->models), path, &facts, c->err));
    if (strcmp(facts.quantization, oll_quantize_target_name(target)) == 0)
        return OLL_OK;
    if (!is_float_type(facts.quantization))
        return OLL_FAIL(c->err, OLL_ERR_UNSUPPORTED,
                        "quantization is only supported for F16, BF16 and F32 models");
    const char *media_type = l->layer.media_type;
    struct progress progress = {c, oll_arena_printf(c->arena, "quantizing %s model to %s",
                                                    facts.quantization,
                                                    oll_quantize_target_name(target))};
    struct oll_quantize_options options = {
        .target = target, .progress = tell_progress, .user = &progress};
    if (!progress.text)
        return OLL_FAIL(c->err, OLL_ERR_MEMORY, "out of memory for a status line");
    OLL_TRY(write_model(c, &path, 1, &options, l));
    l->layer.media_type = media_type;
    return create_tell(c, "verifying conversion");
}

oll_status create_quantize(struct create *c, const char *kind, const char *type)
{
    enum oll_quantize_target target;
    if (!*type)
        return OLL_OK;
    OLL_TRY(oll_quantize_target_parse(type, &target, c->err));
    for (uint32_t i = 0; i < c->n_layers; i++)
        if (oll_layer_is(&c->layers[i].layer, kind))
            OLL_TRY(quantize_layer(c, &c->layers[i], target));
    return OLL_OK;
}
