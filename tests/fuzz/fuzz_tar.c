/* Headers and pax records of archives: the first 512 bytes are a header, the rest are records. */
#include "registry/tar.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void read_again(const struct tar_entry *entry)
{
    char block[TAR_BLOCK];
    struct tar_entry again;
    bool end;
    if (strlen(entry->name) >= 100 || !entry->name[0])
        return;
    tar_write_header(entry->name, entry->size, block);
    OLL_ASSERT(tar_read_header(block, &again, &end, NULL) == OLL_OK && !end);
    OLL_ASSERT(again.kind == TAR_FILE && again.size == entry->size);
    OLL_ASSERT(strcmp(again.name, entry->name) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    char block[TAR_BLOCK] = {0};
    struct tar_entry entry = {.kind = TAR_OTHER};
    bool end = false;
    const size_t n_head = n_bytes < TAR_BLOCK ? n_bytes : TAR_BLOCK;
    if (n_head > 0)
        memcpy(block, data, n_head);
    if (tar_read_header(block, &entry, &end, NULL) == OLL_OK && !end) {
        OLL_ASSERT(entry.size <= INT64_MAX && memchr(entry.name, '\0', sizeof entry.name));
        read_again(&entry);
    }
    if (n_bytes > TAR_BLOCK &&
        tar_apply_pax((const char *)data + TAR_BLOCK, n_bytes - TAR_BLOCK, &entry, NULL) == OLL_OK)
        OLL_ASSERT(memchr(entry.name, '\0', sizeof entry.name));
    return 0;
}
