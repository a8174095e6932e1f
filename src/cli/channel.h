/* Lines to and from a daemon: over its control socket, or over the standard input and output of a
 * program started for this. Blocking, with time limits; one user at a time. */
#ifndef CLI_CHANNEL_H
#define CLI_CHANNEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Answers are lists of any length, but not endless. */
#define CHANNEL_LINE_MAX ((size_t)256 * 1024 * 1024)

struct channel {
    int fd;    /* -1: closed. Zero-initialised is not right: use the functions below */
    pid_t pid; /* of the program; 0 with a socket */
    char *buffer;
    size_t len;  /* bytes in buffer */
    size_t used; /* of them: the line returned last, with its end */
    size_t cap;
};

/* As control_socket_connect: ERR_NOT_FOUND: nobody listens there, ERR_REFUSED: no permission,
 * ERR_INVALID: the path is too long, ERR_IO: errno says why. */
MUST_USE int channel_connect(const char *path, struct channel *ret_channel);
/* Starts argv[0] (found through PATH unless it has a slash). ERR_IO (errno), ERR_NOMEM. */
MUST_USE int channel_spawn(char *const *argv, struct channel *ret_channel);
/* Writes one line; the line's end is added. ERR_IO, ERR_TIMEOUT. */
MUST_USE int channel_write(struct channel *channel, const char *line, uint64_t timeout_us);
/* The next line, without its end; borrowed until the next call. ERR_TIMEOUT, ERR_TRUNCATED: the
 * other side closed before a line's end, ERR_LIMIT: longer than CHANNEL_LINE_MAX, ERR_NOMEM,
 * ERR_IO. */
MUST_USE int channel_read(struct channel *channel, uint64_t timeout_us, char **ret_line);
/* A program is told so by the end of its input, and waited for. */
void channel_close(struct channel *channel);

#endif
