#include "sampler/grammar_machine.h"

#include "sampler/grammar_string.h"
#include "sampler/grow.h"
#include "sampler/unique_text.h"

#include <stdlib.h>
#include <string.h>

/* Work of a step: a node to be entered on top of a stack, or a stack whose top has been popped. */
struct machine_work {
    uint32_t node; /* GRAMMAR_NONE: return to `frame` */
    uint32_t frame;
};

enum { FIRST_TABLE = 256, MAX_ELEMENTS = 1 << 24 };

/* Phases of objects, in the low bits of a frame's b. The frame stands below what it waits for. */
enum {
    OBJECT_KEY,    /* a: properties passed; after "{" or "," a key comes */
    OBJECT_NAME,   /* a top frame: inside a named key, a: node of the tree of names */
    OBJECT_EXTRA,  /* an unnamed key, a: which extra */
    OBJECT_COLON,  /* a: property whose name was read */
    OBJECT_COLON2, /* a: extra whose key was read */
    OBJECT_AFTER,  /* a: properties passed; a value comes */
    PHASE_BITS = 3
};
/* Phases of arrays. a: elements so far; b above the phase: of a set, its members that were used; of
 * a wish for matches, how many there were; of unique elements, the term of those that were. An
 * array as a top frame is sealed. */
enum { ARRAY_NEXT, ARRAY_AFTER };

/* ---- tables ---- */

static void fail(struct machine *m, oll_status status)
{
    if (m->status == OLL_OK)
        m->status = status;
}

static bool grow_counted(struct machine *m, void **p, uint32_t *cap, uint64_t need, size_t size)
{
    uint32_t before = *cap;
    if (m->full || m->status != OLL_OK)
        return false;
    if (!grow_array(p, cap, need, MAX_ELEMENTS, size)) {
        fail(m, OLL_ERR_MEMORY);
        return false;
    }
    m->n_bytes += (size_t)(*cap - before) * size;
    m->full = m->n_bytes > MACHINE_MAX_BYTES;
    return true;
}

static uint64_t hash_frame(const struct machine_frame *f)
{
    return grow_mix(grow_mix((uint64_t)f->node << 32 | f->parent) ^ ((uint64_t)f->a << 32 | f->b));
}

static bool grow_frame_table(struct machine *m)
{
    uint32_t mask = m->frame_table ? 2 * m->frame_mask + 1 : FIRST_TABLE - 1;
    uint32_t *table = oll_calloc((size_t)mask + 1, sizeof *table);
    if (!table)
        return false;
    oll_free(m->frame_table);
    m->frame_table = table;
    m->frame_mask = mask;
    m->n_bytes += (size_t)mask / 2 * sizeof *table;
    for (uint32_t i = 1; i < m->n_frames; i++) {
        uint32_t at = (uint32_t)hash_frame(&m->frames[i]) & mask;
        while (table[at])
            at = (at + 1) & mask;
        table[at] = i;
    }
    return true;
}

static uint32_t intern_frame(struct machine *m, struct machine_frame f)
{
    uint32_t at = (uint32_t)hash_frame(&f) & m->frame_mask;
    for (; m->frame_table[at]; at = (at + 1) & m->frame_mask)
        if (memcmp(&m->frames[m->frame_table[at]], &f, sizeof f) == 0)
            return m->frame_table[at];
    if (!grow_counted(m, (void **)&m->frames, &m->cap_frames, m->n_frames + 1ull, sizeof f))
        return 0;
    m->frames[m->n_frames] = f;
    m->frame_table[at] = m->n_frames++;
    if (2 * m->n_frames > m->frame_mask && !grow_frame_table(m))
        fail(m, OLL_ERR_MEMORY);
    return m->n_frames - 1;
}

static uint64_t hash_threads(const uint32_t *threads, uint32_t n, bool accepts)
{
    uint64_t h = grow_mix(2ull * n + accepts);
    for (uint32_t i = 0; i < n; i++)
        h = grow_mix(h ^ threads[i]);
    return h;
}

static bool grow_state_table(struct machine *m)
{
    uint32_t mask = m->state_table ? 2 * m->state_mask + 1 : FIRST_TABLE - 1;
    uint32_t *table = oll_calloc((size_t)mask + 1, sizeof *table);
    if (!table)
        return false;
    oll_free(m->state_table);
    m->state_table = table;
    m->state_mask = mask;
    m->n_bytes += (size_t)mask / 2 * sizeof *table;
    for (uint32_t i = 1; i < m->n_states; i++) {
        const struct machine_state *s = &m->states[i];
        uint32_t at = (uint32_t)hash_threads(m->threads + s->first, s->n, s->accepts) & mask;
        while (table[at])
            at = (at + 1) & mask;
        table[at] = i;
    }
    return true;
}

