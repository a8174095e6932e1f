/* CREATE_CHILD_SA: which of its three uses a request is (RFC 7296, 1.3), and what both kinds of
 * rekey have in common. */
#include "crypto/memory.h"
#include "ike/exchange.h"
#include "ike/rest.h"
#include <stdlib.h>
#include <string.h>

int ike_create_child_answer(struct ike_generation *g, const struct ike_incoming *in,
                            struct ike_builder *b)
{
    const struct ike_message *m = in->message;
    struct ike_sa *sa = g->sa;
    struct ike_proposals proposals;
    struct ike_proposal first;
    struct ike_notify rekey;

    /* RFC 7296, 2.25.2: neither while closing nor on an IKE SA that has been replaced. */
    if (sa->state != IKE_STATE_ESTABLISHED || g != sa->current || g->state != IKE_GENERATION_LIVE) {
        ike_build_notify(b, IKE_NOTIFY_TEMPORARY_FAILURE, NULL, 0);
        return ERR_OK;
    }
    if (ike_message_find_notify(m, IKE_NOTIFY_REKEY_SA, &rekey))
        return ike_rekey_child_answer(g, in, &rekey, b);
    ike_proposals_init(&proposals, m->sa.body, m->sa.len);
    if (ike_proposals_next(&proposals, &first) == ERR_OK && first.protocol == IKE_PROTOCOL_IKE)
        return ike_rekey_ike_answer(g, in, b);
    if (sa->is_resting)
        return ike_wake_answer(g, in, b);
    ike_build_notify(b, IKE_NOTIFY_NO_ADDITIONAL_SAS, NULL, 0); /* one tunnel a peer */
    return ERR_OK;
}

int ike_rekey_new(enum kex_group group, struct ike_rekey **ret_rekey)
{
    struct ike_rekey *rekey = (struct ike_rekey *)calloc(1, sizeof(*rekey));
    if (rekey == NULL)
        return ERR_NOMEM;
    int error = group != KEX_NONE ? kex_init(&rekey->kex, group) : ERR_OK;
    if (error == ERR_OK)
        error = crypto_random(rekey->nonce, sizeof(rekey->nonce));
    if (error != ERR_OK) {
        kex_done(&rekey->kex);
        free(rekey);
        return error;
    }
    *ret_rekey = rekey;
    return ERR_OK;
}

/* Octet by octet from the first (RFC 7296, 2.8.1). */
static int compare_nonces(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    if (order != 0)
        return order;
    return a_len < b_len ? -1 : a_len > b_len;
}

void ike_rekey_note_rival(struct ike_rekey *rekey, const struct ike_nonces *nonces)
{
    bool is_initiators = compare_nonces(nonces->initiator, nonces->initiator_len, nonces->responder,
                                        nonces->responder_len) < 0;
    const uint8_t *lowest = is_initiators ? nonces->initiator : nonces->responder;

    rekey->has_rival = true;
    rekey->rival_nonce_len = is_initiators ? nonces->initiator_len : nonces->responder_len;
    memcpy(rekey->rival_nonce, lowest, rekey->rival_nonce_len);
}

bool ike_rekey_loses(const struct ike_rekey *rekey, const uint8_t *peer_nonce, size_t len)
{
    if (!rekey->has_rival)
        return false;
    return compare_nonces(rekey->nonce, sizeof(rekey->nonce), rekey->rival_nonce,
                          rekey->rival_nonce_len) < 0 ||
           compare_nonces(peer_nonce, len, rekey->rival_nonce, rekey->rival_nonce_len) < 0;
}
