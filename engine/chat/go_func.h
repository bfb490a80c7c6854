/* Functions that Go templates may call; internal to engine/chat/go_*.c. */
#ifndef OLL_CHAT_GO_FUNC_H
#define OLL_CHAT_GO_FUNC_H

#include "engine/chat/go_value.h"

struct go_call {
    struct oll_arena *arena;   /* of the rendering: results live here */
    struct oll_strbuf scratch; /* for building strings, cleared before each call */
    uint64_t work;             /* bytes handled, for the step limit */
    int64_t now;               /* seconds since 1970 */
    char error[256];           /* reason when a function returns false */
};

/* `args` holds what stands behind the name, a piped value last. */
typedef bool (*go_function_fn)(struct go_call *call, const struct go_value *args, uint32_t n_args,
                               struct go_value *out);

enum go_arity { GO_EXACTLY, GO_AT_LEAST };

struct go_function {
    const char *name;
    go_function_fn run; /* NULL for `and` and `or`, which the evaluator cuts short itself */
    uint8_t n_args;
    uint8_t arity;      /* enum go_arity */
    bool wants_format;  /* the first argument must be a string */
    bool wants_strings; /* all arguments must be strings */
};

/* NULL when there is none of this name. */
const struct go_function *go_function_find(struct go_str name);

/* Fails with a reason that is formatted into call->error; returns false. */
bool go_call_fail(struct go_call *call, const char *fmt, ...) OLL_PRINTF(2, 3);
/* The scratch buffer as a string value; false when it or the arena failed. */
bool go_call_take(struct go_call *call, struct go_value *out);

/* Go's fmt: printf into the buffer. */
void go_format(struct oll_strbuf *out, struct go_str format, const struct go_value *args,
               uint32_t n_args);

/* Comparison functions; false with an error in `call`. */
bool go_compare_eq(struct go_call *call, const struct go_value *args, uint32_t n_args,
                   struct go_value *out);
bool go_compare_ne(struct go_call *call, const struct go_value *args, uint32_t n_args,
                   struct go_value *out);
bool go_compare_lt(struct go_call *call, const struct go_value *args, uint32_t n_args,
                   struct go_value *out);
bool go_compare_le(struct go_call *call, const struct go_value *args, uint32_t n_args,
                   struct go_value *out);
bool go_compare_gt(struct go_call *call, const struct go_value *args, uint32_t n_args,
                   struct go_value *out);
bool go_compare_ge(struct go_call *call, const struct go_value *args, uint32_t n_args,
                   struct go_value *out);

#endif
