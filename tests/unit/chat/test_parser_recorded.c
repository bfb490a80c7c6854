/* Replays what a real server made of 1789 recorded replies, as they were cut and under random cuts:
 * the result of a text must be the same for every cut. Required is the recording of the uncut text
 * (id .../whole), but for the exceptions of the spec's 5.3. */
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/chat/parse_json.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

enum { MEMORY_MAX = 256 << 20, N_CUTS = 12, GROUPS_MAX = 1024 };

/* One text: all its cuts share the answer. */
struct group {
    const char *id;   /* without the cut */
    const char *text; /* of the chunks together */
    const char *answer;
    const struct oll_json *whole;
};

struct records {
    struct oll_arena arena;
    const struct oll_json *setup;
    const struct oll_json **lines;
    size_t n_lines;
    struct group groups[GROUPS_MAX];
    size_t n_groups;
    bool sort_keys; /* the order of argument keys means nothing */
};

static const struct oll_json_limits limits = {
    .max_depth = 64, .max_nodes = 1000000, .max_members = 10000, .max_key_bytes = 4096};

static struct oll_json *read_json(struct oll_arena *arena, const char *text, size_t n)
{
    struct oll_json *root = NULL;
    struct oll_error err = {0};
    if (oll_json_parse(arena, text, n, &limits, &root, &err) != OLL_OK)
        CHECK_MSG(false, "%s", oll_error_text(&err));
    return root;
}

/* Content, thinking, calls and error of an answer as one line. */
static const char *normal_form(struct records *r, const struct oll_json *answer)
{
    static const char *const keys[] = {"content", "thinking", "tool_calls", "error"};
    struct oll_strbuf out;
    struct oll_json_writer w;
    oll_strbuf_init(&out, MEMORY_MAX);
    oll_json_write_init(&w, &out);
    oll_json_write_object_begin(&w);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct oll_json *value = oll_json_get(answer, keys[i]);
        const bool empty = !value || (value->type == OLL_JSON_STRING && value->str_len == 0) ||
                           (value->type == OLL_JSON_ARRAY && value->n == 0);
        if (empty)
            continue;
        oll_json_write_key(&w, keys[i]);
        oll_json_write_node(&w, value, r->sort_keys);
    }
    oll_json_write_object_end(&w);
    const char *copy = oll_arena_strndup(&r->arena, out.data, out.len);
    oll_strbuf_free(&out);
    return copy;
}

static const char *joined(struct records *r, const struct oll_json *chunks)
{
    struct oll_strbuf out;
    oll_strbuf_init(&out, MEMORY_MAX);
    for (const struct oll_json *c = chunks->first; c; c = c->next)
        oll_strbuf_add(&out, c->str, c->str_len);
    const char *copy = oll_arena_strndup(&r->arena, out.data, out.len);
    oll_strbuf_free(&out);
    return copy;
}

/* Texts whose uncut recording is a defect: all of it is content. */
static bool all_content(const char *id)
{
    return strstr(id, "laguna/unicode/") || strstr(id, "poolside-v1/unicode/") ||
           strstr(id, "tag-brace/plain/") || strstr(id, "tag-brace/barr/") ||
           strstr(id, "tag-brace/text-before/");
}

static void add_group(struct records *r, const struct oll_json *line)
{
    const char *id = oll_json_get_str(line, "id", "");
    const size_t n = (size_t)(strrchr(id, '/') - id);
    struct group *g = &r->groups[r->n_groups];
    if (strcmp(id + n, "/whole") != 0 || r->n_groups == GROUPS_MAX)
        return;
    g->id = oll_arena_strndup(&r->arena, id, n);
    g->whole = line;
    g->text = joined(r, oll_json_get(line, "chunks"));
    g->answer = normal_form(r, oll_json_get(line, "expected"));
    if (all_content(id)) {
        struct oll_strbuf out;
        struct oll_json_writer w;
        oll_strbuf_init(&out, MEMORY_MAX);
        oll_json_write_init(&w, &out);
        oll_json_write_object_begin(&w);
        oll_json_write_key(&w, "content");
        oll_json_write_str(&w, g->text);
        oll_json_write_object_end(&w);
        g->answer = oll_arena_strndup(&r->arena, out.data, out.len);
        oll_strbuf_free(&out);
    }
    r->n_groups++;
}

