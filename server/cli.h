/* The command line: one table of commands and options, from which parsing, --help, completion and
 * the man page come.
 *
 * server/cli_<command>.c holds one command (or a family) and defines its `const struct
 * cli_command`; main.c lists them in the order of the help text. A command returns the exit code: 0
 * success, 1 failure (with one line "Error: ..." on standard error, printed by cli_fail). */
#ifndef OLL_SERVER_CLI_H
#define OLL_SERVER_CLI_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cli_option_kind {
    CLI_FLAG,     /* --name */
    CLI_VALUE,    /* --name VALUE or --name=VALUE */
    CLI_OPTIONAL, /* --name or --name=VALUE */
    CLI_REPEATED  /* --name VALUE, any number of times */
};

struct cli_option {
    const char *name; /* without dashes; one of two or three letters may also be given with one
                         dash, as the options of benchmarks are (-ub 512) */
    char short_name;  /* 0 when there is none */
    enum cli_option_kind kind;
    const char *arg; /* word for the value in the help text */
    const char *help;
};

/* A variable of the environment that a command reads. */
struct cli_variable {
    const char *name, *help;
};
/* What every command that talks to the server reads; ends with a NULL name. */
extern const struct cli_variable cli_host_variables[];

/* What the user typed after the name of the command. */
struct cli_args {
    const struct cli_command *command;
    const char **positional;
    int n_positional;
    struct {
        const struct cli_option *option;
        const char *value; /* NULL for a flag, and for an optional value that was left out */
    } *given;
    int n_given;
};

struct cli_command {
    const char *name, *alias;             /* alias may be NULL */
    const char *usage;                    /* "MODEL [PROMPT...]" */
    const char *summary;                  /* one line, no full stop */
    const char *details;                  /* further text of its own help, may be NULL */
    const struct cli_option *options;     /* ends with a NULL name; may be NULL */
    const struct cli_variable *variables; /* ends with a NULL name; may be NULL */
    int min_args, max_args;               /* positional arguments; max -1: any number */
    const struct cli_command *const
        *children; /* sub-commands, NULL-terminated; `run` takes what names none of them */
    bool hidden;
    int (*run)(const struct cli_args *args);
};

/* Commands in the order of the help text, NULL-terminated (main.c). */
extern const struct cli_command *const cli_commands[];

/* Whether an option was given; its last value, else `fallback`. The name must be in the command's
 * table. */
bool cli_has(const struct cli_args *args, const char *name);
const char *cli_value(const struct cli_args *args, const char *name, const char *fallback);
/* The `i`-th value of a repeated option, NULL beyond the last. */
const char *cli_value_at(const struct cli_args *args, const char *name, int i);
/* An integer option in [min, max]; on a bad value prints the error and returns false. */
bool cli_int(const struct cli_args *args, const char *name, int64_t fallback, int64_t min,
             int64_t max, int64_t *out);

/* Prints "Error: <text>" and returns 1, for `return cli_fail(&err);`. */
int cli_fail(const struct oll_error *err);
int cli_failf(const char *fmt, ...) OLL_PRINTF(1, 2);

/* Parses and runs; argv[0] is the program. */
int cli_main(int argc, char **argv);

#endif
