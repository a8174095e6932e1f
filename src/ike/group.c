/* KE payloads and the groups they are of: what both sides of each exchange do with them (RFC 7296,
 * 1.2, 1.3 and 2.7). */
#include "ike/exchange.h"
#include "ike/offer.h"

uint16_t ike_read_ke(const struct ike_message *message, enum kex_group group, struct ike_ke *ret_ke)
{
    struct ike_ke ke;

    if (message->ke.body == NULL || ike_ke_parse(message->ke.body, message->ke.len, &ke) != ERR_OK)
        return IKE_NOTIFY_INVALID_SYNTAX;
    if (ke.group != (uint16_t)group)
        return IKE_NOTIFY_INVALID_KE_PAYLOAD;
    if (ke.len != kex_public_len(group))
        return IKE_NOTIFY_INVALID_SYNTAX;
    *ret_ke = ke;
    return 0;
}

void ike_build_own_ke(struct ike_builder *b, const struct kex *kex)
{
    ike_build_ke(b, (uint16_t)kex->group, kex->public_key, kex->public_len);
}

void ike_refuse_ke(struct ike_builder *b, uint16_t notify, enum kex_group group)
{
    const uint8_t wanted[] = {(uint8_t)(group >> 8), (uint8_t)group};

    if (notify == IKE_NOTIFY_INVALID_KE_PAYLOAD)
        ike_build_notify(b, notify, wanted, sizeof(wanted));
    else
        ike_build_notify(b, notify, NULL, 0);
}

enum kex_group ike_wanted_group(const struct ike_config *config, const struct ike_message *message)
{
    struct ike_notify n;

    if (!ike_message_find_notify(message, IKE_NOTIFY_INVALID_KE_PAYLOAD, &n) || n.len != 2)
        return KEX_NONE;
    const unsigned group = (unsigned)n.data[0] << 8 | n.data[1];
    return ike_offer_has_group(config, group) ? (enum kex_group)group : KEX_NONE;
}

enum kex_group ike_rekey_group(const struct ike_generation *g)
{
    const struct ike_config *config = ike_sa_config(g->sa);

    if (ike_offer_has_group(config, g->sa->rekey_group))
        return g->sa->rekey_group;
    const enum kex_group group = g->keys.algorithms.group;
    return ike_offer_has_group(config, group) ? group : config->groups[0];
}

bool ike_rekey_regroup(struct ike_generation *g, const struct ike_message *message,
                       const struct ike_rekey *rekey)
{
    struct ike_sa *sa = g->sa;
    const enum kex_group group = ike_wanted_group(ike_sa_config(sa), message);

    if (group == KEX_NONE || group == rekey->kex.group || sa->regroup_count >= KEX_GROUP_COUNT)
        return false;
    sa->rekey_group = group;
    sa->regroup_count++;
    return true;
}
