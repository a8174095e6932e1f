/* Links and addresses over rtnetlink(7). */
#include "io/interface.h"

#include "io/attribute.h"
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

struct link_answer {
    uint32_t index;
    struct interface_state state;
};

static int take_link(const struct nlmsghdr *message, void *context)
{
    struct link_answer *answer = context;
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
    const struct nlattr *attribute;

    if (message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof *info)
        return ERR_INVALID;
    answer->index = (uint32_t)info->ifi_index;
    answer->state.is_up = (info->ifi_flags & IFF_UP) != 0;
    mnl_attr_for_each(attribute, message, sizeof *info)
    {
        if (mnl_attr_get_type(attribute) == IFLA_MTU &&
            mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
            answer->state.mtu = mnl_attr_get_u32(attribute);
    }
    return ERR_OK;
}

int interface_find(struct netlink *nl, const char *name, uint32_t *ret_index)
{
    struct nlmsghdr *request = netlink_begin(nl, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
    struct link_answer answer = {0};
    int error;

    if (name[0] == 0 || strlen(name) >= IFNAMSIZ)
        return ERR_NOT_FOUND;
    mnl_attr_put_strz(request, IFLA_IFNAME, name);
    error = netlink_query(nl, request, take_link, &answer);
    if (error < 0)
        return error;
    *ret_index = answer.index;
    return ERR_OK;
}

int interface_state(struct netlink *nl, uint32_t index, struct interface_state *ret_state)
{
    struct nlmsghdr *request = netlink_begin(nl, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
    struct ifinfomsg *info = mnl_nlmsg_get_payload(request);
    struct link_answer answer = {0};
    int error;

    info->ifi_index = (int)index;
    error = netlink_query(nl, request, take_link, &answer);
    if (error < 0)
        return error;
    *ret_state = answer.state;
    return ERR_OK;
}

static struct nlmsghdr *begin_change(struct netlink *nl, uint32_t index)
{
    struct nlmsghdr *request = netlink_begin(nl, RTM_NEWLINK, 0, sizeof(struct ifinfomsg));
    struct ifinfomsg *info = mnl_nlmsg_get_payload(request);

    info->ifi_index = (int)index;
    return request;
}

static int stop_link_local(struct netlink *nl, uint32_t index)
{
    struct nlmsghdr *request = begin_change(nl, index);
    struct nlattr *families = mnl_attr_nest_start(request, IFLA_AF_SPEC);
    struct nlattr *family = mnl_attr_nest_start(request, AF_INET6);
    int error;

    mnl_attr_put_u8(request, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(request, family);
    mnl_attr_nest_end(request, families);
    error = netlink_request(nl, request);
    /* Without IPv6 there is nothing to stop. */
    return error == ERR_UNSUPPORTED || nl->error_number == EINVAL ? ERR_OK : error;
}

int interface_start(struct netlink *nl, uint32_t index, uint32_t mtu)
{
    struct nlmsghdr *request;
    struct ifinfomsg *info;
    int error = stop_link_local(nl, index);

    if (error < 0)
        return error;
    request = begin_change(nl, index);
    info = mnl_nlmsg_get_payload(request);
    info->ifi_flags = IFF_UP;
    info->ifi_change = IFF_UP;
    mnl_attr_put_u32(request, IFLA_MTU, mtu);
    return netlink_request(nl, request);
}

int interface_set_mtu(struct netlink *nl, uint32_t index, uint32_t mtu)
{
    struct nlmsghdr *request = begin_change(nl, index);

    mnl_attr_put_u32(request, IFLA_MTU, mtu);
    return netlink_request(nl, request);
}

static struct nlmsghdr *begin_address(struct netlink *nl, uint16_t type, uint16_t flags,
                                      uint32_t index, const struct address *address, uint8_t bits)
{
    struct nlmsghdr *request = netlink_begin(nl, type, flags, sizeof(struct ifaddrmsg));
    struct ifaddrmsg *info = mnl_nlmsg_get_payload(request);

    info->ifa_family = attribute_family(address);
    info->ifa_prefixlen = bits;
    info->ifa_scope = RT_SCOPE_UNIVERSE;
    info->ifa_index = index;
    attribute_put_address(request, IFA_LOCAL, address);
    attribute_put_address(request, IFA_ADDRESS, address);
    return request;
}

int interface_address_add(struct netlink *nl, uint32_t index, const struct address *address,
                          uint8_t bits)
{
    struct nlmsghdr *request =
        begin_address(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, address, bits);
    int error;

    mnl_attr_put_u32(request, IFA_FLAGS,
                     IFA_F_NOPREFIXROUTE | IFA_F_PERMANENT |
                         (address->family == ADDRESS_IPV6 ? IFA_F_NODAD : 0));
    error = netlink_request(nl, request);
    return error == ERR_EXISTS ? ERR_OK : error;
}

int interface_address_delete(struct netlink *nl, uint32_t index, const struct address *address,
                             uint8_t bits)
{
    int error = netlink_request(nl, begin_address(nl, RTM_DELADDR, 0, index, address, bits));

    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

#define FOUND_MAX 128

struct found {
    struct address address;
    struct prefix subnet;
    uint32_t index; /* of its interface */
    bool is_temporary;
    uint32_t preferred_s; /* life left as a source of new traffic */
    bool is_left_out;
};

struct address_list {
    uint32_t only_index; /* or 0 */
    uint32_t skip_index;
    bool is_for_candidates;
    struct found found[FOUND_MAX];
    size_t count;
    const struct address *wanted;
    bool has_wanted;
};

static bool is_candidate(const struct address *address, uint32_t flags)
{
    return !address_is_loopback(address) && !address_is_link_local(address) &&
           !address_is_multicast(address) && !address_is_unspecified(address) &&
           (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED)) == 0;
}

static struct prefix subnet_of(const struct address *address, uint8_t bits)
{
    struct prefix subnet = {.address = *address, .bits = bits};
    for (size_t i = 0; i < address_len(address); i++) {
        const size_t kept = bits > i * 8 ? bits - i * 8 : 0;
        if (kept < 8)
            subnet.address.bytes[i] &= (uint8_t)(0xff00 >> kept);
    }
    return subnet;
}

static int take_address(const struct nlmsghdr *message, void *context)
{
    struct address_list *list = context;
    const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);
    const struct nlattr *attribute;
    struct address address = {0};
    struct ifa_cacheinfo life = {.ifa_prefered = UINT32_MAX};
    uint32_t flags;
    bool is_local_seen = false;

    if (message->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(message) < sizeof *info)
        return ERR_OK;
    flags = info->ifa_flags;
    mnl_attr_for_each(attribute, message, sizeof *info)
    {
        uint16_t type = mnl_attr_get_type(attribute);

        /* Point-to-point interfaces: LOCAL is ours, ADDRESS the other end's. */
        if (type == IFA_LOCAL || (type == IFA_ADDRESS && !is_local_seen))
            attribute_get_address(attribute, info->ifa_family, &address);
        if (type == IFA_LOCAL)
            is_local_seen = true;
        if (type == IFA_FLAGS && mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
            flags = mnl_attr_get_u32(attribute);
        if (type == IFA_CACHEINFO && mnl_attr_get_payload_len(attribute) >= sizeof life)
            memcpy(&life, mnl_attr_get_payload(attribute), sizeof life);
    }
    if (address.family == ADDRESS_NONE || info->ifa_index == list->skip_index ||
        (list->only_index != 0 && info->ifa_index != list->only_index))
        return ERR_OK;
    if (list->wanted != NULL && address_is_equal(&address, list->wanted))
        list->has_wanted = true;
    if (list->is_for_candidates && is_candidate(&address, flags) && life.ifa_prefered > 0 &&
        list->count < FOUND_MAX)
        list->found[list->count++] = (struct found){
            .address = address,
            .subnet = subnet_of(&address, info->ifa_prefixlen),
            .index = info->ifa_index,
            /* of IPv4 the same bit means secondary */
            .is_temporary = address.family == ADDRESS_IPV6 && (flags & IFA_F_TEMPORARY) != 0,
            .preferred_s = life.ifa_prefered};
    return ERR_OK;
}

/* An interface identifier made from the hardware address (RFC 4291, appendix A), the same in every
 * network. */
static bool is_trackable(const struct address *address)
{
    return address->family == ADDRESS_IPV6 && address->bytes[11] == 0xff &&
           address->bytes[12] == 0xfe;
}

/* Beside a temporary address of the same prefix, those that tell the hardware are kept to ourselves
 * (RFC 8445, 5.1.1.1), and of several temporary ones the one that is preferred longest stands for
 * all. */
static void leave_out(struct address_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct found *best = &list->found[i];
        if (!best->is_temporary || best->is_left_out)
            continue;
        for (size_t j = 0; j < list->count; j++) {
            struct found *other = &list->found[j];
            if (j == i || other->index != best->index ||
                !prefix_contains(&best->subnet, &other->address))
                continue;
            other->is_left_out |=
                is_trackable(&other->address) ||
                (other->is_temporary && (other->preferred_s < best->preferred_s ||
                                         (other->preferred_s == best->preferred_s && j > i)));
        }
    }
}

static size_t count_family(const struct address_list *list, enum address_family family)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++)
        count += list->found[i].address.family == family && !list->found[i].is_left_out;
    return count;
}

/* IPv4 first; where there is no room for all, each family has half of it, or what the other leaves.
 */
static size_t choose(const struct address_list *list, struct address *ret_addresses,
                     struct prefix *ret_subnets, size_t cap)
{
    const size_t ipv6_count = count_family(list, ADDRESS_IPV6);
    const size_t ipv6_share = ipv6_count < cap / 2 ? ipv6_count : cap / 2;
    size_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        const enum address_family family = pass == 0 ? ADDRESS_IPV4 : ADDRESS_IPV6;
        const size_t end = pass == 0 ? cap - ipv6_share : cap;
        for (size_t i = 0; i < list->count && count < end; i++) {
            const struct found *found = &list->found[i];
            if (found->address.family != family || found->is_left_out)
                continue;
            if (ret_subnets != NULL)
                ret_subnets[count] = found->subnet;
            ret_addresses[count++] = found->address;
        }
    }
    return count;
}

