/* Texts that `show` makes of stored documents: the parameters, the Modelfile (store-and-registry
 * 5.2, 9.6). */
#ifndef OLL_SERVER_SHOW_TEXT_H
#define OLL_SERVER_SHOW_TEXT_H

#include "server/models.h"

/* A number as Go prints it with %v: shortest digits, an exponent below -4 and from 6 on:
 * "131072", "1e+06". */
enum { SHOW_NUMBER_MAX = 40 };
void show_number(double v, char out[SHOW_NUMBER_MAX]);

/* One line per value, strings quoted, without a newline at the end. */
void show_parameters(const struct oll_json *params, struct oll_strbuf *out);

struct show_model {
    const struct served_model *model;
    const char *system;             /* may be NULL */
    const struct oll_json *options; /* of the request, over the stored parameters; may be NULL */
    /* Paths of blobs; NULL-terminated. */
    const char *const *adapters, *const *drafts, *const *projectors;
    const char *const *licenses; /* texts, NULL-terminated */
};

void show_modelfile(const struct show_model *m, struct oll_strbuf *out);

#endif
