#include "sampler/regex_dfa.h"

#include "engine/base/utf8.h"
#include "sampler/grow.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_INTERVALS = 1 << 20, MAX_CLASSES = 60000, MAX_CELLS = 1 << 26, FIRST_TABLE = 64 };

static uint32_t fail(struct regex_dfa *dfa, oll_status status)
{
    if (dfa->pool->status == OLL_OK)
        dfa->pool->status = status;
    return REGEX_DFA_DEAD;
}

/* ---- classes ---- */

struct bounds {
    uint32_t *v, n, cap;
    uint32_t *sets, n_sets, cap_sets; /* SET and MULT terms under the root */
    bool failed;
};

static void add_bound(struct bounds *b, uint32_t cp)
{
    if (grow_array((void **)&b->v, &b->cap, (uint64_t)b->n + 1, MAX_INTERVALS, sizeof *b->v))
        b->v[b->n++] = cp;
    else
        b->failed = true;
}

static void push(struct regex_pool *pool, uint32_t id, uint32_t **stack, uint32_t *n, uint32_t *cap,
                 struct bounds *b)
{
    if (pool->nodes[id].mark == pool->mark)
        return;
    pool->nodes[id].mark = pool->mark;
    if (grow_array((void **)stack, cap, *n + 1ull, REGEX_MAX_NODES, sizeof **stack))
        (*stack)[(*n)++] = id;
    else
        b->failed = true;
}

static void add_set(const struct regex_pool *pool, uint32_t id, struct bounds *b)
{
    const struct regex_node *node = &pool->nodes[id];
    if (!grow_array((void **)&b->sets, &b->cap_sets, (uint64_t)b->n_sets + 1, REGEX_MAX_NODES,
                    sizeof *b->sets)) {
        b->failed = true;
        return;
    }
    b->sets[b->n_sets++] = id;
    for (uint32_t i = 0; node->kind == REGEX_K_SET && i < node->b; i++) {
        add_bound(b, pool->ranges[node->a + i].lo);
        add_bound(b, pool->ranges[node->a + i].hi + 1);
    }
    for (uint32_t c = '-'; node->kind == REGEX_K_MULT && c <= '9' + 1; c++)
        add_bound(b, c);
}

/* Every set under the root, once, and where its ranges begin and end. */
static void collect(struct regex_pool *pool, uint32_t root, struct bounds *b)
{
    uint32_t *stack = NULL, n = 0, cap = 0, n_seen = 0;
    pool->mark++;
    push(pool, root, &stack, &n, &cap, b);
    for (; n > 0 && !b->failed; n_seen++) {
        uint32_t id = stack[--n];
        const struct regex_node *node = &pool->nodes[id];
        bool is_list = node->kind == REGEX_K_ALT || node->kind == REGEX_K_AND;
        if (node->kind == REGEX_K_CAT || node->kind == REGEX_K_NOT || node->kind == REGEX_K_REP)
            push(pool, node->a, &stack, &n, &cap, b);
        if (node->kind == REGEX_K_CAT)
            push(pool, node->b, &stack, &n, &cap, b);
        for (uint32_t i = 0; is_list && i < node->b; i++)
            push(pool, pool->kids[node->a + i], &stack, &n, &cap, b);
        if (node->kind == REGEX_K_SET || node->kind == REGEX_K_MULT)
            add_set(pool, id, b);
    }
    pool->fuel = pool->fuel > n_seen ? pool->fuel - n_seen : 0;
    oll_free(stack);
}

static int compare_u32(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return a < b ? -1 : a > b;
}

static uint32_t interval_of(const uint32_t *starts, uint32_t n, uint32_t cp)
{
    uint32_t lo = 0, hi = n;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        *(starts[mid] <= cp ? &lo : &hi) = mid;
    }
    return lo;
}

