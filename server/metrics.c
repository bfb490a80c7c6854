#include "server/metrics.h"

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "engine/base/strbuf.h"
#include "server/app.h"
#include "server/routes.h"
#include "server/schedule.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MAX_ROUTES = 64, TEXT_MAX = 4 << 20 };

static const int statuses[] = {200, 201, 204, 301, 307, 400, 401, 403, 404, 405,
                               408, 413, 429, 431, 499, 500, 501, 503, 0};
enum { N_STATUS = sizeof statuses / sizeof statuses[0] };

/* Upper bounds in seconds; one more bucket holds the rest. */
static const double bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                1,     2.5,    5,     10,   30,    60,   120, 300};
enum { N_BOUND = sizeof bounds / sizeof bounds[0] };

struct histogram {
    atomic_uint_fast64_t buckets[N_BOUND + 1], sum_ns;
};

struct metrics {
    int64_t start_s;
    atomic_uint_fast64_t requests[MAX_ROUTES][N_STATUS];
    struct histogram duration[MAX_ROUTES];
    struct histogram first_token, per_token, queue;
    atomic_uint_fast64_t n_prompt, n_cached, n_reply, n_drafted, n_accepted, prompt_ns, reply_ns,
        sent_bytes;
};

oll_status metrics_new(struct metrics **out, struct oll_error *err)
{
    *out = oll_calloc(1, sizeof **out);
    if (!*out)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the server");
    (*out)->start_s = (int64_t)time(NULL);
    return OLL_OK;
}

void metrics_free(struct metrics *metrics) { oll_free(metrics); }

/* ---- counting; relaxed: the numbers order nothing ---- */

