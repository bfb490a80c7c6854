#include "bench/bench_ops.h"

#include "bench/bench_bed.h"
#include "bench/bench_fill.h"
#include "engine/base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum {
    N_EMBD = 2048,
    N_FF = 8192,
    N_HEAD = 32,
    N_HEAD_KV = 8,
    HEAD_DIM = 64,
    N_KV = N_HEAD_KV * HEAD_DIM,
    N_EXPERT = 32,
    N_EXPERT_USED = 4,
    N_FF_EXPERT = 1024,
    N_VOCAB = 32000,
    FEW_TOKENS = 8,
    COPIES_MAX = 64,
    SMALL_OPS = 64 /* ops of a list of small ones, so that starting it does not count */
};

struct job;

/* Records ops and says what one of them costs. */
struct cost {
    double bytes, macs;
    uint32_t n_op;
};
typedef void (*record_fn)(struct job *job);

struct job {
    struct bench_bed bed;
    const struct bench_ops_params *params;
    uint64_t working_bytes;
    uint32_t n_tokens, n_depth; /* of the case at hand */
    enum oll_dtype dtype;
    struct cost cost;
    struct bench_peak peak;
};

/* ---- products ---- */

/* How many operands of n_bytes one token should find: enough to exceed the caches. */
static uint32_t n_copies(const struct job *job, double n_bytes)
{
    if (job->n_tokens > FEW_TOKENS)
        return 1;
    const double n = (double)job->working_bytes / n_bytes + 1;
    return n < COPIES_MAX ? (uint32_t)n : COPIES_MAX;
}

static void record_matmul(struct job *job)
{
    struct bench_bed *bed = &job->bed;
    const double bytes = (double)oll_dtype_row_bytes(job->dtype, N_EMBD) * N_FF;
    const uint32_t n = n_copies(job, bytes);
    const struct oll_mat x = bench_bed_mat(bed, job->n_tokens, N_EMBD, 1);
    const struct oll_mat y = bench_bed_mat(bed, job->n_tokens, N_FF, 1);
    for (uint32_t i = 0; i < n; i++) {
        const struct oll_weight *w = bench_bed_weight(bed, job->dtype, N_EMBD, N_FF, 1);
        if (w)
            op_matmul(&bed->cmd, &(struct op_matmul){.y = y, .x = x, .w = w});
    }
    job->cost = (struct cost){bytes, (double)job->n_tokens * N_EMBD * N_FF, n};
}

/* Each token takes N_EXPERT_USED experts, the next ones after those of the token before. */
static void record_matmul_expert(struct job *job)
{
    struct bench_bed *bed = &job->bed;
    const uint32_t n_rows = job->n_tokens * N_EXPERT_USED;
    const uint32_t n_read = n_rows < N_EXPERT ? n_rows : N_EXPERT;
    const double expert_bytes = (double)oll_dtype_row_bytes(job->dtype, N_EMBD) * N_FF_EXPERT;
    const uint32_t n = n_copies(job, expert_bytes * N_EXPERT_USED);
    const struct oll_mat x = bench_bed_mat(bed, job->n_tokens, N_EMBD, 1);
    const struct oll_mat y = bench_bed_mat(bed, n_rows, N_FF_EXPERT, 1);
    /* One stack serves several ops of one token: each begins at other experts. */
    const uint32_t n_stack = (n * N_EXPERT_USED + N_EXPERT - 1) / N_EXPERT;
    const struct oll_weight *w[COPIES_MAX] = {NULL};
    for (uint32_t i = 0; i < n_stack; i++)
        w[i] = bench_bed_weight(bed, job->dtype, N_EMBD, N_FF_EXPERT, N_EXPERT);
    for (uint32_t i = 0; i < n; i++) {
        int32_t *ids = oll_calloc(n_rows, sizeof *ids);
        for (uint32_t r = 0; ids && r < n_rows; r++)
            ids[r] = (int32_t)((r + i * N_EXPERT_USED) % N_EXPERT);
        const struct oll_ints rows =
            ids ? bench_bed_ints(bed, ids, n_rows) : (struct oll_ints){.n = n_rows};
        oll_free(ids);
        if (w[i * N_EXPERT_USED / N_EXPERT])
            op_matmul_expert(&bed->cmd,
                             &(struct op_matmul_expert){.y = y,
                                                        .x = x,
                                                        .w = w[i * N_EXPERT_USED / N_EXPERT],
                                                        .ids = rows,
                                                        .n_used = N_EXPERT_USED});
    }
    job->cost = (struct cost){expert_bytes * n_read, (double)n_rows * N_EMBD * N_FF_EXPERT, n};
}

