/* Replies that tell of progress: one JSON object a line, or only the last one (rest-api 2.8, 2.9,
 * 2.10). */
#ifndef OLL_SERVER_OLLAMA_PROGRESS_H
#define OLL_SERVER_OLLAMA_PROGRESS_H

#include "engine/base/status.h"
#include "server/http.h"

struct ollama_progress {
    struct http_request *req;
    bool streams;
};

/* Sends a line where they are streamed. `digest` "" and numbers of 0 are left out. False: nobody
 * waits any more. */
bool ollama_progress_send(const struct ollama_progress *progress, const char *status,
                          const char *digest, uint64_t total, uint64_t completed);
/* Whether the work is to be given up. */
bool ollama_progress_canceled(const struct ollama_progress *progress);
/* The end of the reply: the failure, with this status where no line has gone out; or, where nothing
 * was streamed, {"status":"success"}. */
void ollama_progress_end(const struct ollama_progress *progress, oll_status status, int http_status,
                         const struct oll_error *err);

#endif
