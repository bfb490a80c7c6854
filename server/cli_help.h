/* Texts made from the table of commands: help pages, names that are near a wrong one, the version.
 * (cli-and-scheduler 1, 2.8, 2.9) */
#ifndef OLL_SERVER_CLI_HELP_H
#define OLL_SERVER_CLI_HELP_H

#include "engine/base/strbuf.h"
#include "server/cli.h"

/* The page of one command on standard output; `path` is " bench parts". */
void cli_help_print(const char *path, const struct cli_command *command);
void cli_help_root(void);
/* "-f, --file FILE": what stands on the left of an option's line, without indentation. */
enum { CLI_OPTION_TEXT_MAX = 96 };
void cli_help_option(const struct cli_option *option, char out[CLI_OPTION_TEXT_MAX]);

/* Appends "Did you mean this?" and the names that a mistyped one may stand for; nothing when there
 * are none, or `list` is NULL. */
void cli_help_near(const char *name, const struct cli_command *const *list, struct oll_strbuf *out);

/* "oll version is ..." of the server that answers, and a warning where none does; returns 0. */
int cli_version_print(void);

#endif
