/* History that is cut to the window: the spec's cases, calls and their results, failures. */
#include "engine/chat/go_template.h"
#include "engine/chat/truncate.h"
#include "tests/testing.h"

#include <string.h>

enum { MEMORY_MAX = 16 << 20, MESSAGES_MAX = 64 };

/* One token for each word of the prompt: a Go template's, else all contents in a row. */
struct world {
    struct go_template *t;
    int n_renders, n_counts;
    bool refuses_without_user; /* conversations that hold no message of a user */
    oll_status count_status;
};

static oll_status render(void *user, const struct chat_conversation *c, struct oll_strbuf *out,
                         struct oll_error *err)
{
    struct world *w = user;
    const struct go_template_input input = {.conversation = c};
    bool has_user = false;
    w->n_renders++;
    CHECK_EQ(out->len, 0);
    for (uint32_t i = 0; i < c->n_messages; i++)
        has_user |= strcmp(c->messages[i].role, "user") == 0;
    if (w->refuses_without_user && !has_user)
        return OLL_FAIL(err, OLL_ERR_ARG, "no user");
    for (uint32_t i = 0; i < c->n_messages && !w->t; i++)
        oll_strbuf_printf(out, "%s ", c->messages[i].content);
    return w->t ? go_template_render(w->t, &input, out, err) : OLL_OK;
}

static oll_status count(void *user, const struct oll_strbuf *text, size_t *n_tokens,
                        struct oll_error *err)
{
    struct world *w = user;
    w->n_counts++;
    *n_tokens = 0;
    for (size_t i = 0; i < text->len; i++)
        *n_tokens += text->data[i] != ' ' && (i + 1 == text->len || text->data[i + 1] == ' ');
    return w->count_status ? OLL_FAIL(err, w->count_status, "cannot count") : OLL_OK;
}

/* "U:one two" is a message of the user; S, A, T are the other roles; "A+:x" has a call with id x,
 * "T+:x" its result. A star in front of a text stands for an image. */
static struct chat_conversation conversation_of(const char *const *lines,
                                                struct chat_message *messages,
                                                struct chat_call *calls)
{
    static const struct oll_json no_arguments = {.type = OLL_JSON_OBJECT};
    struct chat_conversation c = {.messages = messages};
    for (; lines[c.n_messages]; c.n_messages++) {
        const char *line = lines[c.n_messages], *text = strchr(line, ':') + 1;
        struct chat_message *m = &messages[c.n_messages];
        const bool has_id = line[1] == '+';
        *m = (struct chat_message){
            .content = text, .thinking = "", .tool_name = "", .tool_call_id = ""};
        m->role = line[0] == 'U'   ? "user"
                  : line[0] == 'S' ? "system"
                  : line[0] == 'T' ? "tool"
                                   : "assistant";
        m->n_images = text[0] == '*';
        if (has_id && line[0] == 'T')
            m->tool_call_id = text;
        if (has_id && line[0] == 'A') {
            calls[c.n_messages] =
                (struct chat_call){.id = text, .name = "f", .arguments = &no_arguments};
            m->calls = &calls[c.n_messages];
            m->n_calls = 1;
        }
    }
    return c;
}

struct result {
    char text[1024];
    oll_status status;
    uint32_t n_dropped;
    size_t n_tokens;
    bool fits;
};

static struct result truncate(struct world *w, const char *const *lines, size_t limit,
                              uint32_t n_tokens_image)
{
    struct chat_message messages[MESSAGES_MAX];
    struct chat_call calls[MESSAGES_MAX];
    const struct chat_conversation c = conversation_of(lines, messages, calls);
    const struct chat_truncate_ops ops = {
        .user = w, .render = render, .count = count, .n_tokens_image = n_tokens_image};
    struct result out = {0};
    struct chat_truncated cut;
    struct oll_arena arena;
    struct oll_strbuf text;
    struct oll_error err = {0};
    oll_arena_init(&arena, MEMORY_MAX);
    oll_strbuf_init(&text, MEMORY_MAX);
    out.status = chat_truncate(&arena, &c, limit, &ops, &text, &cut, &err);
    if (out.status == OLL_OK) {
        CHECK(text.len < sizeof out.text);
        memcpy(out.text, text.data, text.len < sizeof out.text ? text.len : 0);
        out.n_dropped = cut.n_dropped;
        out.n_tokens = cut.n_tokens;
        out.fits = cut.fits;
        CHECK_EQ(cut.conversation.n_messages + cut.n_dropped, c.n_messages);
    }
    oll_strbuf_free(&text);
    oll_arena_free(&arena);
    return out;
}