static void top_bytes(struct machine *m, uint32_t top, uint64_t bytes[4]);

static bool is_sealed(const struct machine *m, uint32_t top)
{
    uint8_t kind = m->g->nodes[m->frames[top].node].kind;
    return kind == GRAMMAR_ARRAY || kind == GRAMMAR_DIFFER;
}

/* The state of the threads in `tops`, sorted here. */
static uint32_t intern_state(struct machine *m)
{
    uint32_t n = m->n_tops;
    if (m->full || m->status != OLL_OK || (n == 0 && !m->returned))
        return MACHINE_DEAD;
    for (uint32_t i = 1; i < n; i++) { /* few, and nearly sorted: frames are numbered as made */
        uint32_t v = m->tops[i], j = i;
        for (; j > 0 && m->tops[j - 1] > v; j--)
            m->tops[j] = m->tops[j - 1];
        m->tops[j] = v;
    }
    uint64_t h = hash_threads(m->tops, n, m->returned);
    uint32_t at = (uint32_t)h & m->state_mask;
    for (; m->state_table[at]; at = (at + 1) & m->state_mask) {
        const struct machine_state *s = &m->states[m->state_table[at]];
        if (s->n == n && s->accepts == m->returned &&
            (n == 0 || memcmp(m->threads + s->first, m->tops, n * sizeof *m->tops) == 0))
            return m->state_table[at];
    }
    if (!grow_counted(m, (void **)&m->states, &m->cap_states, m->n_states + 1ull,
                      sizeof *m->states) ||
        !grow_counted(m, (void **)&m->threads, &m->cap_threads, (uint64_t)m->n_threads + n,
                      sizeof *m->threads))
        return MACHINE_DEAD;
    struct machine_state state = {.first = m->n_threads, .n = n, .accepts = m->returned};
    if (n)
        memcpy(m->threads + m->n_threads, m->tops, n * sizeof *m->tops);
    m->n_threads += n;
    for (uint32_t i = 0; i < n; i++) {
        top_bytes(m, m->threads[state.first + i], state.bytes);
        state.sealed = state.sealed || is_sealed(m, m->threads[state.first + i]);
    }
    m->states[m->n_states] = state;
    m->state_table[at] = m->n_states++;
    if (2 * m->n_states > m->state_mask && !grow_state_table(m))
        fail(m, OLL_ERR_MEMORY);
    return m->n_states - 1;
}

/* ---- work ---- */

static void add_work(struct machine *m, uint32_t node, uint32_t frame)
{
    if (m->n_work >= MACHINE_MAX_WORK) {
        fail(m, OLL_ERR_LIMIT);
        return;
    }
    if (grow_counted(m, (void **)&m->work, &m->cap_work, m->n_work + 1ull, sizeof *m->work))
        m->work[m->n_work++] = (struct machine_work){node, frame};
}

static void enter(struct machine *m, uint32_t node, uint32_t parent)
{
    if (node != GRAMMAR_NONE)
        add_work(m, node, parent);
}

static void leave(struct machine *m, uint32_t frame) { add_work(m, GRAMMAR_NONE, frame); }

/* Enters `node` above a new frame. */
static void enter_above(struct machine *m, uint32_t node, struct machine_frame f)
{
    if (node == GRAMMAR_NONE)
        return;
    uint32_t frame = intern_frame(m, f);
    if (frame)
        add_work(m, node, frame);
}

static void add_top(struct machine *m, struct machine_frame f)
{
    uint32_t top = intern_frame(m, f);
    if (!top)
        return;
    for (uint32_t i = 0; i < m->n_tops; i++)
        if (m->tops[i] == top)
            return;
    if (m->n_tops >= MACHINE_MAX_THREADS)
        fail(m, OLL_ERR_LIMIT);
    else if (grow_counted(m, (void **)&m->tops, &m->cap_tops, m->n_tops + 1ull, sizeof top))
        m->tops[m->n_tops++] = top;
}

/* False when this work was done in the running step: a loop through empty texts, or two ways to the
 * same place. */
static bool is_new(struct machine *m, struct machine_work w)
{
    uint64_t key = (uint64_t)w.node << 32 | w.frame;
    if (2 * m->n_seen >= m->seen_mask) {
        uint32_t mask = m->seen ? 2 * m->seen_mask + 1 : FIRST_TABLE - 1;
        uint64_t *seen = oll_alloc((size_t)mask + 1, sizeof *seen);
        uint32_t *stamps = oll_calloc((size_t)mask + 1, sizeof *stamps);
        if (!seen || !stamps) {
            oll_free(seen);
            oll_free(stamps);
            fail(m, OLL_ERR_MEMORY);
            return false;
        }
        for (uint32_t i = 0; m->seen && i <= m->seen_mask; i++) {
            uint32_t at = (uint32_t)grow_mix(m->seen[i]) & mask;
            if (m->seen_stamp[i] != m->stamp)
                continue;
            while (stamps[at])
                at = (at + 1) & mask;
            seen[at] = m->seen[i];
            stamps[at] = m->stamp;
        }
        oll_free(m->seen);
        oll_free(m->seen_stamp);
        m->seen = seen;
        m->seen_stamp = stamps;
        m->seen_mask = mask;
    }
    uint32_t at = (uint32_t)grow_mix(key) & m->seen_mask;
    for (; m->seen_stamp[at] == m->stamp; at = (at + 1) & m->seen_mask)
        if (m->seen[at] == key)
            return false;
    m->seen[at] = key;
    m->seen_stamp[at] = m->stamp;
    m->n_seen++;
    return true;
}

