/* oll gguf: looks into model files. */
#include "engine/base/mem.h"
#include "engine/base/npy.h"
#include "gguf/gguf.h"
#include "kernels/quant.h"
#include "server/cli.h"
#include "server/cli_gguf_print.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static uint64_t n_rows(const struct oll_gguf_tensor *t) { return t->ne[1] * t->ne[2] * t->ne[3]; }

/* Decodes a tensor row by row. */
struct row_reader {
    const struct oll_gguf_tensor *tensor;
    size_t row_bytes;
    float *row;             /* [ne[0]] */
    unsigned char *encoded; /* [row_bytes], for interleaved tensors only */
};

static oll_status row_reader_open(struct row_reader *r, const struct oll_gguf_tensor *t,
                                  struct oll_error *err)
{
    *r = (struct row_reader){.tensor = t};
    r->row_bytes = oll_dtype_row_bytes(t->dtype, (size_t)t->ne[0]);
    r->row = oll_alloc((size_t)t->ne[0], sizeof *r->row);
    if (t->interleaved)
        r->encoded = oll_alloc(r->row_bytes, 1);
    if (!r->row || (t->interleaved && !r->encoded))
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory");
    return OLL_OK;
}

static void row_reader_close(struct row_reader *r)
{
    oll_free(r->row);
    oll_free(r->encoded);
}

/* Blocks of row i in the layout of their dtype; borrowed until the next call. */
static const unsigned char *row_blocks(struct row_reader *r, uint64_t i)
{
    const unsigned char *blocks = r->tensor->data + i * r->row_bytes;
    if (!r->encoded)
        return blocks;
    oll_gguf_deinterleave(blocks, r->encoded, r->row_bytes);
    return r->encoded;
}

/* ---- show ---- */

/* Scales that the decoder turns into ordinary numbers although they stand for NaN. */
static bool has_nan_code(enum oll_dtype dtype, const unsigned char *blocks, size_t n_bytes)
{
    const struct block_mxfp4 *mx = (const void *)blocks;
    const struct block_nvfp4 *nv = (const void *)blocks;
    bool found = false;
    if (dtype == OLL_MXFP4)
        for (size_t b = 0; b < n_bytes / sizeof *mx; b++)
            found |= mx[b].e == 255;
    if (dtype == OLL_NVFP4)
        for (size_t b = 0; b < n_bytes / sizeof *nv; b++)
            for (int s = 0; s < 4; s++)
                found |= (nv[b].scales[s] & 0x7f) == 0x7f;
    return found;
}

/* A scale or minimum that is not finite makes every value of its block so, whatever the quants. */
static bool row_is_sound(struct row_reader *r, uint64_t i)
{
    const struct oll_gguf_tensor *t = r->tensor;
    const unsigned char *blocks = row_blocks(r, i);
    bool finite = !has_nan_code(t->dtype, blocks, r->row_bytes);
    oll_dequantize_row(t->dtype, blocks, r->row, (size_t)t->ne[0]);
    for (uint64_t k = 0; k < t->ne[0]; k++)
        finite &= isfinite(r->row[k]) != 0;
    return finite;
}

/* Reports the first bad row of each tensor and counts them all. */
static oll_status check_tensor(const struct oll_gguf_tensor *t, uint64_t *n_bad,
                               struct oll_error *err)
{
    struct row_reader r;
    char name[OLL_GGUF_MAX_NAME + 1];
    uint64_t n_bad_rows = 0, first_bad = 0;
    const oll_status status = row_reader_open(&r, t, err);
    for (uint64_t i = 0; status == OLL_OK && i < n_rows(t); i++)
        if (!row_is_sound(&r, i) && n_bad_rows++ == 0)
            first_bad = i;
    row_reader_close(&r);
    if (n_bad_rows > 0)
        printf("check: tensor %s: %llu of %llu rows hold NaN or infinity, the first is row %llu\n",
               oll_gguf_printable(t->name, name, sizeof name), (unsigned long long)n_bad_rows,
               (unsigned long long)n_rows(t), (unsigned long long)first_bad);
    *n_bad += n_bad_rows > 0;
    return status;
}

