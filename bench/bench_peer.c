#include "bench/bench_peer.h"

#include "engine/base/json.h"
#include "engine/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    OUTPUT_MAX_BYTES = 16 << 20,
    ARENA_MAX_BYTES = 256 << 20,
    NUMBER_MAX = 24,
    PATH_MAX_BYTES = 2048,
    OWN_ARGS = 40 /* more than the functions below add */
};

extern char **environ;

/* ---- command line ---- */

struct command {
    const char *argv[OWN_ARGS + BENCH_PEER_ARGS_MAX + 1];
    char numbers[OWN_ARGS][NUMBER_MAX];
    int n, n_number;
    char program[PATH_MAX_BYTES];
};

static void add(struct command *c, const char *word) { c->argv[c->n++] = word; }

static void add_number(struct command *c, const char *option, uint64_t value)
{
    char *text = c->numbers[c->n_number++];
    snprintf(text, NUMBER_MAX, "%llu", (unsigned long long)value);
    add(c, option);
    add(c, text);
}

static const char *kv_name(enum oll_dtype dtype)
{
    return dtype == OLL_F16 ? "f16" : dtype == OLL_F32 ? "f32" : "q8_0";
}

static void add_common(struct command *c, const struct bench_peer *peer, const struct bench_test *t)
{
    add(c, "-m");
    add(c, peer->model);
    add_number(c, "-t", t->n_threads);
    add_number(c, "-b", t->n_batch);
    add_number(c, "-ub", t->n_ubatch);
    if (t->kv_dtype != OLL_F16) {
        add(c, "-ctk");
        add(c, kv_name(t->kv_dtype));
        add(c, "-ctv");
        add(c, kv_name(t->kv_dtype));
    }
}

static void add_more(struct command *c, const struct bench_peer *peer)
{
    for (int i = 0; peer->more && peer->more[i] && i < BENCH_PEER_ARGS_MAX; i++)
        add(c, peer->more[i]);
    c->argv[c->n] = NULL;
}

static void build_single(struct command *c, const struct bench_peer *peer,
                         const struct bench_test *t)
{
    const bool is_pair = t->n_prompt && t->n_gen;
    add(c, c->program);
    add_common(c, peer, t);
    add_number(c, "-p", is_pair ? 0 : t->n_prompt);
    add_number(c, "-n", is_pair ? 0 : t->n_gen);
    if (is_pair) {
        char *text = c->numbers[c->n_number++];
        snprintf(text, NUMBER_MAX, "%u,%u", t->n_prompt, t->n_gen);
        add(c, "-pg");
        add(c, text);
    }
    /* Programs that know no depth can still be compared at depth 0. */
    if (t->n_depth)
        add_number(c, "-d", t->n_depth);
    add_number(c, "-r", peer->n_repeat);
    add(c, "-o");
    add(c, "json");
    add_more(c, peer);
}

static void build_batched(struct command *c, const struct bench_peer *peer,
                          const struct bench_test *t)
{
    add(c, c->program);
    add_common(c, peer, t);
    add_number(c, "-tb", t->n_threads);
    add_number(c, "-c", (uint64_t)t->n_parallel * bench_test_n_ctx(t));
    add_number(c, "-npp", t->n_depth);
    add_number(c, "-ntg", t->n_gen);
    add_number(c, "-npl", t->n_parallel);
    add(c, "--output-format");
    add(c, "jsonl");
    add_more(c, peer);
}

/* The program for the test: beside llama-bench, or in place of that part of its name. */
static oll_status choose_program(const char *path, bool is_batched, char out[PATH_MAX_BYTES],
                                 struct oll_error *err)
{
    static const char single[] = "llama-bench", batched[] = "llama-batched-bench";
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *part = strstr(name, single);
    int n;
    if (!is_batched)
        n = snprintf(out, PATH_MAX_BYTES, "%s", path);
    else if (part)
        n = snprintf(out, PATH_MAX_BYTES, "%.*s%s%s", (int)(part - path), path, batched,
                     part + strlen(single));
    else
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                        "%s: tests of several sequences need a program named llama-bench with "
                        "llama-batched-bench beside it",
                        path);
    if (n >= PATH_MAX_BYTES)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "%.80s...: the path is too long", path);
    return OLL_OK;
}

/* ---- process ---- */

