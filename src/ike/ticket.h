/* Tickets of IKEv2 session resumption (RFC 5723): the state of an SA that its responder has sealed
 * and given to the initiator to keep, so that a million sessions cost the responder no memory. A
 * ticket proves nothing by itself: whoever presents it has to know the SA's keys too, so a copy of
 * it is worth nothing. */
#ifndef IKE_TICKET_H
#define IKE_TICKET_H

#include "ike/keys.h"

#define IKE_TICKET_KEY_LEN 32
#define IKE_TICKET_LEN_MAX 1024 /* of another implementation's, as we keep it */

/* What a ticket holds. */
struct ike_ticket_state {
    uint64_t expires_s; /* wall clock of the responder */
    enum ike_cipher cipher;
    uint8_t sk_d[IKE_PRF_LEN];
    struct public_key key;  /* of the initiator */
    char id[NAME_TEXT_CAP]; /* that it claimed; "": none */
};

/* The responder's keys: tickets are sealed with the newest, opened with that and the one before. */
struct ike_tickets;

/* lifetime_s: of a ticket from a full handshake; those of resumed SAs end when the first one does,
 * so that a fresh Diffie-Hellman exchange comes round. */
MUST_USE int ike_tickets_new(uint32_t lifetime_s, struct ike_tickets **ret_tickets);
/* Wipes. NULL is fine. */
void ike_tickets_free(struct ike_tickets *tickets);
/* A new key; the one before the last is forgotten. */
void ike_tickets_add_key(struct ike_tickets *tickets, const uint8_t key[IKE_TICKET_KEY_LEN]);
/* The wall clock moves on; without a key or a time no ticket is made or taken. */
void ike_tickets_set_time(struct ike_tickets *tickets, uint64_t now_s);

/* Seals into w and tells how long it will be good. expires_s of `state` 0: a full lifetime.
 * ERR_STATE: no key, or its time is over. */
MUST_USE int ike_ticket_seal(const struct ike_tickets *tickets,
                             const struct ike_ticket_state *state, struct writer *w,
                             uint32_t *ret_lifetime_s);
/* ERR_AUTH: not of ours, altered, or too old; ERR_INVALID, ERR_TRUNCATED. */
MUST_USE int ike_ticket_open(const struct ike_tickets *tickets, const uint8_t *ticket, size_t len,
                             struct ike_ticket_state *ret_state);

/* What an initiator keeps of an SA to resume it. Secret: wipe it. */
struct ike_resumption {
    uint8_t ticket[IKE_TICKET_LEN_MAX];
    size_t ticket_len;
    uint64_t expires_us; /* our clock */
    enum ike_cipher cipher;
    uint8_t sk_d[IKE_PRF_LEN];
    struct public_key peer_key;
    char peer_id[NAME_TEXT_CAP];
};

#endif
