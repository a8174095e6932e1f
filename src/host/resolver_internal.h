/* What resolver.c (capture, UDP) and resolver_tcp.c share. */
#ifndef HOST_RESOLVER_INTERNAL_H
#define HOST_RESOLVER_INTERNAL_H

#include "host/host.h"
#include "host/judge.h"
#include "host/resolver.h"
#include "io/conntrack.h"
#include "io/dns_capture.h"
#include "io/dns_socket.h"

#define RESOLVER_MESSAGE_CAP 65535

struct question;
struct relay;
struct resolver;

/* One listener: a family. */
struct listener {
    struct resolver *resolver;
    struct endpoint local;
    bool is_open;
    int udp_fd;
    uv_poll_t udp;
    uv_tcp_t tcp;
};

struct resolver {
    struct host *host;
    struct dns_capture capture;
    struct netlink conntrack;
    bool is_capturing;
    bool is_closing;
    struct task refresh; /* keeps the capture alive: if this stops, so does the capture */
    uint64_t refreshed_us;
    struct listener listeners[2];
    unsigned open_handles;
    struct question *questions;
    size_t question_count;
    struct relay *relays;
    size_t relay_count;
    uint64_t query_count;
    const char *error;
    struct log_limit log_limit;
    uint8_t buffer[RESOLVER_MESSAGE_CAP];
};

/* A handle of the resolver's has closed; the last one frees it. */
void resolver_handle_closed(uv_handle_t *handle);

/* resolver_tcp.c */
MUST_USE int relay_listen(struct listener *listener, int fd);
void relays_close(struct resolver *resolver);

#endif
