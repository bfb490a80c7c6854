#include "tokenizer/partition.h"

#include "engine/base/mem.h"

#include <stdlib.h>

/* ---- the automaton ---- */

static bool is_special(const struct vocab *vocab, int32_t id)
{
    uint8_t type = vocab->types[id];
    bool special = type == VOCAB_CONTROL || type == VOCAB_USER || type == VOCAB_UNKNOWN ||
                   (vocab->flags[id] & VOCAB_IS_ROLE);
    return special && !(vocab->flags[id] & VOCAB_IS_EMPTY);
}

static oll_status add_reversed(struct partition *part, int32_t id)
{
    char reversed[512], *buffer = reversed;
    size_t n;
    const char *text = vocab_text(part->vocab, id, &n);
    if (n == 0)
        return OLL_OK;
    if (n > sizeof reversed && !(buffer = oll_alloc(n, 1)))
        return OLL_ERR_MEMORY;
    for (size_t i = 0; i < n; i++)
        buffer[i] = text[n - 1 - i];
    oll_status status = byte_trie_add(&part->trie, buffer, n, id);
    part->last_byte[(unsigned char)buffer[0]] = true;
    part->max_len = n > part->max_len ? (uint32_t)n : part->max_len;
    if (buffer != reversed)
        oll_free(buffer);
    return status;
}

/* The state after one more byte; counted in trie steps this is linear in the bytes read. */
static uint32_t next_state(const struct partition *part, uint32_t state, char byte)
{
    for (;;) {
        const struct byte_trie_edge *edge = byte_trie_step(&part->trie, state, byte);
        if (edge)
            return edge->child;
        if (state == 0)
            return 0;
        state = part->states[state].fail;
    }
}

/* Edges sorted by the depth of their node, so that a state is linked after all shorter ones. A
 * child has a higher number than its parent, so depths are known in the order of the children. */
static const struct byte_trie_edge **edges_by_depth(struct partition *part)
{
    uint32_t n = part->trie.n_nodes, n_slots = part->trie.mask + 1;
    const struct byte_trie_edge **by_child = oll_calloc(n + 1, sizeof(void *));
    const struct byte_trie_edge **sorted = oll_calloc(n + 1, sizeof(void *));
    uint32_t *start = oll_calloc((size_t)part->max_len + 2, sizeof *start);
    if (!by_child || !sorted || !start) {
        oll_free(sorted);
        sorted = NULL;
        goto done;
    }
    for (uint32_t i = 0; i < n_slots; i++)
        if (part->trie.edges[i].child)
            by_child[part->trie.edges[i].child] = &part->trie.edges[i];
    for (uint32_t child = 1; child <= n; child++) {
        uint32_t depth = part->states[by_child[child]->key >> 8].depth + 1;
        part->states[child].depth = depth;
        part->states[child].id = by_child[child]->value;
        start[depth + 1]++;
    }
    for (uint32_t depth = 1; depth <= part->max_len + 1; depth++)
        start[depth] += start[depth - 1];
    for (uint32_t child = 1; child <= n; child++)
        sorted[start[part->states[child].depth]++] = by_child[child];
done:
    oll_free(by_child);
    oll_free(start);
    return sorted;
}

static oll_status link_states(struct partition *part)
{
    uint32_t n = part->trie.n_nodes;
    part->states = oll_calloc((size_t)n + 1, sizeof *part->states);
    if (!part->states)
        return OLL_ERR_MEMORY;
    part->states[0].id = OLL_TOKEN_NONE;
    const struct byte_trie_edge **edges = edges_by_depth(part);
    if (!edges)
        return OLL_ERR_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t parent = edges[i]->key >> 8;
        struct partition_state *state = &part->states[edges[i]->child];
        if (parent != 0)
            state->fail = next_state(part, part->states[parent].fail, (char)(edges[i]->key & 0xFF));
        const struct partition_state *fail = &part->states[state->fail];
        state->next = fail->id != OLL_TOKEN_NONE ? state->fail : fail->next;
    }
    oll_free(edges);
    return OLL_OK;
}

