/* Any text as a JSON Schema: the compiler answers within its limits, and what it compiles can be
 * walked to an end or for a while. The first byte chooses the walk. */
#include "sampler/json_schema.h"

#include "sampler/grammar_machine.h"
#include "sampler/unique_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { MAX_STEPS = 400 };

/* Opens what waits for the elements before it, which are in the text; false when the text cannot be
 * read. */
static bool open_sealed(struct machine *m, const char *text, size_t n, uint32_t *state)
{
    uint32_t used = REGEX_NONE;
    bool known = true;
    if (machine_sealed_member(m, *state))
        known = unique_text_member(&m->g->pool, text, n, &used);
    else if (m->states[*state].sealed && !machine_sealed_first(m, *state))
        known = unique_text_element(&m->g->pool, text, n, &used);
    if (known)
        *state = machine_unseal(m, *state, used);
    return known;
}

/* Follows allowed bytes; every state that is reached must lead on or be complete. */
static void walk(struct machine *m, uint32_t seed)
{
    uint32_t state = m->start;
    char text[MAX_STEPS];
    for (int i = 0; i < MAX_STEPS && state != MACHINE_DEAD; i++) {
        const struct machine_state *s = &m->states[state];
        uint32_t byte = 256;
        seed = seed * 1664525 + 1013904223;
        for (uint32_t b = 0; b < 256 && byte == 256; b++)
            if (machine_allows(s, (uint8_t)(b + (seed >> 24))))
                byte = (b + (seed >> 24)) & 255;
        OLL_ASSERT(byte < 256 || s->accepts);
        if (byte == 256)
            return;
        state = machine_step(m, state, (uint8_t)byte);
        text[i] = (char)byte;
        if (state != MACHINE_DEAD && !open_sealed(m, text, (size_t)i + 1, &state))
            return;
        OLL_ASSERT(state != MACHINE_DEAD || m->status != OLL_OK || m->full);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct grammar g;
    struct machine m;
    struct oll_error err = {0};
    if (n_bytes == 0 || grammar_init(&g) != OLL_OK)
        return 0;
    oll_status status =
        json_schema_compile(&g, (const char *)data + 1, n_bytes - 1, data[0] & 1, &err);
    if (status == OLL_OK) {
        grammar_finish(&g);
        if (g.status == OLL_OK && g.root != GRAMMAR_NONE && machine_init(&m, &g) == OLL_OK) {
            walk(&m, data[0]);
            machine_free(&m);
        }
    } else {
        OLL_ASSERT(err.text[0] != '\0');
    }
    grammar_free(&g);
    return 0;
}
