/* `oll ps` and `oll stop`: what a server has loaded (cli-and-scheduler 2.4, 2.6). Without a server
 * nothing is. */
#include "engine/base/mem.h"
#include "registry/size_text.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_table.h"
#include "server/model_path.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { REPLY_MAX = 16 << 20, ARENA_BYTES = 64 << 20, BODY_MAX = 16 * 1024, N_COLUMNS = 6 };

/* ---- ps ---- */

static int64_t count_of(const struct oll_json *m, const char *key)
{
    const struct oll_json *v = oll_json_get(m, key);
    return v && v->type == OLL_JSON_NUMBER && v->is_int && v->i > 0 ? v->i : 0;
}

static const char *processor_text(struct oll_arena *arena, int64_t size, int64_t vram)
{
    if (vram == 0)
        return "100% CPU";
    if (vram == size)
        return "100% GPU";
    if (size == 0 || vram > size)
        return "Unknown";
    const int cpu = (int)((double)(size - vram) / (double)size * 100 + 0.5);
    return oll_arena_printf(arena, "%d%%/%d%% CPU/GPU", cpu, 100 - cpu);
}

static const char *until_text(struct oll_arena *arena, int64_t when, int64_t now)
{
    char text[CLI_TIME_MAX];
    if (when != 0 && when < now)
        return "Stopping...";
    cli_time_text(when, now, text);
    return oll_arena_strdup(arena, text);
}

static oll_status add_row(struct oll_arena *arena, const char **row, const struct oll_json *m,
                          int64_t now, struct oll_error *err)
{
    char size_text[OLL_SIZE_TEXT_MAX];
    const char *digest = oll_json_get_str(m, "digest", "");
    const int64_t size = count_of(m, "size");
    oll_size_text((uint64_t)size, size_text);
    row[0] = oll_json_get_str(m, "name", "");
    row[1] = oll_arena_strndup(arena, digest, strnlen(digest, 12));
    row[2] = oll_arena_strdup(arena, size_text);
    row[3] = processor_text(arena, size, count_of(m, "size_vram"));
    row[4] = oll_arena_printf(arena, "%lld", (long long)count_of(m, "context_length"));
    row[5] = until_text(arena, cli_time_parse(oll_json_get_str(m, "expires_at", "")), now);
    for (int i = 0; i < N_COLUMNS; i++)
        if (!row[i])
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the list");
    return OLL_OK;
}

static oll_status print_loaded(struct oll_arena *arena, const struct oll_json *models,
                               const char *prefix, struct oll_error *err)
{
    static const char *const header[] = {"NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"};
    const bool is_list = models && models->type == OLL_JSON_ARRAY;
    const size_t n = is_list ? models->n : 0;
    const char **cells = oll_arena_alloc(arena, (n + 1) * N_COLUMNS, sizeof *cells);
    size_t n_rows = 0;
    if (!cells)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the list");
    for (const struct oll_json *m = is_list ? models->first : NULL; m; m = m->next)
        if (strncmp(oll_json_get_str(m, "name", ""), prefix, strlen(prefix)) == 0)
            OLL_TRY(add_row(arena, cells + N_COLUMNS * n_rows++, m, (int64_t)time(NULL), err));
    cli_table_print(header, N_COLUMNS, cells, n_rows);
    return OLL_OK;
}

static int run_ps(const struct cli_args *args)
{
    struct cli_client client;
    struct oll_error err = {0};
    struct oll_arena arena;
    struct oll_strbuf reply;
    struct oll_json *root = NULL;
    oll_arena_init(&arena, ARENA_BYTES);
    oll_strbuf_init(&reply, REPLY_MAX);
    oll_status status = cli_client_open(&client, false, &err);
    if (status == OLL_OK && client.session) {
        status = cli_client_json(&client, "GET", "/api/ps", NULL, &reply, &err);
        if (status == OLL_OK)
            status = oll_json_parse(&arena, reply.data, reply.len, NULL, &root, &err);
    }
    if (status == OLL_OK)
        status = print_loaded(&arena, oll_json_get(root, "models"),
                              args->n_positional > 0 ? args->positional[0] : "", &err);
    cli_client_close(&client);
    oll_strbuf_free(&reply);
    oll_arena_free(&arena);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

/* ---- stop ---- */

/* A request without a prompt, which ends the model's keep-alive time. */
static oll_status ask_to_stop(struct cli_client *client, const char *path, const char *name,
                              struct oll_error *err)
{
    struct oll_strbuf body;
    struct oll_json_writer w;
    oll_strbuf_init(&body, BODY_MAX);
    oll_json_write_init(&w, &body);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "model");
    oll_json_write_str(&w, name);
    oll_json_write_key(&w, "keep_alive");
    oll_json_write_int(&w, 0);
    oll_json_write_key(&w, "stream");
    oll_json_write_bool(&w, false);
    oll_json_write_object_end(&w);
    oll_status status = body.status == OLL_OK
                            ? cli_client_json(client, "POST", path, body.data, NULL, err)
                            : OLL_FAIL(err, OLL_ERR_ARG, "invalid model name");
    oll_strbuf_free(&body);
    return status;
}

static int run_stop(const struct cli_args *args)
{
    struct cli_client client;
    struct oll_error err = {0};
    const char *name = args->positional[0];
    oll_status status = cli_client_open(&client, false, &err);
    if (status == OLL_OK && client.session) {
        status = ask_to_stop(&client, "/api/generate", name, &err);
        /* A model that makes vectors alone takes no prompts. */
        if (status == OLL_ERR_ARG)
            status = ask_to_stop(&client, "/api/embed", name, &err);
    } else if (status == OLL_OK) {
        struct model_entry model;
        status = model_entry_find(name, &model, &err);
        model_entry_free(&model);
    }
    cli_client_close(&client);
    if (status == OLL_ERR_NOT_FOUND)
        return cli_failf("couldn't find model \"%s\" to stop", name);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

const struct cli_command cli_ps = {
    .name = "ps",
    .usage = "",
    .summary = "List running models",
    .details = "A word after the command lists those alone whose name begins with it.",
    .variables = cli_host_variables,
    .max_args = -1,
    .run = run_ps,
};

const struct cli_command cli_stop = {
    .name = "stop",
    .usage = "MODEL",
    .summary = "Stop a running model",
    .variables = cli_host_variables,
    .min_args = 1,
    .max_args = 1,
    .run = run_stop,
};
