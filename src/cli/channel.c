/* Blocking line transport with time limits. */
#include "cli/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/clock.h"
#include "io/control_socket.h"

#define BUFFER_MIN ((size_t)16 * 1024)

extern char **environ;

static void init(struct channel *channel, int fd)
{
    memset(channel, 0, sizeof *channel);
    channel->fd = fd;
}

int channel_connect(const char *path, struct channel *ret_channel)
{
    int fd = -1;
    const int error = control_socket_connect(path, &fd);
    if (error != ERR_OK)
        return error;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        close(fd);
        return ERR_IO;
    }
    init(ret_channel, fd);
    return ERR_OK;
}

/* Starts the program with both its standard streams on fd. Returns an errno. */
static int spawn(char *const *argv, int fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0)
        return error;
    error = posix_spawnattr_init(&attributes);
    if (error != 0)
        goto done_actions;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE); /* we ignore it; the program shall start as any other */
    error = posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
    if (error == 0)
        error = posix_spawnattr_setsigdefault(&attributes, &defaults);
    if (error == 0)
        error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    if (error == 0)
        error = posix_spawnp(ret_pid, argv[0], &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
done_actions:
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

int channel_spawn(char *const *argv, struct channel *ret_channel)
{
    int fds[2];
    pid_t pid = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return ERR_IO;
    int error = spawn(argv, fds[1], &pid);
    close(fds[1]);
    if (error == 0 && fcntl(fds[0], F_SETFL, O_NONBLOCK) != 0)
        error = errno;
    init(ret_channel, fds[0]);
    ret_channel->pid = pid;
    if (error == 0)
        return ERR_OK;
    channel_close(ret_channel);
    errno = error;
    return ERR_IO;
}

/* Waits for events until deadline_us. */
static int wait_for(const struct channel *channel, short events, uint64_t deadline_us)
{
    struct pollfd pollfd = {.fd = channel->fd, .events = events};
    for (;;) {
        const uint64_t now_us = clock_now_us();
        const uint64_t left_ms = deadline_us > now_us ? (deadline_us - now_us + 999) / 1000 : 0;
        const int count = poll(&pollfd, 1, left_ms > 86400000 ? 86400000 : (int)left_ms);
        if (count > 0)
            return ERR_OK;
        if (count < 0 && errno != EINTR)
            return ERR_IO;
        if (count == 0 && left_ms == 0)
            return ERR_TIMEOUT;
    }
}

static int write_all(struct channel *channel, const char *data, size_t len, uint64_t deadline_us)
{
    while (len > 0) {
        const ssize_t count = send(channel->fd, data, len, MSG_NOSIGNAL);
        if (count >= 0) {
            data += count;
            len -= (size_t)count;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return ERR_IO;
        const int error = wait_for(channel, POLLOUT, deadline_us);
        if (error != ERR_OK)
            return error;
    }
    return ERR_OK;
}

int channel_write(struct channel *channel, const char *line, uint64_t timeout_us)
{
    const uint64_t deadline_us = clock_now_us() + timeout_us;
    const int error = write_all(channel, line, strlen(line), deadline_us);
    return error != ERR_OK ? error : write_all(channel, "\n", 1, deadline_us);
}

static int grow(struct channel *channel)
{
    if (channel->len < channel->cap)
        return ERR_OK;
    if (channel->cap >= CHANNEL_LINE_MAX)
        return ERR_LIMIT;
    const size_t cap = channel->cap > 0 ? channel->cap * 2 : BUFFER_MIN;
    char *buffer = realloc(channel->buffer, cap);
    if (buffer == NULL)
        return ERR_NOMEM;
    channel->buffer = buffer;
    channel->cap = cap;
    return ERR_OK;
}

/* Reads what is there. ERR_TRUNCATED at the end, ERR_AGAIN when nothing is there yet. */
static int read_some(struct channel *channel)
{
    const int error = grow(channel);
    if (error != ERR_OK)
        return error;
    const ssize_t count =
        read(channel->fd, channel->buffer + channel->len, channel->cap - channel->len);
    if (count > 0) {
        channel->len += (size_t)count;
        return ERR_OK;
    }
    if (count == 0)
        return ERR_TRUNCATED;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? ERR_AGAIN : ERR_IO;
}

int channel_read(struct channel *channel, uint64_t timeout_us, char **ret_line)
{
    const uint64_t deadline_us = clock_now_us() + timeout_us;
    size_t searched = 0;
    if (channel->used > 0) {
        channel->len -= channel->used;
        memmove(channel->buffer, channel->buffer + channel->used, channel->len);
        channel->used = 0;
    }
    for (;;) {
        char *end = channel->len > searched
                        ? memchr(channel->buffer + searched, '\n', channel->len - searched)
                        : NULL;
        if (end != NULL) {
            *end = '\0';
            channel->used = (size_t)(end - channel->buffer) + 1;
            *ret_line = channel->buffer;
            return ERR_OK;
        }
        searched = channel->len;
        int error = read_some(channel);
        if (error == ERR_AGAIN)
            error = wait_for(channel, POLLIN, deadline_us);
        if (error != ERR_OK)
            return error;
    }
}

void channel_close(struct channel *channel)
{
    if (channel->fd >= 0)
        close(channel->fd);
    free(channel->buffer);
    while (channel->pid > 0 && waitpid(channel->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    init(channel, -1);
}
