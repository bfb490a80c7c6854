/* The generic way (spec 5.2, 6.3): thinking between two tags at the very beginning, and JSON calls
 * behind a tag taken from the model's template.
 *
 * The tool-call part behaves as if the text came byte by byte: a call is looked for behind every
 * byte that could complete one. So no cut changes the result, and the work for a byte is bounded by
 * the number of tools and the length of their names. */
#include "engine/chat/parse_internal.h"

#include <string.h>

enum state {
    THINK_LOOKING,
    THINK_EAT_OPEN,
    THINK_INSIDE,
    CONTENT_EAT, /* white space behind thinking */
    LOOKING,
    CALLING,
    DONE /* nothing but content follows */
};

static bool bracket_tag(const struct chat_parser *p)
{
    return strcmp(p->cfg.tag, "{") == 0 || strcmp(p->cfg.tag, "[") == 0;
}

static bool looks_for_calls(const struct chat_parser *p) { return p->cfg.tag && p->n_tools > 0; }

static enum state after_thinking(const struct chat_parser *p)
{
    return looks_for_calls(p) ? LOOKING : DONE;
}

void parse_generic_begin(struct chat_parser *p)
{
    if (!p->cfg.think_open || p->cfg.think == OLL_THINK_OFF)
        p->state = (int)after_thinking(p);
    else
        p->state = p->cfg.starts_thinking ? THINK_EAT_OPEN : THINK_LOOKING;
}

enum chat_phase parse_generic_phase(const struct chat_parser *p)
{
    switch ((enum state)p->state) {
    case THINK_LOOKING: return CHAT_PHASE_UNDECIDED;
    case THINK_EAT_OPEN:
    case THINK_INSIDE: return CHAT_PHASE_THINKING;
    case CALLING: return CHAT_PHASE_CALL;
    default: return CHAT_PHASE_CONTENT;
    }
}

static bool enter(struct chat_parser *p, enum state state)
{
    p->state = (int)state;
    p->scan = p->pos;
    return true;
}

static bool think_looking(struct chat_parser *p)
{
    const char *s = parse_rest(p);
    const size_t n = parse_left(p), lead = parse_lead(p);
    if (parse_starts(s + lead, n - lead, p->cfg.think_open)) {
        parse_skip(p, lead + strlen(p->cfg.think_open));
        return enter(p, THINK_EAT_OPEN);
    }
    if (parse_begins(s + lead, n - lead, p->cfg.think_open)) {
        if (p->final)
            parse_skip(p, n);
        return false;
    }
    return enter(p, after_thinking(p));
}

/* White space at the front goes; true when something else follows. */
static bool eat_space(struct chat_parser *p)
{
    parse_skip(p, parse_space_lead(parse_rest(p), parse_left(p)));
    return parse_left(p) > 0;
}

static bool think_inside(struct chat_parser *p)
{
    const char *tags[] = {p->cfg.think_close};
    size_t at;
    const bool closed = parse_find(p, tags, 1, &at) == 0;
    if (p->final && !closed)
        at = p->end; /* a closing tag that was cut off is thinking */
    parse_text(p, CHAT_EVENT_THINKING, SPACE_KEEP, parse_rest(p), at - p->pos);
    parse_skip(p, at - p->pos);
    if (!closed)
        return false;
    parse_skip(p, strlen(p->cfg.think_close));
    return enter(p, CONTENT_EAT);
}

static bool content(struct chat_parser *p, size_t n)
{
    parse_text(p, CHAT_EVENT_CONTENT, SPACE_KEEP, parse_rest(p), n);
    parse_skip(p, n);
    return true;
}

/* With a bracket as tag only an output that begins with it can be a call. */
static bool looking(struct chat_parser *p)
{
    const char *tags[] = {p->cfg.tag};
    size_t at;
    if (bracket_tag(p)) {
        content(p, parse_space_lead(parse_rest(p), parse_left(p)));
        if (parse_left(p) > 0 && parse_rest(p)[0] != p->cfg.tag[0])
            return enter(p, DONE);
    }
    const bool found = parse_find(p, tags, 1, &at) == 0;
    content(p, at - p->pos);
    if (!found) {
        if (p->final)
            parse_skip(p, parse_left(p));
        return false;
    }
    memset(&p->generic, 0, sizeof p->generic);
    parse_balance_reset(p);
    p->scan = p->pos;
    return enter(p, CALLING);
}

/* A tool name that ends at `end`: the earliest counts, of those at one place the longest. */
static void note_name(struct chat_parser *p, size_t end)
{
    const char *s = p->in.data;
    if (!p->name_ends[(unsigned char)s[end - 1]])
        return;
    for (size_t i = 0; i < p->n_tools; i++) {
        const size_t len = p->tool_lens[i];
        if (len == 0 || end - p->pos < len || memcmp(s + end - len, p->tool_names[i], len) != 0)
            continue;
        const size_t at = end - len - p->pos;
        if (p->generic.name_len == 0 || at < p->generic.name_at ||
            (at == p->generic.name_at && len > p->generic.name_len)) {
            p->generic.name_at = at;
            p->generic.name_len = len;
        }
    }
}

/* Whether the text up to `end` ends inside what may become a tool's name. */
static bool inside_name(const struct chat_parser *p, size_t end)
{
    for (size_t i = 0; i < p->n_tools; i++) {
        for (size_t k = 1; k < p->tool_lens[i] && k <= end - p->pos; k++) {
            if (memcmp(p->in.data + end - k, p->tool_names[i], k) == 0)
                return true;
        }
    }
    return false;
}

