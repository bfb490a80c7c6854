/* Result of every operation that can fail, and the error text that goes with it.
 *
 * A function returns `oll_status`; OLL_OK is zero and the value must be used. Detail (file, key or
 * tensor, what was expected, what to do) goes to an optional last parameter `struct oll_error *err`
 * that the caller owns. The first error wins: a filled record is not overwritten, so the place
 * closest to the fault speaks. Errors are values; nothing outside `server/main.c`, the log and
 * OLL_ASSERT prints or exits.
 */
#ifndef OLL_BASE_STATUS_H
#define OLL_BASE_STATUS_H

#include <stdarg.h>
#include <stddef.h>

#define OLL_STATUS_LIST(X)                                                                         \
    X(OLL_OK, "ok")                                                                                \
    X(OLL_ERR_ARG, "invalid argument")                                                             \
    X(OLL_ERR_MEMORY, "out of memory")                                                             \
    X(OLL_ERR_IO, "input or output failed")                                                        \
    X(OLL_ERR_NOT_FOUND, "not found")                                                              \
    X(OLL_ERR_EXISTS, "already exists")                                                            \
    X(OLL_ERR_FORMAT, "malformed data")                                                            \
    X(OLL_ERR_UNSUPPORTED, "not supported")                                                        \
    X(OLL_ERR_LIMIT, "limit exceeded")                                                             \
    X(OLL_ERR_BUSY, "busy")                                                                        \
    X(OLL_ERR_TIMEOUT, "timed out")                                                                \
    X(OLL_ERR_CANCELED, "canceled")                                                                \
    X(OLL_ERR_DENIED, "permission denied")                                                         \
    X(OLL_ERR_NETWORK, "network failure")                                                          \
    X(OLL_ERR_DIGEST, "digest mismatch")                                                           \
    X(OLL_ERR_DEVICE, "device failure")                                                            \
    X(OLL_ERR_INTERNAL, "internal error")

enum oll_status_code {
#define X(name, text) name,
    OLL_STATUS_LIST(X)
#undef X
        OLL_STATUS_COUNT
};

typedef enum oll_status_code oll_status;

#if defined(__GNUC__)
#define OLL_MUST_USE                      __attribute__((warn_unused_result))
#define OLL_PRINTF(fmt_index, args_index) __attribute__((format(printf, fmt_index, args_index)))
#define OLL_NORETURN                      __attribute__((noreturn, cold))
#else
#define OLL_MUST_USE
#define OLL_PRINTF(fmt_index, args_index)
#define OLL_NORETURN
#endif

enum { OLL_ERROR_TEXT_MAX = 1024 };

struct oll_error {
    oll_status status; /* OLL_OK while empty */
    char text[OLL_ERROR_TEXT_MAX];
};

/* Short text of a status, e.g. "not found"; never NULL. */
const char *oll_status_text(oll_status status);

/* Records the first error and returns `status`; `err` may be NULL. Text beyond the buffer is cut.
 */
oll_status oll_error_set(struct oll_error *err, oll_status status, const char *fmt, ...)
    OLL_PRINTF(3, 4);
oll_status oll_error_setv(struct oll_error *err, oll_status status, const char *fmt, va_list args)
    OLL_PRINTF(3, 0);

/* Puts "<context>: " before the recorded text, for callers that know the file or model. No effect
 * while empty. */
void oll_error_prefix(struct oll_error *err, const char *fmt, ...) OLL_PRINTF(2, 3);

/* The recorded text, else the short text of the status. */
const char *oll_error_text(const struct oll_error *err);

/* Forwards a failure. */
#define OLL_TRY(call)                                                                              \
    do {                                                                                           \
        oll_status oll_try_status_ = (call);                                                       \
        if (oll_try_status_ != OLL_OK)                                                             \
            return oll_try_status_;                                                                \
    } while (0)

/* Forwards a failure to the `done:` label of a function that owns resources and has a variable
 * `status`. */
#define OLL_TRY_DONE(call)                                                                         \
    do {                                                                                           \
        status = (call);                                                                           \
        if (status != OLL_OK)                                                                      \
            goto done;                                                                             \
    } while (0)

/* Creates a failure:  return OLL_FAIL(err, OLL_ERR_FORMAT, "key %s: ...", key); */
#define OLL_FAIL(err, status, ...) oll_error_set((err), (status), __VA_ARGS__)

/* A broken assertion is a bug in oll. It stays on in release builds and never tests bytes from a
 * file or a socket. */
#define OLL_ASSERT(cond) ((cond) ? (void)0 : oll_assert_fail(#cond, __FILE__, __LINE__))
void oll_assert_fail(const char *cond, const char *file, int line) OLL_NORETURN;

#endif
