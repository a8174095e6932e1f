/* Asks one gateway to map a public UDP port to ours, by PCP (RFC 6887) or, where it speaks only
 * that, NAT-PMP (RFC 6886), and keeps it so: renews, asks anew when the gateway has restarted,
 * deletes at the end. One object for each gateway. Engine: no I/O, no clock. UPnP is the owner's.
 *
 * Nothing that a gateway says is proven: its answer is at worst a useless candidate. */
#ifndef PATH_MAPPING_H
#define PATH_MAPPING_H

#include "base/address.h"
#include "base/deadline.h"
#include "base/writer.h"
#include "wire/pcp.h"

#define MAPPING_LIFETIME_S     3600  /* asked for */
#define MAPPING_LIFETIME_MAX_S 86400 /* believed at most: RFC 6887, 15 */
#define MAPPING_DATAGRAM_CAP   PCP_REQUEST_CAP
#define MAPPING_RT_FIRST_US    (3 * SECOND_US)    /* RFC 6887, 8.1.1: IRT, doubled each time */
#define MAPPING_RT_MAX_US      (1024 * SECOND_US) /* MRT */
#define MAPPING_RENEW_MIN_US   (4 * SECOND_US)    /* RFC 6887, 11.2.1 */
#define MAPPING_RETRY_MIN_US   (30 * SECOND_US)   /* after a refusal, whatever the gateway says */
#define MAPPING_RETRY_MAX_US   (1800 * SECOND_US)
#define MAPPING_REFRESH_MIN_US (5 * SECOND_US) /* announcements can make us ask that often only */
#define MAPPING_DELETE_TRIES   3
#define MAPPING_DELETE_RT_US   (250 * MS_US)

enum mapping_protocol { MAPPING_NONE, MAPPING_PCP, MAPPING_NAT_PMP, MAPPING_UPNP };

enum mapping_event_type {
    MAPPING_LOST,        /* no longer there; it goes on asking */
    MAPPING_UNAVAILABLE, /* silent, or refused: try UPnP; it goes on asking, rarely */
    MAPPING_GRANTED,     /* first, or another endpoint than before */
};

struct mapping_event {
    enum mapping_event_type type;
    struct endpoint external; /* GRANTED */
};

struct mapping_config {
    struct endpoint gateway; /* port: PCP_SERVER_PORT */
    struct address client;   /* our address towards it; IPv4 as the gateway */
    uint16_t port;           /* of ours, to be mapped */
    /* Not to be guessed by others, and the same after a restart: it is what lets us take up a
     * mapping that we had (RFC 6887, 11.2). */
    uint8_t nonce[PCP_NONCE_LEN];
};

struct mapping_status {
    enum mapping_protocol protocol; /* that the gateway speaks; MAPPING_NONE: not known */
    bool is_mapped;
    struct endpoint external; /* if mapped */
    uint64_t expires_us;      /* if mapped */
    const char *error;        /* why there is none; "" while not known or mapped */
};

struct mapping;

/* Begins at once. ERR_INVALID, ERR_NOMEM. */
MUST_USE int mapping_new(const struct mapping_config *config, uint64_t now_us,
                         struct mapping **ret_mapping);
void mapping_free(struct mapping *mapping);
/* Something from the gateway's port to the socket that we ask from. ERR_NOT_FOUND: no answer to
 * what we asked; drop. ERR_INVALID and others of pcp_response_parse: malformed. */
MUST_USE int mapping_receive(struct mapping *mapping, const void *data, size_t len,
                             const struct endpoint *from, uint64_t now_us);
/* Something that came to PCP_ANNOUNCE_PORT by multicast (RFC 6887, 14.1; RFC 6886, 3.2.1): at most
 * makes us ask again. Errors as mapping_receive. */
MUST_USE int mapping_announced(struct mapping *mapping, const void *data, size_t len,
                               const struct endpoint *from, uint64_t now_us);
/* Nobody listens on the gateway's port (ICMP said so; not authentic, so it speeds up only). */
void mapping_refused(struct mapping *mapping, uint64_t now_us);
/* ERR_OK or ERR_AGAIN; to the gateway. The writer needs MAPPING_DATAGRAM_CAP. */
MUST_USE int mapping_transmit(struct mapping *mapping, struct writer *w, uint64_t now_us);
uint64_t mapping_deadline(const struct mapping *mapping);
void mapping_expire(struct mapping *mapping, uint64_t now_us);
bool mapping_next_event(struct mapping *mapping, struct mapping_event *ret_event);
/* Asks again soon: something has changed (our public address as others see it). */
void mapping_refresh(struct mapping *mapping, uint64_t now_us);
/* Deletes the mapping; then only mapping_is_released tells anything. */
void mapping_release(struct mapping *mapping, uint64_t now_us);
/* Deleted, or given up. */
bool mapping_is_released(const struct mapping *mapping);
void mapping_get_status(const struct mapping *mapping, struct mapping_status *ret_status);

/* "PCP", "NAT-PMP", "UPnP", "none". */
const char *mapping_protocol_text(enum mapping_protocol protocol);

#endif
