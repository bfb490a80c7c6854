#include "tests/api/fake_engine.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "engine/oll.h"
#include "engine/plan.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct request {
    struct request *next;
    uint64_t id;
    enum oll_request_kind kind;
    char *script; /* lines still to do */
    char *at;
    char **inputs;
    uint32_t n_inputs, i_input;
    uint32_t n_pieces, n_top, n_many, n_words;
    bool want_context, render, echo, over, held;
    uint64_t wake_ns; /* silence until then; UINT64_MAX: until cancelled */
    enum oll_done_reason reason;
    bool canceled;
};

struct oll_engine {
    struct oll_model_info info;
    pthread_mutex_t lock;
    pthread_mutex_t pull; /* held while any request is being pulled, or released */
    bool woken;
    struct request *requests;
    uint64_t next_id;
};

static atomic_int n_open, n_opened, n_requests, n_canceled, n_fail;
static atomic_uint last_ctx;

int fake_engine_open_count(void) { return atomic_load(&n_open); }
int fake_engine_opened_total(void) { return atomic_load(&n_opened); }
int fake_engine_request_count(void) { return atomic_load(&n_requests); }
int fake_engine_canceled_total(void) { return atomic_load(&n_canceled); }
void fake_engine_fail_memory(int n) { atomic_store(&n_fail, n); }
uint32_t fake_engine_last_ctx(void) { return atomic_load(&last_ctx); }

static void sleep_ns(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    nanosleep(&t, NULL);
}

/* Sanitizers would make a report of the signal. */
static void die(int sig)
{
    signal(sig, SIG_DFL);
    raise(sig);
}

/* ---- engine ---- */

oll_status oll_engine_open(const struct oll_engine_params *params, struct oll_engine **out,
                           struct oll_error *err)
{
    if (strstr(params->model_path, "broken"))
        return OLL_FAIL(err, OLL_ERR_FORMAT, "%s: tensor x is cut short", params->model_path);
    if (strstr(params->model_path, "huge") || atomic_load(&n_fail) > 0) {
        atomic_fetch_sub(&n_fail, 1);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "%s: needs 900 GiB", params->model_path);
    }
    if (strstr(params->model_path, "slow"))
        sleep_ns(300 * 1000000u);
    if (strstr(params->model_path, "deadly"))
        die(SIGSEGV);
    while (strstr(params->model_path, "stuck"))
        sleep_ns(1000 * 1000000u);
    struct oll_engine *e = oll_calloc(1, sizeof *e);
    OLL_ASSERT(e);
    pthread_mutex_init(&e->lock, NULL);
    pthread_mutex_init(&e->pull, NULL);
    e->next_id = 1;
    e->info = (struct oll_model_info){.architecture = "fake",
                                      .name = "fake",
                                      .quantization = "F16",
                                      .n_ctx = params->n_ctx,
                                      .n_ctx_train = 8192,
                                      .can_complete = true,
                                      .can_embed = true};
    atomic_store(&last_ctx, params->n_ctx);
    atomic_fetch_add(&n_open, 1);
    atomic_fetch_add(&n_opened, 1);
    *out = e;
    return OLL_OK;
}

void oll_engine_close(struct oll_engine *e)
{
    if (!e)
        return;
    OLL_ASSERT(!e->requests);
    pthread_mutex_destroy(&e->lock);
    pthread_mutex_destroy(&e->pull);
    oll_free(e);
    atomic_fetch_sub(&n_open, 1);
}

const struct oll_model_info *oll_engine_info(const struct oll_engine *e) { return &e->info; }

struct oll_options oll_options_default(void)
{
    return (struct oll_options){.seed = -1, .temperature = 0.8f, .top_k = 40, .num_predict = -1};
}

/* ---- requests ---- */

