/* `oll plan`: what a model would take, device by device, before it is loaded. */
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "engine/plan.h"
#include "server/cli.h"
#include "server/cli_table.h"
#include "server/env.h"
#include "server/model_path.h"

#include <stdio.h>
#include <string.h>

enum {
    CTX_MAX = 1 << 30,
    SLOTS_MAX = 256,
    BATCH_MAX = 1 << 16,
    GPU_MAX = 1 << 20,
    JSON_MAX = 1 << 20,
    ARENA_BYTES = 1 << 20,
    N_COLUMNS = 6
};

/* What is asked, and what was found. */
struct run {
    const struct cli_args *args;
    struct oll_engine_params params;
    struct oll_plan_room room;
    struct oll_plan whole, plan; /* on the processor alone; as placed */
    struct oll_plan_place place;
    uint64_t available_bytes;
    oll_status fits;
    struct oll_error why; /* it does not fit */
};

static bool read_params(struct run *run)
{
    const struct cli_args *args = run->args;
    const char *kv = cli_value(args, "kv", "f16");
    const uint64_t usual = env_uint("OLLAMA_NUM_PARALLEL", 1);
    int64_t n_ctx, n_slots, n_batch, num_gpu, main_gpu;
    if (!cli_int(args, "ctx", (int64_t)(env_uint("OLLAMA_CONTEXT_LENGTH", 0) % CTX_MAX), 0, CTX_MAX,
                 &n_ctx) ||
        !cli_int(args, "parallel", usual > 0 && usual < SLOTS_MAX ? (int64_t)usual : 1, 1,
                 SLOTS_MAX, &n_slots) ||
        !cli_int(args, "batch", 0, 0, BATCH_MAX, &n_batch) ||
        !cli_int(args, "num-gpu", -1, -1, GPU_MAX, &num_gpu) ||
        !cli_int(args, "main-gpu", -1, -1, GPU_MAX, &main_gpu))
        return false;
    run->params = (struct oll_engine_params){
        .n_ctx = (uint32_t)n_ctx, .n_slots = (uint32_t)n_slots, .n_ubatch = (uint32_t)n_batch};
    run->room.num_gpu = num_gpu;
    run->room.main_gpu = main_gpu;
    if (!oll_dtype_from_name(kv, &run->params.kv_dtype)) {
        cli_failf("--kv %s: no such type", kv);
        return false;
    }
    run->params.kv_f32 = run->params.kv_dtype == OLL_F32;
    return true;
}

/* Finds the place of the layers, and plans again with it. */
static oll_status place(struct run *run, struct oll_error *err)
{
    const char *devices = cli_value(run->args, "devices", NULL);
    run->available_bytes = oll_platform_memory_free();
    run->room.host_free_bytes = run->available_bytes ? run->available_bytes : UINT64_MAX;
    run->room.reserve_bytes = env_uint("OLLAMA_GPU_OVERHEAD", 0);
    run->room.spread = env_bool("OLLAMA_SCHED_SPREAD", false);
    if (oll_plan_is_room(devices))
        OLL_TRY(oll_plan_read_room(devices, &run->room, err));
    else
        run->params.devices = devices;
    OLL_TRY(oll_plan_make(&run->params, OLL_PLAN_EXACT, &run->whole, err));
    run->fits = oll_plan_place(&run->whole, &run->room, run->whole.n_ctx, &run->place, &run->why);
    if (run->room.n_device == 0) {
        run->plan = run->whole;
        run->whole = (struct oll_plan){0};
        return OLL_OK;
    }
    if (run->fits == OLL_OK)
        run->params.devices = run->place.devices;
    return oll_plan_make(&run->params, OLL_PLAN_EXACT, &run->plan, err);
}

/* ---- output ---- */

static oll_status write_json(const struct run *run, struct oll_error *err)
{
    const struct oll_plan *plan = &run->plan;
    struct oll_strbuf text;
    struct oll_json_writer w;
    oll_strbuf_init(&text, JSON_MAX);
    oll_json_write_init(&w, &text);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "model");
    oll_json_write_str(&w, run->args->positional[0]);
    oll_json_write_key(&w, "devices");
    oll_json_write_array_begin(&w);
    for (int d = 0; d < plan->n_device; d++) {
        oll_json_write_object_begin(&w);
        oll_json_write_key(&w, "name");
        oll_json_write_str(&w, plan->devices[d].name);
        const struct {
            const char *key;
            uint64_t value;
        } parts[] = {{"layers", plan->devices[d].n_layer},
                     {"weights", plan->devices[d].weights_bytes},
                     {"kv", plan->devices[d].kv_bytes},
                     {"activations", plan->devices[d].activation_bytes}};
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            oll_json_write_key(&w, parts[i].key);
            oll_json_write_uint(&w, parts[i].value);
        }
        oll_json_write_object_end(&w);
    }
    oll_json_write_array_end(&w);
    const struct {
        const char *key;
        uint64_t value;
    } sums[] = {{"layers", plan->n_layer},
                {"ctx", plan->n_ctx},
                {"parallel", plan->n_slots},
                {"batch", plan->n_ubatch},
                {"weights", oll_plan_weights(plan)},
                {"kv", oll_plan_kv(plan)},
                {"activations", oll_plan_activations(plan)},
                {"scratch", plan->scratch_bytes},
                {"host", plan->host_bytes},
                {"total", oll_plan_total(plan)},
                {"available", run->available_bytes}};
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) {
        oll_json_write_key(&w, sums[i].key);
        oll_json_write_uint(&w, sums[i].value);
    }
    oll_json_write_key(&w, "placement");
    oll_json_write_str(&w, run->params.devices ? run->params.devices : "cpu");
    oll_json_write_key(&w, "fits");
    oll_json_write_bool(&w, run->fits == OLL_OK);
    oll_json_write_object_end(&w);
    const oll_status status = text.status;
    if (status == OLL_OK)
        printf("%s\n", text.data);
    oll_strbuf_free(&text);
    return status == OLL_OK ? OLL_OK : OLL_FAIL(err, status, "no memory for the output");
}

