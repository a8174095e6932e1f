/* A hostile end for the tests: speaks IKE in TCP like a connector or like a host, and IKE in UDP
 * like another host, with the project's own engine; everything that is said over it comes as raw
 * bytes from the test, on stdin. One line a command, one line an event:
 *
 *   liar KEYFILE ID serve ADDRESS:PORT     (accepts hosts)
 *   liar KEYFILE ID connect ADDRESS:PORT   (logs in)
 *   liar KEYFILE ID udp PORT
 *
 *   > notify N TYPE HEX   > raw N HEX   > close N   > udp ADDRESS:PORT HEX   > ike ADDRESS:PORT
 * EXPECTED-ID|- < open N              < up N KEY ID < notify N TYPE HEX   < closed N WHY < udp
 * ADDRESS:PORT HEX < ike-up KEY          < ike-child SUITE                   < ike-closed WHY
 */
#include "base/text.h"
#include "ike/table.h"
#include "io/clock.h"
#include "io/ike_stream.h"
#include "wire/demux.h"
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 8
#define LINE_CAP        300000
#define HEX_CAP         140000
#define BUFFER_CAP      65536

struct connection {
    int fd; /* -1: none */
    int number;
    struct endpoint remote;
    struct ike_stream stream;
    struct ike_sa *sa;
};

static struct identity *identity;
static struct ike_table *table;
static struct ike_profile *profile;
static struct connection connections[CONNECTIONS_MAX];
static int udp = -1;
static struct ike_sa *udp_sa;
static const char *own_id;
static char line[LINE_CAP];
static char hex[HEX_CAP];
static uint8_t buffer[BUFFER_CAP];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static const char *to_hex(const void *data, size_t len)
{
    if (hex_encode(data, len, hex, sizeof(hex)) < 0)
        hex[0] = '\0';
    return hex;
}

static void load_identity(const char *file)
{
    char pem[4096];
    FILE *f = fopen(file, "r");
    if (f == NULL)
        die(file);
    size_t len = fread(pem, 1, sizeof(pem), f);
    fclose(f);
    if (identity_from_pem(pem, len, &identity) != ERR_OK)
        exit(1);
}

static void send_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        data += sent;
        len -= (size_t)sent;
    }
}

static void drop(struct connection *c, const char *why)
{
    printf("closed %d %s\n", c->number, why);
    ike_sa_free(c->sa);
    c->sa = NULL;
    ike_stream_done(&c->stream);
    close(c->fd);
    c->fd = -1;
}

static void pump(struct connection *c)
{
    uint8_t message[IKE_MESSAGE_CAP], frame[IKE_MESSAGE_CAP + IKE_STREAM_HEADER_LEN];
    struct writer w, f;
    struct endpoint to;
    struct ike_event event;
    char key[PUBLIC_KEY_TEXT_CAP];
    bool is_closed = false;
    while (c->sa != NULL && !is_closed) {
        for (writer_init(&w, message, sizeof(message));
             ike_sa_transmit(c->sa, &w, &to, clock_now_us()) == ERR_OK;
             writer_init(&w, message, sizeof(message))) {
            writer_init(&f, frame, sizeof(frame));
            ike_stream_put_frame(&f, 0, message, w.len);
            send_all(c->fd, frame, f.len);
        }
        ike_sa_next_event(c->sa, &event);
        if (event.type == IKE_EVENT_NONE)
            return;
        if (event.type == IKE_EVENT_ESTABLISHED)
            printf("up %d %s %s\n", c->number, public_key_format(&event.established.peer_key, key),
                   event.established.peer_id);
        else if (event.type == IKE_EVENT_NOTIFY)
            printf("notify %d %u %s\n", c->number, event.notify.type,
                   to_hex(event.notify.data, event.notify.len));
        is_closed = event.type == IKE_EVENT_CLOSED;
    }
    if (is_closed)
        drop(c, event.closed.text);
}

static void pump_udp(void)
{
    uint8_t message[DEMUX_MARKER_LEN + IKE_MESSAGE_CAP] = {0};
    struct writer w;
    struct endpoint to;
    struct ike_event event;
    struct sockaddr_storage address;
    char key[PUBLIC_KEY_TEXT_CAP];
    while (udp_sa != NULL) {
        for (writer_init(&w, message + DEMUX_MARKER_LEN, IKE_MESSAGE_CAP);
             ike_sa_transmit(udp_sa, &w, &to, clock_now_us()) == ERR_OK;
             writer_init(&w, message + DEMUX_MARKER_LEN, IKE_MESSAGE_CAP)) {
            socklen_t len = endpoint_to_sockaddr(&to, false, &address);
            sendto(udp, message, DEMUX_MARKER_LEN + w.len, 0, (struct sockaddr *)&address, len);
        }
        ike_sa_next_event(udp_sa, &event);
        switch (event.type) {
        case IKE_EVENT_NONE:
            return;
        case IKE_EVENT_ESTABLISHED:
            printf("ike-up %s\n", public_key_format(&event.established.peer_key, key));
            break;
        case IKE_EVENT_CHILD_READY:
            printf("ike-child %s\n", suite_name(event.child_ready.suite));
            break;
        case IKE_EVENT_CLOSED:
            printf("ike-closed %s\n", event.closed.text);
            ike_sa_free(udp_sa);
            udp_sa = NULL;
            break;
        default:
            break;
        }
    }
}

