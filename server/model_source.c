#include "server/model_source.h"

#include "engine/base/mem.h"
#include "server/model_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 4096, HASH_BYTES = 1 << 20, REPORT_BYTES = 8 << 20, JSON_BYTES_MAX = 1 << 26 };

struct reader {
    struct oll_arena *arena;
    const char *folder;
    void (*warn)(const char *line);
    struct model_source *out;
    struct oll_error *err;
};

/* ---- paths ---- */

/* Home of the user whose name stands behind the "~"; NULL: unknown. */
static const char *home_of(const char *name, size_t n, struct oll_arena *arena)
{
    const char *user = oll_arena_strndup(arena, name, n), *home = getenv("HOME");
    const struct passwd *entry = n > 0 && user ? getpwnam(user) : NULL;
    if (n == 0)
        return home;
    return entry ? oll_arena_strdup(arena, entry->pw_dir) : NULL;
}

static const char *expand(struct reader *r, const char *path)
{
    if (path[0] == '/')
        return path;
    if (path[0] != '~')
        return oll_arena_printf(r->arena, "%s/%s", r->folder, path);
    const size_t n = strcspn(path + 1, "/");
    const char *home = home_of(path + 1, n, r->arena);
    return home ? oll_arena_printf(r->arena, "%s%s", home, path + 1 + n) : path;
}

/* ---- files ---- */

oll_status model_source_add(struct model_source *source, struct oll_arena *arena,
                            const struct model_source_file *file, struct oll_error *err)
{
    if (source->n_files == FILES_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "more than %d files for one model", FILES_MAX);
    if (source->n_files == source->cap_files) {
        const size_t cap = source->cap_files ? 2 * source->cap_files : 16;
        struct model_source_file *grown = oll_arena_alloc(arena, cap, sizeof *grown);
        if (!grown)
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the list of files");
        if (source->n_files)
            memcpy(grown, source->files, source->n_files * sizeof *grown);
        source->files = grown;
        source->cap_files = cap;
    }
    source->files[source->n_files++] = *file;
    return OLL_OK;
}

static oll_status add_path(struct reader *r, const char *path, const struct stat *st,
                           enum model_source_group group)
{
    if (S_ISDIR(st->st_mode))
        return model_folder_add(r->out, r->arena, path, group, r->err);
    if (!S_ISREG(st->st_mode))
        return OLL_FAIL(r->err, OLL_ERR_ARG, "%s is no regular file", path);
    char *real = realpath(path, NULL);
    const char *slash = strrchr(path, '/');
    const struct model_source_file file = {.path = real ? oll_arena_strdup(r->arena, real) : NULL,
                                           .name = slash ? slash + 1 : path,
                                           .group = group,
                                           .n_bytes = (uint64_t)st->st_size};
    free(real);
    if (!file.path)
        return OLL_FAIL(r->err, OLL_ERR_IO, "%s cannot be opened", path);
    return model_source_add(r->out, r->arena, &file, r->err);
}

/* Replaces what the group held. */
static oll_status set_path(struct reader *r, const char *value, enum model_source_group group)
{
    struct model_source *s = r->out;
    const char *path = expand(r, value);
    struct stat st;
    size_t n = 0;
    if (!path || stat(path, &st) != 0)
        return OLL_FAIL(r->err, OLL_ERR_NOT_FOUND, "stat %s: %s", path ? path : value,
                        strerror(errno));
    for (size_t i = 0; i < s->n_files && group == MODEL_SOURCE_ADAPTER; i++)
        if (s->files[i].group != group)
            s->files[n++] = s->files[i];
    if (group == MODEL_SOURCE_ADAPTER)
        s->n_files = n;
    return add_path(r, path, &st, group);
}

static oll_status read_from(struct reader *r, const char *value)
{
    const char *path = expand(r, value);
    struct stat st;
    if (*value && path && stat(path, &st) == 0)
        return add_path(r, path, &st, MODEL_SOURCE_FILES);
    r->out->from = value;
    return OLL_OK;
}

static oll_status check_draft(struct reader *r)
{
    const struct model_source *s = r->out;
    for (size_t i = 0; i < s->n_files; i++)
        for (size_t k = 0; k < s->n_files && s->files[i].group == MODEL_SOURCE_DRAFT; k++)
            if (s->files[k].group == MODEL_SOURCE_FILES &&
                strcmp(s->files[i].path, s->files[k].path) == 0)
                return OLL_FAIL(r->err, OLL_ERR_ARG,
                                "DRAFT must not reference the same local path as FROM: %s",
                                s->files[i].path);
    return OLL_OK;
}

/* ---- parameters ---- */

