/* What a command shows while it works, on standard error: bars and spinners that are redrawn on a
 * terminal, plain lines elsewhere (each status once, bars at most once per tenth). On a terminal
 * each is one row: what is too long is cut to the width that the terminal has at the moment.
 * Control characters in texts, which a server may send, become blanks.
 * (cli-and-scheduler 3) One thread. */
#ifndef OLL_SERVER_CLI_PROGRESS_H
#define OLL_SERVER_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli_progress;

struct cli_progress *cli_progress_new(void); /* NULL when memory is short; all calls accept NULL */
/* A status. `key` tells bars apart (a digest; NULL: a spinner, which ends when another status
 * comes), `title` is its text at first sight. */
void cli_progress_show(struct cli_progress *p, const char *key, const char *title, uint64_t total,
                       uint64_t completed);
/* Moves spinners and rates on; to be called every 100 ms or more often. */
void cli_progress_tick(struct cli_progress *p);
/* Wipes the block off the screen and ends it. */
void cli_progress_clear(struct cli_progress *p);
/* Draws for the last time and ends the block with a newline. */
void cli_progress_free(struct cli_progress *p);

/* ---- text of one line, for tests ---- */

struct cli_progress_numbers {
    uint64_t total, completed;
    double rate; /* bytes a second; 0: none yet */
    bool done;
};
enum { CLI_PROGRESS_LINE_MAX = 1024 };
/* A bar for a terminal of `width` columns; longer where they are too few for its numbers. */
void cli_progress_bar_text(const char *title, const struct cli_progress_numbers *n, int width,
                           char out[CLI_PROGRESS_LINE_MAX]);
/* A text cut to so many columns; an ellipsis stands for what is lost. */
void cli_progress_cut(const char *text, int columns, char *out, size_t n_out);

#endif
