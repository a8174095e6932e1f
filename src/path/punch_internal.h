/* What the files of one punch share: the pairs and the queue of answers. */
#ifndef PATH_PUNCH_INTERNAL_H
#define PATH_PUNCH_INTERNAL_H

#include "base/deadline.h"
#include "path/check.h"
#include "path/keepalive.h"
#include "path/punch.h"

#define PAIR_MAX   (CANDIDATE_MAX + PUNCH_PEER_MAX)
#define ANSWER_MAX 8  /* waiting for transmit; more are dropped, the peer repeats */
#define SENT_MAX   32 /* remembered send times: all of one pair's checks (PUNCH_ADDRESS_CHECKS) */

/* One address of the peer, as all checks leave from one socket. */
struct pair {
    struct endpoint endpoint;
    enum candidate_type type;
    uint32_t priority;
    bool is_peer;   /* counts towards PUNCH_PEER_MAX */
    bool is_likely; /* may well lead to the peer: not a private address of another network */
    bool is_heard;  /* an authentic request came from there */
    bool is_valid;  /* a check of ours was answered from there */
    bool is_chosen; /* the peer nominates it */
    bool is_told;   /* our nomination was answered */
    bool is_urgent; /* triggered check or nomination */
    bool is_natted; /* a NAT of the peer's stands there: an opener goes first */
    char fragment[CREDENTIALS_FRAGMENT_LEN]; /* the peer's, as it claimed in the first request */
    unsigned sent;                           /* checks */
    unsigned nominated_at;                   /* value of sent when it was nominated */
    unsigned openers;                        /* sent */
    uint64_t opener_us;                      /* next opener; DEADLINE_NEVER: none */
    uint64_t next_us;                        /* next check; DEADLINE_NEVER: none */
    uint64_t rto_us;
    uint64_t round_trip_us;
    uint64_t sent_us[SENT_MAX];
};

enum burst_role {
    BURST_NONE,
    BURST_SWEEP, /* one socket, many ports of the peer's address */
    BURST_FAN,   /* many sockets, one endpoint of the peer's */
};

#define BURST_INDEX 0xff /* in place of a pair's in transaction ids */

struct burst {
    enum burst_role role;
    bool is_predicted;           /* ports in order; else a birthday attempt */
    bool is_paid;                /* the budget counts it */
    struct endpoint target;      /* SWEEP: its port says nothing */
    struct port_pattern pattern; /* SWEEP: the peer's */
    unsigned sent, count;
    uint32_t offset;       /* SWEEP, birthday: where the ports begin */
    uint16_t first_socket; /* 0: none yet */
    unsigned sockets;      /* wanted, or given; 0: the tunnel port's does */
    uint64_t pace_us;
    uint64_t begin_us; /* when to begin; DEADLINE_NEVER: not, or begun */
    uint64_t began_us; /* when the first was sent; what is late moves it */
    uint64_t next_us;  /* the next one; DEADLINE_NEVER: none */
};

struct answer {
    struct endpoint to;
    uint16_t code; /* 0: success */
    uint8_t id[STUN_TRANSACTION_LEN];
    uint16_t unknown[STUN_UNKNOWN_MAX];
    size_t unknown_count;
};

struct punch {
    struct punch_config config;
    struct credentials remote;
    bool has_remote;
    bool is_over; /* nominated, failed or confirmed: no more ordinary checks */
    bool is_ended;
    uint64_t tie_breaker;
    uint8_t tag[PUNCH_TAG_LEN];
    struct pair pairs[PAIR_MAX];
    size_t pair_count;
    struct pair *nominated;
    uint64_t hold_us;  /* until then no check leaves to an address behind a NAT */
    uint64_t grace_us; /* nominate the best then */
    uint64_t end_us;   /* of the attempt */
    uint64_t linger_us;
    uint64_t pace_us; /* when all of the burst is available again */
    struct answer answers[ANSWER_MAX];
    size_t answer_first, answer_count;
    struct burst burst;
    struct punch_event events[4]; /* each type comes once */
    size_t event_count;
    struct punch_counters counters;
};

/* As punch_receive, for a parsed message. */
MUST_USE int punch_take(struct punch *punch, const void *data, const struct stun_message *message,
                        const struct endpoint *from, uint64_t now_us);
/* Is there anything for punch_transmit now? */
bool punch_has_output(const struct punch *punch, uint64_t now_us);
/* When the next check or opener may leave, as far as pace, hold and schedule go. */
uint64_t punch_next_check_us(const struct punch *punch);
/* Queues an answer to a request, within the caps. */
void punch_queue_answer(struct punch *punch, const struct stun_message *request,
                        const struct endpoint *to, uint16_t code);

void punch_emit(struct punch *punch, const struct punch_event *event);

/* punch_pair.c. NULL: it is not known. */
struct pair *punch_pair_find(const struct punch *punch, const struct endpoint *endpoint);
/* May checks go there at all? */
bool punch_pair_is_wanted(const struct punch *punch, const struct candidate *candidate);
uint32_t punch_pair_priority(const struct punch *punch, const struct candidate *candidate);
/* NULL: there is no room. */
struct pair *punch_pair_add(struct punch *punch, const struct candidate *candidate);
/* For a peer-reflexive endpoint that is worth more than others: one that nothing was answered from
 * makes room. */
struct pair *punch_pair_add_proven(struct punch *punch, const struct endpoint *endpoint);
/* The address that a translator puts this one in the place of, else itself. */
struct address punch_origin(const struct punch *punch, const struct address *address);
bool punch_is_attached(const struct punch *punch, const struct address *address);

/* punch_burst.c. What is to be done with this peer, if anything; begins later by
 * punch_burst_expire. */
void punch_burst_plan(struct punch *punch, const struct candidate_list *candidates,
                      uint64_t now_us);
void punch_burst_expire(struct punch *punch, uint64_t now_us);
/* For good; what was not sent goes back into the budget. */
void punch_burst_stop(struct punch *punch);
/* When to call punch_burst_expire or transmit; and transmit alone. */
uint64_t punch_burst_deadline(const struct punch *punch);
uint64_t punch_burst_next_us(const struct punch *punch);
/* Where the number-th check of the burst went, and when about. False: it was not sent. */
bool punch_burst_find(const struct punch *punch, unsigned number, struct endpoint *ret_endpoint,
                      uint64_t *ret_sent_us);
/* Has the burst sent something there? */
bool punch_burst_is_target(const struct punch *punch, const struct endpoint *endpoint);
/* As punch_transmit. */
MUST_USE int punch_burst_transmit(struct punch *punch, struct writer *w, uint64_t now_us,
                                  struct punch_target *ret_target);

#endif
