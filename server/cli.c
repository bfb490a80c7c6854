#include "server/cli.h"

#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "server/cli_help.h"
#include "server/cli_plain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT_WORD_MAX = 3 /* letters of an option that needs one dash */, CLI_PATH_MAX = 256 };

int cli_fail(const struct oll_error *err)
{
    fflush(stdout);
    fputs("Error: ", stderr);
    cli_plain_print(stderr, oll_error_text(err));
    fputc('\n', stderr);
    return 1;
}

int cli_failf(const char *fmt, ...)
{
    struct oll_error err = {0};
    va_list args;
    va_start(args, fmt);
    oll_error_setv(&err, OLL_ERR_ARG, fmt, args);
    va_end(args);
    return cli_fail(&err);
}

bool cli_has(const struct cli_args *args, const char *name)
{
    for (int i = 0; i < args->n_given; i++)
        if (strcmp(args->given[i].option->name, name) == 0)
            return true;
    return false;
}

const char *cli_value_at(const struct cli_args *args, const char *name, int i)
{
    for (int g = 0; g < args->n_given; g++)
        if (strcmp(args->given[g].option->name, name) == 0 && i-- == 0)
            return args->given[g].value;
    return NULL;
}

const char *cli_value(const struct cli_args *args, const char *name, const char *fallback)
{
    for (int i = args->n_given - 1; i >= 0; i--)
        if (strcmp(args->given[i].option->name, name) == 0)
            return args->given[i].value ? args->given[i].value : fallback;
    return fallback;
}

bool cli_int(const struct cli_args *args, const char *name, int64_t fallback, int64_t min,
             int64_t max, int64_t *out)
{
    const char *text = cli_value(args, name, NULL);
    char *end;
    if (!text) {
        *out = fallback;
        return true;
    }
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno || v < min || v > max) {
        cli_failf("--%s %s: expected a whole number from %lld to %lld", name, text, (long long)min,
                  (long long)max);
        return false;
    }
    *out = v;
    return true;
}

static const struct cli_command *find_command(const struct cli_command *const *list,
                                              const char *name)
{
    for (; *list; list++)
        if (strcmp((*list)->name, name) == 0 ||
            ((*list)->alias && strcmp((*list)->alias, name) == 0))
            return *list;
    return NULL;
}

static const struct cli_option *find_option(const struct cli_command *command, const char *name,
                                            size_t n)
{
    for (const struct cli_option *o = command->options; o && o->name; o++)
        if (strlen(o->name) == n && memcmp(o->name, name, n) == 0)
            return o;
    return NULL;
}

static const struct cli_option *find_short(const struct cli_command *command, char c)
{
    for (const struct cli_option *o = command->options; o && o->name; o++)
        if (o->short_name == c)
            return o;
    return NULL;
}

static int usage_error(const char *fmt, ...) OLL_PRINTF(1, 2);
static int usage_error(const char *fmt, ...)
{
    struct oll_error err = {0};
    va_list args;
    va_start(args, fmt);
    oll_error_setv(&err, OLL_ERR_ARG, fmt, args);
    va_end(args);
    return cli_fail(&err);
}

/* ---- options ---- */

/* Adds what was given; "--flag=false" takes back what came before. */
static int give(struct cli_args *args, const struct cli_option *option, const char *value)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    bool on = value == NULL, off = false;
    if (option->kind == CLI_FLAG) {
        for (size_t i = 0; value && i < sizeof yes / sizeof *yes; i++) {
            on |= strcmp(value, yes[i]) == 0;
            off |= strcmp(value, no[i]) == 0;
        }
        if (!on && !off)
            return usage_error("invalid argument \"%s\" for \"--%s\" flag: expected true or false",
                               value, option->name);
        value = NULL;
    }
    if (off) {
        int kept = 0;
        for (int i = 0; i < args->n_given; i++)
            if (args->given[i].option != option)
                args->given[kept++] = args->given[i];
        args->n_given = kept;
        return 0;
    }
    args->given[args->n_given].option = option;
    args->given[args->n_given++].value = value;
    return 0;
}

static bool needs_value(const struct cli_option *option)
{
    return option->kind == CLI_VALUE || option->kind == CLI_REPEATED;
}

/* "-abc": letters of flags, the last of which may take the rest or the next word as its value. */
static int take_short(struct cli_args *args, int argc, char **argv, int *i)
{
    const char *word = argv[*i];
    for (const char *c = word + 1; *c; c++) {
        const struct cli_option *option = find_short(args->command, *c);
        if (!option)
            return usage_error("unknown shorthand flag: '%c' in %s", *c, word);
        const char *value = c[1] == '=' ? c + 2 : NULL;
        if (needs_value(option) && !value)
            value = c[1] ? c + 1 : *i + 1 < argc ? argv[++*i] : NULL;
        if (needs_value(option) && !value)
            return usage_error("flag needs an argument: '%c' in %s", *c, word);
        int code = give(args, option, value);
        if (code != 0 || value)
            return code;
    }
    return 0;
}

/* Takes one word that begins with a dash; *i moves on when the value is the next word. Returns 0,
 * or 1 after a message. */
static int take_option(struct cli_args *args, int argc, char **argv, int *i)
{
    const char *word = argv[*i];
    const char *name = word + (word[1] == '-' ? 2 : 1), *eq = strchr(name, '=');
    const size_t n_name = eq ? (size_t)(eq - name) : strlen(name);
    if (word[1] != '-' &&
        !(n_name >= 2 && n_name <= SHORT_WORD_MAX && find_option(args->command, name, n_name)))
        return take_short(args, argc, argv, i);
    const struct cli_option *option = find_option(args->command, name, n_name);
    const char *value = eq ? eq + 1 : NULL;
    if (!option)
        return usage_error("unknown flag: %.*s", (int)(name - word + (ptrdiff_t)n_name), word);
    if (needs_value(option) && !value) {
        if (*i + 1 >= argc)
            return usage_error("flag needs an argument: %s", word);
        value = argv[++*i];
    }
    return give(args, option, value);
}

