/* An answer while it comes, on standard output: thinking and text, wrapped and coloured on a
 * terminal, plain elsewhere; a spinner on standard error before. (cli-and-scheduler 4.2, 4.3) */
#ifndef OLL_SERVER_CLI_ANSWER_H
#define OLL_SERVER_CLI_ANSWER_H

#include "engine/base/json.h"
#include "server/cli_progress.h"
#include "server/cli_wrap.h"

struct cli_answer {
    struct cli_progress *spinner;
    struct cli_wrap wrap;
    bool colors, hide_thinking;
    bool plain; /* control characters become signs */
    bool in_thinking;
    struct oll_strbuf text, thinking; /* what came, for the history */
};

/* `wrap`: break lines where standard output is a terminal; `raw`: leave control characters there.
 */
void cli_answer_begin(struct cli_answer *a, bool wrap, bool hide_thinking, bool raw);
/* One line of the stream of /api/chat or /api/generate. */
void cli_answer_line(struct cli_answer *a, const struct oll_json *line);
/* Moves the spinner on. */
void cli_answer_tick(struct cli_answer *a);
/* After the last line, or what stands for it; also ends the spinner. */
void cli_answer_end(struct cli_answer *a);
void cli_answer_free(struct cli_answer *a);

/* The block of --verbose on standard error, from the last line of a stream. */
void cli_answer_timings(const struct oll_json *line);

#endif
