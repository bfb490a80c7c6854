/* Panels give back the source bytes exactly, for every format, any number of rows and blocks. */
#include "engine/base/mem.h"
#include "kernels/cpu/cpu_panel.h"
#include "tests/testing.h"

#include <string.h>

static void fill(uint8_t *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(testing_random(&seed) >> 32);
}

/* One panel of n_row rows (the others absent) of n_in weights there and back. */
static void round_trip(const struct cpu_panel *p, uint32_t n_row, uint32_t n_in)
{
    const size_t row_bytes = oll_dtype_row_bytes(p->dtype, n_in), n = cpu_panel_bytes(p, n_in);
    uint8_t *src = oll_alloc(16, row_bytes), *back = oll_alloc(1, row_bytes);
    uint8_t *panel = oll_alloc_aligned(n + CPU_LINE), *again = oll_alloc_aligned(n);
    fill(src, 16 * row_bytes, n_in + 1000 * n_row);
    memset(panel, 0xaa, n + CPU_LINE);
    memset(again, 0x55, n);
    const uint8_t *rows[CPU_PANEL_ROWS] = {0};
    for (uint32_t r = 0; r < n_row; r++)
        rows[r] = src + r * row_bytes;
    p->pack(rows, n_in, panel);
    p->pack(rows, n_in, again);
    CHECK_MSG(memcmp(panel, again, n) == 0, "%s: bytes of a panel are left unwritten",
              oll_dtype_name(p->dtype));
    for (size_t i = 0; i < CPU_LINE; i++)
        CHECK_EQ(panel[n + i], 0xaa);
    for (uint32_t r = 0; r < CPU_PANEL_ROWS; r++) {
        memset(back, 0x77, row_bytes);
        p->unpack(panel, r, n_in, back);
        bool same = true;
        for (size_t i = 0; i < row_bytes; i++)
            same = same && back[i] == (r < n_row ? src[r * row_bytes + i] : 0);
        CHECK_MSG(same, "%s: row %u of %u, %u weights differs", oll_dtype_name(p->dtype), r, n_row,
                  n_in);
    }
    oll_free(src);
    oll_free(back);
    oll_free_aligned(panel);
    oll_free_aligned(again);
}

TEST(panels_give_back_the_source)
{
    int n_format = 0;
    for (int d = 0; d < OLL_DTYPE_COUNT; d++) {
        const struct cpu_panel *p = cpu_panel_of((enum oll_dtype)d);
        if (!p)
            continue;
        n_format++;
        for (uint32_t blocks = 1; blocks <= 9; blocks++) {
            const uint32_t unit = p->k == 2 ? 1 : p->k;
            round_trip(p, 16, unit * blocks);
            round_trip(p, 1 + blocks, unit * blocks);
        }
    }
    CHECK_EQ(n_format, 17);
}

/* Decode speed is proportional to bytes: a panel is not larger than its rows, but for the padding
 * of one head. */
TEST(panels_keep_the_size)
{
    for (int d = 0; d < OLL_DTYPE_COUNT; d++) {
        const struct cpu_panel *p = cpu_panel_of((enum oll_dtype)d);
        if (!p)
            continue;
        const size_t rows = 16 * oll_dtype_row_bytes(p->dtype, 4096);
        CHECK_EQ(cpu_panel_bytes(p, 4096), rows);
        const size_t odd = 16 * oll_dtype_row_bytes(p->dtype, 256 * 3);
        CHECK_MSG(cpu_panel_bytes(p, 256 * 3) - odd < CPU_LINE, "%s", oll_dtype_name(p->dtype));
    }
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
