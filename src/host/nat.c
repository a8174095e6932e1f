/* Two engines over a few sockets: path/behaviour asks how the NAT maps and gives out ports,
 * path/reflexive which port it gave out last. */
#include "host/nat.h"

#include "crypto/memory.h"
#include "host/call.h"
#include "host/host.h"
#include "host/portmap.h"
#include "host/session.h"
#include "io/clock.h"
#include "path/reflexive.h"
#include <stdlib.h>
#include <string.h>

#define FRESH_US      (500 * MS_US) /* so long the port given out last is known */
#define AGAIN_US      (10 * SECOND_US)
#define DEFERRED_MAX  8
#define RECEIVE_TURNS 16

struct run;

struct run_socket {
    struct run *run;
    struct udp udp;
    uv_poll_t poll;
};

/* One engine's sockets; freed when libuv has let go of them. */
struct run {
    struct host *host;
    struct behaviour *behaviour; /* this one */
    struct reflexive *reflexive; /* or that one; neither: it is over */
    struct task task;
    uint64_t end_us; /* of the reflexive one */
    struct run_socket sockets[BEHAVIOUR_SOCKETS];
    unsigned socket_count;
    unsigned handle_count;
};

struct deferred {
    struct nat_wait wait;
    struct host *host;
    struct notify_call notify;
    bool is_used;
};

struct nat {
    struct run *learning; /* NULL: not at present */
    struct run *asking;
    bool has_result;
    struct behaviour_result result;
    uint64_t learnt_us;
    uint64_t began_us;      /* the present run */
    struct endpoint server; /* the connector's STUN */
    struct endpoint seen;   /* the tunnel socket, by that */
    uint16_t last;          /* port; 0: unknown */
    uint64_t last_us;
    struct nat_wait *waits;
    struct nat_wait *due; /* those whose turn it is */
    struct deferred deferred[DEFERRED_MAX];
};

/* ---- sockets ---- */

static void on_closed(uv_handle_t *handle)
{
    struct run_socket *socket = handle->data;
    struct run *run = socket->run;
    if (--run->handle_count == 0)
        free(run);
}

static void end(struct run *run)
{
    if (run == NULL)
        return;
    task_clear(&run->host->tasks, &run->task);
    behaviour_free(run->behaviour);
    reflexive_free(run->reflexive);
    run->behaviour = NULL;
    run->reflexive = NULL;
    for (unsigned i = 0; i < run->socket_count; i++) {
        uv_poll_stop(&run->sockets[i].poll);
        uv_close((uv_handle_t *)&run->sockets[i].poll, on_closed);
        udp_close(&run->sockets[i].udp);
    }
    if (run->handle_count == 0)
        free(run);
}

static void on_readable(uv_poll_t *poll, int status, int events);

static int add_socket(struct run *run)
{
    const struct udp_options options = {.mark = HOST_MARK};
    struct run_socket *socket = &run->sockets[run->socket_count];
    const int error = udp_open(&options, &socket->udp);
    if (error != ERR_OK)
        return error;
    socket->run = run;
    if (uv_poll_init(host_loop(run->host), &socket->poll, socket->udp.fd) != 0) {
        udp_close(&socket->udp);
        return ERR_IO;
    }
    socket->poll.data = socket;
    run->socket_count++;
    run->handle_count++;
    return uv_poll_start(&socket->poll, UV_READABLE, on_readable) == 0 ? ERR_OK : ERR_IO;
}

static struct run *new_run(struct host *host, unsigned count)
{
    struct run *run = calloc(1, sizeof(*run));
    if (run == NULL)
        return NULL;
    run->host = host;
    for (unsigned i = 0; i < count; i++) {
        if (add_socket(run) != ERR_OK) {
            end(run);
            return NULL;
        }
    }
    return run;
}

static void send_from(struct run *run, unsigned socket, const struct endpoint *to,
                      const struct writer *w)
{
    const int error = udp_send(&run->sockets[socket].udp, to, 0, w->base, w->len);
    if (error != ERR_OK)
        log_debug("question about the NAT not sent: %s", error_text(error));
}

/* ---- how ports are given out ---- */

static bool is_mapped_anew(enum behaviour_kind mapping)
{
    return mapping == BEHAVIOUR_ADDRESS_DEPENDENT ||
           mapping == BEHAVIOUR_ADDRESS_AND_PORT_DEPENDENT;
}

static bool is_filtered(enum behaviour_kind filtering)
{
    return filtering == BEHAVIOUR_ADDRESS_DEPENDENT ||
           filtering == BEHAVIOUR_ADDRESS_AND_PORT_DEPENDENT;
}

