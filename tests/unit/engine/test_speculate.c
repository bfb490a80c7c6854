/* The governor of speculation, with made-up texts, costs and clocks. */
#include "engine/speculate.h"

#include "tests/testing.h"

#include <math.h>
#include <string.h>

enum { N_CTX = 4096, ROW_NS = 1000000, N_SLOTS_MAX = 24 };

/* ---- costs ---- */

TEST(unknown_costs_lie_on_lines_between_known_ones)
{
    struct speculate_costs c;
    speculate_costs_init(&c);
    CHECK(speculate_cost(&c, 0) == 0 && speculate_cost(&c, 1) == 1);
    CHECK(speculate_cost(&c, 3) > 1.2 && speculate_cost(&c, 3) < 2);
    speculate_costs_learn(&c, 1, ROW_NS);
    speculate_costs_learn(&c, 5, 2 * ROW_NS);
    CHECK(fabs(speculate_cost(&c, 5) - 2) < 0.01);
    CHECK(fabs(speculate_cost(&c, 3) - 1.5) < 0.01);
    CHECK(fabs(speculate_cost(&c, 9) - 3) < 0.01);
}

TEST(the_pace_of_the_machine_is_no_ratio)
{
    struct speculate_costs c;
    speculate_costs_init(&c);
    for (int i = 0; i < 400; i++) {
        const uint64_t pace = i < 200 ? 1 : 3; /* all has become slower */
        speculate_costs_learn(&c, 1, pace * ROW_NS);
        speculate_costs_learn(&c, 4, pace * ROW_NS * 3 / 2);
        if (i > 20 && (i < 200 || i > 230))
            CHECK_MSG(fabs(speculate_cost(&c, 4) - 1.5) < 0.1, "step %d: %f", i,
                      speculate_cost(&c, 4));
    }
    CHECK(fabs(c.row_ns / ROW_NS - 3) < 0.1);
}

TEST(one_slow_step_counts_little)
{
    struct speculate_costs c;
    speculate_costs_init(&c);
    for (int i = 0; i < 50; i++) {
        speculate_costs_learn(&c, 1, ROW_NS);
        speculate_costs_learn(&c, 4, ROW_NS * 3 / 2);
    }
    speculate_costs_learn(&c, 4, 1000ull * ROW_NS);
    CHECK(speculate_cost(&c, 4) < 1.6);
    speculate_costs_learn(&c, SPECULATE_ROWS_MAX + 1, ROW_NS); /* too large, ignored */
    speculate_costs_learn(&c, 0, ROW_NS);
    speculate_costs_learn(&c, 4, 0);
    CHECK(speculate_cost(&c, 4) < 1.6);
}

/* ---- a machine ---- */

/* Steps of n rows take 1 + share * (n - 1) of one row; the text comes from a function. */
struct machine {
    double share;
    int32_t (*token)(uint32_t i, uint64_t *state);
    uint64_t state;
    struct speculate_costs costs;
    struct speculator slots[N_SLOTS_MAX];
    int32_t texts[N_SLOTS_MAX][N_CTX];
    uint32_t n[N_SLOTS_MAX];
    double time; /* in rows */
    uint32_t n_made, n_drafted, n_accepted, n_most;
};

static struct machine *machine_new(double share, int32_t (*token)(uint32_t, uint64_t *),
                                   uint32_t n_slots)
{
    static struct machine m;
    memset(&m, 0, sizeof m);
    m.share = share;
    m.token = token;
    m.state = 7;
    speculate_costs_init(&m.costs);
    for (uint32_t i = 0; i < n_slots; i++) {
        CHECK_OK(speculate_init(&m.slots[i], N_CTX, NULL));
        speculate_begin(&m.slots[i]);
        for (uint32_t k = 0; k < N_CTX; k++)
            m.texts[i][k] = token(k, &m.state);
        m.n[i] = 64; /* prompt */
    }
    return &m;
}

static void machine_free(struct machine *m, uint32_t n_slots)
{
    for (uint32_t i = 0; i < n_slots; i++)
        speculate_free(&m->slots[i]);
}