static oll_status check_contents(const struct oll_gguf *gguf, struct oll_error *err)
{
    const uint64_t n = oll_gguf_n_tensors(gguf);
    uint64_t n_bad = 0;
    for (uint64_t i = 0; i < n; i++) {
        const struct oll_gguf_tensor *t = oll_gguf_tensor_at(gguf, i);
        OLL_TRY(check_tensor(t, &n_bad, err));
        oll_gguf_drop_pages(gguf, t);
    }
    if (n_bad > 0)
        return OLL_FAIL(err, OLL_ERR_FORMAT,
                        "%s: %llu of %llu tensors hold NaN or infinity; the file is damaged",
                        oll_gguf_path(gguf), (unsigned long long)n_bad, (unsigned long long)n);
    printf("check: %llu tensors, all values are finite\n", (unsigned long long)n);
    return OLL_OK;
}

/* A full disk or a closed pipe must not pass for success. */
static oll_status check_stdout(struct oll_error *err)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return OLL_FAIL(err, OLL_ERR_IO, "cannot write the output: %s", strerror(errno));
    return OLL_OK;
}

static int run_show(const struct cli_args *args)
{
    struct oll_gguf *gguf = NULL;
    struct oll_error err = {0};
    oll_status status = oll_gguf_open(args->positional[0], &gguf, &err);
    if (status != OLL_OK)
        return cli_fail(&err);
    if (cli_has(args, "check"))
        status = check_contents(gguf, &err);
    else if (cli_has(args, "json"))
        status = gguf_print_json(gguf, &err);
    else
        gguf_print_text(gguf);
    if (status == OLL_OK)
        status = check_stdout(&err);
    oll_gguf_close(gguf);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

/* ---- dump ---- */

/* NumPy's shapes are outermost first. */
static oll_status dump_tensor(const struct oll_gguf_tensor *t, const char *path,
                              struct oll_error *err)
{
    struct row_reader r;
    struct oll_npy npy;
    uint64_t shape[OLL_GGUF_MAX_DIMS];
    for (uint32_t d = 0; d < t->n_dims; d++)
        shape[d] = t->ne[t->n_dims - 1 - d];
    oll_status status = row_reader_open(&r, t, err);
    if (status == OLL_OK)
        status = oll_npy_create(&npy, path, shape, (int)t->n_dims, err);
    if (status != OLL_OK) {
        row_reader_close(&r);
        return status;
    }
    for (uint64_t i = 0; status == OLL_OK && i < n_rows(t); i++) {
        oll_dequantize_row(t->dtype, row_blocks(&r, i), r.row, (size_t)t->ne[0]);
        status = oll_npy_write(&npy, r.row, (size_t)t->ne[0], err);
    }
    if (status == OLL_OK)
        status = oll_npy_finish(&npy, err);
    else
        oll_npy_close(&npy);
    row_reader_close(&r);
    return status;
}

static int run_dump(const struct cli_args *args)
{
    const char *path = args->positional[0];
    const char *name = cli_value(args, "tensor", NULL), *out = cli_value(args, "out", NULL);
    struct oll_gguf *gguf = NULL;
    struct oll_error err = {0};
    if (!name || !out) {
        cli_failf("--tensor NAME and --out FILE.npy are needed");
        return 2;
    }
    if (oll_gguf_open(path, &gguf, &err) != OLL_OK)
        return cli_fail(&err);
    const struct oll_gguf_tensor *t = oll_gguf_find_tensor(gguf, name);
    oll_status status;
    if (t)
        status = dump_tensor(t, out, &err);
    else
        status = OLL_FAIL(&err, OLL_ERR_NOT_FOUND,
                          "%s: no tensor %s; \"oll gguf show\" lists the names", path, name);
    oll_gguf_close(gguf);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

static const struct cli_option show_options[] = {
    {"json", 0, CLI_FLAG, NULL, "print one JSON object, arrays in full"},
    {"check", 0, CLI_FLAG, NULL, "read all tensors and report NaN and infinity"},
    {0},
};

static const struct cli_option dump_options[] = {
    {"tensor", 0, CLI_VALUE, "NAME", "the tensor to decode"},
    {"out", 0, CLI_VALUE, "FILE.npy", "NumPy file to write, f32, shape outermost first"},
    {0},
};

static const struct cli_command show = {
    .name = "show",
    .usage = "FILE",
    .summary = "Show metadata and tensors of a GGUF file",
    .options = show_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_show,
};

static const struct cli_command dump = {
    .name = "dump",
    .usage = "FILE --tensor NAME --out FILE.npy",
    .summary = "Decode a tensor of a GGUF file to f32",
    .options = dump_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_dump,
};

static const struct cli_command *const children[] = {&show, &dump, NULL};

const struct cli_command cli_gguf = {
    .name = "gguf",
    .usage = "COMMAND",
    .summary = "Look into GGUF files",
    .children = children,
};
