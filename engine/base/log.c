#include "engine/base/log.h"

#include "engine/base/utf8.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LINE_MAX_BYTES = 2048 };

/* Set before there are threads. */
static char tag_now[64];
static bool json_now;
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
    snprintf(tag_now, sizeof tag_now, "%s", tag);
    blank_controls(tag_now, strlen(tag_now));
}

void oll_log_set_json(bool json) { json_now = json; }

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

/* A line in the making: what does not fit is left out. */
struct line {
    char text[LINE_MAX_BYTES];
    size_t n;
};

/* Adds text; as a part of a JSON string with quotes escaped and bytes that are no UTF-8 as '?'. */
static void add_text(struct line *line, const char *text, bool is_string)
{
    const size_t n = strlen(text), room = sizeof line->text - 4; /* for the end */
    for (size_t i = 0, k; i < n; i += k) {
        const bool escape = is_string && (text[i] == '"' || text[i] == '\\');
        uint32_t cp;
        k = is_string ? (size_t)oll_utf8_decode(text + i, n - i, &cp) : 1;
        const bool is_bad = k == 0;
        k = is_bad ? 1 : k;
        if (line->n + k + escape > room)
            return;
        if (escape)
            line->text[line->n++] = '\\';
        if (is_bad)
            line->text[line->n++] = '?';
        for (size_t j = 0; j < k && !is_bad; j++)
            line->text[line->n++] = text[i + j];
    }
}

static void add_end(struct line *line, const char *text)
{
    memcpy(line->text + line->n, text, strlen(text));
    line->n += strlen(text);
}

static void add_field(struct line *line, const char *name, const char *text)
{
    add_text(line, json_now ? (line->n ? ",\"" : "{\"") : (line->n ? " " : ""), false);
    add_text(line, name, false);
    add_text(line, json_now ? "\":\"" : "=", false);
    add_text(line, text, json_now);
    if (json_now)
        add_text(line, "\"", false);
}

/* In JSON only. */
static void add_number(struct line *line, const char *name, const char *digits)
{
    add_text(line, ",\"", false);
    add_text(line, name, false);
    add_text(line, "\":", false);
    add_text(line, digits, false);
}

static void begin_line(struct line *line, enum oll_log_level level, const char *area)
{
    static const char *const names[] = {"ERROR", "WARN", "INFO", "DEBUG", "TRACE"};
    char date[32], stamp[48];
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(stamp, sizeof stamp, "%s.%03ldZ", date, now.tv_nsec / 1000000);
    line->n = 0;
    add_field(line, "time", stamp);
    add_field(line, "level", names[level]);
    add_field(line, "area", area);
    if (tag_now[0])
        add_field(line, "runner", tag_now);
}

static void end_line(struct line *line, const char *text)
{
    add_text(line, json_now ? ",\"msg\":\"" : " msg=\"", false);
    add_text(line, text, json_now);
    add_end(line, json_now ? "\"}\n" : "\"\n");
    fwrite(line->text, 1, line->n, stderr);
}

void oll_log(enum oll_log_level level, const char *area, const char *fmt, ...)
{
    if (level > oll_log_level())
        return;
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    oll_log_fields(level, area, NULL, 0, text);
}

void oll_log_fields(enum oll_log_level level, const char *area, const struct oll_log_field *fields,
                    size_t n_fields, const char *text)
{
    if (level > oll_log_level())
        return;
    struct line line;
    char clean[LINE_MAX_BYTES];
    begin_line(&line, level, area);
    for (size_t i = 0; i < n_fields && json_now; i++) {
        snprintf(clean, sizeof clean, "%s", fields[i].text);
        blank_controls(clean, strlen(clean));
        if (fields[i].is_number)
            add_number(&line, fields[i].name, clean);
        else
            add_field(&line, fields[i].name, clean);
    }
    snprintf(clean, sizeof clean, "%s", text);
    blank_controls(clean, strlen(clean));
    end_line(&line, clean);
}
