/* Speed of a server as its clients see it: closed loop, each of C clients sends its next request
 * when the last one is answered. Replies are streamed; every prompt is different from its first
 * words on, so that no cache of prefixes helps. */
#ifndef OLL_BENCH_BENCH_SERVER_H
#define OLL_BENCH_BENCH_SERVER_H

#include "bench/bench_http.h"
#include "bench/bench_list.h"

enum bench_api {
    BENCH_API_AUTO,   /* ask the server */
    BENCH_API_OLLAMA, /* POST /api/generate */
    BENCH_API_OPENAI, /* POST /v1/completions */
    BENCH_API_CHAT    /* POST /v1/chat/completions */
};

enum { BENCH_MODEL_NAME_MAX = 256, BENCH_REQUESTS_MAX = 100000 };

struct bench_times { /* milliseconds */
    double p50, p95, p99;
};

struct bench_server_result {
    uint32_t n_clients, n_done, n_failed;
    double seconds;                       /* from the first request to the last answer */
    double n_prompt, n_output;            /* mean tokens of a request, as the server counts them */
    double output_s, prompt_s;            /* tokens per second of all clients together */
    struct bench_times first_token;       /* from sending to the first piece of text */
    struct bench_times between;           /* from one piece of text to the next */
    char failure[OLL_ERROR_TEXT_MAX / 4]; /* of the first request that failed, "" if none did */
};

struct bench_server_params {
    const char *url; /* of the server, without a path */
    enum bench_api api;
    const char *model;  /* NULL: the first that the server lists */
    uint32_t n_prompt;  /* words of a prompt, about a token each */
    uint32_t n_output;  /* tokens asked for */
    uint32_t n_request; /* of each row; 0: four per client, at least eight */
    uint64_t seed;
    const struct bench_list *clients;
    const struct bench_watch *watch;
    oll_status (*result)(void *ctx, const struct bench_server_result *result,
                         struct oll_error *err);
    void *ctx;
};

/* One request to warm up, then a row for each number of clients. */
oll_status bench_server_run(const struct bench_server_params *params,
                            struct oll_error *err) OLL_MUST_USE;

/* Finds API and model; *api is left as it is unless AUTO. */
oll_status bench_server_probe(const char *url, enum bench_api *api, const char *model,
                              char name[BENCH_MODEL_NAME_MAX], struct oll_error *err) OLL_MUST_USE;

#endif