/* What an engine does, with the text known beforehand. */
static void machine_step(struct machine *m, uint32_t n_slots, bool drafts)
{
    struct speculate_offer offers[N_SLOTS_MAX];
    uint32_t n_all = 0;
    memset(offers, 0, sizeof offers);
    for (uint32_t i = 0; drafts && i < n_slots; i++)
        speculate_look(&m->slots[i], m->texts[i], m->n[i], SPECULATE_MAX, &offers[i]);
    if (drafts)
        n_all = speculate_share(&m->costs, offers, n_slots, 512);
    const double rows = n_slots + n_all, took = 1 + m->share * (rows - 1);
    m->time += took;
    speculate_costs_learn(&m->costs, n_slots + n_all, (uint64_t)(took * ROW_NS));
    m->n_most = n_all > m->n_most ? n_all : m->n_most;
    for (uint32_t i = 0; i < n_slots; i++) {
        uint32_t right = 0;
        while (right < offers[i].n_taken && offers[i].tokens[right] == m->texts[i][m->n[i] + right])
            right++;
        speculate_settle(&m->slots[i], &m->costs, n_slots, n_all, offers[i].n_taken, right);
        m->n[i] += right + 1;
        m->n_made += right + 1;
        m->n_drafted += offers[i].n_taken;
        m->n_accepted += right;
    }
}

/* Tokens per time with drafts, against the same without. */
static double gain(struct machine *m, uint32_t n_slots, uint32_t n_tokens)
{
    while (m->n_made < n_tokens * n_slots)
        machine_step(m, n_slots, true);
    const double plain = (1 + m->share * (n_slots - 1)) / n_slots;
    return plain * m->n_made / m->time;
}

static int32_t repeating(uint32_t i, uint64_t *state)
{
    (void)state;
    return (int32_t)(i % 40);
}

static int32_t new_tokens(uint32_t i, uint64_t *state)
{
    (void)state;
    return (int32_t)i;
}

/* Guesses everywhere, a tenth of them right. */
static int32_t noise(uint32_t i, uint64_t *state)
{
    (void)i;
    return (int32_t)(testing_random(state) % 10);
}

/* Long stretches that repeat, each with another end: chances that are high until they fail. */
static int32_t traps(uint32_t i, uint64_t *state)
{
    return i % 24 < 20 ? (int32_t)(i % 24) : (int32_t)(testing_random(state) % 1000);
}

static double gain_of(double share, int32_t (*token)(uint32_t, uint64_t *), uint32_t n_slots,
                      uint32_t n_tokens)
{
    struct machine *m = machine_new(share, token, n_slots);
    const double g = gain(m, n_slots, n_tokens);
    machine_free(m, n_slots);
    return g;
}

TEST(a_text_that_repeats_itself_gains)
{
    CHECK(gain_of(0.1, repeating, 1, 500) > 5);
    CHECK(gain_of(0.3, repeating, 1, 500) > 2.5);
    CHECK(gain_of(0.5, repeating, 1, 500) > 1.6);
    CHECK(gain_of(0.1, traps, 1, 1000) > 2);
}

TEST(no_text_loses_much)
{
    static int32_t (*const texts[])(uint32_t, uint64_t *) = {repeating, new_tokens, noise, traps};
    for (double share = 0; share < 1.3; share += 0.1)
        for (int t = 0; t < 4; t++)
            for (uint32_t n_slots = 1; n_slots <= 9; n_slots += 4) {
                const double g = gain_of(share, texts[t], n_slots, 256);
                CHECK_MSG(g > 0.985, "text %d, another row %.1f, %u slots: %.3f", t, share, n_slots,
                          g);
            }
}

TEST(what_does_not_pay_is_not_drafted)
{
    struct machine *m = machine_new(1.0, repeating, 1);
    gain(m, 1, 2000);
    CHECK_MSG(m->n_drafted < 20, "%u drafted where a row costs as much as a step", m->n_drafted);
    machine_free(m, 1);
    m = machine_new(0.3, noise, 1);
    gain(m, 1, 2000);
    CHECK_MSG(m->n_drafted < 120, "%u drafted where one in ten is right", m->n_drafted);
    machine_free(m, 1);
    m = machine_new(0.3, new_tokens, 1);
    gain(m, 1, 2000);
    CHECK_EQ(m->n_drafted, 0);
    machine_free(m, 1);
}

TEST(drafts_come_back_when_the_text_or_the_machine_changes)
{
    struct machine *m = machine_new(1.2, repeating, 1);
    gain(m, 1, 1000);
    m->share = 0.1; /* another neighbour has gone */
    const uint32_t before = m->n_accepted;
    gain(m, 1, 3500);
    CHECK_MSG(m->n_accepted - before > 1000, "%u right", m->n_accepted - before);
    machine_free(m, 1);
    m = machine_new(0.2, noise, 1);
    for (uint32_t i = 600; i < N_CTX; i++)
        m->texts[0][i] = repeating(i, NULL);
    gain(m, 1, 1000);
    CHECK(m->n_accepted > 300);
    machine_free(m, 1);
}