static const char *mib(struct oll_arena *arena, uint64_t n_bytes)
{
    const char *text = oll_arena_printf(arena, "%.1f MiB", (double)n_bytes / 1048576.0);
    return text ? text : "";
}

static oll_status print_table(const struct run *run, struct oll_error *err)
{
    static const char *const header[] = {"DEVICE",   "LAYERS",      "WEIGHTS",
                                         "KV CACHE", "ACTIVATIONS", "TOTAL"};
    const struct oll_plan *plan = &run->plan;
    const char *cells[(OLL_PLAN_MAX_DEVICES + 1) * N_COLUMNS];
    struct oll_arena arena;
    size_t n = 0;
    oll_arena_init(&arena, ARENA_BYTES);
    for (int d = 0; d < plan->n_device; d++) {
        const struct oll_plan_device *dev = &plan->devices[d];
        const char **row = cells + N_COLUMNS * n++;
        row[0] = dev->name;
        row[1] = oll_arena_printf(&arena, "%u", dev->n_layer);
        row[1] = row[1] ? row[1] : "";
        row[2] = mib(&arena, dev->weights_bytes);
        row[3] = mib(&arena, dev->kv_bytes);
        row[4] = mib(&arena, dev->activation_bytes);
        row[5] = mib(&arena, dev->weights_bytes + dev->kv_bytes + dev->activation_bytes);
    }
    const char *scratch = mib(&arena, plan->scratch_bytes), *host = mib(&arena, plan->host_bytes);
    const char *total = mib(&arena, oll_plan_total(plan));
    const char *available = mib(&arena, run->available_bytes);
    const oll_status status = arena.status;
    if (status != OLL_OK) {
        oll_arena_free(&arena);
        return OLL_FAIL(err, status, "no memory for the output");
    }
    cli_table_print(header, N_COLUMNS, cells, n);
    printf("\n%u requests at once, %u tokens each, KV cache %s; scratch %s, text and requests %s\n",
           plan->n_slots, plan->n_ctx, oll_dtype_name((uint32_t)plan->kv_dtype), scratch, host);
    if (run->params.devices)
        printf("layers: %s\n", run->params.devices);
    printf("%s in all", total);
    if (run->available_bytes)
        printf(", %s are available", available);
    printf("\n");
    oll_arena_free(&arena);
    return OLL_OK;
}

static int run_plan(const struct cli_args *args)
{
    struct run run = {.args = args};
    struct model_entry entry = {0};
    struct oll_error err = {0};
    if (!read_params(&run))
        return 1;
    oll_status status = model_entry_find(args->positional[0], &entry, &err);
    run.params.model_path = entry.path;
    run.params.adapter_path = entry.adapter_path;
    if (status == OLL_OK)
        status = place(&run, &err);
    if (status == OLL_OK && cli_has(args, "json"))
        status = write_json(&run, &err);
    else if (status == OLL_OK)
        status = print_table(&run, &err);
    oll_plan_free(&run.whole);
    oll_plan_free(&run.plan);
    model_entry_free(&entry);
    if (status != OLL_OK)
        return cli_fail(&err);
    return run.fits == OLL_OK ? 0 : cli_fail(&run.why);
}

static const struct cli_option options[] = {
    {"ctx", 'c', CLI_VALUE, "N", "window of one request (default 4096, or the trained one)"},
    {"parallel", 'p', CLI_VALUE, "N", "requests at once (default OLLAMA_NUM_PARALLEL, else 1)"},
    {"kv", 0, CLI_VALUE, "TYPE", "type of the KV cache (default f16)"},
    {"batch", 'b', CLI_VALUE, "N", "most tokens of one pass (default 512)"},
    {"devices", 0, CLI_VALUE, "LIST",
     "\"cpu:0-9,ref:10-29\": layers; \"ref=64M,cpu\": memory to be filled"},
    {"num-gpu", 0, CLI_VALUE, "N", "layers on devices with memory of their own"},
    {"main-gpu", 0, CLI_VALUE, "N", "this one of the devices alone"},
    {"json", 0, CLI_FLAG, NULL, "print JSON, sizes in bytes"},
    {0},
};

static const struct cli_variable variables[] = {
    {"OLLAMA_CONTEXT_LENGTH", "Window where --ctx is not given"},
    {"OLLAMA_NUM_PARALLEL", "Requests at once where --parallel is not given"},
    {"OLLAMA_SCHED_SPREAD", "1: layers go over all devices, not over as few as possible"},
    {"OLLAMA_GPU_OVERHEAD", "Bytes that are kept free on each device"},
    {0},
};

const struct cli_command cli_plan = {
    .name = "plan",
    .usage = "MODEL",
    .summary = "Show what memory a model would take",
    .details = "The model is not loaded. Fails when it does not fit into the memory that is free.",
    .options = options,
    .variables = variables,
    .min_args = 1,
    .max_args = 1,
    .run = run_plan,
};