static void make_profile(bool is_tcp, const char *expected_id, struct ike_profile **ret)
{
    struct ike_config config;
    ike_config_init(&config, identity);
    if (strcmp(own_id, "-") != 0)
        snprintf(config.id, sizeof(config.id), "%s", own_id);
    if (strcmp(expected_id, "-") != 0)
        snprintf(config.expected_id, sizeof(config.expected_id), "%s", expected_id);
    config.is_reliable = is_tcp;
    if (!is_tcp) {
        config.suites[0] = SPUT_AES128_GCM;
        config.addresses.own_ipv4 = address_from_ipv4(0x00000002);
        config.addresses.other_ipv4 = address_from_ipv4(0x00000003);
    }
    if (ike_profile_new(&config, ret) != ERR_OK)
        exit(1);
}

static struct connection *add(int fd, bool is_server, const struct endpoint *remote)
{
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = &connections[i];
        if (c->fd >= 0)
            continue;
        c->fd = fd;
        c->number = i;
        c->remote = *remote;
        c->sa = NULL;
        ike_stream_init(&c->stream, is_server, IKE_STREAM_PAYLOAD_CAP);
        printf("open %d\n", i);
        return c;
    }
    close(fd);
    return NULL;
}

static void read_tcp(struct connection *c)
{
    ssize_t got = recv(c->fd, buffer, sizeof(buffer), 0);
    struct ike_frame frame;
    if (got <= 0) {
        drop(c, "by the other side");
        return;
    }
    int error = ike_stream_feed(&c->stream, buffer, (size_t)got);
    while (error == ERR_OK && c->fd >= 0) {
        struct ike_sa *sa = NULL;
        error = ike_stream_next(&c->stream, &frame);
        if (error != ERR_OK || frame.channel != 0)
            continue;
        if (ike_table_receive(table, c->sa == NULL ? profile : NULL, frame.data, frame.len,
                              &c->remote, clock_now_us(), &sa) == ERR_OK &&
            c->sa == NULL)
            c->sa = sa;
        pump(c);
    }
}

static void read_udp(void)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    struct endpoint from;
    char text[ENDPOINT_TEXT_CAP];
    ssize_t got = recvfrom(udp, buffer, sizeof(buffer), 0, (struct sockaddr *)&address, &len);
    struct ike_sa *sa;
    if (got < 0 || endpoint_from_sockaddr((struct sockaddr *)&address, &from) != ERR_OK)
        return;
    if (datagram_classify(buffer, (size_t)got) == DATAGRAM_IKE) {
        if (ike_table_receive(table, NULL, buffer + DEMUX_MARKER_LEN,
                              (size_t)got - DEMUX_MARKER_LEN, &from, clock_now_us(), &sa) == ERR_OK)
            pump_udp();
    } else {
        printf("udp %s %s\n", endpoint_format(&from, text, sizeof(text)),
               to_hex(buffer, (size_t)got));
    }
}

static void start_ike(const char *to, const char *expected_id)
{
    struct ike_profile *made;
    struct endpoint remote;
    if (endpoint_parse(to, 0, &remote) != ERR_OK)
        return;
    make_profile(false, expected_id, &made);
    ike_sa_free(udp_sa);
    udp_sa = NULL;
    if (ike_sa_initiate(table, made, &remote, clock_now_us(), &udp_sa) == ERR_OK)
        pump_udp();
    ike_profile_free(made);
}

/* Waits where the engine has its fill of notifies on the way. */
static void send_notify(struct connection *c, uint16_t type, const char *text)
{
    static uint8_t data[IKE_NOTIFY_LEN_MAX];
    int len = text != NULL ? hex_decode(text, data, sizeof(data)) : 0;
    int error =
        len < 0 || c->sa == NULL ? ERR_INVALID : ike_sa_send_notify(c->sa, type, data, (size_t)len);
    pump(c);
    while (error == ERR_FULL && c->fd >= 0 && c->sa != NULL) {
        read_tcp(c);
        if (c->sa != NULL)
            error = ike_sa_send_notify(c->sa, type, data, (size_t)len);
        pump(c);
    }
    if (error != ERR_OK)
        printf("failed notify\n");
}

