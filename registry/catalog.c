#include "registry/catalog.h"

#include "engine/base/file.h"
#include "engine/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CATALOG_MAX = 100 * 1000, /* names */
    TEMPLATE_BYTES_MAX = 256 * 1024,
    TEXT_BYTES_MAX = 4 * 1024 * 1024
};

/* ---- walking manifests/<host>/<namespace>/<model>/<tag> ---- */

struct walk {
    struct oll_catalog_entry *entries;
    size_t n, cap;
    size_t n_odd;            /* entries that are no names, and folders that cannot be read */
    struct oll_reference at; /* the parts above the present folder */
    oll_status status;
};

typedef void (*visit_fn)(struct walk *walk, int dir_fd, const char *name);

/* Calls `visit` for each name in a folder; a folder that cannot be read has none. */
static void each_name(struct walk *walk, int dir_fd, const char *name, visit_fn visit)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    if (!dir) {
        /* A plain file above the level of names is nothing to us (".DS_Store"). */
        walk->n_odd += errno != ENOENT && errno != ENOTDIR;
        if (fd >= 0)
            close(fd);
        return;
    }
    while (walk->status == OLL_OK && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            visit(walk, dirfd(dir), entry->d_name);
    closedir(dir);
}

/* Counts a folder whose name is no part of a model's name; there may be manifests below it. */
static void visit_odd(struct walk *walk, int dir_fd, const char *name)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
        walk->n_odd++;
}

static bool take(char *part, size_t size, const char *name)
{
    size_t n = strlen(name);
    if (n >= size)
        return false;
    memcpy(part, name, n + 1);
    return true;
}

static void visit_tag(struct walk *walk, int dir_fd, const char *name)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    if (!oll_reference_valid_part(name) || !take(walk->at.tag, sizeof walk->at.tag, name) ||
        !S_ISREG(st.st_mode)) {
        walk->n_odd++;
        return;
    }
    if (walk->n == walk->cap) {
        size_t cap = walk->cap ? walk->cap * 2 : 16;
        struct oll_catalog_entry *grown =
            cap <= CATALOG_MAX * 2 ? oll_realloc(walk->entries, cap, sizeof *grown) : NULL;
        if (!grown) {
            walk->status = cap <= CATALOG_MAX * 2 ? OLL_ERR_MEMORY : OLL_ERR_LIMIT;
            return;
        }
        walk->entries = grown;
        walk->cap = cap;
    }
    walk->entries[walk->n++] = (struct oll_catalog_entry){
        .ref = walk->at,
        .modified_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
    };
}

static void visit_model(struct walk *walk, int dir_fd, const char *name)
{
    if (oll_reference_valid_part(name) && take(walk->at.model, sizeof walk->at.model, name))
        each_name(walk, dir_fd, name, visit_tag);
    else
        visit_odd(walk, dir_fd, name);
}

static void visit_namespace(struct walk *walk, int dir_fd, const char *name)
{
    if (oll_reference_valid_namespace(name) &&
        take(walk->at.namespace, sizeof walk->at.namespace, name))
        each_name(walk, dir_fd, name, visit_model);
    else
        visit_odd(walk, dir_fd, name);
}

static void visit_host(struct walk *walk, int dir_fd, const char *name)
{
    if (oll_reference_valid_host(name) && take(walk->at.host, sizeof walk->at.host, name))
        each_name(walk, dir_fd, name, visit_namespace);
    else
        visit_odd(walk, dir_fd, name);
}

oll_status oll_catalog_list_strict(const struct oll_store *store,
                                   struct oll_catalog_entry **entries, size_t *n, size_t *n_odd,
                                   struct oll_error *err)
{
    struct walk walk = {.at = {.scheme = "https"}};
    int fd;
    oll_status status = oll_store_open_dir(store, NULL, 0, &fd, NULL);
    if (status == OLL_OK) {
        each_name(&walk, fd, "manifests", visit_host);
        close(fd);
    } else if (status != OLL_ERR_NOT_FOUND) {
        return OLL_FAIL(err, status, "the model store cannot be read: %s", oll_status_text(status));
    }
    if (walk.status != OLL_OK) {
        oll_free(walk.entries);
        return OLL_FAIL(err, walk.status, "the model store has too many names to list");
    }
    *entries = walk.entries;
    *n = walk.n;
    *n_odd = walk.n_odd;
    return OLL_OK;
}

oll_status oll_catalog_list(const struct oll_store *store, struct oll_catalog_entry **entries,
                            size_t *n, struct oll_error *err)
{
    size_t n_odd;
    return oll_catalog_list_strict(store, entries, n, &n_odd, err);
}

/* ---- names ---- */

static oll_status open_manifest_dir(const struct oll_store *store, const struct oll_reference *ref,
                                    int *fd, struct oll_error *err)
{
    const char *parts[] = {"manifests", ref->host, ref->namespace, ref->model};
    return oll_store_open_dir(store, parts, 4, fd, err);
}

/* Takes a stored spelling when it fits better than the best so far: the asked one first, else the
 * smallest. */
static void better(char *best, const char *asked, const char *stored)
{
    if (strcasecmp(asked, stored) != 0 || strcmp(best, asked) == 0)
        return;
    if (!*best || strcmp(stored, asked) == 0 || strcmp(stored, best) < 0)
        memcpy(best, stored, strlen(stored) + 1);
}

