#include "engine/chat/parser.h"

#include "engine/base/mem.h"
#include "engine/base/utf8.h"
#include "engine/chat/parse_internal.h"

#include <string.h>

/* Tools beyond this are no conversation; each byte of a reply may be compared with all names. */
enum { TOOLS_MAX = 4096, LIFE_MAX = 16 << 20, SCRATCH_MAX = 128 << 20, SLICE = 64 << 10 };

static bool copy(struct oll_arena *arena, const char **s)
{
    if (*s)
        *s = oll_arena_strdup(arena, *s);
    return arena->status == OLL_OK;
}

static oll_status copy_config(struct chat_parser *p, const struct chat_parser_config *config,
                              struct oll_error *err)
{
    struct chat_parser_config *c = &p->cfg;
    *c = *config;
    copy(&p->life, &c->parser);
    copy(&p->life, &c->tag);
    copy(&p->life, &c->think_open);
    copy(&p->life, &c->think_close);
    copy(&p->life, &c->last_role);
    /* Only whether there was text matters. */
    c->last_content = c->last_content && c->last_content[0] != '\0' ? "." : NULL;
    c->last_thinking = c->last_thinking && c->last_thinking[0] != '\0' ? "." : NULL;
    if (p->life.status != OLL_OK)
        return OLL_FAIL(err, p->life.status, "out of memory for a parser");
    return OLL_OK;
}

/* Names of the declared functions, for formats that look for them. */
static oll_status index_tools(struct chat_parser *p, struct oll_error *err)
{
    const struct oll_json *tools = p->cfg.tools;
    if (!tools || tools->type != OLL_JSON_ARRAY || tools->n == 0)
        return OLL_OK;
    if (tools->n > TOOLS_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "more than %d tools", TOOLS_MAX);
    const char **names = oll_arena_alloc(&p->life, tools->n, sizeof *names);
    size_t *lens = oll_arena_alloc(&p->life, tools->n, sizeof *lens);
    if (!names || !lens)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a parser");
    for (const struct oll_json *t = tools->first; t; t = t->next) {
        const char *name = oll_json_get_str(oll_json_get(t, "function"), "name", "");
        if (name[0] == '\0')
            continue;
        lens[p->n_tools] = strlen(name);
        names[p->n_tools] = name;
        p->name_ends[(unsigned char)name[lens[p->n_tools++] - 1]] = true;
    }
    p->tool_names = names;
    p->tool_lens = lens;
    return OLL_OK;
}

static const struct parse_format *find_format(const char *name)
{
    for (const struct parse_format *f = parse_formats; f->facts.name; f++) {
        if (strcmp(f->facts.name, name) == 0)
            return f;
    }
    return NULL;
}

static oll_status check_config(const struct chat_parser_config *c, struct oll_error *err)
{
    if (c->parser && !find_format(c->parser))
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "unknown parser \"%s\"", c->parser);
    if (!c->think_open != !c->think_close)
        return OLL_FAIL(err, OLL_ERR_ARG, "thinking needs an opening and a closing tag");
    if ((c->think_open && (!c->think_open[0] || !c->think_close[0])) || (c->tag && !c->tag[0]))
        return OLL_FAIL(err, OLL_ERR_ARG, "a tag must not be empty");
    return OLL_OK;
}

oll_status chat_parser_create(const struct chat_parser_config *config, struct chat_parser **out,
                              struct oll_error *err)
{
    OLL_TRY(check_config(config, err));
    struct chat_parser *p = oll_calloc(1, sizeof *p);
    if (!p)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a parser");
    oll_arena_init(&p->life, LIFE_MAX);
    oll_arena_init(&p->scratch, SCRATCH_MAX);
    oll_strbuf_init(&p->in, CHAT_PARSER_PENDING_MAX);
    oll_strbuf_init(&p->held, CHAT_PARSER_PENDING_MAX);
    oll_strbuf_init(&p->out, CHAT_PARSER_PENDING_MAX);
    /* Escapes may make a value six times as long as the model wrote it. */
    oll_strbuf_init(&p->args, (size_t)CHAT_PARSER_PENDING_MAX * 6);
    oll_strbuf_init(&p->json, (size_t)CHAT_PARSER_PENDING_MAX * 6);
    oll_strbuf_init(&p->name, CHAT_PARSER_PENDING_MAX);
    oll_strbuf_init(&p->body_text, CHAT_PARSER_PENDING_MAX);
    p->format = config->parser ? find_format(config->parser) : &parse_format_generic;
    p->id_state = config->id_seed;
    oll_status status = copy_config(p, config, err);
    if (status == OLL_OK)
        status = index_tools(p, err);
    if (status == OLL_OK)
        p->format->begin(p);
    if (status == OLL_OK && p->life.status != OLL_OK)
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a parser");
    if (status != OLL_OK) {
        chat_parser_free(p);
        return status;
    }
    *out = p;
    return OLL_OK;
}

