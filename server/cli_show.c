/* `oll show` (cli-and-scheduler 2.5). */
#include "server/cli_show.h"

#include "engine/base/mem.h"
#include "registry/model_facts.h"
#include "server/cli.h"
#include "server/cli_client.h"
#include "server/cli_columns.h"
#include "server/cli_plain.h"
#include "server/env.h"
#include "server/show.h"
#include "server/show_text.h"

#include <stdio.h>
#include <string.h>

enum { REPLY_MAX = 512 << 20, ARENA_BYTES = 1 << 30, BODY_MAX = 16 * 1024, ARRAY_COLUMNS = 10 };

/* ---- the reply ---- */

static oll_status ask_server(struct cli_client *client, const struct show_request *request,
                             struct oll_strbuf *out, struct oll_error *err)
{
    struct oll_strbuf body;
    struct oll_json_writer w;
    oll_strbuf_init(&body, BODY_MAX);
    oll_json_write_init(&w, &body);
    oll_json_write_object_begin(&w);
    oll_json_write_key(&w, "model");
    oll_json_write_str(&w, request->name);
    oll_json_write_key(&w, "verbose");
    oll_json_write_bool(&w, request->verbose);
    oll_json_write_object_end(&w);
    oll_status status = body.status == OLL_OK
                            ? cli_client_json(client, "POST", "/api/show", body.data, out, err)
                            : OLL_FAIL(err, OLL_ERR_ARG, "invalid model name");
    oll_strbuf_free(&body);
    return status;
}

static oll_status ask_store(const struct show_request *request, struct oll_arena *arena,
                            struct oll_strbuf *out, struct oll_error *err)
{
    char folder[ENV_TEXT_MAX];
    struct models *models;
    int http_status;
    OLL_TRY(models_new(env_models(folder) ? folder : NULL, &models, err));
    oll_status status = show_reply(models, request, arena, out, &http_status, err);
    models_free(models);
    return status;
}

static oll_status ask(const struct show_request *request, bool local, struct oll_arena *arena,
                      const struct oll_json **root, struct oll_error *err)
{
    struct oll_json_limits limits = oll_json_limits_default;
    struct cli_client client;
    struct oll_strbuf reply;
    struct oll_json *tree = NULL;
    limits.max_nodes = 16 << 20;
    limits.max_members = 1 << 20;
    oll_strbuf_init(&reply, REPLY_MAX);
    oll_status status = cli_client_open(&client, local, err);
    if (status == OLL_OK)
        status = client.store ? ask_store(request, arena, &reply, err)
                              : ask_server(&client, request, &reply, err);
    if (status == OLL_OK)
        status = oll_json_parse(arena, reply.data, reply.len, &limits, &tree, err);
    *root = tree;
    cli_client_close(&client);
    oll_strbuf_free(&reply);
    return status;
}

/* ---- sections ---- */

static void add_row(struct cli_columns *t, const char *key, const char *value)
{
    const char *const cells[] = {key, value};
    if (value && *value)
        cli_columns_add(t, cells, 2);
}

static const struct oll_json *info_of(const struct oll_json *info, const char *arch,
                                      const char *key)
{
    char name[160];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    return oll_json_get(info, name);
}

static void add_count(struct cli_columns *t, const char *key, const struct oll_json *v)
{
    char text[32];
    if (!v || v->type != OLL_JSON_NUMBER)
        return;
    snprintf(text, sizeof text, "%.0f", v->real);
    add_row(t, key, text);
}

static void print_model(const struct oll_json *root, struct oll_arena *arena)
{
    const struct oll_json *details = oll_json_get(root, "details");
    const struct oll_json *info = oll_json_get(root, "model_info");
    const char *arch =
        oll_json_get_str(info, "general.architecture", oll_json_get_str(details, "family", ""));
    struct cli_columns t;
    cli_columns_init(&t, arena, 30);
    add_row(&t, "Remote model", oll_json_get_str(root, "remote_model", ""));
    add_row(&t, "Remote URL", oll_json_get_str(root, "remote_host", ""));
    add_row(&t, "architecture", arch);
    add_row(&t, "parameters", oll_json_get_str(details, "parameter_size", ""));
    add_count(&t, "context length", info_of(info, arch, "context_length"));
    add_count(&t, "embedding length", info_of(info, arch, "embedding_length"));
    add_row(&t, "quantization", oll_json_get_str(details, "quantization_level", ""));
    add_row(&t, "requires", oll_json_get_str(root, "requires", ""));
    cli_columns_print(&t, "Model");
}

