/* The built-in Go templates, by the names under which Ollama knows them.
 *
 * They are used while a model is created from files: when the Jinja template of a GGUF file behaves
 * like one of them (detect.h), that one becomes the template layer of the model. Any of them can
 * also be rendered by name. The texts are our own; what they print equals what Ollama's print. */
#ifndef OLL_CHAT_NAMED_TEMPLATES_H
#define OLL_CHAT_NAMED_TEMPLATES_H

#include <stddef.h>

enum { NAMED_STOPS_MAX = 4 };

struct named_template {
    const char *name;
    const char *text;
    const char *stops[NAMED_STOPS_MAX]; /* of the params layer; NULL: no more */
    const char *eos;                    /* what `eos_token` usually is in models of this family */
};

/* All of them in the order in which detection tries them. */
const struct named_template *named_templates_all(size_t *n);
/* NULL when there is none of this name. */
const struct named_template *named_templates_find(const char *name);

#endif
