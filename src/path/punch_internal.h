/* What the files of one punch share: the pairs and the queue of answers. */
#ifndef PATH_PUNCH_INTERNAL_H
#define PATH_PUNCH_INTERNAL_H

#include "base/deadline.h"
#include "path/check.h"
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
    struct punch_event events[3]; /* each type comes once */
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

#endif
