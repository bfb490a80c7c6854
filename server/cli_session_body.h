/* Bodies of the requests that a talk makes, as JSON. */
#ifndef OLL_SERVER_CLI_SESSION_BODY_H
#define OLL_SERVER_CLI_SESSION_BODY_H

#include "server/cli_session.h"

void cli_session_body_name(const char *model, struct oll_strbuf *out);
void cli_session_body_generate(const struct cli_session *s, const char *prompt, const char *images,
                               struct oll_strbuf *out);
void cli_session_body_chat(const struct cli_session *s, struct oll_strbuf *out);
void cli_session_body_embed(const struct cli_session *s, const char *text, int truncate,
                            int64_t dimensions, struct oll_strbuf *out);
void cli_session_body_create(const struct cli_session *s, const char *name, struct oll_strbuf *out);

#endif
