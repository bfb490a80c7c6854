/* The events of a streamed response. Keys of each event stand in the order of their bytes. */
#include "server/openai_responses.h"

#include <stdio.h>
#include <string.h>

enum { EVENT_BYTES_MAX = 256 * 1024 * 1024 };

/* One event: its members are written in any order and sorted at the end. */
struct event {
    struct oll_strbuf text;
    struct oll_json_writer w;
    const char *type;
};

static void event_begin(struct event *e, const char *type)
{
    e->type = type;
    oll_strbuf_init(&e->text, EVENT_BYTES_MAX);
    oll_json_write_init(&e->w, &e->text);
    oll_json_write_object_begin(&e->w);
}

static void event_end(struct responses_call *c, struct event *e, struct oll_strbuf *out)
{
    struct oll_arena arena;
    struct oll_json *root = NULL;
    struct oll_json_writer sorted;
    oll_json_write_key(&e->w, "sequence_number");
    oll_json_write_uint(&e->w, c->sequence++);
    oll_json_write_key(&e->w, "type");
    oll_json_write_str(&e->w, e->type);
    oll_json_write_object_end(&e->w);
    oll_arena_init(&arena, EVENT_BYTES_MAX);
    if (e->text.status != OLL_OK ||
        oll_json_parse(&arena, e->text.data, e->text.len, NULL, &root, NULL) != OLL_OK) {
        out->status = OLL_ERR_MEMORY;
    } else {
        oll_strbuf_printf(out, "event: %s\ndata: ", e->type);
        oll_json_write_init(&sorted, out);
        oll_json_write_node(&sorted, root, true);
        oll_strbuf_adds(out, "\n\n");
    }
    oll_arena_free(&arena);
    oll_strbuf_free(&e->text);
}

static void put_str(struct event *e, const char *key, const char *s)
{
    oll_json_write_key(&e->w, key);
    oll_json_write_str(&e->w, s);
}

static void put_uint(struct event *e, const char *key, uint64_t v)
{
    oll_json_write_key(&e->w, key);
    oll_json_write_uint(&e->w, v);
}

static void put_text(struct event *e, const char *key, const struct oll_strbuf *text)
{
    oll_json_write_key(&e->w, key);
    oll_json_write_strn(&e->w, text->data, text->len);
}

static void put_empty_list(struct event *e, const char *key)
{
    oll_json_write_key(&e->w, key);
    oll_json_write_array_begin(&e->w);
    oll_json_write_array_end(&e->w);
}

static void item_id(const struct responses_call *c, const char *prefix, char out[48])
{
    snprintf(out, 48, "%s_%u", prefix, c->id);
}

static void response_event(struct responses_call *c, struct oll_strbuf *out, const char *type,
                           const struct oll_event *done)
{
    struct event e;
    event_begin(&e, type);
    oll_json_write_key(&e.w, "response");
    responses_write(c, &e.w, done ? &c->items : NULL, done);
    event_end(c, &e, out);
}

/* ---- reasoning ---- */

static void open_reasoning(struct responses_call *c, struct oll_strbuf *out)
{
    struct event e;
    char id[48];
    item_id(c, "rs", id);
    event_begin(&e, "response.output_item.added");
    oll_json_write_key(&e.w, "item");
    oll_json_write_object_begin(&e.w);
    put_str(&e, "id", id);
    put_empty_list(&e, "summary");
    put_str(&e, "type", "reasoning");
    oll_json_write_object_end(&e.w);
    put_uint(&e, "output_index", c->n_items);
    event_end(c, &e, out);
}

static void close_reasoning(struct responses_call *c, struct oll_strbuf *out)
{
    struct event e;
    char id[48];
    item_id(c, "rs", id);
    event_begin(&e, "response.reasoning_summary_text.done");
    put_str(&e, "item_id", id);
    put_uint(&e, "output_index", c->n_items);
    put_uint(&e, "summary_index", 0);
    put_text(&e, "text", &c->text);
    event_end(c, &e, out);
    event_begin(&e, "response.output_item.done");
    oll_json_write_key(&e.w, "item");
    responses_write_reasoning(c, &e.w, &c->text);
    put_uint(&e, "output_index", c->n_items);
    event_end(c, &e, out);
    responses_write_reasoning(c, &c->items_writer, &c->text);
}

/* ---- text ---- */

static void put_part(struct event *e, const struct oll_strbuf *text)
{
    oll_json_write_key(&e->w, "part");
    oll_json_write_object_begin(&e->w);
    put_empty_list(e, "annotations");
    put_empty_list(e, "logprobs");
    if (text)
        put_text(e, "text", text);
    else
        put_str(e, "text", "");
    put_str(e, "type", "output_text");
    oll_json_write_object_end(&e->w);
}

static void put_place(const struct responses_call *c, struct event *e)
{
    char id[48];
    item_id(c, "msg", id);
    put_str(e, "item_id", id);
    put_uint(e, "output_index", c->n_items);
    put_uint(e, "content_index", 0);
}

static void open_text(struct responses_call *c, struct oll_strbuf *out)
{
    struct event e;
    char id[48];
    item_id(c, "msg", id);
    event_begin(&e, "response.output_item.added");
    oll_json_write_key(&e.w, "item");
    oll_json_write_object_begin(&e.w);
    put_empty_list(&e, "content");
    put_str(&e, "id", id);
    put_str(&e, "role", "assistant");
    put_str(&e, "status", "in_progress");
    put_str(&e, "type", "message");
    oll_json_write_object_end(&e.w);
    put_uint(&e, "output_index", c->n_items);
    event_end(c, &e, out);
    event_begin(&e, "response.content_part.added");
    put_place(c, &e);
    put_part(&e, NULL);
    event_end(c, &e, out);
}

