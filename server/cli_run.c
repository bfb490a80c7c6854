/* `oll run`: a model in the terminal. One prompt from the arguments or standard input, or a chat
 * line by line. */
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "engine/oll.h"
#include "server/cli.h"
#include "server/cli_transfer.h"
#include "server/duration.h"
#include "server/model_path.h"
#include "server/options.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RUN_MAX_PROMPT = 64 * 1024 * 1024, RUN_POLL_MS = 50 };

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

struct run {
    struct oll_engine *engine;
    struct model_entry model;
    struct options options; /* of the model, then of the command line */
    bool verbose;
    bool in_thinking; /* of the answer that is being shown */
    uint64_t start_ns, load_ns;
    /* The chat so far; messages own their strings. */
    struct oll_message *messages;
    uint32_t n_messages, cap_messages;
};

/* ---- timings ---- */

static void print_duration(const char *label, uint64_t ns)
{
    char text[DURATION_TEXT_MAX];
    duration_format((int64_t)ns, text);
    if (ns)
        fprintf(stderr, "%-22s%s\n", label, text);
}

static void print_rate(const char *label, uint32_t n, uint64_t ns)
{
    if (n && ns)
        fprintf(stderr, "%-22s%.2f tokens/s\n", label, (double)n * 1e9 / (double)ns);
}

static void print_timings(const struct run *run, const struct oll_event *done, uint64_t total_ns)
{
    print_duration("total duration:", total_ns);
    print_duration("load duration:", run->load_ns);
    if (done->n_prompt)
        fprintf(stderr, "%-22s%u token(s)\n", "prompt eval count:", done->n_prompt);
    print_duration("prompt eval duration:", done->prompt_ns);
    print_rate("prompt eval rate:", done->n_prompt - done->n_prompt_cached, done->prompt_ns);
    if (done->n_reply)
        fprintf(stderr, "%-22s%u token(s)\n", "eval count:", done->n_reply);
    print_duration("eval duration:", done->reply_ns);
    print_rate("eval rate:", done->n_reply, done->reply_ns);
}

/* ---- one answer ---- */

static void show_text(struct run *run, const struct oll_event *event)
{
    const bool thinking = event->kind == OLL_EVENT_THINKING;
    if (thinking != run->in_thinking)
        fputs(thinking ? "Thinking...\n" : "\n...done thinking.\n\n", stdout);
    run->in_thinking = thinking;
    fwrite(event->text, 1, event->n_text, stdout);
}

/* Streams the reply to standard output; keeps a copy in *text when that is not NULL. An interrupt
 * ends the answer and is no failure. */
static oll_status answer(struct run *run, const struct oll_request *request,
                         struct oll_strbuf *text, struct oll_error *err)
{
    uint64_t id, begin = oll_clock_ns();
    oll_status status = OLL_OK;
    bool over = false;
    interrupted = 0;
    run->in_thinking = false;
    OLL_TRY(oll_engine_submit(run->engine, request, &id, err));
    while (!over) {
        struct oll_event event = {0};
        if (interrupted)
            oll_engine_cancel(run->engine, id);
        oll_status got = oll_engine_next(run->engine, id, RUN_POLL_MS, &event);
        if (got == OLL_ERR_TIMEOUT)
            continue;
        if (got != OLL_OK) {
            /* Without memory for it even the last event may be missing. */
            status = OLL_FAIL(err, got, "the answer ended early: %s", oll_status_text(got));
            break;
        }
        if (event.kind == OLL_EVENT_TEXT || event.kind == OLL_EVENT_THINKING) {
            show_text(run, &event);
            if (fflush(stdout) != 0 || ferror(stdout))
                oll_engine_cancel(run->engine, id); /* nobody reads any more */
            if (text && event.kind == OLL_EVENT_TEXT)
                oll_strbuf_add(text, event.text, event.n_text);
        } else if (event.kind == OLL_EVENT_DONE) {
            printf("\n\n");
            fflush(stdout);
            if (run->verbose)
                print_timings(run, &event, oll_clock_ns() - begin + run->load_ns);
            over = true;
        } else if (event.kind == OLL_EVENT_ERROR) {
            over = true;
            if (interrupted)
                printf("\n\n");
            else
                status = OLL_FAIL(err, event.status, "%s", event.text);
        }
        oll_event_free(&event);
    }
    oll_engine_release(run->engine, id);
    return status;
}

/* What every request to this model says. */
static struct oll_request base_request(const struct run *run, enum oll_request_kind kind)
{
    const struct oll_stored_model *stored = &run->model.stored;
    return (struct oll_request){.kind = kind,
                                .options = run->options.sampling,
                                .model_template = stored->template_text,
                                .renderer = stored->config.renderer,
                                .parser = stored->config.parser};
}

