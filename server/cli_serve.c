/* `oll serve`: the API over HTTP. */
#include "engine/base/log.h"
#include "engine/base/version.h"
#include "registry/key.h"
#include "registry/store_gc.h"
#include "server/cli.h"
#include "server/env.h"
#include "server/service.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODELS_MAX = 1000 };

static struct service *running; /* for the signal handler */

static void on_stop(int sig)
{
    (void)sig;
    service_stop(running);
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
    oll_log_set_json(env_text("OLL_LOG", text) && strcmp(text, "json") == 0);
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
    struct oll_error err = {0};
    const char *models[MODELS_MAX];
    struct service_config config = {.models = models};
    while (config.n_models < MODELS_MAX &&
           (models[config.n_models] = cli_value_at(args, "model", (int)config.n_models)))
        config.n_models++;
    set_log_level();
    raise_descriptor_limit();
    oll_status status = service_new(&config, &running, &err);
    if (status != OLL_OK)
        return cli_fail(&err);
    make_key();
    if (service_store(running))
        oll_store_start(service_store(running), !env_bool("OLLAMA_NOPRUNE", false));
    catch_signals();
    oll_log_info("serve", "Listening on %s (version %s)", service_address(running), OLL_VERSION);
    service_run(running);
    oll_log_info("serve", "stopped");
    service_free(running);
    running = NULL;
    return 0;
}

static const struct cli_option options[] = {
    {"model", 0, CLI_REPEATED, "NAME=FILE", "offer a GGUF file under a name"},
    {0},
};

static const struct cli_variable variables[] = {
    {"OLLAMA_DEBUG", "1: more, 2: most in the log"},
    {"OLLAMA_HOST", "Address to listen on: host:port, or unix:/path (default 127.0.0.1:11434)"},
    {"OLLAMA_CONTEXT_LENGTH", "Window of models for which nobody names one (default 4096)"},
    {"OLLAMA_GO_TEMPLATE", "1: a model's Go template counts; 0: the chat template of its file"},
    {"OLLAMA_KEEP_ALIVE", "How long an idle model stays loaded (default 5m; negative: for ever)"},
    {"OLLAMA_MAX_LOADED_MODELS", "Models loaded at once (default 3)"},
    {"OLLAMA_MAX_TRANSFER_STREAMS", "Nothing to set: a transfer chooses its connections itself"},
    {"OLLAMA_MAX_QUEUE", "Requests that may wait for a model (default 512)"},
    {"OLLAMA_MODELS", "Folder of models (default ~/.ollama/models)"},
    {"OLLAMA_NUM_PARALLEL", "Requests that one model serves at once (default 1)"},
    {"OLLAMA_NO_CLOUD", "Nothing to switch off: no model of a cloud is ever called"},
    {"OLLAMA_NOPRUNE", "Keep files that no model names when the server starts"},
    {"OLLAMA_ORIGINS", "Further origins of web pages, separated by commas"},
    {"OLLAMA_SCHED_SPREAD", "1: layers go over all of OLL_DEVICES, not over as few as possible"},
    {"OLLAMA_FLASH_ATTENTION", "0: no quantised KV cache (attention is computed the same way)"},
    {"OLLAMA_KV_CACHE_TYPE", "Type of the KV cache: f16 (default), q8_0 or q4_0"},
    {"OLLAMA_LLM_LIBRARY", "Nothing to choose: layers run on the processor, and on OLL_DEVICES"},
    {"OLLAMA_GPU_OVERHEAD", "Bytes that are kept free on each of OLL_DEVICES"},
    {"OLLAMA_IGPU_ENABLE", "Nothing to enable: no graphics processor is used"},
    {"OLL_CPU_ISA", "Kernels of a lower level: scalar, avx2, ... (default: the best there are)"},
    {"OLL_DEVICES", "Devices with their memory, filled before the processor's: ref=64M,cpu"},
    {"OLL_API_KEYS_FILE", "File with one key per line, of which clients must send one"},
    {"OLL_LOG", "json: lines of the log as JSON objects"},
    {"OLL_OPEN", "1: clients of other machines may change models without a key"},
    {"OLLAMA_LOAD_TIMEOUT", "How long a load may stand still (default 5m; 0: for ever)"},
    {"OLL_PREFIX_CACHE_DIR", "Folder that keeps beginnings of prompts beyond restarts (mode 0700)"},
    {"OLL_PREFIX_CACHE_SIZE", "Most that is kept there, for all models (500M, 8G; default 8G)"},
    {"OLL_RUNNERS", "0: models run in the server's process, not in one of their own"},
    {"OLL_RUNNER_TIMEOUT", "A runner without a sign of life is ended (default 30s; 0: never)"},
    {"OLL_SPECULATE", "0: one token at a time; replies are the same (default 1)"},
    {"OLL_SANDBOX", "0: runners may open files, connections and programs (default 1)"},
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
