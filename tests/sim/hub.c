/* Sessions of hosts at the connector, and the calls between them. */
#include "hub.h"

#include "crypto/memory.h"
#include "ike/ticket.h"
#include "io/ike_stream.h"
#include "login/registry.h"
#include "login/relay.h"
#include "names/zone.h"
#include "path/binding.h"
#include "pipe.h"
#include <stdlib.h>
#include <string.h>

#define RELAY_RATE       250000
#define RELAY_RATE_TOTAL 10000000
#define SEEN_MAX         64
#define STUN_PORTS       2 /* the second is the next one, for tests of NATs */
#define LEASE_US         (120 * SECOND_US)
#define TICKETS_LIFE_S   86400

struct session {
    struct session *next;
    uint64_t number;
    struct pipe *pipe;
    struct ike_stream parser;
    struct endpoint remote;
    struct ike_sa *sa;
    bool is_registered, is_closing, is_ended;
};

struct hub {
    struct sim *sim;
    struct identity *identity;
    bool is_running, is_machine_up;
    struct ike_profile *profile;
    struct ike_table *ike;
    struct registry *registry;
    struct relay *relay;
    struct session *sessions;
    uint64_t next_number;
    struct address seen[SEEN_MAX]; /* where Binding requests came from */
    size_t seen_count;
    struct ike_tickets *tickets; /* outlives the daemon, as its file does */
    uint8_t stun_key[BINDING_TICKET_KEY_LEN];
    struct zone *zone;
};

static struct session *find(const struct hub *hub, uint64_t number)
{
    struct session *session = hub->sessions;
    while (session != NULL && session->number != number)
        session = session->next;
    return session;
}

static void write_frame(struct session *session, uint32_t channel, const uint8_t *data, size_t len)
{
    uint8_t buffer[IKE_STREAM_HEADER_LEN + IKE_MESSAGE_CAP + 64];
    struct writer w;
    writer_init(&w, buffer, sizeof(buffer));
    ike_stream_put_frame(&w, channel, data, len);
    if (writer_is_ok(&w) && session->pipe != NULL)
        pipe_write(session->pipe, PIPE_HUB, buffer, w.len);
}

static void end(struct hub *hub, struct session *session, bool is_logout, bool is_silent)
{
    if (session->is_ended)
        return;
    session->is_ended = true;
    core_trace(&hub->sim->core, "the connector: session %llu ends%s",
               (unsigned long long)session->number, is_logout ? ", logged out" : "");
    ike_sa_free(session->sa);
    session->sa = NULL;
    relay_session_closed(hub->relay, session->number);
    if (session->is_registered)
        registry_session_closed(hub->registry, session->number, is_logout, hub->sim->core.now_us);
    if (session->pipe != NULL)
        pipe_close(session->pipe, PIPE_HUB, is_silent);
    session->pipe = NULL;
}

static void sweep(struct hub *hub)
{
    struct session **at = &hub->sessions;
    while (*at != NULL) {
        struct session *session = *at;
        if (!session->is_ended) {
            at = &session->next;
            continue;
        }
        *at = session->next;
        ike_stream_done(&session->parser);
        free(session);
    }
}

static bool transmit(struct hub *hub, struct session *session)
{
    uint8_t message[IKE_MESSAGE_CAP];
    struct endpoint remote;
    struct writer w;
    for (bool did_send = false;; did_send = true) {
        writer_init(&w, message, sizeof(message));
        if (session->sa == NULL ||
            ike_sa_transmit(session->sa, &w, &remote, hub->sim->core.now_us) != ERR_OK)
            return did_send;
        write_frame(session, 0, message, w.len);
    }
}

static int find_static(void *context, const char *name, struct registry_static *ret_row)
{
    const struct hub *hub = context;
    for (size_t i = 0; i < hub->sim->machine_count; i++) {
        const struct machine *machine = &hub->sim->machines[i];
        if (strcmp(machine->name, name) != 0)
            continue;
        memset(ret_row, 0, sizeof(*ret_row));
        strcpy(ret_row->name, machine->name);
        memcpy(ret_row->key, machine->key.bytes, NOTIFY_KEY_LEN);
        return ERR_OK;
    }
    return ERR_NOT_FOUND;
}

