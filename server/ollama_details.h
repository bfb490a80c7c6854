/* The "details" object of lists (rest-api 5.1). */
#ifndef OLL_SERVER_OLLAMA_DETAILS_H
#define OLL_SERVER_OLLAMA_DETAILS_H

#include "engine/base/json.h"
#include "server/models.h"

/* `listed`: with the parent model and the lengths, which only /api/tags shows. */
void ollama_write_details(struct oll_json_writer *w, const struct served_model *m, bool listed);

#endif
