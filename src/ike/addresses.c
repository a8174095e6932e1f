/* See ike/addresses.h. */
#include "ike/addresses.h"
#include "ike/life.h"
#include "ike/timer.h"
#include <string.h>

static bool is_for_peer(const struct ike_sa *sa)
{
    return sa->entry != NULL && !ike_sa_config(sa)->is_reliable;
}

/* One address alone is the one in use. */
static size_t build_own(const struct ike_sa *sa, struct ike_builder *b)
{
    const struct ike_table *table = sa->table;

    for (size_t i = 0; table->own_count > 1 && i < table->own_count; i++) {
        const struct address *a = &table->own[i];
        ike_build_notify(b,
                         a->family == ADDRESS_IPV4 ? IKE_NOTIFY_ADDITIONAL_IP4_ADDRESS
                                                   : IKE_NOTIFY_ADDITIONAL_IP6_ADDRESS,
                         a->bytes, address_len(a));
    }
    return table->own_count > 1 ? table->own_count : 0;
}

void ike_addresses_offer(const struct ike_sa *sa, struct ike_builder *b)
{
    if (is_for_peer(sa))
        (void)build_own(sa, b);
}

void ike_addresses_announce(const struct ike_sa *sa, struct ike_builder *b)
{
    if (is_for_peer(sa) && build_own(sa, b) == 0)
        ike_build_notify(b, IKE_NOTIFY_NO_ADDITIONAL_ADDRESSES, NULL, 0);
}

static bool is_usable(const struct address *a)
{
    return !address_is_unspecified(a) && !address_is_loopback(a) && !address_is_multicast(a) &&
           !address_is_link_local(a);
}

void ike_addresses_read(struct ike_sa *sa, const struct ike_message *message)
{
    struct ike_chain chain = message->chain;
    struct ike_notify n;
    struct address others[IKE_OTHERS_MAX];
    uint8_t count = 0;
    bool has_any = false;

    if (!is_for_peer(sa) || !sa->is_mobile)
        return;
    while (ike_message_next_notify(&chain, &n)) {
        const enum address_family family =
            n.type == IKE_NOTIFY_ADDITIONAL_IP4_ADDRESS   ? ADDRESS_IPV4
            : n.type == IKE_NOTIFY_ADDITIONAL_IP6_ADDRESS ? ADDRESS_IPV6
                                                          : ADDRESS_NONE;
        has_any |= family != ADDRESS_NONE || n.type == IKE_NOTIFY_NO_ADDITIONAL_ADDRESSES;
        if (family == ADDRESS_NONE || n.len != (family == ADDRESS_IPV4 ? 4 : 16) ||
            count == IKE_OTHERS_MAX)
            continue;
        const struct address a = address_from_bytes(family, n.data);
        if (is_usable(&a))
            others[count++] = a;
    }
    if (!has_any)
        return;
    memcpy(sa->others, others, count * sizeof(others[0]));
    sa->other_count = count;
}

/* Ours: any that we know of, where the socket does not tell which. */
static bool is_own(const struct ike_sa *sa, const struct address *address)
{
    const struct ike_table *table = sa->table;
    const struct endpoint *local = &ike_sa_config(sa)->local;

    if (local->address.family != ADDRESS_NONE)
        return address_is_equal(&local->address, address);
    for (size_t i = 0; i < table->own_count; i++)
        if (address_is_equal(&table->own[i], address))
            return true;
    return table->own_count == 0;
}

bool ike_addresses_forbid(const struct ike_sa *sa, const struct ike_message *message,
                          const struct endpoint *remote)
{
    struct ike_notify n;
    struct reader r;

    if (!is_for_peer(sa) || !ike_message_find_notify(message, IKE_NOTIFY_NO_NATS_ALLOWED, &n))
        return false;
    const enum address_family family = n.len == 12   ? ADDRESS_IPV4
                                       : n.len == 36 ? ADDRESS_IPV6
                                                     : ADDRESS_NONE;
    if (family == ADDRESS_NONE)
        return true;
    const size_t len = family == ADDRESS_IPV4 ? 4 : 16;
    const struct address source = address_from_bytes(family, n.data);
    const struct address destination = address_from_bytes(family, n.data + len);
    reader_init(&r, n.data + 2 * len, 4);
    const uint16_t source_port = reader_u16(&r), port = reader_u16(&r);
    const uint16_t own_port = ike_sa_config(sa)->local.port;
    return !address_is_equal(&source, &remote->address) || source_port != remote->port ||
           !is_own(sa, &destination) || (own_port != 0 && port != own_port);
}

size_t ike_sa_others(const struct ike_sa *sa, struct address ret_addresses[IKE_OTHERS_MAX])
{
    memcpy(ret_addresses, sa->others, sizeof(sa->others));
    return sa->other_count;
}

void ike_sa_announce_addresses(struct ike_sa *sa)
{
    if (sa->state != IKE_STATE_ESTABLISHED || !sa->is_mobile || !is_for_peer(sa))
        return;
    sa->wants_addresses = sa->wants_check = true;
    ike_timer_update(sa);
}

void ike_table_set_addresses(struct ike_table *table, const struct address *addresses, size_t count)
{
    table->own_count = 0;
    for (size_t i = 0; i < count && table->own_count < IKE_OTHERS_MAX; i++)
        if (is_usable(&addresses[i]))
            table->own[table->own_count++] = addresses[i];
}