static oll_status answer_prompt(struct run *run, const char *prompt, struct oll_error *err)
{
    struct oll_request request = base_request(run, OLL_REQUEST_PROMPT);
    request.prompt = prompt;
    request.system = run->model.stored.system;
    return answer(run, &request, NULL, err);
}

/* ---- chat ---- */

static oll_status add_message(struct run *run, const char *role, char *content_take,
                              struct oll_error *err)
{
    if (run->n_messages == run->cap_messages) {
        uint32_t cap = run->cap_messages ? 2 * run->cap_messages : 16;
        struct oll_message *list = oll_realloc(run->messages, cap, sizeof *list);
        if (!list) {
            oll_free(content_take);
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the conversation");
        }
        run->messages = list;
        run->cap_messages = cap;
    }
    run->messages[run->n_messages++] = (struct oll_message){.role = role, .content = content_take};
    return OLL_OK;
}

static void drop_messages(struct run *run)
{
    for (uint32_t i = 0; i < run->n_messages; i++)
        oll_free((void *)run->messages[i].content);
    run->n_messages = 0;
}

static oll_status chat_turn(struct run *run, const char *line, struct oll_error *err)
{
    struct oll_strbuf reply;
    char *content = oll_strdup(line);
    if (!content)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the conversation");
    const char *system = run->model.stored.system;
    if (run->n_messages == 0 && system && *system) {
        char *copy = oll_strdup(system);
        if (!copy) {
            oll_free(content);
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the conversation");
        }
        OLL_TRY(add_message(run, "system", copy, err));
    }
    OLL_TRY(add_message(run, "user", content, err));
    struct oll_request request = base_request(run, OLL_REQUEST_CHAT);
    request.messages = run->messages;
    request.n_messages = run->n_messages;
    oll_strbuf_init(&reply, RUN_MAX_PROMPT);
    oll_status status = answer(run, &request, &reply, err);
    if (status == OLL_OK) {
        char *text = oll_strbuf_take(&reply, NULL);
        status = text ? add_message(run, "assistant", text, err)
                      : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    }
    oll_strbuf_free(&reply);
    return status;
}

/* Reads lines until the end of input or /bye. */
static int chat(struct run *run)
{
    char *line = NULL;
    size_t cap = 0;
    int code = 0;
    for (;;) {
        printf(">>> ");
        fflush(stdout);
        interrupted = 0;
        errno = 0;
        ssize_t n = getline(&line, &cap, stdin);
        if (n < 0 && errno == EINTR && !feof(stdin)) {
            clearerr(stdin);
            printf("\nUse Ctrl + d or /bye to exit.\n");
            continue;
        }
        if (n < 0)
            break;
        line[strcspn(line, "\r\n")] = '\0';
        struct oll_error err = {0};
        if (strcmp(line, "/bye") == 0 || strcmp(line, "/exit") == 0)
            break;
        if (strcmp(line, "/clear") == 0) {
            drop_messages(run);
            printf("Cleared session context\n");
        } else if (strcmp(line, "/?") == 0 || strcmp(line, "/help") == 0) {
            printf("  /clear          Clear session context\n  /bye            Exit\n");
        } else if (line[0] && chat_turn(run, line, &err) != OLL_OK) {
            code = cli_fail(&err);
            break;
        }
    }
    if (feof(stdin))
        printf("\n");
    free(line);
    return code;
}

/* ---- command ---- */

/* What comes on standard input, unless that is a terminal, and the words of the command line. */
static oll_status read_prompt(const struct cli_args *args, struct oll_strbuf *out,
                              struct oll_error *err)
{
    char buf[4096];
    size_t n;
    while (!isatty(STDIN_FILENO) && (n = fread(buf, 1, sizeof buf, stdin)) > 0)
        oll_strbuf_add(out, buf, n);
    if (ferror(stdin))
        return OLL_FAIL(err, OLL_ERR_IO, "cannot read standard input: %s", strerror(errno));
    for (int i = 1; i < args->n_positional; i++)
        oll_strbuf_printf(out, "%s%s", out->len ? " " : "", args->positional[i]);
    if (out->status == OLL_ERR_LIMIT)
        return OLL_FAIL(err, out->status, "the prompt is longer than %d MiB",
                        RUN_MAX_PROMPT / (1024 * 1024));
    if (out->status != OLL_OK)
        return OLL_FAIL(err, out->status, "no memory for the prompt");
    return OLL_OK;
}

