#include "sampler/grammar.h"

#include "sampler/grow.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SPACE = 20, FIRST_TABLE = 64 };

static uint32_t fail(struct grammar *g, oll_status status)
{
    if (g->status == OLL_OK)
        g->status = status;
    return GRAMMAR_NONE;
}

/* Room for n more elements of an array of the grammar. */
static bool reserve(struct grammar *g, void **p, uint32_t *cap, uint64_t need, size_t size)
{
    if (g->status == OLL_OK && grow_array(p, cap, need, GRAMMAR_MAX_NODES, size))
        return true;
    fail(g, need > GRAMMAR_MAX_NODES ? OLL_ERR_LIMIT : OLL_ERR_MEMORY);
    return false;
}

static uint32_t add_node(struct grammar *g, struct grammar_node node)
{
    if (!reserve(g, (void **)&g->nodes, &g->cap_nodes, g->n_nodes + 1ull, sizeof node))
        return GRAMMAR_NONE;
    g->nodes[g->n_nodes] = node;
    return g->n_nodes++;
}

static uint32_t add_kids(struct grammar *g, const uint32_t *ids, uint32_t n)
{
    if (!reserve(g, (void **)&g->kids, &g->cap_kids, (uint64_t)g->n_kids + n, sizeof *ids))
        return 0;
    if (n)
        memcpy(g->kids + g->n_kids, ids, n * sizeof *ids);
    g->n_kids += n;
    return g->n_kids - n;
}

oll_status grammar_init(struct grammar *g)
{
    *g = (struct grammar){0};
    OLL_TRY(regex_pool_init(&g->pool));
    add_node(g, (struct grammar_node){.kind = GRAMMAR_UNSET}); /* GRAMMAR_NONE */
    /* Lists that others point into also while they are empty. */
    reserve(g, (void **)&g->kids, &g->cap_kids, 1, sizeof *g->kids);
    reserve(g, (void **)&g->extras, &g->cap_extras, 1, sizeof *g->extras);
    reserve(g, (void **)&g->order, &g->cap_order, 1, sizeof *g->order);
    if (reserve(g, (void **)&g->names, &g->cap_names, 1, sizeof *g->names))
        g->names[g->n_names++] = (struct grammar_name){.prop = REGEX_INF};
    oll_status status = g->status;
    if (status != OLL_OK)
        grammar_free(g);
    return status;
}

void grammar_free(struct grammar *g)
{
    for (uint32_t i = 0; i < g->n_dfas; i++)
        regex_dfa_free(&g->dfas[i]);
    regex_pool_free(&g->pool);
    oll_free(g->dfas);
    oll_free(g->dfa_roots);
    oll_free(g->dfa_nodes);
    oll_free(g->dfa_table);
    oll_free(g->nodes);
    oll_free(g->kids);
    oll_free(g->bytes);
    oll_free(g->objects);
    oll_free(g->arrays);
    oll_free(g->props);
    oll_free(g->extras);
    oll_free(g->names);
    oll_free(g->order);
    *g = (struct grammar){0};
}

/* ---- simple nodes ---- */

uint32_t grammar_reserve(struct grammar *g)
{
    return add_node(g, (struct grammar_node){.kind = GRAMMAR_UNSET});
}

void grammar_resolve(struct grammar *g, uint32_t reserved, uint32_t target)
{
    if (g->status != OLL_OK || reserved == GRAMMAR_NONE || target == GRAMMAR_NONE)
        return;
    uint32_t at = add_kids(g, &target, 1);
    g->nodes[reserved] = (struct grammar_node){.kind = GRAMMAR_ALT, .a = at, .b = 1};
}

uint32_t grammar_empty(struct grammar *g)
{
    return add_node(g, (struct grammar_node){.kind = GRAMMAR_EMPTY});
}

