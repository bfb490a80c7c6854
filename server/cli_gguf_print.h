/* What `oll gguf show` prints of an open model: text for people, JSON for programs. Both go to
 * standard output piece by piece; the caller checks the stream at the end. */
#ifndef OLL_SERVER_CLI_GGUF_PRINT_H
#define OLL_SERVER_CLI_GGUF_PRINT_H

#include "gguf/gguf.h"

/* Header, metadata with arrays cut to their first elements, tensor table, totals per type. Strings
 * of the file are shown without what could steer a terminal. */
void gguf_print_text(const struct oll_gguf *gguf);

/* One object: file, version, alignment, bytes, metadata {key: {type, value}} with whole arrays,
 * tensors [{name, type, shape (innermost first), bytes, offset, part}], totals {type: {tensors,
 * elements, bytes}}. */
oll_status gguf_print_json(const struct oll_gguf *gguf, struct oll_error *err) OLL_MUST_USE;

#endif
