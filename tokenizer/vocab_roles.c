/* What single tokens are for: roles named by the file or known by their text, and the set that ends
 * a generation. */
#include "tokenizer/vocab.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"

#include <ctype.h>

static const struct {
    const char *key;
    enum oll_token_role role;
} role_keys[] = {
    {"tokenizer.ggml.bos_token_id", OLL_ROLE_BOS},
    {"tokenizer.ggml.eos_token_id", OLL_ROLE_EOS},
    {"tokenizer.ggml.eot_token_id", OLL_ROLE_EOT},
    {"tokenizer.ggml.eom_token_id", OLL_ROLE_EOM},
    {"tokenizer.ggml.unknown_token_id", OLL_ROLE_UNK},
    {"tokenizer.ggml.seperator_token_id", OLL_ROLE_SEP}, /* so spelled in the format */
    {"tokenizer.ggml.padding_token_id", OLL_ROLE_PAD},
    {"tokenizer.ggml.cls_token_id", OLL_ROLE_CLS},
    {"tokenizer.ggml.mask_token_id", OLL_ROLE_MASK},
    {"tokenizer.ggml.prefix_token_id", OLL_ROLE_FIM_PRE},
    {"tokenizer.ggml.suffix_token_id", OLL_ROLE_FIM_SUF},
    {"tokenizer.ggml.middle_token_id", OLL_ROLE_FIM_MID},
    {"tokenizer.ggml.fim_pre_token_id", OLL_ROLE_FIM_PRE},
    {"tokenizer.ggml.fim_suf_token_id", OLL_ROLE_FIM_SUF},
    {"tokenizer.ggml.fim_mid_token_id", OLL_ROLE_FIM_MID},
    {"tokenizer.ggml.fim_pad_token_id", OLL_ROLE_FIM_PAD},
    {"tokenizer.ggml.fim_rep_token_id", OLL_ROLE_FIM_REP},
    {"tokenizer.ggml.fim_sep_token_id", OLL_ROLE_FIM_SEP},
};

/* Texts that tell a token's purpose: the role it takes when no key names one (the first text of the
 * list wins), and whether it ends a generation. */