static const struct group *group_of(const struct records *r, const struct oll_json *line)
{
    const char *id = oll_json_get_str(line, "id", "");
    const size_t n = (size_t)(strrchr(id, '/') - id);
    for (size_t i = 0; i < r->n_groups; i++) {
        if (strlen(r->groups[i].id) == n && memcmp(r->groups[i].id, id, n) == 0)
            return &r->groups[i];
    }
    return NULL;
}

/* The recordings name their tools; the list takes the name's place. */
static const struct oll_json *read_line(struct records *r, const char *text, size_t n)
{
    struct oll_json *line = read_json(&r->arena, text, n);
    for (struct oll_json *m = line ? line->first : NULL; m; m = m->next) {
        if (strcmp(m->key, "tools") != 0 || m->type != OLL_JSON_STRING)
            continue;
        const struct oll_json *tools = oll_json_get(r->setup, m->str);
        m->type = OLL_JSON_ARRAY;
        m->first = tools ? tools->first : NULL;
        m->sorted = NULL;
        m->n = tools ? tools->n : 0;
        CHECK(tools != NULL);
    }
    return line;
}

static void load(struct records *r, const char *name)
{
    char *text = NULL;
    uint64_t n = 0;
    const char *setup = testing_shared("data/ollama/parse-setup.json");
    memset(r, 0, sizeof *r);
    r->sort_keys = strstr(name, "generic") != NULL;
    oll_arena_init(&r->arena, MEMORY_MAX);
    if (setup[0] == '\0') {
        testing_skip("no shared/data/ollama");
        return;
    }
    CHECK_OK(oll_file_read(setup, MEMORY_MAX, &text, &n, NULL));
    r->setup = read_json(&r->arena, text, n);
    oll_free(text);
    CHECK_OK(oll_file_read(testing_shared("data/ollama/%s", name), MEMORY_MAX, &text, &n, NULL));
    for (uint64_t i = 0; i < n; i++)
        r->n_lines += text[i] == '\n';
    r->lines = oll_arena_alloc(&r->arena, r->n_lines + 1, sizeof *r->lines);
    size_t k = 0;
    for (char *s = text, *end; (end = memchr(s, '\n', (size_t)(text + n - s))); s = end + 1)
        r->lines[k++] = read_line(r, s, (size_t)(end - s));
    for (size_t i = 0; i < r->n_lines; i++)
        add_group(r, r->lines[i]);
    oll_free(text);
}

/* What the splitter says of a line's text in other chunks. */
static const struct oll_json *split(struct records *r, const struct oll_json *line,
                                    const struct oll_json *chunks)
{
    struct chat_parser_config config;
    struct oll_strbuf out;
    struct oll_error err = {0};
    oll_strbuf_init(&out, MEMORY_MAX);
    CHECK_OK(chat_parse_config(line, &config, &err));
    CHECK_OK(chat_parse_chunks(&config, chunks, &out, &err));
    const struct oll_json *answer = read_json(&r->arena, out.data, out.len);
    oll_strbuf_free(&out);
    return answer;
}

static const struct oll_json *split_line(struct records *r, const struct oll_json *line)
{
    struct oll_strbuf out;
    oll_strbuf_init(&out, MEMORY_MAX);
    CHECK_OK(chat_parse_line(line, &out));
    const struct oll_json *answer = read_json(&r->arena, out.data, out.len);
    oll_strbuf_free(&out);
    return answer;
}

/* Chunks of random sizes, cut between any two bytes; small pieces are likelier. */
static const struct oll_json *random_chunks(struct records *r, const char *text, uint64_t *seed)
{
    struct oll_json *array = oll_arena_alloc(&r->arena, 1, sizeof *array);
    struct oll_json **tail = &array->first;
    const size_t n = strlen(text), longest = 1 + testing_random(seed) % 24;
    array->type = OLL_JSON_ARRAY;
    for (size_t i = 0; i < n;) {
        struct oll_json *chunk = oll_arena_alloc(&r->arena, 1, sizeof *chunk);
        size_t len = testing_random(seed) % (longest + 1);
        len = len < n - i ? len : n - i;
        chunk->type = OLL_JSON_STRING;
        chunk->str = oll_arena_strndup(&r->arena, text + i, len);
        chunk->str_len = len;
        i += len;
        *tail = chunk;
        tail = &chunk->next;
        array->n++;
    }
    return array;
}

