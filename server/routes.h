/* The table of the API's routes, and what applies to all of them: CORS, Host check, redirects, 404
 * and 405 (rest-api 1.3 to 1.6). */
#ifndef OLL_SERVER_ROUTES_H
#define OLL_SERVER_ROUTES_H

#include "server/http.h"

/* For http_config.route; the app of the requests is a struct app. */
void routes_plan(struct http_request *req, struct http_plan *plan);
/* Pattern of a row, by http_request.route; NULL behind the last. Row 0 are all other paths. */
const char *routes_pattern(int route);

#endif
