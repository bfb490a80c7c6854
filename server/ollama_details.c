#include "server/ollama_details.h"

static void write_text(struct oll_json_writer *w, const char *key, const char *value)
{
    oll_json_write_key(w, key);
    oll_json_write_str(w, value);
}

static void write_count(struct oll_json_writer *w, const char *key, uint64_t v)
{
    if (v == 0)
        return;
    oll_json_write_key(w, key);
    oll_json_write_uint(w, v);
}

void ollama_write_details(struct oll_json_writer *w, const struct served_model *m,
                          enum ollama_details which)
{
    const struct oll_model_config *c = &m->stored.config;
    oll_json_write_key(w, "details");
    oll_json_write_object_begin(w);
    write_text(w, "parent_model", which == OLLAMA_DETAILS_PS ? "" : m->parent);
    write_text(w, "format", m->format);
    write_text(w, "family", m->family);
    oll_json_write_key(w, "families");
    if (m->families) {
        oll_json_write_array_begin(w);
        for (uint32_t i = 0; i < m->n_families; i++)
            oll_json_write_str(w, m->families[i]);
        oll_json_write_array_end(w);
    } else {
        oll_json_write_null(w);
    }
    write_text(w, "parameter_size", m->n_params);
    write_text(w, "quantization_level", m->quantization);
    if (which == OLLAMA_DETAILS_LIST) {
        write_count(w, "context_length",
                    c->context_length ? c->context_length : m->facts.context_length);
        write_count(w, "embedding_length",
                    c->embedding_length ? c->embedding_length : m->facts.embedding_length);
    }
    oll_json_write_object_end(w);
}