#define LINES(...)                                                                                 \
    (const char *const[]) { __VA_ARGS__, NULL }

TEST(cases_of_the_spec)
{
    static const char turns[] = "{{ if .System }}{{ .System }} {{ end }}"
                                "{{ if .Prompt }}{{ .Prompt }} {{ end }}"
                                "{{ if .Response }}{{ .Response }} {{ end }}";
    const char *const *three = LINES("U:one two", "A:three", "U:four five");
    struct world w = {0};
    struct oll_error err = {0};
    CHECK_OK(go_template_parse(turns, strlen(turns), &w.t, &err));
    struct result r = truncate(&w, three, 64, 0);
    CHECK_STR(r.text, "one two three four five ");
    CHECK_EQ(r.n_dropped, 0);
    CHECK_STR(truncate(&w, three, 3, 0).text, "three four five ");
    r = truncate(&w, three, 1, 0);
    CHECK_STR(r.text, "four five ");
    CHECK_EQ(r.n_dropped, 2);
    CHECK(!r.fits);
    CHECK_STR(truncate(&w, LINES("S:sys", "U:one two", "A:three", "U:four five"), 1, 0).text,
              "sys four five ");
    CHECK_STR(truncate(&w, LINES("U:a", "S:sys", "A:b", "U:c"), 100, 0).text, "a sys b c ");
    go_template_free(w.t);
}

TEST(counts_once_when_everything_fits)
{
    struct world w = {0};
    CHECK_EQ(truncate(&w, LINES("U:a", "A:b", "U:c"), 3, 0).n_tokens, 3);
    CHECK_EQ(w.n_counts, 1);
    CHECK_EQ(w.n_renders, 1);
}

TEST(system_messages_move_to_the_front_or_stay)
{
    struct world w = {0};
    const struct result r = truncate(&w, LINES("U:a", "S:s1", "A:b", "U:c", "S:s2", "U:d"), 4, 0);
    CHECK_STR(r.text, "s1 c s2 d ");
    CHECK_EQ(r.n_dropped, 2);
}

TEST(a_result_goes_with_its_call)
{
    struct world w = {0};
    const char *const *lines = LINES("U:a", "A+:x", "T+:x", "T+:x", "U:b", "A:c", "U:d");
    CHECK_STR(truncate(&w, lines, 6, 0).text, "x x x b c d ");
    /* Both results must go when the call goes. */
    CHECK_STR(truncate(&w, lines, 5, 0).text, "b c d ");
    CHECK_STR(truncate(&w, lines, 4, 0).text, "b c d ");
    CHECK_STR(truncate(&w, lines, 3, 0).text, "b c d ");
    CHECK_STR(truncate(&w, lines, 2, 0).text, "c d ");
}

TEST(a_late_result_keeps_its_call)
{
    struct world w = {0};
    const char *const *lines = LINES("U:a", "A+:x", "U:b", "A+:y", "T+:y", "T+:x", "U:c", "U:d");
    CHECK_STR(truncate(&w, lines, 7, 0).text, "x b y y x c d ");
    CHECK_STR(truncate(&w, lines, 6, 0).text, "c d ");
    /* Results without an id belong to the last call. */
    CHECK_STR(truncate(&w, LINES("U:a", "A+:x", "T:r", "U:b", "U:c"), 3, 0).text, "b c ");
}