/* ---- attention ---- */

/* A cache of one sequence with every position stored. */
static struct oll_kv make_kv(struct job *job, uint32_t n_pos)
{
    struct bench_bed *bed = &job->bed;
    struct oll_kv kv = {.dtype = job->dtype,
                        .n_page = (n_pos + OLL_KV_PAGE - 1) / OLL_KV_PAGE,
                        .n_head_kv = N_HEAD_KV,
                        .head_dim_k = HEAD_DIM,
                        .head_dim_v = HEAD_DIM};
    const size_t page_bytes = bed->dev->ops->kv_page_bytes(kv.dtype, N_HEAD_KV, HEAD_DIM);
    kv.v_off = kv.n_page * page_bytes;
    kv.n_col = kv.n_page;
    kv.buf = bench_bed_buffer(bed, 2 * kv.v_off);
    kv.pages = bench_bed_count(bed, kv.n_page, 0, 1);
    return kv;
}

static void record_store(struct job *job, const struct oll_kv *kv, const struct oll_mat *rows,
                         const struct oll_ints *pos, const struct oll_ints *seq)
{
    op_kv_store(&job->bed.cmd,
                &(struct op_kv_store){.k = *rows, .v = *rows, .kv = *kv, .pos = *pos, .seq = *seq});
}

static double kv_bytes(const struct job *job, double n_pos)
{
    return n_pos * 2 * (double)oll_dtype_row_bytes(job->dtype, N_KV);
}

static void record_kv_store(struct job *job)
{
    const uint32_t n = job->n_tokens;
    const struct oll_kv kv = make_kv(job, n);
    const struct oll_mat rows = bench_bed_mat(&job->bed, n, N_KV, 1);
    const struct oll_ints pos = bench_bed_count(&job->bed, n, 0, 1);
    const struct oll_ints seq = bench_bed_count(&job->bed, n, 0, 0);
    for (int i = 0; i < SMALL_OPS; i++)
        record_store(job, &kv, &rows, &pos, &seq);
    job->cost = (struct cost){kv_bytes(job, n) + 2.0 * n * N_KV * sizeof(float), 0, SMALL_OPS};
}

/* Fills the caches in a run of their own, then records the attention of the last n_tokens
 * positions. */
static void record_attention(struct job *job)
{
    struct bench_bed *bed = &job->bed;
    const uint32_t n = job->n_tokens, n_pos = job->n_depth + n, first = job->n_depth;
    const uint32_t n_layer = n_copies(job, kv_bytes(job, n_pos));
    const struct oll_mat rows = bench_bed_mat(bed, n_pos, N_KV, 1);
    const struct oll_ints all = bench_bed_count(bed, n_pos, 0, 1);
    const struct oll_ints zeros = bench_bed_count(bed, n_pos, 0, 0);
    struct oll_kv kv[COPIES_MAX];
    double seconds;
    for (uint32_t i = 0; i < n_layer; i++) {
        kv[i] = make_kv(job, n_pos);
        record_store(job, &kv[i], &rows, &all, &zeros);
    }
    const oll_status filled = bench_bed_run(bed, &seconds, &bed->err);
    if (bed->status == OLL_OK)
        bed->status = filled;
    oll_cmd_reset(&bed->cmd);
    const struct oll_mat q = bench_bed_mat(bed, n, N_HEAD * HEAD_DIM, 1);
    const struct oll_mat y = bench_bed_mat(bed, n, N_HEAD * HEAD_DIM, 1);
    const struct oll_ints pos = bench_bed_count(bed, n, (int32_t)first, 1);
    const struct oll_ints seq = bench_bed_count(bed, n, 0, 0);
    for (uint32_t i = 0; i < n_layer; i++)
        op_attention(&bed->cmd, &(struct op_attention){.y = y,
                                                       .q = q,
                                                       .kv = kv[i],
                                                       .pos = pos,
                                                       .seq = seq,
                                                       .n_head = N_HEAD,
                                                       .n_kv_max = n_pos,
                                                       .scale = 0.125f,
                                                       .causal = true});
    const double n_seen = (double)n * first + (double)n * (n + 1.0) / 2;
    job->cost = (struct cost){kv_bytes(job, n_pos), n_seen * N_HEAD * 2 * HEAD_DIM, n_layer};
}

