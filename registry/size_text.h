/* Sizes as people read them: "999 B", "1.5 KB", "4.7 GB", in powers of 1000 (cli-and-scheduler
 * 2.3). */
#ifndef OLL_REGISTRY_SIZE_TEXT_H
#define OLL_REGISTRY_SIZE_TEXT_H

#include <stdint.h>

enum { OLL_SIZE_TEXT_MAX = 32 };
void oll_size_text(uint64_t n_bytes, char out[OLL_SIZE_TEXT_MAX]);

#endif
