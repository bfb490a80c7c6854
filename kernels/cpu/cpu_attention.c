/* Attention: which worker takes which tile, and how the chunks of a row come together.
 *
 * Work is cut into blocks of consecutive tokens times kv heads. Usually a worker takes a block
 * through all its chunks and merges as it goes. When there are too few blocks for the workers and
 * the cache is long (decode), a block is one token, its chunks are dealt out one by one, and the
 * partial results wait in shared scratch until all are there: the merge is the same, in the same
 * order. */
#include "kernels/cpu/cpu_attention.h"

#include "kernels/cpu/cpu_kv.h"

#include <math.h>
#include <string.h>

/* Shape of the work, the same for every worker. */
struct att_shape {
    uint32_t n_tokens, n_rep; /* query heads of a kv head */
    uint32_t n_heads, n_sub;  /* of them in one tile; tiles per kv head */
    uint32_t block, n_blocks; /* tokens of a block */
    uint32_t n_chunks;        /* chunks dealt out per token; 0: blocks are taken whole */
    uint32_t pad_v;
    size_t partial; /* floats of one row's partial result: max, sum, o [pad_v] */
};

/* Below this many multiply-adds the others would lose more by waking than they gain. */
enum { ATT_SERIAL_MACS = 16384 };

static struct att_shape shape_of(const struct op_attention *op, uint32_t nth)
{
    struct att_shape s = {.n_tokens = op->q.rows, .n_rep = op->n_head / op->kv.n_head_kv};
    s.n_heads = s.n_rep < CPU_ATT_ROWS ? s.n_rep : CPU_ATT_ROWS;
    s.n_sub = (s.n_rep + s.n_heads - 1) / s.n_heads;
    s.pad_v = cpu_kv_pad(op->kv.head_dim_v);
    s.partial = 2 + (size_t)s.pad_v;
    uint32_t most = CPU_ATT_ROWS / s.n_heads, heads = op->kv.n_head_kv * s.n_sub;
    /* Four items per worker keep them equally busy. */
    uint32_t fair = (uint32_t)(((uint64_t)s.n_tokens * heads + 4 * nth - 1) / (4 * nth));
    s.block = fair < 1 ? 1 : fair < most ? fair : most;
    /* A range of n positions touches at most this many chunks. */
    uint32_t chunks = op->n_kv_max / CPU_ATT_CHUNK + 2;
    if (nth > 1 && chunks > 2 && s.n_tokens * heads < 4 * nth) {
        s.block = 1;
        s.n_chunks = chunks;
    }
    s.n_blocks = (s.n_tokens + s.block - 1) / s.block;
    return s;
}

/* Scratch of a worker: q, scores, results of a tile, running results, one expanded page set for
 * quantised caches. */
struct att_scratch {
    float *q, *s, *o, *run_o, *k, *v;
    struct cpu_attention_part *parts, *runs; /* o points into the above */
    struct cpu_attention_row *rows;
    size_t n_bytes;
};

static struct att_scratch scratch_of(const struct op_attention *op, void *base)
{
    struct att_scratch a = {0};
    const uint32_t rows = CPU_ATT_ROWS, pad_v = cpu_kv_pad(op->kv.head_dim_v);
    const bool expand = cpu_kv_is_quantised(op->kv.dtype);
    size_t n = 0;
    float *p = base;
#define TAKE(field, count)                                                                         \
    do {                                                                                           \
        a.field = p ? (void *)(p + n) : NULL;                                                      \
        n += oll_align_up((size_t)(count), 16);                                                    \
    } while (0)
    TAKE(q, rows * op->kv.head_dim_k);
    TAKE(s, CPU_ATT_ROWS_REG * CPU_ATT_CHUNK);
    TAKE(o, rows * pad_v);
    TAKE(run_o, rows * pad_v);
    TAKE(parts, rows * (sizeof *a.parts / sizeof *p));
    TAKE(runs, rows * (sizeof *a.runs / sizeof *p));
    TAKE(rows, rows * (sizeof *a.rows / sizeof *p));
    TAKE(k, expand ? CPU_ATT_CHUNK * op->kv.head_dim_k : 0);
    TAKE(v, expand ? CPU_ATT_CHUNK * pad_v : 0);
#undef TAKE
    a.n_bytes = n * sizeof *p;
    for (uint32_t r = 0; p && r < rows; r++) {
        a.parts[r].o = a.o + (size_t)r * pad_v;
        a.runs[r].o = a.run_o + (size_t)r * pad_v;
    }
    return a;
}

