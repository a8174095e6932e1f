/* The inside of the engine, for this folder alone: the table, phase 1s, Quick Modes, children.
 *
 * A phase 1 (cookies, keys) belongs to an SA, or, while it is a responder's Main Mode that nobody
 * has proven anything in, to none: strangers are not shown to the owner. An SA has one phase 1, and
 * another while one of them is renewing the other. Children belong to the SA: they outlive the
 * phase 1 that they were made under. */
#ifndef IKEV1_STATE_H
#define IKEV1_STATE_H

#include "base/bucket.h"
#include "base/map.h"
#include "crypto/cbc.h"
#include "ikev1/keys.h"
#include "ikev1/table.h"

#define IKEV1_CHILDREN_MAX   8   /* of one SA, replaced ones included */
#define IKEV1_QUICKS_MAX     4   /* under way at once in one phase 1 */
#define IKEV1_PHASES_MAX     4   /* of one SA */
#define IKEV1_OUTBOX_MAX     64  /* messages waiting to be sent; more are lost as in a network */
#define IKEV1_EVENTS_MAX     256 /* waiting to be drained */
#define IKEV1_REFUSALS_MAX   8   /* of which, about strangers */
#define IKEV1_IDS_REMEMBERED 256 /* message IDs of one phase 1 that are not taken again */
#define IKEV1_REPEATS_MAX    8   /* answers to copies of one message */
#define IKEV1_SA_BODY_MAX    2048
#define IKEV1_NONCE_LEN      32
#define IKEV1_PROOFS_MAX     4 /* signatures of one handshake that are looked at in a second */
/* Nothing answers message 3 of Quick Mode. Where the peer can be asked whether it lives, its answer
 * says that it has come through that, too; else, and at the latest, it has the new child by then:
 */
#define IKEV1_OUTBOUND_US (500 * MS_US)
#define IKEV1_CONFIRM_US  (3 * SECOND_US)

struct ikev1_profile {
    struct ikev1_config config;
    uint32_t references;
};

struct ikev1_profile *ikev1_profile_share(struct ikev1_profile *profile);

/* A message that was sent and may have to be again. */
struct ikev1_sent {
    uint8_t *bytes;
    size_t len;
    struct endpoint remote;
    uint64_t due_us;      /* again; DEADLINE_NEVER: only for a copy of what it answers */
    uint64_t interval_us; /* to the one after */
    uint64_t until_us;    /* then it is given up */
    uint8_t repeats;
};

/* What only a Main Mode under way needs. */
struct ikev1_handshake {
    struct ikev1_profile *candidates[IKEV1_CANDIDATES_MAX]; /* responder; references */
    size_t candidate_count;
    struct kex kex;
    struct kex_secret secret;
    uint8_t nonce_i[IKE_NONCE_LEN_MAX];
    size_t nonce_i_len;
    uint8_t nonce_r[IKE_NONCE_LEN_MAX];
    size_t nonce_r_len;
    uint8_t peer_public[KEX_PUBLIC_MAX];
    uint8_t sa_body[IKEV1_SA_BODY_MAX]; /* of the initiator's offer (SAi_b) */
    size_t sa_body_len;
    uint16_t notify; /* an error heard in the clear */
    bool is_bad_told;
    struct bucket proofs; /* signatures to be looked at: they cost time */
};

enum ikev1_phase_state {
    IKEV1_PHASE_1, /* message 1 is out: initiator */
    IKEV1_PHASE_2, /* message 2 is out: responder; and so on */
    IKEV1_PHASE_3,
    IKEV1_PHASE_4,
    IKEV1_PHASE_5,
    IKEV1_PHASE_UP,
};

struct ikev1_quick {
    struct ikev1_quick *next;
    bool is_initiator;
    uint32_t message_id;
    uint8_t iv[CBC_BLOCK_LEN];  /* the last block of the exchange so far */
    uint8_t digest[SHA256_LEN]; /* of the last message taken */
    struct ikev1_sent sent;
    struct kex kex; /* group KEX_NONE: without */
    uint8_t nonce_i[IKE_NONCE_LEN_MAX];
    size_t nonce_i_len;
    uint8_t nonce_r[IKE_NONCE_LEN_MAX];
    size_t nonce_r_len;
    uint32_t spi_in;
    uint32_t child;    /* responder: what it has made, waiting for message 3 */
    uint32_t rekey_of; /* initiator */
    uint64_t began_us;
    bool is_done; /* initiator: message 3 is out, kept for copies of message 2 */
    struct ikev1_selectors selectors;
};

