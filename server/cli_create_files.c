#include "server/cli_create_files.h"

#include "engine/base/mem.h"
#include "registry/blob_link.h"
#include "registry/blob_write.h"
#include "registry/https.h"
#include "registry/store_gc.h"
#include "server/env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { REPLY_MAX = 1 << 20, COPY_BYTES = 1 << 20, WAIT_MS = 100, URL_MAX = 2048 };

/* ---- which store ---- */

static bool is_loopback(const char *url)
{
    static const char *const hosts[] = {"http://127.", "http://localhost", "http://[::1]"};
    for (int i = 0; i < 3; i++)
        if (strncmp(url, hosts[i], strlen(hosts[i])) == 0)
            return true;
    return false;
}

void cli_create_files_open(struct cli_create_files *f, struct cli_client *client,
                           struct cli_progress *progress)
{
    char folder[ENV_TEXT_MAX];
    *f = (struct cli_create_files){.client = client, .progress = progress};
    if (client->store)
        f->store = client->store;
    else if (!is_loopback(client->url) || !env_models(folder) || access(folder, W_OK) != 0 ||
             oll_store_new(folder, &f->store, NULL) != OLL_OK)
        return;
    /* A store of another user is the server's alone: then files are uploaded. */
    if (oll_lease_new(f->store, &f->lease, NULL) != OLL_OK && f->store != client->store) {
        oll_store_free(f->store);
        f->store = NULL;
    }
}

void cli_create_files_close(struct cli_create_files *f)
{
    oll_lease_free(f->lease);
    if (f->store && f->store != f->client->store)
        oll_store_free(f->store);
    *f = (struct cli_create_files){0};
}

/* ---- the server's blobs ---- */

struct sent {
    struct cli_create_files *files;
    const struct model_source_file *file;
};

static void show_copy(struct cli_create_files *f, const struct model_source_file *file,
                      uint64_t done)
{
    char title[64 + OLL_DIGEST_TEXT_MAX];
    snprintf(title, sizeof title, "copying file %s", file->digest);
    cli_progress_show(f->progress, file->digest, title, file->n_bytes, done);
}

static void on_sent(void *user, const void *data, size_t n, uint64_t off)
{
    const struct sent *s = user;
    (void)data;
    show_copy(s->files, s->file, off + n);
}

/* A request about a blob; the status of its reply. `fd` -1: HEAD, else a POST of that file. */
static oll_status call(struct cli_create_files *f, const struct model_source_file *file, int fd,
                       long *http_status, struct oll_error *err)
{
    static const char *const headers[] = {"Content-Type: application/octet-stream", NULL};
    struct sent sent = {f, file};
    struct https_transfer *transfer = NULL;
    char url[URL_MAX];
    struct https_request request = {.method = fd < 0 ? "HEAD" : "POST",
                                    .url = url,
                                    .headers = headers,
                                    .send_file = fd >= 0,
                                    .fd = fd,
                                    .file_bytes = fd >= 0 ? file->n_bytes : 0,
                                    .max_body = REPLY_MAX,
                                    .on_sent = on_sent,
                                    .user = &sent};
    snprintf(url, sizeof url, "%s/api/blobs/%s", f->client->url, file->digest);
    OLL_TRY(https_start(f->client->session, &request, &transfer, err));
    oll_status status = OLL_OK;
    while (status == OLL_OK && !https_ended(transfer)) {
        status = https_wait(f->client->session, WAIT_MS, err);
        cli_progress_tick(f->progress);
    }
    if (status == OLL_OK)
        status = https_result(transfer, err);
    if (status == OLL_OK) {
        const struct https_reply *reply = https_transfer_reply(transfer);
        *http_status = reply->status;
        if (fd >= 0 && reply->status >= 400)
            status = OLL_FAIL(err, OLL_ERR_IO, "%s: %ld %.300s", file->name, reply->status,
                              reply->body.data);
    }
    https_transfer_free(transfer);
    return status;
}

static oll_status is_there(struct cli_create_files *f, const struct model_source_file *file,
                           bool *there, struct oll_error *err)
{
    long http_status = 0;
    OLL_TRY(call(f, file, -1, &http_status, err));
    *there = http_status == 200;
    return OLL_OK;
}

