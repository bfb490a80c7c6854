#include "engine/speculate.h"

#include <string.h>

enum {
    SEEN_MAX = 16,    /* a ratio follows with a sixteenth of each step */
    TRUSTED = 4,      /* from so many on, one slow step does not count in full */
    PLAIN_MIN = 2,    /* plain steps before the first draft */
    RETRY_STEPS = 256 /* steps after which an old figure may be doubted once */
};

/* What another row costs before anything is known. */
static const double row_share = 0.2;
/* Drafts must promise this much more than none: figures are never quite right. */
static const double gain_min = 1.05;

/* ---- costs ---- */

void speculate_costs_init(struct speculate_costs *costs)
{
    *costs = (struct speculate_costs){0};
    costs->ratio[1] = 1; /* by definition */
}

double speculate_cost(const struct speculate_costs *costs, uint32_t n_rows)
{
    uint32_t below = n_rows, above = n_rows;
    if (n_rows == 0)
        return 0;
    while (below > 1 && costs->seen[below] == 0)
        below--;
    while (above <= SPECULATE_ROWS_MAX && costs->seen[above] == 0)
        above++;
    if (below == above)
        return costs->ratio[below];
    double slope = row_share;
    if (above <= SPECULATE_ROWS_MAX)
        slope = (costs->ratio[above] - costs->ratio[below]) / (above - below);
    else if (below > 1)
        slope = (costs->ratio[below] - 1) / (below - 1);
    return costs->ratio[below] + (n_rows - below) * slope;
}

void speculate_costs_learn(struct speculate_costs *costs, uint32_t n_rows, uint64_t ns)
{
    if (costs->is_fixed || n_rows == 0 || n_rows > SPECULATE_ROWS_MAX || ns == 0)
        return;
    const double ratio = speculate_cost(costs, n_rows);
    double t = (double)ns;
    costs->n_steps++;
    costs->last[n_rows] = costs->n_steps;
    if (costs->row_ns == 0)
        costs->row_ns = t / ratio;
    const double expected = costs->row_ns * ratio, most = costs->seen[n_rows] < TRUSTED ? 4 : 1.5;
    if (t > most * expected)
        t = most * expected;
    /* The machine's pace and the depth of the texts change every step alike; what is left is the
     * ratio. So the pace is followed fast, the ratios slowly. */
    const uint32_t n = costs->seen[n_rows] < SEEN_MAX ? ++costs->seen[n_rows] : SEEN_MAX;
    if (n_rows > 1 && n == 1)
        costs->ratio[n_rows] = t / costs->row_ns;
    else if (n_rows > 1)
        costs->ratio[n_rows] += (t / costs->row_ns - costs->ratio[n_rows]) / n;
    if (n_rows == 1 || n >= TRUSTED)
        costs->row_ns += 0.2 * (t / ratio - costs->row_ns);
}

/* ---- chances ---- */

static int class_of(uint32_t n_match)
{
    static const uint8_t lower[SPECULATE_CLASSES] = {NGRAM_SHORTEST, 3, 4, 6, 8, 12, 16, 32};
    int c = SPECULATE_CLASSES - 1;
    while (c > 0 && n_match < lower[c])
        c--;
    return c;
}

/* A few guesses of usual texts stand at the beginning of a count. */
static float chance_of(const struct speculator *s, uint32_t n_match)
{
    static const float usual[SPECULATE_CLASSES] = {0.3f,  0.4f,  0.5f, 0.6f,
                                                   0.65f, 0.75f, 0.8f, 0.9f};
    const float weight = 4;
    const int c = class_of(n_match);
    return (s->classes[c].n_right + weight * usual[c]) / (s->classes[c].n + weight);
}

static void count_guess(struct speculator *s, uint32_t n_match, bool is_right)
{
    enum { FADE = 32 };
    const int c = class_of(n_match);
    s->classes[c].n += 1;
    s->classes[c].n_right += is_right;
    if (s->classes[c].n >= FADE) {
        s->classes[c].n /= 2;
        s->classes[c].n_right /= 2;
    }
}

/* ---- a slot ---- */

/* What may be lost before drafts have earned anything, in plain tokens; what a plain token brings;
 * and how much can be laid up. */
static const double account_first = 1, account_step = 0.005, account_max = 3;

oll_status speculate_init(struct speculator *s, uint32_t n_ctx, struct oll_error *err)
{
    *s = (struct speculator){.account = account_first};
    return ngram_init(&s->index, n_ctx, err);
}

void speculate_free(struct speculator *s) { ngram_free(&s->index); }

void speculate_begin(struct speculator *s)
{
    ngram_clear(&s->index);
    memset(s->classes, 0, sizeof s->classes);
    s->account = account_first;
    s->n_drafted = s->n_accepted = 0;
}

void speculate_forget_text(struct speculator *s) { ngram_clear(&s->index); }

/* Takes in what has come; each guess on the way is compared with it. A text that is seen for the
 * first time, the prompt, says nothing about how well a reply repeats it. */
