/* Modelfiles: whatever is accepted must print, and read back to the same commands. A value that
 * holds three quotes in a row has no form in the language and is left out. */
#include "registry/modelfile.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

enum { MEMORY_MAX = 64 << 20, TEXT_MAX = 8 << 20 };

static void use_command(const struct oll_modelfile_command *c)
{
    struct oll_strbuf json;
    struct oll_json_writer w;
    oll_strbuf_init(&json, TEXT_MAX);
    oll_json_write_init(&w, &json);
    if (c->word == OLL_MODELFILE_PARAMETER &&
        oll_modelfile_param_write(oll_modelfile_param_kind(c->name), c->value, &w, NULL) == OLL_OK)
        OLL_ASSERT(json.len > 0);
    if (c->word == OLL_MODELFILE_REQUIRES)
        (void)oll_modelfile_version_valid(c->value);
    oll_strbuf_free(&json);
}

static void read_back(struct oll_arena *arena, const struct oll_modelfile *file)
{
    struct oll_modelfile again;
    struct oll_strbuf text;
    bool printable = true;
    oll_strbuf_init(&text, TEXT_MAX);
    for (size_t i = 0; i < file->n_commands; i++) {
        const struct oll_modelfile_command *c = &file->commands[i];
        printable &= !strstr(c->value, "\"\"\"");
        oll_modelfile_print(&text, c->word, c->name, c->value);
    }
    if (printable && text.status == OLL_OK) {
        OLL_ASSERT(oll_modelfile_parse(arena, text.data, text.len, &again, NULL) == OLL_OK);
        OLL_ASSERT(again.n_commands == file->n_commands);
        for (size_t i = 0; i < again.n_commands; i++) {
            OLL_ASSERT(again.commands[i].word == file->commands[i].word);
            OLL_ASSERT(strcmp(again.commands[i].value, file->commands[i].value) == 0);
        }
    }
    oll_strbuf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct oll_arena arena;
    struct oll_modelfile file;
    oll_arena_init(&arena, MEMORY_MAX);
    if (oll_modelfile_parse(&arena, (const char *)data, n_bytes, &file, NULL) == OLL_OK) {
        for (size_t i = 0; i < file.n_commands; i++)
            use_command(&file.commands[i]);
        read_back(&arena, &file);
    }
    oll_arena_free(&arena);
    return 0;
}
