/* Every stream parser over any reply: however the reply is cut, the joined events are the same,
 * calls carry JSON objects, and texts are whole characters. Byte 0 chooses the parser (behind the
 * built-in ones the generic way with several tags), byte 1 the request, byte 2 the cuts; the reply
 * follows. */
#include "engine/base/utf8.h"
#include "engine/chat/parser.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { MEMORY_MAX = 64 << 20 };

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"properties\":{"
    "\"s\":{\"type\":\"string\"},\"n\":{\"type\":[\"integer\",\"null\"]},\"b\":{\"type\":"
    "\"boolean\"},"
    "\"x\":{\"anyOf\":[{\"type\":\"number\"},{\"type\":\"array\"},{\"type\":\"object\"}]}},"
    "\"required\":[\"s\"]}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"fly_to\"}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"fly\"}}]";

struct joined {
    struct oll_strbuf content, thinking, calls;
    struct oll_arena scratch;
};

static void on_event(void *user, const struct chat_event *event)
{
    struct joined *j = user;
    struct oll_json *args = NULL;
    if (event->type == CHAT_EVENT_CALL) {
        oll_arena_reset(&j->scratch);
        struct oll_json_limits limits = oll_json_limits_default;
        limits.max_depth = OLL_JSON_DEPTH_MAX;
        limits.max_key_bytes = MEMORY_MAX;
        OLL_ASSERT(oll_json_parse(&j->scratch, event->arguments, strlen(event->arguments), &limits,
                                  &args, NULL) == OLL_OK);
        OLL_ASSERT(args->type == OLL_JSON_OBJECT);
        oll_strbuf_printf(&j->calls, "%u %s %s\n", event->index, event->name, event->arguments);
        return;
    }
    OLL_ASSERT(event->len > 0);
    oll_strbuf_add(event->type == CHAT_EVENT_CONTENT ? &j->content : &j->thinking, event->text,
                   event->len);
}

static struct chat_parser_config choose(const uint8_t *data, const struct oll_json *tools)
{
    static const char *const tags[] = {"{", "[", "<tool_call>", NULL};
    static const enum oll_think levels[] = {OLL_THINK_UNSET, OLL_THINK_OFF, OLL_THINK_ON,
                                            OLL_THINK_HIGH};
    struct chat_parser_config config = {.tools = data[1] & 4 ? NULL : tools,
                                        .think = levels[data[1] & 3],
                                        .starts_thinking = data[1] & 8,
                                        .last_role = data[1] & 16 ? "assistant" : "user",
                                        .last_content = data[1] & 32 ? "so" : NULL,
                                        .last_thinking = data[1] & 64 ? "hm" : NULL};
    uint32_t n = 0;
    while (chat_parser_info(n))
        n++;
    const uint32_t which = data[0] % (n + 8);
    if (which < n) {
        config.parser = chat_parser_info(which)->name;
    } else {
        config.tag = tags[(which - n) % 4];
        config.think_open = which - n < 4 ? "<think>" : NULL;
        config.think_close = which - n < 4 ? "</think>" : NULL;
    }
    return config;
}

/* Splits the reply in pieces of up to `longest` bytes, 0 for one piece. */
static oll_status split(struct chat_parser_config config, const char *text, size_t n,
                        unsigned longest, struct joined *j)
{
    struct chat_parser *p = NULL;
    uint32_t state = longest * 2654435761u;
    oll_strbuf_init(&j->content, MEMORY_MAX);
    oll_strbuf_init(&j->thinking, MEMORY_MAX);
    oll_strbuf_init(&j->calls, MEMORY_MAX);
    oll_arena_init(&j->scratch, MEMORY_MAX);
    config.on_event = on_event;
    config.user = j;
    OLL_ASSERT(chat_parser_create(&config, &p, NULL) == OLL_OK);
    oll_status status = OLL_OK;
    for (size_t i = 0; i < n && status == OLL_OK;) {
        state = state * 1664525u + 1013904223u;
        size_t len = longest > 0 ? 1 + (state >> 16) % longest : n;
        len = len < n - i ? len : n - i;
        status = chat_parser_feed(p, text + i, len, NULL);
        (void)chat_parser_phase(p);
        i += len;
    }
    if (status == OLL_OK)
        status = chat_parser_finish(p, NULL);
    chat_parser_free(p);
    return status;
}

static void joined_free(struct joined *j)
{
    oll_strbuf_free(&j->content);
    oll_strbuf_free(&j->thinking);
    oll_strbuf_free(&j->calls);
    oll_arena_free(&j->scratch);
}

static bool same(const struct oll_strbuf *a, const struct oll_strbuf *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct oll_arena arena;
    struct oll_json *tools = NULL;
    struct joined whole, pieces;
    if (n_bytes < 3)
        return 0;
    oll_arena_init(&arena, MEMORY_MAX);
    OLL_ASSERT(oll_json_parse(&arena, tools_text, sizeof tools_text - 1, NULL, &tools, NULL) == 0);
    const struct chat_parser_config config = choose(data, tools);
    const char *text = (const char *)data + 3;
    const size_t n = n_bytes - 3;
    const oll_status status = split(config, text, n, 0, &whole);
    OLL_ASSERT(split(config, text, n, 1 + data[2] % 40, &pieces) == status);
    OLL_ASSERT(same(&whole.content, &pieces.content));
    OLL_ASSERT(same(&whole.thinking, &pieces.thinking));
    OLL_ASSERT(same(&whole.calls, &pieces.calls));
    OLL_ASSERT(!oll_utf8_valid(text, n) ||
               (oll_utf8_valid(whole.content.data, whole.content.len) &&
                oll_utf8_valid(whole.thinking.data, whole.thinking.len)));
    joined_free(&whole);
    joined_free(&pieces);
    oll_arena_free(&arena);
    return 0;
}
