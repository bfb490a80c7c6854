/* `oll du`, `oll prune`: what the store of this machine takes on the disk, and taking it back. */
#include "engine/base/mem.h"
#include "registry/size_text.h"
#include "registry/store_gc.h"
#include "registry/usage.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_COLUMNS = 4, MINUTE_S = 60, HOUR_S = 3600, DAY_S = 86400, GRACE_S = HOUR_S };

/* ---- du ---- */

static const char *size_cell(struct oll_arena *arena, uint64_t n_bytes)
{
    char text[OLL_SIZE_TEXT_MAX];
    oll_size_text(n_bytes, text);
    return oll_arena_strdup(arena, text);
}

static oll_status print_models(struct oll_inventory *inventory, struct oll_error *err)
{
    static const char *const header[] = {"NAME", "SIZE", "OWN", "SHARED"};
    const size_t n = inventory->n_models;
    const char **cells = oll_alloc((n ? n : 1) * N_COLUMNS, sizeof *cells);
    if (!cells)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "out of memory for the list");
    for (size_t i = 0; i < n; i++) {
        const struct oll_inventory_model *m = &inventory->models[i];
        const char **row = cells + N_COLUMNS * i;
        row[0] = m->name;
        row[1] = m->damage ? "damaged" : size_cell(&inventory->arena, m->size_bytes);
        row[2] = size_cell(&inventory->arena, m->own_bytes);
        row[3] = size_cell(&inventory->arena, m->size_bytes - m->own_bytes);
    }
    oll_status status = inventory->arena.status;
    if (status == OLL_OK)
        cli_table_print(header, N_COLUMNS, cells, n);
    else
        oll_error_set(err, status, "out of memory for the list");
    oll_free(cells);
    return status;
}

static void print_line(const char *what, uint64_t n_bytes)
{
    char text[OLL_SIZE_TEXT_MAX];
    oll_size_text(n_bytes, text);
    printf("%-22s%s\n", what, text);
}

static void print_usage(const struct oll_usage *u)
{
    printf("\n");
    print_line("models:", u->used_bytes);
    print_line("unused blobs:", u->unused_bytes);
    print_line("partial downloads:", u->partial_bytes);
    print_line("quarantine:", u->quarantine_bytes);
    print_line("other:", u->other_bytes);
    print_line("total:", u->used_bytes + u->unused_bytes + u->partial_bytes + u->quarantine_bytes +
                             u->other_bytes);
}

static int run_du(const struct cli_args *args)
{
    struct cli_client client;
    struct oll_inventory inventory;
    struct oll_usage usage;
    struct oll_error err = {0};
    (void)args;
    oll_status status = cli_client_open(&client, true, &err);
    if (status != OLL_OK)
        return cli_fail(&err);
    status = oll_inventory_read(client.store, &inventory, &err);
    if (status == OLL_OK)
        status = print_models(&inventory, &err);
    if (status == OLL_OK) {
        oll_usage_read(client.store, &inventory, &usage);
        print_usage(&usage);
    }
    oll_inventory_free(&inventory);
    cli_client_close(&client);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

/* ---- prune ---- */

/* "30d", "12h", "45m", "10s", "2w"; false for anything else. */
static bool parse_age(const char *text, int64_t *seconds)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', MINUTE_S}, {'h', HOUR_S}, {'d', DAY_S}, {'w', 7 * DAY_S}};
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    const unsigned long long n = strtoull(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (*end == units[i].unit && end[1] == '\0' &&
            n <= (unsigned long long)(INT64_MAX / units[i].seconds)) {
            *seconds = (int64_t)n * units[i].seconds;
            return true;
        }
    return false;
}

struct freed {
    uint64_t n_bytes;
    uint32_t n;
    bool dry_run;
};

static void on_item(void *user, const struct oll_prune_item *item)
{
    struct freed *freed = user;
    char size[OLL_SIZE_TEXT_MAX];
    oll_size_text(item->size_bytes, size);
    printf("%s %s: %s (%s)\n", freed->dry_run ? "would remove" : "removed", item->kind, item->name,
           size);
    freed->n_bytes += item->size_bytes;
    freed->n++;
}

static int run_prune(const struct cli_args *args)
{
    struct cli_client client;
    struct freed freed = {.dry_run = cli_has(args, "dry-run")};
    struct oll_error err = {0};
    char size[OLL_SIZE_TEXT_MAX];
    int64_t older_s;
    const char *older = cli_value(args, "older", "30d");
    if (!parse_age(older, &older_s))
        return cli_failf("--older %s: expected a number and s, m, h, d or w, such as 30d", older);
    oll_status status = cli_client_open(&client, true, &err);
    if (status == OLL_OK)
        status =
            oll_store_prune(client.store, GRACE_S, older_s, freed.dry_run, on_item, &freed, &err);
    cli_client_close(&client);
    if (status != OLL_OK)
        return cli_fail(&err);
    oll_size_text(freed.n_bytes, size);
    printf("%" PRIu32 " files, %s %s\n", freed.n, size, freed.dry_run ? "to free" : "freed");
    return 0;
}

static const struct cli_option prune_options[] = {
    {"older", 0, CLI_VALUE, "AGE",
     "partial downloads, uploads and quarantined blobs from this age on (default 30d)"},
    {"dry-run", 0, CLI_FLAG, NULL, "only list what would be removed"},
    {0},
};

static const struct cli_variable variables[] = {
    {"OLLAMA_MODELS", "folder of models (default ~/.ollama/models)"},
    {0},
};

const struct cli_command cli_du = {
    .name = "du",
    .usage = "",
    .summary = "Show what models take on the disk",
    .details = "OWN is what removing the model frees; SHARED is what other models use, too.",
    .variables = variables,
    .run = run_du,
};

const struct cli_command cli_prune = {
    .name = "prune",
    .usage = "",
    .summary = "Remove what no model uses",
    .details = "Removes blobs that no model names and no transfer needs, and old partial\n"
               "downloads, uploads and quarantined blobs. While a manifest cannot be read\n"
               "nothing is removed.",
    .options = prune_options,
    .variables = variables,
    .run = run_prune,
};
