/* oll gguf: exit codes, what goes to which stream, the JSON and the NumPy file. */
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "server/cli.h"
#include "tests/unit/gguf/forge.h"

#include <fcntl.h>
#include <unistd.h>

extern const struct cli_command cli_gguf;
const struct cli_command *const cli_commands[] = {&cli_gguf, NULL};

static char folder[256], model[300], npy[300];
static char *out, *errors; /* of the last run */

/* Sends a stream to a file of the folder; returns what it was. */
static int redirect(FILE *stream, const char *name)
{
    char path[320];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    fflush(stream);
    const int saved = dup(fileno(stream));
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    OLL_ASSERT(saved >= 0 && fd >= 0 && dup2(fd, fileno(stream)) >= 0);
    close(fd);
    return saved;
}

static char *restore(FILE *stream, int saved, const char *name)
{
    char path[320], *data = NULL;
    uint64_t n;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    fflush(stream);
    OLL_ASSERT(dup2(saved, fileno(stream)) >= 0);
    close(saved);
    OLL_ASSERT(oll_file_read(path, 1 << 24, &data, &n, NULL) == OLL_OK);
    unlink(path);
    return data;
}

/* Runs "oll gguf <words>" and keeps what it printed. */
static int run(const char *const *words, int n)
{
    char *argv[10] = {(char *)"oll", (char *)"gguf"};
    for (int i = 0; i < n; i++)
        argv[i + 2] = (char *)words[i];
    oll_free(out);
    oll_free(errors);
    const int saved_out = redirect(stdout, "out"), saved_err = redirect(stderr, "err");
    const int code = cli_main(n + 2, argv);
    errors = restore(stderr, saved_err, "err");
    out = restore(stdout, saved_out, "out");
    return code;
}

#define RUN(...)                                                                                   \
    run((const char *const[]){__VA_ARGS__},                                                        \
        (int)(sizeof(const char *const[]){__VA_ARGS__} / sizeof(char *)))

static void begin(void)
{
    forge_folder(folder);
    snprintf(model, sizeof model, "%s/m.gguf", folder);
    snprintf(npy, sizeof npy, "%s/x.npy", folder);
}

static void end(void)
{
    unlink(model);
    unlink(npy);
    CHECK_EQ(rmdir(folder), 0);
    oll_free(out);
    oll_free(errors);
    out = errors = NULL;
}

static void save(const struct forge *f)
{
    FILE *file = fopen(model, "wb");
    OLL_ASSERT(file && fwrite(f->data, 1, f->n, file) == f->n && fclose(file) == 0);
}

/* The small model with a Q8_0 tensor of which row 1 has scale `d` and quants 0, 1, 2 ... */
static void save_model(uint16_t d)
{
    struct forge f;
    forge_model(&f);
    unsigned char *block = f.data + f.n - 34;
    memcpy(block, &d, 2);
    for (int i = 0; i < 32; i++)
        block[2 + i] = (unsigned char)i;
    save(&f);
}

/* "Error: ..." in one line and nothing else. */
static void check_one_line(const char *part)
{
    const char *newline = strchr(errors, '\n');
    CHECK_MSG(strncmp(errors, "Error: ", 7) == 0 && newline && newline[1] == '\0' &&
                  strstr(errors, part),
              "\"%s\" is not one line with \"%s\"", errors, part);
}

