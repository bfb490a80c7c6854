/* The device contract: what every op means, and the table of functions that each backend fills.
 *
 * A forward pass is a straight tape: the engine records ops on a command list (`op_norm(cmd,
 * &(struct op_norm){...})`), submits the list to the device that owns its operands, and waits.
 * Recording checks shapes, types and bounds once; the first failure sticks to the list and submit
 * reports it, so a pass has no error branches. An op without rows is checked and then dropped: no
 * device ever sees one.
 *
 * Ops run in the order recorded, each seeing the results of those before it. Until wait returns no
 * transfer may be made to or from the device and no operand freed. Operands are views
 * into opaque buffers: only the owning device may look inside (`ref` makes its buffers unreadable
 * outside its own calls, so an engine that peeks dies in the tests). Bytes enter and leave through
 * oll_buffer_upload and oll_buffer_download. Weights are uploaded once, in whatever layout the
 * device's kernels ask for.
 *
 * kernels/ref is the meaning of every op: plain C, f32 operands, double accumulators. Another
 * backend may differ in the last bits and in speed, in nothing else (activations quantised to 8
 * bits count as "last bits" for quantised weights).
 *
 * Shapes are outermost first, row-major, innermost contiguous. All activations are f32, all index
 * arrays i32. A list, its device and its buffers belong to one thread at a time. */
#ifndef OLL_KERNELS_DEVICE_H
#define OLL_KERNELS_DEVICE_H

#include "engine/base/dtype.h"
#include "engine/base/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- operands ---- */

struct oll_device;
struct oll_buffer; /* memory of one device */

/* [rows, cols] f32; element (r, c) lies `off + r * stride + c` floats into the buffer. A column
 * range of a wider matrix is a view with the wider stride. */
struct oll_mat {
    struct oll_buffer *buf;
    size_t off; /* in elements */
    uint32_t rows, cols, stride;
};

/* [n] f32: norm weights, biases, sinks. `buf` NULL: absent where the op allows it. */
struct oll_vec {
    struct oll_buffer *buf;
    size_t off; /* in elements */
    uint32_t n;
};

/* [n] i32: token ids, positions, rows, experts. */
struct oll_ints {
    struct oll_buffer *buf;
    size_t off; /* in elements */
    uint32_t n;
};

/* An uploaded weight matrix, or a stack of one per expert: [n_expert, n_out, n_in]. Opaque beyond
 * these fields; devices extend it. */
struct oll_weight {
    struct oll_device *dev;
    enum oll_dtype dtype;           /* of the file; the device's own layout may differ */
    uint32_t n_in, n_out, n_expert; /* n_expert is 1 for a plain matrix */
    bool precise;                   /* as in the source */
    size_t device_bytes;            /* memory taken beyond the source's own pages */
    bool borrows_source; /* the device reads the source's bytes in place: they must outlive the
                            weight */
};

/* Where a weight comes from: `data` holds n_expert * n_out rows of oll_dtype_row_bytes(dtype, n_in)
 * bytes. */
struct oll_weight_source {
    const char *name; /* tensor name, for messages */
    const void *data;
    enum oll_dtype dtype;
    uint32_t n_in, n_out, n_expert;
    /* A device that rounds what it multiplies with this matrix keeps 16 bits of it, not 8. A hint
     * for plain products; of a gated pair and of experts it is not taken. */
    bool precise;
};

/* Cache of one layer: pages of OLL_KV_PAGE positions, every page holding K rows [n_head_kv,
 * head_dim_k] and V rows [n_head_kv, head_dim_v] in a layout of the device's own (k and v are
 * separate areas of `buf`).
 *
 * Position p of sequence s lives in physical page  pages[s * n_col + (p / OLL_KV_PAGE) % n_col].
 * With n_col large enough for the whole context this is a plain block table; with a smaller one it
 * is a ring for layers whose window is shorter than the context (the engine makes it hold the
 * window and one ubatch). Pages may be shared by sequences that have a common prefix; who writes
 * must own its page alone. */
enum { OLL_KV_PAGE = 32 };

struct oll_kv {
    struct oll_buffer *buf;
    size_t k_off, v_off;  /* bytes; multiples of 64 */
    enum oll_dtype dtype; /* OLL_F16, OLL_F32, OLL_Q8_0 or OLL_Q4_0 */
    uint32_t n_page;      /* physical pages */
    uint32_t n_head_kv, head_dim_k, head_dim_v;
    struct oll_ints pages; /* [n_seq, n_col] */
    uint32_t n_col;
};

