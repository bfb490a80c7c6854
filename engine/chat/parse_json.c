#include "engine/chat/parse_json.h"

#include <string.h>

enum { TEXT_MAX = 64 << 20 };

/* What came so far, of the whole reply or of one step. */
struct part {
    struct oll_strbuf content, thinking, calls; /* calls: comma-separated objects */
};

/* When the end of the text has a step of its own, even an empty one. */
enum last_step { STEP_ALWAYS, STEP_WITHOUT_CALLS, STEP_WITH_OUTPUT };

struct collector {
    struct part whole, step;
    enum last_step last_step;
};

static void part_init(struct part *part)
{
    oll_strbuf_init(&part->content, TEXT_MAX);
    oll_strbuf_init(&part->thinking, TEXT_MAX);
    oll_strbuf_init(&part->calls, TEXT_MAX);
}

static void part_clear(struct part *part)
{
    oll_strbuf_clear(&part->content);
    oll_strbuf_clear(&part->thinking);
    oll_strbuf_clear(&part->calls);
}

static void part_free(struct part *part)
{
    oll_strbuf_free(&part->content);
    oll_strbuf_free(&part->thinking);
    oll_strbuf_free(&part->calls);
}

static bool part_empty(const struct part *part)
{
    return part->content.len + part->thinking.len + part->calls.len == 0;
}

static void part_add_call(struct part *part, const struct chat_event *event)
{
    struct oll_json_writer w;
    if (part->calls.len > 0)
        oll_strbuf_addc(&part->calls, ',');
    oll_json_write_init(&w, &part->calls);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "function");
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "index");
    oll_json_write_uint(&w, event->index);
    oll_json_write_key(&w, "name");
    oll_json_write_str(&w, event->name);
    oll_json_write_key(&w, "arguments");
    oll_json_write_raw(&w, event->arguments, strlen(event->arguments));
    oll_json_write_object_end(&w);
    oll_json_write_object_end(&w);
}

static void part_add(struct part *part, const struct chat_event *event)
{
    if (event->type == CHAT_EVENT_CALL)
        part_add_call(part, event);
    else
        oll_strbuf_add(event->type == CHAT_EVENT_CONTENT ? &part->content : &part->thinking,
                       event->text, event->len);
}

static void on_event(void *user, const struct chat_event *event)
{
    struct collector *all = user;
    part_add(&all->whole, event);
    part_add(&all->step, event);
}

/* Members of a part; empty ones only when `all` is set. */
static void write_part(struct oll_json_writer *w, const struct part *part, bool all)
{
    if (all || part->content.len > 0) {
        oll_json_write_key(w, "content");
        oll_json_write_strn(w, part->content.data, part->content.len);
    }
    if (all || part->thinking.len > 0) {
        oll_json_write_key(w, "thinking");
        oll_json_write_strn(w, part->thinking.data, part->thinking.len);
    }
    if (!all && part->calls.len == 0)
        return;
    oll_json_write_key(w, "tool_calls");
    oll_json_write_array_begin(w);
    if (part->calls.len > 0)
        oll_json_write_raw(w, part->calls.data, part->calls.len);
    oll_json_write_array_end(w);
}

static void write_step(struct oll_json_writer *w, struct part *step)
{
    oll_json_write_object_begin(w);
    write_part(w, step, false);
    oll_json_write_object_end(w);
    part_clear(step);
}

/* Feeds all chunks; steps are written as they come. *failure is set when the reply ended in error.
 */
static oll_status feed_all(struct chat_parser *parser, const struct oll_json *chunks,
                           struct collector *all, struct oll_json_writer *steps,
                           struct oll_error *failure)
{
    oll_status status = OLL_OK;
    for (const struct oll_json *c = chunks->first; c && status == OLL_OK; c = c->next) {
        status = chat_parser_feed(parser, c->str, c->str_len, failure);
        write_step(steps, &all->step);
    }
    if (status != OLL_OK)
        return status;
    status = chat_parser_finish(parser, failure);
    if (all->last_step == STEP_ALWAYS ||
        (all->last_step == STEP_WITHOUT_CALLS && all->whole.calls.len == 0) ||
        !part_empty(&all->step))
        write_step(steps, &all->step);
    return status;
}

static bool all_strings(const struct oll_json *chunks)
{
    if (!chunks || chunks->type != OLL_JSON_ARRAY)
        return false;
    for (const struct oll_json *c = chunks->first; c; c = c->next) {
        if (c->type != OLL_JSON_STRING)
            return false;
    }
    return true;
}

static oll_status answer(struct chat_parser *parser, const struct oll_json *chunks,
                         struct collector *all, struct oll_strbuf *out)
{
    struct oll_strbuf steps;
    struct oll_json_writer s, w;
    struct oll_error failure = {0};
    oll_strbuf_init(&steps, TEXT_MAX);
    oll_json_write_init(&s, &steps);
    oll_json_write_array_begin(&s);
    const oll_status status = feed_all(parser, chunks, all, &s, &failure);
    oll_json_write_array_end(&s);
    oll_json_write_init(&w, out);
    oll_json_write_object_begin(&w);
    write_part(&w, &all->whole, true);
    if (status != OLL_OK) {
        oll_json_write_key(&w, "error");
        oll_json_write_str(&w, oll_error_text(&failure));
    }
    oll_json_write_key(&w, "steps");
    oll_json_write_raw(&w, steps.data, steps.len);
    oll_json_write_object_end(&w);
    const oll_status failed = steps.status != OLL_OK ? steps.status : out->status;
    oll_strbuf_free(&steps);
    return failed;
}

