#include "bench/bench_history.h"

#include "bench/bench_folder.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 64 << 20, ARENA_MAX_BYTES = 1 << 30, ROW_MAX = 1 << 20 };

struct bench_history {
    struct oll_arena arena;
    const struct oll_json **rows; /* [n] objects, in the order of the file */
    uint32_t n, cap;
};

/* ---- file ---- */

static oll_status add_row(struct bench_history *h, const struct oll_json *row,
                          struct oll_error *err)
{
    if (h->n == ROW_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "more than %d rows; remove old ones", ROW_MAX);
    if (h->n == h->cap) {
        const uint32_t cap = h->cap ? h->cap * 2 : 64;
        const struct oll_json **grown = oll_realloc(h->rows, cap, sizeof *grown);
        if (!grown)
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
        h->rows = grown;
        h->cap = cap;
    }
    h->rows[h->n++] = row;
    return OLL_OK;
}

static oll_status parse_lines(struct bench_history *h, const char *text, size_t n,
                              struct oll_error *err)
{
    for (const char *line = text, *end = text + n; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        struct oll_json *row = NULL;
        if (!stop)
            stop = end;
        const oll_status status =
            oll_json_parse(&h->arena, line, (size_t)(stop - line), NULL, &row, NULL);
        if (status == OLL_ERR_MEMORY || h->arena.status != OLL_OK)
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
        if (status == OLL_OK && row->type == OLL_JSON_OBJECT)
            OLL_TRY(add_row(h, row, err));
        line = stop + 1;
    }
    return OLL_OK;
}

oll_status bench_history_load(const char *path, struct bench_history **out, struct oll_error *err)
{
    char *text = NULL;
    uint64_t n = 0;
    struct bench_history *h = oll_calloc(1, sizeof *h);
    if (!h)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    oll_arena_init(&h->arena, ARENA_MAX_BYTES);
    oll_status status =
        access(path, F_OK) == 0 ? oll_file_read(path, FILE_MAX_BYTES, &text, &n, err) : OLL_OK;
    if (status == OLL_OK && text) {
        status = parse_lines(h, text, (size_t)n, err);
        if (status != OLL_OK)
            oll_error_prefix(err, "%s", path);
    }
    oll_free(text);
    if (status != OLL_OK)
        bench_history_free(h);
    else
        *out = h;
    return status;
}

void bench_history_free(struct bench_history *h)
{
    if (!h)
        return;
    oll_free(h->rows);
    oll_arena_free(&h->arena);
    oll_free(h);
}

/* One write, so that two runs that end together do not mix their lines. */
static oll_status append(const char *path, const char *lines, size_t n, struct oll_error *err)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return OLL_FAIL(err, OLL_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    const ssize_t done = write(fd, lines, n);
    const int error = done < 0 ? errno : ENOSPC;
    if (close(fd) != 0 || done != (ssize_t)n)
        return OLL_FAIL(err, OLL_ERR_IO, "%s: cannot write: %s", path, strerror(error));
    return OLL_OK;
}

oll_status bench_history_append(const char *path, const char *lines, size_t n,
                                struct oll_error *err)
{
    char folder[BENCH_PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash && slash != path) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        OLL_TRY(bench_folder_make(folder, err));
    }
    return append(path, lines, n, err);
}

void bench_history_name(const char *cpu_name, int n_cpu, char out[BENCH_SINCE_MAX])
{
    enum { NAME_MAX_BYTES = BENCH_SINCE_MAX - 16 };
    char name[NAME_MAX_BYTES];
    size_t n = 0;
    for (const char *p = cpu_name; *p && n + 1 < sizeof name; p++) {
        const char c = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            name[n++] = c;
        else if (n > 0 && name[n - 1] != '-')
            name[n++] = '-';
    }
    while (n > 0 && name[n - 1] == '-')
        n--;
    name[n] = '\0';
    snprintf(out, BENCH_SINCE_MAX, "%s-x%d.jsonl", n ? name : "unknown", n_cpu);
}