static const struct {
    const char *text;
    enum oll_token_role role; /* OLL_ROLE_COUNT: none */
    bool eog;
} known[] = {
    {"<|eot_id|>", OLL_ROLE_EOT, true},
    {"<|im_end|>", OLL_ROLE_EOT, true},
    {"<|end|>", OLL_ROLE_EOT, true},
    {"<end_of_turn>", OLL_ROLE_EOT, true},
    {"<|endoftext|>", OLL_ROLE_EOT, true},
    {"<|end_of_text|>", OLL_ROLE_EOT, true},
    {"<EOT>", OLL_ROLE_EOT, true},
    {"_<EOT>", OLL_ROLE_EOT, true},
    {VOCAB_MARK "<EOT>", OLL_ROLE_EOT, true},
    {"[EOT]", OLL_ROLE_EOT, true},
    {"<｜end▁of▁sentence｜>", OLL_ROLE_EOT, true},
    {"<end_of_utterance>", OLL_ROLE_EOT, true},
    {"<|eom_id|>", OLL_ROLE_EOM, true},
    {"<|fim_prefix|>", OLL_ROLE_FIM_PRE, false},
    {"<fim-prefix>", OLL_ROLE_FIM_PRE, false},
    {"<fim_prefix>", OLL_ROLE_FIM_PRE, false},
    {"<｜fim▁begin｜>", OLL_ROLE_FIM_PRE, false},
    {"<PRE>", OLL_ROLE_FIM_PRE, false},
    {VOCAB_MARK "<PRE>", OLL_ROLE_FIM_PRE, false},
    {"<|code_prefix|>", OLL_ROLE_FIM_PRE, false},
    {"<|prefix|>", OLL_ROLE_FIM_PRE, false},
    {"<|fim_suffix|>", OLL_ROLE_FIM_SUF, false},
    {"<fim-suffix>", OLL_ROLE_FIM_SUF, false},
    {"<fim_suffix>", OLL_ROLE_FIM_SUF, false},
    {"<｜fim▁hole｜>", OLL_ROLE_FIM_SUF, false},
    {"<SUF>", OLL_ROLE_FIM_SUF, false},
    {VOCAB_MARK "<SUF>", OLL_ROLE_FIM_SUF, false},
    {"<|code_suffix|>", OLL_ROLE_FIM_SUF, false},
    {"<|suffix|>", OLL_ROLE_FIM_SUF, false},
    {"<|fim_middle|>", OLL_ROLE_FIM_MID, false},
    {"<fim-middle>", OLL_ROLE_FIM_MID, false},
    {"<fim_middle>", OLL_ROLE_FIM_MID, false},
    {"<｜fim▁end｜>", OLL_ROLE_FIM_MID, false},
    {"<MID>", OLL_ROLE_FIM_MID, false},
    {VOCAB_MARK "<MID>", OLL_ROLE_FIM_MID, false},
    {"<|code_middle|>", OLL_ROLE_FIM_MID, false},
    {"<|middle|>", OLL_ROLE_FIM_MID, false},
    {"<|fim_pad|>", OLL_ROLE_FIM_PAD, false},
    {"<fim-pad>", OLL_ROLE_FIM_PAD, false},
    {"<fim_pad>", OLL_ROLE_FIM_PAD, false},
    {"<PAD>", OLL_ROLE_FIM_PAD, false},
    {"[PAD]", OLL_ROLE_FIM_PAD, false},
    {"<|fim_repo|>", OLL_ROLE_FIM_REP, false},
    {"<|repo_name|>", OLL_ROLE_FIM_REP, false},
    {"<fim-repo>", OLL_ROLE_FIM_REP, false},
    {"<REPO>", OLL_ROLE_FIM_REP, false},
    {"<reponame>", OLL_ROLE_FIM_REP, false},
    {"<|file_sep|>", OLL_ROLE_FIM_SEP, false},
    {"<|return|>", OLL_ROLE_COUNT, true},
    {"<|call|>", OLL_ROLE_COUNT, true},
    {"<|calls|>", OLL_ROLE_COUNT, true},
    {"<|flush|>", OLL_ROLE_COUNT, true},
    {"</s>", OLL_ROLE_COUNT, true},
    {"[EOS]", OLL_ROLE_COUNT, true},
    {"<eos>", OLL_ROLE_COUNT, true},
    {"<turn|>", OLL_ROLE_COUNT, true},
    {"<|tool_response>", OLL_ROLE_COUNT, true},
    {"[e~[", OLL_ROLE_COUNT, true},
    /* Marks of messages, which the parser of the output must see. */
    {"<|channel|>", OLL_ROLE_COUNT, false},
    {"<|message|>", OLL_ROLE_COUNT, false},
    {"<|start|>", OLL_ROLE_COUNT, false},
    {"<|constrain|>", OLL_ROLE_COUNT, false},
};

enum {
    N_KNOWN = sizeof known / sizeof known[0],
    N_ROLE_KEYS = sizeof role_keys / sizeof *role_keys
};

/* Ids of the known texts, OLL_TOKEN_NONE where the vocabulary lacks one. */
struct known_ids {
    int32_t ids[N_KNOWN];
};

static void find_known(const struct vocab *vocab, struct known_ids *found)
{
    for (int k = 0; k < N_KNOWN; k++)
        found->ids[k] = OLL_TOKEN_NONE;
    for (int32_t id = 0; id < vocab->n_tokens; id++) {
        size_t n;
        const char *text = vocab_text(vocab, id, &n);
        if (n < 4 || n > 32 || !strchr("<[_\xE2", text[0]) || !strchr(">][", text[n - 1]))
            continue;
        for (int k = 0; k < N_KNOWN; k++)
            if (strlen(known[k].text) == n && memcmp(known[k].text, text, n) == 0)
                found->ids[k] = id;
    }
}

static int32_t known_id(const struct known_ids *found, const char *text)
{
    for (int k = 0; k < N_KNOWN; k++)
        if (strcmp(known[k].text, text) == 0)
            return found->ids[k];
    return OLL_TOKEN_NONE;
}

/* Whether the id may serve: an id beyond the vocabulary is ignored. */
static bool id_in_range(const struct vocab *vocab, const char *key, uint64_t id)
{
    if (id < (uint64_t)vocab->n_tokens)
        return true;
    oll_log_warn("tokenizer", "%s %llu is ignored: the vocabulary has %d tokens", key,
                 (unsigned long long)id, vocab->n_tokens);
    return false;
}

