#include "server/service.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/platform.h"
#include "server/access.h"
#include "server/app.h"
#include "server/duration.h"
#include "server/env.h"
#include "server/http.h"
#include "server/keys.h"
#include "server/metrics.h"
#include "server/models.h"
#include "server/routes.h"
#include "server/runner.h"
#include "server/schedule.h"

#include <string.h>
#include <strings.h>

enum { SHORT_REQUESTS = 32 }; /* workers beyond those that may all be generating */

static const int64_t ns_per_s = 1000 * 1000 * 1000;

struct service {
    struct keys *keys;
    struct app app;
    struct access *access;
    struct http_server *http;
    char devices[ENV_TEXT_MAX]; /* OLL_DEVICES; "": not set */
    struct runners *runners;    /* NULL: models run in this process */
};

static enum oll_dtype kv_dtype(void)
{
    char text[ENV_TEXT_MAX];
    if (!env_text("OLLAMA_KV_CACHE_TYPE", text) || strcasecmp(text, "f16") == 0)
        return OLL_F16;
    if (!env_bool("OLLAMA_FLASH_ATTENTION", true)) {
        oll_log_warn("serve",
                     "OLLAMA_KV_CACHE_TYPE=%s needs flash attention, which "
                     "OLLAMA_FLASH_ATTENTION turns off; using f16",
                     text);
        return OLL_F16;
    }
    if (strcasecmp(text, "q8_0") == 0)
        return OLL_Q8_0;
    if (strcasecmp(text, "q4_0") == 0)
        return OLL_Q4_0;
    oll_log_warn("serve", "OLLAMA_KV_CACHE_TYPE=%s is not available; using f16", text);
    return OLL_F16;
}

static struct schedule_config schedule_settings(struct service *s,
                                                const struct service_config *config)
{
    const char *devices = config->devices;
    if (!devices && env_text("OLL_DEVICES", s->devices))
        devices = s->devices;
    uint64_t slots = env_uint("OLLAMA_NUM_PARALLEL", 1);
    uint64_t ctx = env_uint("OLLAMA_CONTEXT_LENGTH", 0);
    uint64_t loaded = env_uint("OLLAMA_MAX_LOADED_MODELS", 0);
    uint64_t queue = env_uint("OLLAMA_MAX_QUEUE", 512);
    int64_t keep_alive = env_duration("OLLAMA_KEEP_ALIVE", (int64_t)300 * 1000000000);
    int64_t load_timeout = env_duration("OLLAMA_LOAD_TIMEOUT", (int64_t)300 * 1000000000);
    return (struct schedule_config){
        .max_loaded = loaded < 1000 ? (int)loaded : 1000,
        .max_waiting = queue < 100000 ? (int)queue : 100000,
        .keep_alive_ns = keep_alive < 0 ? SCHEDULE_FOREVER : keep_alive,
        .load_timeout_ns = load_timeout,
        .n_ctx = ctx < UINT32_MAX ? (uint32_t)ctx : UINT32_MAX,
        .n_slots = slots == 0    ? 1
                   : slots < 256 ? (uint32_t)slots
                                 : 256,
        .kv_dtype = kv_dtype(),
        .no_speculation = !env_bool("OLL_SPECULATE", true),
        .devices = devices,
        .reserve_bytes = env_uint("OLLAMA_GPU_OVERHEAD", 0),
        .spread = env_bool("OLLAMA_SCHED_SPREAD", false),
        .plan = runner_plan,
    };
}

static oll_status add_model(struct models *models, const char *value, struct oll_error *err)
{
    const char *eq = strchr(value, '=');
    char name[OLL_REFERENCE_TEXT_MAX];
    if (!eq || eq == value || !eq[1] || (size_t)(eq - value) >= sizeof name)
        return OLL_FAIL(err, OLL_ERR_ARG, "%s: expected NAME=FILE", value);
    memcpy(name, value, (size_t)(eq - value));
    name[eq - value] = '\0';
    oll_status status = models_add_file(models, name, eq + 1, err);
    if (status != OLL_OK)
        oll_error_prefix(err, "%s", value);
    return status;
}

static oll_status listen_as_told(struct http_server *http, const char *socket,
                                 struct oll_error *err)
{
    struct env_host host;
    char text[ENV_TEXT_MAX];
    if (socket)
        return http_server_listen_unix(http, socket, err);
    env_text("OLLAMA_HOST", text);
    env_parse_host(text, &host);
    if (host.socket[0])
        return http_server_listen_unix(http, host.socket, err);
    return http_server_listen(http, host.host, host.port, err);
}

static bool is_loopback(const struct env_host *host)
{
    return host->socket[0] || strncmp(host->host, "127.", 4) == 0 ||
           strcmp(host->host, "::1") == 0 || strcasecmp(host->host, "localhost") == 0;
}

