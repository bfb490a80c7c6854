#include "bench/bench_tokenize.h"

#include "engine/base/mem.h"
#include "engine/base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* One round; times[0] gets the time of encoding, times[1] that of decoding. */
static oll_status run_round(const struct oll_tokenizer *tok, const char *text, size_t n,
                            struct oll_tokens *ids, struct oll_strbuf *decoded, double times[2])
{
    ids->n = 0;
    oll_strbuf_clear(decoded);
    double start = seconds();
    OLL_TRY(
        oll_tokenizer_encode(tok, text, n, OLL_ENCODE_ADD_SPECIAL | OLL_ENCODE_PARSE_SPECIAL, ids));
    double middle = seconds();
    OLL_TRY(oll_tokenizer_decode(tok, ids->ids, ids->n, true, decoded));
    times[0] = middle - start;
    times[1] = seconds() - middle;
    return OLL_OK;
}

oll_status bench_tokenize(const struct oll_tokenizer *tok, const char *text, size_t n, int rounds,
                          struct bench_tokenize_result *out)
{
    if (rounds < 1 || rounds > BENCH_TOKENIZE_MAX_ROUNDS)
        return OLL_ERR_ARG;
    double *encode = oll_calloc((size_t)rounds, sizeof *encode), times[2] = {0};
    double *decode = oll_calloc((size_t)rounds, sizeof *decode);
    struct oll_tokens ids = {0};
    struct oll_strbuf decoded;
    oll_strbuf_init(&decoded, SIZE_MAX / 2);
    oll_status status = encode && decode ? OLL_OK : OLL_ERR_MEMORY;
    for (int i = -1; i < rounds && status == OLL_OK; i++) {
        status = run_round(tok, text, n, &ids, &decoded, times);
        if (i >= 0) {
            encode[i] = (double)n / times[0] * 1e-6;
            decode[i] = (double)ids.n / times[1] * 1e-6;
        }
    }
    if (status == OLL_OK) {
        qsort(encode, (size_t)rounds, sizeof *encode, compare);
        qsort(decode, (size_t)rounds, sizeof *decode, compare);
        *out = (struct bench_tokenize_result){
            n, ids.n, encode[rounds / 2], encode[0], encode[rounds - 1], decode[rounds / 2]};
    }
    oll_free(encode);
    oll_free(decode);
    oll_tokens_free(&ids);
    oll_strbuf_free(&decoded);
    return status;
}

char *bench_tokenize_repeat(const char *part, size_t n, size_t n_bytes, size_t *n_text)
{
    if (n == 0)
        return NULL;
    char *text = oll_alloc(n_bytes + 1, 1);
    if (!text)
        return NULL;
    for (size_t at = 0; at < n_bytes; at += n)
        memcpy(text + at, part, n < n_bytes - at ? n : n_bytes - at);
    *n_text = oll_utf8_complete_len(text, n_bytes);
    text[*n_text] = '\0';
    return text;
}

const char bench_tokenize_sample[] =
    "A tokenizer turns text into numbers, and it does so before anything else can happen. Most of "
    "what it reads is plain prose like this: short words, longer ones, a comma here, a full stop "
    "there. It's easy to be fast on that, isn't it? The rest is harder.\n\n"
    "In 1869 the line from Omaha to Sacramento was 2,858 km long; a ticket cost $111.00, about "
    "15 % of what a labourer earned in a year (see table 3.4, pp. 120-127).\n"
    "Grüße aus Köln: schöne Straßen, über 1000 Brücken. Où est la bibliothèque, s'il vous plaît ? "
    "El niño comió piñas en la montaña. Dzień dobry, żółta łódź płynie.\n"
    "Быстрая лиса перепрыгнула через ленивую собаку. Η γρήγορη αλεπού πηδάει. "
    "الثعلب السريع يقفز فوق الكلب الكسول. तेज़ लोमड़ी कुत्ते के ऊपर कूदती है।\n"
    "敏捷的狐狸跳过了懒狗。今天是2024年5月17日,天气很好。すばしっこい狐がのろまな犬を飛び越える。"
    "재빠른 여우가 게으른 개를 뛰어넘는다.\n"
    "```c\n"
    "static int count(const char *s, char c)\n"
    "{\n"
    "    int n = 0;\n"
    "    for (; *s != '\\0'; s++)\n"
    "        n += *s == c; /* no branch */\n"
    "    return n;\n"
    "}\n"
    "```\n"
    "{\"name\": \"ship\", \"tags\": [\"sea\", \"iron\"], \"mass\": 1.5e6, \"crew\": null}\n"
    "https://example.org/a/b?query=tokens&page=2#top  \U0001F680\U0001F44D\U0001F3FD ... "
    "----------------\n\n\n";
