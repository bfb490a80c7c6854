#include "tests/golden/golden.h"

#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "tests/testing.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX_BYTES = 64 << 20, NAMES_MAX = 1024 };

/* Architectures with state or attention of another kind. */
static const char *const later[] = {"deepseek2", "gemma3n",   "gemma4",    "lfm2",
                                    "lfm2moe",   "llama4",    "mamba",     "mamba2",
                                    "qwen35",    "qwen35moe", "qwen3next", "t5"};

/* ---- names ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **golden_names(void)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s", testing_shared("data/golden"));
    DIR *dir = folder[0] ? opendir(folder) : NULL;
    char **names = calloc(NAMES_MAX + 1, sizeof *names);
    int n = 0;
    if (!dir || !names) {
        testing_skip("the golden models are absent (data/golden)");
        free(names);
        if (dir)
            closedir(dir);
        return NULL;
    }
    for (struct dirent *e; (e = readdir(dir)) && n < NAMES_MAX;) {
        size_t len = strlen(e->d_name);
        if (len > 5 && strcmp(e->d_name + len - 5, ".gguf") == 0)
            names[n++] = strndup(e->d_name, len - 5);
    }
    closedir(dir);
    qsort(names, (size_t)n, sizeof *names, compare_names);
    return names;
}

void golden_names_free(char **names)
{
    for (char **n = names; n && *n; n++)
        free(*n);
    free(names);
}

/* ---- reading ---- */

static double number(const struct oll_json *object, const char *key)
{
    const struct oll_json *v = oll_json_get(object, key);
    return v && v->type == OLL_JSON_NUMBER ? v->real : 0;
}

/* Array of numbers; NULL when absent. */
static float *floats(struct golden *g, const struct oll_json *object, const char *key)
{
    const struct oll_json *v = oll_json_get(object, key);
    if (!v || v->type != OLL_JSON_ARRAY)
        return NULL;
    float *out = oll_arena_alloc(&g->arena, v->n, sizeof *out);
    size_t i = 0;
    for (const struct oll_json *e = v->first; e && out; e = e->next)
        out[i++] = (float)e->real;
    return out;
}

static float *floats_alt(struct golden *g, const struct oll_json *object, const char *key,
                         const char *suffix)
{
    char name[96];
    snprintf(name, sizeof name, "%s%s", key, suffix);
    return floats(g, object, name);
}

static void read_seq(struct golden *g, const struct oll_json *s, const char *pooling,
                     struct golden_seq *out)
{
    const struct oll_json *tokens = oll_json_get(s, "tokens");
    out->n = tokens ? (uint32_t)tokens->n : 0;
    out->tokens = oll_arena_alloc(&g->arena, out->n + 1, sizeof *out->tokens);
    uint32_t i = 0;
    for (const struct oll_json *t = tokens ? tokens->first : NULL; t; t = t->next)
        out->tokens[i++] = (int32_t)t->i;
    out->n_ctx = (uint32_t)number(s, "allocated_context");
    if (out->n_ctx == 0)
        out->n_ctx = out->n;
    out->reference_diff = number(s, "llamacpp_max_abs_diff");
    out->last = floats(g, s, "logits_last");
    out->last_alt = floats(g, s, "logits_last_tanh_gelu");
    out->argmax = floats(g, s, "argmax_per_position");
    out->margin = floats(g, s, "margin_top1_top2_per_position");
    out->mean = floats(g, s, "mean_per_position");
    out->std = floats(g, s, "std_per_position");
    out->first = floats(g, s, "logit_of_token0_per_position");
    out->own = floats(g, s, "logit_of_last_token_id_per_position");
    if (!pooling)
        return;
    const char *key = oll_json_get(s, "dense_out")   ? "dense_out"
                      : strcmp(pooling, "mean") == 0 ? "mean_pooled"
                                                     : pooling;
    out->pooled = floats(g, s, key);
    out->pooled_alt = floats_alt(g, s, key, "_tanh_gelu");
    const struct oll_json *v = oll_json_get(s, key);
    g->n_out = v ? (uint32_t)v->n : 0;
}

