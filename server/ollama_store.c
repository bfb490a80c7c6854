/* POST /api/copy, DELETE /api/delete, HEAD and POST /api/blobs/:digest (rest-api 2.11 to 2.13). */
#include "engine/base/mem.h"
#include "registry/blob_write.h"
#include "registry/catalog_write.h"
#include "server/app.h"
#include "server/decode.h"
#include "server/models.h"
#include "server/ollama.h"
#include "server/ollama_reply.h"

#include <stddef.h>
#include <string.h>
#include <sys/statvfs.h>

/* ---- names ---- */

struct copy_fields {
    const char *source, *destination;
};

static const struct decode_field copy_table[] = {
    {"source", DECODE_STRING, offsetof(struct copy_fields, source), NULL},
    {"destination", DECODE_STRING, offsetof(struct copy_fields, destination), NULL},
    {NULL, DECODE_ANY, 0, NULL},
};

struct delete_fields {
    const char *model, *name;
};

static const struct decode_field delete_table[] = {
    {"model", DECODE_STRING, offsetof(struct delete_fields, model), NULL},
    {"name", DECODE_STRING, offsetof(struct delete_fields, name), NULL},
    {NULL, DECODE_ANY, 0, NULL},
};

/* A failure of the store: what the user is told, without paths for those who come from elsewhere.
 */
static void send_failure(struct http_request *req, oll_status status, const struct oll_error *err)
{
    ollama_error(req, status == OLL_ERR_ARG ? 400 : 500, oll_error_text(err));
}

static bool decode(struct http_request *req, const char *type, const char *prefix,
                   const struct decode_field *table, void *fields)
{
    const struct oll_json *root;
    struct oll_error err = {0};
    oll_status status = decode_body(req, type, &root, &err);
    if (status == OLL_OK)
        status = decode_fields(root, table, prefix, fields, &err);
    if (status != OLL_OK)
        ollama_error(req, 400, oll_error_text(&err));
    return status == OLL_OK;
}

static const struct oll_store *store_of(struct http_request *req)
{
    const struct app *app = req->app;
    const struct oll_store *store = models_store(app->models);
    if (!store)
        ollama_error(req, 500, "there is no model store: neither OLLAMA_MODELS nor HOME is set");
    return store;
}

static bool find_name(const struct oll_store *store, const char *text, struct oll_reference *ref)
{
    return oll_reference_parse(text, ref, NULL) == OLL_OK &&
           oll_catalog_canonical(store, ref, NULL) == OLL_OK;
}

void ollama_copy(struct http_request *req)
{
    struct copy_fields f = {"", ""};
    struct oll_reference from, to;
    struct oll_error err = {0};
    const struct oll_store *store;
    if (!decode(req, "CopyRequest", "CopyRequest.", copy_table, &f) || !(store = store_of(req)))
        return;
    const char *bad = !find_name(store, f.source, &from)      ? "source"
                      : !find_name(store, f.destination, &to) ? "destination"
                                                              : NULL;
    if (bad) {
        const char *text = oll_arena_printf(req->arena, "%s \"%s\" is invalid", bad,
                                            bad[0] == 's' ? f.source : f.destination);
        ollama_error(req, 400, text ? text : "invalid name");
        return;
    }
    oll_status status = oll_catalog_copy(store, &from, &to, &err);
    if (status == OLL_ERR_NOT_FOUND) {
        const char *text = oll_arena_printf(req->arena, "model \"%s\" not found", f.source);
        ollama_error(req, 404, text ? text : "model not found");
    } else if (status != OLL_OK) {
        send_failure(req, status, &err);
    } else {
        http_reply_send(req, 200, NULL, "", 0);
    }
}

void ollama_delete(struct http_request *req)
{
    struct delete_fields f = {"", ""};
    struct oll_reference ref;
    struct oll_error err = {0};
    const struct oll_store *store;
    if (!decode(req, "DeleteRequest", "DeleteRequest.", delete_table, &f) ||
        !(store = store_of(req)))
        return;
    const char *name = *f.model ? f.model : f.name;
    if (!find_name(store, name, &ref)) {
        const char *text = *name ? oll_arena_printf(req->arena, "name \"%s\" is invalid", name)
                                 : "model is required";
        ollama_error(req, 400, text ? text : "invalid name");
        return;
    }
    oll_status status = oll_catalog_remove(store, &ref, &err);
    if (status == OLL_ERR_NOT_FOUND) {
        const char *text = oll_arena_printf(req->arena, "model '%s' not found", name);
        ollama_error(req, 404, text ? text : "model not found");
    } else if (status != OLL_OK) {
        send_failure(req, status, &err);
    } else {
        http_reply_send(req, 200, NULL, "", 0);
    }
}

