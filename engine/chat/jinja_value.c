#include "engine/chat/jinja_value.h"

#include "engine/base/clock.h"
#include "engine/base/utf8.h"
#include "engine/chat/jinja_tree.h"

#include <stdio.h>
#include <string.h>

/* ---- the run ---- */

struct jinja_value jinja_fail(struct jinja_run *run, oll_status status, const char *fmt, ...)
{
    if (run->status == OLL_OK) {
        char text[512];
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
        run->status = OLL_FAIL(run->err, status, "%s (chat template, line %u)", text, run->line);
    }
    return jinja_undefined(NULL);
}

/* The clock is read every so many steps: often enough that no step can be long in between. */
enum { STEPS_PER_LOOK = 20000 };

bool jinja_step(struct jinja_run *run, uint64_t n)
{
    run->steps += n;
    if (run->steps < run->next_look)
        return true;
    run->next_look = run->steps + STEPS_PER_LOOK;
    if (run->steps > JINJA_STEPS_MAX ||
        oll_clock_thread_ns() - run->start_cpu_ns > (uint64_t)JINJA_CPU_MS_MAX * 1000000)
        jinja_fail(run, OLL_ERR_LIMIT, "the template takes too many steps");
    return jinja_ok(run);
}

void *jinja_alloc(struct jinja_run *run, size_t n, size_t size)
{
    void *p = oll_arena_alloc(&run->arena, n, size);
    if (!p)
        jinja_fail(run, run->arena.status, "the template needs too much memory");
    else
        jinja_step(run, n * size / 64);
    return p;
}

/* ---- strings ---- */

int jinja_char_len(const char *s, size_t n)
{
    uint32_t cp;
    if ((unsigned char)*s < 0x80)
        return 1;
    int len = oll_utf8_decode(s, n, &cp);
    return len > 0 ? len : 1;
}

static bool is_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x20) || cp == 0x85 || cp == 0xa0 ||
           cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 ||
           cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

size_t jinja_space_before(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint32_t cp = (unsigned char)s[i];
        const int len = cp < 0x80 ? 1 : oll_utf8_decode(s + i, n - i, &cp);
        if (len == 0 || !is_space(cp))
            break;
        i += (size_t)len;
    }
    return i;
}

size_t jinja_space_after(const char *s, size_t n)
{
    size_t end = n;
    while (end > 0) {
        size_t at = end - 1;
        uint32_t cp = (unsigned char)s[at];
        if (cp < 0x80 && is_space(cp)) {
            end = at;
            continue;
        }
        while (at > 0 && end - at < 4 && ((unsigned char)s[at] & 0xc0) == 0x80)
            at--;
        if (oll_utf8_decode(s + at, end - at, &cp) != (int)(end - at) || !is_space(cp))
            break;
        end = at;
    }
    return n - end;
}

/* Rolling hash of n bytes that stand `step` apart (1: forwards, -1: backwards). */
enum { HASH_BASE = 16777619, SHORT_NEEDLE = 16 };

static uint64_t hash_of(const char *s, size_t n, int step)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < n; i++, s += step)
        hash = hash * HASH_BASE + (unsigned char)*s;
    return hash;
}

/* Karp and Rabin 1987: the hash of a window moves along with it, and only windows with the right
 * hash are compared. Backwards, both texts are read from their ends. */
static size_t find_long(const char *s, size_t n, const char *what, size_t n_what, int step)
{
    const char *at = step > 0 ? s : s + n - 1;
    const uint64_t wanted = hash_of(step > 0 ? what : what + n_what - 1, n_what, step);
    uint64_t hash = hash_of(at, n_what, step), top = 1;
    for (size_t i = 1; i < n_what; i++)
        top *= HASH_BASE;
    for (size_t i = 0;; i++, at += step) {
        const char *window = step > 0 ? at : at - (n_what - 1);
        if (hash == wanted && !memcmp(window, what, n_what))
            return (size_t)(window - s);
        if (i + n_what >= n)
            return SIZE_MAX;
        const char *next = step > 0 ? at + n_what : at - n_what;
        hash = (hash - (unsigned char)*at * top) * HASH_BASE + (unsigned char)*next;
    }
}

size_t jinja_find(const char *s, size_t n, size_t from, const char *what, size_t n_what)
{
    if (n_what == 0)
        return from <= n ? from : SIZE_MAX;
    if (n_what > SHORT_NEEDLE && from + n_what <= n) {
        const size_t at = find_long(s + from, n - from, what, n_what, 1);
        return at == SIZE_MAX ? at : from + at;
    }
    while (from + n_what <= n) {
        const char *p = memchr(s + from, what[0], n - n_what - from + 1);
        if (!p)
            return SIZE_MAX;
        if (!memcmp(p, what, n_what))
            return (size_t)(p - s);
        from = (size_t)(p - s) + 1;
    }
    return SIZE_MAX;
}