static oll_status read_role_keys(struct vocab *vocab, const struct oll_gguf *gguf,
                                 struct oll_error *err)
{
    for (int i = 0; i < N_ROLE_KEYS; i++) {
        uint64_t id;
        int64_t signed_id;
        oll_status status = oll_gguf_i64(gguf, role_keys[i].key, &signed_id, err);
        if (status == OLL_ERR_NOT_FOUND)
            continue;
        OLL_TRY(status);
        id = (uint64_t)signed_id;
        /* -1 is written for "none". */
        if (signed_id == -1 || id == UINT32_MAX || !id_in_range(vocab, role_keys[i].key, id))
            continue;
        vocab->roles[role_keys[i].role] = (int32_t)id;
        vocab->flags[id] |= VOCAB_IS_ROLE;
    }
    return OLL_OK;
}

/* Ids that a model had before files named them. A common word at that place is not meant. */
static void default_role(struct vocab *vocab, enum oll_token_role role, int32_t id)
{
    if (vocab->roles[role] != OLL_TOKEN_NONE || id >= vocab->n_tokens)
        return;
    size_t n;
    const char *text = vocab_text(vocab, id, &n);
    bool bracketed =
        n > 2 && ((text[0] == '<' && text[n - 1] == '>') || (text[0] == '[' && text[n - 1] == ']'));
    if (vocab->types[id] != VOCAB_NORMAL || bracketed)
        vocab->roles[role] = id;
}

/* The first of two texts that the vocabulary has, for WordPiece files without keys. */
static void role_by_text(struct vocab *vocab, enum oll_token_role role, const char *first,
                         const char *second)
{
    if (vocab->roles[role] == OLL_TOKEN_NONE)
        vocab->roles[role] = vocab_find_text(vocab, first, strlen(first));
    if (vocab->roles[role] == OLL_TOKEN_NONE)
        vocab->roles[role] = vocab_find_text(vocab, second, strlen(second));
}

static void default_roles(struct vocab *vocab)
{
    int32_t *roles = vocab->roles;
    switch (vocab->model) {
    case VOCAB_SPM:
        default_role(vocab, OLL_ROLE_BOS, 1);
        default_role(vocab, OLL_ROLE_EOS, 2);
        default_role(vocab, OLL_ROLE_UNK, 0);
        break;
    case VOCAB_BPE:
        if (!vocab->raw) {
            default_role(vocab, OLL_ROLE_BOS, 11);
            default_role(vocab, OLL_ROLE_EOS, 11);
        }
        break;
    case VOCAB_WORDPIECE:
        /* Files name the first token bos, cls or both. */
        if (roles[OLL_ROLE_BOS] == OLL_TOKEN_NONE)
            roles[OLL_ROLE_BOS] = roles[OLL_ROLE_CLS];
        if (vocab_text_is(vocab, 101, "[CLS]"))
            default_role(vocab, OLL_ROLE_BOS, 101);
        role_by_text(vocab, OLL_ROLE_BOS, "[CLS]", "<s>");
        roles[OLL_ROLE_CLS] = roles[OLL_ROLE_BOS];
        role_by_text(vocab, OLL_ROLE_SEP, "[SEP]", "</s>");
        role_by_text(vocab, OLL_ROLE_UNK, "[UNK]", "<unk>");
        role_by_text(vocab, OLL_ROLE_PAD, "[PAD]", "<pad>");
        role_by_text(vocab, OLL_ROLE_MASK, "[MASK]", "<mask>");
        break;
    case VOCAB_UNIGRAM:
        default_role(vocab, OLL_ROLE_EOS, 1);
        default_role(vocab, OLL_ROLE_UNK, 2);
        default_role(vocab, OLL_ROLE_PAD, 0);
        break;
    case VOCAB_NONE: break;
    }
}

/* In files from before token types everything is "normal": the tokens that keys and texts name are
 * control tokens then, and <0xXX> are bytes. */
