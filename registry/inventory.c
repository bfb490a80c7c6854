#include "registry/inventory.h"

#include "engine/base/mem.h"
#include "registry/catalog_write.h"
#include "registry/store_dir.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARENA_BYTES = 1 << 30, MANIFEST_ARENA_BYTES = 64 << 20 };

/* One line of the picture: a model names a blob, or (NOBODY) a file is there. */
enum { NOBODY = UINT32_MAX };
struct use {
    struct oll_digest digest;
    uint64_t bytes;
    uint32_t model;
};

struct gather {
    struct oll_inventory *out;
    struct use *uses;
    size_t n, cap;
    oll_status status;
};

static void add_use(struct gather *g, const struct oll_digest *digest, uint64_t bytes,
                    uint32_t model)
{
    if (g->n == g->cap) {
        size_t cap = g->cap ? 2 * g->cap : 64;
        struct use *grown = oll_realloc(g->uses, cap, sizeof *grown);
        if (!grown) {
            g->status = OLL_ERR_MEMORY;
            return;
        }
        g->uses = grown;
        g->cap = cap;
    }
    g->uses[g->n++] = (struct use){*digest, bytes, model};
}

/* ---- what manifests name ---- */

/* False when the name has been removed since it was listed. */
static bool add_manifest(struct gather *g, const struct oll_store *store, uint32_t at)
{
    struct oll_inventory_model *model = &g->out->models[at];
    struct oll_error why = {0};
    struct oll_arena arena;
    struct oll_manifest m;
    char *bytes = NULL;
    size_t n = 0;
    oll_arena_init(&arena, MANIFEST_ARENA_BYTES);
    oll_status status = oll_catalog_read(store, &model->ref, &bytes, &n, &why);
    if (status == OLL_OK)
        status = oll_manifest_parse(&arena, bytes, n, &m, &why);
    if (status == OLL_OK) {
        for (uint32_t i = 0; i < m.n_layers; i++)
            add_use(g, &m.layers[i].digest, m.layers[i].size_bytes, at);
        if (m.config.media_type)
            add_use(g, &m.config.digest, m.config.size_bytes, at);
    } else if (status != OLL_ERR_NOT_FOUND) {
        model->damage = oll_arena_strdup(&g->out->arena, oll_error_text(&why));
    }
    oll_free(bytes);
    oll_arena_free(&arena);
    return status != OLL_ERR_NOT_FOUND;
}

static int compare_models(const void *a, const void *b)
{
    const struct oll_inventory_model *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static oll_status read_models(struct gather *g, const struct oll_store *store,
                              struct oll_error *err)
{
    struct oll_inventory *out = g->out;
    struct oll_catalog_entry *entries = NULL;
    size_t n = 0;
    OLL_TRY(oll_catalog_list(store, &entries, &n, err));
    out->models = oll_arena_alloc(&out->arena, n ? n : 1, sizeof *out->models);
    for (size_t i = 0; i < n && out->models; i++) {
        char name[OLL_REFERENCE_TEXT_MAX];
        oll_reference_short(&entries[i].ref, name);
        const char *copy = oll_arena_strdup(&out->arena, name);
        if (copy)
            out->models[out->n_models++] =
                (struct oll_inventory_model){.ref = entries[i].ref, .name = copy};
    }
    oll_free(entries);
    if (out->arena.status != OLL_OK)
        return OLL_FAIL(err, out->arena.status, "out of memory for the list of models");
    qsort(out->models, out->n_models, sizeof *out->models, compare_models);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < out->n_models; i++) {
        out->models[kept] = out->models[i];
        kept += add_manifest(g, store, kept);
    }
    out->n_models = kept;
    return OLL_OK;
}

/* ---- what is in blobs/ ---- */

static bool visit_file(void *user, int dir, const char *name)
{
    struct gather *g = user;
    struct oll_digest digest;
    struct stat st;
    if (blob_file_digest(name, &digest) && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(st.st_mode))
        add_use(g, &digest, (uint64_t)st.st_size, NOBODY);
    return g->status == OLL_OK;
}