/* ---- objects ---- */

/* A frame's b: phase, then 14 bits each of members so far (towards max) and of members that surely
 * differ (towards min). */
static uint32_t count_all(uint32_t b) { return b >> PHASE_BITS & (GRAMMAR_MAX_COUNT - 1); }
static uint32_t count_distinct(uint32_t b) { return b >> (PHASE_BITS + 14); }

static uint32_t with_phase(uint32_t b, uint32_t phase)
{
    return (b & ~(uint32_t)((1 << PHASE_BITS) - 1)) | phase;
}

static uint32_t count_more(const struct grammar_object *o, uint32_t b, bool is_new_key)
{
    uint32_t all = count_all(b), distinct = count_distinct(b);
    if (o->max != REGEX_INF)
        all++;
    if (is_new_key && distinct < o->min)
        distinct++;
    return (b & ((1 << PHASE_BITS) - 1)) | all << PHASE_BITS | distinct << (PHASE_BITS + 14);
}

/* Whether the object can end after `passed` properties (n_prop + 1: and an unnamed member). */
static bool object_may_close(const struct grammar *g, const struct grammar_object *o,
                             uint32_t passed, uint32_t b)
{
    for (uint32_t i = passed; i < o->n_prop; i++)
        if (g->props[o->first_prop + i].required)
            return false;
    return count_distinct(b) >= o->min;
}

/* Whether, once properties up to `passed` are behind, the wishes for their number can be met. */
static bool object_can_end(const struct grammar *g, const struct grammar_object *o, uint32_t passed,
                           uint32_t b)
{
    uint32_t required = 0, possible = 0;
    for (uint32_t i = passed; i < o->n_prop; i++) {
        required += g->props[o->first_prop + i].required;
        possible += g->props[o->first_prop + i].value != GRAMMAR_NONE;
    }
    if (o->n_extra && passed <= o->n_prop)
        possible++;
    uint32_t room = o->max == REGEX_INF ? REGEX_INF : o->max - count_all(b);
    uint32_t missing = count_distinct(b) < o->min ? o->min - count_distinct(b) : 0;
    return required <= room && missing <= room && missing <= possible;
}

static bool may_name(const struct grammar *g, const struct grammar_object *o, uint32_t prop,
                     uint32_t b)
{
    if (g->props[o->first_prop + prop].value == GRAMMAR_NONE)
        return false;
    if (o->min == 0 && o->max == REGEX_INF)
        return true;
    if (o->max != REGEX_INF && count_all(b) >= o->max)
        return false;
    return object_can_end(g, o, prop + 1, count_more(o, b, true));
}

/* The last property that may come next when `passed` are behind: the first required one. */
static uint32_t last_candidate(const struct grammar *g, const struct grammar_object *o,
                               uint32_t passed)
{
    for (uint32_t i = passed; i < o->n_prop; i++)
        if (g->props[o->first_prop + i].required)
            return i;
    return o->n_prop; /* none: all of them, and unnamed members too */
}

static bool may_extra(const struct grammar *g, const struct grammar_object *o, uint32_t passed,
                      uint32_t b)
{
    if (o->n_extra == 0 || (o->max != REGEX_INF && count_all(b) >= o->max) ||
        last_candidate(g, o, passed) < o->n_prop)
        return false;
    return object_can_end(g, o, o->n_prop + 1, count_more(o, b, passed <= o->n_prop));
}

static bool may_any_name(const struct grammar *g, const struct grammar_object *o, uint32_t passed,
                         uint32_t b)
{
    uint32_t last = last_candidate(g, o, passed);
    for (uint32_t i = passed; i <= last && i < o->n_prop; i++)
        if (may_name(g, o, i, b))
            return true;
    return false;
}

/* Whether a name below this node of the tree may come, under the KEY frame; `last` is the last
 * candidate there. */
static bool name_leads_on(const struct grammar *g, const struct grammar_object *o,
                          const struct grammar_name *name, const struct machine_frame *key,
                          uint32_t last)
{
    for (uint32_t i = name->first; i < name->end; i++) {
        uint32_t prop = g->order[o->order + i];
        if (prop >= key->a && prop <= last && may_name(g, o, prop, key->b))
            return true;
    }
    return false;
}