/* Until the program closes its output; told to stop, the program is ended. */
static oll_status read_all(int fd, pid_t pid, const struct bench_watch *watch,
                           struct oll_strbuf *out)
{
    char chunk[2048];
    for (;;) {
        const ssize_t n = read(fd, chunk, sizeof chunk);
        if (bench_watch_aborted(watch))
            kill(pid, SIGTERM);
        if (n > 0)
            oll_strbuf_add(out, chunk, (size_t)n);
        else if (n == 0 || errno != EINTR)
            return out->status;
        if (out->status != OLL_OK)
            return out->status; /* more than any benchmark prints: the caller ends it */
    }
}

/* Starts the program with its output in a pipe, *fd its reading end. */
static oll_status start(const struct command *c, pid_t *pid, int *fd, struct oll_error *err)
{
    int ends[2];
    posix_spawn_file_actions_t actions;
    if (pipe(ends) != 0)
        return OLL_FAIL(err, OLL_ERR_IO, "cannot make a pipe: %s", strerror(errno));
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    int error = posix_spawn_file_actions_init(&actions);
    if (error == 0) {
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        posix_spawn_file_actions_addclose(&actions, ends[1]);
        error = posix_spawnp(pid, c->argv[0], &actions, NULL, (char *const *)c->argv, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    if (error) {
        close(ends[0]);
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "%s: cannot be started: %s", c->argv[0],
                        strerror(error));
    }
    *fd = ends[0];
    return OLL_OK;
}

static void command_text(const struct command *c, char *out, size_t n)
{
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < c->n && at < n; i++) {
        const int wrote = snprintf(out + at, n - at, "%s%s", i ? " " : "", c->argv[i]);
        at += wrote > 0 ? (size_t)wrote : 0;
    }
}

/* Runs to the end and hands over what was printed. */
static oll_status run_command(const struct command *c, const struct bench_watch *watch,
                              struct oll_strbuf *out, struct oll_error *err)
{
    pid_t pid = -1;
    int fd = -1, state = 0;
    char text[OLL_ERROR_TEXT_MAX / 2];
    OLL_TRY(start(c, &pid, &fd, err));
    const oll_status status = read_all(fd, pid, watch, out);
    close(fd);
    if (status != OLL_OK)
        kill(pid, SIGKILL);
    while (waitpid(pid, &state, 0) < 0 && errno == EINTR)
        ;
    if (bench_watch_aborted(watch))
        return OLL_FAIL(err, OLL_ERR_CANCELED, "stopped");
    command_text(c, text, sizeof text);
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "it printed more than can be read: %s", text);
    if (!WIFEXITED(state) || WEXITSTATUS(state) != 0)
        return OLL_FAIL(err, OLL_ERR_IO, "it failed with %s %d; run it by hand: %s",
                        WIFEXITED(state) ? "code" : "signal",
                        WIFEXITED(state) ? WEXITSTATUS(state) : WTERMSIG(state), text);
    return OLL_OK;
}

oll_status bench_peer_run(const struct bench_peer *peer, const struct bench_test *test, double *ts,
                          uint32_t *n, struct oll_error *err)
{
    struct command *c = oll_calloc(1, sizeof *c);
    struct oll_strbuf out;
    const bool is_batched = test->n_parallel > 1;
    if (!c)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    oll_strbuf_init(&out, OUTPUT_MAX_BYTES);
    oll_status status = choose_program(peer->path, is_batched, c->program, err);
    if (status == OLL_OK) {
        if (is_batched)
            build_batched(c, peer, test);
        else
            build_single(c, peer, test);
        status = run_command(c, peer->watch, &out, err);
    }
    if (status == OLL_OK)
        status = bench_peer_parse(out.data, out.len, test, ts, n, err);
    oll_strbuf_free(&out);
    oll_free(c);
    return status;
}

/* ---- output ---- */

static bool is_count(const struct oll_json *row, const char *key, uint32_t value, bool or_absent)
{
    const struct oll_json *v = oll_json_get(row, key);
    if (!v)
        return or_absent && value == 0;
    return v->type == OLL_JSON_NUMBER && v->is_int && v->i == (int64_t)value;
}

static void take_speed(const struct oll_json *v, double *ts, uint32_t *n)
{
    if (v && v->type == OLL_JSON_NUMBER && v->real > 0 && *n < BENCH_PEER_SAMPLES_MAX)
        ts[(*n)++] = v->real;
}

