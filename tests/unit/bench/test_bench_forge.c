#include "bench/bench_fill.h"
#include "bench/bench_forge.h"
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/eval.h"
#include "gguf/gguf.h"
#include "kernels/quant.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct bench_forge forge_of(const char *text)
{
    struct oll_error err = {0};
    struct bench_forge forge = {0};
    CHECK_MSG(bench_forge_parse(text, 7, &forge, &err) == OLL_OK, "%s: %s", text, err.text);
    return forge;
}

/* A folder that the process leaves behind empty. */
static const char *folder(void)
{
    static char path[256];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/oll-forge-XXXXXX", base ? base : P_tmpdir);
    OLL_ASSERT(mkdtemp(path));
    return path;
}

static const char *file_in(const char *dir, const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* ---- parameters ---- */

TEST(names)
{
    char name[BENCH_FORGE_NAME_MAX];
    struct bench_forge forge = forge_of("1B:Q4_K_M");
    bench_forge_name(&forge, name);
    CHECK_STR(name, "1b-q4_k_m-v1-7.gguf");
    CHECK_EQ(forge.shape->n_layer, 16);
    forge = forge_of("0.5b:iq2_xxs");
    bench_forge_name(&forge, name);
    CHECK_STR(name, "0.5b-iq2_xxs-v1-7.gguf");
    CHECK_EQ(forge.dtype, OLL_IQ2_XXS);
}

TEST(bad_names)
{
    struct oll_error err = {0};
    struct bench_forge forge;
    CHECK_STATUS(bench_forge_parse("1b", 0, &forge, &err), OLL_ERR_ARG);
    CHECK(strstr(err.text, "SHAPE:TYPE") && strstr(err.text, "0.5b") && strstr(err.text, "moe"));
    err = (struct oll_error){0};
    CHECK_STATUS(bench_forge_parse("2b:q4_0", 0, &forge, &err), OLL_ERR_ARG);
    static const char *const types[] = {"q8_1", "q8_k", "i8", "f64", "q4", "", "q4_k_m_"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char text[32];
        snprintf(text, sizeof text, "1b:%s", types[i]);
        err = (struct oll_error){0};
        CHECK_STATUS(bench_forge_parse(text, 0, &forge, &err), OLL_ERR_ARG);
        CHECK(strstr(err.text, "q5_k_m") && strstr(err.text, "nvfp4"));
    }
}

static enum oll_dtype dtype_of(const char *text, const char *name, uint32_t il, uint64_t n_in)
{
    struct bench_forge forge = forge_of(text);
    return bench_forge_dtype(&forge, name, il, n_in);
}

TEST(mixtures)
{
    /* more bits in layers 0, 1, 4, 7, 10, 13, 14, 15 of 16 */
    CHECK_EQ(dtype_of("1b:q4_k_m", "attn_v", 1, 2048), OLL_Q6_K);
    CHECK_EQ(dtype_of("1b:q4_k_m", "attn_v", 2, 2048), OLL_Q4_K);
    CHECK_EQ(dtype_of("1b:q4_k_m", "ffn_down", 4, 8192), OLL_Q6_K);
    CHECK_EQ(dtype_of("1b:q4_k_m", "ffn_down", 14, 8192), OLL_Q6_K);
    CHECK_EQ(dtype_of("1b:q4_k_m", "attn_q", 0, 2048), OLL_Q4_K);
    CHECK_EQ(dtype_of("moe:q4_k_m", "ffn_down_exps", 4, 1024), OLL_Q6_K);
    CHECK_EQ(dtype_of("1b:q4_k_m", "token_embd", 0, 2048), OLL_Q6_K); /* tied: the head */
    CHECK_EQ(dtype_of("8b:q4_k_m", "token_embd", 0, 4096), OLL_Q4_K);
    CHECK_EQ(dtype_of("8b:q4_k_m", "output", 0, 4096), OLL_Q6_K);
    CHECK_EQ(dtype_of("1b:q4_k_s", "attn_v", 3, 2048), OLL_Q5_K);
    CHECK_EQ(dtype_of("1b:q4_k_s", "attn_v", 4, 2048), OLL_Q4_K);
    CHECK_EQ(dtype_of("1b:q4_k_s", "ffn_down", 1, 8192), OLL_Q5_K);
    CHECK_EQ(dtype_of("1b:q4_k_s", "ffn_down", 2, 8192), OLL_Q4_K);
    CHECK_EQ(dtype_of("1b:q5_k_m", "ffn_up", 0, 2048), OLL_Q5_K);
    CHECK_EQ(dtype_of("1b:q5_k_m", "ffn_down", 0, 8192), OLL_Q6_K);
    CHECK_EQ(dtype_of("1b:q4_k_m", "attn_norm", 0, 2048), OLL_F32);
    CHECK_EQ(dtype_of("moe:q4_k_m", "ffn_gate_inp", 0, 2048), OLL_F32);
}

TEST(heads_of_plain_types)
{
    CHECK_EQ(dtype_of("1b:q4_0", "token_embd", 0, 2048), OLL_Q6_K);
    CHECK_EQ(dtype_of("1b:q8_0", "token_embd", 0, 2048), OLL_Q8_0);
    CHECK_EQ(dtype_of("1b:bf16", "token_embd", 0, 2048), OLL_BF16);
    CHECK_EQ(dtype_of("1b:mxfp4", "token_embd", 0, 2048), OLL_Q8_0);
}

TEST(rows_that_do_not_fit)
{
    CHECK_EQ(dtype_of("135m:q4_k_m", "attn_q", 5, 576), OLL_Q5_0);
    CHECK_EQ(dtype_of("135m:q5_k_m", "attn_q", 5, 576), OLL_Q5_1);
    CHECK_EQ(dtype_of("135m:q4_k_m", "attn_v", 0, 576), OLL_Q8_0);
    CHECK_EQ(dtype_of("135m:q4_k_m", "ffn_down", 3, 1536), OLL_Q4_K);
    CHECK_EQ(dtype_of("135m:q4_k_m", "token_embd", 0, 576), OLL_Q8_0);
    CHECK_EQ(dtype_of("135m:q2_k", "attn_q", 5, 576), OLL_IQ4_NL);
    CHECK_EQ(dtype_of("135m:iq1_m", "attn_q", 5, 576), OLL_IQ4_NL);
    CHECK_EQ(dtype_of("135m:q4_k", "attn_q", 5, 40), OLL_F16);
    CHECK_EQ(dtype_of("135m:q4_0", "attn_q", 5, 576), OLL_Q4_0);
}

TEST(sizes)
{
    /* Of files of these shapes that another program made; the norms are part of them. */
    static const struct {
        const char *text;
        uint64_t n_bytes;
    } known[] = {
        {"135m:q4_0", 89941248},  {"135m:q8_0", 143025408}, {"135m:q4_k_m", 103668480},
        {"135m:f16", 269100288},  {"1b:q4_0", 763097088},   {"1b:q4_k_m", 799862784},
        {"1b:q8_0", 1313251328},  {"1b:f16", 2471763968},   {"1b:mxfp4", 796303360},
        {"1b:iq4_xs", 732688384}, {"1b:q5_k", 884731904},   {"8b:f16", 16061054976},
        {"8b:q8_0", 8532934656},  {"8b:q6_k", 6588170240},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct bench_forge forge = forge_of(known[i].text);
        CHECK_MSG(bench_forge_bytes(&forge) == known[i].n_bytes, "%s: %llu", known[i].text,
                  (unsigned long long)bench_forge_bytes(&forge));
    }
}

/* ---- values ---- */

TEST(spread)
{
    enum { N_BLOCK = 512 };
    static float x[QUANT_K];
    static uint8_t blocks[N_BLOCK * 1024];
    for (int d = 0; d < OLL_DTYPE_COUNT; d++) {
        const enum oll_dtype dtype = (enum oll_dtype)d;
        if (!bench_fill_supported(dtype))
            continue;
        const struct oll_dtype_info *info = oll_dtype_info((uint32_t)d);
        struct bench_fill fill;
        double sum = 0, squares = 0, largest = 0;
        bench_fill_init(&fill, dtype, 3, 0.02);
        bench_fill_next(&fill, blocks, N_BLOCK);
        for (int b = 0; b < N_BLOCK; b++) {
            oll_dequantize_row(dtype, blocks + b * info->block_bytes, x, info->block_elements);
            for (int i = 0; i < info->block_elements; i++) {
                sum += (double)x[i];
                squares += (double)x[i] * (double)x[i];
                largest = fmax(largest, fabs((double)x[i]));
            }
        }
        const double n = (double)N_BLOCK * info->block_elements, rms = sqrt(squares / n);
        /* Scales of four or eight bits alone come as near as a factor of sqrt 2. */
        CHECK_MSG(rms > 0.02 / 1.5 && rms < 0.02 * 1.5, "%s: rms %g", info->name, rms);
        /* The values of Q2_0 are -1, 0, 1 and 2 times the scale. */
        const double bound = (dtype == OLL_Q2_0 ? 0.5 : 0.1) * rms + 3 * rms / sqrt(n);
        CHECK_MSG(fabs(sum / n) < bound, "%s: mean %g", info->name, sum / n);
        CHECK_MSG(largest > 0.99 * rms && largest < 100 * rms, "%s: largest %g", info->name,
                  largest);
    }
}

TEST(streams)
{
    for (int d = 0; d < OLL_DTYPE_COUNT; d++) {
        const enum oll_dtype dtype = (enum oll_dtype)d;
        if (!bench_fill_supported(dtype))
            continue;
        const size_t block_bytes = oll_dtype_info((uint32_t)d)->block_bytes;
        uint8_t whole[8 * 256], pieces[8 * 256], other[8 * 256];
        struct bench_fill fill;
        bench_fill_init(&fill, dtype, 3, 0.02);
        bench_fill_next(&fill, whole, 8);
        bench_fill_init(&fill, dtype, 3, 0.02);
        bench_fill_next(&fill, pieces, 3);
        bench_fill_next(&fill, pieces + 3 * block_bytes, 5);
        CHECK(memcmp(whole, pieces, 8 * block_bytes) == 0);
        bench_fill_init(&fill, dtype, 4, 0.02);
        bench_fill_next(&fill, other, 8);
        CHECK(memcmp(whole, other, 8 * block_bytes) != 0);
    }
}

TEST(ternary_has_three_values)
{
    struct block_tq2_0 blocks[64];
    struct bench_fill fill;
    bench_fill_init(&fill, OLL_TQ2_0, 1, 1);
    bench_fill_next(&fill, blocks, 64);
    for (int b = 0; b < 64; b++)
        for (size_t i = 0; i < sizeof blocks[b].qs; i++)
            for (int s = 0; s < 8; s += 2)
                CHECK((blocks[b].qs[i] >> s & 3) != 3);
}

/* ---- files ---- */

static void check_tensors(const struct bench_forge *forge, const char *path)
{
    struct oll_error err = {0};
    struct oll_gguf *gguf = NULL;
    uint64_t n_bytes = 0;
    CHECK_OK(oll_gguf_open(path, &gguf, &err));
    if (!gguf)
        return;
    for (uint64_t i = 0; i < oll_gguf_n_tensors(gguf); i++)
        n_bytes += oll_gguf_tensor_at(gguf, i)->n_bytes;
    CHECK_EQ(n_bytes, bench_forge_bytes(forge));
    const struct oll_gguf_tensor *t = oll_gguf_find_tensor(gguf, "blk.1.attn_k.weight");
    CHECK(t && t->ne[0] == 256 && t->ne[1] == 128 && t->n_dims == 2);
    CHECK(t && t->dtype == bench_forge_dtype(forge, "attn_k", 1, 256));
    t = oll_gguf_find_tensor(gguf, "output_norm.weight");
    CHECK(t && t->n_dims == 1 && t->ne[0] == 256 && memcmp(t->data, "\0\0\x80\x3f", 4) == 0);
    oll_gguf_close(gguf);
}

TEST(equal_parameters_give_equal_bytes)
{
    const char *dir = folder();
    char *first = NULL, *second = NULL, *third = NULL;
    uint64_t n1 = 0, n2 = 0, n3 = 0;
    struct bench_forge forge = forge_of("tiny:q4_k_m");
    CHECK_OK(bench_forge_write(&forge, file_in(dir, "a"), NULL, NULL));
    check_tensors(&forge, file_in(dir, "a"));
    CHECK_OK(oll_file_read(file_in(dir, "a"), 1 << 24, &first, &n1, NULL));
    CHECK_OK(bench_forge_write(&forge, file_in(dir, "a"), NULL, NULL));
    CHECK_OK(oll_file_read(file_in(dir, "a"), 1 << 24, &second, &n2, NULL));
    forge.seed++;
    CHECK_OK(bench_forge_write(&forge, file_in(dir, "a"), NULL, NULL));
    CHECK_OK(oll_file_read(file_in(dir, "a"), 1 << 24, &third, &n3, NULL));
    CHECK(n1 == n2 && n1 == n3);
    CHECK(first && second && memcmp(first, second, n1) == 0);
    CHECK(first && third && memcmp(first, third, n1) != 0);
    unlink(file_in(dir, "a"));
    CHECK_EQ(rmdir(dir), 0);
    oll_free(first);
    oll_free(second);
    oll_free(third);
}

TEST(cache)
{
    const char *dir = folder();
    char deep[300], *path = NULL;
    struct stat before, after;
    struct bench_forge forge = forge_of("tiny:q8_0");
    snprintf(deep, sizeof deep, "%s/x/y", dir);
    CHECK_OK(bench_forge_cached(&forge, deep, &path, NULL, NULL));
    CHECK(path && stat(path, &before) == 0);
    oll_free(path);
    path = NULL;
    CHECK_OK(bench_forge_cached(&forge, deep, &path, NULL, NULL));
    CHECK(path && stat(path, &after) == 0);
    CHECK_EQ(before.st_ino, after.st_ino); /* reused */
    CHECK_EQ(truncate(path, before.st_size - 64), 0);
    oll_free(path);
    path = NULL;
    CHECK_OK(bench_forge_cached(&forge, deep, &path, NULL, NULL));
    CHECK(path && stat(path, &after) == 0);
    CHECK_EQ(before.st_size, after.st_size); /* made again */
    unlink(path);
    oll_free(path);
    CHECK_EQ(rmdir(deep), 0);
    snprintf(deep, sizeof deep, "%s/x", dir);
    CHECK_EQ(rmdir(deep), 0);
    CHECK_EQ(rmdir(dir), 0);
}

TEST(stops_when_told)
{
    const char *dir = folder();
    const atomic_bool stop = true;
    const struct bench_watch watch = {.abort = &stop};
    struct bench_forge forge = forge_of("tiny:f16");
    CHECK_STATUS(bench_forge_write(&forge, file_in(dir, "a"), &watch, NULL), OLL_ERR_CANCELED);
    CHECK_EQ(rmdir(dir), 0); /* nothing is left */
}

/* ---- in use ---- */

static void check_text(const struct oll_tokenizer *tok)
{
    static const char text[] = "Made to be read: 42 \xc3\xa4\n";
    struct oll_tokens ids = {0};
    struct oll_strbuf back;
    oll_strbuf_init(&back, 4096);
    CHECK_OK(oll_tokenizer_encode(tok, text, strlen(text), 0, &ids));
    CHECK_OK(oll_tokenizer_decode(tok, ids.ids, ids.n, false, &back));
    CHECK(strstr(back.data, text));
    CHECK(ids.n < strlen(text)); /* letters were merged */
    oll_tokens_free(&ids);
    oll_strbuf_free(&back);
}

static void check_logits(const char *path, const char *what)
{
    struct oll_error err = {0};
    struct oll_model *model = NULL;
    struct oll_context *ctx = NULL;
    const struct oll_model_params params = {.devices = "ref"};
    const struct oll_context_params size = {.n_ctx = 32, .n_seq = 1, .kv_dtype = OLL_F32};
    const int32_t tokens[] = {1, 300, 700};
    const struct oll_batch batch = {.n = 3, .tokens = tokens};
    float *logits = NULL;
    oll_status status = oll_model_load(path, &params, &model, &err);
    if (status == OLL_OK)
        status = oll_context_new(model, &size, &ctx, &err);
    if (status == OLL_OK)
        status = oll_context_eval(ctx, &batch, NULL, &logits, &err);
    CHECK_MSG(status == OLL_OK, "%s: %s", what, err.text);
    double sum = 0;
    for (uint32_t i = 0; logits && i < oll_model_facts(model)->n_vocab; i++)
        sum += (double)logits[i] * (double)logits[i];
    CHECK_MSG(isfinite(sum) && sum > 0, "%s: sum of squares %g", what, sum);
    if (model)
        check_text(oll_model_tokenizer(model));
    oll_context_free(ctx);
    oll_model_free(model);
}

TEST(every_type_gives_finite_logits)
{
    const char *dir = folder();
    char text[64];
    for (int d = 0; d < OLL_DTYPE_COUNT; d++) {
        if (!bench_fill_supported((enum oll_dtype)d))
            continue;
        snprintf(text, sizeof text, "tiny:%s", oll_dtype_name((uint32_t)d));
        struct bench_forge forge = forge_of(text);
        CHECK_OK(bench_forge_write(&forge, file_in(dir, "a"), NULL, NULL));
        check_logits(file_in(dir, "a"), text);
    }
    struct bench_forge forge = forge_of("tiny-moe:q4_k_m");
    CHECK_OK(bench_forge_write(&forge, file_in(dir, "a"), NULL, NULL));
    check_logits(file_in(dir, "a"), "experts");
    unlink(file_in(dir, "a"));
    CHECK_EQ(rmdir(dir), 0);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