static oll_status read_files(struct gather *g, const struct oll_store *store, struct oll_error *err)
{
    static const char *const parts[] = {"blobs"};
    int dir;
    struct oll_error why = {0};
    oll_status status = oll_store_open_dir(store, parts, 1, &dir, &why);
    if (status == OLL_ERR_NOT_FOUND)
        return OLL_OK;
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "%s", oll_error_text(&why));
    store_each(dir, visit_file, g);
    close(dir);
    return OLL_OK;
}

/* ---- both together ---- */

/* By digest, then by model; a file comes after the models that name it. */
static int compare_uses(const void *a, const void *b)
{
    const struct use *x = a, *y = b;
    int order = memcmp(&x->digest, &y->digest, sizeof x->digest);
    return order ? order : (x->model > y->model) - (x->model < y->model);
}

/* Makes one blob of the uses from `at` on that have its digest; returns the end of them. */
static size_t add_blob(struct gather *g, size_t at, uint32_t *users)
{
    struct oll_inventory *out = g->out;
    struct oll_inventory_blob *blob = &out->blobs[out->n_blobs++];
    size_t end = at;
    *blob = (struct oll_inventory_blob){
        .digest = g->uses[at].digest, .named_bytes = g->uses[at].bytes, .users = users};
    for (; end < g->n && memcmp(&g->uses[end].digest, &blob->digest, sizeof blob->digest) == 0;
         end++) {
        const struct use *use = &g->uses[end];
        if (use->model == NOBODY) {
            blob->present = true;
            blob->file_bytes = use->bytes;
        } else if (blob->n_users == 0 || users[blob->n_users - 1] != use->model) {
            users[blob->n_users++] = use->model;
        }
    }
    for (uint32_t i = 0; i < blob->n_users; i++) {
        struct oll_inventory_model *model = &out->models[users[i]];
        model->size_bytes += blob->present ? blob->file_bytes : 0;
        model->own_bytes += blob->present && blob->n_users == 1 ? blob->file_bytes : 0;
    }
    return end;
}

oll_status oll_inventory_read(const struct oll_store *store, struct oll_inventory *out,
                              struct oll_error *err)
{
    struct gather g = {.out = out};
    *out = (struct oll_inventory){0};
    oll_arena_init(&out->arena, ARENA_BYTES);
    oll_status status = read_models(&g, store, err);
    if (status == OLL_OK)
        status = read_files(&g, store, err);
    uint32_t *users = oll_arena_alloc(&out->arena, g.n ? g.n : 1, sizeof *users);
    out->blobs = oll_arena_alloc(&out->arena, g.n ? g.n : 1, sizeof *out->blobs);
    if (status == OLL_OK && (g.status != OLL_OK || !users || !out->blobs))
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the list of blobs");
    if (status == OLL_OK) {
        if (g.n > 0)
            qsort(g.uses, g.n, sizeof *g.uses, compare_uses);
        for (size_t at = 0, next; at < g.n; at = next) {
            next = add_blob(&g, at, users);
            users += next - at;
        }
    }
    oll_free(g.uses);
    return status;
}

void oll_inventory_free(struct oll_inventory *inventory) { oll_arena_free(&inventory->arena); }

bool oll_inventory_still_names(const struct oll_store *store, const struct oll_reference *ref,
                               const struct oll_digest *digest)
{
    struct oll_arena arena;
    struct oll_manifest m;
    char *bytes = NULL;
    size_t n = 0;
    bool names = false;
    oll_arena_init(&arena, MANIFEST_ARENA_BYTES);
    if (oll_catalog_read(store, ref, &bytes, &n, NULL) == OLL_OK &&
        oll_manifest_parse(&arena, bytes, n, &m, NULL) == OLL_OK) {
        names = m.config.media_type && memcmp(&m.config.digest, digest, sizeof *digest) == 0;
        for (uint32_t i = 0; i < m.n_layers && !names; i++)
            names = memcmp(&m.layers[i].digest, digest, sizeof *digest) == 0;
    }
    oll_free(bytes);
    oll_arena_free(&arena);
    return names;
}
