#include "engine/chat/renderer.h"

#include "engine/base/mem.h"
#include "engine/chat/render_internal.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <time.h>

struct entry {
    struct chat_renderer_facts facts;
    render_fn run;
    enum render_variant variant;
};

#define DEEPSEEK_BOS "<｜begin▁of▁sentence｜>"
#define POOLSIDE_BOS "〈|EOS|〉"

enum { TOOLS = 1, THINKS = 2, IMAGES = 4, CONTINUES = 8 };

#define ENTRY(name, bos, flags, run, variant)                                                      \
    {{name, bos, ((flags) & TOOLS) != 0, ((flags) & THINKS) != 0, ((flags) & IMAGES) != 0,         \
      ((flags) & CONTINUES) != 0},                                                                 \
     run,                                                                                          \
     variant}

static const struct entry entries[] = {
    ENTRY("qwen3-coder", "", TOOLS | CONTINUES, render_qwen3_coder, RENDER_PLAIN),
    ENTRY("qwen3-vl-instruct", "", TOOLS | IMAGES | CONTINUES, render_qwen3_vl, RENDER_PLAIN),
    ENTRY("qwen3-vl-thinking", "", TOOLS | THINKS | IMAGES | CONTINUES, render_qwen3_vl,
          RENDER_THINKING),
    ENTRY("qwen3.5", "", TOOLS | THINKS | IMAGES | CONTINUES, render_qwen35, RENDER_PLAIN),
    ENTRY("qwen3.8", "", TOOLS | THINKS | IMAGES | CONTINUES, render_qwen35, RENDER_QWEN_38),
    ENTRY("ornith", "", TOOLS | THINKS | IMAGES | CONTINUES, render_qwen35, RENDER_ORNITH),
    ENTRY("cogito", DEEPSEEK_BOS, TOOLS | THINKS, render_cogito, RENDER_PLAIN),
    ENTRY("deepseek3.1", DEEPSEEK_BOS, TOOLS | THINKS, render_deepseek31, RENDER_PLAIN),
    ENTRY("olmo3", "", TOOLS | CONTINUES, render_olmo3, RENDER_PLAIN),
    ENTRY("olmo3.1", "", TOOLS | CONTINUES, render_olmo3, RENDER_OLMO_31),
    ENTRY("olmo3-think", "", THINKS, render_olmo3_think, RENDER_OLMO_THINK),
    ENTRY("olmo3-32b-think", "", THINKS, render_olmo3_think, RENDER_OLMO_32B),
    ENTRY("nemotron-3-nano", "", TOOLS | THINKS | IMAGES, render_nemotron3, RENDER_PLAIN),
    ENTRY("nemotron-3.5-nano", "", TOOLS | THINKS | IMAGES, render_nemotron3, RENDER_NEMOTRON_35),
    ENTRY("gemma4", "<bos>", TOOLS | THINKS | IMAGES, render_gemma4, RENDER_PLAIN),
    ENTRY("gemma4-small", "<bos>", TOOLS | THINKS | IMAGES, render_gemma4, RENDER_PLAIN),
    ENTRY("gemma4-large", "<bos>", TOOLS | THINKS | IMAGES, render_gemma4, RENDER_GEMMA_LARGE),
    ENTRY("functiongemma", "<bos>", TOOLS, render_functiongemma, RENDER_PLAIN),
    ENTRY("glm-4.7", "", TOOLS | THINKS, render_glm47, RENDER_PLAIN),
    ENTRY("glm-ocr", "", TOOLS | IMAGES, render_glm_ocr, RENDER_PLAIN),
    ENTRY("lfm2", "<|startoftext|>", TOOLS | IMAGES | CONTINUES, render_lfm2, RENDER_PLAIN),
    ENTRY("lfm2-thinking", "<|startoftext|>", TOOLS | THINKS | IMAGES | CONTINUES, render_lfm2,
          RENDER_THINKING),
    ENTRY("laguna", POOLSIDE_BOS, TOOLS | THINKS | CONTINUES, render_laguna, RENDER_PLAIN),
    ENTRY("poolside-v1", POOLSIDE_BOS, TOOLS | THINKS, render_poolside, RENDER_PLAIN),
    ENTRY("cohere", "<BOS_TOKEN>", TOOLS | THINKS | CONTINUES, render_cohere, RENDER_PLAIN),
    ENTRY("glimmer", "<|begin_of_text|>", TOOLS | THINKS | IMAGES, render_glimmer, RENDER_PLAIN),
};

