/* Which call a tool's result answers. Sorted once, so that conversations of many calls and results
 * cost n log n. */
#include "engine/base/mem.h"
#include "engine/chat/render_internal.h"

#include <stdlib.h>
#include <string.h>

static int compare_calls(const void *a, const void *b)
{
    const struct render_call *x = a, *y = b;
    const int by_id = strcmp(x->id, y->id);
    if (by_id)
        return by_id;
    return x->number < y->number ? -1 : x->number > y->number;
}

oll_status render_index_calls(struct render *r)
{
    size_t n = 0;
    for (uint32_t i = 0; i < r->c->n_messages; i++)
        n += r->c->messages[i].n_calls;
    if (n == 0 || r->calls)
        return OLL_OK;
    if (n > UINT32_MAX || !(r->calls = oll_alloc(n, sizeof *r->calls)))
        return OLL_FAIL(r->err, OLL_ERR_MEMORY, "no memory for %zu tool calls", n);
    uint32_t number = 0;
    for (uint32_t i = 0; i < r->c->n_messages; i++)
        for (uint32_t k = 0; k < r->c->messages[i].n_calls; k++, number++)
            if (r->c->messages[i].calls[k].id[0])
                r->calls[r->n_calls++] = (struct render_call){
                    .id = r->c->messages[i].calls[k].id, .message = i, .call = k, .number = number};
    qsort(r->calls, r->n_calls, sizeof *r->calls, compare_calls);
    return OLL_OK;
}

const struct render_call *render_find_call(const struct render *r, const char *id, uint32_t before)
{
    uint32_t low = 0, high = r->n_calls;
    if (!id[0])
        return NULL;
    /* The first call that is not wanted any more: of a greater id, or at `before` or behind it. */
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const struct render_call *c = &r->calls[middle];
        const int order = strcmp(c->id, id);
        if (order < 0 || (order == 0 && c->message < before))
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && strcmp(r->calls[low - 1].id, id) == 0 ? &r->calls[low - 1] : NULL;
}

const char *render_result_name(const struct render *r, uint32_t message)
{
    const struct chat_message *m = &r->c->messages[message];
    if (m->tool_name[0])
        return m->tool_name;
    const struct render_call *c = render_find_call(r, m->tool_call_id, message);
    return c ? r->c->messages[c->message].calls[c->call].name : NULL;
}
