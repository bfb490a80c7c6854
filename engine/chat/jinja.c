#include "engine/chat/jinja.h"

#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/chat/jinja_eval.h"

#include <string.h>

enum { PARSE_MEMORY_MAX = 96 << 20 };

oll_status oll_jinja_parse(const char *source, size_t n, struct jinja_template **out,
                           struct oll_error *err)
{
    if (n > JINJA_SOURCE_MAX)
        return OLL_FAIL(err, OLL_ERR_LIMIT, "a chat template of %zu bytes; at most %d are taken", n,
                        JINJA_SOURCE_MAX);
    struct jinja_template *page = oll_calloc(1, sizeof *page);
    if (!page)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for the chat template");
    oll_arena_init(&page->arena, PARSE_MEMORY_MAX);
    const oll_status status = jinja_parse(page, source, n, err);
    if (status != OLL_OK)
        oll_jinja_free(page);
    else
        *out = page;
    return status;
}

void oll_jinja_free(struct jinja_template *page)
{
    if (page)
        oll_arena_free(&page->arena);
    oll_free(page);
}

static struct jinja_scope *new_globals(struct jinja_run *run)
{
    struct jinja_scope *s = jinja_scope_new(run, NULL);
    const uint32_t n = run->page->n_symbols;
    struct jinja_value *table = s ? jinja_alloc(run, n, sizeof *table) : NULL;
    bool *is_set = table ? jinja_alloc(run, n, sizeof *is_set) : NULL;
    if (!is_set)
        return NULL;
    s->table = table;
    s->is_set = is_set;
    return s;
}

void jinja_run_init(struct jinja_run *run, const struct jinja_template *page, int64_t now_s,
                    struct oll_error *err)
{
    const time_t now = (time_t)now_s;
    memset(run, 0, sizeof *run);
    oll_arena_init(&run->arena, JINJA_MEMORY_MAX);
    oll_strbuf_init(&run->out, JINJA_OUTPUT_MAX);
    run->page = page;
    run->err = err;
    run->start_cpu_ns = oll_clock_thread_ns();
    if (!localtime_r(&now, &run->now))
        memset(&run->now, 0, sizeof run->now);
    run->scope = run->globals = new_globals(run);
    for (const struct jinja_builtin *b = jinja_globals; b->name && jinja_ok(run); b++)
        if (jinja_symbol(page, b->name) != UINT32_MAX)
            jinja_run_set(run, b->name,
                          jinja_new_call(run, (struct jinja_call){.kind = JINJA_FUNCTION,
                                                                  .name = b->name,
                                                                  .fn = b->fn}));
}

void jinja_run_set(struct jinja_run *run, const char *name, struct jinja_value v)
{
    const uint32_t symbol = jinja_symbol(run->page, name);
    if (symbol != UINT32_MAX && jinja_ok(run))
        jinja_bind(run, run->globals, symbol, v);
}

oll_status jinja_run_finish(struct jinja_run *run)
{
    if (jinja_ok(run))
        jinja_exec(run, run->page->body);
    if (jinja_ok(run) && run->out.status != OLL_OK)
        jinja_fail(run, run->out.status, "the prompt is too long");
    return run->status;
}

void jinja_run_free(struct jinja_run *run)
{
    oll_arena_free(&run->arena);
    oll_strbuf_free(&run->out);
}

oll_status oll_jinja_render(const struct jinja_template *page, const struct oll_json *variables,
                            int64_t now_s, struct oll_strbuf *out, struct oll_error *err)
{
    struct jinja_run run;
    jinja_run_init(&run, page, now_s, err);
    const bool has_any = variables && variables->type == OLL_JSON_OBJECT;
    for (const struct oll_json *v = has_any ? variables->first : NULL; v && jinja_ok(&run);
         v = v->next)
        jinja_run_set(&run, v->key, jinja_from_json(&run, v));
    const oll_status status = jinja_run_finish(&run);
    if (status == OLL_OK)
        oll_strbuf_add(out, run.out.data, run.out.len);
    jinja_run_free(&run);
    return status != OLL_OK || out->status == OLL_OK
               ? status
               : OLL_FAIL(err, out->status, "the prompt is too long");
}
