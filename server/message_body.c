/* Bodies of messages. Each struct has one walk for both directions, so that what is written and
 * what is read cannot drift apart: a field is one line. */
#include "engine/base/mem.h"
#include "server/message_internal.h"

#include <string.h>

/* A field that engine/oll.h gets must get its line here, too. */
#if UINTPTR_MAX == UINT64_MAX
#define SAME_FIELDS(type, n_bytes, walk)                                                           \
    _Static_assert(sizeof(struct type) == (n_bytes), "a field changed: see " walk " below")
SAME_FIELDS(oll_engine_params, 64, "walk_params");
SAME_FIELDS(oll_model_info, 96, "walk_info");
SAME_FIELDS(oll_plan_device, 48, "walk_plan_device");
SAME_FIELDS(oll_plan, 264, "walk_plan");
SAME_FIELDS(oll_options, 88, "walk_options");
SAME_FIELDS(oll_token_bias, 8, "walk_bias");
SAME_FIELDS(oll_tool_call, 24, "walk_calls");
SAME_FIELDS(oll_message, 56, "walk_messages");
SAME_FIELDS(oll_request, 328, "walk_request");
SAME_FIELDS(oll_logprob, 32, "walk_logprob");
SAME_FIELDS(oll_event, 144, "walk_event");
#endif

struct walk {
    struct oll_strbuf *out;        /* writing; NULL: reading */
    const unsigned char *at, *end; /* what is left to read */
    struct oll_arena *arena;       /* of arrays that are read; NULL: oll_alloc */
    oll_status status;             /* sticky, of reading */
};

/* ---- fields ---- */

static void fail(struct walk *w, oll_status status)
{
    if (w->status == OLL_OK)
        w->status = status;
    if (w->out && w->out->status == OLL_OK)
        w->out->status = status;
    w->at = w->end;
}

static void number(struct walk *w, uint64_t *v, size_t n)
{
    if (w->out) {
        message_put_number(w->out, *v, n);
        return;
    }
    *v = 0;
    if ((size_t)(w->end - w->at) < n) {
        fail(w, OLL_ERR_FORMAT);
        return;
    }
    *v = message_get_number(w->at, n);
    w->at += n;
}

static void u64(struct walk *w, uint64_t *v) { number(w, v, 8); }

static void i64(struct walk *w, int64_t *v)
{
    uint64_t u = (uint64_t)*v;
    number(w, &u, 8);
    *v = (int64_t)u;
}

static void u32(struct walk *w, uint32_t *v)
{
    uint64_t u = *v;
    number(w, &u, 4);
    *v = (uint32_t)u;
}

static void i32(struct walk *w, int32_t *v)
{
    uint32_t u = (uint32_t)*v;
    u32(w, &u);
    *v = (int32_t)u;
}

static void f32(struct walk *w, float *v)
{
    uint32_t u;
    memcpy(&u, v, sizeof u);
    u32(w, &u);
    memcpy(v, &u, sizeof u);
}

/* One of the values 0 .. n-1. */
static int choice(struct walk *w, int v, int n)
{
    uint64_t u = (uint64_t)v;
    number(w, &u, 1);
    if (u >= (uint64_t)n) {
        fail(w, OLL_ERR_FORMAT);
        return 0;
    }
    return (int)u;
}

static void flag(struct walk *w, bool *v) { *v = choice(w, *v, 2) != 0; }

/* The number of elements that follow, each of at least `min_bytes`. */
static uint32_t count(struct walk *w, size_t n, size_t min_bytes)
{
    uint64_t v = n;
    if (w->out && n > UINT32_MAX) {
        w->out->status = OLL_ERR_LIMIT;
        return 0;
    }
    number(w, &v, 4);
    if (!w->out && v > (size_t)(w->end - w->at) / min_bytes) {
        fail(w, OLL_ERR_FORMAT);
        return 0;
    }
    return (uint32_t)v;
}

/* Memory of an array that is read; NULL when it is empty. */
static void *array(struct walk *w, size_t n, size_t size)
{
    if (n == 0)
        return NULL;
    void *p = w->arena ? oll_arena_alloc(w->arena, n, size) : oll_calloc(n, size);
    if (!p)
        fail(w, OLL_ERR_MEMORY);
    return p;
}

