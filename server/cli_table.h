/* Tables and times as the command line prints them (cli-and-scheduler 2.2, 2.3). */
#ifndef OLL_SERVER_CLI_TABLE_H
#define OLL_SERVER_CLI_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* Prints rows of `n_columns` cells on standard output, the header first. */
void cli_table_print(const char *const *header, int n_columns, const char *const *cells,
                     size_t n_rows);

enum { CLI_TIME_MAX = 48 };
/* "2 weeks ago", "4 minutes from now", "Never", "Forever"; both in seconds since 1970. */
void cli_time_text(int64_t when, int64_t now, char out[CLI_TIME_MAX]);
/* Seconds since 1970 of an RFC 3339 text; 0 when it is none. */
int64_t cli_time_parse(const char *text);

#endif
