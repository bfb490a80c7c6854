#include "bench/bench_constrain.h"

#include "bench/bench_stats.h"
#include "engine/base/clock.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "sampler/constraint.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 16 << 20, ARENA_BYTES_MAX = 1 << 30, PATH_BYTES_MAX = 4096 };

struct times {
    double *us;
    uint32_t n, cap;
};

struct bed {
    const struct bench_constrain_params *params;
    struct oll_token_trie *trie;
    struct bench_constrain_result *out;
    struct times mask, compile, first;
};

/* ---- built-in pairs ---- */

static const struct {
    const char *schema, *document;
} pairs[] = {
    {"{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":"
     "\"integer\"},"
     "\"email\":{\"type\":\"string\",\"format\":\"email\"}},\"required\":[\"name\",\"age\"]}",
     "{\"name\": \"Ada Lovelace\", \"age\": 36, \"email\": \"ada@example.org\"}"},
    {"{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"minLength\":1,"
     "\"maxLength\":80},"
     "\"unit\":{\"enum\":[\"celsius\",\"fahrenheit\"]},\"days\":{\"type\":\"integer\",\"minimum\":"
     "1,"
     "\"maximum\":14}},\"required\":[\"city\",\"unit\"],\"additionalProperties\":false}",
     "{\"city\": \"São Paulo, Brazil\", \"unit\": \"celsius\", \"days\": 7}"},
    {"{\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"value\":{\"type\":\"string\"},"
     "\"children\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/"
     "node\"}}},\"required\":[\"value\"]}},"
     "\"$ref\":\"#/$defs/node\"}",
     "{\"value\": \"root of it all\", \"children\": [{\"value\": \"left\", \"children\": []}, "
     "{\"value\": \"right\", \"children\": [{\"value\": \"leaf\"}]}]}"},
    {"{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"type\":{"
     "\"const\":"
     "\"text\"},\"text\":{\"type\":\"string\"}},\"required\":[\"type\",\"text\"]},{\"type\":"
     "\"object\","
     "\"properties\":{\"type\":{\"const\":\"link\"},\"url\":{\"type\":\"string\",\"format\":"
     "\"uri\"}},"
     "\"required\":[\"type\",\"url\"]}]},\"minItems\":1}",
     "[{\"type\": \"text\", \"text\": \"See the page:\"}, {\"type\": \"link\", \"url\": "
     "\"https://example.org/a/b?c=1#d\"}]"},
    {"{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\",\"format\":\"uuid\"},"
     "\"created\":"
     "{\"type\":\"string\",\"format\":\"date-time\"},\"price\":{\"type\":\"number\",\"minimum\":0,"
     "\"exclusiveMaximum\":10000},\"sku\":{\"type\":\"string\",\"pattern\":\"^[A-Z]{3}-\\\\d{4}$\"}"
     ","
     "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":20},\"maxItems\":5}"
     "},"
     "\"required\":[\"id\",\"created\",\"price\",\"sku\"]}",
     "{\"id\": \"123e4567-e89b-12d3-a456-426614174000\", \"created\": \"2026-02-03T04:05:06Z\", "
     "\"price\": 19.95, \"sku\": \"ABC-1234\", \"tags\": [\"new\", \"on sale\"]}"},
    {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"object\",\"properties\":{\"count\":"
     "{\"type\":\"integer\",\"minimum\":0},\"ratio\":{\"type\":\"number\"},\"ok\":{\"type\":"
     "\"boolean\"}}}}",
     "{\"first step\": {\"count\": 12, \"ratio\": 0.25, \"ok\": true}, \"second\": {\"ok\": "
     "false}}"},
    {"{\"type\":\"object\"}", "{\"free\": [1, -2.5e3, null, {\"nested\": {\"deep\": \"text with "
                              "\\\"quotes\\\" and \\n lines\"}}], "
                              "\"umlaut\": \"Größe\", \"cjk\": \"日本語\"}"},
    {"{\"type\":\"object\",\"properties\":{\"reasoning\":{\"type\":\"string\",\"maxLength\":2000},"
     "\"answer\":{\"type\":\"string\",\"enum\":[\"A\",\"B\",\"C\",\"D\"]},\"confidence\":{\"type\":"
     "\"number\",\"minimum\":0,\"maximum\":1}},\"required\":[\"reasoning\",\"answer\","
     "\"confidence\"]}",
     "{\"reasoning\": \"The question asks for the largest planet. Jupiter is larger than Saturn, "
     "and both "
     "are far larger than Earth, so the second option is right.\", \"answer\": \"B\", "
     "\"confidence\": 0.9}"},
    {"{\"allOf\":[{\"type\":\"object\",\"properties\":{\"kind\":{\"type\":\"string\"}},"
     "\"required\":"
     "[\"kind\"]},{\"if\":{\"properties\":{\"kind\":{\"const\":\"circle\"}}},\"then\":{"
     "\"properties\":"
     "{\"radius\":{\"type\":\"number\",\"exclusiveMinimum\":0}},\"required\":[\"radius\"]},"
     "\"else\":"
     "{\"properties\":{\"sides\":{\"type\":\"integer\",\"minimum\":3}},\"required\":[\"sides\"]}}]"
     "}",
     "{\"kind\": \"circle\", \"radius\": 2.5}"},
    {"{\"type\":\"object\",\"patternProperties\":{\"^x-\":{\"type\":\"string\"}},\"properties\":"
     "{\"path\":{\"type\":\"string\",\"pattern\":\"^(/[^/]+)+$\"}},\"additionalProperties\":false}",
     "{\"path\": \"/usr/local/share\", \"x-note\": \"anything goes\"}"},
};

