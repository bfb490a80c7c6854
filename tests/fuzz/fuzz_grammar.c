/* Any text as a GBNF grammar: the reader answers within its limits, and what it reads can be
 * walked. The first byte chooses the walk. */
#include "sampler/grammar_gbnf.h"

#include "sampler/grammar_machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { MAX_STEPS = 200 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct grammar g;
    struct machine m;
    struct oll_error err = {0};
    if (n_bytes == 0 || grammar_init(&g) != OLL_OK)
        return 0;
    oll_status status = gbnf_read(&g, (const char *)data + 1, n_bytes - 1, NULL, &err);
    OLL_ASSERT(status == OLL_OK || err.text[0] != '\0');
    if (status == OLL_OK) {
        grammar_finish(&g);
        if (g.status == OLL_OK && g.root != GRAMMAR_NONE && machine_init(&m, &g) == OLL_OK) {
            uint32_t state = m.start, byte = data[0];
            for (int i = 0; i < MAX_STEPS && state != MACHINE_DEAD; i++) {
                for (int b = 0; b < 256 && !machine_allows(&m.states[state], (uint8_t)byte); b++)
                    byte = (byte + 1) & 255;
                state = machine_step(&m, state, (uint8_t)byte);
                byte = (byte * 7 + 13) & 255;
            }
            machine_free(&m);
        }
    }
    grammar_free(&g);
    return 0;
}
