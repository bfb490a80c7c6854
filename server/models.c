#include "server/models.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/chat/capabilities.h"
#include "engine/chat/style.h"
#include "registry/blob_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { FILES_MAX = 256 };

const char *const model_capability_names[CAPABILITIES] = {
    "completion", "tools", "insert", "vision", "embedding", "thinking", "image", "audio"};

struct given_file {
    struct oll_reference ref;
    char *path;
};

struct models {
    struct oll_store *store; /* NULL: none */
    struct oll_model_facts_cache *facts;
    struct given_file *files;
    int n_files;
    enum oll_template_preference prefer;
};

static void read_template(const char *text, struct oll_model_facts *facts)
{
    const struct chat_capabilities can = chat_capabilities_of_jinja(text);
    facts->template_tools = can.tools;
    facts->template_thinking = can.thinking;
    facts->template_tool_round_trip = can.tool_round_trip;
}

oll_status models_new(const char *store_path, struct models **out, struct oll_error *err)
{
    struct models *models = oll_calloc(1, sizeof *models);
    if (!models)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the list of models");
    oll_status status = oll_model_facts_cache_new(read_template, &models->facts, err);
    if (status == OLL_OK && store_path)
        status = oll_store_new(store_path, &models->store, err);
    models->files = oll_calloc(FILES_MAX, sizeof *models->files);
    if (status == OLL_OK && !models->files)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the list of models");
    if (status != OLL_OK) {
        models_free(models);
        return status;
    }
    *out = models;
    return OLL_OK;
}

void models_free(struct models *models)
{
    if (!models)
        return;
    for (int i = 0; i < models->n_files; i++)
        oll_free(models->files[i].path);
    oll_free(models->files);
    oll_store_free(models->store);
    oll_model_facts_cache_free(models->facts);
    oll_free(models);
}

void models_prefer(struct models *models, enum oll_template_preference prefer)
{
    models->prefer = prefer;
}

const struct oll_store *models_store(const struct models *models) { return models->store; }

struct oll_model_facts_cache *models_facts(const struct models *models) { return models->facts; }

oll_status models_add_file(struct models *models, const char *name, const char *path,
                           struct oll_error *err)
{
    struct given_file *file = &models->files[models->n_files];
    struct oll_model_facts facts;
    if (models->n_files == FILES_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "more than %d models named at start", FILES_MAX);
    OLL_TRY(oll_reference_parse(name, &file->ref, err));
    OLL_TRY(oll_model_facts_read(models->facts, path, &facts, err));
    file->path = oll_strdup(path);
    if (!file->path)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the list of models");
    models->n_files++;
    return OLL_OK;
}

/* ---- capabilities (rest-api 5.2) ---- */

static unsigned bits_of(const struct chat_capabilities *can)
{
    return (can->tools ? CAPABILITY_TOOLS : 0) | (can->insert ? CAPABILITY_INSERT : 0) |
           (can->thinking ? CAPABILITY_THINKING : 0);
}

/* Abilities of the template that is in use. One that cannot be read has none. */
static unsigned template_bits(const struct served_model *m)
{
    const struct oll_model_facts *f = &m->facts;
    const struct chat_capabilities jinja = {.tools = f->template_tools,
                                            .thinking = f->template_thinking,
                                            .tool_round_trip = f->template_tool_round_trip};
    const char *text = m->stored.template_text;
    struct go_template *go = NULL;
    if (!text)
        return bits_of(&jinja);
    if (go_template_parse(text, strlen(text), &go, NULL) != OLL_OK)
        return 0;
    const struct chat_capabilities can = chat_capabilities_of_go(go);
    const struct chat_source source = {.model_template = text,
                                       .renderer = m->stored.config.renderer,
                                       .parser = m->stored.config.parser,
                                       .prefer = m->prefer_template};
    const bool native = f->has_template && chat_style_takes_jinja(&source, m->family, go, &jinja);
    go_template_free(go);
    return bits_of(native ? &jinja : &can);
}

static unsigned parser_bits(const struct served_model *m)
{
    const char *name = m->stored.config.parser;
    const struct chat_parser_facts *facts = name && *name ? chat_parser_find(name) : NULL;
    return facts ? (facts->has_tools ? CAPABILITY_TOOLS : 0u) |
                       (facts->has_thinking ? CAPABILITY_THINKING : 0u)
                 : 0u;
}