/* ---- measuring ---- */

static oll_status note(struct times *t, uint64_t start_ns, struct oll_error *err)
{
    if (t->n == t->cap) {
        uint32_t cap = t->cap ? 2 * t->cap : 1024;
        double *grown = oll_realloc(t->us, cap, sizeof *grown);
        if (!grown)
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the times");
        t->us = grown;
        t->cap = cap;
    }
    t->us[t->n++] = (double)(oll_clock_ns() - start_ns) * 1e-3;
    return OLL_OK;
}

static void summarise(struct times *t, struct bench_times *out)
{
    struct bench_stats s;
    bench_stats_of(t->us, t->n, &s);
    *out = (struct bench_times){.n = t->n,
                                .mean = s.mean,
                                .p50 = s.median,
                                .p90 = bench_percentile(t->us, t->n, 0.9),
                                .p95 = bench_percentile(t->us, t->n, 0.95),
                                .p99 = bench_percentile(t->us, t->n, 0.99),
                                .p999 = bench_percentile(t->us, t->n, 0.999),
                                .max = s.max};
    oll_free(t->us);
}

/* Walks the document; *accepted when every token was in its mask. */
static oll_status walk(struct bed *bed, struct oll_constraint_program *program, const char *text,
                       size_t n, bool *accepted, struct oll_error *err)
{
    struct oll_constraint *c = NULL;
    struct oll_tokens ids = {0};
    oll_status status = oll_tokenizer_encode(bed->params->tok, text, n, OLL_ENCODE_CONTINUE, &ids);
    if (status == OLL_OK)
        status = oll_constraint_new(program, bed->trie, &c, err);
    *accepted = true;
    for (size_t i = 0; i < ids.n && status == OLL_OK && *accepted; i++) {
        const uint64_t *mask;
        uint32_t id = (uint32_t)ids.ids[i];
        uint64_t start = oll_clock_ns();
        status = oll_constraint_mask(c, &mask, err);
        *accepted = status == OLL_OK && (mask[id >> 6] >> (id & 63) & 1);
        if (*accepted)
            status = oll_constraint_accept(c, ids.ids[i], err);
        if (status == OLL_OK)
            status = note(&bed->mask, start, err);
    }
    oll_constraint_free(c);
    oll_tokens_free(&ids);
    return status;
}