/* ---- rows ---- */

static void set_small(struct job *job, double n_float)
{
    job->cost = (struct cost){n_float * sizeof(float), 0, SMALL_OPS};
}

static void record_norm(struct job *job)
{
    struct bench_bed *bed = &job->bed;
    const struct oll_mat x = bench_bed_mat(bed, job->n_tokens, N_EMBD, 1);
    const struct oll_mat y = bench_bed_mat(bed, job->n_tokens, N_EMBD, 1);
    const struct oll_vec w = bench_bed_vec(bed, N_EMBD, 1);
    for (int i = 0; i < SMALL_OPS; i++)
        op_norm(&bed->cmd,
                &(struct op_norm){.kind = OLL_NORM_RMS, .y = y, .x = x, .w = w, .eps = 1e-5f});
    set_small(job, 2.0 * job->n_tokens * N_EMBD);
}

static void record_rope_table(struct job *job)
{
    struct bench_bed *bed = &job->bed;
    const struct oll_mat table = bench_bed_mat(bed, job->n_tokens, HEAD_DIM, 1);
    const struct oll_vec freq = bench_bed_vec(bed, HEAD_DIM / 2, 0.01f);
    const struct oll_ints pos = bench_bed_count(bed, job->n_tokens, 1000, 1);
    for (int i = 0; i < SMALL_OPS; i++)
        op_rope_table(&bed->cmd, &(struct op_rope_table){
                                     .table = table, .pos = pos, .freq = freq, .magnitude = 1});
    set_small(job, (double)job->n_tokens * HEAD_DIM);
}

static void record_rope(struct job *job)
{
    struct bench_bed *bed = &job->bed;
    const struct oll_mat x = bench_bed_mat(bed, job->n_tokens, N_HEAD * HEAD_DIM, 1);
    const struct oll_mat table = bench_bed_mat(bed, job->n_tokens, HEAD_DIM, 0.7f);
    for (int i = 0; i < SMALL_OPS; i++)
        op_rope(&bed->cmd, &(struct op_rope){.kind = OLL_ROPE_NEOX,
                                             .x = x,
                                             .table = table,
                                             .n_head = N_HEAD,
                                             .head_dim = HEAD_DIM,
                                             .n_rot = HEAD_DIM});
    set_small(job, 2.0 * job->n_tokens * N_HEAD * HEAD_DIM);
}

static void record_glu(struct job *job)
{
    struct bench_bed *bed = &job->bed;
    const struct oll_mat gate = bench_bed_mat(bed, job->n_tokens, N_FF, 1);
    const struct oll_mat up = bench_bed_mat(bed, job->n_tokens, N_FF, 1);
    const struct oll_mat y = bench_bed_mat(bed, job->n_tokens, N_FF, 1);
    for (int i = 0; i < SMALL_OPS; i++)
        op_glu(&bed->cmd, &(struct op_glu){.act = OLL_ACT_SILU, .y = y, .gate = gate, .up = up});
    set_small(job, 3.0 * job->n_tokens * N_FF);
}

static void record_unary(struct job *job)
{
    struct bench_bed *bed = &job->bed;
    const struct oll_mat x = bench_bed_mat(bed, job->n_tokens, N_FF, 1);
    const struct oll_mat y = bench_bed_mat(bed, job->n_tokens, N_FF, 1);
    for (int i = 0; i < SMALL_OPS; i++)
        op_unary(&bed->cmd, &(struct op_unary){.act = OLL_ACT_GELU, .y = y, .x = x});
    set_small(job, 2.0 * job->n_tokens * N_FF);
}