/* An object, or a string that holds one. */
static const struct oll_json *as_object(struct chat_parser *p, const struct oll_json *value)
{
    if (value && value->type == OLL_JSON_STRING)
        value = parse_json_tree(p, value->str, value->str_len);
    return value && value->type == OLL_JSON_OBJECT ? value : NULL;
}

/* Looks for arguments inside an object. *ended: the search is over, with or without a result.
 * Nesting is bounded by the JSON reader. */
static const struct oll_json *find_arguments(struct chat_parser *p, const struct oll_json *object,
                                             const char *name, bool *ended)
{
    const struct oll_json *found;
    if (oll_json_get(object, "name")) {
        *ended = true;
        found = as_object(p, oll_json_get(object, "arguments"));
        return found ? found : as_object(p, oll_json_get(object, "parameters"));
    }
    found = as_object(p, oll_json_get(object, name));
    if (found) {
        *ended = true;
        return found;
    }
    for (const struct oll_json *m = object->first; m; m = m->next) {
        if (m->type == OLL_JSON_OBJECT)
            found = find_arguments(p, m, name, ended);
        for (const struct oll_json *e = m->type == OLL_JSON_ARRAY ? m->first : NULL; e && !*ended;
             e = e->next)
            found = e->type == OLL_JSON_OBJECT ? find_arguments(p, e, name, ended) : NULL;
        if (*ended)
            return found;
    }
    return NULL;
}

/* Emits the call that name and object make. What follows is read from behind the name or from the
 * object's last brace, whichever comes later. */
static bool emit(struct chat_parser *p)
{
    struct oll_json_writer w;
    const size_t from = p->pos + p->generic.object_at, to = p->pos + p->generic.object_end;
    const size_t name_end = p->generic.name_at + p->generic.name_len;
    const char *name =
        oll_arena_strndup(&p->scratch, parse_rest(p) + p->generic.name_at, p->generic.name_len);
    const struct oll_json *object = parse_json_tree(p, p->in.data + from, to - from);
    bool ended = false;
    const struct oll_json *args = name && object ? find_arguments(p, object, name, &ended) : NULL;
    if (name && object && !ended)
        args = object;
    p->generic.stuck = !args;
    if (!args)
        return false;
    oll_strbuf_clear(&p->args);
    oll_json_write_init(&w, &p->args);
    oll_json_write_node(&w, args, false);
    parse_call_args(p, name, strlen(name));
    const size_t rest = p->generic.object_end - 1;
    parse_skip(p, rest > name_end ? rest : name_end);
    oll_arena_reset(&p->scratch);
    memset(&p->generic, 0, sizeof p->generic);
    parse_balance_reset(p);
    p->scan = p->pos;
    return true;
}

/* The first balanced object that is JSON is kept for the call. */
static void note_object(struct chat_parser *p, size_t end)
{
    if (p->generic.object_end == 0 &&
        parse_json_tree(p, p->in.data + p->balance.start, end - p->balance.start)) {
        p->generic.object_at = p->balance.start - p->pos;
        p->generic.object_end = end - p->pos;
    }
    oll_arena_reset(&p->scratch);
}

/* Takes one byte into the search for balanced objects and the count of the tag's brackets; returns
 * whether the brackets, with none of them a call, are closed. */
static bool count_byte(struct chat_parser *p, size_t at)
{
    struct parse_balance *b = &p->balance;
    const char c = p->in.data[at];
    if (b->in_string) {
        b->in_string = b->escaped || c != '"';
        b->escaped = !b->escaped && c == '\\';
        return false;
    }
    const char close = p->cfg.tag[0] == '{' ? '}' : ']';
    b->in_string = c == '"';
    b->brackets += (c == p->cfg.tag[0]) - (c == close && b->brackets > 0);
    if (c == '{' && b->depth++ == 0)
        b->start = at;
    else if (c == '}' && b->depth > 0 && --b->depth == 0)
        note_object(p, at + 1);
    return c == close && b->brackets == 0 && bracket_tag(p);
}

static bool calling(struct chat_parser *p)
{
    while (p->scan < p->end && !p->generic.stuck) {
        const size_t at = p->scan++;
        const bool closed = count_byte(p, at);
        note_name(p, at + 1);
        if (p->generic.name_len > 0 && p->generic.object_end > 0 && !inside_name(p, at + 1) &&
            emit(p))
            return true;
        if (closed && p->n_calls == 0) {
            content(p, at + 1 - p->pos);
            return enter(p, DONE);
        }
    }
    /* Nothing can become a call any more, and what stands behind one is dropped. */
    if (p->generic.stuck && (p->n_calls > 0 || !bracket_tag(p)))
        parse_skip(p, parse_left(p));
    if (p->final && p->n_calls == 0 && bracket_tag(p))
        content(p, parse_left(p));
    if (p->final)
        parse_skip(p, parse_left(p));
    return false;
}

bool parse_generic_step(struct chat_parser *p)
{
    switch ((enum state)p->state) {
    case THINK_LOOKING: return think_looking(p);
    case THINK_EAT_OPEN: return eat_space(p) && enter(p, THINK_INSIDE);
    case THINK_INSIDE: return think_inside(p);
    case CONTENT_EAT: return eat_space(p) && enter(p, after_thinking(p));
    case LOOKING: return looking(p);
    case CALLING: return calling(p);
    default: content(p, parse_left(p)); return false;
    }
}
