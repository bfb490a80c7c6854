/* `oll doctor`: what is found on this machine, what is wrong with it, and what to do. */
#ifndef OLL_SERVER_CLI_DOCTOR_H
#define OLL_SERVER_CLI_DOCTOR_H

#include "engine/base/status.h"

struct cli_doctor {
    int n_warnings, n_errors;
};

enum cli_doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_WRONG };

/* A line "ok     area   text". */
void cli_doctor_say(struct cli_doctor *d, enum cli_doctor_level level, const char *area,
                    const char *fmt, ...) OLL_PRINTF(4, 5);
/* What to do about the last line. */
void cli_doctor_advise(const char *fmt, ...) OLL_PRINTF(1, 2);

void cli_doctor_store(struct cli_doctor *d);   /* the store, its permissions, space, the identity */
void cli_doctor_network(struct cli_doctor *d); /* the server, ports, proxies */

#endif