static void on_notify(struct hub *hub, struct session *session,
                      const struct ike_event_notify *notify)
{
    struct registry_static row;
    const struct registry_static *found = NULL;
    for (size_t i = 0; i < hub->sim->machine_count && found == NULL; i++) {
        if (public_key_is_equal(&hub->sim->machines[i].key, ike_sa_peer_key(session->sa)) &&
            find_static(hub, hub->sim->machines[i].name, &row) == ERR_OK)
            found = &row;
    }
    (void)!registry_notify(hub->registry, session->number, notify->type, notify->data, notify->len,
                           found, hub->sim->core.now_us);
}

/* True if there was anything. */
static bool drive(struct hub *hub, struct session *session)
{
    struct ike_event event;
    bool has_done = transmit(hub, session);
    if (session->sa == NULL)
        return has_done;
    ike_sa_next_event(session->sa, &event);
    if (event.type == IKE_EVENT_ESTABLISHED) {
        session->is_registered =
            registry_session_open(hub->registry, session->number, event.established.peer_key.bytes,
                                  hub->sim->core.now_us) == ERR_OK;
        core_trace(&hub->sim->core, "the connector: session %llu is %s",
                   (unsigned long long)session->number,
                   event.established.is_resumed ? "resumed" : "new");
        registry_session_observed(hub->registry, session->number, &session->remote.address);
    } else if (event.type == IKE_EVENT_NOTIFY && session->is_registered) {
        on_notify(hub, session, &event.notify);
    } else if (event.type == IKE_EVENT_CLOSED) {
        transmit(hub, session);
        end(hub, session, event.closed.reason == IKE_REASON_CLOSED_BY_PEER, false);
    }
    return has_done || event.type != IKE_EVENT_NONE;
}

static void tell_relay(struct hub *hub, const struct relay_end *relay_end, bool is_closed)
{
    const struct notify_relay notify = {.is_closed = is_closed,
                                        .number = relay_end->number,
                                        .channel = relay_end->channel,
                                        .rate = is_closed ? 0 : RELAY_RATE,
                                        .len_max = is_closed ? 0 : RELAY_LEN_MAX};
    struct session *session = find(hub, relay_end->session);
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof(buffer));
    notify_build_relay(&w, &notify);
    if (session != NULL && session->sa != NULL && writer_is_ok(&w))
        (void)!ike_sa_send_notify(session->sa, NOTIFY_RELAY, buffer, w.len);
}

static void open_relay(struct hub *hub, const struct registry_event *event)
{
    struct relay_end caller = {.session = event->session, .number = event->relay.number};
    struct relay_end called = {.session = event->relay.called,
                               .number = event->relay.called_number};
    const struct session *from = find(hub, caller.session), *at = find(hub, called.session);
    if (from == NULL || at == NULL)
        return;
    caller.address = from->remote.address;
    called.address = at->remote.address;
    const int error = relay_open(hub->relay, &caller, &called, hub->sim->core.now_us);
    core_trace(&hub->sim->core, "the connector opens a relay channel: %s", error_text(error));
    if (error != ERR_OK)
        return;
    tell_relay(hub, &caller, false);
    tell_relay(hub, &called, false);
}

static void take_event(struct hub *hub, const struct registry_event *event)
{
    struct session *session = find(hub, event->session);
    if (event->type == REGISTRY_RELAY) {
        open_relay(hub, event);
    } else if (event->type == REGISTRY_SEND) {
        if (session != NULL && session->sa != NULL)
            (void)!ike_sa_send_notify(session->sa, event->send.type, event->send.data,
                                      event->send.len);
    } else if (event->type == REGISTRY_CLOSE && session != NULL && !session->is_closing) {
        core_trace(&hub->sim->core, "the connector closes session %llu: %d",
                   (unsigned long long)session->number, (int)event->close);
        session->is_closing = true;
        session->is_registered = false;
        transmit(hub, session);
        if (session->sa != NULL)
            ike_sa_close(session->sa, hub->sim->core.now_us);
        else
            end(hub, session, false, false);
    }
}

