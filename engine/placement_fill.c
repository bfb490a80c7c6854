#include "engine/placement_fill.h"

#include "engine/base/mem.h"

#include <string.h>

/* Devices that are tried together, in the order of filling. */
struct subset {
    int n;
    int index[FILL_MAX_DEVICES];
    uint64_t room[FILL_MAX_DEVICES]; /* what layers may take of each */
};

/* ---- greedy filling ---- */

/* Places layers [0, n_todo) from the last one downwards on the devices of a subset [first, end),
 * from the last one downwards, each filled to `factor` of its room. Returns how many found a place.
 */
static uint32_t fill_greedy(const struct fill_request *r, const struct subset *s, int first,
                            int end, uint32_t n_todo, uint32_t n_max, double factor,
                            int *layer_device)
{
    uint32_t n = 0;
    int d = end - 1;
    uint64_t used = 0;
    for (uint32_t i = 0; i < n_todo; i++)
        layer_device[i] = FILL_HOST;
    for (uint32_t il = n_todo; il-- > 0 && n < n_max;) {
        const uint64_t need = r->layer_bytes[il];
        while (d >= first && (double)(used + need) > (double)s->room[d] * factor) {
            d--;
            used = 0;
        }
        if (d < first)
            break;
        used += need;
        layer_device[il] = s->index[d];
        n++;
    }
    return n;
}

/* As many layers as fit, over devices in proportion to their room: the smallest factor that still
 * holds the most. */
static uint32_t fill_balanced(const struct fill_request *r, const struct subset *s, int first,
                              int end, uint32_t n_todo, uint32_t n_max, int *layer_device)
{
    double low = 0, high = 1;
    const uint32_t n = fill_greedy(r, s, first, end, n_todo, n_max, high, layer_device);
    while (n > 0 && high - low > 1e-6) {
        const double middle = (low + high) / 2;
        if (fill_greedy(r, s, first, end, n_todo, n_max, middle, layer_device) == n)
            high = middle;
        else
            low = middle;
    }
    return fill_greedy(r, s, first, end, n_todo, n_max, high, layer_device);
}

/* Discrete devices first, integrated ones with the layers that are left. */
static uint32_t fill_classes(const struct fill_request *r, const struct subset *s, bool one_class,
                             uint32_t n_todo, uint32_t n_max, int *layer_device)
{
    int n_discrete = 0;
    while (n_discrete < s->n && (one_class || !r->devices[s->index[n_discrete]].is_integrated))
        n_discrete++;
    uint32_t n = fill_balanced(r, s, 0, n_discrete, n_todo, n_max, layer_device);
    /* The layers left are the lowest ones: those that are placed lie above them without a gap. */
    const uint32_t n_left = n_todo - n;
    if (n_discrete < s->n && n < n_max && n_left > 0)
        n += fill_balanced(r, s, n_discrete, s->n, n_left, n_max - n, layer_device);
    return n;
}

/* ---- choice of devices ---- */

static uint64_t room_of(const struct fill_request *r, int i)
{
    uint64_t have = r->devices[i].free_bytes;
    /* One more layer is kept free, as sizes are never exact. */
    const uint64_t less[] = {r->reserve_bytes, r->scratch_bytes, r->layer_bytes[0]};
    for (size_t k = 0; k < sizeof less / sizeof *less; k++)
        have = have > less[k] ? have - less[k] : 0;
    return have;
}

/* Discrete ones before integrated ones, then those with most free memory. */
static bool goes_before(const struct fill_device *a, const struct fill_device *b)
{
    if (a->is_integrated != b->is_integrated)
        return b->is_integrated;
    return a->free_bytes > b->free_bytes;
}

static void sort_devices(const struct fill_request *r, struct subset *out)
{
    out->n = 0;
    for (int i = 0; i < r->n_device; i++) {
        int at = out->n++;
        if (r->main_gpu >= 0 && i != r->main_gpu) {
            out->n--;
            continue;
        }
        for (; at > 0 && goes_before(&r->devices[i], &r->devices[out->index[at - 1]]); at--)
            out->index[at] = out->index[at - 1];
        out->index[at] = i;
    }
    for (int i = 0; i < out->n; i++)
        out->room[i] = room_of(r, out->index[i]);
}

