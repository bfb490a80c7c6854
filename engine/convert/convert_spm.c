/* tokenizer.model: the protobuf message ModelProto of SentencePiece.
 *
 *   1  pieces, repeated     1 text (bytes), 2 score (f32), 3 type (1 normal .. 6 byte)
 *   3  normalizer_spec      3 add_dummy_prefix (bool, default true)
 *
 * Types have the numbers of GGUF. Other fields are skipped.
 * Source: sentencepiece_model.proto (format facts only). */
#include "engine/convert/convert_internal.h"

#include <string.h>

/* A message as a run of fields; reading beyond its end sets `bad`. */
struct message {
    const unsigned char *at, *end;
    bool bad;
};

struct field {
    uint32_t number, wire;
    uint64_t value;        /* wire types 0, 1 and 5 */
    struct message nested; /* wire type 2 */
};

static uint64_t read_varint(struct message *m)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 64 && m->at < m->end; shift += 7) {
        const unsigned char byte = *m->at++;
        v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return v;
    }
    m->bad = true;
    return 0;
}

static uint64_t read_fixed(struct message *m, int n)
{
    uint64_t v = 0;
    if (m->end - m->at < n) {
        m->bad = true;
        return 0;
    }
    for (int i = 0; i < n; i++)
        v |= (uint64_t)*m->at++ << 8 * i;
    return v;
}

/* False at the end and when the message is malformed. */
static bool next_field(struct message *m, struct field *f)
{
    if (m->bad || m->at >= m->end)
        return false;
    const uint64_t tag = read_varint(m);
    *f = (struct field){.number = (uint32_t)(tag >> 3), .wire = (uint32_t)(tag & 7)};
    if (tag >> 3 > UINT32_MAX)
        m->bad = true;
    if (f->wire == 0) {
        f->value = read_varint(m);
    } else if (f->wire == 1 || f->wire == 5) {
        f->value = read_fixed(m, f->wire == 1 ? 8 : 4);
    } else if (f->wire == 2) {
        const uint64_t n = read_varint(m);
        if (n > (uint64_t)(m->end - m->at)) {
            m->bad = true;
            return false;
        }
        f->nested = (struct message){m->at, m->at + n, false};
        m->at += n;
    } else {
        m->bad = true;
    }
    return !m->bad;
}

static bool read_piece(struct message piece, struct oll_gguf_str *text, float *score, int32_t *type)
{
    struct field f;
    *text = (struct oll_gguf_str){"", 0};
    *score = 0.0f;
    *type = 1;
    while (next_field(&piece, &f)) {
        if (f.number == 1 && f.wire == 2) {
            text->data = (const char *)f.nested.at;
            text->len = (uint64_t)(f.nested.end - f.nested.at);
        } else if (f.number == 2 && f.wire == 5) {
            const uint32_t bits = (uint32_t)f.value;
            memcpy(score, &bits, sizeof *score);
        } else if (f.number == 3 && f.wire == 0) {
            *type = f.value >= 1 && f.value <= 6 ? (int32_t)f.value : 1;
        }
    }
    return !piece.bad;
}

static bool read_normalizer(struct message spec, bool *space_prefix)
{
    struct field f;
    while (next_field(&spec, &f))
        if (f.number == 3 && f.wire == 0)
            *space_prefix = f.value != 0;
    return !spec.bad;
}

/* Counts the pieces, or reads them into `out`. */
static bool read_model(struct message m, struct convert_vocab *out, uint64_t *n, bool *space_prefix)
{
    struct field f;
    bool good = true;
    *n = 0;
    while (good && next_field(&m, &f)) {
        if (f.number == 1 && f.wire == 2) {
            if (out)
                good = read_piece(f.nested, &out->tokens[*n], &out->scores[*n], &out->types[*n]);
            ++*n;
        } else if (f.number == 3 && f.wire == 2) {
            good = read_normalizer(f.nested, space_prefix);
        }
    }
    return good && !m.bad;
}

oll_status convert_read_spm(struct convert *c, const void *data, size_t n, uint64_t n_extra,
                            struct convert_vocab *out, bool *space_prefix)
{
    const struct message m = {data, (const unsigned char *)data + n, false};
    uint64_t n_pieces = 0;
    *space_prefix = true;
    if (!read_model(m, NULL, &n_pieces, space_prefix) || n_pieces == 0 ||
        n_pieces > CONVERT_VOCAB_MAX)
        return OLL_FAIL(c->err, OLL_ERR_FORMAT, "tokenizer.model is no SentencePiece model");
    OLL_TRY(convert_vocab_new(c, n_pieces + n_extra, out));
    out->scores = oll_arena_alloc(&c->arena, (size_t)out->n, sizeof *out->scores);
    if (!out->scores)
        return OLL_FAIL(c->err, OLL_ERR_MEMORY, "out of memory for the vocabulary");
    if (!read_model(m, out, &n_pieces, space_prefix))
        return OLL_FAIL(c->err, OLL_ERR_FORMAT, "tokenizer.model: a malformed piece");
    out->n = n_pieces;
    return OLL_OK;
}