struct ikev1_phase {
    struct ikev1_phase *next, *previous; /* in the table */
    struct map_node node;                /* by our cookie */
    struct ikev1_table *table;
    struct ikev1_sa *sa;           /* NULL: nobody has proven anything yet */
    struct ikev1_profile *profile; /* a reference; NULL while candidates remain */
    bool is_initiator;
    enum ikev1_phase_state state;
    uint64_t cookie_i, cookie_r;
    struct endpoint remote; /* where its messages go while it is not up; then the SA's counts */
    struct ikev1_handshake *handshake; /* NULL once up */
    struct ikev1_proposal proposal;
    struct ikev1_keys keys;
    uint8_t iv[CBC_BLOCK_LEN];  /* last block of Main Mode (RFC 2409, appendix B) */
    uint8_t digest[SHA256_LEN]; /* of the last message taken in Main Mode */
    struct ikev1_sent sent;
    enum isakmp_natt natt;
    bool has_dpd, is_nat_here, is_nat_there;
    bool is_contact;      /* INITIAL-CONTACT came with the proof */
    uint64_t life_us;     /* that the transform chosen says; DEADLINE_NEVER: none */
    uint64_t until_us;    /* half-open: given up; up: the end */
    uint64_t hard_us;     /* up: its end, whatever replaces it */
    uint64_t rekey_at_us; /* DEADLINE_NEVER: not by us */
    uint64_t began_us;    /* with its message 1 */
    uint64_t up_us;       /* since when it is up */
    struct ikev1_quick *quicks;
    uint32_t seen_ids[IKEV1_IDS_REMEMBERED]; /* a ring */
    uint32_t seen_count;
};

struct ikev1_child {
    struct ikev1_child *next;
    uint32_t number;
    uint32_t spi_in, spi_out;
    enum suite suite;
    bool is_outbound;
    bool is_replaced;
    bool is_ours;        /* we asked for it */
    uint64_t began_us;   /* its Quick Mode */
    bool is_unconfirmed; /* the answer to the question of this number says that the peer has it */
    uint32_t confirm_sequence;
    uint64_t used_us; /* sent with since then; DEADLINE_NEVER: not yet */
    uint64_t hard_us; /* its end, whatever replaces it */
    uint64_t outbound_at_us;
    uint64_t rekey_at_us;
    uint64_t until_us;
};

struct ikev1_sa {
    struct ikev1_sa *next, *previous;
    struct ikev1_table *table;
    struct ikev1_profile *profile;
    void *user;
    enum ikev1_state state;
    bool is_initiator;
    struct endpoint remote;
    struct ikev1_id peer_id;
    struct ikev1_phase *current;  /* the newest that is up */
    struct ikev1_child *children; /* newest first */
    uint32_t child_count;
    uint32_t next_child;
    uint64_t heard_us;
    bool wants_child;
    /* Liveness (RFC 3706): one question at a time, asked again until answered. */
    uint32_t dpd_sequence;
    bool is_asking;
    uint64_t ask_at_us; /* again */
    uint64_t ask_interval_us;
    uint64_t ask_until_us;
    /* The peer was heard from elsewhere: is it there? */
    bool has_candidate;
    struct endpoint candidate;
    uint32_t candidate_sequence;
    uint64_t candidate_us; /* since when */
};

struct ikev1_outgoing {
    struct endpoint remote;
    uint8_t *bytes;
    size_t len;
};

struct ikev1_event_node {
    struct ikev1_event_node *next;
    struct ikev1_event event;
};

struct ikev1_table {
    struct ikev1_table_limits limits;
    struct map by_cookie;
    struct ikev1_phase *phases;
    struct ikev1_sa *sas;
    uint32_t sa_count;
    uint32_t half_open_count;
    struct ikev1_outgoing outbox[IKEV1_OUTBOX_MAX]; /* a ring */
    size_t outbox_at, outbox_count;
    struct ikev1_event_node *events, **events_end;
    uint32_t event_count, refusal_count;
    struct bucket replies, refusals;
    uint64_t wall_s;
};

