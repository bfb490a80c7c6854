#include "bench/bench_run.h"

#include "bench/bench_peak.h"

#include <stdio.h>
#include <string.h>

void bench_count_text(uint64_t n, char out[BENCH_COUNT_TEXT_MAX])
{
    const double v = (double)n;
    if (v >= 1e9)
        snprintf(out, BENCH_COUNT_TEXT_MAX, "%.2f B", v * 1e-9);
    else if (v >= 1e6)
        snprintf(out, BENCH_COUNT_TEXT_MAX, "%.2f M", v * 1e-6);
    else
        snprintf(out, BENCH_COUNT_TEXT_MAX, "%.2f K", v * 1e-3);
}

struct run {
    const struct bench_run_params *params;
    struct bench_model model; /* model.model NULL: none is loaded */
    struct bench_peak before; /* measured last, for the present number of threads */
    bool has_before;
    struct oll_error *err;
};

/* The device whose limits count: the first of a list like "cpu:0-9,ref". */
static void first_device(const char *devices, char *out, size_t n)
{
    const char *text = devices ? devices : "cpu";
    snprintf(out, n, "%.*s", (int)strcspn(text, ":,"), text);
}

static oll_status measure_peak(const struct run *run, struct bench_peak *out)
{
    char device[32];
    struct bench_peak_params params = {.device = device,
                                       .isa = run->params->isa,
                                       .n_threads = run->model.n_threads,
                                       .read_bytes = run->params->read_bytes};
    const struct bench_cost *cost = &run->model.cost;
    double all = cost->head_macs;
    first_device(run->params->devices, device, sizeof device);
    for (int d = 0; d < OLL_DTYPE_COUNT; d++)
        all += cost->macs[d];
    /* Types that do a hundredth of the work do not deserve the time; F32 stands for attention. */
    for (int d = 0; d < OLL_DTYPE_COUNT; d++)
        params.dtypes[d] = d == OLL_F32 || cost->macs[d] > all / 100 ||
                           (d == (int)cost->head_dtype && cost->head_macs > all / 100);
    return bench_peak_measure(&params, run->params->watch, out, run->err);
}

static oll_status open_model(struct run *run, uint32_t n_threads)
{
    const struct bench_model_params params = {.path = run->params->path,
                                              .devices = run->params->devices,
                                              .isa = run->params->isa,
                                              .n_threads = (int)n_threads,
                                              .n_first = run->params->n_first};
    if (run->model.model && run->model.n_threads == (int)n_threads)
        return OLL_OK;
    bench_model_close(&run->model);
    run->has_before = false;
    bench_watch_show(run->params->watch, "loading, %u threads", n_threads);
    return bench_model_open(&params, &run->model, run->err);
}

static void describe(const struct run *run, struct bench_result *r)
{
    const struct oll_model_info *info = oll_model_facts(run->model.model);
    char count[BENCH_COUNT_TEXT_MAX];
    bench_count_text(info->n_params, count);
    snprintf(r->model_type, sizeof r->model_type, "%.40s %s %.24s", info->architecture, count,
             info->quantization);
    r->model_path = run->params->path;
    r->model_bytes = run->model.cost.tensor_bytes;
    r->n_params = run->model.cost.n_params;
    r->load_ns = run->model.load_ns;
    r->first_token_ns = run->model.first_token_ns;
    r->n_first = run->model.n_first;
}

/* The machine's limits now; after a test they are also those before the next. */
static oll_status take_peak(struct run *run, struct bench_peak *mean)
{
    struct bench_peak after;
    OLL_TRY(measure_peak(run, &after));
    bench_peak_mean(&run->before, &after, mean);
    run->before = after;
    return OLL_OK;
}

static oll_status deliver(struct run *run, const struct bench_test *test,
                          const struct bench_samples *samples)
{
    struct bench_result result = {.test = test, .samples = samples};
    describe(run, &result);
    bench_cost_of(&run->model.cost, test, &result.need);
    if (!run->params->no_peak) {
        OLL_TRY(take_peak(run, &result.peak));
        bench_roofline_of(&result.need, &result.peak, samples->time.median * 1e-9,
                          &result.roofline);
    }
    return run->params->result(run->params->ctx, &result, run->err);
}

static oll_status run_test(struct run *run, const struct bench_test *test)
{
    struct bench_samples samples;
    OLL_TRY(open_model(run, test->n_threads));
    if (!run->params->no_peak && !run->has_before) {
        OLL_TRY(measure_peak(run, &run->before));
        run->has_before = true;
    }
    oll_status status = bench_model_run(&run->model, test, &run->params->repeat, run->params->watch,
                                        &samples, run->err);
    if (status != OLL_OK && status != OLL_ERR_CANCELED)
        return status;
    if (samples.n > 0) {
        const oll_status delivered = deliver(run, test, &samples);
        status = delivered != OLL_OK ? delivered : status;
    }
    bench_samples_free(&samples);
    return status;
}

oll_status bench_run(const struct bench_run_params *params, struct oll_error *err)
{
    struct run run = {.params = params, .err = err};
    oll_status status = OLL_OK;
    for (uint32_t i = 0; i < params->n_tests && status == OLL_OK; i++) {
        status = run_test(&run, &params->tests[i]);
        if (status == OLL_OK && bench_watch_aborted(params->watch))
            status = OLL_FAIL(err, OLL_ERR_CANCELED, "stopped");
    }
    bench_model_close(&run.model);
    bench_watch_show(params->watch, "%s", "");
    return status;
}
