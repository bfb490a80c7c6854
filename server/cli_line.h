/* Lines typed at a terminal, with editing and history; the only file that knows libedit. Where
 * that is absent, or the terminal is none that can be drawn on, lines are read plainly.
 *
 * SIGINT must be caught by cli_client_catch, without restarting reads. */
#ifndef OLL_SERVER_CLI_LINE_H
#define OLL_SERVER_CLI_LINE_H

#include "server/cli_history.h"

struct cli_line;

enum cli_line_result { CLI_LINE_TEXT, CLI_LINE_END, CLI_LINE_INTERRUPT };

/* NULL when memory is short. The history is the caller's, who also adds to it. */
struct cli_line *cli_line_new(const struct cli_history *history);
void cli_line_free(struct cli_line *line);
/* `hint` stands in grey behind the prompt while nothing is typed: ASCII. *text is without its line
 * end and lives until the next call; it has several lines when they were pasted together, or added
 * with Ctrl-J. */
enum cli_line_result cli_line_read(struct cli_line *line, const char *prompt, const char *hint,
                                   char **text);
/* Offers an entry to the arrow keys. */
void cli_line_remember(struct cli_line *line, const char *text);

#endif
