/* Asks one connector's UDP port for our public address and port by STUN Binding (RFC 8489), from
 * the tunnel socket, and asks again regularly, which keeps the NAT's mapping alive too. One object
 * for each connector. Engine: no I/O, no clock. */
#ifndef PATH_REFLEXIVE_H
#define PATH_REFLEXIVE_H

#include "base/address.h"
#include "base/deadline.h"
#include "base/writer.h"

#define REFLEXIVE_REFRESH_US                                                                       \
    (20 * SECOND_US)                         /* below the 30 s of the worst common home gateways   \
                                              */
#define REFLEXIVE_RTO_FIRST_US (200 * MS_US) /* then doubled */
#define REFLEXIVE_RTO_MAX_US   (1600 * MS_US)
#define REFLEXIVE_TRIES        7                /* RFC 8489, 6.2.1: Rc; 7.8 s in all, then lost */
#define REFLEXIVE_SILENT_TRIES 3                /* 1.4 s */
#define REFLEXIVE_RETRY_US     (10 * SECOND_US) /* after a loss, doubled up to the next one */
#define REFLEXIVE_RETRY_MAX_US (60 * SECOND_US)
#define REFLEXIVE_DATAGRAM_CAP 128
#define REFLEXIVE_TICKET_MAX   32
#define REFLEXIVE_TICKET_US    (300 * SECOND_US) /* a new one; they are good for 900 s */
/* Of a request with the wish for a ticket: as long as the longest answer to it. */
#define REFLEXIVE_WISH_LEN      80
#define REFLEXIVE_WISH_LEN_IPV6 116

enum reflexive_event_type {
    REFLEXIVE_FOUND,   /* first answer, or first after a loss */
    REFLEXIVE_CHANGED, /* another public address or port than before */
    REFLEXIVE_LOST,    /* no answers: UDP blocked, connector gone; retries go on */
};

struct reflexive_event {
    enum reflexive_event_type type;
    struct endpoint endpoint; /* FOUND, CHANGED: the new one; LOST: the old one or none */
    uint64_t round_trip_us;   /* FOUND, CHANGED */
};

struct reflexive;

/* Begins at once. refresh_us 0: REFLEXIVE_REFRESH_US. */
MUST_USE int reflexive_new(const struct endpoint *server, uint64_t refresh_us, uint64_t now_us,
                           struct reflexive **ret_reflexive);
void reflexive_free(struct reflexive *reflexive);
/* ERR_OK: the answer to our request. ERR_NOT_FOUND: not ours (other source, id or kind); drop.
 * ERR_INVALID: ours but malformed. */
MUST_USE int reflexive_receive(struct reflexive *reflexive, const void *data, size_t len,
                               const struct endpoint *from, uint64_t now_us);
/* ERR_OK or ERR_AGAIN. The writer needs REFLEXIVE_DATAGRAM_CAP. */
MUST_USE int reflexive_transmit(struct reflexive *reflexive, struct writer *w,
                                struct endpoint *ret_to, uint64_t now_us);
uint64_t reflexive_deadline(const struct reflexive *reflexive);
void reflexive_expire(struct reflexive *reflexive, uint64_t now_us);
bool reflexive_next_event(struct reflexive *reflexive, struct reflexive_event *ret_event);
/* Asks again now: our addresses or routes have changed. */
void reflexive_refresh(struct reflexive *reflexive, uint64_t now_us);
/* How often, from the next answer on; where that is sooner than what is planned, from now on. */
void reflexive_set_refresh(struct reflexive *reflexive, uint64_t refresh_us, uint64_t now_us);
/* From the next request on: asks for the server's proof that it has seen us where it has (TICKET),
 * unless it refuses. */
void reflexive_want_ticket(struct reflexive *reflexive);
/* That of reflexive_endpoint; borrowed. NULL: there is none (yet). */
const uint8_t *reflexive_ticket(const struct reflexive *reflexive, size_t *ret_len);
/* The last answer; NULL while there is none (never answered, or lost). */
const struct endpoint *reflexive_endpoint(const struct reflexive *reflexive);
/* Of the last answer; 0 while there is none. */
uint64_t reflexive_round_trip_us(const struct reflexive *reflexive);
/* Have several tries in a row gone unanswered, where there were answers before? LOST may follow. */
bool reflexive_is_silent(const struct reflexive *reflexive);
const struct endpoint *reflexive_server(const struct reflexive *reflexive);

#endif