static void record_add(struct job *job)
{
    struct bench_bed *bed = &job->bed;
    const struct oll_mat a = bench_bed_mat(bed, job->n_tokens, N_EMBD, 1);
    const struct oll_mat b = bench_bed_mat(bed, job->n_tokens, N_EMBD, 1);
    const struct oll_mat y = bench_bed_mat(bed, job->n_tokens, N_EMBD, 1);
    for (int i = 0; i < SMALL_OPS; i++)
        op_add(&bed->cmd, &(struct op_add){.y = y, .a = a, .b = b});
    set_small(job, 3.0 * job->n_tokens * N_EMBD);
}

static void record_scale(struct job *job)
{
    struct bench_bed *bed = &job->bed;
    const struct oll_mat x = bench_bed_mat(bed, job->n_tokens, N_EMBD, 1);
    for (int i = 0; i < SMALL_OPS; i++)
        op_scale(&bed->cmd, &(struct op_scale){.y = x, .x = x, .scale = 1, .softcap = 30});
    set_small(job, 2.0 * job->n_tokens * N_EMBD);
}

static void record_embed(struct job *job)
{
    struct bench_bed *bed = &job->bed;
    const struct oll_mat y = bench_bed_mat(bed, job->n_tokens, N_EMBD, 1);
    const struct oll_weight *w = bench_bed_weight(bed, job->dtype, N_EMBD, N_VOCAB, 1);
    const struct oll_ints ids = bench_bed_count(bed, job->n_tokens, 17, 31);
    for (int i = 0; w && i < SMALL_OPS; i++)
        op_embed(&bed->cmd, &(struct op_embed){.y = y, .w = w, .ids = ids, .scale = 1});
    set_small(job, (double)job->n_tokens * N_EMBD);
    job->cost.bytes += (double)job->n_tokens * (double)oll_dtype_row_bytes(job->dtype, N_EMBD);
}

static void record_gather(struct job *job)
{
    struct bench_bed *bed = &job->bed;
    const struct oll_mat x = bench_bed_mat(bed, job->n_tokens, N_EMBD, 1);
    const struct oll_mat y = bench_bed_mat(bed, job->n_tokens, N_EMBD, 1);
    const struct oll_ints rows = bench_bed_count(bed, job->n_tokens, 0, 1);
    for (int i = 0; i < SMALL_OPS; i++)
        op_gather(&bed->cmd, &(struct op_gather){.y = y, .x = x, .rows = rows});
    set_small(job, 2.0 * job->n_tokens * N_EMBD);
}

static void record_router(struct job *job)
{
    struct bench_bed *bed = &job->bed;
    const struct oll_mat logits = bench_bed_mat(bed, job->n_tokens, N_EXPERT, 1);
    const struct oll_mat weights = bench_bed_mat(bed, job->n_tokens, N_EXPERT_USED, 1);
    const struct oll_ints ids = bench_bed_count(bed, job->n_tokens * N_EXPERT_USED, 0, 0);
    for (int i = 0; i < SMALL_OPS; i++)
        op_router(&bed->cmd, &(struct op_router){.ids = ids,
                                                 .weights = weights,
                                                 .logits = logits,
                                                 .gating = OLL_GATING_SOFTMAX,
                                                 .n_used = N_EXPERT_USED,
                                                 .normalise = true});
    set_small(job, (double)job->n_tokens * (N_EXPERT + 2 * N_EXPERT_USED));
}

static void record_expert_sum(struct job *job)
{
    struct bench_bed *bed = &job->bed;
    const struct oll_mat x = bench_bed_mat(bed, job->n_tokens * N_EXPERT_USED, N_EMBD, 1);
    const struct oll_mat y = bench_bed_mat(bed, job->n_tokens, N_EMBD, 1);
    const struct oll_mat weights = bench_bed_mat(bed, job->n_tokens, N_EXPERT_USED, 1);
    for (int i = 0; i < SMALL_OPS; i++)
        op_expert_sum(&bed->cmd, &(struct op_expert_sum){.y = y, .x = x, .weights = weights});
    set_small(job, (double)job->n_tokens * N_EMBD * (N_EXPERT_USED + 1));
}

/* ---- cases ---- */

enum types { TYPES_WEIGHT, TYPES_SOME, TYPES_CACHE, TYPES_NONE };