/* `n` bytes as they are, borrowed when read. */
static void blob(struct walk *w, const char **p, size_t n)
{
    if (w->out) {
        oll_strbuf_add(w->out, *p, n);
        return;
    }
    *p = NULL;
    if ((size_t)(w->end - w->at) < n) {
        fail(w, OLL_ERR_FORMAT);
        return;
    }
    *p = (const char *)w->at;
    w->at += n;
}

/* Text or NULL, borrowed when read; no NUL inside. */
static void text(struct walk *w, const char **s)
{
    uint32_t n = w->out && *s ? count(w, strlen(*s) + 1, 1) : count(w, 0, 1);
    if (n == 0) {
        *s = NULL;
        return;
    }
    blob(w, s, n);
    if (!w->out && *s && memchr(*s, '\0', n) != *s + n - 1) {
        fail(w, OLL_ERR_FORMAT);
        *s = NULL;
    }
}

/* Text that is never NULL. */
static void some_text(struct walk *w, const char **s)
{
    const char *const empty = "";
    if (w->out && !*s)
        *s = empty;
    text(w, s);
    if (!*s) {
        fail(w, OLL_ERR_FORMAT);
        *s = empty;
    }
}

/* Text of memory of its own. */
static void own_text(struct walk *w, char **s)
{
    const char *borrowed = *s;
    text(w, &borrowed);
    if (w->out)
        return;
    *s = borrowed ? oll_strdup(borrowed) : NULL;
    if (borrowed && !*s)
        fail(w, OLL_ERR_MEMORY);
}

static void ids(struct walk *w, const int32_t **list, uint32_t *n)
{
    const uint32_t n_ids = count(w, w->out && *list ? *n : 0, sizeof **list);
    int32_t *read = w->out ? NULL : array(w, n_ids, sizeof *read);
    for (uint32_t i = 0; i < n_ids && (w->out || read); i++) {
        int32_t v = w->out ? (*list)[i] : 0;
        i32(w, &v);
        if (read)
            read[i] = v;
    }
    if (!w->out) {
        *list = read;
        *n = read ? n_ids : 0;
    }
}

static void texts(struct walk *w, const char *const **list, uint32_t *n)
{
    const uint32_t n_texts = count(w, w->out && *list ? *n : 0, 5);
    const char **read = w->out ? NULL : array(w, n_texts, sizeof *read);
    for (uint32_t i = 0; i < n_texts && (w->out || read); i++) {
        const char *s = w->out ? (*list)[i] : NULL;
        some_text(w, &s);
        if (read)
            read[i] = s;
    }
    if (!w->out) {
        *list = read;
        *n = read ? n_texts : 0;
    }
}

static struct walk writing(struct oll_strbuf *out) { return (struct walk){.out = out}; }

static struct walk reading(const struct message *m, struct oll_arena *arena)
{
    return (struct walk){.at = m->body, .end = m->body + m->n_body, .arena = arena};
}

/* What reading came to; bytes behind the last field are wrong, too. */
static oll_status result(const struct walk *w)
{
    return w->status != OLL_OK ? w->status : w->at == w->end ? OLL_OK : OLL_ERR_FORMAT;
}

/* ---- OPEN, READY ---- */

static void walk_params(struct walk *w, struct oll_engine_params *p)
{
    some_text(w, &p->model_path);
    text(w, &p->devices);
    text(w, &p->adapter_path);
    text(w, &p->prefix_folder);
    u64(w, &p->prefix_bytes);
    u32(w, &p->n_ctx);
    u32(w, &p->n_slots);
    u32(w, &p->n_ubatch);
    i32(w, &p->n_threads);
    p->kv_dtype = (enum oll_dtype)choice(w, (int)p->kv_dtype, 256);
    flag(w, &p->kv_f32);
    flag(w, &p->no_speculation);
}

static void walk_open(struct walk *w, struct message_open *o)
{
    walk_params(w, &o->params);
    some_text(w, &o->name);
    o->log_level = (enum oll_log_level)(
        choice(w, (int)o->log_level - OLL_LOG_NONE, OLL_LOG_TRACE - OLL_LOG_NONE + 1) +
        OLL_LOG_NONE);
    u32(w, &o->alive_ms);
    if (o->alive_ms == 0)
        fail(w, OLL_ERR_FORMAT);
}

