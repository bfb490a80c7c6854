/* Results as text, with the fields and words of llama-bench, so that scripts made for it read them.
 * What it does not have comes behind: further keys in JSON, further columns on the right. */
#ifndef OLL_BENCH_BENCH_REPORT_H
#define OLL_BENCH_BENCH_REPORT_H

#include "bench/bench_run.h"
#include "engine/base/strbuf.h"

enum bench_format { BENCH_MD, BENCH_JSON, BENCH_JSONL, BENCH_CSV };

/* Reads "md", "json", "jsonl" or "csv". */
bool bench_format_from_name(const char *name, enum bench_format *out);

/* Facts that are the same for all rows. */
struct bench_machine {
    char cpu_name[96];
    const char *isa;     /* level of instructions in use */
    const char *devices; /* as given, "cpu" by default */
    const char *version; /* of oll */
};

struct bench_report {
    enum bench_format format;
    const struct bench_machine *machine;
    struct oll_strbuf *out;                        /* failures stick there */
    bool has_batch, has_ubatch, has_kv, has_share; /* columns of the table */
    uint32_t n_rows;
    struct oll_strbuf notes; /* lines under the table, one per load */
    struct bench_note {
        char path[256];
        uint32_t n_threads; /* 0: no row yet */
        uint32_t n_first;
        uint64_t load_ns, first_token_ns, peak_bytes;
        double bytes_s, macs_s;
    } note; /* of the load whose rows are coming */
};

/* `tests` decides which columns a table needs: those that differ from the defaults. has_share is
 * set, and may be cleared before the first row. */
void bench_report_begin(struct bench_report *report, enum bench_format format,
                        const struct bench_machine *machine, const struct bench_test *tests,
                        uint32_t n_tests, struct oll_strbuf *out);
void bench_report_row(struct bench_report *report, const struct bench_result *result);
/* Ends the text and releases what the report holds, but not `out`. */
void bench_report_end(struct bench_report *report);

/* Appends one row as one line of JSON, without the line end. */
void bench_report_json_line(const struct bench_machine *machine, const struct bench_result *result,
                            struct oll_strbuf *out);

#endif