/* table.c */
/* Of an SA, or a half-open one where sa is NULL. ERR_LIMIT, ERR_NOMEM, ERR_CRYPTO. */
MUST_USE int ikev1_phase_new(struct ikev1_table *table, struct ikev1_sa *sa, bool is_initiator,
                             const struct endpoint *remote, struct ikev1_phase **ret_phase);
/* Wipes. NULL is fine. */
void ikev1_phase_free(struct ikev1_phase *phase);
void ikev1_handshake_free(struct ikev1_handshake *handshake);
static inline uint64_t ikev1_phase_own_cookie(const struct ikev1_phase *p)
{
    return p->is_initiator ? p->cookie_i : p->cookie_r;
}
MUST_USE int ikev1_sa_new(struct ikev1_table *table, struct ikev1_profile *profile,
                          const struct endpoint *remote, bool is_initiator,
                          struct ikev1_sa **ret_sa);
/* Ends it and everything of it: CLOSED is told. */
void ikev1_sa_end(struct ikev1_sa *sa, enum ikev1_reason reason, uint16_t notify);
/* One phase 1 has come to nothing: with it the SA, unless that has another. */
void ikev1_phase_fail(struct ikev1_phase *phase, enum ikev1_reason reason, uint16_t notify);
/* Appends an event to be filled in; NULL: no room, or too many. */
struct ikev1_event *ikev1_event_add(struct ikev1_table *table, struct ikev1_sa *sa,
                                    enum ikev1_event_type type);
void ikev1_event_refuse(struct ikev1_table *table, const struct endpoint *remote, uint64_t now_us,
                        const char *format, ...) PRINTF_LIKE(4, 5);

/* sent.c */
/* Puts a copy into the outbox; without room there it is lost, as it may be in the network. */
void ikev1_send(struct ikev1_table *table, const uint8_t *bytes, size_t len,
                const struct endpoint *remote);
/* Sends and keeps it; until_us: repeats it by itself until then, or 0: not. */
MUST_USE int ikev1_sent_set(struct ikev1_sent *sent, struct ikev1_table *table,
                            const struct ikev1_config *config, const struct writer *w,
                            const struct endpoint *remote, uint64_t until_us, uint64_t now_us);
/* A copy of what it answers has come: sends it again, some times. */
void ikev1_sent_repeat(struct ikev1_sent *sent, struct ikev1_table *table,
                       const struct endpoint *remote);
/* What is due; ERR_TIMEOUT: it is given up. */
MUST_USE int ikev1_sent_expire(struct ikev1_sent *sent, struct ikev1_table *table,
                               const struct ikev1_config *config, uint64_t now_us);
uint64_t ikev1_sent_deadline(const struct ikev1_sent *sent);
void ikev1_sent_done(struct ikev1_sent *sent);

/* main_mode.c, main_initiator.c, main_responder.c */
MUST_USE int ikev1_main_start(struct ikev1_phase *phase, uint64_t now_us);
MUST_USE int ikev1_main_accept(struct ikev1_table *table, struct ikev1_profile *const *responders,
                               size_t responder_count, const struct ike_header *header,
                               const uint8_t *message, size_t len, const struct endpoint *remote,
                               uint64_t now_us);
/* A later message of Main Mode, for an existing phase 1. */
MUST_USE int ikev1_main_receive(struct ikev1_phase *phase, const struct ike_header *header,
                                const uint8_t *message, size_t len, const struct endpoint *remote,
                                uint64_t now_us);
/* Renews the SA's phase 1 from our side. */
MUST_USE int ikev1_main_renew(struct ikev1_sa *sa, uint64_t now_us);

/* quick.c, quick_initiator.c, quick_responder.c */
MUST_USE int ikev1_quick_start(struct ikev1_sa *sa, uint32_t rekey_of, uint64_t now_us);
MUST_USE int ikev1_quick_receive(struct ikev1_phase *phase, const struct ike_header *header,
                                 const uint8_t *message, size_t len, const struct endpoint *remote,
                                 uint64_t now_us);