uint32_t grammar_bytes(struct grammar *g, const char *text, size_t n)
{
    if (n == 0)
        return grammar_empty(g);
    if ((uint64_t)g->n_bytes + n > GRAMMAR_MAX_BYTES)
        return fail(g, OLL_ERR_LIMIT);
    if (!grow_array((void **)&g->bytes, &g->cap_bytes, (uint64_t)g->n_bytes + n, GRAMMAR_MAX_BYTES,
                    1))
        return fail(g, OLL_ERR_MEMORY);
    memcpy(g->bytes + g->n_bytes, text, n);
    g->n_bytes += (uint32_t)n;
    return add_node(g, (struct grammar_node){
                           .kind = GRAMMAR_BYTES, .a = g->n_bytes - (uint32_t)n, .b = (uint32_t)n});
}

static bool grow_dfa_table(struct grammar *g)
{
    uint32_t mask = g->dfa_table ? 2 * g->dfa_mask + 1 : FIRST_TABLE - 1;
    uint32_t *table = oll_calloc((size_t)mask + 1, sizeof *table);
    if (!table)
        return false;
    oll_free(g->dfa_table);
    g->dfa_table = table;
    g->dfa_mask = mask;
    for (uint32_t i = 0; i < g->n_dfas; i++) {
        uint32_t at = (uint32_t)grow_mix(g->dfa_roots[i]) & mask;
        while (table[at])
            at = (at + 1) & mask;
        table[at] = i + 1;
    }
    return true;
}

/* The automaton of a term, made once. */
static bool dfa_of(struct grammar *g, uint32_t regex, uint32_t *out)
{
    if (g->status == OLL_OK && g->pool.status != OLL_OK)
        fail(g, g->pool.status);
    if (2 * g->n_dfas >= g->dfa_mask && !grow_dfa_table(g))
        fail(g, OLL_ERR_MEMORY);
    if (g->status != OLL_OK)
        return false;
    uint32_t at = (uint32_t)grow_mix(regex) & g->dfa_mask;
    for (; g->dfa_table[at]; at = (at + 1) & g->dfa_mask)
        if (g->dfa_roots[g->dfa_table[at] - 1] == regex) {
            *out = g->dfa_table[at] - 1;
            return true;
        }
    if (g->n_dfas >= GRAMMAR_MAX_AUTOMATA) {
        fail(g, OLL_ERR_LIMIT);
        return false;
    }
    if (!reserve(g, (void **)&g->dfas, &g->cap_dfas, g->n_dfas + 1ull, sizeof *g->dfas) ||
        !reserve(g, (void **)&g->dfa_roots, &g->cap_roots, g->n_dfas + 1ull, sizeof regex) ||
        !reserve(g, (void **)&g->dfa_nodes, &g->cap_dfa_nodes, g->n_dfas + 1ull,
                 sizeof *g->dfa_nodes))
        return false;
    oll_status status = regex_dfa_init(&g->dfas[g->n_dfas], &g->pool, regex);
    if (status != OLL_OK) {
        fail(g, status);
        return false;
    }
    g->dfa_roots[g->n_dfas] = regex;
    memset(g->dfa_nodes[g->n_dfas], 0, sizeof *g->dfa_nodes);
    g->dfa_table[at] = ++g->n_dfas;
    *out = g->n_dfas - 1;
    return true;
}

static uint32_t term_node(struct grammar *g, enum grammar_kind kind, uint32_t regex)
{
    uint32_t dfa = 0;
    if (g->pool.status != OLL_OK)
        return fail(g, g->pool.status);
    if (regex_is_empty(&g->pool, regex) || !dfa_of(g, regex, &dfa))
        return g->pool.status != OLL_OK ? fail(g, g->pool.status) : GRAMMAR_NONE;
    uint32_t *memo = &g->dfa_nodes[dfa][kind == GRAMMAR_STRING];
    if (*memo == GRAMMAR_NONE)
        *memo = add_node(
            g, (struct grammar_node){.kind = (uint8_t)kind, .a = dfa, .b = regex == REGEX_ALL});
    return *memo;
}

