/* Children of an SA: negotiating one in IKE_AUTH or CREATE_CHILD_SA, its keys, its end. */
#ifndef IKE_CHILD_H
#define IKE_CHILD_H

#include "ike/state.h"

struct ike_incoming;

/* What a negotiation came to. */
struct ike_child_terms {
    struct ike_choice choice;  /* suite, the peer's SPI */
    struct ike_addresses peer; /* that the peer's packets carry */
    bool wants_transport_mode; /* SPUT: says so in vain */
    /* ESP */
    enum child_mode mode;
    bool has_commands;
    struct selector_pair selectors; /* tunnel mode */
};

MUST_USE int ike_child_draw_spi(const struct ike_sa *sa, uint32_t *ret_spi);
/* Appends the SA payload of an offer, and the notifies that go with it. */
void ike_child_offer(struct ike_sa *sa, struct ike_builder *b, uint32_t spi_in, bool has_ke);
/* The addresses of our TS payloads. */
const struct ike_addresses *ike_child_addresses(const struct ike_sa *sa);
/* Appends TSi and TSr of an offer. */
void ike_child_offer_ts(struct ike_sa *sa, struct ike_builder *b);
/* Judges the peer's offer: 0, or the error notify to answer with. */
uint16_t ike_child_read_offer(struct ike_sa *sa, const struct ike_message *message, bool has_ke,
                              struct ike_child_terms *ret_terms);
void ike_child_answer(struct ike_sa *sa, struct ike_builder *b, const struct ike_child_terms *terms,
                      uint32_t spi_in, bool has_ke);
void ike_child_answer_ts(struct ike_sa *sa, struct ike_builder *b,
                         const struct ike_child_terms *terms);
/* Judges the answer to our offer: 0, or a notify type that says what is wrong with it. */
uint16_t ike_child_read_answer(struct ike_sa *sa, const struct ike_message *message, bool has_ke,
                               struct ike_child_terms *ret_terms);

struct ike_child_birth {
    const struct ike_child_terms *terms;
    uint32_t spi_in;
    const struct ike_keys *keys;
    const struct kex_secret *secret; /* of the exchange's own key exchange, or NULL */
    struct ike_nonces nonces;
    bool is_ours; /* we asked for it */
    uint32_t rekey_of;
    bool is_outbound;
};

/* Derives the keys, adds the child and tells the owner. */
MUST_USE int ike_child_install(struct ike_sa *sa, const struct ike_child_birth *birth,
                               uint64_t now_us, struct ike_child **ret_child);
/* The peer's half of the exchange is fine: ours goes into b, and the child begins, in place of old
 * (NULL: of none). ret_child is untouched where b says why there is none. */
MUST_USE int ike_child_create(struct ike_generation *g, const struct ike_incoming *in,
                              struct ike_child *old, const struct ike_child_terms *terms,
                              const struct ike_ke *peer, struct ike_builder *b,
                              struct ike_child **ret_child);
/* Tells the owner to send with it, once. */
MUST_USE int ike_child_use(struct ike_sa *sa, struct ike_child *child);
/* The child is gone on the wire. A replaced one lingers; any other is reported and freed at once.
 */
MUST_USE int ike_child_end(struct ike_sa *sa, struct ike_child *child, enum ike_reason reason,
                           uint64_t now_us);
/* Reports and frees. */
MUST_USE int ike_child_bury(struct ike_sa *sa, struct ike_child *child);
void ike_children_free(struct ike_sa *sa);

struct ike_child *ike_child_find(struct ike_sa *sa, uint32_t number);
/* By the SPI that the peer receives with: what its messages name a child by. Not lingering ones. */
struct ike_child *ike_child_find_out(struct ike_sa *sa, uint8_t protocol, uint32_t spi_out);
/* The newest live one that we send with, else the newest live one, else NULL. */
struct ike_child *ike_child_live(const struct ike_sa *sa);

#endif
