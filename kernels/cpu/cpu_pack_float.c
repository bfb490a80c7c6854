/* Packing of the float formats, and the table of all panel formats (layouts: cpu_panel.h). */
#include "kernels/cpu/cpu_pack_rows.h"
#include "kernels/quant.h"

/* [k][16 rows] of elements of `size` bytes. */
static void pack_columns(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, size_t size,
                         uint8_t *panel)
{
    for (unsigned r = 0; r < CPU_PANEL_ROWS; r++) {
        for (uint32_t k = 0; k < n_in; k++) {
            uint8_t *to = panel + (k * (size_t)CPU_PANEL_ROWS + r) * size;
            if (rows[r])
                memcpy(to, rows[r] + k * size, size);
            else
                memset(to, 0, size);
        }
    }
}

static void unpack_column(const uint8_t *panel, uint32_t row, uint32_t n_in, size_t size,
                          uint8_t *dst)
{
    for (uint32_t k = 0; k < n_in; k++)
        memcpy(dst + k * size, panel + (k * (size_t)CPU_PANEL_ROWS + row) * size, size);
}

void panel_pack_f32(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    pack_columns(rows, n_in, 4, panel);
}

void panel_unpack_f32(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    unpack_column(panel, row, n_in, 4, dst);
}

void panel_pack_f16(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    pack_columns(rows, n_in, 2, panel);
    if (n_in % 2) /* half a line is left */
        memset(panel + (size_t)n_in * 32, 0, 32);
}

void panel_unpack_f16(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    unpack_column(panel, row, n_in, 2, dst);
}

void panel_pack_bf16(const uint8_t *const rows[CPU_PANEL_ROWS], uint32_t n_in, uint8_t *panel)
{
    for (unsigned r = 0; r < CPU_PANEL_ROWS; r++) {
        uint32_t k = 0;
        for (; k + 2 <= n_in; k += 2) {
            uint32_t pair = 0;
            if (rows[r])
                memcpy(&pair, rows[r] + k * (size_t)2, 4);
            memcpy(pack_group(panel, k / 2, r), &pair, 4);
        }
        if (k < n_in) { /* half a pair is left */
            uint16_t last[2] = {0, 0};
            if (rows[r])
                memcpy(last, rows[r] + k * (size_t)2, 2);
            memcpy(pack_group(panel, k / 2, r), last, 4);
        }
    }
}

void panel_unpack_bf16(const uint8_t *panel, uint32_t row, uint32_t n_in, uint8_t *dst)
{
    for (uint32_t k = 0; k < n_in; k++)
        memcpy(dst + k * (size_t)2,
               panel + (size_t)(k / 2) * CPU_LINE + (size_t)row * 4 + k % 2 * 2, 2);
}

const struct cpu_panel *cpu_panel_of(enum oll_dtype dtype)
{
    static const struct cpu_panel panels[OLL_DTYPE_COUNT] = {
#define X(name, dtype, k, subs, head, sub)                                                         \
    [dtype] = {dtype, k, subs, head, sub, panel_pack_##name, panel_unpack_##name},
        CPU_PANEL_LIST(X)
#undef X
    };
    return dtype < OLL_DTYPE_COUNT && panels[dtype].pack ? &panels[dtype] : NULL;
}

size_t cpu_panel_bytes(const struct cpu_panel *p, uint32_t n_in)
{
    const uint32_t n_sub = cpu_panel_subs(p, n_in);
    const size_t heads = (n_sub + p->subs - 1u) / p->subs;
    const size_t bytes = heads * p->head + (size_t)n_sub * p->sub;
    return (bytes + CPU_LINE - 1) / CPU_LINE * CPU_LINE;
}