static const struct group {
    const char *name;
    enum oll_op_kind kind;
    enum types types;
    record_fn record;
    bool is_judged;  /* by the roofline */
    bool is_batched; /* also for FEW_TOKENS */
} groups[] = {
    {"matmul", OLL_OP_MATMUL, TYPES_WEIGHT, record_matmul, true, true},
    {"matmul_expert", OLL_OP_MATMUL_EXPERT, TYPES_SOME, record_matmul_expert, true, true},
    {"attention", OLL_OP_ATTENTION, TYPES_CACHE, record_attention, true, false},
    {"kv_store", OLL_OP_KV_STORE, TYPES_CACHE, record_kv_store, false, false},
    {"embed", OLL_OP_EMBED, TYPES_SOME, record_embed, false, false},
    {"norm", OLL_OP_NORM, TYPES_NONE, record_norm, false, false},
    {"rope_table", OLL_OP_ROPE_TABLE, TYPES_NONE, record_rope_table, false, false},
    {"rope", OLL_OP_ROPE, TYPES_NONE, record_rope, false, false},
    {"glu", OLL_OP_GLU, TYPES_NONE, record_glu, false, false},
    {"unary", OLL_OP_UNARY, TYPES_NONE, record_unary, false, false},
    {"add", OLL_OP_ADD, TYPES_NONE, record_add, false, false},
    {"scale", OLL_OP_SCALE, TYPES_NONE, record_scale, false, false},
    {"gather", OLL_OP_GATHER, TYPES_NONE, record_gather, false, false},
    {"router", OLL_OP_ROUTER, TYPES_NONE, record_router, false, false},
    {"expert_sum", OLL_OP_EXPERT_SUM, TYPES_NONE, record_expert_sum, false, false},
};

static bool has_type(enum types types, enum oll_dtype dtype)
{
    switch (types) {
    case TYPES_WEIGHT: return bench_fill_supported(dtype);
    case TYPES_SOME: return dtype == OLL_F16 || dtype == OLL_Q8_0 || dtype == OLL_Q4_K;
    case TYPES_CACHE:
        return dtype == OLL_F32 || dtype == OLL_F16 || dtype == OLL_Q8_0 || dtype == OLL_Q4_0;
    case TYPES_NONE: return dtype == OLL_F32;
    }
    return false;
}

/* One thing to measure, as its name says. */
struct op_case {
    const struct group *group;
    enum oll_dtype dtype;
    uint32_t n_tokens, n_depth;
    char name[BENCH_OP_NAME_MAX];
};

static void name_case(struct op_case *c)
{
    char type[16] = "", depth[16] = "";
    if (c->group->types != TYPES_NONE)
        snprintf(type, sizeof type, ".%s", oll_dtype_name((uint32_t)c->dtype));
    for (char *p = type; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    if (c->n_depth)
        snprintf(depth, sizeof depth, ".d%u", c->n_depth);
    snprintf(c->name, sizeof c->name, "%s%s.%u%s", c->group->name, type, c->n_tokens, depth);
}

typedef oll_status (*case_fn)(struct job *job, const struct op_case *c, struct oll_error *err);

static oll_status visit_tokens(struct job *job, struct op_case *c, case_fn fn, uint32_t *n,
                               struct oll_error *err)
{
    const struct bench_ops_params *p = job->params;
    const uint32_t counts[] = {1, c->group->is_batched ? FEW_TOKENS : 0,
                               p->n_tokens ? p->n_tokens : 512};
    for (int i = 0; i < 3; i++) {
        if (counts[i] == 0)
            continue;
        c->n_tokens = counts[i];
        c->n_depth = 0;
        if (c->group->kind == OLL_OP_ATTENTION && c->n_tokens == 1)
            c->n_depth = p->n_depth ? p->n_depth : 4096;
        name_case(c);
        if (p->filter && !strstr(c->name, p->filter))
            continue;
        ++*n;
        OLL_TRY(fn(job, c, err));
    }
    return OLL_OK;
}

/* Calls fn with each case that the filter lets through and the device can do; *n counts them. */
static oll_status visit_cases(struct job *job, case_fn fn, uint32_t *n, struct oll_error *err)
{
    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++) {
        for (int d = 0; d < OLL_DTYPE_COUNT; d++) {
            struct op_case c = {.group = &groups[g], .dtype = (enum oll_dtype)d};
            if (!has_type(c.group->types, c.dtype) ||
                !oll_device_supports(job->bed.dev, c.group->kind, c.dtype))
                continue;
            OLL_TRY(visit_tokens(job, &c, fn, n, err));
        }
    }
    return OLL_OK;
}

