/* The inside of the engine: SAs, their generations (an IKE rekey makes a new one), children, and
 * outstanding exchanges. For this folder alone; owners see ike/sa.h and ike/table.h. */
#ifndef IKE_STATE_H
#define IKE_STATE_H

#include "base/bucket.h"
#include "base/map.h"
#include "ike/cookie.h"
#include "ike/keys.h"
#include "ike/profile.h"
#include "ike/table.h"
#include "wire/ike_message.h"

#define IKE_NONCE_LEN       32        /* of ours: as long as the PRF's key (RFC 7296, 2.10) */
#define IKE_INIT_LEN_MAX    2048      /* longest IKE_SA_INIT message: held per half-open SA */
#define IKE_COOKIES_MAX     8         /* times that an initiator starts again with a cookie */
#define IKE_REGROUPS_MAX    8         /* … with another group, as INVALID_KE_PAYLOAD says */
#define IKE_RIVALS_MAX      4         /* answers to one IKE_SA_INIT tried at once (RFC 7296, 2.4) */
#define IKE_GRACE_US        SECOND_US /* for other answers, after one that proved to be wrong */
#define IKE_EVENTS_MAX      256       /* undrained events; notifies beyond are dropped */
#define IKE_BUNDLE_LEN      1100      /* notifies put into one request, in bytes: one datagram */
#define IKE_CHILDREN_MAX    8         /* replaced and redundant ones included */
#define IKE_GENERATIONS_MAX 8
#define IKE_COOKIE2_LEN     16
#define IKE_JOINED_CAP      8192 /* of a message that travels in fragments */

/* What an outstanding request of ours is about. */
enum ike_request_kind {
    IKE_REQUEST_NONE,
    IKE_REQUEST_INIT,
    IKE_REQUEST_AUTH,
    IKE_REQUEST_NOTIFY, /* private notifies, or none: is the peer alive? */
    IKE_REQUEST_WAKE,   /* a child for an SA at rest */
    IKE_REQUEST_REKEY_CHILD,
    IKE_REQUEST_REKEY_IKE,
    IKE_REQUEST_DELETE_CHILD,
    IKE_REQUEST_DELETE_IKE,
    IKE_REQUEST_FAREWELL, /* AUTHENTICATION_FAILED to a responder; sent once */
};

struct ike_resumed;
struct ike_reassembly;

struct ike_notify_node {
    struct ike_notify_node *next;
    uint16_t type;
    uint16_t len;
    uint8_t data[];
};

/* Our side of a CREATE_CHILD_SA exchange, until it is answered. */
struct ike_rekey {
    struct kex kex;
    uint8_t nonce[IKE_NONCE_LEN];
    uint32_t child;  /* number of the one to replace; 0: the IKE SA */
    uint32_t spi_in; /* of the new child */
    uint64_t spi;    /* of the new IKE SA */
    /* The peer rekeyed the same meanwhile (RFC 7296, 2.8.1): what came of it, and the lower of the
     * two nonces of that exchange. */
    bool has_rival;
    uint32_t rival_child;
    struct ike_generation *rival_generation; /* NULL once it is gone */
    uint8_t rival_nonce[IKE_NONCE_LEN_MAX];
    size_t rival_nonce_len;
};

struct ike_request {
    enum ike_request_kind kind;
    uint32_t id;
    /* The sealed message, or its fragments one behind the other; NULL over a reliable transport
     * once sent. */
    uint8_t *data;
    size_t len;
    size_t next_at;     /* what of it goes out next */
    struct endpoint to; /* where the rest of it goes, too */
    bool goes_again;    /* once it is out, at once */
    bool is_to_send;
    bool was_repeated;
    uint64_t sent_us;
    uint64_t asked_us;  /* since when the path's endpoint has been asked */
    uint64_t repeat_us; /* next retransmission */
    uint64_t interval_us;
    uint64_t timeout_us;
    uint32_t child;                   /* IKE_REQUEST_DELETE_CHILD: its number */
    struct ike_rekey *rekey;          /* IKE_REQUEST_REKEY_*, IKE_REQUEST_WAKE */
    struct ike_notify_node *notifies; /* IKE_REQUEST_NOTIFY: those under way */
    /* IKE_REQUEST_NOTIFY with MOBIKE: what whoever answers must have read. */
    bool has_cookie2;
    uint8_t cookie2[IKE_COOKIE2_LEN];
    bool is_challenge;      /* it has gone to the SA's candidate, and nowhere else */
    bool goes_to_candidate; /* the next time, where it is no challenge */
};

/* The last response, kept for the peer's retransmissions (RFC 7296, 2.1). */
struct ike_response {
    uint8_t *data; /* as a request's */
    size_t len;
    size_t next_at;
    uint64_t request_hash;
    bool is_to_send;
    struct endpoint remote;
};

