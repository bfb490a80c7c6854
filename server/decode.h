/* From a request's JSON to a struct, by a table of fields, with Go's rules for keys and null
 * (rest-api 0.3) and an error that names the field (1.8, security rule R24). */
#ifndef OLL_SERVER_DECODE_H
#define OLL_SERVER_DECODE_H

#include "engine/base/json.h"
#include "server/http.h"

enum decode_kind {
    DECODE_STRING, /* const char *; no NUL inside */
    DECODE_BOOL,   /* bool */
    DECODE_INT,    /* int64_t */
    DECODE_ARRAY,  /* const struct oll_json * */
    DECODE_OBJECT, /* const struct oll_json * */
    DECODE_ANY     /* const struct oll_json * */
};

struct decode_field {
    const char *name;
    enum decode_kind kind;
    size_t offset;       /* of the member in the struct */
    const char *go_type; /* for messages; NULL: the kind's usual one */
};

/* Reads a request's body. *root is NULL for a body that says null. OLL_ERR_ARG "missing request
 * body" when it is empty; `type` is the struct's name for messages ("GenerateRequest"). */
oll_status decode_body(struct http_request *req, const char *type, const struct oll_json **root,
                       struct oll_error *err) OLL_MUST_USE;

/* Fills the members that are present and not null; others keep what they hold. `fields` ends with a
 * NULL name; `prefix` stands before field names in messages: "ChatRequest." or
 * "ChatRequest.messages.". `object` may be NULL: nothing is present. */
oll_status decode_fields(const struct oll_json *object, const struct decode_field *fields,
                         const char *prefix, void *out, struct oll_error *err) OLL_MUST_USE;

#endif
