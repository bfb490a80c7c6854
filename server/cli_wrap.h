/* Breaking a stream of text at words for a terminal, while it comes (cli-and-scheduler 4.2): a word
 * that turns out not to fit is taken back and printed again on the next line. */
#ifndef OLL_SERVER_CLI_WRAP_H
#define OLL_SERVER_CLI_WRAP_H

#include <stddef.h>
#include <stdio.h>

struct cli_wrap {
    FILE *out;
    int width; /* columns of the terminal; 0: nothing is wrapped */
    int line;  /* columns printed on this line */
    char word[1024];
    size_t n_word;
    int word_width;
};

void cli_wrap_init(struct cli_wrap *w, FILE *out, int width);
/* Whole characters in UTF-8. */
void cli_wrap_put(struct cli_wrap *w, const char *text, size_t n);

#endif
