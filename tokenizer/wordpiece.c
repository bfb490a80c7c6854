/* WordPiece (`bert`): clean the text, cut it into words and signs, then take the longest tokens
 * from the left. Source: Devlin et al. 2018, arXiv:1810.04805, and its published tokenizer. */
#include "tokenizer/algorithms.h"

#include "tokenizer/unicode.h"

oll_status wordpiece_init(struct oll_tokenizer *tok, struct oll_error *err)
{
    const struct vocab *vocab = &tok->vocab;
    for (int32_t id = 0; id < vocab->n_tokens; id++) {
        size_t n;
        const char *piece = vocab_piece(vocab, id, &n);
        if (!(vocab->flags[id] & VOCAB_IN_MAP))
            continue;
        oll_status status = byte_trie_add(&tok->trie, piece, n, id);
        if (status != OLL_OK)
            return OLL_FAIL(err, status, "tokenizer.ggml.tokens: no index of the tokens: %s",
                            oll_status_text(status));
    }
    return OLL_OK;
}

/* The ideographs that the published tokenizers set apart. */
static bool is_ideograph(uint32_t cp)
{
    return (cp >= 0x4E00 && cp <= 0x9FFF) || (cp >= 0x3400 && cp <= 0x4DBF) ||
           (cp >= 0x20000 && cp <= 0x2A6DF) || (cp >= 0x2A700 && cp <= 0x2B73F) ||
           (cp >= 0x2B740 && cp <= 0x2B81F) || (cp >= 0x2B920 && cp <= 0x2CEAF) ||
           (cp >= 0xF900 && cp <= 0xFAFF) || (cp >= 0x2F800 && cp <= 0x2FA1F);
}

/* Whether the character is a word of its own. */
static bool stands_alone(uint32_t cp, uint32_t mask)
{
    return (mask & CHAR_P) || ((mask & CHAR_S) && cp < 0x7F) || is_ideograph(cp);
}

/* Tokens of " word": the longest that fits, again and again; a word with an unknown part is one
 * unknown token. */
static void put_word(struct encoder *e, const char *word, size_t n)
{
    const struct oll_tokenizer *tok = e->tok;
    uint32_t entry = text_map_find(&tok->vocab.map, word, n, word + n);
    if (entry) {
        encoder_put(e, text_map_id(entry));
        return;
    }
    size_t n_before = e->out->n, at = 0;
    while (at < n) {
        uint32_t node = 0;
        size_t best_end = at;
        int32_t best = OLL_TOKEN_NONE;
        for (size_t i = at; i < n; i++) {
            const struct byte_trie_edge *edge = byte_trie_step(&tok->trie, node, word[i]);
            if (!edge)
                break;
            node = edge->child;
            if (edge->value != BYTE_TRIE_NONE) {
                best = edge->value;
                best_end = i + 1;
            }
        }
        if (best == OLL_TOKEN_NONE) {
            e->out->n = n_before;
            if (tok->vocab.roles[OLL_ROLE_UNK] != OLL_TOKEN_NONE)
                encoder_put(e, tok->vocab.roles[OLL_ROLE_UNK]);
            return;
        }
        encoder_put(e, best);
        at = best_end;
    }
}

/* Ends the word collected behind its leading blank. */
static void end_word(struct encoder *e)
{
    if (e->text.n > 1 && e->status == OLL_OK)
        put_word(e, e->text.data, e->text.n);
    e->text.n = 1;
}

static void add_char(struct encoder *e, uint32_t cp)
{
    const struct vocab *vocab = &e->tok->vocab;
    if (vocab->strip_accents)
        cp = unicode_base_letter(cp);
    uint32_t mask = char_mask(cp);
    if (mask & CHAR_SPACE) {
        end_word(e);
        return;
    }
    if (cp == 0 || cp == 0xFFFD || (mask & (CHAR_CC | CHAR_CF | CHAR_CO | CHAR_CS)) ||
        (vocab->strip_accents && (mask & CHAR_M)))
        return;
    if (vocab->lowercase)
        cp = unicode_lower(cp);
    bool alone = stands_alone(cp, mask);
    if (alone)
        end_word(e);
    if (e->text.cap - e->text.n < 4 && !encoder_reserve(e, &e->text, 4))
        return;
    e->text.n += (size_t)oll_utf8_encode(cp, e->text.data + e->text.n);
    if (alone)
        end_word(e);
}

void wordpiece_encode(struct encoder *e, const char *text, size_t n)
{
    e->text.n = 0;
    if (!encoder_append(e, &e->text, " ", 1))
        return;
    for (size_t i = 0; i < n && e->status == OLL_OK;) {
        uint32_t cp;
        int len = oll_utf8_decode(text + i, n - i, &cp);
        if (len > 0)
            add_char(e, cp); /* bytes that are no character count as U+FFFD, which is dropped */
        i += len ? (size_t)len : 1;
    }
    end_word(e);
}
