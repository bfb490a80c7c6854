/* oll tokenize, oll detokenize: text to token ids and back. */
#include "engine/base/base64.h"
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "server/cli.h"
#include "server/model_tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX_BYTES = 1 << 30, OUTPUT_MAX_BYTES = INT32_MAX };

enum batch { BATCH_NONE, BATCH_JSON, BATCH_BASE64 };

/* One run of either command. */
struct job {
    const struct oll_tokenizer *tok;
    enum batch batch;
    unsigned flags;      /* of encoding */
    bool render_special; /* when decoding */
    struct oll_tokens ids;
    struct oll_strbuf text, out;
};

static void job_init(struct job *job, const struct cli_args *args, enum batch batch)
{
    *job = (struct job){.batch = batch, .render_special = !cli_has(args, "no-special")};
    if (job->render_special)
        job->flags |= OLL_ENCODE_PARSE_SPECIAL;
    oll_strbuf_init(&job->text, TEXT_MAX_BYTES);
    oll_strbuf_init(&job->out, OUTPUT_MAX_BYTES);
}

static void job_free(struct job *job)
{
    oll_tokens_free(&job->ids);
    oll_strbuf_free(&job->text);
    oll_strbuf_free(&job->out);
}

/* ---- one line ---- */

/* The text that a line of a batch stands for, into job->text. */
static oll_status read_text(struct job *job, const char *line, size_t n, struct oll_error *err)
{
    struct oll_arena arena;
    struct oll_json *value;
    oll_strbuf_clear(&job->text);
    if (job->batch == BATCH_BASE64)
        return oll_base64_decode(line, n, &job->text, err);
    oll_arena_init(&arena, SIZE_MAX / 2);
    oll_status status = oll_json_parse(&arena, line, n, NULL, &value, err);
    if (status == OLL_OK && value->type != OLL_JSON_STRING)
        status = OLL_FAIL(err, OLL_ERR_FORMAT, "expected a JSON string, found %s",
                          oll_json_type_name(value));
    if (status == OLL_OK) {
        oll_strbuf_add(&job->text, value->str, value->str_len);
        status = job->text.status;
    }
    oll_arena_free(&arena);
    return status;
}

/* Ids as "[1, 2, 3]" or "1,2,3". */
static oll_status read_ids(struct job *job, const char *line, size_t n, struct oll_error *err)
{
    static const char blank[] = " \t\r\n";
    const char *p = line + strspn(line, blank);
    bool bracket = *p == '[', more = true;
    job->ids.n = 0;
    p += bracket;
    p += strspn(p, blank);
    while (more && *p && *p != ']') {
        char *end;
        errno = 0;
        long long id = strtoll(p, &end, 10);
        if (end == p || errno || id < 0 || id >= oll_tokenizer_n_tokens(job->tok))
            return OLL_FAIL(err, OLL_ERR_ARG,
                            "expected a token id from 0 to %d at byte %zu of the list",
                            oll_tokenizer_n_tokens(job->tok) - 1, (size_t)(p - line));
        OLL_TRY(oll_tokens_add(&job->ids, (int32_t)id));
        p = end + strspn(end, blank);
        more = *p == ',';
        p += more;
        p += strspn(p, blank);
    }
    bool closed = bracket && *p == ']';
    p += closed;
    p += strspn(p, blank);
    if ((more && job->ids.n > 0) || closed != bracket || p != line + n)
        return OLL_FAIL(err, OLL_ERR_FORMAT,
                        "expected a list of token ids such as [1, 2, 3] or 1,2,3; it breaks off at "
                        "byte %zu",
                        (size_t)(p - line));
    return OLL_OK;
}

static oll_status write_ids(struct job *job)
{
    struct oll_json_writer w;
    oll_strbuf_clear(&job->out);
    oll_json_write_init(&w, &job->out);
    oll_json_write_array_begin(&w);
    for (size_t i = 0; i < job->ids.n; i++)
        oll_json_write_int(&w, job->ids.ids[i]);
    oll_json_write_array_end(&w);
    oll_strbuf_addc(&job->out, '\n');
    return job->out.status;
}

static oll_status tokenize(struct job *job, const char *text, size_t n, struct oll_error *err)
{
    if (job->batch != BATCH_NONE) {
        OLL_TRY(read_text(job, text, n, err));
        text = job->text.data;
        n = job->text.len;
    }
    job->ids.n = 0;
    OLL_TRY(oll_tokenizer_encode(job->tok, text, n, job->flags, &job->ids));
    return write_ids(job);
}

static oll_status detokenize(struct job *job, const char *line, size_t n, struct oll_error *err)
{
    struct oll_json_writer w;
    OLL_TRY(read_ids(job, line, n, err));
    oll_strbuf_clear(&job->text);
    oll_strbuf_clear(&job->out);
    OLL_TRY(
        oll_tokenizer_decode(job->tok, job->ids.ids, job->ids.n, job->render_special, &job->text));
    switch (job->batch) {
    case BATCH_NONE:
        /* Exactly the bytes, so that text survives the way there and back. */
        oll_strbuf_add(&job->out, job->text.data, job->text.len);
        if (isatty(STDOUT_FILENO))
            oll_strbuf_addc(&job->out, '\n');
        break;
    case BATCH_JSON:
        oll_json_write_init(&w, &job->out);
        w.keep_html = true;
        oll_json_write_strn(&w, job->text.data, job->text.len);
        oll_strbuf_addc(&job->out, '\n');
        break;
    case BATCH_BASE64:
        oll_base64_encode(job->text.data, job->text.len, &job->out);
        oll_strbuf_addc(&job->out, '\n');
        break;
    }
    return job->out.status;
}

/* ---- input ---- */