static oll_status run_case(struct job *job, const struct op_case *c, struct oll_error *err)
{
    struct bench_op_result r = {0};
    const double budget = job->params->budget_s > 0 ? job->params->budget_s : 0.2;
    double seconds;
    if (bench_watch_aborted(job->params->watch))
        return OLL_FAIL(err, OLL_ERR_CANCELED, "stopped");
    bench_watch_show(job->params->watch, "%s", c->name);
    job->dtype = c->dtype;
    job->n_tokens = c->n_tokens;
    job->n_depth = c->n_depth;
    c->group->record(job);
    const oll_status status = bench_bed_best(&job->bed, budget, &seconds, err);
    if (status != OLL_OK) {
        oll_error_prefix(err, "%s", c->name);
        return status;
    }
    bench_bed_clear(&job->bed);
    snprintf(r.name, sizeof r.name, "%s", c->name);
    r.seconds = seconds / job->cost.n_op;
    r.bytes = job->cost.bytes;
    r.macs = job->cost.macs;
    if (c->group->is_judged) {
        struct bench_need need = {.bytes = r.bytes};
        struct bench_roofline roofline;
        const bool is_attention = c->group->kind == OLL_OP_ATTENTION;
        need.macs[c->dtype] = is_attention ? 0 : r.macs;
        need.attention_macs = is_attention ? r.macs : 0;
        bench_roofline_of(&need, &job->peak, r.seconds, &roofline);
        r.share = roofline.share;
        r.is_compute_bound = roofline.is_compute_bound;
    }
    bench_watch_show(job->params->watch, "%s", "");
    return job->params->result(job->params->ctx, &r, err);
}

/* Marks the types whose best product is needed, before it is measured. */
static oll_status mark_type(struct job *job, const struct op_case *c, struct oll_error *err)
{
    (void)err;
    if (c->group->is_judged)
        job->peak.macs_s[c->group->kind == OLL_OP_ATTENTION ? OLL_F32 : c->dtype] = 1;
    return OLL_OK;
}

static oll_status measure_peak(struct job *job, uint32_t *n, struct oll_error *err)
{
    struct bench_peak_params params = {.device = job->params->device,
                                       .isa = job->params->isa,
                                       .n_threads = job->params->n_threads,
                                       .read_bytes = job->params->read_bytes};
    bool is_needed = false;
    OLL_TRY(visit_cases(job, mark_type, n, err));
    if (*n == 0)
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND,
                        "no op has \"%s\" in its name; names are like matmul.q4_k.512, "
                        "attention.f16.1.d4096, norm.512",
                        job->params->filter);
    for (int d = 0; d < OLL_DTYPE_COUNT; d++) {
        params.dtypes[d] = job->peak.macs_s[d] > 0;
        is_needed |= params.dtypes[d];
    }
    return is_needed ? bench_peak_measure(&params, job->params->watch, &job->peak, err) : OLL_OK;
}

oll_status bench_ops_run(const struct bench_ops_params *params, struct oll_error *err)
{
    struct job *job = oll_calloc(1, sizeof *job);
    const struct oll_device_params device = {.n_threads = params->n_threads, .isa = params->isa};
    uint32_t n = 0;
    if (!job)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    job->params = params;
    job->working_bytes = params->working_bytes ? params->working_bytes : UINT64_C(192) << 20;
    bench_bed_init(&job->bed, params->device, &device);
    oll_status status = job->bed.status;
    if (status != OLL_OK)
        (void)OLL_FAIL(err, status, "%s", oll_error_text(&job->bed.err));
    if (status == OLL_OK)
        status = measure_peak(job, &n, err);
    if (status == OLL_OK)
        status = visit_cases(job, run_case, &n, err);
    bench_watch_show(params->watch, "%s", "");
    bench_bed_free(&job->bed);
    oll_free(job);
    return status;
}