void cpu_plan_attention(const struct cpu_device *dev, const struct op_attention *op,
                        struct cpu_plan *plan)
{
    struct att_shape shape = shape_of(op, (uint32_t)dev->base.n_threads);
    uint64_t macs =
        (uint64_t)op->q.rows * op->n_kv_max * op->n_head * (op->kv.head_dim_k + op->kv.head_dim_v);
    plan->serial = macs < ATT_SERIAL_MACS;
    plan->thread_bytes = scratch_of(op, NULL).n_bytes;
    if (shape.n_chunks)
        plan->shared_bytes =
            (size_t)op->q.rows * op->n_head * shape.n_chunks * shape.partial * sizeof(float);
}

/* ---- one tile ---- */

/* Rows of one sequence: tokens [token, token + n_tokens) with heads [head, head + n_heads) of the
 * kv head. */
struct att_run {
    const struct op_attention *op;
    const struct att_shape *shape;
    struct att_scratch a;
    uint32_t token, n_tokens, head_kv, head, n_heads;
    int32_t seq;
    int64_t begin, end; /* positions that some row sees */
};

struct seen {
    int64_t begin, end;
};

static struct seen visible(const struct op_attention *op, int64_t pos, int32_t seq)
{
    struct seen r = {0, op->causal ? pos + 1 : cpu_ints(&op->kv_len)[seq]};
    if (op->window) {
        int64_t reach = op->causal ? (int64_t)op->window - 1 : (int64_t)op->window / 2;
        r.begin = r.begin < pos - reach ? pos - reach : r.begin;
        r.end = r.end > pos + reach + 1 ? pos + reach + 1 : r.end;
    }
    return r;
}

static void run_begin(const struct cpu_worker *w, struct att_run *run)
{
    const struct op_attention *op = run->op;
    const int32_t *pos = cpu_ints(&op->pos) + run->token;
    const uint32_t n = op->kv.head_dim_k, n_row = run->n_heads * n;
    const struct op_scale scale = {.scale = op->scale};
    run->begin = INT64_MAX;
    run->end = 0;
    for (uint32_t t = 0; t < run->n_tokens; t++) {
        struct seen seen = visible(op, pos[t], run->seq);
        run->begin = seen.begin < run->begin ? seen.begin : run->begin;
        run->end = seen.end > run->end ? seen.end : run->end;
        const float *src = cpu_mat_row(&op->q, run->token + t) +
                           (size_t)(run->head_kv * run->shape->n_rep + run->head) * n;
        w->k->scale(&scale, src, run->a.q + (size_t)t * n_row, n_row);
    }
}

static int32_t clamp_to_chunk(int64_t at)
{
    return at < 0 ? 0 : at > CPU_ATT_CHUNK ? CPU_ATT_CHUNK : (int32_t)at;
}

static void fill_rows(const struct att_run *run, int64_t chunk_at)
{
    const struct op_attention *op = run->op;
    const int32_t *pos = cpu_ints(&op->pos) + run->token;
    const float *slopes = cpu_vec(&op->slopes);
    struct cpu_attention_row *row = run->a.rows;
    for (uint32_t t = 0; t < run->n_tokens; t++) {
        struct seen seen = visible(op, pos[t], run->seq);
        for (uint32_t h = 0; h < run->n_heads; h++)
            *row++ = (struct cpu_attention_row){
                .begin = clamp_to_chunk(seen.begin - chunk_at),
                .end = clamp_to_chunk(seen.end - chunk_at),
                .pos = (int32_t)(pos[t] - chunk_at),
                .slope = slopes ? slopes[run->head_kv * run->shape->n_rep + run->head + h] : 0,
            };
    }
}