typedef oll_status (*line_fn)(struct job *job, const char *line, size_t n, struct oll_error *err);

static oll_status print(const struct oll_strbuf *out, struct oll_error *err)
{
    if (fwrite(out->data, 1, out->len, stdout) != out->len)
        return OLL_FAIL(err, OLL_ERR_IO, "standard output: %s", strerror(errno));
    return OLL_OK;
}

/* Standard input up to and without the next `delimiter`, or to its end when that is EOF. *any is
 * false when there was nothing left. */
static oll_status read_input(struct oll_strbuf *line, int delimiter, bool *any,
                             struct oll_error *err)
{
    int c;
    oll_strbuf_clear(line);
    *any = false;
    while ((c = getc(stdin)) != EOF) {
        *any = true;
        if (c == delimiter)
            break;
        oll_strbuf_addc(line, (char)c);
    }
    if (ferror(stdin))
        return OLL_FAIL(err, OLL_ERR_IO, "standard input: %s", strerror(errno));
    if (line->status != OLL_OK)
        return OLL_FAIL(err, line->status, "standard input: at most %d bytes at once",
                        TEXT_MAX_BYTES);
    return OLL_OK;
}

static oll_status run_lines(struct job *job, line_fn fn, struct oll_strbuf *line,
                            struct oll_error *err)
{
    bool any;
    for (size_t number = 1;; number++) {
        OLL_TRY(read_input(line, '\n', &any, err));
        if (!any)
            return OLL_OK;
        oll_status status = fn(job, line->data, line->len, err);
        if (status != OLL_OK) {
            oll_error_set(err, status, "%s", oll_status_text(status));
            oll_error_prefix(err, "line %zu", number);
            return status;
        }
        OLL_TRY(print(&job->out, err));
    }
}

static oll_status run_once(struct job *job, line_fn fn, const char *text, size_t n,
                           struct oll_error *err)
{
    oll_status status = fn(job, text, n, err);
    if (status != OLL_OK)
        return oll_error_set(err, status, "%s", oll_status_text(status));
    return print(&job->out, err);
}

static oll_status run_input(struct job *job, line_fn fn, const char *argument,
                            struct oll_error *err)
{
    struct oll_strbuf input;
    bool any;
    if (argument)
        return run_once(job, fn, argument, strlen(argument), err);
    oll_strbuf_init(&input, TEXT_MAX_BYTES);
    oll_status status;
    if (job->batch != BATCH_NONE) {
        status = run_lines(job, fn, &input, err);
    } else {
        status = read_input(&input, EOF, &any, err);
        if (status == OLL_OK)
            status = run_once(job, fn, input.data, input.len, err);
    }
    oll_strbuf_free(&input);
    return status;
}

static bool read_batch(const struct cli_args *args, enum batch *batch)
{
    const char *name = cli_value(args, "batch", "");
    *batch = strcmp(name, "json") == 0     ? BATCH_JSON
             : strcmp(name, "base64") == 0 ? BATCH_BASE64
                                           : BATCH_NONE;
    if (*batch != BATCH_NONE || !cli_has(args, "batch"))
        return true;
    cli_failf("--batch %s: expected json or base64", name);
    return false;
}

static int run_command(const struct cli_args *args, line_fn fn, unsigned flags)
{
    struct oll_error err = {0};
    struct oll_tokenizer *tok = NULL;
    struct job job;
    enum batch batch;
    if (!read_batch(args, &batch))
        return 2;
    job_init(&job, args, batch);
    job.flags |= flags;
    oll_status status = model_tokenizer_load(args->positional[0], &tok, &err);
    job.tok = tok;
    if (status == OLL_OK)
        status = run_input(&job, fn, args->n_positional > 1 ? args->positional[1] : NULL, &err);
    if (status == OLL_OK && fflush(stdout) != 0)
        status = OLL_FAIL(&err, OLL_ERR_IO, "standard output: %s", strerror(errno));
    job_free(&job);
    oll_tokenizer_free(tok);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

static int run_tokenize(const struct cli_args *args)
{
    return run_command(args, tokenize, cli_has(args, "no-bos") ? 0 : OLL_ENCODE_ADD_SPECIAL);
}

static int run_detokenize(const struct cli_args *args) { return run_command(args, detokenize, 0); }

static const struct cli_option tokenize_options[] = {
    {"no-special", 0, CLI_FLAG, NULL, "the text of special tokens is plain text"},
    {"no-bos", 0, CLI_FLAG, NULL, "add nothing at either end"},
    {"batch", 0, CLI_VALUE, "json|base64", "one JSON string, or base64 of bytes, per line"},
    {0}};

static const struct cli_option detokenize_options[] = {
    {"no-special", 0, CLI_FLAG, NULL, "leave special tokens out"},
    {"batch", 0, CLI_VALUE, "json|base64", "one list per line in, JSON string or base64 out"},
    {0}};

const struct cli_command cli_tokenize = {
    .name = "tokenize",
    .usage = "MODEL [TEXT]",
    .summary = "Turn text into token ids",
    .details = "Without TEXT standard input is read. The ids are printed as a JSON array, with\n"
               "--batch one array for each line.",
    .options = tokenize_options,
    .min_args = 1,
    .max_args = 2,
    .run = run_tokenize};

const struct cli_command cli_detokenize = {
    .name = "detokenize",
    .usage = "MODEL [IDS]",
    .summary = "Turn token ids into text",
    .details = "IDS is a JSON array or a list such as 1,2,3; without it standard input is read.\n"
               "The pieces of the tokens are printed one after the other, unchanged.",
    .options = detokenize_options,
    .min_args = 1,
    .max_args = 2,
    .run = run_detokenize};
