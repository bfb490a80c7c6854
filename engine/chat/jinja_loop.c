/* {% for %} and what `loop` knows. */
#include "engine/chat/jinja_eval.h"

#include <string.h>

/* Whether the loop's filter keeps an item: its target is bound in a scope of its own. */
static bool is_kept(struct jinja_run *run, const struct jinja_loop *loop, struct jinja_value item)
{
    struct jinja_scope *saved = run->scope;
    bool kept = false;
    run->scope = jinja_scope_new(run, loop->outer);
    if (run->scope) {
        jinja_assign(run, loop->node->b, item);
        kept = jinja_ok(run) && jinja_truth(run, jinja_eval(run, loop->node->c));
    }
    run->scope = saved;
    return kept;
}

static bool fetch(struct jinja_run *run, struct jinja_loop *loop, struct jinja_value *out)
{
    while (loop->next < loop->seq->n && jinja_ok(run)) {
        *out = jinja_item(loop->seq, loop->next++);
        if (!loop->filters || is_kept(run, loop, *out))
            return jinja_ok(run);
    }
    return false;
}

static bool peek(struct jinja_run *run, struct jinja_loop *loop)
{
    if (!loop->has_ahead)
        loop->has_ahead = fetch(run, loop, &loop->ahead);
    return loop->has_ahead;
}

/* How many turns there are in all: what is left is fetched now. */
static int64_t turns(struct jinja_run *run, struct jinja_loop *loop)
{
    if (loop->filters) {
        struct jinja_value rest = jinja_seq(run, JINJA_LIST, 0), item;
        while (fetch(run, loop, &item))
            jinja_push(run, rest.q, item);
        if (!jinja_ok(run))
            return 0;
        loop->seq = rest.q;
        loop->next = 0;
        loop->filters = false;
    }
    return loop->index0 + 1 + loop->has_ahead + (int64_t)(loop->seq->n - loop->next);
}

static struct jinja_value loop_cycle(struct jinja_run *run, struct jinja_value self,
                                     const struct jinja_args *args)
{
    if (args->n_pos == 0)
        return jinja_fail(run, OLL_ERR_FORMAT, "no items for cycling given");
    return args->pos[(size_t)self.l->index0 % args->n_pos];
}

static struct jinja_value loop_changed(struct jinja_run *run, struct jinja_value self,
                                       const struct jinja_args *args)
{
    struct jinja_value now = jinja_seq(run, JINJA_TUPLE, args->n_pos);
    for (size_t i = 0; i < args->n_pos && jinja_ok(run); i++)
        jinja_push(run, now.q, args->pos[i]);
    if (!jinja_ok(run))
        return now;
    const bool changed = !jinja_equal(run, now, self.l->changed);
    self.l->changed = now;
    return jinja_bool(changed);
}

static struct jinja_value loop_method(struct jinja_run *run, struct jinja_loop *loop,
                                      const char *name)
{
    const jinja_fn fn = !strcmp(name, "cycle")     ? loop_cycle
                        : !strcmp(name, "changed") ? loop_changed
                                                   : NULL;
    if (!fn)
        return jinja_undefined(name);
    const struct jinja_value self = {.type = JINJA_LOOP, .l = loop};
    return jinja_new_call(
        run, (struct jinja_call){.kind = JINJA_METHOD, .name = name, .fn = fn, .self = self});
}

struct jinja_value jinja_loop_attr(struct jinja_run *run, struct jinja_loop *loop, const char *name)
{
    enum { INDEX, INDEX0, REVINDEX, REVINDEX0, FIRST, LAST, LENGTH, PREV, NEXT, DEPTH, DEPTH0, N };
    static const char *const names[N] = {"index",    "index0", "revindex", "revindex0",
                                         "first",    "last",   "length",   "previtem",
                                         "nextitem", "depth",  "depth0"};
    int which = 0;
    while (which < N && strcmp(names[which], name))
        which++;
    switch (which) {
    case INDEX: return jinja_int(loop->index0 + 1);
    case INDEX0: return jinja_int(loop->index0);
    case REVINDEX: return jinja_int(turns(run, loop) - loop->index0);
    case REVINDEX0: return jinja_int(turns(run, loop) - loop->index0 - 1);
    case FIRST: return jinja_bool(loop->index0 == 0);
    case LAST: return jinja_bool(!peek(run, loop));
    case LENGTH: return jinja_int(turns(run, loop));
    case PREV:
        return loop->has_before ? loop->before : jinja_undefined("there is no previous item");
    case NEXT: return peek(run, loop) ? loop->ahead : jinja_undefined("there is no next item");
    case DEPTH: return jinja_int(loop->depth0 + 1);
    case DEPTH0: return jinja_int(loop->depth0);
    default: return loop_method(run, loop, name);
    }
}

