#include "server/cli_answer.h"

#include "server/cli_plain.h"
#include "server/duration.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { TEXT_MAX = 256 << 20, WIDTH_DEFAULT = 80 };

#define GREY  "\033[38;5;245m"
#define BOLD  "\033[1m"
#define PLAIN "\033[0m"

static int terminal_width(void)
{
    struct winsize size = {0};
    if (!isatty(STDOUT_FILENO))
        return 0;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col
                                                                           : WIDTH_DEFAULT;
}

static void begin_spinner(struct cli_answer *a)
{
    a->spinner = cli_progress_new();
    cli_progress_show(a->spinner, NULL, "", 0, 0);
}

static void end_spinner(struct cli_answer *a)
{
    cli_progress_clear(a->spinner);
    a->spinner = NULL;
}

void cli_answer_begin(struct cli_answer *a, bool wrap, bool hide_thinking, bool raw)
{
    const bool terminal = isatty(STDOUT_FILENO);
    *a = (struct cli_answer){
        .colors = terminal, .hide_thinking = hide_thinking, .plain = terminal && !raw};
    cli_wrap_init(&a->wrap, stdout, wrap ? terminal_width() : 0);
    oll_strbuf_init(&a->text, TEXT_MAX);
    oll_strbuf_init(&a->thinking, TEXT_MAX);
    fflush(stdout);
    begin_spinner(a);
}

void cli_answer_tick(struct cli_answer *a) { cli_progress_tick(a->spinner); }

static void put(struct cli_answer *a, const char *text)
{
    struct oll_strbuf plain;
    if (!a->plain) {
        cli_wrap_put(&a->wrap, text, strlen(text));
        return;
    }
    oll_strbuf_init(&plain, TEXT_MAX);
    cli_plain_add(&plain, text);
    if (plain.status == OLL_OK && plain.len > 0)
        cli_wrap_put(&a->wrap, plain.data, plain.len);
    oll_strbuf_free(&plain);
}

static void begin_thinking(struct cli_answer *a)
{
    printf(a->colors ? GREY BOLD "Thinking...\n" PLAIN GREY : "Thinking...\n");
    a->in_thinking = true;
}

static void end_thinking(struct cli_answer *a)
{
    printf(a->colors ? "\n" GREY BOLD "...done thinking.\n\n" PLAIN : "\n...done thinking.\n\n");
    a->in_thinking = false;
    cli_wrap_init(&a->wrap, a->wrap.out, a->wrap.width);
}

static void put_thinking(struct cli_answer *a, const char *text)
{
    oll_strbuf_adds(&a->thinking, text);
    if (a->hide_thinking)
        return;
    end_spinner(a);
    if (!a->in_thinking)
        begin_thinking(a);
    put(a, text);
}

static void put_text(struct cli_answer *a, const char *text)
{
    end_spinner(a);
    if (a->in_thinking)
        end_thinking(a);
    oll_strbuf_adds(&a->text, text);
    put(a, text);
}

/* No tools are offered here, but a model may call one all the same. */
static void put_calls(struct cli_answer *a, const struct oll_json *calls)
{
    for (const struct oll_json *c = calls->first; c; c = c->next) {
        const struct oll_json *function = oll_json_get(c, "function");
        const struct oll_json *arguments = oll_json_get(function, "arguments");
        struct oll_strbuf json;
        struct oll_json_writer w;
        oll_strbuf_init(&json, TEXT_MAX);
        oll_json_write_init(&w, &json);
        if (arguments)
            oll_json_write_node(&w, arguments, false);
        end_spinner(a);
        if (a->in_thinking)
            end_thinking(a);
        printf("  Model called a non-existent function '%s()' with arguments: %s\n",
               oll_json_get_str(function, "name", ""), json.data);
        oll_strbuf_free(&json);
    }
}

void cli_answer_line(struct cli_answer *a, const struct oll_json *line)
{
    const struct oll_json *message = oll_json_get(line, "message");
    const struct oll_json *calls = oll_json_get(message, "tool_calls");
    const char *thinking = oll_json_get_str(message ? message : line, "thinking", "");
    const char *text =
        message ? oll_json_get_str(message, "content", "") : oll_json_get_str(line, "response", "");
    if (*thinking)
        put_thinking(a, thinking);
    if (*text)
        put_text(a, text);
    if (calls && calls->type == OLL_JSON_ARRAY)
        put_calls(a, calls);
    fflush(stdout);
}

void cli_answer_end(struct cli_answer *a)
{
    end_spinner(a);
    if (a->in_thinking && a->colors)
        printf(PLAIN);
    a->in_thinking = false;
    fflush(stdout);
}

void cli_answer_free(struct cli_answer *a)
{
    end_spinner(a);
    oll_strbuf_free(&a->text);
    oll_strbuf_free(&a->thinking);
}

/* ---- timings ---- */

static int64_t count_of(const struct oll_json *line, const char *key)
{
    const struct oll_json *v = oll_json_get(line, key);
    return v && v->type == OLL_JSON_NUMBER && v->is_int ? v->i : 0;
}

static void print_duration(const char *label, int64_t ns)
{
    char text[DURATION_TEXT_MAX];
    duration_format(ns, text);
    if (ns > 0)
        fprintf(stderr, "%-22s%s\n", label, text);
}

static void print_count(const char *label, int64_t n)
{
    if (n > 0)
        fprintf(stderr, "%-22s%lld token(s)\n", label, (long long)n);
}

static void print_rate(const char *label, int64_t n, int64_t ns)
{
    if (n > 0 && ns > 0)
        fprintf(stderr, "%-22s%.2f tokens/s\n", label, (double)n * 1e9 / (double)ns);
}

void cli_answer_timings(const struct oll_json *line)
{
    const int64_t n_prompt = count_of(line, "prompt_eval_count");
    const int64_t n_reply = count_of(line, "eval_count");
    print_duration("total duration:", count_of(line, "total_duration"));
    print_duration("load duration:", count_of(line, "load_duration"));
    print_count("prompt eval count:", n_prompt);
    print_duration("prompt eval duration:", count_of(line, "prompt_eval_duration"));
    print_rate("prompt eval rate:", n_prompt, count_of(line, "prompt_eval_duration"));
    print_count("eval count:", n_reply);
    print_duration("eval duration:", count_of(line, "eval_duration"));
    print_rate("eval rate:", n_reply, count_of(line, "eval_duration"));
}
