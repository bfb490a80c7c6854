#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "tests/kernels/trial.h"

#include "kernels/half.h"
#include "tests/testing.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TRIAL_SECONDS_MAX = 120, KV_CANARY_BYTES = 64 };

/* ---- declaration ---- */

/* FNV-1a, so that a trial's values depend on its name. */
static uint64_t hash_text(const char *text)
{
    uint64_t hash = 14695981039346656037u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash;
}

bool trial_open(struct trial *t, struct session *s, const char *fmt, ...)
{
    struct progress *progress = s->progress;
    va_list args;
    memset(t, 0, sizeof *t);
    t->s = s;
    va_start(args, fmt);
    vsnprintf(t->name, sizeof t->name, fmt, args);
    va_end(args);
    progress->index++;
    if (progress->index <= s->resume_after || progress->index % s->n_part != s->part ||
        !strstr(t->name, s->filter))
        return false;
    if (s->is_list) {
        printf("%s\n", t->name);
        return false;
    }
    t->rng = s->seed ^ hash_text(t->name);
    t->is_loose = testing_random(&t->rng) & 1;
    memcpy(progress->name, t->name, sizeof t->name);
    alarm(s->is_bench || s->is_full ? 10 * TRIAL_SECONDS_MAX : TRIAL_SECONDS_MAX);
    return true;
}

static void set_words(float *at, size_t n, uint32_t word)
{
    for (size_t i = 0; i < n; i++)
        memcpy(at + i, &word, sizeof word);
}

/* Makes room for an operand behind a canary and in front of one. */
static struct operand *place(struct trial *t, const char *name, uint32_t rows, uint32_t cols)
{
    static const uint32_t slacks[] = {0, 1, 3, 16, 29};
    OLL_ASSERT(t->n_operand < N_OPERAND_MAX);
    uint32_t gap = t->is_loose ? 9 + fill_below(&t->rng, 23) : 16 + (uint32_t)(-t->n_image & 15);
    uint32_t slack = t->is_loose && rows > 1 ? slacks[fill_below(&t->rng, 5)] : 0;
    struct operand *o = &t->operands[t->n_operand++];
    *o = (struct operand){
        .name = name, .off = t->n_image + gap, .rows = rows, .cols = cols, .stride = cols + slack};
    size_t n = o->off + (size_t)rows * o->stride + 16;
    if (n > t->cap_image) {
        t->cap_image = n * 2;
        t->image = realloc(t->image, t->cap_image * sizeof *t->image);
    }
    set_words(t->image + t->n_image, n - t->n_image, WORD_CANARY);
    t->n_image = n;
    return o;
}

float *trial_row(const struct trial *t, const float *image, int operand, uint32_t row)
{
    const struct operand *o = &t->operands[operand];
    return (float *)image + o->off + (size_t)row * o->stride;
}

int trial_mat(struct trial *t, const char *name, uint32_t rows, uint32_t cols, enum role role,
              enum fill fill)
{
    struct operand *o = place(t, name, rows, cols);
    int operand = t->n_operand - 1;
    o->is_out = role != ROLE_IN;
    for (uint32_t r = 0; r < rows; r++) {
        float *row = trial_row(t, t->image, operand, r);
        if (role == ROLE_OUT)
            set_words(row, cols, WORD_POISON);
        else
            fill_floats(fill, row, cols, &t->rng);
    }
    return operand;
}

int trial_vec(struct trial *t, const char *name, uint32_t n, enum fill fill)
{
    return trial_mat(t, name, 1, n, ROLE_IN, fill);
}

int trial_ints(struct trial *t, const char *name, uint32_t n, const int32_t *values)
{
    struct operand *o = place(t, name, 1, n);
    o->is_int = true;
    o->is_out = !values;
    if (values)
        memcpy(t->image + o->off, values, n * sizeof *values);
    else
        set_words(t->image + o->off, n, WORD_POISON);
    return t->n_operand - 1;
}

