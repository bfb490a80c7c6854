/* Messages: what is written is what is read; frames that are cut or changed are refused. */
#include "server/message.h"

#include "engine/base/mem.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 300 };

static uint64_t state = 20;

static uint32_t below(uint32_t n) { return (uint32_t)(testing_random(&state) % n); }

/* Random text in an arena; sometimes NULL, sometimes empty. */
static const char *any_text(struct oll_arena *a)
{
    const uint32_t n = below(20);
    if (n == 0)
        return NULL;
    char *s = oll_arena_alloc(a, n, 1);
    for (uint32_t i = 0; i + 1 < n; i++)
        s[i] = (char)(1 + below(255));
    return s;
}

static const char *some_text(struct oll_arena *a)
{
    const char *s = any_text(a);
    return s ? s : "x";
}

static const int32_t *any_ids(struct oll_arena *a, uint32_t *n)
{
    *n = below(9);
    int32_t *list = oll_arena_alloc(a, *n + 1, sizeof *list);
    for (uint32_t i = 0; i < *n; i++)
        list[i] = (int32_t)testing_random(&state);
    return *n ? list : NULL;
}

static const char *const *any_texts(struct oll_arena *a, uint32_t *n)
{
    *n = below(4);
    const char **list = oll_arena_alloc(a, *n + 1, sizeof *list);
    for (uint32_t i = 0; i < *n; i++)
        list[i] = some_text(a);
    return *n ? list : NULL;
}

static float any_float(void) { return (float)below(1u << 20) / 7.0f - 1000; }

static void any_options(struct oll_arena *a, struct oll_options *o)
{
    o->seed = (int64_t)testing_random(&state);
    o->temperature = any_float();
    o->top_k = (int32_t)testing_random(&state);
    o->top_p = any_float();
    o->min_p = any_float();
    o->typical_p = any_float();
    o->repeat_last_n = (int32_t)testing_random(&state);
    o->repeat_penalty = any_float();
    o->presence_penalty = any_float();
    o->frequency_penalty = any_float();
    o->num_predict = (int32_t)testing_random(&state);
    o->think_budget = (int32_t)testing_random(&state);
    o->num_keep = (int32_t)testing_random(&state);
    o->stop = any_texts(a, &o->n_stop);
    o->n_logit_bias = below(4);
    struct oll_token_bias *bias = oll_arena_alloc(a, 4, sizeof *bias);
    for (uint32_t i = 0; i < o->n_logit_bias; i++)
        bias[i] = (struct oll_token_bias){(int32_t)testing_random(&state), any_float()};
    o->logit_bias = o->n_logit_bias ? bias : NULL;
    o->ignore_eog = below(2);
}

static void any_messages(struct oll_arena *a, struct oll_request *r)
{
    struct oll_message *list = oll_arena_alloc(a, 5, sizeof *list);
    r->n_messages = below(5);
    for (uint32_t i = 0; i < r->n_messages; i++) {
        struct oll_message *m = &list[i];
        struct oll_tool_call *calls = oll_arena_alloc(a, 3, sizeof *calls);
        m->role = some_text(a);
        m->content = any_text(a);
        m->thinking = any_text(a);
        m->tool_name = any_text(a);
        m->tool_call_id = any_text(a);
        m->n_tool_calls = below(3);
        for (uint32_t k = 0; k < m->n_tool_calls; k++)
            calls[k] = (struct oll_tool_call){any_text(a), some_text(a), any_text(a)};
        m->tool_calls = m->n_tool_calls ? calls : NULL;
    }
    r->messages = r->n_messages ? list : NULL;
}

