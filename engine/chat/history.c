#include "engine/chat/history.h"

#include "engine/chat/parser.h"

#include <string.h>

bool chat_history_applies(const char *family, const char *name)
{
    return (family && strcmp(family, "qwen3") == 0) || (name && strcmp(name, "deepseek-r1") == 0);
}

static void keep_content(void *user, const struct chat_event *event)
{
    if (event->type == CHAT_EVENT_CONTENT)
        oll_strbuf_add(user, event->text, event->len);
}

static oll_status without_thinking(struct oll_arena *arena, const char *content, const char **out,
                                   struct oll_error *err)
{
    struct oll_strbuf rest;
    struct chat_parser *parser = NULL;
    const size_t n = strlen(content);
    const struct chat_parser_config config = {.think_open = "<think>",
                                              .think_close = "</think>",
                                              .on_event = keep_content,
                                              .user = &rest};
    oll_strbuf_init(&rest, n);
    oll_status status = chat_parser_create(&config, &parser, err);
    if (status == OLL_OK)
        status = chat_parser_feed(parser, content, n, err);
    if (status == OLL_OK)
        status = chat_parser_finish(parser, err);
    chat_parser_free(parser);
    if (status == OLL_OK && rest.status == OLL_OK)
        *out = oll_arena_strndup(arena, rest.data, rest.len);
    if (status == OLL_OK && (rest.status != OLL_OK || !*out))
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the conversation");
    oll_strbuf_free(&rest);
    return status;
}

oll_status chat_history_filter(struct oll_arena *arena, const struct chat_conversation *in,
                               struct chat_conversation *out, struct oll_error *err)
{
    uint32_t last_user = in->n_messages;
    struct chat_message *messages =
        oll_arena_alloc(arena, (size_t)in->n_messages + 1, sizeof *messages);
    if (!messages)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the conversation");
    for (uint32_t i = 0; i < in->n_messages; i++) {
        messages[i] = in->messages[i];
        if (strcmp(messages[i].role, "user") == 0)
            last_user = i;
    }
    for (uint32_t i = 0; i < last_user && last_user < in->n_messages; i++) {
        if (strcmp(messages[i].role, "assistant") == 0)
            OLL_TRY(without_thinking(arena, messages[i].content, &messages[i].content, err));
    }
    *out = *in;
    out->messages = messages;
    return OLL_OK;
}
