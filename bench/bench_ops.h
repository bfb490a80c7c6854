/* Micro-benchmarks: every op of a device through its contract, with operands of a model of a
 * billion parameters, for one token and for a prompt.
 *
 * Weights and caches that one token reads are several, together larger than any cache, as the
 * layers of a model are. A product or an attention is judged by the roofline: the longer of its
 * bytes over the read bandwidth and its multiply-adds over the best product of that type, over the
 * time it took. Other ops work in the caches and have times alone. */
#ifndef OLL_BENCH_BENCH_OPS_H
#define OLL_BENCH_BENCH_OPS_H

#include "bench/bench_peak.h"

enum { BENCH_OP_NAME_MAX = 48 };

struct bench_op_result {
    char name[BENCH_OP_NAME_MAX]; /* "matmul.q4_k.512": op, type, tokens */
    double seconds;               /* of one op, the best of several runs */
    double bytes, macs;           /* of one op; 0: not counted */
    double share;                 /* of the roofline, 0: not judged */
    bool is_compute_bound;
};

struct bench_ops_params {
    const char *device, *isa;
    int n_threads;
    const char *filter;     /* part of a name; NULL: all */
    uint64_t working_bytes; /* of what one token reads; 0: 192 MiB */
    uint32_t n_tokens;      /* of the prompt; 0: 512 */
    uint32_t n_depth;       /* positions that attention of one token sees; 0: 4096 */
    double budget_s;        /* time for the runs of one op; 0: 0.2 */
    uint64_t read_bytes;    /* as in bench_peak_params */
    const struct bench_watch *watch;
    oll_status (*result)(void *ctx, const struct bench_op_result *result, struct oll_error *err);
    void *ctx;
};

/* OLL_ERR_NOT_FOUND when no name has the filter; OLL_ERR_CANCELED after a stop. What the device
 * does not support is left out. */
oll_status bench_ops_run(const struct bench_ops_params *params, struct oll_error *err) OLL_MUST_USE;

#endif
