#include "sampler/constraint.h"

#include "sampler/grammar_gbnf.h"
#include "sampler/grammar_machine.h"
#include "sampler/json_schema.h"
#include "sampler/unique_text.h"

#include "engine/base/mem.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

/* A machine, and the constraints whose states are in it. */
struct shared_machine {
    struct machine m;
    uint32_t n_refs;
};

struct oll_constraint_program {
    struct grammar g;
    struct shared_machine *machine; /* the newest; NULL until the first constraint */
    uint32_t slice_sets[TOKEN_TRIE_SLICES];
    const struct oll_token_trie *trie;
    atomic_uint n_refs;
    atomic_bool worn;
};

struct oll_constraint {
    struct oll_constraint_program *program;
    const struct oll_token_trie *trie;
    struct shared_machine *machine;
    uint32_t state;
    /* Of an array whose elements must differ: the text since it began, or a little before. */
    struct oll_strbuf text;
    uint32_t value;  /* of the last element: its term, REGEX_INF while not asked for */
    bool met_sealed; /* while a mask is made: it depends on the text */
    bool in_unique;
};

/* A machine gives way to a new one at this size, so that one mask has room to grow. */
enum {
    MACHINE_RENEW_BYTES = MACHINE_MAX_BYTES / 2,
    MAX_FORCED = 4096,
    MAX_RETRACT = 4,
    MAX_UNIQUE_TEXT = 8 << 20,
    WORN_NODES = REGEX_MAX_NODES / 4
};

/* ---- programs ---- */

/* A text that may come first. */
static uint32_t free_text(struct grammar *g, const struct oll_constraint_source *source)
{
    struct regex_pool *pool = &g->pool;
    const uint32_t mark = regex_text(pool, source->free_mark, strlen(source->free_mark));
    const uint32_t held = regex_cat(pool, REGEX_ALL, regex_cat(pool, mark, REGEX_ALL));
    const uint32_t parts[] = {
        grammar_bytes(g, source->free_open, strlen(source->free_open)),
        grammar_term(g, regex_not(pool, held)),
        grammar_bytes(g, source->free_close, strlen(source->free_close)),
    };
    const uint32_t either[] = {grammar_seq(g, parts, 3), grammar_empty(g)};
    return grammar_alt(g, either, 2);
}

static oll_status compile_part(struct grammar *g, const struct oll_constraint_source *source,
                               const struct oll_constraint_part *p, struct oll_error *err)
{
    const size_t n = strlen(p->schema_json);
    return p->arguments ? json_schema_compile_arguments(g, p->schema_json, n, p->arguments, err)
                        : json_schema_compile(g, p->schema_json, n, source->strict_spec, err);
}

/* One of several texts with a document inside. The error names no part: the caller knows better. */
static oll_status compile_parts(struct grammar *g, const struct oll_constraint_source *source,
                                struct oll_error *err)
{
    uint32_t *roots = oll_alloc(source->n_parts, sizeof *roots);
    oll_status status = roots ? OLL_OK : OLL_ERR_MEMORY;
    for (uint32_t i = 0; i < source->n_parts && status == OLL_OK; i++) {
        const struct oll_constraint_part *p = &source->parts[i];
        status = compile_part(g, source, p, err);
        const uint32_t ids[] = {grammar_bytes(g, p->before, strlen(p->before)), g->root,
                                grammar_bytes(g, p->after, strlen(p->after))};
        roots[i] = grammar_seq(g, ids, 3);
    }
    if (status == OLL_OK) {
        const uint32_t all[] = {source->free_open ? free_text(g, source) : grammar_empty(g),
                                grammar_alt(g, roots, source->n_parts)};
        g->root = grammar_seq(g, all, 2);
    }
    oll_free(roots);
    return status;
}

static oll_status compile(struct grammar *g, const struct oll_constraint_source *source,
                          const struct oll_tokenizer *tok, struct oll_error *err)
{
    if (source->grammar)
        OLL_TRY(gbnf_read(g, source->grammar, strlen(source->grammar), tok, err));
    else if (source->n_parts > 0)
        OLL_TRY(compile_parts(g, source, err));
    else
        OLL_TRY(json_schema_compile(g, source->format_json, strlen(source->format_json),
                                    source->strict_spec, err));
    grammar_finish(g);
    if (g->status != OLL_OK)
        return OLL_FAIL(err, g->status, "the grammar is too large: %s", oll_status_text(g->status));
    if (g->root != GRAMMAR_NONE)
        return OLL_OK;
    return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                    source->grammar ? "no text can satisfy this grammar"
                                    : "unsupported JSON schema: no document can satisfy it, at #");
}