/* ---- blobs ---- */

static bool read_digest(struct http_request *req, struct oll_digest *digest)
{
    if (oll_digest_parse(req->param, digest, NULL) == OLL_OK)
        return true;
    ollama_error(req, 400, "invalid digest format");
    return false;
}

/* Digits in upper case name another file, which is never there. */
static bool has_blob(const struct oll_store *store, const struct oll_digest *digest,
                     const char *asked)
{
    char *path = NULL, text[OLL_DIGEST_TEXT_MAX];
    oll_digest_text(digest, text);
    if (strcmp(text + 7, asked + 7) != 0)
        return false;
    bool found = oll_blob_path(store, digest, &path, NULL) == OLL_OK;
    oll_free(path);
    return found;
}

void ollama_blob_head(struct http_request *req)
{
    struct oll_digest digest;
    const struct oll_store *store;
    if (!read_digest(req, &digest) || !(store = store_of(req)))
        return;
    if (has_blob(store, &digest, req->param)) {
        http_reply_send(req, 200, NULL, "", 0);
        return;
    }
    const char *text = oll_arena_printf(req->arena, "blob \"%s\" not found", req->param);
    ollama_error(req, 404, text ? text : "blob not found");
}

/* What arrives of a blob before its handler runs. */
struct blob_sink {
    const struct oll_store *store;
    struct oll_blob_writer *writer; /* NULL before the first byte, and when nothing is kept */
    bool discard;                   /* the digest is bad or the blob is there */
    oll_status status;
    struct oll_error err;
};

static bool sink_write(void *user, const void *data, size_t n)
{
    struct blob_sink *sink = user;
    if (sink->discard || sink->status != OLL_OK)
        return true; /* the handler tells what is wrong when the body is over */
    if (!sink->writer)
        sink->status = oll_blob_writer_new(sink->store, NULL, &sink->writer, &sink->err);
    if (sink->status == OLL_OK)
        sink->status = oll_blob_writer_write(sink->writer, data, n, &sink->err);
    return true;
}

static void sink_drop(void *user)
{
    struct blob_sink *sink = user;
    oll_blob_writer_free(sink->writer);
    oll_free(sink);
}

uint64_t ollama_blob_plan(struct http_request *req)
{
    const struct app *app = req->app;
    struct oll_digest digest;
    struct statvfs fs;
    struct blob_sink *sink = oll_calloc(1, sizeof *sink);
    if (!sink)
        return 0;
    sink->store = models_store(app->models);
    sink->discard = !sink->store || oll_digest_parse(req->param, &digest, NULL) != OLL_OK ||
                    has_blob(sink->store, &digest, req->param);
    req->sink = (struct http_sink){sink_write, sink_drop, sink};
    if (sink->discard || statvfs(oll_store_path(sink->store), &fs) != 0)
        return UINT64_MAX;
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* The digest that was asked for must be the text that a new blob gets, to the letter. */
static oll_status finish_blob(struct blob_sink *sink, const char *asked, struct oll_error *err)
{
    struct oll_digest digest, got;
    char text[OLL_DIGEST_TEXT_MAX];
    OLL_TRY(oll_digest_parse(asked, &digest, err));
    oll_digest_text(&digest, text);
    if (!sink->writer)
        OLL_TRY(oll_blob_writer_new(sink->store, NULL, &sink->writer, err));
    struct oll_blob_writer *writer = sink->writer;
    sink->writer = NULL;
    oll_status status = oll_blob_writer_finish(writer, &digest, &got, NULL, err);
    if (status == OLL_OK && strcmp(text, asked) != 0)
        status = OLL_FAIL(err, OLL_ERR_DIGEST, "digest mismatch, expected \"%s\", got \"%s\"",
                          asked, text);
    return status;
}

void ollama_blob_post(struct http_request *req)
{
    struct blob_sink *sink = req->sink.user;
    struct oll_digest digest;
    struct oll_error err = {0};
    const struct oll_store *store;
    if (!read_digest(req, &digest) || !(store = store_of(req)))
        return;
    if (!sink || sink->status != OLL_OK) {
        send_failure(req, OLL_ERR_IO, sink ? &sink->err : &err);
        return;
    }
    if (has_blob(store, &digest, req->param)) {
        http_reply_send(req, 200, NULL, "", 0);
        return;
    }
    oll_status status = finish_blob(sink, req->param, &err);
    if (status == OLL_ERR_DIGEST)
        ollama_error(req, 400, oll_error_text(&err));
    else if (status != OLL_OK)
        send_failure(req, status, &err);
    else
        http_reply_send(req, 201, NULL, "", 0);
}
