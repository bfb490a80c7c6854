/* White space, tags in the waiting text, and the text of events. */
#include "engine/base/utf8.h"
#include "engine/chat/parse_internal.h"

#include <string.h>

/* Unicode's White_Space beyond ASCII: U+0085, U+00A0, U+1680, U+2000-200A, U+2028, U+2029, U+202F,
 * U+205F, U+3000. */
static bool is_space(uint32_t cp)
{
    if (cp < 0x80)
        return cp == ' ' || (cp >= '\t' && cp <= '\r');
    return cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

size_t parse_space_lead(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint32_t cp;
        const int len = oll_utf8_decode(s + i, n - i, &cp);
        if (len == 0 || !is_space(cp))
            break;
        i += (size_t)len;
    }
    return i;
}

size_t parse_space_tail(const char *s, size_t n)
{
    size_t end = n;
    while (end > 0) {
        size_t start = end - 1;
        uint32_t cp;
        while (start > 0 && end - start < 4 && ((unsigned char)s[start] & 0xC0) == 0x80)
            start--;
        const int len = oll_utf8_decode(s + start, end - start, &cp);
        if (len == 0 || start + (size_t)len != end || !is_space(cp))
            break;
        end = start;
    }
    return n - end;
}

size_t parse_lead(struct chat_parser *p)
{
    const size_t from = p->scan > p->pos ? p->scan : p->pos;
    p->scan = from + parse_space_lead(p->in.data + from, p->end - from);
    return p->scan - p->pos;
}

void parse_trim(const char **s, size_t *n)
{
    const size_t lead = parse_space_lead(*s, *n);
    *s += lead;
    *n -= lead;
    *n -= parse_space_tail(*s, *n);
}

bool parse_starts(const char *s, size_t n, const char *prefix)
{
    const size_t len = strlen(prefix);
    return n >= len && memcmp(s, prefix, len) == 0;
}

bool parse_begins(const char *s, size_t n, const char *whole)
{
    return n < strlen(whole) && memcmp(s, whole, n) == 0;
}

size_t parse_index(const char *s, size_t n, size_t from, const char *what)
{
    const size_t len = strlen(what);
    for (size_t i = from; len > 0 && i + len <= n; i++) {
        const char *hit = memchr(s + i, what[0], n - len + 1 - i);
        if (!hit)
            return n;
        i = (size_t)(hit - s);
        if (memcmp(hit, what, len) == 0)
            return i;
    }
    return n;
}

/* What the tags say about position `at`: the longest tag that is there, -1 none, -2 undecided. */
static int tag_at(const struct chat_parser *p, const char *const *tags, int n_tags, size_t at)
{
    const char *s = p->in.data + at;
    const size_t n = p->end - at;
    int found = -1;
    for (int i = 0; i < n_tags; i++) {
        if (!tags[i] || tags[i][0] != s[0])
            continue;
        if (parse_starts(s, n, tags[i])) {
            if (found < 0 || strlen(tags[i]) > strlen(tags[found]))
                found = i;
        } else if (parse_begins(s, n, tags[i]) && found < 0) {
            return -2;
        }
    }
    return found;
}

int parse_find(struct chat_parser *p, const char *const *tags, int n_tags, size_t *at)
{
    bool first[256] = {false};
    for (int i = 0; i < n_tags; i++) {
        if (tags[i])
            first[(unsigned char)tags[i][0]] = true;
    }
    size_t i = p->scan > p->pos ? p->scan : p->pos;
    for (; i < p->end; i++) {
        if (!first[(unsigned char)p->in.data[i]])
            continue;
        const int tag = tag_at(p, tags, n_tags, i);
        if (tag == -1)
            continue;
        *at = p->scan = i;
        return tag == -2 ? -1 : tag;
    }
    *at = p->scan = i;
    return -1;
}

void parse_balance_reset(struct chat_parser *p)
{
    p->balance = (struct parse_balance){.at = p->pos};
}

bool parse_balanced(struct chat_parser *p, size_t *end)
{
    struct parse_balance *b = &p->balance;
    for (; b->at < p->end; b->at++) {
        const char c = p->in.data[b->at];
        if (b->in_string) {
            if (!b->escaped && c == '"')
                b->in_string = false;
            b->escaped = !b->escaped && c == '\\';
        } else if (c == '"' && b->depth > 0) {
            b->in_string = true;
        } else if (c == '{') {
            b->depth++;
        } else if (c == '}' && b->depth > 0 && --b->depth == 0) {
            *end = ++b->at;
            return true;
        }
    }
    return false;
}

/* Takes the text into the event in the making, which goes out when its kind changes. */
static void append(struct chat_parser *p, enum chat_event_type type, const char *s, size_t n)
{
    if (n == 0)
        return;
    if (p->out.len > 0 && p->out_type != type)
        parse_flush(p);
    p->out_type = type;
    oll_strbuf_add(&p->out, s, n);
}

void parse_text(struct chat_parser *p, enum chat_event_type type, enum parse_space space,
                const char *s, size_t n)
{
    if (p->eat_space) {
        const size_t lead = parse_space_lead(s, n);
        s += lead;
        n -= lead;
    }
    if (n == 0)
        return;
    p->eat_space = false;
    if (type == CHAT_EVENT_THINKING && p->discard)
        return;
    if (space == SPACE_KEEP) {
        append(p, type, s, n);
        return;
    }
    const size_t tail = parse_space_tail(s, n);
    if (tail < n) {
        append(p, type, p->held.data, p->held.len);
        oll_strbuf_clear(&p->held);
        append(p, type, s, n - tail);
    }
    oll_strbuf_add(&p->held, s + n - tail, tail);
}

void parse_text_tag(struct chat_parser *p) { oll_strbuf_clear(&p->held); }

void parse_text_end(struct chat_parser *p, enum chat_event_type type, enum parse_space space)
{
    if (space == SPACE_HOLD)
        append(p, type, p->held.data, p->held.len);
    oll_strbuf_clear(&p->held);
}

void parse_flush(struct chat_parser *p)
{
    if (p->out.len == 0)
        return;
    const struct chat_event event = {.type = p->out_type, .text = p->out.data, .len = p->out.len};
    if (p->out.status == OLL_OK)
        p->cfg.on_event(p->cfg.user, &event);
    oll_strbuf_clear(&p->out);
}