static bool manifest_exists(const struct oll_store *store, const struct oll_reference *ref)
{
    struct stat st;
    int fd;
    if (open_manifest_dir(store, ref, &fd, NULL) != OLL_OK)
        return false;
    bool exists = fstatat(fd, ref->tag, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
    close(fd);
    return exists;
}

oll_status oll_catalog_canonical(const struct oll_store *store, struct oll_reference *ref,
                                 struct oll_error *err)
{
    struct oll_catalog_entry *entries = NULL;
    struct oll_reference best = {0};
    size_t n;
    if (manifest_exists(store, ref))
        return OLL_OK;
    OLL_TRY(oll_catalog_list(store, &entries, &n, err));
    for (size_t i = 0; i < n; i++) {
        better(best.host, ref->host, entries[i].ref.host);
        better(best.namespace, ref->namespace, entries[i].ref.namespace);
        better(best.model, ref->model, entries[i].ref.model);
        better(best.tag, ref->tag, entries[i].ref.tag);
    }
    oll_free(entries);
    if (*best.host)
        memcpy(ref->host, best.host, sizeof ref->host);
    if (*best.namespace)
        memcpy(ref->namespace, best.namespace, sizeof ref->namespace);
    if (*best.model)
        memcpy(ref->model, best.model, sizeof ref->model);
    if (*best.tag)
        memcpy(ref->tag, best.tag, sizeof ref->tag);
    return OLL_OK;
}

/* ---- one model ---- */

static oll_status read_manifest(const struct oll_store *store, const struct oll_reference *ref,
                                struct oll_arena *arena, struct oll_stored_model *out,
                                struct oll_error *err)
{
    char *text = NULL;
    uint64_t n = 0;
    struct stat st;
    int fd;
    OLL_TRY(open_manifest_dir(store, ref, &fd, err));
    oll_status status = oll_file_read_at(fd, ref->tag, OLL_MANIFEST_BYTES_MAX, &text, &n, err);
    if (status == OLL_OK && fstatat(fd, ref->tag, &st, AT_SYMLINK_NOFOLLOW) == 0)
        out->modified_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    close(fd);
    if (status == OLL_OK)
        status = oll_manifest_parse(arena, text, (size_t)n, &out->manifest, err);
    oll_free(text);
    return status;
}

static oll_status read_config(const struct oll_store *store, struct oll_arena *arena,
                              struct oll_stored_model *out, struct oll_error *err)
{
    char *text = NULL;
    uint64_t n = 0;
    if (!out->manifest.config.media_type)
        return oll_model_config_parse(arena, "{}", 2, &out->config, err);
    oll_status status =
        oll_blob_read(store, &out->manifest.config.digest, OLL_MANIFEST_BYTES_MAX, &text, &n, err);
    if (status == OLL_OK)
        status = oll_model_config_parse(arena, text, (size_t)n, &out->config, err);
    oll_free(text);
    return status;
}

/* Text of a layer as it is. */
static oll_status read_text(const struct oll_store *store, const struct oll_layer *layer,
                            uint64_t max, struct oll_arena *arena, const char **out,
                            struct oll_error *err)
{
    char *text = NULL;
    uint64_t n = 0;
    OLL_TRY(oll_blob_read(store, &layer->digest, max, &text, &n, err));
    *out = oll_arena_strndup(arena, text, (size_t)n);
    oll_free(text);
    return *out ? OLL_OK : OLL_FAIL(err, arena->status, "out of memory for a layer");
}

static oll_status read_json(const struct oll_store *store, const struct oll_layer *layer,
                            enum oll_json_type type, struct oll_arena *arena,
                            const struct oll_json **out, struct oll_error *err)
{
    struct oll_json_limits limits = oll_json_limits_default;
    struct oll_json *root;
    char *text = NULL;
    uint64_t n = 0;
    limits.replace_utf8 = limits.allow_trailing = true;
    OLL_TRY(oll_blob_read(store, &layer->digest, TEXT_BYTES_MAX, &text, &n, err));
    oll_status status = oll_json_parse(arena, text, (size_t)n, &limits, &root, err);
    oll_free(text);
    OLL_TRY(status);
    if (root->type == (uint8_t)type)
        *out = root;
    return OLL_OK;
}

static oll_status read_layer(const struct oll_store *store, const struct oll_layer *l,
                             struct oll_arena *arena, struct oll_stored_model *out,
                             struct oll_error *err)
{
    if (oll_layer_is(l, "template") || oll_layer_is(l, "prompt"))
        return read_text(store, l, TEMPLATE_BYTES_MAX, arena, &out->template_text, err);
    if (oll_layer_is(l, "system"))
        return read_text(store, l, TEXT_BYTES_MAX, arena, &out->system, err);
    if (oll_layer_is(l, "params"))
        return read_json(store, l, OLL_JSON_OBJECT, arena, &out->params, err);
    if (oll_layer_is(l, "messages"))
        return read_json(store, l, OLL_JSON_ARRAY, arena, &out->messages, err);
    return OLL_OK;
}

oll_status oll_catalog_load(const struct oll_store *store, const struct oll_reference *ref,
                            bool with_layers, struct oll_arena *arena, struct oll_stored_model *out,
                            struct oll_error *err)
{
    struct oll_stored_model m = {.ref = *ref};
    OLL_TRY(read_manifest(store, ref, arena, &m, err));
    oll_status status = read_config(store, arena, &m, err);
    for (uint32_t i = 0; i < m.manifest.n_layers && status == OLL_OK; i++) {
        const struct oll_layer *l = &m.manifest.layers[i];
        if (oll_layer_is(l, "model"))
            m.model = l;
        else if (oll_layer_is(l, "projector") && !m.projector)
            m.projector = l;
        else if (oll_layer_is(l, "adapter"))
            m.adapter = m.n_adapters++ ? m.adapter : l;
        else if (with_layers)
            status = read_layer(store, l, arena, &m, err);
    }
    /* The name exists; that a part of it is missing is damage. */
    if (status == OLL_ERR_NOT_FOUND)
        status = OLL_ERR_FORMAT;
    if (status == OLL_OK)
        *out = m;
    return status;
}
