#include "sampler/regex.h"

#include "engine/base/utf8.h"
#include "sampler/grow.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_TABLE = 1024, MULT_WHOLE = 0xFF, MULT_START = 0x100, MAX_KIDS = 1 << 22 };

/* ---- pool ---- */

static uint32_t fail(struct regex_pool *pool, oll_status status)
{
    if (pool->status == OLL_OK)
        pool->status = status;
    return REGEX_NONE;
}

static uint64_t hash_node(const struct regex_pool *pool, const struct regex_node *n)
{
    uint64_t h = grow_mix((uint64_t)n->kind << 32 | n->c);
    if (n->kind == REGEX_K_ALT || n->kind == REGEX_K_AND) {
        for (uint32_t i = 0; i < n->b; i++)
            h = grow_mix(h ^ pool->kids[n->a + i]);
        return h;
    }
    if (n->kind == REGEX_K_SET) {
        for (uint32_t i = 0; i < n->b; i++)
            h = grow_mix(h ^
                         ((uint64_t)pool->ranges[n->a + i].lo << 32 | pool->ranges[n->a + i].hi));
        return h;
    }
    return grow_mix(h ^ ((uint64_t)n->a << 32 | n->b));
}

static bool same_node(const struct regex_pool *pool, const struct regex_node *x,
                      const struct regex_node *y)
{
    if (x->kind != y->kind || x->b != y->b || x->c != y->c)
        return false;
    if (x->kind == REGEX_K_ALT || x->kind == REGEX_K_AND)
        return memcmp(pool->kids + x->a, pool->kids + y->a, x->b * sizeof *pool->kids) == 0;
    if (x->kind == REGEX_K_SET)
        return memcmp(pool->ranges + x->a, pool->ranges + y->a, x->b * sizeof *pool->ranges) == 0;
    return x->a == y->a;
}

static bool grow_table(struct regex_pool *pool)
{
    uint32_t mask = pool->table ? 2 * pool->table_mask + 1 : FIRST_TABLE - 1;
    uint32_t *table = oll_calloc((size_t)mask + 1, sizeof *table);
    if (!table)
        return false;
    oll_free(pool->table);
    pool->table = table;
    pool->table_mask = mask;
    for (uint32_t i = 1; i < pool->n_nodes; i++) {
        uint32_t *head = &table[hash_node(pool, &pool->nodes[i]) & mask];
        pool->nodes[i].chain = *head;
        *head = i;
    }
    return true;
}

/* Plain, nullable and finite follow from the parts. */
static void describe(struct regex_pool *pool, struct regex_node *n)
{
    const struct regex_node *nodes = pool->nodes;
    bool all_nullable = true, any_nullable = false, all_plain = true, all_finite = true;
    bool any_finite = false;
    bool is_list = n->kind == REGEX_K_ALT || n->kind == REGEX_K_AND;
    for (uint32_t i = 0; is_list && i < n->b; i++) {
        const struct regex_node *kid = &nodes[pool->kids[n->a + i]];
        all_nullable = all_nullable && kid->nullable;
        any_nullable = any_nullable || kid->nullable;
        all_plain = all_plain && kid->plain;
        all_finite = all_finite && kid->finite;
        any_finite = any_finite || kid->finite;
    }
    switch ((enum regex_kind)n->kind) {
    case REGEX_K_NONE:
    case REGEX_K_SET: n->plain = n->finite = true; break;
    case REGEX_K_EPS: n->nullable = n->plain = n->finite = true; break;
    case REGEX_K_CAT:
        n->nullable = nodes[n->a].nullable && nodes[n->b].nullable;
        n->plain = nodes[n->a].plain && nodes[n->b].plain;
        n->finite = nodes[n->a].finite && nodes[n->b].finite;
        break;
    case REGEX_K_ALT:
        n->nullable = any_nullable;
        n->plain = all_plain;
        n->finite = all_finite;
        break;
    case REGEX_K_AND:
        n->nullable = all_nullable;
        n->finite = any_finite;
        break;
    case REGEX_K_NOT: n->nullable = !nodes[n->a].nullable; break;
    case REGEX_K_REP:
        n->nullable = n->b == 0 || nodes[n->a].nullable;
        n->plain = nodes[n->a].plain;
        n->finite = nodes[n->a].finite && n->c != REGEX_INF;
        break;
    case REGEX_K_MULT: break; /* not plain: some remainders are dead ends behind the point */
    }
}

