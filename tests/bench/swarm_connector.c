/* The swarm's connector: one host logs in here, and gets calls. It vouches for every caller, limits
 * nothing, and answers STUN. */
#include "swarm.h"

#include "io/clock.h"
#include "io/ike_stream.h"
#include "path/binding.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LEASE_S  120
#define READ_CAP 65536
#define STUN_LEN                                                                                   \
    (BINDING_REQUEST_LEN_MAX > BINDING_DISCOVERY_CAP ? BINDING_REQUEST_LEN_MAX                     \
                                                     : BINDING_DISCOVERY_CAP)

struct swarm_connector {
    struct swarm_connector_config config;
    struct ike_table *ike;
    struct ike_profile *profile;
    int listener, stream; /* -1: none */
    int stun[2];          /* its port, and the next one */
    struct ike_stream parser;
    struct endpoint remote;
    struct ike_sa *sa;
    bool is_logged_in;
};

static int open_socket(int kind, const struct endpoint *local)
{
    struct sockaddr_storage address;
    const int one = 1;
    const int fd = socket(AF_INET, kind | SOCK_CLOEXEC, 0);
    const socklen_t len = endpoint_to_sockaddr(local, false, &address);
    swarm_check(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
                    bind(fd, (struct sockaddr *)&address, len) == 0,
                "the connector's socket");
    return fd;
}

struct swarm_connector *swarm_connector_new(const struct swarm_connector_config *config)
{
    struct swarm_connector *c = calloc(1, sizeof(*c));
    struct ike_table_limits limits;
    struct ike_config ike;
    swarm_check(c != NULL, "memory");
    c->config = *config;
    c->stream = -1;
    ike_table_limits_init(&limits);
    ike_config_init(&ike, config->identity);
    strcpy(ike.id, config->zone);
    ike.is_reliable = true;
    swarm_check(ike_table_new(&limits, clock_now_us(), &c->ike) == ERR_OK &&
                    ike_profile_new(&ike, &c->profile) == ERR_OK,
                "the connector's IKE");
    const struct endpoint at = {config->address, SWARM_CONNECTOR};
    c->listener = open_socket(SOCK_STREAM, &at);
    swarm_check(listen(c->listener, 4) == 0, "listen");
    for (uint16_t i = 0; i < 2; i++) {
        const struct endpoint stun = {config->address, (uint16_t)(SWARM_CONNECTOR + i)};
        c->stun[i] = open_socket(SOCK_DGRAM | SOCK_NONBLOCK, &stun);
    }
    return c;
}

static void drop_session(struct swarm_connector *c)
{
    if (c->stream < 0)
        return;
    ike_sa_free(c->sa);
    c->sa = NULL;
    ike_stream_done(&c->parser);
    close(c->stream);
    c->stream = -1;
    c->is_logged_in = false;
}

void swarm_connector_free(struct swarm_connector *c)
{
    drop_session(c);
    close(c->listener);
    close(c->stun[0]);
    close(c->stun[1]);
    ike_profile_free(c->profile);
    ike_table_free(c->ike);
    free(c);
}

void swarm_connector_fds(const struct swarm_connector *c, int ret_fds[SWARM_CONNECTOR_FDS])
{
    const int fds[SWARM_CONNECTOR_FDS] = {c->listener, c->stream, c->stun[0], c->stun[1]};
    memcpy(ret_fds, fds, sizeof(fds));
}

/* ---- the session ---- */

