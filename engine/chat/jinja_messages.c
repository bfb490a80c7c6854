/* A conversation in the form that its template understands. The steps work on a list of messages
 * of their own; they are in the order of jinja_set_input. */
#include "engine/chat/jinja_input.h"

#include <stdio.h>
#include <string.h>

struct turns {
    struct jinja_run *run;
    const struct jinja_native *native;
    const struct jinja_needs *needs;
    struct chat_message *list;
    size_t n, cap;
};

static void add_turn(struct turns *t, const struct chat_message *m)
{
    if (t->n == t->cap) {
        const size_t cap = t->cap ? 2 * t->cap : 16;
        struct chat_message *list = jinja_alloc(t->run, cap, sizeof *list);
        if (!list)
            return;
        if (t->n)
            memcpy(list, t->list, t->n * sizeof *list);
        t->list = list;
        t->cap = cap;
    }
    t->list[t->n++] = *m;
}

static const char *joined(struct turns *t, const char *a, const char *between, const char *b)
{
    const char *text = oll_arena_printf(&t->run->arena, "%s%s%s", a, between, b);
    if (!text)
        jinja_fail(t->run, t->run->arena.status, "no memory for the messages");
    return text ? text : "";
}

/* ---- calls and results as text ---- */

static void set(struct jinja_run *run, struct jinja_value d, const char *key, struct jinja_value v)
{
    if (jinja_ok(run))
        jinja_dict_sets(run, d.d, key, v);
}

/* {"tool_calls": [{"name", "arguments", "id"}], "content"?} */
static const char *calls_as_text(struct turns *t, const struct chat_message *m)
{
    struct jinja_run *run = t->run;
    struct jinja_value all = jinja_dict(run, 2), list = jinja_seq(run, JINJA_LIST, m->n_calls);
    for (uint32_t i = 0; i < m->n_calls && jinja_ok(run); i++) {
        struct jinja_value call = jinja_dict(run, 3);
        set(run, call, "name", jinja_text(run, m->calls[i].name));
        set(run, call, "arguments", jinja_any_value(run, m->calls[i].arguments, false));
        set(run, call, "id", jinja_text(run, m->calls[i].id));
        jinja_push(run, list.q, call);
    }
    set(run, all, "tool_calls", list);
    if (m->content[0])
        set(run, all, "content", jinja_text(run, m->content));
    return jinja_json_text(run, all, "  ");
}

/* {"tool_response": {"tool"?, "content", "tool_call_id"?}} */
static const char *result_as_text(struct turns *t, const struct chat_message *m)
{
    struct jinja_run *run = t->run;
    struct jinja_value all = jinja_dict(run, 1), result = jinja_dict(run, 3);
    if (m->tool_name[0])
        set(run, result, "tool", jinja_text(run, m->tool_name));
    set(run, result, "content", jinja_text(run, m->content));
    if (m->tool_call_id[0])
        set(run, result, "tool_call_id", jinja_text(run, m->tool_call_id));
    set(run, all, "tool_response", result);
    return jinja_json_text(run, all, "  ");
}

/* Whether a result belongs to a call: by id where both have one, else by the place behind it. */
static bool answers(const struct chat_message *result, const struct chat_call *call, uint32_t place,
                    uint32_t i_call)
{
    if (result->tool_call_id[0] && call->id[0])
        return !strcmp(result->tool_call_id, call->id);
    return place == i_call;
}

/* Several calls in one message become one message each, with its results behind it. Returns how
 * many messages were used. */
static size_t split_calls(struct turns *t, const struct chat_message *m, size_t n)
{
    size_t n_results = 0;
    while (1 + n_results < n && !strcmp(m[1 + n_results].role, "tool"))
        n_results++;
    for (uint32_t i = 0; i < m->n_calls; i++) {
        struct chat_message one = *m;
        one.calls = &m->calls[i];
        one.n_calls = 1;
        if (i > 0)
            one.content = one.thinking = "";
        add_turn(t, &one);
        for (size_t k = 0; k < n_results; k++)
            if (answers(&m[1 + k], &m->calls[i], (uint32_t)k, i))
                add_turn(t, &m[1 + k]);
    }
    /* Results that belong to no call keep their place at the end. */
    for (size_t k = 0; k < n_results; k++) {
        bool known = false;
        for (uint32_t i = 0; i < m->n_calls; i++)
            known |= answers(&m[1 + k], &m->calls[i], (uint32_t)k, i);
        if (!known)
            add_turn(t, &m[1 + k]);
    }
    return 1 + n_results;
}

