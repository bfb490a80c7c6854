#include "engine/placement.h"

#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "engine/base/strbuf.h"

#include <stdio.h>
#include <string.h>

enum { UNPLACED = 0xff };

/* ---- devices of the layers ---- */

/* One entry of the list while it is read. */
struct entry {
    const char *text;
    int n; /* characters of it */
    int i_device;
    bool has_range;
    uint32_t first, last;
    int *end; /* input_device or output_device; NULL: layers */
};

static oll_status device_index(struct placement *p, const struct entry *e, size_t n_name,
                               int *i_device, struct oll_error *err)
{
    if (n_name == 0 || n_name >= PLACEMENT_MAX_NAME)
        return OLL_FAIL(err, OLL_ERR_ARG, "devices: \"%.*s\" begins with no device name", e->n,
                        e->text);
    for (int i = 0; i < p->n_device; i++)
        if (strlen(p->names[i]) == n_name && memcmp(p->names[i], e->text, n_name) == 0) {
            *i_device = i;
            return OLL_OK;
        }
    if (p->n_device == PLACEMENT_MAX_DEVICES)
        return OLL_FAIL(err, OLL_ERR_ARG, "devices: more than %d different ones",
                        PLACEMENT_MAX_DEVICES);
    memcpy(p->names[p->n_device], e->text, n_name);
    *i_device = p->n_device++;
    return OLL_OK;
}

/* Digits at *s; false when there are none or the number exceeds any layer. */
static bool take_number(const char **s, const char *end, uint32_t *out)
{
    const char *begin = *s;
    uint32_t v = 0;
    for (; *s < end && **s >= '0' && **s <= '9' && v < 100000; ++*s)
        v = v * 10 + (uint32_t)(**s - '0');
    *out = v;
    return *s > begin && v < 100000;
}

static oll_status read_range(struct placement *p, struct entry *e, const char *s,
                             struct oll_error *err)
{
    const uint32_t n_layer = p->n_layer;
    const char *end = e->text + e->n;
    const size_t n = (size_t)(end - s);
    if (n == strlen("input") && memcmp(s, "input", n) == 0)
        e->end = &p->input_device;
    if (n == strlen("output") && memcmp(s, "output", n) == 0)
        e->end = &p->output_device;
    if (e->end)
        return OLL_OK;
    bool ok = take_number(&s, end, &e->first);
    e->last = e->first;
    if (ok && s < end && *s == '-') {
        s++;
        e->last = n_layer - 1;
        if (s < end)
            ok = take_number(&s, end, &e->last);
    }
    e->has_range = true;
    if (!ok || s != end || e->first > e->last)
        return OLL_FAIL(err, OLL_ERR_ARG,
                        "devices: \"%.*s\" is not NAME, NAME:LAYER or NAME:FIRST-LAST", e->n,
                        e->text);
    if (e->last >= n_layer)
        return OLL_FAIL(err, OLL_ERR_ARG, "devices: \"%.*s\": the model has layers 0-%u", e->n,
                        e->text, n_layer - 1);
    return OLL_OK;
}

static oll_status place(struct placement *p, const struct entry *e, struct oll_error *err)
{
    for (uint32_t il = e->first; il <= e->last; il++) {
        if (p->layer_device[il] != UNPLACED)
            return OLL_FAIL(err, OLL_ERR_ARG, "devices: layer %u is placed twice", il);
        p->layer_device[il] = (uint8_t)e->i_device;
    }
    return OLL_OK;
}

