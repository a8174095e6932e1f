/* A connector in a child process, and hosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include "fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "connector/server.h"
#include "io/clock.h"
#include "io/control_socket.h"

/* A port that is free for UDP and TCP right now. */
static uint16_t free_port(void)
{
    for (;;) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof address;
        const int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
        assert_true(tcp >= 0 && udp >= 0);
        assert_int_equal(bind(tcp, (struct sockaddr *)&address, len), 0);
        assert_int_equal(getsockname(tcp, (struct sockaddr *)&address, &len), 0);
        const bool is_free = bind(udp, (struct sockaddr *)&address, len) == 0;
        close(tcp);
        close(udp);
        if (is_free)
            return ntohs(address.sin_port);
    }
}

void fixture_init(struct fixture *fixture)
{
    char text[512];
    memset(fixture, 0, sizeof *fixture);
    snprintf(fixture->directory, sizeof fixture->directory, "/tmp/detec-connector-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    const char *d = fixture->directory;
    snprintf(text, sizeof text,
             "[connector]\nzone = " ZONE "\naddress = 192.0.2.1\nlisten = 127.0.0.1:%u\n"
             "dns = 127.0.0.1:%u\nlisten-tls = off\nkey = %s/key\ndatabase = %s/hosts.db\nsocket = "
             "%s/socket\n"
             "lease = 30s\nlog = error\n",
             free_port(), free_port(), d, d, d);
    char file[96];
    snprintf(file, sizeof file, "%s/connector.conf", d);
    FILE *stream = fopen(file, "w");
    assert_non_null(stream);
    assert_true(fputs(text, stream) != EOF && fclose(stream) == 0);
    assert_int_equal(connector_config_load(file, &fixture->config, stderr), ERR_OK);
}

void fixture_start(struct fixture *fixture)
{
    fixture->pid = fork();
    assert_true(fixture->pid >= 0);
    if (fixture->pid == 0) {
        /* Goes with the test, however that ends. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        const struct rlimit files = {fixture->files_max, fixture->files_max};
        if (fixture->files_max != 0 && setrlimit(RLIMIT_NOFILE, &files) != 0)
            _exit(1);
        log_init("connector", fixture->config.log_level);
        /* Not _exit: a leak checker looks at the end. */
        exit(server_run(&fixture->config) == ERR_OK ? 0 : 1);
    }
    const uint64_t until_us = clock_now_us() + WAIT_US;
    for (;;) {
        int fd = -1, status;
        if (control_socket_connect(fixture->config.socket, &fd) == ERR_OK) {
            close(fd);
            return;
        }
        if (waitpid(fixture->pid, &status, WNOHANG) == fixture->pid) {
            fixture->pid = 0;
            fail_msg("the connector has ended");
        }
        assert_true(clock_now_us() < until_us);
        usleep(2000);
    }
}

int fixture_stop(struct fixture *fixture, int number)
{
    int status = 0;
    assert_int_equal(kill(fixture->pid, number), 0);
    assert_int_equal(waitpid(fixture->pid, &status, 0), fixture->pid);
    fixture->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

void fixture_done(struct fixture *fixture)
{
    if (fixture->pid > 0)
        (void)fixture_stop(fixture, SIGKILL);
    nftw(fixture->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

json_t *fixture_ask(const struct fixture *fixture, json_t *request)
{
    int fd = -1;
    char *text = json_dumps(request, JSON_COMPACT);
    assert_non_null(text);
    json_decref(request);
    assert_int_equal(control_socket_connect(fixture->config.socket, &fd), ERR_OK);
    FILE *stream = fdopen(fd, "r+");
    assert_non_null(stream);
    assert_true(fprintf(stream, "%s\n", text) > 0 && fflush(stream) == 0);
    free(text);
    char *line = NULL;
    size_t cap = 0;
    assert_true(getline(&line, &cap, stream) > 0);
    json_t *answer = json_loads(line, 0, NULL);
    assert_true(json_is_true(json_object_get(answer, "done")));
    free(line);
    fclose(stream);
    return answer;
}

void fixture_add_host(const struct fixture *fixture, const char *name, const struct identity *key,
                      const char *mac)
{
    char text[PUBLIC_KEY_TEXT_CAP];
    json_t *answer = fixture_ask(
        fixture, json_pack("{s:s, s:s, s:s, s:s?}", "command", "host-add", "name", name, "key",
                           public_key_format(identity_public(key), text), "mac", mac));
    if (json_object_get(answer, "error") != NULL)
        fail_msg("%s", json_string_value(json_object_get(answer, "error")));
    json_decref(answer);
}

bool fixture_has_record(const struct fixture *fixture, const char *name)
{
    uint8_t query[300] = {0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, answer[1500];
    size_t len = 12;
    for (const char *at = name; *at != '\0';) {
        const size_t label = strcspn(at, ".");
        query[len++] = (uint8_t)label;
        memcpy(query + len, at, label);
        len += label;
        at += label + (at[label] == '.');
    }
    memcpy(query + len, "\0\0\1\0\1", 5);
    len += 5;
    struct sockaddr_storage address;
    const socklen_t address_len = endpoint_to_sockaddr(&fixture->config.dns, false, &address);
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, address_len), 0);
    assert_int_equal(send(fd, query, len, 0), len);
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&pollfd, 1, (int)(WAIT_US / 1000)), 1);
    const ssize_t got = recv(fd, answer, sizeof answer, 0);
    close(fd);
    assert_true(got >= 12);
    const int rcode = answer[3] & 15, count = answer[6] << 8 | answer[7];
    assert_true(rcode == 0 || rcode == 3);
    return rcode == 0 && count > 0;
}

void fixture_wait_record(const struct fixture *fixture, const char *name, bool wanted)
{
    const uint64_t until_us = clock_now_us() + WAIT_US;
    while (fixture_has_record(fixture, name) != wanted) {
        if (clock_now_us() > until_us)
            fail_msg("%s: a record is %s", name, wanted ? "missing" : "still there");
        usleep(5000);
    }
}

long fixture_rss_kib(const struct fixture *fixture)
{
    char path[64], line[256];
    long kib = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)fixture->pid);
    FILE *stream = fopen(path, "r");
    assert_non_null(stream);
    while (fgets(line, sizeof line, stream) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    }
    fclose(stream);
    return kib;
}