/* The multiple's phase: bits 0-7 digits seen after the point or MULT_WHOLE, MULT_START before the
 * first character, MULT_SIGNED after a sign, bits 16 and up the decimals. */
enum { MULT_SIGNED = 0x200, MULT_POINT = 0x400 };

static bool mult_nullable(uint32_t modulus, uint32_t r, uint32_t phase)
{
    uint32_t seen = phase & 0xFF, decimals = phase >> 16;
    if (phase & (MULT_START | MULT_SIGNED | MULT_POINT))
        return false;
    uint64_t rest = r;
    for (uint32_t k = seen == MULT_WHOLE ? 0 : seen; k < decimals; k++)
        rest = rest * 10 % modulus;
    return rest == 0;
}

static uint32_t intern(struct regex_pool *pool, struct regex_node node)
{
    if (pool->status != OLL_OK)
        return REGEX_NONE;
    uint64_t h = hash_node(pool, &node);
    for (uint32_t i = pool->table[h & pool->table_mask]; i; i = pool->nodes[i].chain)
        if (same_node(pool, &pool->nodes[i], &node))
            return i;
    if (!grow_array((void **)&pool->nodes, &pool->cap_nodes, (uint64_t)pool->n_nodes + 1,
                    REGEX_MAX_NODES, sizeof node))
        return fail(pool, pool->n_nodes >= REGEX_MAX_NODES ? OLL_ERR_LIMIT : OLL_ERR_MEMORY);
    if (pool->n_nodes > pool->table_mask && !grow_table(pool))
        return fail(pool, OLL_ERR_MEMORY);
    describe(pool, &node);
    if (node.kind == REGEX_K_MULT)
        node.nullable = mult_nullable(node.a, node.b, node.c);
    node.chain = pool->table[h & pool->table_mask];
    pool->nodes[pool->n_nodes] = node;
    pool->table[h & pool->table_mask] = pool->n_nodes;
    return pool->n_nodes++;
}

oll_status regex_pool_init(struct regex_pool *pool)
{
    *pool = (struct regex_pool){.fuel = REGEX_FUEL};
    if (!grow_table(pool) || !grow_array((void **)&pool->nodes, &pool->cap_nodes, 64,
                                         REGEX_MAX_NODES, sizeof *pool->nodes)) {
        regex_pool_free(pool);
        return OLL_ERR_MEMORY;
    }
    /* Node 0 ends the hash chains, so it is not in the table: constructors return it by name. */
    pool->nodes[pool->n_nodes++] =
        (struct regex_node){.kind = REGEX_K_NONE, .plain = true, .finite = true};
    uint32_t eps = intern(pool, (struct regex_node){.kind = REGEX_K_EPS});
    uint32_t any = regex_range(pool, 0, REGEX_MAX_CP);
    uint32_t all = intern(pool, (struct regex_node){.kind = REGEX_K_REP, .a = any, .c = REGEX_INF});
    if (pool->status == OLL_OK)
        OLL_ASSERT(eps == REGEX_EPS && any == REGEX_ANY && all == REGEX_ALL);
    else
        regex_pool_free(pool);
    return pool->status;
}

