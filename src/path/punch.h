/* Hole punching for one call: STUN connectivity checks in the pattern of ICE (RFC 8445), cut down
 * to one component, one local socket and fixed roles: the caller controls, the called host is
 * controlled. Both sides probe all candidates of the other at once; the caller nominates the best
 * pair on which a check was answered. Engine: no I/O, no clock. After every call drain
 * punch_transmit and punch_next_event and arm a timer at punch_deadline. What goes through the hole
 * is left to others.
 *
 * Openers. A NAT that takes strangers' packets for its own (the kernel's, where INPUT accepts)
 * remembers a check that reaches it before the host behind it has sent anything to where the check
 * came from. What that host sends there afterwards clashes with the entry and leaves from another
 * port, so that neither side's checks arrive any more, and each further one keeps the entry alive.
 * So the first datagram to an address that lies behind a NAT is an opener: it makes the mapping in
 * our own NAT and dies before it could reach the other. The called host sends its openers before
 * ANSWER leaves (drain punch_transmit between punch_set_remote and sending it) and no check to such
 * an address until it has heard the caller, whose opener has left by then, or PUNCH_HOLD_US have
 * passed. The caller sends an opener and its first check at once: the called host's NAT is open.
 * Where a path eats openers all goes on as without. Host candidates have no NAT and IPv6 has none
 * that changes ports: they are checked at once. */
#ifndef PATH_PUNCH_H
#define PATH_PUNCH_H

#include "base/nat64.h"
#include "base/writer.h"
#include "path/candidate.h"

/* What one punch may send (nobody can aim a flood with a call):
 * - PUNCH_BURST checks at once (one for each candidate: about 1 kB), then one in PUNCH_PACE_US, so
 * at most 200 a second (RFC 8445, 14.2: Ta is at least 5 ms); a nomination doesn't wait for its
 * turn;
 * - at most PUNCH_ADDRESS_CHECKS to one address: 5 s with retransmission times 100, 150, 225, 337,
 * 500, 500 … ms are 13 checks, the rest is for triggered ones and the nomination; anew for a
 * peer-reflexive one that had made room for a better one and proves to be one;
 * - at most PUNCH_CHECKS_MAX in all;
 * - one answer for each authentic request, at most PUNCH_ANSWERS_MAX in all;
 * - to private addresses of another network than ours nothing but after PUNCH_UNLIKELY_US without a
 * path: they hardly ever lead to the peer, and nobody outside need see them (unless both hosts show
 * the world the same address, or one is not known to show any);
 * - and openers of one byte, at most PUNCH_OPENERS to one address: the caller one, the called host
 * one in PUNCH_RTO_FIRST_US while it holds its checks back, for the sake of a lossy LAN. */
#define PUNCH_BURST        CANDIDATE_MAX
#define PUNCH_PACE_US      (5 * MS_US)
#define PUNCH_RTO_FIRST_US (100 * MS_US)
#define PUNCH_RTO_MAX_US   (500 * MS_US)
#define PUNCH_TIMEOUT_US   (5 * SECOND_US)
#define PUNCH_LINGER_US    (10 * SECOND_US) /* answers go on this long after nomination or failure */
/* A held check must not overtake ANSWER on its way over the connector; hardly any detour is longer.
 * It is the price of a called host behind a symmetric NAT, which the caller's checks miss. */
#define PUNCH_HOLD_US        (300 * MS_US)
#define PUNCH_HOLD_LONG_US   (SECOND_US) /* for those who are in no hurry */
#define PUNCH_UNLIKELY_US    (500 * MS_US)
#define PUNCH_GRACE_MIN_US   (10 * MS_US)
#define PUNCH_GRACE_MAX_US   (50 * MS_US)
#define PUNCH_PEER_MAX       8 /* peer-reflexive addresses */
#define PUNCH_ADDRESS_CHECKS 24
#define PUNCH_CHECKS_MAX     256
#define PUNCH_ANSWERS_MAX    512
#define PUNCH_OPENERS        3
#define PUNCH_SUBNET_MAX     8
#define PUNCH_DATAGRAM_CAP   160 /* no check or answer is longer */

