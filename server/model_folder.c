#include "server/model_folder.h"

#include "engine/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRIES_MAX = 65536, SNIFF_BYTES = 512 };

enum content { CONTENT_TEXT, CONTENT_ZIP, CONTENT_BINARY };
static const char *const content_names[] = {"text/plain", "application/zip",
                                            "application/octet-stream"};

/* Paths below the folder, one level of sub-folders deep, in bytewise order. */
struct listing {
    struct oll_arena *arena;
    const char *folder, *real; /* as given; with links resolved */
    const char **names;
    size_t n, cap;
};

/* ---- listing ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_name(struct listing *l, const char *name)
{
    if (l->n == l->cap && l->cap < ENTRIES_MAX) {
        const size_t cap = l->cap ? 2 * l->cap : 64;
        const char **grown = oll_arena_alloc(l->arena, cap, sizeof *grown);
        if (!grown)
            return;
        if (l->n)
            memcpy(grown, l->names, l->n * sizeof *grown);
        l->names = grown;
        l->cap = cap;
    }
    if (l->n < l->cap && name)
        l->names[l->n++] = name;
}

/* Names in a folder; sub-folders are entered once. */
static void list_folder(struct listing *l, const char *sub)
{
    const char *path = sub ? oll_arena_printf(l->arena, "%s/%s", l->folder, sub) : l->folder;
    DIR *dir = path ? opendir(path) : NULL;
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        struct stat st;
        if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &st, 0) != 0)
            continue;
        const char *name = sub ? oll_arena_printf(l->arena, "%s/%s", sub, entry->d_name)
                               : oll_arena_strdup(l->arena, entry->d_name);
        if (S_ISREG(st.st_mode))
            add_name(l, name);
        else if (S_ISDIR(st.st_mode) && !sub && name)
            list_folder(l, name);
    }
    if (dir)
        closedir(dir);
}

/* ---- content ---- */

/* By the first bytes: a zip archive, text (no control bytes), or anything else. */
static enum content sniff(const char *path)
{
    unsigned char head[SNIFF_BYTES];
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const ssize_t n = fd >= 0 ? read(fd, head, sizeof head) : 0;
    if (fd >= 0)
        close(fd);
    if (n >= 4 && memcmp(head, "PK\x03\x04", 4) == 0)
        return CONTENT_ZIP;
    for (ssize_t i = 0; i < n; i++) {
        const unsigned char c = head[i];
        if (c == 0 || (c < 0x20 && !strchr("\t\n\f\r\x1b", c)))
            return CONTENT_BINARY;
    }
    return CONTENT_TEXT;
}

/* ---- adding ---- */

struct adding {
    struct model_source *source;
    struct listing *list;
    enum model_source_group group;
    struct oll_error *err;
};

static oll_status add_file(struct adding *a, const char *name, int wanted)
{
    struct listing *l = a->list;
    const char *path = oll_arena_printf(l->arena, "%s/%s", l->folder, name);
    char *real = path ? realpath(path, NULL) : NULL;
    const size_t n = strlen(l->real);
    struct stat st;
    struct model_source_file file = {.name = name, .group = a->group};
    if (!real || stat(real, &st) != 0) {
        free(real);
        return OLL_FAIL(a->err, OLL_ERR_IO, "%s: %s", name, strerror(errno));
    }
    const bool inside = strncmp(real, l->real, n) == 0 && (real[n] == '/' || l->real[n - 1] == '/');
    file.path = oll_arena_strdup(l->arena, real);
    file.n_bytes = (uint64_t)st.st_size;
    free(real);
    if (!inside)
        return OLL_FAIL(a->err, OLL_ERR_DENIED, "insecure path: %s%s", name,
                        strstr(l->folder, ".cache")
                            ? " (download the model with --local-dir, so that it has no links)"
                            : "");
    if (!file.path)
        return OLL_FAIL(a->err, OLL_ERR_MEMORY, "out of memory for the list of files");
    const enum content found = sniff(file.path);
    if (wanted >= 0 && found != (enum content)wanted)
        return OLL_FAIL(a->err, OLL_ERR_ARG, "invalid content type: expected %s for %s",
                        content_names[found], name);
    return model_source_add(a->source, l->arena, &file, a->err);
}

/* Adds all files that fit a pattern; *n counts them. `wanted`: a content, -1 any. */
static oll_status add_fitting(struct adding *a, const char *pattern, int wanted, size_t *n)
{
    for (size_t i = 0; i < a->list->n; i++) {
        const char *name = a->list->names[i];
        if (fnmatch(pattern, name, FNM_PATHNAME) != 0)
            continue;
        OLL_TRY(add_file(a, name, wanted));
        ++*n;
    }
    return OLL_OK;
}

static oll_status add_weights(struct adding *a)
{
    static const struct {
        const char *pattern, *nested;
        int wanted;
    } kinds[] = {{"model*.safetensors", "*/model*.safetensors", -1},
                 {"consolidated*.safetensors", NULL, -1},
                 {"pytorch_model*.bin", NULL, CONTENT_ZIP},
                 {"consolidated*.pth", NULL, CONTENT_ZIP},
                 {"*.gguf", NULL, CONTENT_BINARY},
                 {"*.bin", NULL, CONTENT_BINARY},
                 {"adapter_model.safetensors", NULL, -1}};
    size_t n = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && n == 0; i++) {
        OLL_TRY(add_fitting(a, kinds[i].pattern, kinds[i].wanted, &n));
        if (n > 0 && kinds[i].nested)
            OLL_TRY(add_fitting(a, kinds[i].nested, kinds[i].wanted, &n));
    }
    if (n == 0)
        return OLL_FAIL(a->err, OLL_ERR_NOT_FOUND, "no Modelfile or safetensors files found");
    return OLL_OK;
}

static oll_status add_rest(struct adding *a)
{
    size_t n = 0, n_models = 0;
    OLL_TRY(add_fitting(a, "*.json", CONTENT_TEXT, &n));
    OLL_TRY(add_fitting(a, "*/*.json", CONTENT_TEXT, &n));
    OLL_TRY(add_fitting(a, "chat_template.jinja", -1, &n));
    /* A vocabulary that only an old BERT has as text alone. */
    OLL_TRY(add_fitting(a, "vocab.txt", CONTENT_TEXT, &n));
    OLL_TRY(add_fitting(a, "tokenizer.model", CONTENT_BINARY, &n_models));
    if (n_models == 0)
        OLL_TRY(add_fitting(a, "*/tokenizer.model", CONTENT_BINARY, &n_models));
    return OLL_OK;
}

oll_status model_folder_add(struct model_source *source, struct oll_arena *arena,
                            const char *folder, enum model_source_group group,
                            struct oll_error *err)
{
    char *real = realpath(folder, NULL);
    struct listing list = {.arena = arena, .folder = folder};
    struct adding adding = {source, &list, group, err};
    list.real = real ? oll_arena_strdup(arena, real) : NULL;
    free(real);
    if (!list.real)
        return OLL_FAIL(err, OLL_ERR_IO, "%s: %s", folder, strerror(errno));
    list_folder(&list, NULL);
    if (arena->status != OLL_OK)
        return OLL_FAIL(err, arena->status, "out of memory for the list of files");
    if (list.n > 0)
        qsort(list.names, list.n, sizeof *list.names, compare_names);
    OLL_TRY(add_weights(&adding));
    return add_rest(&adding);
}
