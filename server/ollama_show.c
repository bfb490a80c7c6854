/* POST /api/show (rest-api 5.4). */
#include "engine/base/strbuf.h"
#include "server/app.h"
#include "server/decode.h"
#include "server/ollama.h"
#include "server/ollama_reply.h"
#include "server/show.h"

#include <stddef.h>
#include <string.h>

enum { REPLY_BYTES_MAX = 512 * 1024 * 1024 };

struct fields {
    const char *model, *name, *system;
    const struct oll_json *options;
    bool verbose;
};

static const struct decode_field table[] = {
    {"model", DECODE_STRING, offsetof(struct fields, model), NULL},
    {"name", DECODE_STRING, offsetof(struct fields, name), NULL},
    {"system", DECODE_STRING, offsetof(struct fields, system), NULL},
    {"options", DECODE_OBJECT, offsetof(struct fields, options), NULL},
    {"verbose", DECODE_BOOL, offsetof(struct fields, verbose), NULL},
    {NULL, DECODE_ANY, 0, NULL},
};

void ollama_show(struct http_request *req)
{
    const struct app *app = req->app;
    const char *agent = http_request_header(req, "User-Agent");
    struct fields f = {.model = "", .name = "", .system = ""};
    const struct oll_json *root;
    struct oll_strbuf json;
    struct oll_error err = {0};
    int http_status = 400;
    oll_status status = decode_body(req, "ShowRequest", &root, &err);
    if (status == OLL_OK)
        status = decode_fields(root, table, "ShowRequest.", &f, &err);
    if (status == OLL_OK && !*f.model && !*f.name)
        status = OLL_FAIL(&err, OLL_ERR_ARG, "model is required");
    struct show_request request = {.name = *f.model ? f.model : f.name,
                                   .system = f.system,
                                   .options = f.options,
                                   .verbose = f.verbose};
    /* A client that knows models by this key alone. */
    if (agent && strncmp(agent, "GitHubCopilotChat/", 18) == 0)
        request.basename = request.name;
    oll_strbuf_init(&json, REPLY_BYTES_MAX);
    if (status == OLL_OK)
        status = show_reply(app->models, &request, req->arena, &json, &http_status, &err);
    if (status == OLL_OK)
        ollama_send(req, &json);
    else
        ollama_error(req, http_status, oll_error_text(&err));
    oll_strbuf_free(&json);
}
