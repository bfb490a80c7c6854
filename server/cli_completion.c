/* `oll completion`: scripts for bash, zsh and fish, made from the table of commands. Names of
 * models are asked of `oll list` when the key is pressed. */
#include "server/cli.h"

#include <stdio.h>
#include <string.h>

enum { PATH_MAX_BYTES = 256 };

/* What lists models when a script runs. */
#define LIST_MODELS "oll list 2>/dev/null | awk 'NR > 1 {print $1}'"

static bool takes_model(const struct cli_command *c)
{
    return strstr(c->usage, "MODEL") || strstr(c->usage, "SOURCE");
}

/* Called for each command that is not hidden; `path` is "run" or "bench op". */
typedef void (*visit_fn)(const char *path, const struct cli_command *command);

static void visit(const char *path, const struct cli_command *const *list, visit_fn fn)
{
    for (; *list; list++) {
        char next[PATH_MAX_BYTES];
        if ((*list)->hidden)
            continue;
        snprintf(next, sizeof next, "%s%s%s", path, *path ? " " : "", (*list)->name);
        fn(next, *list);
        if ((*list)->children)
            visit(next, (*list)->children, fn); /* tables are two deep */
    }
}

static void print_names(const struct cli_command *const *list)
{
    for (bool first = true; list && *list; list++)
        if (!(*list)->hidden) {
            printf("%s%s", first ? "" : " ", (*list)->name);
            first = false;
        }
}

/* Commands that have commands of their own, each with what stands around it. */
static void print_parents(const char *before, const char *after, const char *between)
{
    bool first = true;
    for (const struct cli_command *const *c = cli_commands; *c; c++)
        if ((*c)->children && !(*c)->hidden) {
            printf("%s%s%s%s", first ? "" : between, before, (*c)->name, after);
            first = false;
        }
}

/* A text between single quotes of a shell. */
static void print_quoted(const char *text)
{
    putchar('\'');
    for (; *text; text++)
        if (*text == '\'')
            printf("'\\''");
        else
            putchar(*text);
    putchar('\'');
}

/* ---- bash ---- */

static void bash_case(const char *path, const struct cli_command *c)
{
    if (c->alias && !strchr(path, ' '))
        printf("    '%s' | '%s') words='", path, c->alias);
    else
        printf("    '%s') words='", path);
    print_names(c->children);
    printf("%s--help", c->children ? " " : "");
    for (const struct cli_option *o = c->options; o && o->name; o++)
        printf(" --%s", o->name);
    printf("'; models=%d ;;\n", takes_model(c));
}

static void print_bash(void)
{
    printf("# bash completion of oll; load it with: source <(oll completion bash)\n"
           "_oll() {\n"
           "  local cur path= words= models=0 word reply\n"
           "  cur=${COMP_LINE:0:COMP_POINT}\n"
           "  cur=${cur##*[[:space:]]}\n"
           "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
           "    case \"$path $word\" in\n"
           "    ' -'*) ;;\n"
           "    ' '*) path=$word ;;\n");
    printf("    ");
    print_parents("'", " '[a-z]*", " | ");
    printf(") path=\"$path $word\" ;;\n"
           "    esac\n"
           "  done\n"
           "  case \"$path\" in\n"
           "    '') words='");
    print_names(cli_commands);
    printf(" --help --version' ;;\n");
    visit("", cli_commands, bash_case);
    printf("  esac\n"
           "  [[ $models == 1 && $cur != -* ]] && words=\"$words $(" LIST_MODELS ")\"\n"
           "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
           "  # Readline takes a colon for the end of a word.\n"
           "  if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then\n"
           "    for reply in \"${!COMPREPLY[@]}\"; do\n"
           "      COMPREPLY[reply]=${COMPREPLY[reply]#\"${cur%%\"${cur##*:}\"}\"}\n"
           "    done\n"
           "  fi\n"
           "}\n"
           "complete -o default -F _oll oll\n");
}

/* ---- zsh ---- */

static void zsh_word(const char *word, const char *help)
{
    char text[512];
    size_t n = 0;
    /* A colon parts the word from what is said of it. */
    for (; *word && n + 3 < sizeof text; word++) {
        if (*word == ':')
            text[n++] = '\\';
        text[n++] = *word;
    }
    snprintf(text + n, sizeof text - n, ":%s", help);
    printf(" ");
    print_quoted(text);
}

static void zsh_case(const char *path, const struct cli_command *c)
{
    if (c->alias && !strchr(path, ' '))
        printf("    '%s' | '%s')\n      choices=(", path, c->alias);
    else
        printf("    '%s')\n      choices=(", path);
    for (const struct cli_command *const *child = c->children; child && *child; child++)
        if (!(*child)->hidden)
            zsh_word((*child)->name, (*child)->summary);
    zsh_word("--help", "help for this command");
    for (const struct cli_option *o = c->options; o && o->name; o++) {
        char word[96];
        snprintf(word, sizeof word, "--%s", o->name);
        zsh_word(word, o->help);
    }
    printf(")\n      models=%d ;;\n", takes_model(c));
}

