/* Bounded little-endian cursor: the only way bytes of a file become numbers while it is parsed.
 *
 * Every take is checked against the end. The first one that does not fit sticks: the cursor stays
 * where it was, later takes give zeros and empty strings, and the caller looks at `need` once per
 * record. */
#ifndef OLL_GGUF_GGUF_CURSOR_H
#define OLL_GGUF_GGUF_CURSOR_H

#include "gguf/gguf.h"

struct gguf_cursor {
    const unsigned char *base;
    uint64_t pos, end; /* pos <= end, both counted from base */
    uint64_t need;     /* 0 while good, else the bytes that were wanted at pos */
};

static inline uint64_t gguf_cursor_left(const struct gguf_cursor *c) { return c->end - c->pos; }

/* The next n bytes (a pointer also when n is 0); NULL once the cursor has failed. */
const unsigned char *gguf_cursor_take(struct gguf_cursor *c, uint64_t n);
uint32_t gguf_cursor_u32(struct gguf_cursor *c);
uint64_t gguf_cursor_u64(struct gguf_cursor *c);
/* A length word and its bytes; {NULL, 0} once the cursor has failed. On a length beyond the end the
 * cursor stands behind the length word. */
struct oll_gguf_str gguf_cursor_str(struct gguf_cursor *c);

/* Little-endian loads at any alignment, for values whose place was checked before. */
uint16_t gguf_load_u16(const unsigned char *p);
uint32_t gguf_load_u32(const unsigned char *p);
uint64_t gguf_load_u64(const unsigned char *p);

#endif