static void enter_object(struct machine *m, uint32_t node, uint32_t parent)
{
    const struct grammar *g = m->g;
    const struct grammar_object *o = &g->objects[g->nodes[node].a];
    struct machine_frame key = {.node = node, .b = OBJECT_KEY, .parent = parent};
    if (may_any_name(g, o, 0, 0) || may_extra(g, o, 0, 0))
        enter_above(m, g->pieces[GRAMMAR_OBJECT_OPEN], key);
    if (object_may_close(g, o, 0, 0))
        enter(m, g->pieces[GRAMMAR_OBJECT_EMPTY], parent);
}

static void object_keys(struct machine *m, uint32_t frame)
{
    const struct grammar *g = m->g;
    const struct machine_frame f = m->frames[frame];
    const struct grammar_object *o = &g->objects[g->nodes[f.node].a];
    if (o->names && may_any_name(g, o, f.a, f.b))
        add_top(m, (struct machine_frame){f.node, o->names, OBJECT_NAME, frame});
    if (!may_extra(g, o, f.a, f.b))
        return;
    uint32_t b = with_phase(count_more(o, f.b, f.a <= o->n_prop), OBJECT_EXTRA);
    for (uint32_t i = 0; i < o->n_extra; i++)
        enter_above(m, g->extras[o->first_extra + i].key,
                    (struct machine_frame){f.node, i, b, f.parent});
}

static void object_returned(struct machine *m, uint32_t frame)
{
    const struct grammar *g = m->g;
    struct machine_frame f = m->frames[frame];
    const struct grammar_object *o = &g->objects[g->nodes[f.node].a];
    uint32_t phase = f.b & ((1 << PHASE_BITS) - 1), prop = f.a;
    switch (phase) {
    case OBJECT_KEY: object_keys(m, frame); break;
    case OBJECT_EXTRA:
        f.b = with_phase(f.b, OBJECT_COLON2);
        enter_above(m, g->pieces[GRAMMAR_COLON], f);
        break;
    case OBJECT_COLON:
        f.a = prop + 1;
        f.b = with_phase(f.b, OBJECT_AFTER);
        enter_above(m, g->props[o->first_prop + prop].value, f);
        break;
    case OBJECT_COLON2:
        f.a = o->n_prop + 1;
        f.b = with_phase(f.b, OBJECT_AFTER);
        enter_above(m, g->extras[o->first_extra + prop].value, f);
        break;
    default: /* OBJECT_AFTER */
        f.b = with_phase(f.b, OBJECT_KEY);
        if (may_any_name(g, o, f.a, f.b) || may_extra(g, o, f.a, f.b))
            enter_above(m, g->pieces[GRAMMAR_COMMA], f);
        if (object_may_close(g, o, f.a, f.b))
            enter(m, g->pieces[GRAMMAR_OBJECT_CLOSE], f.parent);
    }
}

/* One byte of a named key. */
static void step_name(struct machine *m, struct machine_frame f, uint8_t byte)
{
    const struct grammar *g = m->g;
    const struct machine_frame key = m->frames[f.parent];
    const struct grammar_object *o = &g->objects[g->nodes[f.node].a];
    const struct grammar_name *at = &g->names[f.a];
    uint32_t last = last_candidate(g, o, key.a);
    if (byte == '"' && at->prop != REGEX_INF) {
        uint32_t prop = at->prop;
        if (prop >= key.a && prop <= last && may_name(g, o, prop, key.b))
            enter_above(m, g->pieces[GRAMMAR_COLON],
                        (struct machine_frame){f.node, prop,
                                               with_phase(count_more(o, key.b, true), OBJECT_COLON),
                                               key.parent});
        return;
    }
    for (uint32_t c = at->child; c; c = g->names[c].sibling)
        if (g->names[c].byte == byte && name_leads_on(g, o, &g->names[c], &key, last))
            add_top(m, (struct machine_frame){f.node, c, OBJECT_NAME, f.parent});
}

static void name_bytes(const struct machine *m, struct machine_frame f, uint64_t bytes[4])
{
    const struct grammar *g = m->g;
    const struct machine_frame key = m->frames[f.parent];
    const struct grammar_object *o = &g->objects[g->nodes[f.node].a];
    const struct grammar_name *at = &g->names[f.a];
    uint32_t last = last_candidate(g, o, key.a);
    if (at->prop != REGEX_INF && at->prop >= key.a && at->prop <= last &&
        may_name(g, o, at->prop, key.b))
        bytes['"' >> 6] |= UINT64_C(1) << ('"' & 63);
    for (uint32_t c = at->child; c; c = g->names[c].sibling)
        if (name_leads_on(g, o, &g->names[c], &key, last))
            bytes[g->names[c].byte >> 6] |= UINT64_C(1) << (g->names[c].byte & 63);
}

