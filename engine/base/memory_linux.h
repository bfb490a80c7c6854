/* Memory of the machine and of the control groups this process is in, as Linux tells it. */
#ifndef OLL_BASE_MEMORY_LINUX_H
#define OLL_BASE_MEMORY_LINUX_H

#include <stdint.h>

struct memory_linux {
    uint64_t total_bytes; /* of the machine, or the tightest limit */
    uint64_t free_bytes;  /* what can be taken without swapping; 0: unknown */
};

/* Reads the files of /proc and /sys below `root` ("" for the system's own). */
void memory_linux_read(const char *root, struct memory_linux *out);

#endif
