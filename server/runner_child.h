/* The process that runs a model for a server: it reads messages (server/message.h) from a socket,
 * owns one engine, and sends what the engine says.
 *
 * Three threads beside the engine's: one reads commands and does those that must be quick; one does
 * calls in their order (a grammar to compile, a long text to tokenise); one alone writes to the
 * socket: answers, events, and signs of life. A request whose credit is used up keeps its events in
 * the engine, which pauses it; nothing else waits for a slow reader. */
#ifndef OLL_SERVER_RUNNER_CHILD_H
#define OLL_SERVER_RUNNER_CHILD_H

enum { RUNNER_CHILD_FD = 3 }; /* the socket, as the server hands it over */

/* Runs until the socket ends; returns the exit code of the process. */
int runner_child_run(int fd);

#endif
