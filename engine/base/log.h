/* Log of the process: one line per event to standard error. The level is set once at start. */
#ifndef OLL_BASE_LOG_H
#define OLL_BASE_LOG_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* As a level to set, NONE silences all. */
enum oll_log_level {
    OLL_LOG_NONE = -1,
    OLL_LOG_ERROR,
    OLL_LOG_WARN,
    OLL_LOG_INFO,
    OLL_LOG_DEBUG,
    OLL_LOG_TRACE
};

void oll_log_set_level(enum oll_log_level level);
enum oll_log_level oll_log_level(void);
/* Names this process in each of its lines; "" (as at first): no name. Cut to fit. */
void oll_log_set_tag(const char *tag);
/* Lines as JSON objects of one line instead: "time", "level", "area", "runner" where there is a
 * name, fields of the event where it has any, "msg". Set once at start. */
void oll_log_set_json(bool json);
/* Writes a line that another process of ours has made, without its line end; control characters
 * become '?'. Nothing at the level NONE. */
void oll_log_forward(const char *line);
/* `area` is the module ("gguf", "cpu"). Control characters of the text, which may come from a file
 * or a request, are written as '?'. Thread-safe: a line is written whole. */
void oll_log(enum oll_log_level level, const char *area, const char *fmt, ...) OLL_PRINTF(3, 4);

/* A part of what a line says, which programs that read JSON find as a member of its own. */
struct oll_log_field {
    const char *name;
    const char *text; /* of a number: its decimal digits */
    bool is_number;
};

/* As oll_log of a text; lines as JSON also hold the fields, before "msg". Others leave them out:
 * there the text says it all. */
void oll_log_fields(enum oll_log_level level, const char *area, const struct oll_log_field *fields,
                    size_t n_fields, const char *text);

#define oll_log_warn(area, ...)  oll_log(OLL_LOG_WARN, area, __VA_ARGS__)
#define oll_log_info(area, ...)  oll_log(OLL_LOG_INFO, area, __VA_ARGS__)
#define oll_log_debug(area, ...) oll_log(OLL_LOG_DEBUG, area, __VA_ARGS__)

#endif
