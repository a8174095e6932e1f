/* The connector: everything that its parts share. Made and taken down by server.c; each part looks
 * after its own members. Private to this folder. One thread, one event loop. */
#ifndef CONNECTOR_CONNECTOR_H
#define CONNECTOR_CONNECTOR_H

#include <uv.h>

#include "base/deadline.h"
#include "base/log.h"
#include "base/map.h"
#include "connector/address_count.h"
#include "connector/config.h"
#include "connector/database.h"
#include "connector/strangers.h"
#include "crypto/identity.h"
#include "ike/table.h"
#include "login/registry.h"
#include "login/relay.h"
#include "names/zone.h"

#define READ_CAP 65536

struct control;
struct connector_tickets;
struct dns_server;
struct session;
struct stun_server;
struct tls_context;
struct udp_server;

struct connector {
    struct connector_config config;
    struct identity *identity;
    struct database *database; /* NULL while it cannot be read: nobody gets a name then */
    bool is_database_suspect;  /* the look-up in progress has failed */
    uint64_t started_us;
    bool is_stopping;

    uv_loop_t loop;
    uv_timer_t timer;
    uv_prepare_t settle; /* before the loop sleeps: events are drained, the timer is set */
    uv_signal_t signals[3];
    uint64_t check_at_us; /* next look at the database file */
    uint64_t stop_at_us;  /* while stopping: sessions that have not said goodbye by then are cut */

    /* engines */
    struct registry *registry;
    struct zone *zone;
    struct relay *relay;
    uint64_t relay_dropped; /* datagrams for hosts that did not read them in time */
    struct ike_table *ike;
    struct connector_tickets *tickets; /* to resume them */
    uint64_t resumed_count;
    struct ike_profile *profile; /* of new sessions */

    /* log-in sessions (session.c) */
    uv_tcp_t listener;
    bool is_listening;
    uv_tcp_t tls_listener;
    bool is_tls_listening;
    struct tls_context *tls;        /* NULL: only plain IKE is taken */
    size_t tls_count;               /* sessions inside TLS */
    struct strangers tls_strangers; /* of those, who have not proven a key */
    struct strangers strangers;     /* … of all sessions */
    struct map sessions;            /* by number */
    uint64_t session_next;
    size_t stream_count; /* sessions whose memory libuv still holds, too */
    size_t open_count;   /* … and those that are a file */
    size_t open_max;     /* as many as the system allows us, less what others need */
    struct deadline_heap session_deadlines;
    struct session *busy_first; /* have something to send or to hear */
    struct session *busy_last;
    struct address_counts session_addresses; /* admission.c */
    struct address_counts session_sites;
    struct log_limit stranger_log; /* for lines that strangers can cause */
    struct log_limit refusal_log;
    struct log_limit database_log;
    uint64_t now_us;               /* of the notify that the registry is working on */
    uint8_t read_buffer[READ_CAP]; /* shared: libuv fills and hands it over in one go */

    struct dns_server *dns; /* TCP */
    struct udp_server *dns_udp;
    struct stun_server *stun;
    uint64_t dns_queries;
    struct control *control;
};

/* Of the relay, by the present configuration. */
struct relay_config connector_relay_config(const struct connector *connector);
/* Fills config of the registry from that of the connector. */
void connector_registry_config(struct connector *connector, struct registry_config *ret_config);
/* The profile of new sessions, by the present configuration. */
MUST_USE int connector_make_profile(const struct connector *connector,
                                    struct ike_profile **ret_profile);

#endif
