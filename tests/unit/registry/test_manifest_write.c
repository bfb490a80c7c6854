/* Documents come out with the bytes that the real server wrote: each recorded manifest, config and
 * params text, read and written again, is the same. */
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "registry/manifest_write.h"
#include "tests/testing.h"

#include <string.h>

static struct oll_arena arena;
static int n_manifests, n_configs, n_params;

static void check_manifest(const char *text, size_t n)
{
    struct oll_manifest m;
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, 1 << 20);
    CHECK_OK(oll_manifest_parse(&arena, text, n, &m, NULL));
    oll_manifest_write(&m, true, &sb);
    CHECK_STR(sb.data, text);
    oll_strbuf_free(&sb);
    n_manifests++;
}

static void check_config(const char *text, size_t n)
{
    struct oll_model_config c;
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, 1 << 20);
    CHECK_OK(oll_model_config_parse(&arena, text, n, &c, NULL));
    oll_model_config_write(&c, &sb);
    CHECK_STR(sb.data, text);
    oll_strbuf_free(&sb);
    n_configs++;
}

static void check_params(const char *text, size_t n)
{
    struct oll_json *root;
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, 1 << 20);
    CHECK_OK(oll_json_parse(&arena, text, n, NULL, &root, NULL));
    oll_params_write(root, &sb);
    CHECK_STR(sb.data, text);
    oll_strbuf_free(&sb);
    n_params++;
}

/* A digest that differs from run to run is recorded as "<model-sha256-N>". */
static const char *with_digests(const char *text)
{
    char *out = oll_arena_alloc(&arena, strlen(text) * 4 + 1, 1), *to = out;
    OLL_ASSERT(out);
    for (const char *p = text; *p;) {
        bool hole = strncmp(p, "<model-sha256-", 14) == 0;
        if (hole)
            memset(to, 'a', OLL_SHA256_HEX);
        else
            *to = *p;
        to += hole ? OLL_SHA256_HEX : 1;
        p = hole ? strchr(p, '>') + 1 : p + 1;
    }
    return out;
}

static void check_file(const struct oll_json *file)
{
    const struct oll_json *text = oll_json_get(file, "text");
    const char *path = oll_json_get_str(file, "path", "");
    if (!text || text->type != OLL_JSON_STRING)
        return;
    const char *filled = with_digests(text->str);
    if (strncmp(path, "manifests/", 10) == 0)
        check_manifest(filled, strlen(filled));
    else if (strncmp(text->str, "{\"model_format\"", 15) == 0)
        check_config(text->str, text->str_len);
    else if (text->str[0] == '{' && text->str[1] == '"')
        check_params(text->str, text->str_len);
}

TEST(recorded_documents)
{
    char *data = NULL, *line;
    uint64_t n;
    const char *path = testing_shared("data/ollama/store.jsonl");
    if (!*path) {
        testing_skip("shared/data/ollama/store.jsonl is absent");
        return;
    }
    oll_arena_init(&arena, 64 << 20);
    CHECK_OK(oll_file_read(path, 16 << 20, &data, &n, NULL));
    for (char *p = data; p && *p; p = line + 1) {
        struct oll_json *step;
        line = strchr(p, '\n');
        OLL_ASSERT(line);
        CHECK_OK(oll_json_parse(&arena, p, (size_t)(line - p), NULL, &step, NULL));
        const struct oll_json *files = oll_json_get(step, "files");
        for (const struct oll_json *f = files ? files->first : NULL; f; f = f->next)
            check_file(f);
        oll_arena_reset(&arena);
    }
    CHECK_EQ(n_configs, 38);
    CHECK_EQ(n_params, 31);
    CHECK_EQ(n_manifests, 65);
    oll_free(data);
    oll_arena_free(&arena);
}

TEST(fields_that_are_optional)
{
    static const char text[] =
        "{\"model_format\":\"safetensors\",\"model_family\":\"\",\"model_families\":null,"
        "\"model_type\":\"\",\"file_type\":\"\",\"remote_host\":\"h\",\"remote_model\":\"m\","
        "\"base_name\":\"b\",\"draft\":{\"model_format\":\"gguf\",\"tensor_prefix\":\"x\"},"
        "\"architecture\":\"amd64\",\"os\":\"linux\"}\n";
    static const char manifest[] =
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.docker.distribution.manifest.v2+json"
        "\",\"config\":{\"mediaType\":\"\",\"digest\":\"\",\"size\":0},\"layers\":null}\n";
    oll_arena_init(&arena, 1 << 20);
    check_config(text, sizeof text - 1);
    check_manifest(manifest, sizeof manifest - 1);
    oll_arena_free(&arena);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
