/* Quick Mode, both sides' parts; see ikev1/quick.h. */
#include "ikev1/quick.h"
#include "crypto/memory.h"
#include "ikev1/main_mode.h"
#include <stdlib.h>
#include <string.h>

#define NONCE_LEN_MIN 8

int ikev1_quick_new(struct ikev1_phase *phase, bool is_initiator, uint32_t message_id,
                    uint64_t now_us, struct ikev1_quick **ret_quick)
{
    unsigned count = 0;

    for (const struct ikev1_quick *q = phase->quicks; q != NULL; q = q->next)
        count += !q->is_done;
    if (count >= IKEV1_QUICKS_MAX)
        return ERR_LIMIT;
    struct ikev1_quick *q = (struct ikev1_quick *)calloc(1, sizeof(*q));
    if (q == NULL)
        return ERR_NOMEM;
    const int error = ikev1_iv_exchange(phase->keys.hash, phase->iv, message_id, q->iv);
    if (error != ERR_OK) {
        free(q);
        return error;
    }
    q->is_initiator = is_initiator;
    q->message_id = message_id;
    q->began_us = now_us;
    q->sent.due_us = q->sent.until_us = DEADLINE_NEVER;
    q->next = phase->quicks;
    phase->quicks = q;
    *ret_quick = q;
    return ERR_OK;
}

void ikev1_quick_free(struct ikev1_quick *q)
{
    if (q == NULL)
        return;
    kex_done(&q->kex);
    ikev1_sent_done(&q->sent);
    crypto_wipe(q, sizeof(*q));
    free(q);
}

void ikev1_quick_end(struct ikev1_phase *phase, struct ikev1_quick *quick)
{
    struct ikev1_quick **at = &phase->quicks;

    while (*at != quick)
        at = &(*at)->next;
    *at = quick->next;
    ikev1_quick_free(quick);
}

void ikev1_quick_fail(struct ikev1_phase *phase, struct ikev1_quick *quick,
                      enum ikev1_reason reason, uint16_t notify)
{
    struct ikev1_sa *sa = phase->sa;
    struct ikev1_child *child = quick->is_initiator ? NULL : ikev1_child_find(sa, quick->child);
    const bool was_wish = quick->is_initiator && !quick->is_done && ikev1_child_live(sa) == NULL;

    if (child != NULL && !child->is_outbound)
        ikev1_child_end(sa, child, reason);
    ikev1_quick_end(phase, quick);
    if (!was_wish)
        return;
    struct ikev1_event *event = ikev1_event_add(sa->table, sa, IKEV1_EVENT_CHILD_CLOSED);
    if (event != NULL)
        event->child_closed = (struct ikev1_event_child_closed){0, reason, notify};
}

struct ikev1_quick *ikev1_quick_find(struct ikev1_phase *phase, uint32_t message_id)
{
    struct ikev1_quick *q = phase->quicks;

    while (q != NULL && q->message_id != message_id)
        q = q->next;
    return q;
}

static struct prefix single(const struct address *a)
{
    return (struct prefix){*a, (uint8_t)(address_len(a) * 8)};
}

static struct ikev1_selectors between_ends(const struct ikev1_sa *sa, const struct endpoint *remote)
{
    struct address local = sa->profile->config.local.address;

    /* Bound to no address in particular: the peer's family is ours. */
    if (local.family != remote->address.family) {
        local = remote->address;
        memset(local.bytes, 0, sizeof(local.bytes));
    }
    return (struct ikev1_selectors){.local = single(&local), .remote = single(&remote->address)};
}

struct ikev1_selectors ikev1_quick_wish(const struct ikev1_sa *sa)
{
    const struct ikev1_config *config = &sa->profile->config;

    return config->mode == CHILD_TUNNEL ? config->selectors : between_ends(sa, &sa->remote);
}

void ikev1_quick_build_ids(const struct ikev1_selectors *s, bool is_initiator,
                           struct ike_builder *b)
{
    const struct prefix *first = is_initiator ? &s->local : &s->remote;
    const struct prefix *second = is_initiator ? &s->remote : &s->local;

    isakmp_build_id_prefix(b, first, s->protocol, is_initiator ? s->local_port : s->remote_port);
    isakmp_build_id_prefix(b, second, s->protocol, is_initiator ? s->remote_port : s->local_port);
}

int ikev1_quick_read_ids(const struct ikev1_sa *sa, const struct ikev1_message *message,
                         bool peer_is_initiator, const struct endpoint *remote,
                         struct ikev1_selectors *ret_selectors)
{
    struct isakmp_id ids[2];
    struct prefix prefixes[2];

