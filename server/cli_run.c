/* `oll run`: a model in the terminal. One prompt from the arguments or standard input, or a chat
 * line by line; a client of the server like any other, or of one that lives as long as the command.
 * (cli-and-scheduler 4) */
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "server/cli.h"
#include "server/cli_images.h"
#include "server/cli_link.h"
#include "server/cli_private.h"
#include "server/cli_repl.h"
#include "server/duration.h"
#include "server/model_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROMPT_MAX = 64 << 20, FILE_OPTION_MAX = 5000 };

struct run {
    const struct cli_args *args;
    struct cli_client client;
    struct cli_session session;
    int64_t dimensions;                /* of embeddings; 0: all */
    char name[OLL_NAME_PART_MAX + 1];  /* that a file is offered under */
    char file_option[FILE_OPTION_MAX]; /* "NAME=FILE" */
    bool linked;                       /* the file is a model of the store by that name */
};

/* ---- options ---- */

static oll_status number_option(struct run *run, const char *option, const char *parameter,
                                struct oll_error *err)
{
    const char *value = cli_value(run->args, option, NULL);
    struct oll_error why = {0};
    if (!value)
        return OLL_OK;
    oll_status status = cli_session_param(&run->session, parameter, &value, 1, &why);
    return status == OLL_OK ? OLL_OK
                            : OLL_FAIL(err, status, "--%s: %s", option, oll_error_text(&why));
}

static oll_status read_think(struct run *run, struct oll_error *err)
{
    if (!cli_has(run->args, "think"))
        return OLL_OK;
    const char *value = cli_value(run->args, "think", "true");
    if (!cli_session_think(&run->session, value))
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "invalid value for --think: \"%s\" (must be true, false, high, medium, "
                        "low, or max)",
                        value);
    return OLL_OK;
}

static oll_status read_keep_alive(struct run *run, struct oll_error *err)
{
    const char *value = cli_value(run->args, "keepalive", NULL);
    char why[160];
    int64_t ns;
    if (!value)
        return OLL_OK;
    if (!duration_parse(value, &ns) || strlen(value) >= sizeof run->session.keep_alive) {
        duration_explain(value, why, sizeof why);
        return OLL_FAIL(err, OLL_ERR_ARG, "%s", why);
    }
    snprintf(run->session.keep_alive, sizeof run->session.keep_alive, "%s", value);
    return OLL_OK;
}

static oll_status read_dimensions(struct run *run, struct oll_error *err)
{
    const char *value = cli_value(run->args, "dimensions", "0");
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (end == value || *end || errno || n < 0 || n > INT32_MAX)
        return OLL_FAIL(err, OLL_ERR_ARG, "--dimensions %s: expected a whole number", value);
    run->dimensions = n;
    return OLL_OK;
}

static oll_status read_options(struct run *run, struct oll_error *err)
{
    static const char *const numbers[][2] = {{"seed", "seed"},
                                             {"temperature", "temperature"},
                                             {"predict", "num_predict"},
                                             {"ctx", "num_ctx"},
                                             {"threads", "num_thread"}};
    struct cli_session *s = &run->session;
    s->insecure = cli_has(run->args, "insecure");
    s->wrap = !cli_has(run->args, "nowordwrap");
    s->verbose = cli_has(run->args, "verbose");
    s->hide_thinking = cli_has(run->args, "hidethinking");
    s->raw = cli_has(run->args, "raw");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        OLL_TRY(number_option(run, numbers[i][0], numbers[i][1], err));
    OLL_TRY(read_dimensions(run, err));
    OLL_TRY(read_think(run, err));
    OLL_TRY(read_keep_alive(run, err));
    return cli_session_format(s, cli_value(run->args, "format", NULL), err);
}

/* ---- the model ---- */

/* Runs a file with a server of its own, which offers it under a name. */
static oll_status open_file(struct run *run, const char *path, struct oll_error *err)
{
    const char *models[] = {run->file_option};
    const struct service_config config = {
        .models = models, .n_models = 1, .devices = cli_value(run->args, "devices", NULL)};
    if (access(path, R_OK) != 0)
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    if (strlen(path) + sizeof run->name >= sizeof run->file_option)
        return OLL_FAIL(err, OLL_ERR_ARG, "the path of the model is too long");
    snprintf(run->file_option, sizeof run->file_option, "%s=%s", run->name, path);
    oll_status status = cli_client_open_serving(&run->client, &config, true, err);
    if (status != OLL_OK)
        oll_error_prefix(err, "%s", path);
    return status == OLL_OK ? cli_session_open(&run->session, run->name, false, err) : status;
}

