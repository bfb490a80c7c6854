/* Execution of a template's tree: expressions (jinja_eval.c), statements (jinja_exec.c), loops
 * (jinja_loop.c). Internal to the Jinja engine; its door is engine/chat/jinja.h. */
#ifndef OLL_CHAT_JINJA_EVAL_H
#define OLL_CHAT_JINJA_EVAL_H

#include "engine/chat/jinja_tree.h"

struct jinja_binding {
    uint32_t symbol;
    struct jinja_value value;
};

/* Names of a block that has its own: a loop's iteration, a macro's call, a captured block. Lookup
 * goes outwards, assignment stays here. The outermost scope, the globals, has `table` instead of
 * `items`: one slot per symbol of the template. */
struct jinja_scope {
    struct jinja_scope *parent;
    struct jinja_binding *items;
    uint32_t n, cap;
    bool is_captured; /* a macro was defined here, so the scope must outlive its block */
    struct jinja_value *table;
    bool *is_set; /* per slot of `table` */
};

/* Turns of a loop that is running; what `loop` is in a template. Items are fetched one at a time,
 * because the filter of a loop may depend on what its body does. */
struct jinja_loop {
    const struct jinja_node *node;
    struct jinja_scope *outer;
    struct jinja_seq *seq;
    size_t next;    /* in seq */
    bool filters;   /* node->c must still be asked about items of seq */
    int64_t index0; /* -1 before the first turn */
    int depth0;
    bool has_ahead, has_before;
    struct jinja_value now, before, ahead; /* ahead: fetched early, for `last` and `nextitem` */
    struct jinja_value changed; /* what changed() was last asked about; a tuple or undefined */
};

enum jinja_flow { JINJA_FLOW_NEXT, JINJA_FLOW_BREAK, JINJA_FLOW_CONTINUE };

/* Value of an expression; undefined after a failure. */
struct jinja_value jinja_eval(struct jinja_run *run, const struct jinja_node *node);
/* The arguments of a CALL, FILTER or TEST node. */
bool jinja_eval_args(struct jinja_run *run, const struct jinja_node *call, struct jinja_args *out);
/* Filters around the text of a block (FILTER nodes whose innermost value is NULL). */
struct jinja_value jinja_eval_piped(struct jinja_run *run, const struct jinja_node *filters,
                                    struct jinja_value text);

/* Executes statements into run->out. */
enum jinja_flow jinja_exec(struct jinja_run *run, const struct jinja_node *list);
/* Executes statements in a scope of their own and returns their text instead of printing it. */
struct jinja_value jinja_capture(struct jinja_run *run, const struct jinja_node *list,
                                 struct jinja_scope *scope);
/* Calls a MACRO or CALL_BLOCK node. */
struct jinja_value jinja_call_macro(struct jinja_run *run, const struct jinja_call *macro,
                                    const struct jinja_args *args);

struct jinja_scope *jinja_scope_new(struct jinja_run *run, struct jinja_scope *parent);
void jinja_bind(struct jinja_run *run, struct jinja_scope *scope, uint32_t symbol,
                struct jinja_value v);
/* Assigns to the target of `for` and `set` in run->scope. */
void jinja_assign(struct jinja_run *run, const struct jinja_node *target, struct jinja_value v);

enum jinja_flow jinja_exec_for(struct jinja_run *run, const struct jinja_node *node);
struct jinja_value jinja_loop_attr(struct jinja_run *run, struct jinja_loop *loop,
                                   const char *name);
/* loop(items) of a recursive loop. */
struct jinja_value jinja_loop_again(struct jinja_run *run, const struct jinja_loop *loop,
                                    const struct jinja_args *args);

/* One rendering from outside (jinja.c): init, set the variables (those that the template does not
 * mention are dropped), finish; the text is in run->out. Free in any case. */
void jinja_run_init(struct jinja_run *run, const struct jinja_template *page, int64_t now_s,
                    struct oll_error *err);
void jinja_run_set(struct jinja_run *run, const char *name, struct jinja_value v);
oll_status jinja_run_finish(struct jinja_run *run) OLL_MUST_USE;
void jinja_run_free(struct jinja_run *run);

/* Bounds the C stack; false, and a failure, when it is used up. Pairs with a decrement. */
static inline bool jinja_enter(struct jinja_run *run)
{
    if (++run->eval_depth > JINJA_EVAL_DEPTH_MAX)
        jinja_fail(run, OLL_ERR_LIMIT, "the template recurses too deep");
    return jinja_step(run, 1) && jinja_ok(run);
}

#endif