static void type_untyped(struct vocab *vocab, const struct known_ids *found)
{
    for (int32_t id = 0; id < vocab->n_tokens; id++)
        if (vocab->types[id] != VOCAB_NORMAL)
            return;
    for (int32_t id = 0; id < vocab->n_tokens; id++)
        if (vocab->flags[id] & VOCAB_IS_ROLE)
            vocab->types[id] = VOCAB_CONTROL;
    for (int k = 0; k < N_KNOWN; k++)
        if (found->ids[k] >= 0 && (known[k].role != OLL_ROLE_COUNT || known[k].eog))
            vocab->types[found->ids[k]] = VOCAB_CONTROL;
    for (int32_t id = 0; id < vocab->n_tokens && vocab->raw; id++) {
        size_t n;
        const char *text = vocab_text(vocab, id, &n);
        if (n == 6 && memcmp(text, "<0x", 3) == 0)
            vocab->types[id] = VOCAB_BYTE;
    }
}

static void roles_by_known_text(struct vocab *vocab, const struct known_ids *found)
{
    for (int k = 0; k < N_KNOWN; k++) {
        int32_t id = found->ids[k];
        if (known[k].role == OLL_ROLE_COUNT || id < 0 ||
            vocab->roles[known[k].role] != OLL_TOKEN_NONE)
            continue;
        vocab->roles[known[k].role] = id;
        vocab->types[id] = VOCAB_CONTROL;
    }
}

static void set_eog(struct vocab *vocab, int32_t id)
{
    if (id >= 0)
        vocab->flags[id] |= VOCAB_IS_EOG;
}

static void make_user_defined(struct vocab *vocab, int32_t id)
{
    if (id >= 0)
        vocab->types[id] = VOCAB_USER;
}

/* Formats in which a token of the list does not end the turn. */
static void correct_eog(struct vocab *vocab, const struct known_ids *found)
{
    int32_t end = known_id(found, "<|end|>"), call = known_id(found, "<|call|>");
    int32_t calls = known_id(found, "<|calls|>");
    bool harmony = known_id(found, "<|return|>") >= 0 && call >= 0;
    bool flush = known_id(found, "<|flush|>") >= 0 && (call >= 0 || calls >= 0);
    if (end >= 0 && (harmony || flush)) {
        vocab->flags[end] &= (uint8_t)~VOCAB_IS_EOG; /* it separates messages */
        make_user_defined(vocab, end);
    }
    make_user_defined(vocab, known_id(found, "<|channel|>"));
    make_user_defined(vocab, known_id(found, "<|message|>"));
    make_user_defined(vocab, known_id(found, "<|start|>"));
    make_user_defined(vocab, known_id(found, "<|constrain|>"));
    int32_t s = known_id(found, "</s>");
    if (s >= 0 && known_id(found, "<|tool_response>") >= 0)
        vocab->flags[s] &= (uint8_t)~VOCAB_IS_EOG;
}

static oll_status read_eos_ids(struct vocab *vocab, const struct oll_gguf *gguf,
                               struct oll_error *err)
{
    static const char key[] = "tokenizer.ggml.eos_token_ids";
    const struct oll_gguf_kv *kv = oll_gguf_find(gguf, key);
    for (uint64_t i = 0; kv && i < kv->count; i++) {
        uint64_t id;
        OLL_TRY(oll_gguf_kv_u64(kv, i, &id, err));
        if (id_in_range(vocab, key, id))
            set_eog(vocab, (int32_t)id);
    }
    return OLL_OK;
}

static oll_status make_eog(struct vocab *vocab, const struct known_ids *found,
                           const struct oll_gguf *gguf, struct oll_error *err)
{
    static const enum oll_token_role ending[] = {OLL_ROLE_EOS,     OLL_ROLE_EOT,
                                                 OLL_ROLE_EOM,     OLL_ROLE_FIM_PAD,
                                                 OLL_ROLE_FIM_REP, OLL_ROLE_FIM_SEP};
    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++)
        set_eog(vocab, vocab->roles[ending[i]]);
    for (int k = 0; k < N_KNOWN; k++)
        if (known[k].eog)
            set_eog(vocab, found->ids[k]);
    OLL_TRY(read_eos_ids(vocab, gguf, err));
    correct_eog(vocab, found);
    bool generates = vocab->model == VOCAB_SPM || vocab->model == VOCAB_BPE;
    for (int32_t id = 0; id < vocab->n_tokens; id++)
        if (vocab->flags[id] & VOCAB_IS_EOG)
            return OLL_OK;
    if (generates)
        oll_log_warn("tokenizer", "no token ends a generation; only the length limit does");
    return OLL_OK;
}