/* The rendered prompt: enough of it to see what the server asked for. */
static char *render(const struct oll_request *ask)
{
    struct oll_strbuf sb;
    oll_strbuf_init(&sb, 1 << 24);
    if (ask->system)
        oll_strbuf_printf(&sb, "system: %s\n", ask->system);
    if (ask->n_context)
        oll_strbuf_printf(&sb, "context: %u\n", ask->n_context);
    if (ask->prompt)
        oll_strbuf_printf(&sb, "%s%s", ask->raw ? "raw: " : "user: ", ask->prompt);
    if (ask->suffix)
        oll_strbuf_printf(&sb, " suffix: %s", ask->suffix);
    for (uint32_t i = 0; i < ask->n_messages; i++) {
        const struct oll_message *m = &ask->messages[i];
        oll_strbuf_printf(&sb, "%s: %s\n", m->role, m->content);
        if (m->thinking)
            oll_strbuf_printf(&sb, "  thinking: %s\n", m->thinking);
        if (m->tool_name)
            oll_strbuf_printf(&sb, "  tool: %s %s\n", m->tool_name,
                              m->tool_call_id ? m->tool_call_id : "");
        for (uint32_t k = 0; k < m->n_tool_calls; k++)
            oll_strbuf_printf(&sb, "  call: %s %s %s\n", m->tool_calls[k].id, m->tool_calls[k].name,
                              m->tool_calls[k].arguments_json);
    }
    if (ask->tools_json)
        oll_strbuf_printf(&sb, "tools: %s\n", ask->tools_json);
    if (ask->format_json)
        oll_strbuf_printf(&sb, "format: %s\n", ask->format_json);
    if (ask->grammar)
        oll_strbuf_printf(&sb, "grammar: %s\n", ask->grammar);
    if (ask->think)
        oll_strbuf_printf(&sb, "think: %d\n", ask->think);
    return oll_strbuf_take(&sb, NULL);
}

oll_status oll_engine_submit(struct oll_engine *e, const struct oll_request *ask, uint64_t *id,
                             struct oll_error *err)
{
    struct request *r = oll_calloc(1, sizeof *r);
    OLL_ASSERT(r);
    const char *script = ask->kind == OLL_REQUEST_CHAT && ask->n_messages
                             ? ask->messages[ask->n_messages - 1].content
                             : ask->prompt;
    if (script && strncmp(script, "refuse ", 7) == 0) {
        oll_free(r);
        return OLL_FAIL(err, OLL_ERR_BUSY, "%s", script + 7);
    }
    r->kind = ask->kind;
    r->render = ask->render_only;
    r->script = r->at = ask->render_only ? render(ask) : oll_strdup(script ? script : "");
    r->want_context = ask->want_context;
    r->n_top = ask->logprobs ? ask->n_top_logprobs : 0;
    if (ask->kind == OLL_REQUEST_EMBED) {
        r->inputs = oll_calloc(ask->n_inputs, sizeof *r->inputs);
        for (uint32_t i = 0; i < ask->n_inputs; i++)
            r->inputs[i] = oll_strdup(ask->inputs[i]);
        r->n_inputs = ask->n_inputs;
    }
    pthread_mutex_lock(&e->lock);
    *id = r->id = e->next_id++;
    r->next = e->requests;
    e->requests = r;
    pthread_mutex_unlock(&e->lock);
    atomic_fetch_add(&n_requests, 1);
    return OLL_OK;
}

/* The lock is held. */
static struct request *find(struct oll_engine *e, uint64_t id)
{
    for (struct request *r = e->requests; r; r = r->next)
        if (r->id == id)
            return r;
    return NULL;
}

void oll_engine_cancel(struct oll_engine *e, uint64_t id)
{
    pthread_mutex_lock(&e->lock);
    struct request *r = find(e, id);
    if (r && !r->canceled) {
        r->canceled = true;
        atomic_fetch_add(&n_canceled, 1);
    }
    pthread_mutex_unlock(&e->lock);
}

void oll_engine_release(struct oll_engine *e, uint64_t id)
{
    pthread_mutex_lock(&e->pull);
    pthread_mutex_lock(&e->lock);
    struct request **link = &e->requests;
    while (*link && (*link)->id != id)
        link = &(*link)->next;
    struct request *r = *link;
    OLL_ASSERT(r);
    *link = r->next;
    pthread_mutex_unlock(&e->lock);
    pthread_mutex_unlock(&e->pull);
    for (uint32_t i = 0; i < r->n_inputs; i++)
        oll_free(r->inputs[i]);
    oll_free(r->inputs);
    oll_free(r->script);
    oll_free(r);
    atomic_fetch_sub(&n_requests, 1);
}

/* ---- events ---- */

