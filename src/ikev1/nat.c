/* NAT traversal; see ikev1/nat.h. */
#include "ikev1/nat.h"
#include "crypto/memory.h"
#include <string.h>

#define PORT_IKE 500

void ikev1_nat_offer(struct ike_builder *b)
{
    isakmp_build_vendor(b, ISAKMP_VENDOR_NATT_RFC);
    isakmp_build_vendor(b, ISAKMP_VENDOR_NATT_DRAFT_03);
    isakmp_build_vendor(b, ISAKMP_VENDOR_NATT_DRAFT_02);
    isakmp_build_vendor(b, ISAKMP_VENDOR_NATT_DRAFT_02N);
    isakmp_build_vendor(b, ISAKMP_VENDOR_DPD);
}

void ikev1_nat_answer(const struct ikev1_phase *phase, struct ike_builder *b)
{
    if (phase->natt == ISAKMP_NATT_RFC) {
        isakmp_build_vendor(b, ISAKMP_VENDOR_NATT_RFC);
    } else {
        isakmp_build_vendor(b, ISAKMP_VENDOR_NATT_DRAFT_03);
        isakmp_build_vendor(b, ISAKMP_VENDOR_NATT_DRAFT_02);
        isakmp_build_vendor(b, ISAKMP_VENDOR_NATT_DRAFT_02N);
    }
    if (phase->has_dpd)
        isakmp_build_vendor(b, ISAKMP_VENDOR_DPD);
}

int ikev1_nat_read_vendors(struct ikev1_phase *phase, const struct ikev1_message *message)
{
    enum isakmp_natt natt = ISAKMP_NATT_NONE;
    struct isakmp_chain chain;
    struct ike_payload p;
    bool has_dpd = false;

    ikev1_message_walk(message, &chain);
    while (isakmp_chain_next(&chain, &p) == ERR_OK) {
        if (p.type != ISAKMP_PAYLOAD_VENDOR)
            continue;
        switch (isakmp_vendor_find(p.body, p.len)) {
        case ISAKMP_VENDOR_NATT_RFC:
            natt = ISAKMP_NATT_RFC;
            break;
        case ISAKMP_VENDOR_NATT_DRAFT_03:
        case ISAKMP_VENDOR_NATT_DRAFT_02:
        case ISAKMP_VENDOR_NATT_DRAFT_02N:
            natt = natt == ISAKMP_NATT_RFC ? natt : ISAKMP_NATT_DRAFT;
            break;
        case ISAKMP_VENDOR_DPD:
            has_dpd = true;
            break;
        case ISAKMP_VENDOR_UNKNOWN:
            break;
        }
    }
    if (natt == ISAKMP_NATT_NONE)
        return ERR_UNSUPPORTED;
    phase->natt = natt;
    phase->has_dpd = has_dpd;
    return ERR_OK;
}

/* HASH(CKY-I | CKY-R | address | port) (RFC 3947, 3.2). */
static int compute(const struct ikev1_phase *phase, const struct endpoint *e,
                   uint8_t ret_hash[HASH_LEN_MAX])
{
    uint8_t input[16 + 16 + 2];
    struct writer w;
    const size_t len = address_len(&e->address);

    writer_init(&w, input, sizeof(input));
    writer_u64(&w, phase->cookie_i);
    writer_u64(&w, phase->cookie_r);
    writer_bytes(&w, e->address.bytes, len > 0 ? len : 4);
    writer_u16(&w, e->port);
    const struct piece piece = {input, w.len};
    return hash_digest(phase->proposal.hash, &piece, 1, ret_hash);
}

static enum isakmp_payload_type nat_d_type(const struct ikev1_phase *phase)
{
    return phase->natt == ISAKMP_NATT_RFC ? ISAKMP_PAYLOAD_NAT_D : ISAKMP_PAYLOAD_NAT_D_DRAFT;
}