static void settle(struct hub *hub)
{
    const struct registry_event *event;
    struct relay_end closed;
    for (bool has_done = true; has_done;) {
        has_done = false;
        while (relay_next_closed(hub->relay, &closed)) {
            tell_relay(hub, &closed, true);
            has_done = true;
        }
        while ((event = registry_next_event(hub->registry)) != NULL) {
            take_event(hub, event);
            has_done = true;
        }
        for (struct session *session = hub->sessions; session != NULL; session = session->next)
            has_done = (!session->is_ended && drive(hub, session)) || has_done;
    }
    sweep(hub);
}

/* ---- connections ---- */

bool hub_is_listening(const struct hub *hub)
{
    return hub->is_running;
}

bool hub_is_machine_up(const struct hub *hub)
{
    return hub->is_machine_up;
}

bool hub_is_running(const struct hub *hub)
{
    return hub->is_running;
}

void hub_on_connected(struct pipe *pipe)
{
    struct hub *hub = pipe->sim->hub;
    struct session *session = sim_new(sizeof(*session));
    session->number = ++hub->next_number;
    session->pipe = pipe;
    session->remote.address =
        net_outside(&pipe->sim->net, pipe->machine->link, pipe->target.address.family);
    session->remote.port = (uint16_t)(20000 + session->number);
    ike_stream_init(&session->parser, true, IKE_STREAM_PAYLOAD_CAP);
    session->next = hub->sessions;
    hub->sessions = session;
    pipe->user[PIPE_HUB] = session;
}

static void take_message(struct hub *hub, struct session *session, const struct ike_frame *frame)
{
    const uint64_t now_us = hub->sim->core.now_us;
    struct ike_sa *sa = NULL;
    uint8_t message[IKE_MESSAGE_CAP];
    struct endpoint remote;
    struct writer w;
    (void)!ike_table_receive(hub->ike, session->sa == NULL ? hub->profile : NULL, frame->data,
                             frame->len, &session->remote, now_us, &sa);
    if (sa != NULL && session->sa == NULL && ike_sa_user(sa) == NULL) {
        ike_sa_set_user(sa, session);
        session->sa = sa;
    }
    for (writer_init(&w, message, sizeof(message));
         ike_table_transmit(hub->ike, &w, &remote) == ERR_OK;
         writer_init(&w, message, sizeof(message)))
        write_frame(session, 0, message, w.len);
    if (sa != NULL && sa == session->sa && session->is_registered && ike_sa_heard_us(sa) == now_us)
        registry_touch(hub->registry, session->number, now_us);
}

static void pass_frame(struct hub *hub, const struct session *session,
                       const struct ike_frame *frame)
{
    uint64_t number;
    uint32_t channel;
    if (!session->is_registered ||
        relay_pass(hub->relay, session->number, frame->channel, frame->len, hub->sim->core.now_us,
                   &number, &channel) != ERR_OK)
        return;
    struct session *other = find(hub, number);
    if (other != NULL)
        write_frame(other, channel, frame->data, frame->len);
}

void hub_on_data(struct pipe *pipe, const uint8_t *data, size_t len)
{
    struct hub *hub = pipe->sim->hub;
    struct session *session = pipe->user[PIPE_HUB];
    struct ike_frame frame;
    int error = ike_stream_feed(&session->parser, data, len);
    while (error == ERR_OK && !session->is_ended) {
        error = ike_stream_next(&session->parser, &frame);
        if (error == ERR_OK && frame.channel == 0)
            take_message(hub, session, &frame);
        else if (error == ERR_OK)
            pass_frame(hub, session, &frame);
    }
    if (error != ERR_OK && error != ERR_AGAIN)
        end(hub, session, false, false);
    settle(hub);
}