/* Computes the chunk that begins at position `chunk_at` into the run's parts. */
static void run_chunk(struct cpu_worker *w, const struct att_run *run, int64_t chunk_at)
{
    const struct oll_kv *kv = &run->op->kv;
    const int32_t *pages = cpu_ints(&kv->pages);
    const uint32_t pad_v = run->shape->pad_v;
    const uint32_t begin = (uint32_t)clamp_to_chunk(run->begin - chunk_at);
    const uint32_t end = (uint32_t)clamp_to_chunk(run->end - chunk_at);
    struct cpu_attention_tile tile = {
        .n_rows = run->n_tokens * run->n_heads,
        .head_dim_k = kv->head_dim_k,
        .head_dim_v = pad_v,
        .q = run->a.q,
        .softcap = run->op->softcap,
        .rows = run->a.rows,
        .s = run->a.s,
        .expanded_k = run->a.k,
        .expanded_v = run->a.v,
        .parts = run->a.parts,
    };
    fill_rows(run, chunk_at);
    for (uint32_t p = begin / OLL_KV_PAGE; p * OLL_KV_PAGE < end; p++) {
        size_t page = cpu_kv_page(kv, pages, run->seq, (int32_t)(chunk_at + p * OLL_KV_PAGE));
        tile.k[p] = cpu_kv_k(kv, page, run->head_kv);
        tile.v[p] = cpu_kv_v(kv, page, run->head_kv);
    }
    switch (kv->dtype) {
    case OLL_F16: w->k->attention_f16(&tile); break;
    case OLL_F32: w->k->attention_f32(&tile); break;
    case OLL_Q4_0: w->k->attention_q4_0(&tile); break;
    default: w->k->attention_q8_0(&tile); break;
    }
}

/* ---- merging ---- */

static void part_clear(struct cpu_attention_part *part, uint32_t n)
{
    part->max = -INFINITY;
    part->sum = 0;
    memset(part->o, 0, n * sizeof *part->o);
}

/* Adds the sink and divides: y [head_dim_v] of one row. */
static void finish_row(const struct cpu_worker *w, const struct op_attention *op, uint32_t head,
                       const struct cpu_attention_part *part, float *y)
{
    const float *sinks = cpu_vec(&op->sinks);
    float sum = part->sum, scale = 1;
    if (sinks) {
        float top = sinks[head] > part->max ? sinks[head] : part->max;
        scale = sum > 0 ? expf(part->max - top) : 0;
        sum = sum * scale + expf(sinks[head] - top);
    }
    /* A row that sees nothing at all gives zeros; a NaN anywhere stays one. */
    const struct op_scale factor = {.scale = sum == 0 ? 0 : scale / sum};
    w->k->scale(&factor, part->o, y, op->kv.head_dim_v);
}

static float *row_of_y(const struct att_run *run, uint32_t token, uint32_t head)
{
    return cpu_mat_row(&run->op->y, token) + (size_t)head * run->op->kv.head_dim_v;
}

/* ---- whole blocks ---- */

static void run_whole(struct cpu_worker *w, struct att_run *run)
{
    const uint32_t n_rows = run->n_tokens * run->n_heads, pad_v = run->shape->pad_v;
    struct att_scratch *a = &run->a;
    run_begin(w, run);
    for (uint32_t r = 0; r < n_rows; r++)
        part_clear(&a->runs[r], pad_v);
    for (int64_t at = run->begin / CPU_ATT_CHUNK * CPU_ATT_CHUNK; at < run->end;
         at += CPU_ATT_CHUNK) {
        if (cpu_worker_stopped(w))
            return;
        run_chunk(w, run, at);
        for (uint32_t r = 0; r < n_rows; r++)
            w->k->attention_merge(&a->runs[r], &a->parts[r], pad_v);
    }
    for (uint32_t r = 0; r < n_rows; r++) {
        uint32_t head = run->head_kv * run->shape->n_rep + run->head + r % run->n_heads;
        finish_row(w, run->op, head, &a->runs[r],
                   row_of_y(run, run->token + r / run->n_heads, head));
    }
}

/* Splits a block into runs of one sequence. */
static void run_block(struct cpu_worker *w, struct att_run *run, uint32_t begin, uint32_t end)
{
    const int32_t *seq = cpu_ints(&run->op->seq);
    for (uint32_t t = begin; t < end;) {
        run->token = t;
        run->seq = seq[t];
        while (t < end && seq[t] == run->seq)
            t++;
        run->n_tokens = t - run->token;
        run_whole(w, run);
    }
}