void ikev1_quick_free(struct ikev1_quick *quick);
/* Takes it out of its phase and frees it. */
void ikev1_quick_end(struct ikev1_phase *phase, struct ikev1_quick *quick);
/* It has come to nothing: tells the owner, and the child that a responder made goes. */
void ikev1_quick_fail(struct ikev1_phase *phase, struct ikev1_quick *quick,
                      enum ikev1_reason reason, uint16_t notify);

/* informational.c */
MUST_USE int ikev1_informational_receive(struct ikev1_phase *phase, const struct ike_header *header,
                                         const uint8_t *message, size_t len,
                                         const struct endpoint *remote, uint64_t now_us);
/* Tells the peer that a child, or the phase 1 itself, is gone. */
void ikev1_tell_child_gone(struct ikev1_sa *sa, const struct ikev1_child *child);
void ikev1_tell_phase_gone(struct ikev1_phase *phase);
/* An authentic message came from there: if that is not where the SA is, the peer is asked there. */
void ikev1_heard(struct ikev1_phase *phase, const struct endpoint *remote, uint64_t now_us);
/* Sends a question with this number. */
void ikev1_ask(struct ikev1_sa *sa, const struct endpoint *remote, uint32_t sequence);
/* A notify of phase 1's protection, without data, in answer to what was wrong with a Quick Mode. */
void ikev1_tell_error(struct ikev1_phase *phase, const struct endpoint *remote, uint16_t type,
                      uint32_t spi);
/* False: this message ID has been seen. Remembers it. */
MUST_USE bool ikev1_id_is_new(struct ikev1_phase *phase, uint32_t message_id);

/* Of two that were begun by different sides: did both begin before either was done? Then both
 * sides keep the same one of them. */
static inline bool ikev1_has_crossed(uint64_t began_us, uint64_t done_us, uint64_t other_began_us,
                                     uint64_t other_done_us)
{
    return began_us <= other_done_us && other_began_us <= done_us;
}

/* child.c */
struct ikev1_birth {
    struct ikev1_phase *phase;
    const struct ikev1_quick *quick;
    enum suite suite;
    uint32_t spi_out;
    uint64_t life_us; /* hard, the shorter of both sides'; DEADLINE_NEVER: the peer has said none */
    const struct kex_secret *secret; /* NULL: without */
    struct ikev1_addresses peer;
    uint32_t rekey_of;
    bool is_outbound;
};
MUST_USE int ikev1_child_install(struct ikev1_sa *sa, const struct ikev1_birth *birth,
                                 uint64_t now_us, struct ikev1_child **ret_child);
struct ikev1_child *ikev1_child_find(struct ikev1_sa *sa, uint32_t number);
struct ikev1_child *ikev1_child_find_out(struct ikev1_sa *sa, uint32_t spi_out);
/* The newest that we send with, else the newest that is not replaced; NULL: none. */
struct ikev1_child *ikev1_child_live(const struct ikev1_sa *sa);
/* Send with it from now on; those before are replaced. */
void ikev1_child_use(struct ikev1_sa *sa, struct ikev1_child *child, uint64_t now_us);
/* The peer has answered the question of this number. */
void ikev1_child_confirm(struct ikev1_sa *sa, uint32_t sequence, uint64_t now_us);
/* The peer has deleted the live one: what it has kept, if anything, is used (again). */
void ikev1_child_revive(struct ikev1_sa *sa, uint64_t now_us);
/* Tells the owner, and frees it. */
void ikev1_child_end(struct ikev1_sa *sa, struct ikev1_child *child, enum ikev1_reason reason);
void ikev1_children_free(struct ikev1_sa *sa);
void ikev1_children_expire(struct ikev1_sa *sa, uint64_t now_us);
uint64_t ikev1_children_deadline(const struct ikev1_sa *sa);
MUST_USE int ikev1_child_draw_spi(struct ikev1_sa *sa, uint32_t *ret_spi);

/* A soft time, some percent of it earlier by chance. */
uint64_t ikev1_soft_us(const struct ikev1_config *config, uint64_t soft_us);

#endif