static void any_request(struct oll_arena *a, struct oll_request *r)
{
    memset(r, 0, sizeof *r);
    r->kind = (enum oll_request_kind)below(OLL_REQUEST_EMBED + 1);
    any_options(a, &r->options);
    r->system = any_text(a);
    r->prompt = any_text(a);
    r->suffix = any_text(a);
    r->context = any_ids(a, &r->n_context);
    r->raw = below(2);
    any_messages(a, r);
    r->tools_json = any_text(a);
    r->force_call = below(2);
    r->forced_tool = any_text(a);
    r->one_call = below(2);
    r->think = (enum oll_think)below(OLL_THINK_MAX + 1);
    r->inputs = any_texts(a, &r->n_inputs);
    r->tokens = any_ids(a, &r->n_tokens);
    r->n_input_max = (uint32_t)testing_random(&state);
    r->dimensions = (uint32_t)testing_random(&state);
    r->query = any_text(a);
    r->instruction = any_text(a);
    r->template_text = any_text(a);
    r->model_template = any_text(a);
    r->renderer = any_text(a);
    r->parser = any_text(a);
    r->model_name = any_text(a);
    r->prefer_template = (enum oll_template_preference)below(OLL_TEMPLATE_JINJA + 1);
    r->format_json = any_text(a);
    r->grammar = any_text(a);
    r->share_with = any_text(a);
    r->no_truncate = below(2);
    r->no_shift = below(2);
    r->want_context = below(2);
    r->render_only = below(2);
    r->n_top_logprobs = (uint32_t)testing_random(&state);
    r->logprobs = below(2);
    r->no_speculation = below(2);
}

static bool same_text(const char *a, const char *b)
{
    return !a == !b && (!a || strcmp(a, b) == 0);
}

static bool same_texts(const char *const *a, const char *const *b, uint32_t n)
{
    bool same = true;
    for (uint32_t i = 0; i < n; i++)
        same &= same_text(a[i], b[i]);
    return same;
}

static bool same_messages(const struct oll_request *a, const struct oll_request *b)
{
    bool same = a->n_messages == b->n_messages;
    for (uint32_t i = 0; same && i < a->n_messages; i++) {
        const struct oll_message *x = &a->messages[i], *y = &b->messages[i];
        same = same_text(x->role, y->role) && same_text(x->content, y->content) &&
               same_text(x->thinking, y->thinking) && same_text(x->tool_name, y->tool_name) &&
               same_text(x->tool_call_id, y->tool_call_id) && x->n_tool_calls == y->n_tool_calls;
        for (uint32_t k = 0; same && k < x->n_tool_calls; k++) {
            const struct oll_tool_call *c = &x->tool_calls[k], *d = &y->tool_calls[k];
            same = same_text(c->id, d->id) && same_text(c->name, d->name) &&
                   same_text(c->arguments_json, d->arguments_json);
        }
    }
    return same;
}

/* Pointers that differ in value are taken out, so that the rest can be compared as bytes: a field
 * that is forgotten on its way shows as zero. */
static void blank_pointers(struct oll_request *r)
{
    r->options.stop = NULL;
    r->options.logit_bias = NULL;
    r->system = r->prompt = r->suffix = r->tools_json = r->forced_tool = NULL;
    r->context = r->tokens = NULL;
    r->messages = NULL;
    r->inputs = NULL;
    r->query = r->instruction = NULL;
    r->template_text = r->model_template = r->renderer = r->parser = r->model_name = NULL;
    r->format_json = r->grammar = r->share_with = NULL;
}

static bool same_request(struct oll_request a, struct oll_request b)
{
    const bool same = same_texts(a.options.stop, b.options.stop, a.options.n_stop) &&
                      memcmp(a.options.logit_bias ? a.options.logit_bias : (void *)"",
                             b.options.logit_bias ? b.options.logit_bias : (void *)"",
                             a.options.n_logit_bias * sizeof *a.options.logit_bias) == 0 &&
                      same_text(a.system, b.system) && same_text(a.prompt, b.prompt) &&
                      same_text(a.suffix, b.suffix) && same_text(a.tools_json, b.tools_json) &&
                      same_text(a.forced_tool, b.forced_tool) && same_messages(&a, &b) &&
                      same_texts(a.inputs, b.inputs, a.n_inputs) && same_text(a.query, b.query) &&
                      same_text(a.instruction, b.instruction) &&
                      memcmp(a.context ? a.context : (void *)"", b.context ? b.context : (void *)"",
                             a.n_context * sizeof *a.context) == 0 &&
                      memcmp(a.tokens ? a.tokens : (void *)"", b.tokens ? b.tokens : (void *)"",
                             a.n_tokens * sizeof *a.tokens) == 0 &&
                      same_text(a.template_text, b.template_text) &&
                      same_text(a.model_template, b.model_template) &&
                      same_text(a.renderer, b.renderer) && same_text(a.parser, b.parser) &&
                      same_text(a.model_name, b.model_name) &&
                      same_text(a.format_json, b.format_json) && same_text(a.grammar, b.grammar) &&
                      same_text(a.share_with, b.share_with);
    blank_pointers(&a);
    blank_pointers(&b);
    return same && memcmp(&a, &b, sizeof a) == 0;
}