oll_status partition_init(struct partition *part, const struct vocab *vocab, struct oll_error *err)
{
    part->vocab = vocab;
    for (int32_t id = 0; id < vocab->n_tokens; id++) {
        if (!is_special(vocab, id))
            continue;
        oll_status status = add_reversed(part, id);
        if (status != OLL_OK)
            return OLL_FAIL(err, status,
                            "tokenizer.ggml.tokens: no index of the special tokens: %s",
                            oll_status_text(status));
    }
    if (!part->trie.edges)
        return OLL_OK;
    oll_status status = link_states(part);
    return status == OLL_OK ? OLL_OK : OLL_FAIL(err, status, "out of memory for the vocabulary");
}

void partition_free(struct partition *part)
{
    byte_trie_free(&part->trie);
    oll_free(part->states);
    part->states = NULL;
}

/* ---- occurrences ---- */

/* The token that starts at `pos` and is wanted there at the moment; shorter ones follow on the way
 * of `next`. */
struct occurrence {
    size_t pos;
    uint32_t state;  /* of the token; 0 once given up */
    uint32_t follow; /* next of the same length, as an index + 1 */
};

struct occurrences {
    struct occurrence *items; /* in falling order of pos */
    size_t n, cap;
    uint32_t *by_len;        /* heads of lists, indices + 1 */
    unsigned char *occupied; /* one per byte of the text: belongs to a token taken */
};

static bool wanted(const struct partition *part, int32_t id, bool parse_special)
{
    return id != OLL_TOKEN_NONE && (parse_special || part->vocab->types[id] == VOCAB_USER);
}

/* The longest wanted token of at most `max_len` bytes that a state ends, as its state; 0: none. */
static uint32_t longest(const struct partition *part, uint32_t state, bool parse_special,
                        size_t max_len)
{
    if (part->states[state].id == OLL_TOKEN_NONE)
        state = part->states[state].next;
    while (state && (part->states[state].depth > max_len ||
                     !wanted(part, part->states[state].id, parse_special)))
        state = part->states[state].next;
    return state;
}

static oll_status add_occurrence(struct occurrences *found, size_t pos, uint32_t state)
{
    if (found->n == found->cap) {
        size_t cap = found->cap ? found->cap * 2 : 64;
        if (cap >= UINT32_MAX)
            return OLL_ERR_MEMORY;
        struct occurrence *items = oll_realloc(found->items, cap, sizeof *items);
        if (!items)
            return OLL_ERR_MEMORY;
        found->items = items;
        found->cap = cap;
    }
    found->items[found->n++] = (struct occurrence){pos, state, 0};
    return OLL_OK;
}

static oll_status find_occurrences(const struct partition *part, const char *text, size_t n,
                                   bool parse_special, struct occurrences *found)
{
    uint32_t state = 0;
    for (size_t pos = n; pos-- > 0;) {
        if (state == 0 && !part->last_byte[(unsigned char)text[pos]])
            continue; /* nearly all bytes of nearly all texts */
        state = next_state(part, state, text[pos]);
        uint32_t token = longest(part, state, parse_special, SIZE_MAX);
        if (token)
            OLL_TRY(add_occurrence(found, pos, token));
    }
    return OLL_OK;
}

/* ---- overlaps ---- */

static bool is_white(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static void take(const struct partition *part, struct occurrences *found, const char *text,
                 size_t n, const struct occurrence *o)
{
    const struct partition_state *state = &part->states[o->state];
    size_t begin = o->pos, end = o->pos + state->depth;
    uint8_t flags = part->vocab->flags[state->id];
    while ((flags & VOCAB_LSTRIP) && begin > 0 && !found->occupied[begin - 1] &&
           is_white(text[begin - 1]))
        begin--;
    while ((flags & VOCAB_RSTRIP) && end < n && !found->occupied[end] && is_white(text[end]))
        end++;
    memset(found->occupied + begin, 1, end - begin);
}

static void file_by_len(const struct partition *part, struct occurrences *found, uint32_t i)
{
    uint32_t len = part->states[found->items[i].state].depth;
    found->items[i].follow = found->by_len[len];
    found->by_len[len] = i + 1;
}

struct ranked {
    int32_t id;
    uint32_t i;
};

/* By id, then leftmost first: items lie in falling order of position. */
static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->i > y->i ? -1 : x->i < y->i;
}

