/* Formats in which a reply is a list of messages with headers: harmony (gpt-oss), Glimmer, and
 * functionary. A header says for whom the body is: the user, the model itself, or a tool. */
#include "engine/chat/harmony_name.h"
#include "engine/chat/parse_internal.h"

#include <stdio.h>
#include <string.h>

enum state {
    HEADER,  /* up to the mark that starts the body */
    FUMBLE,  /* content that may turn out to be a call without a recipient (Glimmer) */
    BODY,    /* streams, or is collected when it goes to a tool */
    BETWEEN, /* up to the next message */
    START    /* of the reply: no header is certain yet (Glimmer) */
};

enum chat_phase parse_message_phase(const struct chat_parser *p)
{
    if (p->state == BODY && p->body == CHAT_EVENT_THINKING)
        return CHAT_PHASE_THINKING;
    if (p->state == BODY)
        return p->body == CHAT_EVENT_CONTENT ? CHAT_PHASE_CONTENT : CHAT_PHASE_CALL;
    return CHAT_PHASE_UNDECIDED;
}

static bool enter(struct chat_parser *p, enum state state)
{
    p->state = (int)state;
    p->scan = p->pos;
    return true;
}

static bool filled(const char *s) { return s && s[0] != '\0'; }

static bool is_assistant(const struct chat_parser *p)
{
    return p->cfg.last_role && strcmp(p->cfg.last_role, "assistant") == 0;
}

/* Value behind `key` in a header s[0..n), up to white space or a mark; *len 0: not there. */
static const char *header_value(const char *s, size_t n, const char *key, size_t *len)
{
    size_t from = parse_index(s, n, 0, key);
    *len = 0;
    if (from == n)
        return s;
    from += strlen(key);
    while (from + *len < n && s[from + *len] != '<' &&
           parse_space_lead(s + from + *len, n - from - *len) == 0)
        ++*len;
    return s + from;
}

static bool value_is(const char *s, size_t n, const char *what)
{
    return n == strlen(what) && memcmp(s, what, n) == 0;
}

/* ---- harmony (spec 5.4) ---- */

void parse_harmony_begin(struct chat_parser *p)
{
    p->prompt_names = chat_harmony_names(&p->life, p->tool_names, p->n_tools);
    p->body = CHAT_EVENT_CONTENT;
    p->state = HEADER;
    if (!is_assistant(p))
        return;
    if (filled(p->cfg.last_content) || filled(p->cfg.last_thinking))
        p->state = BODY;
    if (!filled(p->cfg.last_content) && filled(p->cfg.last_thinking))
        p->body = CHAT_EVENT_THINKING;
}

/* Decides by channel and recipient where the body goes. An unknown channel changes nothing. */
static void harmony_header(struct chat_parser *p, const char *s, size_t n)
{
    size_t channel_len, to_len;
    const char *channel = header_value(s, n, "<|channel|>", &channel_len);
    const char *to = header_value(s, n, "to=", &to_len);
    const bool analysis = value_is(channel, channel_len, "analysis");
    const bool commentary = value_is(channel, channel_len, "commentary");
    if (to_len > 0 && (analysis || commentary || channel_len == 0)) {
        p->body = CHAT_EVENT_CALL;
        oll_strbuf_clear(&p->name);
        oll_strbuf_add(&p->name, to, to_len);
    } else if (analysis) {
        p->body = CHAT_EVENT_THINKING;
    } else if (commentary || value_is(channel, channel_len, "final")) {
        p->body = CHAT_EVENT_CONTENT;
    }
}

/* The client's name of a tool that the prompt showed under another one. */
static void harmony_own_name(const struct chat_parser *p, const char **name, size_t *n)
{
    for (size_t i = 0; i < p->n_tools; i++) {
        if (value_is(*name, *n, p->prompt_names[i])) {
            *name = p->tool_names[i];
            *n = strlen(*name);
            return;
        }
    }
}

/* The one call of a reply is read when generation is done. */
static void harmony_call(struct chat_parser *p)
{
    static const char prefix[] = "functions.";
    char complaint[160];
    const char *name = p->name.data;
    size_t n = p->name.len;
    if (n == 0)
        return;
    if (parse_starts(name, n, prefix)) {
        name += sizeof prefix - 1;
        n -= sizeof prefix - 1;
    }
    harmony_own_name(p, &name, &n);
    if (parse_call(p, name, n, p->body_text.data, p->body_text.len))
        return;
    parse_json_complaint(p->body_text.data, p->body_text.len, complaint, sizeof complaint);
    parse_fail(p, "error parsing tool call: raw='%.*s', err=%s",
               p->body_text.len > 640 ? 640 : (int)p->body_text.len, p->body_text.data,
               complaint[0] ? complaint : "arguments must be an object");
}

