#include "server/ollama_reply.h"

#include "engine/base/clock.h"
#include "engine/base/strbuf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char json_type[] = "application/json; charset=utf-8";

enum { ERROR_JSON_MAX = 16 * OLL_ERROR_TEXT_MAX };

static void write_error(struct oll_strbuf *sb, const char *text, const char *end)
{
    struct oll_json_writer w;
    oll_strbuf_init(sb, ERROR_JSON_MAX);
    oll_json_write_init(&w, sb);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "error");
    oll_json_write_str(&w, text);
    oll_json_write_object_end(&w);
    oll_strbuf_adds(sb, end);
}

void ollama_error(struct http_request *req, int status, const char *text)
{
    struct oll_strbuf sb;
    write_error(&sb, text, "");
    if (status == 503)
        http_reply_header(req, "Retry-After", "1");
    http_reply_send(req, status, json_type, sb.data, sb.len);
    oll_strbuf_free(&sb);
}

void ollama_stream_error(struct http_request *req, int status, const char *text)
{
    struct oll_strbuf sb;
    bool begun = http_reply_begun(req);
    write_error(&sb, text, begun ? "\n" : "");
    if (!begun)
        http_reply_begin(req, status, "application/json");
    (void)http_reply_write(req, sb.data, sb.len);
    oll_strbuf_free(&sb);
}

void ollama_send(struct http_request *req, const struct oll_strbuf *json)
{
    if (json->status != OLL_OK)
        ollama_error(req, 500, "the reply is larger than the server allows");
    else
        http_reply_send(req, 200, json_type, json->data, json->len);
}

/* ---- time ---- */

/* "2026-08-21T10:00:00.4" without a zone. */
static size_t put_time(const struct tm *tm, long ns, char *out, size_t size)
{
    char fraction[16] = "";
    if (ns > 0) {
        size_t n = (size_t)snprintf(fraction, sizeof fraction, ".%09ld", ns);
        while (fraction[n - 1] == '0')
            fraction[--n] = '\0';
    }
    return (size_t)snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02d%s", tm->tm_year + 1900,
                            tm->tm_mon + 1, tm->tm_mday, tm->tm_hour, tm->tm_min, tm->tm_sec,
                            fraction);
}

void ollama_time_now(char out[OLLAMA_TIME_MAX])
{
    struct timespec now;
    struct tm tm = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = put_time(&tm, now.tv_nsec, out, OLLAMA_TIME_MAX);
    snprintf(out + n, OLLAMA_TIME_MAX - n, "Z");
}

void ollama_time_local(int64_t ns_since_1970, char out[OLLAMA_TIME_MAX])
{
    time_t s = (time_t)(ns_since_1970 / 1000000000);
    struct tm tm = {0};
    char zone[8];
    localtime_r(&s, &tm);
    size_t n = put_time(&tm, (long)(ns_since_1970 % 1000000000), out, OLLAMA_TIME_MAX);
    /* strftime writes +hhmm. */
    strftime(zone, sizeof zone, "%z", &tm);
    if (strcmp(zone, "+0000") == 0)
        snprintf(out + n, OLLAMA_TIME_MAX - n, "Z");
    else
        snprintf(out + n, OLLAMA_TIME_MAX - n, "%.3s:%.2s", zone, zone + 3);
}

/* ---- parts of a reply ---- */

static void write_count(struct oll_json_writer *w, const char *key, uint64_t v)
{
    if (v == 0)
        return;
    oll_json_write_key(w, key);
    oll_json_write_uint(w, v);
}

void ollama_write_metrics(struct oll_json_writer *w, const struct generation *g,
                          const struct oll_event *done)
{
    write_count(w, "total_duration", oll_clock_ns() - g->req->start_ns);
    write_count(w, "load_duration", g->loaded_ns - g->req->start_ns);
    write_count(w, "prompt_eval_count", done->n_prompt);
    write_count(w, "prompt_eval_duration", done->prompt_ns);
    write_count(w, "eval_count", done->n_reply);
    write_count(w, "eval_duration", done->reply_ns);
}

static void write_logprob(struct oll_json_writer *w, const struct oll_logprob *p)
{
    oll_json_write_key(w, "token");
    oll_json_write_strn(w, p->text ? p->text : "", p->n_text);
    oll_json_write_key(w, "logprob");
    oll_json_write_double(w, (double)p->logprob);
    if (p->n_text == 0)
        return;
    oll_json_write_key(w, "bytes");
    oll_json_write_array_begin(w);
    for (uint32_t i = 0; i < p->n_text; i++)
        oll_json_write_uint(w, (unsigned char)p->text[i]);
    oll_json_write_array_end(w);
}

void ollama_write_logprobs(struct oll_json_writer *w, const struct oll_logprob *logprobs,
                           uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        oll_json_write_object_begin(w);
        write_logprob(w, &logprobs[i]);
        if (logprobs[i].n_top > 0) {
            oll_json_write_key(w, "top_logprobs");
            oll_json_write_array_begin(w);
            for (uint32_t k = 0; k < logprobs[i].n_top; k++) {
                oll_json_write_object_begin(w);
                write_logprob(w, &logprobs[i].top[k]);
                oll_json_write_object_end(w);
            }
            oll_json_write_array_end(w);
        }
        oll_json_write_object_end(w);
    }
}

void ollama_write_tool_call(struct oll_json_writer *w, const struct oll_event *call, uint32_t index,
                            bool with_id)
{
    oll_json_write_object_begin(w);
    if (with_id && call->tool_id && *call->tool_id) {
        oll_json_write_key(w, "id");
        oll_json_write_str(w, call->tool_id);
    }
    oll_json_write_key(w, "function");
    oll_json_write_object_begin(w);
    oll_json_write_key(w, "index");
    oll_json_write_uint(w, index);
    oll_json_write_key(w, "name");
    oll_json_write_str(w, call->tool_name ? call->tool_name : "");
    oll_json_write_key(w, "arguments");
    oll_json_write_raw(w, call->text && *call->text ? call->text : "{}",
                       call->text && *call->text ? strlen(call->text) : 2);
    oll_json_write_object_end(w);
    oll_json_write_object_end(w);
}
