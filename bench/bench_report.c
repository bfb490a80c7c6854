#include "bench/bench_report.h"

#include "engine/base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_BATCH = 2048, DEFAULT_UBATCH = 512, NOTES_MAX_BYTES = 1 << 20, VALUE_MAX = 128 };

bool bench_format_from_name(const char *name, enum bench_format *out)
{
    static const char *const names[] = {
        [BENCH_MD] = "md", [BENCH_JSON] = "json", [BENCH_JSONL] = "jsonl", [BENCH_CSV] = "csv"};
    for (int i = 0; i <= BENCH_CSV; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum bench_format)i;
            return true;
        }
    }
    return false;
}

/* ---- fields ---- */

/* Takes the fields of a row one after the other. `text` is what JSON would print, except for
 * strings, which are bare. */
enum kind { KIND_STRING, KIND_NUMBER, KIND_BOOL };
struct sink {
    void (*take)(void *ctx, const char *name, enum kind kind, const char *text);
    void *ctx;
};

static void put_str(const struct sink *s, const char *name, const char *value)
{
    s->take(s->ctx, name, KIND_STRING, value);
}

static void put_uint(const struct sink *s, const char *name, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    s->take(s->ctx, name, KIND_NUMBER, text);
}

static void put_bool(const struct sink *s, const char *name, bool value)
{
    s->take(s->ctx, name, KIND_BOOL, value ? "true" : "false");
}

/* A number that is not known (0 or not finite) is null. */
static void put_real(const struct sink *s, const char *name, double value, int n_decimal)
{
    char text[64];
    if (!isfinite(value) || value == 0)
        snprintf(text, sizeof text, "null");
    else
        snprintf(text, sizeof text, "%.*f", n_decimal, value);
    s->take(s->ctx, name, KIND_NUMBER, text);
}

static void put_known_uint(const struct sink *s, const char *name, uint64_t value)
{
    if (value)
        put_uint(s, name, value);
    else
        s->take(s->ctx, name, KIND_NUMBER, "null");
}

static uint64_t build_number(const char *version)
{
    unsigned major = 0, minor = 0, patch = 0;
    if (sscanf(version, "%u.%u.%u", &major, &minor, &patch) < 2)
        return 0;
    return major * 10000u + minor * 100u + patch;
}

static const char *lower_dtype(enum oll_dtype dtype)
{
    return dtype == OLL_F16 ? "f16" : dtype == OLL_F32 ? "f32" : "q8_0";
}