/* Collects the list of one length into `order`, sorted; the list itself is emptied. */
static size_t sorted_list(const struct partition *part, struct occurrences *found, uint32_t len,
                          struct ranked *order)
{
    size_t n = 0;
    bool sorted = true;
    for (uint32_t k = found->by_len[len]; k; k = found->items[k - 1].follow, n++) {
        order[n] = (struct ranked){part->states[found->items[k - 1].state].id, k - 1};
        sorted = sorted && (n == 0 || compare_ranked(&order[n - 1], &order[n]) < 0);
    }
    found->by_len[len] = 0;
    if (!sorted)
        qsort(order, n, sizeof *order, compare_ranked);
    return n;
}

/* Decides between overlapping occurrences; those not taken end with state 0. */
static oll_status resolve(const struct partition *part, struct occurrences *found, const char *text,
                          size_t n, bool parse_special)
{
    struct ranked *order = oll_alloc(found->n, sizeof *order);
    found->by_len = oll_calloc((size_t)part->max_len + 1, sizeof *found->by_len);
    found->occupied = oll_calloc(n, 1);
    if (!order || !found->by_len || !found->occupied) {
        oll_free(order);
        return OLL_ERR_MEMORY;
    }
    for (size_t i = 0; i < found->n; i++)
        file_by_len(part, found, (uint32_t)i);
    for (uint32_t len = part->max_len; len > 0; len--) {
        size_t n_order = sorted_list(part, found, len, order);
        for (size_t k = 0; k < n_order; k++) {
            struct occurrence *o = &found->items[order[k].i];
            const unsigned char *hit = memchr(found->occupied + o->pos, 1, len);
            if (!hit) {
                take(part, found, text, n, o);
                continue;
            }
            /* A shorter token may still fit in front of what is taken. */
            size_t room = (size_t)(hit - found->occupied) - o->pos;
            o->state = room ? longest(part, part->states[o->state].next, parse_special, room) : 0;
            if (o->state)
                file_by_len(part, found, order[k].i);
        }
    }
    oll_free(order);
    return OLL_OK;
}

/* ---- fragments ---- */

static oll_status add_fragment(struct fragments *out, struct fragment fragment)
{
    if (fragment.begin == fragment.end)
        return OLL_OK;
    if (out->n == out->cap) {
        size_t cap = out->cap ? out->cap * 2 : 16;
        struct fragment *items = oll_realloc(out->items, cap, sizeof *items);
        if (!items)
            return OLL_ERR_MEMORY;
        out->items = items;
        out->cap = cap;
    }
    out->items[out->n++] = fragment;
    return OLL_OK;
}

static oll_status make_fragments(const struct partition *part, const struct occurrences *found,
                                 const char *text, size_t n, struct fragments *out)
{
    const struct vocab *vocab = part->vocab;
    size_t at = 0;
    bool after = false;
    uint8_t flags = 0;
    for (size_t i = found->n + 1; i-- > 0;) {
        /* The text behind the last token comes as item 0 does: after the loop's last token. */
        const struct occurrence *o = i > 0 ? &found->items[i - 1] : NULL;
        if (o && !o->state)
            continue;
        size_t begin = at, end = o ? o->pos : n;
        uint8_t next_flags = o ? vocab->flags[part->states[o->state].id] : 0;
        while ((flags & VOCAB_RSTRIP) && begin < end && is_white(text[begin]))
            begin++;
        while ((next_flags & VOCAB_LSTRIP) && end > begin && is_white(text[end - 1]))
            end--;
        OLL_TRY(add_fragment(out, (struct fragment){begin, end, OLL_TOKEN_NONE, after}));
        if (!o)
            break;
        const struct partition_state *state = &part->states[o->state];
        at = o->pos + state->depth;
        OLL_TRY(add_fragment(out, (struct fragment){o->pos, at, state->id, false}));
        after = true;
        flags = next_flags;
    }
    return OLL_OK;
}

oll_status partition_split(const struct partition *part, const char *text, size_t n,
                           bool parse_special, struct fragments *out)
{
    struct occurrences found = {0};
    oll_status status = OLL_OK;
    if (part->trie.edges)
        OLL_TRY_DONE(find_occurrences(part, text, n, parse_special, &found));
    if (found.n > 0)
        OLL_TRY_DONE(resolve(part, &found, text, n, parse_special));
    OLL_TRY_DONE(make_fragments(part, &found, text, n, out));
done:
    oll_free(found.items);
    oll_free(found.by_len);
    oll_free(found.occupied);
    return status;
}

void fragments_free(struct fragments *fragments)
{
    oll_free(fragments->items);
    *fragments = (struct fragments){0};
}