static void make_profile(struct client *client, const struct identity *identity,
                         const struct public_key *expected)
{
    struct ike_config config;
    struct ike_table_limits limits;
    ike_config_init(&config, identity);
    config.is_reliable = true;
    config.wants_ticket = true;
    config.has_expected_key = expected != NULL;
    if (expected != NULL)
        config.expected_key = *expected;
    assert_int_equal(ike_profile_new(&config, &client->profile), ERR_OK);
    ike_table_limits_init(&limits);
    limits.sas_max = 4;
    assert_int_equal(ike_table_new(&limits, clock_now_us(), &client->table), ERR_OK);
}

static int connect_to(const struct fixture *fixture)
{
    struct sockaddr_storage address;
    const socklen_t len = endpoint_to_sockaddr(&fixture->config.listen, false, &address);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
    return fd;
}

static void begin(struct client *client, int fd, const struct identity *identity,
                  const struct public_key *expected)
{
    uint8_t prefix[IKE_STREAM_PREFIX_LEN];
    struct writer w;
    memset(client, 0, sizeof *client);
    client->fd = fd;
    assert_int_equal(fcntl(client->fd, F_SETFL, O_NONBLOCK), 0);
    ike_stream_init(&client->stream, false, IKE_STREAM_STRANGER_CAP);
    writer_init(&w, prefix, sizeof prefix);
    ike_stream_put_prefix(&w);
    assert_int_equal(send(client->fd, prefix, w.len, MSG_NOSIGNAL), w.len);
    make_profile(client, identity, expected);
}

void client_open(struct client *client, const struct fixture *fixture,
                 const struct identity *identity, const struct public_key *expected)
{
    client_open_on(client, fixture, connect_to(fixture), identity, expected);
}

void client_resume(struct client *client, const struct fixture *fixture,
                   const struct identity *identity, const struct ike_resumption *resumption)
{
    begin(client, connect_to(fixture), identity, &resumption->peer_key);
    assert_int_equal(ike_sa_resume(client->table, client->profile, resumption,
                                   &fixture->config.listen, clock_now_us(), &client->sa),
                     ERR_OK);
}

void client_open_on(struct client *client, const struct fixture *fixture, int fd,
                    const struct identity *identity, const struct public_key *expected)
{
    begin(client, fd, identity, expected);
    assert_int_equal(ike_sa_initiate(client->table, client->profile, &fixture->config.listen,
                                     clock_now_us(), &client->sa),
                     ERR_OK);
}

void client_done(struct client *client)
{
    ike_table_free(client->table);
    ike_profile_free(client->profile);
    ike_stream_done(&client->stream);
    ike_resumption_free(client->resumption);
    client->resumption = NULL;
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    client->table = NULL;
    client->profile = NULL;
    client->sa = NULL;
}

static void take_notify(struct client *client, const struct ike_event_notify *notify)
{
    if (notify->type == NOTIFY_NAME && client->name_count < NOTIFIES_MAX)
        assert_int_equal(
            notify_parse_name(notify->data, notify->len, &client->names[client->name_count++]),
            ERR_OK);
    if (notify->type == NOTIFY_CALL && ++client->call_count > 0)
        assert_int_equal(notify_parse_call(notify->data, notify->len, &client->call), ERR_OK);
    if (notify->type == NOTIFY_ANSWER && ++client->answer_count > 0)
        assert_int_equal(notify_parse_answer(notify->data, notify->len, &client->answer), ERR_OK);
    if (notify->type == NOTIFY_KEY && ++client->key_count > 0)
        assert_int_equal(notify_parse_key(notify->data, notify->len, &client->key), ERR_OK);
}

