/* The path MTU of one path, found by probes that the far end answers (RFC 8899): what an outer IP
 * packet may measure. No router needs to say anything, and none is believed: what one says is
 * tried. The owner sends the probes, tells what came of them and of the traffic, and puts
 * pmtu_mtu() in force. Engine: no I/O, no clock. */
#ifndef PATH_PMTU_H
#define PATH_PMTU_H

#include "base/deadline.h"

/* BASE_PLPMTU: what every path in earnest use carries, whatever is wrapped around it. */
#define PMTU_BASE 1124
/* MIN_PLPMTU: leaves 552 bytes inside in every suite over either family, the least that Linux takes
 * from an ICMP message for its own packets. */
#define PMTU_MIN   640
#define PMTU_SIZES 5 /* tried at once, each by one probe at a time */
/* MAX_PROBES; each loss among smaller probes that do arrive adds one, up to the second. */
#define PMTU_TRIES     3
#define PMTU_TRIES_MAX 6
#define PMTU_STEP      4 /* the search ends where it is known as exactly */
/* PROBE_TIMER: twice the round trip and a little, within these; before one is known: _FIRST,
 * doubled with each try. */
#define PMTU_TIMER_FIRST_US (500 * MS_US)
#define PMTU_TIMER_MIN_US   (100 * MS_US)
#define PMTU_TIMER_MAX_US   (3 * SECOND_US)
#define PMTU_TIMER_SLOW_US  (10 * SECOND_US) /* in place of it where the round trip is known */
/* PMTU_RAISE_TIMER (RFC 8899, 5.1.1). Nothing is sent where no large packets are. */
#define PMTU_RAISE_US (600 * SECOND_US)
/* CONFIRMATION_TIMER: how often one probe shows, while large packets are sent, that they arrive; or
 * each four round trips, where that is longer. Unanswered for a round trip it is sent again, and
 * PMTU_MIN beside it, ever more rarely: what tells a narrow path, on which only the latter is
 * answered, from a line whose queue is long. */
#define PMTU_CONFIRM_US  (2 * SECOND_US)
#define PMTU_CHECK_TRIES 4 /* each waits four times as long as the one before */
/* Large packets were sent, and nothing at all has been heard for so long (or twice the round trip
 * and a little, where that is longer): the same at once. */
#define PMTU_SILENCE_US (300 * MS_US)
#define PMTU_ROUND_US   SECOND_US        /* checks and searches do not begin more often than this */
#define PMTU_HINT_US    (10 * SECOND_US) /* nor searches because of what routers say than this */
/* No probe of any size is answered: the next search, doubled up to the last. */
#define PMTU_DEAD_US     (2 * SECOND_US)
#define PMTU_DEAD_MAX_US (60 * SECOND_US)

enum pmtu_state {
    PMTU_UNTRIED,   /* nothing large was sent yet: the owner's guess is in force */
    PMTU_IN_BASE,   /* Base: the first sizes are tried; what was in force still is */
    PMTU_SEARCHING, /* Search: what is in force has been confirmed, larger ones are tried */
    PMTU_COMPLETE,  /* Search Complete */
    PMTU_ERROR,     /* not even PMTU_BASE gets there; what does, or nothing */
};

/* One size of a round. */
struct pmtu_size {
    uint32_t size; /* bytes of the IP packet */
    uint8_t verdict;
    uint8_t tries;
    bool is_due;
    uint64_t at_us; /* the last try is given up */
    uint64_t sent_us[PMTU_TRIES_MAX];
    uint32_t tokens[PMTU_TRIES_MAX];
    uint32_t numbers[PMTU_TRIES_MAX]; /* messages that carried them; 0: not known yet */
};

/* Read it by the functions below only. */
struct pmtu {
    enum pmtu_state state;
    uint32_t mtu;       /* PLPMTU */
    uint32_t max;       /* MAX_PLPMTU */
    uint32_t limit;     /* the most that leaves this host; at most max */
    uint32_t hint;      /* what a router said, to be tried in the next round; 0: nothing */
    uint32_t good, bad; /* of this search: confirmed, refuted. 0, and above max: none */
    struct pmtu_size sizes[PMTU_SIZES]; /* ascending */
    unsigned count;
    bool is_check; /* this round is one probe of what is in force, by way of confirmation */
    bool is_least; /* this round tries PMTU_MIN, as all else has failed */
    uint32_t token_last;
    uint64_t round_trip_us; /* 0: not known */
    uint64_t round_us;      /* when the last check or search began */
    uint64_t confirmed_us;  /* when it was last known that what is in force gets there */
    uint64_t raise_us;      /* when a search may look for more */
    uint64_t hint_us;       /* no hint is taken before */
    uint64_t dead_us;       /* no sooner than this after nothing was answered */
    uint64_t dead_wait_us;
};

/* Nothing is sent yet. max: of the interface or as configured; guess (at most that): in force until
 * it is known better. round_trip_us: 0 if it is not known. */
void pmtu_init(struct pmtu *pmtu, uint32_t max, uint32_t guess, uint64_t round_trip_us);
/* The same for another path; what is still under way on the one before is forgotten. */
void pmtu_move(struct pmtu *pmtu, uint32_t max, uint32_t guess, uint64_t round_trip_us);
/* What was sent and heard: large_us, when a packet near the size in force was last sent (0: never);
 * heard_us, when anything authentic last came. Begins what is due by that; if nothing is, returns
 * when it will be, should nothing change. */
uint64_t pmtu_note_traffic(struct pmtu *pmtu, uint64_t large_us, uint64_t heard_us,
                           uint64_t now_us);
/* A search now, unless one is under way: there are packets for which it matters. */
void pmtu_search(struct pmtu *pmtu, uint64_t now_us);
/* A router says that it passes on no more than this. Bounded, and tried before it is believed. */
void pmtu_on_hint(struct pmtu *pmtu, uint32_t size, uint64_t now_us);
/* This host's own interface takes no more than this: in force at once. */
void pmtu_on_limit(struct pmtu *pmtu, uint32_t size, uint64_t now_us);

/* ERR_OK: send a probe that makes an IP packet of this size, and tell under which message number it
 * went; or ERR_AGAIN. */
MUST_USE int pmtu_transmit(struct pmtu *pmtu, uint32_t *ret_size, uint32_t *ret_token,
                           uint64_t now_us);
/* number 0: it could not be sent. */
void pmtu_on_sent(struct pmtu *pmtu, uint32_t token, uint32_t number);
/* An authentic answer to the probe of this number. False: it is none of ours. */
bool pmtu_on_answer(struct pmtu *pmtu, uint32_t number, uint64_t now_us);
/* DEADLINE_NEVER while nothing is under way. */
uint64_t pmtu_deadline(const struct pmtu *pmtu);
void pmtu_expire(struct pmtu *pmtu, uint64_t now_us);

/* In force: largest IP packet to send. */
uint32_t pmtu_mtu(const struct pmtu *pmtu);
enum pmtu_state pmtu_state(const struct pmtu *pmtu);
/* "untried", "base", "searching", "complete", "error". */
const char *pmtu_state_text(enum pmtu_state state);

#endif
