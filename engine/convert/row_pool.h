/* Rows shared out among threads, for work that is long and independent: quantising, converting. */
#ifndef OLL_CONVERT_ROW_POOL_H
#define OLL_CONVERT_ROW_POOL_H

#include <stdint.h>

/* Works on rows [first, last); called by several threads at once. */
typedef void (*convert_rows_fn)(void *user, uint64_t first, uint64_t last);

/* Calls `fn` for all of n_rows in pieces of `n_piece` rows, with up to n_threads threads (the
 * calling one among them), and returns when all are done. Threads that cannot be started are done
 * without. */
void convert_rows(convert_rows_fn fn, void *user, uint64_t n_rows, uint64_t n_piece, int n_threads);

/* Threads worth starting on this machine: one per physical core. */
int convert_thread_count(void);

#endif