oll_status oll_constraint_compile(const struct oll_constraint_source *source,
                                  const struct oll_tokenizer *tok,
                                  struct oll_constraint_program **out, struct oll_error *err)
{
    struct oll_constraint_program *p = oll_calloc(1, sizeof *p);
    if (!p)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for a grammar");
    atomic_init(&p->n_refs, 1);
    atomic_init(&p->worn, false);
    oll_status status = grammar_init(&p->g);
    if (status == OLL_OK)
        status = compile(&p->g, source, tok, err);
    if (status == OLL_OK) {
        *out = p;
        return OLL_OK;
    }
    oll_constraint_program_release(p);
    return OLL_FAIL(err, status, "the grammar: %s", oll_status_text(status));
}

struct oll_constraint_program *oll_constraint_program_retain(struct oll_constraint_program *p)
{
    /* Relaxed: whoever retains holds a reference already. */
    atomic_fetch_add_explicit(&p->n_refs, 1, memory_order_relaxed);
    return p;
}

bool oll_constraint_program_worn(const struct oll_constraint_program *p)
{
    return atomic_load_explicit(&p->worn, memory_order_relaxed);
}

static void release_machine(struct shared_machine *s)
{
    if (!s || --s->n_refs > 0)
        return;
    machine_free(&s->m);
    oll_free(s);
}

void oll_constraint_program_release(struct oll_constraint_program *p)
{
    /* Acquire and release: the last one sees what all others did to the program. */
    if (!p || atomic_fetch_sub_explicit(&p->n_refs, 1, memory_order_acq_rel) > 1)
        return;
    release_machine(p->machine);
    grammar_free(&p->g);
    oll_free(p);
}

/* ---- constraints ---- */

static oll_status new_machine(struct oll_constraint_program *p)
{
    struct shared_machine *s = oll_calloc(1, sizeof *s);
    if (!s)
        return OLL_ERR_MEMORY;
    oll_status status = machine_init(&s->m, &p->g);
    if (status != OLL_OK) {
        oll_free(s);
        return status;
    }
    s->n_refs = 1;
    release_machine(p->machine);
    p->machine = s;
    return OLL_OK;
}

/* Moves the constraint into the program's newest machine, which is renewed when it is large. */
static oll_status renew(struct oll_constraint *c)
{
    struct oll_constraint_program *p = c->program;
    regex_refuel(&p->g.pool);
    if (p->machine->m.n_bytes > MACHINE_RENEW_BYTES || p->machine->m.status != OLL_OK)
        OLL_TRY(new_machine(p));
    if (c->machine == p->machine)
        return OLL_OK;
    uint32_t state = machine_carry(&p->machine->m, &c->machine->m, c->state);
    if (state == MACHINE_DEAD)
        return p->machine->m.status != OLL_OK ? p->machine->m.status : OLL_ERR_LIMIT;
    release_machine(c->machine);
    c->machine = p->machine;
    c->machine->n_refs++;
    c->state = state;
    return OLL_OK;
}

oll_status oll_constraint_new(struct oll_constraint_program *program,
                              const struct oll_token_trie *trie, struct oll_constraint **out,
                              struct oll_error *err)
{
    struct oll_constraint *c = oll_calloc(1, sizeof *c);
    oll_status status = c ? OLL_OK : OLL_ERR_MEMORY;
    OLL_ASSERT(!program->trie || program->trie == trie);
    program->trie = trie;
    for (int i = 0; i < TOKEN_TRIE_SLICES && status == OLL_OK; i++)
        program->slice_sets[i] =
            regex_set(&program->g.pool, trie->slices[i].ranges, trie->slices[i].n_ranges);
    if (status == OLL_OK)
        status = program->g.pool.status;
    if (status == OLL_OK &&
        (!program->machine || program->machine->m.n_bytes > MACHINE_RENEW_BYTES ||
         program->machine->m.status != OLL_OK))
        status = new_machine(program);
    if (status != OLL_OK) {
        oll_free(c);
        return OLL_FAIL(err, status, "the grammar cannot be started: %s", oll_status_text(status));
    }
    c->program = oll_constraint_program_retain(program);
    c->trie = trie;
    c->machine = program->machine;
    c->machine->n_refs++;
    c->state = c->machine->m.start;
    oll_strbuf_init(&c->text, MAX_UNIQUE_TEXT);
    c->value = REGEX_INF;
    c->in_unique = program->g.has_unique && machine_in_unique(&c->machine->m, c->state);
    *out = c;
    return OLL_OK;
}

