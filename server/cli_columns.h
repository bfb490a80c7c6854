/* Sections of `oll show`: a title and rows of cells in columns (cli-and-scheduler 2.2, 2.5).
 *
 *       Model
 *         architecture    llama
 *
 * Cells are padded to their column and four spaces follow each, the last one, too. Long cells are
 * wrapped at spaces; a word longer than the limit widens the column. */
#ifndef OLL_SERVER_CLI_COLUMNS_H
#define OLL_SERVER_CLI_COLUMNS_H

#include "engine/base/arena.h"

struct cli_columns {
    struct oll_arena *arena;
    int limit; /* columns at which cells wrap */
    struct cli_columns_row {
        const char **cells;
        int n;
    } *rows;
    size_t n_rows, cap_rows;
};

void cli_columns_init(struct cli_columns *t, struct oll_arena *arena, int limit);
/* Copies the texts. A row that memory is short for is left out. */
void cli_columns_add(struct cli_columns *t, const char *const *cells, int n);
/* Prints nothing when there are no rows. */
void cli_columns_print(const struct cli_columns *t, const char *title);

/* Columns that a text takes on a terminal: wide characters two, combining ones none. */
int cli_columns_width(const char *text);
/* Bytes of the longest beginning of whole characters that takes at most so many columns. */
size_t cli_columns_fit(const char *text, int columns);

#endif
