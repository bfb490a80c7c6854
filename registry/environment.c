#include "registry/environment.h"

#include <stdlib.h>

const char *registry_env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : 0;
}
