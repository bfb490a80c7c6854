/* Replays tests/api/transcripts/X.txt against the server with the fake engine. A file is a list of
 * cases:
 *
 *   === name
 *   POST /api/chat
 *   Header: value
 *
 *   body of the request, up to the next line that begins with "---"
 *   --- 200
 *   Header: value             must be so; "Header: -" must be absent
 *
 *   body of the reply, up to the next case
 *
 * Lines of the reply's body may have holes: <time>, <ns> (a whole number that is not 0), <hex>,
 * <any> (up to where the text after it stands first). A stream must end with a newline, other
 * replies must not. The request is sent as it is written but for Host, Connection and
 * Content-Length, which are added when they are missing. */
#include "engine/base/file.h"
#include "engine/base/mem.h"
#include "engine/base/strbuf.h"
#include "tests/api/fixture.h"
#include "tests/net.h"
#include "tests/testing.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct fixture fixture;

struct transcript {
    char *name, *head, *body, *status, *headers, *reply; /* in the file's text, terminated */
};

/* ---- reading a file ---- */

/* Cuts the text at the first line that begins with `mark`; *rest is that line. */
static char *cut(char *text, const char *mark, char **rest)
{
    static char none[1];
    size_t n = strlen(mark);
    *rest = NULL;
    for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, mark, n) == 0) {
            *rest = line;
            if (line > text)
                line[-1] = '\0';
            return line > text ? text : none;
        }
    return text;
}

/* Splits head and body at the first empty line. */
static char *cut_body(char *text)
{
    char *empty = strstr(text, "\n\n");
    if (!empty)
        return text + strlen(text);
    *empty = '\0';
    return empty + 2;
}

static char *first_line(char *text, char **rest)
{
    char *end = strchr(text, '\n');
    *rest = end ? end + 1 : text + strlen(text);
    if (end)
        *end = '\0';
    return text;
}

static void strip_newlines(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == '\n')
        text[--n] = '\0';
}

/* Takes the next case off *text; false at the end. */
static bool next_case(char **text, struct transcript *t)
{
    char *rest, *reply;
    if (!*text || strncmp(*text, "=== ", 4) != 0)
        return false;
    t->name = first_line(*text + 4, &t->head);
    char *all = t->head;
    cut(all, "=== ", &rest);
    *text = rest;
    cut(all, "--- ", &reply);
    OLL_ASSERT(reply);
    t->body = cut_body(t->head);
    strip_newlines(t->body);
    t->status = first_line(reply + 4, &t->headers);
    t->reply = t->headers[0] == '\n' ? t->headers + 1 : cut_body(t->headers);
    if (t->headers[0] == '\n')
        t->headers = t->reply + strlen(t->reply);
    strip_newlines(t->reply);
    return true;
}

/* ---- comparing ---- */

static size_t span_hole(const char *hole, const char *s)
{
    if (strncmp(hole, "<time>", 6) == 0) {
        size_t n = strspn(s, "0123456789-T:.Z+");
        return n >= 20 && s[4] == '-' && s[10] == 'T' ? n : 0;
    }
    if (strncmp(hole, "<ns>", 4) == 0)
        return *s == '0' ? 0 : strspn(s, "0123456789");
    return strspn(s, "0123456789abcdef");
}

static bool is_hole(const char *s)
{
    return strncmp(s, "<time>", 6) == 0 || strncmp(s, "<ns>", 4) == 0 ||
           strncmp(s, "<hex>", 5) == 0;
}

/* Where in `got` the text between an <any> and the next hole stands first; at its end when no hole
 * follows. NULL when nowhere. */
static const char *after_any(const char *want, const char *got)
{
    char text[1024];
    size_t n = 0;
    while (want[n] && n < sizeof text - 1 && !is_hole(want + n) &&
           strncmp(want + n, "<any>", 5) != 0)
        n++;
    memcpy(text, want, n);
    text[n] = '\0';
    if (want[n])
        return strstr(got, text);
    return strlen(got) >= n ? got + strlen(got) - n : NULL;
}

static bool matches(const char *want, const char *got)
{
    while (*want) {
        if (strncmp(want, "<any>", 5) == 0) {
            want += 5;
            got = after_any(want, got);
            if (!got)
                return false;
        } else if (is_hole(want)) {
            size_t n = span_hole(want, got);
            if (n == 0)
                return false;
            got += n;
            want = strchr(want, '>') + 1;
        } else if (*want++ != *got++) {
            return false;
        }
    }
    return *got == '\0';
}

/* Value of a header in a reply; NULL when absent; several are joined by ", ". */
static const char *header_of(const char *reply, const char *name, size_t n_name)
{
    static char value[2048];
    const char *end = strstr(reply, "\r\n\r\n");
    size_t n = 0;
    for (const char *line = strstr(reply, "\r\n"); line && line < end;
         line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, n_name) == 0 && line[n_name] == ':')
            n += (size_t)snprintf(value + n, sizeof value - n, "%s%.*s", n ? ", " : "",
                                  (int)strcspn(line + n_name + 2, "\r"), line + n_name + 2);
    }
    return n ? value : NULL;
}

