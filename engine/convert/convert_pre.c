/* Which pre-tokenizer the steps of a tokenizer.json are.
 *
 * The steps become a line of text: "S" and a regex for a split, "D1" or "DP" for digits, "B" for
 * the byte-level step, with its own regex when that is on. Contractions, which publishers write in
 * two ways, are replaced by "<C>". The names are those of tokenizer.ggml.pre. */
#include "engine/convert/convert_internal.h"

#include <string.h>

#define TAIL   "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define WORD   "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define PUNCT  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define UPPER  "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER  "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define FRONT  "[^\\r\\n\\p{L}\\p{N}]?"
#define SLASH  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
#define SPLIT3 "S\\p{N}{1,3}\n"
#define CJK    "S[\xe4\xb8\x80-\xe9\xbe\xa5\xe3\x81\x80-\xe3\x82\x9f\xe3\x82\xa0-\xe3\x83\xbf]+\n"
#define DS3                                                                                        \
    "S[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?"          \
    "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" TAIL "\n"

/* `cleans_up` decides between names with the same steps: -1 either. */
static const struct {
    const char *steps, *name;
    int cleans_up;
} known[] = {
    {"S<C>|" WORD "|\\p{N}{1,3}|" PUNCT "|" TAIL "\nb\n", "llama-bpe", -1},
    {"S<C>|" WORD "|\\p{N}|" PUNCT "|" TAIL "\nb\n", "qwen2", -1},
    {"S<C>|" FRONT "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" TAIL "\nb\n",
     "qwen35", -1},
    {"S" FRONT UPPER "*" LOWER "+<C>?|" FRONT UPPER "+" LOWER "*<C>?|\\p{N}{1,3}|" SLASH "|" TAIL
     "\nb\n",
     "gpt-4o", -1},
    {"S" FRONT UPPER "*" LOWER "+|" FRONT UPPER "+" LOWER "*|\\p{N}|" SLASH "|" TAIL "\nb\n",
     "tekken", -1},
    {SPLIT3 CJK DS3 "b\n", "deepseek-v3", -1},
    {"B\n", "gpt-2", -1},
    {"D1\nB\n", "smollm", 0},
    {"D1\nB\n", "starcoder", 1},
};

/* Replaces all of `from`. */
static void add_replaced(struct oll_strbuf *out, const char *text, const char *const *from, int n)
{
    while (*text) {
        int i = 0;
        while (i < n && strncmp(text, from[i], strlen(from[i])) != 0)
            i++;
        if (i < n) {
            oll_strbuf_adds(out, "<C>");
            text += strlen(from[i]);
        } else {
            oll_strbuf_addc(out, *text++);
        }
    }
}

static bool flag(const struct oll_json *node, const char *key, bool fallback)
{
    const struct oll_json *v = oll_json_get(node, key);
    return v && v->type == OLL_JSON_BOOL ? v->is_true : fallback;
}

static void add_step(struct oll_strbuf *out, const struct oll_json *node)
{
    static const char *const contractions[] = {
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)", "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])",
        "'(?i:[sdmt]|ll|ve|re)"};
    const char *type = oll_json_get_str(node, "type", "");
    if (strcmp(type, "Split") == 0) {
        const struct oll_json *pattern = oll_json_get(node, "pattern");
        oll_strbuf_addc(out, 'S');
        add_replaced(out, oll_json_get_str(pattern, "Regex", ""), contractions, 3);
    } else if (strcmp(type, "Digits") == 0) {
        oll_strbuf_adds(out, flag(node, "individual_digits", false) ? "D1" : "DP");
    } else if (strcmp(type, "ByteLevel") == 0) {
        oll_strbuf_adds(out, flag(node, "use_regex", true) ? "B" : "b");
    } else {
        oll_strbuf_printf(out, "?%s", type);
    }
    oll_strbuf_addc(out, '\n');
}

oll_status convert_pre_name(struct convert *c, const struct oll_json *tokenizer, bool cleans_up,
                            const char **out)
{
    const struct oll_json *pre = oll_json_get(tokenizer, "pre_tokenizer");
    const struct oll_json *list = oll_json_get(pre, "pretokenizers");
    struct oll_strbuf steps;
    oll_strbuf_init(&steps, 1 << 20);
    if (list && list->type == OLL_JSON_ARRAY)
        for (const struct oll_json *step = list->first; step; step = step->next)
            add_step(&steps, step);
    else if (pre && pre->type == OLL_JSON_OBJECT)
        add_step(&steps, pre);
    *out = NULL;
    for (size_t i = 0; i < sizeof known / sizeof known[0] && !*out; i++)
        if (strcmp(known[i].steps, steps.data) == 0 &&
            (known[i].cleans_up < 0 || known[i].cleans_up == (int)cleans_up))
            *out = known[i].name;
    oll_status status = OLL_OK;
    if (!*out)
        status = OLL_FAIL(c->err, OLL_ERR_UNSUPPORTED,
                          "tokenizer.json: an unknown pre-tokenizer: %.400s", steps.data);
    oll_strbuf_free(&steps);
    return status;
}
