#include "kernels/cpu/cpu_plan.h"

#include <string.h>

/* Spans remembered since the last barrier; beyond that a barrier is put, which is always right. */
enum { OPEN_SPANS_MAX = 96 };
/* The most operands an op has (norm_matmul: x, w, b, and three times y and b). */
enum { OP_SPANS_MAX = 12 };

struct span {
    const struct oll_buffer *buf;
    size_t begin, end; /* bytes */
    bool write, serial;
};

struct spans {
    uint32_t n;
    struct span of[OP_SPANS_MAX];
};

static void add_span(struct spans *s, const struct oll_buffer *buf, size_t begin, size_t n_bytes,
                     bool write)
{
    if (buf && n_bytes > 0)
        s->of[s->n++] = (struct span){buf, begin, begin + n_bytes, write, false};
}

static void add_mat(struct spans *s, const struct oll_mat *m, bool write)
{
    if (m->buf && m->rows > 0)
        add_span(s, m->buf, m->off * 4, ((size_t)(m->rows - 1) * m->stride + m->cols) * 4, write);
}

static void reads(struct spans *s, const struct oll_mat *m) { add_mat(s, m, false); }
static void writes(struct spans *s, const struct oll_mat *m) { add_mat(s, m, true); }
static void reads_vec(struct spans *s, const struct oll_vec *v)
{
    add_span(s, v->buf, v->off * 4, (size_t)v->n * 4, false);
}
static void reads_ints(struct spans *s, const struct oll_ints *v)
{
    add_span(s, v->buf, v->off * 4, (size_t)v->n * 4, false);
}

static void add_cache(struct spans *s, const struct oll_kv *kv, bool write)
{
    size_t k = kv->n_page * cpu_kv_page_bytes(kv->dtype, kv->n_head_kv, kv->head_dim_k);
    size_t v = kv->n_page * cpu_kv_page_bytes(kv->dtype, kv->n_head_kv, kv->head_dim_v);
    add_span(s, kv->buf, kv->k_off, k, write);
    add_span(s, kv->buf, kv->v_off, v, write);
    reads_ints(s, &kv->pages);
}

static void norm_inputs(struct spans *s, const struct op_norm *op)
{
    reads(s, &op->x);
    reads_vec(s, &op->w);
    reads_vec(s, &op->b);
}

static void spans_of_attention(struct spans *s, const struct op_attention *op)
{
    writes(s, &op->y);
    reads(s, &op->q);
    add_cache(s, &op->kv, false);
    reads_ints(s, &op->pos);
    reads_ints(s, &op->seq);
    reads_ints(s, &op->kv_len);
    reads_vec(s, &op->sinks);
    reads_vec(s, &op->slopes);
}

static void spans_of_matmul_expert(struct spans *s, const struct op_matmul_expert *op)
{
    writes(s, &op->y);
    reads(s, &op->x);
    reads_ints(s, &op->ids);
    reads_vec(s, &op->b);
    reads_vec(s, &op->expert_scale);
}

static void spans_of_norm_matmul(struct spans *s, const struct op_norm_matmul *op)
{
    norm_inputs(s, &op->norm);
    for (uint32_t i = 0; i < op->n; i++) {
        writes(s, &op->y[i]);
        reads_vec(s, &op->b[i]);
    }
}

/* What an op reads and writes. Weights never change while a list runs and are left out.
 * long function: a flat dispatch, one case per op. */
