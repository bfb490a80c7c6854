#include "server/duration.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Appends v / unit with its fraction, without trailing zeros. `digits` is the number of decimals of
 * the unit. */
static int put_fraction(char *out, size_t cap, uint64_t v, uint64_t unit, int digits)
{
    char fraction[16];
    uint64_t rest = v % unit;
    snprintf(fraction, sizeof fraction, "%0*llu", digits, (unsigned long long)rest);
    int n = digits;
    while (n > 0 && fraction[n - 1] == '0')
        n--;
    fraction[n] = '\0';
    return snprintf(out, cap, "%llu%s%s", (unsigned long long)(v / unit), n ? "." : "", fraction);
}

void duration_format(int64_t ns, char out[DURATION_TEXT_MAX])
{
    uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    size_t cap = DURATION_TEXT_MAX;
    int n = 0;
    if (ns < 0)
        out[n++] = '-';
    if (v == 0) {
        snprintf(out, cap, "0s");
        return;
    }
    if (v < 1000000000u) {
        uint64_t unit = v < 1000 ? 1 : v < 1000000 ? 1000 : 1000000;
        const char *name = unit == 1 ? "ns" : unit == 1000 ? "\xC2\xB5s" : "ms";
        n += put_fraction(out + n, cap - (size_t)n, v, unit, unit == 1 ? 0 : unit == 1000 ? 3 : 6);
        snprintf(out + n, cap - (size_t)n, "%s", name);
        return;
    }
    uint64_t minutes = v / 60000000000u, hours = minutes / 60;
    if (hours)
        n += snprintf(out + n, cap - (size_t)n, "%lluh", (unsigned long long)hours);
    if (minutes)
        n += snprintf(out + n, cap - (size_t)n, "%llum", (unsigned long long)(minutes % 60));
    n += put_fraction(out + n, cap - (size_t)n, v % 60000000000u, 1000000000u, 9);
    snprintf(out + n, cap - (size_t)n, "s");
}

/* Nanoseconds of a unit at the start of the text, 0 when there is none; *len is its length. */
static double unit_at(const char *s, size_t *len)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = {
        {"ns", 1},   {"us", 1e3}, {"\xC2\xB5s", 1e3}, {"\xCE\xBCs", 1e3},
        {"ms", 1e6}, {"s", 1e9},  {"m", 60e9},        {"h", 3600e9},
    };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        *len = strlen(units[i].name);
        if (strncmp(s, units[i].name, *len) == 0)
            return units[i].ns;
    }
    return 0;
}

bool duration_parse(const char *text, int64_t *ns)
{
    const char *s = text;
    bool negative = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    if (strcmp(s, "0") == 0) {
        *ns = 0;
        return true;
    }
    double total = 0;
    if (!*s)
        return false;
    while (*s) {
        double v = 0, place = 1;
        int n_digits = 0;
        size_t len;
        for (; *s >= '0' && *s <= '9'; s++, n_digits++)
            v = v * 10 + (*s - '0');
        if (*s == '.')
            for (s++; *s >= '0' && *s <= '9'; s++, n_digits++)
                v += (*s - '0') * (place /= 10);
        double unit = n_digits ? unit_at(s, &len) : 0;
        if (unit == 0)
            return false;
        s += len;
        total += v * unit;
    }
    if (!(total < 9.2e18))
        return false;
    *ns = (int64_t)llround(negative ? -total : total);
    return true;
}

void duration_explain(const char *text, char *out, size_t n)
{
    const char *s = text + (*text == '-' || *text == '+');
    while (*s) {
        size_t len = 0, n_digits = strspn(s, "0123456789.");
        if (n_digits == 0 || (n_digits == 1 && *s == '.'))
            break;
        s += n_digits;
        if (unit_at(s, &len) == 0 || strcspn(s, "0123456789.") != len) {
            len = strcspn(s, "0123456789.");
            if (len == 0)
                snprintf(out, n, "time: missing unit in duration \"%s\"", text);
            else
                snprintf(out, n, "time: unknown unit \"%.*s\" in duration \"%s\"", (int)len, s,
                         text);
            return;
        }
        s += len;
    }
    snprintf(out, n, "time: invalid duration \"%s\"", text);
}