/* Compiles and takes the first mask; *program is NULL when the schema is refused, `why` says why.
 */
static oll_status compile(struct bed *bed, const char *schema, bool strict,
                          struct oll_constraint_program **program, struct oll_error *why,
                          struct oll_error *err)
{
    struct oll_constraint_source source = {.format_json = schema, .strict_spec = strict};
    struct oll_constraint *c = NULL;
    const uint64_t *mask;
    uint64_t start = oll_clock_ns();
    *program = NULL;
    bed->out->n_schemas++;
    oll_status status = oll_constraint_compile(&source, NULL, program, why);
    OLL_TRY(note(&bed->compile, start, err));
    if (status != OLL_OK)
        return OLL_OK;
    bed->out->n_compiled++;
    OLL_TRY(oll_constraint_new(*program, bed->trie, &c, err));
    status = oll_constraint_mask(c, &mask, err);
    oll_constraint_free(c);
    return status == OLL_OK ? note(&bed->first, start, err) : status;
}

static oll_status run_pairs(struct bed *bed, struct oll_error *err)
{
    oll_status status = OLL_OK;
    for (uint32_t i = 0; i < bed->params->n_rounds * (sizeof pairs / sizeof *pairs); i++) {
        const char *document = pairs[i % (sizeof pairs / sizeof *pairs)].document;
        struct oll_constraint_program *program;
        struct oll_error why = {0};
        bool accepted = false;
        status = compile(bed, pairs[i % (sizeof pairs / sizeof *pairs)].schema, false, &program,
                         &why, err);
        if (status == OLL_OK && program)
            status = walk(bed, program, document, strlen(document), &accepted, err);
        oll_constraint_program_release(program);
        if (status != OLL_OK)
            return status;
        bed->out->n_valid++;
        bed->out->n_refused += !accepted;
        bed->out->n_passing += accepted;
        if (!accepted && bed->params->failed)
            bed->params->failed(bed->params->ctx, "built-in", program ? document : why.text);
    }
    return status;
}

/* ---- a folder ---- */

static char *to_text(struct oll_arena *arena, const struct oll_json *node, size_t *n)
{
    struct oll_strbuf sb;
    struct oll_json_writer w;
    oll_strbuf_init(&sb, FILE_BYTES_MAX);
    oll_json_write_init(&w, &sb);
    w.keep_html = w.spaced = true;
    oll_json_write_node(&w, node, false);
    char *text = sb.status == OLL_OK ? oll_arena_strndup(arena, sb.data, sb.len) : NULL;
    *n = sb.len;
    oll_strbuf_free(&sb);
    return text;
}

static oll_status run_tests(struct bed *bed, struct oll_arena *arena, const struct oll_json *tests,
                            struct oll_constraint_program *program, const char *name,
                            struct oll_error *err)
{
    uint32_t wrong = 0;
    for (const struct oll_json *t = tests ? tests->first : NULL; t; t = t->next) {
        const struct oll_json *data = oll_json_get(t, "data"), *v = oll_json_get(t, "valid");
        size_t n = 0;
        char *text = data ? to_text(arena, data, &n) : NULL;
        bool accepted, valid = v && v->is_true;
        if (!text)
            continue;
        OLL_TRY(walk(bed, program, text, n, &accepted, err));
        *(valid ? &bed->out->n_valid : &bed->out->n_invalid) += 1;
        bed->out->n_refused += valid && !accepted;
        bed->out->n_accepted += !valid && accepted;
        wrong += valid != accepted;
        if (valid != accepted && bed->params->failed)
            bed->params->failed(bed->params->ctx, name,
                                valid ? "a valid document is refused"
                                      : "an invalid one is accepted");
    }
    bed->out->n_passing += wrong == 0;
    return OLL_OK;
}

