/* The command list and the ref device's memory: what recording refuses, how a failure sticks, what
 * happens to whoever looks into a buffer. */
#include "kernels/device.h"

#include "kernels/ref/ref.h"
#include "tests/testing.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Two devices, a buffer of 1024 floats on the first with counting values, one on the second, and a
 * weight [4, 32] and a stack [2, 4, 32] of ones. */
static struct oll_device *dev, *other;
static struct oll_buffer *buf, *foreign;
static struct oll_weight *weight, *stack;
static struct oll_cmd cmd;
static struct oll_error err;

enum { N_FLOAT = 1024, N_IN = 32, N_OUT = 4 };

static void setup(void)
{
    static float values[N_FLOAT], ones[2 * N_OUT * N_IN];
    for (int i = 0; i < N_FLOAT; i++)
        values[i] = (float)i;
    for (int i = 0; i < 2 * N_OUT * N_IN; i++)
        ones[i] = 1;
    CHECK_OK(oll_device_open("ref", NULL, &dev, NULL));
    CHECK_OK(oll_device_open("ref", NULL, &other, NULL));
    CHECK_OK(oll_buffer_new(dev, sizeof values, &buf, NULL));
    CHECK_OK(oll_buffer_new(other, sizeof values, &foreign, NULL));
    CHECK_OK(oll_buffer_upload(buf, 0, values, sizeof values, NULL));
    const struct oll_weight_source src[2] = {{"plain", ones, OLL_F32, N_IN, N_OUT, 1, false},
                                             {"stack", ones, OLL_F32, N_IN, N_OUT, 2, false}};
    struct oll_weight *w[2];
    CHECK_OK(oll_weights_new(dev, src, 2, w, NULL));
    weight = w[0];
    stack = w[1];
    oll_cmd_init(&cmd, dev);
    err = (struct oll_error){0};
}

static void teardown(void)
{
    oll_cmd_free(&cmd);
    oll_weight_free(weight);
    oll_weight_free(stack);
    oll_buffer_free(buf);
    oll_buffer_free(foreign);
    oll_device_close(dev);
    oll_device_close(other);
}

static struct oll_mat mat(size_t off, uint32_t rows, uint32_t cols)
{
    return (struct oll_mat){.buf = buf, .off = off, .rows = rows, .cols = cols, .stride = cols};
}

static struct oll_vec vec(size_t off, uint32_t n)
{
    return (struct oll_vec){.buf = buf, .off = off, .n = n};
}

static struct oll_ints ints(size_t off, uint32_t n)
{
    return (struct oll_ints){.buf = buf, .off = off, .n = n};
}

static struct op_matmul good_matmul(void)
{
    return (struct op_matmul){.y = mat(512, 2, N_OUT), .x = mat(0, 2, N_IN), .w = weight};
}

/* The list has refused the op for this reason; it is empty again afterwards. */
#define REFUSED(status_expected, ...)                                                              \
    refused(__LINE__, status_expected, (const char *const[]){__VA_ARGS__, NULL})
static void refused(int line, oll_status expected, const char *const *parts)
{
    struct oll_error submitted = {0};
    testing_check(cmd.status == expected, __FILE__, line, "status \"%s\": %s",
                  oll_status_text(cmd.status), oll_error_text(&cmd.err));
    for (; *parts; parts++)
        testing_check(strstr(cmd.err.text, *parts) != NULL, __FILE__, line, "\"%s\" lacks \"%s\"",
                      cmd.err.text, *parts);
    testing_check(oll_device_submit(&cmd, &submitted) == expected, __FILE__, line,
                  "submit does not report the failure");
    testing_check(strcmp(submitted.text, cmd.err.text) == 0, __FILE__, line, "submit says \"%s\"",
                  submitted.text);
    oll_cmd_reset(&cmd);
}

