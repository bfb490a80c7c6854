/* Functions that every template finds. */
#include "engine/chat/jinja_value.h"

#include <string.h>

static struct jinja_value new_range(struct jinja_run *run, int64_t start, int64_t stop,
                                    int64_t step)
{
    struct jinja_value v = jinja_seq(run, JINJA_RANGE, 0);
    if (step == 0)
        return jinja_fail(run, OLL_ERR_FORMAT, "range() arg 3 must not be zero");
    if (!jinja_ok(run))
        return v;
    v.q->range[0] = start;
    v.q->range[1] = stop;
    v.q->range[2] = step;
    const uint64_t span =
        step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    const uint64_t by = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    const bool is_empty = step > 0 ? stop <= start : stop >= start;
    const uint64_t n = is_empty ? 0 : (span - 1) / by + 1;
    if (n > JINJA_RANGE_MAX)
        return jinja_fail(run, OLL_ERR_LIMIT, "a range has at most %d items", JINJA_RANGE_MAX);
    v.q->n = (size_t)n;
    return v;
}

static struct jinja_value global_range(struct jinja_run *run, struct jinja_value self,
                                       const struct jinja_args *args)
{
    int64_t n[3] = {0, 0, 1};
    (void)self;
    if (args->n_pos < 1 || args->n_pos > 3)
        return jinja_fail(run, OLL_ERR_FORMAT, "range takes one to three integers");
    for (size_t i = 0; i < args->n_pos; i++)
        n[args->n_pos == 1 ? 1 : i] = jinja_arg_int(run, args, i, "range()", 0);
    return jinja_ok(run) ? new_range(run, n[0], n[1], n[2]) : jinja_undefined(NULL);
}

static struct jinja_value global_dict(struct jinja_run *run, struct jinja_value self,
                                      const struct jinja_args *args)
{
    struct jinja_value v = jinja_dict(run, args->n_kw);
    const struct jinja_value *from = jinja_arg(args, 0, NULL);
    (void)self;
    if (from && from->type != JINJA_DICT)
        return jinja_fail(run, OLL_ERR_FORMAT, "a dict is made of a dict, not of '%s'",
                          jinja_type_name(*from));
    for (size_t i = 0; from && i < from->d->n && jinja_ok(run); i++)
        jinja_dict_set(run, v.d, from->d->entries[i].key, from->d->entries[i].value);
    for (size_t i = 0; i < args->n_kw && jinja_ok(run); i++)
        jinja_dict_sets(run, v.d, args->kw[i].name, args->kw[i].value);
    return v;
}

static struct jinja_value global_namespace(struct jinja_run *run, struct jinja_value self,
                                           const struct jinja_args *args)
{
    struct jinja_value v = global_dict(run, self, args);
    if (v.type == JINJA_DICT)
        v.type = JINJA_SPACE;
    return v;
}

static struct jinja_value global_joiner(struct jinja_run *run, struct jinja_value self,
                                        const struct jinja_args *args)
{
    const struct jinja_value *sep = jinja_arg(args, 0, "sep");
    (void)self;
    return jinja_new_call(run, (struct jinja_call){.kind = JINJA_JOINER,
                                                   .name = "joiner",
                                                   .self = sep ? *sep : jinja_text(run, ", ")});
}

static struct jinja_value global_cycler(struct jinja_run *run, struct jinja_value self,
                                        const struct jinja_args *args)
{
    struct jinja_value list = jinja_seq(run, JINJA_LIST, args->n_pos);
    (void)self;
    if (args->n_pos == 0)
        return jinja_fail(run, OLL_ERR_FORMAT, "at least one item has to be provided");
    for (size_t i = 0; i < args->n_pos && jinja_ok(run); i++)
        jinja_push(run, list.q, args->pos[i]);
    return jinja_new_call(
        run, (struct jinja_call){.kind = JINJA_CYCLER, .name = "cycler", .self = list});
}

static struct jinja_value global_raise(struct jinja_run *run, struct jinja_value self,
                                       const struct jinja_args *args)
{
    const struct jinja_value *v = jinja_arg(args, 0, "message");
    const struct jinja_value text = v ? jinja_to_str(run, *v) : jinja_text(run, "");
    (void)self;
    if (!jinja_ok(run))
        return text;
    run->raised = true;
    return jinja_fail(run, OLL_ERR_ARG, "%.*s", (int)(text.s->len < 400 ? text.s->len : 400),
                      text.s->data);
}

static struct jinja_value global_strftime_now(struct jinja_run *run, struct jinja_value self,
                                              const struct jinja_args *args)
{
    const struct jinja_value *format = jinja_arg(args, 0, "format");
    char how[128], text[512];
    (void)self;
    if (!format || format->type != JINJA_STR || format->s->len >= sizeof how)
        return jinja_fail(run, OLL_ERR_FORMAT, "strftime_now takes a short format");
    memcpy(how, format->s->data, format->s->len);
    how[format->s->len] = '\0';
    return jinja_str_copy(run, text, strftime(text, sizeof text, how, &run->now));
}

const struct jinja_builtin jinja_globals[] = {
    {"range", global_range},
    {"dict", global_dict},
    {"namespace", global_namespace},
    {"joiner", global_joiner},
    {"cycler", global_cycler},
    {"raise_exception", global_raise},
    {"strftime_now", global_strftime_now},
    {NULL, NULL},
};