void regex_pool_free(struct regex_pool *pool)
{
    oll_free(pool->nodes);
    oll_free(pool->kids);
    oll_free(pool->ranges);
    oll_free(pool->table);
    pool->nodes = NULL;
    pool->kids = pool->table = NULL;
    pool->ranges = NULL;
    pool->n_nodes = pool->cap_nodes = pool->n_kids = pool->cap_kids = 0;
    pool->n_ranges = pool->cap_ranges = pool->table_mask = 0;
}

/* ---- sets ---- */

static int compare_ranges(const void *x, const void *y)
{
    const struct regex_range *a = x, *b = y;
    return a->lo < b->lo ? -1 : a->lo > b->lo;
}

uint32_t regex_set(struct regex_pool *pool, const struct regex_range *ranges, uint32_t n)
{
    uint32_t at = pool->n_ranges, kept = 0;
    if (n == 0 || pool->status != OLL_OK)
        return REGEX_NONE;
    if (!grow_array((void **)&pool->ranges, &pool->cap_ranges, (uint64_t)at + n, MAX_KIDS,
                    sizeof *pool->ranges))
        return fail(pool, OLL_ERR_MEMORY);
    struct regex_range *out = pool->ranges + at;
    memcpy(out, ranges, n * sizeof *out);
    qsort(out, n, sizeof *out, compare_ranges);
    for (uint32_t i = 0; i < n; i++) {
        if (out[i].lo > out[i].hi)
            continue;
        if (kept && out[i].lo <= out[kept - 1].hi + 1) {
            if (out[i].hi > out[kept - 1].hi)
                out[kept - 1].hi = out[i].hi;
        } else {
            out[kept++] = out[i];
        }
    }
    if (kept == 0)
        return REGEX_NONE;
    pool->n_ranges = at + kept;
    uint32_t before = pool->n_nodes;
    uint32_t id = intern(pool, (struct regex_node){.kind = REGEX_K_SET, .a = at, .b = kept});
    if (pool->n_nodes == before)
        pool->n_ranges = at; /* it was there already */
    return id;
}

uint32_t regex_range(struct regex_pool *pool, uint32_t lo, uint32_t hi)
{
    return regex_set(pool, &(struct regex_range){lo, hi}, 1);
}

uint32_t regex_char(struct regex_pool *pool, uint32_t cp) { return regex_range(pool, cp, cp); }

static bool set_has(const struct regex_pool *pool, const struct regex_node *set, uint32_t cp)
{
    for (uint32_t lo = set->a, hi = set->a + set->b; lo < hi;) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (cp < pool->ranges[mid].lo)
            hi = mid;
        else if (cp > pool->ranges[mid].hi)
            lo = mid + 1;
        else
            return true;
    }
    return false;
}

/* Whether every character of set y is in set x. */
static bool set_covers(const struct regex_pool *pool, const struct regex_node *x,
                       const struct regex_node *y)
{
    uint32_t i = x->a, end = x->a + x->b;
    for (uint32_t j = y->a; j < y->a + y->b; j++) {
        while (i < end && pool->ranges[i].hi < pool->ranges[j].lo)
            i++;
        if (i == end || pool->ranges[i].lo > pool->ranges[j].lo ||
            pool->ranges[i].hi < pool->ranges[j].hi)
            return false;
    }
    return true;
}

static uint32_t set_join(struct regex_pool *pool, uint32_t x, uint32_t y)
{
    uint32_t n = pool->nodes[x].b + pool->nodes[y].b;
    struct regex_range *both = oll_alloc(n, sizeof *both);
    if (!both)
        return fail(pool, OLL_ERR_MEMORY);
    memcpy(both, pool->ranges + pool->nodes[x].a, pool->nodes[x].b * sizeof *both);
    memcpy(both + pool->nodes[x].b, pool->ranges + pool->nodes[y].a,
           pool->nodes[y].b * sizeof *both);
    uint32_t id = regex_set(pool, both, n);
    oll_free(both);
    return id;
}

