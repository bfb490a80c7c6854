/* Identifiers, anchors and references; error texts with JSON pointers. */
#include "sampler/json_schema_shape.h"

#include "sampler/grow.h"

#include <string.h>

enum { MAX_RESOURCES = 20000 };

/* ---- errors ---- */

static void add_pointer_token(struct oll_strbuf *out, const char *key)
{
    oll_strbuf_addc(out, '/');
    for (; *key; key++) {
        if (*key == '~' || *key == '/')
            oll_strbuf_adds(out, *key == '~' ? "~0" : "~1");
        else
            oll_strbuf_addc(out, *key);
    }
}

/* Appends the pointer of `at` below `from`; false when it is not there. Depth is bounded by that of
 * the reader. */
static bool find_pointer(const struct oll_json *from, const struct oll_json *at,
                         struct oll_strbuf *out)
{
    size_t i = 0, len = out->len;
    if (from == at)
        return true;
    if (from->type != OLL_JSON_ARRAY && from->type != OLL_JSON_OBJECT)
        return false;
    for (const struct oll_json *kid = from->first; kid; kid = kid->next, i++) {
        if (from->type == OLL_JSON_OBJECT)
            add_pointer_token(out, kid->key);
        else
            oll_strbuf_printf(out, "/%zu", i);
        if (find_pointer(kid, at, out))
            return true;
        out->len = len;
        if (out->cap)
            out->data[len] = '\0';
    }
    return false;
}

oll_status schema_fail(struct schema *s, const struct oll_json *at, oll_status status,
                       const char *fmt, ...)
{
    char what[OLL_ERROR_TEXT_MAX / 2];
    struct oll_error text = {0};
    struct oll_strbuf pointer;
    va_list args;
    va_start(args, fmt);
    oll_error_setv(&text, status, fmt, args);
    va_end(args);
    size_t n = strlen(text.text) < sizeof what - 1 ? strlen(text.text) : sizeof what - 1;
    memcpy(what, text.text, n);
    what[n] = '\0';
    oll_strbuf_init(&pointer, OLL_ERROR_TEXT_MAX * 4);
    find_pointer(s->root, at, &pointer);
    OLL_FAIL(s->err, status, "%s at #%.480s", what, pointer.data);
    oll_strbuf_free(&pointer);
    return status;
}

/* The pointer is that of the schema which holds the keyword. */
static const struct oll_json *parent_of(const struct oll_json *from, const struct oll_json *at)
{
    if (from->type != OLL_JSON_ARRAY && from->type != OLL_JSON_OBJECT)
        return NULL;
    for (const struct oll_json *kid = from->first; kid; kid = kid->next) {
        const struct oll_json *found = kid == at ? from : parent_of(kid, at);
        if (found)
            return found;
    }
    return NULL;
}

oll_status schema_unsupported(struct schema *s, const struct oll_json *at, const char *keyword)
{
    const struct oll_json *holder =
        at->key && strcmp(at->key, keyword) == 0 ? parent_of(s->root, at) : at;
    return schema_fail(s, holder ? holder : at, OLL_ERR_UNSUPPORTED,
                       "unsupported JSON schema: \"%s\"", keyword);
}

/* ---- URIs (RFC 3986, as far as identifiers need it) ---- */

static size_t scheme_len(const char *uri)
{
    size_t n = 0;
    while ((uri[n] >= 'a' && uri[n] <= 'z') || (uri[n] >= 'A' && uri[n] <= 'Z') ||
           (n && ((uri[n] >= '0' && uri[n] <= '9') || strchr("+.-", uri[n]) != NULL)))
        if (uri[n++] == '\0')
            return 0;
    return n && uri[n] == ':' ? n + 1 : 0;
}

/* Bytes up to the path: "http://host", "urn:". */
static size_t authority_len(const char *uri)
{
    size_t n = scheme_len(uri);
    if (uri[n] == '/' && uri[n + 1] == '/')
        for (n += 2; uri[n] && uri[n] != '/';)
            n++;
    return n;
}

