/* Truncation: the oldest messages give way until a conversation's prompt fits the window.
 *
 * Only whole messages go, from the front; system messages and the last message always stay, system
 * messages that were passed over move to the front. A tool's result never stands without the call
 * that it answers, unless results are all that is left. When even the least does not fit, it is
 * returned as it is: the caller cuts tokens or refuses (templates-and-constraints 4.2).
 *
 *     struct chat_truncate_ops ops = {.user = me, .render = my_render, .count = my_count};
 *     chat_truncate(arena, &conversation, n_ctx, &ops, &text, &result, err)
 *
 * Where everything fits, each callback is called once. Otherwise the cut is found by bisection:
 * fewer messages are taken to make no longer prompts. The last call of `count` is always for the
 * text that is returned, so a callback that tokenises may leave the tokens for its caller. */
#ifndef OLL_CHAT_TRUNCATE_H
#define OLL_CHAT_TRUNCATE_H

#include "engine/chat/conversation.h"

/* Appends the prompt of a conversation to `out`, which is empty. OLL_ERR_ARG: the format cannot
 * show this one; a longer one is taken instead, if there is any. */
typedef oll_status (*chat_render_fn)(void *user, const struct chat_conversation *conversation,
                                     struct oll_strbuf *out, struct oll_error *err);
typedef oll_status (*chat_count_fn)(void *user, const struct oll_strbuf *text, size_t *n_tokens,
                                    struct oll_error *err);

struct chat_truncate_ops {
    void *user;
    chat_render_fn render;
    chat_count_fn count;
    uint32_t n_tokens_image; /* that an image takes beside its tag; 0 without a projector */
};

struct chat_truncated {
    struct chat_conversation conversation; /* what is left; its messages live in the arena or are
                                            * those that were given, when nothing was cut */
    size_t n_tokens;                       /* of the text, images included */
    uint32_t n_dropped;                    /* messages that are gone */
    bool fits;                             /* n_tokens is within the limit */
};

/* `limit` in tokens. `text` is overwritten; its limit bounds every try. Errors of the callbacks are
 * passed on. */
oll_status chat_truncate(struct oll_arena *arena, const struct chat_conversation *in, size_t limit,
                         const struct chat_truncate_ops *ops, struct oll_strbuf *text,
                         struct chat_truncated *out, struct oll_error *err) OLL_MUST_USE;

#endif
