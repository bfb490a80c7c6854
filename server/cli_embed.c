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

/* One input: its vector [n_embd_out]. A text that is too long is cut; its end token stays. */
static oll_status embed_text(struct oll_context *ctx, const struct oll_model *model,
                             const char *text, size_t n_bytes, float *v, struct oll_error *err)
{
    const struct oll_tokenizer *tok = oll_model_tokenizer(model);
    struct oll_tokens tokens = {0};
    uint32_t n_ctx = oll_context_n_ctx(ctx);
    oll_status status = oll_tokenizer_encode(
        tok, text, n_bytes, OLL_ENCODE_ADD_SPECIAL | OLL_ENCODE_PARSE_SPECIAL, &tokens);
    if (status != OLL_OK)
        OLL_FAIL(err, status, "a text cannot be tokenised");
    if (tokens.n > n_ctx) {
        int32_t last = tokens.ids[tokens.n - 1];
        tokens.n = n_ctx;
        if (oll_tokenizer_is_special(tok, last))
            tokens.ids[n_ctx - 1] = last;
    }
    if (status == OLL_OK)
        status = oll_context_embed(ctx, tokens.ids, (uint32_t)tokens.n, false, NULL, v, err);
    oll_tokens_free(&tokens);
    return status;
}

/* All inputs of the command line: --tokens, else the texts, else standard input. */
struct inputs {
    const struct cli_args *args;
    struct oll_tokens tokens; /* n > 0: the only input */
    struct oll_strbuf text;   /* standard input */
    int n;
};

static oll_status embed_input(struct oll_context *ctx, const struct oll_model *model,
                              const struct inputs *in, int i, float *v, struct oll_error *err)
{
    if (in->tokens.n > 0)
        return oll_context_embed(ctx, in->tokens.ids, (uint32_t)in->tokens.n, false, NULL, v, err);
    if (in->args->n_positional == 1)
        return embed_text(ctx, model, in->text.data, in->text.len, v, err);
    const char *text = in->args->positional[i + 1];
    return embed_text(ctx, model, text, strlen(text), v, err);
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

static oll_status embed_all(struct cli_model *m, const struct inputs *in, struct oll_strbuf *out,
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
    if (m->params.n_ctx == 0 && in->tokens.n > 0)
        m->params.n_ctx = (uint32_t)in->tokens.n;
    OLL_TRY_DONE(oll_context_new(m->model, &m->params, &ctx, err));
    if (as_json) {
        oll_json_write_object_begin(&w);
        oll_json_write_key(&w, "embeddings");
        oll_json_write_array_begin(&w);
    }
    for (int i = 0; i < in->n; i++) {
        OLL_TRY_DONE(embed_input(ctx, m->model, in, i, v, err));
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

static int run_embed(const struct cli_args *args)
{
    struct cli_model m = {0};
    struct inputs in = {.args = args, .n = args->n_positional > 2 ? args->n_positional - 1 : 1};
    struct oll_strbuf out;
    struct oll_error err = {0};
    bool has_tokens = cli_has(args, "tokens");
    if (has_tokens && args->n_positional > 1)
        return cli_failf("either texts or --tokens, not both");
    int code = 1;
    oll_strbuf_init(&out, OUTPUT_MAX_BYTES);
    oll_strbuf_init(&in.text, STDIN_MAX_BYTES);
    if (has_tokens && !cli_model_tokens(args, &in.tokens))
        goto done;
    if (!cli_model_open(args, !has_tokens, &m))
        goto done;
    if (!has_tokens && args->n_positional == 1 && read_stdin(&in.text, &err) != OLL_OK) {
        code = cli_fail(&err);
        goto done;
    }
    if (embed_all(&m, &in, &out, &err) != OLL_OK)
        code = cli_fail(&err);
    else if (fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0)
        code = 0;
    else
        code = cli_failf("cannot write the vectors");
done:
    oll_model_free(m.model);
    oll_tokens_free(&in.tokens);
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
