/* Editing a text in the editor of the user's choice: OLLAMA_EDITOR, VISUAL, EDITOR, else vi. */
#ifndef OLL_SERVER_CLI_EDITOR_H
#define OLL_SERVER_CLI_EDITOR_H

#include "engine/base/status.h"

/* Waits for the editor to end; *out is what it left, released with oll_free. The terminal must be
 * in its ordinary mode. */
oll_status cli_editor_edit(const char *text, char **out, struct oll_error *err) OLL_MUST_USE;

#endif