static void backend_text(const struct bench_machine *m, char *out, size_t n)
{
    size_t i = 0;
    for (; m->devices[i] && i + 1 < n; i++) {
        const char c = m->devices[i];
        out[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    out[i] = '\0';
}

static void put_setting(const struct sink *s, const struct bench_machine *m,
                        const struct bench_result *r)
{
    const struct bench_test *t = r->test;
    char backend[64];
    backend_text(m, backend, sizeof backend);
    put_str(s, "build_commit", m->version);
    put_uint(s, "build_number", build_number(m->version));
    put_str(s, "cpu_info", m->cpu_name);
    put_str(s, "gpu_info", "");
    put_str(s, "backends", backend);
    put_str(s, "model_filename", r->model_path);
    put_str(s, "model_type", r->model_type);
    put_uint(s, "model_size", r->model_bytes);
    put_uint(s, "model_n_params", r->n_params);
    put_uint(s, "n_batch", t->n_batch);
    put_uint(s, "n_ubatch", t->n_ubatch);
    put_uint(s, "n_threads", t->n_threads);
    put_str(s, "cpu_mask", "0x0");
    put_bool(s, "cpu_strict", true); /* threads are pinned */
    put_uint(s, "poll", 0);
    put_str(s, "type_k", lower_dtype(t->kv_dtype));
    put_str(s, "type_v", lower_dtype(t->kv_dtype));
    put_uint(s, "n_gpu_layers", 0);
    put_str(s, "split_mode", "layer");
    put_uint(s, "main_gpu", 0);
    put_bool(s, "no_kv_offload", false);
    put_bool(s, "flash_attn", true);
    put_str(s, "devices", m->devices);
    put_str(s, "tensor_split", "0.00");
    put_bool(s, "use_mmap", true);
    put_bool(s, "embeddings", false);
}

static void put_measured(const struct sink *s, const struct bench_result *r)
{
    put_uint(s, "n_prompt", r->test->n_prompt);
    put_uint(s, "n_gen", r->test->n_gen);
    put_uint(s, "n_depth", r->test->n_depth);
    put_str(s, "test_time", r->samples->test_time);
    put_uint(s, "avg_ns", (uint64_t)(r->samples->time.mean + 0.5));
    put_uint(s, "stddev_ns", (uint64_t)(r->samples->time.sd + 0.5));
    char text[64];
    snprintf(text, sizeof text, "%.6f", r->samples->speed.mean);
    s->take(s->ctx, "avg_ts", KIND_NUMBER, text);
    snprintf(text, sizeof text, "%.6f", r->samples->speed.sd);
    s->take(s->ctx, "stddev_ts", KIND_NUMBER, text);
}

/* What llama-bench does not say. */
static void put_more(const struct sink *s, const struct bench_machine *m,
                     const struct bench_result *r)
{
    char name[BENCH_TEST_NAME_MAX];
    const struct bench_samples *p = r->samples;
    const double macs = bench_need_macs(&r->need);
    const bool is_known = r->roofline.share > 0;
    bench_test_name(r->test, name);
    put_str(s, "test", name);
    put_uint(s, "n_parallel", r->test->n_parallel);
    put_str(s, "isa", m->isa);
    put_real(s, "median_ts", p->speed.median, 6);
    put_real(s, "min_ts", p->speed.min, 6);
    put_real(s, "max_ts", p->speed.max, 6);
    put_known_uint(s, "load_ns", r->load_ns);
    put_known_uint(s, "first_token_ns", r->first_token_ns);
    put_uint(s, "first_token_n_prompt", r->n_first);
    put_known_uint(s, "peak_bytes", p->peak_bytes);
    put_uint(s, "kv_bytes", p->kv_bytes);
    put_uint(s, "activation_bytes", p->activation_bytes);
    put_real(s, "needed_bytes", r->need.bytes, 0);
    put_real(s, "needed_macs", macs, 0);
    put_real(s, "machine_bytes_s", r->peak.read_bytes_s, 0);
    put_real(s, "machine_macs_s", is_known ? macs / r->roofline.compute_s : 0, 0);
    put_real(s, "roofline", r->roofline.share, 4);
    put_str(s, "roofline_bound",
            !is_known                      ? ""
            : r->roofline.is_compute_bound ? "compute"
                                           : "memory");
}

/* ---- JSON ---- */

struct json_sink {
    struct oll_strbuf *out;
    const char *before, *between; /* text before each field, and after all but the last */
    uint32_t n;
};

static void take_json(void *ctx, const char *name, enum kind kind, const char *text)
{
    struct json_sink *s = ctx;
    if (s->n++)
        oll_strbuf_adds(s->out, s->between);
    oll_strbuf_printf(s->out, "%s\"%s\": ", s->before, name);
    if (kind == KIND_STRING) {
        struct oll_json_writer w;
        oll_json_write_init(&w, s->out);
        w.keep_html = true;
        oll_json_write_str(&w, text);
    } else {
        oll_strbuf_adds(s->out, text);
    }
}

static void put_samples(struct json_sink *s, const struct bench_samples *p)
{
    oll_strbuf_printf(s->out, "%s%s\"samples_ns\": [ ", s->between, s->before);
    for (uint32_t i = 0; i < p->n; i++)
        oll_strbuf_printf(s->out, "%s%" PRIu64, i ? ", " : "", p->ns[i]);
    oll_strbuf_printf(s->out, " ]%s%s\"samples_ts\": [ ", s->between, s->before);
    for (uint32_t i = 0; i < p->n; i++)
        oll_strbuf_printf(s->out, "%s%g", i ? ", " : "", p->ts[i]);
    oll_strbuf_adds(s->out, " ]");
}

static void put_json(struct json_sink *json, const struct bench_machine *m,
                     const struct bench_result *r)
{
    const struct sink s = {take_json, json};
    put_setting(&s, m, r);
    put_measured(&s, r);
    put_samples(json, r->samples);
    put_more(&s, m, r);
}

void bench_report_json_line(const struct bench_machine *machine, const struct bench_result *result,
                            struct oll_strbuf *out)
{
    struct json_sink json = {.out = out, .before = "", .between = ", "};
    oll_strbuf_addc(out, '{');
    put_json(&json, machine, result);
    oll_strbuf_addc(out, '}');
}

static void row_json(struct bench_report *report, const struct bench_result *r)
{
    struct json_sink json = {.out = report->out, .before = "    ", .between = ",\n"};
    oll_strbuf_adds(report->out, report->n_rows ? ",\n  {\n" : "  {\n");
    put_json(&json, report->machine, r);
    oll_strbuf_adds(report->out, "\n  }");
}

/* ---- CSV ---- */

struct csv_sink {
    struct oll_strbuf *out;
    bool is_header;
    uint32_t n;
};

static void take_csv(void *ctx, const char *name, enum kind kind, const char *text)
{
    struct csv_sink *s = ctx;
    oll_strbuf_adds(s->out, s->n++ ? "," : "");
    if (s->is_header) {
        oll_strbuf_adds(s->out, name);
        return;
    }
    if (kind == KIND_BOOL)
        text = strcmp(text, "true") == 0 ? "1" : "0";
    else if (kind == KIND_NUMBER && strcmp(text, "null") == 0)
        text = "";
    oll_strbuf_addc(s->out, '"');
    for (const char *p = text; *p; p++) {
        if (*p == '"')
            oll_strbuf_addc(s->out, '"');
        oll_strbuf_addc(s->out, *p);
    }
    oll_strbuf_addc(s->out, '"');
}

static void line_csv(struct bench_report *report, const struct bench_result *r, bool is_header)
{
    struct csv_sink csv = {report->out, is_header, 0};
    const struct sink s = {take_csv, &csv};
    put_setting(&s, report->machine, r);
    put_measured(&s, r);
    put_more(&s, report->machine, r);
    oll_strbuf_addc(report->out, '\n');
}

/* ---- the table ---- */

/* Columns that a character is displayed in: the plus-minus sign takes two bytes. */
static int text_width(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void cell(struct bench_report *report, const char *text, int width, bool is_left)
{
    const int pad = width > text_width(text) ? width - text_width(text) : 0;
    oll_strbuf_printf(report->out, "| %*s%s%*s ", is_left ? 0 : pad, "", text, is_left ? pad : 0,
                      "");
}

static void dashes(struct bench_report *report, int width, bool is_left)
{
    static const char line[] = "------------------------------";
    oll_strbuf_printf(report->out, "| %.*s%s ", is_left ? width : width - 1, line,
                      is_left ? "" : ":");
}

struct column {
    const char *name;
    int width;
    bool is_left;
    char value[VALUE_MAX];
};

static void size_text(uint64_t n_bytes, char *out, size_t n)
{
    const double mib = (double)n_bytes / 1048576.0;
    snprintf(out, n, "%.2f %s", mib >= 1024 ? mib / 1024 : mib, mib >= 1024 ? "GiB" : "MiB");
}

static struct column *add_column(struct column *c, const char *name, int width, bool is_left)
{
    *c = (struct column){.name = name, .width = width, .is_left = is_left};
    return c;
}

enum { COLUMN_MAX = 12 };

/* The columns with the values of a row; returns their number. */
static int fill_columns(const struct bench_report *report, const struct bench_result *r,
                        struct column *c)
{
    const struct bench_test *t = r->test;
    int n = 0;
    snprintf(add_column(&c[n++], "model", 30, true)->value, VALUE_MAX, "%s", r->model_type);
    size_text(r->model_bytes, add_column(&c[n++], "size", 10, false)->value, VALUE_MAX);
    bench_count_text(r->n_params, add_column(&c[n++], "params", 10, false)->value);
    backend_text(report->machine, add_column(&c[n++], "backend", 10, true)->value, VALUE_MAX);
    snprintf(add_column(&c[n++], "threads", 7, false)->value, VALUE_MAX, "%u", t->n_threads);
    if (report->has_batch)
        snprintf(add_column(&c[n++], "n_batch", 7, false)->value, VALUE_MAX, "%u", t->n_batch);
    if (report->has_ubatch)
        snprintf(add_column(&c[n++], "n_ubatch", 8, false)->value, VALUE_MAX, "%u", t->n_ubatch);
    if (report->has_kv) {
        const char *name = lower_dtype(t->kv_dtype);
        snprintf(add_column(&c[n++], "type_k", 6, false)->value, VALUE_MAX, "%s", name);
        snprintf(add_column(&c[n++], "type_v", 6, false)->value, VALUE_MAX, "%s", name);
    }
    bench_test_name(t, add_column(&c[n++], "test", 15, false)->value);
    snprintf(add_column(&c[n++], "t/s", 20, false)->value, VALUE_MAX, "%.2f \xc2\xb1 %.2f",
             r->samples->speed.mean, r->samples->speed.sd);
    if (report->has_share && r->roofline.share > 0)
        snprintf(add_column(&c[n++], "roofline", 13, false)->value, VALUE_MAX, "%.0f %% of %s",
                 r->roofline.share * 100, r->roofline.is_compute_bound ? "macs" : "read");
    else if (report->has_share)
        add_column(&c[n++], "roofline", 13, false);
    return n;
}

/* Writes the line of the load that ends here. */
static void flush_note(struct bench_report *report)
{
    const struct bench_note *n = &report->note;
    struct oll_strbuf *out = &report->notes;
    if (n->n_threads == 0)
        return;
    oll_strbuf_printf(out, "%u thread%s: loaded in %.0f ms", n->n_threads,
                      n->n_threads > 1 ? "s" : "", (double)n->load_ns * 1e-6);
    if (n->first_token_ns)
        oll_strbuf_printf(out, ", first token of %u after %.0f ms", n->n_first,
                          (double)n->first_token_ns * 1e-6);
    if (n->peak_bytes)
        oll_strbuf_printf(out, ", peak memory %.0f MiB", (double)n->peak_bytes / 1048576.0);
    if (n->bytes_s > 0)
        oll_strbuf_printf(out, "; the machine reads %.1f GB/s", n->bytes_s * 1e-9);
    if (n->macs_s > 0)
        oll_strbuf_printf(out, " and multiplies %.0f GMAC/s", n->macs_s * 1e-9);
    oll_strbuf_addc(out, '\n');
}

/* What belongs to a load rather than to a test is said once, under the table. */
static void add_note(struct bench_report *report, const struct bench_result *r)
{
    struct bench_note *n = &report->note;
    if (n->n_threads != r->test->n_threads || strcmp(n->path, r->model_path) != 0) {
        flush_note(report);
        memset(n, 0, sizeof *n);
        snprintf(n->path, sizeof n->path, "%s", r->model_path);
        n->n_threads = r->test->n_threads;
    }
    n->n_first = r->n_first;
    n->load_ns = r->load_ns;
    n->first_token_ns = r->first_token_ns;
    n->bytes_s = r->peak.read_bytes_s;
    n->macs_s = r->roofline.compute_s > 0 ? bench_need_macs(&r->need) / r->roofline.compute_s : 0;
    if (r->samples->peak_bytes > n->peak_bytes)
        n->peak_bytes = r->samples->peak_bytes;
}

static void row_md(struct bench_report *report, const struct bench_result *r)
{
    struct column columns[COLUMN_MAX];
    const int n = fill_columns(report, r, columns);
    if (report->n_rows == 0) {
        for (int i = 0; i < n; i++)
            cell(report, columns[i].name, columns[i].width, columns[i].is_left);
        oll_strbuf_adds(report->out, "|\n");
        for (int i = 0; i < n; i++)
            dashes(report, columns[i].width, columns[i].is_left);
        oll_strbuf_adds(report->out, "|\n");
    }
    for (int i = 0; i < n; i++)
        cell(report, columns[i].value, columns[i].width, columns[i].is_left);
    oll_strbuf_adds(report->out, "|\n");
    add_note(report, r);
}

/* ---- all formats ---- */

void bench_report_begin(struct bench_report *report, enum bench_format format,
                        const struct bench_machine *machine, const struct bench_test *tests,
                        uint32_t n_tests, struct oll_strbuf *out)
{
    memset(report, 0, sizeof *report);
    report->format = format;
    report->machine = machine;
    report->out = out;
    report->has_share = true;
    for (uint32_t i = 0; i < n_tests; i++) {
        report->has_batch |= tests[i].n_batch != DEFAULT_BATCH;
        report->has_ubatch |= tests[i].n_ubatch != DEFAULT_UBATCH;
        report->has_kv |= tests[i].kv_dtype != OLL_F16;
    }
    oll_strbuf_init(&report->notes, NOTES_MAX_BYTES);
    if (format == BENCH_JSON)
        oll_strbuf_adds(out, "[\n");
}

void bench_report_row(struct bench_report *report, const struct bench_result *result)
{
    switch (report->format) {
    case BENCH_MD: row_md(report, result); break;
    case BENCH_JSON: row_json(report, result); break;
    case BENCH_JSONL:
        bench_report_json_line(report->machine, result, report->out);
        oll_strbuf_addc(report->out, '\n');
        break;
    case BENCH_CSV:
        if (report->n_rows == 0)
            line_csv(report, result, true);
        line_csv(report, result, false);
        break;
    }
    report->n_rows++;
}

void bench_report_end(struct bench_report *report)
{
    if (report->format == BENCH_JSON)
        oll_strbuf_adds(report->out, report->n_rows ? "\n]\n" : "]\n");
    flush_note(report);
    if (report->format == BENCH_MD && report->n_rows)
        oll_strbuf_printf(report->out, "\n%s\nbuild: %s (%" PRIu64 "), %s, %s\n",
                          report->notes.data, report->machine->version,
                          build_number(report->machine->version), report->machine->cpu_name,
                          report->machine->isa);
    oll_strbuf_free(&report->notes);
}
