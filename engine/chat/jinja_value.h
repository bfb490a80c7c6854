/* Values of the Jinja engine: Python's data model, as far as chat templates can see it.
 *
 * A value is 16 bytes and copied freely; what it points at lives in the arena of one rendering
 * (struct jinja_run) and is never freed alone. Strings are UTF-8; lengths and indices that a
 * template sees count code points. Every function that can fail records the first failure in the
 * run (jinja_fail) and returns an undefined value, so that expressions need no error branches;
 * loops look at jinja_ok(). One thread per run. */
#ifndef OLL_CHAT_JINJA_VALUE_H
#define OLL_CHAT_JINJA_VALUE_H

#include "engine/base/arena.h"
#include "engine/base/json.h"
#include "engine/base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum jinja_type {
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_FLOAT,
    JINJA_STR,
    JINJA_SEQ,
    JINJA_DICT,
    JINJA_SPACE, /* namespace(): a dict whose members can be assigned */
    JINJA_CALL,  /* anything that can be called */
    JINJA_LOOP
};

struct jinja_value {
    enum jinja_type type;
    union {
        bool b;
        int64_t i;
        double f;
        struct jinja_str *s;
        struct jinja_seq *q;
        struct jinja_dict *d; /* DICT, SPACE */
        struct jinja_call *c;
        struct jinja_loop *l;
        const char *name; /* UNDEFINED: what was looked for, NULL when unknown */
    };
};

/* The bytes that a string may still grow into: x + y appends in place when x ends where its buffer
 * ends, so that text built piece by piece costs linear time. */
struct jinja_bytes {
    char *data;
    size_t used, cap;
};

struct jinja_str {
    const char *data; /* not terminated */
    size_t len;
    size_t n_chars;            /* SIZE_MAX: not counted yet */
    struct jinja_bytes *bytes; /* NULL: borrowed, cannot grow */
    bool is_markup;            /* of `safe` and `escape`: + escapes the other side for HTML */
};

enum jinja_seq_kind {
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_GENERATOR, /* of a filter: always true, read once */
    JINJA_RANGE,
    JINJA_KEYS, /* views of a dict */
    JINJA_VALUES,
    JINJA_ITEMS
};

struct jinja_seq {
    enum jinja_seq_kind kind;
    bool own; /* made by the template, so it may change it */
    size_t n, cap;
    size_t taken; /* GENERATOR: items already read */
    struct jinja_value *items;
    /* RANGE: start, stop, step. Its items are only made when more than a loop asks for them
     * (jinja_iterate); until then they are NULL. */
    int64_t range[3];
};

struct jinja_entry {
    struct jinja_value key, value;
    bool was_read; /* a template looked at it: what probing asks */
};

struct jinja_dict { /* in order of insertion */
    size_t n, cap;
    struct jinja_entry *entries;
    bool own;
};

struct jinja_kwarg {
    const char *name;
    struct jinja_value value;
};

struct jinja_args {
    const struct jinja_value *pos;
    size_t n_pos;
    const struct jinja_kwarg *kw;
    size_t n_kw;
    struct jinja_dict *named; /* of the % operator: values by name; else NULL */
};

struct jinja_run;

/* Filters, tests, methods and global functions: `self` is the value in front of the filter, test or
 * method; undefined for a global function. */
typedef struct jinja_value (*jinja_fn)(struct jinja_run *run, struct jinja_value self,
                                       const struct jinja_args *args);

enum jinja_call_kind { JINJA_FUNCTION, JINJA_METHOD, JINJA_MACRO, JINJA_JOINER, JINJA_CYCLER };

struct jinja_call {
    enum jinja_call_kind kind;
    const char *name;
    jinja_fn fn;                    /* FUNCTION, METHOD */
    struct jinja_value self;        /* METHOD: the object; JOINER: its text; CYCLER: its list */
    size_t place;                   /* JOINER: calls so far; CYCLER: the next item */
    const struct jinja_node *macro; /* MACRO: a MACRO or CALL_BLOCK node */
    struct jinja_scope *scope;      /* MACRO: where it was defined */
};

enum {
    JINJA_SOURCE_MAX = 1 << 20,
    JINJA_OUTPUT_MAX = 16 << 20,
    JINJA_MEMORY_MAX = 128 << 20,
    JINJA_STEPS_MAX = 10 * 1000 * 1000,
    JINJA_CPU_MS_MAX = 60,
    JINJA_CALL_DEPTH_MAX = 64,
    JINJA_EVAL_DEPTH_MAX = 1000,
    JINJA_DATA_DEPTH_MAX = 150,
    JINJA_RANGE_MAX = 100000
};

