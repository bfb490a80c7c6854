/* What is done with a plan: sums, and a place for the model (plan.h). */
#include "engine/plan.h"

#include "engine/base/mem.h"
#include "engine/placement_fill.h"

#include <stdio.h>
#include <string.h>

void oll_plan_free(struct oll_plan *plan)
{
    oll_free(plan->layer_bytes);
    oll_free(plan->layer_kv_bytes);
    plan->layer_bytes = plan->layer_kv_bytes = NULL;
}

/* ---- sums ---- */

#define SUM(field)                                                                                 \
    uint64_t sum = 0;                                                                              \
    for (int d = 0; d < plan->n_device; d++)                                                       \
        sum += plan->devices[d].field;                                                             \
    return sum

uint64_t oll_plan_weights(const struct oll_plan *plan) { SUM(weights_bytes); }
uint64_t oll_plan_kv(const struct oll_plan *plan) { SUM(kv_bytes); }
uint64_t oll_plan_activations(const struct oll_plan *plan) { SUM(activation_bytes); }

uint64_t oll_plan_total(const struct oll_plan *plan)
{
    return oll_plan_weights(plan) + oll_plan_kv(plan) + oll_plan_activations(plan) +
           plan->scratch_bytes + plan->host_bytes;
}

/* ---- rooms ---- */

bool oll_plan_is_room(const char *devices) { return devices && strchr(devices, '='); }

/* "64M" in [s, end). */
static bool read_size(const char *s, const char *end, uint64_t *out)
{
    static const char units[] = "KMGT";
    uint64_t n = 0;
    const char *begin = s;
    for (; s < end && *s >= '0' && *s <= '9'; s++)
        if (!oll_mul_u64(n, 10, &n) || !oll_add_u64(n, (uint64_t)(*s - '0'), &n))
            return false;
    if (s == begin)
        return false;
    if (s < end) {
        const char *unit = strchr(units, *s);
        if (!unit || !oll_mul_u64(n, (uint64_t)1 << (10 * (unit - units + 1)), &n))
            return false;
        s++;
    }
    *out = n;
    return s == end;
}

static oll_status read_entry(const char *s, size_t n, struct oll_plan_room *out,
                             struct oll_error *err)
{
    const char *equals = memchr(s, '=', n);
    const size_t n_name = equals ? (size_t)(equals - s) : n;
    uint64_t bytes;
    if (!equals && n == 3 && memcmp(s, "cpu", 3) == 0)
        return OLL_OK;
    if (!equals || n_name == 0 || n_name >= OLL_PLAN_MAX_NAME || memchr(s, ':', n) ||
        !read_size(equals + 1, s + n, &bytes))
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "devices: \"%.*s\" is not NAME=SIZE, as in ref=64M or ref=2G",
                        (int)(n < 64 ? n : 64), s);
    /* The processor takes what is left, so one place is its own. */
    if (out->n_device + 1 == OLL_PLAN_MAX_DEVICES)
        return OLL_FAIL(err, OLL_ERR_ARG, "devices: more than %d beside the processor",
                        OLL_PLAN_MAX_DEVICES - 1);
    snprintf(out->devices[out->n_device].name, OLL_PLAN_MAX_NAME, "%.*s", (int)n_name, s);
    out->devices[out->n_device].total_bytes = out->devices[out->n_device].free_bytes = bytes;
    out->devices[out->n_device].is_integrated = false;
    out->n_device++;
    return OLL_OK;
}

oll_status oll_plan_read_room(const char *devices, struct oll_plan_room *out, struct oll_error *err)
{
    out->n_device = 0;
    for (const char *s = devices;;) {
        const size_t n = strcspn(s, ",");
        OLL_TRY(read_entry(s, n, out, err));
        if (!s[n])
            return OLL_OK;
        s += n + 1;
    }
}

/* Without other devices all of it is the processor's, and nothing counts twice. */
static oll_status place_on_host(const struct oll_plan *plan, const struct oll_plan_room *room,
                                double ctx_part, struct oll_plan_place *out, struct oll_error *err)
{
    const double gib = 1024.0 * 1024.0 * 1024.0;
    const uint64_t kv = oll_plan_kv(plan);
    out->host_bytes = oll_plan_total(plan) - (kv - (uint64_t)((double)kv * ctx_part));
    if (out->host_bytes <= room->host_free_bytes)
        return OLL_OK;
    return OLL_FAIL(err, OLL_ERR_MEMORY,
                    "model requires more system memory (%.1f GiB) than is available (%.1f GiB)",
                    (double)out->host_bytes / gib, (double)room->host_free_bytes / gib);
}

static oll_status place_on_devices(const struct oll_plan *plan, const struct oll_plan_room *room,
                                   double ctx_part, struct oll_plan_place *out,
                                   struct oll_error *err)
{
    oll_status status;
    struct fill_device devices[OLL_PLAN_MAX_DEVICES];
    struct fill_result result;
    struct oll_strbuf text;
    uint64_t *bytes = oll_calloc(plan->n_layer + 1, sizeof *bytes);
    int *at = oll_calloc(plan->n_layer + 1, sizeof *at);
    oll_strbuf_init(&text, OLL_PLAN_TEXT_MAX);
    if (!bytes || !at) {
        status = OLL_FAIL(err, OLL_ERR_MEMORY, "no memory to place %u layers", plan->n_layer);
        goto done;
    }
    for (uint32_t il = 0; il <= plan->n_layer; il++)
        bytes[il] =
            plan->layer_bytes[il] +
            (il < plan->n_layer ? (uint64_t)((double)plan->layer_kv_bytes[il] * ctx_part) : 0);
    for (int i = 0; i < room->n_device; i++)
        devices[i] = (struct fill_device){room->devices[i].name, room->devices[i].free_bytes,
                                          room->devices[i].is_integrated};
    const struct fill_request request = {
        .n_layer = plan->n_layer,
        .layer_bytes = bytes,
        .input_bytes = plan->input_bytes + plan->scratch_bytes + plan->host_bytes,
        .scratch_bytes = oll_plan_activations(plan),
        .n_device = room->n_device,
        .devices = devices,
        .reserve_bytes = room->reserve_bytes,
        .host_free_bytes = room->host_free_bytes,
        .num_gpu = room->num_gpu,
        .main_gpu = room->main_gpu,
        .spread = room->spread,
        .require_full = room->require_full,
    };
    OLL_TRY_DONE(fill_layers(&request, at, &result, err));
    fill_text(&request, at, "cpu", &text);
    out->n_placed = result.n_placed;
    out->host_bytes = result.host_bytes;
    memcpy(out->device_bytes, result.device_bytes, sizeof out->device_bytes);
    status = text.status;
    snprintf(out->devices, sizeof out->devices, "%s", text.data);
done:
    oll_strbuf_free(&text);
    oll_free(bytes);
    oll_free(at);
    return status;
}

oll_status oll_plan_place(const struct oll_plan *plan, const struct oll_plan_room *room,
                          uint32_t n_ctx, struct oll_plan_place *out, struct oll_error *err)
{
    const double ctx_part = n_ctx < plan->n_ctx ? (double)n_ctx / plan->n_ctx : 1;
    *out = (struct oll_plan_place){0};
    return room->n_device == 0 ? place_on_host(plan, room, ctx_part, out, err)
                               : place_on_devices(plan, room, ctx_part, out, err);
}
