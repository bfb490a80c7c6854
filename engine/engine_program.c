/* Compiled formats and grammars, kept for the requests that ask for the same again. */
#include "engine/engine_internal.h"

#include "engine/base/mem.h"

#include <string.h>

/* A text of this size is not kept: it would not be the one that is asked for again and again. */
enum { KEPT_TEXT_MAX = 1 << 20 };

static const char *source_text(const struct oll_request *ask)
{
    return ask->grammar ? ask->grammar : ask->format_json;
}

/* The place of the program, ENGINE_PROGRAMS when it is not kept. Under the mutex. */
static int find(struct oll_engine *e, const struct oll_request *ask)
{
    for (int i = 0; i < ENGINE_PROGRAMS; i++)
        if (e->programs[i].program && !oll_constraint_program_worn(e->programs[i].program) &&
            e->programs[i].is_grammar == (ask->grammar != NULL) &&
            strcmp(e->programs[i].text, source_text(ask)) == 0)
            return i;
    return ENGINE_PROGRAMS;
}

/* Takes the place of the one that was asked for longest ago. Under the mutex. */
static void keep(struct oll_engine *e, const struct oll_request *ask,
                 struct oll_constraint_program *program)
{
    struct engine_program *oldest = &e->programs[0];
    char *text = strlen(source_text(ask)) <= KEPT_TEXT_MAX ? oll_strdup(source_text(ask)) : NULL;
    if (!text || find(e, ask) < ENGINE_PROGRAMS) {
        oll_free(text);
        return;
    }
    for (int i = 1; i < ENGINE_PROGRAMS; i++)
        if (e->programs[i].used < oldest->used)
            oldest = &e->programs[i];
    oll_constraint_program_release(oldest->program);
    oll_free(oldest->text);
    *oldest = (struct engine_program){.program = oll_constraint_program_retain(program),
                                      .text = text,
                                      .is_grammar = ask->grammar != NULL,
                                      .used = ++e->programs_used};
}

oll_status engine_program(struct oll_engine *e, const struct oll_request *ask,
                          struct oll_constraint_program **out, struct oll_error *err)
{
    const struct oll_constraint_source source = {.format_json = ask->format_json,
                                                 .grammar = ask->grammar};
    *out = NULL;
    if (ask->force_call)
        return engine_call_program(e, ask, out, err);
    if (!ask->format_json && !ask->grammar)
        return OLL_OK;
    if (ask->format_json && ask->grammar)
        return OLL_FAIL(err, OLL_ERR_ARG, "format and grammar cannot be used together");
    pthread_mutex_lock(&e->mutex);
    int at = find(e, ask);
    if (at < ENGINE_PROGRAMS) {
        *out = oll_constraint_program_retain(e->programs[at].program);
        e->programs[at].used = ++e->programs_used;
    }
    pthread_mutex_unlock(&e->mutex);
    if (*out)
        return OLL_OK;
    oll_status status = oll_constraint_compile(&source, e->env.tok, out, err);
    if (status != OLL_OK) /* what the client sent is wrong, not a file of ours */
        return status == OLL_ERR_FORMAT ? OLL_ERR_ARG : status;
    pthread_mutex_lock(&e->mutex);
    keep(e, ask, *out);
    pthread_mutex_unlock(&e->mutex);
    return OLL_OK;
}

oll_status engine_trie(struct oll_engine *e, struct oll_error *err)
{
    return e->env.trie ? OLL_OK : oll_token_trie_new(e->env.tok, e->env.n_vocab, &e->env.trie, err);
}

void engine_programs_free(struct oll_engine *e)
{
    for (int i = 0; i < ENGINE_PROGRAMS; i++) {
        oll_constraint_program_release(e->programs[i].program);
        oll_free(e->programs[i].text);
    }
    oll_token_trie_free(e->env.trie);
}
