#include "server/cli_help.h"

#include "engine/base/json.h"
#include "engine/base/version.h"
#include "server/cli_client.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { NEAR = 2 /* edits between a name and a mistyped one */, NAME_MAX_BYTES = 63 };

const struct cli_variable cli_host_variables[] = {
    {"OLLAMA_HOST", "Server to use: host:port, or unix:/path (default 127.0.0.1:11434)"},
    {"OLL_API_KEY", "Key that is sent to a server which asks for one"},
    {0},
};

/* ---- pages ---- */

static void print_commands(const struct cli_command *const *list)
{
    printf("Available Commands:\n");
    for (; *list; list++)
        if (!(*list)->hidden)
            printf("  %-12s %s\n", (*list)->name, (*list)->summary);
}

void cli_help_option(const struct cli_option *o, char out[CLI_OPTION_TEXT_MAX])
{
    char short_form[8] = "    ";
    if (o->short_name)
        snprintf(short_form, sizeof short_form, "-%c, ", o->short_name);
    const char *arg = o->kind == CLI_FLAG ? "" : o->arg ? o->arg : "VALUE";
    snprintf(out, CLI_OPTION_TEXT_MAX, "%s--%s%s%s%s", short_form, o->name, *arg ? " " : "", arg,
             o->kind == CLI_OPTIONAL ? "[=\"true\"]" : "");
}

static void print_option(const struct cli_option *o, int width)
{
    char left[CLI_OPTION_TEXT_MAX];
    cli_help_option(o, left);
    printf("  %-*s   %s\n", width, left, o->help);
}

static void print_options(const struct cli_option *options, const char *name)
{
    char left[CLI_OPTION_TEXT_MAX], text[96];
    const struct cli_option help = {"help", 'h', CLI_FLAG, NULL, text};
    snprintf(text, sizeof text, "help for %s", name);
    cli_help_option(&help, left);
    int width = (int)strlen(left);
    for (const struct cli_option *o = options; o && o->name; o++) {
        cli_help_option(o, left);
        width = (int)strlen(left) > width ? (int)strlen(left) : width;
    }
    printf("\nFlags:\n");
    print_option(&help, width);
    for (const struct cli_option *o = options; o && o->name; o++)
        print_option(o, width);
}

void cli_help_print(const char *path, const struct cli_command *command)
{
    printf("%s\n\nUsage:\n  oll%s%s%s [flags]\n", command->summary, path,
           command->usage[0] ? " " : "", command->usage);
    if (command->alias)
        printf("\nAliases:\n  %s, %s\n", command->name, command->alias);
    if (command->children) {
        printf("\n");
        print_commands(command->children);
    }
    if (command->details)
        printf("\n%s\n", command->details);
    print_options(command->options, command->name);
    if (command->variables)
        printf("\nEnvironment Variables:\n");
    for (const struct cli_variable *v = command->variables; v && v->name; v++)
        printf("      %-27s   %s\n", v->name, v->help);
}

void cli_help_root(void)
{
    static const struct cli_option options[] = {
        {"nowordwrap", 0, CLI_FLAG, NULL, "Do not break lines at words"},
        {"verbose", 0, CLI_FLAG, NULL, "Show timings of answers"},
        {"version", 'v', CLI_FLAG, NULL, "Show the version"},
        {0},
    };
    printf("Large language model runner\n\nUsage:\n  oll [flags]\n  oll [command]\n\n");
    print_commands(cli_commands);
    print_options(options, "oll");
    printf("\nUse \"oll [command] --help\" for more information about a command.\n");
}

/* ---- near names ---- */

static int fold(char c) { return c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c; }

/* Insertions, deletions and replacements between two names, whatever their case. */
static int distance(const char *a, const char *b)
{
    int row[NAME_MAX_BYTES + 1];
    const int n = (int)strlen(b);
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; *a; a++, i++) {
        int corner = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = corner + (fold(*a) != fold(b[j - 1]));
            corner = row[j];
            best = corner + 1 < best ? corner + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[n];
}

void cli_help_near(const char *name, const struct cli_command *const *list, struct oll_strbuf *out)
{
    bool any = false;
    if (strlen(name) > NAME_MAX_BYTES)
        return;
    for (; list && *list; list++) {
        const struct cli_command *c = *list;
        if (c->hidden || strlen(c->name) > NAME_MAX_BYTES ||
            (distance(name, c->name) > NEAR && strncasecmp(c->name, name, strlen(name)) != 0))
            continue;
        oll_strbuf_printf(out, "%s\t%s\n", any ? "" : "\n\nDid you mean this?\n", c->name);
        any = true;
    }
}

/* ---- version ---- */

/* Of the server; "" when none answers. */
static void ask_version(char *out, size_t n)
{
    struct cli_client client;
    struct oll_strbuf reply;
    struct oll_arena arena;
    struct oll_json *root = NULL;
    out[0] = '\0';
    oll_strbuf_init(&reply, 64 * 1024);
    oll_arena_init(&arena, 1 << 20);
    if (cli_client_open(&client, false, NULL) == OLL_OK && client.session &&
        cli_client_json(&client, "GET", "/api/version", NULL, &reply, NULL) == OLL_OK &&
        oll_json_parse(&arena, reply.data, reply.len, NULL, &root, NULL) == OLL_OK)
        snprintf(out, n, "%s", oll_json_get_str(root, "version", ""));
    cli_client_close(&client);
    oll_arena_free(&arena);
    oll_strbuf_free(&reply);
}

int cli_version_print(void)
{
    char version[64];
    ask_version(version, sizeof version);
    if (version[0])
        printf("oll version is %s\n", version);
    else
        printf("Warning: could not connect to a running Ollama instance\n");
    if (strcmp(version, OLL_OLLAMA_VERSION) != 0)
        printf("Warning: client version is %s\n", OLL_OLLAMA_VERSION);
    return 0;
}