/* Moves on to the next turn; false when there is none. */
static bool advance(struct jinja_run *run, struct jinja_loop *loop)
{
    struct jinja_value item;
    if (loop->has_ahead)
        item = loop->ahead;
    else if (!fetch(run, loop, &item))
        return false;
    loop->has_ahead = false;
    loop->has_before = loop->index0 >= 0;
    loop->before = loop->now;
    loop->now = item;
    loop->index0++;
    return true;
}

/* The names of one turn. The scope of the last turn serves again unless a macro holds on to it. */
static struct jinja_scope *turn_scope(struct jinja_run *run, struct jinja_loop *loop,
                                      struct jinja_scope *last)
{
    if (last && !last->is_captured)
        last->n = 0;
    else
        last = jinja_scope_new(run, loop->outer);
    if (last) {
        run->scope = last;
        jinja_bind(run, last, JINJA_SYM_LOOP, (struct jinja_value){.type = JINJA_LOOP, .l = loop});
        jinja_assign(run, loop->node->b, loop->now);
    }
    return last;
}

/* Jinja runs the else part when no turn came to its end, also when all were cut short. */
static void run_loop(struct jinja_run *run, struct jinja_loop *loop)
{
    struct jinja_scope *saved = run->scope, *scope = NULL;
    bool finished_one = false;
    while (jinja_ok(run) && advance(run, loop)) {
        scope = turn_scope(run, loop, scope);
        if (!scope || !jinja_ok(run))
            break;
        const enum jinja_flow flow = jinja_exec(run, loop->node->list);
        if (flow == JINJA_FLOW_BREAK)
            break;
        finished_one |= flow == JINJA_FLOW_NEXT;
    }
    run->scope = saved;
    if (jinja_ok(run) && !finished_one && loop->node->kw) {
        run->scope = jinja_scope_new(run, loop->outer);
        if (run->scope)
            jinja_exec(run, loop->node->kw);
        run->scope = saved;
    }
}

static struct jinja_loop *new_loop(struct jinja_run *run, const struct jinja_node *node,
                                   struct jinja_value items, struct jinja_scope *outer, int depth0)
{
    struct jinja_loop *loop = jinja_alloc(run, 1, sizeof *loop);
    if (!loop)
        return NULL;
    const bool is_range = items.type == JINJA_SEQ && items.q->kind == JINJA_RANGE;
    *loop = (struct jinja_loop){.node = node,
                                .outer = outer,
                                .seq = is_range ? items.q : jinja_iterate(run, items),
                                .filters = node->c != NULL,
                                .index0 = -1,
                                .depth0 = depth0,
                                .changed = jinja_undefined(NULL)};
    return loop;
}

enum jinja_flow jinja_exec_for(struct jinja_run *run, const struct jinja_node *node)
{
    const struct jinja_value items = jinja_eval(run, node->a);
    if (!jinja_ok(run))
        return JINJA_FLOW_NEXT;
    struct jinja_loop *loop = new_loop(run, node, items, run->scope, 0);
    if (loop && jinja_ok(run))
        run_loop(run, loop);
    return JINJA_FLOW_NEXT;
}

struct jinja_value jinja_loop_again(struct jinja_run *run, const struct jinja_loop *loop,
                                    const struct jinja_args *args)
{
    const size_t mark = run->out.len;
    struct jinja_value text = jinja_undefined(NULL);
    if (loop->node->op != 'r')
        return jinja_fail(run, OLL_ERR_FORMAT, "the loop is not marked 'recursive'");
    if (args->n_pos != 1)
        return jinja_fail(run, OLL_ERR_FORMAT, "loop() takes one argument");
    if (++run->call_depth > JINJA_CALL_DEPTH_MAX)
        return jinja_fail(run, OLL_ERR_LIMIT, "loops recurse deeper than %d levels",
                          JINJA_CALL_DEPTH_MAX);
    struct jinja_loop *inner =
        new_loop(run, loop->node, args->pos[0], loop->outer, loop->depth0 + 1);
    if (inner && jinja_ok(run))
        run_loop(run, inner);
    run->call_depth--;
    if (jinja_ok(run)) {
        text = jinja_str_copy(run, run->out.data + mark, run->out.len - mark);
        run->out.len = mark;
        if (run->out.cap)
            run->out.data[mark] = '\0';
    }
    return text;
}
