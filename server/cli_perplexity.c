/* oll perplexity: how surprised a model is by a text.
 *
 * The text is tokenised once; its tokens are cut into consecutive windows, each run from an empty
 * cache; the loss is the mean of -ln p(next token) over every token of a window but the last. */
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "server/cli_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    TEXT_MAX_BYTES = 1 << 30,
    WINDOW = 512,
    /* Rows of logits held at a time: those of a whole window of a large vocabulary are half a
     * gigabyte. */
    PIECE = 128
};

struct score {
    double nll; /* sum */
    uint64_t n;
};

/* -ln p(token) from one row. */
static double loss(const float *logits, uint32_t n_vocab, int32_t token)
{
    double max = (double)logits[0], sum = 0;
    for (uint32_t i = 1; i < n_vocab; i++)
        max = (double)logits[i] > max ? (double)logits[i] : max;
    for (uint32_t i = 0; i < n_vocab; i++)
        sum += exp((double)logits[i] - max);
    return log(sum) + max - (double)logits[token];
}

static oll_status score_window(struct oll_context *ctx, const int32_t *tokens, uint32_t n,
                               uint32_t n_vocab, struct score *score, struct oll_error *err)
{
    uint8_t want[PIECE];
    memset(want, 1, sizeof want);
    oll_context_seq_clear(ctx, 0);
    for (uint32_t i = 0; i + 1 < n; i += PIECE) {
        uint32_t n_piece = n - 1 - i < PIECE ? n - 1 - i : PIECE;
        struct oll_batch batch = {.n = n_piece, .tokens = tokens + i, .want = want};
        float *logits;
        OLL_TRY(oll_context_eval(ctx, &batch, NULL, &logits, err));
        for (uint32_t r = 0; r < n_piece; r++)
            score->nll += loss(logits + (size_t)r * n_vocab, n_vocab, tokens[i + r + 1]);
        score->n += n_piece;
    }
    return OLL_OK;
}

static oll_status tokenize_file(const struct oll_model *model, const char *path,
                                struct oll_tokens *tokens, struct oll_error *err)
{
    char *text = NULL;
    uint64_t n_bytes = 0;
    OLL_TRY(oll_file_read(path, TEXT_MAX_BYTES, &text, &n_bytes, err));
    oll_status status = oll_tokenizer_encode(oll_model_tokenizer(model), text, (size_t)n_bytes,
                                             OLL_ENCODE_ADD_SPECIAL, tokens);
    oll_free(text);
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "%s: cannot be tokenised", path);
    if (tokens->n < 2)
        return OLL_FAIL(err, OLL_ERR_ARG, "%s: %zu tokens, at least 2 are needed", path, tokens->n);
    return OLL_OK;
}

static oll_status compute(struct cli_model *m, const char *path, struct score *score,
                          struct oll_tokens *tokens, struct oll_error *err)
{
    struct oll_context *ctx = NULL;
    oll_status status = OLL_OK;
    if (oll_model_facts(m->model)->is_encoder)
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                        "architecture %s is an encoder: it predicts no tokens",
                        oll_model_facts(m->model)->architecture);
    OLL_TRY(tokenize_file(m->model, path, tokens, err));
    if (m->params.n_ctx == 0)
        m->params.n_ctx = WINDOW;
    if (m->params.n_ctx < 2)
        return OLL_FAIL(err, OLL_ERR_ARG, "--ctx 1: a window needs at least 2 tokens");
    OLL_TRY(oll_context_new(m->model, &m->params, &ctx, err));
    uint32_t n_vocab = oll_model_facts(m->model)->n_vocab, n_window = m->params.n_ctx;
    for (size_t i = 0; i < tokens->n; i += n_window) {
        uint32_t n = tokens->n - i < n_window ? (uint32_t)(tokens->n - i) : n_window;
        OLL_TRY_DONE(score_window(ctx, tokens->ids + i, n, n_vocab, score, err));
    }
done:
    oll_context_free(ctx);
    return status;
}

static int print_score(const struct score *score, size_t n_tokens)
{
    struct oll_strbuf out;
    struct oll_json_writer w;
    double mean = score->nll / (double)score->n;
    oll_strbuf_init(&out, 4096);
    oll_json_write_init(&w, &out);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "nll");
    oll_json_write_double(&w, mean);
    oll_json_write_key(&w, "ppl");
    oll_json_write_double(&w, exp(mean));
    oll_json_write_key(&w, "tokens");
    oll_json_write_uint(&w, n_tokens);
    oll_json_write_key(&w, "scored");
    oll_json_write_uint(&w, score->n);
    oll_json_write_object_end(&w);
    bool ok = out.status == OLL_OK && puts(out.data) >= 0 && fflush(stdout) == 0;
    oll_strbuf_free(&out);
    return ok ? 0 : cli_failf("cannot write the result");
}

static int run_perplexity(const struct cli_args *args)
{
    struct cli_model m = {0};
    struct oll_tokens tokens = {0};
    struct oll_error err = {0};
    struct score score = {0};
    int code = 1;
    if (cli_model_open(args, true, &m))
        code = compute(&m, args->positional[1], &score, &tokens, &err) == OLL_OK
                   ? print_score(&score, tokens.n)
                   : cli_fail(&err);
    oll_tokens_free(&tokens);
    oll_model_free(m.model);
    return code;
}

static const struct cli_option options[] = {
    CLI_MODEL_OPTIONS,
    {NULL, 0, CLI_FLAG, NULL, NULL},
};

const struct cli_command cli_perplexity = {
    .name = "perplexity",
    .usage = "MODEL FILE",
    .summary = "Measure the loss of a model on a text",
    .details = "Prints {\"nll\": mean loss, \"ppl\": exp(nll), \"tokens\": of the text, "
               "\"scored\": with a loss}.\nWindows of 512 tokens, or of --ctx.",
    .options = options,
    .min_args = 2,
    .max_args = 2,
    .run = run_perplexity,
};