static bool read_options(const struct cli_args *args, struct run *run,
                         struct oll_engine_params *params)
{
    int64_t n_ctx, n_threads, seed, n_predict;
    char *end;
    if (!cli_int(args, "ctx", 0, 0, INT32_MAX, &n_ctx) ||
        !cli_int(args, "threads", 0, 0, 1024, &n_threads) ||
        !cli_int(args, "seed", -1, INT64_MIN, INT64_MAX, &seed) ||
        !cli_int(args, "predict", -1, INT32_MIN, INT32_MAX, &n_predict))
        return false;
    params->n_ctx = (uint32_t)n_ctx;
    params->n_threads = (int)n_threads;
    params->devices = cli_value(args, "devices", NULL);
    if (cli_has(args, "seed"))
        run->options.sampling.seed = seed;
    if (cli_has(args, "predict"))
        run->options.sampling.num_predict = (int32_t)n_predict;
    if (params->n_ctx == 0 && run->options.num_ctx > 0 && run->options.num_ctx <= INT32_MAX)
        params->n_ctx = (uint32_t)run->options.num_ctx;
    run->verbose = cli_has(args, "verbose");
    const char *temperature = cli_value(args, "temperature", NULL);
    if (temperature) {
        run->options.sampling.temperature = strtof(temperature, &end);
        if (end == temperature || *end) {
            cli_failf("--temperature %s: expected a number", temperature);
            return false;
        }
    }
    return true;
}

static void embed_hint(const struct run *run)
{
    if (oll_engine_info(run->engine)->is_encoder)
        fprintf(stderr, "Use 'oll embed' for this model.\n");
}

/* A name that the store does not have is pulled first. */
static oll_status find_model(const struct cli_args *args, struct model_entry *model,
                             struct oll_error *err)
{
    const char *name = args->positional[0];
    struct oll_error why = {0};
    oll_status status = model_entry_find(name, model, &why);
    if (status != OLL_ERR_NOT_FOUND || model_is_path(name))
        return status == OLL_OK ? OLL_OK : OLL_FAIL(err, status, "%s", oll_error_text(&why));
    model_entry_free(model);
    OLL_TRY(cli_pull_to_store(name, cli_has(args, "insecure"), err));
    return model_entry_find(name, model, err);
}

static int run_main(const struct cli_args *args)
{
    struct run run = {0};
    struct oll_engine_params params = {0};
    struct oll_error err = {0};
    struct oll_strbuf prompt;
    int code = 0;
    oll_strbuf_init(&prompt, RUN_MAX_PROMPT);
    options_default(&run.options);
    uint64_t begin = oll_clock_ns();
    bool interactive = args->n_positional == 1 && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    oll_status status = find_model(args, &run.model, &err);
    if (status == OLL_OK)
        status = options_merge(&run.options, run.model.stored.params, &err);
    if (status == OLL_OK && !read_options(args, &run, &params)) {
        model_entry_free(&run.model);
        return 1;
    }
    if (status == OLL_OK)
        status = read_prompt(args, &prompt, &err);
    params.model_path = run.model.path;
    params.adapter_path = run.model.adapter_path;
    if (status == OLL_OK)
        status = oll_engine_open(&params, &run.engine, &err);
    /* From here on Ctrl-C ends an answer; before, it ends the program. */
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    run.load_ns = oll_clock_ns() - begin;
    if (status == OLL_OK && interactive)
        code = chat(&run);
    else if (status == OLL_OK && prompt.len)
        status = answer_prompt(&run, prompt.data, &err);
    if (status != OLL_OK) {
        code = cli_fail(&err);
        if (run.engine)
            embed_hint(&run);
    }
    oll_engine_close(run.engine);
    drop_messages(&run);
    oll_free(run.messages);
    oll_strbuf_free(&prompt);
    model_entry_free(&run.model);
    return code;
}

static const struct cli_option run_options[] = {
    {"verbose", 0, CLI_FLAG, NULL, "Show timings for response"},
    {"insecure", 0, CLI_FLAG, NULL, "Use plain HTTP where the model is pulled from"},
    {"seed", 0, CLI_VALUE, "N", "Seed of the sampler (default: random)"},
    {"temperature", 0, CLI_VALUE, "T",
     "Temperature (default 0.8; 0: always the most likely token)"},
    {"predict", 'n', CLI_VALUE, "N", "Most tokens of an answer"},
    {"ctx", 'c', CLI_VALUE, "N", "Context window in tokens (default: up to 4096)"},
    {"threads", 't', CLI_VALUE, "N", "Threads (default: physical cores)"},
    {"devices", 0, CLI_VALUE, "LIST", "Devices of the layers, e.g. cpu or cpu:0-9,ref:10-29"},
    {0},
};

const struct cli_command cli_run = {
    .name = "run",
    .usage = "MODEL [PROMPT]",
    .summary = "Run a model",
    .details = "MODEL is a GGUF file or the name of a model in the store. Without a prompt, and on "
               "a terminal,\n"
               "a chat begins: Ctrl-C stops an answer, Ctrl-D or /bye leaves.",
    .options = run_options,
    .min_args = 1,
    .max_args = -1,
    .run = run_main,
};
