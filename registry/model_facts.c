#include "registry/model_facts.h"

#include "engine/base/mem.h"
#include "gguf/gguf.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { CACHE_MAX = 4096 };

struct entry {
    struct entry *next;
    char *path;
    int64_t size, modified_s, modified_ns;
    struct oll_model_facts facts;
};

struct oll_model_facts_cache {
    pthread_mutex_t lock;
    struct entry *entries; /* newest first */
    int n;
    oll_template_facts_fn read_template;
};

oll_status oll_model_facts_cache_new(oll_template_facts_fn read_template,
                                     struct oll_model_facts_cache **out, struct oll_error *err)
{
    struct oll_model_facts_cache *cache = oll_calloc(1, sizeof *cache);
    if (!cache)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the list of models");
    pthread_mutex_init(&cache->lock, NULL);
    cache->read_template = read_template;
    *out = cache;
    return OLL_OK;
}

static void free_entries(struct entry *entry)
{
    while (entry) {
        struct entry *next = entry->next;
        oll_free(entry->path);
        oll_free(entry);
        entry = next;
    }
}

void oll_model_facts_cache_free(struct oll_model_facts_cache *cache)
{
    if (!cache)
        return;
    free_entries(cache->entries);
    pthread_mutex_destroy(&cache->lock);
    oll_free(cache);
}

/* ---- reading ---- */

/* The label of general.file_type (gguf-and-models 1.13). */
static const char *file_type_name(uint64_t type)
{
    static const char *const names[] = {
        "F32",    "F16",    "Q4_0",         "Q4_1",   [7] = "Q8_0", "Q5_0",   "Q5_1",
        "Q2_K",   "Q3_K_S", "Q3_K_M",       "Q3_K_L", "Q4_K_S",     "Q4_K_M", "Q5_K_S",
        "Q5_K_M", "Q6_K",   "IQ2_XXS",      "IQ2_XS", "Q2_K_S",     "IQ3_XS", "IQ3_XXS",
        "IQ1_S",  "IQ4_NL", "IQ3_S",        "IQ3_M",  "IQ2_S",      "IQ2_M",  "IQ4_XS",
        "IQ1_M",  "BF16",   [36] = "TQ1_0", "TQ2_0",  "MXFP4",      "NVFP4",  "Q1_0"};
    type &= ~(uint64_t)1024; /* "guessed" */
    if (type >= sizeof names / sizeof names[0] || !names[type])
        return "unknown";
    return names[type];
}

/* An optional number of the architecture's own; 0 when absent or of another kind. */
static uint64_t arch_u64(const struct oll_gguf *gguf, const char *arch, const char *key)
{
    char name[128];
    uint64_t v = 0;
    snprintf(name, sizeof name, "%s.%s", arch, key);
    return oll_gguf_u64(gguf, name, &v, NULL) == OLL_OK ? v : 0;
}

static bool arch_has(const struct oll_gguf *gguf, const char *arch, const char *key)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    return oll_gguf_find(gguf, name) != NULL;
}

static void collect(const struct oll_model_facts_cache *cache, const struct oll_gguf *gguf,
                    struct oll_model_facts *f)
{
    struct oll_gguf_str s;
    uint64_t type;
    if (oll_gguf_str(gguf, "general.architecture", &s, NULL) == OLL_OK &&
        s.len < sizeof f->architecture)
        snprintf(f->architecture, sizeof f->architecture, "%.*s", (int)s.len, s.data);
    bool known = oll_gguf_u64(gguf, "general.file_type", &type, NULL) == OLL_OK;
    snprintf(f->quantization, sizeof f->quantization, "%s",
             known ? file_type_name(type) : "unknown");
    for (uint64_t i = 0; i < oll_gguf_n_tensors(gguf); i++) {
        const struct oll_gguf_tensor *t = oll_gguf_tensor_at(gguf, i);
        f->n_params += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    }
    f->file_bytes = oll_gguf_file_bytes(gguf);
    f->context_length = arch_u64(gguf, f->architecture, "context_length");
    f->embedding_length = arch_u64(gguf, f->architecture, "embedding_length");
    f->pools = arch_has(gguf, f->architecture, "pooling_type");
    f->vision = arch_has(gguf, f->architecture, "vision.block_count");
    f->audio = arch_has(gguf, f->architecture, "audio.block_count");
    if (oll_gguf_str(gguf, "tokenizer.chat_template", &s, NULL) == OLL_OK && s.len > 0) {
        f->has_template = true;
        /* Without memory for a copy the model is listed with fewer abilities. */
        char *text = cache->read_template ? oll_strndup(s.data, (size_t)s.len) : NULL;
        if (text)
            cache->read_template(text, f);
        oll_free(text);
    }
}

