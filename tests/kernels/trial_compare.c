#include "tests/kernels/trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Marks the words that outputs own. */
static bool *output_words(const struct trial *t)
{
    bool *is_out = calloc(t->n_image, sizeof *is_out);
    for (int i = 0; i < t->n_operand; i++) {
        const struct operand *o = &t->operands[i];
        for (uint32_t r = 0; o->is_out && r < o->rows; r++)
            memset(is_out + o->off + (size_t)r * o->stride, true, o->cols * sizeof *is_out);
    }
    return is_out;
}

/* The operand that a stray write lies next to, for the message. */
static const struct operand *nearest(const struct trial *t, size_t at)
{
    const struct operand *best = &t->operands[0];
    for (int i = 0; i < t->n_operand; i++) {
        if (t->operands[i].off <= at)
            best = &t->operands[i];
    }
    return best;
}

static bool is_untouched(const struct trial *t, const float *got, char *why, size_t n_why)
{
    bool *is_out = output_words(t);
    bool ok = true;
    for (size_t i = 0; i < t->n_image && ok; i++) {
        if (is_out[i] || memcmp(got + i, t->image + i, sizeof *got) == 0)
            continue;
        const struct operand *o = nearest(t, i);
        uint32_t word;
        memcpy(&word, got + i, sizeof word);
        snprintf(why, n_why,
                 "wrote 0x%08x at word %zu, which is no output: %zu words after the start of %s "
                 "[%u, %u] with stride %u",
                 word, i, i - o->off, o->name, o->rows, o->cols, o->stride);
        ok = false;
    }
    free(is_out);
    return ok;
}

static bool ints_agree(const struct operand *o, const float *expected, const float *got, char *why,
                       size_t n_why)
{
    for (uint32_t c = 0; c < o->cols; c++) {
        int32_t a, b;
        memcpy(&a, expected + o->off + c, sizeof a);
        memcpy(&b, got + o->off + c, sizeof b);
        if (a != b) {
            snprintf(why, n_why, "%s[%u] = %d, expected %d", o->name, c, b, a);
            return false;
        }
    }
    return true;
}

static bool values_agree(double expected, double got, double allowed)
{
    if (isnan(expected) || isnan(got))
        return isnan(expected) && isnan(got);
    if (isinf(expected) || isinf(got))
        return expected == got;
    return fabs(got - expected) <= allowed;
}

/* Outputs below this count are judged by the bound of each value alone. */
enum { NMSE_MIN_VALUES = 128 };

static bool floats_agree(const struct trial *t, int i_level, int operand, const float *expected,
                         const float *got, char *why, size_t n_why)
{
    const struct operand *o = &t->operands[operand];
    double error = 0, power = 0;
    for (uint32_t r = 0; r < o->rows; r++) {
        const float *row_e = trial_row(t, expected, operand, r);
        const float *row_g = trial_row(t, got, operand, r);
        for (uint32_t c = 0; c < o->cols; c++) {
            double e = (double)row_e[c], g = (double)row_g[c];
            double each = o->abs_each ? o->abs_each[(size_t)r * o->cols + c] : 0;
            double allowed = each + o->abs + o->rel * fabs(e);
            uint32_t word;
            memcpy(&word, row_g + c, sizeof word);
            if (word == WORD_POISON) {
                snprintf(why, n_why, "%s[%u][%u] was not written", o->name, r, c);
                return false;
            }
            if (!values_agree(e, g, allowed)) {
                snprintf(why, n_why, "%s[%u][%u] = %.9g, expected %.9g, off by %.3g, allowed %.3g",
                         o->name, r, c, g, e, fabs(g - e), allowed);
                return false;
            }
            if (isfinite(e)) {
                error += (g - e) * (g - e);
                power += e * e;
            }
        }
    }
    if (o->has_total) {
        struct progress *progress = t->s->progress;
        progress->totals[i_level][o->total].error += error;
        progress->totals[i_level][o->total].power += power;
        progress->totals[i_level][o->total].n += (int)(o->rows * o->cols);
    }
    /* A ratio of two sums over a few values says nothing: a single output near zero would fail it.
     */
    if (o->nmse > 0 && (uint64_t)o->rows * o->cols >= NMSE_MIN_VALUES && error > o->nmse * power) {
        snprintf(why, n_why, "%s: nmse %.3g, allowed %.3g", o->name, error / power, o->nmse);
        return false;
    }
    if (t->s->is_verbose)
        printf("%s [%s] %s: nmse %.3g\n", t->name, t->s->progress->level, o->name,
               power > 0 ? error / power : 0);
    return true;
}

bool trial_compare(const struct trial *t, int i_level, const float *expected, const float *got,
                   char *why, size_t n_why)
{
    if (!is_untouched(t, got, why, n_why))
        return false;
    for (int i = 0; i < t->n_operand; i++) {
        const struct operand *o = &t->operands[i];
        if (o->is_out && !(o->is_int ? ints_agree(o, expected, got, why, n_why)
                                     : floats_agree(t, i_level, i, expected, got, why, n_why)))
            return false;
    }
    return true;
}
