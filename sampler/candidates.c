#include "sampler/candidates.h"

#include <math.h>
#include <stdlib.h>

/* Best first: larger logit, then lower id. A total order, so every sort gives the same result. */
static bool better(struct candidate a, struct candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static int compare(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return better(*x, *y) ? -1 : better(*y, *x) ? 1 : 0;
}

void candidates_sort(struct candidates *c)
{
    if (!c->sorted)
        qsort(c->v, c->n, sizeof *c->v, compare);
    c->sorted = true;
}

/* Heap with the worst candidate on top, so that a newcomer is compared with it alone. */
static void sift_down(struct candidate *heap, uint32_t n, uint32_t i)
{
    struct candidate moving = heap[i];
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && better(heap[child], heap[child + 1]))
            child++;
        if (!better(moving, heap[child]))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moving;
}

enum { SCAN_BLOCK = 64 };

/* Whether any of SCAN_BLOCK logits exceeds the threshold: no branch inside, so that it becomes
 * vector compares. */
static bool block_exceeds(const float *logits, float threshold)
{
    int hit = 0;
    for (int i = 0; i < SCAN_BLOCK; i++)
        hit |= logits[i] > threshold;
    return hit != 0;
}

/* Puts one into the heap of the best k, which is ordered once it is full. Returns the logit that a
 * further one must exceed. */
static float heap_take(struct candidates *c, uint32_t k, struct candidate fresh)
{
    if (c->n < k) {
        c->v[c->n++] = fresh;
        if (c->n < k)
            return -INFINITY;
        for (uint32_t j = k / 2; j-- > 0;)
            sift_down(c->v, k, j);
    } else {
        c->v[0] = fresh;
        sift_down(c->v, k, 0);
    }
    return c->v[0].logit;
}

void candidates_top_k(struct candidates *c, const float *logits, uint32_t n, uint32_t k)
{
    uint32_t i = 0;
    float threshold = -INFINITY;
    c->n = 0;
    while (i < n) {
        if (c->n == k && i + SCAN_BLOCK <= n && !block_exceeds(logits + i, threshold)) {
            i += SCAN_BLOCK;
            continue;
        }
        uint32_t end = i + SCAN_BLOCK < n ? i + SCAN_BLOCK : n;
        for (; i < end; i++)
            if (logits[i] > threshold)
                threshold = heap_take(c, k, (struct candidate){logits[i], (int32_t)i});
    }
    c->sorted = false;
    candidates_sort(c);
}

void candidates_all(struct candidates *c, const float *logits, uint32_t n)
{
    c->n = 0;
    c->sorted = false;
    for (uint32_t i = 0; i < n; i++)
        if (logits[i] > -INFINITY)
            c->v[c->n++] = (struct candidate){logits[i], (int32_t)i};
}

static float largest(const float *logits, uint32_t n)
{
    float max = -INFINITY;
    for (uint32_t i = 0; i < n; i++)
        max = logits[i] > max ? logits[i] : max;
    return max;
}

void candidates_nucleus(struct candidates *c, const float *logits, uint32_t n, float top_p)
{
    float max = largest(logits, n);
    double total = 0;
    for (uint32_t i = 0; i < n; i++)
        if (logits[i] > -INFINITY)
            total += (double)expf(logits[i] - max);
    /* Tokens far below the best rarely belong to the nucleus: take those within a margin, widen it
     * when their share is too small. The last margin takes all. */
    for (float margin = 8;; margin *= 4) {
        double sum = 0;
        bool all = margin > 1000;
        c->n = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (!(logits[i] > -INFINITY) || (!all && logits[i] < max - margin))
                continue;
            c->v[c->n++] = (struct candidate){logits[i], (int32_t)i};
            sum += (double)expf(logits[i] - max);
        }
        if (all || sum >= (double)top_p * total)
            break;
    }
    c->sorted = false;
    candidates_sort(c);
    /* Cut here, where the total of the whole vocabulary is known. */
    double cumulative = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        cumulative += (double)expf(c->v[i].logit - max);
        if (cumulative >= (double)top_p * total) {
            c->n = i + 1;
            break;
        }
    }
}

/* p[i] = softmax of the candidates' logits over the temperature. */
static void softmax(struct candidates *c, float temperature)
{
    float max = -INFINITY;
    double sum = 0;
    for (uint32_t i = 0; i < c->n; i++)
        max = c->v[i].logit > max ? c->v[i].logit : max;
    for (uint32_t i = 0; i < c->n; i++) {
        c->p[i] = expf((c->v[i].logit - max) / temperature);
        sum += (double)c->p[i];
    }
    for (uint32_t i = 0; i < c->n; i++)
        c->p[i] = (float)((double)c->p[i] / sum);
}

/* Orders by the score that stands in the logit field meanwhile: ascending, ties by id. */
static int compare_score(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit < y->logit ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

void candidates_typical_p(struct candidates *c, float typical_p)
{
    if (typical_p >= 1 || c->n <= 1)
        return;
    softmax(c, 1);
    double entropy = 0;
    for (uint32_t i = 0; i < c->n; i++)
        if (c->p[i] > 0)
            entropy -= (double)c->p[i] * log((double)c->p[i]);
    /* (score, index) pairs, sorted; the first ones that hold the share are copied back. */
    double cumulative = 0;
    struct candidate *scored = c->v + c->n; /* the buffer has room for twice the vocabulary */
    for (uint32_t i = 0; i < c->n; i++) {
        double surprise = c->p[i] > 0 ? -log((double)c->p[i]) : INFINITY;
        scored[i] = (struct candidate){(float)fabs(surprise - entropy), (int32_t)i};
    }
    qsort(scored, c->n, sizeof *scored, compare_score);
    uint32_t kept = 0;
    for (; kept < c->n; kept++) {
        cumulative += (double)c->p[scored[kept].id];
        if (cumulative > (double)typical_p) {
            kept++;
            break;
        }
    }
    for (uint32_t i = 0; i < kept; i++)
        scored[i] = c->v[scored[i].id];
    for (uint32_t i = 0; i < kept; i++)
        c->v[i] = scored[i];
    c->n = kept;
    c->sorted = false;
}

void candidates_top_p(struct candidates *c, float top_p)
{
    if (top_p >= 1 || c->n <= 1)
        return;
    candidates_sort(c);
    softmax(c, 1);
    double cumulative = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        cumulative += (double)c->p[i];
        if (cumulative >= (double)top_p) {
            c->n = i + 1;
            return;
        }
    }
}

void candidates_min_p(struct candidates *c, float min_p)
{
    if (min_p <= 0 || c->n <= 1)
        return;
    float max = -INFINITY;
    for (uint32_t i = 0; i < c->n; i++)
        max = c->v[i].logit > max ? c->v[i].logit : max;
    float floor_logit = max + logf(min_p < 1 ? min_p : 1);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->n; i++)
        if (c->v[i].logit >= floor_logit)
            c->v[kept++] = c->v[i];
    c->n = kept;
}

int32_t candidates_draw(struct candidates *c, float temperature, double u)
{
    double cumulative = 0;
    softmax(c, temperature);
    for (uint32_t i = 0; i < c->n; i++) {
        cumulative += (double)c->p[i];
        if (u < cumulative)
            return c->v[i].id;
    }
    /* The rounded sum stayed below u: the last token with any probability. */
    for (uint32_t i = c->n; i-- > 0;)
        if (c->p[i] > 0)
            return c->v[i].id;
    return c->v[0].id;
}
