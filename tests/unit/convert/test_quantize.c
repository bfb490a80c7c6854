/* Quantising model files: the type of each tensor, metadata, errors, threads, cancelling. */
#include "engine/convert/quantize.h"

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "gguf/gguf.h"
#include "kernels/quant.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[256];

static const char *in_folder(const char *name)
{
    static char paths[4][512];
    static int turn;
    char *out = paths[turn++ % 4];
    snprintf(out, sizeof paths[0], "%s/%s", folder, name);
    return out;
}

TEST(targets_have_names)
{
    enum oll_quantize_target t;
    struct oll_error err = {0};
    CHECK_OK(oll_quantize_target_parse("q4_k", &t, &err));
    CHECK_EQ(t, OLL_TARGET_Q4_K_M);
    CHECK_OK(oll_quantize_target_parse("q4_K_s", &t, &err));
    CHECK_STR(oll_quantize_target_name(t), "Q4_K_S");
    CHECK_OK(oll_quantize_target_parse("bf16", &t, &err));
    CHECK_EQ(t, OLL_TARGET_BF16);
    CHECK_STATUS(oll_quantize_target_parse("q9_9", &t, &err), OLL_ERR_UNSUPPORTED);
    CHECK_STR(err.text, "unsupported quantization type Q9_9 - supported types are F32, F16, "
                        "Q4_K_S, Q4_K_M, Q8_0");
}

struct expectation {
    const char *name;
    uint32_t n_dims;
    uint64_t n_in;
    enum oll_dtype m, s, q8; /* for Q4_K_M, Q4_K_S, Q8_0 */
};

static void check_types(struct quantize_plan *plan, const struct expectation *cases, size_t n)
{
    static const enum oll_quantize_target targets[] = {OLL_TARGET_Q4_K_M, OLL_TARGET_Q4_K_S,
                                                       OLL_TARGET_Q8_0};
    for (size_t i = 0; i < 3 * n; i++) {
        const struct expectation *e = &cases[i / 3];
        const enum oll_dtype expected = i % 3 == 0 ? e->m : i % 3 == 1 ? e->s : e->q8;
        plan->target = targets[i % 3];
        enum oll_dtype got = quantize_tensor_type(plan, e->name, e->n_dims, e->n_in, OLL_F16);
        CHECK_MSG(got == expected, "%s with rows of %llu for %s: %s, expected %s", e->name,
                  (unsigned long long)e->n_in, oll_quantize_target_name(plan->target),
                  oll_dtype_name((uint32_t)got), oll_dtype_name((uint32_t)expected));
    }
}