static void print_capabilities(const struct oll_json *root, struct oll_arena *arena)
{
    const struct oll_json *list = oll_json_get(root, "capabilities");
    struct cli_columns t;
    cli_columns_init(&t, arena, 30);
    for (const struct oll_json *c = list && list->type == OLL_JSON_ARRAY ? list->first : NULL; c;
         c = c->next)
        if (c->type == OLL_JSON_STRING)
            cli_columns_add(&t, (const char *const[]){c->str}, 1);
    cli_columns_print(&t, "Capabilities");
}

static void print_projector(const struct oll_json *root, struct oll_arena *arena)
{
    const struct oll_json *info = oll_json_get(root, "projector_info");
    const struct oll_json *count = oll_json_get(info, "general.parameter_count");
    const char *arch = oll_json_get_str(info, "general.architecture", "");
    char text[OLL_MODEL_FACTS_TEXT_MAX] = "";
    struct cli_columns t;
    if (!info)
        return;
    if (count && count->type == OLL_JSON_NUMBER && count->is_int && count->i > 0)
        oll_model_facts_count_text((uint64_t)count->i, text);
    cli_columns_init(&t, arena, 30);
    add_row(&t, "architecture", arch);
    add_row(&t, "parameters", text);
    add_count(&t, "embedding length", info_of(info, arch, "vision.embedding_length"));
    add_count(&t, "dimensions", info_of(info, arch, "vision.projection_dim"));
    cli_columns_print(&t, "Projector");
}

/* Each line is split at white space, whatever quotes it holds. */
static void print_parameters(const struct oll_json *root, struct oll_arena *arena)
{
    enum { CELLS_MAX = 64 };
    const char *text = oll_json_get_str(root, "parameters", "");
    struct cli_columns t;
    cli_columns_init(&t, arena, 30);
    while (*text) {
        const char *cells[CELLS_MAX];
        int n = 0;
        while (*text && *text != '\n') {
            text += strspn(text, " \t\r");
            const size_t len = strcspn(text, " \t\r\n");
            if (len > 0 && n < CELLS_MAX && (cells[n] = oll_arena_strndup(arena, text, len)))
                n++;
            text += len;
        }
        text += *text == '\n';
        if (n > 0)
            cli_columns_add(&t, cells, n);
    }
    cli_columns_print(&t, "Parameters");
}

/* ---- verbose ---- */

static void print_scalar(const struct oll_json *v, struct oll_strbuf *out)
{
    char number[SHOW_NUMBER_MAX];
    if (v->type == OLL_JSON_STRING) {
        oll_strbuf_add(out, v->str, v->str_len);
    } else if (v->type == OLL_JSON_NUMBER) {
        show_number(v->real, number);
        oll_strbuf_adds(out, number);
    } else {
        oll_strbuf_adds(out, v->type == OLL_JSON_NULL ? "<nil>" : v->is_true ? "true" : "false");
    }
}

/* "[a b ...+n more]": elements as long as they take about ten columns. */
static void print_array(const struct oll_json *list, struct oll_strbuf *out)
{
    struct oll_strbuf item;
    size_t n = 0;
    int used = 1;
    oll_strbuf_init(&item, REPLY_MAX);
    oll_strbuf_addc(out, '[');
    for (const struct oll_json *v = list->first; v; v = v->next) {
        oll_strbuf_clear(&item);
        print_scalar(v, &item);
        const int width = cli_columns_width(item.data) + (n > 0 ? 2 : 0);
        if (n > 0 && used + width > ARRAY_COLUMNS)
            break;
        oll_strbuf_printf(out, "%s%s", n > 0 ? " " : "", item.data);
        used += width;
        n++;
    }
    if (n < list->n)
        oll_strbuf_printf(out, " ...+%zu more", list->n - n);
    oll_strbuf_addc(out, ']');
    oll_strbuf_free(&item);
}

static void print_metadata(const struct oll_json *root, struct oll_arena *arena)
{
    const struct oll_json *info = oll_json_get(root, "model_info");
    struct oll_strbuf text;
    struct cli_columns t;
    cli_columns_init(&t, arena, 30);
    oll_strbuf_init(&text, REPLY_MAX);
    for (size_t i = 0; info && info->type == OLL_JSON_OBJECT && i < info->n; i++) {
        const struct oll_json *v = info->sorted[i];
        oll_strbuf_clear(&text);
        if (v->type == OLL_JSON_ARRAY)
            print_array(v, &text);
        else
            print_scalar(v, &text);
        const char *const cells[] = {v->key, oll_arena_strdup(arena, text.data)};
        if (cells[1])
            cli_columns_add(&t, cells, 2);
    }
    oll_strbuf_free(&text);
    cli_columns_print(&t, "Metadata");
}

