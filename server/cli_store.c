/* `oll list`, `oll cp`, `oll rm`. */
#include "engine/base/mem.h"
#include "registry/catalog_write.h"
#include "registry/size_text.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_list.h"
#include "server/cli_table.h"
#include "server/env.h"
#include "server/models.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { REPLY_MAX = 256 << 20, ARENA_BYTES = 512 << 20, BODY_MAX = 16 * 1024, N_COLUMNS = 4 };

/* {"<key>": value, ...} of two strings; the second key may be NULL. */
static void print_body(struct oll_strbuf *out, const char *a, const char *va, const char *b,
                       const char *vb)
{
    struct oll_json_writer w;
    oll_strbuf_init(out, BODY_MAX);
    oll_json_write_init(&w, out);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, a);
    oll_json_write_str(&w, va);
    if (b) {
        oll_json_write_key(&w, b);
        oll_json_write_str(&w, vb);
    }
    oll_json_write_object_end(&w);
}

/* ---- list ---- */

struct list {
    struct oll_arena arena;
    const char **cells;
    size_t n_rows, cap;
    const char *prefix;
    int64_t now;
};

static oll_status add_row(struct list *list, const char *name, const char *digest, uint64_t size,
                          bool remote, int64_t modified_s, struct oll_error *err)
{
    char size_text[OLL_SIZE_TEXT_MAX] = "-", time_text[CLI_TIME_MAX];
    if (strncasecmp(name, list->prefix, strlen(list->prefix)) != 0)
        return OLL_OK;
    if (list->n_rows == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 64;
        const char **grown = oll_realloc(list->cells, cap * N_COLUMNS, sizeof *grown);
        if (!grown)
            return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the list");
        list->cells = grown;
        list->cap = cap;
    }
    if (!remote)
        oll_size_text(size, size_text);
    cli_time_text(modified_s, list->now, time_text);
    const char **row = list->cells + N_COLUMNS * list->n_rows++;
    row[0] = oll_arena_strdup(&list->arena, name);
    row[1] = oll_arena_strndup(&list->arena, digest, strnlen(digest, 12));
    row[2] = oll_arena_strdup(&list->arena, size_text);
    row[3] = oll_arena_strdup(&list->arena, time_text);
    return row[0] && row[1] && row[2] && row[3]
               ? OLL_OK
               : OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the list");
}

static oll_status list_remote(struct cli_client *client, struct list *list, struct oll_error *err)
{
    struct oll_strbuf reply;
    struct oll_json *root = NULL;
    oll_strbuf_init(&reply, REPLY_MAX);
    oll_status status = cli_client_json(client, "GET", "/api/tags", NULL, &reply, err);
    if (status == OLL_OK)
        status = oll_json_parse(&list->arena, reply.data, reply.len, NULL, &root, err);
    oll_strbuf_free(&reply);
    OLL_TRY(status);
    const struct oll_json *models = oll_json_get(root, "models");
    if (!models || models->type != OLL_JSON_ARRAY)
        return OLL_OK;
    for (const struct oll_json *m = models->first; m; m = m->next) {
        const struct oll_json *size = oll_json_get(m, "size");
        const bool counted = size && size->type == OLL_JSON_NUMBER && size->is_int && size->i > 0;
        OLL_TRY(add_row(list, oll_json_get_str(m, "name", ""), oll_json_get_str(m, "digest", ""),
                        counted ? (uint64_t)size->i : 0,
                        *oll_json_get_str(m, "remote_model", "") != '\0',
                        cli_time_parse(oll_json_get_str(m, "modified_at", "")), err));
    }
    return OLL_OK;
}

static oll_status list_local(struct list *list, struct oll_error *err)
{
    char folder[ENV_TEXT_MAX];
    struct models *models;
    struct served_model *found = NULL;
    size_t n = 0;
    OLL_TRY(models_new(env_models(folder) ? folder : NULL, &models, err));
    oll_status status = models_list(models, &list->arena, &found, &n, err);
    for (size_t i = 0; i < n && status == OLL_OK; i++) {
        const char *remote = found[i].stored.config.remote_model;
        status = add_row(list, found[i].short_name, found[i].digest, found[i].size_bytes,
                         remote && *remote, found[i].modified_ns / 1000000000, err);
    }
    models_free(models);
    return status;
}

oll_status cli_list_print(struct cli_client *client, const char *prefix, struct oll_error *err)
{
    static const char *const header[] = {"NAME", "ID", "SIZE", "MODIFIED"};
    struct list list = {.prefix = prefix, .now = (int64_t)time(NULL)};
    oll_arena_init(&list.arena, ARENA_BYTES);
    oll_status status = client->store ? list_local(&list, err) : list_remote(client, &list, err);
    if (status == OLL_OK)
        cli_table_print(header, N_COLUMNS, list.cells, list.n_rows);
    oll_free(list.cells);
    oll_arena_free(&list.arena);
    return status;
}