static void print_zsh(void)
{
    printf("#compdef oll\n"
           "# zsh completion of oll; save it as _oll in a folder of $fpath, or load it with:\n"
           "#   source <(oll completion zsh)\n"
           "_oll() {\n"
           "  local -a choices names\n"
           "  local trail= word\n"
           "  local -i models=0 i\n"
           "  for ((i = 2; i < CURRENT; i++)); do\n"
           "    word=$words[i]\n"
           "    if [[ -z $trail && $word != -* ]]; then\n"
           "      trail=$word\n"
           "    elif [[ $word == [a-z]* ]]; then\n"
           "      case $trail in\n"
           "      ");
    print_parents("", "", " | ");
    printf(") trail=\"$trail $word\" ;;\n"
           "      esac\n"
           "    fi\n"
           "  done\n"
           "  case $trail in\n"
           "    '')\n      choices=(");
    for (const struct cli_command *const *c = cli_commands; *c; c++)
        if (!(*c)->hidden)
            zsh_word((*c)->name, (*c)->summary);
    printf(") ;;\n");
    visit("", cli_commands, zsh_case);
    printf("  esac\n"
           "  if ((models)) && [[ $PREFIX != -* ]]; then\n"
           "    names=(${(f)\"$(" LIST_MODELS ")\"})\n"
           "    compadd -a names\n"
           "    _files -g '*.gguf'\n"
           "  fi\n"
           "  _describe oll choices\n"
           "}\n"
           "if [ \"$funcstack[1]\" = _oll ]; then _oll \"$@\"; else compdef _oll oll; fi\n");
}

/* ---- fish ---- */

static void fish_command(const char *path, const struct cli_command *c)
{
    const char *space = strchr(path, ' ');
    char seen[PATH_MAX_BYTES];
    if (space) {
        printf("complete -c oll -f -n '__fish_seen_subcommand_from %.*s' -a '%s' -d ",
               (int)(space - path), path, c->name);
        snprintf(seen, sizeof seen,
                 "__fish_seen_subcommand_from %.*s; and __fish_seen_subcommand_from %s",
                 (int)(space - path), path, c->name);
    } else {
        printf("complete -c oll -f -n '__fish_use_subcommand' -a '%s' -d ", c->name);
        snprintf(seen, sizeof seen, "__fish_seen_subcommand_from %s%s%s", c->name,
                 c->alias ? " " : "", c->alias ? c->alias : "");
    }
    print_quoted(c->summary);
    printf("\n");
    for (const struct cli_option *o = c->options; o && o->name; o++) {
        printf("complete -c oll -n '%s' -l %s", seen, o->name);
        if (o->short_name)
            printf(" -s %c", o->short_name);
        printf("%s -d ", o->kind == CLI_VALUE || o->kind == CLI_REPEATED ? " -r" : "");
        print_quoted(o->help);
        printf("\n");
    }
    if (takes_model(c))
        printf("complete -c oll -n '%s' -a '(__oll_models)'\n", seen);
}

static void print_fish(void)
{
    printf("# fish completion of oll; put it into ~/.config/fish/completions/oll.fish\n"
           "function __oll_models\n"
           "    oll list 2>/dev/null | awk 'NR > 1 {print $1}'\n"
           "end\n"
           "complete -c oll -l help -s h -d 'Show help'\n"
           "complete -c oll -n '__fish_use_subcommand' -l version -s v -d 'Show the version'\n");
    visit("", cli_commands, fish_command);
}

static int run_completion(const struct cli_args *args)
{
    const char *shell = args->positional[0];
    if (strcmp(shell, "bash") == 0)
        print_bash();
    else if (strcmp(shell, "zsh") == 0)
        print_zsh();
    else if (strcmp(shell, "fish") == 0)
        print_fish();
    else
        return cli_failf("no completion for '%s': it is there for bash, zsh and fish", shell);
    return 0;
}

const struct cli_command cli_completion = {
    .name = "completion",
    .usage = "bash|zsh|fish",
    .summary = "Print a script that completes commands in a shell",
    .details = "bash: source <(oll completion bash), or save it as\n"
               "      /usr/share/bash-completion/completions/oll\n"
               "zsh:  save it as _oll in a folder of $fpath\n"
               "fish: save it as ~/.config/fish/completions/oll.fish",
    .min_args = 1,
    .max_args = 1,
    .run = run_completion,
};