/* ---- events ---- */

static char *heap_text(void)
{
    char bytes[24];
    const uint32_t n = below(20);
    for (uint32_t i = 0; i < n; i++)
        bytes[i] = (char)(1 + below(255));
    return oll_strndup(bytes, n);
}

static void any_logprob(struct oll_logprob *p, uint32_t n_top)
{
    p->token = (int32_t)testing_random(&state);
    p->logprob = any_float();
    p->text = heap_text();
    p->n_text = (uint32_t)strlen(p->text);
    p->n_top = n_top;
    p->top = n_top ? oll_calloc(n_top, sizeof *p->top) : NULL;
    for (uint32_t i = 0; i < n_top; i++)
        any_logprob(&p->top[i], 0);
}

static void any_event(struct oll_event *e)
{
    memset(e, 0, sizeof *e);
    e->kind = (enum oll_event_kind)below(OLL_EVENT_ERROR + 1);
    e->text = heap_text();
    e->n_text = strlen(e->text);
    e->tool_name = heap_text();
    e->tool_id = below(2) ? heap_text() : NULL;
    e->n_logprobs = below(4);
    e->logprobs = e->n_logprobs ? oll_calloc(e->n_logprobs, sizeof *e->logprobs) : NULL;
    for (uint32_t i = 0; i < e->n_logprobs; i++)
        any_logprob(&e->logprobs[i], below(4));
    e->truncated = below(2);
    e->n_embedding = 1 + below(9);
    e->embedding = oll_calloc(e->n_embedding, sizeof *e->embedding);
    for (uint32_t i = 0; i < e->n_embedding; i++)
        e->embedding[i] = any_float();
    e->status = (oll_status)below(OLL_STATUS_COUNT);
    e->done_reason = (enum oll_done_reason)below(2);
    e->n_prompt = (uint32_t)testing_random(&state);
    e->n_prompt_cached = (uint32_t)testing_random(&state);
    e->n_reply = (uint32_t)testing_random(&state);
    e->n_drafted = (uint32_t)testing_random(&state);
    e->n_accepted = (uint32_t)testing_random(&state);
    e->prompt_ns = testing_random(&state);
    e->reply_ns = testing_random(&state);
    e->queue_ns = testing_random(&state);
    e->thinking_cut = below(2);
    e->n_context = below(5);
    e->context = e->n_context ? oll_calloc(e->n_context, sizeof *e->context) : NULL;
    for (uint32_t i = 0; i < e->n_context; i++)
        e->context[i] = (int32_t)testing_random(&state);
}

static bool same_logprob(const struct oll_logprob *a, const struct oll_logprob *b)
{
    bool same = a->token == b->token && memcmp(&a->logprob, &b->logprob, sizeof(float)) == 0 &&
                a->n_text == b->n_text && memcmp(a->text, b->text, a->n_text) == 0 &&
                a->n_top == b->n_top;
    for (uint32_t i = 0; same && i < a->n_top; i++)
        same = a->top[i].token == b->top[i].token && same_text(a->top[i].text, b->top[i].text);
    return same;
}

static bool same_event(struct oll_event a, struct oll_event b)
{
    bool same = same_text(a.text, b.text) && same_text(a.tool_name, b.tool_name) &&
                same_text(a.tool_id, b.tool_id) && a.n_logprobs == b.n_logprobs &&
                a.n_embedding == b.n_embedding && a.n_context == b.n_context &&
                a.n_drafted == b.n_drafted && a.n_accepted == b.n_accepted &&
                memcmp(a.embedding, b.embedding, a.n_embedding * sizeof(float)) == 0;
    for (uint32_t i = 0; same && i < a.n_logprobs; i++)
        same = same_logprob(&a.logprobs[i], &b.logprobs[i]);
    for (uint32_t i = 0; same && i < a.n_context; i++)
        same = a.context[i] == b.context[i];
    a.text = b.text = a.tool_name = b.tool_name = a.tool_id = b.tool_id = NULL;
    a.logprobs = b.logprobs = NULL;
    a.embedding = b.embedding = NULL;
    a.context = b.context = NULL;
    return same && memcmp(&a, &b, sizeof a) == 0;
}