size_t jinja_rfind(const char *s, size_t n, const char *what, size_t n_what)
{
    if (n_what > SHORT_NEEDLE && n_what <= n)
        return find_long(s, n, what, n_what, -1);
    for (size_t at = n_what <= n ? n - n_what + 1 : 0; at-- > 0;)
        if (!memcmp(s + at, what, n_what))
            return at;
    return SIZE_MAX;
}

struct jinja_value jinja_str(struct jinja_run *run, const char *data, size_t n)
{
    struct jinja_str *s = jinja_alloc(run, 1, sizeof *s);
    if (!s)
        return jinja_undefined(NULL);
    *s = (struct jinja_str){.data = data, .len = n, .n_chars = SIZE_MAX};
    return (struct jinja_value){.type = JINJA_STR, .s = s};
}

struct jinja_value jinja_text(struct jinja_run *run, const char *terminated)
{
    return jinja_str(run, terminated, strlen(terminated));
}

struct jinja_value jinja_str_copy(struct jinja_run *run, const char *data, size_t n)
{
    char *copy = jinja_alloc(run, n, 1);
    if (!copy)
        return jinja_undefined(NULL);
    if (n)
        memcpy(copy, data, n);
    return jinja_str(run, copy, n);
}

struct jinja_value jinja_str_take(struct jinja_run *run, struct oll_strbuf *text)
{
    struct jinja_value v = jinja_undefined(NULL);
    if (text->status != OLL_OK)
        jinja_fail(run, text->status, "the template makes too long a text");
    else if (jinja_ok(run))
        v = jinja_str_copy(run, text->data, text->len);
    oll_strbuf_free(text);
    return v;
}

struct jinja_value jinja_concat(struct jinja_run *run, const struct jinja_str *a,
                                const struct jinja_str *b)
{
    struct jinja_bytes *bytes = a->bytes;
    if (!jinja_step(run, 1 + b->len / 64))
        return jinja_undefined(NULL);
    if (!bytes || a->data + a->len != bytes->data + bytes->used ||
        bytes->cap - bytes->used < b->len) {
        const size_t len = a->len + b->len;
        bytes = jinja_alloc(run, 1, sizeof *bytes);
        if (!bytes)
            return jinja_undefined(NULL);
        /* Short texts are seldom continued; long ones get room to be. */
        bytes->cap = len < 512 ? len : 2 * len;
        bytes->data = jinja_alloc(run, bytes->cap, 1);
        if (!bytes->data)
            return jinja_undefined(NULL);
        memcpy(bytes->data, a->data, a->len);
        bytes->used = a->len;
    }
    memcpy(bytes->data + bytes->used, b->data, b->len);
    bytes->used += b->len;
    struct jinja_value v =
        jinja_str(run, bytes->data + bytes->used - a->len - b->len, a->len + b->len);
    if (v.type == JINJA_STR)
        v.s->bytes = bytes;
    return v;
}

size_t jinja_str_chars(struct jinja_str *s)
{
    if (s->n_chars == SIZE_MAX) {
        size_t n = 0;
        for (size_t i = 0; i < s->len; n++)
            i += (size_t)jinja_char_len(s->data + i, s->len - i);
        s->n_chars = n;
    }
    return s->n_chars;
}

size_t jinja_str_offset(struct jinja_str *s, size_t i)
{
    size_t at = 0;
    if (jinja_str_chars(s) == s->len)
        return i;
    while (i-- > 0)
        at += (size_t)jinja_char_len(s->data + at, s->len - at);
    return at;
}

bool jinja_str_is(struct jinja_value v, const char *text)
{
    return v.type == JINJA_STR && v.s->len == strlen(text) && !memcmp(v.s->data, text, v.s->len);
}

/* ---- containers ---- */

struct jinja_value jinja_seq(struct jinja_run *run, enum jinja_seq_kind kind, size_t cap)
{
    struct jinja_seq *q = jinja_alloc(run, 1, sizeof *q);
    if (!q)
        return jinja_undefined(NULL);
    *q = (struct jinja_seq){.kind = kind, .own = true, .cap = cap};
    q->items = cap ? jinja_alloc(run, cap, sizeof *q->items) : NULL;
    if (cap && !q->items)
        return jinja_undefined(NULL);
    return (struct jinja_value){.type = JINJA_SEQ, .q = q};
}

void jinja_push(struct jinja_run *run, struct jinja_seq *q, struct jinja_value v)
{
    if (!jinja_ok(run))
        return;
    if (q->n == q->cap) {
        const size_t cap = q->cap ? 2 * q->cap : 4;
        struct jinja_value *items = jinja_alloc(run, cap, sizeof *items);
        if (!items)
            return;
        if (q->n)
            memcpy(items, q->items, q->n * sizeof *items);
        q->items = items;
        q->cap = cap;
    }
    q->items[q->n++] = v;
}