static uint32_t set_meet(struct regex_pool *pool, uint32_t x, uint32_t y)
{
    const struct regex_node *a = &pool->nodes[x], *b = &pool->nodes[y];
    uint32_t n = 0, i = a->a, j = b->a, end_i = a->a + a->b, end_j = b->a + b->b;
    struct regex_range *both = oll_alloc((size_t)a->b + b->b, sizeof *both);
    if (!both)
        return fail(pool, OLL_ERR_MEMORY);
    while (i < end_i && j < end_j) {
        const struct regex_range *r = &pool->ranges[i], *s = &pool->ranges[j];
        uint32_t lo = r->lo > s->lo ? r->lo : s->lo, hi = r->hi < s->hi ? r->hi : s->hi;
        if (lo <= hi)
            both[n++] = (struct regex_range){lo, hi};
        if (r->hi < s->hi)
            i++;
        else
            j++;
    }
    uint32_t id = regex_set(pool, both, n);
    oll_free(both);
    return id;
}

/* ---- constructors ---- */

uint32_t regex_cat(struct regex_pool *pool, uint32_t a, uint32_t b)
{
    uint32_t parts[64], n = 0;
    if (a == REGEX_NONE || b == REGEX_NONE)
        return REGEX_NONE;
    if (a == REGEX_EPS || (a == REGEX_ALL && b == REGEX_ALL))
        return b;
    if (b == REGEX_EPS)
        return a;
    if (a == REGEX_ALL && pool->nodes[b].kind == REGEX_K_CAT && pool->nodes[b].a == REGEX_ALL)
        return b;
    /* Chains lean to the right, built from their ends: a long left side is taken 64 parts at a
     * time, so that the depth of recursion is a 64th of its length. */
    while (n < 64 && pool->nodes[a].kind == REGEX_K_CAT) {
        parts[n++] = pool->nodes[a].a;
        a = pool->nodes[a].b;
    }
    if (pool->nodes[a].kind == REGEX_K_CAT)
        b = regex_cat(pool, a, b);
    else
        b = a == REGEX_ALL && b == REGEX_ALL
                ? b
                : intern(pool, (struct regex_node){.kind = REGEX_K_CAT, .a = a, .b = b});
    while (n > 0 && b != REGEX_NONE)
        b = intern(pool, (struct regex_node){.kind = REGEX_K_CAT, .a = parts[--n], .b = b});
    return b;
}

static int compare_ids(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return a < b ? -1 : a > b;
}

/* Copies the terms into kids[n_kids ..), lists of the same kind opened up; returns how many. */
static uint32_t flatten(struct regex_pool *pool, enum regex_kind kind, const uint32_t *ids,
                        uint32_t n)
{
    uint64_t total = 0;
    uint32_t at = pool->n_kids, k = 0;
    for (uint32_t i = 0; i < n; i++)
        total += pool->nodes[ids[i]].kind == kind ? pool->nodes[ids[i]].b : 1;
    if (!grow_array((void **)&pool->kids, &pool->cap_kids, at + total, MAX_KIDS,
                    sizeof *pool->kids)) {
        fail(pool, at + total > MAX_KIDS ? OLL_ERR_LIMIT : OLL_ERR_MEMORY);
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct regex_node *node = &pool->nodes[ids[i]];
        if (node->kind != kind)
            pool->kids[at + k++] = ids[i];
        else
            for (uint32_t j = 0; j < node->b; j++)
                pool->kids[at + k++] = pool->kids[node->a + j];
    }
    qsort(pool->kids + at, k, sizeof *pool->kids, compare_ids);
    return k;
}

