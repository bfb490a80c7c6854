#include "bench/bench_watch.h"

#include <stdio.h>

enum { LINE_MAX_BYTES = 256 };

void bench_watch_show(const struct bench_watch *watch, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;
    if (!watch || !watch->show)
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    watch->show(watch->ctx, line);
}

bool bench_watch_aborted(const struct bench_watch *watch)
{
    return watch && watch->abort && atomic_load_explicit(watch->abort, memory_order_relaxed);
}