void message_put_open(struct oll_strbuf *out, const struct message_open *open)
{
    struct message_open copy = *open;
    struct walk w = writing(out);
    const size_t at = message_begin(out, MESSAGE_OPEN, 0);
    walk_open(&w, &copy);
    message_end(out, MESSAGE_OPEN, at);
}

oll_status message_get_open(const struct message *m, struct message_open *out)
{
    struct walk w = reading(m, NULL);
    *out = (struct message_open){.log_level = OLL_LOG_NONE};
    walk_open(&w, out);
    return result(&w);
}

void message_put_plan(struct oll_strbuf *out, const struct message_open *open)
{
    struct message_open copy = *open;
    struct walk w = writing(out);
    const size_t at = message_begin(out, MESSAGE_PLAN, 0);
    walk_open(&w, &copy);
    message_end(out, MESSAGE_PLAN, at);
}

static void walk_info(struct walk *w, struct oll_model_info *i)
{
    some_text(w, &i->architecture);
    some_text(w, &i->name);
    some_text(w, &i->quantization);
    u64(w, &i->n_params);
    u64(w, &i->file_bytes);
    u64(w, &i->weights_bytes);
    u64(w, &i->kv_bytes);
    u64(w, &i->activation_bytes);
    u32(w, &i->n_ctx);
    u32(w, &i->n_ctx_train);
    u32(w, &i->n_embd);
    u32(w, &i->n_embd_out);
    u32(w, &i->n_layer);
    u32(w, &i->n_vocab);
    flag(w, &i->can_complete);
    flag(w, &i->can_embed);
    flag(w, &i->is_encoder);
    flag(w, &i->has_chat_template);
    flag(w, &i->can_insert);
    flag(w, &i->can_use_tools);
    flag(w, &i->can_think);
}

void message_put_ready(struct oll_strbuf *out, const struct oll_model_info *info)
{
    struct oll_model_info copy = *info;
    struct walk w = writing(out);
    const size_t at = message_begin(out, MESSAGE_READY, 0);
    walk_info(&w, &copy);
    message_end(out, MESSAGE_READY, at);
}

oll_status message_get_ready(const struct message *m, struct oll_model_info *out)
{
    struct walk w = reading(m, NULL);
    *out = (struct oll_model_info){0};
    walk_info(&w, out);
    return result(&w);
}

/* ---- PLANNED ---- */

static void walk_plan_device(struct walk *w, struct oll_plan_device *d)
{
    const char *name = d->name;
    some_text(w, &name);
    if (!w->out && strlen(name) >= sizeof d->name)
        fail(w, OLL_ERR_FORMAT);
    else if (!w->out)
        memcpy(d->name, name, strlen(name) + 1);
    u32(w, &d->n_layer);
    u64(w, &d->weights_bytes);
    u64(w, &d->kv_bytes);
    u64(w, &d->activation_bytes);
}

/* Sizes of layers: as many as there must be. */
static void walk_sizes(struct walk *w, uint64_t **sizes, uint32_t n)
{
    if (count(w, n, sizeof **sizes) != n)
        fail(w, OLL_ERR_FORMAT);
    else if (!w->out)
        *sizes = array(w, n, sizeof **sizes);
    for (uint32_t i = 0; i < n && *sizes && w->status == OLL_OK; i++)
        u64(w, &(*sizes)[i]);
}

static void walk_plan(struct walk *w, struct oll_plan *p)
{
    u32(w, &p->n_ctx);
    u32(w, &p->n_slots);
    u32(w, &p->n_ubatch);
    u32(w, &p->n_layer);
    p->kv_dtype = (enum oll_dtype)choice(w, (int)p->kv_dtype, 256);
    p->n_device = choice(w, p->n_device, OLL_PLAN_MAX_DEVICES + 1);
    for (int d = 0; d < p->n_device; d++)
        walk_plan_device(w, &p->devices[d]);
    u64(w, &p->mapped_bytes);
    u64(w, &p->scratch_bytes);
    u64(w, &p->host_bytes);
    u64(w, &p->input_bytes);
    if (p->n_layer == 0 || p->n_layer == UINT32_MAX)
        fail(w, OLL_ERR_FORMAT);
    if (w->status == OLL_OK) {
        walk_sizes(w, &p->layer_bytes, p->n_layer + 1);
        walk_sizes(w, &p->layer_kv_bytes, p->n_layer);
    }
}