/* ---- arrays ---- */

static bool array_may_close(const struct grammar_array *a, uint32_t n, uint32_t b)
{
    return n >= a->min && (!a->match || b >> 1 >= a->want);
}

static uint32_t array_node(const struct grammar *g, const struct grammar_array *a, uint32_t i)
{
    return i < a->n_prefix ? g->kids[a->first + i] : a->item;
}

/* Whether element n may be of the sort that does not match, with `have` matches before it. */
static bool array_may_other(const struct grammar_array *a, uint32_t n, uint32_t have)
{
    uint32_t missing = have < a->want ? a->want - have : 0;
    return a->item != GRAMMAR_NONE && (a->max == REGEX_INF || a->max - n - 1 >= missing);
}

static bool array_may_match(const struct grammar_array *a, uint32_t have)
{
    return a->match && (a->want_max == REGEX_INF || have < a->want_max);
}

static bool array_may_go_on(const struct grammar *g, const struct grammar_array *a, uint32_t n,
                            uint32_t b)
{
    if (n >= a->max)
        return false;
    if (a->is_set || a->is_unique)
        return a->is_unique || n < a->n_prefix;
    if (a->match)
        return array_may_match(a, b >> 1) || array_may_other(a, n, b >> 1);
    return array_node(g, a, n) != GRAMMAR_NONE;
}

/* Elements beyond those that are counted are all alike. */
static uint32_t array_count(const struct grammar_array *a, uint32_t n)
{
    uint32_t cap = a->min > a->n_prefix ? a->min : a->n_prefix;
    return a->max == REGEX_INF && n > cap ? cap : n;
}

static void enter_array(struct machine *m, uint32_t node, uint32_t parent)
{
    const struct grammar *g = m->g;
    const struct grammar_array *a = &g->arrays[g->nodes[node].a];
    struct machine_frame f = {.node = node, .b = ARRAY_NEXT, .parent = parent};
    if (array_may_go_on(g, a, 0, 0))
        enter_above(m, g->pieces[GRAMMAR_ARRAY_OPEN], f);
    if (array_may_close(a, 0, 0))
        enter(m, g->pieces[GRAMMAR_ARRAY_EMPTY], parent);
}

static void array_element(struct machine *m, struct machine_frame f, const struct grammar_array *a)
{
    const struct grammar *g = m->g;
    uint32_t note = f.b >> 1;
    if (a->is_unique) {
        add_top(m, f); /* sealed */
        return;
    }
    f.b = note << 1 | ARRAY_AFTER;
    if (a->is_set) {
        for (uint32_t i = 0; i < a->n_prefix; i++)
            if (!(note >> i & 1)) {
                f.b = (note | 1u << i) << 1 | ARRAY_AFTER;
                enter_above(m, g->kids[a->first + i], f);
            }
    } else if (a->match) {
        if (array_may_other(a, f.a, note))
            enter_above(m, a->item, f);
        uint32_t cap = a->want_max == REGEX_INF ? a->want : a->want_max;
        f.b = (note < cap ? note + 1 : note) << 1 | ARRAY_AFTER;
        if (array_may_match(a, note))
            enter_above(m, a->match, f);
    } else {
        enter_above(m, array_node(g, a, f.a), f);
    }
}

static void array_returned(struct machine *m, uint32_t frame)
{
    const struct grammar *g = m->g;
    struct machine_frame f = m->frames[frame];
    const struct grammar_array *a = &g->arrays[g->nodes[f.node].a];
    if ((f.b & 1) == ARRAY_NEXT) {
        array_element(m, f, a);
        return;
    }
    f.a = array_count(a, f.a + 1);
    f.b = (f.b & ~1u) | ARRAY_NEXT;
    if (array_may_go_on(g, a, f.a, f.b))
        enter_above(m, g->pieces[GRAMMAR_COMMA], f);
    if (array_may_close(a, f.a, f.b))
        enter(m, g->pieces[GRAMMAR_ARRAY_CLOSE], f.parent);
}

/* ---- entering and leaving ---- */

