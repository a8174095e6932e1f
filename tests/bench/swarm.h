/* Thousands of Detec hosts in one program, and the connector that passes their calls on: what a
 * single detecd, a real one, is measured with. They are made of the project's own engines, each
 * with an identity, an address, an IKE SA and a tunnel of its own. */
#ifndef SWARM_H
#define SWARM_H

#include "ike/table.h"
#include "path/punch.h"
#include "tunnel/tunnel.h"
#include "wire/notify.h"

#define SWARM_PORT         32589 /* of the hosts, as of any */
#define SWARM_CONNECTOR    4500
#define SWARM_MEMBERS_MAX  16384
#define SWARM_DATAGRAM_CAP 2048

void swarm_check(bool is_good, const char *what); /* or the program ends */

/* ---- the connector; swarm_connector.c ---- */

struct swarm_connector;

struct swarm_connector_config {
    const struct identity *identity;
    const char *zone;
    struct address address;
    void (*logged_in)(void *context, const struct public_key *key, const char *name);
    void (*answered)(void *context, const struct notify_answer *answer);
    void *context;
};

#define SWARM_CONNECTOR_FDS 4

struct swarm_connector *swarm_connector_new(const struct swarm_connector_config *config);
void swarm_connector_free(struct swarm_connector *connector);
/* What to wait for; -1 where there is nothing. */
void swarm_connector_fds(const struct swarm_connector *connector, int ret_fds[SWARM_CONNECTOR_FDS]);
/* Something may have come, or be due. */
void swarm_connector_run(struct swarm_connector *connector);
/* ERR_STATE: nobody is logged in; ERR_FULL: later. */
MUST_USE int swarm_connector_call(struct swarm_connector *connector,
                                  const struct notify_call *call);

/* ---- the hosts; swarm_member.c ---- */

struct member {
    uint32_t number;
    enum {
        MEMBER_IDLE,
        MEMBER_CALLING,
        MEMBER_PUNCHING,
        MEMBER_KEYING,
        MEMBER_SAYING, /* the tunnel is there, and the called host does not know yet */
        MEMBER_UP,
    } state;
    uint64_t since_us; /* of its call */
    struct identity *identity;
    struct credentials credentials;
    struct notify_ike *answer; /* the called host's first IKE message, until it is of use */
    struct punch *punch;
    struct ike_sa *sa;
    struct tunnel *tunnel;
    bool has_echo;
};

struct swarm {
    uint32_t base; /* the first one's address on the network */
    const char *zone;
    struct swarm_connector *connector;
    int udp;
    bool is_logged_in;
    struct public_key called_key;
    char called[NAME_TEXT_CAP];
    struct ike_table *ike;
    struct tunnel_table *tunnels;
    struct member *members;
    uint32_t count, begun, up_count, echo_count, failures;
    uint32_t active[64]; /* those that call now */
    uint32_t active_count;
    uint64_t keepalives, questions; /* that the called host has sent */
};

/* It calls. */
void member_begin(struct swarm *swarm, struct member *member, uint64_t now_us);
void member_on_answer(struct swarm *swarm, const struct notify_answer *answer);
void member_take(struct swarm *swarm, struct member *member, uint8_t *data, size_t len,
                 const struct endpoint *from, uint64_t now_us);
/* What it has to say, and what has happened to its SA. */
void member_pump(struct swarm *swarm, struct member *member, uint64_t now_us);
/* Calls under way: time passes. */
void members_expire(struct swarm *swarm, uint64_t now_us);
uint64_t members_deadline(const struct swarm *swarm);
/* One packet through the tunnel, that the other side's kernel answers. */
void member_send_echo(struct swarm *swarm, struct member *member, uint64_t now_us);
/* As hosts do when nothing else has gone out. */
void member_send_keepalive(struct swarm *swarm, const struct member *member);

#endif