static void add(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static uint64_t value(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void observe(struct histogram *h, uint64_t ns)
{
    int i = 0;
    while (i < N_BOUND && (double)ns > bounds[i] * 1e9)
        i++;
    add(&h->buckets[i], 1);
    add(&h->sum_ns, ns);
}

static int status_index(int status)
{
    int i = 0;
    while (statuses[i] != 0 && statuses[i] != status)
        i++;
    return i;
}

static void log_request(const struct http_request *req, int status, uint64_t ns, uint64_t n_body)
{
    enum { N_DIGIT = 32, N_TEXT = 512 };
    char status_text[N_DIGIT], ms[N_DIGIT], bytes[N_DIGIT], text[N_TEXT];
    /* The path of a known route alone: others are whatever a client likes. */
    const char *method = req->method && req->route ? req->method : "-";
    const char *route = routes_pattern(req->route);
    const char *id = req->id[0] ? req->id : "-";
    const char *from = req->peer && req->peer[0] ? req->peer : "-";
    snprintf(status_text, sizeof status_text, "%d", status);
    snprintf(ms, sizeof ms, "%.1f", (double)ns / 1e6);
    snprintf(bytes, sizeof bytes, "%" PRIu64, n_body);
    snprintf(text, sizeof text, "%s %s %s %s ms %s bytes id=%s from=%s", method, route, status_text,
             ms, bytes, id, from);
    const struct oll_log_field fields[] = {
        {"method", method, false}, {"route", route, false}, {"status", status_text, true},
        {"ms", ms, true},          {"bytes", bytes, true},  {"id", id, false},
        {"from", from, false},
    };
    oll_log_fields(OLL_LOG_INFO, "http", fields, sizeof fields / sizeof *fields, text);
}

void metrics_ended(const struct http_request *req, int status, uint64_t n_body)
{
    const struct app *app = req->app;
    const uint64_t ns = req->start_ns ? oll_clock_ns() - req->start_ns : 0;
    const int route = req->route < MAX_ROUTES ? req->route : 0;
    log_request(req, status, ns, n_body);
    if (!app || !app->metrics)
        return;
    add(&app->metrics->requests[route][status_index(status)], 1);
    add(&app->metrics->sent_bytes, n_body);
    observe(&app->metrics->duration[route], ns);
}

void metrics_first_token(struct metrics *metrics, uint64_t ns)
{
    observe(&metrics->first_token, ns);
}

void metrics_generation(struct metrics *metrics, const struct oll_event *done)
{
    add(&metrics->n_prompt, done->n_prompt);
    add(&metrics->n_cached, done->n_prompt_cached);
    add(&metrics->n_reply, done->n_reply);
    add(&metrics->n_drafted, done->n_drafted);
    add(&metrics->n_accepted, done->n_accepted);
    add(&metrics->prompt_ns, done->prompt_ns);
    add(&metrics->reply_ns, done->reply_ns);
    observe(&metrics->queue, done->queue_ns);
    if (done->n_reply > 0)
        observe(&metrics->per_token, done->reply_ns / done->n_reply);
}

/* ---- the text ---- */

static void head(struct oll_strbuf *out, const char *name, const char *type, const char *help)
{
    oll_strbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void number(struct oll_strbuf *out, const char *name, const char *type, const char *help,
                   double v)
{
    head(out, name, type, help);
    oll_strbuf_printf(out, "%s %.17g\n", name, v);
}

/* A label's value: what would end it is escaped. */
static void label(struct oll_strbuf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            oll_strbuf_addc(out, '\\');
        oll_strbuf_addc(out, (unsigned char)*text < 0x20 ? '?' : *text);
    }
}

/* `labels`: "" or `name="value",`. */
static void histogram(struct oll_strbuf *out, const char *name, const char *labels,
                      const struct histogram *h)
{
    uint64_t n = 0;
    const int n_labels = (int)strlen(labels) - (*labels != '\0'); /* without the comma */
    for (int i = 0; i <= N_BOUND; i++) {
        n += value(&h->buckets[i]);
        oll_strbuf_printf(out, "%s_bucket{%sle=\"", name, labels);
        if (i < N_BOUND)
            oll_strbuf_printf(out, "%g\"} %" PRIu64 "\n", bounds[i], n);
        else
            oll_strbuf_printf(out, "+Inf\"} %" PRIu64 "\n", n);
    }
    const char *open = n_labels > 0 ? "{" : "", *close = n_labels > 0 ? "}" : "";
    oll_strbuf_printf(out, "%s_sum%s%.*s%s %.9g\n", name, open, n_labels > 0 ? n_labels : 0, labels,
                      close, (double)value(&h->sum_ns) / 1e9);
    oll_strbuf_printf(out, "%s_count%s%.*s%s %" PRIu64 "\n", name, open,
                      n_labels > 0 ? n_labels : 0, labels, close, n);
}

static void put_requests(struct oll_strbuf *out, const struct metrics *m)
{
    char labels[128];
    head(out, "oll_requests_total", "counter", "Replies by route and status.");
    for (int r = 0; r < MAX_ROUTES && routes_pattern(r); r++)
        for (int i = 0; i < N_STATUS; i++) {
            const uint64_t n = value(&m->requests[r][i]);
            if (n > 0)
                oll_strbuf_printf(out, "oll_requests_total{route=\"%s\",code=\"%d\"} %" PRIu64 "\n",
                                  routes_pattern(r), statuses[i], n);
        }
    head(out, "oll_request_duration_seconds", "histogram",
         "Time from a request's head to the end of its reply.");
    for (int r = 0; r < MAX_ROUTES && routes_pattern(r); r++) {
        bool any = false;
        for (int i = 0; i <= N_BOUND; i++)
            any |= value(&m->duration[r].buckets[i]) > 0;
        snprintf(labels, sizeof labels, "route=\"%s\",", routes_pattern(r));
        if (any)
            histogram(out, "oll_request_duration_seconds", labels, &m->duration[r]);
    }
    number(out, "oll_sent_bytes_total", "counter", "Bytes of replies' bodies.",
           (double)value(&m->sent_bytes));
}

static void put_tokens(struct oll_strbuf *out, const struct metrics *m)
{
    number(out, "oll_prompt_tokens_total", "counter",
           "Tokens of prompts, those found in the cache too.", (double)value(&m->n_prompt));
    number(out, "oll_prompt_tokens_cached_total", "counter", "Of them, tokens found in the cache.",
           (double)value(&m->n_cached));
    number(out, "oll_generated_tokens_total", "counter", "Tokens of replies.",
           (double)value(&m->n_reply));
    number(out, "oll_drafted_tokens_total", "counter", "Tokens that speculation has tried.",
           (double)value(&m->n_drafted));
    number(out, "oll_accepted_tokens_total", "counter", "Of them, tokens that were right.",
           (double)value(&m->n_accepted));
    number(out, "oll_prompt_seconds_total", "counter", "Time spent on prompts.",
           (double)value(&m->prompt_ns) / 1e9);
    number(out, "oll_generation_seconds_total", "counter", "Time spent on replies.",
           (double)value(&m->reply_ns) / 1e9);
    head(out, "oll_first_token_seconds", "histogram",
         "Time from a request's head to the first event of its reply, loading included.");
    histogram(out, "oll_first_token_seconds", "", &m->first_token);
    head(out, "oll_token_seconds", "histogram", "Time between the tokens of a reply, its mean.");
    histogram(out, "oll_token_seconds", "", &m->per_token);
    head(out, "oll_slot_wait_seconds", "histogram", "Time that requests waited for a slot.");
    histogram(out, "oll_slot_wait_seconds", "", &m->queue);
}

static oll_status put_models(struct oll_strbuf *out, struct http_request *req)
{
    const struct app *app = req->app;
    struct schedule_entry *entries = NULL;
    size_t n = 0;
    OLL_TRY(schedule_list(app->schedule, req->arena, &entries, &n, NULL));
    number(out, "oll_models_loaded", "gauge", "Models in memory.", (double)n);
    head(out, "oll_model_bytes", "gauge", "Memory of a loaded model as planned.");
    for (size_t i = 0; i < n; i++) {
        oll_strbuf_adds(out, "oll_model_bytes{model=\"");
        label(out, entries[i].name);
        oll_strbuf_printf(out, "\"} %" PRIu64 "\n", entries[i].size_bytes);
    }
    number(out, "oll_requests_waiting", "gauge",
           "Requests that wait for a model or for their turn.",
           (double)schedule_waiting(app->schedule));
    return OLL_OK;
}

void metrics_reply(struct http_request *req)
{
    const struct app *app = req->app;
    struct oll_strbuf out;
    oll_strbuf_init(&out, TEXT_MAX);
    put_requests(&out, app->metrics);
    put_tokens(&out, app->metrics);
    oll_status status = put_models(&out, req);
    number(&out, "oll_memory_bytes", "gauge",
           "Resident memory of the server's process; models have their own.",
           (double)oll_platform_rss());
    number(&out, "oll_start_time_seconds", "gauge", "When the server began, in Unix time.",
           (double)app->metrics->start_s);
    if (status == OLL_OK)
        status = out.status;
    if (status == OLL_OK)
        http_reply_send(req, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.len);
    else
        http_reply_send(req, 503, NULL, "", 0);
    oll_strbuf_free(&out);
}
