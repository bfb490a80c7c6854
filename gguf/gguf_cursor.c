#include "gguf/gguf_cursor.h"

uint16_t gguf_load_u16(const unsigned char *p) { return (uint16_t)(p[0] | p[1] << 8); }

uint32_t gguf_load_u32(const unsigned char *p)
{
    return gguf_load_u16(p) | (uint32_t)gguf_load_u16(p + 2) << 16;
}

uint64_t gguf_load_u64(const unsigned char *p)
{
    return gguf_load_u32(p) | (uint64_t)gguf_load_u32(p + 4) << 32;
}

const unsigned char *gguf_cursor_take(struct gguf_cursor *c, uint64_t n)
{
    if (c->need)
        return NULL;
    if (n > c->end - c->pos) {
        c->need = n;
        return NULL;
    }
    const unsigned char *p = c->base + c->pos;
    c->pos += n;
    return p;
}

uint32_t gguf_cursor_u32(struct gguf_cursor *c)
{
    const unsigned char *p = gguf_cursor_take(c, 4);
    return p ? gguf_load_u32(p) : 0;
}

uint64_t gguf_cursor_u64(struct gguf_cursor *c)
{
    const unsigned char *p = gguf_cursor_take(c, 8);
    return p ? gguf_load_u64(p) : 0;
}

struct oll_gguf_str gguf_cursor_str(struct gguf_cursor *c)
{
    struct oll_gguf_str s = {NULL, gguf_cursor_u64(c)};
    s.data = (const char *)gguf_cursor_take(c, s.len);
    if (!s.data)
        s.len = 0;
    return s;
}