static void adapt_calls(struct turns *t)
{
    const struct turns old = *t;
    const bool folds = t->native->folds_results;
    t->list = NULL;
    t->n = t->cap = 0;
    for (size_t i = 0; i < old.n && jinja_ok(t->run);) {
        struct chat_message m = old.list[i];
        if (m.n_calls > 1 && t->needs->one_call && !t->needs->no_calls) {
            i += split_calls(t, &old.list[i], old.n - i);
            continue;
        }
        if (m.n_calls > 0 && t->needs->null_content && m.content[0]) {
            struct chat_message text = m;
            text.n_calls = 0;
            add_turn(t, &text);
            m.content = m.thinking = "";
        }
        if (m.n_calls > 0 && t->needs->no_calls) {
            m.content = calls_as_text(t, &m);
            m.n_calls = 0;
        }
        if (!strcmp(m.role, "tool") && t->needs->no_results && !folds) {
            m.content = result_as_text(t, &m);
            m.role = "user";
        }
        add_turn(t, &m);
        i++;
    }
}

/* ---- system messages and turns ---- */

/* Tools that the template does not know are described to the model in words. */
static void describe_tools(struct turns *t, struct jinja_value tools)
{
    const char *list = jinja_json_text(t->run, tools, "  ");
    const char *text =
        joined(t, "The tools that can be called, as JSON:\n\n", list,
               "\n\nA call is written as JSON of this form:\n\n"
               "{\n  \"tool_calls\": [\n    {\n      \"name\": \"name_of_the_tool\",\n"
               "      \"arguments\": {\n        \"name_of_the_argument\": \"value\"\n      },\n"
               "      \"id\": \"call_1\"\n    }\n  ]\n}");
    const struct turns old = *t;
    struct chat_message system = {
        .role = "system", .content = text, .thinking = "", .tool_name = "", .tool_call_id = ""};
    const bool has_system = old.n > 0 && !strcmp(old.list[0].role, "system");
    t->list = NULL;
    t->n = t->cap = 0;
    if (has_system)
        system.content = joined(t, text, "\n\n", old.list[0].content);
    add_turn(t, &system);
    for (size_t i = has_system; i < old.n && jinja_ok(t->run); i++)
        add_turn(t, &old.list[i]);
}

/* Only the first message, and only into the one behind it; alone it is dropped. */
static void move_system(struct turns *t)
{
    if (t->n == 0 || strcmp(t->list[0].role, "system"))
        return;
    if (t->n > 1)
        t->list[1].content = joined(t, t->list[0].content, "\n", t->list[1].content);
    t->list++;
    t->n--;
    t->cap--;
}

static bool can_merge(const struct chat_message *a, const struct chat_message *b)
{
    return !strcmp(a->role, b->role) && strcmp(a->role, "tool") && a->n_calls == 0 &&
           b->n_calls == 0;
}

static void merge_turns(struct turns *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n && jinja_ok(t->run); i++) {
        if (n > 0 && can_merge(&t->list[n - 1], &t->list[i]))
            t->list[n - 1].content = joined(t, t->list[n - 1].content, "\n\n", t->list[i].content);
        else
            t->list[n++] = t->list[i];
    }
    t->n = n;
}

/* ---- ids of calls ---- */

static bool is_nine(const char *id)
{
    size_t n = 0;
    for (; id[n]; n++)
        if (!((id[n] >= '0' && id[n] <= '9') || ((id[n] | 0x20) >= 'a' && (id[n] | 0x20) <= 'z')))
            return false;
    return n == 9;
}