/* Where the reference shows white space at once that a later piece may have to take back, or finds
 * a tag only in one piece: there oll's steps differ, so that every cut gives the same. */
static bool steps_differ(const char *id)
{
    static const char *const parsers[] = {"/gemma4",     "/lfm2",    "/laguna/",    "/poolside-v1/",
                                          "/deepseek3/", "/cogito/", "/multi-args/"};
    for (size_t i = 0; i < sizeof parsers / sizeof *parsers; i++) {
        if (strstr(id, parsers[i]))
            return true;
    }
    return false;
}

static const char *as_text(struct records *r, const struct oll_json *node)
{
    struct oll_strbuf out;
    struct oll_json_writer w;
    oll_strbuf_init(&out, MEMORY_MAX);
    oll_json_write_init(&w, &out);
    if (node)
        oll_json_write_node(&w, node, true);
    const char *copy = oll_arena_strndup(&r->arena, out.data, out.len);
    oll_strbuf_free(&out);
    return copy;
}

/* Text that came up to and with a step. */
static size_t text_until(const struct oll_json *steps, size_t n, const char *key)
{
    size_t len = 0;
    for (const struct oll_json *s = steps->first; s && n > 0; s = s->next, n--)
        len += strlen(oll_json_get_str(s, key, ""));
    return len;
}

/* Steps are equal; where they may differ, oll's text is never more than a tag and white space
 * behind or ahead. Returns whether they were compared exactly. */
static bool check_steps(struct records *r, const struct oll_json *line, const struct oll_json *got)
{
    const char *id = oll_json_get_str(line, "id", "");
    const struct oll_json *want = oll_json_get(line, "steps");
    const struct oll_json *mine = oll_json_get(got, "steps");
    if (!steps_differ(id)) {
        CHECK_MSG(strcmp(as_text(r, want), as_text(r, mine)) == 0, "%s\n  want %s\n  got  %s", id,
                  as_text(r, want), as_text(r, mine));
        return true;
    }
    for (size_t i = 1; i <= want->n && strstr(id, "/plain"); i++) {
        const size_t a = text_until(want, i, "content"), b = text_until(mine, i, "content");
        CHECK_MSG(a <= b + 24 && b <= a + 24, "%s, step %zu: %zu bytes, not %zu", id, i, b, a);
    }
    return false;
}

static void replay(const char *name, size_t n_expected)
{
    static struct records r;
    uint64_t seed = 20261125;
    size_t n_steps = 0;
    load(&r, name);
    if (r.n_lines == 0)
        return;
    CHECK_EQ(r.n_lines, n_expected);
    for (size_t i = 0; i < r.n_lines; i++) {
        const struct oll_json *line = r.lines[i];
        const struct group *g = group_of(&r, line);
        if (!CHECK(g != NULL))
            continue;
        const struct oll_json *answer = split_line(&r, line);
        const char *got = normal_form(&r, answer);
        /* A recording that depends on its cut has no steps to compare. */
        if (oll_json_get(line, "steps") &&
            strcmp(normal_form(&r, oll_json_get(line, "expected")), g->answer) == 0)
            n_steps += check_steps(&r, line, answer);
        CHECK_MSG(strcmp(got, g->answer) == 0, "%s\n  in   %s\n  want %s\n  got  %s",
                  oll_json_get_str(line, "id", ""), g->text, g->answer, got);
    }
    for (size_t i = 0; i < r.n_groups; i++) {
        const struct group *g = &r.groups[i];
        for (int cut = 0; cut < N_CUTS; cut++) {
            const struct oll_json *chunks = random_chunks(&r, g->text, &seed);
            const char *got = normal_form(&r, split(&r, g->whole, chunks));
            CHECK_MSG(strcmp(got, g->answer) == 0, "%s, random cut %d\n  want %s\n  got  %s", g->id,
                      cut, g->answer, got);
        }
    }
    printf("%s: %zu recordings, %zu of them step by step, %zu texts\n", name, r.n_lines, n_steps,
           r.n_groups);
    oll_arena_free(&r.arena);
}

TEST(built_in_parsers) { replay("parse-model.jsonl", 1510); }
TEST(generic_tool_calls) { replay("parse-generic-tools.jsonl", 201); }
TEST(thinking_tags) { replay("parse-thinking.jsonl", 78); }

int main(int argc, char **argv) { return testing_main(argc, argv); }