static void transmit(struct client *client)
{
    uint8_t message[IKE_MESSAGE_CAP], frame[IKE_MESSAGE_CAP + IKE_STREAM_HEADER_LEN];
    struct endpoint remote;
    struct writer w, out;
    while (client->sa != NULL) {
        writer_init(&w, message, sizeof message);
        if (ike_sa_transmit(client->sa, &w, &remote, clock_now_us()) != ERR_OK)
            return;
        writer_init(&out, frame, sizeof frame);
        ike_stream_put_frame(&out, 0, message, w.len);
        assert_true(writer_is_ok(&out));
        if (!client->is_eof)
            (void)!send(client->fd, frame, out.len, MSG_NOSIGNAL);
    }
}

static void drive(struct client *client)
{
    struct ike_event event;
    for (;;) {
        transmit(client);
        if (client->sa == NULL)
            return;
        ike_sa_next_event(client->sa, &event);
        if (event.type == IKE_EVENT_NONE)
            return;
        if (event.type == IKE_EVENT_ESTABLISHED) {
            client->is_up = true;
            client->is_resumed = event.established.is_resumed;
            client->resumption = ike_sa_take_resumption(client->sa);
        }
        if (event.type == IKE_EVENT_NOTIFY)
            take_notify(client, &event.notify);
        if (event.type == IKE_EVENT_CLOSED) {
            client->is_closed = true;
            client->reason = event.closed.reason;
            transmit(client);
            ike_sa_free(client->sa);
            client->sa = NULL;
        }
    }
}

static void hear(struct client *client, const uint8_t *data, size_t len)
{
    struct ike_frame frame;
    assert_int_equal(ike_stream_feed(&client->stream, data, len), ERR_OK);
    int error;
    while ((error = ike_stream_next(&client->stream, &frame)) == ERR_OK) {
        struct ike_sa *sa = NULL;
        assert_int_equal(frame.channel, 0);
        const struct endpoint remote = {.address = address_from_ipv4(INADDR_LOOPBACK)};
        (void)!ike_table_receive(client->table, NULL, frame.data, frame.len, &remote,
                                 clock_now_us(), &sa);
        drive(client);
    }
    assert_int_equal(error, ERR_AGAIN);
}

void client_step(struct client *client, int wait_ms)
{
    uint8_t data[8192];
    struct pollfd pollfd = {.fd = client->fd, .events = POLLIN};
    drive(client);
    if (client->is_eof || poll(&pollfd, 1, wait_ms) <= 0)
        return;
    const ssize_t got = recv(client->fd, data, sizeof data, 0);
    if (got > 0)
        hear(client, data, (size_t)got);
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        client->is_eof = true;
    drive(client);
}

void client_wait_flag(struct client *client, const bool *flag)
{
    const uint64_t until_us = clock_now_us() + WAIT_US;
    while (!*flag) {
        if (clock_now_us() > until_us)
            fail_msg("waited in vain: up %d, closed %d (%s), end of stream %d", client->is_up,
                     client->is_closed, ike_reason_text(client->reason), client->is_eof);
        client_step(client, 20);
    }
}

void client_wait_count(struct client *client, const size_t *count, size_t wanted)
{
    const uint64_t until_us = clock_now_us() + WAIT_US;
    while (*count < wanted) {
        if (clock_now_us() > until_us || client->is_eof)
            fail_msg("waited in vain: up %d, closed %d (%s), end of stream %d", client->is_up,
                     client->is_closed, ike_reason_text(client->reason), client->is_eof);
        client_step(client, 20);
    }
}

void client_send(struct client *client, uint16_t type, const struct writer *w)
{
    assert_true(writer_is_ok(w));
    assert_int_equal(ike_sa_send_notify(client->sa, type, w->base, w->len), ERR_OK);
    drive(client);
}

void client_login(struct client *client, const struct notify_login *login)
{
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_login(&w, login);
    client_send(client, NOTIFY_LOGIN, &w);
}

void client_log_in(struct client *client, const struct fixture *fixture,
                   const struct identity *identity, const char *name, bool is_guest)
{
    struct notify_login login = {.is_guest = is_guest, .port = 32589};
    snprintf(login.name, sizeof login.name, "%s", name);
    client_open(client, fixture, identity, NULL);
    client_wait_flag(client, &client->is_up);
    client_login(client, &login);
    client_wait_count(client, &client->name_count, 1);
}
