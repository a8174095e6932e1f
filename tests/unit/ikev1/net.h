/* Two or three hosts with an IKEv1 table each, in virtual time, perhaps behind NATs: what they send
 * is delivered at once or lost, and can be kept, changed and sent again. */
#ifndef TEST_IKEV1_NET_H
#define TEST_IKEV1_NET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those above. */
#include <cmocka.h>

#include "base/deadline.h"
#include "ikev1/table.h"

#define NET_NODES   3
#define NET_KIDS    64
#define NET_KEPT    256
#define SOCKET_NATT 1 /* of our port 4500; 0 is port 500's */

struct kid {
    struct ikev1_event_child_ready ready;
    bool is_outbound, is_closed;
    enum ikev1_reason reason;
};

struct node {
    struct ikev1_table *table;
    struct ikev1_config config;
    struct ikev1_profile *profile;
    struct address inside, outside; /* the same without NAT */
    uint16_t shift;                 /* of ports, by its NAT */
    bool takes;                     /* answers new Main Modes */
    /* What it has been told. */
    struct ikev1_sa *sa; /* the last established, or the one begun */
    unsigned established, closed, refused, contacts, moved, wish_failed;
    struct ikev1_event_established who;
    struct ikev1_event_closed end;
    struct ikev1_event_child_closed wish_end;
    char refusal[IKEV1_REFUSAL_TEXT_CAP];
    struct kid kids[NET_KIDS];
    size_t kid_count;
    uint32_t sends_with; /* this child, since the last that was said of it */
};

struct packet {
    size_t from, to;
    struct endpoint source; /* as the receiver sees it */
    size_t len;
    uint8_t bytes[IKEV1_MESSAGE_CAP];
};

struct net {
    uint64_t now_us;
    uint64_t wall_s; /* seconds since 1970, for certificates */
    struct node nodes[NET_NODES];
    struct packet *kept; /* the last NET_KEPT sent, lost ones included */
    size_t kept_count;
    unsigned sent;
    unsigned loss_percent;
    uint64_t random_state;
    bool (*filter)(struct net *net, struct packet *packet); /* false: lost */
};

void net_init(struct net *net);
void net_done(struct net *net);
/* The node's NAT, which shifts ports. */
void net_hide(struct net *net, size_t node);
/* Makes the table and profile of the config, as changed before. */
void net_open(struct net *net, size_t node);
/* Begins a call, and lets everything run. */
void net_call(struct net *net, size_t from, size_t to);
void net_run(struct net *net, uint64_t duration_us);
/* Sends and drains what is waiting. */
void net_drive(struct net *net);
int net_inject(struct net *net, size_t to, const struct endpoint *source, const uint8_t *bytes,
               size_t len);
/* The newest open child that is sent with; NULL: none. */
struct kid *net_kid(struct node *node);
size_t net_open_kids(const struct node *node);
/* Both have one child, with each other's keys. */
void net_assert_joined(struct net *net, size_t a, size_t b);
/* Of the first two: what each sends with, the other one has open. */
void net_assert_heard(struct net *net);

#endif
