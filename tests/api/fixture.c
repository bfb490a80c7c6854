#include "tests/api/fixture.h"

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "gguf/gguf.h"
#include "registry/digest.h"
#include "server/access.h"
#include "server/app.h"
#include "server/models.h"
#include "server/routes.h"
#include "tests/api/fake_engine.h"
#include "tests/testing.h"

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static struct app app;
static struct access *gate;
static struct http_server *server;
static pthread_t thread;

/* ---- store ---- */

static void path_in(const struct fixture *f, char *out, size_t size, const char *path)
{
    snprintf(out, size, "%s/%s", f->root, path);
    for (char *p = out + strlen(f->root) + 1; (p = strchr(p, '/')); *p++ = '/') {
        *p = '\0';
        mkdir(out, 0755);
    }
}

static void put(const struct fixture *f, const char *path, const char *text, size_t n)
{
    char full[1024];
    path_in(f, full, sizeof full, path);
    FILE *file = fopen(full, "wb");
    OLL_ASSERT(file && fwrite(text, 1, n, file) == n && fclose(file) == 0);
    /* All of one age: lists are in the order of names, whatever second the files were made in. */
    const struct timespec when = {.tv_sec = 1780000000};
    OLL_ASSERT(utimensat(AT_FDCWD, full, (struct timespec[]){when, when}, 0) == 0);
}

/* Stores bytes as a blob and appends its layer to a manifest. */
static void add_blob(const struct fixture *f, struct oll_strbuf *manifest, const char *media,
                     const char *data, size_t n)
{
    char digest_text[OLL_DIGEST_TEXT_MAX], path[128];
    struct oll_digest digest;
    struct oll_sha256 *h = oll_sha256_new();
    OLL_ASSERT(h);
    oll_sha256_update(h, data, n);
    oll_sha256_final(h, digest.bytes);
    oll_sha256_free(h);
    oll_digest_text(&digest, digest_text);
    snprintf(path, sizeof path, "blobs/sha256-%s", digest_text + 7);
    put(f, path, data, n);
    oll_strbuf_printf(manifest, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}", media,
                      digest_text, n);
}

static void add_layer(const struct fixture *f, struct oll_strbuf *manifest, const char *kind,
                      const char *data, size_t n)
{
    char media[128];
    snprintf(media, sizeof media, "application/vnd.ollama.image.%s", kind);
    oll_strbuf_adds(manifest, manifest->data[manifest->len - 1] == '[' ? "" : ",");
    add_blob(f, manifest, media, data, n);
}

/* The bytes of a model file. */
static char *make_weights(const struct fixture *f, const char *arch, bool pools, uint64_t *n)
{
    struct oll_gguf_writer *w = NULL;
    struct oll_error err = {0};
    char path[512], key[64], *data = NULL;
    float values[64] = {0};
    path_in(f, path, sizeof path, "weights.gguf");
    OLL_ASSERT(oll_gguf_writer_new(path, &w, &err) == OLL_OK);
    oll_gguf_put_str(w, "general.architecture", arch, strlen(arch));
    oll_gguf_put_u32(w, "general.file_type", 1);
    snprintf(key, sizeof key, "%s.context_length", arch);
    oll_gguf_put_u32(w, key, 8192);
    snprintf(key, sizeof key, "%s.embedding_length", arch);
    oll_gguf_put_u32(w, key, 8);
    snprintf(key, sizeof key, "%s.pooling_type", arch);
    if (pools)
        oll_gguf_put_u32(w, key, 1);
    oll_gguf_add_tensor(w, "token_embd.weight", OLL_F32, (uint64_t[]){8, 8}, 2);
    OLL_ASSERT(oll_gguf_write_header(w, &err) == OLL_OK);
    OLL_ASSERT(oll_gguf_write_data(w, values, sizeof values, &err) == OLL_OK);
    OLL_ASSERT(oll_gguf_writer_finish(w, &err) == OLL_OK);
    oll_gguf_writer_free(w);
    OLL_ASSERT(oll_file_read(path, 1 << 20, &data, n, &err) == OLL_OK);
    return data;
}

