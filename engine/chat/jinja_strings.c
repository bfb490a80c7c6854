/* Python's methods of str, which Jinja's filters for text use as well. */
#include "engine/chat/jinja_strings.h"
#include "engine/base/utf8.h"

#include <stdlib.h>
#include <string.h>

static void put(struct oll_strbuf *text, const uint32_t *cps, int n)
{
    char bytes[4];
    for (int i = 0; i < n; i++)
        oll_strbuf_add(text, bytes, (size_t)oll_utf8_encode(cps[i], bytes));
}

static bool starts_letter(const struct jinja_str *s, size_t i)
{
    uint32_t cp;
    return i < s->len && oll_utf8_decode(s->data + i, s->len - i, &cp) > 0 && jinja_is_alpha(cp);
}

struct jinja_value jinja_change_case(struct jinja_run *run, const struct jinja_str *s,
                                     enum jinja_case how)
{
    struct oll_strbuf text;
    bool in_word = false;
    jinja_step(run, s->len / 16);
    oll_strbuf_init(&text, JINJA_OUTPUT_MAX);
    for (size_t i = 0; i < s->len && jinja_tick(run);) {
        uint32_t cp, out[3];
        const int len = oll_utf8_decode(s->data + i, s->len - i, &cp);
        if (len == 0) {
            oll_strbuf_addc(&text, s->data[i++]);
            continue;
        }
        bool upper = how == JINJA_UPPER || (how == JINJA_CAPITALIZE && i == 0) ||
                     (how == JINJA_TITLE && !in_word);
        if (how == JINJA_SWAPCASE)
            upper = jinja_upper_char(cp, out) != 1 || out[0] != cp;
        const int n = upper ? jinja_upper_char(cp, out) : jinja_lower_char(cp, out);
        /* A sigma that ends a word has a form of its own. */
        if (!upper && cp == 0x3a3 && in_word && !starts_letter(s, i + (size_t)len))
            out[0] = 0x3c2;
        put(&text, out, n);
        in_word = jinja_is_alpha(cp);
        i += (size_t)len;
    }
    return jinja_like(jinja_str_take(run, &text), s);
}

struct jinja_value jinja_escape(struct jinja_run *run, const struct jinja_str *s)
{
    static const char specials[] = "&<>'\"";
    static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    struct oll_strbuf text;
    jinja_step(run, s->len / 16);
    oll_strbuf_init(&text, JINJA_OUTPUT_MAX);
    for (size_t i = 0; i < s->len && jinja_tick(run); i++) {
        const char *special = s->data[i] ? strchr(specials, s->data[i]) : NULL;
        if (special)
            oll_strbuf_adds(&text, names[special - specials]);
        else
            oll_strbuf_addc(&text, s->data[i]);
    }
    struct jinja_value v = jinja_str_take(run, &text);
    if (v.type == JINJA_STR)
        v.s->is_markup = true;
    return v;
}

static bool is_in(const struct jinja_str *set, const char *s, size_t n)
{
    return jinja_find(set->data, set->len, 0, s, n) != SIZE_MAX;
}

struct jinja_value jinja_strip(struct jinja_run *run, const struct jinja_str *s,
                               const struct jinja_str *chars, bool left, bool right)
{
    size_t from = 0, to = s->len;
    jinja_step(run, 1);
    if (!chars) {
        from = left ? jinja_space_before(s->data, s->len) : 0;
        to -= right ? jinja_space_after(s->data + from, s->len - from) : 0;
        jinja_step(run, (s->len - (to - from)) / 16);
        return jinja_like(jinja_str(run, s->data + from, to - from), s);
    }
    while (left && from < to) {
        const size_t n = (size_t)jinja_char_len(s->data + from, to - from);
        if (!jinja_tick(run) || !jinja_step(run, chars->len / 16) ||
            !is_in(chars, s->data + from, n))
            break;
        from += n;
    }
    while (right && to > from) {
        size_t n = 1;
        while (n < 4 && to - n > from && ((unsigned char)s->data[to - n] & 0xc0) == 0x80)
            n++;
        if (!jinja_tick(run) || !jinja_step(run, chars->len / 16) ||
            !is_in(chars, s->data + to - n, n))
            break;
        to -= n;
    }
    return jinja_like(jinja_str(run, s->data + from, to - from), s);
}

struct jinja_value jinja_replace(struct jinja_run *run, struct jinja_value in,
                                 const struct jinja_str *old, const struct jinja_str *new_text,
                                 int64_t count)
{
    const struct jinja_str *s = in.s;
    struct oll_strbuf text;
    size_t at = 0;
    jinja_step(run, s->len / 16);
    if (count == 0 || (old->len && jinja_find(s->data, s->len, 0, old->data, old->len) == SIZE_MAX))
        return in;
    oll_strbuf_init(&text, JINJA_OUTPUT_MAX);
    for (int64_t done = 0; (count < 0 || done < count) && jinja_ok(run); done++) {
        const size_t hit = old->len ? jinja_find(s->data, s->len, at, old->data, old->len) : at;
        if (hit == SIZE_MAX || !jinja_step(run, 1 + new_text->len / 64))
            break;
        oll_strbuf_add(&text, s->data + at, hit - at);
        oll_strbuf_add(&text, new_text->data, new_text->len);
        at = hit + old->len;
        if (old->len)
            continue;
        /* An empty text stands before every character and behind the last. */
        if (at >= s->len)
            break;
        const size_t n = (size_t)jinja_char_len(s->data + at, s->len - at);
        oll_strbuf_add(&text, s->data + at, n);
        at += n;
    }
    oll_strbuf_add(&text, s->data + at, s->len - at);
    return jinja_str_take(run, &text);
}