/* Marks the intervals of each set, so that those in the same sets have the same mark. */
static void sign_intervals(struct regex_dfa *dfa, const struct bounds *b, uint64_t *marks)
{
    const struct regex_pool *pool = dfa->pool;
    for (uint32_t s = 0; s < b->n_sets; s++) {
        const struct regex_node *node = &pool->nodes[b->sets[s]];
        for (uint32_t r = 0; node->kind == REGEX_K_SET && r < node->b; r++) {
            struct regex_range range = pool->ranges[node->a + r];
            uint32_t i = interval_of(dfa->starts, dfa->n_interval, range.lo);
            for (; i < dfa->n_interval && dfa->starts[i] <= range.hi; i++)
                marks[i] ^= grow_mix(b->sets[s] + 1);
        }
        for (uint32_t c = '-'; node->kind == REGEX_K_MULT && c <= '9'; c++)
            marks[interval_of(dfa->starts, dfa->n_interval, c)] ^=
                grow_mix((uint64_t)c << 40 | (b->sets[s] + 1));
    }
    for (uint32_t i = 0; i < dfa->n_interval; i++)
        if (dfa->starts[i] >= 0xD800 && dfa->starts[i] < 0xE000)
            marks[i] = UINT64_MAX;
}

/* Numbers the distinct marks. Class 0 is kept for surrogates, which no text holds. */
static bool number_classes(struct regex_dfa *dfa, const uint64_t *marks)
{
    uint32_t mask = 63;
    while (mask < 2 * dfa->n_interval)
        mask = 2 * mask + 1;
    uint32_t *slots = oll_calloc((size_t)mask + 1, sizeof *slots);
    dfa->n_class = 1;
    for (uint32_t i = 0; slots && i < dfa->n_interval; i++) {
        if (marks[i] == UINT64_MAX)
            continue;
        uint32_t at = (uint32_t)grow_mix(marks[i]) & mask;
        while (slots[at] && marks[slots[at] - 1] != marks[i])
            at = (at + 1) & mask;
        if (!slots[at]) {
            slots[at] = i + 1;
            if (dfa->n_class >= MAX_CLASSES)
                break;
            dfa->samples[dfa->n_class] = dfa->starts[i];
            dfa->classes[i] = (uint16_t)dfa->n_class++;
        } else {
            dfa->classes[i] = dfa->classes[slots[at] - 1];
        }
    }
    bool ok = slots && dfa->n_class < MAX_CLASSES;
    oll_free(slots);
    return ok;
}

static oll_status make_classes(struct regex_dfa *dfa, uint32_t root)
{
    struct bounds b = {0};
    if (dfa->pool->fuel == 0)
        return OLL_ERR_LIMIT;
    collect(dfa->pool, root, &b);
    const uint32_t fixed[] = {0, 0xD800, 0xE000};
    for (int i = 0; i < 3; i++)
        add_bound(&b, fixed[i]);
    uint64_t *marks = NULL;
    oll_status status = b.failed ? OLL_ERR_MEMORY : OLL_OK;
    if (status == OLL_OK) {
        qsort(b.v, b.n, sizeof *b.v, compare_u32);
        uint32_t n = 0;
        for (uint32_t i = 0; i < b.n; i++)
            if (b.v[i] <= REGEX_MAX_CP && (n == 0 || b.v[i] != b.v[n - 1]))
                b.v[n++] = b.v[i];
        dfa->starts = b.v;
        b.v = NULL;
        dfa->n_interval = n;
        dfa->classes = oll_calloc(n, sizeof *dfa->classes);
        dfa->samples = oll_calloc((size_t)n + 1, sizeof *dfa->samples);
        marks = oll_calloc(n, sizeof *marks);
        if (!dfa->classes || !dfa->samples || !marks)
            status = OLL_ERR_MEMORY;
    }
    if (status == OLL_OK) {
        sign_intervals(dfa, &b, marks);
        status = number_classes(dfa, marks) ? OLL_OK : OLL_ERR_LIMIT;
    }
    for (uint32_t c = 0; status == OLL_OK && c < 128; c++)
        dfa->ascii[c] = dfa->classes[interval_of(dfa->starts, dfa->n_interval, c)];
    oll_free(marks);
    oll_free(b.v);
    oll_free(b.sets);
    return status;
}