/* Removes "./" and "name/../" from the path, in place. */
static void remove_dots(char *path)
{
    char *out = path;
    for (char *in = path; *in;) {
        if (strncmp(in, "./", 2) == 0 && (out == path || out[-1] == '/')) {
            in += 2;
        } else if (strncmp(in, "../", 3) == 0 && (out == path || out[-1] == '/')) {
            in += 3;
            if (out > path)
                out--;
            while (out > path && out[-1] != '/')
                out--;
        } else {
            *out++ = *in++;
        }
    }
    *out = '\0';
}

/* `ref`, without fragment, relative to `base`. NULL without memory. */
static char *join_uri(struct schema *s, const char *base, const char *ref, size_t n)
{
    char *own = oll_arena_strndup(&s->arena, ref, n), *out;
    if (!own || scheme_len(own))
        return own;
    if (n == 0)
        return oll_arena_strdup(&s->arena, base);
    size_t authority = authority_len(base), keep = authority;
    if (own[0] != '/')
        for (size_t i = authority; base[i] && base[i] != '?'; i++)
            if (base[i] == '/')
                keep = i + 1;
    out = oll_arena_printf(&s->arena, "%.*s%s", (int)keep, base, own);
    if (out)
        remove_dots(out + authority);
    return out;
}

static size_t fragment_at(const char *uri)
{
    const char *hash = strchr(uri, '#');
    return hash ? (size_t)(hash - uri) : strlen(uri);
}

/* ---- index ---- */

uint32_t schema_base_of(const struct schema *s, const struct oll_json *json, uint32_t base)
{
    if (json == s->root || (!oll_json_get(json, "$id") && !oll_json_get(json, "id")))
        return base;
    for (uint32_t i = 0; i < s->n_resources; i++)
        if (s->resources[i].root == json)
            return i;
    return base;
}

static oll_status add_resource(struct schema *s, const char *uri, const struct oll_json *root)
{
    if (!uri || !grow_array((void **)&s->resources, &s->cap_resources, s->n_resources + 1ull,
                            MAX_RESOURCES, sizeof *s->resources))
        return OLL_FAIL(s->err, OLL_ERR_LIMIT, "a schema of too many identifiers");
    s->resources[s->n_resources++] = (struct resource){uri, root};
    return OLL_OK;
}

static oll_status add_anchor(struct schema *s, const char *uri, const char *name,
                             const struct oll_json *json)
{
    if (!grow_array((void **)&s->anchors, &s->cap_anchors, s->n_anchors + 1ull, MAX_RESOURCES,
                    sizeof *s->anchors))
        return OLL_FAIL(s->err, OLL_ERR_LIMIT, "a schema of too many anchors");
    s->anchors[s->n_anchors++] = (struct anchor){uri, name, json};
    return OLL_OK;
}

static const char *string_member(const struct oll_json *json, const char *key)
{
    const struct oll_json *v = json->type == OLL_JSON_OBJECT ? oll_json_get(json, key) : NULL;
    return v && v->type == OLL_JSON_STRING ? v->str : NULL;
}

/* `uri`: of the enclosing resource. */
static oll_status index_below(struct schema *s, const struct oll_json *json, const char *uri)
{
    if (json->type == OLL_JSON_OBJECT)
        s->has_unevaluated = s->has_unevaluated || oll_json_get(json, "unevaluatedProperties") ||
                             oll_json_get(json, "unevaluatedItems");
    const char *id = string_member(json, "$id");
    id = id ? id : string_member(json, "id"); /* draft 4 */
    if (id && id[0] == '#') {
        OLL_TRY(add_anchor(s, uri, id + 1, json));
    } else if (id) {
        uri = join_uri(s, uri, id, fragment_at(id));
        OLL_TRY(add_resource(s, uri, json));
    }
    const char *names[] = {string_member(json, "$anchor"), string_member(json, "$dynamicAnchor")};
    for (int i = 0; i < 2; i++)
        if (names[i])
            OLL_TRY(add_anchor(s, uri, names[i], json));
    if (json->type == OLL_JSON_ARRAY || json->type == OLL_JSON_OBJECT)
        for (const struct oll_json *kid = json->first; kid; kid = kid->next)
            OLL_TRY(index_below(s, kid, uri));
    return OLL_OK;
}

