/* What an IKE SA tells its owner. */
#ifndef IKE_EVENT_H
#define IKE_EVENT_H

#include "ike/config.h"

enum ike_event_type {
    IKE_EVENT_NONE,
    IKE_EVENT_ESTABLISHED,    /* both sides have proven their keys */
    IKE_EVENT_CHILD_READY,    /* receive with it from now on; send too where is_outbound */
    IKE_EVENT_CHILD_OUTBOUND, /* send with this child from now on */
    IKE_EVENT_CHILD_CLOSED,   /* forget it; id 0: the wished child did not come up */
    IKE_EVENT_NOTIFY,         /* a private status notify (56800 up) of the authenticated peer */
    IKE_EVENT_PATH_CHANGED,   /* the peer has proven to be at another endpoint: send there now */
    IKE_EVENT_MOVE_FAILED,    /* path: nobody answered there; the path is the one before */
    IKE_EVENT_CLOSED,         /* the last event: free the SA. No CHILD_CLOSED precedes it */
};

enum ike_reason {
    IKE_REASON_NONE,
    IKE_REASON_CLOSED_HERE,        /* ike_sa_close() or ike_sa_close_child() */
    IKE_REASON_CLOSED_BY_PEER,     /* its DELETE */
    IKE_REASON_REPLACED,           /* a child after its rekey */
    IKE_REASON_TIMEOUT,            /* a request stayed unanswered, or the handshake took too long */
    IKE_REASON_EXPIRED,            /* past its hard lifetime without a rekey */
    IKE_REASON_NO_PROPOSAL,        /* no common cipher, suite or group */
    IKE_REASON_PEER_NOT_AUTHENTIC, /* its signature or credentials are wrong */
    IKE_REASON_PEER_KEY,           /* authentic, but not the expected key */
    IKE_REASON_PEER_ID,            /* authentic, but not the expected name */
    IKE_REASON_REFUSED_BY_PEER,    /* AUTHENTICATION_FAILED from the peer */
    IKE_REASON_CHILD_REFUSED,      /* no child: TS_UNACCEPTABLE, NO_ADDITIONAL_SAS, … */
    IKE_REASON_PROTOCOL,           /* the peer broke the protocol, or said that we did */
    IKE_REASON_FAILED_HERE,        /* no memory, or the crypto library failed */
};

/* One lower-case English phrase. */
const char *ike_reason_text(enum ike_reason reason);

struct ike_event_established {
    /* Configured peers: which one, and its name as text; then there is no key. */
    const struct ike_peer_entry *entry; /* NULL: a Detec host */
    struct public_key peer_key;
    const char *peer_id; /* canonical host name that the holder of this key claims; empty where it
                          * gave none (its key as ID_KEY_ID) */
    bool is_initiator;   /* of the first exchange */
    bool is_resumed;     /* by a ticket (RFC 5723) */
    bool is_initial_contact; /* the peer holds no other SA with us (RFC 7296, 2.4) */
};

struct ike_event_child_ready {
    uint32_t child; /* local number, never 0, never reused within the SA */
    enum suite suite;
    size_t key_len; /* of each direction, suite_key_len(suite) */
    uint8_t key_in[SUITE_KEY_CAP];
    uint8_t key_out[SUITE_KEY_CAP];
    uint32_t spi_in, spi_out;            /* not on SPUT's wire; for logs and tests */
    struct ike_addresses peer_addresses; /* those the peer's packets carry */
    /* ESP only. */
    enum child_mode mode;
    bool has_esn;
    bool has_commands;                  /* the peer is a Detec host that understands them */
    struct ike_addresses own_addresses; /* that ours carry on the wire, as TS payloads promise */
    struct selector_pair selectors;     /* tunnel mode: what both sides agree upon */
    uint32_t rekey_of;                  /* the child that this one replaces, or 0 */
    bool is_outbound; /* send with it at once; else CHILD_OUTBOUND or the first packet on it says
                         when */
};

struct ike_event_child_closed {
    uint32_t child;
    enum ike_reason reason;
    uint16_t notify; /* the peer's error behind it (ike_notify_name()), or 0 */
};

struct ike_event_notify {
    uint16_t type;
    const uint8_t *data;
    size_t len;
};

struct ike_event_closed {
    enum ike_reason reason;
    bool was_established;
    uint16_t notify;  /* type of the peer's error notify behind it (ike_notify_name()), or 0 */
    const char *text; /* for the log: the reason as a phrase */
};

struct ike_event {
    enum ike_event_type type;
    union {
        struct ike_event_established established;
        struct ike_event_child_ready child_ready;
        uint32_t child_outbound;
        struct ike_event_child_closed child_closed;
        struct ike_event_notify notify;
        struct endpoint path;
        struct ike_event_closed closed;
    };
};

#endif