TEST(opens_by_name_and_names_the_known)
{
    struct oll_device *d = NULL;
    struct oll_error e = {0};
    CHECK_STATUS(oll_device_open("abacus", NULL, &d, &e), OLL_ERR_NOT_FOUND);
    CHECK(strstr(e.text, "abacus") && strstr(e.text, "ref"));
    CHECK(d == NULL);
    oll_device_close(NULL);
    oll_buffer_free(NULL);
    oll_weight_free(NULL);
}

TEST(a_good_list_runs_in_order)
{
    setup();
    struct op_matmul d = good_matmul();
    op_matmul(&cmd, &d);
    struct op_add twice = {.y = d.y, .a = d.y, .b = d.y};
    op_add(&cmd, &twice);
    CHECK_OK(oll_device_submit(&cmd, &err));
    CHECK_OK(oll_device_wait(dev, &err));
    float y[2 * N_OUT];
    CHECK_OK(oll_buffer_download(buf, 512 * sizeof(float), y, sizeof y, &err));
    for (int i = 0; i < 2 * N_OUT; i++)
        CHECK_EQ(y[i], i < N_OUT ? 2 * 496 : 2 * (496 + 32 * 32)); /* sums of 0..31, 32..63 */
    /* The same list again: nothing of it was consumed. */
    CHECK_EQ(cmd.n_op, 2);
    CHECK_OK(oll_device_submit(&cmd, &err));
    CHECK_OK(oll_device_wait(dev, &err));
    CHECK_OK(oll_device_wait(dev, &err)); /* without a list: nothing to wait for */
    teardown();
}

TEST(shape_mismatch_is_refused_with_both_shapes)
{
    setup();
    struct op_matmul d = good_matmul();
    d.x.cols = 31;
    op_matmul(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "op 0 (matmul)", "x:", "[2, 31]", "[2, 32]");
    d = good_matmul();
    d.y.rows = 3;
    op_matmul(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "y:", "[3, 4]", "[2, 4]");
    d = good_matmul();
    d.b = vec(900, 5);
    op_matmul(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "b:", "5", "4");
    d = good_matmul();
    d.residual = mat(600, 2, 5);
    op_matmul(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "residual:", "[2, 5]");
    d = good_matmul();
    d.y.stride = 3;
    op_matmul(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "y:", "stride 3");
    d = good_matmul();
    d.w = stack;
    op_matmul(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "w:", "stack of 2");
    teardown();
}

TEST(bounds_are_checked_without_overflow)
{
    setup();
    struct op_matmul d = good_matmul();
    d.y.off = N_FLOAT - 2 * N_OUT; /* the last place that fits */
    op_matmul(&cmd, &d);
    CHECK_OK(cmd.status);
    d.y.off++;
    op_matmul(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "op 1 (matmul)", "y:", "beyond its buffer of 1024");
    d.y.off = SIZE_MAX - 3;
    op_matmul(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "y:", "beyond");
    d = good_matmul();
    d.x.stride = UINT32_MAX;
    op_matmul(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "x:", "beyond");
    d = good_matmul();
    d.b = vec(SIZE_MAX, N_OUT);
    op_matmul(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "b:", "beyond");
    /* A last row needs no full stride. */
    struct op_add add = {
        .y = {buf, 1, 2, 1, 1022}, .a = {buf, 0, 2, 1, 1022}, .b = {buf, 0, 2, 1, 1022}};
    op_add(&cmd, &add);
    CHECK_OK(cmd.status);
    teardown();
}

TEST(operands_of_another_device_are_refused)
{
    setup();
    struct op_matmul d = good_matmul();
    d.x.buf = foreign;
    op_matmul(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "x:", "another device");
    d = good_matmul();
    d.y.buf = NULL;
    op_matmul(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "y:", "no buffer");
    d = good_matmul();
    d.w = NULL;
    op_matmul(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "w:", "no weight");
    struct oll_cmd elsewhere;
    oll_cmd_init(&elsewhere, other);
    d = good_matmul();
    d.x.buf = d.y.buf = foreign;
    op_matmul(&elsewhere, &d);
    CHECK_STATUS(elsewhere.status, OLL_ERR_ARG);
    CHECK(strstr(elsewhere.err.text, "the weight belongs to another device"));
    oll_cmd_free(&elsewhere);
    teardown();
}