/* Bursts. Where one side's NAT gives every destination another port (its candidates come with a
 * struct port_pattern), none of its candidates can be right; then the punch sends more, but only to
 * the one address at which the connector itself sees that host (`is_observed`; IPv4), so that
 * nobody can aim it at anybody else:
 * - ports in order: the side without a pattern *sweeps* the PUNCH_PREDICT_PORTS ports that come
 * next, PUNCH_PREDICT_ROUNDS times; the other sends from PUNCH_PREDICT_SOCKETS new sockets, whose
 * ports those are, whatever calls there were before. Both in order: the called host sweeps
 * likewise, and the caller *fans*: as many sockets send to one port among those that the called
 * host's NAT comes by;
 * - random ports, on one side only: a birthday attempt, if there is no path after
 * PUNCH_BIRTHDAY_AFTER_US. That side fans: PUNCH_BIRTHDAY_SOCKETS sockets send an opener and later
 * a check each to the other's endpoint, while the other sweeps PUNCH_BIRTHDAY_CHECKS ports:
 * 1 - exp(-256 * 1024 / 64512) = 98% of attempts meet;
 * - random ports on both sides, or in order on one and random on the other: no burst. A match would
 * need both ports at once.
 * A sweep sends one check in PUNCH_SWEEP_PACE_US, a fan one datagram in PUNCH_FAN_PACE_US. All that
 * a host may send in bursts is bounded by a struct punch_budget. */
#define PUNCH_PREDICT_PORTS     64
#define PUNCH_PREDICT_ROUNDS    2
#define PUNCH_PREDICT_SOCKETS   4
#define PUNCH_BIRTHDAY_SOCKETS  256
#define PUNCH_BIRTHDAY_CHECKS   1024
#define PUNCH_BIRTHDAY_AFTER_US (300 * MS_US)
#define PUNCH_SWEEP_PACE_US     (4 * MS_US)
#define PUNCH_FAN_PACE_US       (2 * MS_US)
#define PUNCH_FAN_GAP_US        (2 * SECOND_US) /* birthday: after the openers, before the checks */

/* What all punches of a host together may spend on bursts: PUNCH_BUDGET_PACKETS at once, then one
 * in PUNCH_BUDGET_REFILL_US; a burst takes its share before it begins, or is left out. Zeroed is
 * right. */
#define PUNCH_BUDGET_PACKETS   4096
#define PUNCH_BUDGET_REFILL_US (10 * MS_US)
#define PUNCH_BUDGET_BIRTHDAYS 2 /* at the same time */

struct punch_budget {
    uint64_t full_us; /* when all of it is there again */
    unsigned birthdays;
};

/* What is known of the IPv6 that we have. All addresses are checked at once whatever it is, and
 * IPv6 goes first; but an address of it that does not answer is waited for only where it has proven
 * to work, and where it has proven not to, IPv4 goes first (RFC 8421, 4: who has broken IPv6 must
 * not be the slower for it). */
enum punch_ipv6 {
    PUNCH_IPV6_UNKNOWN,
    PUNCH_IPV6_PROVEN, /* somebody outside answers over it */
    PUNCH_IPV6_BROKEN, /* somebody who should does not */
};

struct punch_config {
    bool is_controlling;         /* the caller */
    bool may_try_birthday;       /* bursts where ports are random */
    struct punch_budget *budget; /* borrowed; NULL: no bursts (a table puts its own in) */
    struct credentials local;
    struct candidate_list own; /* own candidates: never probed, nor their host addresses */
    struct prefix subnets[PUNCH_SUBNET_MAX]; /* directly attached: their addresses come first */
    size_t subnet_count;
    struct prefix pool;          /* never probed; family ADDRESS_NONE: none */
    uint64_t hold_us;            /* 0: PUNCH_HOLD_US */
    uint64_t timeout_us;         /* of the attempt, from punch_set_remote on; 0: PUNCH_TIMEOUT_US */
    struct nat64_prefixes nat64; /* what lies under them is IPv4 behind a translator */
    enum punch_ipv6 ipv6;
};

enum punch_event_type {
    PUNCH_NOMINATED,     /* use this endpoint from now on */
    PUNCH_WANTS_SOCKETS, /* for a burst: open some and punch_give_sockets, or don't */
    PUNCH_FAILED,        /* the attempt is over; checks are still answered for PUNCH_LINGER_US */
    PUNCH_ENDED,         /* nothing more will happen; free it */
};

enum punch_failure {
    PUNCH_NO_CANDIDATES = 1, /* the peer gave none that may be probed */
    PUNCH_NO_ANSWERS,        /* nothing authentic came from any address */
    PUNCH_ONE_WAY,           /* the peer's checks came in, no answer to ours */
    PUNCH_NOT_NOMINATED,     /* answers came, but the caller never chose */
};

