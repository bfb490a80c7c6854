#include "engine/chat/truncate.h"

#include "engine/base/mem.h"
#include "engine/chat/render_internal.h"

#include <string.h>

/* A search for the first message that stays. */
struct search {
    const struct chat_conversation *in;
    const struct chat_truncate_ops *ops;
    size_t limit;
    struct oll_strbuf *text;
    struct chat_message *kept; /* room for all messages */
    uint32_t *starts;          /* messages with which what stays may begin, in order */
    uint32_t n_starts;
};

/* ---- where the kept part may begin ---- */

static bool is_tool(const struct chat_message *m) { return strcmp(m->role, "tool") == 0; }

/* For each message the earliest one that it or a later one needs: a result needs the message with
 * its call. */
static void find_needs(const struct render *index, uint32_t *needs)
{
    const struct chat_message *m = index->c->messages;
    const uint32_t n = index->c->n_messages;
    uint32_t asking = UINT32_MAX, earliest = UINT32_MAX;
    for (uint32_t i = 0; i < n; i++) {
        needs[i] = UINT32_MAX;
        if (is_tool(&m[i])) {
            const struct render_call *call = render_find_call(index, m[i].tool_call_id, i);
            needs[i] = call ? call->message : asking;
        }
        if (m[i].n_calls)
            asking = i;
    }
    for (uint32_t i = n; i-- > 0; needs[i] = earliest)
        if (needs[i] < earliest)
            earliest = needs[i];
}

static oll_status list_starts(struct search *s, struct oll_arena *arena, struct oll_error *err)
{
    const uint32_t n = s->in->n_messages;
    struct render index = {.c = s->in, .err = err};
    uint32_t *needs = oll_arena_alloc(arena, n, sizeof *needs);
    s->starts = oll_arena_alloc(arena, n, sizeof *s->starts);
    s->kept = oll_arena_alloc(arena, n, sizeof *s->kept);
    if (!needs || !s->starts || !s->kept)
        return OLL_FAIL(err, arena->status, "no memory for %u messages", n);
    OLL_TRY(render_index_calls(&index));
    find_needs(&index, needs);
    oll_free(index.calls);
    uint32_t first_of_tools = n;
    while (first_of_tools > 0 && is_tool(&s->in->messages[first_of_tools - 1]))
        first_of_tools--;
    s->n_starts = 0;
    for (uint32_t i = 0; i < n; i++) {
        const bool is_whole = !is_tool(&s->in->messages[i]) && needs[i] >= i;
        if (i == 0 || is_whole || i >= first_of_tools)
            s->starts[s->n_starts++] = i;
    }
    return OLL_OK;
}

/* ---- tries ---- */

static struct chat_conversation keep_from(const struct search *s, uint32_t start)
{
    struct chat_conversation out = *s->in;
    uint32_t n = 0;
    if (start == 0)
        return out;
    for (uint32_t i = 0; i < s->in->n_messages; i++)
        if (i >= start || strcmp(s->in->messages[i].role, "system") == 0)
            s->kept[n++] = s->in->messages[i];
    out.messages = s->kept;
    out.n_messages = n;
    return out;
}

static oll_status try_start(const struct search *s, uint32_t start, struct chat_truncated *out,
                            struct oll_error *err)
{
    const struct chat_truncate_ops *ops = s->ops;
    size_t n_images = 0;
    out->conversation = keep_from(s, start);
    out->n_dropped = s->in->n_messages - out->conversation.n_messages;
    for (uint32_t i = start; i < s->in->n_messages; i++)
        n_images += s->in->messages[i].n_images;
    oll_strbuf_clear(s->text);
    OLL_TRY(ops->render(ops->user, &out->conversation, s->text, err));
    OLL_TRY(ops->count(ops->user, s->text, &out->n_tokens, err));
    out->n_tokens += n_images * ops->n_tokens_image;
    out->fits = out->n_tokens <= s->limit;
    return OLL_OK;
}

/* Bisection: starts[low] is too early; starts[high] is late enough, cannot be shown, or is the last
 * there is. */
static oll_status find_start(struct search *s, struct chat_truncated *out, struct oll_error *err)
{
    uint32_t low = 0, high = s->n_starts - 1, tried = 0;
    bool is_shown = true;
    while (high - low > 1) {
        struct oll_error why = {0};
        tried = low + (high - low) / 2;
        const oll_status status = try_start(s, s->starts[tried], out, &why);
        is_shown = status != OLL_ERR_ARG;
        if (status != OLL_OK && is_shown)
            return OLL_FAIL(err, status, "%s", oll_error_text(&why));
        if (!is_shown || out->fits)
            high = tried;
        else
            low = tried;
    }
    if (tried == high && is_shown)
        return OLL_OK;
    struct oll_error why = {0};
    oll_status status = try_start(s, s->starts[high], out, &why);
    if (status == OLL_ERR_ARG)
        return try_start(s, s->starts[low], out, err);
    return status == OLL_OK ? OLL_OK : OLL_FAIL(err, status, "%s", oll_error_text(&why));
}

oll_status chat_truncate(struct oll_arena *arena, const struct chat_conversation *in, size_t limit,
                         const struct chat_truncate_ops *ops, struct oll_strbuf *text,
                         struct chat_truncated *out, struct oll_error *err)
{
    struct search s = {.in = in, .ops = ops, .limit = limit, .text = text};
    *out = (struct chat_truncated){0};
    OLL_TRY(try_start(&s, 0, out, err));
    if (out->fits || in->n_messages < 2)
        return OLL_OK;
    OLL_TRY(list_starts(&s, arena, err));
    return s.n_starts < 2 ? OLL_OK : find_start(&s, out, err);
}
