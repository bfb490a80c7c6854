/* What the parsers share: the text that waits, the tags in it, and the events that go out.
 *
 *     in.data: [consumed | waiting ............ | bytes of a cut character]
 *                        ^pos     ^scan         ^end
 *
 * A format is a step function: it looks at [pos, end), consumes what is decided and returns whether
 * another step may get further. `scan` says how far a search for a closing tag has come, so that
 * text that waits is looked at once. */
#ifndef OLL_CHAT_PARSE_INTERNAL_H
#define OLL_CHAT_PARSE_INTERNAL_H

#include "engine/chat/parser.h"

/* White space of a text: given out at once; held back until more follows and given out at the end;
 * held back and dropped at the end. Held white space is dropped before a tag. */
enum parse_space { SPACE_KEEP, SPACE_HOLD, SPACE_TRIM };

/* Incremental search for the end of the first balanced {...}, aware of JSON strings. */
struct parse_balance {
    size_t at, start; /* absolute in `in`; start: of the object, generic way only */
    int depth, brackets;
    bool in_string, escaped;
};

struct parse_format;

struct chat_parser {
    const struct parse_format *format;
    struct chat_parser_config cfg; /* strings in `life` */
    struct oll_arena life;         /* as long as the parser */
    struct oll_arena scratch;      /* one call */
    struct oll_strbuf in;
    size_t pos, scan, end;
    bool final; /* no more text will come */
    oll_status status;
    struct oll_error *err; /* during feed and finish */
    struct oll_error first_error;

    int state;         /* meaning by format, PARSE_* for the table's machine */
    bool eat_space;    /* leading white space of the next text is dropped */
    bool call_closed;  /* a call has ended: stray markers behind it are dropped */
    bool stalled;      /* after a bad call, until its section ends */
    bool asking;       /* content that could be a call is being looked at */
    bool untagged_off; /* such content is not looked for any more */
    struct parse_balance balance;
    struct oll_strbuf held; /* white space that waits */
    struct oll_strbuf out;  /* text of the event in the making */
    enum chat_event_type out_type;
    struct oll_strbuf args;      /* JSON of the call in the making */
    struct oll_strbuf json;      /* the same, in normal form */
    struct oll_strbuf name;      /* recipient of a message, where a format has one */
    struct oll_strbuf body_text; /* of a harmony call */
    uint32_t n_calls;
    uint64_t id_state;
    enum chat_event_type body; /* of a message: kind of its text */
    bool discard;              /* thinking is not wanted */
    bool inside;               /* the output starts inside thinking */

    const char *const *tool_names; /* declared functions */
    const size_t *tool_lens;
    size_t n_tools;
    bool name_ends[256]; /* bytes with which a name ends */
    struct {
        size_t name_at, name_len; /* name_len 0: none found */
        size_t object_at, object_end;
        bool stuck;
    } generic;
    const char *const *prompt_names; /* harmony: what the prompt calls them */
};

/* Buffer. parse_rest is the waiting text. */
static inline const char *parse_rest(const struct chat_parser *p) { return p->in.data + p->pos; }
static inline size_t parse_left(const struct chat_parser *p) { return p->end - p->pos; }
static inline void parse_skip(struct chat_parser *p, size_t n)
{
    p->pos += n;
    if (p->scan < p->pos)
        p->scan = p->pos;
}

/* Length of the white space (Unicode's White_Space) that starts or ends s[0..n). */
size_t parse_space_lead(const char *s, size_t n);
size_t parse_space_tail(const char *s, size_t n);
/* White space at the start of the waiting text; what was seen before is not looked at again. */
size_t parse_lead(struct chat_parser *p);
/* Cuts both ends. */
void parse_trim(const char **s, size_t *n);
bool parse_starts(const char *s, size_t n, const char *prefix);
/* Whether s[0..n) is shorter than `whole` and a beginning of it (also when empty). */
bool parse_begins(const char *s, size_t n, const char *whole);
/* First occurrence at or behind `from`, n when there is none. */
size_t parse_index(const char *s, size_t n, size_t from, const char *what);

