/* oll embed: vectors of texts. */
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "server/cli_model.h"

#include <stdio.h>
#include <string.h>

enum { STDIN_MAX_BYTES = 64 << 20, OUTPUT_MAX_BYTES = 1 << 30 };

static oll_status read_stdin(struct oll_strbuf *text, struct oll_error *err)
{
    char piece[4096];
    size_t n;
    while ((n = fread(piece, 1, sizeof piece, stdin)) > 0)
        oll_strbuf_add(text, piece, n);
    if (text->status != OLL_OK)
        return OLL_FAIL(err, text->status, "standard input: at most %d bytes", STDIN_MAX_BYTES);
    return ferror(stdin) ? OLL_FAIL(err, OLL_ERR_IO, "standard input cannot be read") : OLL_OK;
}

/* What is to be embedded: --tokens, else the texts, else standard input; each as token ids. */
struct inputs {
    const struct cli_args *args;
    struct oll_strbuf text;    /* standard input */
    struct oll_tokens *tokens; /* [n] */
    int n;
    bool as_given; /* --tokens: nothing is cut */
};

static oll_status tokenize(const struct oll_model *model, struct inputs *in, struct oll_error *err)
{
    for (int i = 0; i < in->n && !in->as_given; i++) {
        bool from_stdin = in->args->n_positional == 1;
        const char *text = from_stdin ? in->text.data : in->args->positional[i + 1];
        size_t n = from_stdin ? in->text.len : strlen(text);
        oll_status status =
            oll_tokenizer_encode(oll_model_tokenizer(model), text, n,
                                 OLL_ENCODE_ADD_SPECIAL | OLL_ENCODE_PARSE_SPECIAL, &in->tokens[i]);
        if (status != OLL_OK)
            return OLL_FAIL(err, status, "a text cannot be tokenised");
    }
    return OLL_OK;
}

/* The longest input, or the most that the model was trained for. */
static uint32_t needed_ctx(const struct oll_model *model, const struct inputs *in)
{
    size_t longest = 1, most = oll_model_facts(model)->n_ctx_train;
    for (int i = 0; i < in->n; i++)
        longest = in->tokens[i].n > longest ? in->tokens[i].n : longest;
    if (longest > most && !in->as_given)
        longest = most;
    return longest < UINT32_MAX ? (uint32_t)longest : UINT32_MAX;
}

/* A text that is too long is cut; its end token stays. */
static void cut(const struct oll_model *model, struct oll_tokens *tokens, uint32_t n_ctx)
{
    if (tokens->n <= n_ctx)
        return;
    int32_t last = tokens->ids[tokens->n - 1];
    tokens->n = n_ctx;
    if (oll_tokenizer_is_special(oll_model_tokenizer(model), last))
        tokens->ids[n_ctx - 1] = last;
}

static void print_vector(struct oll_strbuf *out, struct oll_json_writer *w, const float *v,
                         uint32_t n)
{
    if (w)
        oll_json_write_array_begin(w);
    for (uint32_t i = 0; i < n; i++) {
        if (w)
            oll_json_write_float(w, v[i]);
        else
            oll_strbuf_printf(out, "%s%.9g", i ? " " : "", (double)v[i]);
    }
    if (w)
        oll_json_write_array_end(w);
    else
        oll_strbuf_addc(out, '\n');
}

static oll_status embed_all(struct cli_model *m, struct inputs *in, struct oll_strbuf *out,
                            struct oll_error *err)
{
    struct oll_context *ctx = NULL;
    oll_status status = OLL_OK;
    bool as_json = cli_has(in->args, "json");
    uint32_t n = oll_model_facts(m->model)->n_embd_out;
    struct oll_json_writer w;
    oll_json_write_init(&w, out);
    float *v = oll_alloc(n, sizeof *v);
    if (!v)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    OLL_TRY_DONE(tokenize(m->model, in, err));
    if (m->params.n_ctx == 0)
        m->params.n_ctx = needed_ctx(m->model, in);
    OLL_TRY_DONE(oll_context_new(m->model, &m->params, &ctx, err));
    if (as_json) {
        oll_json_write_object_begin(&w);
        oll_json_write_key(&w, "embeddings");
        oll_json_write_array_begin(&w);
    }
    for (int i = 0; i < in->n; i++) {
        struct oll_tokens *tokens = &in->tokens[i];
        if (!in->as_given)
            cut(m->model, tokens, oll_context_n_ctx(ctx));
        OLL_TRY_DONE(
            oll_context_embed(ctx, 0, tokens->ids, (uint32_t)tokens->n, false, NULL, v, err));
        print_vector(out, as_json ? &w : NULL, v, n);
    }
    if (as_json) {
        oll_json_write_array_end(&w);
        oll_json_write_object_end(&w);
        oll_strbuf_addc(out, '\n');
    }
    if (out->status != OLL_OK)
        status = OLL_FAIL(err, out->status, "the vectors take more than %d bytes of text",
                          OUTPUT_MAX_BYTES);
done:
    oll_context_free(ctx);
    oll_free(v);
    return status;
}

static oll_status open_inputs(struct cli_model *m, struct inputs *in, struct oll_strbuf *out,
                              struct oll_error *err)
{
    if (!in->as_given && in->args->n_positional == 1)
        OLL_TRY(read_stdin(&in->text, err));
    return embed_all(m, in, out, err);
}

static int run_embed(const struct cli_args *args)
{
    struct cli_model m = {0};
    struct inputs in = {.args = args,
                        .n = args->n_positional > 2 ? args->n_positional - 1 : 1,
                        .as_given = cli_has(args, "tokens")};
    struct oll_strbuf out;
    struct oll_error err = {0};
    int code = 1;
    if (in.as_given && args->n_positional > 1)
        return cli_failf("either texts or --tokens, not both");
    in.tokens = oll_calloc((size_t)in.n, sizeof *in.tokens);
    if (!in.tokens)
        return cli_failf("out of memory");
    oll_strbuf_init(&out, OUTPUT_MAX_BYTES);
    oll_strbuf_init(&in.text, STDIN_MAX_BYTES);
    if (in.as_given && !cli_model_tokens(args, in.tokens))
        goto done;
    if (!cli_model_open(args, !in.as_given, &m))
        goto done;
    if (open_inputs(&m, &in, &out, &err) != OLL_OK)
        code = cli_fail(&err);
    else if (fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0)
        code = 0;
    else
        code = cli_failf("cannot write the vectors");
done:
    oll_model_free(m.model);
    for (int i = 0; i < in.n; i++)
        oll_tokens_free(&in.tokens[i]);
    oll_free(in.tokens);
    oll_strbuf_free(&in.text);
    oll_strbuf_free(&out);
    return code;
}

static const struct cli_option options[] = {
    {"tokens", 0, CLI_VALUE, "IDS", "one input as token ids, separated by commas"},
    {"json", 0, CLI_FLAG, NULL, "print {\"embeddings\": [[...]]} instead of lines of numbers"},
    CLI_MODEL_OPTIONS,
    {NULL, 0, CLI_FLAG, NULL, NULL},
};

const struct cli_command cli_embed = {
    .name = "embed",
    .usage = "MODEL [TEXT...]",
    .summary = "Print the embedding vectors of texts",
    .details = "Pooled as the model asks, its dense layers applied, of unit length. Without a text "
               "standard input is one.",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .run = run_embed,
};
