/* Lines of the log, as they reach standard error. */
#include "engine/base/log.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct oll_log_field *fields;
static size_t n_fields;

/* What the call writes to standard error, cut to `out`. */
static void logged(enum oll_log_level set, enum oll_log_level level, const char *text, char *out,
                   size_t n_out)
{
    FILE *file = tmpfile();
    int before = dup(STDERR_FILENO);
    CHECK(file && before >= 0);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    oll_log_set_level(set);
    if (n_fields > 0)
        oll_log_fields(level, "test", fields, n_fields, text);
    else
        oll_log(level, "test", "%s", text);
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    rewind(file);
    out[fread(out, 1, n_out - 1, file)] = '\0';
    fclose(file);
}

TEST(a_line_stays_a_line)
{
    char line[256];
    logged(OLL_LOG_WARN, OLL_LOG_WARN, "a\nlevel=ERROR \x1b[31m\x7f", line, sizeof line);
    CHECK_MSG(strstr(line, " level=WARN area=test msg=\"a?level=ERROR ?[31m?\"\n"), "%s", line);
    CHECK(strchr(line, '\n') == line + strlen(line) - 1);
}

TEST(a_level_hides_those_above)
{
    char line[256];
    logged(OLL_LOG_WARN, OLL_LOG_INFO, "text", line, sizeof line);
    CHECK_STR(line, "");
    logged(OLL_LOG_ERROR, OLL_LOG_ERROR, "text", line, sizeof line);
    CHECK(strstr(line, "text"));
    logged(OLL_LOG_NONE, OLL_LOG_ERROR, "text", line, sizeof line);
    CHECK_STR(line, "");
}

TEST(a_long_text_is_cut)
{
    static char text[5000], line[5000];
    memset(text, 'x', sizeof text - 1);
    logged(OLL_LOG_ERROR, OLL_LOG_ERROR, text, line, sizeof line);
    CHECK(strlen(line) < 2048 && strcmp(line + strlen(line) - 3, "x\"\n") == 0);
}

TEST(fields_are_members_of_json_alone)
{
    const struct oll_log_field parts[] = {{"who", "a \"b\"\n", false}, {"n", "12.5", true}};
    char line[256];
    fields = parts;
    n_fields = 2;
    logged(OLL_LOG_INFO, OLL_LOG_INFO, "text", line, sizeof line);
    CHECK_MSG(strstr(line, " level=INFO area=test msg=\"text\"\n"), "%s", line);
    oll_log_set_json(true);
    logged(OLL_LOG_INFO, OLL_LOG_INFO, "text", line, sizeof line);
    CHECK_MSG(
        strstr(line, ",\"area\":\"test\",\"who\":\"a \\\"b\\\"?\",\"n\":12.5,\"msg\":\"text\"}\n"),
        "%s", line);
    oll_log_set_json(false);
    n_fields = 0;
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
