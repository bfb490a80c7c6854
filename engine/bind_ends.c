#include "engine/bind_ends.h"

#include "engine/arch.h"
#include "engine/base/mem.h"

#include <math.h>

enum { VOCAB_MAX = 16 << 20 };

void bind_embedding(struct binder *b)
{
    struct oll_model *m = b->model;
    struct model_hparams *hp = &m->hp;
    hp->n_vocab = bind_dim(b, "token_embd", 1, 1);
    if (hp->n_vocab > VOCAB_MAX)
        bind_fail(b, OLL_ERR_LIMIT, "tensor token_embd.weight: %u rows, at most %d are possible",
                  hp->n_vocab, VOCAB_MAX);
    bind_linear(b, "token_embd", hp->n_embd, hp->n_vocab, BIND_REQUIRED, &m->token_embd);
    if (arch_has(hp, ARCH_POSITIONS)) {
        m->n_position = bind_dim(b, "position_embd", 1, 1);
        bind_linear(b, "position_embd", hp->n_embd, m->n_position, BIND_REQUIRED,
                    &m->position_embd);
    }
    if (arch_has(hp, ARCH_TOKEN_TYPES))
        bind_linear(b, "token_types", hp->n_embd, bind_dim(b, "token_types", 1, 1), BIND_OPTIONAL,
                    &m->token_types);
    if (arch_has(hp, ARCH_EMBD_NORM))
        bind_norm(b, "token_embd_norm", hp->n_embd, BIND_REQUIRED, &m->token_embd_norm);
}

/* Slopes of the heads: 2^(-max (h + 1) / n) for n heads, n a power of two; the heads beyond the
 * largest power of two n2 take the odd steps of 2 n2 heads. Press et al. 2022, arXiv:2108.12409. */
static void bind_alibi(struct binder *b)
{
    struct oll_model *m = b->model;
    uint32_t n = m->hp.layers[0].n_head, n2 = 1;
    if (m->hp.alibi_max_bias == 0)
        return;
    for (uint32_t il = 1; il < m->hp.n_layer; il++)
        if (m->hp.layers[il].n_head != n) {
            bind_fail(b, OLL_ERR_UNSUPPORTED, "layers differ in heads and have ALiBi slopes");
            return;
        }
    float *slopes = oll_alloc(n, sizeof *slopes);
    if (!slopes) {
        bind_fail(b, OLL_ERR_MEMORY, "no memory for %u slopes", n);
        return;
    }
    while (2 * n2 <= n)
        n2 *= 2;
    double max = (double)m->hp.alibi_max_bias;
    for (uint32_t h = 0; h < n; h++)
        slopes[h] =
            (float)(h < n2 ? exp2(-max * (h + 1) / n2) : exp2(-max / 2 * (2 * (h - n2) + 1) / n2));
    for (int d = 0; d < m->placement.n_device; d++) {
        b->i_device = d;
        bind_computed(b, slopes, n, &m->alibi_slopes[d]);
    }
    oll_free(slopes);
}

/* The head is a matrix of its own, or the embedding: then one upload serves both, unless they live
 * on different devices. */
static void bind_output(struct binder *b)
{
    struct oll_model *m = b->model;
    struct model_hparams *hp = &m->hp;
    if (bind_has(b, "output")) {
        bind_linear(b, "output", hp->n_embd, hp->n_vocab, BIND_REQUIRED, &m->output);
        return;
    }
    if (model_first_device(m) == b->i_device)
        m->output = m->token_embd;
    else
        bind_linear(b, "token_embd", hp->n_embd, hp->n_vocab, BIND_REQUIRED, &m->output);
    bind_vec(b, "output", "bias", hp->n_vocab, BIND_OPTIONAL, &m->output.b);
}

/* Two matrices without bias and activation between pooling and the final vector. */
static void bind_dense(struct binder *b)
{
    struct oll_model *m = b->model;
    static const char *const names[] = {"dense_2", "dense_3"};
    uint32_t n_in = m->hp.n_embd;
    for (int i = 0; i < 2; i++) {
        m->dense[i] = (struct linear){0};
        if (!bind_has(b, names[i]))
            continue;
        uint32_t n_out = bind_dim(b, names[i], 1, 1);
        bind_linear(b, names[i], n_in, n_out, BIND_REQUIRED, &m->dense[i]);
        n_in = n_out;
    }
    m->hp.n_embd_out = n_in;
}

/* The head of a model that ranks: `cls`, tanh and `cls.output`, or the last alone. */
static void bind_rank(struct binder *b)
{
    struct oll_model *m = b->model;
    uint32_t n_in = m->hp.n_embd;
    m->dense[0] = m->dense[1] = (struct linear){0};
    m->rank_norm = (struct norm){0};
    if (bind_has(b, "cls")) {
        uint32_t n_out = bind_dim(b, "cls", 1, 1);
        bind_linear(b, "cls", n_in, n_out, BIND_REQUIRED, &m->dense[0]);
        if (bind_has(b, "cls.norm"))
            bind_norm(b, "cls.norm", n_out, BIND_REQUIRED, &m->rank_norm);
        n_in = n_out;
    }
    /* A decoder without one speaks through its logits. */
    if (bind_has(b, "cls.output") || model_is_encoder(m)) {
        m->hp.n_embd_out = bind_dim(b, "cls.output", 1, 1);
        bind_linear(b, "cls.output", n_in, m->hp.n_embd_out, BIND_REQUIRED, &m->dense[1]);
    } else {
        m->hp.n_embd_out = n_in;
    }
}

void bind_head(struct binder *b)
{
    struct oll_model *m = b->model;
    b->i_device = model_last_device(m);
    bool post_norm = m->hp.arch->family == &arch_family_encoder;
    bind_norm(b, "output_norm", m->hp.n_embd, post_norm ? BIND_OPTIONAL : BIND_REQUIRED,
              &m->output_norm);
    if (!model_is_encoder(m))
        bind_output(b);
    if (m->hp.ranks)
        bind_rank(b);
    else
        bind_dense(b);
    bind_alibi(b);
}