static void follow(struct speculator *s, const int32_t *tokens, uint32_t n)
{
    struct ngram_index *ix = &s->index;
    if (ix->n == 0)
        ngram_follow(ix, tokens, n);
    while (ix->n < n) {
        if (ix->source)
            count_guess(s, ix->n_match, tokens[ix->source] == tokens[ix->n]);
        ngram_follow(ix, tokens, ix->n + 1);
    }
}

void speculate_look(struct speculator *s, const int32_t *tokens, uint32_t n, uint32_t n_max,
                    struct speculate_offer *offer)
{
    float chance = 1;
    offer->n = offer->n_taken = 0;
    follow(s, tokens, n);
    if (!s->index.source || s->account < 0)
        return;
    offer->n = n_max < SPECULATE_MAX ? n_max : SPECULATE_MAX;
    ngram_draft(&s->index, tokens, offer->n, offer->tokens);
    /* Each token that comes true makes the match longer for the next. */
    for (uint32_t i = 0; i < offer->n; i++)
        offer->chances[i] = chance *= chance_of(s, s->index.n_match + i);
}

void speculate_settle(struct speculator *s, const struct speculate_costs *costs, uint32_t n_slots,
                      uint32_t n_all, uint32_t n_taken, uint32_t n_accepted)
{
    s->account += account_step;
    if (n_taken > 0) {
        const double more =
            speculate_cost(costs, n_slots + n_all) / speculate_cost(costs, n_slots) - 1;
        s->account += n_accepted - n_slots * more * n_taken / n_all;
        s->n_drafted += n_taken;
        s->n_accepted += n_accepted;
    }
    if (s->account > account_max)
        s->account = account_max;
}

/* ---- a step ---- */

/* The offer whose next token is the likeliest; NULL: all are taken. */
static struct speculate_offer *best_offer(struct speculate_offer *offers, uint32_t n_slots)
{
    struct speculate_offer *best = NULL;
    for (uint32_t i = 0; i < n_slots; i++) {
        struct speculate_offer *o = &offers[i];
        if (o->n_taken < o->n && (!best || o->chances[o->n_taken] > best->chances[best->n_taken]))
            best = o;
    }
    return best;
}

/* A figure that has kept drafts away may be wrong by now: once in a while it is taken for half as
 * dear as it was. */
static double hopeful_cost(const struct speculate_costs *costs, uint32_t n_rows)
{
    const double cost = speculate_cost(costs, n_rows);
    if (costs->seen[n_rows] == 0 || costs->n_steps - costs->last[n_rows] < RETRY_STEPS)
        return cost;
    return 1 + (cost - 1) / 2;
}

/* Drafted tokens that may be tried: unknown sizes are neared by doubling, so that a first step is
 * no leap. */
static uint32_t room_of(const struct speculate_costs *costs, uint32_t n_slots, uint32_t room)
{
    uint32_t known = SPECULATE_ROWS_MAX;
    if (n_slots == 0 || n_slots >= SPECULATE_ROWS_MAX)
        return 0;
    /* What drafts are measured against must be known, and of late. */
    if (costs->seen[n_slots] < PLAIN_MIN || costs->n_steps - costs->last[n_slots] > RETRY_STEPS)
        return 0;
    while (known > n_slots && costs->seen[known] == 0)
        known--;
    uint32_t most = 2 * (known - n_slots) + 1;
    most = most < SPECULATE_MAX ? most : SPECULATE_MAX;
    most = most < SPECULATE_ROWS_MAX - n_slots ? most : SPECULATE_ROWS_MAX - n_slots;
    return room < most ? room : most;
}

/* Takes the likeliest tokens first and finds the number that promises most tokens per time. */
static uint32_t choose_number(const struct speculate_costs *costs, struct speculate_offer *offers,
                              uint32_t n_slots, uint32_t room, bool hopes)
{
    const double none = n_slots / speculate_cost(costs, n_slots);
    double best = gain_min * none, tokens = n_slots;
    uint32_t n_best = 0;
    for (uint32_t i = 0; i < n_slots; i++)
        offers[i].n_taken = 0;
    for (uint32_t n = 1; n <= room; n++) {
        struct speculate_offer *o = best_offer(offers, n_slots);
        if (!o)
            break;
        tokens += o->chances[o->n_taken++];
        const uint32_t rows = n_slots + n;
        const double rate =
            tokens / (hopes ? hopeful_cost(costs, rows) : speculate_cost(costs, rows));
        if (rate > best) {
            best = rate;
            n_best = n;
        }
    }
    return n_best;
}

uint32_t speculate_share(struct speculate_costs *costs, struct speculate_offer *offers,
                         uint32_t n_slots, uint32_t room)
{
    room = room_of(costs, n_slots, room);
    uint32_t n_best = choose_number(costs, offers, n_slots, room, false);
    if (n_best == 0 && costs->n_steps - costs->last_retry >= RETRY_STEPS) {
        n_best = choose_number(costs, offers, n_slots, room, true);
        if (n_best > 0)
            costs->last_retry = costs->n_steps;
    }
    for (uint32_t i = 0; i < n_slots; i++)
        offers[i].n_taken = 0;
    for (uint32_t n = 0; n < n_best; n++)
        best_offer(offers, n_slots)->n_taken++;
    return n_best;
}