TEST(overlap_is_refused_where_it_changes_results)
{
    setup();
    struct op_matmul d = good_matmul();
    d.y.off = 63; /* the last element of x */
    op_matmul(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "y:", "overlaps x");
    d.y.off = 64;
    op_matmul(&cmd, &d);
    CHECK_OK(cmd.status);
    /* Column ranges of one wide matrix share addresses but no element. */
    d.x = (struct oll_mat){buf, 0, 2, N_IN, 40};
    d.y = (struct oll_mat){buf, 32, 2, N_OUT, 40};
    op_matmul(&cmd, &d);
    CHECK_OK(cmd.status);
    d.y.off = 31;
    op_matmul(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "y:", "overlaps x");
    d.y.off = 37; /* wraps round to columns 0 .. 0 of the next row */
    op_matmul(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "y:", "overlaps x");
    /* In place is allowed, a shifted view is not. */
    struct op_unary u = {.act = OLL_ACT_SILU, .y = mat(0, 2, 8), .x = mat(0, 2, 8)};
    op_unary(&cmd, &u);
    CHECK_OK(cmd.status);
    u.y.off = 1;
    op_unary(&cmd, &u);
    REFUSED(OLL_ERR_ARG, "y:", "without being the same view");
    struct op_norm n = {.kind = OLL_NORM_RMS, .x = mat(0, 2, 8), .y = mat(8, 2, 8), .eps = 1e-5f};
    op_norm(&cmd, &n);
    REFUSED(OLL_ERR_ARG, "op 0 (norm)", "y:", "overlaps x");
    teardown();
}

TEST(the_first_failure_sticks)
{
    setup();
    struct op_matmul good = good_matmul(), bad = good;
    bad.x.cols = 1;
    op_matmul(&cmd, &good);
    op_matmul(&cmd, &bad);
    char first[OLL_ERROR_TEXT_MAX];
    memcpy(first, cmd.err.text, sizeof first);
    CHECK(strncmp(first, "op 1 (matmul): x:", 17) == 0);
    op_matmul(&cmd, &good);
    struct op_pool pool = {.kind = OLL_POOLING_NONE};
    op_pool(&cmd, &pool);
    CHECK_EQ(cmd.n_op, 1);
    CHECK_STR(cmd.err.text, first);
    CHECK_STATUS(oll_device_submit(&cmd, NULL), OLL_ERR_ARG);
    CHECK_OK(oll_device_wait(dev, NULL)); /* nothing was started */
    oll_cmd_reset(&cmd);
    op_matmul(&cmd, &good);
    CHECK_OK(cmd.status);
    CHECK_EQ(cmd.n_op, 1);
    teardown();
}

TEST(an_op_without_rows_is_checked_and_dropped)
{
    setup();
    struct op_gather g = {.y = mat(0, 0, 8), .x = mat(64, 4, 8), .rows = ints(0, 0)};
    op_gather(&cmd, &g);
    CHECK_OK(cmd.status);
    CHECK_EQ(cmd.n_op, 0);
    g.x.cols = 9;
    op_gather(&cmd, &g);
    REFUSED(OLL_ERR_ARG, "x:", "[4, 9]");
    struct op_rope none = {.kind = OLL_ROPE_NONE};
    op_rope(&cmd, &none);
    CHECK_OK(cmd.status);
    CHECK_EQ(cmd.n_op, 0);
    teardown();
}

