#include "engine/split.h"

#include "engine/base/mem.h"

#include <string.h>

struct oll_event *split_add(struct split *split, enum oll_event_kind kind)
{
    if (split->n_events == split->cap_events) {
        uint32_t cap = split->cap_events ? 2 * split->cap_events : 4;
        struct oll_event *grown = oll_realloc(split->events, cap, sizeof *grown);
        if (!grown) {
            split->out_of_memory = true;
            return NULL;
        }
        split->events = grown;
        split->cap_events = cap;
    }
    struct oll_event *event = &split->events[split->n_events++];
    *event = (struct oll_event){.kind = kind};
    return event;
}

/* Text of an event, added to the last one when that is of the same kind. NUL bytes, which only byte
 * tokens can bring, were left out before. */
static void add_text(struct split *split, enum oll_event_kind kind, const char *text, size_t n)
{
    struct oll_event *last = split->n_events ? &split->events[split->n_events - 1] : NULL;
    if (n == 0)
        return;
    if (!last || last->kind != kind)
        last = split_add(split, kind);
    char *grown = last ? oll_realloc(last->text, last->n_text + n + 1, 1) : NULL;
    if (!grown) {
        split->out_of_memory = true;
        return;
    }
    memcpy(grown + last->n_text, text, n);
    last->text = grown;
    last->n_text += n;
    grown[last->n_text] = '\0';
}

static void add_call(struct split *split, const struct chat_event *from)
{
    struct oll_event *event = split_add(split, OLL_EVENT_TOOL_CALL);
    if (!event)
        return;
    event->text = oll_strdup(from->arguments);
    event->n_text = strlen(from->arguments);
    event->tool_name = oll_strdup(from->name);
    event->tool_id = oll_strdup(from->id);
    if (!event->text || !event->tool_name || !event->tool_id)
        split->out_of_memory = true;
}

static void on_event(void *user, const struct chat_event *event)
{
    struct split *split = user;
    if (event->type == CHAT_EVENT_CALL)
        add_call(split, event);
    else
        add_text(split, event->type == CHAT_EVENT_THINKING ? OLL_EVENT_THINKING : OLL_EVENT_TEXT,
                 event->text, event->len);
}

oll_status split_init(struct split *split, const struct chat_parser_config *config,
                      struct oll_error *err)
{
    *split = (struct split){0};
    if (!config)
        return OLL_OK;
    struct chat_parser_config own = *config;
    own.on_event = on_event;
    own.user = split;
    return chat_parser_create(&own, &split->parser, err);
}

void split_free(struct split *split)
{
    for (uint32_t i = 0; i < split->n_events; i++)
        oll_event_free(&split->events[i]);
    oll_free(split->events);
    chat_parser_free(split->parser);
    *split = (struct split){0};
}

void split_clear(struct split *split) { split->n_events = 0; }

static oll_status check(const struct split *split, oll_status status, struct oll_error *err)
{
    if (status == OLL_OK && split->out_of_memory)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the reply");
    return status;
}

oll_status split_text(struct split *split, const char *text, size_t n, struct oll_error *err)
{
    oll_status status = OLL_OK;
    if (split->parser)
        status = n ? chat_parser_feed(split->parser, text, n, err) : OLL_OK;
    else
        add_text(split, OLL_EVENT_TEXT, text, n);
    return check(split, status, err);
}

oll_status split_finish(struct split *split, struct oll_error *err)
{
    return check(split, split->parser ? chat_parser_finish(split->parser, err) : OLL_OK, err);
}
