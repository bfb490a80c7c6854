/* The chat of `oll run` at a terminal (cli-and-scheduler 5). */
#ifndef OLL_SERVER_CLI_REPL_H
#define OLL_SERVER_CLI_REPL_H

#include "server/cli_history.h"
#include "server/cli_line.h"
#include "server/cli_session.h"

struct cli_repl {
    struct cli_session *session;
    struct cli_line *line;
    struct cli_history history;
    bool over;
};

/* Reads lines until the end of input or /bye; the session is open. A failed request ends it. */
oll_status cli_repl_run(struct cli_session *session, struct oll_error *err) OLL_MUST_USE;

/* A line that begins with a slash (cli_repl_commands.c). False when it is no command: then it is a
 * message. A failure ends the talk. */
oll_status cli_repl_command(struct cli_repl *r, const char *line, bool *taken,
                            struct oll_error *err) OLL_MUST_USE;
/* "/show ..." (cli_repl_show.c); `what` is the second word, "" without one. */
oll_status cli_repl_show(struct cli_repl *r, const char *what, struct oll_error *err) OLL_MUST_USE;
/* Pages of "/?" and of commands that lack words: "", "set", "show", "shortcuts", "parameter". */
void cli_repl_help(const struct cli_repl *r, const char *topic);
/* Reads on until a line ends with three quotes; *text gets what stands between them, `first` being
 * what follows the opening ones. False when it was given up. Released with oll_free. */
bool cli_repl_block(struct cli_repl *r, const char *first, char **text);

#endif
