#include "server/cli.h"

#include "engine/base/mem.h"
#include "engine/base/version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMN = 27, SHORT_WORD_MAX = 3 /* letters of an option that needs one dash */ };

int cli_fail(const struct oll_error *err)
{
    fflush(stdout);
    fprintf(stderr, "Error: %s\n", oll_error_text(err));
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

static void print_commands(const struct cli_command *const *list)
{
    printf("Available Commands:\n");
    for (; *list; list++)
        if (!(*list)->hidden)
            printf("  %-11s %s\n", (*list)->name, (*list)->summary);
}

static void print_help(const char *path, const struct cli_command *command)
{
    printf("%s\n\nUsage:\n  oll%s%s%s%s\n", command->summary, path, command->usage[0] ? " " : "",
           command->usage, command->options ? " [flags]" : "");
    if (command->alias)
        printf("\nAliases:\n  %s, %s\n", command->name, command->alias);
    if (command->children) {
        printf("\n");
        print_commands(command->children);
    }
    if (command->details)
        printf("\n%s\n", command->details);
    printf("\nFlags:\n");
    for (const struct cli_option *o = command->options; o && o->name; o++) {
        char left[96], short_form[8] = "    ";
        if (o->short_name)
            snprintf(short_form, sizeof short_form, "-%c, ", o->short_name);
        snprintf(left, sizeof left, "  %s--%s%s%s%s", short_form, o->name,
                 o->kind == CLI_FLAG       ? ""
                 : o->kind == CLI_OPTIONAL ? "[="
                                           : " ",
                 o->arg ? o->arg : "", o->kind == CLI_OPTIONAL ? "]" : "");
        printf("%-*s   %s\n", HELP_COLUMN, left, o->help);
    }
    printf("%-*s   %s\n", HELP_COLUMN, "  -h, --help", "help for this command");
}

static void print_root_help(void)
{
    printf("Run and serve large language models\n\nUsage:\n  oll [command]\n\n");
    print_commands(cli_commands);
    printf("\nFlags:\n  -h, --help      help for oll\n  -v, --version   show the version\n\n"
           "Use \"oll [command] --help\" for more information about a command.\n");
}

static int usage_error(const char *path, const char *fmt, const char *a)
{
    fprintf(stderr, "Error: ");
    fprintf(stderr, fmt, a);
    fprintf(stderr, "\nRun 'oll%s --help' for usage.\n", path);
    return 2;
}

/* Takes one word that begins with a dash; *i moves on when the value is the next word. Returns 0,
 * or 2 after a message. */
static int take_option(struct cli_args *args, const char *path, int argc, char **argv, int *i)
{
    const char *word = argv[*i], *value = NULL;
    const struct cli_option *option;
    const char *name = word + (word[1] == '-' ? 2 : 1), *eq = strchr(name, '=');
    const size_t n_name = eq ? (size_t)(eq - name) : strlen(name);
    const bool is_long = word[1] == '-' || (n_name >= 2 && n_name <= SHORT_WORD_MAX &&
                                            find_option(args->command, name, n_name));
    if (is_long) {
        option = find_option(args->command, name, n_name);
        value = eq ? eq + 1 : NULL;
    } else {
        option = find_short(args->command, word[1]);
        if (option && word[2])
            value = word[2] == '=' ? word + 3 : word + 2;
    }
    if (!option)
        return usage_error(path, "unknown flag: %s", word);
    if (option->kind == CLI_FLAG && value && strcmp(value, "true") != 0)
        return usage_error(path, "flag takes no value: %s", word);
    if (option->kind == CLI_FLAG)
        value = NULL;
    if ((option->kind == CLI_VALUE || option->kind == CLI_REPEATED) && !value) {
        if (*i + 1 >= argc)
            return usage_error(path, "flag needs an argument: %s", word);
        value = argv[++*i];
    }
    args->given[args->n_given].option = option;
    args->given[args->n_given++].value = value;
    return 0;
}

static int run_command(const struct cli_command *command, const char *path, int argc, char **argv)
{
    struct cli_args args = {.command = command};
    int code = 0, n_words = argc > 0 ? argc : 1;
    args.positional = oll_calloc((size_t)n_words, sizeof *args.positional);
    args.given = oll_calloc((size_t)n_words, sizeof *args.given);
    if (!args.positional || !args.given) {
        code = cli_failf("out of memory");
        goto done;
    }
    bool only_positional = false;
    for (int i = 0; i < argc && code == 0; i++) {
        if (only_positional || argv[i][0] != '-' || argv[i][1] == '\0') {
            args.positional[args.n_positional++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            only_positional = true;
        } else if (strcmp(argv[i], "--help") == 0 ||
                   (strcmp(argv[i], "-h") == 0 && !find_short(command, 'h'))) {
            print_help(path, command);
            goto done;
        } else {
            code = take_option(&args, path, argc, argv, &i);
        }
    }
    if (code == 0 && args.n_positional < command->min_args)
        code = usage_error(path, "missing argument; usage: %s", command->usage);
    if (code == 0 && command->max_args >= 0 && args.n_positional > command->max_args)
        code = usage_error(path, "unexpected argument: %s", args.positional[command->max_args]);
    if (code == 0)
        code = command->run(&args);
done:
    oll_free(args.positional);
    oll_free(args.given);
    return code;
}

int cli_main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        (strcmp(argv[1], "help") == 0 && argc == 2)) {
        print_root_help();
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-v") == 0) {
        printf("oll version is %s\n", OLL_VERSION);
        return 0;
    }
    bool help = strcmp(argv[1], "help") == 0;
    char path[256] = "";
    const struct cli_command *command = NULL;
    const struct cli_command *const *list = cli_commands;
    int i = help ? 2 : 1;
    for (; i < argc && list; i++) {
        const struct cli_command *next = find_command(list, argv[i]);
        if (!next)
            break;
        command = next;
        size_t n = strlen(path);
        snprintf(path + n, sizeof path - n, " %s", command->name);
        list = command->children;
    }
    if (!command)
        return usage_error("", "unknown command \"%s\" for \"oll\"", argv[help ? 2 : 1]);
    if (help || !command->run) {
        bool asked =
            help || i >= argc || strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
        if (!asked)
            return usage_error(path, "unknown command \"%s\"", argv[i]);
        print_help(path, command);
        return 0;
    }
    return run_command(command, path, argc - i, argv + i);
}
