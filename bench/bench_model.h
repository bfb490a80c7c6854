/* Speed of a model: prompts and generations as llama-bench measures them, so that numbers compare.
 *
 * A prompt is one batch of random tokens, cut in pieces of n_batch and passes of n_ubatch; the
 * logits of the last token of a piece are computed. A generation is single steps of one random
 * token per sequence, with its logits. Nothing else is part of the time: no tokenizing, no
 * sampling, no text. Before a test comes one run to warm up (a prompt, or one step); before each
 * repetition the sequences are cut back to the depth. */
#ifndef OLL_BENCH_BENCH_MODEL_H
#define OLL_BENCH_BENCH_MODEL_H

#include "bench/bench_cost.h"
#include "bench/bench_stats.h"
#include "bench/bench_watch.h"
#include "engine/eval.h"

enum { BENCH_REPETITIONS_MAX = 1000, BENCH_TIME_TEXT_MAX = 24 };

struct bench_model_params {
    const char *path;    /* of the file */
    const char *devices; /* as in oll_model_params */
    const char *isa;     /* as in oll_model_params */
    int n_threads;
    uint32_t n_first; /* tokens of the prompt up to whose first token loading is timed; 0: none */
};

/* A model loaded for one number of threads. */
struct bench_model {
    struct oll_model *model;
    struct bench_cost cost;
    char *path;
    int n_threads;
    uint64_t load_ns;        /* mapping the file, placing and uploading the weights */
    uint64_t first_token_ns; /* from the start of loading to the first logits; 0: not measured */
    uint32_t n_first;
};

oll_status bench_model_open(const struct bench_model_params *params, struct bench_model *out,
                            struct oll_error *err) OLL_MUST_USE;
void bench_model_close(struct bench_model *model);

/* What one test gave. The arrays are [n] and owned; released by bench_samples_free. */
struct bench_samples {
    uint32_t n;                          /* repetitions done: fewer than asked for after a stop */
    uint64_t *ns;                        /* duration of each, in order */
    double *ts;                          /* tokens per second of each, in order */
    double *sorted;                      /* ts, smallest first */
    struct bench_stats time;             /* of ns */
    struct bench_stats speed;            /* of ts */
    char test_time[BENCH_TIME_TEXT_MAX]; /* UTC, when the test began: "2026-01-31T12:00:00Z" */
    uint64_t kv_bytes, activation_bytes; /* as the context planned them */
    uint64_t peak_bytes;                 /* most memory the process held during the test */
};

void bench_samples_free(struct bench_samples *samples);

struct bench_repeat {
    uint32_t n; /* 1 to BENCH_REPETITIONS_MAX */
    bool no_warmup;
    uint64_t seed; /* of the tokens */
};

/* On OLL_ERR_CANCELED (the watch was told to abort) `out` holds what was done, and must be freed;
 * n may be 0. After other failures there is nothing to free. */
oll_status bench_model_run(const struct bench_model *model, const struct bench_test *test,
                           const struct bench_repeat *repeat, const struct bench_watch *watch,
                           struct bench_samples *out, struct oll_error *err) OLL_MUST_USE;

#endif
