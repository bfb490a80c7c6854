/* Lists of whole numbers as benchmarks take them: "512", "1,2,4", "1-4" (1, 2, 3, 4), "0-4096+2048"
 * (every 2048), "1-16*2" (1, 2, 4, 8, 16), mixed with commas. */
#ifndef OLL_BENCH_BENCH_LIST_H
#define OLL_BENCH_BENCH_LIST_H

#include "engine/base/status.h"

#include <stdint.h>

enum { BENCH_LIST_MAX = 128 };

struct bench_list {
    uint32_t n;
    uint32_t values[BENCH_LIST_MAX]; /* in the order given, duplicates kept */
};

/* Appends the numbers of `text`, each in [min, max]. The error says what is wrong, not of which
 * option; the list is unchanged then. */
oll_status bench_list_add(struct bench_list *list, const char *text, uint32_t min, uint32_t max,
                          struct oll_error *err) OLL_MUST_USE;

/* Pairs "512,128" of the option -pg: two numbers in [1, max], appended to both lists. */
oll_status bench_list_add_pair(struct bench_list *first, struct bench_list *second,
                               const char *text, uint32_t max, struct oll_error *err) OLL_MUST_USE;

#endif
