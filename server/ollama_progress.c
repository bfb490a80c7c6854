#include "server/ollama_progress.h"

#include "engine/base/json.h"
#include "server/ollama_reply.h"

enum { LINE_BYTES_MAX = 64 * 1024 };

bool ollama_progress_canceled(const struct ollama_progress *progress)
{
    return http_peer_gone(progress->req) || http_stopping(progress->req);
}

bool ollama_progress_send(const struct ollama_progress *progress, const char *status,
                          const char *digest, uint64_t total, uint64_t completed)
{
    struct oll_strbuf line;
    struct oll_json_writer w;
    if (!progress->streams)
        return !ollama_progress_canceled(progress);
    oll_strbuf_init(&line, LINE_BYTES_MAX);
    oll_json_write_init(&w, &line);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "status");
    oll_json_write_str(&w, status);
    if (*digest) {
        oll_json_write_key(&w, "digest");
        oll_json_write_str(&w, digest);
    }
    if (total) {
        oll_json_write_key(&w, "total");
        oll_json_write_uint(&w, total);
    }
    if (completed) {
        oll_json_write_key(&w, "completed");
        oll_json_write_uint(&w, completed);
    }
    oll_json_write_object_end(&w);
    oll_strbuf_addc(&line, '\n');
    if (!http_reply_begun(progress->req))
        http_reply_begin(progress->req, 200, "application/x-ndjson");
    bool sent = line.status == OLL_OK && http_reply_write(progress->req, line.data, line.len);
    oll_strbuf_free(&line);
    return sent && !http_stopping(progress->req);
}

/* The one object of a reply that is not streamed. */
static void send_whole(struct http_request *req, int status, const char *key, const char *text)
{
    struct oll_strbuf json;
    struct oll_json_writer w;
    oll_strbuf_init(&json, LINE_BYTES_MAX);
    oll_json_write_init(&w, &json);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, key);
    oll_json_write_str(&w, text);
    oll_json_write_object_end(&w);
    http_reply_send(req, status, "application/json", json.data, json.len);
    oll_strbuf_free(&json);
}

void ollama_progress_end(const struct ollama_progress *progress, oll_status status, int http_status,
                         const struct oll_error *err)
{
    if (status != OLL_OK && progress->streams)
        ollama_stream_error(progress->req, http_status, oll_error_text(err));
    else if (status != OLL_OK)
        send_whole(progress->req, http_status, "error", oll_error_text(err));
    else if (!progress->streams)
        send_whole(progress->req, 200, "status", "success");
}