TEST(only_results_are_left)
{
    struct world w = {0};
    const char *const *lines = LINES("U:a", "A+:x", "T+:x", "T:z");
    CHECK_STR(truncate(&w, lines, 3, 0).text, "x x z ");
    CHECK_STR(truncate(&w, lines, 2, 0).text, "x z ");
    const struct result r = truncate(&w, lines, 0, 0);
    CHECK_STR(r.text, "z ");
    CHECK(!r.fits);
}

TEST(images_count)
{
    struct world w = {0};
    const char *const *lines = LINES("U:*a", "A:b", "U:*c");
    CHECK_EQ(truncate(&w, lines, 2000, 768).n_tokens, 3 + 2 * 768);
    const struct result r = truncate(&w, lines, 800, 768);
    CHECK_STR(r.text, "b *c ");
    CHECK_EQ(r.n_tokens, 2 + 768);
}

TEST(a_cut_that_cannot_be_shown_is_not_taken)
{
    struct world w = {.refuses_without_user = true};
    struct result r = truncate(&w, LINES("A:z", "U:a", "A+:x", "T+:x"), 3, 0);
    CHECK_STR(r.text, "a x x ");
    CHECK(r.fits);
    r = truncate(&w, LINES("A:z", "U:a", "A+:x", "T+:x"), 2, 0);
    CHECK_EQ(r.status, OLL_OK);
    CHECK_STR(r.text, "a x x ");
    CHECK(!r.fits);
    CHECK_EQ(truncate(&w, LINES("A:z", "A:y"), 1, 0).status, OLL_ERR_ARG);
}

TEST(failures_are_passed_on)
{
    struct world w = {.count_status = OLL_ERR_MEMORY};
    CHECK_EQ(truncate(&w, LINES("U:a", "A:b", "U:c"), 1, 0).status, OLL_ERR_MEMORY);
}

/* Whether what stays may begin here, looked at message by message. */
static bool may_start(const char *const *lines, uint32_t n, uint32_t start)
{
    bool only_tools = true, is_whole = lines[start][0] != 'T';
    for (uint32_t k = start; k < n; k++) {
        uint32_t asking = k;
        only_tools &= lines[k][0] == 'T';
        while (asking > 0 && lines[asking][1] != '+')
            asking--;
        if (lines[k][0] == 'T' && lines[asking][1] == '+' && asking < start)
            is_whole = false;
    }
    return start == 0 || is_whole || only_tools;
}

/* The spec's own loop: the earliest start that fits, else the last message. */
static uint32_t expected_start(const char *const *lines, uint32_t n, size_t limit)
{
    for (uint32_t i = 0; i < n; i++) {
        size_t words = 0;
        for (uint32_t k = 0; k < n; k++)
            words += k >= i || lines[k][0] == 'S';
        if (words <= limit && may_start(lines, n, i))
            return i;
    }
    return n - 1;
}

TEST(agrees_with_the_plain_loop)
{
    static const char *const kinds[] = {"U:u", "A:a", "S:s", "T:t", "A+:c"};
    uint64_t state = 7;
    for (int round = 0; round < 2000; round++) {
        const char *lines[MESSAGES_MAX + 1] = {0};
        const uint32_t n = 1 + (uint32_t)(testing_random(&state) % 40);
        const size_t limit = testing_random(&state) % (n + 2);
        struct world w = {0};
        size_t kept = 0;
        for (uint32_t i = 0; i < n; i++)
            lines[i] = kinds[testing_random(&state) % 5];
        const struct result r = truncate(&w, lines, limit, 0);
        const uint32_t start = expected_start(lines, n, limit);
        for (uint32_t k = 0; k < n; k++)
            kept += k >= start || lines[k][0] == 'S';
        CHECK_MSG(r.n_tokens == kept, "round %d: %zu tokens left, not %zu", round, r.n_tokens,
                  kept);
        CHECK_EQ(r.fits, kept <= limit);
        CHECK_MSG(w.n_counts <= 9, "round %d: %d counts for %u messages", round, w.n_counts, n);
    }
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
