/* Trials: one op list, run on `ref` and on a candidate at every ISA level, and compared.
 *
 * The operands of a trial lie in one arena of f32 and i32 words, each surrounded by canaries (a NaN
 * of its own); outputs are poisoned with another NaN; rows have slack between them and bases are
 * misaligned in half of the trials. After the list ran, the whole arena comes back: whatever is no
 * output must be as it was, and outputs must agree with ref's within the bound the case states.
 *
 * A family of cases is a function that opens trials in a fixed order:
 *
 *     struct trial t;
 *     if (trial_open(&t, s, "add/r%uc%u/%s", rows, cols, fill_name(fill))) {
 *         p.x = trial_mat(&t, "x", rows, cols, ROLE_IN, fill);
 *         ...
 *         trial_run(&t, record_add, &p);
 *     }
 *
 * Random values depend on the seed and the trial's name alone, so a filter replays a failure. */
#ifndef OLL_TESTS_KERNELS_TRIAL_H
#define OLL_TESTS_KERNELS_TRIAL_H

#include "kernels/device.h"
#include "tests/kernels/fill.h"

#include <stdio.h>

enum { N_LEVEL_MAX = 12, N_THREADS_MAX = 4, N_OPERAND_MAX = 24, N_WEIGHT_MAX = 4 };

/* What the child that runs trials tells the parent that watches it. */
struct progress {
    int index; /* of the trial under way */
    char name[128], level[24];
    int n_trial;                        /* trials that ran on ref */
    int n_compared, n_failed;           /* trial x level */
    uint64_t unsupported[OLL_OP_COUNT]; /* bit dtype: skipped since the candidate lacks it */
    /* Sums over all trials that add to a level's figure of one weight type. */
    struct {
        double error, power; /* of got - expected, of expected; squares */
        int n;               /* outputs */
    } totals[N_LEVEL_MAX][OLL_DTYPE_COUNT];
    char level_names[N_LEVEL_MAX][24];
    bool is_done;
};

struct level {
    char name[24];
    int n_dev;
    struct oll_device *devs[N_THREADS_MAX]; /* the first is compared; all must agree to the bit */
};

struct session {
    const char *device, *isa, *filter;
    uint64_t seed;
    int n_threads; /* of the first device of each level; 0: its default */
    bool is_list, is_bench, is_full, is_verbose;
    int part, n_part; /* only trials whose index modulo n_part is part */
    int resume_after; /* trials up to this index ran before a crash */
    struct oll_device *ref;
    struct level levels[N_LEVEL_MAX];
    int n_level;
    struct progress *progress; /* shared between processes */
};

enum role { ROLE_IN, ROLE_OUT, ROLE_INOUT };

struct operand {
    const char *name;
    size_t off; /* words into the arena */
    uint32_t rows, cols, stride;
    bool is_int, is_out;
    /* An output element may differ from ref's by abs_each[i] + abs + rel * |expected|. */
    double *abs_each; /* [rows * cols] or NULL; owned */
    double abs, rel;
    double nmse;          /* bound of sum (got - expected)^2 / sum expected^2, 0: none */
    enum oll_dtype total; /* the type whose figure it adds to */
    bool has_total;
};

struct trial_weight {
    struct oll_weight_source src;
    void *map; /* pages whose last byte is followed by a guard page */
    size_t n_map_bytes;
};

struct trial_kv {
    enum oll_dtype dtype; /* meaningful when n_page > 0 */
    uint32_t n_page, n_head_kv, head_dim_k, head_dim_v;
};

struct run;
struct trial {
    struct session *s;
    char name[128];
    uint64_t rng;
    bool is_loose; /* strides with slack, misaligned bases */

    float *image; /* the arena before the list */
    size_t n_image, cap_image;
    struct operand operands[N_OPERAND_MAX];
    int n_operand;
    struct trial_weight weights[N_WEIGHT_MAX];
    int n_weight;
    bool is_group; /* weights are uploaded by one call */
    struct trial_kv kv;
    struct {
        enum oll_op_kind kind;
        enum oll_dtype dtype;
    } needs[N_OPERAND_MAX];
    int n_need;

