/* History: the rows of past runs on this machine, one JSON object a line (bench_report_json_line),
 * and what changed since. */
#ifndef OLL_BENCH_BENCH_HISTORY_H
#define OLL_BENCH_BENCH_HISTORY_H

#include "bench/bench_report.h"

enum { BENCH_SINCE_MAX = 48, BENCH_COMPARISON_MAX = 256 };

struct bench_history;

/* A missing file is an empty history; lines that are no rows are left out. */
oll_status bench_history_load(const char *path, struct bench_history **out,
                              struct oll_error *err) OLL_MUST_USE;
void bench_history_free(struct bench_history *history); /* NULL is accepted */

/* Appends rows to the file, each a line with its end; makes its folder when it is missing. */
oll_status bench_history_append(const char *path, const char *lines, size_t n,
                                struct oll_error *err) OLL_MUST_USE;

/* File name for a processor and its number of cores: "amd-epyc-9655-x8.jsonl". */
void bench_history_name(const char *cpu_name, int n_cpu, char out[BENCH_SINCE_MAX]);

struct bench_comparison {
    uint32_t n_rows; /* earlier rows of the same model, test and settings; 0: nothing to compare */
    char since[BENCH_SINCE_MAX]; /* version or, for rows of this version, time of the latest */
    double before, after;        /* medians, tokens per second */
    struct bench_change change;
};

/* Against all rows of the version saved last before this one; without any, against those of this
 * version. */
oll_status bench_history_compare(const struct bench_history *history,
                                 const struct bench_machine *machine,
                                 const struct bench_result *result, struct bench_comparison *out,
                                 struct oll_error *err) OLL_MUST_USE;

/* "prompt -18 % since 1.4 (pp512, 2 threads: 107.2 to 88.0 t/s)", or that there is no change beyond
 * the noise, or nothing to compare with. */
void bench_comparison_text(const struct bench_comparison *c, const struct bench_test *test,
                           char out[BENCH_COMPARISON_MAX]);

#endif
