#include "engine/base/strbuf.h"

#include "engine/base/mem.h"

#include <stdio.h>
#include <string.h>

static char empty[1];

void oll_strbuf_init(struct oll_strbuf *sb, size_t max_bytes)
{
    *sb = (struct oll_strbuf){.data = empty, .max_bytes = max_bytes};
}

void oll_strbuf_free(struct oll_strbuf *sb)
{
    if (sb->cap)
        oll_free(sb->data);
    oll_strbuf_init(sb, sb->max_bytes);
}

void oll_strbuf_clear(struct oll_strbuf *sb)
{
    sb->len = 0;
    sb->status = OLL_OK;
    if (sb->cap)
        sb->data[0] = '\0';
}

/* Makes room for `extra` bytes and the terminator. */
static int strbuf_reserve(struct oll_strbuf *sb, size_t extra)
{
    if (sb->status != OLL_OK)
        return 0;
    if (extra > sb->max_bytes - sb->len) {
        sb->status = OLL_ERR_LIMIT;
        return 0;
    }
    size_t need = sb->len + extra + 1;
    if (need <= sb->cap)
        return 1;
    size_t cap = sb->cap ? sb->cap + sb->cap / 2 : 64;
    if (cap < need)
        cap = need;
    char *data = oll_realloc(sb->cap ? sb->data : NULL, cap, 1);
    if (!data) {
        sb->status = OLL_ERR_MEMORY;
        return 0;
    }
    sb->data = data;
    sb->cap = cap;
    return 1;
}

void oll_strbuf_add(struct oll_strbuf *sb, const void *bytes, size_t n)
{
    if (n == 0 || !strbuf_reserve(sb, n))
        return;
    memcpy(sb->data + sb->len, bytes, n);
    sb->len += n;
    sb->data[sb->len] = '\0';
}

void oll_strbuf_adds(struct oll_strbuf *sb, const char *s) { oll_strbuf_add(sb, s, strlen(s)); }

void oll_strbuf_addc(struct oll_strbuf *sb, char c) { oll_strbuf_add(sb, &c, 1); }

void oll_strbuf_printf(struct oll_strbuf *sb, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n <= 0 || !strbuf_reserve(sb, (size_t)n))
        return;
    va_start(args, fmt);
    vsnprintf(sb->data + sb->len, (size_t)n + 1, fmt, args);
    va_end(args);
    sb->len += (size_t)n;
}

void oll_strbuf_drop(struct oll_strbuf *sb, size_t n)
{
    if (n >= sb->len) {
        n = sb->len;
        if (n == 0)
            return;
    }
    memmove(sb->data, sb->data + n, sb->len - n + 1);
    sb->len -= n;
}

char *oll_strbuf_take(struct oll_strbuf *sb, size_t *len)
{
    if (sb->status == OLL_OK && sb->cap == 0)
        strbuf_reserve(sb, 0);
    if (sb->status != OLL_OK) {
        oll_strbuf_free(sb);
        return NULL;
    }
    sb->data[sb->len] = '\0';
    char *data = sb->data;
    if (len)
        *len = sb->len;
    oll_strbuf_init(sb, sb->max_bytes);
    return data;
}
