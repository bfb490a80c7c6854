/* An engine without a model, for tests of the server: it implements engine/oll.h and does what the
 * last message of a request tells it, line by line:
 *
 *   text WORDS        a piece of the reply ("\n" in WORDS is a newline)
 *   think WORDS       a piece of the reasoning
 *   tool NAME JSON    a tool call
 *   logprob WORDS     a piece with a logprob for it (and alternatives, when asked for)
 *   sleep MS          silence
 *   hang              silence until it is cancelled
 *   many N            N pieces "x"
 *   length            the reply ends because of its length
 *   die SIGNAL        the process ends with that signal
 *   stop MS           the process is stopped for so long
 *   log WORDS         a line on standard error
 *   error STATUS TEXT the request fails, STATUS being a number of oll_status
 *
 * Any other message is answered with "echo: " and itself. A text to embed gives [length, 1]
 * normalised. A model whose file's name holds "broken" or "huge" cannot be loaded, one with "slow"
 * takes 300 ms, with "stuck" it takes for ever, and with "deadly" the process dies. */
#ifndef OLL_TESTS_API_FAKE_ENGINE_H
#define OLL_TESTS_API_FAKE_ENGINE_H

#include <stdint.h>

/* Engines open now, opened so far, requests not released, requests cancelled so far. */
int fake_engine_open_count(void);
int fake_engine_opened_total(void);
int fake_engine_request_count(void);
int fake_engine_canceled_total(void);
/* Makes the next `n` opens fail for want of memory. */
void fake_engine_fail_memory(int n);
/* What the engine opened last was asked for. */
uint32_t fake_engine_last_ctx(void);

#endif
