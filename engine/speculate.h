/* Speculation without a draft model: tokens that are likely to come are evaluated together with the
 * one that is known, and kept as far as the sampler chooses them.
 *
 * The text itself says what may come (ngram.h). Whether that is worth the work is decided for each
 * step from two things that are measured all the time:
 *
 *   chances   how often a guess came true, by the length of its match. Guesses are compared with
 *             the text that comes also while nothing is drafted, which costs nothing: a text that
 *             begins to repeat itself is noticed without trying.
 *   costs     what a step of n rows takes against a step of one. Shared by all slots.
 *
 * speculate_share gives the rows of a step to the drafts for which the tokens expected per time are
 * most; with many slots, whose rows are dear already, drafts shrink. Beside that each slot has an
 * account: a step with drafts earns what it gained and pays what it cost, and a slot in debt drafts
 * nothing until plain tokens, each of which brings a little, have paid it off. So the loss is
 * bounded whatever the text does and however wrong the figures are.
 *
 * No clock here: times come in as arguments. Owned by the engine thread. */
#ifndef OLL_ENGINE_SPECULATE_H
#define OLL_ENGINE_SPECULATE_H

#include "engine/ngram.h"

#include <stdbool.h>

enum {
    SPECULATE_MAX = 15,      /* drafted tokens of a step, of all slots together */
    SPECULATE_ROWS_MAX = 64, /* larger steps hold no drafts */
    SPECULATE_CLASSES = 8    /* of the length of a match */
};

/* ---- costs ---- */

struct speculate_costs {
    double row_ns;                         /* a step of one row, at present; 0: not known */
    double ratio[SPECULATE_ROWS_MAX + 1];  /* a step of so many rows to one of a single row */
    uint32_t seen[SPECULATE_ROWS_MAX + 1]; /* how often, at most 16; 0: ratio is not known */
    uint64_t last[SPECULATE_ROWS_MAX + 1]; /* the step in which it was seen last */
    uint64_t n_steps, last_retry;
    bool is_fixed; /* nothing is learned */
};

void speculate_costs_init(struct speculate_costs *costs);
/* A step of n_rows rows, each with logits, took so long. */
void speculate_costs_learn(struct speculate_costs *costs, uint32_t n_rows, uint64_t ns);
/* What a step of n_rows takes, as a multiple of one row; between known figures a straight line. */
double speculate_cost(const struct speculate_costs *costs, uint32_t n_rows);

/* ---- a slot ---- */

struct speculator {
    struct ngram_index index;
    struct {
        float n, n_right; /* guesses, fading */
    } classes[SPECULATE_CLASSES];
    double account; /* in tokens of a plain step */
    uint32_t n_drafted, n_accepted;
};

/* What a slot would draft, and gets. */
struct speculate_offer {
    uint32_t n, n_taken;
    int32_t tokens[SPECULATE_MAX];
    float chances[SPECULATE_MAX]; /* that the draft is right up to this token */
};

/* For texts of about n_ctx tokens. */
oll_status speculate_init(struct speculator *s, uint32_t n_ctx, struct oll_error *err) OLL_MUST_USE;
void speculate_free(struct speculator *s);
void speculate_begin(struct speculator *s); /* another reply */
/* The text has lost its beginning, or is another one. */
void speculate_forget_text(struct speculator *s);
/* Looks at the text, and offers at most n_max tokens. */
void speculate_look(struct speculator *s, const int32_t *tokens, uint32_t n, uint32_t n_max,
                    struct speculate_offer *offer);
/* A step of n_slots decoding slots and n_all drafted tokens is over; of this slot's n_taken
 * n_accepted were right. To be called for every step, after speculate_costs_learn. */
void speculate_settle(struct speculator *s, const struct speculate_costs *costs, uint32_t n_slots,
                      uint32_t n_all, uint32_t n_taken, uint32_t n_accepted);

/* Sets n_taken of the offers [n_slots], at most `room` in all; returns their sum. */
uint32_t speculate_share(struct speculate_costs *costs, struct speculate_offer *offers,
                         uint32_t n_slots, uint32_t room);

#endif