/* Drops equal terms, the neutral one, and joins (ALT) or meets (AND) the sets among kids[at ..). */
static uint32_t merge_kids(struct regex_pool *pool, enum regex_kind kind, uint32_t at, uint32_t k)
{
    uint32_t kept = 0, set = REGEX_NONE, neutral = kind == REGEX_K_ALT ? REGEX_NONE : REGEX_ALL;
    bool has_set = false;
    for (uint32_t i = 0; i < k; i++) {
        uint32_t id = pool->kids[at + i];
        if (id == neutral || (i && id == pool->kids[at + i - 1]))
            continue;
        if (pool->nodes[id].kind != REGEX_K_SET) {
            pool->kids[at + kept++] = id;
            continue;
        }
        pool->n_kids = at + k; /* what stands there must survive the making of sets */
        set = !has_set              ? id
              : kind == REGEX_K_ALT ? set_join(pool, set, id)
                                    : set_meet(pool, set, id);
        pool->n_kids = at;
        has_set = true;
        if (set == REGEX_NONE)
            break;
    }
    if (has_set)
        pool->kids[at + kept++] = set;
    qsort(pool->kids + at, kept, sizeof *pool->kids, compare_ids);
    return kept;
}

static bool kids_nullable(const struct regex_pool *pool, uint32_t at, uint32_t k, bool all)
{
    for (uint32_t i = 0; i < k; i++)
        if (pool->kids[at + i] != REGEX_EPS && pool->nodes[pool->kids[at + i]].nullable != all)
            return !all;
    return all;
}

static uint32_t make_list(struct regex_pool *pool, enum regex_kind kind, const uint32_t *ids,
                          uint32_t n)
{
    if (pool->status != OLL_OK)
        return REGEX_NONE;
    uint32_t at = pool->n_kids, k = flatten(pool, kind, ids, n);
    if (pool->status != OLL_OK)
        return REGEX_NONE;
    k = merge_kids(pool, kind, at, k);
    uint32_t *kids = pool->kids + at;
    if (k == 0)
        return kind == REGEX_K_ALT || pool->status != OLL_OK ? REGEX_NONE : REGEX_ALL;
    bool has_eps = kids[0] == REGEX_EPS || (k > 1 && kids[1] == REGEX_EPS);
    for (uint32_t i = 0; i < k; i++)
        if (kids[i] == (kind == REGEX_K_ALT ? (uint32_t)REGEX_ALL : (uint32_t)REGEX_NONE))
            return kids[i];
    if (kind == REGEX_K_AND && has_eps)
        return kids_nullable(pool, at, k, true) ? REGEX_EPS : REGEX_NONE;
    if (kind == REGEX_K_ALT && has_eps && k > 1 && kids_nullable(pool, at, k, false)) {
        /* Another term has the empty text: the bare one says nothing new. */
        memmove(kids, kids + 1, (k - 1) * sizeof *kids);
        k--;
    }
    if (k == 1)
        return kids[0];
    pool->n_kids = at + k;
    uint32_t before = pool->n_nodes;
    uint32_t id = intern(pool, (struct regex_node){.kind = (uint8_t)kind, .a = at, .b = k});
    if (pool->n_nodes == before)
        pool->n_kids = at;
    return id;
}

uint32_t regex_alt(struct regex_pool *pool, const uint32_t *ids, uint32_t n)
{
    return make_list(pool, REGEX_K_ALT, ids, n);
}

uint32_t regex_alt2(struct regex_pool *pool, uint32_t a, uint32_t b)
{
    return a == REGEX_NONE || a == b ? b
           : b == REGEX_NONE         ? a
                                     : regex_alt(pool, (uint32_t[]){a, b}, 2);
}

uint32_t regex_and2(struct regex_pool *pool, uint32_t a, uint32_t b)
{
    if (a == REGEX_NONE || b == REGEX_NONE)
        return REGEX_NONE;
    return a == REGEX_ALL || a == b ? b
           : b == REGEX_ALL         ? a
                                    : make_list(pool, REGEX_K_AND, (uint32_t[]){a, b}, 2);
}

