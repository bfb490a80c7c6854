/* Handlers of the OpenAI-compatible API (rest-api 6), one file per topic: openai_chat.c,
 * openai_completions.c, openai_models.c, openai_embeddings.c, openai_rerank.c. Requests are mapped
 * onto the native calls, so that defaults and checks are the native ones. */
#ifndef OLL_SERVER_OPENAI_H
#define OLL_SERVER_OPENAI_H

#include "server/http.h"

void openai_chat(struct http_request *req);
void openai_completions(struct http_request *req);
void openai_embeddings(struct http_request *req);
void openai_rerank(struct http_request *req);
void openai_models(struct http_request *req);
void openai_model(struct http_request *req);

#endif