/* Finds the first of several tags (NULL entries are skipped) in the waiting text. Returns its index
 * and stores where it starts in *at; or -1, and *at is the end of the text that surely holds no
 * beginning of a tag. */
int parse_find(struct chat_parser *p, const char *const *tags, int n_tags, size_t *at);
/* Whether the balanced object that starts at or behind `pos` has ended: *end is behind it. */
bool parse_balanced(struct chat_parser *p, size_t *end);
void parse_balance_reset(struct chat_parser *p);

/* Events. */
void parse_text(struct chat_parser *p, enum chat_event_type type, enum parse_space space,
                const char *s, size_t n);
/* A tag was reached: held white space goes; or the end: it is given out when `space` is HOLD. */
void parse_text_tag(struct chat_parser *p);
void parse_text_end(struct chat_parser *p, enum chat_event_type type, enum parse_space space);
void parse_flush(struct chat_parser *p);
/* Emits a call with arguments of any JSON text; false when that is no object (nothing happened). */
bool parse_call(struct chat_parser *p, const char *name, size_t name_len, const char *args,
                size_t n);
/* The same with the text that was written to p->args. */
bool parse_call_args(struct chat_parser *p, const char *name, size_t name_len);
/* Starts an object in p->args. */
void parse_args_begin(struct chat_parser *p, struct oll_json_writer *w);
/* Ends the request: `err` gets the text. */
void parse_fail(struct chat_parser *p, const char *fmt, ...) OLL_PRINTF(2, 3);
/* Text of what Go's encoding/json says of s[0..n), "" when it is valid. */
void parse_json_complaint(const char *s, size_t n, char *out, size_t out_bytes);
/* Tree of a JSON text in the scratch arena; NULL: not JSON. */
const struct oll_json *parse_json_tree(struct chat_parser *p, const char *s, size_t n);

/* Tools. A declared function's "function" object, NULL when there is none. */
const struct oll_json *parse_tool(const struct chat_parser *p, const char *name, size_t n);
/* An argument as the model wrote it. */
struct parse_raw {
    const char *key, *value;
    size_t key_len, len;
    bool cut_newlines; /* one at each end is layout */
};
/* Writes key and value under the type that the tool's parameter declares (spec 5.3, typed values).
 */
void parse_typed_value(struct chat_parser *p, struct oll_json_writer *w,
                       const struct oll_json *tool, const struct parse_raw *raw);
/* Whether a parameter's declared types hold "string". */
/* Declared types of a parameter (bits of enum json_declared), those of anyOf's branches united; 0:
 * none declared. `tool` is the tool's function. */
unsigned parse_declared_types(const struct oll_json *tool, const char *key, size_t n);
bool parse_param_is_string(const struct oll_json *tool, const char *key, size_t key_len);