uint32_t regex_not(struct regex_pool *pool, uint32_t a)
{
    if (a == REGEX_NONE)
        return pool->status == OLL_OK ? REGEX_ALL : REGEX_NONE;
    if (a == REGEX_ALL)
        return REGEX_NONE;
    if (pool->nodes[a].kind == REGEX_K_NOT)
        return pool->nodes[a].a;
    return intern(pool, (struct regex_node){.kind = REGEX_K_NOT, .a = a});
}

uint32_t regex_rep(struct regex_pool *pool, uint32_t a, uint32_t min, uint32_t max)
{
    const struct regex_node *node = &pool->nodes[a];
    if (a == REGEX_NONE)
        return min == 0 && pool->status == OLL_OK ? REGEX_EPS : REGEX_NONE;
    if (max == 0 || a == REGEX_EPS)
        return REGEX_EPS;
    if (min == 1 && max == 1)
        return a;
    if (node->nullable)
        min = 0; /* fewer copies than asked for: the others are empty */
    if (max == REGEX_INF && node->kind == REGEX_K_REP && node->c == REGEX_INF && node->b <= 1)
        return node->b == 0 || min == 0 ? regex_rep(pool, node->a, 0, REGEX_INF) : a;
    return intern(pool, (struct regex_node){.kind = REGEX_K_REP, .a = a, .b = min, .c = max});
}

uint32_t regex_opt(struct regex_pool *pool, uint32_t a) { return regex_rep(pool, a, 0, 1); }

uint32_t regex_text(struct regex_pool *pool, const char *text, size_t n)
{
    uint32_t id = REGEX_EPS, cp = 0;
    /* From the end, since chains lean to the right. */
    while (n > 0) {
        size_t at = n - 1;
        while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80)
            at--;
        if (oll_utf8_decode(text + at, n - at, &cp) == 0)
            return fail(pool, OLL_ERR_FORMAT);
        id = regex_cat(pool, regex_char(pool, cp), id);
        n = at;
    }
    return id;
}

static int compare_words(const void *x, const void *y)
{
    const struct regex_word *a = x, *b = y;
    size_t n = a->n < b->n ? a->n : b->n;
    int c = memcmp(a->text, b->text, n);
    return c ? c : a->n < b->n ? -1 : a->n > b->n;
}

/* Sorted words that agree in their first `at` bytes. */
static uint32_t word_tree(struct regex_pool *pool, const struct regex_word *words, uint32_t n,
                          size_t at, uint32_t depth)
{
    uint32_t id = REGEX_NONE, i = 0;
    if (depth > REGEX_MAX_DEPTH)
        return fail(pool, OLL_ERR_LIMIT);
    for (; i < n && words[i].n == at; i++)
        id = REGEX_EPS;
    if (n == 1 && i == 0)
        return regex_text(pool, words[0].text + at, words[0].n - at);
    uint32_t n_ids = 0, cap = 0, *ids = NULL;
    while (i < n && pool->status == OLL_OK) {
        uint32_t cp = 0, end = i + 1;
        int len = oll_utf8_decode(words[i].text + at, words[i].n - at, &cp);
        if (len == 0 || !grow_array((void **)&ids, &cap, (uint64_t)n_ids + 2, n + 2, sizeof *ids)) {
            fail(pool, len ? OLL_ERR_MEMORY : OLL_ERR_FORMAT);
            break;
        }
        while (end < n && words[end].n >= at + (size_t)len &&
               memcmp(words[end].text + at, words[i].text + at, (size_t)len) == 0)
            end++;
        uint32_t rest = word_tree(pool, words + i, end - i, at + (size_t)len, depth + 1);
        ids[n_ids++] = regex_cat(pool, regex_char(pool, cp), rest);
        i = end;
    }
    if (n_ids) {
        ids[n_ids] = id;
        id = regex_alt(pool, ids, n_ids + (id != REGEX_NONE));
    }
    oll_free(ids);
    return pool->status == OLL_OK ? id : REGEX_NONE;
}