/* A schema that reaches a limit while a document is walked does not pass; the others go on. */
static void run_schema(struct bed *bed, struct oll_arena *arena, const char *schema,
                       const struct oll_json *tests, const char *name)
{
    struct oll_error why = {0};
    struct oll_constraint_program *program = NULL;
    oll_status status = compile(bed, schema, true, &program, &why, &why);
    if (status == OLL_OK && program)
        status = run_tests(bed, arena, tests, program, name, &why);
    if ((status != OLL_OK || !program) && bed->params->failed)
        bed->params->failed(bed->params->ctx, name, why.text);
    oll_constraint_program_release(program);
}

static oll_status run_file(struct bed *bed, const char *path, struct oll_error *err)
{
    struct oll_arena arena;
    struct oll_json *root = NULL;
    char *data = NULL;
    uint64_t n_data;
    size_t n;
    oll_arena_init(&arena, ARENA_BYTES_MAX);
    oll_status status = oll_file_read(path, FILE_BYTES_MAX, &data, &n_data, err);
    struct oll_json_limits limits = oll_json_limits_default;
    limits.max_depth = OLL_JSON_DEPTH_MAX;
    limits.max_members = limits.max_nodes;
    limits.max_key_bytes = FILE_BYTES_MAX;
    if (status == OLL_OK)
        status = oll_json_parse(&arena, data, (size_t)n_data, &limits, &root, err);
    const struct oll_json *schema = status == OLL_OK ? oll_json_get(root, "schema") : NULL;
    char *text = schema ? to_text(&arena, schema, &n) : NULL;
    if (status == OLL_OK && !text)
        status = OLL_FAIL(err, OLL_ERR_FORMAT, "there is no schema in the file");
    if (status == OLL_OK)
        run_schema(bed, &arena, text, oll_json_get(root, "tests"), path);
    oll_free(data);
    oll_arena_free(&arena);
    if (status != OLL_OK)
        oll_error_prefix(err, "%s", path);
    return status;
}

static oll_status run_folder(struct bed *bed, const char *folder, struct oll_error *err)
{
    char path[PATH_BYTES_MAX];
    struct dirent **names;
    int n = scandir(folder, &names, NULL, alphasort);
    oll_status status = OLL_OK;
    if (n < 0)
        return OLL_FAIL(err, OLL_ERR_IO, "%s: cannot be read as a folder", folder);
    for (int i = 0; i < n; i++) {
        size_t len = strlen(names[i]->d_name);
        bool is_json = len > 5 && strcmp(names[i]->d_name + len - 5, ".json") == 0;
        if (status == OLL_OK && bench_watch_aborted(bed->params->watch))
            status = OLL_FAIL(err, OLL_ERR_CANCELED, "stopped");
        if (status == OLL_OK && is_json) {
            snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
            bench_watch_show(bed->params->watch, "%d of %d: %s", i + 1, n, names[i]->d_name);
            status = run_file(bed, path, err);
        }
        free(names[i]); /* scandir's */
    }
    free(names);
    bench_watch_show(bed->params->watch, "%s", "");
    return status;
}

oll_status bench_constrain_run(const struct bench_constrain_params *params,
                               struct bench_constrain_result *out, struct oll_error *err)
{
    struct bed bed = {.params = params, .out = out};
    *out = (struct bench_constrain_result){0};
    OLL_TRY(oll_token_trie_new(params->tok, (uint32_t)oll_tokenizer_n_tokens(params->tok),
                               &bed.trie, err));
    oll_status status =
        params->folder ? run_folder(&bed, params->folder, err) : run_pairs(&bed, err);
    oll_token_trie_free(bed.trie);
    summarise(&bed.mask, &out->mask);
    summarise(&bed.compile, &out->compile);
    summarise(&bed.first, &out->first);
    return status;
}