static bool harmony_in_header(struct chat_parser *p)
{
    static const char *const tags[] = {"<|message|>", "<|start|>"};
    size_t at;
    const int tag = parse_find(p, tags, 2, &at);
    if (tag < 0)
        return false;
    if (tag == 0)
        harmony_header(p, parse_rest(p), at - p->pos);
    parse_skip(p, at - p->pos + strlen(tags[tag]));
    return enter(p, tag == 0 ? BODY : HEADER);
}

/* Behind the end of a message. */
static bool enter_between(struct chat_parser *p)
{
    p->eat_space = true;
    return enter(p, BETWEEN);
}

static bool harmony_in_body(struct chat_parser *p)
{
    static const char *const tags[] = {"<|end|>", "<|call|>", "<|return|>"};
    size_t at;
    const int tag = parse_find(p, tags, 3, &at);
    const size_t n = at - p->pos;
    if (p->body == CHAT_EVENT_CALL)
        oll_strbuf_add(&p->body_text, parse_rest(p), n);
    else
        parse_text(p, p->body, SPACE_KEEP, parse_rest(p), n);
    parse_skip(p, n);
    if (tag < 0)
        return false;
    parse_skip(p, strlen(tags[tag]));
    p->body = CHAT_EVENT_CONTENT;
    return enter_between(p);
}

/* Text between messages belongs to none; it is given back as content, without the layout. */
static bool in_between(struct chat_parser *p)
{
    static const char *const tags[] = {"<|start|>"};
    size_t at;
    const int tag = parse_find(p, tags, 1, &at);
    parse_text(p, CHAT_EVENT_CONTENT, SPACE_TRIM, parse_rest(p), at - p->pos);
    parse_skip(p, at - p->pos);
    if (tag < 0)
        return false;
    parse_skip(p, strlen(tags[0]));
    parse_text_tag(p);
    p->eat_space = false;
    return enter(p, HEADER);
}

bool parse_harmony_step(struct chat_parser *p)
{
    const bool more = p->state == HEADER ? harmony_in_header(p)
                      : p->state == BODY ? harmony_in_body(p)
                                         : in_between(p);
    if (!more && p->final)
        harmony_call(p);
    return more;
}

/* ---- Glimmer ---- */

static const char *const glimmer_tags[] = {"<|message|>", "<|start|>", "<|eom|>", "<|eot|>"};
enum { GLIMMER_MESSAGE, GLIMMER_START, GLIMMER_EOM, GLIMMER_EOT, N_GLIMMER };
static const char glimmer_calls[] = "<atem:function_calls>";

void parse_glimmer_begin(struct chat_parser *p)
{
    p->state = START;
    p->discard = p->cfg.think == OLL_THINK_OFF;
}

static bool glimmer_header(struct chat_parser *p, const char *s, size_t n)
{
    size_t len;
    const char *to = header_value(s, n, "to=", &len);
    oll_strbuf_clear(&p->name);
    p->body = value_is(to, len, "self")               ? CHAT_EVENT_THINKING
              : len == 0 || value_is(to, len, "user") ? CHAT_EVENT_CONTENT
                                                      : CHAT_EVENT_CALL;
    if (p->body == CHAT_EVENT_CALL)
        oll_strbuf_add(&p->name, to, len);
    return enter(p, p->body == CHAT_EVENT_CONTENT ? FUMBLE : BODY);
}

/* Before the first mark the text may be a header or, from a model that forgot it, the answer. */
static bool glimmer_in_start(struct chat_parser *p)
{
    size_t at;
    const int tag = parse_find(p, glimmer_tags, N_GLIMMER, &at);
    const char *s = parse_rest(p);
    const size_t n = at - p->pos;
    if (tag < 0 && !p->final)
        return false;
    if (tag == GLIMMER_MESSAGE) {
        const bool more = glimmer_header(p, s, n);
        parse_skip(p, n + strlen(glimmer_tags[tag]));
        return more;
    }
    if (tag >= 0 || !parse_starts(s, n, " to="))
        parse_text(p, CHAT_EVENT_CONTENT, SPACE_KEEP, s, n);
    parse_skip(p, n + (tag < 0 ? 0 : strlen(glimmer_tags[tag])));
    if (tag == GLIMMER_START)
        return enter(p, HEADER);
    return tag >= 0 && enter_between(p);
}

static bool glimmer_in_header(struct chat_parser *p)
{
    size_t at;
    if (parse_find(p, glimmer_tags, 1, &at) < 0)
        return false;
    glimmer_header(p, parse_rest(p), at - p->pos);
    parse_skip(p, at - p->pos + strlen(glimmer_tags[GLIMMER_MESSAGE]));
    return true;
}

static bool glimmer_fumble(struct chat_parser *p)
{
    const char *s = parse_rest(p);
    const size_t n = parse_left(p), lead = parse_lead(p);
    if (parse_starts(s + lead, n - lead, glimmer_calls))
        p->body = CHAT_EVENT_CALL;
    else if (parse_begins(s + lead, n - lead, glimmer_calls) && !p->final)
        return false;
    return enter(p, BODY);
}