TEST(a_list_grows_past_any_pass)
{
    setup();
    struct op_matmul d = good_matmul();
    for (int i = 0; i < 5000; i++)
        op_matmul(&cmd, &d);
    CHECK_OK(cmd.status);
    CHECK_EQ(cmd.n_op, 5000);
    CHECK(cmd.ops[4999].kind == OLL_OP_MATMUL && cmd.ops[4999].matmul.w == weight);
    teardown();
}

/* One refusal per rule that the matmul cases above do not reach.
 * long function: a flat list, each op set up once and then broken in one field after another. */
TEST(each_op_checks_its_own_rules)
{
    setup();
    struct op_embed e = {.y = mat(0, 3, N_IN), .w = weight, .row = N_OUT, .scale = 1};
    op_embed(&cmd, &e);
    REFUSED(OLL_ERR_ARG, "embed", "row: 4");
    e.scale = 0;
    op_embed(&cmd, &e);
    REFUSED(OLL_ERR_ARG, "scale: 0");
    struct op_norm n = {.kind = OLL_NORM_RMS, .x = mat(0, 2, 8), .y = mat(64, 2, 8), .group = 3};
    op_norm(&cmd, &n);
    REFUSED(OLL_ERR_ARG, "group: 3");
    n.group = 4;
    n.w = vec(128, 5);
    op_norm(&cmd, &n);
    REFUSED(OLL_ERR_ARG, "w: has 5");
    n.w = vec(128, 4);
    n.b = vec(128, 4);
    op_norm(&cmd, &n);
    REFUSED(OLL_ERR_ARG, "b: only a layer norm");
    n.b.buf = NULL;
    n.eps = NAN;
    op_norm(&cmd, &n);
    REFUSED(OLL_ERR_ARG, "eps:");
    struct op_matmul_expert x = {.y = mat(512, 4, N_OUT),
                                 .x = mat(0, 2, N_IN),
                                 .w = stack,
                                 .ids = ints(900, 4),
                                 .n_used = 3};
    op_matmul_expert(&cmd, &x);
    REFUSED(OLL_ERR_ARG, "n_used: 3");
    x.n_used = 2;
    x.b = vec(600, N_OUT);
    op_matmul_expert(&cmd, &x);
    REFUSED(OLL_ERR_ARG, "b: has 4 values, expected 8");
    struct op_rope r = {.kind = OLL_ROPE_NEOX,
                        .x = mat(0, 2, 16),
                        .table = mat(64, 2, 6),
                        .n_head = 2,
                        .head_dim = 8,
                        .n_rot = 10};
    op_rope(&cmd, &r);
    REFUSED(OLL_ERR_ARG, "n_rot: 10");
    r.n_rot = 8;
    op_rope(&cmd, &r);
    REFUSED(OLL_ERR_ARG, "table: is [2, 6], expected [2, 8]");
    struct op_glu g = {
        .act = (enum oll_act)99, .y = mat(0, 1, 4), .gate = mat(8, 1, 4), .up = mat(16, 1, 4)};
    op_glu(&cmd, &g);
    REFUSED(OLL_ERR_ARG, "act: 99");
    struct op_router o = {.ids = ints(900, 4),
                          .weights = mat(600, 2, 2),
                          .logits = mat(0, 2, 8),
                          .n_used = 2,
                          .n_group = 4,
                          .n_group_used = 0};
    op_router(&cmd, &o);
    REFUSED(OLL_ERR_ARG, "n_group: 0 of 4");
    o.n_group_used = 1;
    o.n_used = 3;
    op_router(&cmd, &o);
    REFUSED(OLL_ERR_ARG, "n_used: 3 of 2");
    struct op_query_scale q = {.x = mat(0, 2, 8), .pos = ints(900, 2)};
    op_query_scale(&cmd, &q);
    REFUSED(OLL_ERR_ARG, "length: 0");
    struct op_expert_sum s = {.y = mat(0, 2, 8), .x = mat(64, 5, 8), .weights = mat(256, 2, 2)};
    op_expert_sum(&cmd, &s);
    REFUSED(OLL_ERR_ARG, "x: has 5 rows, expected 2 tokens x 2 experts");
    struct op_norm_matmul f = {.norm = n, .n = 4};
    f.norm.eps = 0;
    op_norm_matmul(&cmd, &f);
    REFUSED(OLL_ERR_ARG, "n: 4 products");
    teardown();
}