    if (message->id_count == 0) {
        *ret_selectors = between_ends(sa, remote);
        return ERR_OK;
    }
    if (message->id_count != 2)
        return ERR_INVALID;
    for (size_t i = 0; i < 2; i++) {
        int error = isakmp_id_parse(message->id[i].body, message->id[i].len, &ids[i]);
        if (error == ERR_OK)
            error = isakmp_id_prefix(&ids[i], &prefixes[i]);
        if (error != ERR_OK)
            return error;
    }
    const size_t local = peer_is_initiator ? 1 : 0;
    if (ids[0].protocol != ids[1].protocol)
        return ERR_INVALID;
    *ret_selectors = (struct ikev1_selectors){
        .local = prefixes[local],
        .remote = prefixes[1 - local],
        .protocol = ids[0].protocol,
        .local_port = ids[local].port,
        .remote_port = ids[1 - local].port,
    };
    return ERR_OK;
}

static bool is_within(const struct prefix *inner, const struct prefix *outer)
{
    return inner->bits >= outer->bits && prefix_contains(outer, &inner->address);
}

static bool is_single(const struct prefix *p)
{
    return p->bits == address_len(&p->address) * 8;
}

bool ikev1_quick_allows(const struct ikev1_config *config, const struct ikev1_selectors *s)
{
    const struct ikev1_selectors *own = &config->selectors;

    /* In transport form the addresses are those that the peer sees and has: the keys, not they, say
     * whose packets they are. */
    if (config->mode == CHILD_TRANSPORT)
        return is_single(&s->local) && is_single(&s->remote) &&
               s->local.address.family == s->remote.address.family;
    return is_within(&s->local, &own->local) && is_within(&s->remote, &own->remote) &&
           (own->protocol == 0 || own->protocol == s->protocol) &&
           (own->local_port == 0 || own->local_port == s->local_port) &&
           (own->remote_port == 0 || own->remote_port == s->remote_port);
}

int ikev1_quick_check_hash(const struct ikev1_phase *phase, const struct ikev1_message *message,
                           uint32_t message_id, const void *before, size_t before_len)
{
    uint8_t hash[HASH_LEN_MAX];
    struct piece rest;

    int error = ikev1_message_hashed(message, &rest);
    if (error != ERR_OK || message->hash.len != hash_len(phase->keys.hash))
        return ERR_AUTH;
    const struct piece pieces[] = {{before, before_len}, rest};
    error = ikev1_keys_hash(&phase->keys, message_id, pieces, 2, hash);
    if (error != ERR_OK)
        return error;
    return crypto_is_equal(hash, message->hash.body, message->hash.len) ? ERR_OK : ERR_AUTH;
}

int ikev1_quick_check_keys(const struct ikev1_message *message, enum kex_group group)
{
    const struct ike_payload *nonce = &message->nonce;

    if (nonce->body == NULL || nonce->len < NONCE_LEN_MIN || nonce->len > IKE_NONCE_LEN_MAX)
        return ERR_INVALID;
    if ((message->ke.body != NULL) != (group != KEX_NONE))
        return ERR_INVALID;
    return group == KEX_NONE || message->ke.len == kex_public_len(group) ? ERR_OK : ERR_INVALID;
}

int ikev1_quick_receive(struct ikev1_phase *phase, const struct ike_header *header,
                        const uint8_t *message, size_t len, const struct endpoint *remote,
                        uint64_t now_us)
{
    struct ikev1_quick *quick = ikev1_quick_find(phase, header->message_id);
    uint8_t digest[SHA256_LEN];
    struct ikev1_opened opened;

    if (phase->state != IKEV1_PHASE_UP || phase->sa == NULL ||
        phase->sa->state != IKEV1_STATE_ESTABLISHED)
        return ERR_STATE;
    if (header->message_id == 0)
        return ERR_INVALID;
    if (quick == NULL)
        return ikev1_quick_accept(phase, header, message, len, remote, now_us);
    int error = ikev1_digest(message, len, digest);
    if (error != ERR_OK)
        return error;
    if (crypto_is_equal(digest, quick->digest, sizeof(digest))) {
        ikev1_sent_repeat(&quick->sent, phase->table, remote);
        return ERR_AGAIN;
    }
    if (quick->is_done)
        return ERR_STATE;
    error = ikev1_message_open(&phase->keys, quick->iv, header, message, len, &opened);
    if (error == ERR_OK) {
        if (quick->is_initiator) {
            error = ikev1_quick_receive_2(phase, quick, &opened, remote, now_us);
            if (error == ERR_OK)
                memcpy(quick->digest, digest, sizeof(digest));
        } else {
            error = ikev1_quick_receive_3(phase, quick, &opened, now_us);
        }
    }
    crypto_wipe(&opened, sizeof(opened));
    if (error == ERR_OK)
        ikev1_heard(phase, remote, now_us);
    return error;
}
