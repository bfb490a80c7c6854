#include "server/show_text.h"

#include "engine/base/utf8.h"
#include "registry/modelfile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_COLUMNS = 30 };

void show_number(double v, char out[SHOW_NUMBER_MAX])
{
    char text[SHOW_NUMBER_MAX];
    int precision = 0;
    if (!isfinite(v)) {
        snprintf(out, SHOW_NUMBER_MAX, "%g", v);
        return;
    }
    do
        snprintf(text, sizeof text, "%.*e", precision, v);
    while (strtod(text, NULL) != v && ++precision < 17);
    const long exponent = strtol(strchr(text, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 6)
        snprintf(out, SHOW_NUMBER_MAX, "%s", text);
    else
        snprintf(out, SHOW_NUMBER_MAX, "%.*f",
                 precision > exponent ? (int)(precision - exponent) : 0, v);
}

/* Go's quoting: printable characters as they are, others as escapes. */
static void quote(struct oll_strbuf *out, const char *s, size_t n)
{
    static const char escapes[] = "\a\b\t\n\v\f\r", letters[] = "abtnvfr";
    oll_strbuf_addc(out, '"');
    for (size_t i = 0; i < n;) {
        uint32_t cp = 0;
        const int len = oll_utf8_decode(s + i, n - i, &cp);
        const char *escape = len == 1 && cp ? strchr(escapes, (int)cp) : NULL;
        if (len == 0)
            oll_strbuf_printf(out, "\\x%02x", (unsigned char)s[i]);
        else if (cp == '"' || cp == '\\')
            oll_strbuf_printf(out, "\\%c", (char)cp);
        else if (escape)
            oll_strbuf_printf(out, "\\%c", letters[escape - escapes]);
        else if (cp < 0x20 || cp == 0x7f)
            oll_strbuf_printf(out, "\\x%02x", cp);
        else if ((cp >= 0x80 && cp < 0xa1) || cp == 0xad || cp == 0x3000 || cp == 0xfeff ||
                 (cp >= 0x2000 && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202f))
            oll_strbuf_printf(out, "\\u%04x", cp);
        else
            oll_strbuf_add(out, s + i, (size_t)len);
        i += len ? (size_t)len : 1;
    }
    oll_strbuf_addc(out, '"');
}

/* A value as one word or line; `quotes` for strings. */
static void print_value(const struct oll_json *v, bool quotes, struct oll_strbuf *out)
{
    struct oll_json_writer w;
    char number[SHOW_NUMBER_MAX];
    switch ((enum oll_json_type)v->type) {
    case OLL_JSON_NULL: oll_strbuf_adds(out, "<nil>"); break;
    case OLL_JSON_BOOL: oll_strbuf_adds(out, v->is_true ? "true" : "false"); break;
    case OLL_JSON_NUMBER:
        show_number(v->real, number);
        oll_strbuf_adds(out, number);
        break;
    case OLL_JSON_STRING:
        if (quotes)
            quote(out, v->str, v->str_len);
        else
            oll_strbuf_add(out, v->str, v->str_len);
        break;
    case OLL_JSON_ARRAY:
    case OLL_JSON_OBJECT:
        oll_json_write_init(&w, out);
        oll_json_write_node(&w, v, true);
        break;
    }
}

typedef void (*value_fn)(void *user, const char *key, const struct oll_json *value);

static void each_element(const struct oll_json *v, value_fn fn, void *user)
{
    if (v->type != OLL_JSON_ARRAY)
        fn(user, v->key, v);
    for (const struct oll_json *e = v->type == OLL_JSON_ARRAY ? v->first : NULL; e; e = e->next)
        fn(user, v->key, e);
}

/* Calls `fn` for each value, elements of arrays one by one, in the order of the keys; members of
 * `over` take the place of equal ones. Either may be NULL. */
static void each_value(const struct oll_json *params, const struct oll_json *over, value_fn fn,
                       void *user)
{
    const size_t n = params ? params->n : 0, n_over = over ? over->n : 0;
    for (size_t i = 0, k = 0; i < n || k < n_over;) {
        const int order = i == n        ? 1
                          : k == n_over ? -1
                                        : strcmp(params->sorted[i]->key, over->sorted[k]->key);
        if (order < 0)
            each_element(params->sorted[i], fn, user);
        else
            each_element(over->sorted[k], fn, user);
        i += order <= 0;
        k += order >= 0;
    }
}

static void print_parameter(void *user, const char *key, const struct oll_json *value)
{
    struct oll_strbuf *out = user;
    oll_strbuf_printf(out, "%s%-*s ", out->len ? "\n" : "", KEY_COLUMNS, key);
    print_value(value, true, out);
}

void show_parameters(const struct oll_json *params, struct oll_strbuf *out)
{
    each_value(params, NULL, print_parameter, out);
}

/* ---- Modelfile ---- */

static void print_command(void *user, const char *key, const struct oll_json *value)
{
    struct oll_strbuf *out = user, text;
    oll_strbuf_init(&text, out->max_bytes);
    print_value(value, false, &text);
    oll_modelfile_print(out, OLL_MODELFILE_PARAMETER, key, text.data);
    oll_strbuf_free(&text);
}

static void print_text(struct oll_strbuf *out, enum oll_modelfile_word word, const char *text)
{
    if (text && *text)
        oll_modelfile_print(out, word, NULL, text);
}

/* Paths are never quoted. */
static void print_paths(struct oll_strbuf *out, const char *word, const char *const *paths)
{
    for (; paths && *paths; paths++)
        oll_strbuf_printf(out, "%s %s\n", word, *paths);
}

void show_modelfile(const struct show_model *m, struct oll_strbuf *out)
{
    const struct served_model *model = m->model;
    const struct oll_stored_model *stored = &model->stored;
    oll_strbuf_adds(out, "# Modelfile generated by \"ollama show\"\n");
    if (strcmp(model->format, "safetensors") == 0)
        oll_strbuf_printf(out, "FROM %s\n", model->short_name);
    else
        oll_strbuf_printf(out,
                          "# To build a new Modelfile based on this, replace FROM with:\n"
                          "# FROM %s\n\nFROM %s\n",
                          model->short_name, model->path ? model->path : model->short_name);
    print_paths(out, "ADAPTER", m->adapters);
    print_paths(out, "DRAFT", m->drafts);
    print_paths(out, "FROM", m->projectors);
    oll_modelfile_print(out, OLL_MODELFILE_TEMPLATE, NULL,
                        stored->template_text ? stored->template_text : "{{ .Prompt }}");
    print_text(out, OLL_MODELFILE_SYSTEM, m->system);
    print_text(out, OLL_MODELFILE_RENDERER, stored->config.renderer);
    print_text(out, OLL_MODELFILE_PARSER, stored->config.parser);
    each_value(stored->params, m->options, print_command, out);
    for (const char *const *l = m->licenses; l && *l; l++)
        print_text(out, OLL_MODELFILE_LICENSE, *l);
    for (const struct oll_json *msg = stored->messages ? stored->messages->first : NULL; msg;
         msg = msg->next)
        oll_modelfile_print(out, OLL_MODELFILE_MESSAGE, oll_json_get_str(msg, "role", ""),
                            oll_json_get_str(msg, "content", ""));
}
