/* Packing of the super-block formats (layouts: cpu_panel.h). Quants move in groups of four bytes of
 * one row, the word of a line; masks act on the four bytes at once. */
#include "kernels/cpu/cpu_pack_rows.h"
#include "kernels/quant.h"

#define NIBBLE 0x0f0f0f0fu
#define CRUMB  0x03030303u /* two bits of each byte */
#define BIT    0x01010101u

static uint32_t word(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static void put_word(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }

static void or_word(uint8_t *p, uint32_t v) { put_word(p, word(p) | v); }

static void put_half(uint8_t *p, uint16_t v) { memcpy(p, &v, 2); }

static uint16_t half(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

/* ---- scales and mins of Q4_K and Q5_K ---- */

/* Adds row r to lines 0-3 of the sub-block, cleared before the first row. */
static void pack_scales_k4(uint8_t *sub, unsigned r, uint16_t d, uint16_t dmin,
                           const uint8_t scales[12])
{
    put_half(sub + 2 * r, d);
    put_half(sub + 32 + 2 * r, dmin);
    uint8_t *high = sub + 3 * CPU_LINE;
    for (unsigned j = 0; j < 8; j++) {
        uint8_t sc, mn;
        quant_scale_min_k4(scales, (int)j, &sc, &mn);
        uint8_t *low = sub + CPU_LINE + j / 4 * CPU_LINE;
        const unsigned s = panel_scale_at(j, r), m = panel_min_at(j, r);
        low[s] = (uint8_t)(low[s] | (sc & 15));
        low[m] = (uint8_t)(low[m] | (mn & 15) << 4);
        high[s] = (uint8_t)(high[s] | (sc >> 4) << j / 4 * 4);
        high[m] = (uint8_t)(high[m] | (mn >> 4) << (j / 4 * 4 + 2));
    }
}

static void unpack_scales_k4(const uint8_t *sub, unsigned r, uint8_t scales[12])
{
    const uint8_t *high = sub + 3 * CPU_LINE;
    memset(scales, 0, 12);
    for (unsigned j = 0; j < 8; j++) {
        const uint8_t *low = sub + CPU_LINE + j / 4 * CPU_LINE;
        const unsigned s = panel_scale_at(j, r), m = panel_min_at(j, r);
        const unsigned sc = (low[s] & 15u) | (high[s] >> j / 4 * 4 & 3u) << 4;
        const unsigned mn = (unsigned)(low[m] >> 4) | (high[m] >> (j / 4 * 4 + 2) & 3u) << 4;
        if (j < 4) {
            scales[j] = (uint8_t)(scales[j] | sc);
            scales[j + 4] = (uint8_t)(scales[j + 4] | mn);
        } else { /* low nibbles in the last four bytes, high bits on top of the first eight */
            scales[j + 4] = (uint8_t)((sc & 15) | (mn & 15) << 4);
            scales[j - 4] = (uint8_t)(scales[j - 4] | (sc >> 4) << 6);
            scales[j] = (uint8_t)(scales[j] | (mn >> 4) << 6);
        }
    }
}

/* The 32 bytes that hold sub-blocks 2c and 2c + 1 in their nibbles become 4 lines of either, where
 * k-groups g and g + 4 of one sub-block share a byte. */
static void pack_nibble_pair(uint8_t *even, uint8_t *odd, unsigned r, const uint8_t qs[32])
{
    for (unsigned g = 0; g < 4; g++) {
        const uint32_t a = word(qs + 4 * g), b = word(qs + 4 * g + 16);
        put_word(pack_group(even, g, r), (a & NIBBLE) | (b & NIBBLE) << 4);
        put_word(pack_group(odd, g, r), (a >> 4 & NIBBLE) | (b & ~NIBBLE));
    }
}

static void unpack_nibble_pair(const uint8_t *even, const uint8_t *odd, unsigned r, uint8_t qs[32])
{
    for (unsigned g = 0; g < 4; g++) {
        const uint32_t e = word(even + g * CPU_LINE + r * 4), o = word(odd + g * CPU_LINE + r * 4);
        put_word(qs + 4 * g, (e & NIBBLE) | (o & NIBBLE) << 4);
        put_word(qs + 4 * g + 16, (e >> 4 & NIBBLE) | (o & ~NIBBLE));
    }
}

void panel_pack_q4_k(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    for (uint32_t b = 0; b < n_in / QUANT_K; b++) {
        uint8_t *sub = panel + panel_sub_q4_k(b), *lines = sub + 4 * CPU_LINE;
        memset(sub, 0, 4 * CPU_LINE);
        for (unsigned r = 0; r < CPU_PANEL_ROWS; r++) {
            const struct block_q4_k *s = pack_block(rows[r], b, sizeof *s);
            pack_scales_k4(sub, r, s->d, s->dmin, s->scales);
            for (unsigned c = 0; c < 4; c++)
                pack_nibble_pair(lines + c * 512, lines + c * 512 + 256, r, s->qs + 32 * c);
        }
    }
}

void panel_unpack_q4_k(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    struct block_q4_k *out = (struct block_q4_k *)(void *)dst;
    for (uint32_t b = 0; b < n_in / QUANT_K; b++, out++) {
        const uint8_t *sub = panel + panel_sub_q4_k(b), *lines = sub + 4 * CPU_LINE;
        out->d = half(sub + 2 * row);
        out->dmin = half(sub + 32 + 2 * row);
        unpack_scales_k4(sub, row, out->scales);
        for (unsigned c = 0; c < 4; c++)
            unpack_nibble_pair(lines + c * 512, lines + c * 512 + 256, row, out->qs + 32 * c);
    }
}

void panel_pack_q5_k(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    for (uint32_t b = 0; b < n_in / QUANT_K; b++) {
        uint8_t *sub = panel + panel_sub_q5_k(b), *lines = sub + 4 * CPU_LINE;
        memset(sub, 0, 4 * CPU_LINE);
        for (unsigned r = 0; r < CPU_PANEL_ROWS; r++) {
            const struct block_q5_k *s = pack_block(rows[r], b, sizeof *s);
            pack_scales_k4(sub, r, s->d, s->dmin, s->scales);
            for (unsigned j = 0; j < 8; j++) {
                uint32_t high = 0;
                for (unsigned g = 0; g < 8; g++)
                    high |= (word(s->qh + 4 * g) >> j & BIT) << g;
                put_word(pack_group(lines, j * 5, r), high);
            }
            for (unsigned c = 0; c < 4; c++)
                pack_nibble_pair(lines + (10 * c + 1) * CPU_LINE, lines + (10 * c + 6) * CPU_LINE,
                                 r, s->qs + 32 * c);
        }
    }
}

void panel_unpack_q5_k(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    struct block_q5_k *out = (struct block_q5_k *)(void *)dst;
    for (uint32_t b = 0; b < n_in / QUANT_K; b++, out++) {
        const uint8_t *sub = panel + panel_sub_q5_k(b), *lines = sub + 4 * CPU_LINE;
        out->d = half(sub + 2 * row);
        out->dmin = half(sub + 32 + 2 * row);
        unpack_scales_k4(sub, row, out->scales);
        memset(out->qh, 0, sizeof out->qh);
        for (unsigned j = 0; j < 8; j++) {
            const uint32_t high = word(lines + j * 5 * CPU_LINE + row * 4);
            for (unsigned g = 0; g < 8; g++)
                or_word(out->qh + 4 * g, (high >> g & BIT) << j);
        }
        for (unsigned c = 0; c < 4; c++)
            unpack_nibble_pair(lines + (10 * c + 1) * CPU_LINE, lines + (10 * c + 6) * CPU_LINE,
                               row, out->qs + 32 * c);
    }
}

/* ---- Q6_K ---- */

/* Sub-block is = 0..15 (16 weights) of a Q6_K block: where its low nibbles and high bits are. */
struct place_q6 {
    unsigned ql, qh;           /* first of 16 bytes */
    unsigned low_shift, shift; /* of the nibble, of the two bits */
};

static struct place_q6 place_q6_of(unsigned is)
{
    const unsigned h = is / 8, plane = is % 8 / 2, g = is % 2;
    return (struct place_q6){.ql = 64 * h + 32 * (plane % 2) + 16 * g,
                             .qh = 32 * h + 16 * g,
                             .low_shift = plane / 2 * 4,
                             .shift = 2 * plane};
}

void panel_pack_q6_k(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    const uint32_t n_sub = n_in / QUANT_K;
    if (n_sub % 2)
        memset(panel + panel_head_q6_k(n_sub - 1), 0, CPU_LINE);
    for (uint32_t b = 0; b < n_sub; b++) {
        uint8_t *sub = panel + panel_sub_q6_k(b);
        for (unsigned r = 0; r < CPU_PANEL_ROWS; r++) {
            const struct block_q6_k *s = pack_block(rows[r], b, sizeof *s);
            put_half(panel + panel_head_q6_k(b) + 2 * r, s->d);
            for (unsigned is = 0; is < 16; is++) {
                const struct place_q6 p = place_q6_of(is);
                uint8_t *lines = sub + (4 + 3 * is) * CPU_LINE;
                uint32_t low[4], high = 0;
                for (unsigned g = 0; g < 4; g++) {
                    low[g] = word(s->ql + p.ql + 4 * g) >> p.low_shift & NIBBLE;
                    high |= (word(s->qh + p.qh + 4 * g) >> p.shift & CRUMB) << 2 * g;
                }
                sub[is * 16 + r] = (uint8_t)s->scales[is];
                put_word(pack_group(lines, 0, r), low[0] | low[1] << 4);
                put_word(pack_group(lines, 1, r), low[2] | low[3] << 4);
                put_word(pack_group(lines, 2, r), high);
            }
        }
    }
}

void panel_unpack_q6_k(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    struct block_q6_k *out = (struct block_q6_k *)(void *)dst;
    for (uint32_t b = 0; b < n_in / QUANT_K; b++, out++) {
        const uint8_t *sub = panel + panel_sub_q6_k(b);
        memset(out, 0, sizeof *out);
        out->d = half(panel + panel_head_q6_k(b) + 2 * row);
        for (unsigned is = 0; is < 16; is++) {
            const struct place_q6 p = place_q6_of(is);
            const uint8_t *lines = sub + (4 + 3 * is) * CPU_LINE + row * 4;
            const uint32_t high = word(lines + 2 * CPU_LINE);
            out->scales[is] = (int8_t)sub[is * 16 + row];
            for (unsigned g = 0; g < 4; g++) {
                const uint32_t low = word(lines + g / 2 * CPU_LINE) >> g % 2 * 4 & NIBBLE;
                or_word(out->ql + p.ql + 4 * g, low << p.low_shift);
                or_word(out->qh + p.qh + 4 * g, (high >> 2 * g & CRUMB) << p.shift);
            }
        }
    }
}

/* ---- Q2_K, Q3_K ---- */

/* The 2-bit plane of sub-block is = 0..15: first of 16 bytes, and shift. */
static unsigned plane_byte(unsigned is) { return is / 8 * 32 + is % 2 * 16; }
static unsigned plane_shift(unsigned is) { return is % 8 / 2 * 2; }

static uint32_t pack_plane(const uint8_t qs[64], unsigned is)
{
    uint32_t line = 0;
    for (unsigned g = 0; g < 4; g++)
        line |= (word(qs + plane_byte(is) + 4 * g) >> plane_shift(is) & CRUMB) << 2 * g;
    return line;
}

static void unpack_plane(uint32_t line, unsigned is, uint8_t qs[64])
{
    for (unsigned g = 0; g < 4; g++)
        or_word(qs + plane_byte(is) + 4 * g, (line >> 2 * g & CRUMB) << plane_shift(is));
}

void panel_pack_q2_k(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    for (uint32_t b = 0; b < n_in / QUANT_K; b++) {
        uint8_t *sub = panel + panel_sub_q2_k(b);
        memset(sub, 0, 5 * CPU_LINE);
        for (unsigned r = 0; r < CPU_PANEL_ROWS; r++) {
            const struct block_q2_k *s = pack_block(rows[r], b, sizeof *s);
            put_half(sub + 2 * r, s->d);
            put_half(sub + 32 + 2 * r, s->dmin);
            for (unsigned is = 0; is < 16; is++) {
                uint8_t *scales = sub + (1 + is / 4) * CPU_LINE;
                const unsigned at = panel_scale_at(is, r), min_at = panel_min_at(is, r);
                scales[at] = (uint8_t)(scales[at] | (s->scales[is] & 15));
                scales[min_at] = (uint8_t)(scales[min_at] | (s->scales[is] & 0xf0));
                put_word(pack_group(sub, 5 + is, r), pack_plane(s->qs, is));
            }
        }
    }
}

void panel_unpack_q2_k(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    struct block_q2_k *out = (struct block_q2_k *)(void *)dst;
    for (uint32_t b = 0; b < n_in / QUANT_K; b++, out++) {
        const uint8_t *sub = panel + panel_sub_q2_k(b);
        memset(out, 0, sizeof *out);
        out->d = half(sub + 2 * row);
        out->dmin = half(sub + 32 + 2 * row);
        for (unsigned is = 0; is < 16; is++) {
            const uint8_t *scales = sub + (1 + is / 4) * CPU_LINE;
            out->scales[is] = (uint8_t)((scales[panel_scale_at(is, row)] & 15) |
                                        (scales[panel_min_at(is, row)] & 0xf0));
            unpack_plane(word(sub + (5 + is) * CPU_LINE + row * 4), is, out->qs);
        }
    }
}

/* Line of the pair of sub-blocks u = 0..7: bit g is the high bit of k-group g of its 32 weights. */
static uint32_t pack_high_q3(const uint8_t hmask[32], unsigned u)
{
    uint32_t line = 0;
    for (unsigned g = 0; g < 8; g++)
        line |= (word(hmask + 4 * g) >> u & BIT) << g;
    return line;
}

static void unpack_high_q3(uint32_t line, unsigned u, uint8_t hmask[32])
{
    for (unsigned g = 0; g < 8; g++)
        or_word(hmask + 4 * g, (line >> g & BIT) << u);
}

void panel_pack_q3_k(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    const uint32_t n_sub = n_in / QUANT_K;
    if (n_sub % 2)
        memset(panel + panel_head_q3_k(n_sub - 1), 0, CPU_LINE);
    for (uint32_t b = 0; b < n_sub; b++) {
        uint8_t *sub = panel + panel_sub_q3_k(b);
        memset(sub, 0, 3 * CPU_LINE);
        for (unsigned r = 0; r < CPU_PANEL_ROWS; r++) {
            const struct block_q3_k *s = pack_block(rows[r], b, sizeof *s);
            int8_t scales[16];
            quant_scales_q3_k(s->scales, scales);
            put_half(panel + panel_head_q3_k(b) + 2 * r, s->d);
            for (unsigned j = 0; j < 16; j++) {
                const unsigned sc = (unsigned)(scales[j] + 32), at = panel_scale_at(j, r);
                uint8_t *low = sub + j / 8 * CPU_LINE + at, *high = sub + 2 * CPU_LINE + at;
                *low = (uint8_t)(*low | (sc & 15) << j % 8 / 4 * 4);
                *high = (uint8_t)(*high | (sc >> 4) << 2 * (j / 4));
            }
            for (unsigned u = 0; u < 8; u++) {
                uint8_t *lines = sub + (3 + 3 * u) * CPU_LINE;
                put_word(pack_group(lines, 0, r), pack_high_q3(s->hmask, u));
                put_word(pack_group(lines, 1, r), pack_plane(s->qs, 2 * u));
                put_word(pack_group(lines, 2, r), pack_plane(s->qs, 2 * u + 1));
            }
        }
    }
}

void panel_unpack_q3_k(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    struct block_q3_k *out = (struct block_q3_k *)(void *)dst;
    for (uint32_t b = 0; b < n_in / QUANT_K; b++, out++) {
        const uint8_t *sub = panel + panel_sub_q3_k(b);
        memset(out, 0, sizeof *out);
        out->d = half(panel + panel_head_q3_k(b) + 2 * row);
        for (unsigned j = 0; j < 16; j++) {
            const unsigned at = panel_scale_at(j, row);
            const unsigned low = sub[j / 8 * CPU_LINE + at] >> j % 8 / 4 * 4 & 15u;
            const unsigned high = sub[2 * CPU_LINE + at] >> 2 * (j / 4) & 3u;
            uint8_t *to = &out->scales[j % 8], *to_high = &out->scales[8 + j % 4];
            *to = (uint8_t)(*to | low << j / 8 * 4);
            *to_high = (uint8_t)(*to_high | high << 2 * (j / 4));
        }
        for (unsigned u = 0; u < 8; u++) {
            const uint8_t *lines = sub + (3 + 3 * u) * CPU_LINE + row * 4;
            unpack_high_q3(word(lines), u, out->hmask);
            unpack_plane(word(lines + CPU_LINE), 2 * u, out->qs);
            unpack_plane(word(lines + 2 * CPU_LINE), 2 * u + 1, out->qs);
        }
    }
}

/* ---- IQ4_XS ---- */

void panel_pack_iq4_xs(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    for (uint32_t b = 0; b < n_in / QUANT_K; b++) {
        uint8_t *sub = panel + panel_sub_iq4_xs(b), *high = sub + 32, *low = sub + CPU_LINE;
        memset(sub, 0, 2 * CPU_LINE);
        for (unsigned r = 0; r < CPU_PANEL_ROWS; r++) {
            const struct block_iq4_xs *s = pack_block(rows[r], b, sizeof *s);
            put_half(sub + 2 * r, s->d);
            for (unsigned j = 0; j < 8; j++) {
                const unsigned sl = s->scales_l[j / 2] >> j % 2 * 4 & 15u;
                const unsigned sh = s->scales_h >> 2 * j & 3u;
                uint8_t *l = low + panel_scale_at(j, r), *h = high + j % 2 * 16 + r;
                *l = (uint8_t)(*l | sl << j / 4 * 4);
                *h = (uint8_t)(*h | sh << j / 2 * 2);
                pack_lines(sub + (2 + 4 * j) * CPU_LINE, r, s->qs + 16 * j, 4, 0);
            }
        }
    }
}

void panel_unpack_iq4_xs(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    struct block_iq4_xs *out = (struct block_iq4_xs *)(void *)dst;
    for (uint32_t b = 0; b < n_in / QUANT_K; b++, out++) {
        const uint8_t *sub = panel + panel_sub_iq4_xs(b), *high = sub + 32, *low = sub + CPU_LINE;
        memset(out, 0, sizeof *out);
        out->d = half(sub + 2 * row);
        for (unsigned j = 0; j < 8; j++) {
            const unsigned sl = low[panel_scale_at(j, row)] >> j / 4 * 4 & 15u;
            const unsigned sh = high[j % 2 * 16 + row] >> j / 2 * 2 & 3u;
            out->scales_l[j / 2] = (uint8_t)(out->scales_l[j / 2] | sl << j % 2 * 4);
            out->scales_h = (uint16_t)(out->scales_h | sh << 2 * j);
            unpack_lines(sub + (2 + 4 * j) * CPU_LINE, row, out->qs + 16 * j, 4, 0);
        }
    }
}