static inline uint32_t class_of(const struct regex_dfa *dfa, uint32_t cp)
{
    return cp < 128 ? dfa->ascii[cp] : dfa->classes[interval_of(dfa->starts, dfa->n_interval, cp)];
}

/* ---- states ---- */

static bool grow_table(struct regex_dfa *dfa)
{
    uint32_t mask = dfa->table ? 2 * dfa->table_mask + 1 : FIRST_TABLE - 1;
    uint32_t *table = oll_calloc((size_t)mask + 1, sizeof *table);
    if (!table)
        return false;
    oll_free(dfa->table);
    dfa->table = table;
    dfa->table_mask = mask;
    for (uint32_t s = 1; s < dfa->n_state; s++) {
        uint32_t at = (uint32_t)grow_mix(dfa->states[s].regex) & mask;
        while (table[at])
            at = (at + 1) & mask;
        table[at] = s;
    }
    return true;
}

static uint32_t state_of(struct regex_dfa *dfa, uint32_t regex)
{
    if (regex == REGEX_NONE)
        return REGEX_DFA_DEAD;
    uint32_t at = (uint32_t)grow_mix(regex) & dfa->table_mask;
    for (; dfa->table[at]; at = (at + 1) & dfa->table_mask)
        if (dfa->states[dfa->table[at]].regex == regex)
            return dfa->table[at];
    uint64_t n = (uint64_t)dfa->n_state + 1;
    if (n > REGEX_DFA_MAX_STATES || n * dfa->n_class > MAX_CELLS)
        return fail(dfa, OLL_ERR_LIMIT);
    if (!grow_array((void **)&dfa->states, &dfa->cap_state, n, REGEX_DFA_MAX_STATES,
                    sizeof *dfa->states) ||
        !grow_array((void **)&dfa->next, &dfa->cap_next, n * dfa->n_class, MAX_CELLS,
                    sizeof *dfa->next))
        return fail(dfa, OLL_ERR_MEMORY);
    const struct regex_node *node = &dfa->pool->nodes[regex];
    dfa->states[dfa->n_state] = (struct regex_dfa_state){
        .regex = regex, .accepts = node->nullable, .alive = node->plain || node->nullable};
    memset(dfa->next + (size_t)dfa->n_state * dfa->n_class, 0xFF, dfa->n_class * sizeof *dfa->next);
    dfa->table[at] = dfa->n_state++;
    if (2 * dfa->n_state > dfa->table_mask && !grow_table(dfa)) {
        dfa->n_state--; /* the slot names a state that is not there: nothing may be looked up */
        dfa->table[at] = 0;
        return fail(dfa, OLL_ERR_MEMORY);
    }
    return dfa->n_state - 1;
}

oll_status regex_dfa_init(struct regex_dfa *dfa, struct regex_pool *pool, uint32_t root)
{
    *dfa = (struct regex_dfa){.pool = pool};
    if (pool->status != OLL_OK)
        return pool->status;
    oll_status status = make_classes(dfa, root);
    if (status == OLL_OK && !grow_table(dfa))
        status = OLL_ERR_MEMORY;
    if (status == OLL_OK &&
        grow_array((void **)&dfa->states, &dfa->cap_state, 8, REGEX_DFA_MAX_STATES,
                   sizeof *dfa->states) &&
        grow_array((void **)&dfa->next, &dfa->cap_next, 8ull * dfa->n_class, MAX_CELLS,
                   sizeof *dfa->next)) {
        dfa->states[0] = (struct regex_dfa_state){.alive = 2, .has_bytes = true};
        memset(dfa->next, 0, dfa->n_class * sizeof *dfa->next);
        dfa->n_state = 1;
        if (root == REGEX_NONE) /* the start is a second dead state */
            dfa->states[dfa->n_state++] = dfa->states[0],
            memset(dfa->next + dfa->n_class, 0, dfa->n_class * sizeof *dfa->next);
        else
            state_of(dfa, root);
        status = pool->status;
    } else if (status == OLL_OK) {
        status = OLL_ERR_MEMORY;
    }
    if (status != OLL_OK)
        regex_dfa_free(dfa);
    return status;
}