/* ---- splitting ---- */

static void push_part(struct jinja_run *run, struct jinja_seq *q, const char *data, size_t n)
{
    jinja_push(run, q, jinja_str(run, data, n));
}

static void split_spaces(struct jinja_run *run, const struct jinja_str *s, int64_t max,
                         struct jinja_seq *q)
{
    size_t at = jinja_space_before(s->data, s->len);
    while (at < s->len && jinja_ok(run)) {
        size_t end = at;
        if (max >= 0 && (int64_t)q->n == max) {
            push_part(run, q, s->data + at, s->len - at);
            return;
        }
        while (end < s->len && jinja_space_before(s->data + end, s->len - end) == 0)
            end += (size_t)jinja_char_len(s->data + end, s->len - end);
        push_part(run, q, s->data + at, end - at);
        at = end + jinja_space_before(s->data + end, s->len - end);
    }
}

static void split_text(struct jinja_run *run, const struct jinja_str *s,
                       const struct jinja_str *sep, int64_t max, struct jinja_seq *q)
{
    size_t at = 0;
    while (jinja_ok(run) && (max < 0 || (int64_t)q->n < max)) {
        const size_t hit = jinja_find(s->data, s->len, at, sep->data, sep->len);
        if (hit == SIZE_MAX)
            break;
        push_part(run, q, s->data + at, hit - at);
        at = hit + sep->len;
    }
    push_part(run, q, s->data + at, s->len - at);
}

static void reverse(struct jinja_seq *q)
{
    for (size_t i = 0; i < q->n / 2; i++) {
        const struct jinja_value v = q->items[i];
        q->items[i] = q->items[q->n - 1 - i];
        q->items[q->n - 1 - i] = v;
    }
}

/* The parts from the last to the first, then turned round. */
static void rsplit_text(struct jinja_run *run, const struct jinja_str *s,
                        const struct jinja_str *sep, int64_t max, struct jinja_seq *q)
{
    size_t end = s->len;
    while (jinja_ok(run) && (int64_t)q->n < max) {
        const size_t hit = jinja_rfind(s->data, end, sep->data, sep->len);
        if (hit == SIZE_MAX)
            break;
        push_part(run, q, s->data + hit + sep->len, end - hit - sep->len);
        end = hit;
    }
    push_part(run, q, s->data, end);
    reverse(q);
}

static void rsplit_spaces(struct jinja_run *run, const struct jinja_str *s, int64_t max,
                          struct jinja_seq *q)
{
    size_t end = s->len - jinja_space_after(s->data, s->len);
    while (end > 0 && jinja_ok(run)) {
        size_t from = end;
        if ((int64_t)q->n == max) {
            push_part(run, q, s->data, end);
            break;
        }
        while (from > 0 && jinja_space_after(s->data, from) == 0)
            from--;
        push_part(run, q, s->data + from, end - from);
        end = from - jinja_space_after(s->data, from);
    }
    reverse(q);
}

struct jinja_value jinja_split(struct jinja_run *run, const struct jinja_str *s,
                               const struct jinja_str *sep, int64_t max, bool from_right)
{
    struct jinja_value v = jinja_seq(run, JINJA_LIST, 0);
    jinja_step(run, s->len / 16);
    if (sep && sep->len == 0)
        return jinja_fail(run, OLL_ERR_FORMAT, "empty separator");
    if (!jinja_ok(run))
        return v;
    from_right = from_right && max >= 0;
    if (sep && from_right)
        rsplit_text(run, s, sep, max, v.q);
    else if (sep)
        split_text(run, s, sep, max, v.q);
    else if (from_right)
        rsplit_spaces(run, s, max, v.q);
    else
        split_spaces(run, s, max, v.q);
    for (size_t i = 0; i < v.q->n; i++)
        jinja_like(v.q->items[i], s);
    return v;
}

/* Length of the line end at s, 0: none. */
static size_t line_end(const char *s, size_t n)
{
    uint32_t cp;
    const int len = oll_utf8_decode(s, n, &cp);
    if (cp == '\r' && len)
        return n > 1 && s[1] == '\n' ? 2 : 1;
    if (len && ((cp >= 10 && cp <= 12) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 ||
                cp == 0x2028 || cp == 0x2029))
        return (size_t)len;
    return 0;
}

struct jinja_value jinja_split_lines(struct jinja_run *run, const struct jinja_str *s, bool keep)
{
    struct jinja_value v = jinja_seq(run, JINJA_LIST, 0);
    jinja_step(run, s->len / 16);
    for (size_t at = 0, end = 0; at < s->len && jinja_ok(run); at = end) {
        size_t ending = 0;
        while (end < s->len && (ending = line_end(s->data + end, s->len - end)) == 0)
            end += (size_t)jinja_char_len(s->data + end, s->len - end);
        push_part(run, v.q, s->data + at, end - at + (keep ? ending : 0));
        end += ending;
    }
    return v;
}

struct jinja_value jinja_join(struct jinja_run *run, const struct jinja_str *sep,
                              const struct jinja_seq *q, bool strict)
{
    struct oll_strbuf text;
    oll_strbuf_init(&text, JINJA_OUTPUT_MAX);
    for (size_t i = 0; i < q->n && jinja_step(run, 1 + sep->len / 64); i++) {
        if (strict && q->items[i].type != JINJA_STR)
            jinja_fail(run, OLL_ERR_FORMAT, "item %zu: a str expected, not %s", i,
                       jinja_type_name(q->items[i]));
        if (i)
            oll_strbuf_add(&text, sep->data, sep->len);
        if (jinja_ok(run))
            jinja_print(run, &text, q->items[i]);
    }
    return jinja_str_take(run, &text);
}
