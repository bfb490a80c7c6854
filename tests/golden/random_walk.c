#include "tests/golden/random_walk.h"

enum { LONG_TEXT = 600 };

/* The next byte of a marker, -1: not now. */
static int marker_byte(struct walk *w, const uint64_t bytes[4])
{
    if ((!w->pending || !*w->pending) && (w->text.len > LONG_TEXT || walk_draw(w, 12) == 0))
        w->pending = w->markers[walk_draw(w, 2)];
    if (!w->pending || !*w->pending || !walk_has(bytes, (unsigned char)*w->pending)) {
        w->pending = NULL;
        return -1;
    }
    return (unsigned char)*w->pending++;
}

/* A byte that may come next: more often one that closes something, the longer the text. */
static int draw_byte(struct walk *w, const char *closers)
{
    uint64_t bytes[4];
    uint32_t list[256], n = 0;
    oll_constraint_bytes(w->c, bytes);
    const int next = marker_byte(w, bytes);
    if (next >= 0)
        return next;
    for (const char *c = closers; *c; c++)
        if (walk_has(bytes, (unsigned char)*c) &&
            (w->text.len > LONG_TEXT || walk_draw(w, 100) < (*c == '"' ? 12 : 30)))
            return (unsigned char)*c;
    for (uint32_t b = 0; b < 256; b++)
        if (walk_has(bytes, b) && (b > 0x20 || walk_draw(w, 4) == 0) &&
            (b < 0x80 || walk_draw(w, 8) == 0))
            list[n++] = b;
    for (uint32_t b = 0; b < 256 && n == 0; b++)
        if (walk_has(bytes, b))
            return (int)b;
    return n ? (int)list[walk_draw(w, n)] : -1;
}

bool walk_byte(struct walk *w, const char *closers)
{
    int byte = draw_byte(w, closers);
    char c = (char)byte;
    if (byte < 0 || !oll_constraint_accept_bytes(w->c, &c, 1))
        return false;
    oll_strbuf_addc(&w->text, c);
    return true;
}
