#include "engine/chat/jinja_native.h"

#include "engine/base/mem.h"
#include "engine/chat/capabilities.h"
#include "engine/chat/jinja.h"
#include "engine/chat/jinja_input.h"

#include <string.h>

static const char chatml[] =
    "{%- for m in messages -%}\n"
    "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}\n"
    "{%- endfor -%}\n"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/* ---- opening ---- */

static bool has_within(const char *from, const char *to, const char *what)
{
    const char *at = strstr(from, what);
    return at && at + strlen(what) <= to;
}

/* What stands instead of a tag that refuses what real conversations hold; NULL: the tag stays.
 * Harmony looks for its own markers in the content, which user texts may well have: the condition
 * becomes false. Mistral refuses an empty message of the assistant. */
static const char *instead_of(const char *tag, const char *end)
{
    if (tag[1] == '{')
        return has_within(tag, end, "raise_exception(") &&
                       has_within(tag, end, "ssistant message must have")
                   ? "{{- '' }}"
                   : NULL;
    if (!has_within(tag, end, "if ") || !has_within(tag, end, "<|channel|>") ||
        !has_within(tag, end, " in message."))
        return NULL;
    return has_within(tag, end, "elif ") ? "{%- elif false %}" : "{%- if false %}";
}

static void soften(const char *source, struct oll_strbuf *out)
{
    const char *at = source, *tag = source;
    while ((tag = strchr(tag, '{')) != NULL) {
        const char *end = tag[1] == '%'   ? strstr(tag, "%}")
                          : tag[1] == '{' ? strstr(tag, "}}")
                                          : NULL;
        const char *text = end ? instead_of(tag, end + 2) : NULL;
        if (text) {
            oll_strbuf_add(out, at, (size_t)(tag - at));
            oll_strbuf_adds(out, text);
            at = end + 2;
        }
        tag = end ? end + 2 : tag + 1;
    }
    oll_strbuf_adds(out, at);
}

static bool has(const char *source, const char *what) { return strstr(source, what) != NULL; }

static void look_for_signs(struct jinja_native *native, const char *source)
{
    native->can_think = chat_capabilities_of_jinja(source).thinking;
    native->has_channels = has(source, "<|channel|>");
    native->wants_turns = has(source, "onversation roles must alternate");
    native->wants_nine = has(source, "[TOOL_CALLS]") && has(source, "length 9");
    native->numbers_calls = has(source, "<|tool_calls_section_begin|>");
    native->folds_results = has(source, "<|tool_call>call:") && has(source, "tool_responses");
}

static oll_status parse_source(struct jinja_native *native, const char *source,
                               struct oll_error *err)
{
    struct oll_strbuf text;
    if (!native->has_channels && !has(source, "ssistant message must have"))
        return oll_jinja_parse(source, strlen(source), &native->page, err);
    oll_strbuf_init(&text, 4u * JINJA_SOURCE_MAX);
    soften(source, &text);
    const oll_status status = text.status != OLL_OK
                                  ? OLL_FAIL(err, text.status, "no memory for the chat template")
                                  : oll_jinja_parse(text.data, text.len, &native->page, err);
    oll_strbuf_free(&text);
    return status;
}

static oll_status open_with(struct jinja_native *native, const char *source,
                            const struct jinja_native_params *params, struct oll_error *err)
{
    native->bos = oll_strdup(params->bos ? params->bos : "");
    native->eos = oll_strdup(params->eos ? params->eos : "");
    if (!native->bos || !native->eos)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for the chat template");
    native->adds_bos = params->adds_bos;
    native->adds_eos = params->adds_eos;
    look_for_signs(native, source);
    OLL_TRY(parse_source(native, source, err));
    jinja_probe(native);
    return native->trial_status != OLL_ERR_MEMORY
               ? OLL_OK
               : OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for the chat template");
}

oll_status oll_jinja_native_open(const char *source, size_t n,
                                 const struct jinja_native_params *params,
                                 struct jinja_native **out, struct oll_error *err)
{
    if (n > JINJA_SOURCE_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "a chat template of %zu bytes; at most %d are taken", n,
                        JINJA_SOURCE_MAX);
    const bool plain = n == 0 || (n == 6 && !memcmp(source, "chatml", 6));
    struct jinja_native *native = oll_calloc(1, sizeof *native);
    char *copy = plain ? oll_strdup(chatml) : oll_strndup(source, n);
    oll_status status = native && copy
                            ? open_with(native, copy, params, err)
                            : OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for the chat template");
    oll_free(copy);
    if (status != OLL_OK)
        oll_jinja_native_free(native);
    else
        *out = native;
    return status;
}