uint32_t regex_words(struct regex_pool *pool, struct regex_word *words, uint32_t n)
{
    if (n == 0)
        return REGEX_NONE;
    qsort(words, n, sizeof *words, compare_words);
    return word_tree(pool, words, n, 0, 0);
}

uint32_t regex_multiple(struct regex_pool *pool, uint32_t modulus, uint32_t decimals)
{
    return intern(pool, (struct regex_node){.kind = REGEX_K_MULT,
                                            .a = modulus,
                                            .c = MULT_WHOLE | MULT_START | decimals << 16});
}

/* ---- derivatives ---- */

static uint32_t derive_multiple(struct regex_pool *pool, struct regex_node node, uint32_t cp)
{
    uint32_t seen = node.c & 0xFF, decimals = node.c >> 16;
    if (cp == '-' && node.c & MULT_START) {
        node.c = (node.c & ~(uint32_t)MULT_START) | MULT_SIGNED;
        return intern(pool, node);
    }
    if (cp == '.' && seen == MULT_WHOLE && !(node.c & (MULT_START | MULT_SIGNED))) {
        node.c = MULT_POINT | decimals << 16;
        return intern(pool, node);
    }
    if (cp < '0' || cp > '9')
        return REGEX_NONE;
    if (seen == MULT_WHOLE || seen < decimals)
        node.b = (uint32_t)(((uint64_t)node.b * 10 + (cp - '0')) % node.a);
    else if (cp != '0')
        return REGEX_NONE;
    if (seen != MULT_WHOLE && seen < decimals)
        seen++;
    if (seen == decimals && node.b != 0)
        return REGEX_NONE; /* no later digit can mend it */
    node.c = seen | decimals << 16;
    return intern(pool, node);
}

static uint32_t derive(struct regex_pool *pool, uint32_t id, uint32_t cp, uint32_t depth);

static uint32_t derive_list(struct regex_pool *pool, struct regex_node node, uint32_t cp,
                            uint32_t depth)
{
    uint32_t small[32], n = 0, *out = node.b <= 32 ? small : oll_alloc(node.b, sizeof *out);
    bool is_alt = node.kind == REGEX_K_ALT;
    if (!out)
        return fail(pool, OLL_ERR_MEMORY);
    for (uint32_t i = 0; i < node.b; i++) {
        uint32_t d = derive(pool, pool->kids[node.a + i], cp, depth + 1);
        if (d == REGEX_NONE && !is_alt) {
            out[0] = d;
            n = 1;
            break;
        }
        if (d != (is_alt ? (uint32_t)REGEX_NONE : (uint32_t)REGEX_ALL))
            out[n++] = d;
    }
    uint32_t result = n == 0   ? (is_alt ? REGEX_NONE : REGEX_ALL)
                      : n == 1 ? out[0]
                               : make_list(pool, (enum regex_kind)node.kind, out, n);
    if (out != small)
        oll_free(out);
    return result;
}

static uint32_t derive(struct regex_pool *pool, uint32_t id, uint32_t cp, uint32_t depth)
{
    struct regex_node node = pool->nodes[id];
    if (depth > REGEX_MAX_DEPTH || pool->fuel == 0)
        return fail(pool, OLL_ERR_LIMIT);
    pool->fuel--;
    switch ((enum regex_kind)node.kind) {
    case REGEX_K_NONE:
    case REGEX_K_EPS: return REGEX_NONE;
    case REGEX_K_SET: return set_has(pool, &node, cp) ? REGEX_EPS : REGEX_NONE;
    case REGEX_K_CAT: {
        bool skips = pool->nodes[node.a].nullable;
        uint32_t first = regex_cat(pool, derive(pool, node.a, cp, depth + 1), node.b);
        return skips ? regex_alt2(pool, first, derive(pool, node.b, cp, depth + 1)) : first;
    }
    case REGEX_K_ALT:
    case REGEX_K_AND: return derive_list(pool, node, cp, depth);
    case REGEX_K_NOT: return regex_not(pool, derive(pool, node.a, cp, depth + 1));
    case REGEX_K_REP: {
        uint32_t first = derive(pool, node.a, cp, depth + 1);
        if (first == REGEX_NONE)
            return REGEX_NONE;
        return regex_cat(pool, first,
                         regex_rep(pool, node.a, node.b ? node.b - 1 : 0,
                                   node.c == REGEX_INF ? node.c : node.c - 1));
    }
    case REGEX_K_MULT: return derive_multiple(pool, node, cp);
    }
    return REGEX_NONE;
}

