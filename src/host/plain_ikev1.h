/* Plain peers with `ike-version = 1`: between their [peer] sections, the engine of IKEv1 and the
 * peers' tunnels. For everything else they are plain peers like the others (host/plain.h). */
#ifndef HOST_PLAIN_IKEV1_H
#define HOST_PLAIN_IKEV1_H

#include "base/address.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct host;
struct ike_peer_entry;
struct ikev1_profile;
struct ikev1_sa;
struct plain_config;
struct plain_peer;
struct tunnel_status;

/* Of one peer. Zeroed is right. */
struct plain_ikev1 {
    struct ikev1_profile *profile;
    struct address source, remote; /* that it was made for */
    struct ikev1_sa *sa;
    bool is_calling; /* by our wish, and not up yet */
    bool is_waiting; /* there is a tunnel, but nothing to send with yet */
};

MUST_USE int plain_ikev1_open(struct host *host);
void plain_ikev1_close(struct host *host);
/* Can the engine do what the section wants? ERR_INVALID: told to report. */
MUST_USE int plain_ikev1_check(const struct plain_config *config, const char *file, FILE *report);
/* And with the keys that it names? In words what not; NULL: it can. */
const char *plain_ikev1_check_entry(const struct ike_peer_entry *entry);

/* A message of IKE; false: it is none of version 1, or nobody here speaks that. */
bool plain_ikev1_take(struct host *host, const uint8_t *message, size_t len,
                      const struct endpoint *from, uint64_t now_us);

/* Begins Main Mode with plain->remote. */
MUST_USE int plain_ikev1_call(struct plain_peer *plain, const struct address *source,
                              uint64_t now_us);
/* Gives a call up without a word. */
void plain_ikev1_clear(struct plain_peer *plain);
/* Ends its SA, if any, telling the peer. */
void plain_ikev1_end(struct plain_peer *plain, uint64_t now_us);
/* The section goes. */
void plain_ikev1_done(struct plain_peer *plain);
/* Where its tunnel goes to; only while it has an SA. */
const struct endpoint *plain_ikev1_remote(const struct plain_peer *plain);
/* Asks the peer whether it lives (RFC 3706). False: there is no SA, or it cannot be asked. */
bool plain_ikev1_ask(struct plain_peer *plain, uint64_t now_us);
bool plain_ikev1_is_asking(const struct plain_peer *plain);
/* Adds how many SAs there are, and Main Modes that nobody has proven anything in. */
void plain_ikev1_count(const struct host *host, uint32_t *count, uint32_t *half_open);
/* A look now and then at what the tunnel has seen. */
void plain_ikev1_watch(struct plain_peer *plain, const struct tunnel_status *status,
                       bool is_rekey_due, uint64_t now_us);

#endif
