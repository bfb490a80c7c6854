/* Values that a Go template works with; internal to engine/chat/go_*.c.
 *
 * A value is a view: of the conversation, of JSON that came with it, or of bytes in the arena of
 * the rendering. Nothing is converted ahead of use. Records have the fields of Ollama's types. */
#ifndef OLL_CHAT_GO_VALUE_H
#define OLL_CHAT_GO_VALUE_H

#include "engine/chat/conversation.h"
#include "engine/chat/go_node.h"

enum go_kind {
    GO_MISSING, /* no value at all: fields of it are again missing */
    GO_NULL,    /* nil inside a map or list: fields of it are an error */
    GO_BOOL,
    GO_INT,
    GO_FLOAT,
    GO_STRING,
    /* Lists; those of JSON point to their first element. */
    GO_LIST_ANY,
    GO_LIST_STRINGS,
    GO_LIST_TYPES, /* of a property: one prints without brackets */
    GO_LIST_PROPERTIES,
    GO_LIST_TOOLS,
    GO_LIST_MESSAGES,
    GO_LIST_CALLS,
    GO_LIST_IMAGES,
    /* Maps. */
    GO_MAP_ANY,
    GO_MAP_ARGUMENTS,
    GO_MAP_PROPERTIES,
    GO_MAP_ROOT,
    /* Records; `p` may be NULL for those of JSON: all fields are empty. */
    GO_RECORD_MESSAGE,
    GO_RECORD_CALL,
    GO_RECORD_CALLED, /* .Function of a call */
    GO_RECORD_TOOL,
    GO_RECORD_FUNCTION, /* .Function of a tool */
    GO_RECORD_PARAMETERS,
    GO_RECORD_PROPERTY
};

struct go_value {
    uint8_t kind; /* enum go_kind */
    bool is_nil;  /* list, map: absent, which JSON shows as null */
    bool is_true; /* bool */
    size_t n;     /* bytes of a string; elements of a list or map */
    union {
        int64_t i;
        double real;
        const char *s;
        const void *p;
    };
};

enum { GO_ROOT_MAX = 12 };

/* The data of one execution, sorted by name. */
struct go_root {
    struct {
        const char *name;
        struct go_value value;
    } entries[GO_ROOT_MAX];
    uint32_t n;
};

struct go_value go_bool(bool v);
struct go_value go_int(int64_t v);
struct go_value go_string(const char *s, size_t n);
struct go_value go_text(const char *s); /* NUL-terminated */
struct go_value go_from_json(const struct oll_json *json);
struct go_value go_messages(const struct chat_message *messages, uint32_t n);
struct go_value go_tools(const struct oll_json *tools); /* NULL: none */

/* Keeps the entries sorted; there is room for GO_ROOT_MAX. */
void go_root_set(struct go_root *root, const char *name, struct go_value value);

static inline bool go_is_nil(const struct go_value *v) { return v->kind <= GO_NULL; }
static inline bool go_is_list(const struct go_value *v)
{
    return v->kind >= GO_LIST_ANY && v->kind <= GO_LIST_IMAGES;
}
static inline bool go_is_map(const struct go_value *v)
{
    return v->kind >= GO_MAP_ANY && v->kind <= GO_MAP_ROOT;
}
static inline bool go_is_record(const struct go_value *v) { return v->kind >= GO_RECORD_MESSAGE; }

bool go_truth(const struct go_value *v);
/* As in Go's error texts, e.g. "string". */
const char *go_type_name(const struct go_value *v);

/* Element of a list, i < n. Lists of JSON are walked: the cost grows with i. */
struct go_value go_list_at(const struct go_value *list, size_t i);
/* The elements [from, to) as a list of the same kind. */
struct go_value go_list_slice(const struct go_value *list, size_t from, size_t to);
/* False when the key is absent. */
bool go_map_get(const struct go_value *map, struct go_str key, struct go_value *out);
/* What stands for a key that is absent. */
struct go_value go_map_absent(const struct go_value *map);
/* Members in the order of their key bytes, i < n. */
struct go_value go_map_at(const struct go_value *map, size_t i, struct go_value *key);
/* False when a record has no such field. */
bool go_record_field(const struct go_value *record, struct go_str name, struct go_value *out);

/* Walks a list: elements in order. */
struct go_iterator {
    struct go_value list;
    size_t i;
    const struct oll_json *json;
};
void go_iterator_init(struct go_iterator *it, const struct go_value *list);
bool go_iterator_next(struct go_iterator *it, struct go_value *element);

/* ---- go_print.c ---- */

/* As an action prints it; `inside`: as an element or a function argument, where nothing is "<nil>"
 * instead of "<no value>". */
void go_print(struct oll_strbuf *out, const struct go_value *v, bool inside);
/* JSON with sorted keys. */
void go_print_json(struct oll_strbuf *out, const struct go_value *v);
/* Shortest text of a float in the style of Go's %v. */
void go_print_float(struct oll_strbuf *out, double v);

#endif
