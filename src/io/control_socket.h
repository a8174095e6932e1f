/* The daemons' control sockets: Unix streams in the file system. */
#ifndef IO_CONTROL_SOCKET_H
#define IO_CONTROL_SOCKET_H

#include "base/error.h"
#include <sys/types.h>

/* Listens at path with that mode (0600: root alone); its directory is made if it is missing (0755).
 * The socket that a dead daemon left is replaced. ERR_EXISTS: a living one answers there;
 * ERR_INVALID: the path is too long, or holds something else than a socket, which is left alone;
 * ERR_IO: errno says why. ret_fd: non-blocking, to be closed by the caller. */
MUST_USE int control_socket_listen(const char *path, mode_t mode, int *ret_fd);
/* Connects to a daemon; the descriptor blocks. ERR_NOT_FOUND: nobody listens there; ERR_REFUSED: no
 * permission; ERR_INVALID: the path is too long; ERR_IO. */
MUST_USE int control_socket_connect(const char *path, int *ret_fd);
/* At an orderly end, before the listener is closed: removes the socket from the file system. */
void control_socket_remove(const char *path);

#endif
