/* The machine for formats that are tags round thinking and calls. What differs between them is
 * data: struct parse_tagged, one row each in parse_formats.c. */
#include "engine/chat/parse_internal.h"

#include <string.h>

static bool enter(struct chat_parser *p, enum parse_state state)
{
    p->state = (int)state;
    p->scan = p->pos;
    return true;
}

static bool enter_content(struct chat_parser *p, bool eat)
{
    parse_text_tag(p);
    p->eat_space = eat;
    return enter(p, PARSE_CONTENT);
}

static bool last_is(const struct chat_parser *p, const char *role)
{
    return p->cfg.last_role && strcmp(p->cfg.last_role, role) == 0;
}

static bool continues_content(const struct chat_parser *p)
{
    const enum parse_prefill prefill = p->format->tagged->prefill;
    if (prefill == PREFILL_IGNORED || !last_is(p, "assistant"))
        return false;
    return prefill == PREFILL_ANY || (p->cfg.last_content && p->cfg.last_content[0] != '\0');
}

static bool starts_inside(const struct chat_parser *p)
{
    const bool off = p->cfg.think == OLL_THINK_OFF;
    const bool on = !off && p->cfg.think != OLL_THINK_UNSET;
    if (continues_content(p))
        return false;
    switch (p->format->tagged->start) {
    case START_INSIDE: return true;
    case START_INSIDE_UNLESS_OFF: return !off;
    case START_INSIDE_IF_ON: return on;
    case START_INSIDE_NO_TOOLS: return on && p->n_tools == 0;
    case START_AFTER_TOOL: return on && last_is(p, "tool");
    case START_LEADING: return p->cfg.starts_thinking;
    default: return false;
    }
}

static bool leads_with_thinking(const struct chat_parser *p)
{
    const enum parse_start start = p->format->tagged->start;
    const bool on = p->cfg.think != OLL_THINK_OFF && p->cfg.think != OLL_THINK_UNSET;
    return !continues_content(p) &&
           (start == START_LEADING || (start == START_LEADING_IF_ON && on));
}

void parse_tagged_begin(struct chat_parser *p)
{
    const struct parse_tagged *t = p->format->tagged;
    const bool on = p->cfg.think != OLL_THINK_OFF && p->cfg.think != OLL_THINK_UNSET;
    p->discard = t->discard == DISCARD_ALWAYS ||
                 (t->discard == DISCARD_IF_OFF && p->cfg.think == OLL_THINK_OFF) ||
                 (t->discard == DISCARD_UNLESS_ON && !on);
    p->eat_space = t->eat_first;
    p->inside = starts_inside(p);
    if ((p->inside && t->echo) || (!p->inside && leads_with_thinking(p)))
        p->state = PARSE_LOOK;
    else
        p->state = p->inside ? PARSE_THINK : PARSE_CONTENT;
}

enum chat_phase parse_tagged_phase(const struct chat_parser *p)
{
    switch ((enum parse_state)p->state) {
    case PARSE_LOOK: return p->inside ? CHAT_PHASE_THINKING : CHAT_PHASE_UNDECIDED;
    case PARSE_LABEL:
    case PARSE_THINK: return CHAT_PHASE_THINKING;
    case PARSE_CONTENT: return CHAT_PHASE_CONTENT;
    default: return CHAT_PHASE_CALL;
    }
}

static bool opened(struct chat_parser *p, size_t skip)
{
    parse_skip(p, skip);
    parse_text_tag(p);
    p->eat_space = true;
    return enter(p, p->format->tagged->think_label ? PARSE_LABEL : PARSE_THINK);
}

/* An opening tag at the very beginning, white space before it ignored. */
static bool look(struct chat_parser *p)
{
    const struct parse_tagged *t = p->format->tagged;
    const char *s = parse_rest(p);
    const size_t n = parse_left(p), lead = parse_lead(p);
    if (parse_starts(s + lead, n - lead, t->think_open))
        return opened(p, lead + strlen(t->think_open));
    if (parse_begins(s + lead, n - lead, t->think_open) && !p->final)
        return false;
    return enter(p, p->inside ? PARSE_THINK : PARSE_CONTENT);
}

static bool label(struct chat_parser *p)
{
    const char *name = p->format->tagged->think_label;
    if (parse_begins(parse_rest(p), parse_left(p), name) && !p->final)
        return false;
    if (parse_starts(parse_rest(p), parse_left(p), name))
        parse_skip(p, strlen(name));
    return enter(p, PARSE_THINK);
}

/* Where calls begin: the section's tag, else the call's. */
static const char *calls_open(const struct parse_tagged *t)
{
    return t->section_open ? t->section_open : t->call_open;
}

static bool enter_calls(struct chat_parser *p)
{
    parse_text_tag(p);
    p->eat_space = false;
    p->stalled = false;
    parse_balance_reset(p);
    return enter(p, p->format->tagged->section_open ? PARSE_SECTION : PARSE_CALL);
}

/* Gives the text before `at` out. At the end of the output so is a tag's beginning, unless the
 * format drops it. */
static void text_until(struct chat_parser *p, enum chat_event_type type, size_t at, bool found)
{
    const struct parse_tagged *t = p->format->tagged;
    const bool thinking = type == CHAT_EVENT_THINKING;
    const enum parse_space space = thinking ? t->think_space : t->content_space;
    const bool lost = thinking ? t->lost_tail_think : t->lost_tail_content;
    if (!found && p->final && !lost)
        at = p->end;
    parse_text(p, type, space, parse_rest(p), at - p->pos);
    parse_skip(p, at - p->pos);
    if (at < p->end)
        return; /* white space before a tag, or the beginning of one */
    if (!found && p->final)
        parse_text_end(p, type, space);
}