/* ---- ops ---- */

#define OLL_OP_LIST(X)                                                                             \
    X(EMBED, embed)                                                                                \
    X(NORM, norm)                                                                                  \
    X(MATMUL, matmul)                                                                              \
    X(MATMUL_EXPERT, matmul_expert)                                                                \
    X(ROPE_TABLE, rope_table)                                                                      \
    X(ROPE, rope)                                                                                  \
    X(KV_STORE, kv_store)                                                                          \
    X(ATTENTION, attention)                                                                        \
    X(GLU, glu)                                                                                    \
    X(UNARY, unary)                                                                                \
    X(ADD, add)                                                                                    \
    X(GATE, gate)                                                                                  \
    X(SCALE, scale)                                                                                \
    X(QUERY_SCALE, query_scale)                                                                    \
    X(ROUTER, router)                                                                              \
    X(EXPERT_SUM, expert_sum)                                                                      \
    X(GATHER, gather)                                                                              \
    X(POOL, pool)                                                                                  \
    X(NORM_MATMUL, norm_matmul)                                                                    \
    X(NORM_GLU, norm_glu)

enum oll_op_kind {
#define X(upper, lower) OLL_OP_##upper,
    OLL_OP_LIST(X)
#undef X
        OLL_OP_COUNT
};

/* Rows of a table:  y[t] = scale * w[ids[t]]  (+ y[t] when `add`).
 *   y [n_tokens, n_in of w], w [n_rows, n_in] of any storage type, ids [n_tokens], each in [0,
 * n_rows): the caller has checked. Without ids (buf NULL) every token takes row `row`. `scale` is
 * given, never 0. */
struct op_embed {
    struct oll_mat y;
    const struct oll_weight *w;
    struct oll_ints ids;
    uint32_t row;
    float scale;
    bool add;
};

/* Normalises each group of `group` columns of each row on its own (0: the whole row):
 *
 *   RMS    y = x / sqrt(mean(x^2) + eps) * w              Zhang & Sennrich 2019, arXiv:1910.07467
 *   LAYER  y = (x - mean) / sqrt(var + eps) * w + b       Ba et al. 2016, arXiv:1607.06450
 *   L2     y = x / max(sqrt(sum x^2), eps)
 *
 * with the population variance. y, x [n_rows, cols]; y may be x. w (not for L2) and b (LAYER alone)
 * have `group` values (shared by the groups), `cols` values (one per column), or are absent (1 and
 * 0). */
enum oll_norm_kind { OLL_NORM_RMS, OLL_NORM_LAYER, OLL_NORM_L2 };
struct op_norm {
    enum oll_norm_kind kind;
    struct oll_mat y, x;
    struct oll_vec w, b;
    uint32_t group;
    float eps;
};

/* y[t][o] = scale * (sum_i w[o][i] * x[t][i] + b[o]) + residual[t][o]
 *   x [n_tokens, n_in], y and residual [n_tokens, n_out]; residual may be y, or absent (buf NULL);
 * y never overlaps x. `scale` 0 means 1. */
struct op_matmul {
    struct oll_mat y, x;
    const struct oll_weight *w;
    struct oll_vec b;
    struct oll_mat residual;
    float scale;
};

/* One matrix per (token, slot): row r = t * n_used + s of y is  scale[e] * (w[e] x[..] + b[e]) with
 * e = ids[r]. x has n_tokens rows (all slots of a token read its row) or n_tokens * n_used rows; y
 * [n_tokens * n_used, n_out]; ids [n_tokens * n_used], each in [0, n_expert); b [n_expert * n_out]
 * or absent; expert_scale [n_expert] or absent. */
struct op_matmul_expert {
    struct oll_mat y, x;
    const struct oll_weight *w;
    struct oll_ints ids;
    struct oll_vec b, expert_scale;
    uint32_t n_used;
};

/* table[t][2i] = magnitude * cos(pos[t] * freq[i]), table[t][2i + 1] = magnitude * sin(...).
 *   table [n_tokens, 2 * n], freq [n], pos [n_tokens]. The angle is formed in more than f32:
 * positions reach millions. Frequencies carry every scaling (linear, yarn, longrope, llama3):
 * kernels see only this. */
