/* Every recorded prompt of the built-in renderers, but those that varied when they were recorded.
 */
#include "engine/chat/renderer.h"
#include "tests/unit/chat/recorded.h"

#define RECORDING_DAY "2026-11-23"

struct replay {
    const struct oll_json *conversations;
    int n_compared, n_unstable;
};

static void render_line(const struct oll_json *line, void *context)
{
    struct replay *replay = context;
    const char *conversation = oll_json_get_str(line, "conversation", "?");
    const char *name = oll_json_get_str(line, "renderer", "?");
    struct chat_conversation c;
    struct oll_arena arena;
    struct oll_strbuf out;
    struct oll_error err = {0};
    if (oll_json_get(line, "unstable")) {
        replay->n_unstable++;
        return;
    }
    oll_arena_init(&arena, RECORDED_MAX);
    oll_strbuf_init(&out, RECORDED_MAX);
    oll_status status = chat_conversation_from_json(
        &arena, oll_json_get(replay->conversations, conversation), &c, &err);
    const struct chat_render_input input = {.conversation = &c, .date = RECORDING_DAY};
    if (status == OLL_OK)
        status = chat_renderer_render(name, &input, &out, &err);
    recorded_compare(line, status, &out, &err);
    replay->n_compared++;
    oll_strbuf_free(&out);
    oll_arena_free(&arena);
}

TEST(recorded_prompts)
{
    struct oll_arena arena;
    oll_arena_init(&arena, RECORDED_MAX);
    struct replay replay = {.conversations = recorded_json(&arena, "conversations.json")};
    if (replay.conversations) {
        CHECK_EQ(recorded_lines("render-renderers.jsonl", render_line, &replay), 520);
        CHECK_EQ(replay.n_compared, 519);
        CHECK_EQ(replay.n_unstable, 1);
    }
    oll_arena_free(&arena);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