/* An id in the form that the template insists on; the same for a call and its result. */
static const char *fitting_id(struct turns *t, const char *id, const char *name, size_t place)
{
    if (t->native->numbers_calls && strncmp(id, "functions.", 10))
        return oll_arena_printf(&t->run->arena, "functions.%s:%zu", name, place);
    if (!t->native->wants_nine || is_nine(id))
        return id;
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (const char *c = id; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    if (!id[0])
        hash += place;
    return oll_arena_printf(&t->run->arena, "%09u", (unsigned)(hash % 1000000000u));
}

/* The name of the call that a result answers, for templates that build ids of it. */
static void fit_result(struct turns *t, struct chat_message *m, const struct chat_message *caller,
                       size_t first_place, uint32_t i_result)
{
    for (uint32_t i = 0; caller && i < caller->n_calls; i++) {
        if (!answers(m, &caller->calls[i], i_result, i))
            continue;
        m->tool_call_id =
            fitting_id(t, caller->calls[i].id, caller->calls[i].name, first_place + i);
        if (!m->tool_name[0])
            m->tool_name = caller->calls[i].name;
        return;
    }
    m->tool_call_id = fitting_id(t, m->tool_call_id, m->tool_name, first_place + i_result);
}

static void fit_calls(struct turns *t, struct chat_message *m, size_t first_place)
{
    struct chat_call *calls = jinja_alloc(t->run, m->n_calls, sizeof *calls);
    if (!calls)
        return;
    for (uint32_t i = 0; i < m->n_calls; i++) {
        calls[i] = m->calls[i];
        calls[i].id = fitting_id(t, calls[i].id, calls[i].name, first_place + i);
        if (!calls[i].id)
            calls[i].id = "";
    }
    m->calls = calls;
}

static void fit_ids(struct turns *t)
{
    struct chat_message caller = {0};
    size_t first_place = 0, n_calls = 0;
    uint32_t i_result = 0;
    for (size_t i = 0; i < t->n && jinja_ok(t->run); i++) {
        struct chat_message *m = &t->list[i];
        if (m->n_calls > 0) {
            caller = *m;
            first_place = n_calls;
            n_calls += m->n_calls;
            i_result = 0;
            fit_calls(t, m, first_place);
        } else if (!strcmp(m->role, "tool")) {
            fit_result(t, m, caller.n_calls ? &caller : NULL, first_place, i_result++);
            if (!m->tool_call_id)
                m->tool_call_id = "";
        }
    }
}

/* ---- values ---- */

static struct jinja_value call_value(struct turns *t, const struct chat_call *c)
{
    struct jinja_run *run = t->run;
    struct jinja_value call = jinja_dict(run, 4), function = jinja_dict(run, 2);
    struct jinja_value arguments = jinja_any_value(run, c->arguments, false);
    if (t->needs->text_arguments)
        arguments = jinja_text(run, jinja_json_text(run, arguments, NULL));
    set(run, function, "name", jinja_text(run, c->name));
    set(run, function, "arguments", arguments);
    set(run, call, "id", jinja_text(run, c->id));
    set(run, call, "type", jinja_text(run, "function"));
    set(run, call, "index", jinja_int(c->index));
    set(run, call, "function", function);
    return call;
}

static struct jinja_value content_value(struct turns *t, const struct chat_message *m,
                                        uint32_t *n_images)
{
    struct jinja_run *run = t->run;
    const char *text = m->content;
    for (uint32_t i = 0; i < m->n_images && jinja_ok(run); i++) {
        char mark[32];
        snprintf(mark, sizeof mark, "[img-%u]", (unsigned)(*n_images)++);
        text = joined(t, text, text[0] ? "\n" : "", mark);
    }
    if (!t->needs->parts)
        return jinja_text(run, text);
    struct jinja_value list = jinja_seq(run, JINJA_LIST, 1), part = jinja_dict(run, 2);
    set(run, part, "type", jinja_text(run, "text"));
    set(run, part, "text", jinja_text(run, text));
    if (jinja_ok(run))
        jinja_push(run, list.q, part);
    return list;
}

/* A result as templates with tool_responses want it: JSON where it looks like some. */
static struct jinja_value response_value(struct turns *t, const struct chat_message *m,
                                         const char *name)
{
    struct jinja_run *run = t->run;
    struct jinja_value v = jinja_dict(run, 2), content = jinja_text(run, m->content);
    struct oll_json *root = NULL;
    if (m->content[0] == '{' || m->content[0] == '[')
        if (oll_json_parse(&run->arena, m->content, strlen(m->content), NULL, &root, NULL) ==
            OLL_OK)
            content = jinja_any_value(run, root, false);
    set(run, v, "name", jinja_text(run, m->tool_name[0] ? m->tool_name : name));
    set(run, v, "response", content);
    return v;
}

/* Takes the results behind a message with calls into it; returns how many. */
static size_t fold_results(struct turns *t, const struct chat_message *m, size_t n,
                           struct jinja_value message)
{
    struct jinja_value list = jinja_seq(t->run, JINJA_LIST, m->n_calls);
    size_t k = 0;
    for (; k + 1 < n && !strcmp(m[k + 1].role, "tool") && jinja_ok(t->run); k++) {
        const char *name = k < m->n_calls ? m->calls[k].name : "";
        jinja_push(t->run, list.q, response_value(t, &m[k + 1], name));
    }
    if (k > 0)
        set(t->run, message, "tool_responses", list);
    return k;
}

static struct jinja_value message_value(struct turns *t, const struct chat_message *m,
                                        uint32_t *n_images)
{
    struct jinja_run *run = t->run;
    struct jinja_value v = jinja_dict(run, 8);
    set(run, v, "role", jinja_text(run, m->role));
    /* Harmony tells what goes before a call as thinking or as content, not as both. */
    if (t->needs->null_content && m->n_calls > 0)
        set(run, v, "content", jinja_none());
    else if (!(t->native->has_channels && m->n_calls > 0 && m->thinking[0]))
        set(run, v, "content", content_value(t, m, n_images));
    if (m->thinking[0]) {
        set(run, v, "reasoning_content", jinja_text(run, m->thinking));
        set(run, v, "thinking", jinja_text(run, m->thinking));
    }
    if (m->n_calls > 0) {
        struct jinja_value calls = jinja_seq(run, JINJA_LIST, m->n_calls);
        for (uint32_t i = 0; i < m->n_calls && jinja_ok(run); i++)
            jinja_push(run, calls.q, call_value(t, &m->calls[i]));
        set(run, v, "tool_calls", calls);
    }
    if (m->tool_call_id[0])
        set(run, v, "tool_call_id", jinja_text(run, m->tool_call_id));
    if (m->tool_name[0])
        set(run, v, "name", jinja_text(run, m->tool_name));
    if (jinja_ok(run))
        v.d->own = false;
    return v;
}

static struct jinja_value turns_value(struct turns *t)
{
    struct jinja_value list = jinja_seq(t->run, JINJA_LIST, t->n);
    uint32_t n_images = 0;
    for (size_t i = 0; i < t->n && jinja_ok(t->run); i++) {
        const struct chat_message *m = &t->list[i];
        const struct jinja_value v = message_value(t, m, &n_images);
        jinja_push(t->run, list.q, v);
        if (m->n_calls > 0 && t->native->folds_results && t->needs->no_results)
            i += fold_results(t, m, t->n - i, v);
    }
    if (jinja_ok(t->run))
        list.q->own = false;
    return list;
}

void jinja_set_input(struct jinja_run *run, const struct jinja_native *native,
                     const struct jinja_needs *needs, const struct chat_conversation *c,
                     struct jinja_value *out)
{
    struct turns t = {.run = run, .native = native, .needs = needs};
    for (uint32_t i = 0; i < c->n_messages && jinja_ok(run); i++) {
        struct chat_message m = c->messages[i];
        if (!strcmp(m.role, "developer") && !native->has_channels)
            m.role = "system";
        add_turn(&t, &m);
    }
    const struct jinja_value tools =
        c->tools ? jinja_tools_value(run, c->tools) : jinja_undefined(NULL);
    /* Firefunction is given its tools as text. */
    jinja_run_set(run, "functions",
                  jinja_text(run, c->tools ? jinja_json_text(run, tools, "    ") : ""));
    if (c->tools && needs->no_tools)
        describe_tools(&t, tools);
    else if (c->tools)
        jinja_run_set(run, "tools", tools);
    adapt_calls(&t);
    if (needs->no_system)
        move_system(&t);
    if (native->wants_turns)
        merge_turns(&t);
    if (native->wants_nine || native->numbers_calls)
        fit_ids(&t);
    *out = turns_value(&t);
    jinja_run_set(run, "messages", *out);
}