static void send_all(struct swarm_connector *c, const uint8_t *data, size_t len)
{
    while (len > 0) {
        const ssize_t sent = send(c->stream, data, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        data += sent;
        len -= (size_t)sent;
    }
}

static void transmit(struct swarm_connector *c)
{
    uint8_t message[IKE_MESSAGE_CAP], frame[IKE_MESSAGE_CAP + IKE_STREAM_HEADER_LEN];
    struct endpoint to;
    struct writer w, f;
    for (writer_init(&w, message, sizeof(message));
         ike_sa_transmit(c->sa, &w, &to, clock_now_us()) == ERR_OK;
         writer_init(&w, message, sizeof(message))) {
        writer_init(&f, frame, sizeof(frame));
        ike_stream_put_frame(&f, 0, message, w.len);
        send_all(c, frame, f.len);
    }
}

static void log_in(struct swarm_connector *c, const struct ike_event_notify *notify)
{
    struct notify_login login;
    struct notify_name name = {
        .result = NAME_OK, .is_static = true, .lease_s = LEASE_S, .stun_port = SWARM_CONNECTOR};
    uint8_t data[NOTIFY_LEN_MAX];
    struct writer w;
    if (notify_parse_login(notify->data, notify->len, &login) != ERR_OK || login.is_guest)
        return;
    strcpy(name.name, login.name);
    strcpy(name.zone, c->config.zone);
    writer_init(&w, data, sizeof(data));
    notify_build_name(&w, &name);
    if (!writer_is_ok(&w) || ike_sa_send_notify(c->sa, NOTIFY_NAME, data, w.len) != ERR_OK)
        return;
    c->is_logged_in = true;
    c->config.logged_in(c->config.context, ike_sa_peer_key(c->sa), login.name);
}

static void take_notify(struct swarm_connector *c, const struct ike_event_notify *notify)
{
    struct notify_answer answer;
    if (notify->type == NOTIFY_LOGIN)
        log_in(c, notify);
    else if (notify->type == NOTIFY_ANSWER &&
             notify_parse_answer(notify->data, notify->len, &answer) == ERR_OK)
        c->config.answered(c->config.context, &answer);
}

static void pump(struct swarm_connector *c)
{
    struct ike_event event;
    while (c->sa != NULL) {
        transmit(c);
        ike_sa_next_event(c->sa, &event);
        if (event.type == IKE_EVENT_NONE)
            return;
        if (event.type == IKE_EVENT_NOTIFY)
            take_notify(c, &event.notify);
        else if (event.type == IKE_EVENT_CLOSED) {
            transmit(c);
            drop_session(c);
        }
    }
}

static void read_stream(struct swarm_connector *c)
{
    static uint8_t buffer[READ_CAP];
    struct ike_frame frame;
    const ssize_t got = recv(c->stream, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    int error = got > 0 ? ike_stream_feed(&c->parser, buffer, (size_t)got) : ERR_IO;
    while (error == ERR_OK) {
        struct ike_sa *sa = NULL;
        error = ike_stream_next(&c->parser, &frame);
        if (error != ERR_OK || frame.channel != 0)
            continue;
        (void)!ike_table_receive(c->ike, c->sa == NULL ? c->profile : NULL, frame.data, frame.len,
                                 &c->remote, clock_now_us(), &sa);
        if (c->sa == NULL)
            c->sa = sa;
        pump(c);
        if (c->stream < 0)
            return;
    }
    if (error != ERR_AGAIN)
        drop_session(c);
}

/* Who connects again has lost the connection before. */
static void take_connection(struct swarm_connector *c)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    const int fd = accept4(c->listener, (struct sockaddr *)&address, &len, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    drop_session(c);
    c->stream = fd;
    ike_stream_init(&c->parser, true, IKE_STREAM_PAYLOAD_CAP);
    swarm_check(endpoint_from_sockaddr((struct sockaddr *)&address, &c->remote) == ERR_OK,
                "who connects");
}

int swarm_connector_call(struct swarm_connector *c, const struct notify_call *call)
{
    uint8_t data[NOTIFY_LEN_MAX];
    struct writer w;
    if (!c->is_logged_in)
        return ERR_STATE;
    writer_init(&w, data, sizeof(data));
    notify_build_call(&w, call);
    swarm_check(writer_is_ok(&w), "CALL");
    const int error = ike_sa_send_notify(c->sa, NOTIFY_CALL, data, w.len);
    pump(c);
    return error;
}

/* ---- STUN ---- */

static void answer_stun(struct swarm_connector *c, int i)
{
    uint8_t request[STUN_LEN], answer[STUN_LEN];
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    struct endpoint from;
    struct binding_route route;
    struct writer w;
    const struct binding_server server = {
        .at = {c->config.address, (uint16_t)(SWARM_CONNECTOR + i)},
        .other = {c->config.address, (uint16_t)(SWARM_CONNECTOR + !i)},
        .now_s = (uint32_t)(clock_now_us() / SECOND_US)};
    const ssize_t got =
        recvfrom(c->stun[i], request, sizeof(request), 0, (struct sockaddr *)&address, &len);
    writer_init(&w, answer, sizeof(answer));
    if (got < 0 || endpoint_from_sockaddr((struct sockaddr *)&address, &from) != ERR_OK ||
        binding_discover(request, (size_t)got, &from, &server, &w, &route) != ERR_OK)
        return;
    if (route.port != 0)
        from.port = route.port;
    len = endpoint_to_sockaddr(&from, false, &address);
    (void)!sendto(c->stun[route.change_port ? !i : i], answer, w.len, 0,
                  (struct sockaddr *)&address, len);
}

void swarm_connector_run(struct swarm_connector *c)
{
    struct pollfd listener = {.fd = c->listener, .events = POLLIN};
    if (poll(&listener, 1, 0) == 1)
        take_connection(c);
    if (c->stream >= 0)
        read_stream(c);
    answer_stun(c, 0);
    answer_stun(c, 1);
    while (ike_table_expire(c->ike, clock_now_us()) != NULL)
        pump(c);
}