struct punch_event {
    enum punch_event_type type;
    struct endpoint endpoint;      /* NOMINATED; its `socket` is 0 or one of those given */
    enum candidate_type candidate; /* NOMINATED: of the peer's endpoint */
    uint64_t round_trip_us;        /* NOMINATED */
    enum punch_failure failure;    /* FAILED */
    size_t address_count;          /* FAILED: addresses that were probed */
    unsigned socket_count;         /* WANTS_SOCKETS */
};

struct punch_counters {
    uint32_t checks_sent;
    uint32_t openers_sent;
    uint32_t burst_sent; /* checks and openers of a burst, not counted with the others */
    uint32_t answers_sent;
    uint32_t requests;  /* authentic ones received */
    uint32_t responses; /* authentic ones to our checks */
    uint32_t forged;    /* ours by fragment or transaction, but not authentic */
    uint32_t conflicts; /* peer claims our role */
};

/* Where a datagram goes, and how far. */
struct punch_target {
    struct endpoint to; /* its `socket` says which one sends it */
    bool is_opener; /* must pass our own NATs and die at the next hop, be it a router or the other
                       host's NAT: udp_send_opener */
};

struct punch;

/* Answers requests from now on. ERR_INVALID for bad credentials. */
MUST_USE int punch_new(const struct punch_config *config, uint64_t now_us,
                       struct punch **ret_punch);
/* Wipes. NULL is fine. */
void punch_free(struct punch *punch);
/* The peer's credentials and candidates (from CALL or ANSWER): checks begin. Once only: ERR_STATE.
 */
MUST_USE int punch_set_remote(struct punch *punch, const struct credentials *remote,
                              const struct candidate_list *candidates, uint64_t now_us);
/* A datagram that looks like STUN. ERR_OK: it was ours and authentic. ERR_NOT_FOUND: not ours.
 * ERR_AUTH: addressed to us, but forged; ERR_INVALID: malformed. Only ERR_OK changes anything but
 * counters. */
MUST_USE int punch_receive(struct punch *punch, const void *data, size_t len,
                           const struct endpoint *from, uint64_t now_us);
/* Answers PUNCH_WANTS_SOCKETS: count sockets numbered first, first + 1 … (not 0), which stay open
 * until the punch is nominated, failed or freed; what they receive goes to punch_receive with that
 * `socket` in `from`. Fewer than wanted are fine. ERR_STATE: nothing is wanted (any more). */
MUST_USE int punch_give_sockets(struct punch *punch, uint16_t first, unsigned count,
                                uint64_t now_us);
/* The next datagram to send now, from the tunnel socket or one of those given: ERR_OK, or ERR_AGAIN
 * when there is none. The writer needs PUNCH_DATAGRAM_CAP. */
MUST_USE int punch_transmit(struct punch *punch, struct writer *w, uint64_t now_us,
                            struct punch_target *ret_target);
/* When to call punch_expire; DEADLINE_NEVER when ended. */
uint64_t punch_deadline(const struct punch *punch);
/* Moves what is due at now_us; then transmit has work. Calling it early is harmless. */
void punch_expire(struct punch *punch, uint64_t now_us);
/* False when there is none. */
bool punch_next_event(struct punch *punch, struct punch_event *ret_event);

/* Has an authentic check or answer come from there? Only then let IKE in from it. The caller's
 * first IKE message may overtake its nomination. */
bool punch_is_validated(const struct punch *punch, const struct endpoint *endpoint);
/* Was a check of ours answered from there? Then what is sent there arrives, and its answers come
 * from there: what is only heard from may be heard nowhere else. */
bool punch_is_answered(const struct punch *punch, const struct endpoint *endpoint);
/* Does what we send there come from where the peer sends to, as far as that is known? So it is
 * where a check was answered, and where one has come from, unless a NAT of ours gives every
 * destination another port. */
bool punch_leads_back(const struct punch *punch, const struct endpoint *endpoint);
/* The tunnel works over endpoint (its keys are negotiated): no more checks are sent. No event. */
void punch_confirm(struct punch *punch, const struct endpoint *endpoint, uint64_t now_us);
bool punch_is_nominated(const struct punch *punch);
const struct punch_counters *punch_counters(const struct punch *punch);

/* For demultiplexing: own user fragment (8 characters), and the first 8 bytes of the transaction
 * ids of all its checks. Borrowed. */
const char *punch_fragment(const struct punch *punch);
const uint8_t *punch_tag(const struct punch *punch);
#define PUNCH_TAG_LEN 8

/* "no answers from any address": an English phrase for people. */
const char *punch_failure_text(enum punch_failure failure);

#endif
