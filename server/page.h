/* The chat page at "/": one document without any outside resource, made from page.html by the
 * build. It is a client of the API like any other. */
#ifndef OLL_SERVER_PAGE_H
#define OLL_SERVER_PAGE_H

#include "server/http.h"

/* Terminated; the length is without the terminator. */
extern const unsigned char page_html[];
extern const unsigned long page_html_bytes;

/* Whether a client asks for a page: browsers name text/html, other clients take anything. */
bool page_wanted(const struct http_request *req);
/* Sends it, with a policy by which only the page's own script and style run, and nothing but this
 * server is asked. */
void page_send(struct http_request *req);

#endif
