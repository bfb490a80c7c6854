/* `oll serve`: the API over HTTP. */
#include "engine/base/log.h"
#include "engine/base/version.h"
#include "registry/crypto.h"
#include "registry/store_gc.h"
#include "server/access.h"
#include "server/app.h"
#include "server/cli.h"
#include "server/duration.h"
#include "server/env.h"
#include "server/http.h"
#include "server/models.h"
#include "server/routes.h"
#include "server/schedule.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHORT_REQUESTS = 32 }; /* workers beyond those that may all be generating */

static struct http_server *running; /* for the signal handler */

static void on_stop(int sig)
{
    (void)sig;
    http_server_stop(running);
}

/* The first signal asks for an orderly end; a second one has its usual effect. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void set_log_level(void)
{
    char text[ENV_TEXT_MAX];
    int level = OLL_LOG_INFO;
    if (env_text("OLLAMA_DEBUG", text)) {
        char *end;
        long long n = strtoll(text, &end, 10);
        if (*end)
            n = env_bool("OLLAMA_DEBUG", false);
        level += n > 2 ? 2 : n < -2 ? -2 : (int)n;
    }
    oll_log_set_level((enum oll_log_level)level);
}

/* Each connection is a descriptor. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static enum oll_dtype kv_dtype(void)
{
    char text[ENV_TEXT_MAX];
    if (!env_text("OLLAMA_KV_CACHE_TYPE", text) || strcasecmp(text, "f16") == 0)
        return OLL_F16;
    if (strcasecmp(text, "q8_0") == 0)
        return OLL_Q8_0;
    oll_log_warn("serve", "OLLAMA_KV_CACHE_TYPE=%s is not available; using f16", text);
    return OLL_F16;
}

static struct schedule_config schedule_settings(void)
{
    uint64_t slots = env_uint("OLLAMA_NUM_PARALLEL", 1);
    uint64_t ctx = env_uint("OLLAMA_CONTEXT_LENGTH", 0);
    uint64_t loaded = env_uint("OLLAMA_MAX_LOADED_MODELS", 0);
    uint64_t queue = env_uint("OLLAMA_MAX_QUEUE", 512);
    int64_t keep_alive = env_duration("OLLAMA_KEEP_ALIVE", (int64_t)300 * 1000000000);
    return (struct schedule_config){
        .max_loaded = loaded < 1000 ? (int)loaded : 1000,
        .max_waiting = queue < 100000 ? (int)queue : 100000,
        .keep_alive_ns = keep_alive < 0 ? SCHEDULE_FOREVER : keep_alive,
        .n_ctx = ctx < UINT32_MAX ? (uint32_t)ctx : UINT32_MAX,
        .n_slots = slots == 0    ? 1
                   : slots < 256 ? (uint32_t)slots
                                 : 256,
        .kv_dtype = kv_dtype(),
    };
}

/* "NAME=FILE" of each --model. */
static oll_status add_models(const struct cli_args *args, struct models *models,
                             struct oll_error *err)
{
    const char *value;
    for (int i = 0; (value = cli_value_at(args, "model", i)); i++) {
        const char *eq = strchr(value, '=');
        char name[OLL_REFERENCE_TEXT_MAX];
        if (!eq || eq == value || !eq[1] || (size_t)(eq - value) >= sizeof name)
            return OLL_FAIL(err, OLL_ERR_ARG, "--model %s: expected NAME=FILE", value);
        memcpy(name, value, (size_t)(eq - value));
        name[eq - value] = '\0';
        oll_status status = models_add_file(models, name, eq + 1, err);
        if (status != OLL_OK) {
            oll_error_prefix(err, "--model %s", value);
            return status;
        }
    }
    return OLL_OK;
}

static oll_status listen_as_told(struct http_server *server, struct oll_error *err)
{
    struct env_host host;
    char text[ENV_TEXT_MAX];
    env_text("OLLAMA_HOST", text);
    env_parse_host(text, &host);
    if (host.socket[0])
        return http_server_listen_unix(server, host.socket, err);
    return http_server_listen(server, host.host, host.port, err);
}

/* Makes the parts of the server; what has been made is given back by the caller. */
static oll_status set_up(const struct cli_args *args, struct app *app, struct access **access,
                         struct http_server **server, struct oll_error *err)
{
    char text[ENV_TEXT_MAX];
    struct schedule_config settings = schedule_settings();
    OLL_TRY(access_new(env_text("OLLAMA_ORIGINS", text) ? text : NULL, access, err));
    app->access = *access;
    OLL_TRY(models_new(env_models(text) ? text : NULL, &app->models, err));
    OLL_TRY(add_models(args, app->models, err));
    OLL_TRY(schedule_new(&settings, &app->schedule, err));
    struct http_config config = {
        .route = routes_plan,
        .app = app,
        .max_workers = settings.max_waiting + (int)settings.n_slots + SHORT_REQUESTS,
    };
    OLL_TRY(http_server_new(&config, server, err));
    return listen_as_told(*server, err);
}