/* The fewest devices that take n_max of n_todo layers, else all of them. */
static uint32_t fill_subsets(const struct fill_request *r, const struct subset *all,
                             uint32_t n_todo, uint32_t n_max, int *layer_device)
{
    const bool one_class = r->num_gpu >= 0 || r->spread;
    uint32_t n = 0;
    for (int n_used = r->spread ? all->n : 1; n_used <= all->n; n_used++) {
        struct subset s = *all;
        s.n = n_used;
        /* The user's number of layers is tried whatever is known of the memory. */
        if (r->num_gpu >= 0 && n_used == all->n && !r->require_full)
            for (int i = 0; i < s.n; i++)
                s.room[i] = s.room[i] > UINT64_MAX / 1000 ? UINT64_MAX : s.room[i] * 1000;
        n = fill_classes(r, &s, one_class, n_todo, n_max, layer_device);
        if (n == n_max)
            break;
    }
    return n;
}

/* ---- sums ---- */

static void sum_up(const struct fill_request *r, const int *layer_device, struct fill_result *out)
{
    memset(out, 0, sizeof *out);
    out->host_bytes = r->input_bytes + r->scratch_bytes;
    for (uint32_t il = 0; il <= r->n_layer; il++) {
        if (layer_device[il] == FILL_HOST) {
            out->host_bytes += r->layer_bytes[il];
            continue;
        }
        out->n_placed++;
        uint64_t *bytes = &out->device_bytes[layer_device[il]];
        *bytes += r->layer_bytes[il] + (*bytes ? 0 : r->scratch_bytes);
    }
}

static oll_status check(const struct fill_request *r, uint32_t n_wanted,
                        const struct fill_result *result, struct oll_error *err)
{
    const double gib = 1024.0 * 1024.0 * 1024.0;
    if (r->require_full && r->n_device > 0 &&
        (result->n_placed < n_wanted || result->host_bytes > r->host_free_bytes))
        return OLL_FAIL(err, OLL_ERR_BUSY, "unable to load full model on GPU");
    if (r->num_gpu >= 0 && result->n_placed < n_wanted)
        return OLL_FAIL(err, OLL_ERR_MEMORY,
                        "memory layout cannot be allocated with num_gpu = %lld",
                        (long long)r->num_gpu);
    if (result->host_bytes > r->host_free_bytes)
        return OLL_FAIL(err, OLL_ERR_MEMORY,
                        "model requires more system memory (%.1f GiB) than is available (%.1f GiB)",
                        (double)result->host_bytes / gib, (double)r->host_free_bytes / gib);
    return OLL_OK;
}

oll_status fill_layers(const struct fill_request *r, int *layer_device, struct fill_result *out,
                       struct oll_error *err)
{
    struct subset all;
    const uint32_t n_all = r->n_layer + 1;
    OLL_ASSERT(r->n_device >= 0 && r->n_device <= FILL_MAX_DEVICES && r->n_layer > 0);
    const uint32_t n_wanted = r->num_gpu >= 0 && r->num_gpu < n_all ? (uint32_t)r->num_gpu : n_all;
    sort_devices(r, &all);
    for (uint32_t il = 0; il < n_all; il++)
        layer_device[il] = FILL_HOST;
    if (all.n > 0 && n_wanted > 0 && fill_subsets(r, &all, n_all, n_wanted, layer_device) < n_all) {
        /* Not everything: then the output layer stays, and layers that repeat have its place. */
        layer_device[r->n_layer] = FILL_HOST;
        fill_subsets(r, &all, r->n_layer, n_wanted < r->n_layer ? n_wanted : r->n_layer,
                     layer_device);
    }
    sum_up(r, layer_device, out);
    return check(r, all.n > 0 ? n_wanted : 0, out, err);
}

/* ---- text ---- */

void fill_text(const struct fill_request *r, const int *layer_device, const char *host,
               struct oll_strbuf *out)
{
    oll_strbuf_printf(out, "%s:input", host);
    for (uint32_t il = 0, first = 0; il < r->n_layer; il++) {
        if (il + 1 < r->n_layer && layer_device[il + 1] == layer_device[il])
            continue;
        oll_strbuf_printf(out, ",%s:%u-%u",
                          layer_device[il] == FILL_HOST ? host : r->devices[layer_device[il]].name,
                          first, il);
        first = il + 1;
    }
    const int d = layer_device[r->n_layer];
    oll_strbuf_printf(out, ",%s:output", d == FILL_HOST ? host : r->devices[d].name);
}
