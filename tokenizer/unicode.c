#include "tokenizer/unicode.h"

uint32_t unicode_lower(uint32_t cp)
{
    if (cp < 0x80)
        return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    uint32_t lo = 0, hi = unicode_n_lower_ranges;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const struct unicode_lower_range *r = &unicode_lower_ranges[mid];
        if (cp < r->first)
            hi = mid;
        else if (cp > r->last)
            lo = mid + 1;
        else
            return (cp - r->first) % r->step == 0 ? (uint32_t)((int64_t)cp + r->delta) : cp;
    }
    return cp;
}

/* Hangul syllables decompose by arithmetic (The Unicode Standard 3.12): 588 per leading consonant.
 */
enum { HANGUL_FIRST = 0xAC00, HANGUL_LAST = 0xD7A3, HANGUL_LEAD = 0x1100, HANGUL_PER_LEAD = 588 };

uint32_t unicode_base_letter(uint32_t cp)
{
    if (cp < 0xC0)
        return cp;
    if (cp >= HANGUL_FIRST && cp <= HANGUL_LAST)
        return HANGUL_LEAD + (cp - HANGUL_FIRST) / HANGUL_PER_LEAD;
    uint32_t lo = 0, hi = unicode_n_bases;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (unicode_bases[mid].cp < cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < unicode_n_bases && unicode_bases[lo].cp == cp ? unicode_bases[lo].base : cp;
}