/* One rendering. */
struct jinja_run {
    struct oll_arena arena;
    struct oll_strbuf out; /* text of the page; macros write behind it and take it off again */
    struct oll_error *err;
    oll_status status; /* first failure */
    bool raised;       /* by the template itself (raise_exception) */
    uint32_t line;     /* of the node that is being executed */
    uint64_t steps, next_look, start_cpu_ns;
    uint32_t ticks;
    int eval_depth, call_depth;
    struct tm now;
    struct jinja_scope *globals, *scope;
    const struct jinja_template *page;
};

static inline bool jinja_ok(const struct jinja_run *run) { return run->status == OLL_OK; }

/* Records the first failure, with the line, and returns an undefined value. */
struct jinja_value jinja_fail(struct jinja_run *run, oll_status status, const char *fmt, ...)
    OLL_PRINTF(3, 4);
/* Counts work; false when the rendering must end. */
bool jinja_step(struct jinja_run *run, uint64_t n);
/* The same for each turn of a loop over characters: four of them count as one step. */
static inline bool jinja_tick(struct jinja_run *run)
{
    return (++run->ticks & 63) != 0 || jinja_step(run, 16);
}
/* Zeroed memory of the run; NULL after a failure that is recorded. */
void *jinja_alloc(struct jinja_run *run, size_t n, size_t size);

static inline struct jinja_value jinja_undefined(const char *name)
{
    return (struct jinja_value){.type = JINJA_UNDEFINED, .name = name};
}
static inline struct jinja_value jinja_none(void)
{
    return (struct jinja_value){.type = JINJA_NONE};
}
static inline struct jinja_value jinja_bool(bool b)
{
    return (struct jinja_value){.type = JINJA_BOOL, .b = b};
}
static inline struct jinja_value jinja_int(int64_t i)
{
    return (struct jinja_value){.type = JINJA_INT, .i = i};
}
static inline struct jinja_value jinja_float(double f)
{
    return (struct jinja_value){.type = JINJA_FLOAT, .f = f};
}

/* ---- strings ---- */

/* The bytes are borrowed for as long as the run lives. */
struct jinja_value jinja_str(struct jinja_run *run, const char *data, size_t n);
struct jinja_value jinja_text(struct jinja_run *run, const char *terminated);
struct jinja_value jinja_str_copy(struct jinja_run *run, const char *data, size_t n);
struct jinja_value jinja_concat(struct jinja_run *run, const struct jinja_str *a,
                                const struct jinja_str *b);
/* The same with & < > ' " written as HTML entities, and as markup. */
struct jinja_value jinja_escape(struct jinja_run *run, const struct jinja_str *s);
/* A part or a variant of `of`: markup if that is. */
static inline struct jinja_value jinja_like(struct jinja_value v, const struct jinja_str *of)
{
    if (v.type == JINJA_STR && of->is_markup)
        v.s->is_markup = true;
    return v;
}
size_t jinja_str_chars(struct jinja_str *s);
/* Byte offset of a character; `i` at most the number of characters. */
size_t jinja_str_offset(struct jinja_str *s, size_t i);
bool jinja_str_is(struct jinja_value v, const char *text);
/* Length of the white space (Python's str.isspace) at the start, at the end of s[0..n). */
size_t jinja_space_before(const char *s, size_t n);
size_t jinja_space_after(const char *s, size_t n);
/* Length of the character at s, at least 1: a byte that starts none counts as one. */
int jinja_char_len(const char *s, size_t n);
/* First place of `what` in s[0..n) at or behind `from`; last place; SIZE_MAX: none. Linear time. */
size_t jinja_rfind(const char *s, size_t n, const char *what, size_t n_what);
size_t jinja_find(const char *s, size_t n, size_t from, const char *what, size_t n_what);

/* What the builder below collects becomes a string; frees the buffer in any case. */
struct jinja_value jinja_str_take(struct jinja_run *run, struct oll_strbuf *text);

/* ---- containers ---- */

struct jinja_value jinja_seq(struct jinja_run *run, enum jinja_seq_kind kind, size_t cap);
void jinja_push(struct jinja_run *run, struct jinja_seq *q, struct jinja_value v);
/* An item of any sequence, also of a range that has no items yet. */
static inline struct jinja_value jinja_item(const struct jinja_seq *q, size_t i)
{
    if (q->kind == JINJA_RANGE && !q->items)
        return (struct jinja_value){.type = JINJA_INT, .i = q->range[0] + (int64_t)i * q->range[2]};
    return q->items[i];
}
struct jinja_value jinja_pair(struct jinja_run *run, struct jinja_value a, struct jinja_value b);
struct jinja_value jinja_dict(struct jinja_run *run, size_t cap);
/* NULL: absent. Does not mark the entry as read. */
struct jinja_entry *jinja_dict_find(struct jinja_run *run, struct jinja_dict *d,
                                    struct jinja_value key);
