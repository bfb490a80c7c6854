/* Elements that must differ, read back from the text of a reply.
 *
 * `text` is what has been written since an array whose elements must differ began, or a little
 * before; it ends in the middle of a document. Values become terms of the pool in which equal
 * values are equal. */
#ifndef OLL_SAMPLER_UNIQUE_TEXT_H
#define OLL_SAMPLER_UNIQUE_TEXT_H

#include "sampler/regex.h"

/* Terms of null, false and true: told from strings of the same letters by a first character that no
 * reply holds raw. */
extern const char *const unique_text_words[3];

/* Behind a comma: the value of the element before it, REGEX_NONE when it is no scalar. False when
 * the text cannot be read: nested deeper than a JSON text may be, or no memory. */
bool unique_text_element(struct regex_pool *pool, const char *text, size_t n, uint32_t *out);

/* Behind the colon of a member of an element, or of an object inside it: what that member is in
 * those elements that are not known to differ from this one by its members so far. Work is linear
 * in the text. */
bool unique_text_member(struct regex_pool *pool, const char *text, size_t n, uint32_t *out);

#endif
