/* Text that others wrote (a model, a server, a registry) on its way to a terminal: control
 * characters, which could move the cursor, set colours or fill the clipboard, become visible signs.
 * Newlines and tabs stay, returns are left out. Files and pipes get the text as it is. */
#ifndef OLL_SERVER_CLI_PLAIN_H
#define OLL_SERVER_CLI_PLAIN_H

#include "engine/base/strbuf.h"

#include <stdio.h>

void cli_plain_add(struct oll_strbuf *out, const char *text);
/* Prints as it is what does not go to a terminal. */
void cli_plain_print(FILE *out, const char *text);

#endif