/* Reads the list; *rest gets the device of an entry without range, or -1. */
static oll_status read_entries(struct placement *p, const char *text, int *rest,
                               struct oll_error *err)
{
    *rest = -1;
    for (const char *s = text;;) {
        size_t n = strcspn(s, ",");
        struct entry e = {.text = s, .n = n < 64 ? (int)n : 64};
        const char *colon = memchr(s, ':', (size_t)e.n);
        OLL_TRY(device_index(p, &e, colon ? (size_t)(colon - s) : (size_t)e.n, &e.i_device, err));
        if (colon) {
            OLL_TRY(read_range(p, &e, colon + 1, err));
            if (e.end)
                *e.end = e.i_device;
            else
                OLL_TRY(place(p, &e, err));
        } else if (*rest >= 0) {
            return OLL_FAIL(err, OLL_ERR_ARG, "devices: two entries without layers");
        } else {
            *rest = e.i_device;
        }
        if (!s[n])
            return OLL_OK;
        s += n + 1;
    }
}

oll_status placement_parse(const char *text, uint32_t n_layer, struct placement *out,
                           struct oll_error *err)
{
    oll_status status = OLL_OK;
    struct placement p = {.n_layer = n_layer, .input_device = -1, .output_device = -1};
    int rest;
    p.layer_device = oll_alloc(n_layer, 1);
    if (!p.layer_device)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for the placement of %u layers", n_layer);
    memset(p.layer_device, UNPLACED, n_layer);
    OLL_TRY_DONE(read_entries(&p, text && *text ? text : "cpu", &rest, err));
    for (uint32_t il = 0; il < n_layer; il++) {
        if (p.layer_device[il] == UNPLACED && rest < 0) {
            status = OLL_FAIL(err, OLL_ERR_ARG,
                              "devices: layer %u is on no device; the model has layers 0-%u", il,
                              n_layer - 1);
            goto done;
        }
        if (p.layer_device[il] == UNPLACED)
            p.layer_device[il] = (uint8_t)rest;
    }
    if (p.input_device < 0)
        p.input_device = p.layer_device[0];
    if (p.output_device < 0)
        p.output_device = p.layer_device[n_layer - 1];
done:
    if (status == OLL_OK)
        *out = p;
    else
        placement_free(&p);
    return status;
}

void placement_free(struct placement *p)
{
    oll_free(p->layer_device);
    p->layer_device = NULL;
}

/* ---- memory ---- */

void plan_add(struct plan *plan, const char *what, int i_device, uint64_t n_bytes)
{
    struct plan_entry *e = NULL;
    for (int i = 0; i < plan->n; i++)
        if (plan->entries[i].i_device == i_device && strcmp(plan->entries[i].what, what) == 0)
            e = &plan->entries[i];
    if (!e) {
        OLL_ASSERT(plan->n < PLAN_MAX_ENTRIES);
        e = &plan->entries[plan->n++];
        *e = (struct plan_entry){.what = what, .i_device = i_device};
    }
    if (!oll_add_u64(e->n_bytes, n_bytes, &e->n_bytes))
        e->n_bytes = UINT64_MAX;
}

uint64_t plan_sum(const struct plan *plan, const char *what)
{
    uint64_t sum = 0;
    for (int i = 0; i < plan->n; i++)
        if ((!what || strcmp(plan->entries[i].what, what) == 0) &&
            !oll_add_u64(sum, plan->entries[i].n_bytes, &sum))
            sum = UINT64_MAX;
    return sum;
}

oll_status plan_check(const struct plan *plan, const char *advice, struct oll_error *err)
{
    const double mib = 1024.0 * 1024.0;
    uint64_t need = plan_sum(plan, NULL), have = oll_platform_memory_free();
    if (have == 0 || need <= have)
        return OLL_OK;
    struct oll_strbuf parts;
    oll_strbuf_init(&parts, 4096);
    for (int i = 0; i < plan->n; i++)
        oll_strbuf_printf(&parts, "%s%s %.1f", i ? ", " : "", plan->entries[i].what,
                          (double)plan->entries[i].n_bytes / mib);
    OLL_FAIL(err, OLL_ERR_LIMIT, "needs %.1f MiB (%s), %.1f MiB are available; %s",
             (double)need / mib, parts.data, (double)have / mib, advice);
    oll_strbuf_free(&parts);
    return OLL_ERR_LIMIT;
}
