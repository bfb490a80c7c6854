#include "server/cli_table.h"

#include "server/cli_plain.h"

#include <stdio.h>
#include <string.h>

static int width_of(const char *text)
{
    int n = 0;
    for (const char *p = text; *p; p++)
        n += ((unsigned char)*p & 0xc0) != 0x80;
    return n;
}

void cli_table_print(const char *const *header, int n_columns, const char *const *cells,
                     size_t n_rows)
{
    enum { COLUMNS_MAX = 16 };
    int widths[COLUMNS_MAX] = {0};
    for (int c = 0; c < n_columns && c < COLUMNS_MAX; c++) {
        widths[c] = width_of(header[c]);
        for (size_t r = 0; r < n_rows; r++) {
            int width = width_of(cells[r * (size_t)n_columns + (size_t)c]);
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    for (int c = 0; c < n_columns; c++)
        printf("%s%*s", header[c], widths[c] - width_of(header[c]) + (c + 1 < n_columns ? 4 : 1),
               "");
    printf("\n");
    for (size_t r = 0; r < n_rows; r++) {
        for (int c = 0; c < n_columns; c++) {
            const char *cell = cells[r * (size_t)n_columns + (size_t)c];
            cli_plain_print(stdout, cell);
            printf("%*s", widths[c] - width_of(cell) + 4, "");
        }
        printf("\n");
    }
}

/* ---- times ---- */

static void span_text(int64_t s, char out[32])
{
    const int64_t minutes = s / 60, hours = (s + 1800) / 3600;
    if (s < 1)
        snprintf(out, 32, "Less than a second");
    else if (s == 1)
        snprintf(out, 32, "1 second");
    else if (s < 60)
        snprintf(out, 32, "%d seconds", (int)s);
    else if (minutes == 1)
        snprintf(out, 32, "About a minute");
    else if (minutes < 60)
        snprintf(out, 32, "%d minutes", (int)minutes);
    else if (hours == 1)
        snprintf(out, 32, "About an hour");
    else if (hours < 48)
        snprintf(out, 32, "%d hours", (int)hours);
    else if (hours < 24 * 14)
        snprintf(out, 32, "%d days", (int)(hours / 24));
    else if (hours < 24 * 60)
        snprintf(out, 32, "%d weeks", (int)(hours / 24 / 7));
    else if (hours < 24 * 365 * 2)
        snprintf(out, 32, "%d months", (int)(hours / 24 / 30));
    else
        snprintf(out, 32, "%d years", (int)(hours / 24 / 365));
}

void cli_time_text(int64_t when, int64_t now, char out[CLI_TIME_MAX])
{
    char text[32];
    if (when == 0) {
        snprintf(out, CLI_TIME_MAX, "Never");
    } else if (when - now > (int64_t)20 * 365 * 86400) {
        snprintf(out, CLI_TIME_MAX, "Forever");
    } else {
        span_text(when > now ? when - now : now - when, text);
        snprintf(out, CLI_TIME_MAX, "%s %s", text, when > now ? "from now" : "ago");
    }
}

/* Days from 1970 to a date of the Gregorian calendar. */
static int64_t days_of(int64_t y, int m, int d)
{
    y -= m <= 2;
    const int64_t era = (y >= 0 ? y : y - 399) / 400, year = y - era * 400;
    const int64_t day = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + year * 365 + year / 4 - year / 100 + day - 719468;
}

int64_t cli_time_parse(const char *text)
{
    int y, mo, d, h, mi, s, n = 0, oh = 0, om = 0;
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &y, &mo, &d, &h, &mi, &s, &n) != 6 || y < 1970)
        return 0;
    const char *zone = text + n;
    if (*zone == '.')
        zone += 1 + strspn(zone + 1, "0123456789");
    int64_t offset = 0;
    if ((*zone == '+' || *zone == '-') && sscanf(zone + 1, "%2d:%2d", &oh, &om) == 2)
        offset = (*zone == '-' ? -1 : 1) * (oh * 3600 + om * 60);
    return days_of(y, mo, d) * 86400 + h * 3600 + mi * 60 + s - offset;
}