uint32_t grammar_term(struct grammar *g, uint32_t regex)
{
    return regex == REGEX_EPS ? grammar_empty(g) : term_node(g, GRAMMAR_TERM, regex);
}

uint32_t grammar_string(struct grammar *g, uint32_t regex)
{
    return term_node(g, GRAMMAR_STRING, regex);
}

uint32_t grammar_differ(struct grammar *g, uint32_t strings, uint32_t numbers)
{
    return add_node(g, (struct grammar_node){.kind = GRAMMAR_DIFFER, .a = strings, .b = numbers});
}

uint32_t grammar_seq(struct grammar *g, const uint32_t *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] == GRAMMAR_NONE)
            return GRAMMAR_NONE;
    if (n <= 1)
        return n ? ids[0] : grammar_empty(g);
    uint32_t at = add_kids(g, ids, n);
    return add_node(g, (struct grammar_node){.kind = GRAMMAR_SEQ, .a = at, .b = n});
}

uint32_t grammar_alt(struct grammar *g, const uint32_t *ids, uint32_t n)
{
    uint32_t at = add_kids(g, ids, n), k = 0;
    if (g->status != OLL_OK)
        return GRAMMAR_NONE;
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] != GRAMMAR_NONE)
            g->kids[at + k++] = ids[i];
    g->n_kids = at + k;
    if (k <= 1) {
        g->n_kids = at;
        return k ? g->kids[at] : GRAMMAR_NONE;
    }
    return add_node(g, (struct grammar_node){.kind = GRAMMAR_ALT, .a = at, .b = k});
}

uint32_t grammar_rep(struct grammar *g, uint32_t id, uint32_t min, uint32_t max)
{
    if (id == GRAMMAR_NONE)
        return min == 0 ? grammar_empty(g) : GRAMMAR_NONE;
    if (max == 0)
        return grammar_empty(g);
    return add_node(g, (struct grammar_node){.kind = GRAMMAR_REP, .a = id, .b = min, .c = max});
}

uint32_t grammar_token(struct grammar *g, uint32_t token, bool any_but)
{
    g->has_tokens = true;
    return add_node(g, (struct grammar_node){.kind = GRAMMAR_TOKEN, .a = token, .b = any_but});
}

/* ---- objects and arrays ---- */

static int compare_props(const struct grammar_prop *a, const struct grammar_prop *b)
{
    size_t n = a->n_name < b->n_name ? a->n_name : b->n_name;
    int c = memcmp(a->name, b->name, n);
    return c ? c : a->n_name < b->n_name ? -1 : a->n_name > b->n_name;
}

/* Merge sort of the indices by name; `tmp` has n places. */
static void sort_names(const struct grammar_prop *props, uint32_t *order, uint32_t *tmp, uint32_t n)
{
    for (uint32_t width = 1; width < n; width *= 2) {
        for (uint32_t lo = 0; lo < n; lo += 2 * width) {
            uint32_t mid = lo + width < n ? lo + width : n, hi = mid + width < n ? mid + width : n;
            for (uint32_t i = lo, j = mid, k = lo; k < hi; k++) {
                bool left =
                    i < mid && (j >= hi || compare_props(&props[order[i]], &props[order[j]]) <= 0);
                tmp[k] = order[left ? i++ : j++];
            }
        }
        memcpy(order, tmp, n * sizeof *order);
    }
}

static uint32_t add_name(struct grammar *g, uint8_t byte, uint32_t first, uint32_t end)
{
    if (!reserve(g, (void **)&g->names, &g->cap_names, g->n_names + 1ull, sizeof *g->names))
        return 0;
    g->names[g->n_names] =
        (struct grammar_name){.byte = byte, .prop = REGEX_INF, .first = first, .end = end};
    return g->n_names++;
}