struct op_rope_table {
    struct oll_mat table;
    struct oll_ints pos;
    struct oll_vec freq;
    float magnitude;
};

/* Rotates pairs of each head in place:  (a, b) -> (a cos - b sin, a sin + b cos).  Su et al. 2021,
 * arXiv:2104.09864. NONE records nothing. x [n_tokens, n_head * head_dim]; table [n_tokens, n_rot]
 * of op_rope_table. NORM pairs (2i, 2i + 1), NEOX pairs (i, i + n_rot / 2). Dimensions from n_rot
 * on stay. */
enum oll_rope_kind { OLL_ROPE_NONE, OLL_ROPE_NORM, OLL_ROPE_NEOX };
struct op_rope {
    enum oll_rope_kind kind;
    struct oll_mat x, table;
    uint32_t n_head, head_dim, n_rot;
};

/* Stores K and V of each token at its position.  k [n_tokens, n_head_kv * head_dim_k], v [n_tokens,
 * n_head_kv * head_dim_v]; pos, seq [n_tokens] (seq: row of the page table). Values are rounded to
 * the cache's type; OLL_Q8_0 and OLL_Q4_0 use blocks of 32 along a head. */
struct op_kv_store {
    struct oll_mat k, v;
    struct oll_kv kv;
    struct oll_ints pos, seq;
};

/* y[t] = softmax over visible positions j of s_j, times V rows, for each query head h with kv head
 * h / (n_head / n_head_kv):
 *
 *   s_j = softcap(scale * q . k_j) - slope[h] * |pos - j|
 *   softcap(s) = c tanh(s / c), or s when c is 0
 *   visible: j <= pos when causal, else all j < kv_len[seq]; with a window W (0: none) also
 *            pos - j < W (causal) or |pos - j| <= W / 2 (integer division)
 *
 * A token that sees nothing gets zeros. sinks [n_head]: one more logit per head in the maximum and
 * the denominator, without a value. q [n_tokens, n_head * head_dim_k], y [n_tokens, n_head *
 * head_dim_v]; y never overlaps q. kv_len [n_seq] is needed when not causal; slopes [n_head]
 * (ALiBi, arXiv:2108.12409) or absent. K and V are always read back from the cache. n_kv_max: no
 * token sees more positions than this, so that a device can size its work without reading
 * positions. */
struct op_attention {
    struct oll_mat y, q;
    struct oll_kv kv;
    struct oll_ints pos, seq, kv_len;
    struct oll_vec sinks, slopes;
    uint32_t n_head, window, n_kv_max;
    float scale, softcap;
    bool causal;
};

/* Activations. GELU is the tanh form, 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), computed
 * exactly. */
enum oll_act {
    OLL_ACT_NONE,
    OLL_ACT_SILU,
    OLL_ACT_GELU,
    OLL_ACT_GELU_QUICK,
    OLL_ACT_RELU,
    OLL_ACT_RELU_SQR,
    OLL_ACT_SIGMOID,
    OLL_ACT_TANH,
    OLL_ACT_SWIGLU_OAI
};

/* y = act(gate) * up.  SWIGLU_OAI (gpt-oss): g = min(gate, 7), u = clamp(up, -7, 7), y = g
 * sigmoid(1.702 g) (u + 1). all [n_rows, n_ff]; y may be gate or up. */
struct op_glu {
    enum oll_act act;
    struct oll_mat y, gate, up;
};

/* y = act(x), elementwise; y may be x. */
struct op_unary {
    enum oll_act act;
    struct oll_mat y, x;
};

/* y = a + scale * b; y may be a or b. `scale` 0 means 1. */
struct op_add {
    struct oll_mat y, a, b;
    float scale;
};

/* y = x * sigmoid(g); g [n_rows, cols] or [n_rows, 1]; y may be x. */
struct op_gate {
    struct oll_mat y, x, g;
};

/* y = clamp(softcap(scale * x), -limit, limit); softcap 0 and limit 0: none. y may be x. */
struct op_scale {
    struct oll_mat y, x;
    float scale, softcap, limit;
};

/* x[t] *= 1 + beta * ln(1 + floor((pos[t] + offset) / length)), in place: long-context query
 * temperature. */
struct op_query_scale {
    struct oll_mat x;
    struct oll_ints pos;
    float beta, length, offset;
};

