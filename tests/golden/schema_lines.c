/* Random documents of JSON Schemas, for a script that checks them with another program.
 *
 *     schema_lines DOCS SEED [strict] [VOCABULARY.gguf] < schemas, one a line
 *
 * For each schema one line: {"docs": [text ...]} or {"error": text}. Without a vocabulary the walk
 * goes byte by byte; with one it goes token by token through the masks, as a reply does, forced
 * tokens included. A walk that does not end is left out. */
#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "sampler/constraint.h"
#include "tests/golden/random_walk.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINE = 4 << 20, LONG_TEXT = 600, MAX_TEXT = 20000, N_TRIES = 24 };

static bool take(struct walk *w, int32_t token)
{
    struct oll_error err = {0};
    const char *bytes;
    size_t n;
    if (oll_constraint_accept(w->c, token, &err) != OLL_OK)
        return false;
    oll_tokenizer_piece(w->tok, token, false, &bytes, &n);
    oll_strbuf_add(&w->text, bytes, n);
    return true;
}

static uint32_t closers_of(const struct walk *w, int32_t token)
{
    const char *bytes;
    size_t n;
    uint32_t score = 0;
    oll_tokenizer_piece(w->tok, token, false, &bytes, &n);
    for (size_t i = 0; i < n; i++)
        score += bytes[i] == '}' || bytes[i] == ']' || bytes[i] == '"';
    return 8 * score > n ? 8 * score - (uint32_t)n + 1 : 0;
}

/* One of a few random tokens of the mask; of a long text that which closes most. */
static bool step_token(struct walk *w)
{
    const uint64_t *mask;
    struct oll_error err = {0};
    struct oll_tokens forced = {0};
    int32_t best = -1;
    uint32_t best_score = 0, n_vocab = w->trie->n_vocab;
    bool ok = oll_constraint_forced(w->c, &forced) == OLL_OK;
    for (size_t i = 0; i < forced.n && ok; i++)
        ok = take(w, forced.ids[i]);
    bool went = forced.n > 0;
    oll_tokens_free(&forced);
    if (!ok || went)
        return ok;
    if (oll_constraint_mask(w->c, &mask, &err) != OLL_OK)
        return false;
    uint32_t n_try = walk_draw(w, 3) == 0 || w->text.len > LONG_TEXT ? N_TRIES : 1;
    for (uint32_t t = 0; t < n_try; t++) {
        uint32_t id = walk_draw(w, n_vocab), end = id;
        do
            id = id + 1 == n_vocab ? 0 : id + 1;
        while (id != end && (!walk_has(mask, id) || walk_has(w->trie->ends, id)));
        if (!walk_has(mask, id) || walk_has(w->trie->ends, id))
            continue;
        uint32_t score = closers_of(w, (int32_t)id);
        if (best < 0 || score > best_score) {
            best = (int32_t)id;
            best_score = score;
        }
    }
    return best >= 0 && oll_constraint_allows(w->c, best) && take(w, best);
}

/* Whether a complete document came out. */
static bool walk_once(struct walk *w)
{
    oll_strbuf_clear(&w->text);
    while (w->text.len < MAX_TEXT) {
        if (oll_constraint_finished(w->c) ||
            (oll_constraint_complete(w->c) && walk_draw(w, 4) == 0))
            return true;
        if (!(w->tok ? step_token(w) : walk_byte(w, "\"}]n")))
            return oll_constraint_complete(w->c);
    }
    return false;
}

static void answer(struct walk *w, const char *schema, uint32_t n_docs, bool strict)
{
    struct oll_constraint_source source = {.format_json = schema, .strict_spec = strict};
    struct oll_constraint_program *program = NULL;
    struct oll_error err = {0};
    struct oll_strbuf out;
    struct oll_json_writer json;
    oll_strbuf_init(&out, 64 << 20);
    oll_json_write_init(&json, &out);
    oll_json_write_object_begin(&json);
    if (oll_constraint_compile(&source, NULL, &program, &err) != OLL_OK) {
        oll_json_write_key(&json, "error");
        oll_json_write_str(&json, err.text);
    } else {
        oll_json_write_key(&json, "docs");
        oll_json_write_array_begin(&json);
        for (uint32_t i = 0; i < n_docs; i++) {
            if (oll_constraint_new(program, w->trie, &w->c, &err) != OLL_OK)
                break;
            if (walk_once(w))
                oll_json_write_strn(&json, w->text.data, w->text.len);
            oll_constraint_free(w->c);
        }
        oll_json_write_array_end(&json);
    }
    oll_json_write_object_end(&json);
    printf("%s\n", out.data);
    oll_constraint_program_release(program);
    oll_strbuf_free(&out);
}

static bool open_vocabulary(const char *path, struct oll_tokenizer **tok)
{
    struct oll_gguf *gguf = NULL;
    struct oll_error err = {0};
    oll_status status = oll_gguf_open(path, &gguf, &err);
    if (status == OLL_OK)
        status = oll_tokenizer_new(gguf, 0, tok, &err);
    oll_gguf_close(gguf);
    if (status != OLL_OK)
        fprintf(stderr, "%s\n", oll_error_text(&err));
    return status == OLL_OK;
}

int main(int argc, char **argv)
{
    static char line[MAX_LINE];
    static struct oll_token_trie nothing = {.n_words = 1};
    struct oll_token_trie *trie = NULL;
    struct oll_tokenizer *tok = NULL;
    struct oll_error err = {0};
    bool strict = argc > 3 && strcmp(argv[3], "strict") == 0;
    const char *path = argc > 3 + strict ? argv[3 + strict] : NULL;
    if (argc < 3 || (path && !open_vocabulary(path, &tok)))
        return 2;
    if (tok &&
        oll_token_trie_new(tok, (uint32_t)oll_tokenizer_n_tokens(tok), &trie, &err) != OLL_OK)
        return 2;
    struct walk w = {
        .trie = trie ? trie : &nothing, .tok = tok, .random = strtoull(argv[2], NULL, 10)};
    oll_strbuf_init(&w.text, 1 << 20);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        answer(&w, line, (uint32_t)strtoul(argv[1], NULL, 10), strict);
    }
    oll_strbuf_free(&w.text);
    oll_token_trie_free(trie);
    oll_tokenizer_free(tok);
    return 0;
}
