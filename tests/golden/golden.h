/* Tiny models with the numbers they must give (../shared/data/golden/README.md): reading the JSON
 * beside a model, and judging what an engine computed by the README's table of tolerances. */
#ifndef OLL_TESTS_GOLDEN_H
#define OLL_TESTS_GOLDEN_H

#include "engine/base/arena.h"
#include "engine/base/json.h"
#include "engine/eval.h"

enum golden_kind { GOLDEN_LOGITS, GOLDEN_EMBEDDING };

struct golden_seq {
    uint32_t n;
    int32_t *tokens;
    uint32_t n_ctx;                  /* context to allocate */
    float *last, *last_alt;          /* [n_vocab]; alt NULL: none */
    float *argmax, *margin;          /* [n], as the other positions' values */
    float *mean, *std, *first, *own; /* logit of token 0, and of the last id of the vocabulary */
    float *pooled, *pooled_alt;      /* [n_out] as the file pools; dense layers applied */
    double reference_diff;           /* llamacpp_max_abs_diff, 0: not given */
};

struct golden {
    struct oll_arena arena;
    char name[64], gguf_path[512];
    enum golden_kind kind;
    uint32_t n_vocab, n_out;
    double tolerance, cosine, logit_std;
    bool is_quantised; /* some weights are no f32 */
    bool is_later;     /* of a family that comes later */
    uint32_t n_seq;
    struct golden_seq *seqs;
};

/* The base names of all tiny models, NULL-terminated; released by golden_names_free. */
char **golden_names(void);
void golden_names_free(char **names);

bool golden_load(const char *name, struct golden *g);
void golden_free(struct golden *g);

/* How exactly a run must match: multiples of the file's tolerance for f32 arithmetic, or the bounds
 * for activations rounded to 8 bits, or for a quantised cache the rms of the difference alone, as a
 * share of the logits' deviation (of the vector's length for an embedding). */
struct golden_bound {
    double factor;
    double rms_share; /* 0: none */
    bool is_8bit;
};

/* logits [n, n_vocab] of a whole sequence. */
void golden_judge_logits(const struct golden *g, uint32_t i_seq, const float *logits,
                         struct golden_bound bound, const char *run);
/* raw and normalised vector [n_out]. */
void golden_judge_vector(const struct golden *g, uint32_t i_seq, const float *raw,
                         const float *normalised, struct golden_bound bound, const char *run);

#endif
