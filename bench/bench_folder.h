/* Folders that the tool keeps files in. */
#ifndef OLL_BENCH_BENCH_FOLDER_H
#define OLL_BENCH_BENCH_FOLDER_H

#include "engine/base/status.h"

enum { BENCH_PATH_MAX = 4096 };

/* Makes the folder and every missing one above it. */
oll_status bench_folder_make(const char *folder, struct oll_error *err) OLL_MUST_USE;

#endif