/* Finds a server, or starts one: always for devices of one's own choice. */
static oll_status open_name(struct run *run, const char *name, bool pull, struct oll_error *err)
{
    const struct service_config config = {.devices = cli_value(run->args, "devices", NULL)};
    OLL_TRY(cli_client_open_serving(&run->client, &config, config.devices != NULL, err));
    return cli_session_open(&run->session, name, pull, err);
}

/* A file is linked into the store, where that can be done. */
static void link_model(struct run *run)
{
    const char *model = run->args->positional[0];
    if (!model_is_path(model))
        return;
    cli_link_name(model, run->name);
    run->linked = cli_link_file(model, run->name);
}

/* A file that was linked is run like any model, unless the server at hand has another store; other
 * files are run as they are. */
static oll_status open_model(struct run *run, struct oll_error *err)
{
    const char *model = run->args->positional[0];
    if (!model_is_path(model))
        return open_name(run, model, true, err);
    if (run->linked && open_name(run, run->name, false, NULL) == OLL_OK)
        return OLL_OK;
    cli_client_close(&run->client);
    return open_file(run, model, err);
}

/* ---- the prompt ---- */

/* What comes on standard input, unless that is a terminal. */
static oll_status read_input(struct oll_strbuf *out, struct oll_error *err)
{
    char buf[4096];
    size_t n;
    while (!isatty(STDIN_FILENO) && (n = fread(buf, 1, sizeof buf, stdin)) > 0)
        oll_strbuf_add(out, buf, n);
    if (ferror(stdin) && errno != EBADF)
        return OLL_FAIL(err, OLL_ERR_IO, "cannot read standard input: %s", strerror(errno));
    return OLL_OK;
}

static oll_status read_prompt(const struct run *run, struct oll_strbuf *input,
                              struct oll_strbuf *words, struct oll_error *err)
{
    OLL_TRY(read_input(input, err));
    for (int i = 1; i < run->args->n_positional; i++)
        oll_strbuf_printf(words, "%s%s", i > 1 ? " " : "", run->args->positional[i]);
    if (input->len > 0 && words->len > 0)
        oll_strbuf_addc(input, ' ');
    const oll_status status = input->status != OLL_OK ? input->status : words->status;
    if (status == OLL_ERR_LIMIT)
        return OLL_FAIL(err, status, "the prompt is longer than %d MiB", PROMPT_MAX >> 20);
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "no memory for the prompt");
    return OLL_OK;
}

/* ---- the answer ---- */

static oll_status answer_text(struct run *run, const char *prompt, struct oll_error *err)
{
    char *text = NULL, *images = NULL;
    OLL_TRY(cli_images_take(prompt, &text, &images, err));
    oll_status status = cli_session_generate(&run->session, text, images, err);
    oll_free(text);
    oll_free(images);
    return status;
}

/* A model that cannot see refuses pictures that the arguments name; what came through a pipe is
 * text all the same. */
static oll_status refuse_images(const struct run *run, const char *words, struct oll_error *err)
{
    const char *start, *end;
    char *path;
    if (!cli_images_find(words, &start, &end, &path))
        return OLL_OK;
    oll_status status =
        OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                 "\"%s\" cannot see images: leave out '%s', or choose a model with vision",
                 run->session.model, path);
    oll_free(path);
    return status;
}

static oll_status answer(struct run *run, struct oll_strbuf *input, const struct oll_strbuf *words,
                         struct oll_error *err)
{
    struct cli_session *s = &run->session;
    const bool interactive =
        input->len == 0 && words->len == 0 && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (s->draws)
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                        "image generation models are not currently supported");
    if (!s->embeds && !s->sees)
        OLL_TRY(refuse_images(run, words->data, err));
    if (interactive && !s->embeds)
        return cli_repl_run(s, err);
    oll_strbuf_add(input, words->data, words->len);
    if (input->status != OLL_OK)
        return OLL_FAIL(err, input->status, "no memory for the prompt");
    if (!s->embeds)
        return s->sees ? answer_text(run, input->data, err)
                       : cli_session_generate(s, input->data, NULL, err);
    if (input->len == 0)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "embedding models require input text. Usage: oll run %s \"your text here\"",
                        run->args->positional[0]);
    return cli_session_embed(s, input->data, cli_has(run->args, "truncate") ? 1 : -1,
                             run->dimensions, err);
}