static void close_text(struct responses_call *c, struct oll_strbuf *out)
{
    struct event e;
    event_begin(&e, "response.output_text.done");
    put_place(c, &e);
    put_empty_list(&e, "logprobs");
    put_text(&e, "text", &c->text);
    event_end(c, &e, out);
    event_begin(&e, "response.content_part.done");
    put_place(c, &e);
    put_part(&e, &c->text);
    event_end(c, &e, out);
    event_begin(&e, "response.output_item.done");
    oll_json_write_key(&e.w, "item");
    responses_write_message(c, &e.w, &c->text);
    put_uint(&e, "output_index", c->n_items);
    event_end(c, &e, out);
    responses_write_message(c, &c->items_writer, &c->text);
}

/* ---- items as they come ---- */

static void close_item(struct responses_call *c, struct oll_strbuf *out)
{
    if (c->open == RESPONSES_REASONING)
        close_reasoning(c, out);
    else if (c->open == RESPONSES_TEXT)
        close_text(c, out);
    else
        return;
    c->n_items++;
    c->open = RESPONSES_NONE;
    oll_strbuf_clear(&c->text);
}

static void add_reasoning(struct responses_call *c, struct oll_strbuf *out,
                          const struct oll_event *event)
{
    struct event e;
    char id[48];
    item_id(c, "rs", id);
    if (c->open != RESPONSES_REASONING) {
        close_item(c, out);
        open_reasoning(c, out);
        c->open = RESPONSES_REASONING;
    }
    oll_strbuf_add(&c->text, event->text, event->n_text);
    event_begin(&e, "response.reasoning_summary_text.delta");
    put_str(&e, "item_id", id);
    put_uint(&e, "output_index", c->n_items);
    put_uint(&e, "summary_index", 0);
    put_str(&e, "delta", event->text);
    event_end(c, &e, out);
}

static void add_text(struct responses_call *c, struct oll_strbuf *out,
                     const struct oll_event *event)
{
    struct event e;
    if (c->open != RESPONSES_TEXT) {
        close_item(c, out);
        open_text(c, out);
        c->open = RESPONSES_TEXT;
    }
    oll_strbuf_add(&c->text, event->text, event->n_text);
    event_begin(&e, "response.output_text.delta");
    put_place(c, &e);
    put_empty_list(&e, "logprobs");
    put_str(&e, "delta", event->text);
    event_end(c, &e, out);
}

static void add_call(struct responses_call *c, struct oll_strbuf *out,
                     const struct oll_event *event)
{
    struct event e;
    char id[48];
    const char *arguments = event->text && *event->text ? event->text : "{}";
    close_item(c, out);
    snprintf(id, sizeof id, "fc_%u_%u", c->id, c->n_items);
    event_begin(&e, "response.output_item.added");
    oll_json_write_key(&e.w, "item");
    responses_write_function_call(c, &e.w, event, c->n_items, false);
    put_uint(&e, "output_index", c->n_items);
    event_end(c, &e, out);
    event_begin(&e, "response.function_call_arguments.delta");
    put_str(&e, "delta", arguments);
    put_str(&e, "item_id", id);
    put_uint(&e, "output_index", c->n_items);
    event_end(c, &e, out);
    event_begin(&e, "response.function_call_arguments.done");
    put_str(&e, "arguments", arguments);
    put_str(&e, "item_id", id);
    put_uint(&e, "output_index", c->n_items);
    event_end(c, &e, out);
    event_begin(&e, "response.output_item.done");
    oll_json_write_key(&e.w, "item");
    responses_write_function_call(c, &e.w, event, c->n_items, true);
    put_uint(&e, "output_index", c->n_items);
    event_end(c, &e, out);
    responses_write_function_call(c, &c->items_writer, event, c->n_items, true);
    c->n_items++;
    c->open = RESPONSES_CALLS;
}

static void add_event(struct responses_call *c, struct oll_strbuf *out,
                      const struct oll_event *event)
{
    const bool has_text = event->text && event->n_text > 0;
    if (event->kind == OLL_EVENT_THINKING && has_text && c->open <= RESPONSES_REASONING)
        add_reasoning(c, out, event);
    else if (event->kind == OLL_EVENT_TEXT && has_text && c->open != RESPONSES_CALLS)
        add_text(c, out, event);
    else if (event->kind == OLL_EVENT_TOOL_CALL)
        add_call(c, out, event);
    else if (event->kind == OLL_EVENT_DONE) {
        close_item(c, out);
        response_event(c, out, "response.completed", event);
    }
}

bool responses_piece(struct ollama_call *call, const struct oll_event *event)
{
    struct responses_call *c = (struct responses_call *)(void *)call;
    struct oll_strbuf out;
    oll_strbuf_init(&out, EVENT_BYTES_MAX);
    if (!c->begun) {
        c->begun = true;
        response_event(c, &out, "response.created", NULL);
        response_event(c, &out, "response.in_progress", NULL);
    }
    add_event(c, &out, event);
    if (c->text.status != OLL_OK || c->items.status != OLL_OK)
        out.status = OLL_ERR_MEMORY;
    if (!http_reply_begun(call->req))
        http_reply_begin(call->req, 200, "text/event-stream");
    bool ok =
        out.status == OLL_OK && (out.len == 0 || http_reply_write(call->req, out.data, out.len));
    oll_strbuf_free(&out);
    return ok;
}
