/* Which bytes of a file are there: sorted half-open spans that neither touch nor overlap. */
#ifndef OLL_REGISTRY_SPAN_SET_H
#define OLL_REGISTRY_SPAN_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
    uint64_t begin, end;
};

enum { SPANS_MAX = 4096 };

struct span_set {
    struct span *items;
    size_t n, cap;
};

/* False when memory is short or there would be more than SPANS_MAX spans; then nothing changed. */
bool span_set_add(struct span_set *set, uint64_t begin, uint64_t end);
/* End of the span that holds `at`, `at` itself when none does. */
uint64_t span_set_end(const struct span_set *set, uint64_t at);
/* Begin of the first span beyond `at`, UINT64_MAX when there is none. */
uint64_t span_set_next(const struct span_set *set, uint64_t at);
uint64_t span_set_bytes(const struct span_set *set);
bool span_set_copy(const struct span_set *from, struct span_set *to);
void span_set_free(struct span_set *set);

#endif
