#include "engine/guard.h"

#include "engine/base/mem.h"

#include <math.h>
#include <string.h>

/* Equal pieces in a row after which a reply is stuck; Ollama's limit. */
enum { MAX_SAME = 30 };

oll_status guard_init(struct guard *guard, struct oll_constraint_program *program,
                      const struct oll_token_trie *trie, const struct split *split,
                      enum guard_start start, struct oll_error *err)
{
    *guard = (struct guard){0};
    if (!program)
        return OLL_OK;
    guard->tok = trie->tok;
    guard->n_vocab = trie->n_vocab;
    guard->start = start;
    OLL_TRY(oll_constraint_new(program, trie, &guard->constraint, err));
    guard->active = start == GUARD_AT_ONCE || !split->parser ||
                    chat_parser_phase(split->parser) == CHAT_PHASE_CONTENT;
    guard->open = split->parser ? chat_parser_think_open(split->parser) : NULL;
    return OLL_OK;
}

void guard_free(struct guard *guard)
{
    oll_constraint_free(guard->constraint);
    *guard = (struct guard){0};
}

/* Whether the token goes on with the text that begins thinking; white space may come before it. */
static bool continues_open(const struct guard *guard, int32_t token, size_t *n_more)
{
    const char *bytes, *rest = guard->open ? guard->open + guard->n_open : "";
    size_t n, left = strlen(rest);
    oll_tokenizer_piece(guard->tok, token, true, &bytes, &n);
    if (n == 0 || left == 0)
        return false;
    *n_more = n < left ? n : left;
    return memcmp(bytes, rest, *n_more) == 0;
}

static bool is_undecided(const struct guard *guard, const struct chat_parser *parser)
{
    return !guard->active && guard->start == GUARD_AFTER_THINKING && parser &&
           chat_parser_phase(parser) == CHAT_PHASE_UNDECIDED;
}

/* Nothing of the thinking tag has come, or the model may no longer think: the grammar may begin. */
static bool may_begin(const struct guard *guard) { return guard->n_open == 0; }

static bool allows(const struct guard *guard, int32_t token)
{
    size_t n;
    return (!guard->active && continues_open(guard, token, &n)) ||
           ((guard->active || may_begin(guard)) && oll_constraint_allows(guard->constraint, token));
}

static oll_status apply_mask(const struct guard *guard, float *logits, struct oll_error *err)
{
    const uint64_t *mask = NULL;
    size_t n;
    if (guard->active) {
        OLL_TRY(oll_constraint_mask(guard->constraint, &mask, err));
        oll_constraint_apply(mask, logits, guard->n_vocab);
        return OLL_OK;
    }
    if (may_begin(guard))
        OLL_TRY(oll_constraint_mask(guard->constraint, &mask, err));
    for (uint32_t t = 0; t < guard->n_vocab; t++)
        if (!(mask && (mask[t >> 6] >> (t & 63) & 1)) && !continues_open(guard, (int32_t)t, &n))
            logits[t] = -INFINITY;
    return OLL_OK;
}

oll_status guard_choose(struct guard *guard, const struct split *split, struct oll_sampler *sampler,
                        float *logits, int32_t *token, struct oll_error *err)
{
    if (!guard->constraint || *token == OLL_SAMPLER_NO_TOKEN ||
        (!guard->active && !is_undecided(guard, split->parser)) || allows(guard, *token))
        return OLL_OK;
    OLL_TRY(apply_mask(guard, logits, err));
    *token = oll_sampler_redraw(sampler, logits);
    return *token != OLL_SAMPLER_NO_TOKEN
               ? OLL_OK
               : OLL_FAIL(
                     err, OLL_ERR_FORMAT,
                     "grammar dead end: no token of this model can go on with the text that the "
                     "format asks for");
}

static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

static bool repeats(struct guard *guard, int32_t token)
{
    const char *bytes;
    size_t n;
    oll_tokenizer_piece(guard->tok, token, true, &bytes, &n);
    for (; n > 0 && is_blank(bytes[0]); n--)
        bytes++;
    while (n > 0 && is_blank(bytes[n - 1]))
        n--;
    if (n > GUARD_PIECE_MAX)
        n = GUARD_PIECE_MAX;
    bool same = n == guard->n_piece && memcmp(bytes, guard->piece, n) == 0;
    memcpy(guard->piece, bytes, n);
    guard->n_piece = (uint32_t)n;
    guard->n_same = same ? guard->n_same + 1 : 1;
    return guard->n_same > MAX_SAME;
}

oll_status guard_accept(struct guard *guard, const struct split *split, int32_t token, bool *ends,
                        bool *stuck, struct oll_error *err)
{
    size_t n;
    *ends = *stuck = false;
    if (!guard->constraint || (!guard->active && !is_undecided(guard, split->parser)))
        return OLL_OK;
    if (!guard->active && continues_open(guard, token, &n)) {
        guard->n_open += n;
        return OLL_OK;
    }
    guard->active = true;
    OLL_TRY(oll_constraint_accept(guard->constraint, token, err));
    *ends = oll_constraint_finished(guard->constraint);
    *stuck = repeats(guard, token);
    return OLL_OK;
}

oll_status guard_follow(struct guard *guard, const struct split *split, struct oll_error *err)
{
    if (!guard->constraint || guard->active || !split->parser)
        return OLL_OK;
    if (chat_parser_phase(split->parser) != CHAT_PHASE_CONTENT)
        return OLL_OK;
    guard->active = true;
    /* A token that closed the thinking may have had content behind it. */
    for (uint32_t i = 0; i < split->n_events; i++)
        if (split->events[i].kind == OLL_EVENT_TEXT && split->events[i].n_text > 0 &&
            !oll_constraint_accept_bytes(guard->constraint, split->events[i].text,
                                         split->events[i].n_text))
            return OLL_FAIL(err, OLL_ERR_FORMAT,
                            "the model began its answer within the token that ended its thinking, "
                            "and not as the format asks for");
    return OLL_OK;
}

oll_status guard_forced(struct guard *guard, struct oll_tokens *out)
{
    return guard->constraint && guard->active ? oll_constraint_forced(guard->constraint, out)
                                              : OLL_OK;
}
