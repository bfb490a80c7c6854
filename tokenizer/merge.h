/* Byte-pair merging: adjacent symbols are joined in the order of priority, the leftmost first among
 * equals, until no pair has one. SentencePiece ranks a pair by the score of its text, byte-pair
 * encoding by its place in a list (Sennrich et al. 2016, arXiv:1508.07909); both use these loops.
 *
 * Short texts are merged in place by looking for the best pair again and again. For long ones the
 * pairs wait in a heap of runs: a run holds pairs of one priority with rising positions, and a new
 * pair mostly continues a run. So a text of one character repeated, whose pairs are few and long
 * runs, costs linear time, and any text O(n log n). */
#ifndef OLL_TOKENIZER_MERGE_H
#define OLL_TOKENIZER_MERGE_H

#include "engine/base/status.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { MERGE_SHORT = 48 /* symbols up to which the simple loop is faster */ };

#define MERGE_NONE UINT32_MAX

/* A symbol is text[begin..begin of the next); a list ends with one more that only has `begin`. */
struct merge_symbol {
    uint32_t begin;
    uint32_t id;     /* of the token with this text, or MERGE_NONE */
    uint32_t prio;   /* of the pair with the next symbol, lower first, or MERGE_NONE */
    uint32_t merged; /* id of that pair's text */
};

/* Priority of the pair of tokens `left` and `right`, whose text is text[begin..end); *merged gets
 * its id. MERGE_NONE when they do not merge. */
typedef uint32_t (*merge_pair)(const void *model, const char *text, uint32_t left, uint32_t right,
                               uint32_t begin, uint32_t end, uint32_t *merged);

/* Merges symbols[0..n) in place; priorities are filled in. Returns the number that is left. */
static inline size_t merge_short(struct merge_symbol *symbols, size_t n, merge_pair pair,
                                 const void *model, const char *text)
{
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (symbols[i].prio < symbols[best].prio)
                best = i;
        struct merge_symbol *s = &symbols[best];
        if (s->prio == MERGE_NONE)
            break;
        s->id = s->merged;
        n--;
        /* The symbols behind move up, with the one that marks the end. */
        memmove(s + 1, s + 2, (n - best) * sizeof *s);
        s->prio = MERGE_NONE;
        if (best + 1 < n)
            s->prio = pair(model, text, s->id, s[1].id, s->begin, s[2].begin, &s->merged);
        if (best > 0)
            s[-1].prio = pair(model, text, s[-1].id, s->id, s[-1].begin, s[1].begin, &s[-1].merged);
    }
    return n;
}

struct merge_link {
    uint32_t prev, next;
};
struct merge_node {
    uint32_t pos, next; /* next node of the run, or of the free list */
};
struct merge_run {
    uint32_t prio, head, tail; /* used up: head is MERGE_NONE, tail the next one free */
};
struct merge_entry {
    uint64_t key; /* priority in the high half, position of the run's head in the low one */
    uint32_t run;
};

/* Working memory of long merges, kept from one text to the next. Zero-initialise. */
struct merge_work {
    struct merge_symbol *symbols; /* filled by the caller after merge_reserve */
    size_t n_symbols, cap;
    struct merge_link *links;
    struct merge_node *nodes;
    struct merge_run *runs;
    struct merge_entry *heap;
    uint32_t *recent; /* last run of a priority, by a hash of it */
    uint32_t n_nodes, cap_nodes, free_node;
    uint32_t n_runs, cap_runs, free_run; /* the heap has the same capacity */
    uint32_t n_heap;
    oll_status status;
};

/* Room for n symbols and the end mark. */
oll_status merge_reserve(struct merge_work *work, size_t n) OLL_MUST_USE;
/* Merges work->symbols[0..n) with an end mark at [n]; priorities are filled in. work->n_symbols
 * gets the number that is left. */
oll_status merge_long(struct merge_work *work, size_t n, merge_pair pair, const void *model,
                      const char *text) OLL_MUST_USE;
void merge_work_free(struct merge_work *work);

#endif