TEST(types_follow_the_mixtures)
{
    /* 16 layers: more bits in 0, 1, then 4, 7, 10, 13, and 14, 15. */
    static const struct expectation cases[] = {
        {"output.weight", 2, 2048, OLL_Q6_K, OLL_Q6_K, OLL_Q8_0},
        {"output.weight", 2, 576, OLL_Q8_0, OLL_Q8_0, OLL_Q8_0},
        {"token_embd.weight", 2, 2048, OLL_Q4_K, OLL_Q4_K, OLL_Q8_0},
        {"output_norm.weight", 1, 2048, OLL_F16, OLL_F16, OLL_F16},
        {"blk.0.attn_v.weight", 2, 2048, OLL_Q6_K, OLL_Q5_K, OLL_Q8_0},
        {"blk.2.attn_v.weight", 2, 2048, OLL_Q4_K, OLL_Q5_K, OLL_Q8_0},
        {"blk.4.attn_v.weight", 2, 2048, OLL_Q6_K, OLL_Q5_K, OLL_Q8_0},
        {"blk.5.attn_v.weight", 2, 2048, OLL_Q4_K, OLL_Q4_K, OLL_Q8_0},
        {"blk.5.attn_v.bias", 1, 2048, OLL_F16, OLL_F16, OLL_F16},
        {"blk.1.ffn_down.weight", 2, 2048, OLL_Q6_K, OLL_Q5_K, OLL_Q8_0},
        {"blk.2.ffn_down.weight", 2, 2048, OLL_Q4_K, OLL_Q4_K, OLL_Q8_0},
        {"blk.14.ffn_down.weight", 2, 2048, OLL_Q6_K, OLL_Q4_K, OLL_Q8_0},
        {"blk.14.ffn_down.weight", 2, 1376, OLL_Q8_0, OLL_Q5_0, OLL_Q8_0},
        {"blk.1.ffn_down_exps.weight", 3, 2048, OLL_Q6_K, OLL_Q5_K, OLL_Q8_0},
        {"blk.3.attn_qkv.weight", 2, 2048, OLL_Q5_K, OLL_Q4_K, OLL_Q8_0},
        {"blk.3.attn_qkv.weight", 2, 96, OLL_Q5_1, OLL_Q5_0, OLL_Q8_0},
        {"blk.3.attn_k.weight", 2, 2048, OLL_Q4_K, OLL_Q4_K, OLL_Q8_0},
        {"blk.3.attn_k.weight", 2, 80, OLL_F16, OLL_F16, OLL_F16},
        {"blk.3.attn_k_b.weight", 2, 512, OLL_Q8_0, OLL_Q8_0, OLL_Q8_0},
        {"blk.3.attn_q_norm.weight", 2, 2048, OLL_F16, OLL_F16, OLL_F16},
        {"blk.3.ffn_gate_inp.weight", 2, 2048, OLL_F16, OLL_F16, OLL_F16},
        {"position_embd.weight", 2, 2048, OLL_F16, OLL_F16, OLL_F16},
        {"v.blk.0.attn_v.weight", 2, 2048, OLL_F16, OLL_F16, OLL_F16},
        {"mm.0.weight", 2, 2048, OLL_F16, OLL_F16, OLL_F16},
    };
    static const struct expectation eight[] = {
        {"blk.5.attn_v.weight", 2, 2048, OLL_Q8_0, OLL_Q8_0, OLL_Q8_0},
        {"blk.5.attn_k.weight", 2, 2048, OLL_Q8_0, OLL_Q8_0, OLL_Q8_0},
        {"blk.5.attn_output.weight", 2, 2048, OLL_Q5_K, OLL_Q5_K, OLL_Q8_0},
    };
    static const struct expectation tied[] = {
        {"token_embd.weight", 2, 2048, OLL_Q6_K, OLL_Q6_K, OLL_Q8_0},
    };
    struct quantize_plan plan = {.n_layer = 16, .has_output = true};
    /* The four first layers with attn_v are 0, 2, 3 and 4. */
    for (int i = 0; i < 16; i++)
        plan.has_attn_v[i] = i != 1;
    check_types(&plan, cases, sizeof cases / sizeof *cases);
    plan.n_expert = 8;
    check_types(&plan, eight, sizeof eight / sizeof *eight);
    plan.has_output = false;
    check_types(&plan, tied, 1);
    plan.target = OLL_TARGET_BF16;
    CHECK_EQ(quantize_tensor_type(&plan, "blk.0.attn_q.weight", 2, 77, OLL_F16), OLL_BF16);
    CHECK_EQ(quantize_tensor_type(&plan, "blk.0.attn_norm.weight", 1, 77, OLL_F32), OLL_F32);
}

/* ---- files ---- */

enum { N_IN = 512, N_OUT = 24 };

/* A model of three tensors that is no model to run, only to quantise. */
static void write_source(const char *path, const float *values)
{
    static const char *const names[] = {"blk.0.ffn_down.weight", "token_embd.weight",
                                        "blk.0.attn_norm.weight"};
    const uint64_t ne[] = {N_IN, N_OUT};
    struct oll_gguf_writer *w;
    OLL_ASSERT(oll_gguf_writer_new(path, &w, NULL) == OLL_OK);
    oll_gguf_put_str(w, "general.architecture", "llama", 5);
    oll_gguf_put_u32(w, "general.file_type", 0);
    oll_gguf_put_u32(w, "llama.block_count", 1);
    oll_gguf_put_u32(w, "llama.context_length", 64);
    oll_gguf_put_u32(w, "llama.embedding_length", N_IN);
    for (int i = 0; i < 3; i++)
        oll_gguf_add_tensor(w, names[i], OLL_F32, ne, i < 2 ? 2 : 1);
    OLL_ASSERT(oll_gguf_write_header(w, NULL) == OLL_OK);
    for (int i = 0; i < 3; i++) {
        const uint64_t n = i < 2 ? N_IN * N_OUT : N_IN;
        OLL_ASSERT(oll_gguf_write_data(w, values, n * 4, NULL) == OLL_OK);
    }
    OLL_ASSERT(oll_gguf_writer_finish(w, NULL) == OLL_OK);
    oll_gguf_writer_free(w);
}

static float *random_values(void)
{
    float *values = oll_alloc(N_IN * N_OUT, sizeof *values);
    uint64_t seed = 11;
    OLL_ASSERT(values);
    for (int i = 0; i < N_IN * N_OUT; i++)
        values[i] = (float)((double)(testing_random(&seed) >> 11) * 0x1p-53 - 0.5);
    return values;
}

