/* All IKE SAs of one endpoint: finds the SA that a message belongs to, creates responders, and
 * answers strangers without keeping state. No I/O, no clock: the owner passes whole IKE messages
 * (without the non-ESP marker or the length prefix of RFC 9329) and the time. One thread. */
#ifndef IKE_TABLE_H
#define IKE_TABLE_H

#include "base/writer.h"
#include "ike/sa.h"

/* Longest message received or sent. */
#define IKE_MESSAGE_CAP 4096

struct ike_table_limits {
    uint32_t sas_max;                   /* all SAs, half-open ones included */
    uint32_t half_open_max;             /* responders that have not seen a valid IKE_AUTH */
    uint32_t half_open_per_address_max; /* likewise, of one remote address */
    uint32_t cookie_threshold;   /* half-open responders from which on cookies are asked for */
    uint32_t replies_max;        /* stateless replies waiting to be sent; more are dropped */
    uint32_t replies_per_second; /* of errors (not cookies) to strangers */
    uint64_t cookie_lifetime_us; /* how long one cookie secret makes cookies; valid twice that */
};

/* Fits a host; a connector raises the first three. */
void ike_table_limits_init(struct ike_table_limits *limits);

struct ike_table;

MUST_USE int ike_table_new(const struct ike_table_limits *limits, uint64_t now_us,
                           struct ike_table **ret_table);
/* Frees all its SAs too. NULL is fine. */
void ike_table_free(struct ike_table *table);

/* The wall clock, seconds since 1970: certificates are judged by it, and refused without. */
void ike_table_set_time(struct ike_table *table, uint64_t now_s);

/* One received message. responder: the profile for new IKE_SA_INIT requests, or NULL to take none,
 * and to answer no stranger.
 * ret_sa is set to the SA it belongs to (drive it: transmit, drain events), or NULL.
 * ERR_OK: taken. ERR_AGAIN: answered or ignored without an SA. ERR_AUTH, ERR_REPLAY, ERR_NOT_FOUND,
 * ERR_INVALID, ERR_TRUNCATED, ERR_UNSUPPORTED, ERR_LIMIT, ERR_STATE: ignored, and why: count it.
 * Nothing changes but by an authentic message (RFC 7296, 2.21), a fitting IKE_SA_INIT aside. */
MUST_USE int ike_table_receive(struct ike_table *table, struct ike_profile *responder,
                               const uint8_t *message, size_t len, const struct endpoint *remote,
                               uint64_t now_us, struct ike_sa **ret_sa);

/* The SA that a message claims to belong to by its SPIs, or NULL. Says nothing of who sent it, and
 * changes nothing. Of those that share the SPIs, any. */
struct ike_sa *ike_table_peek(struct ike_table *table, const uint8_t *message, size_t len);

/* This host's addresses, of which plain peers that do MOBIKE are told where there is more than one
 * (RFC 4555, 3.4): the first IKE_OTHERS_MAX that are of use. */
void ike_table_set_addresses(struct ike_table *table, const struct address *addresses,
                             size_t count);

/* Carried messages: IKE_SA_INIT, or the first message on an SA at rest, may travel by other means
 * than the path, e.g. through a third party, before any path is known. Their endpoint is of the
 * family ADDRESS_NONE, with bytes of the owner's that tell one such journey from another. Whoever
 * brings them is known: no cookies are asked for; and there are no addresses that a NAT could have
 * changed: no NAT detection. ike_sa_set_remote() when there is a path. */
static inline bool ike_is_carried(const struct endpoint *remote)
{
    return remote->address.family == ADDRESS_NONE;
}

/* Writes the next stateless reply (cookie, INVALID_KE_PAYLOAD, NO_PROPOSAL_CHOSEN,
 * INVALID_MAJOR_VERSION); ERR_AGAIN when there is none, ERR_FULL if it does not fit (it stays). */
MUST_USE int ike_table_transmit(struct ike_table *table, struct writer *w,
                                struct endpoint *ret_remote);

/* The earliest deadline of all SAs; DEADLINE_NEVER if none. */
uint64_t ike_table_deadline(const struct ike_table *table);
/* Expires the next SA that is due and returns it (drive it as after receive); NULL when none is
 * left. */
struct ike_sa *ike_table_expire(struct ike_table *table, uint64_t now_us);

/* Walks all SAs, start with NULL; the one returned may be freed once the next has been taken. */
struct ike_sa *ike_table_walk(struct ike_table *table, struct ike_sa *previous);
uint32_t ike_table_count(const struct ike_table *table);
uint32_t ike_table_half_open_count(const struct ike_table *table);

#endif