static void run_command(char *text)
{
    char *word = strtok(text, " ");
    char *first = strtok(NULL, " ");
    char *second = strtok(NULL, " ");
    char *third = strtok(NULL, " ");
    if (word == NULL || first == NULL)
        return;
    struct connection *c = &connections[(unsigned)atoi(first) % CONNECTIONS_MAX];
    if (strcmp(word, "udp") == 0 && second != NULL) {
        struct sockaddr_storage address;
        struct endpoint to;
        int len = hex_decode(second, buffer, sizeof(buffer));
        if (len >= 0 && endpoint_parse(first, 0, &to) == ERR_OK)
            sendto(udp, buffer, (size_t)len, 0, (struct sockaddr *)&address,
                   endpoint_to_sockaddr(&to, false, &address));
    } else if (strcmp(word, "ike") == 0 && second != NULL) {
        start_ike(first, second);
    } else if (c->fd < 0) {
        return;
    } else if (strcmp(word, "notify") == 0 && second != NULL) {
        send_notify(c, (uint16_t)atoi(second), third);
    } else if (strcmp(word, "raw") == 0 && second != NULL) {
        int len = hex_decode(second, buffer, sizeof(buffer));
        if (len > 0)
            send_all(c->fd, buffer, (size_t)len);
    } else if (strcmp(word, "close") == 0) {
        drop(c, "here");
    }
}

/* False at the end of stdin. */
static bool read_commands(void)
{
    static size_t have;
    ssize_t got = read(0, line + have, sizeof(line) - 1 - have);
    if (got <= 0)
        return false;
    have += (size_t)got;
    for (char *end; (end = memchr(line, '\n', have)) != NULL;) {
        size_t used = (size_t)(end - line) + 1;
        *end = '\0';
        run_command(line);
        have -= used;
        memmove(line, line + used, have);
    }
    return true;
}

static int open_socket(int kind, const struct endpoint *local)
{
    struct sockaddr_storage address;
    int one = 1;
    int fd = socket(AF_INET, kind | SOCK_CLOEXEC, 0);
    socklen_t len = endpoint_to_sockaddr(local, false, &address);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0)
        die("bind");
    return fd;
}

static void connect_to(const struct endpoint *remote)
{
    struct sockaddr_storage address;
    uint8_t prefix[IKE_STREAM_PREFIX_LEN];
    struct writer w;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = endpoint_to_sockaddr(remote, false, &address);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, len) != 0)
        die("connect");
    struct connection *c = add(fd, false, remote);
    writer_init(&w, prefix, sizeof(prefix));
    ike_stream_put_prefix(&w);
    send_all(fd, prefix, w.len);
    if (ike_sa_initiate(table, profile, remote, clock_now_us(), &c->sa) == ERR_OK)
        pump(c);
}

static void expire(void)
{
    struct ike_sa *sa;
    while ((sa = ike_table_expire(table, clock_now_us())) != NULL) {
        if (sa == udp_sa)
            pump_udp();
        for (int i = 0; i < CONNECTIONS_MAX; i++) {
            if (connections[i].fd >= 0 && connections[i].sa == sa)
                pump(&connections[i]);
        }
    }
}

int main(int argc, char **argv)
{
    struct ike_table_limits limits;
    struct endpoint endpoint = {address_from_ipv4(0), 0};
    struct pollfd polls[CONNECTIONS_MAX + 3];
    int listener = -1;
    if (argc != 5)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    load_identity(argv[1]);
    own_id = argv[2];
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        connections[i].fd = -1;
    ike_table_limits_init(&limits);
    if (ike_table_new(&limits, clock_now_us(), &table) != ERR_OK)
        return 1;
    make_profile(true, "-", &profile);
    if (strcmp(argv[3], "udp") == 0) {
        endpoint.port = (uint16_t)atoi(argv[4]);
        udp = open_socket(SOCK_DGRAM, &endpoint);
    } else if (endpoint_parse(argv[4], 4500, &endpoint) != ERR_OK) {
        return 2;
    } else if (strcmp(argv[3], "serve") == 0) {
        listener = open_socket(SOCK_STREAM, &endpoint);
        if (listen(listener, 16) != 0)
            die("listen");
    }
    printf("ready\n");
    if (strcmp(argv[3], "connect") == 0)
        connect_to(&endpoint);
    for (;;) {
        polls[0] = (struct pollfd){.fd = 0, .events = POLLIN};
        polls[1] = (struct pollfd){.fd = listener, .events = POLLIN};
        polls[2] = (struct pollfd){.fd = udp, .events = POLLIN};
        for (int i = 0; i < CONNECTIONS_MAX; i++)
            polls[i + 3] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
        poll(polls, CONNECTIONS_MAX + 3, 50);
        expire();
        if (polls[0].revents != 0 && !read_commands())
            return 0;
        if (polls[1].revents != 0) {
            struct sockaddr_storage address;
            socklen_t len = sizeof(address);
            int fd = accept(listener, (struct sockaddr *)&address, &len);
            if (fd >= 0 && endpoint_from_sockaddr((struct sockaddr *)&address, &endpoint) == ERR_OK)
                add(fd, true, &endpoint);
        }
        if (polls[2].revents != 0)
            read_udp();
        for (int i = 0; i < CONNECTIONS_MAX; i++) {
            if (polls[i + 3].revents != 0 && connections[i].fd == polls[i + 3].fd &&
                connections[i].fd >= 0)
                read_tcp(&connections[i]);
        }
    }
}