static unsigned capabilities_of(const struct served_model *m)
{
    const struct oll_model_config *c = &m->stored.config;
    const struct oll_model_facts *f = &m->facts;
    unsigned bits = 0;
    for (uint32_t i = 0; i < c->n_capabilities; i++)
        for (int k = 0; k < CAPABILITIES; k++)
            if (strcmp(c->capabilities[i], model_capability_names[k]) == 0)
                bits |= 1u << k;
    if (m->path)
        bits |= f->pools ? CAPABILITY_EMBEDDING : CAPABILITY_COMPLETION;
    bits |= (f->vision || m->stored.projector ? CAPABILITY_VISION : 0) |
            (f->audio ? CAPABILITY_AUDIO : 0);
    bits |= template_bits(m) | parser_bits(m);
    if (strcasecmp(m->family, "gptoss") == 0 || strcasecmp(m->family, "gpt-oss") == 0)
        bits |= CAPABILITY_THINKING;
    return bits;
}

/* ---- filling in ---- */

static const char *count_text(struct oll_arena *arena, uint64_t n)
{
    char text[OLL_MODEL_FACTS_TEXT_MAX];
    oll_model_facts_count_text(n, text);
    const char *copy = oll_arena_strdup(arena, text);
    return copy ? copy : "";
}

/* What is shown, from the config first and from the file where that is silent. */
static oll_status fill_details(struct oll_arena *arena, struct served_model *m,
                               struct oll_error *err)
{
    const struct oll_model_config *c = &m->stored.config;
    const char *arch = oll_arena_strdup(arena, m->facts.architecture);
    oll_reference_short(&m->ref, m->short_name);
    oll_reference_full(&m->ref, m->full_name);
    m->format = c->format ? c->format : "gguf";
    m->family = c->family ? c->family : arch;
    m->families = c->families;
    m->n_families = c->n_families;
    m->n_params = c->n_params && *c->n_params ? c->n_params : count_text(arena, m->facts.n_params);
    m->quantization = c->quantization ? c->quantization : "";
    m->parent = m->stored.model ? m->stored.model->from : "";
    if (!*m->quantization || strcmp(m->quantization, "unknown") == 0)
        m->quantization = oll_arena_strdup(arena, m->facts.quantization);
    if (!c->format) { /* a file named at start: one family, its architecture */
        m->families = oll_arena_alloc(arena, 1, sizeof *m->families);
        if (m->families)
            m->families[m->n_families++] = arch;
    }
    if (arena->status != OLL_OK)
        return OLL_FAIL(err, arena->status, "out of memory for a model's details");
    m->capabilities = capabilities_of(m);
    return OLL_OK;
}

/* Where a layer's bytes lie. */
static oll_status layer_path(const struct models *models, const struct oll_layer *layer,
                             struct oll_arena *arena, const char **out, struct oll_error *err)
{
    char *path = NULL;
    oll_status status = oll_blob_path(models->store, &layer->digest, &path, err);
    if (status != OLL_OK) /* the name exists: this is damage */
        return status == OLL_ERR_NOT_FOUND ? OLL_ERR_FORMAT : status;
    *out = oll_arena_strdup(arena, path);
    oll_free(path);
    return *out ? OLL_OK : OLL_FAIL(err, arena->status, "out of memory for a model's path");
}

static void fill_documents(const struct models *models, struct served_model *m)
{
    m->prefer_template = models->prefer;
    m->modified_ns = m->stored.modified_ns;
    m->size_bytes = m->stored.manifest.total_bytes;
    memcpy(m->digest, m->stored.manifest.id, sizeof m->digest);
}

static oll_status fill_stored(struct models *models, struct oll_arena *arena,
                              struct served_model *m, struct oll_error *err)
{
    OLL_TRY(oll_catalog_load(models->store, &m->ref, true, arena, &m->stored, err));
    fill_documents(models, m);
    if (m->stored.model) {
        OLL_TRY(layer_path(models, m->stored.model, arena, &m->path, err));
        OLL_TRY(oll_model_facts_read(models->facts, m->path, &m->facts, err));
    }
    if (m->stored.adapter)
        OLL_TRY(layer_path(models, m->stored.adapter, arena, &m->adapter_path, err));
    return fill_details(arena, m, err);
}

/* A model whose weights are missing or cannot be read is listed with what its documents say: who
 * does not see it cannot repair or remove it. */
static oll_status fill_listed(struct models *models, struct oll_arena *arena,
                              struct served_model *m, struct oll_error *err)
{
    const struct oll_reference ref = m->ref;
    struct oll_error why = {0};
    if (fill_stored(models, arena, m, &why) == OLL_OK)
        return OLL_OK;
    *m = (struct served_model){.ref = ref};
    OLL_TRY(oll_catalog_load(models->store, &ref, false, arena, &m->stored, err));
    fill_documents(models, m);
    OLL_TRY(fill_details(arena, m, err));
    oll_log_warn("models", "%s is damaged, see oll verify: %s", m->short_name,
                 oll_error_text(&why));
    return OLL_OK;
}