static void check_headers(const struct transcript *t, const char *reply)
{
    for (const char *line = t->headers; *line;) {
        size_t n = strcspn(line, "\n"), name = strcspn(line, ":");
        const char *got = header_of(reply, line, name);
        char want[1024];
        snprintf(want, sizeof want, "%.*s", (int)(n - name - 2), line + name + 2);
        if (strcmp(want, "-") == 0)
            CHECK_MSG(!got, "%s: header %.*s is %s", t->name, (int)name, line, got);
        else
            CHECK_MSG(got && matches(want, got), "%s: header %.*s: want %s, got %s", t->name,
                      (int)name, line, want, got ? got : "none");
        line += n + (line[n] == '\n');
    }
}

static void check_reply(const struct transcript *t, struct oll_strbuf *reply)
{
    char begin[64];
    snprintf(begin, sizeof begin, "HTTP/1.1 %s ", t->status);
    if (!CHECK_MSG(strncmp(reply->data, begin, strlen(begin)) == 0, "%s: want %s, got %.300s",
                   t->name, t->status, reply->data))
        return;
    check_headers(t, reply->data);
    bool stream = strstr(reply->data, "application/x-ndjson") != NULL;
    if (!CHECK_MSG(net_take_body(reply), "%s: the framing of the reply is bad", t->name))
        return;
    bool ends = reply->len > 0 && reply->data[reply->len - 1] == '\n';
    CHECK_MSG(ends == stream || strstr(t->reply, "<a href"), "%s: the end is wrong", t->name);
    strip_newlines(reply->data);
    CHECK_MSG(matches(t->reply, reply->data), "%s:\n  want %s\n  got  %s", t->name, t->reply,
              reply->data);
}

/* ---- asking ---- */

static void add_default(struct oll_strbuf *request, const char *head, const char *name,
                        const char *value)
{
    if (!strstr(head, name))
        oll_strbuf_printf(request, "%s %s\r\n", name + 1, value);
}

static void run_case(const struct transcript *t)
{
    struct oll_strbuf request, reply;
    char length[32];
    oll_strbuf_init(&request, 1 << 20);
    oll_strbuf_init(&reply, 1 << 24);
    for (const char *line = t->head; *line;) {
        size_t n = strcspn(line, "\n");
        bool first = line == t->head && !strstr(t->head, " HTTP/");
        oll_strbuf_printf(&request, "%.*s%s\r\n", (int)n, line, first ? " HTTP/1.1" : "");
        line += n + (line[n] == '\n');
    }
    snprintf(length, sizeof length, "%zu", strlen(t->body));
    add_default(&request, t->head, "\nHost:", "localhost");
    add_default(&request, t->head, "\nConnection:", "close");
    add_default(&request, t->head, "\nContent-Length:", length);
    oll_strbuf_printf(&request, "\r\n%s", t->body);
    CHECK_MSG(net_exchange(fixture.port, request.data, request.len, &reply), "%s: no end", t->name);
    check_reply(t, &reply);
    oll_strbuf_free(&request);
    oll_strbuf_free(&reply);
}

static void run_file(const char *name)
{
    char path[512], *text = NULL;
    uint64_t n;
    int n_cases = 0;
    struct transcript t;
    snprintf(path, sizeof path, "%s/tests/api/transcripts/%s", OLL_SOURCE_DIR, name);
    if (!CHECK_OK(oll_file_read(path, 1 << 24, &text, &n, NULL)))
        return;
    char *at;
    cut(text, "=== ", &at);
    for (; next_case(&at, &t); n_cases++)
        run_case(&t);
    CHECK(n_cases > 0);
    printf("       %d cases of %s\n", n_cases, name);
    oll_free(text);
}

#define TRANSCRIPT(name)                                                                           \
    TEST(name)                                                                                     \
    {                                                                                              \
        fixture_start(&fixture, NULL, NULL);                                                       \
        run_file(#name ".txt");                                                                    \
        fixture_stop(&fixture);                                                                    \
    }

TRANSCRIPT(server)
TRANSCRIPT(generate)
TRANSCRIPT(chat)
TRANSCRIPT(embed)

/* Each file of transcripts must be run by a case above. */
TEST(no_transcript_is_forgotten)
{
    static const char *const names[] = {"server.txt", "generate.txt", "chat.txt", "embed.txt"};
    char path[512];
    snprintf(path, sizeof path, "%s/tests/api/transcripts", OLL_SOURCE_DIR);
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        bool known = entry->d_name[0] == '.';
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            known |= strcmp(entry->d_name, names[i]) == 0;
        CHECK_MSG(known, "%s is run by no case", entry->d_name);
    }
    if (dir)
        closedir(dir);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
