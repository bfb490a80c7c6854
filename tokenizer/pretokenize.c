#include "tokenizer/pretokenize.h"

#include <string.h>

/* Passes by the name of their regex; chains of passes are written in the table. */
#define G2       {pretok_g2, NULL}
#define L3       {pretok_l3, NULL}
#define L3P      {pretok_l3p, NULL}
#define Q2       {pretok_q2, NULL}
#define Q2T      {pretok_q2t, NULL}
#define Q35      {pretok_q35, NULL}
#define J2       {pretok_j2, NULL}
#define SC       {pretok_sc, NULL}
#define EXM      {pretok_exm, NULL}
#define G4O      {pretok_g4o, NULL}
#define TK       {pretok_tk, NULL}
#define YT2      {pretok_yt2, NULL}
#define K2       {pretok_k2, NULL}
#define DS3      {pretok_ds3, NULL}
#define SPK      {pretok_spk, NULL}
#define D1       {pretok_runs, pretok_run_number1}
#define D3       {pretok_runs, pretok_run_number3}
#define DP       {pretok_runs, pretok_run_number}
#define A3       {pretok_runs, pretok_run_ascii3}
#define CRLF     {pretok_runs, pretok_run_newline}
#define NL       {pretok_runs, pretok_run_lines}
#define WS       {pretok_runs, pretok_run_not_space}
#define WORDS    {pretok_runs, pretok_run_words}
#define PUNCT    {pretok_runs, pretok_run_punct}
#define FP       {pretok_runs, pretok_run_falcon_punct}
#define DFP      {pretok_runs, pretok_run_default_punct}
#define CHP      {pretok_runs, pretok_run_ascii_punct}
#define DSC      {pretok_runs, pretok_run_deepseek_han}
#define DSL      {pretok_runs, pretok_run_deepseek_letters}
#define DSP      {pretok_runs, pretok_run_deepseek_punct}
#define CJK      {pretok_runs, pretok_run_cjk}
#define YT1      {pretok_runs, pretok_run_youtu}
#define AFC      {pretok_runs, pretok_run_afmoe}
#define BLM      {pretok_runs, pretok_run_bloom}
#define R3       {pretok_groups, &pretok_groups_at_boundary}
#define GROUPS   {pretok_groups, &pretok_groups_anywhere}
#define TRAILING {pretok_trailing_space, NULL}
#define SENTINEL {pretok_sentinel, NULL}
#define IMAGE    {pretok_image, NULL}
#define INDENT   {pretok_indent, NULL}

enum { IM = PRETOK_IGNORE_MERGES, BOS = PRETOK_ADD_BOS, SEP = PRETOK_ADD_SEP, RAW = PRETOK_RAW };

/* clang-format off */
const struct pretok_scheme pretok_schemes[] = {
    {"default", {DFP, G2, DP, A3}, PRETOK_GUESS},
    {"llama-bpe llama3 llama-v3 pixtral falcon3 falcon-h1 lfm2 midm-2.0 jina-v5-nano",
     {L3}, IM | BOS},
    {"qwen2 deepseek-r1-qwen kormo f2llmv2 openpangu hunyuan solar-open grok-2 stablelm2 megrez",
     {Q2}, 0},
    {"qwen35", {Q35}, 0},
    {"gpt-4o llama4 kanana2 talkie minimax-m2", {G4O}, 0},
    {"granite-embed-multi-97m", {G4O}, IM},
    {"tekken", {TK}, IM | BOS},
    {"gemma4 granite-embed-multi-311m sarvam-moe", {NL}, RAW},
    {"whitespace", {WS}, RAW | PRETOK_UNMARKED},
    {"gpt-2 phi-2 mpt olmo jais jina-es jina-de jina-v2-es jina-v2-de gigachat a.x-4.0 mellum "
     "modern-bert exaone4 trillion granite-docling", {G2}, 0},
    {"jina-v1-en jina-v2-code roberta-bpe", {G2}, SEP},
    {"starcoder refact codeshell exaone minerva-7b mellum2 command-r cohere2_moe smollm",
     {D1, G2}, 0},
    {"deepseek-v3 hunyuan-dense joyai-llm hy_v4", {D3, DSC, DS3}, 0},
    {"spark2_5", {D3, DSC, SPK, D1}, 0},
    {"deepseek-llm", {CRLF, DSL, DSP, TRAILING, CJK, DP}, 0},
    {"deepseek-coder", {CRLF, WORDS, PUNCT, CJK, D1}, 0},
    {"glm4 chatglm-bpe", {L3}, PRETOK_NO_BOS},
    {"dbrx smaug-bpe", {L3}, 0},
    {"falcon", {FP, G2, A3}, 0},
    {"kimi-k2", {K2}, 0},
    {"tiny_aya cohere2moe", {R3, G4O}, 0},
    {"minicpm5", {D3, L3P}, IM},
    {"laguna", {NL, Q2}, 0},
    {"youtu", {YT1, YT2}, IM},
    {"poro-chat bloom gpt3-finnish", {BLM}, 0},
    {"viking", {BLM, D1}, 0},
    {"chameleon", {SENTINEL, IMAGE, INDENT, D1, CHP, G2}, BOS},
    {"superbpe", {DP, GROUPS}, 0},
    {"bailingmoe bailingmoe2 llada-moe", {Q2}, 0},
    {"seed-coder", {SC}, 0},
    {"afmoe", {GROUPS, AFC, DS3}, 0},
    {"exaone-moe", {EXM}, 0},
    {"jais-2", {J2}, 0},
    {"ufakzeka", {Q2T}, 0},
    {NULL, {{NULL, NULL}}, 0},
};
/* clang-format on */

/* Whether `list` has the word name[0..n). */
static bool has_word(const char *list, const char *name, size_t n)
{
    while (*list) {
        size_t len = strcspn(list, " ");
        if (len == n && memcmp(list, name, n) == 0)
            return true;
        list += len + (list[len] == ' ');
    }
    return false;
}

const struct pretok_scheme *pretok_find(const char *name, size_t n)
{
    for (const struct pretok_scheme *s = pretok_schemes; s->names; s++)
        if (has_word(s->names, name, n))
            return s;
    return NULL;
}

void pretok_begin(struct pretok_iter *it, const struct pretok_scheme *scheme, const char *text,
                  size_t n)
{
    int n_passes = 0;
    while (n_passes < PRETOK_MAX_PASSES && scheme->passes[n_passes].match)
        n_passes++;
    it->scheme = scheme;
    it->n_passes = n_passes;
    it->depth = 0;
    it->level[0] = (struct pretok_level){text, text + n, NULL};
}

bool pretok_next(struct pretok_iter *it, const char **piece, size_t *n)
{
    for (;;) {
        struct pretok_level *level = &it->level[it->depth];
        if (level->p == level->end) {
            if (it->depth-- == 0) {
                it->depth = 0;
                return false;
            }
            continue;
        }
        const struct pretok_pass *pass = &it->scheme->passes[it->depth];
        const char *start = level->p, *next = pass->match(pass->rule, level);
        level->p = next;
        if (it->depth == it->n_passes - 1) {
            *piece = start;
            *n = (size_t)(next - start);
            return true;
        }
        it->level[++it->depth] = (struct pretok_level){start, next, NULL};
    }
}