static void check_tensor(const struct oll_gguf *g, const char *name, enum oll_dtype dtype,
                         const float *values, double bound)
{
    const struct oll_gguf_tensor *t = oll_gguf_find_tensor(g, name);
    float row[N_IN];
    double sum = 0;
    if (!CHECK_MSG(t != NULL, "%s is missing", name))
        return;
    CHECK_EQ(t->dtype, dtype);
    for (uint64_t r = 0; r < t->ne[1]; r++) {
        oll_dequantize_row(t->dtype, t->data + r * oll_dtype_row_bytes(t->dtype, N_IN), row, N_IN);
        for (int i = 0; i < N_IN; i++)
            sum += pow((double)row[i] - (double)values[r * N_IN + (uint64_t)i], 2);
    }
    CHECK_MSG(sqrt(sum / (double)(t->ne[1] * N_IN)) <= bound, "%s: error %g", name,
              sqrt(sum / (double)(t->ne[1] * N_IN)));
}

static bool same_files(const char *a, const char *b)
{
    struct oll_file_map x = {0}, y = {0};
    OLL_ASSERT(oll_file_map(a, &x, NULL) == OLL_OK && oll_file_map(b, &y, NULL) == OLL_OK);
    bool same = x.size_bytes == y.size_bytes && memcmp(x.data, y.data, x.size_bytes) == 0;
    oll_file_unmap(&x);
    oll_file_unmap(&y);
    return same;
}

static oll_status write_file(void *user, const void *data, size_t n, struct oll_error *err)
{
    return fwrite(data, 1, n, user) == n ? OLL_OK : OLL_FAIL(err, OLL_ERR_IO, "cannot write");
}

static oll_status quantize(const char *source, const char *path,
                           const struct oll_quantize_options *o)
{
    FILE *f = fopen(path, "wb");
    const struct oll_gguf_sink sink = {write_file, f};
    OLL_ASSERT(f);
    oll_status status = oll_quantize_model(&source, 1, &sink, o, NULL);
    OLL_ASSERT(fclose(f) == 0);
    return status;
}

TEST(a_file_is_quantised)
{
    float *values = random_values();
    const char *source = in_folder("source.gguf");
    struct oll_quantize_options o = {.target = OLL_TARGET_Q4_K_M, .n_threads = 3};
    struct oll_gguf *g = NULL;
    uint64_t n;
    write_source(source, values);
    CHECK_OK(quantize(source, in_folder("3.gguf"), &o));
    o.n_threads = 1;
    CHECK_OK(quantize(source, in_folder("1.gguf"), &o));
    CHECK(same_files(in_folder("1.gguf"), in_folder("3.gguf")));
    if (CHECK_OK(oll_gguf_open(in_folder("1.gguf"), &g, NULL))) {
        CHECK_OK(oll_gguf_u64(g, "general.file_type", &n, NULL));
        CHECK_EQ(n, 15);
        CHECK_OK(oll_gguf_u64(g, "general.quantization_version", &n, NULL));
        CHECK_EQ(n, 2);
        CHECK_EQ(oll_gguf_n_kv(g), 6);
        check_tensor(g, "blk.0.ffn_down.weight", OLL_Q6_K, values, 0.006);
        check_tensor(g, "token_embd.weight", OLL_Q6_K, values, 0.006);
        check_tensor(g, "blk.0.attn_norm.weight", OLL_F32, values, 0.0);
        oll_gguf_close(g);
    }
    oll_free(values);
}

TEST(parts_become_one_file)
{
    float *values = random_values();
    struct oll_quantize_options o = {.target = OLL_TARGET_KEEP};
    write_source(in_folder("source.gguf"), values);
    CHECK_OK(quantize(in_folder("source.gguf"), in_folder("1.gguf"), &o));
    CHECK(same_files(in_folder("source.gguf"), in_folder("1.gguf")));
    oll_free(values);
}

/* Stops at the second report. */
static bool stop_early(void *user, uint64_t done, uint64_t total)
{
    int *n = user;
    CHECK(done <= total && total == (2 * N_IN * N_OUT + N_IN) * 4);
    return ++*n < 2;
}

TEST(cancelling_stops)
{
    float *values = random_values();
    int n = 0;
    struct oll_quantize_options o = {.target = OLL_TARGET_Q8_0, .progress = stop_early, .user = &n};
    write_source(in_folder("source.gguf"), values);
    CHECK_STATUS(quantize(in_folder("source.gguf"), in_folder("c.gguf"), &o), OLL_ERR_CANCELED);
    CHECK_EQ(n, 2);
    CHECK_STATUS(quantize(in_folder("none.gguf"), in_folder("c.gguf"), &o), OLL_ERR_NOT_FOUND);
    oll_free(values);
}

int main(int argc, char **argv)
{
    snprintf(folder, sizeof folder, "%s/oll-quantize-XXXXXX", P_tmpdir);
    OLL_ASSERT(mkdtemp(folder));
    int rc = testing_main(argc, argv);
    unlink(in_folder("source.gguf"));
    unlink(in_folder("c.gguf"));
    unlink(in_folder("1.gguf"));
    unlink(in_folder("3.gguf"));
    rmdir(folder);
    return rc;
}