struct ike_answer {
    uint8_t *data;
    size_t len;
};

/* An IKE_SA_INIT request of ours in another group than the last one: its answer may still come, and
 * nobody has proven that it was refused. */
struct ike_attempt {
    struct ike_attempt *next;
    struct kex kex;
    uint8_t *request;
    size_t len;
};

/* What the first two exchanges need, freed once they are done. */
struct ike_handshake {
    struct map_node half_open_node; /* responders, by the peer's address */
    bool is_half_open;
    struct kex kex;
    uint8_t own_nonce[IKE_NONCE_LEN];
    uint8_t peer_nonce[IKE_NONCE_LEN_MAX];
    size_t peer_nonce_len;
    uint8_t *init_request; /* the messages that AUTH signs (2.15) */
    size_t init_request_len;
    /* One, but for an initiator that got several which lead to the same keys: only one of those can
     * be what the peer sent, which AUTH tells. */
    struct ike_answer init_responses[IKE_RIVALS_MAX];
    size_t init_response_count;
    uint8_t cookie[IKE_COOKIE_LEN_MAX];
    size_t cookie_len;
    uint32_t cookie_count;
    struct ike_attempt *earlier; /* initiators; NULL: none */
    uint32_t regroup_count;
    uint32_t child_spi;          /* offered by us */
    unsigned peer_hashes;        /* 1 << n: signs and checks with hash n (RFC 7427, 4) */
    bool wants_raw_key;          /* the peer asks for one (RFC 7670, 3) */
    struct ike_resumed *resumed; /* began with a ticket (ike/resume.h); NULL: in full */
};

enum ike_generation_state {
    IKE_GENERATION_INIT,     /* initiator: no answer to IKE_SA_INIT is final yet */
    IKE_GENERATION_AUTH,     /* keys exist, IKE_AUTH is awaited */
    IKE_GENERATION_OUTDONE,  /* initiator: likewise, but another answer has won */
    IKE_GENERATION_LIVE,     /* authenticated */
    IKE_GENERATION_REPLACED, /* rekeyed or redundant; ends with a DELETE or at drop_us */
    IKE_GENERATION_DEAD,     /* answers repeated requests until drop_us */
    IKE_GENERATION_GONE,     /* to be freed as soon as nobody looks at it */
};

/* One IKE SA in the RFC's sense: a pair of SPIs, keys, and message IDs. */
struct ike_generation {
    struct map_node node; /* by our SPI */
    struct ike_generation *next;
    struct ike_sa *sa;
    uint64_t spi_i, spi_r;
    bool is_initiator; /* we are the original initiator of this generation */
    enum ike_generation_state state;
    struct ike_keys keys;
    uint64_t iv_counter;
    uint32_t send_id;    /* of our next request */
    uint32_t receive_id; /* of the peer's next request */
    struct ike_request request;
    struct ike_response response;
    bool has_fragments;                /* both sides take them */
    struct ike_reassembly *reassembly; /* of fragments (ike/fragment.h); NULL: none has come */
    struct ike_handshake *handshake;
    bool wants_delete; /* send a DELETE for it */
    uint64_t drop_us;
};

enum ike_child_state {
    IKE_CHILD_LIVE,
    IKE_CHILD_REPLACED,  /* waits for a DELETE, ours (wants_delete) or the peer's */
    IKE_CHILD_LINGERING, /* deleted; the owner is told at linger_us, so late packets still open */
};

struct ike_child {
    struct ike_child *next;
    uint32_t number;
    uint32_t spi_in, spi_out;
    enum suite suite;
    enum ike_child_state state;
    bool is_outbound;     /* the owner was told to send with it */
    uint32_t replaced_by; /* number, or 0 */
    bool wants_rekey;
    bool wants_delete;
    enum ike_reason reason; /* why it closes */
    uint64_t rekey_us, hard_us, linger_us;
};

struct ike_event_node {
    struct ike_event_node *next;
    struct ike_event event;
    uint8_t data[];
};

