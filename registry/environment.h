/* The environment as the registry's client reads it: proxies, certificates, Docker's logins, and
 * OLL_LIMIT_RATE, OLL_RETRY_MS, OLL_STALL_S, OLL_AUTH_REALMS. Nothing else in registry/ asks for
 * it. */
#ifndef OLL_REGISTRY_ENVIRONMENT_H
#define OLL_REGISTRY_ENVIRONMENT_H

/* Value of a variable; NULL when it is unset or empty. */
const char *registry_env(const char *name);

#endif