static bool read_golden(struct golden *g, const struct oll_json *root)
{
    const char *arch = oll_json_get_str(root, "arch", "");
    const char *pooling = oll_json_get_str(root, "pooling", NULL);
    const struct oll_json *tolerance = oll_json_get(root, "tolerance");
    const struct oll_json *seqs = oll_json_get(root, "sequences");
    const struct oll_json *types = oll_json_get(root, "tensor_types");
    g->kind = strcmp(oll_json_get_str(root, "kind", ""), "embedding") == 0 ? GOLDEN_EMBEDDING
                                                                           : GOLDEN_LOGITS;
    g->n_vocab = (uint32_t)number(root, "n_vocab");
    g->tolerance = number(tolerance, "max_abs");
    g->cosine = number(tolerance, "cosine");
    g->logit_std = number(root, "logit_std");
    g->is_quantised = (types && types->n > 0) || oll_json_get(root, "llamacpp_mxfp4_max_abs_diff");
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++)
        g->is_later = g->is_later || strcmp(arch, later[i]) == 0;
    if (!seqs || seqs->n == 0)
        return false;
    g->seqs = oll_arena_alloc(&g->arena, seqs->n, sizeof *g->seqs);
    for (const struct oll_json *s = seqs->first; s; s = s->next)
        read_seq(g, s, pooling, &g->seqs[g->n_seq++]);
    if (oll_json_get(root, "llamacpp_mxfp4_max_abs_diff"))
        for (uint32_t i = 0; i < g->n_seq; i++)
            g->seqs[i].reference_diff = number(root, "llamacpp_mxfp4_max_abs_diff");
    return g->arena.status == OLL_OK;
}

bool golden_load(const char *name, struct golden *g)
{
    char path[512];
    char *text = NULL;
    uint64_t n_bytes;
    struct oll_json *root;
    struct oll_error err = {0};
    memset(g, 0, sizeof *g);
    oll_arena_init(&g->arena, FILE_MAX_BYTES);
    snprintf(g->name, sizeof g->name, "%s", name);
    snprintf(g->gguf_path, sizeof g->gguf_path, "%s", testing_shared("data/golden/%s.gguf", name));
    snprintf(path, sizeof path, "%s", testing_shared("data/golden/%s.json", name));
    bool ok = oll_file_read(path, FILE_MAX_BYTES, &text, &n_bytes, &err) == OLL_OK &&
              oll_json_parse(&g->arena, text, (size_t)n_bytes, NULL, &root, &err) == OLL_OK &&
              read_golden(g, root);
    CHECK_MSG(ok, "%s: %s", name, oll_error_text(&err));
    oll_free(text);
    if (!ok)
        golden_free(g);
    return ok;
}

void golden_free(struct golden *g) { oll_arena_free(&g->arena); }

/* ---- judging ---- */

static double max_diff(const float *a, const float *b, uint32_t n)
{
    double max = 0;
    for (uint32_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        max = d > max || isnan(d) ? d : max;
    }
    return max;
}

static double rms_diff(const float *a, const float *b, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum / n);
}

/* Differences of the values that the file gives for position i. */
static double position_diff(const struct golden *g, const struct golden_seq *s, uint32_t i,
                            const float *logits)
{
    double sum = 0, square = 0, worst = 0;
    for (uint32_t v = 0; v < g->n_vocab; v++)
        sum += (double)logits[v];
    double mean = sum / g->n_vocab;
    for (uint32_t v = 0; v < g->n_vocab; v++)
        square += ((double)logits[v] - mean) * ((double)logits[v] - mean);
    const double got[] = {mean, sqrt(square / g->n_vocab), (double)logits[0],
                          (double)logits[g->n_vocab - 1]};
    const float *const expected[] = {s->mean, s->std, s->first, s->own};
    for (int k = 0; k < 4; k++) {
        double d = expected[k] ? fabs(got[k] - (double)expected[k][i]) : 0;
        /* The file's deviation may divide by n or n - 1: 1/2n apart. */
        if (k == 1 && d < 0.003 * got[1])
            continue;
        worst = d > worst || isnan(d) ? d : worst;
    }
    return worst;
}

static uint32_t argmax(const float *v, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (v[i] > v[best])
            best = i;
    return best;
}

