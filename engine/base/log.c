#include "engine/base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static atomic_int level_now = OLL_LOG_WARN;

/* Relaxed: a level seen late costs a line, nothing else. */
void oll_log_set_level(enum oll_log_level level)
{
    atomic_store_explicit(&level_now, level, memory_order_relaxed);
}

enum oll_log_level oll_log_level(void)
{
    return (enum oll_log_level)atomic_load_explicit(&level_now, memory_order_relaxed);
}

void oll_log(enum oll_log_level level, const char *area, const char *fmt, ...)
{
    static const char *const names[] = {"ERROR", "WARN", "INFO", "DEBUG", "TRACE"};
    if (level > oll_log_level())
        return;
    char line[2048];
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(line, sizeof line, "time=%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ level=%s area=%s msg=\"",
                          now.tv_nsec / 1000000, names[level], area);
    va_list args;
    va_start(args, fmt);
    int m = vsnprintf(line + n, sizeof line - n - 2, fmt, args);
    va_end(args);
    size_t text = n;
    if (m > 0)
        n += (size_t)m < sizeof line - n - 2 ? (size_t)m : sizeof line - n - 3;
    for (; text < n; text++)
        if ((unsigned char)line[text] < ' ' || line[text] == 0x7f)
            line[text] = '?';
    line[n++] = '"';
    line[n++] = '\n';
    fwrite(line, 1, n, stderr);
}