struct jinja_value jinja_pair(struct jinja_run *run, struct jinja_value a, struct jinja_value b)
{
    struct jinja_value v = jinja_seq(run, JINJA_TUPLE, 2);
    if (v.type == JINJA_SEQ) {
        jinja_push(run, v.q, a);
        jinja_push(run, v.q, b);
    }
    return v;
}

struct jinja_value jinja_dict(struct jinja_run *run, size_t cap)
{
    struct jinja_dict *d = jinja_alloc(run, 1, sizeof *d);
    if (!d)
        return jinja_undefined(NULL);
    *d = (struct jinja_dict){.cap = cap, .own = true};
    d->entries = cap ? jinja_alloc(run, cap, sizeof *d->entries) : NULL;
    if (cap && !d->entries)
        return jinja_undefined(NULL);
    return (struct jinja_value){.type = JINJA_DICT, .d = d};
}

struct jinja_entry *jinja_dict_find(struct jinja_run *run, struct jinja_dict *d,
                                    struct jinja_value key)
{
    jinja_step(run, d->n / 8 + (key.type == JINJA_STR ? key.s->len / 64 : 0));
    for (size_t i = 0; i < d->n; i++) {
        const struct jinja_value k = d->entries[i].key;
        if (key.type == JINJA_STR && k.type == JINJA_STR) {
            if (k.s->len == key.s->len && !memcmp(k.s->data, key.s->data, key.s->len))
                return &d->entries[i];
        } else if (jinja_equal(run, k, key)) {
            return &d->entries[i];
        }
    }
    return NULL;
}

static void dict_add(struct jinja_run *run, struct jinja_dict *d, struct jinja_value key,
                     struct jinja_value v)
{
    if (d->n == d->cap) {
        const size_t cap = d->cap ? 2 * d->cap : 4;
        struct jinja_entry *entries = jinja_alloc(run, cap, sizeof *entries);
        if (!entries)
            return;
        if (d->n)
            memcpy(entries, d->entries, d->n * sizeof *entries);
        d->entries = entries;
        d->cap = cap;
    }
    d->entries[d->n++] = (struct jinja_entry){.key = key, .value = v};
}

void jinja_dict_set(struct jinja_run *run, struct jinja_dict *d, struct jinja_value key,
                    struct jinja_value v)
{
    if (key.type == JINJA_DICT || (key.type == JINJA_SEQ && key.q->kind == JINJA_LIST)) {
        jinja_fail(run, OLL_ERR_FORMAT, "unhashable type: '%s'", jinja_type_name(key));
        return;
    }
    struct jinja_entry *entry = jinja_dict_find(run, d, key);
    if (!jinja_ok(run))
        return;
    if (entry)
        entry->value = v;
    else
        dict_add(run, d, key, v);
}

void jinja_dict_sets(struct jinja_run *run, struct jinja_dict *d, const char *key,
                     struct jinja_value v)
{
    const struct jinja_value k = jinja_text(run, key);
    if (jinja_ok(run))
        jinja_dict_set(run, d, k, v);
}

static struct jinja_seq *chars_of(struct jinja_run *run, const struct jinja_str *s)
{
    struct jinja_value v = jinja_seq(run, JINJA_LIST, 0);
    for (size_t i = 0; i < s->len && jinja_ok(run);) {
        const size_t len = (size_t)jinja_char_len(s->data + i, s->len - i);
        jinja_push(run, v.q, jinja_str(run, s->data + i, len));
        i += len;
    }
    return v.type == JINJA_SEQ ? v.q : NULL;
}

static struct jinja_seq *keys_of(struct jinja_run *run, const struct jinja_dict *d)
{
    struct jinja_value v = jinja_seq(run, JINJA_LIST, d->n);
    for (size_t i = 0; i < d->n && jinja_ok(run); i++)
        jinja_push(run, v.q, d->entries[i].key);
    return v.type == JINJA_SEQ ? v.q : NULL;
}

/* What is left of a generator, as a list; it is empty afterwards. */
static struct jinja_seq *drain(struct jinja_run *run, struct jinja_seq *q)
{
    struct jinja_seq *rest = jinja_alloc(run, 1, sizeof *rest);
    if (!rest)
        return NULL;
    *rest = (struct jinja_seq){.kind = JINJA_LIST,
                               .own = true,
                               .n = q->n - q->taken,
                               .cap = q->n - q->taken,
                               .items = q->items ? q->items + q->taken : NULL};
    q->taken = q->n;
    return rest;
}