static int dump_addresses(struct netlink *nl, uint8_t family, struct address_list *list)
{
    struct nlmsghdr *request = netlink_begin(nl, RTM_GETADDR, NLM_F_DUMP, sizeof(struct ifaddrmsg));
    struct ifaddrmsg *info = mnl_nlmsg_get_payload(request);
    int error;

    info->ifa_family = family;
    error = netlink_query(nl, request, take_address, list);
    return error == ERR_UNSUPPORTED ? ERR_OK : error;
}

int interface_addresses(struct netlink *nl, uint32_t skip_index, struct address *ret_addresses,
                        struct prefix *ret_subnets, size_t cap, size_t *ret_count)
{
    struct address_list list;
    int tries = 3;
    int error;

    do {
        memset(&list, 0, sizeof list);
        list.skip_index = skip_index;
        list.is_for_candidates = true;
        error = dump_addresses(nl, AF_INET, &list);
        if (error == ERR_OK)
            error = dump_addresses(nl, AF_INET6, &list);
    } while (error == ERR_AGAIN && --tries > 0);
    if (error < 0)
        return error;
    leave_out(&list);
    *ret_count = choose(&list, ret_addresses, ret_subnets, cap);
    return ERR_OK;
}

int interface_has_address(struct netlink *nl, uint32_t index, const struct address *address,
                          bool *ret_has)
{
    struct address_list list = {.only_index = index, .wanted = address};
    int error = dump_addresses(nl, attribute_family(address), &list);

    if (error < 0 && error != ERR_AGAIN)
        return error;
    *ret_has = list.has_wanted;
    return ERR_OK;
}