/* Single runs if the row has them, else their mean. */
static void take_row(const struct oll_json *row, const struct bench_test *t, double *ts,
                     uint32_t *n)
{
    const struct oll_json *list = oll_json_get(row, "samples_ts");
    if (!is_count(row, "n_prompt", t->n_prompt, false) ||
        !is_count(row, "n_gen", t->n_gen, false) || !is_count(row, "n_depth", t->n_depth, true))
        return;
    if (!list || list->type != OLL_JSON_ARRAY) {
        take_speed(oll_json_get(row, "avg_ts"), ts, n);
        return;
    }
    for (const struct oll_json *v = list->first; v; v = v->next)
        take_speed(v, ts, n);
}

/* Both programs print messages of their own around the JSON: what is no JSON is passed over. */
static void parse_array(struct oll_arena *arena, const char *text, size_t n_text,
                        const struct bench_test *test, double *ts, uint32_t *n)
{
    const struct oll_json_limits *base = &oll_json_limits_default;
    struct oll_json_limits limits = *base;
    limits.allow_trailing = true;
    for (const char *p = text, *end = text + n_text; p < end; p++) {
        struct oll_json *root;
        if (*p != '[' || (p > text && p[-1] != '\n'))
            continue;
        if (oll_json_parse(arena, p, (size_t)(end - p), &limits, &root, NULL) != OLL_OK ||
            root->type != OLL_JSON_ARRAY)
            continue;
        for (const struct oll_json *row = root->first; row; row = row->next)
            take_row(row, test, ts, n);
        return;
    }
}

/* The speed of a prompt without tokens is printed as "-nan" or "inf", which JSON does not know. */
static void replace_nan(char *text)
{
    static const char *const words[] = {"nan", "inf"};
    for (int i = 0; i < 2; i++) {
        for (char *p = text; (p = strstr(p, words[i])); p++) {
            memcpy(p, "  0", 3);
            if (p > text && p[-1] == '-')
                p[-1] = ' ';
        }
    }
}

static void parse_batched_line(struct oll_arena *arena, const char *line, size_t n_line,
                               const struct bench_test *t, double *ts, uint32_t *n)
{
    struct oll_json *row;
    char *text = oll_arena_strndup(arena, line, n_line);
    if (!text)
        return;
    replace_nan(text);
    if (oll_json_parse(arena, text, n_line, NULL, &row, NULL) == OLL_OK &&
        is_count(row, "pp", t->n_depth, false) && is_count(row, "tg", t->n_gen, false) &&
        is_count(row, "pl", t->n_parallel, false))
        take_speed(oll_json_get(row, "speed_tg"), ts, n);
}

static void parse_lines(struct oll_arena *arena, const char *text, size_t n_text,
                        const struct bench_test *test, double *ts, uint32_t *n)
{
    for (const char *p = text, *end = text + n_text; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        stop = stop ? stop : end;
        if (*p == '{')
            parse_batched_line(arena, p, (size_t)(stop - p), test, ts, n);
        p = stop + 1;
    }
}

oll_status bench_peer_parse(const char *text, size_t n_text, const struct bench_test *test,
                            double *ts, uint32_t *n, struct oll_error *err)
{
    struct oll_arena arena;
    char name[BENCH_TEST_NAME_MAX];
    *n = 0;
    oll_arena_init(&arena, ARENA_MAX_BYTES);
    if (test->n_parallel > 1)
        parse_lines(&arena, text, n_text, test, ts, n);
    else
        parse_array(&arena, text, n_text, test, ts, n);
    const oll_status status = arena.status;
    oll_arena_free(&arena);
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "its output: %s", oll_status_text(status));
    bench_test_name(test, name);
    if (*n == 0)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "its output has no speed of %s", name);
    return OLL_OK;
}

char **bench_peer_words(const char *text)
{
    const size_t n = strlen(text), list_bytes = (BENCH_PEER_ARGS_MAX + 1) * sizeof(char *);
    char **words = oll_calloc(1, list_bytes + n + 1); /* the list, then the text it points into */
    if (!words)
        return NULL;
    char *p = (char *)words + list_bytes;
    memcpy(p, text, n + 1);
    for (int i = 0; *(p += strspn(p, " \t"));) {
        if (i == BENCH_PEER_ARGS_MAX) {
            oll_free(words);
            return NULL;
        }
        words[i++] = p;
        p += strcspn(p, " \t");
        if (*p)
            *p++ = '\0';
    }
    return words;
}
