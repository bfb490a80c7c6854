/* Style: how one request's model is prompted, and what its reply is split by (templates-and-
 * constraints 0 and 5.1).
 *
 * A model comes with up to four things: a built-in renderer and parser (named in its config), a Go
 * template (a layer of its own in the store), a Jinja template (in its GGUF file). The style says
 * which of them counts:
 *   - a template that the request brings: that one, a Go template;
 *   - a renderer: that one;
 *   - a Go template, unless the Jinja template can do more of tools and thinking, or
 *     `prefer` decides;
 *   - the Jinja template ("native");
 *   - nothing: the prompt as it is.
 * Read-only after style_choose; any thread may render with its own arena. */
#ifndef OLL_CHAT_STYLE_H
#define OLL_CHAT_STYLE_H

#include "engine/chat/capabilities.h"
#include "engine/chat/jinja_native.h"
#include "engine/chat/parser.h"
#include "engine/chat/renderer.h"

/* What a loaded model's file says about its prompts. Read-only after chat_model_open. */
struct chat_model {
    char *family;                /* architecture of the file */
    char *jinja;                 /* tokenizer.chat_template, NULL: none */
    struct jinja_native *native; /* of it; NULL: it cannot be used, see `error` */
    struct oll_error error;
    uint64_t n_params;
};

/* Strings are copied; `jinja` NULL: the file has no template. One that cannot be parsed is no
 * failure here: prompts that need it are refused with the reason. OLL_ERR_MEMORY. */
oll_status chat_model_open(struct chat_model *model, const char *family, const char *jinja,
                           const struct jinja_native_params *tokens,
                           struct oll_error *err) OLL_MUST_USE;
void chat_model_close(struct chat_model *model);

/* What the store or the request adds. NULL or "": not said. */
struct chat_source {
    const char *request_template, *model_template; /* Go */
    const char *renderer, *parser;
    const char *model_name; /* without host, namespace and tag */
    enum oll_template_preference prefer;
};

enum chat_mode { CHAT_MODE_PLAIN, CHAT_MODE_GO, CHAT_MODE_RENDERER, CHAT_MODE_NATIVE };

struct chat_style {
    enum chat_mode mode;
    const struct chat_model *model;
    struct go_template *go;               /* CHAT_MODE_GO; with a renderer for its tags */
    const char *renderer;                 /* CHAT_MODE_RENDERER */
    const char *model_name;               /* NULL: unknown */
    const char *parser;                   /* built-in parser, NULL: the generic way */
    const char *tag;                      /* generic tool-call tag; NULL: none */
    const char *think_open, *think_close; /* generic thinking tags; NULL: none */
};

/* Whether a Go template that was stored with a model gives way to the file's Jinja template, which
 * has these capabilities: when nothing else speaks for the Go one, and the source prefers the other
 * or that can do more (chat_prefers_jinja). */
bool chat_style_takes_jinja(const struct chat_source *source, const char *family,
                            const struct go_template *go, const struct chat_capabilities *jinja);

/* Strings of the source are borrowed. OLL_ERR_FORMAT: a template cannot be read, with its error,
 * or there is no such renderer. */
oll_status chat_style_choose(const struct chat_model *model, const struct chat_source *source,
                             struct chat_style *out, struct oll_error *err) OLL_MUST_USE;
void chat_style_free(struct chat_style *style);

/* Whether replies can hold thinking: then it is on unless the request says otherwise. */
bool chat_style_can_think(const struct chat_style *style);

/* The conversation as it is to be rendered: think level by default, thinking of earlier turns taken
 * out of their content where the model wants that (history.h). Lives in the arena. */
oll_status chat_style_prepare(const struct chat_style *style, struct oll_arena *arena,
                              const struct chat_conversation *in, struct chat_conversation *out,
                              struct oll_error *err) OLL_MUST_USE;

/* Appends the prompt of a conversation; the arena is for what must be changed to show it. A BOS
 * that a renderer spells is left out with `adds_bos`: the tokeniser puts it. `suffix` (NULL: none)
 * asks for what stands between the last message's content and it. */
oll_status chat_style_render(const struct chat_style *style, struct oll_arena *arena,
                             const struct chat_conversation *conversation, const char *suffix,
                             bool adds_bos, struct oll_strbuf *out,
                             struct oll_error *err) OLL_MUST_USE;

/* What splits the reply to a prompt of this text. False: nothing does, the text is content. Strings
 * are borrowed from style and conversation. */
bool chat_style_parser(const struct chat_style *style, const struct chat_conversation *conversation,
                       const char *prompt, struct chat_parser_config *out);

#endif
