/* Tokenizer: text to token ids and back, as the model's makers meant.
 *
 * Built from the `tokenizer.*` metadata of a GGUF file; threads may share it afterwards (what the
 * encoder notes about tokens, it notes atomically, and no text is kept). Algorithms: SentencePiece
 * BPE (`llama`), byte-level and raw BPE (`gpt2`, `gemma4`, `whitespace`), WordPiece (`bert`),
 * unigram (`t5`); each source file names its own. A file without a vocabulary (`none`) loads with
 * zero tokens. */
#ifndef OLL_TOKENIZER_TOKENIZER_H
#define OLL_TOKENIZER_TOKENIZER_H

#include "engine/base/status.h"
#include "engine/base/strbuf.h"
#include "gguf/gguf.h"

#include <stdbool.h>
#include <stdint.h>

enum { OLL_TOKEN_NONE = -1 };

struct oll_tokenizer;

/* Reads the vocabulary. The file may be closed afterwards: nothing is borrowed. `n_vocab` is the
 * number of rows of token_embd, or 0 when unknown: longer token lists are cut to it. */
oll_status oll_tokenizer_new(const struct oll_gguf *gguf, uint64_t n_vocab,
                             struct oll_tokenizer **out, struct oll_error *err) OLL_MUST_USE;
void oll_tokenizer_free(struct oll_tokenizer *tok);

int32_t oll_tokenizer_n_tokens(const struct oll_tokenizer *tok);

/* Growing list of ids; zero-initialise, release with oll_tokens_free. */
struct oll_tokens {
    int32_t *ids;
    size_t n, cap;
};
void oll_tokens_free(struct oll_tokens *tokens);
oll_status oll_tokens_add(struct oll_tokens *tokens, int32_t id) OLL_MUST_USE;

enum oll_encode_flags {
    OLL_ENCODE_ADD_SPECIAL = 1,   /* bos, eos, CLS, SEP as the model asks */
    OLL_ENCODE_PARSE_SPECIAL = 2, /* the text of control tokens becomes those tokens */
    /* The text goes on where other text ended (no space prefix, no "start of text" rules). */
    OLL_ENCODE_CONTINUE = 4
};

/* Appends the ids of text[0..n) to *out; adds nothing on failure. Any bytes are accepted.
 * OLL_ERR_MEMORY is the only failure that text can cause; OLL_ERR_UNSUPPORTED: the file has no
 * vocabulary. */
oll_status oll_tokenizer_encode(const struct oll_tokenizer *tok, const char *text, size_t n,
                                unsigned flags, struct oll_tokens *out) OLL_MUST_USE;

/* Bytes of one token as they appear in text (byte tokens as their byte, word marks as spaces).
 * Special tokens give their text when `render_special`, else nothing. The pointer is valid as long
 * as the tokenizer. */
void oll_tokenizer_piece(const struct oll_tokenizer *tok, int32_t id, bool render_special,
                         const char **bytes, size_t *n);

/* Appends the concatenated pieces of ids[0..n): no clean-up, leading space kept. Ids out of range
 * give OLL_ERR_ARG. */
oll_status oll_tokenizer_decode(const struct oll_tokenizer *tok, const int32_t *ids, size_t n,
                                bool render_special, struct oll_strbuf *out) OLL_MUST_USE;

/* Streaming decoder: gives out bytes as soon as they form whole characters, never a part of one. */
struct oll_stream_decoder {
    const struct oll_tokenizer *tok;
    bool render_special;
    char pending[8]; /* start of an unfinished character */
    size_t n_pending;
};
void oll_stream_decoder_init(struct oll_stream_decoder *dec, const struct oll_tokenizer *tok,
                             bool render_special);
/* Appends what has become complete to *out. Bytes that can never become a character come out as
 * U+FFFD. */
void oll_stream_decoder_add(struct oll_stream_decoder *dec, int32_t id, struct oll_strbuf *out);
/* Ends the stream: an unfinished character comes out as U+FFFD. */
void oll_stream_decoder_finish(struct oll_stream_decoder *dec, struct oll_strbuf *out);

/* ---- what the vocabulary says about single tokens ---- */

/* Roles; OLL_TOKEN_NONE when the model has none. */
enum oll_token_role {
    OLL_ROLE_BOS,
    OLL_ROLE_EOS,
    OLL_ROLE_EOT,
    OLL_ROLE_EOM,
    OLL_ROLE_UNK,
    OLL_ROLE_SEP,
    OLL_ROLE_PAD,
    OLL_ROLE_CLS,
    OLL_ROLE_MASK,
    OLL_ROLE_FIM_PRE,
    OLL_ROLE_FIM_SUF,
    OLL_ROLE_FIM_MID,
    OLL_ROLE_FIM_PAD,
    OLL_ROLE_FIM_REP,
    OLL_ROLE_FIM_SEP,
    OLL_ROLE_COUNT
};
int32_t oll_tokenizer_role(const struct oll_tokenizer *tok, enum oll_token_role role);
bool oll_tokenizer_is_eog(const struct oll_tokenizer *tok, int32_t id); /* ends a generation */
bool oll_tokenizer_is_special(const struct oll_tokenizer *tok,
                              int32_t id); /* control, unknown or user defined */
bool oll_tokenizer_is_control(const struct oll_tokenizer *tok, int32_t id);
bool oll_tokenizer_adds_bos(const struct oll_tokenizer *tok);
bool oll_tokenizer_adds_eos(const struct oll_tokenizer *tok); /* eos or a separator */
/* Raw text of a token as the file has it. */
const char *oll_tokenizer_text(const struct oll_tokenizer *tok, int32_t id, size_t *n);
/* Id of the last token with exactly this raw text, else OLL_TOKEN_NONE. Looks at every token: for
 * loading and set-up, not for each token of an answer. */
int32_t oll_tokenizer_find(const struct oll_tokenizer *tok, const char *text, size_t n);
/* Ids whose logits must be -inf (tokenizer.ggml.suppress_tokens); NULL and 0 when there are none.
 */
const int32_t *oll_tokenizer_suppressed(const struct oll_tokenizer *tok, size_t *n);

#endif
