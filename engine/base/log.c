#include "engine/base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LINE_MAX_BYTES = 2048 };

static char tag_now[80]; /* set before there are threads */
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

static void blank_controls(char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
            s[i] = '?';
}

void oll_log_set_tag(const char *tag)
{
    tag_now[0] = '\0';
    if (*tag) {
        snprintf(tag_now, sizeof tag_now, " runner=%s", tag);
        blank_controls(tag_now, strlen(tag_now));
    }
}

void oll_log_forward(const char *text)
{
    char line[LINE_MAX_BYTES + 1];
    if (oll_log_level() == OLL_LOG_NONE)
        return;
    const int n = snprintf(line, LINE_MAX_BYTES, "%s", text);
    size_t n_line = n < 0 ? 0 : n < LINE_MAX_BYTES ? (size_t)n : LINE_MAX_BYTES - 1;
    blank_controls(line, n_line);
    line[n_line++] = '\n';
    fwrite(line, 1, n_line, stderr);
}

void oll_log(enum oll_log_level level, const char *area, const char *fmt, ...)
{
    static const char *const names[] = {"ERROR", "WARN", "INFO", "DEBUG", "TRACE"};
    if (level > oll_log_level())
        return;
    char line[LINE_MAX_BYTES];
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(line, sizeof line, "time=%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ level=%s area=%s%s msg=\"",
                          now.tv_nsec / 1000000, names[level], area, tag_now);
    va_list args;
    va_start(args, fmt);
    int m = vsnprintf(line + n, sizeof line - n - 2, fmt, args);
    va_end(args);
    const size_t text = n;
    if (m > 0)
        n += (size_t)m < sizeof line - n - 2 ? (size_t)m : sizeof line - n - 3;
    blank_controls(line + text, n - text);
    line[n++] = '"';
    line[n++] = '\n';
    fwrite(line, 1, n, stderr);
}
