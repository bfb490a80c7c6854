/* Walks a grammar byte by byte: a non-deterministic stack automaton made deterministic as it goes.
 *
 *     a thread   a stack of frames, top first: where in which node; frames are shared (hash-consed)
 *     a state    the set of threads that the bytes so far allow; equal sets are one state
 *
 * So the states are a deterministic automaton without end, of which only the visited part exists;
 * transitions, and whatever the user of a state notes about it, are found again by its number. A
 * dead state is never entered: every state can be completed.
 *
 * Memory has a limit. Beyond it `full` is set, and the states that are still needed are carried
 * over to a new machine (grammar_machine_carry). One thread at a time. */
#ifndef OLL_SAMPLER_GRAMMAR_MACHINE_H
#define OLL_SAMPLER_GRAMMAR_MACHINE_H

#include "sampler/grammar.h"

enum {
    MACHINE_DEAD = 0,
    MACHINE_MAX_BYTES = 48 << 20,
    MACHINE_MAX_THREADS = 4096, /* of one state */
    MACHINE_MAX_WORK = 100000   /* expansions after one byte */
};

struct machine_frame {
    uint32_t node, a, b, parent; /* frame 0 is the bottom of every stack */
};

struct machine_state {
    uint64_t bytes[4]; /* that lead on */
    uint32_t *next;    /* [256] once a transition is known: state, or REGEX_INF while not known */
    uint32_t first, n; /* threads[first .. first + n): top frames, sorted */
    bool accepts;
    bool sealed;      /* some thread waits for machine_unseal */
    bool mask_varies; /* the mask depends on more than the state */
    uint64_t *mask;   /* of the constraint: tokens that may follow; owned */
};

struct machine {
    struct grammar *g; /* borrowed */
    struct machine_frame *frames;
    uint32_t n_frames, cap_frames, *frame_table, frame_mask;
    struct machine_state *states;
    uint32_t n_states, cap_states, *state_table, state_mask;
    uint32_t *threads, n_threads, cap_threads;
    uint32_t start; /* state before the first byte */
    size_t n_bytes; /* of all of the above, roughly */
    bool full;
    oll_status status;

    /* Of the step that is being taken. */
    struct machine_work *work;
    uint32_t n_work, cap_work;
    uint32_t *tops, n_tops, cap_tops;
    bool returned;  /* a stack was emptied: the text is complete */
    uint64_t *seen; /* open addressing, entries of the running stamp only */
    uint32_t *seen_stamp;
    uint32_t seen_mask, n_seen, stamp;
};

oll_status machine_init(struct machine *m, struct grammar *g) OLL_MUST_USE;
void machine_free(struct machine *m);

/* The state after a byte, MACHINE_DEAD when the grammar forbids it or a limit was met (`status` or
 * `full` say so). */
uint32_t machine_step(struct machine *m, uint32_t state, uint8_t byte);
/* The state after a token that the grammar names by id, joined with `by_text`, the state that its
 * bytes led to (MACHINE_DEAD: none). */
uint32_t machine_step_token(struct machine *m, uint32_t state, uint32_t token, uint32_t by_text);
/* Where elements of an array must differ, a scalar, or a member that tells objects apart, waits
 * "sealed": nothing may follow until this is called. What begins then has not the value of the term
 * `last`: of a scalar, that of the element before it (ignored for the first of an array); of a
 * member, all that it may not be (unique_text.h). */
uint32_t machine_unseal(struct machine *m, uint32_t state, uint32_t last);
/* Whether what is sealed are first elements alone; whether it is a member. */
bool machine_sealed_first(const struct machine *m, uint32_t state);
bool machine_sealed_member(const struct machine *m, uint32_t state);
/* Whether some thread is in such an array, so that its text is needed. */
bool machine_in_unique(const struct machine *m, uint32_t state);
/* Whether some thread waits for this very token. */
bool machine_allows_token(const struct machine *m, uint32_t state, uint32_t token);
/* The same state in another, newer machine of the same grammar. */
uint32_t machine_carry(struct machine *to, const struct machine *from, uint32_t state);

/* The term of the JSON string that a thread is inside of, at a character's boundary; REGEX_NONE
 * when it is not. */
uint32_t machine_string_term(const struct machine *m, uint32_t top);

static inline bool machine_allows(const struct machine_state *s, uint8_t byte)
{
    return s->bytes[byte >> 6] >> (byte & 63) & 1;
}

#endif