void oll_jinja_native_free(struct jinja_native *native)
{
    if (!native)
        return;
    oll_jinja_free(native->page);
    oll_free(native->bos);
    oll_free(native->eos);
    oll_free(native);
}

const struct jinja_needs *oll_jinja_native_needs(const struct jinja_native *native)
{
    return &native->needs;
}

/* ---- rendering ---- */

static void set_date(struct jinja_run *run, const char *name, const char *format)
{
    char text[64];
    const size_t n = strftime(text, sizeof text, format, &run->now);
    if (jinja_symbol(run->page, name) != UINT32_MAX)
        jinja_run_set(run, name, jinja_str_copy(run, text, n));
}

void jinja_set_common(struct jinja_run *run, const struct jinja_native *native,
                      const struct chat_conversation *c, int thinks)
{
    static const char *const levels[] = {[OLL_THINK_LOW] = "low",
                                         [OLL_THINK_MEDIUM] = "medium",
                                         [OLL_THINK_HIGH] = "high",
                                         [OLL_THINK_MAX] = "max"};
    jinja_run_set(run, "add_generation_prompt", jinja_bool(true));
    jinja_run_set(run, "bos_token", jinja_text(run, native->bos));
    jinja_run_set(run, "eos_token", jinja_text(run, native->eos));
    if (thinks >= 0) {
        jinja_run_set(run, "enable_thinking", jinja_bool(thinks));
        jinja_run_set(run, "thinking", jinja_bool(thinks));
    }
    /* Harmony knows three levels. */
    const bool too_high = native->has_channels && c->think == OLL_THINK_MAX;
    if (c->think >= OLL_THINK_LOW)
        jinja_run_set(run, "reasoning_effort",
                      jinja_text(run, too_high ? "high" : levels[c->think]));
    set_date(run, "date_string", "%d %b %Y");
    set_date(run, "datetime", "%b %d %Y");
}

/* The last message when the model is to continue it; NULL: none. One that makes calls is no
 * beginning. */
static const struct chat_message *prefill_of(const struct chat_conversation *c)
{
    const struct chat_message *last = c->n_messages ? &c->messages[c->n_messages - 1] : NULL;
    return last && !strcmp(last->role, "assistant") && last->n_calls == 0 ? last : NULL;
}

static bool starts_with(const char *s, const char *prefix)
{
    return prefix[0] && !strncmp(s, prefix, strlen(prefix));
}

/* The prompt without what the tokenizer adds itself, then what follows the generation prompt. */
static void write_prompt(const struct jinja_native *native, const struct oll_strbuf *text,
                         const struct chat_message *prefill, bool thinks, struct oll_strbuf *out)
{
    const char *from = text->data;
    size_t n = text->len;
    const size_t n_eos = strlen(native->eos);
    if (native->adds_bos && starts_with(from, native->bos)) {
        from += strlen(native->bos);
        n -= strlen(native->bos);
    }
    if (native->adds_eos && n_eos && n >= n_eos && !memcmp(from + n - n_eos, native->eos, n_eos))
        n -= n_eos;
    oll_strbuf_add(out, from, n);
    if (native->folds_results && native->needs.no_results && n >= 8 &&
        !memcmp(from + n - 8, "<turn|>\n", 8))
        oll_strbuf_adds(out, "<|turn>model\n");
    if (prefill && prefill->content[0]) {
        oll_strbuf_adds(out, thinks ? "<think></think>" : "");
        oll_strbuf_adds(out, prefill->content);
    }
}

oll_status oll_jinja_native_render(const struct jinja_native *native,
                                   const struct chat_conversation *conversation, int64_t now_s,
                                   struct oll_strbuf *out, struct oll_error *err)
{
    struct jinja_run run;
    struct jinja_value messages;
    struct chat_conversation c = *conversation;
    const struct chat_message *prefill = prefill_of(&c);
    c.n_messages -= prefill != NULL;
    if (prefill && prefill_of(&c))
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "Cannot have 2 or more assistant messages at the end of the list.");
    const bool is_set = c.think != OLL_THINK_UNSET;
    const bool thinks = is_set ? c.think != OLL_THINK_OFF : native->can_think;
    jinja_run_init(&run, native->page, now_s, err);
    jinja_set_common(&run, native, &c, is_set || native->can_think ? thinks : -1);
    jinja_set_input(&run, native, &native->needs, &c, &messages);
    const oll_status status = jinja_run_finish(&run);
    if (status == OLL_OK)
        write_prompt(native, &run.out, prefill, thinks, out);
    jinja_run_free(&run);
    return status != OLL_OK || out->status == OLL_OK
               ? status
               : OLL_FAIL(err, out->status, "the prompt is too long");
}
