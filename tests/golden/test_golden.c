/* Every tiny model of the golden data against its numbers: on each device, in one pass, token by
 * token, in passes of odd sizes, beside other sequences, with an f16 cache, and split over two
 * devices. */
#include "engine/base/mem.h"
#include "engine/model.h"
#include "tests/golden/golden.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

/* One way of running a model. */
struct run {
    const char *devices; /* "split": the second half of the layers on cpu, the first on ref */
    uint32_t n_ubatch;
    enum oll_dtype kv;
    bool together; /* all sequences side by side in one context */
};

static bool uses_cpu(const struct run *run)
{
    return strcmp(run->devices, "cpu") == 0 || strstr(run->devices, "split") != NULL;
}

static struct golden_bound bound_of(const struct golden *g, const struct run *run)
{
    /* Blocks of 8 bits cost no more here than in activations; those of 4 bits have 16 times wider
     * steps, most of which attention averages away. */
    return (struct golden_bound){.factor = run->kv == OLL_F16 ? 10 : 1,
                                 .rms_share = run->kv == OLL_Q8_0   ? 0.06
                                              : run->kv == OLL_Q4_0 ? 0.25
                                                                    : 0,
                                 .is_8bit = g->is_quantised && uses_cpu(run)};
}

static struct oll_context *open_context(struct oll_model *model, const struct run *run,
                                        uint32_t n_ctx, uint32_t n_seq)
{
    struct oll_context *ctx = NULL;
    struct oll_error err = {0};
    struct oll_context_params params = {
        .n_ctx = n_ctx, .n_seq = n_seq, .n_ubatch = run->n_ubatch, .kv_dtype = run->kv};
    oll_status status = oll_context_new(model, &params, &ctx, &err);
    CHECK_MSG(status == OLL_OK, "context: %s", oll_error_text(&err));
    return ctx;
}

static void judge_sequence(const struct golden *g, struct oll_model *model, const struct run *run,
                           uint32_t i, const char *label)
{
    const struct golden_seq *s = &g->seqs[i];
    struct oll_error err = {0};
    struct oll_context *ctx = open_context(model, run, s->n_ctx, 1);
    if (!ctx)
        return;
    if (g->kind == GOLDEN_EMBEDDING) {
        float *v = oll_calloc(2 * g->n_out + 1, sizeof *v);
        CHECK_EQ(oll_model_facts(model)->n_embd_out, g->n_out);
        oll_status status = oll_context_embed(ctx, 0, s->tokens, s->n, true, NULL, v, &err);
        if (status == OLL_OK)
            status = oll_context_embed(ctx, 0, s->tokens, s->n, false, NULL, v + g->n_out, &err);
        CHECK_MSG(status == OLL_OK, "%s: %s", g->name, oll_error_text(&err));
        if (status == OLL_OK)
            golden_judge_vector(g, i, v, v + g->n_out, bound_of(g, run), label);
        oll_free(v);
    } else {
        uint8_t *want = oll_alloc(s->n, 1);
        memset(want, 1, s->n);
        struct oll_batch batch = {.n = s->n, .tokens = s->tokens, .want = want};
        float *logits = NULL;
        oll_status status = oll_context_eval(ctx, &batch, NULL, &logits, &err);
        CHECK_MSG(status == OLL_OK, "%s: %s", g->name, oll_error_text(&err));
        if (status == OLL_OK)
            golden_judge_logits(g, i, logits, bound_of(g, run), label);
        oll_free(want);
    }
    oll_context_free(ctx);
}

/* The sequences of a file dealt out token by token into one batch, all rows wanted. */
static void judge_together(const struct golden *g, struct oll_model *model, const struct run *run,
                           const char *label)
{
    uint32_t n_all = 0, n_max = 0, n_dealt = 0;
    struct oll_error err = {0};
    for (uint32_t i = 0; i < g->n_seq; i++) {
        n_all += g->seqs[i].n;
        n_max = g->seqs[i].n > n_max ? g->seqs[i].n : n_max;
    }
    struct oll_context *ctx = open_context(model, run, n_max, g->n_seq);
    int32_t *tokens = oll_calloc(n_all, sizeof *tokens), *seq = oll_calloc(n_all, sizeof *seq);
    uint8_t *want = oll_alloc(n_all, 1);
    memset(want, 1, n_all);
    for (uint32_t t = 0; t < n_max; t++)
        for (uint32_t i = 0; i < g->n_seq; i++)
            if (t < g->seqs[i].n) {
                tokens[n_dealt] = g->seqs[i].tokens[t];
                seq[n_dealt++] = (int32_t)i;
            }
    struct oll_batch batch = {.n = n_all, .tokens = tokens, .seq = seq, .want = want};
    float *logits = NULL;
    oll_status status = ctx ? oll_context_eval(ctx, &batch, NULL, &logits, &err) : OLL_ERR_INTERNAL;
    CHECK_MSG(status == OLL_OK, "%s: %s", g->name, oll_error_text(&err));
    float *own = oll_calloc((size_t)n_max * g->n_vocab, sizeof *own);
    for (uint32_t i = 0; i < g->n_seq && status == OLL_OK; i++) {
        uint32_t row = 0;
        for (uint32_t k = 0; k < n_all; k++)
            if ((uint32_t)seq[k] == i)
                memcpy(own + (size_t)row++ * g->n_vocab, logits + (size_t)k * g->n_vocab,
                       g->n_vocab * sizeof *own);
        golden_judge_logits(g, i, own, bound_of(g, run), label);
    }
    oll_free(own);
    oll_free(tokens);
    oll_free(seq);
    oll_free(want);
    oll_context_free(ctx);
}