TEST(show_prints_header_metadata_tensors_and_totals)
{
    begin();
    save_model(0x3c00);
    CHECK_EQ(RUN("show", model), 0);
    CHECK_STR(errors, "");
    static const char *const parts[] = {
        "GGUF version 3, ",
        "metadata (8)",
        "general.architecture",
        "\"llama\"",
        "llama.rope.freq_base",
        "10000",
        "string[3]",
        "[\"a\", \"\", \"\xc3\xa9\"]",
        "tensors (2)",
        "output.weight",
        "Q8_0     32 x 2",
        "totals",
        "        2 tensors               68 elements               84 bytes"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        CHECK_MSG(strstr(out, parts[i]), "\"%s\" is missing in\n%s", parts[i], out);
    end();
}

TEST(show_abbreviates_long_arrays)
{
    struct forge f;
    begin();
    forge_header(&f, 3, 0, 2);
    forge_arch(&f);
    forge_array(&f, "a", OLL_GGUF_U8, 9);
    forge_zeros(&f, 9);
    save(&f);
    CHECK_EQ(RUN("show", model), 0);
    CHECK(strstr(out, "u8[9]") && strstr(out, "[0, 0, 0, 0, 0, 0, ...]"));
    end();
}

TEST(show_json_is_complete)
{
    struct oll_arena arena;
    struct oll_json *root = NULL;
    struct oll_error err = {0};
    begin();
    save_model(0x3c00);
    CHECK_EQ(RUN("show", "--json", model), 0);
    oll_arena_init(&arena, 1 << 20);
    if (CHECK_MSG(oll_json_parse(&arena, out, strlen(out), NULL, &root, &err) == OLL_OK, "%s",
                  err.text)) {
        const struct oll_json *metadata = oll_json_get(root, "metadata");
        const struct oll_json *tokens = oll_json_get(metadata, "tokenizer.ggml.tokens");
        const struct oll_json *tensors = oll_json_get(root, "tensors");
        CHECK_STR(oll_json_get_str(root, "file", ""), model);
        CHECK_EQ(oll_json_get(root, "version")->i, 3);
        CHECK_EQ(metadata->n, 8);
        CHECK_EQ(oll_json_get(oll_json_get(metadata, "a.i64"), "value")->i, -5);
        CHECK(oll_json_get(oll_json_get(metadata, "a.bool"), "value")->is_true);
        CHECK_STR(oll_json_get_str(tokens, "type", ""), "array");
        CHECK_STR(oll_json_get_str(tokens, "of", ""), "string");
        CHECK_EQ(oll_json_get(tokens, "value")->n, 3);
        CHECK_EQ(tensors->n, 2);
        CHECK_STR(oll_json_get_str(tensors->first->next, "name", ""), "output.weight");
        CHECK_EQ(oll_json_get(tensors->first->next, "shape")->first->i, 32);
        CHECK_EQ(oll_json_get(oll_json_get(oll_json_get(root, "totals"), "Q8_0"), "bytes")->i, 68);
    }
    oll_arena_free(&arena);
    end();
}

TEST(check_finds_scales_that_are_no_numbers)
{
    static const uint16_t bad[] = {0x7c00, 0xfc00, 0x7e00, 0x7c01};
    begin();
    save_model(0x3c00);
    CHECK_EQ(RUN("show", "--check", model), 0);
    CHECK_STR(out, "check: 2 tensors, all values are finite\n");
    for (int i = 0; i < 4; i++) {
        save_model(bad[i]);
        CHECK_EQ(RUN("show", "--check", model), 1);
        CHECK_STR(out, "check: tensor output.weight: 1 of 2 rows hold NaN or infinity, the first "
                       "is row 1\n");
        check_one_line("1 of 2 tensors hold NaN or infinity");
    }
    end();
}

/* Codes for NaN that decode to ordinary numbers. */
TEST(check_finds_the_nan_codes_of_4_bit_floats)
{
    static const struct {
        uint32_t type;
        uint8_t code;
    } types[] = {{OLL_MXFP4, 255}, {OLL_NVFP4, 0x7f}, {OLL_NVFP4, 0xff}};
    const uint64_t ne[1] = {64};
    begin();
    for (int i = 0; i < 3; i++) {
        struct forge f;
        forge_one_tensor(&f, 1, ne, types[i].type, 0);
        forge_u8(&f, types[i].code);
        forge_zeros(&f, 35);
        save(&f);
        CHECK_EQ(RUN("show", "--check", model), 1);
        check_one_line("1 of 1 tensors");
        f.data[f.n - 36] = 0;
        save(&f);
        CHECK_EQ(RUN("show", "--check", model), 0);
    }
    end();
}

TEST(dump_decodes_to_numpy)
{
    char *data = NULL;
    uint64_t n = 0;
    begin();
    save_model(0x3800); /* 0.5 */
    CHECK_EQ(RUN("dump", model, "--tensor", "output.weight", "--out", npy), 0);
    CHECK_STR(out, "");
    CHECK_STR(errors, "");
    if (CHECK_OK(oll_file_read(npy, 1 << 20, &data, &n, NULL)) && CHECK_EQ(n, 128 + 4 * 64)) {
        float values[64];
        memcpy(values, data + 128, sizeof values);
        CHECK(strstr(data + 10, "'shape': (2, 32), ") != NULL);
        for (int i = 0; i < 64; i++)
            CHECK(values[i] == (i < 32 ? 0.0f : 0.5f * (float)(i - 32)));
    }
    oll_free(data);
    end();
}

/* The model may even be the file that is written. */
TEST(dump_over_its_own_input)
{
    begin();
    save_model(0x3800);
    CHECK_EQ(RUN("dump", model, "--tensor", "output.weight", "--out", model), 0);
    CHECK_EQ(RUN("show", model), 1);
    check_one_line("not a GGUF file");
    end();
}

TEST(failures_are_one_line)
{
    struct forge f;
    begin();
    CHECK_EQ(RUN("show", model), 1);
    check_one_line("m.gguf: cannot open");
    CHECK_STR(out, "");
    forge_model(&f);
    f.n -= 60;
    save(&f);
    CHECK_EQ(RUN("show", model), 1);
    check_one_line("tensor output.weight: its 68 bytes pass the end of the file");
    save_model(0x3c00);
    CHECK_EQ(RUN("dump", model, "--tensor", "none", "--out", npy), 1);
    check_one_line("no tensor none");
    CHECK(access(npy, F_OK) != 0);
    CHECK_EQ(RUN("dump", model, "--tensor", "output.weight", "--out", "/nonexistent/x.npy"), 1);
    check_one_line("/nonexistent/x.npy");
    CHECK_EQ(RUN("dump", model), 2);
    end();
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