/* Values of one parameter: the last one, or all of a list. */
static oll_status write_param(struct reader *r, const struct oll_modelfile *m, size_t first,
                              struct oll_json_writer *w)
{
    const char *name = m->commands[first].name;
    const enum oll_modelfile_param kind = oll_modelfile_param_kind(name);
    size_t last = first;
    oll_json_write_key(w, name);
    if (kind == OLL_PARAM_STRINGS)
        oll_json_write_array_begin(w);
    for (size_t i = first; i < m->n_commands; i++) {
        const struct oll_modelfile_command *c = &m->commands[i];
        if (c->word != OLL_MODELFILE_PARAMETER || strcmp(c->name, name) != 0)
            continue;
        last = i;
        if (kind == OLL_PARAM_STRINGS)
            OLL_TRY(oll_modelfile_param_write(kind, c->value, w, r->err));
    }
    if (kind != OLL_PARAM_STRINGS)
        return oll_modelfile_param_write(kind, m->commands[last].value, w, r->err);
    oll_json_write_array_end(w);
    return OLL_OK;
}

/* Whether an earlier line has the same parameter. */
static bool is_repeated(const struct oll_modelfile *m, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (m->commands[k].word == OLL_MODELFILE_PARAMETER &&
            strcmp(m->commands[k].name, m->commands[i].name) == 0)
            return true;
    return false;
}

static oll_status write_params(struct reader *r, const struct oll_modelfile *m,
                               struct oll_json_writer *w, bool *any)
{
    for (size_t i = 0; i < m->n_commands; i++) {
        const char *name = m->commands[i].name;
        if (m->commands[i].word != OLL_MODELFILE_PARAMETER || is_repeated(m, i))
            continue;
        const enum oll_modelfile_param kind = oll_modelfile_param_kind(name);
        if (kind == OLL_PARAM_UNKNOWN)
            return OLL_FAIL(r->err, OLL_ERR_ARG, "unknown parameter '%s'", name);
        if (kind == OLL_PARAM_DEPRECATED) {
            const char *line =
                oll_arena_printf(r->arena, "warning: parameter %s is deprecated", name);
            if (line && r->warn)
                r->warn(line);
            continue;
        }
        *any = true;
        OLL_TRY(write_param(r, m, i, w));
    }
    return OLL_OK;
}

static oll_status read_params(struct reader *r, const struct oll_modelfile *m)
{
    struct oll_strbuf json;
    struct oll_json_writer w;
    bool any = false;
    oll_strbuf_init(&json, JSON_BYTES_MAX);
    oll_json_write_init(&w, &json);
    oll_json_write_object_begin(&w);
    oll_status status = write_params(r, m, &w, &any);
    oll_json_write_object_end(&w);
    if (status == OLL_OK && any) {
        r->out->parameters = oll_arena_strndup(r->arena, json.data, json.len);
        if (!r->out->parameters || json.status != OLL_OK)
            status = OLL_FAIL(r->err, OLL_ERR_MEMORY, "out of memory for the parameters");
    }
    oll_strbuf_free(&json);
    return status;
}

/* ---- reading ---- */

/* The version of a REQUIRES line. */
static const char *version_of(const char *value) { return *value == 'v' ? value + 1 : value; }

oll_status model_source_read(struct oll_arena *arena, const struct oll_modelfile *modelfile,
                             const char *folder, void (*warn)(const char *line),
                             struct model_source *out, struct oll_error *err)
{
    struct reader r = {arena, folder, warn, out, err};
    *out = (struct model_source){.modelfile = modelfile};
    for (size_t i = 0; i < modelfile->n_commands; i++) {
        const struct oll_modelfile_command *c = &modelfile->commands[i];
        if (c->word == OLL_MODELFILE_FROM)
            OLL_TRY(read_from(&r, c->value));
        else if (c->word == OLL_MODELFILE_ADAPTER)
            OLL_TRY(set_path(&r, c->value, MODEL_SOURCE_ADAPTER));
        else if (c->word == OLL_MODELFILE_DRAFT)
            OLL_TRY(set_path(&r, c->value, MODEL_SOURCE_DRAFT));
        else if (c->word == OLL_MODELFILE_REQUIRES &&
                 !oll_modelfile_version_valid(version_of(c->value)))
            return OLL_FAIL(err, OLL_ERR_ARG, "requires must be a valid semver (e.g. 0.14.0)");
    }
    OLL_TRY(check_draft(&r));
    OLL_TRY(read_params(&r, modelfile));
    if (arena->status != OLL_OK)
        return OLL_FAIL(err, arena->status, "out of memory for the list of files");
    return OLL_OK;
}

/* ---- digests ---- */

