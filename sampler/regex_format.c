#include "sampler/regex_format.h"

#include "sampler/regex_parse.h"

#include <string.h>

/* RFC 3339. February has 29 days in leap years only; the year 0 is left out, since many libraries
 * do not know it, and leap seconds for the same reason. */
#define YEAR "(?:[1-9]\\d{3}|0[1-9]\\d\\d|00[1-9]\\d|000[1-9])"
#define LEAP                                                                                       \
    "(?:(?:[1-9]\\d|0[1-9])(?:0[48]|[2468][048]|[13579][26])|00(?:0[48]|[2468][048]|"              \
    "[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
#define DATE                                                                                       \
    "(?:" YEAR "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|"                                  \
    "(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))|" LEAP "-02-29)"
#define TIME                                                                                       \
    "(?:(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,12})?"                                     \
    "(?:[Zz]|[+-](?:[01]\\d|2[0-3]):[0-5]\\d))"

/* ISO 8601 durations, RFC 3339 appendix A. */
#define CLOCK "T(?:\\d{1,9}H(?:\\d{1,9}M(?:\\d{1,9}S)?)?|\\d{1,9}M(?:\\d{1,9}S)?|\\d{1,9}S)"
#define DAYS  "(?:\\d{1,9}Y(?:\\d{1,9}M(?:\\d{1,9}D)?)?|\\d{1,9}M(?:\\d{1,9}D)?|\\d{1,9}D)"

#define OCTET "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define IPV4  "(?:" OCTET "(?:\\." OCTET "){3})"
/* RFC 4291: eight groups, "::" once, the last two may be IPv4. */
#define H16 "[0-9A-Fa-f]{1,4}"
#define L32 "(?:" H16 ":" H16 "|" IPV4 ")"
#define IPV6                                                                                       \
    "(?:(?:" H16 ":){6}" L32 "|::(?:" H16 ":){5}" L32 "|(?:" H16 ")?::(?:" H16 ":){4}" L32         \
    "|(?:(?:" H16 ":){0,1}" H16 ")?::(?:" H16 ":){3}" L32 "|(?:(?:" H16 ":){0,2}" H16              \
    ")?::(?:" H16 ":){2}" L32 "|(?:(?:" H16 ":){0,3}" H16 ")?::" H16 ":" L32 "|(?:(?:" H16         \
    ":){0,4}" H16 ")?::" L32 "|(?:(?:" H16 ":){0,5}" H16 ")?::" H16 "|(?:(?:" H16 ":){0,6}" H16    \
    ")?::)"

#define LABEL "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define ATOM  "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"

/* RFC 3986; `x` is "" or the characters that RFC 3987 adds. */
#define UCS         "\\u00A0-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFEF"
#define ESCAPED     "%[0-9A-Fa-f]{2}"
#define PCHAR(x)    "(?:[A-Za-z0-9._~!$&'()*+,;=:@" x "-]|" ESCAPED ")"
#define SEGMENTS(x) "(?:/" PCHAR(x) "*)*"
#define TAIL(x)     "(?:\\?(?:" PCHAR(x) "|[/?])*)?(?:#(?:" PCHAR(x) "|[/?])*)?"
#define AUTHORITY(x)                                                                               \
    "//(?:(?:[A-Za-z0-9._~!$&'()*+,;=:" x "-]|" ESCAPED ")*@)?(?:\\[" IPV6                         \
    "\\]|(?:[A-Za-z0-9._~!$&'()*+,;=" x "-]|" ESCAPED ")*)(?::\\d{0,5})?" SEGMENTS(x)
#define ABSOLUTE(x) "/(?:" PCHAR(x) "+" SEGMENTS(x) ")?"
#define URI(x)                                                                                     \
    "[A-Za-z][A-Za-z0-9+.-]*:(?:" AUTHORITY(x) "|" ABSOLUTE(x) "|" PCHAR(x) "+" SEGMENTS(          \
        x) ")?" TAIL(x)
#define RELATIVE(x)                                                                                \
    "(?:" AUTHORITY(x) "|" ABSOLUTE(x) "|(?:[A-Za-z0-9._~!$&'()*+,;=@" x "-]|" ESCAPED             \
                                       ")+" SEGMENTS(x) ")?" TAIL(x)

#define POINTER "(?:/(?:[^~/]|~[01])*)*"

static const struct {
    const char *name, *pattern;
} formats[] = {
    {"date", "^" DATE "$"},
    {"time", "^" TIME "$"},
    {"date-time", "^" DATE "[Tt]" TIME "$"},
    {"duration", "^P(?:\\d{1,9}W|" DAYS "(?:" CLOCK ")?|" CLOCK ")$"},
    {"email", "^" ATOM "(?:\\." ATOM ")*@(?:" LABEL "(?:\\." LABEL ")*|\\[" IPV4 "\\])$"},
    {"hostname", "^(?=.{1,253}$)" LABEL "(?:\\." LABEL ")*$"},
    {"ipv4", "^" IPV4 "$"},
    {"ipv6", "^" IPV6 "$"},
    {"uuid", "^[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$"},
    {"uri", "^" URI("") "$"},
    {"uri-reference", "^(?:" URI("") "|" RELATIVE("") ")$"},
    {"iri", "^" URI(UCS) "$"},
    {"iri-reference", "^(?:" URI(UCS) "|" RELATIVE(UCS) ")$"},
    {"json-pointer", "^" POINTER "$"},
    {"relative-json-pointer", "^(?:0|[1-9]\\d{0,8})(?:#|" POINTER ")$"},
    {"ip-address", "^" IPV4 "$"}, /* older spellings */
    {"host-name", "^(?=.{1,253}$)" LABEL "(?:\\." LABEL ")*$"},
};

oll_status regex_format(struct regex_pool *pool, const char *name, uint32_t *out,
                        struct oll_error *err)
{
    *out = REGEX_ALL;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0)
            return regex_parse(pool, formats[i].pattern, strlen(formats[i].pattern), out, err);
    return OLL_OK;
}
