/* `oll man`: the manual page in roff, made from the table of commands. */
#include "engine/base/version.h"
#include "server/cli_help.h"

#include <stdio.h>
#include <string.h>

enum { PATH_MAX_BYTES = 256 };

/* Text of a line: nothing in it is a request or an escape. */
static void print_text(const char *text)
{
    bool at_start = true;
    for (; *text; text++) {
        if (at_start && (*text == '.' || *text == '\''))
            printf("\\&");
        at_start = *text == '\n';
        if (*text == '\\')
            printf("\\e");
        else if (*text == '-')
            printf("\\-");
        else
            putchar(*text);
    }
}

static void print_term(const char *term, const char *help)
{
    printf(".TP\n.B ");
    print_text(term);
    printf("\n");
    print_text(help);
    printf("\n");
}

static void print_command(const char *path, const struct cli_command *c)
{
    char title[PATH_MAX_BYTES + 256];
    snprintf(title, sizeof title, "oll %s%s%s%s", path, c->usage[0] ? " " : "", c->usage,
             c->options ? " [flags]" : "");
    printf(".SS ");
    print_text(title);
    printf("\n");
    print_text(c->summary);
    printf(".\n");
    if (c->alias) {
        printf("Also called\n.BR ");
        print_text(c->alias);
        printf(" .\n");
    }
    if (c->details) {
        printf(".PP\n.nf\n");
        print_text(c->details);
        printf("\n.fi\n");
    }
    for (const struct cli_option *o = c->options; o && o->name; o++) {
        char left[CLI_OPTION_TEXT_MAX];
        cli_help_option(o, left);
        print_term(left + strspn(left, " "), o->help);
    }
}

static void print_commands(const char *path, const struct cli_command *const *list)
{
    for (; *list; list++) {
        char next[PATH_MAX_BYTES];
        if ((*list)->hidden)
            continue;
        snprintf(next, sizeof next, "%s%s%s", path, *path ? " " : "", (*list)->name);
        print_command(next, *list);
        if ((*list)->children)
            print_commands(next, (*list)->children); /* tables are two deep */
    }
}

/* Whether a command before `end` names the same variable. */
static bool named_before(const char *name, const struct cli_command *const *end)
{
    for (const struct cli_command *const *c = cli_commands; c < end; c++)
        for (const struct cli_variable *v = (*c)->variables; v && v->name; v++)
            if (strcmp(v->name, name) == 0)
                return true;
    return false;
}

static void print_variables(void)
{
    printf(".SH ENVIRONMENT\n");
    for (const struct cli_command *const *c = cli_commands; *c; c++)
        for (const struct cli_variable *v = (*c)->variables; v && v->name; v++)
            if (!named_before(v->name, c))
                print_term(v->name, v->help);
}

static int run_man(const struct cli_args *args)
{
    (void)args;
    printf(".TH OLL 1 \"\" \"oll " OLL_VERSION "\" \"User Commands\"\n"
           ".SH NAME\noll \\- large language model runner\n"
           ".SH SYNOPSIS\n.B oll\n.I command\n.RI [ arguments ]\n.RI [ flags ]\n"
           ".SH DESCRIPTION\n"
           "Runs large language models on this machine: in the terminal, and as a server with the\n"
           "interfaces of Ollama, OpenAI and Anthropic. Commands talk to the server at\n"
           ".BR OLLAMA_HOST ;\n"
           "where none runs they work on the store of models themselves.\n"
           "Flags may stand before and after arguments, as\n.BI \\-\\-flag= value\nor\n"
           ".BI \\-\\-flag\\~ value\\fR;\\fP\n\\-\\- ends them.\n"
           ".SH COMMANDS\n");
    print_commands("", cli_commands);
    print_variables();
    printf(
        ".SH FILES\n"
        ".TP\n.I ~/.ollama/models\nModels, in the layout that Ollama uses.\n"
        ".TP\n.I ~/.ollama/history\nLines typed in chats.\n"
        ".TP\n.I ~/.ollama/id_ed25519\nIdentity for registries.\n"
        ".SH EXIT STATUS\n0 after success, 1 after a failure, with one line on standard error.\n");
    return 0;
}

const struct cli_command cli_man = {
    .name = "man",
    .usage = "",
    .summary = "Print the manual page",
    .details = "To read it: oll man | man -l -",
    .run = run_man,
};