/* Chooses n_used experts per token.
 *   p = gate function of logits [n_tokens, n_expert]; selection score = p + selection_bias; with
 * groups only experts of the n_group_used best groups (score of a group: sum of its two best) can
 * be chosen; the n_used best scores win, ties to the lower index. weights = p of the chosen (never
 * biased); SOFTMAX_SELECTED: softmax over their logits; normalise: divided by max(sum, 2^-14); then
 * times `scale` (0 means 1). ids, weights: row r = t * n_used + s; best first. */
enum oll_gating {
    OLL_GATING_SOFTMAX,
    OLL_GATING_SIGMOID,
    OLL_GATING_SOFTMAX_SELECTED,
    OLL_GATING_SQRT_SOFTPLUS
};
struct op_router {
    struct oll_ints ids;
    struct oll_mat weights; /* [n_tokens, n_used] */
    struct oll_mat logits;
    struct oll_vec selection_bias;
    enum oll_gating gating;
    uint32_t n_used, n_group, n_group_used;
    float scale;
    bool normalise;
};

/* y[t] = residual[t] + scale * sum_s weights[t][s] * x[t * n_used + s], added in slot order.
 *   residual may be y or absent. `scale` 0 means 1. */
struct op_expert_sum {
    struct oll_mat y, x, weights, residual;
    float scale;
};

/* y[r] = x[rows[r]]; y never overlaps x. */
struct op_gather {
    struct oll_mat y, x;
    struct oll_ints rows;
};

/* One vector per sequence: y[s] from the rows begin[s] .. begin[s + 1] - 1 of x (at least one).
 *   begin [n_seq + 1]. MEAN averages, FIRST and LAST take that row. */
enum oll_pooling { OLL_POOLING_NONE, OLL_POOLING_MEAN, OLL_POOLING_FIRST, OLL_POOLING_LAST };
struct op_pool {
    enum oll_pooling kind;
    struct oll_mat y, x;
    struct oll_ints begin;
};

/* Optional fused ops: a device that lacks one says so (oll_device_supports) and blocks.c records
 * the plain ones. Their meaning is exactly that of the composition. */
enum { OLL_FUSED_MAX = 3 };

/* h = norm(x); y[i] = w[i] h + b[i] for i < n.  The norm's own `y` is not written. */
struct op_norm_matmul {
    struct op_norm norm;
    uint32_t n;
    struct oll_mat y[OLL_FUSED_MAX];
    const struct oll_weight *w[OLL_FUSED_MAX];
    struct oll_vec b[OLL_FUSED_MAX];
};

/* h = norm(x); y = act(gate h) * (up h). */
struct op_norm_glu {
    struct op_norm norm;
    enum oll_act act;
    struct oll_mat y;
    const struct oll_weight *gate, *up;
};

/* ---- command list ---- */

struct oll_op {
    enum oll_op_kind kind;
    union {
#define X(upper, lower) struct op_##lower lower;
        OLL_OP_LIST(X)
#undef X
    };
};

struct oll_cmd {
    struct oll_device *dev;
    struct oll_op *ops;
    uint32_t n_op, cap_op;
    oll_status status; /* sticky */
    struct oll_error err;
    /* When not NULL and set, workers stop at their next tile and wait returns OLL_ERR_CANCELED;
     * results are then undefined. Read with relaxed order. */
    const atomic_bool *abort;
};

void oll_cmd_init(struct oll_cmd *cmd, struct oll_device *dev);
void oll_cmd_reset(struct oll_cmd *cmd); /* forgets ops and failure, keeps the memory */
void oll_cmd_free(struct oll_cmd *cmd);

/* Each records one op after checking it; after a failure nothing is recorded. */
#define X(upper, lower) void op_##lower(struct oll_cmd *cmd, const struct op_##lower *desc);
OLL_OP_LIST(X)
#undef X

const char *oll_op_name(enum oll_op_kind kind);

/* ---- devices ---- */

struct oll_device_params {
    int n_threads;   /* 0: the device's own default (physical cores within quota and affinity) */
    bool no_pin;     /* leave threads where the system puts them */
    const char *isa; /* cpu: highest level to use ("scalar", "avx2", "avx512vnni"...), NULL: what
                        OLL_CPU_ISA says, else what the machine has */
    /* Nothing is computed and no memory taken: each allocation is told to the meters of
     * engine/base/mem.h instead, so that what a model needs is found by loading it this way. Sizes
     * are those of the real thing but for the scratch of `ref`. */
    bool dry;
};