TEST(a_cache_must_fit_its_buffer)
{
    setup();
    size_t n_page = dev->ops->kv_page_bytes(OLL_F32, 1, 4); /* 512 bytes */
    CHECK_EQ(n_page, 512);
    struct op_kv_store d = {.k = mat(0, 1, 4),
                            .v = mat(4, 1, 4),
                            .pos = ints(900, 1),
                            .seq = ints(901, 1),
                            .kv = {.buf = buf,
                                   .k_off = 1024,
                                   .v_off = 2048,
                                   .dtype = OLL_F32,
                                   .n_page = 2,
                                   .n_head_kv = 1,
                                   .head_dim_k = 4,
                                   .head_dim_v = 4,
                                   .pages = ints(910, 2),
                                   .n_col = 2}};
    op_kv_store(&cmd, &d);
    CHECK_OK(cmd.status);
    d.kv.v_off = 1536;
    op_kv_store(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "op 1 (kv_store)", "K at 1024 .. 2048 overlaps V");
    d.kv.v_off = 2050;
    op_kv_store(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "kv.v_off: 2050 is no multiple of 64");
    d.kv.v_off = 3136;
    op_kv_store(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "kv.v_off:", "beyond the buffer of 4096");
    d.kv.v_off = 2048;
    d.kv.n_page = UINT32_MAX;
    op_kv_store(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "kv.k_off: 4294967295 pages");
    d.kv.n_page = 2;
    d.kv.pages.n = 3;
    op_kv_store(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "kv.pages: 3 entries");
    d.kv.pages.n = 2;
    d.kv.dtype = OLL_Q8_0;
    op_kv_store(&cmd, &d);
    REFUSED(OLL_ERR_ARG, "no whole blocks of Q8_0");
    d.kv.dtype = OLL_Q4_K;
    op_kv_store(&cmd, &d);
    REFUSED(OLL_ERR_UNSUPPORTED, "has no kv_store for Q4_K");
    struct op_attention a = {.y = mat(64, 1, 12),
                             .q = mat(0, 1, 12),
                             .kv = d.kv,
                             .pos = ints(900, 1),
                             .seq = ints(901, 1),
                             .n_head = 3,
                             .scale = 1,
                             .causal = false,
                             .n_kv_max = 1};
    a.kv.dtype = OLL_F32;
    op_attention(&cmd, &a);
    REFUSED(OLL_ERR_ARG, "kv_len: no buffer");
    a.causal = true;
    a.n_kv_max = 0;
    op_attention(&cmd, &a);
    REFUSED(OLL_ERR_ARG, "n_kv_max");
    a.kv.n_head_kv = 2;
    a.kv.v_off = 0;
    a.kv.n_page = 1;
    op_attention(&cmd, &a);
    REFUSED(OLL_ERR_ARG, "n_head: 3 is no multiple of n_head_kv (2)");
    teardown();
}

TEST(index_values_outside_are_reported_by_ref)
{
    setup();
    const int32_t ids[] = {0, 3, 4};
    CHECK_OK(oll_buffer_upload(buf, 900 * sizeof(float), ids, sizeof ids, NULL));
    struct op_embed e = {.y = mat(0, 3, N_IN), .w = weight, .ids = ints(900, 3), .scale = 1};
    op_embed(&cmd, &e);
    CHECK_OK(oll_device_submit(&cmd, &err));
    CHECK_STATUS(oll_device_wait(dev, &err), OLL_ERR_ARG);
    CHECK_STR(err.text, "op 0 (embed): ids[2]: 4 lies outside 0 .. 3");
    teardown();
}