static void run_waits(struct nat *nat, uint64_t now_us)
{
    struct nat_wait *wait, **link = &nat->due;
    while (*link != NULL)
        link = &(*link)->next;
    *link = nat->waits;
    nat->waits = NULL; /* where those come back that go on waiting */
    while ((wait = nat->due) != NULL) {
        nat->due = wait->next;
        wait->is_waiting = false;
        wait->run(wait, now_us);
    }
}

/* True: what we have told others of it is not right any more. */
static bool take_result(struct host *host, uint64_t now_us)
{
    struct nat *nat = host->nat;
    struct behaviour_result result;
    struct port_pattern before, after;
    nat_pattern(host, &before);
    behaviour_get_result(nat->learning->behaviour, &result);
    end(nat->learning);
    nat->learning = NULL;
    nat->learnt_us = now_us;
    if (!result.is_udp_open)
        return false;
    /* The first run's word holds: by asking how ports are mapped, it has itself opened a filter
     * that looks at what the host as a whole has sent to. */
    if (nat->has_result && is_filtered(nat->result.filtering))
        result.filtering = nat->result.filtering;
    nat->result = result;
    nat->has_result = true;
    log_debug("NAT: mapping %s, ports %s, filtering %s", behaviour_kind_text(result.mapping),
              behaviour_ports_text(result.ports), behaviour_kind_text(result.filtering));
    nat_pattern(host, &after);
    return before.kind != after.kind || before.is_by_address != after.is_by_address ||
           before.step != after.step;
}

static void finish_learning(struct host *host, uint64_t now_us)
{
    if (take_result(host, now_us))
        calls_on_news(host, now_us);
    run_waits(host->nat, now_us);
}

/* Until then the first run's result is waited for. */
static uint64_t patience_ends_us(const struct host *host)
{
    return host->nat->began_us + deadline_min(NAT_LEARN_US, host->config.attempt_us / 4);
}

static bool is_worth_waiting(const struct host *host, uint64_t now_us)
{
    const struct nat *nat = host->nat;
    return nat->learning != NULL && !nat->has_result && now_us < patience_ends_us(host);
}

static void pump_learning(struct run *run, uint64_t now_us)
{
    uint8_t data[BEHAVIOUR_DATAGRAM_CAP];
    struct endpoint to;
    struct writer w;
    unsigned socket;
    for (writer_init(&w, data, sizeof(data));
         behaviour_transmit(run->behaviour, &w, &socket, &to, now_us) == ERR_OK;
         writer_init(&w, data, sizeof(data)))
        send_from(run, socket, &to, &w);
    struct nat *nat = run->host->nat;
    if (behaviour_is_done(run->behaviour)) {
        finish_learning(run->host, now_us);
        return;
    }
    uint64_t at_us = behaviour_deadline(run->behaviour);
    if (is_worth_waiting(run->host, now_us))
        at_us = deadline_min(at_us, patience_ends_us(run->host));
    task_set(&run->host->tasks, &run->task, at_us);
    if (!is_worth_waiting(run->host, now_us) && nat->asking == NULL)
        run_waits(nat, now_us);
}

static void on_learning_task(struct task *task, uint64_t now_us)
{
    struct run *run = CONTAINER_OF(task, struct run, task);
    behaviour_expire(run->behaviour, now_us);
    pump_learning(run, now_us);
}

static void learn(struct host *host, uint64_t now_us)
{
    struct nat *nat = host->nat;
    struct behaviour_config config = {.server = nat->server,
                                      .pool = &host->config.pool,
                                      .nat64 = host->nat64.prefixes,
                                      .is_brief = true};
    struct run *run = new_run(host, BEHAVIOUR_SOCKETS);
    if (run == NULL)
        return;
    for (unsigned i = 0; i < run->socket_count; i++)
        config.ports[i] = run->sockets[i].udp.port;
    while (config.local_count < host->local_count && config.local_count < BEHAVIOUR_LOCALS_MAX) {
        config.locals[config.local_count] = host->locals[config.local_count];
        config.local_count++;
    }
    run->task.run = on_learning_task;
    if (behaviour_new(&config, now_us, &run->behaviour) != ERR_OK) {
        end(run);
        return;
    }
    nat->learning = run;
    nat->began_us = now_us;
    pump_learning(run, now_us);
}

static struct nat *get(struct host *host)
{
    if (host->nat == NULL)
        host->nat = calloc(1, sizeof(*host->nat));
    return host->nat;
}

void nat_on_server(struct host *host, const struct endpoint *server, uint64_t now_us)
{
    struct nat *nat = get(host);
    if (nat == NULL || nat->learning != NULL || nat->has_result)
        return;
    nat->server = *server;
    learn(host, now_us);
}