/* ---- round trips ---- */

/* The only frame of a buffer. */
static struct message only(struct message_reader *reader, enum message_side side,
                           const struct oll_strbuf *bytes)
{
    struct message m = {0}, more;
    struct oll_error err = {0};
    CHECK_EQ(bytes->status, OLL_OK);
    message_reader_init(reader, side);
    message_reader_add(reader, bytes->data, bytes->len);
    CHECK_MSG(message_reader_next(reader, &m, &err) == OLL_OK, "%s", err.text);
    CHECK_STATUS(message_reader_next(reader, &more, &err), OLL_ERR_TIMEOUT);
    return m;
}

TEST(requests_arrive_as_they_were)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct oll_arena a, b;
        struct oll_request request, read;
        struct message_reader reader;
        struct oll_strbuf bytes;
        oll_arena_init(&a, 1 << 20);
        oll_arena_init(&b, 1 << 20);
        oll_strbuf_init(&bytes, 1 << 20);
        any_request(&a, &request);
        message_put_submit(&bytes, 7, &request);
        const struct message m = only(&reader, MESSAGE_FROM_SERVER, &bytes);
        CHECK_EQ(m.kind, MESSAGE_SUBMIT);
        CHECK_EQ(m.id, 7);
        CHECK_OK(message_get_submit(&m, &b, &read));
        CHECK(same_request(request, read));
        message_reader_free(&reader);
        oll_strbuf_free(&bytes);
        oll_arena_free(&a);
        oll_arena_free(&b);
    }
}

TEST(events_arrive_as_they_were)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct oll_event event, read;
        struct message_reader reader;
        struct oll_strbuf bytes;
        oll_strbuf_init(&bytes, 1 << 20);
        any_event(&event);
        message_put_event(&bytes, UINT64_MAX, &event);
        const struct message m = only(&reader, MESSAGE_FROM_RUNNER, &bytes);
        CHECK_EQ(m.kind, MESSAGE_EVENT);
        CHECK(m.id == UINT64_MAX);
        if (CHECK_OK(message_get_event(&m, &read)))
            CHECK(same_event(event, read));
        oll_event_free(&read);
        oll_event_free(&event);
        message_reader_free(&reader);
        oll_strbuf_free(&bytes);
    }
}