static oll_status fill_file(struct models *models, const struct given_file *file,
                            struct oll_arena *arena, struct served_model *m, struct oll_error *err)
{
    struct stat st;
    uint8_t digest[OLL_SHA256_BYTES];
    m->ref = file->ref;
    m->path = file->path;
    OLL_TRY(oll_model_facts_read(models->facts, file->path, &m->facts, err));
    m->size_bytes = m->facts.file_bytes;
    if (stat(file->path, &st) == 0)
        m->modified_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    OLL_TRY(fill_details(arena, m, err));
    /* There is no manifest whose digest could identify the model, and hashing the weights would
     * take minutes: what tells one state of the file from another is hashed instead. */
    const char *identity =
        oll_arena_printf(arena, "%s\n%s\n%llu\n%lld", m->full_name, m->path,
                         (unsigned long long)m->size_bytes, (long long)m->modified_ns);
    struct oll_sha256 *h = identity ? oll_sha256_new() : NULL;
    if (!h)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a model's digest");
    oll_sha256_update(h, identity, strlen(identity));
    oll_sha256_final(h, digest);
    oll_sha256_free(h);
    oll_sha256_hex(digest, m->digest);
    return OLL_OK;
}

/* ---- finding and listing ---- */

static const struct given_file *find_file(const struct models *models,
                                          const struct oll_reference *ref)
{
    for (int i = 0; i < models->n_files; i++)
        if (oll_reference_equal(&models->files[i].ref, ref))
            return &models->files[i];
    return NULL;
}

oll_status models_find(struct models *models, const char *name, struct oll_arena *arena,
                       struct served_model *out, struct oll_error *err)
{
    OLL_TRY(oll_reference_parse(name, &out->ref, err));
    if (out->ref.source == OLL_SOURCE_CLOUD)
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                        "ollama cloud is disabled: remote model is unavailable");
    const struct given_file *file = find_file(models, &out->ref);
    if (file)
        return fill_file(models, file, arena, out, err);
    if (!models->store)
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "model '%s' not found", name);
    OLL_TRY(oll_catalog_canonical(models->store, &out->ref, err));
    oll_status status = fill_stored(models, arena, out, err);
    if (status == OLL_OK && out->path)
        status = oll_blob_check_origin(models->store, &out->stored.model->digest, err);
    if (status == OLL_OK && !out->path)
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                        "ollama cloud is disabled: remote model is unavailable");
    return status;
}

/* Newest first, by whole seconds. */
static int compare_age(const void *a, const void *b)
{
    const struct served_model *x = a, *y = b;
    int64_t sx = x->modified_ns / 1000000000, sy = y->modified_ns / 1000000000;
    return sx != sy ? (sx < sy) - (sx > sy) : strcmp(x->short_name, y->short_name);
}

oll_status models_list(struct models *models, struct oll_arena *arena, struct served_model **out,
                       size_t *n, struct oll_error *err)
{
    struct oll_catalog_entry *entries = NULL;
    size_t n_entries = 0, n_models = 0;
    if (models->store)
        OLL_TRY(oll_catalog_list(models->store, &entries, &n_entries, err));
    struct served_model *list =
        oll_arena_alloc(arena, n_entries + (size_t)models->n_files, sizeof *list);
    if (!list) {
        oll_free(entries);
        return OLL_FAIL(err, arena->status, "out of memory for the list of models");
    }
    for (size_t i = 0; i < n_entries + (size_t)models->n_files; i++) {
        struct served_model *m = &list[n_models];
        struct oll_error why = {0};
        memset(m, 0, sizeof *m);
        if (i < n_entries)
            m->ref = entries[i].ref;
        if (i < n_entries && find_file(models, &m->ref))
            continue;
        oll_status status = i < n_entries
                                ? fill_listed(models, arena, m, &why)
                                : fill_file(models, &models->files[i - n_entries], arena, m, &why);
        n_models += status == OLL_OK;
        if (status != OLL_OK)
            oll_log_warn("models", "%s is not listed: %s", m->ref.model, oll_error_text(&why));
    }
    oll_free(entries);
    qsort(list, n_models, sizeof *list, compare_age);
    *out = list;
    *n = n_models;
    return OLL_OK;
}