static void judge_8bit(const struct golden *g, uint32_t i_seq, const float *last, const char *run)
{
    const struct golden_seq *s = &g->seqs[i_seq];
    double rms = rms_diff(last, s->last, g->n_vocab), max = max_diff(last, s->last, g->n_vocab);
    /* Where the other program's own noise is larger than the logits, an expert has flipped. */
    bool has_flipped = s->reference_diff > g->logit_std;
    bool is_moe = strstr(g->name, "moe") || strstr(g->name, "gpt-oss");
    CHECK_MSG(has_flipped || rms <= 0.06 * g->logit_std, "%s[%u] %s: rms %.4g, allowed %.4g",
              g->name, i_seq, run, rms, 0.06 * g->logit_std);
    CHECK_MSG(is_moe || max <= 2 * s->reference_diff, "%s[%u] %s: max %.4g, allowed %.4g", g->name,
              i_seq, run, max, 2 * s->reference_diff);
}

void golden_judge_logits(const struct golden *g, uint32_t i_seq, const float *logits,
                         struct golden_bound bound, const char *run)
{
    const struct golden_seq *s = &g->seqs[i_seq];
    const float *last = logits + (size_t)(s->n - 1) * g->n_vocab;
    if (bound.rms_share > 0) {
        double rms = rms_diff(last, s->last, g->n_vocab), most = bound.rms_share * g->logit_std;
        /* NaN fails too. */
        CHECK_MSG(rms <= most, "%s[%u] %s: rms %.4g, allowed %.4g", g->name, i_seq, run, rms, most);
        return;
    }
    if (bound.is_8bit) {
        judge_8bit(g, i_seq, last, run);
        return;
    }
    double allowed = bound.factor * g->tolerance, worst = max_diff(last, s->last, g->n_vocab);
    if (s->last_alt && max_diff(last, s->last_alt, g->n_vocab) < worst)
        worst = max_diff(last, s->last_alt, g->n_vocab);
    CHECK_MSG(worst <= allowed, "%s[%u] %s: last logits differ by %.4g, allowed %.4g", g->name,
              i_seq, run, worst, allowed);
    /* The values per position are those of erf GELU where that is the original. */
    double allowed_pos = s->last_alt ? 5 * allowed : allowed, worst_pos = 0;
    uint32_t n_wrong = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const float *row = logits + (size_t)i * g->n_vocab;
        double d = position_diff(g, s, i, row);
        worst_pos = d > worst_pos || isnan(d) ? d : worst_pos;
        n_wrong += (double)s->margin[i] > 4 * allowed_pos &&
                   argmax(row, g->n_vocab) != (uint32_t)s->argmax[i];
    }
    CHECK_MSG(worst_pos <= allowed_pos, "%s[%u] %s: a position differs by %.4g, allowed %.4g",
              g->name, i_seq, run, worst_pos, allowed_pos);
    CHECK_MSG(n_wrong == 0, "%s[%u] %s: %u positions have another best token", g->name, i_seq, run,
              n_wrong);
}

void golden_judge_vector(const struct golden *g, uint32_t i_seq, const float *raw,
                         const float *normalised, struct golden_bound bound, const char *run)
{
    const struct golden_seq *s = &g->seqs[i_seq];
    double allowed = bound.factor * g->tolerance, worst = max_diff(raw, s->pooled, g->n_out);
    const float *expected = s->pooled;
    if (s->pooled_alt && max_diff(raw, s->pooled_alt, g->n_out) < worst) {
        expected = s->pooled_alt;
        worst = max_diff(raw, expected, g->n_out);
    }
    double dot = 0, length = 0, own = 0;
    for (uint32_t i = 0; i < g->n_out; i++) {
        dot += (double)normalised[i] * (double)expected[i];
        length += (double)expected[i] * (double)expected[i];
        own += (double)normalised[i] * (double)normalised[i];
    }
    double cosine = dot / sqrt(length * own), least = g->cosine;
    /* Two vectors whose difference is this share of their length have this angle. */
    if (bound.rms_share > 0) {
        least = 1 - bound.rms_share * bound.rms_share / 2;
        allowed = INFINITY;
    }
    CHECK_MSG(worst <= allowed, "%s[%u] %s: vector differs by %.4g, allowed %.4g", g->name, i_seq,
              run, worst, allowed);
    CHECK_MSG(cosine >= least, "%s[%u] %s: cosine %.7f, at least %.7f", g->name, i_seq, run, cosine,
              least);
    CHECK_MSG(fabs(own - 1) < 1e-5, "%s[%u] %s: squared length %.7f", g->name, i_seq, run, own);
}