static void print_tensors(const struct oll_json *root, struct oll_arena *arena)
{
    const struct oll_json *list = oll_json_get(root, "tensors");
    struct cli_columns t;
    struct oll_strbuf shape;
    cli_columns_init(&t, arena, 30);
    oll_strbuf_init(&shape, BODY_MAX);
    for (const struct oll_json *x = list && list->type == OLL_JSON_ARRAY ? list->first : NULL; x;
         x = x->next) {
        const struct oll_json *dims = oll_json_get(x, "shape");
        oll_strbuf_clear(&shape);
        for (const struct oll_json *d = dims && dims->type == OLL_JSON_ARRAY ? dims->first : NULL;
             d; d = d->next)
            oll_strbuf_printf(&shape, "%s%.0f", shape.len ? " " : "",
                              d->type == OLL_JSON_NUMBER ? d->real : 0.0);
        const char *const cells[] = {oll_json_get_str(x, "name", ""),
                                     oll_json_get_str(x, "type", ""),
                                     oll_arena_printf(arena, "[%s]", shape.data)};
        if (cells[2])
            cli_columns_add(&t, cells, 3);
    }
    oll_strbuf_free(&shape);
    cli_columns_print(&t, "Tensors");
}

/* The first two lines that are not blank. */
static void print_head(const struct oll_json *root, const char *key, const char *title,
                       struct oll_arena *arena)
{
    const char *text = oll_json_get_str(root, key, "");
    struct cli_columns t;
    int n = 0;
    cli_columns_init(&t, arena, 100);
    while (*text && n < 3) {
        size_t len = strcspn(text, "\n");
        const char *next = text + len + (text[len] == '\n');
        const size_t blanks = strspn(text, " \t\r");
        const char *line =
            blanks < len ? oll_arena_strndup(arena, text + blanks, len - blanks) : NULL;
        if (line)
            cli_columns_add(&t, (const char *const[]){n == 2 ? "..." : line}, 1);
        n += line != NULL;
        text = next;
    }
    cli_columns_print(&t, title);
}

void cli_show_print(const struct oll_json *root, bool verbose, struct oll_arena *arena)
{
    print_model(root, arena);
    print_capabilities(root, arena);
    print_projector(root, arena);
    print_parameters(root, arena);
    if (verbose) {
        print_metadata(root, arena);
        print_tensors(root, arena);
    }
    print_head(root, "system", "System", arena);
    print_head(root, "license", "License", arena);
}

/* ---- command ---- */

static const struct {
    const char *name;
    bool newline;
} parts[] = {{"license", true},
             {"modelfile", true},
             {"parameters", true},
             {"system", false},
             {"template", false}};
enum { N_PARTS = sizeof parts / sizeof parts[0] };

static int run_show(const struct cli_args *args)
{
    struct show_request request = {
        .name = args->positional[0], .system = "", .verbose = cli_has(args, "verbose")};
    struct oll_arena arena;
    const struct oll_json *root;
    struct oll_error err = {0};
    int chosen = -1, n = 0;
    for (int i = 0; i < N_PARTS; i++)
        if (cli_has(args, parts[i].name)) {
            chosen = i;
            n++;
        }
    if (n > 1)
        return cli_failf("only one of '--license', '--modelfile', '--parameters', '--system', or "
                         "'--template' can be specified");
    oll_arena_init(&arena, ARENA_BYTES);
    oll_status status = ask(&request, cli_has(args, "local"), &arena, &root, &err);
    if (status == OLL_OK && chosen >= 0) {
        cli_plain_print(stdout, oll_json_get_str(root, parts[chosen].name, ""));
        printf("%s", parts[chosen].newline ? "\n" : "");
    } else if (status == OLL_OK)
        cli_show_print(root, request.verbose, &arena);
    oll_arena_free(&arena);
    return status == OLL_OK ? 0 : cli_fail(&err);
}

static const struct cli_option options[] = {
    {"license", 0, CLI_FLAG, NULL, "show the license of a model"},
    {"modelfile", 0, CLI_FLAG, NULL, "show the Modelfile of a model"},
    {"parameters", 0, CLI_FLAG, NULL, "show the parameters of a model"},
    {"system", 0, CLI_FLAG, NULL, "show the system message of a model"},
    {"template", 0, CLI_FLAG, NULL, "show the prompt template of a model"},
    {"verbose", 'v', CLI_FLAG, NULL, "show metadata and tensors, too"},
    CLI_LOCAL_OPTION,
    {NULL, 0, CLI_FLAG, NULL, NULL},
};

const struct cli_command cli_show = {
    .name = "show",
    .usage = "MODEL",
    .summary = "Show information for a model",
    .options = options,
    .variables = cli_host_variables,
    .min_args = 1,
    .max_args = 1,
    .run = run_show,
};