void hub_on_end(struct pipe *pipe)
{
    struct hub *hub = pipe->sim->hub;
    end(hub, pipe->user[PIPE_HUB], false, false);
    settle(hub);
}

/* ---- life ---- */

static void close_all(struct hub *hub, bool is_silent)
{
    for (struct session *session = hub->sessions; session != NULL; session = session->next)
        end(hub, session, false, is_silent);
    sweep(hub);
    relay_free(hub->relay);
    registry_free(hub->registry);
    ike_table_free(hub->ike);
    hub->relay = NULL;
    hub->registry = NULL;
    hub->ike = NULL;
}

void hub_crash(struct hub *hub, bool is_machine_lost)
{
    if (!hub->is_running)
        return;
    core_trace(&hub->sim->core, "the connector %s", is_machine_lost ? "vanishes" : "crashes");
    hub->is_running = false;
    close_all(hub, is_machine_lost);
    hub->is_machine_up = !is_machine_lost;
}

static uint64_t wall_s(const struct hub *hub)
{
    return hub->sim->core.now_us / SECOND_US;
}

static bool has_seen(void *context, const struct endpoint *endpoint, const void *proof, size_t len)
{
    const struct hub *hub = context;
    return binding_has_seen(hub->stun_key, endpoint, proof, len, (uint32_t)wall_s(hub));
}

static void publish(struct hub *hub)
{
    const struct link *link = &hub->sim->net.links[HUB_LINK];
    const struct zone_config config = {.name = SIM_ZONE,
                                       .address = link->ipv4,
                                       .other_address = link->ipv6,
                                       .port = SIM_HUB_PORT,
                                       .key = *hub_key(hub),
                                       .serial = (uint32_t)wall_s(hub)};
    zone_free(hub->zone);
    if (zone_new(&config, &hub->zone) != ERR_OK)
        abort();
}

void hub_move(struct hub *hub)
{
    struct link *link = &hub->sim->net.links[HUB_LINK];
    core_trace(&hub->sim->core, "the connector moves");
    link->ipv4 = net_new_ipv4(&hub->sim->net, NET_INTERNET);
    link->ipv6 = net_new_ipv6(&hub->sim->net, NET_INTERNET);
    publish(hub);
}

void hub_start(struct hub *hub)
{
    struct ike_table_limits limits;
    uint8_t seed[16];
    const struct relay_config relay = {.rate = RELAY_RATE, .rate_total = RELAY_RATE_TOTAL};
    struct registry_config config = {.zone = SIM_ZONE,
                                     .is_strict = true,
                                     .stun_port = SIM_HUB_PORT,
                                     .has_relay = true,
                                     .find_static = find_static,
                                     .has_seen = has_seen,
                                     .context = hub};
    if (hub->is_running)
        return;
    core_trace(&hub->sim->core, "the connector starts");
    ike_table_limits_init(&limits);
    rng_fill(&hub->sim->core.rng, seed, sizeof(seed));
    rng_fill(&hub->sim->core.rng, hub->stun_key, sizeof(hub->stun_key));
    if (ike_table_new(&limits, hub->sim->core.now_us, &hub->ike) != ERR_OK ||
        registry_new(&config, &hub->registry) != ERR_OK ||
        relay_new(&relay, seed, &hub->relay) != ERR_OK)
        abort();
    hub->is_running = hub->is_machine_up = true;
}

struct hub *hub_new(struct sim *sim)
{
    struct ike_config config;
    struct hub *hub = sim_new(sizeof(*hub));
    hub->sim = sim;
    if (identity_generate(&hub->identity) != ERR_OK)
        abort();
    ike_config_init(&config, hub->identity);
    strcpy(config.id, SIM_ZONE);
    config.is_reliable = true;
    config.dpd_interval_us = config.request_timeout_us = LEASE_US / 3;
    uint8_t key[IKE_TICKET_KEY_LEN];
    rng_fill(&sim->core.rng, key, sizeof(key));
    if (ike_tickets_new(TICKETS_LIFE_S, &hub->tickets) != ERR_OK)
        abort();
    ike_tickets_add_key(hub->tickets, key);
    ike_tickets_set_time(hub->tickets, wall_s(hub));
    config.tickets = hub->tickets;
    if (ike_profile_new(&config, &hub->profile) != ERR_OK)
        abort();
    publish(hub);
    return hub;
}