void nat_on_public(struct host *host, const struct endpoint *server, const struct endpoint *seen,
                   uint64_t now_us)
{
    struct nat *nat = get(host);
    if (nat == NULL)
        return;
    const bool is_first = nat->seen.port == 0 && endpoint_is_equal(server, &nat->server);
    const bool is_same = is_first || address_is_equal(&seen->address, &nat->seen.address);
    nat->server = *server;
    nat->seen = *seen;
    if (nat->learning != NULL && is_same)
        return;
    end(nat->learning);
    nat->learning = NULL;
    if (nat->has_result && is_same && now_us - nat->learnt_us < AGAIN_US)
        return;
    nat->has_result = nat->has_result && is_same;
    learn(host, now_us);
    if (nat->learning == NULL && nat->asking == NULL)
        run_waits(nat, now_us); /* it could not begin */
}

const struct behaviour_result *nat_result(const struct host *host)
{
    return host->nat != NULL && host->nat->has_result ? &host->nat->result : NULL;
}

enum behaviour_kind nat_correct_filtering(const struct host *host, enum behaviour_kind filtering)
{
    const struct behaviour_result *first = nat_result(host);
    const bool is_doubtful = filtering == BEHAVIOUR_ENDPOINT_INDEPENDENT;
    return first != NULL && is_doubtful && is_filtered(first->filtering) ? first->filtering
                                                                         : filtering;
}

bool nat_is_learning(const struct host *host)
{
    return host->nat != NULL && host->nat->learning != NULL;
}

static bool is_own_address(const struct host *host, const struct address *address)
{
    for (size_t i = 0; i < host->local_count; i++) {
        if (address_is_equal(&host->locals[i], address))
            return true;
    }
    return false;
}

bool nat_may_map_anew(const struct host *host)
{
    const struct nat *nat = host->nat;
    struct endpoint mapped;
    if (nat == NULL || (nat->seen.port != 0 && is_own_address(host, &nat->seen.address)) ||
        portmap_endpoints(host->portmap, &mapped, 1) > 0)
        return false;
    if (nat->has_result)
        return is_mapped_anew(nat->result.mapping);
    /* One that leaves ports as they are has one for all destinations, as a rule. */
    return nat->learning != NULL && nat->seen.port != host->config.port;
}

/* ---- which was given out last ---- */

/* The tunnel socket's own, where ports are kept as long as they are free: its next one is beside
 * it. */
static uint16_t last_port(const struct host *host)
{
    const struct nat *nat = host->nat;
    if (nat->result.ports != BEHAVIOUR_PORTS_PRESERVED && nat->last != 0)
        return nat->last;
    return nat->seen.port;
}

void nat_pattern(const struct host *host, struct port_pattern *ret_pattern)
{
    const struct nat *nat = host->nat;
    *ret_pattern = (struct port_pattern){.kind = PORT_PATTERN_NONE};
    if (nat == NULL || !nat->has_result || !is_mapped_anew(nat->result.mapping))
        return;
    struct port_pattern pattern = {
        .kind = PORT_PATTERN_SEQUENTIAL,
        .is_by_address = nat->result.mapping == BEHAVIOUR_ADDRESS_DEPENDENT,
        .last = last_port(host),
        .step = 1,
    };
    if (nat->result.ports == BEHAVIOUR_PORTS_SEQUENTIAL)
        pattern.step = (int16_t)nat->result.port_step;
    if (nat->result.ports == BEHAVIOUR_PORTS_RANDOM || !port_pattern_is_valid(&pattern)) {
        pattern.kind = PORT_PATTERN_RANDOM;
        pattern.last = 0;
        pattern.step = 0;
    }
    *ret_pattern = pattern;
}

static void finish_asking(struct host *host, const struct endpoint *seen, uint64_t now_us)
{
    struct nat *nat = host->nat;
    if (seen != NULL)
        nat->last = seen->port;
    nat->last_us = now_us; /* also where no answer came: not once more for the same call */
    end(nat->asking);
    nat->asking = NULL;
    run_waits(nat, now_us);
}

static void pump_asking(struct run *run, uint64_t now_us)
{
    uint8_t data[REFLEXIVE_DATAGRAM_CAP];
    struct reflexive_event event;
    struct endpoint to;
    struct writer w;
    for (writer_init(&w, data, sizeof(data));
         reflexive_transmit(run->reflexive, &w, &to, now_us) == ERR_OK;
         writer_init(&w, data, sizeof(data)))
        send_from(run, 0, &to, &w);
    if (reflexive_next_event(run->reflexive, &event))
        finish_asking(run->host, event.type == REFLEXIVE_LOST ? NULL : &event.endpoint, now_us);
    else if (now_us >= run->end_us)
        finish_asking(run->host, NULL, now_us);
    else
        task_set(&run->host->tasks, &run->task,
                 deadline_min(reflexive_deadline(run->reflexive), run->end_us));
}

