/* UTF-8 (RFC 3629): strict decoding, shortest form only, no surrogates, at most U+10FFFF. */
#ifndef OLL_BASE_UTF8_H
#define OLL_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes one character of s[0..n). Returns its length (1 to 4) and the code point; 0 when the
 * bytes are no character (also when cut short) or n is 0. */
int oll_utf8_decode(const char *s, size_t n, uint32_t *cp);
/* Writes the character of a valid code point; returns its length (1 to 4). */
int oll_utf8_encode(uint32_t cp, char out[4]);
bool oll_utf8_valid(const char *s, size_t n);
/* Length of the longest prefix that does not end inside a character that more bytes could complete:
 * what a stream may show now. Bytes that can never become valid count as complete. */
size_t oll_utf8_complete_len(const char *s, size_t n);

#endif
