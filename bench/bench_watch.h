/* How a long measurement says where it is, and is told to stop. */
#ifndef OLL_BENCH_BENCH_WATCH_H
#define OLL_BENCH_BENCH_WATCH_H

#include "engine/base/status.h"

#include <stdatomic.h>
#include <stdbool.h>

/* All members may be NULL, and so may the pointer to the whole. */
struct bench_watch {
    void (*show)(void *ctx, const char *text); /* one line, replaced by the next; "" clears it */
    void *ctx;
    const atomic_bool *abort; /* set by a signal handler or another thread; read relaxed */
};

void bench_watch_show(const struct bench_watch *watch, const char *fmt, ...) OLL_PRINTF(2, 3);
bool bench_watch_aborted(const struct bench_watch *watch);

#endif