TEST(a_load_and_its_facts_arrive_as_they_were)
{
    const struct message_open open = {.params = {.model_path = "a b",
                                                 .devices = "cpu:0-9",
                                                 .adapter_path = NULL,
                                                 .n_ctx = 1,
                                                 .n_slots = 2,
                                                 .n_ubatch = 3,
                                                 .n_threads = -4,
                                                 .kv_dtype = OLL_Q8_0,
                                                 .kv_f32 = true,
                                                 .no_speculation = true},
                                      .name = "m",
                                      .log_level = OLL_LOG_NONE,
                                      .alive_ms = 9};
    const struct oll_model_info info = {.architecture = "llama",
                                        .name = "",
                                        .quantization = "Q4",
                                        .n_params = 1,
                                        .file_bytes = UINT64_MAX,
                                        .weights_bytes = 2,
                                        .kv_bytes = 3,
                                        .activation_bytes = 4,
                                        .n_ctx = 5,
                                        .n_ctx_train = 6,
                                        .n_embd = 7,
                                        .n_embd_out = 8,
                                        .n_layer = 9,
                                        .n_vocab = 10,
                                        .can_complete = true,
                                        .is_encoder = true,
                                        .can_insert = true,
                                        .can_think = true};
    struct message_open open_read;
    struct oll_model_info info_read;
    struct message_reader reader;
    struct oll_strbuf bytes;
    oll_strbuf_init(&bytes, 1 << 20);
    message_put_open(&bytes, &open);
    struct message m = only(&reader, MESSAGE_FROM_SERVER, &bytes);
    CHECK_OK(message_get_open(&m, &open_read));
    CHECK_STR(open_read.params.model_path, "a b");
    CHECK_STR(open_read.params.devices, "cpu:0-9");
    CHECK(!open_read.params.adapter_path);
    CHECK_STR(open_read.name, "m");
    open_read.params.model_path = open.params.model_path;
    open_read.params.devices = open.params.devices;
    open_read.name = open.name;
    CHECK(memcmp(&open.params.n_ctx, &open_read.params.n_ctx, 4 * 4) == 0);
    CHECK(open_read.params.kv_dtype == OLL_Q8_0 && open_read.params.kv_f32 &&
          open_read.params.no_speculation);
    CHECK(open_read.log_level == OLL_LOG_NONE && open_read.alive_ms == 9);
    message_reader_free(&reader);
    oll_strbuf_clear(&bytes);
    message_put_ready(&bytes, &info);
    m = only(&reader, MESSAGE_FROM_RUNNER, &bytes);
    CHECK_OK(message_get_ready(&m, &info_read));
    CHECK_STR(info_read.architecture, "llama");
    CHECK_STR(info_read.name, "");
    CHECK_STR(info_read.quantization, "Q4");
    info_read.architecture = info.architecture;
    info_read.name = info.name;
    info_read.quantization = info.quantization;
    CHECK(memcmp(&info, &info_read, sizeof info) == 0);
    message_reader_free(&reader);
    oll_strbuf_free(&bytes);
}

TEST(plans_arrive_as_they_were_or_not_at_all)
{
    uint64_t layers[] = {1, UINT64_MAX, 3}, caches[] = {4, 5};
    struct oll_plan plan = {.n_ctx = 1,
                            .n_slots = 2,
                            .n_ubatch = 3,
                            .n_layer = 2,
                            .kv_dtype = OLL_Q8_0,
                            .n_device = 2,
                            .devices = {{"cpu", 1, 2, 3, 4}, {"fifteen letters", 5, 6, 7, 8}},
                            .mapped_bytes = 9,
                            .scratch_bytes = 10,
                            .host_bytes = 11,
                            .layer_bytes = layers,
                            .layer_kv_bytes = caches,
                            .input_bytes = 12};
    struct oll_plan read;
    struct message_reader reader;
    struct oll_strbuf bytes;
    oll_strbuf_init(&bytes, 1 << 20);
    message_put_planned(&bytes, &plan);
    struct message m = only(&reader, MESSAGE_FROM_RUNNER, &bytes);
    if (CHECK_OK(message_get_planned(&m, &read))) {
        CHECK(memcmp(read.layer_bytes, layers, sizeof layers) == 0);
        CHECK(memcmp(read.layer_kv_bytes, caches, sizeof caches) == 0);
        CHECK(memcmp(read.devices, plan.devices, sizeof read.devices) == 0);
        CHECK(read.n_ctx == 1 && read.n_slots == 2 && read.n_ubatch == 3 && read.n_layer == 2);
        CHECK(read.n_device == 2 && read.kv_dtype == OLL_Q8_0 && read.mapped_bytes == 9);
        CHECK(read.scratch_bytes == 10 && read.host_bytes == 11 && read.input_bytes == 12);
        oll_plan_free(&read);
    }
    unsigned char *copy = oll_alloc(m.n_body, 1);
    for (size_t n = 0; n < m.n_body; n++) { /* cut, then each byte changed */
        const struct message cut = {.kind = MESSAGE_PLANNED, .body = m.body, .n_body = n};
        CHECK_STATUS(message_get_planned(&cut, &read), OLL_ERR_FORMAT);
        memcpy(copy, m.body, m.n_body);
        copy[n] ^= (unsigned char)(1u << below(8));
        const struct message wrong = {.kind = MESSAGE_PLANNED, .body = copy, .n_body = m.n_body};
        if (message_get_planned(&wrong, &read) == OLL_OK)
            oll_plan_free(&read);
        else
            CHECK(!read.layer_bytes && !read.layer_kv_bytes);
    }
    oll_free(copy);
    message_reader_free(&reader);
    oll_strbuf_free(&bytes);
}