void oll_constraint_free(struct oll_constraint *c)
{
    if (!c)
        return;
    const struct grammar *g = &c->program->g;
    /* Relaxed: whoever reads it only saves time by seeing it early. */
    if (g->pool.n_nodes > WORN_NODES || g->n_dfas > GRAMMAR_WORN_AUTOMATA || g->status != OLL_OK ||
        g->pool.status != OLL_OK)
        atomic_store_explicit(&c->program->worn, true, memory_order_relaxed);
    release_machine(c->machine);
    oll_constraint_program_release(c->program);
    oll_strbuf_free(&c->text);
    oll_free(c);
}

bool oll_constraint_complete(const struct oll_constraint *c)
{
    return c->machine->m.states[c->state].accepts;
}

bool oll_constraint_finished(const struct oll_constraint *c)
{
    const struct machine_state *s = &c->machine->m.states[c->state];
    return s->accepts && s->n == 0;
}

/* Whether a path that leads behind an element has nothing of it but its last quote. */
static bool has_none_of_it(const char *path, size_t n)
{
    uint32_t n_quotes = 0, n_commas = 0;
    for (size_t i = 0; i < n; i++) {
        n_quotes += path[i] == '"';
        n_commas += path[i] == ',';
    }
    return n_commas <= 1 && (n_quotes == 0 || (n_quotes == 1 && path[0] == '"'));
}

/* Opens a sealed state, when path[0..n) is written behind the text. */
static uint32_t open_sealed(struct oll_constraint *c, uint32_t state, const char *path, size_t n)
{
    struct regex_pool *pool = &c->program->g.pool;
    struct machine *m = &c->machine->m;
    const size_t len = c->text.len;
    const bool is_member = machine_sealed_member(m, state);
    const bool keeps = !is_member && has_none_of_it(path, n);
    uint32_t used = keeps ? c->value : REGEX_INF;
    oll_strbuf_add(&c->text, path, n);
    if (used == REGEX_INF &&
        (c->text.status != OLL_OK || !(is_member ? unique_text_member : unique_text_element)(
                                         pool, c->text.data, c->text.len, &used)))
        used = REGEX_INF;
    c->text.len = len;
    if (keeps)
        c->value = used;
    return used != REGEX_INF ? machine_unseal(m, state, used) : MACHINE_DEAD;
}

/* A sealed state in the middle of a token, opened when that is cheap: it is an array's first
 * element, a member, or the token has nothing of the element before. Else it stays sealed. */
static uint32_t reopen(struct oll_constraint *c, uint32_t state, const char *path, size_t n)
{
    struct machine *m = &c->machine->m;
    if (!m->states[state].sealed)
        return state;
    if (!machine_sealed_member(m, state)) {
        if (machine_sealed_first(m, state))
            return machine_unseal(m, state, REGEX_NONE);
        for (size_t i = 0; i < n; i++)
            if (!path[i] || !strchr("\", \n\t", path[i]))
                return state;
    }
    c->met_sealed = true;
    return open_sealed(c, state, path, n);
}

static uint32_t step_bytes(struct oll_constraint *c, uint32_t state, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n && state != MACHINE_DEAD; i++) {
        state = machine_step(&c->machine->m, state, (uint8_t)bytes[i]);
        if (c->program->g.has_unique && state != MACHINE_DEAD)
            state = reopen(c, state, bytes, i + 1);
    }
    return state;
}

