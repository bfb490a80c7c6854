/* What the chat tells: of the model (/show) and of itself (/?). */
#include "server/cli_plain.h"
#include "server/cli_repl.h"
#include "server/cli_show.h"

#include <stdio.h>
#include <string.h>

enum { ARENA_BYTES = 1 << 30 };

/* ---- /show ---- */

static void show_parameters(const struct cli_session *s, const char *model_defined)
{
    if (*model_defined)
        printf("Model defined parameters:\n");
    else
        printf("  No additional parameters were specified for this model.\n");
    while (*model_defined) {
        const size_t n = strcspn(model_defined, "\n");
        printf("  %.*s\n", (int)n, model_defined);
        model_defined += n + (model_defined[n] == '\n');
    }
    printf("\n");
    if (s->n_params == 0)
        return;
    printf("User defined parameters:\n");
    for (int i = 0; i < s->n_params; i++)
        printf("  %-30s %s\n", s->params[i].name, s->params[i].text);
    printf("\n");
}

static void show_text(const char *text, const char *after, const char *absent)
{
    if (*text) {
        cli_plain_print(stdout, text);
        printf("\n%s", after);
    } else {
        printf("No %s was specified for this model.\n", absent);
    }
}

static void show_part(const struct cli_session *s, const struct oll_json *root, const char *what,
                      struct oll_arena *arena)
{
    if (strcmp(what, "info") == 0)
        cli_show_print(root, false, arena);
    else if (strcmp(what, "license") == 0)
        show_text(oll_json_get_str(root, "license", ""), "", "license");
    else if (strcmp(what, "modelfile") == 0)
        show_text(oll_json_get_str(root, "modelfile", ""), "", "modelfile");
    else if (strcmp(what, "parameters") == 0)
        show_parameters(s, oll_json_get_str(root, "parameters", ""));
    else if (strcmp(what, "system") == 0)
        show_text(s->system ? s->system : oll_json_get_str(root, "system", ""), "\n",
                  "system message");
    else if (strcmp(what, "template") == 0)
        show_text(oll_json_get_str(root, "template", ""), "", "prompt template");
    else
        printf("Unknown command '/show %s'. Type /? for help\n", what);
}

oll_status cli_repl_show(struct cli_repl *r, const char *what, struct oll_error *err)
{
    struct oll_arena arena;
    struct oll_json *root = NULL;
    if (!*what) {
        cli_repl_help(r, "show");
        return OLL_OK;
    }
    oll_arena_init(&arena, ARENA_BYTES);
    oll_status status = cli_session_show(r->session, r->session->model, &arena, &root, err);
    if (status == OLL_OK)
        show_part(r->session, root, what, &arena);
    oll_arena_free(&arena);
    return status;
}

/* ---- /? ---- */

struct row {
    const char *left, *right;
};

static void print_rows(const char *title, const struct row *rows, int width)
{
    fprintf(stderr, "%s\n", title);
    for (; rows->left; rows++)
        fprintf(stderr, "  %-*s %s\n", width, rows->left, rows->right);
    fprintf(stderr, "\n");
}

static const struct row set_rows[] = {
    {"/set parameter ...", "Set a parameter"},
    {"/set system <string>", "Set the system message"},
    {"/set history", "Save what is typed"},
    {"/set nohistory", "Do not save what is typed"},
    {"/set wordwrap", "Break lines at words"},
    {"/set nowordwrap", "Do not break lines at words"},
    {"/set format json", "Answers are JSON"},
    {"/set noformat", "Answers are free text"},
    {"/set verbose", "Show timings of answers"},
    {"/set quiet", "Do not show timings of answers"},
    {"/set think", "Let the model think first"},
    {"/set nothink", "Do not let the model think first"},
    {0},
};

static const struct row show_rows[] = {
    {"/show info", "Show details of this model"},
    {"/show license", "Show its license"},
    {"/show modelfile", "Show its Modelfile"},
    {"/show parameters", "Show its parameters and yours"},
    {"/show system", "Show the system message"},
    {"/show template", "Show the prompt template"},
    {0},
};

static const struct row shortcut_rows[] = {
    {"Ctrl + a", "Move to the start of the line (Home)"},
    {"Ctrl + e", "Move to its end (End)"},
    {"Alt + b, Alt + f", "Move a word back, or forward"},
    {"Ctrl + k, Ctrl + u", "Delete to the end, or to the start"},
    {"Ctrl + w", "Delete the word before"},
    {"Ctrl + p, Ctrl + n", "Earlier and later lines (up, down)"},
    {"Ctrl + j", "Add a line; Enter sends all"},
    {"Ctrl + l", "Clear the screen"},
    {"Ctrl + g", "Edit the line in an editor"},
    {"Ctrl + c", "Stop the answer"},
    {"Ctrl + d", "Exit (on an empty line)"},
    {0},
};

static const struct row parameter_rows[] = {
    {"/set parameter seed <int>", "Seed of the random numbers"},
    {"/set parameter num_predict <int>", "Most tokens of an answer"},
    {"/set parameter top_k <int>", "Choose among the k likeliest tokens"},
    {"/set parameter top_p <float>", "Choose among those that make up p together"},
    {"/set parameter min_p <float>", "Leave out those below p times the likeliest"},
    {"/set parameter num_ctx <int>", "Size of the context in tokens"},
    {"/set parameter temperature <float>", "How freely tokens are chosen"},
    {"/set parameter repeat_penalty <float>", "How strongly repetition is avoided"},
    {"/set parameter repeat_last_n <int>", "How far back repetition is looked for"},
    {"/set parameter num_gpu <int>", "Layers that go to the GPU"},
    {"/set parameter stop <string> ...", "Texts at which an answer ends"},
    {0},
};

static const struct row command_rows[] = {
    {"/set", "Set session variables"},
    {"/show", "Show model information"},
    {"/load <model>", "Load another model; the talk begins anew"},
    {"/save <model>", "Save this talk as a model"},
    {"/clear", "Clear session context"},
    {"/bye", "Exit"},
    {"/?, /help", "Help for a command"},
    {"/? shortcuts", "Help for keyboard shortcuts"},
    {0},
};

void cli_repl_help(const struct cli_repl *r, const char *topic)
{
    fflush(stdout);
    if (strcmp(topic, "set") == 0 || strcmp(topic, "/set") == 0) {
        print_rows("Available Commands:", set_rows, 22);
    } else if (strcmp(topic, "show") == 0 || strcmp(topic, "/show") == 0) {
        print_rows("Available Commands:", show_rows, 18);
    } else if (strcmp(topic, "shortcut") == 0 || strcmp(topic, "shortcuts") == 0) {
        print_rows("Available keyboard shortcuts:", shortcut_rows, 20);
    } else if (strcmp(topic, "parameter") == 0) {
        print_rows("Available Parameters:", parameter_rows, 38);
    } else {
        print_rows("Available Commands:", command_rows, 15);
        fprintf(stderr, "Use \"\"\" to begin a message of several lines, and to end it.\n\n");
        if (r->session->sees)
            fprintf(stderr, "Use /path/to/file to send an image (.jpg, .png, .webp) or a sound "
                            "(.wav).\n\n");
    }
}