static char *unescape(const char *s, size_t n)
{
    char *out = oll_strndup(s, n), *to = out;
    for (const char *from = out; *from; from++) {
        if (from[0] == '\\' && from[1] == 'n') {
            *to++ = '\n';
            from++;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
    return out;
}

static void put_text(struct oll_event *event, enum oll_event_kind kind, const char *s, size_t n)
{
    event->kind = kind;
    event->text = unescape(s, n);
    event->n_text = strlen(event->text);
}

static struct oll_logprob logprob_of(const char *text, float logprob)
{
    return (struct oll_logprob){
        .token = 1, .logprob = logprob, .text = oll_strdup(text), .n_text = (uint32_t)strlen(text)};
}

static void put_logprob(struct request *r, struct oll_event *event)
{
    event->logprobs = oll_calloc(1, sizeof *event->logprobs);
    event->n_logprobs = 1;
    *event->logprobs = logprob_of(event->text, -0.5f);
    event->logprobs->top = r->n_top ? oll_calloc(r->n_top, sizeof *event->logprobs) : NULL;
    event->logprobs->n_top = r->n_top;
    for (uint32_t i = 0; i < r->n_top; i++)
        event->logprobs->top[i] = logprob_of(i ? "alt" : event->text, -0.5f - (float)i);
}

static void put_done(struct request *r, struct oll_event *event)
{
    r->over = true;
    event->kind = OLL_EVENT_DONE;
    event->done_reason = r->reason;
    event->n_prompt = 7;
    event->prompt_ns = 1000;
    event->n_reply = r->kind == OLL_REQUEST_EMBED ? 0 : r->n_pieces;
    event->reply_ns = event->n_reply ? 2000 : 0;
    if (r->want_context) {
        event->context = oll_calloc(2, sizeof *event->context);
        event->context[0] = 1;
        event->context[1] = 2;
        event->n_context = 2;
    }
}

static void put_tool(struct oll_event *event, const char *line, size_t n)
{
    size_t name = strcspn(line, " \n");
    event->tool_name = oll_strndup(line, name);
    event->tool_id = oll_strdup("call_fake0000");
    put_text(event, OLL_EVENT_TOOL_CALL, line + name + 1, n - name - 1);
}

static void put_error(struct request *r, struct oll_event *event, const char *line, size_t n)
{
    char *end;
    event->status = (oll_status)strtoll(line, &end, 10);
    put_text(event, OLL_EVENT_ERROR, end + 1, n - (size_t)(end + 1 - line));
    r->over = true;
}

/* Stops this process; another one continues it after a while. */
static void stop_for(int ms)
{
    const pid_t self = getpid(), waker = fork();
    if (waker == 0) {
        sleep_ns((uint64_t)ms * 1000000u);
        kill(self, SIGCONT);
        _exit(0);
    }
    raise(SIGSTOP);
    waitpid(waker, NULL, 0);
}

/* Does one line of the script; false when it made no event. */
static bool do_line(struct request *r, struct oll_event *event)
{
    char *line = r->at;
    size_t n = strcspn(line, "\n");
    r->at += n + (line[n] == '\n');
    r->n_pieces++;
    if (strncmp(line, "text ", 5) == 0 || strncmp(line, "logprob ", 8) == 0) {
        size_t skip = line[0] == 't' ? 5 : 8;
        put_text(event, OLL_EVENT_TEXT, line + skip, n - skip);
        if (skip == 8)
            put_logprob(r, event);
        return true;
    }
    if (strncmp(line, "think ", 6) == 0) {
        put_text(event, OLL_EVENT_THINKING, line + 6, n - 6);
        return true;
    }
    if (strncmp(line, "tool ", 5) == 0) {
        put_tool(event, line + 5, n - 5);
        return true;
    }
    if (strncmp(line, "error ", 6) == 0) {
        put_error(r, event, line + 6, n - 6);
        return true;
    }
    if (strncmp(line, "sleep ", 6) == 0)
        r->wake_ns = oll_clock_ns() + (uint64_t)strtoll(line + 6, NULL, 10) * 1000000u;
    else if (strncmp(line, "many ", 5) == 0)
        r->n_many = (uint32_t)strtoll(line + 5, NULL, 10);
    else if (strncmp(line, "die ", 4) == 0)
        die((int)strtoll(line + 4, NULL, 10));
    else if (strncmp(line, "stop ", 5) == 0)
        stop_for((int)strtoll(line + 5, NULL, 10));
    else if (strncmp(line, "log ", 4) == 0)
        fprintf(stderr, "%.*s\n", (int)n - 4, line + 4);
    else if (strncmp(line, "hang", 4) == 0)
        r->wake_ns = UINT64_MAX;
    else if (strncmp(line, "length", 6) == 0)
        r->reason = OLL_DONE_LENGTH;
    else {
        struct oll_strbuf sb;
        oll_strbuf_init(&sb, 1 << 24);
        oll_strbuf_printf(&sb, "echo: %s", line);
        put_text(event, OLL_EVENT_TEXT, sb.data, sb.len);
        oll_strbuf_free(&sb);
        r->at = line + strlen(line);
        return true;
    }
    return false;
}

static void put_vector(struct request *r, struct oll_event *event)
{
    const char *text = r->inputs[r->i_input++];
    float a = (float)strlen(text), norm = sqrtf(a * a + 1);
    if (strncmp(text, "error ", 6) == 0) {
        put_error(r, event, text + 6, strlen(text + 6));
        return;
    }
    event->kind = OLL_EVENT_EMBEDDING;
    event->embedding = oll_calloc(2, sizeof *event->embedding);
    event->n_embedding = 2;
    event->embedding[0] = strcmp(text, "nan") == 0 ? NAN : a / norm;
    event->embedding[1] = 1 / norm;
}

static void next_event(struct request *r, struct oll_event *event)
{
    if (r->kind == OLL_REQUEST_EMBED) {
        if (r->i_input < r->n_inputs)
            put_vector(r, event);
        else
            put_done(r, event);
        return;
    }
    if (r->render && *r->at) {
        event->kind = OLL_EVENT_TEXT;
        event->text = oll_strdup(r->at);
        event->n_text = strlen(event->text);
        r->at += strlen(r->at);
        return;
    }
    if (r->n_many > 0) {
        r->n_many--;
        put_text(event, OLL_EVENT_TEXT, "x", 1);
        return;
    }
    while (*r->at && !r->wake_ns && !r->n_many)
        if (do_line(r, event))
            return;
    if (!*r->at && !r->wake_ns && !r->n_many)
        put_done(r, event);
}

oll_status oll_engine_next(struct oll_engine *e, uint64_t id, int timeout_ms,
                           struct oll_event *event)
{
    uint64_t until = oll_clock_ns() + (uint64_t)timeout_ms * 1000000u;
    *event = (struct oll_event){.kind = OLL_EVENT_ERROR, .status = OLL_OK};
    for (;;) {
        pthread_mutex_lock(&e->lock);
        struct request *r = find(e, id);
        bool canceled = r && r->canceled;
        pthread_mutex_unlock(&e->lock);
        if (!r || r->over)
            return OLL_ERR_NOT_FOUND;
        if (canceled) {
            r->over = true;
            event->status = OLL_ERR_CANCELED;
            event->text = oll_strdup("canceled");
            return OLL_OK;
        }
        uint64_t now = oll_clock_ns();
        if (r->wake_ns && r->wake_ns <= now)
            r->wake_ns = 0;
        if (!r->wake_ns)
            next_event(r, event);
        if (event->text || event->embedding || r->over)
            return OLL_OK;
        if (now >= until)
            return OLL_ERR_TIMEOUT;
        sleep_ns(1000000u);
    }
}

void oll_engine_hold(struct oll_engine *e, uint64_t id, bool hold)
{
    pthread_mutex_lock(&e->lock);
    struct request *r = find(e, id);
    if (r)
        r->held = hold;
    pthread_mutex_unlock(&e->lock);
}

uint64_t oll_engine_progress(const struct oll_engine *e)
{
    (void)e;
    return 0;
}

void oll_engine_wake(struct oll_engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->woken = true;
    pthread_mutex_unlock(&e->lock);
}

/* Events of whichever request has one, the oldest request's last. */
static bool pull_any(struct oll_engine *e, uint64_t *id, struct oll_event *event)
{
    uint64_t ids[64];
    int n = 0;
    pthread_mutex_lock(&e->lock);
    for (struct request *r = e->requests; r && n < 64; r = r->next)
        if (!r->held && !r->over)
            ids[n++] = r->id;
    pthread_mutex_unlock(&e->lock);
    for (int i = 0; i < n; i++) {
        *id = ids[i];
        if (oll_engine_next(e, ids[i], 0, event) == OLL_OK)
            return true;
    }
    return false;
}

oll_status oll_engine_next_any(struct oll_engine *e, int timeout_ms, uint64_t *id,
                               struct oll_event *event)
{
    const uint64_t until =
        timeout_ms < 0 ? UINT64_MAX : oll_clock_ns() + (uint64_t)timeout_ms * 1000000u;
    for (;;) {
        pthread_mutex_lock(&e->pull);
        const bool any = pull_any(e, id, event);
        pthread_mutex_unlock(&e->pull);
        if (any)
            return OLL_OK;
        pthread_mutex_lock(&e->lock);
        const bool woken = e->woken;
        e->woken = false;
        pthread_mutex_unlock(&e->lock);
        if (woken || oll_clock_ns() >= until)
            return OLL_ERR_TIMEOUT;
        sleep_ns(5000000u); /* seldom enough not to look like work */
    }
}

void oll_event_free(struct oll_event *event)
{
    for (uint32_t i = 0; i < event->n_logprobs; i++) {
        for (uint32_t k = 0; k < event->logprobs[i].n_top; k++)
            oll_free(event->logprobs[i].top[k].text);
        oll_free(event->logprobs[i].top);
        oll_free(event->logprobs[i].text);
    }
    oll_free(event->logprobs);
    oll_free(event->text);
    oll_free(event->tool_name);
    oll_free(event->tool_id);
    oll_free(event->embedding);
    oll_free(event->context);
    *event = (struct oll_event){.kind = OLL_EVENT_ERROR};
}

oll_status oll_engine_tokenize(const struct oll_engine *e, const char *text, size_t n,
                               bool add_special, bool parse_special, int32_t **tokens,
                               size_t *n_tokens, struct oll_error *err)
{
    (void)e;
    (void)text;
    (void)n;
    (void)add_special;
    (void)parse_special;
    (void)tokens;
    (void)n_tokens;
    return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "no tokenizer here");
}

oll_status oll_engine_detokenize(const struct oll_engine *e, const int32_t *ids, size_t n,
                                 struct oll_strbuf *out, struct oll_error *err)
{
    (void)e;
    (void)ids;
    (void)n;
    (void)out;
    return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "no tokenizer here");
}

