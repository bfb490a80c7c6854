#include "server/options.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum kind { KIND_INT32, KIND_INT64, KIND_FLOAT, KIND_BOOL };

struct option {
    const char *name;
    enum kind kind;
    size_t offset;
};

#define AT(member) offsetof(struct options, member)

static const struct option table[] = {
    {"num_ctx", KIND_INT64, AT(num_ctx)},
    {"num_batch", KIND_INT64, AT(num_batch)},
    {"num_gpu", KIND_INT64, AT(num_gpu)},
    {"main_gpu", KIND_INT64, AT(main_gpu)},
    {"use_mmap", KIND_BOOL, AT(use_mmap)},
    {"num_thread", KIND_INT64, AT(num_thread)},
    {"draft_num_predict", KIND_INT64, AT(draft_num_predict)},
    {"think_budget", KIND_INT32, AT(sampling.think_budget)},
    {"num_keep", KIND_INT32, AT(sampling.num_keep)},
    {"seed", KIND_INT64, AT(sampling.seed)},
    {"num_predict", KIND_INT32, AT(sampling.num_predict)},
    {"top_k", KIND_INT32, AT(sampling.top_k)},
    {"top_p", KIND_FLOAT, AT(sampling.top_p)},
    {"min_p", KIND_FLOAT, AT(sampling.min_p)},
    {"typical_p", KIND_FLOAT, AT(sampling.typical_p)},
    {"repeat_last_n", KIND_INT32, AT(sampling.repeat_last_n)},
    {"temperature", KIND_FLOAT, AT(sampling.temperature)},
    {"repeat_penalty", KIND_FLOAT, AT(sampling.repeat_penalty)},
    {"presence_penalty", KIND_FLOAT, AT(sampling.presence_penalty)},
    {"frequency_penalty", KIND_FLOAT, AT(sampling.frequency_penalty)},
};

void options_default(struct options *options)
{
    *options = (struct options){.num_gpu = -1, .main_gpu = -1, .use_mmap = -1};
    options->sampling = oll_options_default();
}

static oll_status fail_type(const char *name, const char *type, struct oll_error *err)
{
    return OLL_FAIL(err, OLL_ERR_FORMAT, "option \"%s\" must be of type %s", name, type);
}

static oll_status fail_range(const char *name, int64_t min, int64_t max, struct oll_error *err)
{
    return OLL_FAIL(err, OLL_ERR_ARG, "option \"%s\" must be from %" PRId64 " to %" PRId64, name,
                    min, max);
}

/* A number cut towards zero, exact where it is written without a fraction. */
static oll_status take_int(const struct oll_json *v, const char *name, int64_t min, int64_t max,
                           int64_t *out, struct oll_error *err)
{
    if (v->type != OLL_JSON_NUMBER)
        return fail_type(name, "integer", err);
    if (!v->is_int && !(v->real > -9.2e18 && v->real < 9.2e18))
        return fail_range(name, min, max, err);
    int64_t i = v->is_int ? v->i : (int64_t)v->real;
    if (i < min || i > max)
        return fail_range(name, min, max, err);
    *out = i;
    return OLL_OK;
}

static oll_status take_option(struct options *options, const struct option *o,
                              const struct oll_json *v, struct oll_error *err)
{
    void *to = (char *)options + o->offset;
    int64_t i;
    switch (o->kind) {
    case KIND_INT32:
        OLL_TRY(take_int(v, o->name, INT32_MIN, INT32_MAX, &i, err));
        *(int32_t *)to = (int32_t)i;
        return OLL_OK;
    case KIND_INT64: {
        bool seed = strcmp(o->name, "seed") == 0;
        OLL_TRY(take_int(v, o->name, seed ? INT64_MIN : INT32_MIN, seed ? INT64_MAX : INT32_MAX, &i,
                         err));
        *(int64_t *)to = i;
        return OLL_OK;
    }
    case KIND_FLOAT:
        if (v->type != OLL_JSON_NUMBER)
            return fail_type(o->name, "float32", err);
        if (!isfinite((float)v->real))
            return OLL_FAIL(err, OLL_ERR_ARG, "option \"%s\" is beyond the range of float32",
                            o->name);
        *(float *)to = (float)v->real;
        return OLL_OK;
    default:
        if (v->type != OLL_JSON_BOOL)
            return fail_type(o->name, "boolean", err);
        *(int64_t *)to = v->is_true;
        return OLL_OK;
    }
}