/* Where a token leads; MACHINE_DEAD when it is not allowed. */
static uint32_t step_token(struct oll_constraint *c, int32_t token)
{
    struct machine *m = &c->machine->m;
    const char *bytes;
    size_t n;
    if (token < 0 || (uint32_t)token >= c->trie->n_vocab ||
        (c->trie->ends[token >> 6] >> (token & 63) & 1))
        return MACHINE_DEAD;
    oll_tokenizer_piece(c->trie->tok, token, false, &bytes, &n);
    bool in_trie = n > 0 && n <= TOKEN_TRIE_MAX_DEPTH;
    uint32_t to = in_trie ? step_bytes(c, c->state, bytes, n) : MACHINE_DEAD;
    if (c->program->g.has_tokens && machine_allows_token(m, c->state, (uint32_t)token))
        to = machine_step_token(m, c->state, (uint32_t)token, to);
    return to;
}

/* Takes the constraint to the state behind one byte; false when it cannot be entered. */
static bool enter(struct oll_constraint *c, uint32_t to, const char *byte)
{
    struct machine *m = &c->machine->m;
    c->value = REGEX_INF;
    if (c->in_unique)
        oll_strbuf_add(&c->text, byte, 1);
    if (c->text.status != OLL_OK)
        return false;
    if (m->states[to].sealed)
        to = !machine_sealed_member(m, to) && machine_sealed_first(m, to)
                 ? machine_unseal(m, to, REGEX_NONE)
                 : open_sealed(c, to, "", 0);
    if (to == MACHINE_DEAD)
        return false;
    c->in_unique = c->program->g.has_unique && machine_in_unique(m, to);
    if (!c->in_unique)
        oll_strbuf_clear(&c->text);
    c->value = REGEX_INF;
    c->state = to;
    return true;
}

/* The same for the bytes of a token, which has been found to lead to `to`. */
static bool enter_token(struct oll_constraint *c, uint32_t to, const char *bytes, size_t n)
{
    if (!c->program->g.has_unique || n == 0) {
        c->state = to;
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        to = machine_step(&c->machine->m, c->state, (uint8_t)bytes[i]);
        if (to == MACHINE_DEAD || !enter(c, to, bytes + i))
            return false;
    }
    return true;
}

static bool is_end(const struct oll_constraint *c, int32_t token)
{
    return token >= 0 && (uint32_t)token < c->trie->n_vocab &&
           (c->trie->ends[token >> 6] >> (token & 63) & 1);
}

bool oll_constraint_allows(struct oll_constraint *c, int32_t token)
{
    if (is_end(c, token))
        return oll_constraint_complete(c);
    return renew(c) == OLL_OK && step_token(c, token) != MACHINE_DEAD;
}

oll_status oll_constraint_accept(struct oll_constraint *c, int32_t token, struct oll_error *err)
{
    if (is_end(c, token) && oll_constraint_complete(c))
        return OLL_OK;
    oll_status status = renew(c);
    uint32_t to = status == OLL_OK ? step_token(c, token) : MACHINE_DEAD;
    if (status == OLL_OK && c->machine->m.status != OLL_OK)
        status = c->machine->m.status;
    if (status != OLL_OK || c->machine->m.full)
        return OLL_FAIL(err, status != OLL_OK ? status : OLL_ERR_LIMIT,
                        "the grammar needs more memory than it may have");
    if (to == MACHINE_DEAD)
        return OLL_FAIL(err, OLL_ERR_ARG, "token %d is not allowed by the grammar", token);
    const char *bytes;
    size_t n;
    oll_tokenizer_piece(c->trie->tok, token, false, &bytes, &n);
    return enter_token(c, to, bytes, n)
               ? OLL_OK
               : OLL_FAIL(err, OLL_ERR_LIMIT, "the grammar needs more memory than it may have");
}

bool oll_constraint_accept_bytes(struct oll_constraint *c, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t to = renew(c) == OLL_OK ? machine_step(&c->machine->m, c->state, (uint8_t)text[i])
                                         : MACHINE_DEAD;
        if (to == MACHINE_DEAD || !enter(c, to, text + i))
            return false;
    }
    return true;
}

void oll_constraint_bytes(const struct oll_constraint *c, uint64_t bytes[4])
{
    memcpy(bytes, c->machine->m.states[c->state].bytes, 4 * sizeof *bytes);
}

/* ---- masks ---- */