static void enter_node(struct machine *m, uint32_t node, uint32_t parent)
{
    const struct grammar *g = m->g;
    const struct grammar_node *n = &g->nodes[node];
    struct machine_frame f = {.node = node, .parent = parent};
    switch ((enum grammar_kind)n->kind) {
    case GRAMMAR_UNSET: break;
    case GRAMMAR_EMPTY: leave(m, parent); break;
    case GRAMMAR_BYTES:
    case GRAMMAR_DIFFER: /* sealed */
    case GRAMMAR_TOKEN: add_top(m, f); break;
    case GRAMMAR_TERM:
        f.a = REGEX_DFA_START;
        if (g->dfas[n->a].states[f.a].accepts)
            leave(m, parent);
        add_top(m, f);
        break;
    case GRAMMAR_STRING:
        f.a = REGEX_DFA_START;
        f.b = STRING_QUOTE;
        add_top(m, f);
        break;
    case GRAMMAR_SEQ:
        f.a = 1;
        enter_above(m, g->kids[n->a], f);
        break;
    case GRAMMAR_ALT:
        for (uint32_t i = 0; i < n->b; i++)
            enter(m, g->kids[n->a + i], parent);
        break;
    case GRAMMAR_REP:
        if (n->b == 0)
            leave(m, parent);
        f.a = 1;
        enter_above(m, n->a, f);
        break;
    case GRAMMAR_OBJECT: enter_object(m, node, parent); break;
    case GRAMMAR_ARRAY: enter_array(m, node, parent); break;
    }
}

static void return_to(struct machine *m, uint32_t frame)
{
    const struct grammar *g = m->g;
    struct machine_frame f = m->frames[frame];
    const struct grammar_node *n = &g->nodes[f.node];
    if (frame == 0) {
        m->returned = true;
        return;
    }
    switch ((enum grammar_kind)n->kind) {
    case GRAMMAR_SEQ:
        if (f.a + 1 == n->b) {
            enter(m, g->kids[n->a + f.a], f.parent); /* the last: its end is the end of all */
            break;
        }
        f.a++;
        enter_above(m, g->kids[n->a + f.a - 1], f);
        break;
    case GRAMMAR_REP:
        /* f.a copies are done; without an upper limit only those up to the lower one count. */
        if (f.a >= n->b)
            leave(m, f.parent);
        if (n->c == REGEX_INF || f.a < n->c) {
            f.a = n->c == REGEX_INF && f.a >= n->b ? (n->b ? n->b : 1) : f.a + 1;
            enter_above(m, n->a, f);
        }
        break;
    case GRAMMAR_OBJECT: object_returned(m, frame); break;
    case GRAMMAR_ARRAY: array_returned(m, frame); break;
    default: break;
    }
}

static void begin_step(struct machine *m)
{
    m->n_work = m->n_tops = m->n_seen = 0;
    m->returned = false;
    m->stamp++;
}

static uint32_t finish_step(struct machine *m)
{
    for (uint32_t i = 0; i < m->n_work && m->status == OLL_OK && !m->full; i++) {
        struct machine_work w = m->work[i];
        if (!is_new(m, w))
            continue;
        if (w.node == GRAMMAR_NONE)
            return_to(m, w.frame);
        else
            enter_node(m, w.node, w.frame);
    }
    if (m->g->pool.status != OLL_OK)
        fail(m, m->g->pool.status);
    return intern_state(m);
}

/* ---- bytes ---- */

static void step_top(struct machine *m, uint32_t top, uint8_t byte)
{
    struct grammar *g = m->g;
    struct machine_frame f = m->frames[top];
    const struct grammar_node *n = &g->nodes[f.node];
    switch ((enum grammar_kind)n->kind) {
    case GRAMMAR_BYTES:
        if (g->bytes[n->a + f.a] != byte)
            break;
        f.a++;
        if (f.a == n->b)
            leave(m, f.parent);
        else
            add_top(m, f);
        break;
    case GRAMMAR_TERM:
    case GRAMMAR_STRING: {
        struct regex_dfa *dfa = &g->dfas[n->a];
        struct string_place place = {f.a, f.b};
        enum string_outcome outcome = n->kind == GRAMMAR_TERM
                                          ? grammar_string_step_raw(dfa, &place, byte)
                                          : grammar_string_step(dfa, n->b, &place, byte);
        if (outcome == STRING_REFUSED)
            break;
        if (outcome == STRING_ENDED) {
            leave(m, f.parent);
            break;
        }
        f.a = place.state;
        f.b = place.stage;
        if (n->kind == GRAMMAR_TERM && f.b == 0 && dfa->states[f.a].accepts) {
            leave(m, f.parent);
            const uint64_t *bytes = regex_dfa_bytes(dfa, f.a);
            if (!(bytes[0] | bytes[1] | bytes[2] | bytes[3]))
                break; /* nothing can follow: the frame is done */
        }
        add_top(m, f);
        break;
    }
    case GRAMMAR_OBJECT: step_name(m, f, byte); break;
    default: break;
    }
}

