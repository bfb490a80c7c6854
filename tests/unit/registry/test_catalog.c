/* Reading a store: one made here, with good, odd and hostile entries, and the recorded listings of
 * the real one. */
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "registry/catalog.h"
#include "tests/testing.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[256];
static struct oll_store *store;
static struct oll_arena arena;

static void put_file(const char *path, const char *text, size_t n)
{
    char full[1024];
    snprintf(full, sizeof full, "%s/%s", root, path);
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
        *p = '\0';
        mkdir(full, 0755);
    }
    FILE *f = fopen(full, "wb");
    OLL_ASSERT(f && fwrite(text, 1, n, f) == n && fclose(f) == 0);
}

static void put(const char *path, const char *text) { put_file(path, text, strlen(text)); }

/* Stores a blob; its digest text is valid until the next call but one. */
static const char *put_blob(const char *text)
{
    static char texts[2][OLL_DIGEST_TEXT_MAX];
    static int turn;
    char *out = texts[turn ^= 1], path[128];
    struct oll_digest digest;
    struct oll_sha256 *h = oll_sha256_new();
    OLL_ASSERT(h);
    oll_sha256_update(h, text, strlen(text));
    oll_sha256_final(h, digest.bytes);
    oll_sha256_free(h);
    oll_digest_text(&digest, out);
    snprintf(path, sizeof path, "blobs/sha256-%s", out + 7);
    put(path, text);
    return out;
}

static void open_store(void)
{
    snprintf(root, sizeof root, "%s/oll-store-XXXXXX", P_tmpdir);
    OLL_ASSERT(mkdtemp(root));
    OLL_ASSERT(oll_store_new(root, &store, NULL) == OLL_OK);
    oll_arena_init(&arena, 64 << 20);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void close_store(void)
{
    oll_arena_free(&arena);
    oll_store_free(store);
    nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *layer(const char *kind, const char *digest, const char *more)
{
    static char texts[8][512];
    static int turn;
    char *out = texts[turn++ % 8];
    snprintf(out, sizeof texts[0],
             "{\"mediaType\":\"application/vnd.ollama.image.%s\",\"digest\":\"%s\",\"size\":10%s}",
             kind, digest, more);
    return out;
}

static void put_model(const char *path)
{
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, 1 << 20);
    oll_strbuf_printf(&sb,
                      "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\",\"size\":7},\"layers\":[",
                      put_blob("{\"model_format\":\"gguf\",\"model_family\":\"llama\","
                               "\"model_families\":[\"llama\"],\"model_type\":\"8.0B\","
                               "\"file_type\":\"Q4_0\",\"capabilities\":[\"tools\"],"
                               "\"context_length\":99,\"unknown\":1}"));
    oll_strbuf_printf(&sb, "%s,", layer("model", put_blob("weights"), ",\"from\":\"base:latest\""));
    oll_strbuf_printf(&sb, "%s,", layer("template", put_blob("{{ .Prompt }}"), ""));
    oll_strbuf_printf(&sb, "%s,", layer("system", put_blob("Be brief."), ""));
    oll_strbuf_printf(&sb, "%s,", layer("params", put_blob("{\"stop\":[\"x\"],\"seed\":1}\n"), ""));
    oll_strbuf_printf(&sb, "%s,", layer("messages", put_blob("[{\"role\":\"user\"}]\n"), ""));
    oll_strbuf_printf(&sb, "%s]}", layer("license", put_blob("free"), ""));
    put(path, sb.data);
    oll_strbuf_free(&sb);
}

static oll_status load(const char *name, struct oll_stored_model *out, struct oll_error *err)
{
    struct oll_reference ref;
    OLL_TRY(oll_reference_parse(name, &ref, err));
    OLL_TRY(oll_catalog_canonical(store, &ref, err));
    return oll_catalog_load(store, &ref, true, &arena, out, err);
}

TEST(loads_what_belongs_to_a_model)
{
    struct oll_stored_model m;
    struct oll_error err = {0};
    char *path = NULL, *data = NULL;
    uint64_t n;
    open_store();
    put_model("manifests/registry.ollama.ai/library/m/latest");
    if (CHECK_OK(load("m", &m, &err))) {
        CHECK_EQ(m.manifest.n_layers, 6);
        CHECK_EQ(m.manifest.total_bytes, 67);
        CHECK_STR(m.model->from, "base:latest");
        CHECK_STR(m.template_text, "{{ .Prompt }}");
        CHECK_STR(m.system, "Be brief.");
        CHECK_EQ(oll_json_get(m.params, "seed")->i, 1);
        CHECK_EQ(m.messages->n, 1);
        CHECK_STR(m.config.family, "llama");
        CHECK_STR(m.config.families[0], "llama");
        CHECK_STR(m.config.capabilities[0], "tools");
        CHECK_EQ(m.config.context_length, 99);
        CHECK_STR(m.config.renderer, "");
        CHECK(m.modified_ns > 0);
        CHECK_OK(oll_blob_path(store, &m.model->digest, &path, &err));
        CHECK_OK(oll_file_read(path, 100, &data, &n, &err));
        CHECK_STR(data, "weights");
    }
    CHECK_STATUS(load("none", &m, &err), OLL_ERR_NOT_FOUND);
    oll_free(path);
    oll_free(data);
    close_store();
}

TEST(spells_names_as_the_store_does)
{
    struct oll_reference ref;
    char text[OLL_REFERENCE_TEXT_MAX];
    static const char *const cases[][2] = {
        {"foo/bar", "Foo/bar:latest"}, {"FOO/BAR:LATEST", "Foo/bar:latest"},
        {"foo/baz", "Foo/baz:latest"}, {"two", "Two:latest"},
        {"twO", "twO:latest"},         {"unknown", "unknown:latest"}};
    open_store();
    put("manifests/registry.ollama.ai/Foo/bar/latest", "{}");
    put("manifests/registry.ollama.ai/library/Two/latest", "{}");
    put("manifests/registry.ollama.ai/library/twO/latest", "{}");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_OK(oll_reference_parse(cases[i][0], &ref, NULL));
        CHECK_OK(oll_catalog_canonical(store, &ref, NULL));
        oll_reference_short(&ref, text);
        CHECK_STR(text, cases[i][1]);
    }
    close_store();
}

