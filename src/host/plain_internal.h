/* What plain.c (life), plain_call.c (calling), plain_profile.c (proofs and terms) and plain_name.c
 * share. */
#ifndef HOST_PLAIN_INTERNAL_H
#define HOST_PLAIN_INTERNAL_H

#include "host/host.h"
#include "host/lookup.h"
#include "host/peer.h"
#include "host/plain.h"
#include "host/plain_ikev1.h"
#include "host/streams.h"
#include "ike/credentials.h"

enum plain_state {
    PLAIN_IDLE,
    PLAIN_NAMING,     /* its address is being looked up */
    PLAIN_CONNECTING, /* by TCP */
    PLAIN_KEYING,     /* keys are being negotiated by our wish */
};

struct plain_proof; /* plain_profile.c */

struct plain_peer {
    struct host *host;
    struct peer *peer;
    struct plain_config config;
    struct plain_proof *proof;
    enum plain_state state;
    struct lookup *lookup;
    struct endpoint remote;      /* where it is being called */
    struct ike_profile *profile; /* of that call */
    struct ike_sa *sa;           /* that call's, until the tunnel is up */
    struct ike_sa *accepted;     /* the last one established, by either side; it may be gone */
    uint64_t accepted_spi;       /* its initiator's, at first */
    uint64_t accepted_us;
    struct plain_ikev1 ikev1; /* in place of the three above, with ike-version = 1 */
    struct task task;         /* the call's time-out, or when to call again */
    bool is_asking_ipv6;
    bool prefers_stream; /* with transport = auto: since then UDP has been silent */
    uint64_t preferred_us;
    uint64_t udp_us;   /* when a tunnel over TCP next tries UDP; 0: not set */
    unsigned attempts; /* that have failed in a row */
    uint64_t started_us, step_us;
    size_t moves_tried; /* to other addresses of the peer's, in a row */
};

struct plain {
    struct plain_peer *peers[PLAIN_PEERS_MAX];
    uint32_t count;
    struct plain *older; /* replaced by a reload: SAs may borrow from it yet */
    struct ike_peer_entry entries[PLAIN_PEERS_MAX]; /* of responder */
    bool has_sockets;
    struct address told[HOST_LOCALS_MAX]; /* addresses of ours, as peers know them */
    size_t told_count;
    struct ike_profile *responder; /* NULL: nobody may call */
};

/* Calls it if it is to be up always, unless that is under way. */
void plain_call_always(struct plain_peer *plain, uint64_t wait_us, uint64_t now_us);
/* This try has; another one follows, or whoever waits is told. */
void plain_call_failed(struct plain_peer *plain, const char *why, uint64_t now_us);
/* The first child is there: the tunnel is up. */
void plain_call_done(struct plain_peer *plain, bool was_call, enum suite suite,
                     const struct endpoint *remote, uint64_t now_us);
/* There is a way to the peer: keys. */
void plain_call_negotiate(struct plain_peer *plain, uint64_t now_us);
/* Drops the call without a word. */
void plain_call_clear(struct plain_peer *plain);

/* An SA with the peer is established: accepted, unless both sides have called at once and the other
 * one stays. */
bool plain_cross_takes(struct plain_peer *plain, struct ike_sa *sa, bool is_initial_contact,
                       uint64_t now_us);

/* ---- other addresses; plain_move.c ---- */

/* Looks after a tunnel whose peer has some. When to look again. */
uint64_t plain_move_watch(struct plain_peer *plain, const struct tunnel_status *status,
                          uint64_t now_us);
/* Our addresses, where they have changed: for SAs to come, and to the peers there are. */
void plain_tell_addresses(struct host *host, uint64_t now_us);

/* ---- TCP; plain_stream.c ---- */

/* Is the next call by TCP? */
bool plain_stream_is_wanted(const struct plain_peer *plain, uint64_t now_us);
/* Connects to the call's remote end; plain_call_negotiate() follows. */
void plain_stream_begin(struct plain_peer *plain, uint64_t now_us);
/* A call has failed; was_silent: nothing was heard of the peer, or nothing any more. */
void plain_stream_note_failure(struct plain_peer *plain, bool was_silent, uint64_t now_us);
/* Looks after a tunnel over TCP. */
void plain_stream_watch(struct plain_peer *plain, uint64_t now_us);

/* Reads what a section names. line for messages. */
MUST_USE int plain_proof_new(const struct plain_config *config, const struct host_config *host,
                             struct plain_proof **ret_proof);
void plain_proof_free(struct plain_proof *proof);
/* As IKE takes it; borrowed. */
const struct ike_peer_entry *plain_proof_entry(const struct plain_proof *proof);
bool plain_proof_is_equal(const struct plain_proof *a, const struct plain_proof *b);
/* For a call of ours from `source` to `remote`. */
MUST_USE int plain_profile_call(struct plain_peer *plain, const struct address *source,
                                struct ike_profile **ret_profile);
/* For all who may call us. NULL where there is nobody. */
MUST_USE int plain_profile_respond(struct plain *all, struct host *host,
                                   struct ike_profile **ret_profile);

#endif