static void on_asking_task(struct task *task, uint64_t now_us)
{
    struct run *run = CONTAINER_OF(task, struct run, task);
    reflexive_expire(run->reflexive, now_us);
    pump_asking(run, now_us);
}

static bool ask(struct host *host, uint64_t now_us)
{
    struct run *run = new_run(host, 1);
    if (run == NULL)
        return false;
    if (reflexive_new(&host->nat->server, 0, now_us, &run->reflexive) != ERR_OK) {
        end(run);
        return false;
    }
    run->end_us = now_us + NAT_WAIT_US;
    run->task.run = on_asking_task;
    host->nat->asking = run;
    pump_asking(run, now_us);
    return host->nat->asking != NULL;
}

static bool wants_last(const struct nat *nat, uint64_t now_us)
{
    return nat->has_result && is_mapped_anew(nat->result.mapping) &&
           nat->result.ports == BEHAVIOUR_PORTS_SEQUENTIAL &&
           (nat->last_us == 0 || now_us - nat->last_us >= FRESH_US);
}

bool nat_wait(struct host *host, struct nat_wait *wait, bool is_all, uint64_t now_us)
{
    struct nat *nat = host->nat;
    if (nat == NULL || wait->is_waiting)
        return wait->is_waiting;
    if (!(is_all && is_worth_waiting(host, now_us)) &&
        (!wants_last(nat, now_us) || (nat->asking == NULL && !ask(host, now_us))))
        return false;
    wait->next = nat->waits;
    wait->is_waiting = true;
    nat->waits = wait;
    return true;
}

void nat_wait_cancel(struct host *host, struct nat_wait *wait)
{
    if (!wait->is_waiting)
        return;
    struct nat_wait **const lists[2] = {&host->nat->waits, &host->nat->due};
    for (size_t i = 0; i < 2; i++) {
        struct nat_wait **link = lists[i];
        while (*link != NULL && *link != wait)
            link = &(*link)->next;
        if (*link == wait)
            *link = wait->next;
    }
    wait->is_waiting = false;
}

/* ---- calls that come in meanwhile ---- */

static void on_deferred(struct nat_wait *wait, uint64_t now_us)
{
    struct deferred *deferred = CONTAINER_OF(wait, struct deferred, wait);
    struct session *session = session_own(deferred->host);
    deferred->is_used = false;
    if (session != NULL)
        call_on_call(session, &deferred->notify, now_us);
    crypto_wipe(&deferred->notify, sizeof(deferred->notify));
}

bool nat_defer_call(struct host *host, const struct notify_call *notify, uint64_t now_us)
{
    struct nat *nat = host->nat;
    const bool is_all = host->config.relay == RELAY_MODE_NO || !notify->wants_relay;
    for (size_t i = 0; nat != NULL && i < DEFERRED_MAX; i++) {
        struct deferred *deferred = &nat->deferred[i];
        if (deferred->is_used)
            continue;
        deferred->host = host;
        deferred->wait.run = on_deferred;
        if (!nat_wait(host, &deferred->wait, is_all, now_us))
            return false;
        deferred->notify = *notify;
        deferred->is_used = true;
        return true;
    }
    return false;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct run_socket *socket = poll->data;
    struct run *run = socket->run;
    struct packet storage, *packet = &storage;
    const uint64_t now_us = clock_now_us();
    unsigned count;
    for (int turn = 0; turn < RECEIVE_TURNS; turn++) {
        packet_reset(packet);
        if (udp_receive_batch(&socket->udp, &packet, 1, &count) != ERR_OK)
            break;
        if (run->behaviour != NULL)
            (void)!behaviour_receive(run->behaviour, (unsigned)(socket - run->sockets),
                                     packet->data, packet->len, &packet->peer, now_us);
        else if (run->reflexive != NULL)
            (void)!reflexive_receive(run->reflexive, packet->data, packet->len, &packet->peer,
                                     now_us);
    }
    if (run->behaviour != NULL)
        pump_learning(run, now_us);
    else if (run->reflexive != NULL)
        pump_asking(run, now_us);
}

void nat_free(struct host *host)
{
    if (host->nat == NULL)
        return;
    end(host->nat->learning);
    end(host->nat->asking);
    crypto_wipe(host->nat, sizeof(*host->nat));
    free(host->nat);
    host->nat = NULL;
}
