#include "bench/bench_model.h"

#include "bench/bench_fill.h"
#include "engine/base/clock.h"
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- loading ---- */

/* Reads the file once, so that loading finds it in the system's cache as a second run would. */
static void warm_file(const char *path)
{
    enum { CHUNK_BYTES = 1 << 20 };
    char *chunk = oll_alloc(CHUNK_BYTES, 1);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && chunk && read(fd, chunk, CHUNK_BYTES) > 0)
        ;
    if (fd >= 0)
        close(fd);
    oll_free(chunk);
}

/* Evaluates a prompt of n random tokens in a context of its own. */
static oll_status run_first_prompt(struct oll_model *model, uint32_t n, struct oll_error *err)
{
    struct oll_context *ctx = NULL;
    const struct oll_context_params params = {.n_ctx = n, .n_seq = 1, .kv_dtype = OLL_F16};
    float *logits;
    uint64_t state = 1;
    int32_t *tokens = oll_alloc(n, sizeof *tokens);
    oll_status status = tokens ? OLL_OK : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    if (status == OLL_OK)
        status = oll_context_new(model, &params, &ctx, err);
    if (status == OLL_OK) {
        const uint32_t n_vocab = oll_model_facts(model)->n_vocab;
        for (uint32_t i = 0; i < n; i++)
            tokens[i] = (int32_t)(bench_random(&state) % n_vocab);
        const struct oll_batch batch = {.n = n, .tokens = tokens};
        status = oll_context_eval(ctx, &batch, NULL, &logits, err);
    }
    oll_context_free(ctx);
    oll_free(tokens);
    return status;
}

/* With the vocabulary, as whoever wants text must load it; a file that has none is still measured.
 */
static oll_status load_weights(const struct bench_model_params *params, struct bench_model *m,
                               struct oll_error *err)
{
    struct oll_model_params model = {
        .devices = params->devices, .n_threads = params->n_threads, .isa = params->isa};
    if (oll_model_load(params->path, &model, &m->model, NULL) == OLL_OK)
        return OLL_OK;
    model.no_tokenizer = true;
    return oll_model_load(params->path, &model, &m->model, err);
}

static oll_status load(const struct bench_model_params *params, struct bench_model *m,
                       struct oll_error *err)
{
    const uint64_t start = oll_clock_ns();
    OLL_TRY(load_weights(params, m, err));
    m->load_ns = oll_clock_ns() - start;
    if (params->n_first == 0)
        return OLL_OK;
    OLL_TRY(run_first_prompt(m->model, params->n_first, err));
    m->first_token_ns = oll_clock_ns() - start;
    m->n_first = params->n_first;
    return OLL_OK;
}

oll_status bench_model_open(const struct bench_model_params *params, struct bench_model *out,
                            struct oll_error *err)
{
    struct bench_model m = {.n_threads = params->n_threads};
    struct oll_gguf *gguf = NULL;
    oll_status status = oll_gguf_open(params->path, &gguf, err);
    if (status == OLL_OK)
        status = bench_cost_read(gguf, &m.cost, err);
    oll_gguf_close(gguf);
    if (status == OLL_OK) {
        m.path = oll_strdup(params->path);
        status = m.path ? OLL_OK : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    }
    if (status == OLL_OK) {
        warm_file(params->path);
        status = load(params, &m, err);
    }
    if (status != OLL_OK) {
        bench_model_close(&m);
        return status;
    }
    *out = m;
    return OLL_OK;
}

void bench_model_close(struct bench_model *m)
{
    oll_model_free(m->model);
    bench_cost_free(&m->cost);
    oll_free(m->path);
    memset(m, 0, sizeof *m);
}

/* ---- one repetition ---- */

struct run {
    struct oll_context *ctx;
    const struct bench_test *test;
    const struct bench_watch *watch;
    struct oll_error *err;
    uint32_t n_vocab;
    uint64_t state;
    int32_t *tokens; /* [n_batch or n_parallel] */
    int32_t *seq;    /* likewise */
    uint8_t *want;   /* [n_parallel], all set */
};

static void draw_tokens(struct run *run, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        run->tokens[i] = (int32_t)(bench_random(&run->state) % run->n_vocab);
}

static oll_status eval(struct run *run, const struct oll_batch *batch)
{
    float *logits;
    return oll_context_eval(run->ctx, batch, run->watch ? run->watch->abort : NULL, &logits,
                            run->err);
}

/* n tokens of one sequence, in pieces of n_batch. */
static oll_status eval_prompt(struct run *run, uint32_t seq, uint32_t n)
{
    while (n > 0) {
        const uint32_t piece = n < run->test->n_batch ? n : run->test->n_batch;
        for (uint32_t i = 0; i < piece; i++)
            run->seq[i] = (int32_t)seq;
        draw_tokens(run, piece);
        const struct oll_batch batch = {.n = piece, .tokens = run->tokens, .seq = run->seq};
        OLL_TRY(eval(run, &batch));
        n -= piece;
    }
    return OLL_OK;
}

/* n steps of one token for each sequence. */
static oll_status eval_steps(struct run *run, uint32_t n)
{
    const uint32_t n_seq = run->test->n_parallel;
    for (uint32_t i = 0; i < n_seq; i++)
        run->seq[i] = (int32_t)i;
    for (uint32_t step = 0; step < n; step++) {
        draw_tokens(run, n_seq);
        const struct oll_batch batch = {
            .n = n_seq, .tokens = run->tokens, .seq = run->seq, .want = run->want};
        OLL_TRY(eval(run, &batch));
    }
    return OLL_OK;
}

