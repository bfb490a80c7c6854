/* Real models (OLL_TEST_MODELS) against the numbers of another program: logits after a prompt,
 * greedy continuations, losses of a text. Rules: "Real models" in ../shared/data/golden/README.md.
 */
#include "engine/base/arena.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/eval.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_MAX_BYTES = 64 << 20, CONTINUATION = 32, CTX = 512, TOP = 20 };

/* What is compared, and how closely. */
struct job {
    const char *file, *golden;
    const char *devices;
    bool is_8bit;       /* the device rounds activations to 8 bits */
    double loss_bound;  /* of one token */
    uint32_t n_prompts; /* of the golden ones */
    uint32_t n_losses;  /* of the text, 0: all */
};

struct real {
    struct oll_arena arena;
    const struct oll_json *root;
    struct oll_model *model;
    struct oll_context *ctx;
    uint32_t n_vocab;
};

static bool open_model(const struct job *job, struct oll_model **model, struct oll_context **ctx,
                       struct oll_error *err)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", getenv("OLL_TEST_MODELS"), job->file);
    struct oll_model_params params = {.devices = job->devices, .no_tokenizer = true};
    struct oll_context_params size = {.n_ctx = CTX, .n_seq = 1, .kv_dtype = OLL_F32};
    return oll_model_load(path, &params, model, err) == OLL_OK &&
           oll_context_new(*model, &size, ctx, err) == OLL_OK;
}

static bool open_real(const struct job *job, struct real *r)
{
    const char *folder = getenv("OLL_TEST_MODELS");
    char path[1024];
    char *text = NULL;
    uint64_t n_bytes;
    struct oll_json *root = NULL;
    struct oll_error err = {0};
    memset(r, 0, sizeof *r);
    oll_arena_init(&r->arena, JSON_MAX_BYTES);
    snprintf(path, sizeof path, "%s", testing_shared("data/golden/%s", job->golden));
    FILE *probe = NULL;
    if (folder && path[0]) {
        char model[1024];
        snprintf(model, sizeof model, "%s/%s", folder, job->file);
        probe = fopen(model, "rb");
    }
    if (!probe) {
        testing_skip("%s or %s is absent (OLL_TEST_MODELS)", job->file, job->golden);
        return false;
    }
    fclose(probe);
    bool ok = oll_file_read(path, JSON_MAX_BYTES, &text, &n_bytes, &err) == OLL_OK &&
              oll_json_parse(&r->arena, text, (size_t)n_bytes, NULL, &root, &err) == OLL_OK;
    oll_free(text);
    r->root = root;
    ok = ok && open_model(job, &r->model, &r->ctx, &err);
    CHECK_MSG(ok, "%s: %s", job->file, oll_error_text(&err));
    r->n_vocab = ok ? oll_model_facts(r->model)->n_vocab : 0;
    return ok;
}

static void close_real(struct real *r)
{
    oll_context_free(r->ctx);
    oll_model_free(r->model);
    oll_arena_free(&r->arena);
}

static const struct oll_json *item(const struct oll_json *array, uint32_t i)
{
    const struct oll_json *e = array ? array->first : NULL;
    while (e && i--)
        e = e->next;
    return e;
}

static double number(const struct oll_json *object, const char *key, uint32_t i)
{
    const struct oll_json *e = item(oll_json_get(object, key), i);
    return e ? e->real : NAN;
}

/* Ids of an array, in the arena. */
static int32_t *ids(struct real *r, const struct oll_json *object, const char *key, uint32_t *n)
{
    const struct oll_json *array = oll_json_get(object, key);
    *n = array ? (uint32_t)array->n : 0;
    int32_t *out = oll_arena_alloc(&r->arena, *n + 1, sizeof *out);
    uint32_t i = 0;
    for (const struct oll_json *e = array ? array->first : NULL; e; e = e->next)
        out[i++] = (int32_t)e->i;
    return out;
}