static bool think(struct chat_parser *p)
{
    const struct parse_tagged *t = p->format->tagged;
    const char *tags[] = {t->think_close, t->call_ends_thinking ? calls_open(t) : NULL};
    size_t at;
    const int tag = parse_find(p, tags, 2, &at);
    text_until(p, CHAT_EVENT_THINKING, at, tag >= 0);
    if (tag < 0)
        return false;
    parse_skip(p, strlen(tags[tag]));
    return tag == 0 ? enter_content(p, true) : enter_calls(p);
}

/* Text that may be a call without its tags. */
static bool ask(struct chat_parser *p, int extra)
{
    const struct parse_tagged *t = p->format->tagged;
    bool consumed = false;
    if (!p->asking)
        parse_balance_reset(p);
    const size_t n = t->maybe(p, extra, &consumed);
    p->asking = n == 0;
    if (n == 0)
        return false;
    if (consumed)
        parse_text_tag(p);
    else
        parse_text(p, CHAT_EVENT_CONTENT, t->content_space, parse_rest(p), n);
    if (consumed)
        p->eat_space = true;
    oll_arena_reset(&p->scratch);
    parse_skip(p, n);
    p->scan = p->pos;
    return true;
}

enum { TAG_CALLS, TAG_OPEN, TAG_HIDE, TAG_EXTRA, TAG_DROP = TAG_EXTRA + 2, N_TAGS = TAG_DROP + 6 };

static bool content(struct chat_parser *p)
{
    const struct parse_tagged *t = p->format->tagged;
    const char *tags[N_TAGS] = {calls_open(t), t->open_anywhere ? t->think_open : NULL,
                                t->hide_open, t->extra[0], t->extra[1]};
    size_t at;
    for (int i = TAG_DROP; i < N_TAGS && (p->call_closed || !t->drop_after_call); i++)
        tags[i] = t->drop[i - TAG_DROP];
    const int tag = parse_find(p, tags, N_TAGS, &at);
    text_until(p, CHAT_EVENT_CONTENT, at, tag >= 0);
    if (tag < 0)
        return false;
    if (tag >= TAG_EXTRA && tag < TAG_DROP)
        return ask(p, tag - TAG_EXTRA);
    if (tag == TAG_OPEN)
        return opened(p, strlen(tags[tag]));
    parse_skip(p, strlen(tags[tag]));
    if (tag == TAG_CALLS)
        return enter_calls(p);
    if (tag == TAG_HIDE) {
        parse_text_tag(p);
        return enter(p, PARSE_HIDE);
    }
    return true;
}

/* Text of a block that is no part of the answer, or that only its marks are not. */
static bool hide(struct chat_parser *p)
{
    const struct parse_tagged *t = p->format->tagged;
    const char *tags[] = {t->hide_close};
    size_t at;
    const bool closed = parse_find(p, tags, 1, &at) == 0;
    if (t->keep_hidden)
        parse_text(p, CHAT_EVENT_CONTENT, SPACE_KEEP, parse_rest(p), at - p->pos);
    parse_skip(p, at - p->pos);
    if (!closed)
        return false;
    parse_skip(p, strlen(t->hide_close));
    return enter_content(p, true);
}

static bool section(struct chat_parser *p)
{
    const struct parse_tagged *t = p->format->tagged;
    const char *tags[] = {t->call_open, t->section_close};
    size_t at;
    const int tag = parse_find(p, tags, 2, &at);
    parse_skip(p, at - p->pos);
    if (tag < 0)
        return false;
    parse_skip(p, strlen(tags[tag]));
    if (tag == 0)
        return enter(p, PARSE_CALL);
    p->call_closed = true;
    return enter_content(p, !t->keep_after_call);
}

static void read_call(struct chat_parser *p, size_t end, bool closed)
{
    const struct parse_tagged *t = p->format->tagged;
    if (!(p->stalled && t->stalls))
        t->call(p, parse_rest(p), end - p->pos, closed);
    oll_arena_reset(&p->scratch);
}

/* A call's body waits for its end. */
static bool call(struct chat_parser *p)
{
    const struct parse_tagged *t = p->format->tagged;
    const char *tags[] = {t->call_close, t->section_close};
    size_t at;
    const bool closed = t->call_close ? parse_find(p, tags, 2, &at) >= 0 : parse_balanced(p, &at);
    if (!closed) {
        if (p->final && t->unclosed)
            read_call(p, t->call_close ? at : p->end, false);
        if (p->final)
            parse_skip(p, parse_left(p));
        return false;
    }
    const bool cut =
        t->section_close && parse_starts(p->in.data + at, p->end - at, t->section_close);
    if (!cut)
        read_call(p, at, true);
    parse_skip(p, at - p->pos + (cut || !t->call_close ? 0 : strlen(t->call_close)));
    p->call_closed = true;
    return t->section_open ? enter(p, PARSE_SECTION) : enter_content(p, !t->keep_after_call);
}

bool parse_tagged_step(struct chat_parser *p)
{
    switch ((enum parse_state)p->state) {
    case PARSE_LOOK: return look(p);
    case PARSE_LABEL: return label(p);
    case PARSE_THINK: return think(p);
    case PARSE_CONTENT: return content(p);
    case PARSE_SECTION: return section(p);
    case PARSE_HIDE: return hide(p);
    default: return call(p);
    }
}
