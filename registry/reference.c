#include "registry/reference.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char default_host[] = "registry.ollama.ai", default_namespace[] = "library",
                  default_tag[] = "latest";

enum { TEXT_MAX = 1024 }; /* longer than any valid name with its suffixes */

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool valid(const char *s, size_t max, const char *others)
{
    size_t n = strlen(s);
    if (n < 1 || n > max || !is_alnum(s[0]))
        return false;
    for (size_t i = 1; i < n; i++)
        if (!is_alnum(s[i]) && !strchr(others, s[i]))
            return false;
    return true;
}

bool oll_reference_valid_host(const char *s) { return valid(s, OLL_HOST_MAX, "-.:"); }
bool oll_reference_valid_namespace(const char *s) { return valid(s, OLL_NAME_PART_MAX, "-"); }
bool oll_reference_valid_part(const char *s) { return valid(s, OLL_NAME_PART_MAX, "-."); }

/* Takes one suffix that names a source off the text. */
static enum oll_source cut_source(char *text)
{
    char *colon = strrchr(text, ':'), *slash = strrchr(text, '/');
    if (!colon || (slash && slash > colon))
        return OLL_SOURCE_ANY;
    size_t n = strlen(colon);
    bool local = strcasecmp(colon, ":local") == 0;
    if (local || strcasecmp(colon, ":cloud") == 0) {
        *colon = '\0';
        return local ? OLL_SOURCE_LOCAL : OLL_SOURCE_CLOUD;
    }
    if (n > 7 && strcasecmp(colon + n - 6, "-cloud") == 0) {
        colon[n - 6] = '\0';
        return OLL_SOURCE_CLOUD;
    }
    return OLL_SOURCE_ANY;
}

/* Copies a part; an empty or overlong one becomes something that is never valid. */
static void take_part(char *out, size_t size, const char *part)
{
    if (*part && strlen(part) < size)
        memcpy(out, part, strlen(part) + 1);
    else
        memcpy(out, "!", 2);
}

/* Cuts from the right: tag, model, namespace, and what remains is the host. */
static void split(char *text, struct oll_reference *ref)
{
    char *colon = strrchr(text, ':'), *slash = strrchr(text, '/');
    if (colon && (!slash || colon > slash)) {
        *colon = '\0';
        take_part(ref->tag, sizeof ref->tag, colon + 1);
    }
    take_part(ref->model, sizeof ref->model, slash ? slash + 1 : text);
    if (!slash)
        return;
    *slash = '\0';
    slash = strrchr(text, '/');
    take_part(ref->namespace, sizeof ref->namespace, slash ? slash + 1 : text);
    if (!slash)
        return;
    *slash = '\0';
    char *host = strstr(text, "://");
    if (host) {
        *host = '\0';
        take_part(ref->scheme, sizeof ref->scheme, text);
        host += 3;
    }
    take_part(ref->host, sizeof ref->host, host ? host : text);
}

/* Copies without the white space round it; false when it is too long to be a name. */
static bool trim(const char *text, char out[TEXT_MAX])
{
    static const char space[] = " \t\r\n\v\f";
    text += strspn(text, space);
    size_t n = strlen(text);
    while (n > 0 && strchr(space, text[n - 1]))
        n--;
    if (n >= TEXT_MAX)
        return false;
    memcpy(out, text, n);
    out[n] = '\0';
    return true;
}

static void set_default(char *part, const char *text)
{
    if (!*part)
        memcpy(part, text, strlen(text) + 1);
}

oll_status oll_reference_parse(const char *text, struct oll_reference *out, struct oll_error *err)
{
    char work[TEXT_MAX], again[TEXT_MAX];
    struct oll_reference ref = {.source = OLL_SOURCE_ANY};
    if (!trim(text, work))
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid model name");
    if (!*work)
        return OLL_FAIL(err, OLL_ERR_ARG, "model is required");
    ref.source = cut_source(work);
    memcpy(again, work, sizeof again);
    if (ref.source != OLL_SOURCE_ANY && cut_source(again) != OLL_SOURCE_ANY)
        return OLL_FAIL(err, OLL_ERR_ARG, "use either :local or :cloud, not both: \"%s\"", text);
    split(work, &ref);
    set_default(ref.scheme, "https");
    set_default(ref.host, default_host);
    set_default(ref.namespace, default_namespace);
    set_default(ref.tag, default_tag);
    if (!oll_reference_valid_host(ref.host) || !oll_reference_valid_namespace(ref.namespace) ||
        !oll_reference_valid_part(ref.model) || !oll_reference_valid_part(ref.tag))
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid model name");
    *out = ref;
    return OLL_OK;
}

bool oll_reference_equal(const struct oll_reference *a, const struct oll_reference *b)
{
    return strcasecmp(a->host, b->host) == 0 && strcasecmp(a->namespace, b->namespace) == 0 &&
           strcasecmp(a->model, b->model) == 0 && strcasecmp(a->tag, b->tag) == 0;
}

void oll_reference_short(const struct oll_reference *ref, char out[OLL_REFERENCE_TEXT_MAX])
{
    if (strcasecmp(ref->host, default_host) != 0)
        oll_reference_full(ref, out);
    else if (strcasecmp(ref->namespace, default_namespace) != 0)
        snprintf(out, OLL_REFERENCE_TEXT_MAX, "%s/%s:%s", ref->namespace, ref->model, ref->tag);
    else
        snprintf(out, OLL_REFERENCE_TEXT_MAX, "%s:%s", ref->model, ref->tag);
}

void oll_reference_full(const struct oll_reference *ref, char out[OLL_REFERENCE_TEXT_MAX])
{
    snprintf(out, OLL_REFERENCE_TEXT_MAX, "%s/%s/%s:%s", ref->host, ref->namespace, ref->model,
             ref->tag);
}