/* Tree of the sorted names, built byte by byte along each name: a node's properties are a run. */
static uint32_t name_tree(struct grammar *g, const struct grammar_prop *props,
                          const uint32_t *order, uint32_t n)
{
    uint32_t quote = add_name(g, 0, 0, n), root = add_name(g, '"', 0, n);
    if (g->status != OLL_OK)
        return 0;
    g->names[quote].child = root;
    for (uint32_t i = 0; i < n; i++) {
        const struct grammar_prop *p = &props[order[i]];
        uint32_t at = root;
        for (size_t b = 0; b < p->n_name && g->status == OLL_OK; b++) {
            /* The last child is the newest; names are sorted, so only that one can match. */
            uint32_t child = g->names[at].child;
            if (!child || g->names[child].byte != (uint8_t)p->name[b]) {
                uint32_t made = add_name(g, (uint8_t)p->name[b], i, i);
                g->names[made].sibling = child;
                g->names[at].child = child = made;
            }
            g->names[child].end = i + 1;
            at = child;
        }
        g->names[at].prop = order[i];
    }
    return quote;
}

uint32_t grammar_object(struct grammar *g, const struct grammar_prop *props, uint32_t n_props,
                        const struct grammar_extra *extras, uint32_t n_extras, uint32_t min,
                        uint32_t max)
{
    struct grammar_object o = {.first_prop = g->n_props,
                               .n_prop = n_props,
                               .first_extra = g->n_extras,
                               .n_extra = n_extras,
                               .order = g->n_order,
                               .min = min,
                               .max = max};
    if (!reserve(g, (void **)&g->props, &g->cap_props, (uint64_t)g->n_props + n_props,
                 sizeof *props) ||
        !reserve(g, (void **)&g->extras, &g->cap_extras, (uint64_t)g->n_extras + n_extras,
                 sizeof *extras) ||
        !reserve(g, (void **)&g->order, &g->cap_order, (uint64_t)g->n_order + 2ull * n_props,
                 sizeof *g->order) ||
        !reserve(g, (void **)&g->objects, &g->cap_objects, g->n_objects + 1ull, sizeof o))
        return GRAMMAR_NONE;
    for (uint32_t i = 0; i < n_props; i++) {
        g->props[g->n_props] = props[i];
        g->props[g->n_props++].name = NULL; /* the tree has it */
        g->order[o.order + i] = i;
    }
    for (uint32_t i = 0; i < n_extras; i++)
        g->extras[g->n_extras++] = extras[i];
    if (n_props) {
        sort_names(props, g->order + o.order, g->order + o.order + n_props, n_props);
        g->n_order += n_props;
        o.names = name_tree(g, props, g->order + o.order, n_props);
    }
    grammar_punctuate(g);
    g->objects[g->n_objects] = o;
    return add_node(g, (struct grammar_node){.kind = GRAMMAR_OBJECT, .a = g->n_objects++});
}

uint32_t grammar_array(struct grammar *g, struct grammar_array array, const uint32_t *prefix,
                       uint32_t n_prefix)
{
    array.n_prefix = n_prefix;
    array.first = add_kids(g, prefix, n_prefix);
    g->has_unique = g->has_unique || array.is_unique;
    if (!reserve(g, (void **)&g->arrays, &g->cap_arrays, g->n_arrays + 1ull, sizeof array))
        return GRAMMAR_NONE;
    grammar_punctuate(g);
    g->arrays[g->n_arrays] = array;
    return add_node(g, (struct grammar_node){.kind = GRAMMAR_ARRAY, .a = g->n_arrays++});
}

/* Nothing, one space, or a line end (and one more at most) with up to 20 blanks: enough for every
 * usual layout, and no room for endless white space. */
static uint32_t white_space(struct regex_pool *pool)
{
    uint32_t line = regex_char(pool, '\n');
    uint32_t blank = regex_set(pool, (struct regex_range[]){{'\t', '\t'}, {' ', ' '}}, 2);
    uint32_t lines = regex_cat(
        pool, line, regex_cat(pool, regex_opt(pool, line), regex_rep(pool, blank, 0, MAX_SPACE)));
    return regex_opt(pool, regex_alt2(pool, regex_char(pool, ' '), lines));
}