/* Every sequence as long as the depth says: cut back where that is possible, else made anew. */
static oll_status reach_depth(struct run *run)
{
    const uint32_t depth = run->test->n_depth;
    for (uint32_t s = 0; s < run->test->n_parallel; s++) {
        if (oll_context_seq_len(run->ctx, s) >= depth &&
            oll_context_seq_truncate(run->ctx, s, depth))
            continue;
        oll_context_seq_clear(run->ctx, s);
        bench_watch_show(run->watch, "filling %u positions", depth);
        OLL_TRY(eval_prompt(run, s, depth));
    }
    return OLL_OK;
}

static oll_status warm_up(struct run *run)
{
    OLL_TRY(reach_depth(run));
    if (run->test->n_prompt > 0)
        return eval_prompt(run, 0, run->test->n_prompt);
    return eval_steps(run, 1);
}

static oll_status repeat_once(struct run *run, uint64_t *ns)
{
    OLL_TRY(reach_depth(run));
    const uint64_t start = oll_clock_ns();
    OLL_TRY(eval_prompt(run, 0, run->test->n_prompt));
    OLL_TRY(eval_steps(run, run->test->n_gen));
    *ns = oll_clock_ns() - start;
    return OLL_OK;
}

/* ---- a test ---- */

static oll_status run_init(struct run *run, const struct bench_model *m,
                           const struct bench_test *test)
{
    const struct oll_context_params params = {.n_ctx = bench_test_n_ctx(test),
                                              .n_seq = test->n_parallel,
                                              .n_ubatch = test->n_ubatch,
                                              .kv_dtype = test->kv_dtype};
    const uint32_t n = test->n_batch > test->n_parallel ? test->n_batch : test->n_parallel;
    run->n_vocab = oll_model_facts(m->model)->n_vocab;
    run->tokens = oll_calloc(n, sizeof *run->tokens);
    run->seq = oll_calloc(n, sizeof *run->seq);
    run->want = oll_alloc(test->n_parallel, 1);
    if (!run->tokens || !run->seq || !run->want)
        return OLL_FAIL(run->err, OLL_ERR_MEMORY, "out of memory");
    memset(run->want, 1, test->n_parallel);
    return oll_context_new(m->model, &params, &run->ctx, run->err);
}

static void run_free(struct run *run)
{
    oll_context_free(run->ctx);
    oll_free(run->tokens);
    oll_free(run->seq);
    oll_free(run->want);
}

static oll_status samples_init(struct bench_samples *s, uint32_t n, struct oll_error *err)
{
    const time_t now = time(NULL);
    struct tm utc;
    memset(s, 0, sizeof *s);
    if (gmtime_r(&now, &utc))
        strftime(s->test_time, sizeof s->test_time, "%Y-%m-%dT%H:%M:%SZ", &utc);
    s->ns = oll_calloc(n, sizeof *s->ns);
    s->ts = oll_calloc(n, sizeof *s->ts);
    s->sorted = oll_calloc(n, sizeof *s->sorted);
    return s->ns && s->ts && s->sorted ? OLL_OK : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
}

void bench_samples_free(struct bench_samples *s)
{
    oll_free(s->ns);
    oll_free(s->ts);
    oll_free(s->sorted);
    memset(s, 0, sizeof *s);
}

static void samples_finish(struct bench_samples *s, const struct bench_test *test)
{
    for (uint32_t i = 0; i < s->n; i++)
        s->sorted[i] = (double)s->ns[i];
    bench_stats_of(s->sorted, s->n, &s->time);
    for (uint32_t i = 0; i < s->n; i++) {
        const double ns = s->ns[i] ? (double)s->ns[i] : 1;
        s->ts[i] = 1e9 * (double)bench_test_n_tokens(test) / ns;
        s->sorted[i] = s->ts[i];
    }
    bench_stats_of(s->sorted, s->n, &s->speed);
}

static oll_status repeat_all(struct run *run, const struct bench_repeat *repeat,
                             struct bench_samples *out)
{
    char name[BENCH_TEST_NAME_MAX];
    bench_test_name(run->test, name);
    bench_watch_show(run->watch, "%s, %u threads: warming up", name, run->test->n_threads);
    if (!repeat->no_warmup)
        OLL_TRY(warm_up(run));
    for (uint32_t i = 0; i < repeat->n; i++) {
        bench_watch_show(run->watch, "%s, %u threads: run %u of %u", name, run->test->n_threads,
                         i + 1, repeat->n);
        OLL_TRY(repeat_once(run, &out->ns[i]));
        out->n = i + 1;
    }
    return OLL_OK;
}

oll_status bench_model_run(const struct bench_model *m, const struct bench_test *test,
                           const struct bench_repeat *repeat, const struct bench_watch *watch,
                           struct bench_samples *out, struct oll_error *err)
{
    struct run run = {.test = test, .watch = watch, .err = err, .state = repeat->seed};
    if (repeat->n < 1 || repeat->n > BENCH_REPETITIONS_MAX)
        return OLL_FAIL(err, OLL_ERR_ARG, "%u repetitions; 1 to %d are possible", repeat->n,
                        BENCH_REPETITIONS_MAX);
    (void)oll_platform_peak_rss_reset();
    oll_status status = samples_init(out, repeat->n, err);
    if (status == OLL_OK)
        status = run_init(&run, m, test);
    if (status == OLL_OK)
        status = repeat_all(&run, repeat, out);
    if (run.ctx) {
        out->kv_bytes = oll_context_kv_bytes(run.ctx);
        out->activation_bytes = oll_context_activation_bytes(run.ctx);
    }
    out->peak_bytes = oll_platform_peak_rss();
    bench_watch_show(watch, "%s", "");
    run_free(&run);
    if (status == OLL_OK || status == OLL_ERR_CANCELED)
        samples_finish(out, test);
    else
        bench_samples_free(out);
    return status;
}