static const float *eval(struct oll_context *ctx, const int32_t *tokens, uint32_t n)
{
    struct oll_batch batch = {.n = n, .tokens = tokens};
    struct oll_error err = {0};
    float *logits = NULL;
    oll_status status = oll_context_eval(ctx, &batch, NULL, &logits, &err);
    CHECK_MSG(status == OLL_OK, "%s", oll_error_text(&err));
    return status == OLL_OK ? logits : NULL;
}

static int32_t argmax(const float *v, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (v[i] > v[best])
            best = i;
    return (int32_t)best;
}

static double log_sum_exp(const float *logits, uint32_t n)
{
    double max = (double)logits[0], sum = 0;
    for (uint32_t i = 1; i < n; i++)
        max = (double)logits[i] > max ? (double)logits[i] : max;
    for (uint32_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - max);
    return log(sum) + max;
}

/* The noise of the other program's 8-bit run on this prompt. */
static double reference_noise(const struct oll_json *prompt)
{
    const struct oll_json *d =
        oll_json_get(oll_json_get(prompt, "quantised_run"), "top20_max_abs_diff");
    return d ? d->real : NAN;
}

/* The best tokens of the other program: their logits, or their log-probabilities where 8-bit noise
 * has shifted all logits alike. */
static void judge_top(const struct job *job, const struct real *r, const struct oll_json *prompt,
                      const float *logits, uint32_t i_prompt)
{
    const struct oll_json *top = oll_json_get(prompt, "top20");
    const struct oll_json *lse = oll_json_get(prompt, "logsumexp");
    double allowed = job->is_8bit ? 2 * reference_noise(prompt) : 0.02, worst = 0,
           worst_shifted = 0;
    double shift = logits ? log_sum_exp(logits, r->n_vocab) - (lse ? lse->real : 0) : 0;
    for (uint32_t i = 0; i < TOP && logits; i++) {
        const struct oll_json *pair = item(top, i);
        double d = (double)logits[pair->first->i] - pair->first->next->real;
        worst = fabs(d) > worst || isnan(d) ? fabs(d) : worst;
        worst_shifted = fabs(d - shift) > worst_shifted ? fabs(d - shift) : worst_shifted;
    }
    if (job->is_8bit && worst_shifted < worst)
        worst = worst_shifted;
    CHECK_MSG(worst <= allowed, "%s, prompt %u: a top logit differs by %.4g, allowed %.4g",
              job->file, i_prompt, worst, allowed);
}

/* Greedy tokens until one differs; that must happen where two were close, and give the second. */
static void judge_continuation(const struct job *job, struct real *r, const struct oll_json *prompt,
                               const float *logits, uint32_t i_prompt)
{
    double close = job->is_8bit ? 0.7 : 0.05;
    for (uint32_t i = 0; i < CONTINUATION && logits; i++) {
        int32_t got = argmax(logits, r->n_vocab);
        int32_t expected = (int32_t)number(prompt, "continuation", i);
        if (got != expected) {
            double margin = number(prompt, "margin", i);
            bool is_second = got == (int32_t)number(prompt, "second", i);
            CHECK_MSG(is_second && margin < close,
                      "%s, prompt %u, step %u: token %d, expected %d (margin %.3g)", job->file,
                      i_prompt, i, got, expected, margin);
            return;
        }
        if (i + 1 < CONTINUATION)
            logits = eval(r->ctx, &got, 1);
    }
}

static void judge_prompts(const struct job *job, struct real *r)
{
    const struct oll_json *prompts = oll_json_get(r->root, "prompts");
    uint32_t n = prompts ? (uint32_t)prompts->n : 0;
    CHECK(n > 0);
    for (uint32_t i = 0; i < n && i < job->n_prompts; i++) {
        const struct oll_json *prompt = item(prompts, i);
        uint32_t n_tokens;
        int32_t *tokens = ids(r, prompt, "tokens", &n_tokens);
        oll_context_seq_clear(r->ctx, 0);
        const float *logits = eval(r->ctx, tokens, n_tokens);
        judge_top(job, r, prompt, logits, i);
        judge_continuation(job, r, prompt, logits, i);
    }
}