static bool contains(const char *text, size_t n, const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i + len <= n; i++) {
        size_t k = 0;
        while (k < len && tolower((unsigned char)text[i + k]) == word[k])
            k++;
        if (k == len)
            return true;
    }
    return false;
}

static void correct_types(struct vocab *vocab, const struct oll_gguf *gguf)
{
    struct oll_gguf_str arch = {"", 0};
    if (oll_gguf_str(gguf, "general.architecture", &arch, NULL) != OLL_OK)
        arch.len = 0;
    bool gemma3n = arch.len == 7 && memcmp(arch.data, "gemma3n", 7) == 0;
    for (int32_t id = 0; id < vocab->n_tokens; id++) {
        size_t n;
        const char *text = vocab_text(vocab, id, &n);
        if (vocab->types[id] == VOCAB_CONTROL && contains(text, n, "unused"))
            vocab->types[id] = VOCAB_UNUSED;
        if (gemma3n && vocab->types[id] == VOCAB_NORMAL && n == 6 && memcmp(text, "<0x", 3) == 0)
            vocab->types[id] = VOCAB_BYTE;
    }
}

static bool str_is(struct oll_gguf_str s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* Special tokens that swallow the white space beside them: the files do not say so. */
static void mark_stripping(struct vocab *vocab, const struct oll_gguf *gguf)
{
    struct oll_gguf_str name = {"", 0}, arch = {"", 0}, pre = {"", 0};
    if (oll_gguf_str(gguf, "general.name", &name, NULL) != OLL_OK)
        name.len = 0;
    if (oll_gguf_str(gguf, "general.architecture", &arch, NULL) != OLL_OK)
        arch.len = 0;
    if (oll_gguf_str(gguf, "tokenizer.ggml.pre", &pre, NULL) != OLL_OK)
        pre.len = 0;
    bool jina_v2 = contains(name.data, name.len, "jina-bert-v2") || str_is(arch, "jina-bert-v2");
    bool jina_pre =
        str_is(pre, "jina-v2-de") || str_is(pre, "jina-v2-es") || str_is(pre, "jina-v2-code");
    bool mask = (jina_v2 && jina_pre) || str_is(arch, "nomic-bert-moe") ||
                contains(name.data, name.len, "nomic-bert-moe") || str_is(arch, "jina-bert-v3") ||
                contains(name.data, name.len, "jina-bert-v3");
    bool phi3 = contains(name.data, name.len, "phi-3") || contains(name.data, name.len, "phi3");
    bool modern = str_is(arch, "modern-bert") || str_is(pre, "modern-bert");
    for (int32_t id = 0; (mask || phi3 || modern) && id < vocab->n_tokens; id++) {
        bool special = vocab_hidden(vocab, id) || vocab->types[id] == VOCAB_USER;
        if ((mask && vocab_text_is(vocab, id, "<mask>")) ||
            (modern && vocab_text_is(vocab, id, "[MASK]")))
            vocab->flags[id] |= VOCAB_LSTRIP;
        if (phi3 && special && !vocab_text_is(vocab, id, "<unk>") &&
            !vocab_text_is(vocab, id, "<s>") && !vocab_text_is(vocab, id, "<|endoftext|>"))
            vocab->flags[id] |= VOCAB_RSTRIP;
    }
}

oll_status vocab_load_roles(struct vocab *vocab, const struct oll_gguf *gguf, struct oll_error *err)
{
    struct known_ids found;
    for (int r = 0; r < OLL_ROLE_COUNT; r++)
        vocab->roles[r] = OLL_TOKEN_NONE;
    OLL_TRY(read_role_keys(vocab, gguf, err));
    find_known(vocab, &found);
    type_untyped(vocab, &found);
    default_roles(vocab);
    roles_by_known_text(vocab, &found);
    OLL_TRY(make_eog(vocab, &found, gguf, err));
    correct_types(vocab, gguf);
    mark_stripping(vocab, gguf);
    return OLL_OK;
}