/* Makes the items of a range. */
static struct jinja_seq *spell_out(struct jinja_run *run, struct jinja_seq *q)
{
    struct jinja_value *items =
        q->items || q->n == 0 ? q->items : jinja_alloc(run, q->n, sizeof *items);
    for (size_t i = 0; items && !q->items && i < q->n; i++)
        items[i] = jinja_item(q, i);
    q->items = items;
    q->cap = q->n;
    return q;
}

/* Never NULL, so that callers need not ask: after a failure it is empty. */
struct jinja_seq *jinja_iterate(struct jinja_run *run, struct jinja_value v)
{
    static struct jinja_seq nothing = {.kind = JINJA_LIST};
    struct jinja_seq *q = NULL;
    switch (v.type) {
    case JINJA_UNDEFINED: return &nothing;
    case JINJA_SEQ:
        q = v.q->kind == JINJA_GENERATOR ? drain(run, v.q)
            : v.q->kind == JINJA_RANGE   ? spell_out(run, v.q)
                                         : v.q;
        break;
    case JINJA_DICT: q = keys_of(run, v.d); break;
    case JINJA_STR: q = chars_of(run, v.s); break;
    default: jinja_fail(run, OLL_ERR_FORMAT, "'%s' object is not iterable", jinja_type_name(v));
    }
    return q && jinja_ok(run) ? q : &nothing;
}

int64_t jinja_len(struct jinja_run *run, struct jinja_value v)
{
    switch (v.type) {
    case JINJA_UNDEFINED: return 0;
    case JINJA_STR: jinja_step(run, v.s->len / 64); return (int64_t)jinja_str_chars(v.s);
    case JINJA_SEQ: return (int64_t)(v.q->n - v.q->taken);
    case JINJA_DICT: return (int64_t)v.d->n;
    default:
        jinja_fail(run, OLL_ERR_FORMAT, "object of type '%s' has no len()", jinja_type_name(v));
        return 0;
    }
}

static struct jinja_value container_from_json(struct jinja_run *run, const struct oll_json *json)
{
    struct jinja_value v = json->type == OLL_JSON_ARRAY ? jinja_seq(run, JINJA_LIST, json->n)
                                                        : jinja_dict(run, json->n);
    if (!jinja_ok(run))
        return v;
    if (v.type == JINJA_SEQ)
        v.q->own = false;
    else
        v.d->own = false;
    /* The reader bounds the depth of its trees and joins equal keys. */
    for (const struct oll_json *c = json->first; c && jinja_ok(run); c = c->next) {
        const struct jinja_value child = jinja_from_json(run, c);
        if (v.type == JINJA_SEQ)
            jinja_push(run, v.q, child);
        else
            dict_add(run, v.d, jinja_str(run, c->key, c->key_len), child);
    }
    return v;
}

struct jinja_value jinja_from_json(struct jinja_run *run, const struct oll_json *json)
{
    switch (json->type) {
    case OLL_JSON_BOOL: return jinja_bool(json->is_true);
    case OLL_JSON_NUMBER: return json->is_int ? jinja_int(json->i) : jinja_float(json->real);
    case OLL_JSON_STRING: return jinja_str(run, json->str, json->str_len);
    case OLL_JSON_ARRAY:
    case OLL_JSON_OBJECT: return container_from_json(run, json);
    default: return jinja_none();
    }
}

const struct jinja_value *jinja_arg(const struct jinja_args *args, size_t i, const char *name)
{
    if (i < args->n_pos)
        return &args->pos[i];
    for (size_t k = 0; name && k < args->n_kw; k++)
        if (!strcmp(args->kw[k].name, name))
            return &args->kw[k].value;
    return NULL;
}

bool jinja_arg_bool(struct jinja_run *run, const struct jinja_args *args, size_t i,
                    const char *name, bool fallback)
{
    const struct jinja_value *v = jinja_arg(args, i, name);
    return v ? jinja_truth(run, *v) : fallback;
}

int64_t jinja_arg_int(struct jinja_run *run, const struct jinja_args *args, size_t i,
                      const char *name, int64_t fallback)
{
    const struct jinja_value *v = jinja_arg(args, i, name);
    if (!v || v->type == JINJA_NONE)
        return fallback;
    if (v->type == JINJA_BOOL)
        return v->b;
    if (v->type != JINJA_INT)
        jinja_fail(run, OLL_ERR_FORMAT, "%s must be an integer, not '%s'", name,
                   jinja_type_name(*v));
    return v->type == JINJA_INT ? v->i : fallback;
}

struct jinja_value jinja_new_call(struct jinja_run *run, struct jinja_call call)
{
    struct jinja_call *c = jinja_alloc(run, 1, sizeof *c);
    if (!c)
        return jinja_undefined(NULL);
    *c = call;
    return (struct jinja_value){.type = JINJA_CALL, .c = c};
}