oll_status chat_parse_chunks(const struct chat_parser_config *config, const struct oll_json *chunks,
                             struct oll_strbuf *out, struct oll_error *err)
{
    struct collector all;
    struct chat_parser *parser = NULL;
    struct chat_parser_config own = *config;
    if (!all_strings(chunks))
        return OLL_FAIL(err, OLL_ERR_ARG, "chunks must be an array of strings");
    own.on_event = on_event;
    own.user = &all;
    OLL_TRY(chat_parser_create(&own, &parser, err));
    part_init(&all.whole);
    part_init(&all.step);
    all.last_step = config->parser ? STEP_ALWAYS
                    : config->tag  ? STEP_WITHOUT_CALLS
                                   : STEP_WITH_OUTPUT;
    const oll_status status = answer(parser, chunks, &all, out);
    part_free(&all.whole);
    part_free(&all.step);
    chat_parser_free(parser);
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "no memory for the answer");
    return OLL_OK;
}

static oll_status get_text(const struct oll_json *line, const char *key, const char **out,
                           struct oll_error *err)
{
    const struct oll_json *value = oll_json_get(line, key);
    if (!value || value->type == OLL_JSON_NULL)
        return OLL_OK;
    if (value->type != OLL_JSON_STRING)
        return OLL_FAIL(err, OLL_ERR_ARG, "%s must be a string", key);
    *out = value->str;
    return OLL_OK;
}

static oll_status get_think(const struct oll_json *line, enum oll_think *think,
                            struct oll_error *err)
{
    static const char *const names[] = {"low", "medium", "high", "max"};
    static const enum oll_think levels[] = {OLL_THINK_LOW, OLL_THINK_MEDIUM, OLL_THINK_HIGH,
                                            OLL_THINK_MAX};
    const struct oll_json *value = oll_json_get(line, "think");
    if (!value || value->type == OLL_JSON_NULL)
        return OLL_OK;
    if (value->type == OLL_JSON_BOOL) {
        *think = value->is_true ? OLL_THINK_ON : OLL_THINK_OFF;
        return OLL_OK;
    }
    for (size_t i = 0; value->type == OLL_JSON_STRING && i < 4; i++) {
        if (strcmp(value->str, names[i]) == 0) {
            *think = levels[i];
            return OLL_OK;
        }
    }
    return OLL_FAIL(err, OLL_ERR_ARG, "think must be true, false, low, medium, high or max");
}

oll_status chat_parse_config(const struct oll_json *line, struct chat_parser_config *config,
                             struct oll_error *err)
{
    const struct oll_json *tools = oll_json_get(line, "tools");
    const struct oll_json *last = oll_json_get(line, "last_message");
    *config = (struct chat_parser_config){.tools = NULL};
    if (!line || line->type != OLL_JSON_OBJECT)
        return OLL_FAIL(err, OLL_ERR_ARG, "a line must be an object");
    OLL_TRY(get_text(line, "parser", &config->parser, err));
    OLL_TRY(get_text(line, "tag", &config->tag, err));
    OLL_TRY(get_text(line, "open", &config->think_open, err));
    OLL_TRY(get_text(line, "close", &config->think_close, err));
    OLL_TRY(get_think(line, &config->think, err));
    if (tools && tools->type != OLL_JSON_ARRAY && tools->type != OLL_JSON_NULL)
        return OLL_FAIL(err, OLL_ERR_ARG, "tools must be an array");
    if (tools && tools->type == OLL_JSON_ARRAY)
        config->tools = tools;
    OLL_TRY(get_text(last, "role", &config->last_role, err));
    OLL_TRY(get_text(last, "content", &config->last_content, err));
    return get_text(last, "thinking", &config->last_thinking, err);
}

oll_status chat_parse_line(const struct oll_json *line, struct oll_strbuf *out)
{
    struct chat_parser_config config;
    struct oll_error err = {0};
    struct oll_json_writer w;
    oll_status status = chat_parse_config(line, &config, &err);
    if (status == OLL_OK && !config.parser && !config.tag && !config.think_open)
        status = OLL_FAIL(&err, OLL_ERR_ARG, "a line needs parser, tag, or open and close");
    if (status == OLL_OK)
        status = chat_parse_chunks(&config, oll_json_get(line, "chunks"), out, &err);
    if (status == OLL_OK || status == OLL_ERR_MEMORY || out->status != OLL_OK)
        return status == OLL_OK ? out->status : status;
    oll_json_write_init(&w, out);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "error");
    oll_json_write_str(&w, oll_error_text(&err));
    oll_json_write_object_end(&w);
    return out->status;
}
