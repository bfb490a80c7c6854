/* Environment variables, read as the API's specification says (rest-api 1.1, 1.2): white space,
 * then quotes round a value are dropped; a value that cannot be read gives the default and a
 * warning. Called at start, by one thread. */
#ifndef OLL_SERVER_ENV_H
#define OLL_SERVER_ENV_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ENV_TEXT_MAX = 1024 };

/* Trimmed value; false (and "") when it is unset, empty or too long. */
bool env_text(const char *name, char out[ENV_TEXT_MAX]);
/* Go's words for true and false; any other text is true. */
bool env_bool(const char *name, bool fallback);
/* Decimal digits alone. */
uint64_t env_uint(const char *name, uint64_t fallback);
/* "5m", "1h2m3s", or plain seconds; in nanoseconds. */
int64_t env_duration(const char *name, int64_t fallback);
/* OLLAMA_MODELS, else ~/.ollama/models; false when there is no home either. */
bool env_models(char out[ENV_TEXT_MAX]);
/* Whether this user can read the store in a folder; what is not there yet is an empty one. The text
 * names the part that is in the way: it is for the terminal and the log, not for replies. */
oll_status env_check_models(const char *folder, struct oll_error *err);
/* ~/.ollama/id_ed25519, the identity for registries; false when there is no home. */
bool env_key(char out[ENV_TEXT_MAX]);

enum { ENV_DEFAULT_PORT = 11434 };

struct env_host {
    char scheme[16];  /* "http" or "https"; the server speaks plain HTTP all the same */
    char host[256];   /* "" for all interfaces; brackets are gone */
    char prefix[256]; /* of paths, for clients; without slashes at the ends */
    char socket[256]; /* path of a Unix socket (unix:/path); then the rest is "" */
    int port;
};

/* OLLAMA_HOST; an empty text is 127.0.0.1:11434. */
void env_parse_host(const char *text, struct env_host *out);

#endif
