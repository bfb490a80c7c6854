/* The events of a streamed message (rest-api 7.4): blocks open and close as the kind of what the
 * model says changes. */
#include "server/anthropic.h"

#include <string.h>

enum { EVENT_BYTES_MAX = 256 * 1024 * 1024 };

static void event_begin(struct oll_strbuf *sb, struct oll_json_writer *w, const char *type)
{
    oll_strbuf_printf(sb, "event: %s\ndata: ", type);
    oll_json_write_init(w, sb);
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "type");
    oll_json_write_str(w, type);
}

static void event_end(struct oll_strbuf *sb, struct oll_json_writer *w)
{
    oll_json_write_object_end(w);
    oll_strbuf_adds(sb, "\n\n");
}

static void write_usage(struct oll_json_writer *w, uint64_t input, uint64_t output)
{
    oll_json_write_key(w, "usage");
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "input_tokens");
    oll_json_write_uint(w, input);
    oll_json_write_key(w, "output_tokens");
    oll_json_write_uint(w, output);
    oll_json_write_object_end(w);
}

static void write_start(struct anthropic_call *c, struct oll_strbuf *sb)
{
    struct oll_json_writer w;
    event_begin(sb, &w, "message_start");
    oll_json_write_key(&w, "message");
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "id");
    oll_json_write_str(&w, c->id);
    oll_json_write_key(&w, "type");
    oll_json_write_str(&w, "message");
    oll_json_write_key(&w, "role");
    oll_json_write_str(&w, "assistant");
    oll_json_write_key(&w, "model");
    oll_json_write_str(&w, c->fields.model);
    oll_json_write_key(&w, "content");
    oll_json_write_array_begin(&w);
    oll_json_write_array_end(&w);
    write_usage(&w, c->estimate, 0);
    oll_json_write_object_end(&w);
    event_end(sb, &w);
    c->begun = true;
}

static void close_block(struct anthropic_call *c, struct oll_strbuf *sb)
{
    struct oll_json_writer w;
    if (c->open == ANTHROPIC_NONE)
        return;
    event_begin(sb, &w, "content_block_stop");
    oll_json_write_key(&w, "index");
    oll_json_write_uint(&w, c->index++);
    event_end(sb, &w);
    c->open = ANTHROPIC_NONE;
}

/* `tool` is the event of a call, NULL for text and thinking. */
static void open_block(struct anthropic_call *c, struct oll_strbuf *sb, enum anthropic_block kind,
                       const struct oll_event *tool)
{
    const char *name = kind == ANTHROPIC_THINKING ? "thinking" : "text";
    struct oll_json_writer w;
    close_block(c, sb);
    event_begin(sb, &w, "content_block_start");
    oll_json_write_key(&w, "index");
    oll_json_write_uint(&w, c->index);
    oll_json_write_key(&w, "content_block");
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "type");
    oll_json_write_str(&w, tool ? "tool_use" : name);
    if (tool) {
        oll_json_write_key(&w, "id");
        oll_json_write_str(&w, tool->tool_id ? tool->tool_id : "");
        oll_json_write_key(&w, "name");
        oll_json_write_str(&w, tool->tool_name ? tool->tool_name : "");
        oll_json_write_key(&w, "input");
        oll_json_write_object_begin(&w);
        oll_json_write_object_end(&w);
    } else {
        oll_json_write_key(&w, name);
        oll_json_write_str(&w, "");
    }
    oll_json_write_object_end(&w);
    event_end(sb, &w);
    c->open = kind;
}

static void write_delta(struct anthropic_call *c, struct oll_strbuf *sb, const char *type,
                        const char *member, const char *text, size_t n)
{
    struct oll_json_writer w;
    event_begin(sb, &w, "content_block_delta");
    oll_json_write_key(&w, "index");
    oll_json_write_uint(&w, c->index);
    oll_json_write_key(&w, "delta");
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "type");
    oll_json_write_str(&w, type);
    oll_json_write_key(&w, member);
    oll_json_write_strn(&w, text, n);
    oll_json_write_object_end(&w);
    event_end(sb, &w);
}

static void write_end(struct anthropic_call *c, struct oll_strbuf *sb, const struct oll_event *done)
{
    struct oll_json_writer w;
    close_block(c, sb);
    event_begin(sb, &w, "message_delta");
    oll_json_write_key(&w, "delta");
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "stop_reason");
    oll_json_write_str(&w, anthropic_stop_reason(done, c->called));
    oll_json_write_object_end(&w);
    write_usage(&w, done->n_prompt, done->n_reply);
    event_end(sb, &w);
    event_begin(sb, &w, "message_stop");
    event_end(sb, &w);
}

static void write_event(struct anthropic_call *c, struct oll_strbuf *sb,
                        const struct oll_event *event)
{
    const bool has_text = event->text && event->n_text > 0;
    if (event->kind == OLL_EVENT_THINKING && has_text && !c->thought) {
        if (c->open != ANTHROPIC_THINKING)
            open_block(c, sb, ANTHROPIC_THINKING, NULL);
        write_delta(c, sb, "thinking_delta", "thinking", event->text, event->n_text);
    } else if (event->kind == OLL_EVENT_TEXT && has_text) {
        /* Thinking that comes after its block was closed is dropped. */
        c->thought = c->thought || c->open == ANTHROPIC_THINKING;
        if (c->open != ANTHROPIC_TEXT)
            open_block(c, sb, ANTHROPIC_TEXT, NULL);
        write_delta(c, sb, "text_delta", "text", event->text, event->n_text);
    } else if (event->kind == OLL_EVENT_TOOL_CALL) {
        const char *arguments = has_text ? event->text : "{}";
        c->thought = c->thought || c->open == ANTHROPIC_THINKING;
        c->called = true;
        open_block(c, sb, ANTHROPIC_TOOL, event);
        write_delta(c, sb, "input_json_delta", "partial_json", arguments, strlen(arguments));
        close_block(c, sb);
    } else if (event->kind == OLL_EVENT_DONE) {
        write_end(c, sb, event);
    }
}

bool anthropic_piece(struct ollama_call *call, const struct oll_event *event)
{
    struct anthropic_call *c = (struct anthropic_call *)(void *)call;
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, EVENT_BYTES_MAX);
    if (!c->begun)
        write_start(c, &sb);
    write_event(c, &sb, event);
    if (!http_reply_begun(call->req))
        http_reply_begin(call->req, 200, "text/event-stream");
    bool ok = sb.status == OLL_OK && (sb.len == 0 || http_reply_write(call->req, sb.data, sb.len));
    oll_strbuf_free(&sb);
    return ok;
}