static oll_status take_stop(struct options *options, const struct oll_json *v,
                            struct oll_error *err)
{
    uint32_t n = 0;
    if (v->type != OLL_JSON_ARRAY)
        return fail_type("stop", "array", err);
    for (const struct oll_json *s = v->first; s; s = s->next) {
        if (s->type != OLL_JSON_STRING)
            return OLL_FAIL(err, OLL_ERR_FORMAT, "option \"stop\" must be of an array of strings");
        if (n == OPTIONS_STOP_MAX || s->str_len > OPTIONS_STOP_BYTES_MAX ||
            strlen(s->str) != s->str_len)
            return OLL_FAIL(err, OLL_ERR_ARG,
                            "option \"stop\" may hold %d strings of at most %d bytes, without NUL",
                            OPTIONS_STOP_MAX, OPTIONS_STOP_BYTES_MAX);
        if (s->str_len > 0)
            options->stop[n++] = s->str;
    }
    options->sampling.stop = options->stop;
    options->sampling.n_stop = n;
    return OLL_OK;
}

static const struct option *find_option(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

/* ---- names that are none ---- */

enum { NAME_MAX_BYTES = 64, UNKNOWN_MAX = 8 };

/* How many bytes must be changed, put in or taken out; both are cut to NAME_MAX_BYTES. */
static int distance(const char *a, const char *b)
{
    int row[NAME_MAX_BYTES + 1];
    const int na = (int)strnlen(a, NAME_MAX_BYTES), nb = (int)strnlen(b, NAME_MAX_BYTES);
    for (int j = 0; j <= nb; j++)
        row[j] = j;
    for (int i = 1; i <= na; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            const int change = diagonal + (a[i - 1] != b[j - 1]);
            const int step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < step ? change : step;
        }
    }
    return row[nb];
}

/* The option that a name was meant to be; NULL: none is near. */
static const char *nearest(const char *name)
{
    const char *best = "stop";
    int least = distance(name, best);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const int d = distance(name, table[i].name);
        if (d < least) {
            least = d;
            best = table[i].name;
        }
    }
    return least <= 1 + (int)strnlen(name, NAME_MAX_BYTES) / 3 ? best : NULL;
}

/* Whether a client's word may stand in a header: one line of ASCII, not too long. */
static bool is_plain(const char *s)
{
    size_t n = 0;
    while (s[n] > 0x20 && s[n] < 0x7F && s[n] != '"' && s[n] != '\\')
        n++;
    return s[n] == '\0' && n > 0 && n <= NAME_MAX_BYTES;
}

const char *options_unknown(const struct oll_json *object, struct oll_arena *arena)
{
    const char *text = NULL;
    int n = 0;
    for (const struct oll_json *v = object ? object->first : NULL; v && n < UNKNOWN_MAX;
         v = v->next) {
        if (find_option(v->key) || strcmp(v->key, "stop") == 0)
            continue;
        const bool plain = is_plain(v->key);
        const char *meant = plain ? nearest(v->key) : NULL;
        text = oll_arena_printf(
            arena, "%s%sunknown option%s%s%s%s%s%s", text ? text : "", text ? "; " : "",
            plain ? " \"" : " with an odd name", plain ? v->key : "", plain ? "\"" : "",
            meant ? ", did you mean \"" : "", meant ? meant : "", meant ? "\"?" : "");
        n++;
    }
    return text;
}

oll_status options_merge(struct options *options, const struct oll_json *object,
                         struct oll_error *err)
{
    if (!object)
        return OLL_OK;
    for (const struct oll_json *v = object->first; v; v = v->next) {
        const struct option *o = find_option(v->key);
        if (v->type == OLL_JSON_NULL)
            continue;
        if (strcmp(v->key, "stop") == 0)
            OLL_TRY(take_stop(options, v, err));
        else if (o)
            OLL_TRY(take_option(options, o, v, err));
    }
    return OLL_OK;
}