/* What a backend implements. All functions are called by one thread at a time per device. */
struct oll_device_ops {
    const char *name;
    oll_status (*open)(const struct oll_device_params *params, struct oll_device **out,
                       struct oll_error *err);
    void (*close)(struct oll_device *dev);

    /* Zeroed memory, aligned to 64 bytes; touched lazily where the system allows it. */
    oll_status (*buffer_new)(struct oll_device *dev, size_t n_bytes, struct oll_buffer **out,
                             struct oll_error *err);
    void (*buffer_free)(struct oll_buffer *buf);
    oll_status (*upload)(struct oll_buffer *buf, size_t off_bytes, const void *src, size_t n_bytes,
                         struct oll_error *err);
    oll_status (*download)(const struct oll_buffer *buf, size_t off_bytes, void *dst,
                           size_t n_bytes, struct oll_error *err);

    /* Uploads weights that are used together (q, k, v; gate, up), so that a device may interleave
     * them. All or none; out[0..n) gets the handles. */
    oll_status (*weights_new)(struct oll_device *dev, const struct oll_weight_source *src, int n,
                              struct oll_weight **out, struct oll_error *err);
    void (*weight_free)(struct oll_weight *w);

    /* Bytes of one page of K (or V) of a layer, a multiple of 64. */
    size_t (*kv_page_bytes)(enum oll_dtype dtype, uint32_t n_head_kv, uint32_t head_dim);

    /* Starts the list. The list and its operands stay untouched until wait returns; one list is
     * under way at a time, and wait without one returns OLL_OK. Failures of ops may come from
     * either function. */
    oll_status (*submit)(struct oll_device *dev, const struct oll_cmd *cmd, struct oll_error *err);
    oll_status (*wait)(struct oll_device *dev, struct oll_error *err);

    /* caps[op]: bit `dtype` is set when the op runs for weights (or caches) of that type; for ops
     * without either, bit OLL_F32. */
    uint64_t caps[OLL_OP_COUNT];
};

/* First member of every backend's device and buffer. */
struct oll_device {
    const struct oll_device_ops *ops;
    int n_threads;
    bool is_dry;
};

struct oll_buffer {
    struct oll_device *dev;
    size_t n_bytes;
};

/* Opens a backend by name: "cpu" or "ref". OLL_ERR_NOT_FOUND names the known ones. */
oll_status oll_device_open(const char *name, const struct oll_device_params *params,
                           struct oll_device **out, struct oll_error *err) OLL_MUST_USE;
void oll_device_close(struct oll_device *dev); /* after its buffers and weights; NULL is accepted */

bool oll_device_supports(const struct oll_device *dev, enum oll_op_kind kind, enum oll_dtype dtype);

oll_status oll_buffer_new(struct oll_device *dev, size_t n_bytes, struct oll_buffer **out,
                          struct oll_error *err) OLL_MUST_USE;
void oll_buffer_free(struct oll_buffer *buf);
/* Bounds are checked: OLL_ERR_ARG. */
oll_status oll_buffer_upload(struct oll_buffer *buf, size_t off_bytes, const void *src,
                             size_t n_bytes, struct oll_error *err) OLL_MUST_USE;
oll_status oll_buffer_download(const struct oll_buffer *buf, size_t off_bytes, void *dst,
                               size_t n_bytes, struct oll_error *err) OLL_MUST_USE;

/* Checks the sources (a type that some op of the device takes, whole blocks, shape) before the
 * device sees them. */
oll_status oll_weights_new(struct oll_device *dev, const struct oll_weight_source *src, int n,
                           struct oll_weight **out, struct oll_error *err) OLL_MUST_USE;
void oll_weight_free(struct oll_weight *w);

/* Reports the list's sticky failure, else runs it. */
oll_status oll_device_submit(struct oll_cmd *cmd, struct oll_error *err) OLL_MUST_USE;
oll_status oll_device_wait(struct oll_device *dev, struct oll_error *err) OLL_MUST_USE;

/* dst = src across devices (or inside one): rows x cols floats, staged through host memory unless
 * both devices know better. Both devices are idle. */
oll_status oll_device_copy(const struct oll_mat *dst, const struct oll_mat *src,
                           struct oll_error *err) OLL_MUST_USE;

#endif
