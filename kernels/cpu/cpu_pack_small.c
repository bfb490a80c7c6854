/* Packing of the formats with blocks of 32 or 64 (layouts: cpu_panel.h). Nibbles keep their pairing
 * (element j with j + half a block), so that all of it is moving groups of four bytes. */
#include "kernels/cpu/cpu_pack_rows.h"
#include "kernels/quant.h"

/* A scale of two bytes among the 16 of its sub-block. */
static void put_scale(uint8_t *head, unsigned r, uint16_t d) { memcpy(head + 2 * r, &d, 2); }

static uint16_t get_scale(const uint8_t *head, unsigned r)
{
    uint16_t d;
    memcpy(&d, head + 2 * r, 2);
    return d;
}

/* Clears what the head of a last, shorter unit leaves unused. */
static void clear_last_head(uint8_t *panel, size_t unit_bytes, uint32_t n_sub, uint32_t subs)
{
    if (n_sub % subs != 0)
        memset(panel + n_sub / subs * unit_bytes, 0, CPU_LINE);
}

void panel_pack_q4_0(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    const uint32_t n_sub = n_in / 32;
    clear_last_head(panel, 576, n_sub, 2);
    for (uint32_t b = 0; b < n_sub; b++) {
        for (unsigned r = 0; r < CPU_PANEL_ROWS; r++) {
            const struct block_q4_0 *s = pack_block(rows[r], b, sizeof *s);
            put_scale(panel + panel_head_q4_0(b), r, s->d);
            pack_lines(panel + panel_sub_q4_0(b), r, s->qs, 4, 0);
        }
    }
}

void panel_unpack_q4_0(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    struct block_q4_0 *out = (struct block_q4_0 *)(void *)dst;
    for (uint32_t b = 0; b < n_in / 32; b++, out++) {
        out->d = get_scale(panel + panel_head_q4_0(b), row);
        unpack_lines(panel + panel_sub_q4_0(b), row, out->qs, 4, 0);
    }
}

/* The same bytes with another meaning. */
void panel_pack_iq4_nl(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    panel_pack_q4_0(rows, n_in, panel);
}

void panel_unpack_iq4_nl(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    panel_unpack_q4_0(panel, row, n_in, dst);
}

void panel_pack_q4_1(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    for (uint32_t b = 0; b < n_in / 32; b++) {
        uint8_t *sub = panel + panel_sub_q4_1(b);
        for (unsigned r = 0; r < CPU_PANEL_ROWS; r++) {
            const struct block_q4_1 *s = pack_block(rows[r], b, sizeof *s);
            put_scale(sub, r, s->d);
            put_scale(sub + 32, r, s->m);
            pack_lines(sub + CPU_LINE, r, s->qs, 4, 0);
        }
    }
}

void panel_unpack_q4_1(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    struct block_q4_1 *out = (struct block_q4_1 *)(void *)dst;
    for (uint32_t b = 0; b < n_in / 32; b++, out++) {
        const uint8_t *sub = panel + panel_sub_q4_1(b);
        out->d = get_scale(sub, row);
        out->m = get_scale(sub + 32, row);
        unpack_lines(sub + CPU_LINE, row, out->qs, 4, 0);
    }
}

/* One line of fifth bits, four lines of nibbles. */
static void pack_five_bits(uint8_t *lines, unsigned r, uint32_t qh, const uint8_t *qs)
{
    const uint32_t high = pack_bits(qh);
    memcpy(pack_group(lines, 0, r), &high, 4);
    pack_lines(lines + CPU_LINE, r, qs, 4, 0);
}

static uint32_t unpack_five_bits(const uint8_t *lines, unsigned r, uint8_t *qs)
{
    uint32_t high;
    memcpy(&high, lines + r * 4, 4);
    unpack_lines(lines + CPU_LINE, r, qs, 4, 0);
    return unpack_bits(high);
}

void panel_pack_q5_0(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    const uint32_t n_sub = n_in / 32;
    clear_last_head(panel, 704, n_sub, 2);
    for (uint32_t b = 0; b < n_sub; b++) {
        for (unsigned r = 0; r < CPU_PANEL_ROWS; r++) {
            const struct block_q5_0 *s = pack_block(rows[r], b, sizeof *s);
            put_scale(panel + panel_head_q5_0(b), r, s->d);
            pack_five_bits(panel + panel_sub_q5_0(b), r, s->qh, s->qs);
        }
    }
}

