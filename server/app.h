/* What the handlers of the API share. Made at start, read-only afterwards; its parts have locks of
 * their own. Handlers find it in http_request.app. */
#ifndef OLL_SERVER_APP_H
#define OLL_SERVER_APP_H

#include "engine/base/version.h"

#include <stdbool.h>

struct access;
struct keys;
struct metrics;
struct models;
struct schedule;

struct app {
    const struct access *access;
    const struct keys *keys; /* that clients must have; NULL: none is asked for */
    bool is_read_only;       /* models are not changed for clients (R21) */
    struct models *models;
    struct schedule *schedule;
    struct metrics *metrics; /* NULL: nothing is counted */
};

/* The version of Ollama's API that is spoken here: clients gate features on it. */
#define APP_API_VERSION OLL_OLLAMA_VERSION

#endif