static double loss(const struct real *r, const float *logits, int32_t token)
{
    return log_sum_exp(logits, r->n_vocab) - (double)logits[token];
}

/* Losses of consecutive windows; `expected` and the running sums are those of all losses so far. */
static void judge_losses(const struct job *job, struct real *r)
{
    const struct oll_json *golden = oll_json_get(r->root, "perplexity");
    const struct oll_json *expected = oll_json_get(golden, "nll");
    uint32_t n, n_done = 0;
    int32_t *tokens = ids(r, golden, "tokens", &n);
    double sum = 0, sum_expected = 0, worst = 0;
    const struct oll_json *e = expected ? expected->first : NULL;
    for (uint32_t i = 0; i < n && e && (job->n_losses == 0 || n_done < job->n_losses); i++) {
        if (i % CTX == 0)
            oll_context_seq_clear(r->ctx, 0);
        if (i % CTX == CTX - 1 || i + 1 == n)
            continue;
        /* Rows in groups: one pass for each, all of its logits at hand. */
        uint32_t left = CTX - 1 - i % CTX, n_rows = left < 64 ? left : 64;
        n_rows = n_rows < n - 1 - i ? n_rows : n - 1 - i;
        uint8_t want[64];
        memset(want, 1, sizeof want);
        struct oll_batch batch = {.n = n_rows, .tokens = tokens + i, .want = want};
        float *logits = NULL;
        CHECK_OK(oll_context_eval(r->ctx, &batch, NULL, &logits, NULL));
        for (uint32_t k = 0; k < n_rows && logits && e; k++, e = e->next) {
            double l = loss(r, logits + (size_t)k * r->n_vocab, tokens[i + k + 1]);
            double d = fabs(l - e->real);
            worst = d > worst || isnan(d) ? d : worst;
            sum += l;
            sum_expected += e->real;
            n_done++;
        }
        i += n_rows - 1;
    }
    CHECK(n_done > 0);
    double mean = fabs(sum - sum_expected) / (n_done ? n_done : 1);
    /* The bound for 8 bits is one for the whole text; noise averages out over it. */
    double share = sqrt((expected ? (double)expected->n : 0) / (n_done ? n_done : 1));
    double allowed = job->is_8bit ? 0.01 * share : 0.001;
    printf("  %s on %s: %u losses, mean %.6f (golden %.6f), worst difference %.4f\n", job->file,
           job->devices, n_done, sum / n_done, sum_expected / n_done, worst);
    CHECK_MSG(mean <= allowed, "%s: mean loss differs by %.4g, allowed %.4g", job->file, mean,
              allowed);
    CHECK_MSG(worst <= job->loss_bound, "%s: a loss differs by %.4g, allowed %.4g", job->file,
              worst, job->loss_bound);
}

static void run_job(const struct job *job)
{
    struct real r;
    if (open_real(job, &r)) {
        judge_prompts(job, &r);
        judge_losses(job, &r);
    }
    close_real(&r);
}

#define SMOLLM2 "SmolLM2-135M-Instruct.Q4_1.gguf", "real-smollm2.json"
#define GEMMA3  "gemma-3-270m-q4_k_m.gguf", "real-gemma3-270m.json"

/* ref is thorough, not quick: it sees a part of the work, cpu sees all. */
TEST(ref_smollm2) { run_job(&(struct job){SMOLLM2, "ref", false, 0.02, 3, 192}); }
TEST(ref_gemma3) { run_job(&(struct job){GEMMA3, "ref", false, 0.02, 1, 64}); }
TEST(cpu_smollm2) { run_job(&(struct job){SMOLLM2, "cpu", true, 1, 100, 0}); }
TEST(cpu_gemma3) { run_job(&(struct job){GEMMA3, "cpu", true, 3, 100, 0}); }
TEST(split_smollm2) { run_job(&(struct job){SMOLLM2, "cpu:0-19,ref:20-29", true, 1, 1, 64}); }

int main(int argc, char **argv) { return testing_main(argc, argv); }
