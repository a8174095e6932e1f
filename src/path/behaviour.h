/* Finds out what the NAT in front of this host does, by the tests of RFC 5780 with one connector:
 * mapping, filtering, port allocation, hairpin, the path's MTU, and where wanted the lifetime of
 * mappings. Uses sockets of its own, which the owner opens and closes. Engine: no I/O, no clock. */
#ifndef PATH_BEHAVIOUR_H
#define PATH_BEHAVIOUR_H

#include "base/address.h"
#include "base/deadline.h"
#include "base/nat64.h"
#include "base/writer.h"

#define BEHAVIOUR_SOCKETS      5 /* without the lifetime */
#define BEHAVIOUR_LIFETIMES    12
#define BEHAVIOUR_SOCKETS_MAX  (BEHAVIOUR_SOCKETS + BEHAVIOUR_LIFETIMES)
#define BEHAVIOUR_DATAGRAM_CAP 1472
#define BEHAVIOUR_LOCALS_MAX   16
#define BEHAVIOUR_MTU_MAX      1500 /* larger ones are not tried */
/* Time-outs of a request: the first (or twice the round trip once that is known, within these
 * bounds), doubled up to the last; then the answer is taken as not coming. */
#define BEHAVIOUR_RTO_US      (200 * MS_US)
#define BEHAVIOUR_RTO_MIN_US  (100 * MS_US)
#define BEHAVIOUR_RTO_MAX_US  (1600 * MS_US)
#define BEHAVIOUR_RTO_NEAR_US (400 * MS_US) /* the last where the round trip is below half */
#define BEHAVIOUR_TRIES       5 /* at first contact: UDP is called blocked after 4.6 s */
/* Of the filter, whose silence is an answer, in a brief run: one close behind the other, then so
 * long beyond one and a half round trips. Whatever comes later leaves the filter unknown. */
#define BEHAVIOUR_BRIEF_TRIES   4
#define BEHAVIOUR_BRIEF_PACE_US (40 * MS_US)
#define BEHAVIOUR_BRIEF_WAIT_US (100 * MS_US)
#define BEHAVIOUR_MTU_TRIES     3
#define BEHAVIOUR_HAIRPIN_TRIES 3
#define BEHAVIOUR_MTU_AT_A_TIME 8

/* Of mapping and filtering (RFC 4787, 4.1 and 5). */
enum behaviour_kind {
    BEHAVIOUR_UNKNOWN,
    BEHAVIOUR_NONE, /* mapping only: addresses and ports stay as they are */
    BEHAVIOUR_ENDPOINT_INDEPENDENT,
    BEHAVIOUR_ADDRESS_DEPENDENT,
    BEHAVIOUR_ADDRESS_AND_PORT_DEPENDENT,
    /* One of the first two: the connector has one address only, and cannot tell. */
    BEHAVIOUR_NOT_PORT_DEPENDENT,
};

enum behaviour_ports {
    BEHAVIOUR_PORTS_UNKNOWN,
    BEHAVIOUR_PORTS_PRESERVED,
    BEHAVIOUR_PORTS_SEQUENTIAL, /* port_step from one to the next */
    BEHAVIOUR_PORTS_RANDOM,     /* no order that shows */
};

enum behaviour_answer { BEHAVIOUR_ANSWER_UNKNOWN, BEHAVIOUR_NO, BEHAVIOUR_YES };

struct behaviour_config {
    struct endpoint server;                      /* the connector's STUN port */
    uint16_t ports[BEHAVIOUR_SOCKETS_MAX];       /* that the sockets are bound to, by number */
    struct address locals[BEHAVIOUR_LOCALS_MAX]; /* of this host */
    size_t local_count;
    const struct prefix *pool;   /* where no second address of a server can be; may be NULL */
    struct nat64_prefixes nat64; /* a server under one of them has its second address there, too */
    uint32_t mtu;                /* of the interface or route: tried first; 0: BEHAVIOUR_MTU_MAX */
    uint64_t lifetime_us;        /* the longest silence to try; 0: the lifetime is not looked for */
    bool is_brief;               /* mapping, filtering and ports alone */
};

struct behaviour_result {
    bool is_udp_open;        /* an answer came; else the rest says nothing */
    bool has_alternate_port; /* of the connector; without it mapping and filtering stay unknown */
    bool has_alternate_address; /* likewise; without it they are told less exactly */
    bool is_alternate_open;     /* it answers there too */
    struct endpoint mapped;     /* one of our sockets as the connector saw it */
    enum behaviour_kind mapping;
    enum behaviour_kind filtering;
    enum behaviour_ports ports;
    int port_step;                 /* sequential: the usual one */
    enum behaviour_answer hairpin; /* can hosts behind the NAT meet by its outer address? */
    uint64_t round_trip_us;        /* the shortest seen */
    uint32_t mtu;                  /* largest IP packet that got to the connector; 0: unknown */
    bool is_lifetime_known;        /* it was looked for, and: */
    uint64_t lifetime_min_us;      /* a mapping was alive after so long a silence */
    uint64_t lifetime_max_us;      /* and dead after so long; 0: none was */
};

struct behaviour;

/* Numbers of sockets are 0 up to (not including) this. */
unsigned behaviour_socket_count(uint64_t lifetime_us);
/* Begins at once. */
MUST_USE int behaviour_new(const struct behaviour_config *config, uint64_t now_us,
                           struct behaviour **ret_behaviour);
void behaviour_free(struct behaviour *behaviour);
/* ERR_OK: something of ours. ERR_NOT_FOUND, ERR_INVALID: drop it. */
MUST_USE int behaviour_receive(struct behaviour *behaviour, unsigned socket, const void *data,
                               size_t len, const struct endpoint *from, uint64_t now_us);
/* ERR_OK: send this from that socket, with DF; or ERR_AGAIN. The writer needs
 * BEHAVIOUR_DATAGRAM_CAP. */
MUST_USE int behaviour_transmit(struct behaviour *behaviour, struct writer *w, unsigned *ret_socket,
                                struct endpoint *ret_to, uint64_t now_us);
uint64_t behaviour_deadline(const struct behaviour *behaviour);
void behaviour_expire(struct behaviour *behaviour, uint64_t now_us);
bool behaviour_is_done(const struct behaviour *behaviour);
/* What is known so far. */
void behaviour_get_result(const struct behaviour *behaviour, struct behaviour_result *ret_result);

/* "endpoint-independent", "none", … as the control protocol has them. */
const char *behaviour_kind_text(enum behaviour_kind kind);
const char *behaviour_ports_text(enum behaviour_ports ports);

#endif
