/* Lines that were typed in earlier talks: a file of at most 100 lines that its owner alone reads,
 * replaced as a whole at each new entry (cli-and-scheduler 5.4). */
#ifndef OLL_SERVER_CLI_HISTORY_H
#define OLL_SERVER_CLI_HISTORY_H

#include <stdbool.h>

enum { CLI_HISTORY_LINES = 100 };

struct cli_history {
    char *path;                     /* NULL: nothing is kept */
    char *lines[CLI_HISTORY_LINES]; /* oldest first */
    int n;
    bool saving;
};

/* ~/.ollama/history; without a home, or with OLLAMA_NOHISTORY, nothing is saved. */
void cli_history_open(struct cli_history *h);
/* Blank entries are left out, one that repeats the last, too. */
void cli_history_add(struct cli_history *h, const char *text);
void cli_history_close(struct cli_history *h);

#endif
