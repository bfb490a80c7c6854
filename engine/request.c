#include "engine/request.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/sha256.h"

#include <string.h>

/* Copies a string of the caller; NULL stays NULL. */
static const char *copy_str(struct oll_arena *arena, const char *s)
{
    return s ? oll_arena_strdup(arena, s) : NULL;
}

static const void *copy_bytes(struct oll_arena *arena, const void *src, size_t count, size_t size)
{
    void *copy = src && count ? oll_arena_alloc(arena, count, size) : NULL;
    if (copy)
        memcpy(copy, src, count * size);
    return copy;
}

static const char *const *copy_strings(struct oll_arena *arena, const char *const *src, uint32_t n)
{
    const char **copy = src && n ? oll_arena_alloc(arena, n, sizeof *copy) : NULL;
    for (uint32_t i = 0; copy && i < n; i++)
        copy[i] = copy_str(arena, src[i]);
    return copy;
}

static void copy_message(struct oll_arena *arena, struct oll_message *to,
                         const struct oll_message *from)
{
    *to = (struct oll_message){
        .role = copy_str(arena, from->role ? from->role : ""),
        .content = copy_str(arena, from->content ? from->content : ""),
        .thinking = copy_str(arena, from->thinking),
        .tool_name = copy_str(arena, from->tool_name),
        .tool_call_id = copy_str(arena, from->tool_call_id),
    };
    struct oll_tool_call *calls =
        from->n_tool_calls ? oll_arena_alloc(arena, from->n_tool_calls, sizeof *calls) : NULL;
    for (uint32_t i = 0; calls && i < from->n_tool_calls; i++) {
        calls[i].id = copy_str(arena, from->tool_calls[i].id);
        calls[i].name = copy_str(arena, from->tool_calls[i].name);
        calls[i].arguments_json = copy_str(arena, from->tool_calls[i].arguments_json);
    }
    to->tool_calls = calls;
    to->n_tool_calls = calls ? from->n_tool_calls : 0;
}

static void copy_ask(struct oll_arena *arena, struct oll_request *to,
                     const struct oll_request *from)
{
    *to = *from;
    to->options.stop = copy_strings(arena, from->options.stop, from->options.n_stop);
    to->options.logit_bias = copy_bytes(arena, from->options.logit_bias, from->options.n_logit_bias,
                                        sizeof *from->options.logit_bias);
    to->system = copy_str(arena, from->system);
    to->prompt = copy_str(arena, from->prompt);
    to->suffix = copy_str(arena, from->suffix);
    to->context = copy_bytes(arena, from->context, from->n_context, sizeof *from->context);
    struct oll_message *messages =
        from->n_messages ? oll_arena_alloc(arena, from->n_messages, sizeof *messages) : NULL;
    for (uint32_t i = 0; messages && i < from->n_messages; i++)
        copy_message(arena, &messages[i], &from->messages[i]);
    to->messages = messages;
    to->tools_json = copy_str(arena, from->tools_json);
    to->forced_tool = copy_str(arena, from->forced_tool);
    to->inputs = copy_strings(arena, from->inputs, from->n_inputs);
    to->query = copy_str(arena, from->query);
    to->instruction = copy_str(arena, from->instruction);
    to->tokens = copy_bytes(arena, from->tokens, from->n_tokens, sizeof *from->tokens);
    to->template_text = copy_str(arena, from->template_text);
    to->model_template = copy_str(arena, from->model_template);
    to->renderer = copy_str(arena, from->renderer);
    to->parser = copy_str(arena, from->parser);
    to->model_name = copy_str(arena, from->model_name);
    to->format_json = copy_str(arena, from->format_json);
    to->grammar = copy_str(arena, from->grammar);
    to->share_with = copy_str(arena, from->share_with);
}

static oll_status space_of(const char *name, struct oll_space *space, struct oll_error *err)
{
    uint8_t digest[OLL_SHA256_BYTES];
    *space = (struct oll_space){0};
    if (!name)
        return OLL_OK;
    struct oll_sha256 *h = oll_sha256_new();
    if (!h)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a request");
    oll_sha256_update(h, name, strlen(name));
    oll_sha256_final(h, digest);
    oll_sha256_free(h);
    memcpy(space, digest, sizeof *space);
    return OLL_OK;
}

oll_status request_new(const struct oll_request *ask, struct request **out, struct oll_error *err)
{
    struct oll_space space;
    OLL_TRY(space_of(ask->share_with, &space, err));
    struct request *r = oll_calloc(1, sizeof *r);
    if (!r)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a request");
    oll_arena_init(&r->arena, REQUEST_MAX_BYTES);
    copy_ask(&r->arena, &r->ask, ask);
    if (r->arena.status != OLL_OK) {
        oll_status status = r->arena.status;
        oll_arena_free(&r->arena);
        oll_free(r);
        return OLL_FAIL(err, status,
                        status == OLL_ERR_LIMIT ? "the request is larger than %d MiB"
                                                : "out of memory for a request of up to %d MiB",
                        REQUEST_MAX_BYTES / (1024 * 1024));
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->ready, &attr);
    pthread_condattr_destroy(&attr);
    r->space = space;
    r->last = &r->first;
    r->submit_ns = oll_clock_ns();
    *out = r;
    return OLL_OK;
}

void request_free(struct request *r)
{
    struct oll_event event;
    if (!r)
        return;
    while (request_pop(r, &event))
        oll_event_free(&event);
    oll_constraint_program_release(r->program);
    pthread_cond_destroy(&r->ready);
    oll_arena_free(&r->arena);
    oll_free(r);
}

bool request_push_move(struct request *r, struct oll_event *event)
{
    struct request_event *node = oll_alloc(1, sizeof *node);
    if (!node) {
        oll_event_free(event);
        return false;
    }
    *node = (struct request_event){.event = *event};
    *event = (struct oll_event){0};
    *r->last = node;
    r->last = &node->next;
    r->n_events++;
    return true;
}

bool request_pop(struct request *r, struct oll_event *event)
{
    struct request_event *node = r->first;
    if (!node)
        return false;
    *event = node->event;
    r->first = node->next;
    if (!r->first)
        r->last = &r->first;
    r->n_events--;
    oll_free(node);
    return true;
}

static void free_logprobs(struct oll_logprob *list, uint32_t n)
{
    for (uint32_t i = 0; list && i < n; i++) {
        oll_free(list[i].text);
        free_logprobs(list[i].top, list[i].n_top);
    }
    oll_free(list);
}

void oll_event_free(struct oll_event *event)
{
    oll_free(event->text);
    oll_free(event->tool_name);
    oll_free(event->tool_id);
    free_logprobs(event->logprobs, event->n_logprobs);
    oll_free(event->embedding);
    oll_free(event->context);
    *event = (struct oll_event){0};
}

struct oll_options oll_options_default(void)
{
    return (struct oll_options){
        .seed = -1,
        .temperature = 0.8f,
        .top_k = 40,
        .top_p = 0.9f,
        .typical_p = 1,
        .repeat_last_n = 64,
        .repeat_penalty = 1,
        .num_predict = -1,
        .num_keep = 4,
    };
}