/* The identity for registries, made at the first start. */
static void make_key(void)
{
    char path[ENV_TEXT_MAX], folder[ENV_TEXT_MAX];
    struct oll_key key;
    struct oll_error err = {0};
    struct oll_strbuf text;
    if (!env_key(path) || access(path, F_OK) == 0)
        return;
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    mkdir(folder, 0755);
    printf("Couldn't find '%s'. Generating new private key.\n", path);
    oll_status status = oll_key_generate(&key, &err);
    if (status == OLL_OK)
        status = oll_key_write(path, &key, &err);
    if (status != OLL_OK) {
        /* Registries that ask for no identity work all the same. */
        oll_log_warn("serve", "%s", oll_error_text(&err));
        return;
    }
    oll_strbuf_init(&text, 4096);
    oll_key_public_text(&key, &text);
    printf("Your new public key is: \n\nssh-ed25519 %s\n\n", text.data);
    fflush(stdout);
    oll_strbuf_free(&text);
}

static int run_serve(const struct cli_args *args)
{
    struct app app = {0};
    struct access *access = NULL;
    struct oll_error err = {0};
    set_log_level();
    raise_descriptor_limit();
    oll_status status = set_up(args, &app, &access, &running, &err);
    if (status == OLL_OK) {
        make_key();
        if (models_store(app.models))
            oll_store_start(models_store(app.models), !env_bool("OLLAMA_NOPRUNE", false));
        catch_signals();
        oll_log_info("serve", "Listening on %s (version %s)", http_server_address(running),
                     OLL_VERSION);
        http_server_run(running);
        oll_log_info("serve", "stopped");
    }
    http_server_free(running);
    running = NULL;
    schedule_free(app.schedule);
    models_free(app.models);
    access_free(access);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

static const struct cli_option options[] = {
    {"model", 0, CLI_REPEATED, "NAME=FILE", "offer a GGUF file under a name"},
    {0},
};

static const struct cli_variable variables[] = {
    {"OLLAMA_DEBUG", "1: more, 2: most in the log"},
    {"OLLAMA_HOST", "Address to listen on: host:port, or unix:/path (default 127.0.0.1:11434)"},
    {"OLLAMA_CONTEXT_LENGTH", "Window of models for which nobody names one (default 4096)"},
    {"OLLAMA_KEEP_ALIVE", "How long an idle model stays loaded (default 5m; negative: for ever)"},
    {"OLLAMA_MAX_LOADED_MODELS", "Models loaded at once (default 3)"},
    {"OLLAMA_MAX_TRANSFER_STREAMS", "Accepted; a transfer chooses its connections itself"},
    {"OLLAMA_MAX_QUEUE", "Requests that may wait for a model (default 512)"},
    {"OLLAMA_MODELS", "Folder of models (default ~/.ollama/models)"},
    {"OLLAMA_NUM_PARALLEL", "Requests that one model serves at once (default 1)"},
    {"OLLAMA_NO_CLOUD", "Nothing to switch off: no model of a cloud is ever called"},
    {"OLLAMA_NOPRUNE", "Keep files that no model names when the server starts"},
    {"OLLAMA_ORIGINS", "Further origins of web pages, separated by commas"},
    {"OLLAMA_SCHED_SPREAD", "Accepted; layers run on the processor"},
    {"OLLAMA_FLASH_ATTENTION", "Accepted; attention is always computed this way"},
    {"OLLAMA_KV_CACHE_TYPE", "Type of the KV cache: f16 (default) or q8_0"},
    {"OLLAMA_LLM_LIBRARY", "Accepted; kernels are chosen by what the processor offers"},
    {"OLLAMA_GPU_OVERHEAD", "Accepted; layers run on the processor"},
    {"OLLAMA_IGPU_ENABLE", "Accepted; layers run on the processor"},
    {"OLLAMA_LOAD_TIMEOUT", "Accepted; a load that goes on is never given up"},
    {0},
};

const struct cli_command cli_serve = {
    .name = "serve",
    .alias = "start",
    .usage = "",
    .summary = "Start the server",
    .options = options,
    .variables = variables,
    .run = run_serve,
};
