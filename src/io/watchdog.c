/* The daemon's end of the watchdog, and the watchdog's own loop. */
#include "io/watchdog.h"

#include "io/conntrack.h"
#include "io/library_pages.h"
#include "io/privileges.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* How long a daemon may take from closing its socket to being gone, tables included. */
#define DEATH_MS 1000

/* A beat is the port, two bytes in the machine's own order. */

/* ---- the watchdog process ---- */

struct watch {
    int fd;     /* to the daemon */
    int daemon; /* pidfd; -1 where the kernel has none (before 5.3) */
    struct netlink netlink;
    uint16_t port;
    bool is_released; /* once a silence is enough */
};

static void release(struct watch *watch)
{
    /* Nobody to tell but the daemon, which is past that. */
    if (watch->port != 0 && !watch->is_released)
        (void)!conntrack_release_redirected(&watch->netlink, watch->port, NULL);
    watch->is_released = true;
}

/* Its socket is closed, but its nftables table may not yet be: dying processes close one after
 * another. */
static void wait_for_death(const struct watch *watch)
{
    struct pollfd fd = {.fd = watch->daemon, .events = POLLIN};

    while (watch->daemon >= 0 && poll(&fd, 1, DEATH_MS) < 0 && errno == EINTR) {
    }
}

/* False: end. */
static bool take_messages(struct watch *watch)
{
    uint16_t port;

    for (;;) {
        ssize_t got = recv(watch->fd, &port, sizeof port, MSG_DONTWAIT);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return true;
        if (got != sizeof port) {
            wait_for_death(watch);
            watch->is_released = false;
            release(watch);
            return false;
        }
        watch->port = port;
        watch->is_released = false;
    }
}

static void watch_daemon(struct watch *watch)
{
    struct pollfd fd = {.fd = watch->fd, .events = POLLIN};

    for (;;) {
        int ready = poll(&fd, 1, watch->is_released ? -1 : WATCHDOG_SILENCE_MS);

        if (ready < 0 && errno != EINTR)
            return;
        if (ready == 0)
            release(watch);
        if (ready > 0 && !take_messages(watch))
            return;
    }
}

/* Of what was inherited only the socket and the pidfd stay: a netlink socket kept open here would
 * keep the daemon's tables alive after its death. */
static bool close_others(int *first, int *second)
{
    int low = *first < *second || *second < 0 ? *first : *second;
    int high = *first > *second ? *first : *second;
    bool is_ok = low <= 3 || close_range(3, (unsigned)low - 1, 0) == 0;

    if (high > low + 1)
        is_ok &= close_range((unsigned)low + 1, (unsigned)high - 1, 0) == 0;
    return is_ok && close_range((unsigned)high + 1, ~0U, 0) == 0;
}

static _Noreturn void run(int fd, pid_t daemon)
{
    static const int ignored[] = {SIGHUP,  SIGINT,  SIGTERM, SIGPIPE,
                                  SIGQUIT, SIGTSTP, SIGUSR1, SIGUSR2};
    struct watch watch = {.fd = fd, .is_released = true};
    sigset_t none;
    size_t i;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    /* It ends when the daemon does: a service manager's SIGTERM to all is not for it. */
    for (i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    /* Whoever reads the daemon's output waits for the daemon's end, not for ours. */
    for (i = 0; i < 3 && null >= 0; i++)
        dup2(null, (int)i);
    prctl(PR_SET_NAME, "detec-watchdog", 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    watch.daemon = (int)syscall(SYS_pidfd_open, daemon, 0);
    if (getppid() != daemon || !close_others(&watch.fd, &watch.daemon) ||
        netlink_open(&watch.netlink, NETLINK_NETFILTER) < 0 ||
        privileges_keep(PRIVILEGE_NET_ADMIN) < 0 || send(watch.fd, "", 1, MSG_NOSIGNAL) != 1)
        _exit(1);
    (void)library_pages_release();
    watch_daemon(&watch);
    _exit(0);
}

/* ---- the daemon's side ---- */

int watchdog_start(struct watchdog *watchdog)
{
    pid_t daemon = getpid();
    int fds[2];
    pid_t pid;
    sigset_t all, before;
    char ready;

    watchdog->fd = -1;
    watchdog->pid = 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return ERR_IO;
    /* No signal reaches the child before it has said which it ignores. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid != 0)
        sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        close(fds[0]);
        close(fds[1]);
        return ERR_IO;
    }
    if (pid == 0)
        run(fds[1], daemon);
    close(fds[1]);
    watchdog->fd = fds[0];
    watchdog->pid = pid;
    /* Its word that it watches, or the end of its socket: then the first beat notices its death. */
    while (recv(watchdog->fd, &ready, sizeof ready, 0) < 0 && errno == EINTR) {
    }
    return ERR_OK;
}

static void reap(struct watchdog *watchdog)
{
    close(watchdog->fd);
    watchdog->fd = -1;
    while (waitpid(watchdog->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    watchdog->pid = 0;
}

int watchdog_beat(struct watchdog *watchdog, uint16_t port)
{
    if (watchdog->fd < 0)
        return ERR_STATE;
    if (send(watchdog->fd, &port, sizeof port, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
        errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
        return ERR_OK;
    /* Its end of the socket is closed only by its death, so this does not wait. */
    reap(watchdog);
    return ERR_STATE;
}

void watchdog_stop(struct watchdog *watchdog)
{
    if (watchdog->fd < 0 || watchdog->pid == 0)
        return;
    kill(watchdog->pid, SIGKILL);
    reap(watchdog);
}
