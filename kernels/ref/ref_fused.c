/* Fused ops by composition, which is their meaning; backends that fuse are compared with it. */
#include "kernels/ref/ref.h"

/* A matrix in scratch memory, dressed as a buffer so that the plain ops take it. */
static oll_status scratch_mat(struct ref_device *ref, enum ref_slot slot, uint32_t rows,
                              uint32_t cols, struct ref_buffer *buf, struct oll_mat *mat,
                              struct oll_error *err)
{
    size_t n_bytes = (size_t)rows * cols * sizeof(float);
    void *data;
    OLL_TRY(ref_scratch(ref, slot, n_bytes, &data, err));
    *buf = (struct ref_buffer){.base = {.dev = &ref->base, .n_bytes = n_bytes},
                               .region = {.data = data}};
    *mat = (struct oll_mat){.buf = &buf->base, .rows = rows, .cols = cols, .stride = cols};
    return OLL_OK;
}

oll_status ref_norm_matmul(struct ref_device *ref, const struct op_norm_matmul *d,
                           struct oll_error *err)
{
    struct op_norm norm = d->norm;
    struct ref_buffer buf;
    OLL_TRY(scratch_mat(ref, REF_SLOT_NORM, norm.x.rows, norm.x.cols, &buf, &norm.y, err));
    OLL_TRY(ref_norm(ref, &norm, err));
    for (uint32_t i = 0; i < d->n; i++) {
        const struct op_matmul matmul = {.y = d->y[i], .x = norm.y, .w = d->w[i], .b = d->b[i]};
        OLL_TRY(ref_matmul(ref, &matmul, err));
    }
    return OLL_OK;
}

oll_status ref_norm_glu(struct ref_device *ref, const struct op_norm_glu *d, struct oll_error *err)
{
    struct op_norm norm = d->norm;
    struct ref_buffer norm_buf, gate_buf, up_buf;
    struct oll_mat gate, up;
    uint32_t rows = norm.x.rows, n_ff = d->gate->n_out;
    OLL_TRY(scratch_mat(ref, REF_SLOT_NORM, rows, norm.x.cols, &norm_buf, &norm.y, err));
    OLL_TRY(scratch_mat(ref, REF_SLOT_GATE, rows, n_ff, &gate_buf, &gate, err));
    OLL_TRY(scratch_mat(ref, REF_SLOT_UP, rows, n_ff, &up_buf, &up, err));
    OLL_TRY(ref_norm(ref, &norm, err));
    OLL_TRY(ref_matmul(ref, &(struct op_matmul){.y = gate, .x = norm.y, .w = d->gate}, err));
    OLL_TRY(ref_matmul(ref, &(struct op_matmul){.y = up, .x = norm.y, .w = d->up}, err));
    return ref_glu(ref, &(struct op_glu){.act = d->act, .y = d->y, .gate = gate, .up = up}, err);
}
