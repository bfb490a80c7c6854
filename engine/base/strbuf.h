/* Growing byte buffer with a limit and a sticky failure.
 *
 * `data` is always terminated by a NUL that `len` does not count (also when empty: then it points
 * at a static ""), and may hold NULs of its own. After the first failure appends do nothing; check
 * `status` once at the end. */
#ifndef OLL_BASE_STRBUF_H
#define OLL_BASE_STRBUF_H

#include "engine/base/status.h"

struct oll_strbuf {
    char *data;
    size_t len, cap; /* cap is 0 while `data` is the static empty string */
    size_t max_bytes;
    oll_status status; /* OLL_OK, OLL_ERR_MEMORY or OLL_ERR_LIMIT */
};

void oll_strbuf_init(struct oll_strbuf *sb, size_t max_bytes);
void oll_strbuf_free(struct oll_strbuf *sb);
void oll_strbuf_clear(struct oll_strbuf *sb); /* keeps the memory, forgets the failure */

void oll_strbuf_add(struct oll_strbuf *sb, const void *bytes, size_t n);
void oll_strbuf_adds(struct oll_strbuf *sb, const char *s);
void oll_strbuf_addc(struct oll_strbuf *sb, char c);
void oll_strbuf_printf(struct oll_strbuf *sb, const char *fmt, ...) OLL_PRINTF(2, 3);
/* Drops the first `n` bytes, at most all. */
void oll_strbuf_drop(struct oll_strbuf *sb, size_t n);
/* Hands the bytes to the caller, who releases them with oll_free; the buffer is empty afterwards.
 * NULL after a failure. */
char *oll_strbuf_take(struct oll_strbuf *sb, size_t *len);

#endif
