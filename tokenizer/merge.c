#include "tokenizer/merge.h"

#include "engine/base/mem.h"

enum { RECENT_BITS = 11, RECENT = 1 << RECENT_BITS, MAX_SYMBOLS = 1 << 30 };

oll_status merge_reserve(struct merge_work *work, size_t n)
{
    if (n + 1 <= work->cap)
        return OLL_OK;
    if (n > MAX_SYMBOLS)
        return OLL_ERR_MEMORY;
    size_t cap = n + n / 4 + 64;
    struct merge_symbol *symbols = oll_realloc(work->symbols, cap, sizeof *symbols);
    if (!symbols)
        return OLL_ERR_MEMORY;
    work->symbols = symbols;
    struct merge_link *links = oll_realloc(work->links, cap, sizeof *links);
    if (!links)
        return OLL_ERR_MEMORY;
    work->links = links;
    if (!work->recent && !(work->recent = oll_alloc(RECENT, sizeof *work->recent)))
        return OLL_ERR_MEMORY;
    work->cap = cap;
    return OLL_OK;
}

void merge_work_free(struct merge_work *work)
{
    oll_free(work->symbols);
    oll_free(work->links);
    oll_free(work->nodes);
    oll_free(work->runs);
    oll_free(work->heap);
    oll_free(work->recent);
    *work = (struct merge_work){0};
}

/* ---- queue ---- */

static uint64_t entry_key(uint32_t prio, uint32_t pos) { return (uint64_t)prio << 32 | pos; }

static uint32_t new_node(struct merge_work *work, uint32_t pos)
{
    uint32_t node = work->free_node;
    if (node != MERGE_NONE) {
        work->free_node = work->nodes[node].next;
    } else {
        if (work->n_nodes == work->cap_nodes) {
            uint32_t cap = work->cap_nodes ? work->cap_nodes * 2 : 256;
            struct merge_node *nodes = oll_realloc(work->nodes, cap, sizeof *nodes);
            if (!nodes) {
                work->status = OLL_ERR_MEMORY;
                return MERGE_NONE;
            }
            work->nodes = nodes;
            work->cap_nodes = cap;
        }
        node = work->n_nodes++;
    }
    work->nodes[node] = (struct merge_node){pos, MERGE_NONE};
    return node;
}

static void sift_up(struct merge_entry *heap, uint32_t i)
{
    struct merge_entry entry = heap[i];
    for (; i > 0 && heap[(i - 1) / 2].key > entry.key; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = entry;
}

static void sift_down(struct merge_entry *heap, uint32_t n)
{
    struct merge_entry entry = heap[0];
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1].key < heap[child].key)
            child++;
        if (heap[child].key >= entry.key)
            break;
        heap[i] = heap[child];
    }
    heap[i] = entry;
}

/* A run of its own for the node; returns its number. */
static uint32_t new_run(struct merge_work *work, uint32_t prio, uint32_t pos, uint32_t node)
{
    uint32_t run = work->free_run;
    if (run != MERGE_NONE) {
        work->free_run = work->runs[run].tail;
    } else {
        if (work->n_runs == work->cap_runs) {
            uint32_t cap = work->cap_runs ? work->cap_runs * 2 : 256;
            struct merge_run *runs = oll_realloc(work->runs, cap, sizeof *runs);
            work->runs = runs ? runs : work->runs;
            struct merge_entry *heap = oll_realloc(work->heap, cap, sizeof *heap);
            work->heap = heap ? heap : work->heap;
            if (!runs || !heap) {
                work->status = OLL_ERR_MEMORY;
                return 0;
            }
            work->cap_runs = cap;
        }
        run = work->n_runs++;
    }
    work->runs[run] = (struct merge_run){prio, node, node};
    work->heap[work->n_heap] = (struct merge_entry){entry_key(prio, pos), run};
    sift_up(work->heap, work->n_heap++);
    return run;
}

static void push(struct merge_work *work, uint32_t prio, uint32_t pos)
{
    uint32_t node = new_node(work, pos);
    uint32_t *last = &work->recent[prio * UINT32_C(0x9E3779B1) >> (32 - RECENT_BITS)];
    if (work->status != OLL_OK)
        return;
    if (*last < work->n_runs) {
        /* The number may have been given to another run since, which is as good if it fits. */
        struct merge_run *run = &work->runs[*last];
        if (run->prio == prio && run->head != MERGE_NONE && work->nodes[run->tail].pos < pos) {
            work->nodes[run->tail].next = node;
            run->tail = node;
            return;
        }
    }
    *last = new_run(work, prio, pos, node);
}

/* Takes the best pair: its position; *prio gets its priority when it was put in. */
static uint32_t pop(struct merge_work *work, uint32_t *prio)
{
    uint32_t i_run = work->heap[0].run;
    struct merge_run *run = &work->runs[i_run];
    uint32_t node = run->head, pos = work->nodes[node].pos;
    *prio = run->prio;
    run->head = work->nodes[node].next;
    work->nodes[node].next = work->free_node;
    work->free_node = node;
    if (run->head != MERGE_NONE) {
        work->heap[0].key = entry_key(run->prio, work->nodes[run->head].pos);
    } else {
        run->tail = work->free_run;
        work->free_run = i_run;
        work->heap[0] = work->heap[--work->n_heap];
    }
    if (work->n_heap > 1)
        sift_down(work->heap, work->n_heap);
    return pos;
}

/* ---- merging ---- */

static void update_pair(struct merge_work *work, uint32_t i, merge_pair pair, const void *model,
                        const char *text)
{
    struct merge_symbol *s = work->symbols;
    uint32_t right = work->links[i].next;
    s[i].prio = MERGE_NONE;
    if (right == work->n_symbols)
        return;
    uint32_t end = s[work->links[right].next].begin;
    s[i].prio = pair(model, text, s[i].id, s[right].id, s[i].begin, end, &s[i].merged);
    if (s[i].prio != MERGE_NONE)
        push(work, s[i].prio, i);
}

oll_status merge_long(struct merge_work *work, size_t n, merge_pair pair, const void *model,
                      const char *text)
{
    uint32_t prio;
    struct merge_symbol *s = work->symbols;
    struct merge_link *links = work->links;
    memset(work->recent, 0xFF, RECENT * sizeof *work->recent);
    work->n_symbols = n;
    work->n_nodes = work->n_runs = work->n_heap = 0;
    work->free_node = work->free_run = MERGE_NONE;
    work->status = OLL_OK;
    for (uint32_t i = 0; i <= n; i++)
        links[i] = (struct merge_link){i - 1, i + 1};
    for (uint32_t i = 0; i + 1 < n; i++)
        if (s[i].prio != MERGE_NONE)
            push(work, s[i].prio, i);
    while (work->n_heap > 0 && work->status == OLL_OK) {
        uint32_t i = pop(work, &prio);
        if (s[i].prio != prio)
            continue; /* the pair is gone */
        uint32_t right = links[i].next, behind = links[right].next;
        s[i].id = s[i].merged;
        s[right].prio = MERGE_NONE;
        links[i].next = behind;
        links[behind].prev = i;
        /* From left to right, so that new pairs continue runs. */
        if (i > 0)
            update_pair(work, links[i].prev, pair, model, text);
        update_pair(work, i, pair, model, text);
    }
    size_t kept = 0;
    for (uint32_t i = 0; i < n; i = links[i].next)
        s[kept++] = s[i];
    s[kept].begin = s[n].begin;
    work->n_symbols = kept;
    return work->status;
}