    /* Pairs of outputs that a candidate must compute to the same bits. */
    int equal[4][2], n_equal;
    /* Further inspection of a candidate's arena; false with a text in `why` is a failure. */
    bool (*inspect)(const struct trial *t, const float *image, const void *params, char *why,
                    size_t n_why);
    bool has_threads; /* compare the bits of all thread counts */
    /* Work of one list, for rates: 0 is not printed. Only trials with is_bench are timed. */
    bool is_bench, is_unchecked;
    double n_mac, n_byte;
};

/* The operands of a trial as they are on one device. */
struct run {
    const struct trial *t;
    struct oll_device *dev;
    struct oll_buffer *arena, *kv;
    size_t k_off, v_off;
    struct oll_weight *weights[N_WEIGHT_MAX];
};

typedef void (*record_fn)(const struct run *run, struct oll_cmd *cmd, const void *params);

/* Whether the trial shall run: it matches the filter, is not listed only, and was not yet reached
 * before a crash. Every opened trial must be run. */
bool trial_open(struct trial *t, struct session *s, const char *fmt, ...) OLL_PRINTF(3, 4);

/* Declares an operand; returns its number. Inputs are filled, outputs poisoned. */
int trial_mat(struct trial *t, const char *name, uint32_t rows, uint32_t cols, enum role role,
              enum fill fill);
int trial_vec(struct trial *t, const char *name, uint32_t n, enum fill fill);
/* values NULL: an output. */
int trial_ints(struct trial *t, const char *name, uint32_t n, const int32_t *values);
int trial_weight(struct trial *t, enum oll_dtype dtype, uint32_t n_in, uint32_t n_out,
                 uint32_t n_expert, enum fill fill);

/* Row of an operand in an arena image, the trial's own before the run. */
float *trial_row(const struct trial *t, const float *image, int operand, uint32_t row);
/* What an op needs of a device; trials of what the candidate lacks are skipped and counted. */
void trial_needs(struct trial *t, enum oll_op_kind kind, enum oll_dtype dtype);
/* Bounds of an output; without a call it must agree exactly. `nmse` may be 0, and
 * binds only outputs of many values. */
void trial_bound(struct trial *t, int operand, double abs, double rel, double nmse);
/* The array of per-element bounds of an output, zeroed. */
double *trial_bound_each(struct trial *t, int operand);
void trial_equal(struct trial *t, int operand_a, int operand_b);
/* Lets the output count for the figure of a weight type, which a whole run is judged by. */
void trial_total(struct trial *t, int operand, enum oll_dtype dtype);

/* Runs, compares, reports, and frees the trial. */
void trial_run(struct trial *t, record_fn record, const void *params);

/* ---- for record functions ---- */

struct oll_mat run_mat(const struct run *run, int operand);
/* Rows begin .. begin + n - 1 of it. */
struct oll_mat run_rows(const struct run *run, int operand, uint32_t begin, uint32_t n);
struct oll_vec run_vec(const struct run *run, int operand); /* -1: absent */
struct oll_ints run_ints(const struct run *run, int operand);
struct oll_kv run_kv(const struct run *run, int pages, uint32_t n_col);

/* ---- inside tests/kernels ---- */

/* trial_compare.c: true when the candidate's arena is right; else `why` says where it is not. */
bool trial_compare(const struct trial *t, int i_level, const float *expected, const float *got,
                   char *why, size_t n_why);
/* trial_bench.c: times the list on the device and prints a row. */
void trial_bench(struct trial *t, const struct level *level, record_fn record, const void *params);
/* Brings operands and weights to a device, and takes them away again. */
oll_status run_open(struct run *run, const struct trial *t, struct oll_device *dev,
                    struct oll_error *err);
void run_close(struct run *run);

/* Poison of unwritten outputs, of the words round operands. */
#define WORD_POISON 0x7fcbad01u
#define WORD_CANARY 0x7fc0de01u

static const double EPS = 0x1p-24; /* half a unit in the last place of f32, relative */

#endif
