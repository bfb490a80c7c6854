/* Reply: turns sampled tokens into text that may be shown, and finds stop strings.
 *
 * Text goes out in whole characters. A tail that could be the beginning of a stop string is held
 * back until it is decided; a stop string itself is never shown. */
#ifndef OLL_ENGINE_REPLY_H
#define OLL_ENGINE_REPLY_H

#include "engine/base/strbuf.h"
#include "engine/oll.h"
#include "tokenizer/tokenizer.h"

/* Text that may wait for a decision: longer than any stop string that is accepted. */
enum { REPLY_MAX_STOP_BYTES = 4096, REPLY_MAX_STOPS = 64, REPLY_MAX_PENDING = 1024 * 1024 };

struct reply {
    struct oll_stream_decoder decoder;
    const char *const *stop;
    uint32_t n_stop;
    struct oll_strbuf pending; /* decoded, not yet shown */
    bool stopped;              /* a stop string was found */
    size_t n_cut;              /* decoded bytes that it and what follows it took */
    struct oll_tokens shown;   /* control tokens whose text is part of the reply */
};

/* Checks the stop strings: OLL_ERR_LIMIT names what is too many or too long. They are borrowed. */
oll_status reply_init(struct reply *reply, const struct oll_tokenizer *tok, const char *const *stop,
                      uint32_t n_stop, struct oll_error *err) OLL_MUST_USE;
void reply_free(struct reply *reply);

/* Adds a token and appends what may be shown now to *out. */
void reply_add(struct reply *reply, int32_t token, struct oll_strbuf *out);
/* The reply ends: shows what was held back, unless a stop string was found. */
void reply_finish(struct reply *reply, struct oll_strbuf *out);

#endif
