/* Version of oll, from CMakeLists.txt. */
#ifndef OLL_BASE_VERSION_H
#define OLL_BASE_VERSION_H

#ifndef OLL_VERSION
#error "OLL_VERSION comes from the build"
#endif

/* The version of Ollama's API that is spoken, to clients and to registries: both gate features on
 * it. */
#define OLL_OLLAMA_VERSION "0.33.0"

#endif