/* ---- plan ---- */

/* Takes memory until there is none, or more than a plan should get. */
static oll_status eat_memory(struct oll_error *err)
{
    void *volatile piece;
    for (int i = 0; i < 96; i++)
        if (!(piece = malloc(1 << 24)))
            return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory after %d MiB", 16 * i);
    (void)piece;
    return OLL_FAIL(err, OLL_ERR_FORMAT, "nothing keeps it from memory");
}

oll_status oll_plan_make(const struct oll_engine_params *params, enum oll_plan_care care,
                         struct oll_plan *out, struct oll_error *err)
{
    if (care != OLL_PLAN_QUICK)
        return OLL_FAIL(err, OLL_ERR_ARG, "a server wants quick plans");
    if (strcmp(params->model_path, "deadly") == 0)
        die(SIGSEGV);
    if (strcmp(params->model_path, "stuck") == 0)
        for (;;)
            sleep_ns(1000000000u);
    if (strcmp(params->model_path, "greedy") == 0)
        return eat_memory(err);
    if (strcmp(params->model_path, "broken") == 0)
        return OLL_FAIL(err, OLL_ERR_FORMAT, "broken: tensor x is cut short");
    *out = (struct oll_plan){.n_ctx = params->n_ctx,
                             .n_slots = 1,
                             .n_layer = 2,
                             .kv_dtype = OLL_F16,
                             .n_device = 1,
                             .devices = {{"cpu", 2, 1000, 200, 30}},
                             .host_bytes = 4,
                             .layer_bytes = oll_calloc(3, sizeof *out->layer_bytes),
                             .layer_kv_bytes = oll_calloc(2, sizeof *out->layer_kv_bytes)};
    for (uint32_t i = 0; i < 3; i++)
        out->layer_bytes[i] = 300 + i;
    return OLL_OK;
}
