/* What the renderers share. Each family has a file of its own, render_<family>.c, with one function
 * per format; renderer.c holds their table. Failures stick in the output buffer. */
#ifndef OLL_CHAT_RENDER_INTERNAL_H
#define OLL_CHAT_RENDER_INTERNAL_H

#include "engine/chat/renderer.h"

/* Formats of one family that differ in details. */
enum render_variant {
    RENDER_PLAIN,
    RENDER_THINKING, /* qwen3-vl-thinking, lfm2-thinking */
    RENDER_QWEN_38,
    RENDER_ORNITH,
    RENDER_OLMO_31,
    RENDER_OLMO_THINK,
    RENDER_OLMO_32B,
    RENDER_NEMOTRON_35,
    RENDER_GEMMA_LARGE
};

/* A tool call of the conversation, found by its id. */
struct render_call {
    const char *id;
    uint32_t message, call; /* indices */
    uint32_t number;        /* of the call in the whole conversation */
};

struct render {
    const struct chat_conversation *c;
    struct oll_strbuf *out;
    enum render_variant variant;
    bool thinks;               /* think was asked for: on or a level */
    bool has_images;           /* tags are written */
    uint32_t n_tags;           /* images told of so far */
    const char *date;          /* YYYY-MM-DD */
    struct render_call *calls; /* those with an id, sorted by id, then by place */
    uint32_t n_calls;
    struct oll_error *err;
};

/* Text that need not be terminated. */
struct render_text {
    const char *s;
    size_t n;
};

/* JSON as a format prints it. */
struct render_json {
    bool spaced;           /* ", " and ": " */
    bool keep_html;        /* < > & as they are */
    int indent;            /* blanks per level; 0: one line */
    bool sorted;           /* fields of tools by name instead of by Ollama's order */
    bool with_description; /* also an empty one, of a function */
};

extern const struct render_json render_compact, render_spaced, render_plain; /* plain: no \u003c */

/* Values outside JSON. */
struct render_value {
    struct render_json json; /* lists and objects */
    bool short_numbers;      /* 1e+06 for 1000000 */
    bool python;             /* None, True, False */
};

/* ---- render_text.c ---- */

bool render_is(const struct chat_message *m, const char *role);
const struct chat_message *render_last(const struct render *r); /* NULL: no messages */
/* The conversation's first message when it is the system's; NULL: it is not. */
const struct chat_message *render_leading_system(const struct render *r);
/* The first system message, wherever; NULL: none. */
const struct chat_message *render_any_system(const struct render *r);
int64_t render_last_user(const struct render *r); /* index, -1: none */
/* The last user message that is not a tool's result in disguise; -1: none. */
int64_t render_last_query(const struct render *r);

void render_put(struct render *r, const char *s);
void render_put_text(struct render *r, struct render_text t);
struct render_text render_trim(struct render_text t); /* Unicode's white space, both ends */
struct render_text render_trim_tail(struct render_text t);
struct render_text render_text_of(const char *s);
void render_trimmed(struct render *r, const char *s);
bool render_is_blank(const char *s);

/* A message's content with tags for its images where the format has them: the first literal "[img]"
 * becomes the tag, else tags stand in front, with a blank before a text that starts with none;
 * nothing is added to a content that has tags. */
void render_content(struct render *r, const struct chat_message *m, bool trim);
void render_tagged(struct render *r, const char *text, uint32_t n_images, bool trim);

/* Thinking and content of a reply. Content that still holds its <think> block, as clients without
 * a field for it send, is taken apart as the makers' templates of Qwen do. */
struct render_reply {
    struct render_text thinking, content;
};
struct render_reply render_split_reply(const struct chat_message *m);

/* ---- render_json.c ---- */

/* Any value; members of objects sorted, as the API's untyped values are printed. */
void render_json(struct render *r, const struct oll_json *v, const struct render_json *style);
/* Arguments of a call: keys in the client's order, what is inside them sorted. */
void render_arguments(struct render *r, const struct chat_call *call,
                      const struct render_json *style);
void render_string(struct render *r, const char *s, const struct render_json *style);
/* {"type": "function", "function": {...}} with the fields that the API knows, or the inner object
 * alone. `extra` (NULL: none) is put before the inner object's closing brace. */
void render_tool(struct render *r, const struct oll_json *tool, const struct render_json *style);
void render_function(struct render *r, const struct oll_json *tool, const struct render_json *style,
                     const char *extra);
void render_parameters(struct render *r, const struct oll_json *parameters,
                       const struct render_json *style);
/* One member of a property, of those that the API knows: whether there is something in it, and
 * its value. */
bool render_has_field(const struct oll_json *property, const char *field);
void render_field(struct render *r, const struct oll_json *property, const char *field,
                  const struct render_json *style);
/* A value in a tag: strings as they are, the rest as text. */
void render_value(struct render *r, const struct oll_json *v, const struct render_value *style);

const struct oll_json *render_first_tool(const struct render *r); /* NULL: no tools */
/* Members of a tool's function. */
const char *render_tool_name(const struct oll_json *tool);
const char *render_tool_description(const struct oll_json *tool);
const struct oll_json *render_tool_parameters(const struct oll_json *tool); /* NULL: none */
/* An array or object that is not empty, else NULL. */
const struct oll_json *render_filled(const struct oll_json *object, const char *key);

/* ---- render_calls.c ---- */

/* Fills r->calls. */
oll_status render_index_calls(struct render *r) OLL_MUST_USE;
/* The latest call with this id before a message; NULL: none, or the id is empty. */
const struct render_call *render_find_call(const struct render *r, const char *id, uint32_t before);
/* Name of the tool that a result belongs to: its own, else that of the call with its id; NULL:
 * unknown. */
const char *render_result_name(const struct render *r, uint32_t message);

/* ---- render_xml.c: the tool format of Qwen3-Coder and those that took it over ---- */

extern const char render_xml_rules[];
void render_xml_tools(struct render *r, bool python);
/* <tool_call> to </tool_call>, no line end before or after. */
void render_xml_call(struct render *r, const struct chat_call *call, bool python);
/* A tool's result in a ChatML turn of the user; `*is_open` tells whether that turn is begun. */
void render_xml_result(struct render *r, const struct chat_message *m, bool *is_open);
void render_xml_results_end(struct render *r, bool *is_open);

/* ---- formats ---- */

typedef oll_status (*render_fn)(struct render *r);

oll_status render_qwen3_coder(struct render *r);
oll_status render_qwen3_vl(struct render *r);
oll_status render_qwen35(struct render *r);
oll_status render_deepseek31(struct render *r);
oll_status render_cogito(struct render *r);
oll_status render_olmo3(struct render *r);
oll_status render_olmo3_think(struct render *r);
oll_status render_nemotron3(struct render *r);
oll_status render_gemma4(struct render *r);
oll_status render_functiongemma(struct render *r);
oll_status render_glm47(struct render *r);
oll_status render_glm_ocr(struct render *r);
oll_status render_lfm2(struct render *r);
oll_status render_laguna(struct render *r);
oll_status render_poolside(struct render *r);
oll_status render_cohere(struct render *r);
oll_status render_glimmer(struct render *r);

#endif