static void set_tokens(const struct oll_token_trie *trie, int32_t token, uint64_t *mask)
{
    for (; token != OLL_TOKEN_NONE; token = trie->same[token])
        mask[token >> 6] |= UINT64_C(1) << (token & 63);
}

/* Sets the tokens of the tree whose bytes lead on from the state. */
static void walk(struct oll_constraint *c, const struct token_tree *tree, uint64_t *mask)
{
    struct machine *m = &c->machine->m;
    uint32_t path[TOKEN_TRIE_MAX_DEPTH + 2];
    char bytes[TOKEN_TRIE_MAX_DEPTH + 1];
    bool has_unique = c->program->g.has_unique;
    path[0] = c->state;
    for (uint32_t i = 0; i < tree->n;) {
        const struct token_node *node = &tree->nodes[i];
        const struct machine_state *s = &m->states[path[node->depth]];
        uint32_t to = MACHINE_DEAD;
        if (machine_allows(s, node->byte)) {
            to = s->next ? s->next[node->byte] : REGEX_INF;
            if (to == REGEX_INF)
                to = machine_step(m, path[node->depth], node->byte);
        }
        if (has_unique && to != MACHINE_DEAD) {
            bytes[node->depth] = (char)node->byte;
            to = reopen(c, to, bytes, node->depth + 1u);
        }
        if (to == MACHINE_DEAD) {
            i += node->skip;
            continue;
        }
        path[node->depth + 1] = to;
        if (node->token != OLL_TOKEN_NONE)
            set_tokens(c->trie, node->token, mask);
        i++;
    }
}

/* The largest slice all of whose tokens are allowed; NULL when there is none. */
static const struct token_slice *find_slice(struct oll_constraint *c)
{
    struct machine *m = &c->machine->m;
    const struct machine_state *s = &m->states[c->state];
    for (int i = 0; i < TOKEN_TRIE_SLICES; i++) {
        const struct token_slice *slice = &c->trie->slices[i];
        for (uint32_t t = 0; t < s->n; t++) {
            uint32_t term = machine_string_term(m, m->threads[s->first + t]);
            if (term != REGEX_NONE &&
                regex_free_length(&c->program->g.pool, term, c->program->slice_sets[i]) >=
                    slice->max_chars)
                return slice;
        }
    }
    return NULL;
}

static void add_named_tokens(struct oll_constraint *c, uint64_t *mask)
{
    for (uint32_t t = 0; t < c->trie->n_vocab; t++)
        if (!is_end(c, (int32_t)t) && machine_allows_token(&c->machine->m, c->state, t))
            mask[t >> 6] |= UINT64_C(1) << (t & 63);
}

static void fill_mask(struct oll_constraint *c, uint64_t *mask)
{
    const struct token_slice *slice = find_slice(c);
    if (slice)
        memcpy(mask, slice->mask, c->trie->n_words * sizeof *mask);
    else
        memset(mask, 0, c->trie->n_words * sizeof *mask);
    walk(c, slice ? &slice->others : &c->trie->all, mask);
    if (c->program->g.has_tokens)
        add_named_tokens(c, mask);
    if (oll_constraint_complete(c))
        for (uint32_t w = 0; w < c->trie->n_words; w++)
            mask[w] |= c->trie->ends[w];
}

oll_status oll_constraint_mask(struct oll_constraint *c, const uint64_t **mask,
                               struct oll_error *err)
{
    oll_status status = renew(c);
    size_t bytes = c->trie->n_words * sizeof **mask;
    struct machine *m = &c->machine->m;
    if (status == OLL_OK && (!m->states[c->state].mask || m->states[c->state].mask_varies)) {
        uint64_t *made = m->states[c->state].mask;
        if (!made && (made = oll_alloc(1, bytes)))
            m->n_bytes += bytes;
        if (made) {
            m->states[c->state].mask = made;
            c->met_sealed = false;
            fill_mask(c, made);
            m->states[c->state].mask_varies = c->met_sealed;
        }
        status = !made ? OLL_ERR_MEMORY : m->full ? OLL_ERR_LIMIT : m->status;
    }
    if (status != OLL_OK)
        return OLL_FAIL(err, status, "the grammar needs more memory than it may have");
    *mask = m->states[c->state].mask;
    return OLL_OK;
}