static oll_status hash_fd(int fd, struct model_source_file *file, unsigned char *buffer,
                          struct oll_sha256 *h,
                          void (*progress)(void *user, uint64_t done, uint64_t total), void *user,
                          struct oll_error *err)
{
    struct oll_digest digest;
    struct stat st;
    uint64_t done = 0, reported = 0;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return OLL_FAIL(err, OLL_ERR_IO, "%s is no regular file", file->path);
    file->modified_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    for (ssize_t n; (n = read(fd, buffer, HASH_BYTES)) != 0;) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return OLL_FAIL(err, OLL_ERR_IO, "%s: %s", file->path, strerror(errno));
        oll_sha256_update(h, buffer, (size_t)n);
        done += (uint64_t)n;
        if (progress && done - reported >= REPORT_BYTES) {
            reported = done;
            progress(user, done, file->n_bytes);
        }
    }
    oll_sha256_final(h, digest.bytes);
    oll_digest_text(&digest, file->digest);
    file->n_bytes = done;
    return OLL_OK;
}

oll_status model_source_hash(struct model_source_file *file,
                             void (*progress)(void *user, uint64_t done, uint64_t total),
                             void *user, struct oll_error *err)
{
    struct oll_sha256 *h = oll_sha256_new();
    unsigned char *buffer = oll_alloc(HASH_BYTES, 1);
    const int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    oll_status status;
    if (!h || !buffer)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a digest");
    else if (fd < 0)
        status = OLL_FAIL(err, OLL_ERR_IO, "%s: %s", file->path, strerror(errno));
    else
        status = hash_fd(fd, file, buffer, h, progress, user, err);
    if (fd >= 0)
        close(fd);
    oll_sha256_free(h);
    oll_free(buffer);
    return status;
}

/* ---- the request ---- */

static void write_text(struct oll_json_writer *w, const char *key, const char *value)
{
    if (!value || !*value)
        return;
    oll_json_write_key(w, key);
    oll_json_write_str(w, value);
}

static void write_files(const struct model_source *s, enum model_source_group group,
                        const char *key, struct oll_json_writer *w)
{
    bool any = false;
    for (size_t i = 0; i < s->n_files; i++) {
        if (s->files[i].group != group)
            continue;
        if (!any) {
            oll_json_write_key(w, key);
            oll_json_write_object_begin(w);
        }
        any = true;
        oll_json_write_key(w, s->files[i].name);
        oll_json_write_str(w, s->files[i].digest);
    }
    if (any)
        oll_json_write_object_end(w);
}

/* Value of the last line with this word; NULL: none. */
static const char *last_value(const struct oll_modelfile *m, enum oll_modelfile_word word)
{
    for (size_t i = m->n_commands; i > 0; i--)
        if (m->commands[i - 1].word == word)
            return m->commands[i - 1].value;
    return NULL;
}

/* Lines of a word as an array: texts, or role and content. */
static void write_lines(const struct oll_modelfile *m, enum oll_modelfile_word word,
                        const char *key, struct oll_json_writer *w)
{
    if (!last_value(m, word))
        return;
    oll_json_write_key(w, key);
    oll_json_write_array_begin(w);
    for (size_t i = 0; i < m->n_commands; i++) {
        const struct oll_modelfile_command *c = &m->commands[i];
        if (c->word != word)
            continue;
        if (word != OLL_MODELFILE_MESSAGE) {
            oll_json_write_str(w, c->value);
            continue;
        }
        oll_json_write_object_begin(w);
        write_text(w, "role", c->name);
        oll_json_write_key(w, "content");
        oll_json_write_str(w, c->value);
        oll_json_write_object_end(w);
    }
    oll_json_write_array_end(w);
}

void model_source_request(const struct model_source *source, const struct model_source_extra *extra,
                          struct oll_strbuf *out)
{
    const struct oll_modelfile *m = source->modelfile;
    const char *version = last_value(m, OLL_MODELFILE_REQUIRES);
    struct oll_json_writer w;
    oll_json_write_init(&w, out);
    oll_json_write_object_begin(&w);
    write_text(&w, "model", extra->model);
    write_text(&w, "from", source->from);
    write_files(source, MODEL_SOURCE_FILES, "files", &w);
    write_files(source, MODEL_SOURCE_ADAPTER, "adapters", &w);
    write_files(source, MODEL_SOURCE_DRAFT, "draft_files", &w);
    write_text(&w, "template", last_value(m, OLL_MODELFILE_TEMPLATE));
    write_text(&w, "system", last_value(m, OLL_MODELFILE_SYSTEM));
    write_text(&w, "renderer", last_value(m, OLL_MODELFILE_RENDERER));
    write_text(&w, "parser", last_value(m, OLL_MODELFILE_PARSER));
    write_text(&w, "requires", version ? version_of(version) : NULL);
    write_text(&w, "quantize", extra->quantize);
    write_text(&w, "draft_quantize", extra->draft_quantize);
    if (source->parameters) {
        oll_json_write_key(&w, "parameters");
        oll_json_write_raw(&w, source->parameters, strlen(source->parameters));
    }
    write_lines(m, OLL_MODELFILE_LICENSE, "license", &w);
    write_lines(m, OLL_MODELFILE_MESSAGE, "messages", &w);
    oll_json_write_object_end(&w);
}
