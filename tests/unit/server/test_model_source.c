/* Files and requests of a Modelfile: paths, folders, kinds of content, parameters. */
#include "engine/base/mem.h"
#include "server/model_source.h"
#include "tests/testing.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[256];
static struct oll_arena arena;
static struct oll_error err;
static struct oll_modelfile modelfile;
static struct model_source source;
static char warned[256];

static void warn(const char *line) { snprintf(warned, sizeof warned, "%s", line); }

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void put(const char *name, const char *data, size_t n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
        *p = '\0';
        mkdir(path, 0755);
    }
    FILE *f = fopen(path, "wb");
    OLL_ASSERT(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
}

static void put_text(const char *name, const char *text) { put(name, text, strlen(text)); }

static void begin(void)
{
    char resolved[4096];
    snprintf(root, sizeof root, "%s/oll-source-XXXXXX", P_tmpdir);
    OLL_ASSERT(mkdtemp(root) && realpath(root, resolved));
    snprintf(root, sizeof root, "%.200s", resolved);
    oll_arena_init(&arena, 64 << 20);
}

static void end(void)
{
    oll_arena_free(&arena);
    nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static oll_status read_text(const char *text)
{
    err = (struct oll_error){0};
    warned[0] = '\0';
    OLL_TRY(oll_modelfile_parse(&arena, text, strlen(text), &modelfile, &err));
    return model_source_read(&arena, &modelfile, root, warn, &source, &err);
}

/* Names of the files in their order, joined by blanks. */
static const char *names(void)
{
    static char out[1024];
    out[0] = '\0';
    for (size_t i = 0; i < source.n_files; i++)
        snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s", i ? " " : "",
                 source.files[i].name);
    return out;
}

TEST(names_and_files_are_told_apart)
{
    begin();
    put("own.gguf", "GGUF\0\0", 6);
    CHECK_OK(read_text("FROM tiny\n"));
    CHECK_STR(source.from, "tiny");
    CHECK_EQ(source.n_files, 0);
    CHECK_OK(read_text("FROM own.gguf\n"));
    CHECK_STR(names(), "own.gguf");
    CHECK(!source.from);
    CHECK_OK(model_source_hash(&source.files[0], NULL, NULL, &err));
    CHECK_STR(source.files[0].digest,
              "sha256:a05962fcf56c55097695e9c5e8e56d9df2cfc83d90e085b6776d29a016a5125d");
    CHECK_EQ(source.files[0].n_bytes, 6);
    CHECK_STATUS(read_text("FROM tiny\nADAPTER none\n"), OLL_ERR_NOT_FOUND);
    CHECK_STATUS(read_text("FROM own.gguf\nDRAFT ./own.gguf\n"), OLL_ERR_ARG);
    CHECK(strstr(err.text, "DRAFT must not reference the same local path as FROM: ") == err.text);
    end();
}

TEST(a_folder_is_read_by_its_kinds)
{
    begin();
    put("model-1.safetensors", "\x01\0\0\0\0\0\0\0{}", 10);
    put("sub/model.safetensors", "\x01\0\0\0\0\0\0\0{}", 10);
    put("x.gguf", "GGUF\0", 5);
    put_text("config.json", "{}");
    put_text("1_Pooling/config.json", "{}");
    put("tokenizer.model", "\x0a\x01", 2);
    put_text("README.md", "no");
    put_text(".hidden.json", "{}");
    CHECK_OK(read_text("FROM .\n"));
    CHECK_STR(names(), "model-1.safetensors sub/model.safetensors config.json "
                       "1_Pooling/config.json tokenizer.model");
    put("config.json", "{\0}", 3);
    CHECK_STATUS(read_text("FROM .\n"), OLL_ERR_ARG);
    CHECK_STR(err.text, "invalid content type: expected application/octet-stream for config.json");
    end();
    begin();
    put_text("notes.txt", "no model");
    CHECK_STATUS(read_text("FROM .\n"), OLL_ERR_NOT_FOUND);
    CHECK_STR(err.text, "no Modelfile or safetensors files found");
    end();
}

TEST(the_request_has_all_commands)
{
    static const struct model_source_extra extra = {"m", "q8_0", ""};
    struct oll_strbuf json;
    begin();
    CHECK_OK(read_text("FROM tiny\nSYSTEM one\nSYSTEM two\nPARAMETER stop a\nPARAMETER seed 1\n"
                       "PARAMETER stop \"b \"\nPARAMETER seed 2\nPARAMETER mirostat 1\n"
                       "PARAMETER temperature 0.7\nLICENSE x\nLICENSE y\nMESSAGE user hi\n"
                       "REQUIRES v0.14.0\nTEMPLATE t\n"));
    CHECK_STR(warned, "warning: parameter mirostat is deprecated");
    oll_strbuf_init(&json, 1 << 20);
    model_source_request(&source, &extra, &json);
    CHECK_STR(
        json.data,
        "{\"model\":\"m\",\"from\":\"tiny\",\"template\":\"t\",\"system\":\"two\","
        "\"requires\":\"0.14.0\",\"quantize\":\"q8_0\",\"parameters\":{\"stop\":[\"a\",\"b \"],"
        "\"seed\":2,\"temperature\":0.7},\"license\":[\"x\",\"y\"],"
        "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    oll_strbuf_free(&json);
    CHECK_STATUS(read_text("FROM m\nPARAMETER nosuch 1\n"), OLL_ERR_ARG);
    CHECK_STR(err.text, "unknown parameter 'nosuch'");
    CHECK_STATUS(read_text("FROM m\nREQUIRES abc\n"), OLL_ERR_ARG);
    CHECK_STR(err.text, "requires must be a valid semver (e.g. 0.14.0)");
    end();
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
