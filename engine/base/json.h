/* JSON (RFC 8259): a strict reader into an arena and a streaming writer.
 *
 * The reader keeps what a server must not lose: 64-bit integers exactly, the text of each number,
 * NULs inside strings, the order of keys and where in the source each value stood. It refuses what
 * the grammar refuses (trailing commas, comments, NaN, a byte order mark, raw control characters).
 * It never recurses, and its memory is at most a small multiple of the text it was given.
 *
 * The writer produces the bytes of Go's encoding/json, on which digests of stored documents and
 * recorded transcripts depend. */
#ifndef OLL_BASE_JSON_H
#define OLL_BASE_JSON_H

#include "engine/base/arena.h"
#include "engine/base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

enum oll_json_type {
    OLL_JSON_NULL,
    OLL_JSON_BOOL,
    OLL_JSON_NUMBER,
    OLL_JSON_STRING,
    OLL_JSON_ARRAY,
    OLL_JSON_OBJECT
};

struct oll_json {
    uint8_t type; /* enum oll_json_type */
    bool is_true; /* bool */
    bool is_int;  /* number: no fraction or exponent, fits `i` */
    bool is_uint; /* number: no fraction or exponent, fits uint64_t: (uint64_t)i */
    uint32_t key_len;
    const char *key; /* member of an object, else NULL; NUL-terminated, may hold NULs */
    struct oll_json *next;
    size_t offset; /* of the value's first byte in the source */
    union {
        struct {
            const char *str; /* NUL-terminated, may hold NULs */
            size_t str_len;
        };
        struct {
            const char *raw; /* the number as written, not terminated */
            size_t raw_len;
            double real; /* nearest double; infinite when out of range */
            int64_t i;
        };
        struct {
            struct oll_json *first;   /* array, object: children in source order */
            struct oll_json **sorted; /* object: members by key bytes; NULL when empty */
            size_t n;                 /* children */
        };
    };
};

enum { OLL_JSON_DEPTH_MAX = 128 };

struct oll_json_limits {
    int max_depth;        /* containers inside containers, at most OLL_JSON_DEPTH_MAX */
    size_t max_nodes;     /* values in all */
    size_t max_members;   /* of one object, duplicates counted */
    size_t max_key_bytes; /* of one key, decoded */
    bool replace_utf8;    /* bad bytes become U+FFFD, as Go does; else they are an error */
    bool allow_trailing;  /* stop after the first value and ignore the rest */
};

/* Limits of a request body: depth 64, a million values, 10,000 members, keys of 1 KiB. */
extern const struct oll_json_limits oll_json_limits_default;

/* Reads one value (surrounded by white space) from text[0..n) into the arena; `limits` NULL means
 * the defaults. The text is copied: the tree does not refer to it. A lone surrogate escape becomes
 * U+FFFD. Of equal keys the last value wins and stands at the place of the first.
 * OLL_ERR_FORMAT: the text is not JSON ("unexpected EOF" when it is only cut short);
 * OLL_ERR_LIMIT; OLL_ERR_MEMORY. The error text ends with the byte offset. */
oll_status oll_json_parse(struct oll_arena *arena, const char *text, size_t n,
                          const struct oll_json_limits *limits, struct oll_json **root,
                          struct oll_error *err) OLL_MUST_USE;

/* Member of an object by exact key; NULL when absent or `object` is NULL or no object. */
const struct oll_json *oll_json_get(const struct oll_json *object, const char *key);
/* The member that Go's decoder would leave in a field of this name: of all spellings that differ
 * in case only, the value that stands last in the source. `key` is ASCII. */
const struct oll_json *oll_json_get_fold(const struct oll_json *object, const char *key);
/* Whether a key equals an ASCII name under Go's case folding. */
bool oll_json_key_folds(const char *key, size_t key_len, const char *name);
/* String value of an exact key, `fallback` when absent or no string. */
const char *oll_json_get_str(const struct oll_json *object, const char *key, const char *fallback);
/* "null", "bool", "number", "string", "array", "object". */
const char *oll_json_type_name(const struct oll_json *value);

/* Writer. Commas come by themselves; the caller pairs begin and end and writes a key before each
 * member. Failures stick in the string buffer. */
struct oll_json_writer {
    struct oll_strbuf *out;
    bool need_comma;
    bool after_key;
    int depth;
    /* Style, set after init: */
    bool keep_html; /* leave < > & as they are; Go's default escapes them */
    bool spaced;    /* ", " and ": " between tokens, as Python's json.dumps */
    int indent;     /* blanks per level, one token a line; 0: one line */
};

void oll_json_write_init(struct oll_json_writer *w, struct oll_strbuf *out);
void oll_json_write_object_begin(struct oll_json_writer *w);
void oll_json_write_object_end(struct oll_json_writer *w);
void oll_json_write_array_begin(struct oll_json_writer *w);
void oll_json_write_array_end(struct oll_json_writer *w);
void oll_json_write_key(struct oll_json_writer *w, const char *key);
void oll_json_write_keyn(struct oll_json_writer *w, const char *key, size_t n);
/* Invalid UTF-8 is written as \ufffd, one for each bad byte. */
void oll_json_write_str(struct oll_json_writer *w, const char *s);
void oll_json_write_strn(struct oll_json_writer *w, const char *s, size_t n);
void oll_json_write_int(struct oll_json_writer *w, int64_t v);
void oll_json_write_uint(struct oll_json_writer *w, uint64_t v);
/* Shortest text that reads back equal, as float64 or float32. JSON has no name for infinities and
 * NaN: they are written as null. */
void oll_json_write_double(struct oll_json_writer *w, double v);
void oll_json_write_float(struct oll_json_writer *w, float v);
void oll_json_write_bool(struct oll_json_writer *w, bool v);
void oll_json_write_null(struct oll_json_writer *w);
/* A value that is JSON already, copied as it is. */
void oll_json_write_raw(struct oll_json_writer *w, const char *json, size_t n);
/* A tree: keys in source order, or bytewise sorted as Go prints a map. Integers that fit 64 bits
 * are exact, other numbers are printed as doubles, those out of a double's range as written. */
void oll_json_write_node(struct oll_json_writer *w, const struct oll_json *node, bool sort_keys);

/* Go's text of a float, without the writer: at most 32 bytes with the terminator. */
enum { OLL_JSON_NUMBER_TEXT_MAX = 32 };
void oll_json_format_double(double v, char out[OLL_JSON_NUMBER_TEXT_MAX]);
void oll_json_format_float(float v, char out[OLL_JSON_NUMBER_TEXT_MAX]);

#endif
