/* Any text as a Go template: it is refused with a reason, or it renders in each of the three ways,
 * twice to the same text. */
#include "engine/chat/capabilities.h"
#include "engine/chat/go_template.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { MEMORY_MAX = 64 << 20 };

static const char input[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"},"
    "{\"role\": \"user\", \"content\": \"Wo schl\u00e4ft der Otter?\", \"images\": [\"aGk=\"]},"
    "{\"role\": \"assistant\", \"content\": \"\", \"thinking\": \"hm\", \"tool_calls\": [{\"id\": "
    "\"c1\", \"function\": {\"name\": \"look\", \"arguments\": {\"where\": \"river\", \"n\": [1, "
    "2.5, null], \"o\": {\"k\": true}}}}]},"
    "{\"role\": \"tool\", \"content\": \"{\\\"a\\\": 1}\", \"tool_name\": \"look\"},"
    "{\"role\": \"user\", \"content\": \"Thanks\"}],"
    "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"look\", \"description\": "
    "\"d\", \"parameters\": {\"type\": \"object\", \"required\": [\"where\"], \"properties\": "
    "{\"where\": {\"type\": [\"string\", \"null\"], \"enum\": [\"a\", 1]}}}}}], \"think\": "
    "\"high\"}";

static oll_status render(const struct go_template *t, const struct go_template_input *in,
                         struct oll_strbuf *out)
{
    struct oll_error err = {0};
    oll_strbuf_clear(out);
    const oll_status status = go_template_render(t, in, out, &err);
    OLL_ASSERT(status == OLL_OK || err.text[0] != '\0');
    return status;
}

static void use_input(const struct go_template *t, const struct go_template_input *in)
{
    struct oll_strbuf first, second;
    oll_strbuf_init(&first, MEMORY_MAX);
    oll_strbuf_init(&second, MEMORY_MAX);
    const oll_status a = render(t, in, &first), b = render(t, in, &second);
    OLL_ASSERT(a == b);
    if (a == OLL_OK)
        OLL_ASSERT(first.len == second.len && !memcmp(first.data, second.data, first.len));
    oll_strbuf_free(&first);
    oll_strbuf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct oll_arena arena;
    struct oll_json *json = NULL;
    struct chat_conversation c;
    struct go_template *t = NULL;
    struct oll_error err = {0};
    oll_arena_init(&arena, MEMORY_MAX);
    OLL_ASSERT(oll_json_parse(&arena, input, sizeof input - 1, NULL, &json, NULL) == OLL_OK &&
               chat_conversation_from_json(&arena, json, &c, NULL) == OLL_OK);
    if (go_template_parse((const char *)data, n_bytes, &t, &err) == OLL_OK) {
        size_t n;
        const char *source = go_template_source(t, &n);
        OLL_ASSERT(n == n_bytes && (n == 0 || !memcmp(source, data, n)));
        (void)chat_capabilities_of_go(t);
        use_input(t, &(struct go_template_input){.conversation = &c, .think = c.think, .now = 1});
        use_input(t, &(struct go_template_input){.system = "s", .prompt = "p", .now = 1});
        use_input(t, &(struct go_template_input){.prompt = "p", .suffix = "x", .now = 1});
    } else {
        OLL_ASSERT(err.text[0] != '\0');
    }
    go_template_free(t);
    oll_arena_free(&arena);
    return 0;
}