/* Who may do what where others can reach the server (R21). One on a socket of its own is private.
 */
static oll_status guard(struct service *s, const struct service_config *config,
                        struct oll_error *err)
{
    struct env_host host;
    char text[ENV_TEXT_MAX];
    if (config->socket)
        return OLL_OK;
    if (env_text("OLL_API_KEYS_FILE", text)) {
        OLL_TRY(keys_read(text, &s->keys, err));
        s->app.keys = s->keys;
    }
    env_text("OLLAMA_HOST", text);
    env_parse_host(text, &host);
    s->app.is_read_only = !s->keys && !is_loopback(&host) && !env_bool("OLL_OPEN", false);
    if (s->app.is_read_only)
        oll_log_warn("serve", "other machines can reach this server and it has no keys: models are "
                              "not pulled, pushed, created, copied or deleted for clients; set "
                              "OLL_API_KEYS_FILE, or OLL_OPEN=1 to allow it");
    return OLL_OK;
}

/* Each model gets a process of its own, where the system can start this program again. */
static oll_status set_up_runners(struct service *s, struct schedule_config *settings,
                                 struct oll_error *err)
{
    char program[ENV_TEXT_MAX];
    if (!env_bool("OLL_RUNNERS", true))
        return OLL_OK;
    if (!oll_platform_executable(program, sizeof program)) {
        oll_log_warn("serve", "models run in the server's own process: this system does not tell "
                              "how to start another one");
        return OLL_OK;
    }
    const struct runners_config config = {
        .executable = program,
        .load_timeout_ns = settings->load_timeout_ns,
        .silence_ns = env_duration("OLL_RUNNER_TIMEOUT", 30 * ns_per_s),
    };
    OLL_TRY(runners_new(&config, &s->runners, err));
    settings->processes = s->runners;
    settings->load_timeout_ns = 0; /* runners tell of their progress, and are watched */
    return OLL_OK;
}

/* A store that this user cannot read ends a command's own server, unless it is for a file. One for
 * others goes on, as the reference does. */
static oll_status open_models(struct service *s, const struct service_config *config,
                              struct oll_error *err)
{
    char folder[ENV_TEXT_MAX];
    struct oll_error unreadable = {0};
    const bool any = env_models(folder);
    if (any && env_check_models(folder, &unreadable) != OLL_OK) {
        if (config->socket && config->n_models == 0)
            return OLL_FAIL(err, unreadable.status, "%s", unreadable.text);
        oll_log_warn("serve", "%s", unreadable.text);
    }
    return models_new(any ? folder : NULL, &s->app.models, err);
}

static oll_status set_up(struct service *s, const struct service_config *config,
                         struct oll_error *err)
{
    char text[ENV_TEXT_MAX];
    struct schedule_config settings = schedule_settings(s, config);
    OLL_TRY(access_new(env_text("OLLAMA_ORIGINS", text) ? text : NULL, &s->access, err));
    s->app.access = s->access;
    OLL_TRY(guard(s, config, err));
    OLL_TRY(open_models(s, config, err));
    if (env_text("OLLAMA_GO_TEMPLATE", text))
        models_prefer(s->app.models,
                      env_bool("OLLAMA_GO_TEMPLATE", true) ? OLL_TEMPLATE_GO : OLL_TEMPLATE_JINJA);
    for (size_t i = 0; i < config->n_models; i++)
        OLL_TRY(add_model(s->app.models, config->models[i], err));
    OLL_TRY(set_up_runners(s, &settings, err));
    OLL_TRY(schedule_new(&settings, &s->app.schedule, err));
    OLL_TRY(metrics_new(&s->app.metrics, err));
    struct http_config http = {
        .route = routes_plan,
        .ended = metrics_ended,
        .app = &s->app,
        .max_workers = settings.max_waiting + (int)settings.n_slots + SHORT_REQUESTS,
    };
    OLL_TRY(http_server_new(&http, &s->http, err));
    return listen_as_told(s->http, config->socket, err);
}

oll_status service_new(const struct service_config *config, struct service **out,
                       struct oll_error *err)
{
    struct service *s = oll_calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the server");
    oll_status status = set_up(s, config, err);
    if (status != OLL_OK) {
        service_free(s);
        return status;
    }
    *out = s;
    return OLL_OK;
}

void service_free(struct service *s)
{
    if (!s)
        return;
    http_server_free(s->http);
    schedule_free(s->app.schedule);
    runners_free(s->runners);
    models_free(s->app.models);
    metrics_free(s->app.metrics);
    access_free(s->access);
    keys_free(s->keys);
    oll_free(s);
}

void service_run(struct service *s) { http_server_run(s->http); }

void service_stop(struct service *s) { http_server_stop(s->http); }

const char *service_address(const struct service *s) { return http_server_address(s->http); }

const struct oll_store *service_store(const struct service *s)
{
    return models_store(s->app.models);
}