static bool is_help(const struct cli_command *command, const char *word)
{
    return strcmp(word, "--help") == 0 || (strcmp(word, "-h") == 0 && !find_short(command, 'h'));
}

static int check_count(const struct cli_command *command, int n)
{
    if (command->min_args == command->max_args && n != command->min_args)
        return usage_error("accepts %d arg(s), received %d", command->min_args, n);
    if (n < command->min_args)
        return usage_error("requires at least %d arg(s), only received %d", command->min_args, n);
    if (command->max_args >= 0 && n > command->max_args)
        return usage_error("accepts at most %d arg(s), received %d", command->max_args, n);
    return 0;
}

static int run_command(const struct cli_command *command, const char *path, int argc, char **argv)
{
    struct cli_args args = {.command = command};
    int code = 0, n_words = argc > 0 ? argc : 1;
    bool only_positional = false;
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (is_help(command, argv[i])) {
            cli_help_print(path, command);
            return 0;
        }
    /* A word may hold several flags, none of them twice in a useful call. */
    size_t n_given = 0;
    for (int i = 0; i < argc; i++)
        n_given += argv[i][0] == '-' && argv[i][1] != '-' ? strlen(argv[i]) : 1;
    args.positional = oll_calloc((size_t)n_words, sizeof *args.positional);
    args.given = oll_calloc(n_given + 1, sizeof *args.given);
    if (!args.positional || !args.given)
        code = cli_failf("out of memory");
    for (int i = 0; i < argc && code == 0; i++) {
        if (only_positional || argv[i][0] != '-' || argv[i][1] == '\0')
            args.positional[args.n_positional++] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            only_positional = true;
        else
            code = take_option(&args, argc, argv, &i);
    }
    if (code == 0)
        code = check_count(command, args.n_positional);
    if (code == 0)
        code = command->run(&args);
    oll_free(args.positional);
    oll_free(args.given);
    return code;
}

/* ---- the program ---- */

static int unknown_command(const char *path, const char *name,
                           const struct cli_command *const *list)
{
    struct oll_strbuf near;
    oll_strbuf_init(&near, 4096);
    cli_help_near(name, list, &near);
    int code = usage_error("unknown command \"%s\" for \"oll%s\"%s", name, path, near.data);
    oll_strbuf_free(&near);
    return code;
}

/* Takes the words of commands ("bench", "parts") from argv[0..argc); *path becomes " bench parts",
 * *n the number of words. NULL when the first is none; *list is where the next would be found. */
static const struct cli_command *find_path(int argc, char **argv, char path[CLI_PATH_MAX], int *n,
                                           const struct cli_command *const **list)
{
    const struct cli_command *command = NULL;
    *list = cli_commands;
    path[0] = '\0';
    for (*n = 0; *n < argc && *list; ++*n) {
        const struct cli_command *next = find_command(*list, argv[*n]);
        if (!next)
            break;
        command = next;
        size_t used = strlen(path);
        snprintf(path + used, CLI_PATH_MAX - used, " %s", command->name);
        *list = command->children;
    }
    return command;
}

static int run_help(const struct cli_args *args)
{
    char path[CLI_PATH_MAX];
    const struct cli_command *const *list;
    int n;
    const struct cli_command *command =
        find_path(args->n_positional, (char **)args->positional, path, &n, &list);
    if (args->n_positional == 0)
        cli_help_root();
    else if (!command || (n < args->n_positional && list))
        return unknown_command(path, args->positional[n], list);
    else
        cli_help_print(path, command);
    return 0;
}

const struct cli_command cli_help = {
    .name = "help",
    .usage = "[command]",
    .summary = "Help about any command",
    .max_args = -1,
    .run = run_help,
};

/* Runs the command that argv[0..argc) begins with, with the options that stood before its name. */
static int run_path(int argc, char **argv)
{
    char path[CLI_PATH_MAX];
    const struct cli_command *const *list;
    int n;
    const struct cli_command *command = find_path(argc, argv, path, &n, &list);
    if (!command)
        return unknown_command("", argv[0], list);
    if (command->run)
        return run_command(command, path, argc - n, argv + n);
    if (n < argc && !is_help(command, argv[n]))
        return argv[n][0] == '-' ? usage_error("unknown flag: %s", argv[n])
                                 : unknown_command(path, argv[n], list);
    cli_help_print(path, command);
    return 0;
}

int cli_main(int argc, char **argv)
{
    bool version = false;
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            cli_help_root();
            return 0;
        }
        version |= strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-v") == 0;
        if (!version && strcmp(argv[i], "--verbose") != 0 && strcmp(argv[i], "--nowordwrap") != 0)
            return argv[i][1] == '-'
                       ? usage_error("unknown flag: %s", argv[i])
                       : usage_error("unknown shorthand flag: '%c' in %s", argv[i][1], argv[i]);
    }
    if (version)
        return cli_version_print();
    if (i == argc) {
        cli_help_root();
        return 0;
    }
    /* Options may stand before the command that they belong to. */
    char *command = argv[i];
    for (int k = i; k > 1; k--)
        argv[k] = argv[k - 1];
    argv[1] = command;
    return run_path(argc - 1, argv + 1);
}