void message_put_planned(struct oll_strbuf *out, const struct oll_plan *plan)
{
    struct oll_plan copy = *plan;
    struct walk w = writing(out);
    const size_t at = message_begin(out, MESSAGE_PLANNED, 0);
    walk_plan(&w, &copy);
    message_end(out, MESSAGE_PLANNED, at);
}

oll_status message_get_planned(const struct message *m, struct oll_plan *out)
{
    struct walk w = reading(m, NULL);
    struct oll_plan plan = {0};
    *out = plan;
    walk_plan(&w, &plan);
    const oll_status status = result(&w);
    if (status == OLL_OK)
        *out = plan;
    else
        oll_plan_free(&plan);
    return status;
}

/* ---- SUBMIT ---- */

static void walk_bias(struct walk *w, struct oll_options *o)
{
    const uint32_t n = count(w, w->out && o->logit_bias ? o->n_logit_bias : 0, 8);
    struct oll_token_bias *read = w->out ? NULL : array(w, n, sizeof *read);
    for (uint32_t i = 0; i < n && (w->out || read); i++) {
        struct oll_token_bias b = w->out ? o->logit_bias[i] : (struct oll_token_bias){0};
        i32(w, &b.token);
        f32(w, &b.bias);
        if (read)
            read[i] = b;
    }
    if (!w->out) {
        o->logit_bias = read;
        o->n_logit_bias = read ? n : 0;
    }
}

static void walk_options(struct walk *w, struct oll_options *o)
{
    i64(w, &o->seed);
    f32(w, &o->temperature);
    i32(w, &o->top_k);
    f32(w, &o->top_p);
    f32(w, &o->min_p);
    f32(w, &o->typical_p);
    i32(w, &o->repeat_last_n);
    f32(w, &o->repeat_penalty);
    f32(w, &o->presence_penalty);
    f32(w, &o->frequency_penalty);
    i32(w, &o->num_predict);
    i32(w, &o->think_budget);
    i32(w, &o->num_keep);
    texts(w, &o->stop, &o->n_stop);
    walk_bias(w, o);
    flag(w, &o->ignore_eog);
}

static void walk_calls(struct walk *w, struct oll_message *m)
{
    const uint32_t n = count(w, w->out && m->tool_calls ? m->n_tool_calls : 0, 12);
    struct oll_tool_call *read = w->out ? NULL : array(w, n, sizeof *read);
    for (uint32_t i = 0; i < n && (w->out || read); i++) {
        struct oll_tool_call call = w->out ? m->tool_calls[i] : (struct oll_tool_call){0};
        text(w, &call.id);
        text(w, &call.name);
        text(w, &call.arguments_json);
        if (read)
            read[i] = call;
    }
    if (!w->out) {
        m->tool_calls = read;
        m->n_tool_calls = read ? n : 0;
    }
}

static void walk_messages(struct walk *w, struct oll_request *r)
{
    const uint32_t n = count(w, w->out && r->messages ? r->n_messages : 0, 24);
    struct oll_message *read = w->out ? NULL : array(w, n, sizeof *read);
    for (uint32_t i = 0; i < n && (w->out || read); i++) {
        struct oll_message m = w->out ? r->messages[i] : (struct oll_message){0};
        text(w, &m.role);
        text(w, &m.content);
        text(w, &m.thinking);
        text(w, &m.tool_name);
        text(w, &m.tool_call_id);
        walk_calls(w, &m);
        if (read)
            read[i] = m;
    }
    if (!w->out) {
        r->messages = read;
        r->n_messages = read ? n : 0;
    }
}

static void walk_request(struct walk *w, struct oll_request *r)
{
    r->kind = (enum oll_request_kind)choice(w, (int)r->kind, OLL_REQUEST_EMBED + 1);
    walk_options(w, &r->options);
    text(w, &r->system);
    text(w, &r->prompt);
    text(w, &r->suffix);
    ids(w, &r->context, &r->n_context);
    flag(w, &r->raw);
    walk_messages(w, r);
    text(w, &r->tools_json);
    flag(w, &r->force_call);
    text(w, &r->forced_tool);
    flag(w, &r->one_call);
    r->think = (enum oll_think)choice(w, (int)r->think, OLL_THINK_MAX + 1);
    texts(w, &r->inputs, &r->n_inputs);
    ids(w, &r->tokens, &r->n_tokens);
    u32(w, &r->n_input_max);
    u32(w, &r->dimensions);
    text(w, &r->query);
    text(w, &r->instruction);
    text(w, &r->template_text);
    text(w, &r->model_template);
    text(w, &r->renderer);
    text(w, &r->parser);
    text(w, &r->model_name);
    r->prefer_template =
        (enum oll_template_preference)choice(w, (int)r->prefer_template, OLL_TEMPLATE_JINJA + 1);
    text(w, &r->format_json);
    text(w, &r->grammar);
    text(w, &r->share_with);
    flag(w, &r->no_truncate);
    flag(w, &r->no_shift);
    flag(w, &r->want_context);
    flag(w, &r->render_only);
    u32(w, &r->n_top_logprobs);
    flag(w, &r->logprobs);
    flag(w, &r->no_speculation);
}

