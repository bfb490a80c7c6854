/* Ranking: how well a document answers a query, by models that were trained to say so.
 *
 *   encoder with a head    [CLS] query [SEP] document [SEP]         pooling_type 4, cls.output
 *   decoder with a head    prompt with query and document           pooling_type 4, cls.output
 *   decoder without        the same; logit of "yes" - logit of "no" Qwen3-Reranker and its like
 *
 * The prompt is the file's own (`tokenizer.chat_template.rerank`, with {instruction}, {query} and
 * {document} in it), else the one that Qwen3-Reranker was trained with (Zhang et al. 2025,
 * arXiv:2506.05176, and its model card). Marks like "<|im_end|>" inside of query and document are
 * plain text. A score is a logit: its sigmoid is the probability that the document answers. */
#ifndef OLL_ENGINE_RANK_H
#define OLL_ENGINE_RANK_H

#include "engine/model.h"
#include "engine/oll.h"

struct ranker {
    enum { RANK_NOTHING, RANK_PAIR, RANK_PROMPT } form;
    bool has_head;
    bool is_named;      /* file or template say that it is made for this */
    uint32_t n_label;   /* of the head */
    uint32_t yes_label; /* with two of them */
    int32_t yes, no;    /* tokens, without a head */
    bool doubles_end;   /* two end tokens between the texts of a pair, as RoBERTa has it */
    const char *prompt; /* owned by the model, or static */
};

/* What a model can do; RANK_NOTHING without a tokenizer and for models that only generate. */
void rank_init(struct ranker *ranker, struct oll_model *model);
/* Whether it ranks under that name (NULL: none): without a head a name must say so, the file's or
 * the one that it was stored with. */
bool rank_can(const struct ranker *ranker, const char *model_name);

/* Ids of query and document i of a request, in at most `n_max`: a document that is too long is cut,
 * with no_truncate OLL_ERR_LIMIT, as is a query that leaves no room. *n_first is where the second
 * text begins, 0 in prompts. */
oll_status rank_tokens(const struct ranker *ranker, const struct oll_tokenizer *tok,
                       const struct oll_request *ask, uint32_t i, uint32_t n_max,
                       struct oll_tokens *out, uint32_t *n_first,
                       struct oll_error *err) OLL_MUST_USE;

/* From what the head says [n_label], or the logits [n_vocab]. */
float rank_score(const struct ranker *ranker, const float *values);

#endif