static int run_list(const struct cli_args *args)
{
    struct cli_client client;
    struct oll_error err = {0};
    oll_status status = cli_client_open(&client, cli_has(args, "local"), &err);
    if (status == OLL_OK)
        status = cli_list_print(&client, args->n_positional > 0 ? args->positional[0] : "", &err);
    cli_client_close(&client);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

/* ---- cp ---- */

static oll_status copy_local(const struct oll_store *store, const char *from, const char *to,
                             struct oll_error *err)
{
    struct oll_reference a, b;
    if (oll_reference_parse(from, &a, NULL) != OLL_OK)
        return OLL_FAIL(err, OLL_ERR_ARG, "source \"%s\" is invalid", from);
    if (oll_reference_parse(to, &b, NULL) != OLL_OK)
        return OLL_FAIL(err, OLL_ERR_ARG, "destination \"%s\" is invalid", to);
    OLL_TRY(oll_catalog_canonical(store, &a, err));
    OLL_TRY(oll_catalog_canonical(store, &b, err));
    struct oll_error why = {0};
    oll_status status = oll_catalog_copy(store, &a, &b, &why);
    if (status == OLL_ERR_NOT_FOUND)
        return OLL_FAIL(err, status, "model \"%s\" not found", from);
    return status == OLL_OK ? OLL_OK : OLL_FAIL(err, status, "%s", oll_error_text(&why));
}

static int run_cp(const struct cli_args *args)
{
    struct cli_client client;
    struct oll_error err = {0};
    const char *from = args->positional[0], *to = args->positional[1];
    oll_status status = cli_client_open(&client, cli_has(args, "local"), &err);
    if (status == OLL_OK && client.store) {
        status = copy_local(client.store, from, to, &err);
    } else if (status == OLL_OK) {
        struct oll_strbuf body;
        print_body(&body, "source", from, "destination", to);
        status = cli_client_json(&client, "POST", "/api/copy", body.data, NULL, &err);
        oll_strbuf_free(&body);
    }
    cli_client_close(&client);
    if (status != OLL_OK)
        return cli_fail(&err);
    printf("copied '%s' to '%s'\n", from, to);
    return 0;
}

/* ---- rm ---- */

static oll_status remove_local(const struct oll_store *store, const char *name,
                               struct oll_error *err)
{
    struct oll_reference ref;
    struct oll_error why = {0};
    if (oll_reference_parse(name, &ref, NULL) != OLL_OK)
        return OLL_FAIL(err, OLL_ERR_ARG, "name \"%s\" is invalid", name);
    OLL_TRY(oll_catalog_canonical(store, &ref, err));
    oll_status status = oll_catalog_remove(store, &ref, &why);
    if (status == OLL_ERR_NOT_FOUND)
        return OLL_FAIL(err, status, "model '%s' not found", name);
    return status == OLL_OK ? OLL_OK : OLL_FAIL(err, status, "%s", oll_error_text(&why));
}

/* A model that runs is stopped first; that it does not run, or does not exist, is no failure. */
static void stop_model(struct cli_client *client, const char *name)
{
    struct oll_strbuf body;
    struct oll_json_writer w;
    struct oll_error err = {0};
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
    oll_status status = cli_client_json(client, "POST", "/api/generate", body.data, NULL, &err);
    if (status != OLL_OK && status != OLL_ERR_NOT_FOUND && status != OLL_ERR_ARG)
        fprintf(stderr, "Warning: unable to stop model '%s'\n", name);
    oll_strbuf_free(&body);
}

static oll_status remove_remote(struct cli_client *client, const char *name, struct oll_error *err)
{
    struct oll_strbuf body;
    stop_model(client, name);
    print_body(&body, "model", name, NULL, NULL);
    oll_status status = cli_client_json(client, "DELETE", "/api/delete", body.data, NULL, err);
    oll_strbuf_free(&body);
    return status;
}

static int run_rm(const struct cli_args *args)
{
    struct cli_client client;
    struct oll_error err = {0};
    oll_status status = cli_client_open(&client, cli_has(args, "local"), &err);
    for (int i = 0; i < args->n_positional && status == OLL_OK; i++) {
        const char *name = args->positional[i];
        status = client.store ? remove_local(client.store, name, &err)
                              : remove_remote(&client, name, &err);
        if (status == OLL_OK)
            printf("deleted '%s'\n", name);
    }
    cli_client_close(&client);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

static const struct cli_option options[] = {CLI_LOCAL_OPTION, {0}};

const struct cli_command cli_list = {
    .name = "list",
    .alias = "ls",
    .usage = "",
    .summary = "List models",
    .details = "A word after the command lists those alone whose name begins with it.",
    .options = options,
    .variables = cli_host_variables,
    .max_args = -1,
    .run = run_list,
};

const struct cli_command cli_cp = {
    .name = "cp",
    .usage = "SOURCE DESTINATION",
    .summary = "Copy a model",
    .options = options,
    .variables = cli_host_variables,
    .min_args = 2,
    .max_args = 2,
    .run = run_cp,
};

const struct cli_command cli_rm = {
    .name = "rm",
    .usage = "MODEL [MODEL...]",
    .summary = "Remove a model",
    .options = options,
    .variables = cli_host_variables,
    .min_args = 1,
    .max_args = -1,
    .run = run_rm,
};
