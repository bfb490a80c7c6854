/* What is to be told of a model: the reply of /api/show, which `oll show` prints, too, when no
 * server runs (rest-api 5.4). */
#ifndef OLL_SERVER_SHOW_H
#define OLL_SERVER_SHOW_H

#include "engine/base/json.h"
#include "server/models.h"

struct show_request {
    const char *name;
    const char *system;             /* in place of the model's; "" : none */
    const char *basename;           /* in place of general.basename; NULL: the file's */
    const struct oll_json *options; /* over the parameters of the Modelfile; NULL: none */
    bool verbose;                   /* arrays in full */
};

/* Appends one JSON object. *http_status is that of a failure. */
oll_status show_reply(struct models *models, const struct show_request *request,
                      struct oll_arena *arena, struct oll_strbuf *out, int *http_status,
                      struct oll_error *err) OLL_MUST_USE;

#endif