TEST(calls_and_answers_arrive_as_they_were)
{
    const int32_t list[] = {0, -1, INT32_MAX, INT32_MIN}, *ids = NULL;
    const struct message_tokenize ask = {"a\0b", 3, true, false};
    struct message_tokenize ask_read;
    struct message_reader reader;
    struct oll_arena arena;
    struct oll_strbuf bytes;
    const char *text = NULL;
    size_t n = 0;
    uint32_t credit = 0;
    oll_status status = OLL_OK;
    oll_strbuf_init(&bytes, 1 << 20);
    oll_arena_init(&arena, 1 << 20);
    message_put_tokenize(&bytes, 1, &ask);
    message_put_tokens(&bytes, MESSAGE_DETOKENIZE, 2, list, 4);
    message_put_credit(&bytes, 3, 64);
    message_put_plain(&bytes, MESSAGE_CANCEL, 4);
    message_reader_init(&reader, MESSAGE_FROM_SERVER);
    for (size_t i = 0; i < bytes.len; i++) /* byte by byte, as a stream may come */
        message_reader_add(&reader, bytes.data + i, 1);
    struct message m;
    CHECK_OK(message_reader_next(&reader, &m, NULL));
    CHECK_OK(message_get_tokenize(&m, &ask_read));
    CHECK(ask_read.n_text == 3 && memcmp(ask_read.text, "a\0b", 3) == 0);
    CHECK(ask_read.add_special && !ask_read.parse_special);
    CHECK_OK(message_reader_next(&reader, &m, NULL));
    CHECK_OK(message_get_tokens(&m, &arena, &ids, &n));
    CHECK(n == 4 && memcmp(ids, list, sizeof list) == 0);
    CHECK_OK(message_reader_next(&reader, &m, NULL));
    CHECK_OK(message_get_credit(&m, &credit));
    CHECK_EQ(credit, 64);
    CHECK_OK(message_reader_next(&reader, &m, NULL));
    CHECK(m.kind == MESSAGE_CANCEL && m.id == 4 && m.n_body == 0);
    message_reader_free(&reader);
    oll_strbuf_clear(&bytes);
    message_put_text(&bytes, 5, "x\0y", 3);
    message_put_error(&bytes, 6, OLL_ERR_BUSY, "busy");
    message_reader_init(&reader, MESSAGE_FROM_RUNNER);
    message_reader_add(&reader, bytes.data, bytes.len);
    CHECK_OK(message_reader_next(&reader, &m, NULL));
    CHECK_OK(message_get_text(&m, &text, &n));
    CHECK(n == 3 && memcmp(text, "x\0y", 3) == 0);
    CHECK_OK(message_reader_next(&reader, &m, NULL));
    CHECK_OK(message_get_error(&m, &status, &text));
    CHECK(status == OLL_ERR_BUSY);
    CHECK_STR(text, "busy");
    message_reader_free(&reader);
    oll_strbuf_free(&bytes);
    oll_arena_free(&arena);
}

/* ---- what is wrong ---- */

/* Reads what a buffer holds, as a side would; the number of frames that were good. */
static int read_all(const char *data, size_t n)
{
    struct message_reader reader;
    struct message m;
    int n_good = 0;
    message_reader_init(&reader, MESSAGE_FROM_SERVER);
    message_reader_add(&reader, data, n);
    while (message_reader_next(&reader, &m, NULL) == OLL_OK) {
        struct oll_arena arena;
        struct oll_request request;
        oll_arena_init(&arena, 1 << 24);
        n_good += m.kind == MESSAGE_SUBMIT && message_get_submit(&m, &arena, &request) == OLL_OK;
        oll_arena_free(&arena);
    }
    message_reader_free(&reader);
    return n_good;
}

