/* The inside of the `ref` device: the meaning of every op in plain C.
 *
 * One thread, no tiles, no fused arithmetic: a sum is a double, an operand f32, a weight row is
 * dequantised to f32 and then used, and a result is rounded to f32 once. Nothing is tuned beyond
 * touching each weight row once per call. Index values (ids, positions, pages) are checked here and
 * reported, so that an engine's slip becomes a message instead of a wrong number.
 *
 * All memory of the device is a list of regions that are unreadable outside its own calls
 * (ref_device.c). */
#ifndef OLL_KERNELS_REF_H
#define OLL_KERNELS_REF_H

#include "kernels/device.h"

/* Pages of their own, between two that are never accessible. */
struct ref_region {
    struct ref_region *prev, *next;
    char *pages;         /* without the guard pages */
    size_t n_page_bytes; /* multiple of the page size */
    char *data;          /* ends within 64 bytes of the guard page behind it */
};

struct ref_buffer {
    struct oll_buffer base;
    struct ref_region region;
};

struct ref_weight {
    struct oll_weight base;
    struct ref_region region; /* [n_expert, n_out, n_in] as in the file */
};

/* Memory that lives between calls, so that a pass does not allocate once it ran. One slot per use
 * that may be live at the same time. */
enum ref_slot {
    REF_SLOT_ROW,    /* a dequantised row */
    REF_SLOT_SCORES, /* attention: scores of the heads that share a kv head */
    REF_SLOT_OUTPUT, /* attention: sums of those heads; router: scores and groups */
    REF_SLOT_NORM,   /* fused ops: the normalised input */
    REF_SLOT_GATE,   /* norm_glu */
    REF_SLOT_UP,
    REF_SLOT_COUNT
};

struct ref_device {
    struct oll_device base;
    struct ref_region regions;     /* head of the circular list */
    const struct oll_cmd *pending; /* between submit and wait */
    struct {
        void *data;
        size_t n_bytes;
    } slots[REF_SLOT_COUNT];
};

/* At least n_bytes, aligned to 64; contents are undefined. */
oll_status ref_scratch(struct ref_device *ref, enum ref_slot slot, size_t n_bytes, void **out,
                       struct oll_error *err);

/* ---- operands; the device's regions are open ---- */

static inline float *ref_floats(const struct oll_buffer *buf)
{
    return (float *)((const struct ref_buffer *)buf)->region.data;
}

static inline float *ref_row(const struct oll_mat *mat, size_t row)
{
    return ref_floats(mat->buf) + mat->off + row * mat->stride;
}

static inline const float *ref_vec(const struct oll_vec *vec) /* NULL when absent */
{
    return vec->buf ? ref_floats(vec->buf) + vec->off : NULL;
}

static inline int32_t *ref_ints(const struct oll_ints *ints)
{
    return (int32_t *)ref_floats(ints->buf) + ints->off;
}

/* Row `row` of the matrix of expert `e`, as in the file. */
static inline const void *ref_weight_row(const struct oll_weight *w, size_t e, size_t row)
{
    size_t n_bytes = oll_dtype_row_bytes(w->dtype, w->n_in);
    return ((const struct ref_weight *)w)->region.data + (e * w->n_out + row) * n_bytes;
}

/* A factor whose zero means "none given". */
static inline double ref_factor(float scale) { return scale == 0 ? 1.0 : (double)scale; }

double ref_dot(const float *a, const float *b, size_t n);
double ref_act(enum oll_act act, double x);

/* OLL_ERR_ARG naming the entry unless all n values lie in [0, end). */
oll_status ref_check_index(const char *name, const int32_t *values, size_t n, int64_t end,
                           struct oll_error *err);

/* ---- ops: one function each, in ref_<topic>.c ---- */

#define X(upper, lower)                                                                            \
    oll_status ref_##lower(struct ref_device *ref, const struct op_##lower *d,                     \
                           struct oll_error *err);
OLL_OP_LIST(X)
#undef X

/* Bytes of one position's K (or V) rows of all heads. */
size_t ref_kv_row_bytes(enum oll_dtype dtype, uint32_t n_head_kv, uint32_t head_dim);
size_t ref_kv_page_bytes(enum oll_dtype dtype, uint32_t n_head_kv, uint32_t head_dim);

#endif
