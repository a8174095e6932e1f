/* The relay's table at the connector: which channel of which session leads to which channel of
 * which other one, and how much may pass. Engine: it holds no data and sends nothing; the owner
 * asks for each frame where it goes. What passes is sealed between the hosts, and none of our
 * business.
 *
 * A channel belongs to one session. Frames of other sessions on it, and on channels that are not
 * there, go nowhere. Both ends of a link go with either session, or after it was idle. */
#ifndef LOGIN_RELAY_H
#define LOGIN_RELAY_H

#include "base/address.h"
#include "base/deadline.h"
#include <stdbool.h>

#define RELAY_LEN_MAX      4000 /* of one datagram */
#define RELAY_SESSION_MAX  64   /* channels of one session */
#define RELAY_CHANNELS_MAX 65536
#define RELAY_IDLE_US      (120 * SECOND_US) /* without a frame from both; keepalives count */

struct relay_config {
    uint32_t rate;       /* bytes a second that one session may send; 0: no relay */
    uint32_t rate_total; /* … all together */
};

struct relay_counters {
    uint64_t links;   /* opened so far */
    uint64_t frames;  /* passed */
    uint64_t bytes;   /* passed */
    uint64_t limited; /* dropped: above a rate */
    uint64_t refused; /* dropped: no such channel of this session, too long, or empty */
};

/* One end of a link: what its host is to be told. */
struct relay_end {
    uint64_t session;
    uint64_t number;        /* of the call, as that host knows it */
    struct address address; /* that the session comes from */
    uint32_t channel;
};

struct relay;

/* seed: 16 random bytes. */
MUST_USE int relay_new(const struct relay_config *config, const uint8_t seed[16],
                       struct relay **ret_relay);
/* NULL is fine. */
void relay_free(struct relay *relay);
/* Links stay; with a rate of 0 nothing new is opened, and nothing passes. */
void relay_set_config(struct relay *relay, const struct relay_config *config);
const struct relay_config *relay_get_config(const struct relay *relay);

/* Links two sessions for one call; fills in the channels. ERR_REFUSED: there is no relay, or both
 * are one session; ERR_LIMIT: too many channels; ERR_NOMEM. */
MUST_USE int relay_open(struct relay *relay, struct relay_end *a, struct relay_end *b,
                        uint64_t now_us);
/* May a datagram of len bytes pass from this channel of this session, and where to? ERR_NOT_FOUND:
 * not a channel of this session; ERR_INVALID: no length for a datagram; ERR_LIMIT: above the
 * session's rate, or its share of the total: that is divided among the addresses (IPv6: /64) that
 * send, and what each gets among its sessions. Then it is dropped, and counted here. */
MUST_USE int relay_pass(struct relay *relay, uint64_t session, uint32_t channel, size_t len,
                        uint64_t now_us, uint64_t *ret_session, uint32_t *ret_channel);
/* All its links are gone. */
void relay_session_closed(struct relay *relay, uint64_t session);

uint64_t relay_deadline(const struct relay *relay);
void relay_expire(struct relay *relay, uint64_t now_us);
/* Ends whose hosts are to be told that the channel is no more; false at the end. */
bool relay_next_closed(struct relay *relay, struct relay_end *ret_end);

size_t relay_channel_count(const struct relay *relay);
const struct relay_counters *relay_counters(const struct relay *relay);

#endif