int ikev1_nat_build(const struct ikev1_phase *phase, struct ike_builder *b)
{
    uint8_t hash[HASH_LEN_MAX];
    const size_t len = hash_len(phase->proposal.hash);

    int error = compute(phase, &phase->remote, hash);
    if (error != ERR_OK)
        return error;
    isakmp_build_payload(b, nat_d_type(phase));
    writer_bytes(b->w, hash, len);
    error = crypto_random(hash, len);
    if (error != ERR_OK)
        return error;
    isakmp_build_payload(b, nat_d_type(phase));
    writer_bytes(b->w, hash, len);
    return ERR_OK;
}

int ikev1_nat_check(struct ikev1_phase *phase, const struct ikev1_message *message,
                    const struct endpoint *remote)
{
    const struct ikev1_config *config =
        phase->profile != NULL ? &phase->profile->config : &phase->handshake->candidates[0]->config;
    const size_t len = hash_len(phase->proposal.hash);
    struct isakmp_chain chain;
    struct ike_payload p;
    uint8_t here[HASH_LEN_MAX], there[HASH_LEN_MAX];
    unsigned count = 0;
    bool is_here = false, is_there = false;

    int error = compute(phase, &config->local, here);
    if (error == ERR_OK)
        error = compute(phase, remote, there);
    if (error != ERR_OK)
        return error;
    ikev1_message_walk(message, &chain);
    while (isakmp_chain_next(&chain, &p) == ERR_OK) {
        if (p.type != nat_d_type(phase))
            continue;
        if (p.len != len)
            return ERR_INVALID;
        /* The first is of us as the peer sees us, the others of its own addresses. */
        if (count++ == 0)
            is_here = crypto_is_equal(p.body, here, len);
        else
            is_there = is_there || crypto_is_equal(p.body, there, len);
    }
    if (count < 2)
        return ERR_INVALID;
    phase->is_nat_here = !is_here;
    phase->is_nat_there = !is_there;
    return ERR_OK;
}

struct endpoint ikev1_nat_float(const struct ikev1_config *config, const struct endpoint *remote)
{
    struct endpoint to = *remote;

    if (remote->port == PORT_IKE) {
        to.port = config->nat_port;
        to.socket = config->nat_socket;
    }
    return to;
}

void ikev1_nat_build_original(const struct ikev1_phase *phase, const struct ikev1_config *config,
                              struct ike_builder *b, bool is_initiator)
{
    const struct ikev1_addresses *a = &config->addresses;

    if (config->mode != CHILD_TRANSPORT || address_len(&a->own) == 0)
        return;
    if (phase->natt != ISAKMP_NATT_RFC) {
        isakmp_build_nat_oa(b, phase->natt, &a->own);
        return;
    }
    isakmp_build_nat_oa(b, phase->natt, is_initiator ? &a->own : &a->other);
    isakmp_build_nat_oa(b, phase->natt, is_initiator ? &a->other : &a->own);
}

void ikev1_nat_read_original(const struct ikev1_message *message, bool peer_is_initiator,
                             struct ikev1_addresses *ret_peer)
{
    struct address found[2] = {{0}, {0}};
    struct isakmp_chain chain;
    struct ike_payload p;
    struct isakmp_id id;
    struct prefix prefix;
    size_t count = 0;
    bool is_draft = false;

    ikev1_message_walk(message, &chain);
    while (isakmp_chain_next(&chain, &p) == ERR_OK && count < 2) {
        if (p.type != ISAKMP_PAYLOAD_NAT_OA && p.type != ISAKMP_PAYLOAD_NAT_OA_DRAFT)
            continue;
        if (isakmp_id_parse(p.body, p.len, &id) != ERR_OK ||
            isakmp_id_prefix(&id, &prefix) != ERR_OK ||
            (id.type != ISAKMP_ID_IPV4 && id.type != ISAKMP_ID_IPV6))
            continue;
        is_draft = p.type == ISAKMP_PAYLOAD_NAT_OA_DRAFT;
        found[count++] = prefix.address;
    }
    const bool own_is_first = count < 2 || is_draft || peer_is_initiator;
    ret_peer->own = own_is_first ? found[0] : found[1];
    ret_peer->other = own_is_first ? found[1] : found[0];
}
