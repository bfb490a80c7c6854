/* What the values of PARAMETER and REQUIRES may be (store-and-registry 9.5). */
#include "registry/modelfile.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct param {
    const char *name;
    enum oll_modelfile_param kind;
};

static const struct param params[] = {
    {"num_ctx", OLL_PARAM_INT},
    {"num_batch", OLL_PARAM_INT},
    {"num_gpu", OLL_PARAM_INT},
    {"main_gpu", OLL_PARAM_INT},
    {"num_thread", OLL_PARAM_INT},
    {"draft_num_predict", OLL_PARAM_INT},
    {"num_keep", OLL_PARAM_INT},
    {"seed", OLL_PARAM_INT},
    {"num_predict", OLL_PARAM_INT},
    {"top_k", OLL_PARAM_INT},
    {"repeat_last_n", OLL_PARAM_INT},
    {"top_p", OLL_PARAM_FLOAT},
    {"min_p", OLL_PARAM_FLOAT},
    {"typical_p", OLL_PARAM_FLOAT},
    {"temperature", OLL_PARAM_FLOAT},
    {"repeat_penalty", OLL_PARAM_FLOAT},
    {"presence_penalty", OLL_PARAM_FLOAT},
    {"frequency_penalty", OLL_PARAM_FLOAT},
    {"use_mmap", OLL_PARAM_BOOL},
    {"stop", OLL_PARAM_STRINGS},
    {"penalize_newline", OLL_PARAM_DEPRECATED},
    {"low_vram", OLL_PARAM_DEPRECATED},
    {"f16_kv", OLL_PARAM_DEPRECATED},
    {"logits_all", OLL_PARAM_DEPRECATED},
    {"vocab_only", OLL_PARAM_DEPRECATED},
    {"use_mlock", OLL_PARAM_DEPRECATED},
    {"mirostat", OLL_PARAM_DEPRECATED},
    {"mirostat_tau", OLL_PARAM_DEPRECATED},
    {"mirostat_eta", OLL_PARAM_DEPRECATED},
};

enum oll_modelfile_param oll_modelfile_param_kind(const char *name)
{
    for (size_t i = 0; i < sizeof params / sizeof params[0]; i++)
        if (strcmp(params[i].name, name) == 0)
            return params[i].kind;
    return OLL_PARAM_UNKNOWN;
}

/* strtoll and strtod skip blanks in front, which are no part of a number here. */
static bool is_number_start(char c) { return c == '-' || c == '+' || (c >= '0' && c <= '9'); }

static oll_status write_int(const char *value, struct oll_json_writer *w, struct oll_error *err)
{
    char *end;
    errno = 0;
    long long v = strtoll(value, &end, 10);
    if (!is_number_start(*value) || *end || errno != 0)
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid int value [%s]", value);
    oll_json_write_int(w, v);
    return OLL_OK;
}

static oll_status write_float(const char *value, struct oll_json_writer *w, struct oll_error *err)
{
    char *end;
    float v = strtof(value, &end);
    if (!(is_number_start(*value) || *value == '.') || *end || !isfinite(v))
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid float value [%s]", value);
    oll_json_write_float(w, v);
    return OLL_OK;
}

static oll_status write_bool(const char *value, struct oll_json_writer *w, struct oll_error *err)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
    bool is_yes = false, is_no = false;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        is_yes |= strcmp(value, yes[i]) == 0;
        is_no |= strcmp(value, no[i]) == 0;
    }
    if (!is_yes && !is_no)
        return OLL_FAIL(err, OLL_ERR_ARG, "invalid bool value [%s]", value);
    oll_json_write_bool(w, is_yes);
    return OLL_OK;
}

oll_status oll_modelfile_param_write(enum oll_modelfile_param kind, const char *value,
                                     struct oll_json_writer *w, struct oll_error *err)
{
    switch (kind) {
    case OLL_PARAM_INT: return write_int(value, w, err);
    case OLL_PARAM_FLOAT: return write_float(value, w, err);
    case OLL_PARAM_BOOL: return write_bool(value, w, err);
    case OLL_PARAM_STRINGS: oll_json_write_str(w, value); return OLL_OK;
    case OLL_PARAM_UNKNOWN:
    case OLL_PARAM_DEPRECATED: break;
    }
    return OLL_FAIL(err, OLL_ERR_ARG, "a parameter without values");
}

/* ---- versions (semver.org) ---- */

/* A number without leading zeros. */
static bool take_number(const char **p)
{
    const char *start = *p;
    while (**p >= '0' && **p <= '9')
        ++*p;
    return *p > start && (*start != '0' || *p - start == 1);
}

/* Identifiers joined by dots; those of a pre-release that are numbers have no leading zeros. */
static bool take_identifiers(const char **p, bool is_prerelease)
{
    static const char chars[] = "0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (;;) {
        size_t n = strspn(*p, chars);
        if (n == 0 || (is_prerelease && n > 1 && **p == '0' && strspn(*p, "0123456789") == n))
            return false;
        *p += n;
        if (**p != '.')
            return true;
        ++*p;
    }
}

bool oll_modelfile_version_valid(const char *text)
{
    if (!take_number(&text))
        return false;
    for (int i = 0; i < 2; i++) {
        if (!*text)
            return true;
        if (*text++ != '.' || !take_number(&text))
            return false;
    }
    if (*text == '-') {
        text++;
        if (!take_identifiers(&text, true))
            return false;
    }
    if (*text == '+') {
        text++;
        if (!take_identifiers(&text, false))
            return false;
    }
    return !*text;
}
