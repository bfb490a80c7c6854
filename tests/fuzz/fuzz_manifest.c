/* Documents and names of a store: the first byte says which parser. Whatever is accepted must print
 * and read back to the same. */
#include "registry/manifest.h"
#include "registry/reference.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { MEMORY_MAX = 64 << 20, TEXT_MAX = 4096 };

static void use_reference(const char *text)
{
    struct oll_reference ref, again;
    char full[OLL_REFERENCE_TEXT_MAX], brief[OLL_REFERENCE_TEXT_MAX];
    if (oll_reference_parse(text, &ref, NULL) != OLL_OK)
        return;
    oll_reference_full(&ref, full);
    oll_reference_short(&ref, brief);
    OLL_ASSERT(!strstr(full, "/../") && !strstr(full, "//") && full[0] != '/' && full[0] != '.');
    /* A tag may spell a source, which is taken off when the name is read again. */
    if (ref.source == OLL_SOURCE_ANY && oll_reference_parse(brief, &again, NULL) == OLL_OK &&
        again.source == OLL_SOURCE_ANY)
        OLL_ASSERT(oll_reference_equal(&ref, &again));
}

static void use_digest(const char *text)
{
    struct oll_digest digest, again;
    char out[OLL_DIGEST_TEXT_MAX];
    if (oll_digest_parse(text, &digest, NULL) != OLL_OK)
        return;
    oll_digest_text(&digest, out);
    OLL_ASSERT(oll_digest_parse(out, &again, NULL) == OLL_OK);
    OLL_ASSERT(memcmp(&digest, &again, sizeof digest) == 0);
}

static void use_manifest(struct oll_arena *arena, const char *text, size_t n)
{
    struct oll_manifest m;
    uint64_t sum;
    if (oll_manifest_parse(arena, text, n, &m, NULL) != OLL_OK)
        return;
    sum = m.config.size_bytes;
    OLL_ASSERT(m.n_layers <= OLL_MANIFEST_LAYERS_MAX && strlen(m.id) == OLL_SHA256_HEX);
    for (uint32_t i = 0; i < m.n_layers; i++) {
        sum += m.layers[i].size_bytes;
        OLL_ASSERT(m.layers[i].media_type && m.layers[i].from && m.layers[i].name);
        (void)oll_layer_is(&m.layers[i], "model");
    }
    OLL_ASSERT(sum == m.total_bytes);
}

static void use_config(struct oll_arena *arena, const char *text, size_t n)
{
    struct oll_model_config c;
    if (oll_model_config_parse(arena, text, n, &c, NULL) != OLL_OK)
        return;
    OLL_ASSERT(c.format[0] && c.family && c.renderer && c.parser && c.remote_host);
    for (uint32_t i = 0; i < c.n_families; i++)
        OLL_ASSERT(c.families[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct oll_arena arena;
    char text[TEXT_MAX];
    if (n_bytes == 0)
        return 0;
    const char *rest = (const char *)data + 1;
    size_t n = n_bytes - 1, n_text = n < sizeof text ? n : sizeof text - 1;
    memcpy(text, rest, n_text);
    text[n_text] = '\0';
    oll_arena_init(&arena, MEMORY_MAX);
    switch (data[0] % 4) {
    case 0: use_reference(text); break;
    case 1: use_digest(text); break;
    case 2: use_manifest(&arena, rest, n); break;
    default: use_config(&arena, rest, n); break;
    }
    oll_arena_free(&arena);
    return 0;
}