void chat_parser_free(struct chat_parser *p)
{
    if (!p)
        return;
    oll_arena_free(&p->life);
    oll_arena_free(&p->scratch);
    oll_strbuf_free(&p->in);
    oll_strbuf_free(&p->held);
    oll_strbuf_free(&p->out);
    oll_strbuf_free(&p->args);
    oll_strbuf_free(&p->json);
    oll_strbuf_free(&p->name);
    oll_strbuf_free(&p->body_text);
    oll_free(p);
}

/* Moves the waiting text to the front. Text that waits for long has nothing before it, so this
 * costs no more than the text that was consumed or came in since. */
static void compact(struct chat_parser *p)
{
    const size_t n = p->pos;
    oll_strbuf_drop(&p->in, n);
    p->pos = 0;
    p->end -= n;
    p->scan = p->scan > n ? p->scan - n : 0;
    p->balance.at = p->balance.at > n ? p->balance.at - n : 0;
    p->balance.start = p->balance.start > n ? p->balance.start - n : 0;
}

/* Failures that stuck in a buffer. */
static void check_buffers(struct chat_parser *p)
{
    const struct oll_strbuf *const all[] = {&p->in, &p->held, &p->out, &p->name, &p->body_text};
    for (size_t i = 0; i < sizeof all / sizeof *all && p->status == OLL_OK; i++) {
        if (all[i]->status == OLL_ERR_LIMIT)
            p->status = OLL_FAIL(p->err, OLL_ERR_LIMIT, "a tool call or header of more than %d MiB",
                                 CHAT_PARSER_PENDING_MAX >> 20);
        else if (all[i]->status != OLL_OK)
            p->status = OLL_FAIL(p->err, OLL_ERR_MEMORY, "out of memory while reading a reply");
    }
}

static void run(struct chat_parser *p)
{
    while (p->status == OLL_OK && (p->pos < p->end || p->final) && p->format->step(p))
        ;
    parse_flush(p);
    check_buffers(p);
    compact(p);
}

static oll_status result(struct chat_parser *p, struct oll_error *err)
{
    if (p->status != OLL_OK && p->first_error.status != OLL_OK)
        return OLL_FAIL(err, p->status, "%s", p->first_error.text);
    return p->status;
}

oll_status chat_parser_feed(struct chat_parser *p, const char *text, size_t n,
                            struct oll_error *err)
{
    p->err = &p->first_error;
    for (size_t i = 0; i < n && p->status == OLL_OK;) {
        const size_t len = n - i < SLICE ? n - i : SLICE;
        oll_strbuf_add(&p->in, text + i, len);
        i += len;
        /* A character that more bytes may complete waits for them; it is at most three long. */
        const size_t tail = p->in.len < 3 ? p->in.len : 3;
        const char *last = p->in.data + p->in.len - tail;
        p->end = p->in.len - tail + oll_utf8_complete_len(last, tail);
        run(p);
    }
    return result(p, err);
}

oll_status chat_parser_finish(struct chat_parser *p, struct oll_error *err)
{
    p->err = &p->first_error;
    p->end = p->in.len;
    p->final = true;
    if (p->status == OLL_OK)
        run(p);
    return result(p, err);
}

enum chat_phase chat_parser_phase(const struct chat_parser *p) { return p->format->phase(p); }

bool chat_parser_is_thinking(const struct chat_parser *p)
{
    return chat_parser_phase(p) == CHAT_PHASE_THINKING;
}

const char *chat_parser_think_open(const struct chat_parser *p)
{
    return p->format == &parse_format_generic ? p->cfg.think_open : p->format->think_open;
}

const char *chat_parser_think_close(const struct chat_parser *p)
{
    return p->format == &parse_format_generic ? p->cfg.think_close : p->format->think_close;
}

const struct chat_parser_facts *chat_parser_find(const char *name)
{
    const struct parse_format *format = find_format(name);
    return format ? &format->facts : NULL;
}

const struct chat_parser_facts *chat_parser_info(uint32_t index)
{
    const struct parse_format *format = parse_formats;
    for (uint32_t i = 0; i < index && format->facts.name; i++)
        format++;
    return format->facts.name ? &format->facts : NULL;
}

/* No tags at all. */
void parse_plain_begin(struct chat_parser *p) { p->state = 0; }

enum chat_phase parse_plain_phase(const struct chat_parser *p)
{
    (void)p;
    return CHAT_PHASE_CONTENT;
}

bool parse_plain_step(struct chat_parser *p)
{
    parse_text(p, CHAT_EVENT_CONTENT, SPACE_KEEP, parse_rest(p), parse_left(p));
    parse_skip(p, parse_left(p));
    return false;
}
