/* What the files of the CPU backend share: the device, the worker's view of a running list, and the
 * two functions every op brings.
 *
 * A command list runs in one wake-up of the pool. Before it starts, the caller plans it: each op
 * says how much scratch it wants and whether it is worth more than one worker (cpu_plan_<op>), and
 * the planner finds out which ops must wait for those before them (cpu_plan.c). Then every worker
 * walks the list and calls cpu_run_<op> for each op; a function takes its share of the work from
 * w->ith and w->nth, or from a counter. Between ops that depend on each other, and nowhere else,
 * the walker puts a barrier.
 *
 * Rules for cpu_run_<op>:
 *  - all workers of the step call it with the same arguments but for the worker; those calls must
 *    reach the same number of cpu_worker_barrier calls, also after an abort;
 *  - results do not depend on nth or on who takes which part (spec 2.16);
 *  - no allocation, no system call, no log. */
#ifndef OLL_KERNELS_CPU_INTERNAL_H
#define OLL_KERNELS_CPU_INTERNAL_H

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/cpu_pool.h"
#include "kernels/device.h"

struct cpu_buffer {
    struct oll_buffer base;
    unsigned char *data; /* 64-byte aligned, zeroed, touched lazily */
};

/* What an op asks for before the list starts. All 0 by default. */
struct cpu_plan {
    bool serial;         /* worker 0 alone: cheaper than waking the others to it */
    size_t shared_bytes; /* scratch seen by all workers of the step */
    size_t thread_bytes; /* scratch of each worker */
};

enum { CPU_STEP_COUNTERS = 8 };

/* One op of the list as planned. A cache line of its own, since workers write the counters. */
struct cpu_step {
    _Alignas(64) _Atomic uint32_t counters[CPU_STEP_COUNTERS]; /* 0 when the op starts */
    bool serial;
    bool wait; /* a barrier of all workers stands before this op */
};

struct cpu_profile;

struct cpu_device {
    struct oll_device base;
    struct cpu_pool *pool;
    uint32_t features;      /* enum cpu_feature, after OLL_CPU_ISA */
    struct cpu_kernels k;   /* filled once at open */
    struct cpu_step *steps; /* [cap_step] of the list being run */
    uint32_t cap_step;
    unsigned char *shared_scratch, *thread_scratch; /* thread t: thread_scratch + t * thread_cap */
    size_t shared_cap, thread_cap;
    struct cpu_profile *profile; /* NULL unless OLL_CPU_PROFILE is set */
    oll_status status;           /* of the last list, for wait */
};

/* One worker inside one op. */
struct cpu_worker {
    struct cpu_device *dev;
    const struct cpu_kernels *k;
    struct cpu_step *step;
    uint32_t ith, nth;
    void *shared_scratch; /* plan.shared_bytes, 64-byte aligned, contents undefined */
    void *thread_scratch; /* plan.thread_bytes, likewise */
    const atomic_bool *abort;
};

/* All workers of this step meet; what each wrote before is seen by all after. */
void cpu_worker_barrier(struct cpu_worker *w);

/* True once the caller wants the list to stop: leave the remaining tiles alone, but keep to the
 * barriers. */
static inline bool cpu_worker_stopped(const struct cpu_worker *w)
{
    /* Relaxed: the flag carries no data with it. */
    return w->abort && atomic_load_explicit(w->abort, memory_order_relaxed);
}

/* Next index of a dynamic counter (0 .. CPU_STEP_COUNTERS - 1) of this op: each index is handed out
 * once. */
static inline uint32_t cpu_worker_take(struct cpu_worker *w, int counter)
{
    /* Relaxed: only the number matters; data is published by the barrier after the op. */
    return atomic_fetch_add_explicit(&w->step->counters[counter], 1, memory_order_relaxed);
}

struct cpu_range {
    uint32_t begin, end;
};

/* This worker's contiguous part of 0 .. n, cut at multiples of `grain`. The same for the same n,
 * grain and nth, so a worker meets the same rows in every pass. */
static inline struct cpu_range cpu_worker_range(const struct cpu_worker *w, uint32_t n,
                                                uint32_t grain)
{
    uint64_t n_grain = ((uint64_t)n + grain - 1) / grain;
    uint64_t begin = n_grain * w->ith / w->nth * grain,
             end = n_grain * (w->ith + 1) / w->nth * grain;
    return (struct cpu_range){(uint32_t)(begin < n ? begin : n), (uint32_t)(end < n ? end : n)};
}

/* ---- operands ---- */

static inline unsigned char *cpu_bytes(const struct oll_buffer *buf)
{
    return ((const struct cpu_buffer *)(const void *)buf)->data;
}

static inline float *cpu_mat_row(const struct oll_mat *m, uint32_t row)
{
    return (float *)(void *)cpu_bytes(m->buf) + m->off + (size_t)row * m->stride;
}

/* NULL when absent, or without memory: lists of dry devices are planned too. */
static inline const float *cpu_vec(const struct oll_vec *v)
{
    const float *base = v->buf ? (const float *)(void *)cpu_bytes(v->buf) : NULL;
    return base ? base + v->off : NULL;
}

static inline int32_t *cpu_ints(const struct oll_ints *v)
{
    int32_t *base = v->buf ? (int32_t *)(void *)cpu_bytes(v->buf) : NULL;
    return base ? base + v->off : NULL;
}

/* ---- ops ---- */

#define X(upper, lower)                                                                            \
    void cpu_plan_##lower(const struct cpu_device *dev, const struct op_##lower *op,               \
                          struct cpu_plan *plan);                                                  \
    void cpu_run_##lower(struct cpu_worker *w, const struct op_##lower *op);
OLL_OP_LIST(X)
#undef X

/* Rows begin .. end - 1 of a norm, written to y + (row - begin) * y_stride: for ops that fuse it.
 */
void cpu_norm_rows(const struct cpu_worker *w, const struct op_norm *op, uint32_t begin,
                   uint32_t end, float *y, size_t y_stride);

/* Bytes of one page of K or V: the layout stands in cpu_kv.h. */
size_t cpu_kv_page_bytes(enum oll_dtype dtype, uint32_t n_head_kv, uint32_t head_dim);

/* y[i] = act(gate[i]) * up[i]; y may be gate or up. */
void cpu_glu_row(const struct cpu_kernels *k, enum oll_act act, const float *gate, const float *up,
                 float *y, uint32_t n);

/* ---- weights: cpu_matmul.h defines struct cpu_weight, whose first member is oll_weight ---- */

oll_status cpu_weights_new(struct oll_device *dev, const struct oll_weight_source *src, int n,
                           struct oll_weight **out, struct oll_error *err) OLL_MUST_USE;
void cpu_weight_free(struct oll_weight *w);
/* Row `row` of a plain matrix as f32, whatever the layout: dst [n_in]. */
void cpu_weight_row(const struct oll_weight *w, uint32_t row, float *dst);

#endif
