/* The life of children; see ike/child.h. Negotiation is in ike/child_terms.c. */
#include "ike/child.h"
#include "crypto/memory.h"
#include "ike/queue.h"
#include "ike/timer.h"
#include <stdlib.h>
#include <string.h>

int ike_child_draw_spi(const struct ike_sa *sa, uint32_t *ret_spi)
{
    for (;;) {
        uint32_t spi;
        int error = crypto_random(&spi, sizeof(spi));
        if (error != ERR_OK)
            return error;
        /* Some are reserved (RFC 4303, 2.1), and a datagram that begins with 0 or 1 may be STUN or
         * IKE (docs/protocol.md, One UDP port). */
        bool is_taken = spi >> 24 <= 1;
        for (const struct ike_child *c = sa->children; c != NULL; c = c->next)
            is_taken |= c->spi_in == spi;
        if (is_taken)
            continue;
        *ret_spi = spi;
        return ERR_OK;
    }
}

static int tell_ready(struct ike_sa *sa, const struct ike_child *child,
                      const struct ike_child_birth *birth)
{
    struct ike_event *event = ike_events_add(sa, IKE_EVENT_CHILD_READY, 0);
    if (event == NULL)
        return ERR_NOMEM;
    struct ike_event_child_ready *ready = &event->child_ready;
    ready->child = child->number;
    ready->suite = child->suite;
    ready->key_len = suite_key_len(child->suite);
    ready->spi_in = child->spi_in;
    ready->spi_out = child->spi_out;
    ready->peer_addresses = birth->terms->peer;
    ready->mode = birth->terms->mode;
    ready->has_esn = birth->terms->choice.has_esn;
    ready->has_commands = birth->terms->has_commands;
    ready->own_addresses = *ike_child_addresses(sa);
    ready->selectors = birth->terms->selectors;
    ready->rekey_of = birth->rekey_of;
    ready->is_outbound = birth->is_outbound;
    return ike_keys_child(birth->keys, birth->secret, &birth->nonces, child->suite,
                          birth->is_ours ? ready->key_out : ready->key_in,
                          birth->is_ours ? ready->key_in : ready->key_out);
}

/* Room for one more: of those replaced long ago the oldest goes before its time. */
static int make_room(struct ike_sa *sa)
{
    struct ike_child *oldest = NULL;
    size_t count = 0;
    for (struct ike_child *c = sa->children; c != NULL; c = c->next) {
        count++;
        if (c->state == IKE_CHILD_LINGERING && (oldest == NULL || c->linger_us < oldest->linger_us))
            oldest = c;
    }
    if (count < IKE_CHILDREN_MAX)
        return ERR_OK;
    return oldest != NULL ? ike_child_bury(sa, oldest) : ERR_LIMIT;
}

/* What the initiator of the IKE SA has put into its TS payloads stays for all children (RFC 7296,
 * 2.23.1): a responder knows no better addresses. */
static void keep_transport(struct ike_sa *sa, const struct ike_child_terms *terms)
{
    if (sa->is_initiator || !suite_is_esp(terms->choice.suite) || terms->mode != CHILD_TRANSPORT)
        return;
    sa->transport = (struct ike_addresses){.own_ipv4 = terms->peer.other_ipv4,
                                           .other_ipv4 = terms->peer.own_ipv4,
                                           .own_ipv6 = terms->peer.other_ipv6,
                                           .other_ipv6 = terms->peer.own_ipv6};
}

int ike_child_install(struct ike_sa *sa, const struct ike_child_birth *birth, uint64_t now_us,
                      struct ike_child **ret_child)
{
    const struct ike_config *config = ike_sa_config(sa);

    keep_transport(sa, birth->terms);
    int error = make_room(sa);
    if (error != ERR_OK)
        return error;
    struct ike_child *child = (struct ike_child *)calloc(1, sizeof(*child));
    if (child == NULL)
        return ERR_NOMEM;
    child->number = ++sa->child_count;
    child->spi_in = birth->spi_in;
    child->spi_out = birth->terms->choice.spi;
    child->suite = birth->terms->choice.suite;
    child->state = IKE_CHILD_LIVE;
    child->is_outbound = birth->is_outbound;
    child->linger_us = DEADLINE_NEVER;
    ike_timer_lifetime(config, config->rekey_child_us, now_us, &child->rekey_us, &child->hard_us);
    error = tell_ready(sa, child, birth);
    if (error != ERR_OK) {
        free(child);
        return error;
    }
    child->next = sa->children;
    sa->children = child;
    *ret_child = child;
    return ERR_OK;
}

int ike_child_use(struct ike_sa *sa, struct ike_child *child)
{
    if (child->is_outbound)
        return ERR_OK;
    struct ike_event *event = ike_events_add(sa, IKE_EVENT_CHILD_OUTBOUND, 0);
    if (event == NULL)
        return ERR_NOMEM;
    event->child_outbound = child->number;
    child->is_outbound = true;
    return ERR_OK;
}

int ike_child_bury(struct ike_sa *sa, struct ike_child *child)
{
    struct ike_event *event = ike_events_add(sa, IKE_EVENT_CHILD_CLOSED, 0);
    if (event == NULL)
        return ERR_NOMEM;
    event->child_closed.child = child->number;
    event->child_closed.reason = child->reason;
    for (struct ike_child **at = &sa->children; *at != NULL; at = &(*at)->next) {
        if (*at == child) {
            *at = child->next;
            break;
        }
    }
    free(child);
    return ERR_OK;
}

int ike_child_end(struct ike_sa *sa, struct ike_child *child, enum ike_reason reason,
                  uint64_t now_us)
{
    uint64_t linger_us = ike_sa_config(sa)->linger_us;

    child->wants_delete = false;
    child->wants_rekey = false;
    if (child->state == IKE_CHILD_REPLACED && linger_us > 0) {
        child->state = IKE_CHILD_LINGERING;
        child->reason = IKE_REASON_REPLACED;
        child->linger_us = now_us + linger_us;
        return ERR_OK;
    }
    child->reason = child->state == IKE_CHILD_REPLACED ? IKE_REASON_REPLACED : reason;
    return ike_child_bury(sa, child);
}

void ike_children_free(struct ike_sa *sa)
{
    while (sa->children != NULL) {
        struct ike_child *child = sa->children;
        sa->children = child->next;
        free(child);
    }
}

struct ike_child *ike_child_find(struct ike_sa *sa, uint32_t number)
{
    for (struct ike_child *c = sa->children; c != NULL; c = c->next)
        if (c->number == number)
            return c;
    return NULL;
}

struct ike_child *ike_child_find_out(struct ike_sa *sa, uint8_t protocol, uint32_t spi_out)
{
    for (struct ike_child *c = sa->children; c != NULL; c = c->next)
        if (c->spi_out == spi_out && suite_protocol(c->suite) == protocol &&
            c->state != IKE_CHILD_LINGERING)
            return c;
    return NULL;
}

struct ike_child *ike_child_live(const struct ike_sa *sa)
{
    struct ike_child *newest = NULL;

    for (struct ike_child *c = sa->children; c != NULL; c = c->next) {
        if (c->state != IKE_CHILD_LIVE)
            continue;
        if (c->is_outbound)
            return c;
        if (newest == NULL)
            newest = c;
    }
    return newest;
}