static oll_status upload(struct cli_create_files *f, const struct model_source_file *file,
                         struct oll_error *err)
{
    long http_status;
    const int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return OLL_FAIL(err, OLL_ERR_IO, "%s: %s", file->path, strerror(errno));
    show_copy(f, file, 0);
    oll_status status = call(f, file, fd, &http_status, err);
    close(fd);
    if (status == OLL_OK)
        show_copy(f, file, file->n_bytes);
    return status;
}

/* ---- our own store ---- */

/* Copies the file into the store that no server works on. */
static oll_status copy(struct cli_create_files *f, const struct model_source_file *file,
                       const struct oll_digest *digest, struct oll_error *err)
{
    struct oll_blob_writer *w = NULL;
    char *buffer = oll_alloc(COPY_BYTES, 1);
    const int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint64_t done = 0;
    oll_status status = OLL_OK;
    if (!buffer || fd < 0)
        status = OLL_FAIL(err, OLL_ERR_IO, "%s: %s", file->path, strerror(errno));
    else
        status = oll_blob_writer_new(f->store, f->lease, &w, err);
    for (ssize_t n = 1; status == OLL_OK && n > 0;) {
        n = read(fd, buffer, COPY_BYTES);
        if (n > 0)
            status = oll_blob_writer_write(w, buffer, (size_t)n, err);
        else if (n < 0)
            status = OLL_FAIL(err, OLL_ERR_IO, "%s: %s", file->path, strerror(errno));
        done += n > 0 ? (uint64_t)n : 0;
        show_copy(f, file, done);
        cli_progress_tick(f->progress);
    }
    if (status == OLL_OK)
        status = oll_blob_writer_finish(w, digest, NULL, NULL, err);
    else
        oll_blob_writer_free(w);
    if (fd >= 0)
        close(fd);
    oll_free(buffer);
    return status;
}

/* Tells in one line that file and blob are one. */
static void tell_link(struct cli_create_files *f, const struct model_source_file *file,
                      enum oll_blob_link how)
{
    char line[1024];
    if (how != OLL_BLOB_LINKED)
        return;
    snprintf(line, sizeof line,
             "linked %.800s: file and model share their bytes, do not change the file", file->path);
    if (f->link_only)
        f->linked = true;
    else
        cli_progress_show(f->progress, NULL, line, 0, 0);
}

/* Brings the file into the store at hand; *done is false when it must be uploaded. */
static oll_status bring_to_store(struct cli_create_files *f, const struct model_source_file *file,
                                 bool *done, struct oll_error *err)
{
    struct oll_error why = {0};
    struct oll_digest digest;
    enum oll_blob_link how;
    *done = false;
    OLL_TRY(oll_digest_parse(file->digest, &digest, err));
    oll_status status = oll_blob_link(f->store, f->lease, file->path, &digest, file->n_bytes,
                                      file->modified_ns, &how, &why);
    if (status == OLL_ERR_BUSY)
        return OLL_FAIL(err, status, "%s", why.text);
    if (f->client->store && (status == OLL_OK || !f->link_only)) {
        *done = true;
        if (status == OLL_OK)
            tell_link(f, file, how);
        return status == OLL_OK ? OLL_OK : copy(f, file, &digest, err);
    }
    if (status != OLL_OK)
        return OLL_OK;
    OLL_TRY(is_there(f, file, done, err));
    if (*done) {
        tell_link(f, file, how);
        return OLL_OK;
    }
    /* The server works on another store. */
    oll_lease_free(f->lease);
    f->lease = NULL;
    if (how != OLL_BLOB_EXISTED && oll_store_drop_unused(f->store, &digest, 1, NULL) != OLL_OK)
        return OLL_FAIL(err, OLL_ERR_IO, "%s was linked into a store that is not the server's",
                        file->name);
    oll_store_free(f->store);
    f->store = NULL;
    return OLL_OK;
}

static void on_hash(void *user, uint64_t done, uint64_t total)
{
    struct cli_create_files *f = user;
    (void)done;
    (void)total;
    cli_progress_tick(f->progress);
}

oll_status cli_create_file(struct cli_create_files *f, struct model_source_file *file,
                           struct oll_error *err)
{
    bool done = false;
    OLL_TRY(model_source_hash(file, on_hash, f, err));
    if (!f->client->store)
        OLL_TRY(is_there(f, file, &done, err));
    if (!done && f->store && f->lease)
        OLL_TRY(bring_to_store(f, file, &done, err));
    if (!done && f->link_only)
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "%s cannot be linked", file->path);
    return done ? OLL_OK : upload(f, file, err);
}