void jinja_dict_set(struct jinja_run *run, struct jinja_dict *d, struct jinja_value key,
                    struct jinja_value v);
void jinja_dict_sets(struct jinja_run *run, struct jinja_dict *d, const char *key,
                     struct jinja_value v);
/* What iteration yields: the items of a sequence, keys of a dict, characters of a string; nothing
 * for an undefined value. Fails for others. Reading a generator empties it. */
struct jinja_seq *jinja_iterate(struct jinja_run *run, struct jinja_value v);
/* len(); fails for what has none. */
int64_t jinja_len(struct jinja_run *run, struct jinja_value v);
struct jinja_value jinja_from_json(struct jinja_run *run, const struct oll_json *json);

/* ---- meaning ---- */

bool jinja_truth(struct jinja_run *run, struct jinja_value v);
bool jinja_equal(struct jinja_run *run, struct jinja_value a, struct jinja_value b);
/* -1, 0, 1; fails for values without an order. */
int jinja_compare(struct jinja_run *run, struct jinja_value a, struct jinja_value b);
bool jinja_contains(struct jinja_run *run, struct jinja_value box, struct jinja_value v);
bool jinja_is_number(struct jinja_value v); /* int, float, bool */
double jinja_as_double(struct jinja_value v);
/* "str", "NoneType", ...: Python's names, for messages. */
const char *jinja_type_name(struct jinja_value v);

/* ---- text of values (jinja_print.c) ---- */

/* str() and repr(). */
void jinja_print(struct jinja_run *run, struct oll_strbuf *out, struct jinja_value v);
void jinja_repr(struct jinja_run *run, struct oll_strbuf *out, struct jinja_value v);
/* str() as a value; strings are returned as they are. */
struct jinja_value jinja_to_str(struct jinja_run *run, struct jinja_value v);
/* Python's repr of a float: at most 32 bytes with the terminator. */
void jinja_format_float(double f, char out[32]);

struct jinja_json_style {
    bool ascii, sort_keys;
    const char *indent; /* one level; NULL: one line */
    const char *comma, *colon;
};
/* json.dumps */
void jinja_dump(struct jinja_run *run, struct oll_strbuf *out, struct jinja_value v,
                const struct jinja_json_style *style);

/* ---- operators (jinja_ops.c) ---- */

/* a.name and a['name'] of Jinja. */
struct jinja_value jinja_get_attr(struct jinja_run *run, struct jinja_value v, const char *name);
struct jinja_value jinja_get_item(struct jinja_run *run, struct jinja_value v,
                                  struct jinja_value key);
/* Each bound is an integer or none. */
struct jinja_value jinja_slice(struct jinja_run *run, struct jinja_value v,
                               const struct jinja_value bounds[3]);
/* `op` is '+', '-', '*', '/', '%', or 'f' (floor division) and 'p' (power). */
struct jinja_value jinja_arith(struct jinja_run *run, char op, struct jinja_value a,
                               struct jinja_value b);
struct jinja_value jinja_negate(struct jinja_run *run, struct jinja_value v);

/* ---- functions ---- */

struct jinja_builtin {
    const char *name;
    jinja_fn fn;
};
/* NULL: there is no filter, test or method of that name. */
jinja_fn jinja_find_filter(const char *name);
jinja_fn jinja_find_test(const char *name);
jinja_fn jinja_find_method(struct jinja_value v, const char *name);
extern const struct jinja_builtin jinja_globals[]; /* ends with a NULL name */
extern const struct jinja_builtin jinja_filters[], jinja_seq_filters[], jinja_tests[],
    jinja_str_methods[];

/* The i-th positional argument or the keyword argument; NULL when not given. */
const struct jinja_value *jinja_arg(const struct jinja_args *args, size_t i, const char *name);
/* The same as a truth value, an integer. */
bool jinja_arg_bool(struct jinja_run *run, const struct jinja_args *args, size_t i,
                    const char *name, bool fallback);
int64_t jinja_arg_int(struct jinja_run *run, const struct jinja_args *args, size_t i,
                      const char *name, int64_t fallback);
/* Calls a function, method or macro. */
struct jinja_value jinja_invoke(struct jinja_run *run, struct jinja_value callee,
                                const struct jinja_args *args);
struct jinja_value jinja_new_call(struct jinja_run *run, struct jinja_call call);

/* Python's str.upper, str.lower of one character: at most 3 characters; returns how many. */
int jinja_upper_char(uint32_t cp, uint32_t out[3]);
int jinja_lower_char(uint32_t cp, uint32_t out[3]);
bool jinja_is_alpha(uint32_t cp);

#endif