static void spans_of(const struct oll_op *op, struct spans *s)
{
    s->n = 0;
    switch (op->kind) {
    case OLL_OP_EMBED:
        writes(s, &op->embed.y);
        reads_ints(s, &op->embed.ids);
        break;
    case OLL_OP_NORM:
        writes(s, &op->norm.y);
        norm_inputs(s, &op->norm);
        break;
    case OLL_OP_MATMUL:
        writes(s, &op->matmul.y);
        reads(s, &op->matmul.x);
        reads_vec(s, &op->matmul.b);
        reads(s, &op->matmul.residual);
        break;
    case OLL_OP_MATMUL_EXPERT: spans_of_matmul_expert(s, &op->matmul_expert); break;
    case OLL_OP_ROPE_TABLE:
        writes(s, &op->rope_table.table);
        reads_ints(s, &op->rope_table.pos);
        reads_vec(s, &op->rope_table.freq);
        break;
    case OLL_OP_ROPE:
        writes(s, &op->rope.x);
        reads(s, &op->rope.table);
        break;
    case OLL_OP_KV_STORE:
        reads(s, &op->kv_store.k);
        reads(s, &op->kv_store.v);
        add_cache(s, &op->kv_store.kv, true);
        reads_ints(s, &op->kv_store.pos);
        reads_ints(s, &op->kv_store.seq);
        break;
    case OLL_OP_ATTENTION: spans_of_attention(s, &op->attention); break;
    case OLL_OP_GLU:
        writes(s, &op->glu.y);
        reads(s, &op->glu.gate);
        reads(s, &op->glu.up);
        break;
    case OLL_OP_UNARY:
        writes(s, &op->unary.y);
        reads(s, &op->unary.x);
        break;
    case OLL_OP_ADD:
        writes(s, &op->add.y);
        reads(s, &op->add.a);
        reads(s, &op->add.b);
        break;
    case OLL_OP_GATE:
        writes(s, &op->gate.y);
        reads(s, &op->gate.x);
        reads(s, &op->gate.g);
        break;
    case OLL_OP_SCALE:
        writes(s, &op->scale.y);
        reads(s, &op->scale.x);
        break;
    case OLL_OP_QUERY_SCALE:
        writes(s, &op->query_scale.x);
        reads_ints(s, &op->query_scale.pos);
        break;
    case OLL_OP_ROUTER:
        add_span(s, op->router.ids.buf, op->router.ids.off * 4, (size_t)op->router.ids.n * 4, true);
        writes(s, &op->router.weights);
        reads(s, &op->router.logits);
        reads_vec(s, &op->router.selection_bias);
        break;
    case OLL_OP_EXPERT_SUM:
        writes(s, &op->expert_sum.y);
        reads(s, &op->expert_sum.x);
        reads(s, &op->expert_sum.weights);
        reads(s, &op->expert_sum.residual);
        break;
    case OLL_OP_GATHER:
        writes(s, &op->gather.y);
        reads(s, &op->gather.x);
        reads_ints(s, &op->gather.rows);
        break;
    case OLL_OP_POOL:
        writes(s, &op->pool.y);
        reads(s, &op->pool.x);
        reads_ints(s, &op->pool.begin);
        break;
    case OLL_OP_NORM_MATMUL: spans_of_norm_matmul(s, &op->norm_matmul); break;
    case OLL_OP_NORM_GLU:
        norm_inputs(s, &op->norm_glu.norm);
        writes(s, &op->norm_glu.y);
        break;
    case OLL_OP_COUNT: break;
    }
}

static bool conflict(const struct span *a, const struct span *b)
{
    return a->buf == b->buf && (a->write || b->write) && !(a->serial && b->serial) &&
           a->begin < b->end && b->begin < a->end;
}

/* Spans of the ops since the last barrier. */
struct open_spans {
    uint32_t n;
    bool shared_scratch; /* in use by one of them */
    struct span of[OPEN_SPANS_MAX];
};

/* Whether an op with these spans must wait; takes them up for those that follow. */
static bool must_wait(struct open_spans *open, struct spans *s, const struct cpu_plan *plan)
{
    bool wait = open->n + s->n > OPEN_SPANS_MAX || (open->shared_scratch && plan->shared_bytes > 0);
    for (uint32_t i = 0; i < s->n; i++) {
        s->of[i].serial = plan->serial;
        for (uint32_t j = 0; j < open->n && !wait; j++)
            wait = conflict(&s->of[i], &open->of[j]);
    }
    if (wait) {
        open->n = 0;
        open->shared_scratch = false;
    }
    memcpy(&open->of[open->n], s->of, s->n * sizeof *s->of);
    open->n += s->n;
    open->shared_scratch |= plan->shared_bytes > 0;
    return wait;
}

static void plan_op(const struct cpu_device *dev, const struct oll_op *op, struct cpu_plan *plan)
{
    switch (op->kind) {
#define X(upper, lower)                                                                            \
    case OLL_OP_##upper: cpu_plan_##lower(dev, &op->lower, plan); break;
        OLL_OP_LIST(X)
#undef X
    case OLL_OP_COUNT: break;
    }
}

void cpu_plan_list(const struct cpu_device *dev, const struct oll_cmd *cmd, struct cpu_step *steps,
                   struct cpu_list_plan *out)
{
    struct open_spans open;
    struct spans s;
    open.n = 0;
    open.shared_scratch = false;
    *out = (struct cpu_list_plan){.serial = true};
    for (uint32_t i = 0; i < cmd->n_op; i++) {
        struct cpu_plan plan = {0};
        plan_op(dev, &cmd->ops[i], &plan);
        spans_of(&cmd->ops[i], &s);
        for (int c = 0; c < CPU_STEP_COUNTERS; c++)
            /* Relaxed: published to the workers by the gate that starts them. */
            atomic_store_explicit(&steps[i].counters[c], 0, memory_order_relaxed);
        steps[i].serial = plan.serial;
        steps[i].wait = must_wait(&open, &s, &plan);
        out->serial &= plan.serial;
        if (plan.shared_bytes > out->shared_bytes)
            out->shared_bytes = plan.shared_bytes;
        if (plan.thread_bytes > out->thread_bytes)
            out->thread_bytes = plan.thread_bytes;
    }
}
