/* Version of oll, from CMakeLists.txt. */
#ifndef OLL_BASE_VERSION_H
#define OLL_BASE_VERSION_H

#ifndef OLL_VERSION
#error "OLL_VERSION comes from the build"
#endif

#endif