void hub_free(struct hub *hub)
{
    if (hub->is_running)
        close_all(hub, true);
    ike_profile_free(hub->profile);
    ike_tickets_free(hub->tickets);
    zone_free(hub->zone);
    identity_free(hub->identity);
    free(hub);
}

uint64_t hub_next_us(const struct hub *hub)
{
    if (!hub->is_running)
        return DEADLINE_NEVER;
    return deadline_min(ike_table_deadline(hub->ike),
                        deadline_min(registry_deadline(hub->registry), relay_deadline(hub->relay)));
}

void hub_expire(struct hub *hub)
{
    const uint64_t now_us = hub->sim->core.now_us;
    ike_tickets_set_time(hub->tickets, wall_s(hub));
    while (ike_table_expire(hub->ike, now_us) != NULL)
        ;
    registry_expire(hub->registry, now_us);
    relay_expire(hub->relay, now_us);
    settle(hub);
}

void hub_take_datagram(struct hub *hub, const struct endpoint *from, const struct endpoint *to,
                       const uint8_t *data, size_t len)
{
    uint8_t answer[BINDING_DISCOVERY_CAP > BINDING_REQUEST_LEN_MAX ? BINDING_DISCOVERY_CAP
                                                                   : BINDING_REQUEST_LEN_MAX];
    const uint16_t other_port = to->port == SIM_HUB_PORT ? SIM_HUB_PORT + 1 : SIM_HUB_PORT;
    const struct binding_server server = {.at = *to,
                                          .other = {to->address, other_port},
                                          .ticket_key = hub->stun_key,
                                          .now_s = (uint32_t)wall_s(hub)};
    struct binding_route route;
    struct endpoint self = *to, back = *from;
    struct writer w;
    writer_init(&w, answer, sizeof(answer));
    if (!hub->is_running || to->port < SIM_HUB_PORT || to->port >= SIM_HUB_PORT + STUN_PORTS ||
        binding_discover(data, len, from, &server, &w, &route) != ERR_OK)
        return;
    if (!hub_has_seen(hub, &from->address) && hub->seen_count < SEEN_MAX)
        hub->seen[hub->seen_count++] = from->address;
    if (route.port != 0)
        back.port = route.port;
    if (route.change_port)
        self.port = other_port;
    sim_send(hub->sim, HUB_LINK, &self, &back, -1, answer, w.len, ORIGIN_HOST);
}

bool hub_has_seen(const struct hub *hub, const struct address *address)
{
    for (size_t i = 0; i < hub->seen_count; i++) {
        if (address_is_equal(&hub->seen[i], address))
            return true;
    }
    return false;
}

const struct public_key *hub_key(const struct hub *hub)
{
    return identity_public(hub->identity);
}

struct endpoint hub_endpoint(const struct hub *hub, enum address_family family)
{
    const struct link *link = &hub->sim->net.links[HUB_LINK];
    return (struct endpoint){family == ADDRESS_IPV6 ? link->ipv6 : link->ipv4, SIM_HUB_PORT};
}

bool hub_is_at(const struct hub *hub, const struct address *address)
{
    const struct link *link = &hub->sim->net.links[HUB_LINK];
    return address_is_equal(address, &link->ipv4) || address_is_equal(address, &link->ipv6);
}

const struct zone *hub_zone(const struct hub *hub)
{
    return hub->zone;
}

size_t hub_session_count(const struct hub *hub)
{
    return hub->is_running ? registry_session_count(hub->registry) : 0;
}

size_t hub_channel_count(const struct hub *hub)
{
    return hub->is_running ? relay_channel_count(hub->relay) : 0;
}