void grammar_punctuate(struct grammar *g)
{
    static const struct {
        char first, last;
        bool before, between, after; /* where white space goes */
    } shapes[GRAMMAR_PIECES] = {
        [GRAMMAR_OBJECT_OPEN] = {'{', 0, false, false, true},
        [GRAMMAR_OBJECT_CLOSE] = {'}', 0, true, false, false},
        [GRAMMAR_OBJECT_EMPTY] = {'{', '}', false, true, false},
        [GRAMMAR_ARRAY_OPEN] = {'[', 0, false, false, true},
        [GRAMMAR_ARRAY_CLOSE] = {']', 0, true, false, false},
        [GRAMMAR_ARRAY_EMPTY] = {'[', ']', false, true, false},
        [GRAMMAR_COMMA] = {',', 0, true, false, true},
        [GRAMMAR_COLON] = {':', 0, true, false, true},
    };
    if (g->pieces[0])
        return;
    struct regex_pool *pool = &g->pool;
    uint32_t space = white_space(pool);
    for (int i = 0; i < GRAMMAR_PIECES; i++) {
        uint32_t id = regex_char(pool, (uint32_t)shapes[i].first);
        if (shapes[i].between)
            id = regex_cat(pool, id,
                           regex_cat(pool, space, regex_char(pool, (uint32_t)shapes[i].last)));
        if (shapes[i].after)
            id = regex_cat(pool, id, space);
        if (shapes[i].before)
            id = regex_cat(pool, space, id);
        g->pieces[i] = grammar_term(g, id);
    }
}

/* ---- what can be completed ---- */

enum { MAX_PASSES = 100 };

static bool object_can_end(const struct grammar *g, const struct grammar_object *o,
                           const uint8_t *good)
{
    uint32_t n_required = 0, n_good = 0;
    for (uint32_t i = 0; i < o->n_prop; i++) {
        const struct grammar_prop *p = &g->props[o->first_prop + i];
        n_required += p->required;
        n_good += good[p->value];
        if (p->required && !good[p->value])
            return false;
    }
    for (uint32_t i = 0; i < o->n_extra; i++) {
        const struct grammar_extra *e = &g->extras[o->first_extra + i];
        if (good[e->key] && good[e->value]) {
            n_good++;
            break; /* unnamed members may repeat a key: all of them count as one */
        }
    }
    return n_required <= o->max && n_good >= o->min && o->min <= o->max;
}

static bool array_can_end(const struct grammar *g, const struct grammar_array *a,
                          const uint8_t *good)
{
    uint32_t n_good = 0;
    if (a->min > a->max || a->want > a->max || a->want > a->want_max)
        return false;
    for (uint32_t i = 0; i < a->n_prefix; i++)
        n_good += good[g->kids[a->first + i]];
    if (a->is_unique)
        return (a->objects && good[a->objects]) || a->max_scalars >= a->min;
    if (a->is_set)
        return n_good >= a->min;
    if (a->match)
        return (a->want == 0 || good[a->match]) &&
               (good[a->item] || (good[a->match] ? a->want_max : 0) >= a->min);
    for (uint32_t i = 0; i < a->min && i <= a->n_prefix; i++)
        if (!good[i < a->n_prefix ? g->kids[a->first + i] : a->item])
            return false;
    return true;
}

static bool can_end(const struct grammar *g, uint32_t id, const uint8_t *good)
{
    const struct grammar_node *n = &g->nodes[id];
    switch ((enum grammar_kind)n->kind) {
    case GRAMMAR_UNSET: return false;
    case GRAMMAR_EMPTY:
    case GRAMMAR_BYTES:
    case GRAMMAR_TERM:
    case GRAMMAR_STRING:
    case GRAMMAR_DIFFER: /* the compiler has counted the values */
    case GRAMMAR_TOKEN: return true;
    case GRAMMAR_SEQ:
        for (uint32_t i = 0; i < n->b; i++)
            if (!good[g->kids[n->a + i]])
                return false;
        return true;
    case GRAMMAR_ALT:
        for (uint32_t i = 0; i < n->b; i++)
            if (good[g->kids[n->a + i]])
                return true;
        return false;
    case GRAMMAR_REP: return n->b == 0 || good[n->a];
    case GRAMMAR_OBJECT: return object_can_end(g, &g->objects[n->a], good);
    case GRAMMAR_ARRAY: return array_can_end(g, &g->arrays[n->a], good);
    }
    return false;
}