oll_status schema_index(struct schema *s)
{
    const char *id = string_member(s->root, "$id");
    id = id ? id : string_member(s->root, "id");
    OLL_TRY(
        add_resource(s, id && id[0] != '#' ? join_uri(s, "", id, fragment_at(id)) : "", s->root));
    return index_below(s, s->root, s->resources[0].uri);
}

/* ---- references ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* One token of a pointer, percent and tilde escapes undone; moves *at behind it. */
static char *pointer_token(struct schema *s, const char **at)
{
    size_t n = strcspn(*at, "/"), len = 0;
    char *out = oll_arena_alloc(&s->arena, n + 1, 1);
    for (size_t i = 0; out && i < n; i++) {
        char c = (*at)[i];
        if (c == '%' && i + 2 < n && hex((*at)[i + 1]) >= 0 && hex((*at)[i + 2]) >= 0) {
            c = (char)(hex((*at)[i + 1]) << 4 | hex((*at)[i + 2]));
            i += 2;
        }
        if (c == '~' && i + 1 < n && ((*at)[i + 1] == '0' || (*at)[i + 1] == '1'))
            c = (*at)[++i] == '0' ? '~' : '/';
        out[len++] = c;
    }
    *at += n;
    return out;
}

static const struct oll_json *follow(struct schema *s, const struct oll_json *from,
                                     const char *pointer, uint32_t *base)
{
    while (from && *pointer == '/') {
        pointer++;
        const char *token = pointer_token(s, &pointer);
        if (!token)
            return NULL;
        if (from->type == OLL_JSON_OBJECT) {
            from = oll_json_get(from, token);
        } else if (from->type == OLL_JSON_ARRAY) {
            size_t i = 0;
            for (const char *c = token; *c; c++)
                i = *c >= '0' && *c <= '9' && i < 1 << 24 ? i * 10 + (size_t)(*c - '0')
                                                          : SIZE_MAX / 2;
            for (from = from->first; from && i > 0; i--)
                from = from->next;
        } else {
            return NULL;
        }
        if (from && from->type == OLL_JSON_OBJECT && *pointer)
            *base = schema_base_of(s, from, *base);
    }
    return *pointer ? NULL : from;
}

static bool is_meta_uri(const char *uri)
{
    return strncmp(uri, "http://json-schema.org/", 23) == 0 ||
           strncmp(uri, "https://json-schema.org/", 24) == 0;
}

static oll_status unresolved(struct schema *s, const struct oll_json *ref)
{
    return schema_fail(s, ref, OLL_ERR_FORMAT, "invalid JSON schema: unresolvable $ref \"%.200s\"",
                       ref->str);
}

oll_status schema_resolve(struct schema *s, const struct oll_json *ref, uint32_t base,
                          const struct oll_json **json, uint32_t *new_base, bool *is_meta)
{
    size_t hash = fragment_at(ref->str);
    const char *fragment = ref->str[hash] ? ref->str + hash + 1 : "";
    const char *uri = join_uri(s, s->resources[base].uri, ref->str, hash);
    uint32_t found = REGEX_INF;
    *is_meta = false;
    if (!uri)
        return OLL_FAIL(s->err, s->arena.status, "out of memory for a schema");
    if (hash == 0)
        found = base;
    for (uint32_t i = 0; i < s->n_resources && found == REGEX_INF; i++)
        if (strcmp(s->resources[i].uri, uri) == 0)
            found = i;
    if (found == REGEX_INF) {
        *is_meta = is_meta_uri(uri);
        return *is_meta ? OLL_OK : unresolved(s, ref);
    }
    *new_base = found;
    *json = NULL;
    if (fragment[0] == '\0' || fragment[0] == '/') {
        *json = follow(s, s->resources[found].root, fragment, new_base);
        if (!*json) { /* an `id` that was meant as a mere name */
            *new_base = 0;
            *json = follow(s, s->root, fragment, new_base);
        }
    }
    for (uint32_t i = 0; i < s->n_anchors && !*json; i++)
        if (strcmp(s->anchors[i].name, fragment) == 0 &&
            (strcmp(s->anchors[i].uri, s->resources[found].uri) == 0 || hash == 0))
            *json = s->anchors[i].json;
    return *json ? OLL_OK : unresolved(s, ref);
}