struct ike_sa {
    struct ike_table *table;
    struct ike_sa *previous, *next;
    struct ike_profile *profile;
    void *user;
    struct ike_sa *listed_next, **listed_by; /* struct ike_sa_list; NULL: in none */
    struct endpoint remote;
    struct map_node init_node; /* responders, by the IKE_SA_INIT request they sprang from */
    bool has_init_node;
    bool is_initiator;
    enum ike_state state;
    struct ike_generation *generations;
    struct ike_generation *current; /* that new requests go to; NULL before the first */
    struct ike_child *children;     /* newest first */
    uint32_t child_count;           /* ever made: the last number */
    struct ike_event_node *events, **events_end;
    struct ike_event_node *event; /* the one the owner looks at */
    uint32_t event_count;
    enum ike_reason closed_reason; /* also why we are closing */
    uint16_t closed_notify;
    bool was_established, is_closed_told;
    enum ike_reason refused_reason; /* an answer to IKE_SA_INIT led to the wrong peer, or nowhere */
    uint16_t refused_notify;
    uint16_t hint; /* an unauthenticated error notify: explains a time-out, no more */
    struct ike_notify_node *notifies, **notifies_end;
    uint32_t notify_count;
    bool wants_check, wants_rekey;
    uint64_t liveness_us; /* of this SA; 0: the configuration's */
    bool is_mobile;       /* both sides do MOBIKE */
    /* ESP in transport mode: the addresses of both TS payloads, ours first, once agreed upon. */
    struct ike_addresses transport;
    struct address others[IKE_OTHERS_MAX]; /* of the peer's, beside the one in use */
    uint8_t other_count;
    bool wants_addresses;    /* tell the peer which ones we have */
    bool is_symmetric;       /* and either may move */
    bool wants_update;       /* tell the peer that our addresses have changed */
    bool heard_update;       /* the request being answered says so of the peer's */
    bool has_candidate;      /* the path may lead there: to be challenged, or being so */
    bool is_candidate_own;   /* by ike_sa_move(), not by what the peer has sent */
    bool is_candidate_asked; /* the peer has said that it wants to be there */
    struct endpoint candidate;
    uint32_t challenges; /* times that it was sent one */
    bool has_spare;      /* to be challenged if the candidate fails, or when the rate allows it */
    struct endpoint spare;
    uint64_t challenged_us; /* what the peer's candidates have used up; mobility.c */
    unsigned unproven;      /* of them, one after the other, have not been where they answered */
    struct bucket requests; /* of the peer's */
    bool has_move;          /* the owner waits for what comes of ike_sa_move() */
    struct endpoint move;
    uint64_t move_by_us;
    struct endpoint left; /* the path before, from which late messages come */
    uint64_t left_until_us;
    bool is_nat_here, is_nat_there;
    bool is_floated;            /* from port 500 to that for NATs */
    bool lacks_pfs;             /* the peer rekeys children without a key exchange */
    enum kex_group rekey_group; /* that the peer has asked for; KEX_NONE: the IKE SA's */
    unsigned regroup_count;     /* times that it did so, since the last rekey that succeeded */
    const struct ike_peer_entry *entry; /* the configured peer that it is; NULL: a Detec host */
    bool has_peer_key;
    struct public_key peer_key;
    char *peer_id;                     /* NULL: none */
    struct ike_resumption *resumption; /* to resume it later; NULL: none */
    uint64_t heard_us, round_trip_us, round_trip_var_us;
    bool is_round_trip_bound;     /* no more is known than that it is not longer */
    unsigned unmeasured_requests; /* in a row: answered after having been repeated */
    uint64_t establish_by_us, close_by_us;
    uint64_t rekey_us, hard_us; /* of the current generation */
    bool is_resting;            /* has no use for children, and is silent (ike/rest.c) */
    uint64_t rest_rekey_us;     /* rekey_us, for when it wakes */
    struct deadline deadline;
};

struct ike_reply; /* ike/reply.h */

struct ike_table {
    struct ike_table_limits limits;
    struct map by_spi;
    struct map by_init;   /* so that a repeated request never makes a second SA (2.1) */
    struct map half_open; /* by address: counted for the limits */
    struct ike_sa *sas;
    uint32_t count;
    struct deadline_heap deadlines;
    struct ike_cookies cookies;
    struct ike_reply *replies, **replies_end;
    uint32_t reply_count;
    uint64_t wall_s;          /* for certificates; 0: unknown, none is good */
    uint64_t reply_second_us; /* start of the second that error replies are counted in */
    uint32_t reply_errors;
    struct address own[IKE_OTHERS_MAX]; /* that plain peers are told of */
    size_t own_count;
    uint8_t hash_key[16];
    uint8_t in[IKE_JOINED_CAP];  /* the message being opened */
    uint8_t out[IKE_JOINED_CAP]; /* the message being built */
};

static inline const struct ike_config *ike_sa_config(const struct ike_sa *sa)
{
    return &sa->profile->config;
}

static inline uint64_t ike_generation_own_spi(const struct ike_generation *g)
{
    return g->is_initiator ? g->spi_i : g->spi_r;
}

static inline uint64_t ike_generation_peer_spi(const struct ike_generation *g)
{
    return g->is_initiator ? g->spi_r : g->spi_i;
}

#endif