TEST(lists_valid_names_alone)
{
    struct oll_catalog_entry *entries = NULL;
    size_t n = 0;
    char path[512];
    open_store();
    CHECK_OK(oll_catalog_list(store, &entries, &n, NULL));
    CHECK_EQ(n, 0);
    oll_free(entries);
    put("manifests/registry.ollama.ai/library/a/latest", "{}");
    put("manifests/localhost:5000/ns/b/v1", "{}");
    put("manifests/registry.ollama.ai/library/a/.hidden", "{}");
    put("manifests/registry.ollama.ai/n.s/a/latest", "{}");
    put("manifests/registry.ollama.ai/library/a b/latest", "{}");
    put("manifests/registry.ollama.ai/library/deep/er/latest", "{}");
    put("manifests/registry.ollama.ai/library/file", "{}");
    /* A way out of the store is not taken. */
    snprintf(path, sizeof path, "%s/manifests/registry.ollama.ai/library/link", root);
    CHECK_EQ(symlink("a", path), 0);
    snprintf(path, sizeof path, "%s/manifests/registry.ollama.ai/library/a/linked", root);
    CHECK_EQ(symlink("latest", path), 0);
    entries = NULL;
    CHECK_OK(oll_catalog_list(store, &entries, &n, NULL));
    CHECK_EQ(n, 2);
    oll_free(entries);
    close_store();
    CHECK_OK(oll_store_new("/nonexistent/models", &store, NULL));
    CHECK_OK(oll_catalog_list(store, &entries, &n, NULL));
    CHECK_EQ(n, 0);
    oll_store_free(store);
}

TEST(refuses_damaged_documents)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{\"layers\":[{\"mediaType\":\"x\"}]}",
        "{\"layers\":[{\"digest\":\"sha256:00\"}]}",
        "{\"layers\":[{\"digest\":\"sha256:../../../../../../../../../../../../../../../../../../"
        "../x\"}]}",
        "{\"layers\":[1]}",
        "{\"layers\":[{\"digest\":5}]}",
        "{\"config\":{\"digest\":\"sha256:"
        "0000000000000000000000000000000000000000000000000000000000"
        "000000\",\"size\":-1}}",
        "{\"config\":{\"digest\":\"sha256:"
        "0000000000000000000000000000000000000000000000000000000000"
        "000000\",\"size\":1}}",
    };
    open_store();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct oll_stored_model m;
        struct oll_error err = {0};
        put("manifests/registry.ollama.ai/library/m/latest", bad[i]);
        CHECK_MSG(load("m", &m, &err) != OLL_OK, "taken: %s", bad[i]);
        CHECK(err.text[0] != '\0' && !strstr(err.text, root));
    }
    struct oll_stored_model m;
    put("manifests/registry.ollama.ai/library/m/latest", "{}");
    if (CHECK_OK(load("m", &m, NULL)))
        CHECK(m.model == NULL && m.manifest.n_layers == 0);
    close_store();
}

/* Puts zeros for "<model-sha256-N>", which stands for digests that recordings do not fix. */
static void fill_digests(const char *doc, struct oll_strbuf *out)
{
    const char *hole;
    oll_strbuf_clear(out);
    while ((hole = strstr(doc, "<model-sha256-"))) {
        oll_strbuf_add(out, doc, (size_t)(hole - doc));
        for (int i = 0; i < OLL_SHA256_HEX; i++)
            oll_strbuf_addc(out, '0');
        doc = strchr(hole, '>') + 1;
    }
    oll_strbuf_adds(out, doc);
}

/* The recorded listings of a real store hold every small document as text. */
TEST(reads_recorded_stores)
{
    char *text = NULL;
    uint64_t n;
    const char *path = testing_shared("data/ollama/store.jsonl");
    int n_models = 0;
    struct oll_strbuf filled;
    struct oll_json_limits limits = oll_json_limits_default;
    if (!*path) {
        testing_skip("data/ollama/store.jsonl is absent");
        return;
    }
    CHECK_OK(oll_file_read(path, 64 << 20, &text, &n, NULL));
    open_store();
    oll_strbuf_init(&filled, 1 << 20);
    for (char *line = text, *end; line && (end = strchr(line, '\n')); line = end + 1) {
        struct oll_json *step;
        oll_arena_reset(&arena);
        if (!CHECK_OK(oll_json_parse(&arena, line, (size_t)(end - line), &limits, &step, NULL)))
            break;
        const struct oll_json *files = oll_json_get(step, "files");
        for (const struct oll_json *f = files ? files->first : NULL; f; f = f->next) {
            const char *doc = oll_json_get_str(f, "text", NULL),
                       *name = oll_json_get_str(f, "path", "");
            struct oll_manifest m;
            if (!doc || strncmp(name, "manifests/", 10) != 0)
                continue;
            fill_digests(doc, &filled);
            CHECK_OK(oll_manifest_parse(&arena, filled.data, filled.len, &m, NULL));
            CHECK(m.n_layers > 0 && m.config.size_bytes > 0);
            n_models++;
        }
    }
    CHECK(n_models > 0);
    oll_strbuf_free(&filled);
    oll_free(text);
    close_store();
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