void panel_unpack_q5_0(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    struct block_q5_0 *out = (struct block_q5_0 *)(void *)dst;
    for (uint32_t b = 0; b < n_in / 32; b++, out++) {
        out->d = get_scale(panel + panel_head_q5_0(b), row);
        out->qh = unpack_five_bits(panel + panel_sub_q5_0(b), row, out->qs);
    }
}

void panel_pack_q5_1(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    for (uint32_t b = 0; b < n_in / 32; b++) {
        uint8_t *sub = panel + panel_sub_q5_1(b);
        for (unsigned r = 0; r < CPU_PANEL_ROWS; r++) {
            const struct block_q5_1 *s = pack_block(rows[r], b, sizeof *s);
            put_scale(sub, r, s->d);
            put_scale(sub + 32, r, s->m);
            pack_five_bits(sub + CPU_LINE, r, s->qh, s->qs);
        }
    }
}

void panel_unpack_q5_1(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    struct block_q5_1 *out = (struct block_q5_1 *)(void *)dst;
    for (uint32_t b = 0; b < n_in / 32; b++, out++) {
        const uint8_t *sub = panel + panel_sub_q5_1(b);
        out->d = get_scale(sub, row);
        out->m = get_scale(sub + 32, row);
        out->qh = unpack_five_bits(sub + CPU_LINE, row, out->qs);
    }
}

void panel_pack_q8_0(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    const uint32_t n_sub = n_in / 32;
    clear_last_head(panel, 1088, n_sub, 2);
    for (uint32_t b = 0; b < n_sub; b++) {
        for (unsigned r = 0; r < CPU_PANEL_ROWS; r++) {
            const struct block_q8_0 *s = pack_block(rows[r], b, sizeof *s);
            put_scale(panel + panel_head_q8_0(b), r, s->d);
            pack_lines(panel + panel_sub_q8_0(b), r, (const uint8_t *)s->qs, 8, 0x80808080u);
        }
    }
}

void panel_unpack_q8_0(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    struct block_q8_0 *out = (struct block_q8_0 *)(void *)dst;
    for (uint32_t b = 0; b < n_in / 32; b++, out++) {
        out->d = get_scale(panel + panel_head_q8_0(b), row);
        unpack_lines(panel + panel_sub_q8_0(b), row, (uint8_t *)out->qs, 8, 0x80808080u);
    }
}

void panel_pack_mxfp4(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    const uint32_t n_sub = n_in / 32;
    clear_last_head(panel, 1088, n_sub, 4);
    for (uint32_t b = 0; b < n_sub; b++) {
        for (unsigned r = 0; r < CPU_PANEL_ROWS; r++) {
            const struct block_mxfp4 *s = pack_block(rows[r], b, sizeof *s);
            panel[panel_head_mxfp4(b) + r] = s->e;
            pack_lines(panel + panel_sub_mxfp4(b), r, s->qs, 4, 0);
        }
    }
}

void panel_unpack_mxfp4(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    struct block_mxfp4 *out = (struct block_mxfp4 *)(void *)dst;
    for (uint32_t b = 0; b < n_in / 32; b++, out++) {
        out->e = panel[panel_head_mxfp4(b) + row];
        unpack_lines(panel + panel_sub_mxfp4(b), row, out->qs, 4, 0);
    }
}

void panel_pack_nvfp4(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    for (uint32_t b = 0; b < n_in / 64; b++) {
        uint8_t *sub = panel + panel_sub_nvfp4(b);
        for (unsigned r = 0; r < CPU_PANEL_ROWS; r++) {
            const struct block_nvfp4 *s = pack_block(rows[r], b, sizeof *s);
            for (unsigned j = 0; j < 4; j++)
                sub[j * 16 + r] = s->scales[j];
            pack_lines(sub + CPU_LINE, r, s->qs, 8, 0);
        }
    }
}

void panel_unpack_nvfp4(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    struct block_nvfp4 *out = (struct block_nvfp4 *)(void *)dst;
    for (uint32_t b = 0; b < n_in / 64; b++, out++) {
        const uint8_t *sub = panel + panel_sub_nvfp4(b);
        for (unsigned j = 0; j < 4; j++)
            out->scales[j] = sub[j * 16 + row];
        unpack_lines(sub + CPU_LINE, row, out->qs, 8, 0);
    }
}
