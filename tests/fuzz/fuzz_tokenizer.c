/* A vocabulary and a text, both hostile: two bytes with the length of the text, the text, a model
 * file. Whatever vocabulary is accepted must encode every text and decode what it gave. */
#include "engine/base/log.h"
#include "tokenizer/tokenizer.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { DECODED_MAX = 16 << 20 };

static void encode_and_decode(const struct oll_tokenizer *tok, const char *text, size_t n,
                              unsigned flags)
{
    struct oll_tokens tokens = {0};
    struct oll_strbuf whole, streamed;
    struct oll_stream_decoder dec;
    oll_strbuf_init(&whole, DECODED_MAX);
    oll_strbuf_init(&streamed, DECODED_MAX);
    if (oll_tokenizer_encode(tok, text, n, flags, &tokens) == OLL_OK) {
        oll_stream_decoder_init(&dec, tok, true);
        for (size_t i = 0; i < tokens.n; i++) {
            OLL_ASSERT(tokens.ids[i] >= 0 && tokens.ids[i] < oll_tokenizer_n_tokens(tok));
            oll_stream_decoder_add(&dec, tokens.ids[i], &streamed);
        }
        oll_stream_decoder_finish(&dec, &streamed);
        OLL_ASSERT(oll_tokenizer_decode(tok, tokens.ids, tokens.n, true, &whole) == OLL_OK);
    }
    oll_strbuf_free(&whole);
    oll_strbuf_free(&streamed);
    oll_tokens_free(&tokens);
}

static void use_vocabulary(const struct oll_tokenizer *tok)
{
    int32_t n_tokens = oll_tokenizer_n_tokens(tok);
    size_t n;
    for (int role = 0; role < OLL_ROLE_COUNT; role++)
        OLL_ASSERT(oll_tokenizer_role(tok, (enum oll_token_role)role) < n_tokens);
    for (int32_t id = 0; id < n_tokens && id < 64; id++) {
        const char *text = oll_tokenizer_text(tok, id, &n);
        OLL_ASSERT(n == 0 || oll_tokenizer_find(tok, text, n) < n_tokens);
        (void)oll_tokenizer_is_eog(tok, id);
    }
    (void)oll_tokenizer_suppressed(tok, &n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct oll_gguf *gguf = NULL;
    struct oll_tokenizer *tok = NULL;
    struct oll_error err = {0};
    oll_log_set_level(OLL_LOG_ERROR); /* warnings about odd vocabularies are no news here */
    if (n_bytes < 2)
        return 0;
    size_t n_text = (size_t)data[0] | (size_t)data[1] << 8;
    if (n_text > n_bytes - 2)
        n_text = n_bytes - 2;
    const char *text = (const char *)data + 2;
    if (oll_gguf_open_memory(text + n_text, n_bytes - 2 - n_text, "fuzz", &gguf, &err) == OLL_OK &&
        oll_tokenizer_new(gguf, 0, &tok, &err) == OLL_OK) {
        use_vocabulary(tok);
        encode_and_decode(tok, text, n_text, OLL_ENCODE_ADD_SPECIAL | OLL_ENCODE_PARSE_SPECIAL);
        encode_and_decode(tok, text, n_text, OLL_ENCODE_CONTINUE);
    } else {
        OLL_ASSERT(err.text[0] != '\0');
    }
    oll_tokenizer_free(tok);
    oll_gguf_close(gguf);
    return 0;
}