void message_put_submit(struct oll_strbuf *out, uint64_t id, const struct oll_request *request)
{
    struct oll_request copy = *request;
    struct walk w = writing(out);
    const size_t at = message_begin(out, MESSAGE_SUBMIT, id);
    walk_request(&w, &copy);
    message_end(out, MESSAGE_SUBMIT, at);
}

oll_status message_get_submit(const struct message *m, struct oll_arena *arena,
                              struct oll_request *out)
{
    struct walk w = reading(m, arena);
    *out = (struct oll_request){0};
    walk_request(&w, out);
    return result(&w);
}

/* ---- EVENT ---- */

static void walk_logprob(struct walk *w, struct oll_logprob *p)
{
    const char *borrowed = p->text;
    i32(w, &p->token);
    f32(w, &p->logprob);
    uint32_t n = count(w, w->out && p->text ? p->n_text : 0, 1);
    blob(w, &borrowed, n);
    if (w->out)
        return;
    p->text = borrowed ? oll_strndup(borrowed, n) : NULL;
    p->n_text = p->text ? n : 0;
    if (borrowed && !p->text)
        fail(w, OLL_ERR_MEMORY);
}

/* A token and its alternatives, which have none of their own. */
static void walk_choice(struct walk *w, struct oll_logprob *p)
{
    walk_logprob(w, p);
    const uint32_t n = count(w, w->out && p->top ? p->n_top : 0, 12);
    if (!w->out) {
        p->top = array(w, n, sizeof *p->top);
        p->n_top = p->top ? n : 0;
    }
    for (uint32_t i = 0; i < p->n_top; i++)
        walk_logprob(w, &p->top[i]);
}

static void walk_logprobs(struct walk *w, struct oll_event *e)
{
    const uint32_t n = count(w, w->out && e->logprobs ? e->n_logprobs : 0, 16);
    if (!w->out) {
        e->logprobs = array(w, n, sizeof *e->logprobs);
        e->n_logprobs = e->logprobs ? n : 0;
    }
    for (uint32_t i = 0; i < e->n_logprobs; i++)
        walk_choice(w, &e->logprobs[i]);
}

static void walk_vector(struct walk *w, struct oll_event *e)
{
    const uint32_t n = count(w, w->out && e->embedding ? e->n_embedding : 0, 4);
    if (!w->out) {
        e->embedding = array(w, n, sizeof *e->embedding);
        e->n_embedding = e->embedding ? n : 0;
    }
    for (uint32_t i = 0; i < e->n_embedding; i++)
        f32(w, &e->embedding[i]);
}

static void walk_event(struct walk *w, struct oll_event *e)
{
    e->kind = (enum oll_event_kind)choice(w, (int)e->kind, OLL_EVENT_ERROR + 1);
    own_text(w, &e->text);
    if (!w->out)
        e->n_text = e->text ? strlen(e->text) : 0;
    own_text(w, &e->tool_name);
    own_text(w, &e->tool_id);
    walk_logprobs(w, e);
    flag(w, &e->truncated);
    walk_vector(w, e);
    e->status = (oll_status)choice(w, (int)e->status, OLL_STATUS_COUNT);
    e->done_reason = (enum oll_done_reason)choice(w, (int)e->done_reason, OLL_DONE_LENGTH + 1);
    u32(w, &e->n_prompt);
    u32(w, &e->n_prompt_cached);
    u32(w, &e->n_reply);
    u32(w, &e->n_drafted);
    u32(w, &e->n_accepted);
    u64(w, &e->prompt_ns);
    u64(w, &e->reply_ns);
    u64(w, &e->queue_ns);
    flag(w, &e->thinking_cut);
    const int32_t *context = e->context;
    ids(w, &context, &e->n_context);
    e->context = (int32_t *)context;
    const bool is_call = e->kind == OLL_EVENT_TOOL_CALL, is_vector = e->kind == OLL_EVENT_EMBEDDING;
    if (!w->out && ((is_call && (!e->text || !e->tool_name)) || (is_vector && !e->embedding)))
        fail(w, OLL_ERR_FORMAT);
}

