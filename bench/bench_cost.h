/* What a test must at least do: bytes read from memory and multiply-adds, computed from the
 * tensors of the file; and from that its share of what the machine can do.
 *
 * A pass reads every weight matrix once, whatever the number of its tokens: the head too, tables of
 * rows (embedding, positions) not, of a mixture the experts that its tokens are expected to choose
 * together. Each sequence reads its cache once. */
#ifndef OLL_BENCH_BENCH_COST_H
#define OLL_BENCH_BENCH_COST_H

#include "bench/bench_plan.h"
#include "gguf/gguf.h"

/* Speed limits of the machine, measured; 0: unknown. */
struct bench_peak {
    double read_bytes_s;            /* all threads reading memory */
    double macs_s[OLL_DTYPE_COUNT]; /* best matrix product with weights of the type; F32 also
                                        stands for attention */
};

struct bench_cost_layer {
    uint32_t window;  /* positions seen at most, 0: all */
    uint32_t kv_size; /* values stored per position */
    uint32_t q_macs;  /* multiply-adds of attention per token and position */
};

struct bench_cost {
    uint64_t n_params, tensor_bytes;
    uint64_t dense_bytes, head_bytes, expert_bytes;
    uint32_t n_expert, n_expert_used, n_layer;
    double macs[OLL_DTYPE_COUNT]; /* per token without the head, by type of the weights */
    double head_macs;             /* per token with logits */
    enum oll_dtype head_dtype;
    struct bench_cost_layer *layers; /* [n_layer] */
};

oll_status bench_cost_read(const struct oll_gguf *gguf, struct bench_cost *out,
                           struct oll_error *err) OLL_MUST_USE;
void bench_cost_free(struct bench_cost *cost);

struct bench_need {
    double bytes;
    double macs[OLL_DTYPE_COUNT];
    double attention_macs;
};

/* Of one whole repetition. */
void bench_cost_of(const struct bench_cost *cost, const struct bench_test *test,
                   struct bench_need *out);
double bench_need_macs(const struct bench_need *need); /* all together */

struct bench_roofline {
    double read_s, compute_s; /* least time of either, 0: unknown */
    double share;             /* the longer of the two over the time taken, 0: unknown */
    bool is_compute_bound;
};

/* `seconds`: the time that the repetition took. */
void bench_roofline_of(const struct bench_need *need, const struct bench_peak *peak, double seconds,
                       struct bench_roofline *out);

#endif