static void make_model(const struct fixture *f, const char *name, const char *arch, bool weights,
                       const char *kind, const char *text)
{
    struct oll_strbuf config, manifest;
    char path[128];
    uint64_t n = 0;
    oll_strbuf_init(&config, 4096);
    oll_strbuf_init(&manifest, 1 << 16);
    oll_strbuf_printf(
        &config,
        "{\"model_format\":\"gguf\",\"model_family\":\"%s\",\"model_families\":[\"%s\"]"
        ",\"model_type\":\"64\",\"file_type\":\"F16\"%s}",
        arch, arch, weights ? "" : ",\"remote_host\":\"https://x\"");
    oll_strbuf_adds(&manifest, "{\"schemaVersion\":2,\"config\":");
    add_blob(f, &manifest, "application/vnd.docker.container.image.v1+json", config.data,
             config.len);
    oll_strbuf_adds(&manifest, ",\"layers\":[");
    if (weights) {
        char *data = make_weights(f, arch, strcmp(arch, "bert") == 0, &n);
        add_layer(f, &manifest, "model", data, (size_t)n);
        oll_free(data);
    }
    const char *params = "{\"stop\":[\"<|im_end|>\"],\"temperature\":0}\n";
    add_layer(f, &manifest, "params", params, strlen(params));
    if (kind)
        add_layer(f, &manifest, kind, text, strlen(text));
    oll_strbuf_adds(&manifest, "]}");
    snprintf(path, sizeof path, "manifests/registry.ollama.ai/library/%s/latest", name);
    put(f, path, manifest.data, manifest.len);
    oll_strbuf_free(&config);
    oll_strbuf_free(&manifest);
}

static void make_store(struct fixture *f)
{
    static const char bad[] =
        "{\"config\":{\"digest\":\"sha256:0000000000000000000000000000000000000"
        "000000000000000000000000000\",\"size\":1},\"layers\":[]}";
    snprintf(f->root, sizeof f->root, "%s/oll-api-XXXXXX", P_tmpdir);
    OLL_ASSERT(mkdtemp(f->root));
    make_model(f, "m", "llama", true, NULL, NULL);
    make_model(f, "ms", "llama", true, "system", "Be brief.");
    make_model(f, "msgs", "llama", true, "messages",
               "[{\"role\":\"user\",\"content\":\"Name a river.\"},"
               "{\"role\":\"assistant\",\"content\":\"The Elbe.\"}]");
    make_model(f, "fim", "llama", true, "template", "{{ .Prompt }}<S>{{ .Suffix }}");
    make_model(f, "tl", "llama", true, "template", "{{ if .Tools }}{{ .Tools }}{{ end }}");
    make_model(f, "th", "llama", true, "template",
               "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}"
               "{{ .Content }}{{ end }}");
    make_model(f, "emb", "bert", true, NULL, NULL);
    make_model(f, "cloud", "llama", false, NULL, NULL);
    put(f, "manifests/registry.ollama.ai/library/bad/latest", bad, sizeof bad - 1);
}

/* Offers a file under its own name. */
static void add_file(struct fixture *f, const char *name)
{
    char path[512], file[128], *data;
    uint64_t n;
    snprintf(file, sizeof file, "files/%s.gguf", name);
    data = make_weights(f, "llama", false, &n);
    put(f, file, data, (size_t)n);
    oll_free(data);
    path_in(f, path, sizeof path, file);
    OLL_ASSERT(models_add_file(app.models, name, path, NULL) == OLL_OK);
}

/* ---- server ---- */

static void *serve(void *arg)
{
    http_server_run(arg);
    return NULL;
}

void fixture_start(struct fixture *f, const struct http_config *http,
                   const struct schedule_config *schedule)
{
    struct http_config config = http ? *http : (struct http_config){.stop_grace_ms = 100};
    struct schedule_config usual = {.keep_alive_ns = SCHEDULE_FOREVER};
    make_store(f);
    OLL_ASSERT(access_new(NULL, &gate, NULL) == OLL_OK);
    app.access = gate;
    OLL_ASSERT(models_new(f->root, &app.models, NULL) == OLL_OK);
    add_file(f, "slow");
    add_file(f, "broken");
    add_file(f, "huge");
    OLL_ASSERT(schedule_new(schedule ? schedule : &usual, &app.schedule, NULL) == OLL_OK);
    config.route = routes_plan;
    config.app = &app;
    OLL_ASSERT(http_server_new(&config, &server, NULL) == OLL_OK);
    OLL_ASSERT(http_server_listen(server, "127.0.0.1", 0, NULL) == OLL_OK);
    f->port = http_server_port(server);
    OLL_ASSERT(pthread_create(&thread, NULL, serve, server) == 0);
}

void fixture_signal_stop(void) { http_server_stop(server); }

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void fixture_stop(struct fixture *f)
{
    http_server_stop(server);
    pthread_join(thread, NULL);
    http_server_free(server);
    CHECK_EQ(fake_engine_request_count(), 0);
    schedule_free(app.schedule);
    CHECK_EQ(fake_engine_open_count(), 0);
    models_free(app.models);
    access_free(gate);
    nftw(f->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