static bool glimmer_in_body(struct chat_parser *p)
{
    size_t at;
    const int tag = parse_find(p, glimmer_tags, N_GLIMMER, &at);
    const char *s = parse_rest(p);
    const size_t n = at - p->pos;
    if (p->body != CHAT_EVENT_CALL) {
        parse_text(p, p->body, SPACE_KEEP, s, n);
    } else if (tag < 0 && !p->final) {
        return false;
    } else if (tag >= 0 || parse_index(s, n, 0, "</atem:function_calls>") < n) {
        parse_body_atem(p, s, n, tag >= 0);
        oll_arena_reset(&p->scratch);
    }
    parse_skip(p, n);
    if (tag < 0)
        return false;
    parse_skip(p, strlen(glimmer_tags[tag]));
    return tag == GLIMMER_START ? enter(p, HEADER) : enter_between(p);
}

bool parse_glimmer_step(struct chat_parser *p)
{
    switch ((enum state)p->state) {
    case START: return glimmer_in_start(p);
    case HEADER: return glimmer_in_header(p);
    case FUMBLE: return glimmer_fumble(p);
    case BODY: return glimmer_in_body(p);
    default: return in_between(p);
    }
}

/* ---- functionary 3.2:  RECIPIENT newline body, more of them behind ">>>" ---- */

static const char functionary_mark[] = ">>>";

/* The prompt ends with the mark, so the reply starts with a recipient. */
void parse_functionary_begin(struct chat_parser *p) { p->state = HEADER; }

/* Whether s[0..n) is a recipient's line: 1 yes, 0 not yet, -1 no. The tool's index goes to *tool,
 * -1 for the user. */
static int recipient_line(const struct chat_parser *p, const char *s, size_t n, size_t *len,
                          int *tool)
{
    bool may_be = false;
    for (int i = -1; i < (int)p->n_tools; i++) {
        const char *name = i < 0 ? "all" : p->tool_names[i];
        const size_t k = strlen(name);
        if (n <= k ? memcmp(s, name, n) != 0 : memcmp(s, name, k) != 0 || s[k] != '\n')
            continue;
        *tool = i;
        *len = k + 1;
        if (n > k)
            return 1;
        may_be = true;
    }
    return may_be && !p->final ? 0 : -1;
}

static bool functionary_header(struct chat_parser *p)
{
    const char *s = parse_rest(p);
    const size_t n = parse_left(p);
    const size_t mark = parse_starts(s, n, functionary_mark) ? sizeof functionary_mark - 1 : 0;
    size_t len;
    int tool;
    if (n == 0 || (mark == 0 && parse_begins(s, n, functionary_mark) && !p->final))
        return false;
    const int is = recipient_line(p, s + mark, n - mark, &len, &tool);
    if (is == 0)
        return false;
    p->body = is > 0 && tool >= 0 ? CHAT_EVENT_CALL : CHAT_EVENT_CONTENT;
    if (is > 0)
        parse_skip(p, mark + len);
    if (is > 0 && tool >= 0) {
        oll_strbuf_clear(&p->name);
        oll_strbuf_adds(&p->name, p->tool_names[tool]);
        parse_balance_reset(p);
    } else if (is < 0 && mark > 0) {
        /* The mark of something else: it is text, and the search goes on behind it. */
        parse_text(p, CHAT_EVENT_CONTENT, SPACE_HOLD, s, mark);
        parse_skip(p, mark);
    } else if (is > 0) {
        parse_text_tag(p);
    }
    return enter(p, BODY);
}

static bool functionary_body(struct chat_parser *p)
{
    static const char *const tags[] = {functionary_mark};
    size_t at;
    const char *s = parse_rest(p);
    if (p->body == CHAT_EVENT_CALL) {
        const size_t lead = parse_lead(p);
        if (lead < parse_left(p) && s[lead] != '{') {
            p->body = CHAT_EVENT_CONTENT;
            return enter(p, BODY);
        }
        if (!parse_balanced(p, &at))
            return false;
        parse_text_tag(p);
        parse_call(p, p->name.data, p->name.len, s, at - p->pos);
        oll_arena_reset(&p->scratch);
        parse_skip(p, at - p->pos);
        p->body = CHAT_EVENT_CONTENT;
        p->eat_space = true;
        return enter(p, BODY);
    }
    const bool found = parse_find(p, tags, 1, &at) == 0;
    if (p->final && !found)
        at = p->end;
    parse_text(p, CHAT_EVENT_CONTENT, SPACE_HOLD, s, at - p->pos);
    parse_skip(p, at - p->pos);
    if (found)
        return enter(p, HEADER);
    if (p->final)
        parse_text_end(p, CHAT_EVENT_CONTENT, SPACE_HOLD);
    return false;
}

bool parse_functionary_step(struct chat_parser *p)
{
    return p->state == HEADER ? functionary_header(p) : functionary_body(p);
}
