/* Text of prompts: messages, white space, tags for images. */
#include "engine/chat/parse_internal.h"
#include "engine/chat/render_internal.h"

#include <string.h>

/* ---- messages ---- */

bool render_is(const struct chat_message *m, const char *role)
{
    return m && strcmp(m->role, role) == 0;
}

const struct chat_message *render_last(const struct render *r)
{
    return r->c->n_messages ? &r->c->messages[r->c->n_messages - 1] : NULL;
}

const struct chat_message *render_leading_system(const struct render *r)
{
    const struct chat_message *m = r->c->n_messages ? &r->c->messages[0] : NULL;
    return render_is(m, "system") ? m : NULL;
}

const struct chat_message *render_any_system(const struct render *r)
{
    for (uint32_t i = 0; i < r->c->n_messages; i++)
        if (render_is(&r->c->messages[i], "system"))
            return &r->c->messages[i];
    return NULL;
}

int64_t render_last_user(const struct render *r)
{
    for (int64_t i = (int64_t)r->c->n_messages - 1; i >= 0; i--)
        if (render_is(&r->c->messages[i], "user"))
            return i;
    return -1;
}

static bool is_wrapped_result(const char *content)
{
    static const char open[] = "<tool_response>", close[] = "</tool_response>";
    const size_t n = strlen(content), n_close = sizeof close - 1;
    return strncmp(content, open, sizeof open - 1) == 0 && n >= n_close &&
           strcmp(content + n - n_close, close) == 0;
}

int64_t render_last_query(const struct render *r)
{
    for (int64_t i = (int64_t)r->c->n_messages - 1; i >= 0; i--) {
        const struct chat_message *m = &r->c->messages[i];
        if (render_is(m, "user") && !is_wrapped_result(m->content))
            return i;
    }
    return -1;
}

/* ---- text ---- */

void render_put(struct render *r, const char *s) { oll_strbuf_adds(r->out, s); }

void render_put_text(struct render *r, struct render_text t) { oll_strbuf_add(r->out, t.s, t.n); }

struct render_text render_text_of(const char *s)
{
    return (struct render_text){.s = s, .n = strlen(s)};
}

struct render_text render_trim_tail(struct render_text t)
{
    t.n -= parse_space_tail(t.s, t.n);
    return t;
}

struct render_text render_trim(struct render_text t)
{
    const size_t lead = parse_space_lead(t.s, t.n);
    return render_trim_tail((struct render_text){.s = t.s + lead, .n = t.n - lead});
}

void render_trimmed(struct render *r, const char *s)
{
    render_put_text(r, render_trim(render_text_of(s)));
}

bool render_is_blank(const char *s) { return render_trim(render_text_of(s)).n == 0; }

/* ---- images ---- */

static void put_tag(struct render *r) { oll_strbuf_printf(r->out, "[img-%u]", r->n_tags++); }

/* Places in the text that wait for a tag, at most `limit`. */
static uint32_t count_places(const char *text, uint32_t limit)
{
    uint32_t n = 0;
    for (const char *at = text; n < limit && (at = strstr(at, "[img]")); at += 5)
        n++;
    return n;
}

void render_tagged(struct render *r, const char *text, uint32_t n_images, bool trim)
{
    struct render_text t = render_text_of(text);
    if (!r->has_images || n_images == 0 || strstr(text, "[img-")) {
        r->n_tags += n_images;
        render_put_text(r, trim ? render_trim(t) : t);
        return;
    }
    const uint32_t first = r->n_tags, n_places = count_places(text, n_images);
    if (trim)
        t = n_places < n_images ? render_trim_tail(t) : render_trim(t);
    /* Tags go to the places in order; those left over stand in front with the later numbers. */
    r->n_tags = first + n_places;
    for (uint32_t i = n_places; i < n_images; i++)
        put_tag(r);
    if (n_places < n_images && t.n > 0 && parse_space_lead(t.s, t.n) == 0)
        render_put(r, " ");
    r->n_tags = first;
    for (uint32_t i = 0; i < n_places; i++) {
        const char *place = strstr(t.s, "[img]");
        const size_t before = (size_t)(place - t.s);
        oll_strbuf_add(r->out, t.s, before);
        put_tag(r);
        t.s += before + 5;
        t.n -= before + 5;
    }
    render_put_text(r, t);
    r->n_tags = first + n_images;
}

void render_content(struct render *r, const struct chat_message *m, bool trim)
{
    render_tagged(r, m->content, m->n_images, trim);
}

/* ---- replies ---- */

static struct render_text strip_lines(struct render_text t)
{
    while (t.n > 0 && t.s[0] == '\n') {
        t.s++;
        t.n--;
    }
    while (t.n > 0 && t.s[t.n - 1] == '\n')
        t.n--;
    return t;
}

/* The last occurrence of a mark in s[0..n), NULL: none. */
static const char *find_last(struct render_text t, const char *mark)
{
    const size_t n = strlen(mark);
    for (size_t i = t.n; i >= n; i--)
        if (memcmp(t.s + i - n, mark, n) == 0)
            return t.s + i - n;
    return NULL;
}

struct render_reply render_split_reply(const struct chat_message *m)
{
    static const char open[] = "<think>", close[] = "</think>";
    struct render_reply reply = {.thinking = strip_lines(render_text_of(m->thinking)),
                                 .content = render_text_of(m->content)};
    const char *end = m->thinking[0] ? NULL : strstr(m->content, close);
    if (!end)
        return reply;
    struct render_text before = {.s = m->content, .n = (size_t)(end - m->content)};
    const char *begin = find_last(before, open);
    if (begin) {
        before.n -= (size_t)(begin - before.s) + sizeof open - 1;
        before.s = begin + sizeof open - 1;
    }
    reply.thinking = strip_lines(before);
    reply.content = render_text_of(find_last(reply.content, close) + sizeof close - 1);
    while (reply.content.n > 0 && reply.content.s[0] == '\n') {
        reply.content.s++;
        reply.content.n--;
    }
    return reply;
}
