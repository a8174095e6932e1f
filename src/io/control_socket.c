/* Unix stream sockets: taking a path over from a dead daemon, never from a living one. */
#include "io/control_socket.h"

#include "io/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 16

static void close_quietly(int fd)
{
    int saved = errno;

    close(fd);
    errno = saved;
}

static int fill_address(const char *path, struct sockaddr_un *ret_address)
{
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof ret_address->sun_path)
        return ERR_INVALID;
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret_address->sun_path, path, len + 1);
    return ERR_OK;
}

static int connect_to(const struct sockaddr_un *address, int flags, int *ret_fd)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    if (fd < 0)
        return ERR_IO;
    while (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0) {
        if (errno == EINTR)
            continue;
        close_quietly(fd);
        switch (errno) {
        case ENOENT:
        case ECONNREFUSED:
        case ENOTSOCK:
        case ENOTDIR:
            return ERR_NOT_FOUND;
        case EACCES:
        case EPERM:
            return ERR_REFUSED;
        case EAGAIN: /* it lives, but is busy with others */
            return ERR_AGAIN;
        default:
            return ERR_IO;
        }
    }
    *ret_fd = fd;
    return ERR_OK;
}

int control_socket_connect(const char *path, int *ret_fd)
{
    struct sockaddr_un address;
    int error = fill_address(path, &address);

    return error < 0 ? error : connect_to(&address, 0, ret_fd);
}

void control_socket_remove(const char *path)
{
    struct stat status;

    if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode))
        unlink(path);
}

/* Removes a socket that nobody answers on. */
static int clear_path(const struct sockaddr_un *address)
{
    struct stat status;
    int error;
    int fd;

    if (lstat(address->sun_path, &status) < 0)
        return errno == ENOENT ? ERR_OK : ERR_IO;
    if (!S_ISSOCK(status.st_mode))
        return ERR_INVALID;
    error = connect_to(address, SOCK_NONBLOCK, &fd);
    if (error == ERR_OK)
        close(fd);
    if (error == ERR_OK || error == ERR_AGAIN)
        return ERR_EXISTS;
    if (error != ERR_NOT_FOUND)
        return error;
    return unlink(address->sun_path) < 0 && errno != ENOENT ? ERR_IO : ERR_OK;
}

static int listen_at(const struct sockaddr_un *address, mode_t mode, int *ret_fd)
{
    int error = clear_path(address);
    int fd;

    if (error < 0)
        return error;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_IO;
    /* On Linux a socket's file takes the mode that the socket has when it is bound: it is never
     * open wider than it will be, nor does the umask of other threads matter. */
    if (fchmod(fd, mode) < 0 || bind(fd, (const struct sockaddr *)address, sizeof *address) < 0 ||
        listen(fd, BACKLOG) < 0) {
        close_quietly(fd);
        return errno == EADDRINUSE ? ERR_EXISTS : errno == EACCES ? ERR_REFUSED : ERR_IO;
    }
    *ret_fd = fd;
    return ERR_OK;
}

/* A file that others cannot open: anybody could hold a lock on what they can read. */
static int open_lock(const char *path)
{
    char lock[sizeof((struct sockaddr_un *)0)->sun_path + sizeof ".lock"];

    snprintf(lock, sizeof lock, "%s.lock", path);
    return open(lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
}

int control_socket_listen(const char *path, mode_t mode, int *ret_fd)
{
    struct sockaddr_un address;
    int lock;
    int error = fill_address(path, &address);

    if (error == ERR_OK)
        error = file_make_parent(path, 0755);
    if (error < 0)
        return error;
    lock = open_lock(path);
    if (lock < 0)
        return ERR_IO;
    /* Two daemons that start at once must not both find the path free: between looking and
     * listening the directory is locked. */
    while (flock(lock, LOCK_EX) < 0) {
        if (errno != EINTR) {
            close_quietly(lock);
            return ERR_IO;
        }
    }
    error = listen_at(&address, mode, ret_fd);
    close_quietly(lock);
    return error;
}