void regex_dfa_free(struct regex_dfa *dfa)
{
    oll_free(dfa->starts);
    oll_free(dfa->classes);
    oll_free(dfa->samples);
    oll_free(dfa->states);
    oll_free(dfa->next);
    oll_free(dfa->table);
    *dfa = (struct regex_dfa){0};
}

static uint32_t successor(struct regex_dfa *dfa, uint32_t state, uint32_t class)
{
    uint32_t *cell = &dfa->next[(size_t)state * dfa->n_class + class];
    if (*cell != REGEX_INF)
        return *cell;
    if (class == 0 || dfa->pool->status != OLL_OK)
        return REGEX_DFA_DEAD;
    uint32_t to =
        state_of(dfa, regex_derive(dfa->pool, dfa->states[state].regex, dfa->samples[class]));
    if (dfa->pool->status == OLL_OK)
        dfa->next[(size_t)state * dfa->n_class + class] = to; /* `cell` may have moved */
    return to;
}

/* Depth first, since a way to the end is usually straight. */
bool regex_dfa_alive(struct regex_dfa *dfa, uint32_t state)
{
    if (dfa->states[state].alive)
        return dfa->states[state].alive == 1;
    uint32_t *seen = NULL, cap = 0, n_seen = 0, found = REGEX_INF;
    uint32_t stamp = ++dfa->stamp, *stack = NULL, cap_stack = 0, n_stack = 0;
    if (!grow_array((void **)&seen, &cap, 1, REGEX_DFA_MAX_SEARCH, sizeof *seen) ||
        !grow_array((void **)&stack, &cap_stack, 1, REGEX_DFA_MAX_SEARCH, sizeof *stack))
        fail(dfa, OLL_ERR_MEMORY);
    else
        stack[n_stack++] = seen[n_seen++] = state;
    dfa->states[state].stamp = stamp;
    dfa->states[state].parent = REGEX_INF;
    while (n_stack > 0 && found == REGEX_INF && dfa->pool->status == OLL_OK) {
        uint32_t from = stack[--n_stack];
        for (uint32_t c = 1; c < dfa->n_class && found == REGEX_INF; c++) {
            uint32_t to = successor(dfa, from, c);
            if (dfa->states[to].stamp == stamp || dfa->states[to].alive == 2)
                continue;
            dfa->states[to].stamp = stamp;
            dfa->states[to].parent = from;
            if (dfa->states[to].alive == 1)
                found = to;
            else if (grow_array((void **)&seen, &cap, n_seen + 1ull, REGEX_DFA_MAX_SEARCH,
                                sizeof *seen) &&
                     grow_array((void **)&stack, &cap_stack, n_stack + 1ull, REGEX_DFA_MAX_SEARCH,
                                sizeof *stack))
                stack[n_stack++] = seen[n_seen++] = to;
            else
                fail(dfa, OLL_ERR_LIMIT);
        }
    }
    for (uint32_t s = found; s != REGEX_INF; s = dfa->states[s].parent)
        dfa->states[s].alive = 1;
    for (uint32_t i = 0; found == REGEX_INF && dfa->pool->status == OLL_OK && i < n_seen; i++)
        dfa->states[seen[i]].alive = 2;
    oll_free(seen);
    oll_free(stack);
    return found != REGEX_INF;
}

uint32_t regex_dfa_next(struct regex_dfa *dfa, uint32_t state, uint32_t cp)
{
    uint32_t to = successor(dfa, state, class_of(dfa, cp));
    return to != REGEX_DFA_DEAD && regex_dfa_alive(dfa, to) ? to : REGEX_DFA_DEAD;
}

bool regex_dfa_any(struct regex_dfa *dfa, uint32_t state, uint32_t lo, uint32_t hi)
{
    uint32_t last = REGEX_INF;
    for (uint32_t i = interval_of(dfa->starts, dfa->n_interval, lo);
         i < dfa->n_interval && dfa->starts[i] <= hi; i++) {
        uint32_t c = dfa->classes[i];
        if (c == last)
            continue;
        last = c;
        uint32_t to = successor(dfa, state, c);
        if (to != REGEX_DFA_DEAD && regex_dfa_alive(dfa, to))
            return true;
    }
    return false;
}

