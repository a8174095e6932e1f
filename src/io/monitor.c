/* rtnetlink(7) multicast groups, reduced to what kind of thing has changed. */
#include "io/monitor.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const unsigned groups[] = {RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                                  RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,  RTNLGRP_IPV4_RULE,
                                  RTNLGRP_IPV6_RULE};

int monitor_open(struct monitor *m)
{
    struct sockaddr_nl local = {.nl_family = AF_NETLINK};
    size_t i;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    m->fd = -1;
    if (fd < 0)
        return ERR_IO;
    if (bind(fd, (const struct sockaddr *)&local, sizeof local) < 0)
        goto close_fd;
    for (i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof groups[i]) < 0)
            goto close_fd;
    }
    m->fd = fd;
    return ERR_OK;
close_fd:
    close(fd);
    return ERR_IO;
}

void monitor_close(struct monitor *m)
{
    if (m->fd >= 0)
        close(m->fd);
    m->fd = -1;
}

static unsigned change_of(uint16_t type)
{
    switch (type) {
    case RTM_NEWRULE:
    case RTM_DELRULE:
        return MONITOR_RULES;
    case RTM_NEWADDR:
    case RTM_DELADDR:
        return MONITOR_ADDRESSES;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        return MONITOR_ROUTES;
    case RTM_NEWLINK:
    case RTM_DELLINK:
        return MONITOR_LINKS;
    default:
        return 0;
    }
}

static unsigned changes_of(const void *data, int len)
{
    const struct nlmsghdr *message = data;
    unsigned changes = 0;

    for (; mnl_nlmsg_ok(message, len); message = mnl_nlmsg_next(message, &len))
        changes |= change_of(message->nlmsg_type);
    return changes;
}

int monitor_read(struct monitor *m, unsigned *ret_changes)
{
    uint64_t buffer[4096];
    unsigned changes = 0;

    for (;;) {
        struct sockaddr_nl from = {0};
        socklen_t from_len = sizeof from;
        ssize_t got =
            recvfrom(m->fd, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &from_len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == ENOBUFS) {
            changes |= MONITOR_ALL;
            continue;
        }
        if (got < 0 && errno != EAGAIN)
            return ERR_IO;
        if (got <= 0)
            break;
        /* Anybody may send to a netlink socket; news come from the kernel, port 0. */
        if (from_len == sizeof from && from.nl_pid == 0)
            changes |= changes_of(buffer, (int)got);
    }
    if (changes == 0)
        return ERR_AGAIN;
    *ret_changes = changes;
    return ERR_OK;
}