static uint32_t keep_good(struct grammar *g, uint32_t first, uint32_t n, const uint8_t *good)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++)
        if (good[g->kids[first + i]])
            g->kids[first + k++] = g->kids[first + i];
    return k;
}

static void prune_array(struct grammar *g, struct grammar_array *a, const uint8_t *good)
{
    if (a->is_unique) {
        if (a->objects && !good[a->objects]) {
            a->objects = GRAMMAR_NONE;
            a->max = a->max < a->max_scalars ? a->max : a->max_scalars;
        }
        return;
    }
    if (a->is_set) {
        a->n_prefix = keep_good(g, a->first, a->n_prefix, good);
        a->max = a->max < a->n_prefix ? a->max : a->n_prefix;
        return;
    }
    for (uint32_t i = 0; i < a->n_prefix && i < a->max; i++)
        if (!good[g->kids[a->first + i]])
            a->max = i;
    if (!good[a->item] && !a->match && a->max > a->n_prefix)
        a->max = a->n_prefix;
    if (!good[a->item])
        a->item = GRAMMAR_NONE;
    if (a->match && !good[a->match]) {
        a->match = GRAMMAR_NONE;
        if (!a->item)
            a->max = 0;
    }
    if (a->match && !a->item && a->max > a->want_max)
        a->max = a->want_max;
}

/* Takes out every way into a node that cannot be completed. */
static void prune(struct grammar *g, const uint8_t *good)
{
    for (uint32_t id = 1; id < g->n_nodes; id++) {
        struct grammar_node *n = &g->nodes[id];
        if (!good[id])
            n->kind = GRAMMAR_UNSET;
        else if (n->kind == GRAMMAR_ALT)
            n->b = keep_good(g, n->a, n->b, good);
        else if (n->kind == GRAMMAR_REP && !good[n->a])
            n->kind = GRAMMAR_EMPTY;
    }
    for (uint32_t i = 0; i < g->n_props; i++)
        if (!good[g->props[i].value])
            g->props[i].value = GRAMMAR_NONE;
    for (uint32_t i = 0; i < g->n_arrays; i++)
        prune_array(g, &g->arrays[i], good);
    for (uint32_t i = 0; i < g->n_objects; i++) {
        struct grammar_object *o = &g->objects[i];
        struct grammar_extra *e = g->extras + o->first_extra;
        uint32_t k = 0;
        for (uint32_t j = 0; j < o->n_extra; j++)
            if (good[e[j].key] && good[e[j].value])
                e[k++] = e[j];
        o->n_extra = k;
    }
}

void grammar_finish(struct grammar *g)
{
    uint8_t *good = oll_calloc(g->n_nodes, 1);
    bool changed = true;
    if (!good)
        fail(g, OLL_ERR_MEMORY);
    /* Passes in both directions settle chains of rules whichever way they were written. */
    for (int pass = 0; good && changed; pass++) {
        changed = false;
        for (uint32_t i = 1; i < g->n_nodes; i++) {
            uint32_t id = pass % 2 ? i : g->n_nodes - i;
            if (!good[id] && can_end(g, id, good))
                good[id] = changed = true;
        }
        if (pass == MAX_PASSES) {
            fail(g, OLL_ERR_LIMIT);
            break;
        }
    }
    if (good && g->status == OLL_OK) {
        prune(g, good);
        if (!good[g->root])
            g->root = GRAMMAR_NONE;
    }
    oll_free(good);
}