enum { N_ENTRIES = sizeof entries / sizeof *entries };

static const struct entry *find_entry(const char *name)
{
    /* Imported safetensors models carry a name that stands for this format. */
    if (strcmp(name, "deepseek3") == 0)
        name = "deepseek3.1";
    for (size_t i = 0; i < N_ENTRIES; i++)
        if (strcmp(entries[i].facts.name, name) == 0)
            return &entries[i];
    return NULL;
}

const struct chat_renderer_facts *chat_renderer_find(const char *name)
{
    const struct entry *e = name ? find_entry(name) : NULL;
    return e ? &e->facts : NULL;
}

const struct chat_renderer_facts *chat_renderer_at(size_t i)
{
    return i < N_ENTRIES ? &entries[i].facts : NULL;
}

size_t chat_renderer_bos_len(const char *name, const char *prompt)
{
    static const char any[] = "<bos>";
    const struct chat_renderer_facts *facts = chat_renderer_find(name);
    const char *bos = facts ? facts->bos : "";
    if (*bos && strncmp(prompt, bos, strlen(bos)) == 0)
        return strlen(bos);
    return strncmp(prompt, any, sizeof any - 1) == 0 ? sizeof any - 1 : 0;
}

/* ---- what a format asks for beside the conversation ---- */

enum { DATE_LEN = 10 };

static oll_status read_date(const char *given, char out[DATE_LEN + 1], struct oll_error *err)
{
    static const char form[] = "dddd-dd-dd";
    const time_t now = time(NULL);
    struct tm local;
    if (!given) {
        if (!localtime_r(&now, &local) || strftime(out, DATE_LEN + 1, "%Y-%m-%d", &local) == 0)
            return OLL_FAIL(err, OLL_ERR_INTERNAL, "the clock tells no date");
        return OLL_OK;
    }
    bool is_date = strlen(given) == DATE_LEN;
    for (int i = 0; is_date && i < DATE_LEN; i++)
        is_date = form[i] == 'd' ? isdigit((unsigned char)given[i]) : given[i] == form[i];
    if (!is_date)
        return OLL_FAIL(err, OLL_ERR_ARG, "the date must be YYYY-MM-DD, not `%.40s`", given);
    memcpy(out, given, DATE_LEN + 1);
    return OLL_OK;
}

static bool holds(const char *name, const char *part)
{
    const size_t n = strlen(part);
    for (; *name; name++)
        if (strncasecmp(name, part, n) == 0)
            return true;
    return false;
}

/* The larger Gemma 4 models expect an empty thinking channel where thinking is off. The name says
 * which, else the number of parameters. */
static bool is_large_gemma(const struct chat_render_input *input)
{
    const char *model = input->model ? input->model : "";
    if (holds(model, "e2b") || holds(model, "e4b"))
        return false;
    if (holds(model, "12b") || holds(model, "26b") || holds(model, "31b"))
        return true;
    return input->n_params >= 12000000000u;
}

oll_status chat_renderer_render(const char *name, const struct chat_render_input *input,
                                struct oll_strbuf *out, struct oll_error *err)
{
    const struct entry *e = name ? find_entry(name) : NULL;
    char date[DATE_LEN + 1];
    if (!e)
        return OLL_FAIL(err, OLL_ERR_NOT_FOUND, "unknown renderer \"%.80s\"", name ? name : "");
    OLL_TRY(read_date(input->date, date, err));
    struct render r = {.c = input->conversation,
                       .out = out,
                       .variant = e->variant,
                       .thinks = input->conversation->think > OLL_THINK_OFF,
                       .has_images = e->facts.has_images,
                       .date = date,
                       .err = err};
    if (strcmp(e->facts.name, "gemma4") == 0 && is_large_gemma(input))
        r.variant = RENDER_GEMMA_LARGE;
    const oll_status status = e->run(&r);
    oll_free(r.calls);
    if (status != OLL_OK)
        return status;
    if (out->status != OLL_OK)
        return OLL_FAIL(err, out->status, "renderer %s: the prompt takes more than %zu bytes", name,
                        out->max_bytes);
    return OLL_OK;
}
