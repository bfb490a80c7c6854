/* The command line's way to the models: the server at OLLAMA_HOST, or, when that is not set and
 * none runs, the store itself.
 *
 *     if (cli_client_open(&client, false, &err) != OLL_OK) return cli_fail(&err);
 *     if (client.store) ... work on it ...  else cli_client_json(&client, "GET", "/api/tags", ...)
 *     cli_client_close(&client); */
#ifndef OLL_SERVER_CLI_CLIENT_H
#define OLL_SERVER_CLI_CLIENT_H

#include "engine/base/json.h"
#include "registry/blob_store.h"

/* Entry of an option table. */
#define CLI_LOCAL_OPTION                                                                           \
    {"local", 0, CLI_FLAG, NULL, "work on the store of this machine, without the server"}

struct cli_private;
struct https;
struct service_config;

struct cli_client {
    struct https *session;    /* to the server; NULL: none runs */
    struct oll_store *store;  /* when none runs; NULL otherwise */
    struct cli_private *own;  /* the server, when it is one of this process; else NULL */
    char url[1024];           /* of the server, with its prefix */
    void (*tick)(void *user); /* called ten times a second while a request runs; may be NULL */
    void *user;
};

/* `local`: the store of this machine, whether a server runs or not. */
oll_status cli_client_open(struct cli_client *client, bool local,
                           struct oll_error *err) OLL_MUST_USE;
/* The same, but where no server runs one is started in this process and ends with
 * cli_client_close; `always`: it is started in any case. */
oll_status cli_client_open_serving(struct cli_client *client, const struct service_config *config,
                                   bool always, struct oll_error *err) OLL_MUST_USE;
void cli_client_close(struct cli_client *client);

/* A request with a whole reply in `out`. `body` is JSON or NULL. A status of 400 and more is a
 * failure with the server's text: OLL_ERR_NOT_FOUND for 404. */
oll_status cli_client_json(struct cli_client *client, const char *method, const char *path,
                           const char *body, struct oll_strbuf *out,
                           struct oll_error *err) OLL_MUST_USE;
/* A POST whose reply is a stream of JSON objects; `on_line` gets each. A line with an error ends it
 * with that text; a failure before the stream has the HTTP status in front of its text. */
typedef void (*cli_line_fn)(void *user, const struct oll_json *line);
oll_status cli_client_stream(struct cli_client *client, const char *path, const char *body,
                             cli_line_fn on_line, void *user, struct oll_error *err) OLL_MUST_USE;

/* Between these two Ctrl-C is noted instead of ending the process, so that work in hand can be
 * kept; release ends it then, as the signal would have. */
void cli_client_catch(void);
bool cli_client_interrupted(void);
void cli_client_release(void);

#endif
