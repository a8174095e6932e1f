/* Sorting and checking the payloads of a message; see wire/ike_message.h. */
#include "wire/ike_message.h"

/* Types that come at most once in a message, and where they go. */
static struct ike_payload *single_slot(struct ike_message *m, uint8_t type)
{
    switch (type) {
    case IKE_PAYLOAD_SA:
        return &m->sa;
    case IKE_PAYLOAD_KE:
        return &m->ke;
    case IKE_PAYLOAD_IDI:
        return &m->id_i;
    case IKE_PAYLOAD_IDR:
        return &m->id_r;
    case IKE_PAYLOAD_AUTH:
        return &m->auth;
    case IKE_PAYLOAD_NONCE:
        return &m->nonce;
    case IKE_PAYLOAD_TSI:
        return &m->ts_i;
    case IKE_PAYLOAD_TSR:
        return &m->ts_r;
    default:
        return NULL;
    }
}

static int check_body(const struct ike_payload *p)
{
    union {
        struct ike_ke ke;
        struct ike_id id;
        struct ike_cert cert;
        struct ike_auth auth;
        struct ike_notify notify;
        struct ike_delete deletion;
    } u;
    size_t count;

    switch (p->type) {
    case IKE_PAYLOAD_SA:
        return ike_proposals_check(p->body, p->len);
    case IKE_PAYLOAD_KE:
        return ike_ke_parse(p->body, p->len, &u.ke);
    case IKE_PAYLOAD_IDI:
    case IKE_PAYLOAD_IDR:
        return ike_id_parse(p->body, p->len, &u.id);
    case IKE_PAYLOAD_CERT:
    case IKE_PAYLOAD_CERTREQ:
        return ike_cert_parse(p->body, p->len, &u.cert);
    case IKE_PAYLOAD_AUTH:
        return ike_auth_parse(p->body, p->len, &u.auth);
    case IKE_PAYLOAD_NONCE:
        return p->len < IKE_NONCE_LEN_MIN || p->len > IKE_NONCE_LEN_MAX ? ERR_INVALID : ERR_OK;
    case IKE_PAYLOAD_NOTIFY:
        return ike_notify_parse(p->body, p->len, &u.notify);
    case IKE_PAYLOAD_DELETE:
        return ike_delete_parse(p->body, p->len, &u.deletion);
    case IKE_PAYLOAD_TSI:
    case IKE_PAYLOAD_TSR:
        return ike_ts_parse(p->body, p->len, NULL, 0, &count);
    default:
        return ERR_OK;
    }
}

int ike_message_parse(uint8_t first, const uint8_t *data, size_t len,
                      struct ike_message *ret_message)
{
    struct ike_message m = {0};
    struct ike_payload p;
    size_t count = 0;
    int error;

    ike_chain_init(&m.chain, first, data, len);
    struct ike_chain chain = m.chain;
    while ((error = ike_chain_next(&chain, &p)) == ERR_OK) {
        if (++count > IKE_PAYLOADS_MAX)
            return ERR_LIMIT;
        if (p.type < IKE_PAYLOAD_SA || p.type > IKE_PAYLOAD_EAP) {
            if (p.is_critical && m.unknown_critical == 0)
                m.unknown_critical = p.type;
            continue;
        }
        error = check_body(&p);
        if (error != ERR_OK)
            return error;
        struct ike_payload *slot = single_slot(&m, p.type);
        if (slot != NULL && slot->body != NULL)
            return ERR_INVALID;
        if (slot != NULL)
            *slot = p;
        m.present |= IKE_BIT(p.type);
    }
    if (error != ERR_NOT_FOUND)
        return error;
    *ret_message = m;
    return ERR_OK;
}

static bool next_of_type(struct ike_chain *chain, uint8_t type, struct ike_payload *ret_payload)
{
    while (ike_chain_next(chain, ret_payload) == ERR_OK)
        if (ret_payload->type == type)
            return true;
    return false;
}

bool ike_message_next_notify(struct ike_chain *chain, struct ike_notify *ret_notify)
{
    struct ike_payload p;
    return next_of_type(chain, IKE_PAYLOAD_NOTIFY, &p) &&
           ike_notify_parse(p.body, p.len, ret_notify) == ERR_OK;
}

bool ike_message_next_delete(struct ike_chain *chain, struct ike_delete *ret_delete)
{
    struct ike_payload p;
    return next_of_type(chain, IKE_PAYLOAD_DELETE, &p) &&
           ike_delete_parse(p.body, p.len, ret_delete) == ERR_OK;
}

bool ike_message_next_cert(struct ike_chain *chain, enum ike_payload_type type,
                           struct ike_cert *ret_cert)
{
    struct ike_payload p;
    return next_of_type(chain, (uint8_t)type, &p) &&
           ike_cert_parse(p.body, p.len, ret_cert) == ERR_OK;
}

bool ike_message_find_notify(const struct ike_message *message, uint16_t type,
                             struct ike_notify *ret_notify)
{
    struct ike_chain chain = message->chain;
    struct ike_notify n;

    while (ike_message_next_notify(&chain, &n)) {
        if (n.type != type)
            continue;
        if (ret_notify != NULL)
            *ret_notify = n;
        return true;
    }
    return false;
}

uint16_t ike_message_error(const struct ike_message *message)
{
    struct ike_chain chain = message->chain;
    struct ike_notify n;

    while (ike_message_next_notify(&chain, &n))
        if (n.type != 0 && n.type <= IKE_NOTIFY_ERROR_MAX)
            return n.type;
    return 0;
}
