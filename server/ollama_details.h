/* The "details" object of lists and of show (rest-api 5.1). */
#ifndef OLL_SERVER_OLLAMA_DETAILS_H
#define OLL_SERVER_OLLAMA_DETAILS_H

#include "engine/base/json.h"
#include "server/models.h"

enum ollama_details {
    OLLAMA_DETAILS_PS,   /* no parent model */
    OLLAMA_DETAILS_SHOW, /* with it */
    OLLAMA_DETAILS_LIST  /* and with the lengths, where they are known */
};

void ollama_write_details(struct oll_json_writer *w, const struct served_model *m,
                          enum ollama_details which);

#endif
