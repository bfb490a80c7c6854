/* Any text as a chat template: it is refused with a reason, or it renders, twice to the same text.
 * Templates that parse are opened for conversations as well, which runs the trials on them. */
#include "engine/chat/jinja.h"
#include "engine/chat/jinja_native.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { MEMORY_MAX = 64 << 20 };

static const char input[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"},"
    "{\"role\": \"user\", \"content\": \"Wo schl\u00e4ft der Otter?\"},"
    "{\"role\": \"assistant\", \"content\": \"\", \"thinking\": \"hm\", \"tool_calls\": [{\"id\": "
    "\"c1\","
    "\"function\": {\"name\": \"look\", \"arguments\": {\"where\": \"river\", \"n\": [1, 2.5, "
    "null]}}}]},"
    "{\"role\": \"tool\", \"content\": \"{\\\"a\\\": 1}\", \"tool_name\": \"look\"},"
    "{\"role\": \"user\", \"content\": \"Thanks\"}],"
    "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"look\", \"description\": "
    "\"d\","
    "\"parameters\": {\"type\": \"object\", \"required\": [\"where\"], \"properties\": {\"where\":"
    "{\"type\": [\"string\", \"null\"], \"enum\": [\"a\", 1]}}}}}], \"think\": true,"
    "\"bos_token\": \"<s>\", \"add_generation_prompt\": true}";

static oll_status render(const struct jinja_template *page, const struct oll_json *variables,
                         struct oll_strbuf *out)
{
    struct oll_error err = {0};
    oll_strbuf_clear(out);
    const oll_status status = oll_jinja_render(page, variables, 0, out, &err);
    OLL_ASSERT(status == OLL_OK || err.text[0] != '\0');
    return status;
}

static void use_page(const struct jinja_template *page, const struct oll_json *variables)
{
    struct oll_strbuf first, second;
    oll_strbuf_init(&first, MEMORY_MAX);
    oll_strbuf_init(&second, MEMORY_MAX);
    const oll_status a = render(page, variables, &first), b = render(page, variables, &second);
    /* The limit of time may cut one of the two and not the other. */
    if (a == OLL_OK && b == OLL_OK)
        OLL_ASSERT(first.len == second.len && !memcmp(first.data, second.data, first.len));
    else
        OLL_ASSERT(a == b || a == OLL_ERR_LIMIT || b == OLL_ERR_LIMIT);
    oll_strbuf_free(&first);
    oll_strbuf_free(&second);
}

static void use_conversation(struct oll_arena *arena, const char *source, size_t n,
                             const struct oll_json *json)
{
    const struct jinja_native_params params = {.bos = "<s>", .eos = "</s>", .adds_bos = true};
    struct jinja_native *native = NULL;
    struct chat_conversation c;
    struct oll_strbuf prompt;
    oll_strbuf_init(&prompt, MEMORY_MAX);
    if (chat_conversation_from_json(arena, json, &c, NULL) == OLL_OK &&
        oll_jinja_native_open(source, n, &params, &native, NULL) == OLL_OK)
        (void)!oll_jinja_native_render(native, &c, 0, &prompt, NULL);
    oll_jinja_native_free(native);
    oll_strbuf_free(&prompt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct oll_arena arena;
    struct oll_json *variables = NULL;
    struct jinja_template *page = NULL;
    struct oll_error err = {0};
    oll_arena_init(&arena, MEMORY_MAX);
    OLL_ASSERT(oll_json_parse(&arena, input, sizeof input - 1, NULL, &variables, NULL) == OLL_OK);
    if (oll_jinja_parse((const char *)data, n_bytes, &page, &err) == OLL_OK) {
        use_page(page, variables);
        use_conversation(&arena, (const char *)data, n_bytes, variables);
    } else {
        OLL_ASSERT(err.text[0] != '\0');
    }
    oll_jinja_free(page);
    oll_arena_free(&arena);
    return 0;
}