/* ---- comparison ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool has_uint(const struct oll_json *row, const char *key, uint64_t value)
{
    const struct oll_json *v = oll_json_get(row, key);
    return v && v->type == OLL_JSON_NUMBER && v->is_uint && (uint64_t)v->i == value;
}

/* Whether a row is of the same model, test and settings. */
static bool is_same(const struct oll_json *row, const struct bench_machine *m,
                    const struct bench_result *r)
{
    char name[BENCH_TEST_NAME_MAX];
    const struct bench_test *t = r->test;
    bench_test_name(t, name);
    return strcmp(oll_json_get_str(row, "test", ""), name) == 0 &&
           strcmp(base_name(oll_json_get_str(row, "model_filename", "")),
                  base_name(r->model_path)) == 0 &&
           has_uint(row, "model_size", r->model_bytes) &&
           has_uint(row, "n_threads", t->n_threads) && has_uint(row, "n_batch", t->n_batch) &&
           has_uint(row, "n_ubatch", t->n_ubatch) &&
           strcasecmp(oll_json_get_str(row, "type_k", ""), oll_dtype_name((uint32_t)t->kv_dtype)) ==
               0 &&
           strcmp(oll_json_get_str(row, "isa", ""), m->isa) == 0 &&
           strcmp(oll_json_get_str(row, "devices", ""), m->devices) == 0;
}

static const char *version_of(const struct oll_json *row)
{
    return oll_json_get_str(row, "build_commit", "");
}

/* The latest row of another version, else the latest; NULL when there is none. */
static const struct oll_json *find_baseline(const struct bench_history *h,
                                            const struct bench_machine *m,
                                            const struct bench_result *r)
{
    const struct oll_json *latest = NULL;
    for (uint32_t i = h->n; i-- > 0;) {
        if (!is_same(h->rows[i], m, r))
            continue;
        if (strcmp(version_of(h->rows[i]), m->version) != 0)
            return h->rows[i];
        latest = latest ? latest : h->rows[i];
    }
    return latest;
}

/* Speeds of a row, appended to out[0..cap); returns the new number. */
static uint32_t take_samples(const struct oll_json *row, double *out, uint32_t n, uint32_t cap)
{
    const struct oll_json *list = oll_json_get(row, "samples_ts");
    if (!list || list->type != OLL_JSON_ARRAY)
        return n;
    for (const struct oll_json *v = list->first; v && n < cap; v = v->next)
        if (v->type == OLL_JSON_NUMBER && v->real > 0)
            out[n++] = v->real;
    return n;
}

oll_status bench_history_compare(const struct bench_history *h, const struct bench_machine *machine,
                                 const struct bench_result *result, struct bench_comparison *out,
                                 struct oll_error *err)
{
    enum { SAMPLES_MAX = 1 << 16 };
    const struct oll_json *baseline = find_baseline(h, machine, result);
    const struct bench_samples *now = result->samples;
    struct bench_stats before;
    uint32_t n = 0;
    memset(out, 0, sizeof *out);
    if (!baseline)
        return OLL_OK;
    double *samples = oll_alloc(SAMPLES_MAX, sizeof *samples);
    if (!samples)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    for (uint32_t i = 0; i < h->n; i++) {
        if (!is_same(h->rows[i], machine, result) ||
            strcmp(version_of(h->rows[i]), version_of(baseline)) != 0)
            continue;
        n = take_samples(h->rows[i], samples, n, SAMPLES_MAX);
        out->n_rows++;
    }
    const bool is_same_version = strcmp(version_of(baseline), machine->version) == 0;
    snprintf(out->since, sizeof out->since, "%s",
             is_same_version ? oll_json_get_str(baseline, "test_time", "") : version_of(baseline));
    bench_stats_of(samples, n, &before);
    bench_change_of(samples, n, now->sorted, now->n, &out->change);
    out->before = before.median;
    out->after = now->speed.median;
    oll_free(samples);
    return OLL_OK;
}

void bench_comparison_text(const struct bench_comparison *c, const struct bench_test *test,
                           char out[BENCH_COMPARISON_MAX])
{
    char name[BENCH_TEST_NAME_MAX];
    const char *kind = test->n_prompt == 0 ? "generation" : test->n_gen == 0 ? "prompt" : "both";
    bench_test_name(test, name);
    if (c->n_rows == 0)
        snprintf(out, BENCH_COMPARISON_MAX, "%s: nothing saved to compare with (%s, %u threads)",
                 kind, name, test->n_threads);
    else if (!c->change.is_beyond_noise)
        snprintf(out, BENCH_COMPARISON_MAX,
                 "%s: no change beyond the noise of %.0f %% since %s (%s, %u threads: %.1f to %.1f "
                 "t/s)",
                 kind, c->change.noise * 100, c->since, name, test->n_threads, c->before, c->after);
    else
        snprintf(out, BENCH_COMPARISON_MAX,
                 "%s %+.0f %% since %s (%s, %u threads: %.1f to %.1f t/s)", kind,
                 (c->change.ratio - 1) * 100, c->since, name, test->n_threads, c->before, c->after);
}