/* The tile of an item: kv head and part of its heads. */
static void set_heads(struct att_run *run, uint32_t item)
{
    const struct att_shape *s = run->shape;
    run->head_kv = item / s->n_sub;
    run->head = item % s->n_sub * s->n_heads;
    run->n_heads = s->n_rep - run->head < s->n_heads ? s->n_rep - run->head : s->n_heads;
}

/* ---- chunks dealt out ---- */

static float *partial_of(const struct cpu_worker *w, const struct att_run *run, uint32_t head,
                         uint32_t chunk)
{
    size_t row = (size_t)run->token * run->op->n_head + head;
    return (float *)w->shared_scratch + (row * run->shape->n_chunks + chunk) * run->shape->partial;
}

static int64_t chunk_start(const struct att_run *run, uint32_t chunk)
{
    return (run->begin / CPU_ATT_CHUNK + chunk) * CPU_ATT_CHUNK;
}

static void run_one_chunk(struct cpu_worker *w, struct att_run *run, uint32_t chunk)
{
    run_begin(w, run);
    int64_t at = chunk_start(run, chunk);
    if (at >= run->end)
        return;
    OLL_ASSERT(chunk < run->shape->n_chunks);
    run_chunk(w, run, at);
    for (uint32_t h = 0; h < run->n_heads; h++) {
        float *p = partial_of(w, run, run->head_kv * run->shape->n_rep + run->head + h, chunk);
        p[0] = run->a.parts[h].max;
        p[1] = run->a.parts[h].sum;
        memcpy(p + 2, run->a.parts[h].o, run->shape->pad_v * sizeof *p);
    }
}

static void merge_chunks(struct cpu_worker *w, struct att_run *run)
{
    struct cpu_attention_part *sum = run->a.runs;
    struct seen seen = visible(run->op, cpu_ints(&run->op->pos)[run->token], run->seq);
    run->begin = seen.begin;
    for (uint32_t h = 0; h < run->n_heads; h++) {
        uint32_t head = run->head_kv * run->shape->n_rep + run->head + h;
        part_clear(sum, run->shape->pad_v);
        for (uint32_t c = 0; chunk_start(run, c) < seen.end; c++) {
            float *p = partial_of(w, run, head, c);
            struct cpu_attention_part part = {p[0], p[1], p + 2};
            w->k->attention_merge(sum, &part, run->shape->pad_v);
        }
        finish_row(w, run->op, head, sum, row_of_y(run, run->token, head));
    }
}

static void run_dealt(struct cpu_worker *w, struct att_run *run)
{
    const struct att_shape *s = run->shape;
    const uint32_t heads = run->op->kv.n_head_kv * s->n_sub;
    const uint32_t n_items = s->n_tokens * heads * s->n_chunks;
    const int32_t *seq = cpu_ints(&run->op->seq);
    run->n_tokens = 1;
    for (uint32_t i; (i = cpu_worker_take(w, 0)) < n_items && !cpu_worker_stopped(w);) {
        run->token = i / s->n_chunks / heads;
        run->seq = seq[run->token];
        set_heads(run, i / s->n_chunks % heads);
        run_one_chunk(w, run, i % s->n_chunks);
    }
    cpu_worker_barrier(w);
    for (uint32_t i; (i = cpu_worker_take(w, 1)) < s->n_tokens * heads && !cpu_worker_stopped(w);) {
        run->token = i / heads;
        run->seq = seq[run->token];
        set_heads(run, i % heads);
        merge_chunks(w, run);
    }
}

void cpu_run_attention(struct cpu_worker *w, const struct op_attention *op)
{
    struct att_shape shape = shape_of(op, w->nth);
    struct att_run run = {.op = op, .shape = &shape, .a = scratch_of(op, w->thread_scratch)};
    if (shape.n_chunks) {
        run_dealt(w, &run);
        return;
    }
    const uint32_t heads = op->kv.n_head_kv * shape.n_sub, n_items = shape.n_blocks * heads;
    for (uint32_t i; (i = cpu_worker_take(w, 0)) < n_items && !cpu_worker_stopped(w);) {
        /* Late blocks see the most keys: take them first, so that the last items are short. */
        uint32_t block = shape.n_blocks - 1 - i / heads, begin = block * shape.block;
        uint32_t end = begin + shape.block < shape.n_tokens ? begin + shape.block : shape.n_tokens;
        set_heads(&run, i % heads);
        run_block(w, &run, begin, end);
    }
}
