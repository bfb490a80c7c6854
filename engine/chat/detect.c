#include "engine/chat/detect.h"

#include "engine/chat/go_template.h"

#include <string.h>

/* Words that no template contains. */
#define SYSTEM_WORD "zqsystemword"

enum { PROMPT_MAX = 1 << 20, N_PROBES = 2, EOS_MAX = 16 };

/* Probe 0 has a system message; probe 1 is for templates that refuse or swallow it. */
static const struct chat_conversation *probe(int which)
{
#define PROBE_MESSAGE(r, c)                                                                        \
    {.role = (r), .content = (c), .thinking = "", .tool_name = "", .tool_call_id = ""}
    static const struct chat_message messages[] = {
        PROBE_MESSAGE("system", SYSTEM_WORD), PROBE_MESSAGE("user", "zqfirstword"),
        PROBE_MESSAGE("assistant", "zqsecondword"), PROBE_MESSAGE("user", "zqthirdword")};
    static const struct chat_conversation probes[N_PROBES] = {
        {.messages = messages, .n_messages = 4}, {.messages = messages + 1, .n_messages = 3}};
    return &probes[which];
}

/* What the Jinja template makes of both probes with one end token. */
struct rendered {
    const char *eos;
    struct oll_strbuf text[N_PROBES];
    bool fits[N_PROBES]; /* it did not fail */
};

struct detection {
    chat_detect_render_fn render;
    void *context;
    struct rendered seen[EOS_MAX];
    size_t n_seen;
};

static const struct rendered *render_jinja(struct detection *d, const char *eos)
{
    for (size_t i = 0; i < d->n_seen; i++)
        if (strcmp(d->seen[i].eos, eos) == 0)
            return &d->seen[i];
    OLL_ASSERT(d->n_seen < EOS_MAX);
    struct rendered *r = &d->seen[d->n_seen++];
    r->eos = eos;
    for (int i = 0; i < N_PROBES; i++) {
        struct oll_error ignored = {0};
        oll_strbuf_init(&r->text[i], PROMPT_MAX);
        r->fits[i] = d->render(d->context, probe(i), eos, &r->text[i], &ignored) == OLL_OK &&
                     r->text[i].status == OLL_OK;
    }
    return r;
}

static bool is_space(char c) { return c && strchr(" \t\r\n\v\f", c); }

static bool equal_trimmed(const struct oll_strbuf *a, const struct oll_strbuf *b)
{
    const struct oll_strbuf *both[] = {a, b};
    const char *from[2], *to[2];
    for (int i = 0; i < 2; i++) {
        from[i] = both[i]->data;
        to[i] = from[i] + both[i]->len;
        while (from[i] < to[i] && is_space(*from[i]))
            from[i]++;
        while (from[i] < to[i] && is_space(to[i][-1]))
            to[i]--;
    }
    return to[0] - from[0] == to[1] - from[1] &&
           memcmp(from[0], from[1], (size_t)(to[0] - from[0])) == 0;
}

static oll_status matches(struct detection *d, const struct named_template *named, bool *equal,
                          struct oll_error *err)
{
    const struct rendered *jinja = render_jinja(d, named->eos);
    const int which = jinja->fits[0] && strstr(jinja->text[0].data, SYSTEM_WORD) ? 0 : 1;
    const struct go_template_input input = {.conversation = probe(which)};
    struct go_template *t = NULL;
    struct oll_strbuf out;
    *equal = false;
    if (!jinja->fits[which])
        return OLL_OK;
    OLL_TRY(go_template_parse(named->text, strlen(named->text), &t, err));
    oll_strbuf_init(&out, PROMPT_MAX);
    const oll_status status = go_template_render(t, &input, &out, err);
    *equal = status == OLL_OK && equal_trimmed(&out, &jinja->text[which]);
    oll_strbuf_free(&out);
    go_template_free(t);
    return status;
}

oll_status chat_detect_named(chat_detect_render_fn render, void *context,
                             const struct named_template **out, struct oll_error *err)
{
    struct detection d = {.render = render, .context = context};
    size_t n;
    const struct named_template *all = named_templates_all(&n);
    oll_status status = OLL_OK;
    *out = NULL;
    for (size_t i = 0; i < n && status == OLL_OK && !*out; i++) {
        bool equal;
        status = matches(&d, &all[i], &equal, err);
        if (equal)
            *out = &all[i];
    }
    for (size_t i = 0; i < d.n_seen; i++)
        for (int p = 0; p < N_PROBES; p++)
            oll_strbuf_free(&d.seen[i].text[p]);
    return status;
}