bool regex_dfa_same(const struct regex_dfa *dfa, uint32_t lo, uint32_t hi)
{
    return interval_of(dfa->starts, dfa->n_interval, lo) ==
           interval_of(dfa->starts, dfa->n_interval, hi);
}

/* The leading byte of each character of the interval [lo, hi]. */
static void add_leads(uint64_t bytes[4], uint32_t lo, uint32_t hi)
{
    char buf[4];
    oll_utf8_encode(lo, buf);
    uint32_t first = (unsigned char)buf[0];
    oll_utf8_encode(hi, buf);
    for (uint32_t b = first; b <= (unsigned char)buf[0]; b++)
        if (b < 0x80 || b >= 0xC2)
            bytes[b >> 6] |= UINT64_C(1) << (b & 63);
}

const uint64_t *regex_dfa_bytes(struct regex_dfa *dfa, uint32_t state)
{
    if (dfa->states[state].has_bytes)
        return dfa->states[state].bytes;
    uint64_t bytes[4] = {0};
    for (uint32_t i = 0; i < dfa->n_interval; i++) {
        uint32_t hi = i + 1 < dfa->n_interval ? dfa->starts[i + 1] - 1 : REGEX_MAX_CP;
        uint32_t to = successor(dfa, state, dfa->classes[i]);
        if (to != REGEX_DFA_DEAD && regex_dfa_alive(dfa, to))
            add_leads(bytes, dfa->starts[i], hi);
    }
    memcpy(dfa->states[state].bytes, bytes, sizeof bytes);
    dfa->states[state].has_bytes = true;
    return dfa->states[state].bytes;
}

/* The only text of a term, walked through another one; false when the term has more than one. */
static bool walk_literal(struct regex_pool *pool, uint32_t literal, uint32_t *other)
{
    for (bool more = true; more && *other != REGEX_NONE;) {
        const struct regex_node *node = &pool->nodes[literal];
        more = node->kind == REGEX_K_CAT;
        const struct regex_node *set = more ? &pool->nodes[node->a] : node;
        if (set->kind != REGEX_K_SET || set->b != 1 ||
            pool->ranges[set->a].lo != pool->ranges[set->a].hi)
            return false;
        literal = node->b;
        *other = regex_derive(pool, *other, pool->ranges[set->a].lo);
    }
    return true;
}

/* Whether a conjunction has a part with a single text, as those of constants do; then *empty. */
static bool literal_decides(struct regex_pool *pool, uint32_t id, bool *empty)
{
    const struct regex_node node = pool->nodes[id];
    for (uint32_t i = 0; node.kind == REGEX_K_AND && i < node.b; i++) {
        uint32_t other = id;
        if (walk_literal(pool, pool->kids[node.a + i], &other)) {
            *empty = !regex_nullable(pool, other);
            return true;
        }
    }
    return false;
}

bool regex_is_empty(struct regex_pool *pool, uint32_t id)
{
    bool empty;
    struct regex_dfa dfa;
    const struct regex_node *node = &pool->nodes[id];
    if (id == REGEX_NONE || node->plain || node->nullable)
        return id == REGEX_NONE;
    if (node->empty)
        return node->empty == 2;
    if (literal_decides(pool, id, &empty)) {
        pool->nodes[id].empty = empty ? 2 : 1;
        return empty || pool->status != OLL_OK;
    }
    oll_status status = regex_dfa_init(&dfa, pool, id);
    if (status != OLL_OK) {
        if (pool->status == OLL_OK)
            pool->status = status;
        return true;
    }
    bool alive = regex_dfa_alive(&dfa, REGEX_DFA_START);
    regex_dfa_free(&dfa);
    if (pool->status == OLL_OK)
        pool->nodes[id].empty = alive ? 1 : 2;
    return !alive;
}