void message_put_event(struct oll_strbuf *out, uint64_t id, const struct oll_event *event)
{
    struct oll_event copy = *event;
    struct walk w = writing(out);
    const size_t at = message_begin(out, MESSAGE_EVENT, id);
    walk_event(&w, &copy);
    message_end(out, MESSAGE_EVENT, at);
}

oll_status message_get_event(const struct message *m, struct oll_event *out)
{
    struct walk w = reading(m, NULL);
    *out = (struct oll_event){0};
    walk_event(&w, out);
    oll_status status = result(&w);
    if (status != OLL_OK)
        oll_event_free(out);
    return status;
}

/* ---- the small ones ---- */

void message_put_credit(struct oll_strbuf *out, uint64_t id, uint32_t n)
{
    struct walk w = writing(out);
    const size_t at = message_begin(out, MESSAGE_CREDIT, id);
    u32(&w, &n);
    message_end(out, MESSAGE_CREDIT, at);
}

oll_status message_get_credit(const struct message *m, uint32_t *n)
{
    struct walk w = reading(m, NULL);
    u32(&w, n);
    return result(&w);
}

static void walk_tokenize(struct walk *w, struct message_tokenize *t)
{
    flag(w, &t->add_special);
    flag(w, &t->parse_special);
    t->n_text = count(w, t->n_text, 1);
    blob(w, &t->text, t->n_text);
}

void message_put_tokenize(struct oll_strbuf *out, uint64_t id, const struct message_tokenize *ask)
{
    struct message_tokenize copy = *ask;
    struct walk w = writing(out);
    const size_t at = message_begin(out, MESSAGE_TOKENIZE, id);
    walk_tokenize(&w, &copy);
    message_end(out, MESSAGE_TOKENIZE, at);
}

oll_status message_get_tokenize(const struct message *m, struct message_tokenize *out)
{
    struct walk w = reading(m, NULL);
    *out = (struct message_tokenize){0};
    walk_tokenize(&w, out);
    return result(&w);
}

void message_put_tokens(struct oll_strbuf *out, enum message_kind kind, uint64_t id,
                        const int32_t *tokens, size_t n)
{
    struct walk w = writing(out);
    const size_t at = message_begin(out, kind, id);
    uint32_t n_tokens = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
    ids(&w, &tokens, &n_tokens);
    message_end(out, kind, at);
}

oll_status message_get_tokens(const struct message *m, struct oll_arena *arena,
                              const int32_t **tokens, size_t *n)
{
    struct walk w = reading(m, arena);
    uint32_t n_tokens = 0;
    ids(&w, tokens, &n_tokens);
    *n = n_tokens;
    return result(&w);
}

void message_put_text(struct oll_strbuf *out, uint64_t id, const char *bytes, size_t n)
{
    struct walk w = writing(out);
    const size_t at = message_begin(out, MESSAGE_TEXT, id);
    blob(&w, &bytes, count(&w, n, 1));
    message_end(out, MESSAGE_TEXT, at);
}

oll_status message_get_text(const struct message *m, const char **bytes, size_t *n)
{
    struct walk w = reading(m, NULL);
    *n = count(&w, 0, 1);
    blob(&w, bytes, *n);
    return result(&w);
}

void message_put_error(struct oll_strbuf *out, uint64_t id, oll_status status, const char *message)
{
    struct walk w = writing(out);
    const size_t at = message_begin(out, MESSAGE_ERROR, id);
    choice(&w, (int)status, OLL_STATUS_COUNT);
    some_text(&w, &message);
    message_end(out, MESSAGE_ERROR, at);
}

oll_status message_get_error(const struct message *m, oll_status *status, const char **message)
{
    struct walk w = reading(m, NULL);
    *status = (oll_status)choice(&w, 0, OLL_STATUS_COUNT);
    some_text(&w, message);
    if (*status == OLL_OK)
        fail(&w, OLL_ERR_FORMAT);
    return result(&w);
}