TEST(cut_and_changed_frames_are_refused_or_read)
{
    for (int i = 0; i < 40; i++) {
        struct oll_arena a;
        struct oll_request request;
        struct oll_strbuf bytes;
        oll_arena_init(&a, 1 << 20);
        oll_strbuf_init(&bytes, 1 << 20);
        any_request(&a, &request);
        message_put_submit(&bytes, 1, &request);
        CHECK_EQ(read_all(bytes.data, bytes.len), 1);
        for (size_t n = 0; n < bytes.len; n++)
            CHECK_EQ(read_all(bytes.data, n), 0);
        for (size_t k = 0; k < bytes.len * 2; k++) {
            const size_t at = below((uint32_t)bytes.len);
            const char before = bytes.data[at];
            bytes.data[at] = (char)(before ^ (1 << below(8)));
            read_all(bytes.data, bytes.len); /* no crash, whatever it says */
            bytes.data[at] = before;
        }
        /* A body that is shorter or longer than its fields. */
        bytes.data[0]++;
        oll_strbuf_addc(&bytes, 0);
        CHECK_EQ(read_all(bytes.data, bytes.len), 0);
        oll_strbuf_free(&bytes);
        oll_arena_free(&a);
    }
}

TEST(headers_are_checked_before_their_bodies_come)
{
    static const struct {
        unsigned char head[16];
        oll_status status;
    } cases[] = {
        {{4, 0, 0, 0, 1, 0, MESSAGE_CREDIT}, OLL_ERR_TIMEOUT}, /* good, its body is missing */
        {{5, 0, 0, 0, 1, 0, MESSAGE_CREDIT}, OLL_ERR_LIMIT},   /* too long */
        {{1, 0, 0, 0, 1, 0, MESSAGE_CANCEL}, OLL_ERR_LIMIT},   /* has none */
        {{4, 0, 0, 0, 2, 0, MESSAGE_CREDIT}, OLL_ERR_FORMAT},  /* version */
        {{4, 0, 0, 0, 1, 0, 0}, OLL_ERR_FORMAT},               /* kinds */
        {{4, 0, 0, 0, 1, 0, MESSAGE_KINDS}, OLL_ERR_FORMAT},
        {{4, 0, 0, 0, 1, 0, 1, 1}, OLL_ERR_FORMAT},
        {{0, 0, 0, 0, 1, 0, MESSAGE_ALIVE}, OLL_ERR_FORMAT}, /* of the other side */
        {{255, 255, 255, 255, 1, 0, MESSAGE_SUBMIT}, OLL_ERR_LIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct message_reader reader;
        struct message m;
        struct oll_error err = {0};
        message_reader_init(&reader, MESSAGE_FROM_SERVER);
        message_reader_add(&reader, cases[i].head, 16);
        CHECK_STATUS(message_reader_next(&reader, &m, &err), cases[i].status);
        CHECK((cases[i].status == OLL_ERR_TIMEOUT) == !err.text[0]);
        message_reader_free(&reader);
    }
}

/* A count that promises more than the frame has bytes takes no memory. */
TEST(counts_are_believed_against_the_bytes)
{
    struct oll_arena a;
    struct oll_request request = {.kind = OLL_REQUEST_CHAT}, read;
    struct message_reader reader;
    struct oll_strbuf bytes;
    oll_strbuf_init(&bytes, 1 << 20);
    message_put_submit(&bytes, 1, &request);
    /* Behind kind (1), seed (8) and twelve numbers (48) stands the count of stop texts. */
    memset(bytes.data + MESSAGE_HEADER_BYTES + 57, 0x7f, 4);
    const struct message m = only(&reader, MESSAGE_FROM_SERVER, &bytes);
    oll_arena_init(&a, 1 << 20);
    CHECK_STATUS(message_get_submit(&m, &a, &read), OLL_ERR_FORMAT);
    CHECK_EQ(a.used_bytes, 0);
    oll_arena_free(&a);
    message_reader_free(&reader);
    oll_strbuf_free(&bytes);
}

TEST(a_frame_that_does_not_fit_is_not_begun)
{
    struct oll_strbuf bytes;
    oll_strbuf_init(&bytes, 40);
    message_put_plain(&bytes, MESSAGE_CANCEL, 1);
    const size_t before = bytes.len;
    message_put_text(&bytes, 2, "0123456789abcdef", 16);
    CHECK_EQ(bytes.status, OLL_ERR_LIMIT);
    CHECK_EQ(bytes.len, before);
    oll_strbuf_free(&bytes);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