/* Devices of a run, for a model of n_layer layers. */
static void devices_of(const struct run *run, uint32_t n_layer, char *out, size_t n_bytes)
{
    uint32_t half = n_layer / 2;
    if (strcmp(run->devices, "split") == 0 && half > 0)
        snprintf(out, n_bytes, "ref:0-%u,cpu:%u-%u", half - 1, half, n_layer - 1);
    else if (strcmp(run->devices, "split-ends") == 0 && half > 0)
        snprintf(out, n_bytes, "cpu:input,cpu:0-%u,ref,cpu:output", half - 1);
    else if (strcmp(run->devices, "split-alone") == 0)
        snprintf(out, n_bytes, "ref:input,cpu,ref:output");
    else if (strcmp(run->devices, "split-back") == 0 && half > 0)
        snprintf(out, n_bytes, "cpu:0-%u,ref", half - 1);
    else
        snprintf(out, n_bytes, "%s", strstr(run->devices, "split") ? "cpu" : run->devices);
}

static uint32_t layers_of(const char *path)
{
    struct oll_gguf *gguf;
    struct model_hparams hp;
    uint32_t n = 0;
    if (oll_gguf_open(path, &gguf, NULL) != OLL_OK)
        return 0;
    if (hparams_read(gguf, &hp, NULL) == OLL_OK)
        n = hp.n_layer;
    hparams_free(&hp);
    oll_gguf_close(gguf);
    return n;
}

static void judge_model(const char *name, const struct run *run)
{
    struct golden g;
    char devices[64], label[128];
    struct oll_model *model = NULL;
    struct oll_error err = {0};
    if (!golden_load(name, &g))
        return;
    if (g.is_later) {
        golden_free(&g);
        return;
    }
    devices_of(run, layers_of(g.gguf_path), devices, sizeof devices);
    snprintf(label, sizeof label, "(%s, passes of %u, %s cache%s)", devices, run->n_ubatch,
             oll_dtype_name((uint32_t)run->kv), run->together ? ", together" : "");
    struct oll_model_params params = {.devices = devices, .n_threads = 1, .no_tokenizer = true};
    oll_status status = oll_model_load(g.gguf_path, &params, &model, &err);
    CHECK_MSG(status == OLL_OK, "%s: %s", name, oll_error_text(&err));
    /* Contexts of several sizes cannot share a batch. */
    bool together = run->together && g.kind == GOLDEN_LOGITS && g.seqs[0].n_ctx == g.seqs[0].n;
    if (model && together)
        judge_together(&g, model, run, label);
    for (uint32_t i = 0; model && !run->together && i < g.n_seq; i++)
        judge_sequence(&g, model, run, i, label);
    oll_model_free(model);
    golden_free(&g);
}

static void judge_all(struct run run)
{
    char **names = golden_names();
    for (char **n = names; n && *n; n++)
        judge_model(*n, &run);
    golden_names_free(names);
}

TEST(later_families_are_listed)
{
    char **names = golden_names();
    struct golden g;
    for (char **n = names; n && *n; n++)
        if (golden_load(*n, &g)) {
            if (g.is_later)
                printf("  skipped, of a family that comes later: %s\n", *n);
            golden_free(&g);
        }
    golden_names_free(names);
}

TEST(ref_whole) { judge_all((struct run){"ref", 512, OLL_F32, false}); }
TEST(ref_single) { judge_all((struct run){"ref", 1, OLL_F32, false}); }
TEST(ref_three) { judge_all((struct run){"ref", 3, OLL_F32, false}); }
TEST(ref_seven) { judge_all((struct run){"ref", 7, OLL_F32, false}); }
TEST(ref_f16_cache) { judge_all((struct run){"ref", 7, OLL_F16, false}); }
TEST(ref_q8_0_cache) { judge_all((struct run){"ref", 7, OLL_Q8_0, false}); }
TEST(ref_q4_0_cache) { judge_all((struct run){"ref", 7, OLL_Q4_0, false}); }
TEST(ref_together) { judge_all((struct run){"ref", 32, OLL_F32, true}); }

TEST(cpu_whole) { judge_all((struct run){"cpu", 512, OLL_F32, false}); }
TEST(cpu_single) { judge_all((struct run){"cpu", 1, OLL_F32, false}); }
TEST(cpu_three) { judge_all((struct run){"cpu", 3, OLL_F32, false}); }
TEST(cpu_seven) { judge_all((struct run){"cpu", 7, OLL_F32, false}); }
TEST(cpu_f16_cache) { judge_all((struct run){"cpu", 7, OLL_F16, false}); }
TEST(cpu_q8_0_cache) { judge_all((struct run){"cpu", 7, OLL_Q8_0, false}); }
TEST(cpu_q4_0_cache) { judge_all((struct run){"cpu", 7, OLL_Q4_0, false}); }
TEST(cpu_together) { judge_all((struct run){"cpu", 32, OLL_F32, true}); }

TEST(split_whole) { judge_all((struct run){"split", 512, OLL_F32, false}); }
TEST(split_single) { judge_all((struct run){"split-back", 1, OLL_F32, false}); }
TEST(split_ends) { judge_all((struct run){"split-ends", 17, OLL_F32, false}); }
TEST(split_ends_alone) { judge_all((struct run){"split-alone", 512, OLL_F32, true}); }
TEST(split_together) { judge_all((struct run){"split-back", 17, OLL_F32, true}); }

int main(int argc, char **argv) { return testing_main(argc, argv); }
