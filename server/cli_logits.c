/* oll logits: the numbers behind the next token, for every position of a list of ids. */
#include "engine/base/mem.h"
#include "engine/base/npy.h"
#include "server/cli_model.h"

#include <string.h>

static const char *const NEEDED[] = {"tokens", "out"};

/* Evaluates pieces of the length of a pass and writes the rows of each as they come. */
static oll_status write_logits(struct oll_context *ctx, const struct oll_tokens *tokens,
                               uint32_t n_vocab, struct oll_npy *npy, struct oll_error *err)
{
    uint32_t n_piece = oll_context_n_ubatch(ctx);
    oll_status status = OLL_OK;
    uint8_t *want = oll_alloc(n_piece, 1);
    if (!want)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    memset(want, 1, n_piece);
    for (size_t i = 0; i < tokens->n; i += n_piece) {
        uint32_t n = tokens->n - i < n_piece ? (uint32_t)(tokens->n - i) : n_piece;
        struct oll_batch batch = {.n = n, .tokens = tokens->ids + i, .want = want};
        float *logits;
        OLL_TRY_DONE(oll_context_eval(ctx, &batch, NULL, &logits, err));
        OLL_TRY_DONE(oll_npy_write(npy, logits, (size_t)n * n_vocab, err));
    }
done:
    oll_free(want);
    return status;
}

static oll_status compute(struct cli_model *m, const struct oll_tokens *tokens, const char *out,
                          struct oll_error *err)
{
    struct oll_context *ctx = NULL;
    struct oll_npy npy = {0};
    oll_status status = OLL_OK;
    uint32_t n_vocab = oll_model_facts(m->model)->n_vocab;
    if (m->params.n_ctx == 0)
        m->params.n_ctx = (uint32_t)tokens->n;
    OLL_TRY_DONE(oll_context_new(m->model, &m->params, &ctx, err));
    OLL_TRY_DONE(oll_npy_create(&npy, out, (uint64_t[]){tokens->n, n_vocab}, 2, err));
    OLL_TRY_DONE(write_logits(ctx, tokens, n_vocab, &npy, err));
    OLL_TRY_DONE(oll_npy_finish(&npy, err));
done:
    oll_npy_close(&npy);
    oll_context_free(ctx);
    return status;
}

static int run_logits(const struct cli_args *args)
{
    struct cli_model m = {0};
    struct oll_tokens tokens = {0};
    struct oll_error err = {0};
    int code = 1;
    for (size_t i = 0; i < sizeof NEEDED / sizeof NEEDED[0]; i++)
        if (!cli_value(args, NEEDED[i], NULL))
            return cli_failf("--%s is missing", NEEDED[i]);
    if (cli_model_tokens(args, &tokens) && cli_model_open(args, false, &m))
        code =
            compute(&m, &tokens, cli_value(args, "out", NULL), &err) == OLL_OK ? 0 : cli_fail(&err);
    oll_model_free(m.model);
    oll_tokens_free(&tokens);
    return code;
}

static const struct cli_option options[] = {
    {"tokens", 0, CLI_VALUE, "IDS", "token ids, separated by commas; taken as they are"},
    {"out", 'o', CLI_VALUE, "FILE.npy", "array [tokens, vocabulary] of f32"},
    CLI_MODEL_OPTIONS,
    {NULL, 0, CLI_FLAG, NULL, NULL},
};

const struct cli_command cli_logits = {
    .name = "logits",
    .usage = "MODEL --tokens IDS --out FILE.npy",
    .summary = "Write the logits after every token of a list",
    .details = "The context is as long as the list unless --ctx says otherwise.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_logits,
};
