/* What IKEv1 SAs tell their owner. */
#ifndef IKEV1_EVENT_H
#define IKEV1_EVENT_H

#include "ikev1/config.h"

struct ikev1_sa;

enum ikev1_event_type {
    IKEV1_EVENT_NONE,
    IKEV1_EVENT_ESTABLISHED,     /* both sides have proven themselves; the first word of a
                                    responder's SA */
    IKEV1_EVENT_INITIAL_CONTACT, /* the peer holds no other SA with us */
    IKEV1_EVENT_CHILD_READY,     /* receive with it from now on; send too where is_outbound */
    IKEV1_EVENT_CHILD_OUTBOUND,  /* send with this child from now on */
    IKEV1_EVENT_CHILD_CLOSED,    /* forget it; id 0: the wished child did not come up */
    IKEV1_EVENT_PATH_CHANGED,    /* the peer has proven to be at another endpoint: send there now */
    IKEV1_EVENT_REFUSED,         /* somebody was refused: for the log. Has no SA */
    IKEV1_EVENT_CLOSED,          /* the last event: free the SA. No CHILD_CLOSED precedes it */
};

enum ikev1_reason {
    IKEV1_REASON_NONE,
    IKEV1_REASON_CLOSED_HERE,
    IKEV1_REASON_CLOSED_BY_PEER, /* its DELETE */
    IKEV1_REASON_REPLACED,       /* a child after its rekey */
    IKEV1_REASON_TIMEOUT,        /* nobody answered */
    IKEV1_REASON_EXPIRED,        /* past its hard lifetime without a rekey */
    IKEV1_REASON_NO_PROPOSAL,    /* nothing in common, or no NAT traversal there */
    IKEV1_REASON_NOT_AUTHENTIC,  /* wrong key, signature or certificate */
    IKEV1_REASON_PEER_ID,        /* a good proof, but another identity */
    IKEV1_REASON_REFUSED_BY_PEER,
    IKEV1_REASON_FAILED_HERE, /* no memory, or the crypto library failed */
};

/* One lower-case English phrase. */
const char *ikev1_reason_text(enum ikev1_reason reason);

struct ikev1_event_established {
    struct ikev1_profile *profile; /* borrowed: the one whose peer it is */
    struct ikev1_id peer_id;
    bool is_initiator;
};

struct ikev1_event_child_ready {
    uint32_t child; /* local number, never 0, never reused within the SA */
    enum suite suite;
    enum child_mode mode;
    size_t key_len; /* of each direction, suite_key_len(suite) */
    uint8_t key_in[SUITE_KEY_CAP];
    uint8_t key_out[SUITE_KEY_CAP];
    uint32_t spi_in, spi_out;
    struct ikev1_selectors selectors;      /* as agreed on, from our side */
    struct ikev1_addresses peer_addresses; /* transport: what the peer's packets carry; ADDRESS_NONE
                                              where it has not said */
    uint32_t rekey_of;                     /* the child that this one replaces, or 0 */
    bool is_outbound; /* send with it at once; else CHILD_OUTBOUND or the first packet on it says
                         when */
};

struct ikev1_event_child_closed {
    uint32_t child;
    enum ikev1_reason reason;
    uint16_t notify; /* the peer's error behind it (isakmp_notify_name()), or 0 */
};

#define IKEV1_REFUSAL_TEXT_CAP 256
struct ikev1_event_refused {
    struct endpoint remote;
    char text[IKEV1_REFUSAL_TEXT_CAP]; /* what of it was refused, for people */
};

struct ikev1_event_closed {
    enum ikev1_reason reason;
    bool was_established;
    uint16_t notify; /* an error that came in the clear before, perhaps from anybody; or 0 */
    const char *text;
};

struct ikev1_event {
    enum ikev1_event_type type;
    struct ikev1_sa *sa; /* NULL with REFUSED and NONE */
    union {
        struct ikev1_event_established established;
        struct ikev1_event_child_ready child_ready;
        uint32_t child_outbound;
        struct ikev1_event_child_closed child_closed;
        struct endpoint path;
        struct ikev1_event_refused refused;
        struct ikev1_event_closed closed;
    };
};

#endif
