/* SentencePiece BPE (`llama`): adjacent symbols whose text is a token merge in the order of that
 * token's score. Source: Kudo and Richardson 2018, arXiv:1808.06226, and the format of its models.
 */
#include "tokenizer/algorithms.h"

/* Higher scores first: the bits of a float, made to fall with its value. */
static uint32_t score_prio(float score)
{
    uint32_t bits;
    score += 0.0f; /* one zero only */
    memcpy(&bits, &score, sizeof bits);
    return bits & 0x80000000u ? bits : ~bits & 0x7FFFFFFFu;
}

static uint32_t spm_pair(const void *model, const char *text, uint32_t left, uint32_t right,
                         uint32_t begin, uint32_t end, uint32_t *merged)
{
    const struct vocab *vocab = &((const struct oll_tokenizer *)model)->vocab;
    (void)left;
    (void)right;
    if (end - begin > vocab->max_piece)
        return MERGE_NONE;
    uint32_t entry = text_map_find(&vocab->map, text + begin, end - begin, text + end);
    if (entry == 0)
        return MERGE_NONE;
    *merged = (uint32_t)text_map_id(entry);
    return score_prio(vocab->scores[*merged]);
}

oll_status spm_init(struct oll_tokenizer *tok, struct oll_error *err)
{
    return segment_init(tok, err);
}

void spm_encode(struct encoder *e, const char *text, size_t n, bool starts)
{
    bool prefix = starts && e->tok->vocab.add_space_prefix;
    if (prefix || memchr(text, VOCAB_MARK[0], n)) {
        e->text.n = 0;
        if (!encoder_reserve(e, &e->text, n + 1))
            return;
        if (prefix)
            e->text.data[e->text.n++] = ' ';
        e->text.n += vocab_unmark(text, n, e->text.data + e->text.n);
        text = e->text.data;
        n = e->text.n;
    }
    segment_encode(e, text, n, spm_pair);
}