/* Bodies of calls: emit calls, skip or fail. `closed` is false at the end of the output. */
typedef void (*parse_body_fn)(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_named_json(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_vl_json(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_xml(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_deepseek(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_cogito(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_kimi(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_olmo(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_lfm(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_glm(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_laguna(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_gemma4(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_functiongemma(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_cohere(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_ministral(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_gigachat(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_mirothinker(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_minimax(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_dsml(struct chat_parser *p, const char *body, size_t n, bool closed);
void parse_body_atem(struct chat_parser *p, const char *body, size_t n, bool closed);

/* What laguna looks at when content could be a call without its tag: how many bytes are decided, 0
 * when more are needed; they are text unless *consumed. */
size_t parse_maybe_laguna(struct chat_parser *p, int extra, bool *consumed);

/* How thinking starts. */
enum parse_start {
    START_CONTENT,
    START_INSIDE,            /* always inside */
    START_INSIDE_UNLESS_OFF, /* inside unless think is off */
    START_INSIDE_IF_ON,
    START_INSIDE_NO_TOOLS, /* inside if think is on and there are no tools */
    START_LEADING,         /* inside when the output begins with the opening tag */
    START_LEADING_IF_ON,
    START_AFTER_TOOL /* inside if think is on and the last message is a tool's */
};

enum parse_prefill {
    PREFILL_IGNORED,
    PREFILL_CONTENT, /* non-empty content of a last assistant message: start in content */
    PREFILL_ANY      /* any last assistant message: start in content */
};

enum parse_discard { DISCARD_NEVER, DISCARD_IF_OFF, DISCARD_UNLESS_ON, DISCARD_ALWAYS };

/* A format that is tags round thinking and calls: a row of data for one machine. */
struct parse_tagged {
    const char *think_open, *think_close;
    const char *think_label; /* behind the opening tag, dropped */
    enum parse_start start;
    enum parse_prefill prefill;
    enum parse_discard discard;
    bool echo;               /* one opening tag inside thinking's beginning is dropped */
    bool open_anywhere;      /* the opening tag counts in content too */
    bool call_ends_thinking; /* a call's tag is looked for in thinking */
    bool eat_first;          /* white space at the very beginning is dropped */
    bool keep_after_call;    /* white space behind a call is content */
    bool lost_tail_think, lost_tail_content; /* a tag's beginning at the end is dropped */
    enum parse_space think_space, content_space;
    const char *section_open, *section_close; /* round calls; NULL: calls stand alone */
    const char *call_open, *call_close;       /* close NULL: a balanced object ends it */
    bool unclosed;                            /* the end closes a call */
    bool stalls;                              /* a bad call ends its section */
    const char *drop[6];                      /* markers dropped from content */
    bool drop_after_call;                     /* only behind a call */
    const char *hide_open, *hide_close;       /* a block of another kind: its marks are dropped, */
    bool keep_hidden;                         /* and its text unless this is set */
    const char *extra[2];                     /* where `maybe` is asked */
    size_t (*maybe)(struct chat_parser *p, int extra, bool *consumed);
    parse_body_fn call;
};

enum parse_state {
    PARSE_LOOK,  /* for a leading or echoed opening tag */
    PARSE_LABEL, /* of a thinking block */
    PARSE_THINK,
    PARSE_CONTENT,
    PARSE_SECTION, /* between the calls of a section */
    PARSE_CALL,
    PARSE_HIDE
};

struct parse_format {
    struct chat_parser_facts facts;
    void (*begin)(struct chat_parser *p);
    bool (*step)(struct chat_parser *p);
    enum chat_phase (*phase)(const struct chat_parser *p);
    const char *think_open, *think_close; /* for the model to read */
    const struct parse_tagged *tagged;
};

void parse_tagged_begin(struct chat_parser *p);
bool parse_tagged_step(struct chat_parser *p);
enum chat_phase parse_tagged_phase(const struct chat_parser *p);

void parse_generic_begin(struct chat_parser *p);
bool parse_generic_step(struct chat_parser *p);
enum chat_phase parse_generic_phase(const struct chat_parser *p);

void parse_harmony_begin(struct chat_parser *p);
bool parse_harmony_step(struct chat_parser *p);
void parse_glimmer_begin(struct chat_parser *p);
bool parse_glimmer_step(struct chat_parser *p);
enum chat_phase parse_message_phase(const struct chat_parser *p);
void parse_functionary_begin(struct chat_parser *p);
bool parse_functionary_step(struct chat_parser *p);

void parse_plain_begin(struct chat_parser *p);
bool parse_plain_step(struct chat_parser *p);
enum chat_phase parse_plain_phase(const struct chat_parser *p);

/* The generic way, and the table of the built-in ones (ends with a row without a name). */
extern const struct parse_format parse_format_generic;
extern const struct parse_format parse_formats[];

#endif