/* ---- cache ---- */

/* The lock is held. */
static struct entry *find_entry(struct oll_model_facts_cache *cache, const char *path)
{
    for (struct entry *e = cache->entries; e; e = e->next)
        if (strcmp(e->path, path) == 0)
            return e;
    return NULL;
}

static bool is_current(const struct entry *e, const struct stat *st)
{
    return e->size == (int64_t)st->st_size && e->modified_s == (int64_t)st->st_mtim.tv_sec &&
           e->modified_ns == (int64_t)st->st_mtim.tv_nsec;
}

/* Keeps facts; that memory is short only means that they are read again. */
static void remember(struct oll_model_facts_cache *cache, const char *path, const struct stat *st,
                     const struct oll_model_facts *facts)
{
    pthread_mutex_lock(&cache->lock);
    struct entry *e = find_entry(cache, path);
    if (!e && cache->n == CACHE_MAX) {
        free_entries(cache->entries);
        cache->entries = NULL;
        cache->n = 0;
    }
    if (!e && (e = oll_calloc(1, sizeof *e))) {
        e->path = oll_strdup(path);
        if (!e->path) {
            oll_free(e);
            e = NULL;
        } else {
            e->next = cache->entries;
            cache->entries = e;
            cache->n++;
        }
    }
    if (e) {
        e->size = (int64_t)st->st_size;
        e->modified_s = (int64_t)st->st_mtim.tv_sec;
        e->modified_ns = (int64_t)st->st_mtim.tv_nsec;
        e->facts = *facts;
    }
    pthread_mutex_unlock(&cache->lock);
}

oll_status oll_model_facts_read(struct oll_model_facts_cache *cache, const char *path,
                                struct oll_model_facts *out, struct oll_error *err)
{
    struct oll_gguf *gguf = NULL;
    struct oll_model_facts facts = {0};
    struct oll_error detail = {0};
    struct stat st;
    if (stat(path, &st) != 0)
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "the model's file is missing");
    pthread_mutex_lock(&cache->lock);
    struct entry *e = find_entry(cache, path);
    bool hit = e && is_current(e, &st);
    if (hit)
        *out = e->facts;
    pthread_mutex_unlock(&cache->lock);
    if (hit)
        return OLL_OK;
    oll_status status = oll_gguf_open(path, &gguf, &detail);
    if (status != OLL_OK) {
        /* Remote callers are not told where files lie (R9). */
        const char *text =
            strncmp(detail.text, path, strlen(path)) == 0
                ? detail.text + strlen(path) + strspn(detail.text + strlen(path), ": ")
                : detail.text;
        return OLL_FAIL(err, status, "the model's file cannot be read: %s", text);
    }
    collect(cache, gguf, &facts);
    oll_gguf_close(gguf);
    remember(cache, path, &st, &facts);
    *out = facts;
    return OLL_OK;
}

void oll_model_facts_count_text(uint64_t n, char out[OLL_MODEL_FACTS_TEXT_MAX])
{
    size_t size = OLL_MODEL_FACTS_TEXT_MAX;
    if (n >= 1000000000u)
        snprintf(out, size, n % 1000000000u ? "%.1fB" : "%.0fB", (double)n / 1e9);
    else if (n >= 1000000u)
        snprintf(out, size, n % 1000000u ? "%.2fM" : "%.0fM", (double)n / 1e6);
    else if (n >= 1000u)
        snprintf(out, size, "%.0fK", (double)n / 1e3);
    else
        snprintf(out, size, "%u", (unsigned)n);
}