TEST(weights_are_checked_before_the_device_sees_them)
{
    setup();
    const float data[64] = {0};
    struct oll_weight_source src = {"blk.0.ffn_up", data, OLL_Q4_K, 255, 1, 1, false};
    struct oll_weight *w = NULL;
    CHECK_STATUS(oll_weights_new(dev, &src, 1, &w, &err), OLL_ERR_FORMAT);
    CHECK(strstr(err.text, "blk.0.ffn_up") && strstr(err.text, "255") && strstr(err.text, "Q4_K"));
    src = (struct oll_weight_source){"t", data, OLL_I32, 4, 1, 1, false};
    CHECK_STATUS(oll_weights_new(dev, &src, 1, &w, NULL), OLL_ERR_UNSUPPORTED);
    src = (struct oll_weight_source){"t", data, (enum oll_dtype)77, 4, 1, 1, false};
    CHECK_STATUS(oll_weights_new(dev, &src, 1, &w, NULL), OLL_ERR_UNSUPPORTED);
    src = (struct oll_weight_source){"t", data, OLL_F32, 4, 0, 1, false};
    CHECK_STATUS(oll_weights_new(dev, &src, 1, &w, NULL), OLL_ERR_ARG);
    src = (struct oll_weight_source){"t", data, OLL_F32, UINT32_MAX, UINT32_MAX, UINT32_MAX, false};
    CHECK_STATUS(oll_weights_new(dev, &src, 1, &w, NULL), OLL_ERR_LIMIT);
    src = (struct oll_weight_source){"t", NULL, OLL_F32, 4, 1, 1, false};
    CHECK_STATUS(oll_weights_new(dev, &src, 1, &w, NULL), OLL_ERR_ARG);
    CHECK(w == NULL);
    teardown();
}

TEST(transfers_are_bounded_and_wait_for_the_list)
{
    setup();
    float values[8] = {0};
    CHECK_STATUS(oll_buffer_upload(buf, sizeof(float) * N_FLOAT, values, 1, NULL), OLL_ERR_ARG);
    CHECK_STATUS(oll_buffer_download(buf, SIZE_MAX, values, 8, &err), OLL_ERR_ARG);
    CHECK(strstr(err.text, "download of 8 bytes"));
    CHECK_OK(oll_buffer_upload(buf, sizeof(float) * N_FLOAT, values, 0, NULL));
    struct op_matmul d = good_matmul();
    op_matmul(&cmd, &d);
    CHECK_OK(oll_device_submit(&cmd, NULL));
    CHECK_STATUS(oll_buffer_download(buf, 0, values, 8, NULL), OLL_ERR_BUSY);
    CHECK_STATUS(oll_buffer_upload(buf, 0, values, 8, NULL), OLL_ERR_BUSY);
    CHECK_STATUS(oll_device_submit(&cmd, NULL), OLL_ERR_BUSY);
    CHECK_OK(oll_device_wait(dev, NULL));
    CHECK_OK(oll_buffer_download(buf, 0, values, 8, NULL));
    teardown();
}

TEST(an_abort_flag_ends_the_list)
{
    setup();
    atomic_bool abort_flag = true;
    struct op_matmul d = good_matmul();
    op_matmul(&cmd, &d);
    cmd.abort = &abort_flag;
    CHECK_OK(oll_device_submit(&cmd, NULL));
    CHECK_STATUS(oll_device_wait(dev, NULL), OLL_ERR_CANCELED);
    atomic_store(&abort_flag, false);
    CHECK_OK(oll_device_submit(&cmd, NULL));
    CHECK_OK(oll_device_wait(dev, NULL));
    teardown();
}

