#include "engine/base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *oll_status_text(oll_status status)
{
    static const char *const texts[] = {
#define X(name, text) text,
        OLL_STATUS_LIST(X)
#undef X
    };
    return (unsigned)status < OLL_STATUS_COUNT ? texts[status] : "unknown status";
}

oll_status oll_error_setv(struct oll_error *err, oll_status status, const char *fmt, va_list args)
{
    if (err && err->status == OLL_OK) {
        err->status = status;
        vsnprintf(err->text, sizeof err->text, fmt, args);
    }
    return status;
}

oll_status oll_error_set(struct oll_error *err, oll_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    oll_error_setv(err, status, fmt, args);
    va_end(args);
    return status;
}

void oll_error_prefix(struct oll_error *err, const char *fmt, ...)
{
    if (!err || err->status == OLL_OK)
        return;
    char text[OLL_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n + 3 >= sizeof text)
        return;
    int rest = (int)sizeof text - n - 3;
    snprintf(text + n, sizeof text - (size_t)n, ": %.*s", rest, err->text);
    memcpy(err->text, text, sizeof text);
}

const char *oll_error_text(const struct oll_error *err)
{
    if (!err)
        return "unknown error";
    return err->text[0] ? err->text : oll_status_text(err->status);
}

void oll_assert_fail(const char *cond, const char *file, int line)
{
    fprintf(stderr, "oll: bug: assertion failed: %s (%s:%d)\n", cond, file, line);
    abort();
}