void oll_constraint_apply(const uint64_t *mask, float *logits, uint32_t n_vocab)
{
    for (uint32_t i = 0; i < n_vocab; i += 64) {
        uint64_t word = mask[i >> 6];
        uint32_t end = n_vocab - i < 64 ? n_vocab - i : 64;
        for (uint32_t b = 0; word != UINT64_MAX && b < end; b++)
            if (!(word >> b & 1))
                logits[i + b] = -INFINITY;
    }
}

/* ---- jump-ahead ---- */

/* The only byte that may come next, -1 when there is a choice or the text may end. */
static int only_byte(const struct machine_state *s)
{
    int found = -1;
    if (s->accepts)
        return -1;
    for (int w = 0; w < 4; w++) {
        if (!s->bytes[w])
            continue;
        if (found >= 0 || (s->bytes[w] & (s->bytes[w] - 1)))
            return -1;
        found = 64 * w;
        while (!(s->bytes[w] >> (found & 63) & 1))
            found++;
    }
    return found;
}

static bool is_token_state(const struct oll_constraint *c, uint32_t state)
{
    const struct machine *m = &c->machine->m;
    const struct machine_state *s = &m->states[state];
    for (uint32_t t = 0; c->program->g.has_tokens && t < s->n; t++)
        if (m->g->nodes[m->frames[m->threads[s->first + t]].node].kind == GRAMMAR_TOKEN)
            return true;
    return false;
}

/* Whether a token begins with the whole of text[0..n), is longer, and goes on as the grammar allows
 * from `end`, the state behind the text. */
static bool may_extend(struct oll_constraint *c, const char *text, size_t n, uint32_t end)
{
    const struct token_tree *tree = &c->trie->all;
    uint32_t i = 0, limit = tree->n, path[TOKEN_TRIE_MAX_DEPTH + 2];
    for (size_t b = 0; b < n; b++) {
        while (i < limit && tree->nodes[i].byte != (uint8_t)text[b])
            i += tree->nodes[i].skip;
        if (i >= limit)
            return false;
        limit = i + tree->nodes[i].skip;
        i++;
    }
    if (n > TOKEN_TRIE_MAX_DEPTH)
        return false;
    path[n] = end;
    while (i < limit) {
        const struct token_node *node = &tree->nodes[i];
        uint32_t to = machine_step(&c->machine->m, path[node->depth], node->byte);
        if (to == MACHINE_DEAD) {
            i += node->skip;
            continue;
        }
        if (node->token != OLL_TOKEN_NONE)
            return true;
        path[node->depth + 1] = to;
        i++;
    }
    return false;
}

/* How many of the tokens stay: the last few go from the first on that could have been longer. */
static size_t keep_tokens(struct oll_constraint *c, const struct oll_tokens *tokens, size_t begin,
                          const char *text, size_t n, uint32_t end)
{
    size_t at = 0, keep = begin;
    for (; keep < tokens->n; keep++) {
        const char *bytes;
        size_t len;
        if (tokens->n - keep <= MAX_RETRACT && may_extend(c, text + at, n - at, end))
            return keep;
        oll_tokenizer_piece(c->trie->tok, tokens->ids[keep], false, &bytes, &len);
        if (len == 0 || len > n - at || memcmp(bytes, text + at, len) != 0)
            return keep; /* the tokenizer writes it another way: the model may go on alone */
        at += len;
    }
    return keep;
}

oll_status oll_constraint_forced(struct oll_constraint *c, struct oll_tokens *out)
{
    char text[MAX_FORCED];
    size_t n = 0, begin = out->n;
    uint32_t state = c->state;
    int byte;
    struct machine *m = &c->machine->m;
    while (n < MAX_FORCED && !is_token_state(c, state) &&
           (byte = only_byte(&m->states[state])) >= 0) {
        uint32_t to = machine_step(m, state, (uint8_t)byte);
        if (to == MACHINE_DEAD)
            break;
        text[n++] = (char)byte;
        state = to;
    }
    if (n < 2)
        return OLL_OK;
    OLL_TRY(oll_tokenizer_encode(c->trie->tok, text, n, OLL_ENCODE_CONTINUE, out));
    out->n = keep_tokens(c, out, begin, text, n, state);
    return OLL_OK;
}