TEST(many_slots_draft_less)
{
    uint32_t last = SPECULATE_MAX;
    double shares[SPECULATE_ROWS_MAX + 1];
    for (uint32_t n = 0; n <= SPECULATE_ROWS_MAX; n++)
        shares[n] = n < 6 ? 1 : n / 6.0; /* a free batch of six rows, then each costs its part */
    for (uint32_t n_slots = 1; n_slots <= 8; n_slots++) {
        struct speculate_costs c;
        struct speculate_offer offers[N_SLOTS_MAX] = {0};
        speculate_costs_init(&c);
        for (int k = 0; k < 20; k++)
            for (uint32_t n = 1; n <= SPECULATE_ROWS_MAX; n++)
                speculate_costs_learn(&c, n, (uint64_t)(shares[n] * ROW_NS));
        for (uint32_t i = 0; i < n_slots; i++) {
            offers[i].n = SPECULATE_MAX;
            for (uint32_t k = 0; k < SPECULATE_MAX; k++)
                offers[i].chances[k] = powf(0.8f, (float)k + 1);
        }
        const uint32_t n = speculate_share(&c, offers, n_slots, 512);
        uint32_t sum = 0;
        for (uint32_t i = 0; i < n_slots; i++)
            sum += offers[i].n_taken;
        CHECK_EQ(n, sum);
        CHECK_MSG(n <= last, "%u slots: %u", n_slots, n);
        last = n;
    }
    CHECK_EQ(last, 0);
}

TEST(a_share_keeps_to_its_room_and_prefers_what_is_likely)
{
    struct speculate_costs c;
    struct speculate_offer offers[SPECULATE_ROWS_MAX] = {
        {.n = 4, .chances = {0.9f, 0.85f, 0.8f, 0.7f}},
        {.n = 4, .chances = {0.6f, 0.3f, 0.1f, 0.05f}}};
    speculate_costs_init(&c);
    for (uint32_t n = 2; n <= 2 * SPECULATE_ROWS_MAX; n++)
        speculate_costs_learn(&c, n / 2, ROW_NS);
    CHECK_EQ(speculate_share(&c, offers, 2, 5), 5);
    CHECK_EQ(offers[0].n_taken, 4);
    CHECK_EQ(offers[1].n_taken, 1);
    CHECK_EQ(speculate_share(&c, offers, 2, 0), 0);
    CHECK_EQ(offers[0].n_taken + offers[1].n_taken, 0);
    CHECK_EQ(speculate_share(&c, offers, 0, 5), 0);
    CHECK_EQ(speculate_share(&c, offers, SPECULATE_ROWS_MAX, 5), 0);
}

TEST(a_first_step_is_no_leap)
{
    static const uint32_t most[] = {0, 0, 1, 3, 7, SPECULATE_MAX};
    struct machine *m = machine_new(0.1, repeating, 1);
    for (int i = 0; i < 6; i++) {
        machine_step(m, 1, true);
        CHECK_MSG(m->n_most <= most[i], "step %d: %u", i, m->n_most);
    }
    machine_free(m, 1);
}

TEST(a_slot_in_debt_drafts_nothing_until_it_is_paid_off)
{
    static const int32_t text[] = {1, 2, 3, 4, 5, 6, 1, 2, 3, 4};
    enum { N_TEXT = sizeof text / sizeof text[0] };
    struct speculate_costs costs;
    struct speculator s;
    struct speculate_offer offer;
    speculate_costs_init(&costs);
    for (uint32_t n = 1; n <= 8; n++)
        speculate_costs_learn(&costs, n, n * ROW_NS); /* a row costs as much as a step */
    CHECK_OK(speculate_init(&s, N_CTX, NULL));
    speculate_begin(&s);
    speculate_look(&s, text, N_TEXT, 4, &offer);
    CHECK(offer.n == 4 && offer.tokens[0] == 5);
    speculate_settle(&s, &costs, 1, 4, 4, 0); /* four rows in vain, one token of credit */
    speculate_look(&s, text, N_TEXT, 4, &offer);
    CHECK_EQ(offer.n, 0);
    uint32_t n_plain = 0;
    for (; offer.n == 0 && n_plain < 5000; n_plain++) {
        speculate_settle(&s, &costs, 1, 0, 0, 0);
        speculate_look(&s, text, N_TEXT, 4, &offer);
    }
    CHECK_MSG(n_plain > 500 && n_plain < 700, "%u plain tokens", n_plain);
    speculate_free(&s);
}

TEST(another_reply_begins_anew)
{
    struct machine *m = machine_new(0.1, repeating, 1);
    gain(m, 1, 300);
    CHECK(m->slots[0].n_accepted > 0 && m->slots[0].index.n > 0);
    speculate_begin(&m->slots[0]);
    CHECK(m->slots[0].n_accepted == 0 && m->slots[0].n_drafted == 0 && m->slots[0].index.n == 0);
    machine_free(m, 1);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
