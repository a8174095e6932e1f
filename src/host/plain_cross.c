/* A plain peer and this host call each other at the same time: of both IKE SAs one stays, and both
 * sides know which, without a word: that of the lower initiator's SPI (RFC 7296 leaves it open). A
 * peer that knows nothing of this rule sees its own, or the other one, being deleted. */
#include "host/plain_internal.h"

#define CROSS_US (10 * SECOND_US) /* longer than a call takes */

static uint64_t initiator_spi(const struct ike_sa *sa)
{
    uint64_t initiator, responder;
    ike_sa_spis(sa, &initiator, &responder);
    return initiator;
}

/* Did the SA that there is come from the other side's call than this one, and just now? */
static bool is_crossing(const struct plain_peer *plain, const struct ike_sa *sa, uint64_t now_us)
{
    const struct peer *peer = plain->peer;
    return peer->tunnel != NULL && peer->sa != NULL && peer->sa != sa &&
           peer->sa == plain->accepted && now_us - plain->accepted_us < CROSS_US &&
           ike_sa_is_initiator(peer->sa) != ike_sa_is_initiator(sa);
}

bool plain_cross_takes(struct plain_peer *plain, struct ike_sa *sa, bool is_initial_contact,
                       uint64_t now_us)
{
    const uint64_t spi = initiator_spi(sa);
    /* A peer that knows of no other SA has lost ours, and means what it says. */
    if (is_crossing(plain, sa, now_us) && !(is_initial_contact && !ike_sa_is_initiator(sa)) &&
        plain->accepted_spi < spi) {
        log_debug("%s: both have called: the other SA stays", plain->peer->name);
        return false;
    }
    plain->accepted = sa;
    plain->accepted_spi = spi;
    plain->accepted_us = now_us;
    return true;
}
