#include "bench/bench_http.h"

static oll_status fail(struct oll_error *err)
{
    return OLL_FAIL(err, OLL_ERR_UNSUPPORTED,
                    "this program was built without libcurl and cannot measure servers");
}

oll_status bench_http_is_local(const char *url, bool *is_local, struct oll_error *err)
{
    (void)url;
    (void)is_local;
    return fail(err);
}

oll_status bench_http_get(const char *url, struct oll_strbuf *body, long *code,
                          struct oll_error *err)
{
    (void)url;
    (void)body;
    (void)code;
    return fail(err);
}

oll_status bench_http_run(const struct bench_http_load *load, struct oll_error *err)
{
    (void)load;
    return fail(err);
}