/* Adds the bytes that lead on from a thread. */
static void top_bytes(struct machine *m, uint32_t top, uint64_t bytes[4])
{
    struct grammar *g = m->g;
    struct machine_frame f = m->frames[top];
    const struct grammar_node *n = &g->nodes[f.node];
    struct string_place place = {f.a, f.b};
    if (n->kind == GRAMMAR_BYTES)
        bytes[g->bytes[n->a + f.a] >> 6] |= UINT64_C(1) << (g->bytes[n->a + f.a] & 63);
    else if (n->kind == GRAMMAR_TERM)
        grammar_string_bytes_raw(&g->dfas[n->a], place, bytes);
    else if (n->kind == GRAMMAR_STRING)
        grammar_string_bytes(&g->dfas[n->a], n->b, place, bytes);
    else if (n->kind == GRAMMAR_OBJECT)
        name_bytes(m, f, bytes);
}

uint32_t machine_step(struct machine *m, uint32_t state, uint8_t byte)
{
    struct machine_state *s = &m->states[state];
    if (!machine_allows(s, byte))
        return MACHINE_DEAD;
    if (!s->next) {
        if (m->full || !(s->next = oll_alloc(256, sizeof *s->next))) {
            if (!m->full)
                fail(m, OLL_ERR_MEMORY);
            return MACHINE_DEAD;
        }
        memset(s->next, 0xFF, 256 * sizeof *s->next);
        m->n_bytes += 256 * sizeof *s->next;
        m->full = m->n_bytes > MACHINE_MAX_BYTES;
    }
    if (s->next[byte] != REGEX_INF)
        return s->next[byte];
    uint32_t first = s->first, n = s->n;
    begin_step(m);
    for (uint32_t i = 0; i < n; i++)
        step_top(m, m->threads[first + i], byte);
    uint32_t to = finish_step(m);
    if (m->status == OLL_OK && !m->full)
        m->states[state].next[byte] = to;
    return to;
}

static bool waits_for(const struct machine *m, uint32_t top, uint32_t token)
{
    const struct grammar_node *n = &m->g->nodes[m->frames[top].node];
    return n->kind == GRAMMAR_TOKEN && (n->a == token) != (bool)n->b;
}

bool machine_allows_token(const struct machine *m, uint32_t state, uint32_t token)
{
    const struct machine_state *s = &m->states[state];
    for (uint32_t i = 0; i < s->n; i++)
        if (waits_for(m, m->threads[s->first + i], token))
            return true;
    return false;
}

uint32_t machine_step_token(struct machine *m, uint32_t state, uint32_t token, uint32_t by_text)
{
    uint32_t first = m->states[state].first, n = m->states[state].n;
    begin_step(m);
    for (uint32_t i = 0; i < n; i++)
        if (waits_for(m, m->threads[first + i], token))
            leave(m, m->frames[m->threads[first + i]].parent);
    if (by_text != MACHINE_DEAD) {
        const struct machine_state t = m->states[by_text];
        m->returned = t.accepts;
        for (uint32_t i = 0; i < t.n; i++)
            add_top(m, m->frames[m->threads[t.first + i]]);
    }
    return finish_step(m);
}

/* ---- unique elements ---- */

/* Enters an element that differs from the values of `used`. */
static void enter_unique(struct machine *m, struct machine_frame f, uint32_t used)
{
    struct grammar *g = m->g;
    const struct grammar_array a = g->arrays[g->nodes[f.node].a];
    uint32_t others = regex_not(&g->pool, used);
    f.b = used << 1 | ARRAY_AFTER;
    if (a.strings != REGEX_NONE)
        enter_above(m, grammar_string(g, regex_and2(&g->pool, a.strings, others)), f);
    if (a.numbers != REGEX_NONE)
        enter_above(m, grammar_term(g, regex_and2(&g->pool, a.numbers, others)), f);
    for (int i = 0; i < 3; i++)
        if ((a.words >> i & 1) &&
            !regex_matches(&g->pool, used, unique_text_words[i], strlen(unique_text_words[i])))
            enter_above(
                m, grammar_bytes(g, unique_text_words[i] + 1, strlen(unique_text_words[i]) - 1), f);
    enter_above(m, a.objects, f);
    if (g->status != OLL_OK)
        fail(m, g->status);
}

/* Enters a member that has none of the values of `used`. */
static void enter_differ(struct machine *m, struct machine_frame f, uint32_t used)
{
    struct grammar *g = m->g;
    const struct grammar_node n = g->nodes[f.node];
    uint32_t others = regex_not(&g->pool, used);
    if (n.a != REGEX_NONE)
        enter(m, grammar_string(g, regex_and2(&g->pool, n.a, others)), f.parent);
    if (n.b != REGEX_NONE)
        enter(m, grammar_term(g, regex_and2(&g->pool, n.b, others)), f.parent);
    if (g->status != OLL_OK)
        fail(m, g->status);
}

bool machine_sealed_member(const struct machine *m, uint32_t state)
{
    const struct machine_state *s = &m->states[state];
    for (uint32_t i = 0; i < s->n; i++)
        if (m->g->nodes[m->frames[m->threads[s->first + i]].node].kind == GRAMMAR_DIFFER)
            return true;
    return false;
}

