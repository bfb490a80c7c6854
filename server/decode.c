#include "server/decode.h"

#include <string.h>

oll_status decode_body(struct http_request *req, const char *type, const struct oll_json **root,
                       struct oll_error *err)
{
    struct oll_json_limits limits = oll_json_limits_default;
    struct oll_json *node;
    limits.replace_utf8 = limits.allow_trailing = true;
    if (strspn(req->body, " \t\r\n") == req->n_body)
        return OLL_FAIL(err, OLL_ERR_ARG, "missing request body");
    OLL_TRY(oll_json_parse(req->arena, req->body, req->n_body, &limits, &node, err));
    if (node->type != OLL_JSON_OBJECT && node->type != OLL_JSON_NULL)
        return OLL_FAIL(err, OLL_ERR_ARG, "json: cannot unmarshal %s into Go value of type api.%s",
                        oll_json_type_name(node), type);
    *root = node->type == OLL_JSON_OBJECT ? node : NULL;
    return OLL_OK;
}

static oll_status fail_type(const struct oll_json *v, const struct decode_field *field,
                            const char *prefix, const char *usual, struct oll_error *err)
{
    bool number = v->type == OLL_JSON_NUMBER && field->kind == DECODE_INT;
    return OLL_FAIL(
        err, OLL_ERR_ARG, "json: cannot unmarshal %s%s%.*s into Go struct field %s%s of type %s",
        oll_json_type_name(v), number ? " " : "", number ? (int)v->raw_len : 0,
        number ? v->raw : "", prefix, field->name, field->go_type ? field->go_type : usual);
}

static oll_status decode_value(const struct oll_json *v, const struct decode_field *field,
                               const char *prefix, void *to, struct oll_error *err)
{
    static const struct {
        enum oll_json_type type;
        const char *go_type;
    } wants[] = {[DECODE_STRING] = {OLL_JSON_STRING, "string"},
                 [DECODE_BOOL] = {OLL_JSON_BOOL, "bool"},
                 [DECODE_INT] = {OLL_JSON_NUMBER, "int"},
                 [DECODE_ARRAY] = {OLL_JSON_ARRAY, "[]interface {}"},
                 [DECODE_OBJECT] = {OLL_JSON_OBJECT, "map[string]interface {}"}};
    const struct oll_json **node = to;
    if (field->kind == DECODE_ANY) {
        *node = v;
        return OLL_OK;
    }
    if (v->type != (uint8_t)wants[field->kind].type || (field->kind == DECODE_INT && !v->is_int))
        return fail_type(v, field, prefix, wants[field->kind].go_type, err);
    switch (field->kind) {
    case DECODE_STRING:
        if (strlen(v->str) != v->str_len)
            return OLL_FAIL(err, OLL_ERR_ARG, "%s%s must not hold U+0000", prefix, field->name);
        *(const char **)to = v->str;
        break;
    case DECODE_BOOL: *(bool *)to = v->is_true; break;
    case DECODE_INT: *(int64_t *)to = v->i; break;
    default: *node = v; break;
    }
    return OLL_OK;
}

oll_status decode_fields(const struct oll_json *object, const struct decode_field *fields,
                         const char *prefix, void *out, struct oll_error *err)
{
    for (; fields->name; fields++) {
        const struct oll_json *v = oll_json_get_fold(object, fields->name);
        if (v && v->type != OLL_JSON_NULL)
            OLL_TRY(decode_value(v, fields, prefix, (char *)out + fields->offset, err));
    }
    return OLL_OK;
}