int trial_weight(struct trial *t, enum oll_dtype dtype, uint32_t n_in, uint32_t n_out,
                 uint32_t n_expert, enum fill fill)
{
    size_t n_page = (size_t)sysconf(_SC_PAGESIZE);
    size_t n_bytes = oll_dtype_row_bytes(dtype, n_in) * n_out * n_expert;
    size_t n_page_bytes = (n_bytes + n_page - 1) / n_page * n_page;
    OLL_ASSERT(t->n_weight < N_WEIGHT_MAX);
    struct trial_weight *w = &t->weights[t->n_weight];
    w->n_map_bytes = n_page_bytes + n_page;
    w->map = mmap(NULL, w->n_map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    OLL_ASSERT(w->map != MAP_FAILED);
    OLL_ASSERT(mprotect((char *)w->map + n_page_bytes, n_page, PROT_NONE) == 0);
    uint8_t *data = (uint8_t *)w->map + n_page_bytes - n_bytes;
    fill_weights(fill, dtype, data, (size_t)n_out * n_expert, n_in, &t->rng);
    w->src = (struct oll_weight_source){.name = "w",
                                        .data = data,
                                        .dtype = dtype,
                                        .n_in = n_in,
                                        .n_out = n_out,
                                        .n_expert = n_expert};
    return t->n_weight++;
}

void trial_needs(struct trial *t, enum oll_op_kind kind, enum oll_dtype dtype)
{
    OLL_ASSERT(t->n_need < N_OPERAND_MAX);
    t->needs[t->n_need].kind = kind;
    t->needs[t->n_need++].dtype = dtype;
}

void trial_bound(struct trial *t, int operand, double abs, double rel, double nmse)
{
    t->operands[operand].abs = abs;
    t->operands[operand].rel = rel;
    t->operands[operand].nmse = nmse;
}

double *trial_bound_each(struct trial *t, int operand)
{
    struct operand *o = &t->operands[operand];
    o->abs_each = calloc((size_t)o->rows * o->cols, sizeof *o->abs_each);
    return o->abs_each;
}

void trial_total(struct trial *t, int operand, enum oll_dtype dtype)
{
    t->operands[operand].total = dtype;
    t->operands[operand].has_total = true;
}

void trial_equal(struct trial *t, int operand_a, int operand_b)
{
    t->equal[t->n_equal][0] = operand_a;
    t->equal[t->n_equal++][1] = operand_b;
}

/* ---- operands on a device ---- */

struct oll_mat run_rows(const struct run *run, int operand, uint32_t begin, uint32_t n)
{
    const struct operand *o = &run->t->operands[operand];
    return (struct oll_mat){.buf = run->arena,
                            .off = o->off + (size_t)begin * o->stride,
                            .rows = n,
                            .cols = o->cols,
                            .stride = o->stride};
}

struct oll_mat run_mat(const struct run *run, int operand)
{
    return operand < 0 ? (struct oll_mat){0}
                       : run_rows(run, operand, 0, run->t->operands[operand].rows);
}

struct oll_vec run_vec(const struct run *run, int operand)
{
    if (operand < 0)
        return (struct oll_vec){0};
    const struct operand *o = &run->t->operands[operand];
    return (struct oll_vec){.buf = run->arena, .off = o->off, .n = o->cols};
}

struct oll_ints run_ints(const struct run *run, int operand)
{
    if (operand < 0)
        return (struct oll_ints){0};
    const struct operand *o = &run->t->operands[operand];
    return (struct oll_ints){.buf = run->arena, .off = o->off, .n = o->cols};
}

struct oll_kv run_kv(const struct run *run, int pages, uint32_t n_col)
{
    const struct trial_kv *kv = &run->t->kv;
    return (struct oll_kv){.buf = run->kv,
                           .k_off = run->k_off,
                           .v_off = run->v_off,
                           .dtype = kv->dtype,
                           .n_page = kv->n_page,
                           .n_head_kv = kv->n_head_kv,
                           .head_dim_k = kv->head_dim_k,
                           .head_dim_v = kv->head_dim_v,
                           .pages = run_ints(run, pages),
                           .n_col = n_col};
}

/* The cache starts as bytes of all ones, a NaN in every type: a kernel that lets a position weigh
 * in that nobody stored, even with weight zero, gives itself away. */
static oll_status kv_open(struct run *run, struct oll_error *err)
{
    const struct trial_kv *kv = &run->t->kv;
    if (kv->n_page == 0)
        return OLL_OK;
    size_t n_k =
        kv->n_page * run->dev->ops->kv_page_bytes(kv->dtype, kv->n_head_kv, kv->head_dim_k);
    size_t n_v =
        kv->n_page * run->dev->ops->kv_page_bytes(kv->dtype, kv->n_head_kv, kv->head_dim_v);
    run->k_off = KV_CANARY_BYTES;
    run->v_off = run->k_off + n_k + KV_CANARY_BYTES;
    size_t n_bytes = run->v_off + n_v + KV_CANARY_BYTES;
    void *ones = malloc(n_bytes);
    memset(ones, 0xff, n_bytes);
    oll_status status = oll_buffer_new(run->dev, n_bytes, &run->kv, err);
    if (status == OLL_OK)
        status = oll_buffer_upload(run->kv, 0, ones, n_bytes, err);
    free(ones);
    return status;
}

static oll_status weights_open(struct run *run, struct oll_error *err)
{
    const struct trial *t = run->t;
    struct oll_weight_source src[N_WEIGHT_MAX];
    for (int i = 0; i < t->n_weight; i++)
        src[i] = t->weights[i].src;
    int n_at_once = t->is_group ? t->n_weight : 1;
    for (int i = 0; i < t->n_weight; i += n_at_once)
        OLL_TRY(oll_weights_new(run->dev, src + i, n_at_once, run->weights + i, err));
    return OLL_OK;
}

oll_status run_open(struct run *run, const struct trial *t, struct oll_device *dev,
                    struct oll_error *err)
{
    *run = (struct run){.t = t, .dev = dev};
    size_t n_bytes = t->n_image * sizeof *t->image;
    OLL_TRY(oll_buffer_new(dev, n_bytes, &run->arena, err));
    OLL_TRY(oll_buffer_upload(run->arena, 0, t->image, n_bytes, err));
    OLL_TRY(weights_open(run, err));
    return kv_open(run, err);
}

void run_close(struct run *run)
{
    oll_buffer_free(run->arena);
    oll_buffer_free(run->kv);
    for (int i = 0; i < N_WEIGHT_MAX; i++)
        oll_weight_free(run->weights[i]);
}

/* The strips round K and V are as they were. */
static oll_status kv_check(const struct run *run, struct oll_error *err)
{
    if (!run->kv)
        return OLL_OK;
    const size_t at[] = {0, run->v_off - KV_CANARY_BYTES, run->kv->n_bytes - KV_CANARY_BYTES};
    for (int i = 0; i < 3; i++) {
        unsigned char strip[KV_CANARY_BYTES];
        OLL_TRY(oll_buffer_download(run->kv, at[i], strip, sizeof strip, err));
        for (size_t b = 0; b < sizeof strip; b++) {
            if (strip[b] != 0xff)
                return OLL_FAIL(err, OLL_ERR_INTERNAL, "wrote outside the cache, at byte %zu",
                                at[i] + b);
        }
    }
    return OLL_OK;
}

/* Runs the list once on a device; *image gets the arena. */
static oll_status run_once(struct trial *t, struct oll_device *dev, record_fn record,
                           const void *params, float *image, struct oll_error *err)
{
    struct run run;
    struct oll_cmd cmd;
    oll_cmd_init(&cmd, dev);
    oll_status status = run_open(&run, t, dev, err);
    if (status != OLL_OK)
        goto done;
    record(&run, &cmd, params);
    OLL_TRY_DONE(oll_device_submit(&cmd, err));
    OLL_TRY_DONE(oll_device_wait(dev, err));
    OLL_TRY_DONE(oll_buffer_download(run.arena, 0, image, t->n_image * sizeof *image, err));
    status = kv_check(&run, err);
done:
    oll_cmd_free(&cmd);
    run_close(&run);
    return status;
}

/* ---- the trial ---- */

static void fail(const struct trial *t, const char *level, const char *what)
{
    t->s->progress->n_failed++;
    printf("FAILED %s [%s]: %s\n", t->name, level, what);
}

/* Whether the candidate has all ops of the trial; notes what it lacks. */
static bool is_supported(const struct trial *t, const struct oll_device *dev)
{
    bool all = true;
    for (int i = 0; i < t->n_need; i++) {
        if (oll_device_supports(dev, t->needs[i].kind, t->needs[i].dtype))
            continue;
        t->s->progress->unsupported[t->needs[i].kind] |= UINT64_C(1) << t->needs[i].dtype;
        all = false;
    }
    return all;
}

static bool check_equal(const struct trial *t, const float *image, char *why, size_t n_why)
{
    for (int i = 0; i < t->n_equal; i++) {
        const struct operand *a = &t->operands[t->equal[i][0]], *b = &t->operands[t->equal[i][1]];
        for (uint32_t r = 0; r < a->rows; r++) {
            const float *row_a = trial_row(t, image, t->equal[i][0], r);
            const float *row_b = trial_row(t, image, t->equal[i][1], r);
            for (uint32_t c = 0; c < a->cols; c++) {
                if (memcmp(row_a + c, row_b + c, sizeof *row_a) == 0)
                    continue;
                snprintf(why, n_why, "%s[%u][%u] = %.9g, but %s = %.9g: bits must not differ",
                         a->name, r, c, (double)row_a[c], b->name, (double)row_b[c]);
                return false;
            }
        }
    }
    return true;
}

/* The other thread counts of a level, bit for bit. */
static void check_threads(struct trial *t, const struct level *level, record_fn record,
                          const void *params, const float *first)
{
    float *image = malloc(t->n_image * sizeof *image);
    for (int i = 1; i < level->n_dev; i++) {
        struct oll_error err = {0};
        char what[256];
        if (run_once(t, level->devs[i], record, params, image, &err) != OLL_OK) {
            fail(t, level->name, oll_error_text(&err));
        } else if (memcmp(image, first, t->n_image * sizeof *image) != 0) {
            size_t at = 0;
            while (memcmp(image + at, first + at, sizeof *image) == 0)
                at++;
            snprintf(what, sizeof what, "%d threads give %.9g, %d give %.9g, at word %zu",
                     level->devs[i]->n_threads, (double)image[at], level->devs[0]->n_threads,
                     (double)first[at], at);
            fail(t, level->name, what);
        }
    }
    free(image);
}

static void run_level(struct trial *t, int i_level, record_fn record, const void *params,
                      const float *expected)
{
    const struct level *level = &t->s->levels[i_level];
    struct progress *progress = t->s->progress;
    struct oll_error err = {0};
    char why[400] = "";
    snprintf(progress->level, sizeof progress->level, "%s", level->name);
    if (!is_supported(t, level->devs[0]))
        return;
    progress->n_compared++;
    float *image = malloc(t->n_image * sizeof *image);
    if (run_once(t, level->devs[0], record, params, image, &err) != OLL_OK)
        fail(t, level->name, oll_error_text(&err));
    else if ((expected && !trial_compare(t, i_level, expected, image, why, sizeof why)) ||
             !check_equal(t, image, why, sizeof why) ||
             (t->inspect && !t->inspect(t, image, params, why, sizeof why)))
        fail(t, level->name, why);
    else if (t->has_threads)
        check_threads(t, level, record, params, image);
    free(image);
    if (t->s->is_bench && t->is_bench)
        trial_bench(t, level, record, params);
}

static void trial_free(struct trial *t)
{
    for (int i = 0; i < t->n_operand; i++)
        free(t->operands[i].abs_each);
    for (int i = 0; i < t->n_weight; i++)
        munmap(t->weights[i].map, t->weights[i].n_map_bytes);
    free(t->image);
}

void trial_run(struct trial *t, record_fn record, const void *params)
{
    struct oll_error err = {0};
    float *expected = NULL;
    snprintf(t->s->progress->level, sizeof t->s->progress->level, "ref");
    if (!t->is_unchecked) {
        expected = malloc(t->n_image * sizeof *expected);
        if (run_once(t, t->s->ref, record, params, expected, &err) != OLL_OK) {
            fail(t, "ref", oll_error_text(&err));
            goto done;
        }
    }
    t->s->progress->n_trial++;
    for (int i = 0; i < t->s->n_level; i++)
        run_level(t, i, record, params, expected);
done:
    free(expected);
    trial_free(t);
}