bool machine_sealed_first(const struct machine *m, uint32_t state)
{
    const struct machine_state *s = &m->states[state];
    for (uint32_t i = 0; i < s->n; i++)
        if (is_sealed(m, m->threads[s->first + i]) && m->frames[m->threads[s->first + i]].a > 0)
            return false;
    return true;
}

uint32_t machine_unseal(struct machine *m, uint32_t state, uint32_t last)
{
    const struct machine_state s = m->states[state];
    if (!s.sealed)
        return state;
    begin_step(m);
    m->returned = s.accepts;
    for (uint32_t i = 0; i < s.n; i++) {
        struct machine_frame f = m->frames[m->threads[s.first + i]];
        uint32_t used = f.b >> 1;
        if (!is_sealed(m, m->threads[s.first + i]))
            add_top(m, f);
        else if (m->g->nodes[f.node].kind == GRAMMAR_DIFFER)
            enter_differ(m, f, last);
        else
            enter_unique(m, f, f.a ? regex_alt2(&m->g->pool, used, last) : used);
    }
    return finish_step(m);
}

bool machine_in_unique(const struct machine *m, uint32_t state)
{
    const struct machine_state *s = &m->states[state];
    for (uint32_t i = 0; i < s->n; i++)
        for (uint32_t f = m->threads[s->first + i]; f; f = m->frames[f].parent) {
            const struct grammar_node *n = &m->g->nodes[m->frames[f].node];
            if (n->kind == GRAMMAR_ARRAY && m->g->arrays[n->a].is_unique)
                return true;
        }
    return false;
}

/* ---- life ---- */

oll_status machine_init(struct machine *m, struct grammar *g)
{
    *m = (struct machine){.g = g};
    if (!grow_frame_table(m) || !grow_state_table(m) ||
        !grow_counted(m, (void **)&m->frames, &m->cap_frames, 64, sizeof *m->frames) ||
        !grow_counted(m, (void **)&m->threads, &m->cap_threads, 64, sizeof *m->threads) ||
        !grow_counted(m, (void **)&m->tops, &m->cap_tops, 64, sizeof *m->tops) ||
        !grow_counted(m, (void **)&m->states, &m->cap_states, 64, sizeof *m->states)) {
        machine_free(m);
        return OLL_ERR_MEMORY;
    }
    m->frames[m->n_frames++] = (struct machine_frame){0};
    m->states[m->n_states++] = (struct machine_state){0};
    begin_step(m);
    enter(m, g->root, 0);
    m->start = finish_step(m);
    oll_status status = m->status;
    if (status != OLL_OK)
        machine_free(m);
    return status;
}

void machine_free(struct machine *m)
{
    for (uint32_t i = 0; i < m->n_states; i++) {
        oll_free(m->states[i].next);
        oll_free(m->states[i].mask);
    }
    oll_free(m->frames);
    oll_free(m->frame_table);
    oll_free(m->states);
    oll_free(m->state_table);
    oll_free(m->threads);
    oll_free(m->work);
    oll_free(m->tops);
    oll_free(m->seen);
    oll_free(m->seen_stamp);
    *m = (struct machine){0};
}

/* The same stack in the other machine, from its bottom up. */
static uint32_t carry_stack(struct machine *to, const struct machine *from, uint32_t top)
{
    uint32_t depth = 0, *path = NULL, cap = 0, parent = 0;
    for (uint32_t f = top; f; f = from->frames[f].parent) {
        if (!grow_array((void **)&path, &cap, depth + 1ull, MAX_ELEMENTS, sizeof *path)) {
            fail(to, OLL_ERR_MEMORY);
            break;
        }
        path[depth++] = f;
    }
    while (depth > 0 && to->status == OLL_OK && !to->full) {
        struct machine_frame f = from->frames[path[--depth]];
        f.parent = parent;
        parent = intern_frame(to, f);
    }
    oll_free(path);
    return parent;
}

uint32_t machine_carry(struct machine *to, const struct machine *from, uint32_t state)
{
    const struct machine_state s = from->states[state];
    begin_step(to);
    to->returned = s.accepts;
    for (uint32_t i = 0; i < s.n; i++) {
        uint32_t top = carry_stack(to, from, from->threads[s.first + i]);
        if (top)
            add_top(to, to->frames[top]);
    }
    return intern_state(to);
}

uint32_t machine_string_term(const struct machine *m, uint32_t top)
{
    const struct machine_frame *f = &m->frames[top];
    const struct grammar_node *n = &m->g->nodes[f->node];
    if (n->kind != GRAMMAR_STRING || f->b != STRING_BODY)
        return REGEX_NONE;
    return m->g->dfas[n->a].states[f->a].regex;
}