uint32_t regex_derive(struct regex_pool *pool, uint32_t id, uint32_t cp)
{
    return derive(pool, id, cp, 0);
}

bool regex_matches(struct regex_pool *pool, uint32_t id, const char *text, size_t n)
{
    uint32_t cp = 0;
    for (size_t at = 0; at < n && id != REGEX_NONE;) {
        int len = oll_utf8_decode(text + at, n - at, &cp);
        if (len == 0)
            return false;
        id = regex_derive(pool, id, cp);
        at += (size_t)len;
    }
    return regex_nullable(pool, id);
}

/* ---- freedom ---- */

/* Whether each character of the set is a text of the term. */
static bool has_each(const struct regex_pool *pool, uint32_t id, const struct regex_node *set)
{
    const struct regex_node *n = &pool->nodes[id];
    bool found = n->kind == REGEX_K_SET && set_covers(pool, n, set);
    for (uint32_t i = 0; n->kind == REGEX_K_ALT && i < n->b && !found; i++) {
        const struct regex_node *kid = &pool->nodes[pool->kids[n->a + i]];
        found = kid->kind == REGEX_K_SET && set_covers(pool, kid, set);
    }
    return found;
}

static uint32_t free_length(const struct regex_pool *pool, uint32_t id,
                            const struct regex_node *set, int depth)
{
    const struct regex_node *n = &pool->nodes[id];
    uint32_t best = 0;
    if (depth > 8)
        return 0;
    switch ((enum regex_kind)n->kind) {
    case REGEX_K_SET: return set_covers(pool, n, set) ? 1 : 0;
    case REGEX_K_REP:
        if (has_each(pool, n->a, set))
            return n->c;
        return n->plain ? free_length(pool, n->a, set, depth + 1) : 0;
    /* What follows is not empty, and may follow at any length below that of the first part. */
    case REGEX_K_CAT: return pool->nodes[n->b].plain ? free_length(pool, n->a, set, depth + 1) : 0;
    case REGEX_K_ALT:
        for (uint32_t i = 0; i < n->b && best < REGEX_INF; i++) {
            uint32_t k = free_length(pool, pool->kids[n->a + i], set, depth + 1);
            best = k > best ? k : best;
        }
        return best;
    case REGEX_K_NOT: return pool->nodes[n->a].finite ? REGEX_INF : 0;
    default: return 0;
    }
}

uint32_t regex_free_length(struct regex_pool *pool, uint32_t id, uint32_t set)
{
    const struct regex_node *n = &pool->nodes[id], *chars = &pool->nodes[set];
    if (n->kind != REGEX_K_AND)
        return free_length(pool, id, chars, 0);
    /* One part may be anything as long as what the others forbid is finite; two characters of slack
     * leave more texts than a finite term of any size that fits the pool can forbid. */
    uint32_t best = REGEX_INF, n_other = 0;
    for (uint32_t i = 0; i < n->b; i++) {
        const struct regex_node *kid = &pool->nodes[pool->kids[n->a + i]];
        if (kid->kind == REGEX_K_NOT && pool->nodes[kid->a].finite)
            continue;
        n_other++;
        best = free_length(pool, pool->kids[n->a + i], chars, 0);
    }
    if (n_other > 1)
        return 0;
    return n_other == 0 || best == REGEX_INF ? REGEX_INF : best > 2 ? best - 2 : 0;
}
