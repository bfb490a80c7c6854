/* A talk with one model through a server: its settings, its messages, and the requests made of
 * them. (cli-and-scheduler 4, 5) One thread. */
#ifndef OLL_SERVER_CLI_SESSION_H
#define OLL_SERVER_CLI_SESSION_H

#include "engine/base/json.h"
#include "server/cli_client.h"

enum { CLI_MODEL_MAX = 512, CLI_PARAM_NAME_MAX = 48, CLI_PARAMS_MAX = 64 };

struct cli_message {
    const char *role; /* a constant */
    char *content;
    char *thinking; /* NULL: none */
    char *images;   /* JSON array of base64 texts; NULL: none */
};

/* An option that the user set; of one name there is one. */
struct cli_param {
    char name[CLI_PARAM_NAME_MAX];
    char *json; /* value */
    char *text; /* as it was typed, values separated by ", " */
};

struct cli_session {
    struct cli_client *client;
    char model[CLI_MODEL_MAX];
    char parent[CLI_MODEL_MAX]; /* model that new ones are made from; "" : `model` itself */
    /* What /api/show says. */
    bool thinks, sees, embeds, draws;
    /* Settings. */
    bool insecure, wrap, verbose, hide_thinking, raw;
    char keep_alive[64]; /* duration; "" : the server's */
    char think[16];      /* JSON value; "" : not said */
    bool think_given;    /* by the user: it stays when the model changes */
    char *format;        /* JSON; NULL: none */
    struct cli_param params[CLI_PARAMS_MAX];
    int n_params;
    char *system; /* NULL: the model's own */
    struct cli_message *messages;
    size_t n_messages, cap_messages;
};

void cli_session_init(struct cli_session *s, struct cli_client *client);
void cli_session_free(struct cli_session *s);

/* Asks what the model can; pulls it first when it is absent and `pull`. */
oll_status cli_session_open(struct cli_session *s, const char *model, bool pull,
                            struct oll_error *err) OLL_MUST_USE;
/* The reply of /api/show, in the arena. */
oll_status cli_session_show(struct cli_session *s, const char *model, struct oll_arena *arena,
                            struct oll_json **root, struct oll_error *err) OLL_MUST_USE;
/* Loads the model, with a spinner meanwhile. */
oll_status cli_session_load(struct cli_session *s, struct oll_error *err) OLL_MUST_USE;

/* One answer to one prompt, without history. `images` as in cli_message. An answer that Ctrl-C
 * ended is OLL_ERR_CANCELED. */
oll_status cli_session_generate(struct cli_session *s, const char *prompt, const char *images,
                                struct oll_error *err) OLL_MUST_USE;
/* Adds a message of the user and streams the answer, which becomes a message, too. An answer that
 * Ctrl-C ended counts as far as it came. */
oll_status cli_session_chat(struct cli_session *s, const char *text, const char *images,
                            struct oll_error *err) OLL_MUST_USE;
/* Prints the vector of a text; `truncate` 1, 0, or -1: not said; `dimensions` 0: all. */
oll_status cli_session_embed(struct cli_session *s, const char *text, int truncate,
                             int64_t dimensions, struct oll_error *err) OLL_MUST_USE;
/* Makes a model of the talk. OLL_ERR_ARG: the name. */
oll_status cli_session_save(struct cli_session *s, const char *name,
                            struct oll_error *err) OLL_MUST_USE;

/* ---- settings ---- */

/* Values of a parameter as words. OLL_ERR_ARG: "invalid int value [x]". */
oll_status cli_session_param(struct cli_session *s, const char *name, const char *const *values,
                             int n, struct oll_error *err) OLL_MUST_USE;
/* The system message from here on; replaces one that stands last. */
oll_status cli_session_system(struct cli_session *s, const char *text,
                              struct oll_error *err) OLL_MUST_USE;
/* "json" or a schema; NULL: none. OLL_ERR_FORMAT when it is no JSON. */
oll_status cli_session_format(struct cli_session *s, const char *format,
                              struct oll_error *err) OLL_MUST_USE;
/* "true", "false" or a level; false when it is none of them. */
bool cli_session_think(struct cli_session *s, const char *value);
/* Forgets the messages but for the system's. */
oll_status cli_session_clear(struct cli_session *s, struct oll_error *err) OLL_MUST_USE;

#endif
