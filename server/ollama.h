/* Handlers of Ollama's native API, one file per topic: ollama_info.c (/, version, tags),
 * ollama_generate.c, ollama_chat.c, ollama_embed.c. Names of the API's JSON stand in these files
 * and in ollama_request.c and ollama_reply.c alone. */
#ifndef OLL_SERVER_OLLAMA_H
#define OLL_SERVER_OLLAMA_H

#include "server/http.h"

void ollama_root(struct http_request *req);
void ollama_version(struct http_request *req);
void ollama_tags(struct http_request *req);
void ollama_ps(struct http_request *req);
void ollama_show(struct http_request *req);
void ollama_create(struct http_request *req);
void ollama_pull(struct http_request *req);
void ollama_push(struct http_request *req);
void ollama_copy(struct http_request *req);
void ollama_delete(struct http_request *req);
void ollama_blob_head(struct http_request *req);
/* An upload goes to disk while it arrives; the limit of its body is the free space. */
uint64_t ollama_blob_plan(struct http_request *req);
void ollama_blob_post(struct http_request *req);
void ollama_generate(struct http_request *req);
void ollama_chat(struct http_request *req);
void ollama_embed(struct http_request *req);
void ollama_embeddings(struct http_request *req);
void ollama_tokenize(struct http_request *req);
void ollama_detokenize(struct http_request *req);

#endif