TEST(copies_between_devices_follow_the_strides)
{
    setup();
    struct oll_mat src = {buf, 10, 3, 5, 20}, dst = {foreign, 7, 3, 5, 5};
    CHECK_OK(oll_device_copy(&dst, &src, &err));
    float got[15];
    CHECK_OK(oll_buffer_download(foreign, 7 * sizeof(float), got, sizeof got, NULL));
    for (int i = 0; i < 15; i++)
        CHECK_EQ(got[i], 10 + i / 5 * 20 + i % 5);
    dst.cols = 4;
    CHECK_STATUS(oll_device_copy(&dst, &src, &err), OLL_ERR_ARG);
    CHECK(strstr(err.text, "[3, 5]") && strstr(err.text, "[3, 4]"));
    dst = (struct oll_mat){foreign, N_FLOAT - 14, 3, 5, 5};
    CHECK_STATUS(oll_device_copy(&dst, &src, NULL), OLL_ERR_ARG);
    /* More than one stage of 1 MiB: rows of 300,000 floats. */
    enum { N_WIDE = 300000 };
    struct oll_buffer *from, *to;
    CHECK_OK(oll_buffer_new(dev, 3 * N_WIDE * sizeof(float), &from, NULL));
    CHECK_OK(oll_buffer_new(other, 3 * N_WIDE * sizeof(float), &to, NULL));
    const float mark = 42;
    CHECK_OK(oll_buffer_upload(from, (3 * N_WIDE - 1) * sizeof(float), &mark, sizeof mark, NULL));
    src = (struct oll_mat){from, 0, 3, N_WIDE, N_WIDE};
    dst = (struct oll_mat){to, 0, 3, N_WIDE, N_WIDE};
    CHECK_OK(oll_device_copy(&dst, &src, NULL));
    CHECK_OK(oll_buffer_download(to, (3 * N_WIDE - 1) * sizeof(float), got, sizeof mark, NULL));
    CHECK_EQ(got[0], 42);
    oll_buffer_free(from);
    oll_buffer_free(to);
    teardown();
}

TEST(new_buffers_are_zero)
{
    setup();
    struct oll_buffer *fresh;
    CHECK_OK(oll_buffer_new(dev, 100001, &fresh, NULL));
    unsigned char *bytes = malloc(100001);
    memset(bytes, 1, 100001);
    CHECK_OK(oll_buffer_download(fresh, 0, bytes, 100001, NULL));
    int n_set = 0;
    for (int i = 0; i < 100001; i++)
        n_set += bytes[i] != 0;
    CHECK_EQ(n_set, 0);
    free(bytes);
    oll_buffer_free(fresh);
    CHECK_STATUS(oll_buffer_new(dev, SIZE_MAX - 5, &fresh, NULL), OLL_ERR_MEMORY);
    teardown();
}

/* Ends a child process with the signal that peeking raises; `peek` runs there. */
static int signal_of_child(void (*peek)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL); /* also where a sanitizer has its own handler */
        peek();
        _exit(0);
    }
    int how = 0;
    waitpid(pid, &how, 0);
    return WIFSIGNALED(how) ? WTERMSIG(how) : 0;
}

static volatile char sink;
static const volatile char *secret;
static void peek_secret(void) { sink = *secret; }

TEST(looking_into_a_ref_buffer_is_fatal)
{
    setup();
    secret = ((struct ref_buffer *)buf)->region.data;
    CHECK_EQ(signal_of_child(peek_secret), SIGSEGV);
    struct op_matmul d = good_matmul();
    op_matmul(&cmd, &d);
    CHECK_OK(oll_device_submit(&cmd, NULL));
    CHECK_EQ(signal_of_child(peek_secret), SIGSEGV);
    CHECK_OK(oll_device_wait(dev, NULL));
    CHECK_EQ(signal_of_child(peek_secret), SIGSEGV);
    secret = ((struct ref_weight *)weight)->region.data;
    CHECK_EQ(signal_of_child(peek_secret), SIGSEGV);
    teardown();
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