static int run_main(const struct cli_args *args)
{
    struct run *run = oll_calloc(1, sizeof *run);
    struct oll_error err = {0};
    struct oll_strbuf input, words;
    if (!run)
        return cli_failf("out of memory");
    run->args = args;
    cli_session_init(&run->session, &run->client);
    oll_strbuf_init(&input, PROMPT_MAX);
    oll_strbuf_init(&words, PROMPT_MAX);
    oll_status status = read_options(run, &err);
    if (status == OLL_OK)
        status = read_prompt(run, &input, &words, &err);
    if (status == OLL_OK)
        link_model(run);
    /* From here on Ctrl-C is noted, so that what was started is also ended. */
    cli_client_catch();
    if (status == OLL_OK)
        status = open_model(run, &err);
    if (status == OLL_OK)
        status = answer(run, &input, &words, &err);
    cli_client_close(&run->client);
    cli_session_free(&run->session);
    oll_strbuf_free(&input);
    oll_strbuf_free(&words);
    oll_free(run);
    /* A shell that runs this in a loop ends the loop only when it sees the signal. */
    if (status == OLL_ERR_CANCELED)
        cli_client_release();
    return status == OLL_OK ? 0 : cli_fail(&err);
}

static const struct cli_option run_options[] = {
    {"dimensions", 0, CLI_VALUE, "N", "Cut embeddings to this many dimensions"},
    {"format", 0, CLI_VALUE, "FORMAT", "Form of the answer: json, or a JSON schema"},
    {"hidethinking", 0, CLI_FLAG, NULL, "Do not show what a model thinks first"},
    {"insecure", 0, CLI_FLAG, NULL, "Use plain HTTP where the model is pulled from"},
    {"keepalive", 0, CLI_VALUE, "DURATION", "How long the model stays loaded, e.g. 5m"},
    {"nowordwrap", 0, CLI_FLAG, NULL, "Do not break lines at words"},
    {"think", 0, CLI_OPTIONAL, "LEVEL", "Think first: true, false, high, medium, low or max"},
    {"truncate", 0, CLI_FLAG, NULL, "Cut an input that is too long to embed"},
    {"verbose", 0, CLI_FLAG, NULL, "Show timings of answers"},
    {"raw", 0, CLI_FLAG, NULL, "Show control characters of the answer to the terminal"},
    {"seed", 0, CLI_VALUE, "N", "Seed of the sampler (default: random)"},
    {"temperature", 0, CLI_VALUE, "T", "Temperature (0: always the most likely token)"},
    {"predict", 'n', CLI_VALUE, "N", "Most tokens of an answer"},
    {"ctx", 'c', CLI_VALUE, "N", "Context window in tokens (default: up to 4096)"},
    {"threads", 't', CLI_VALUE, "N", "Threads (default: physical cores)"},
    {"devices", 0, CLI_VALUE, "LIST", "Devices of the layers, e.g. cpu or cpu:0-9,ref:10-29"},
    {0},
};

static const struct cli_variable variables[] = {
    {"OLLAMA_EDITOR", "Editor for the prompt (Ctrl-G; default: VISUAL, EDITOR, vi)"},
    {"OLLAMA_HOST", "Server to use: host:port, or unix:/path (default 127.0.0.1:11434)"},
    {"OLLAMA_NOHISTORY", "Do not save what is typed"},
    {"OLL_API_KEY", "Key that is sent to a server which asks for one"},
    {0},
};

const struct cli_command cli_run = {
    .name = "run",
    .usage = "MODEL [PROMPT]",
    .summary = "Run a model",
    .details = "MODEL is the name of a model or a GGUF file, which is linked into the store under\n"
               "its own name where that needs no copy. A server is used where one runs; else the\n"
               "command is its own.\n"
               "\n"
               "What comes through a pipe stands before PROMPT; models with vision are shown the\n"
               "images whose paths are in it. Without a prompt, and on a terminal, a chat begins:\n"
               "Ctrl-C stops an answer there, Ctrl-D or /bye leaves, /? tells more. Elsewhere\n"
               "Ctrl-C ends the command, with 130 as a shell sees it.",
    .options = run_options,
    .variables = variables,
    .min_args = 1,
    .max_args = -1,
    .run = run_main,
};
