/* XFRM interfaces over rtnetlink(7). */
#include "io/xfrm_link.h"

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#define KIND        "xfrm"
#define FLUSH_BATCH 64

static int find_index(const struct nlmsghdr *message, void *context)
{
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
    if (message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof(*info))
        return ERR_INVALID;
    *(uint32_t *)context = (uint32_t)info->ifi_index;
    return ERR_OK;
}

int xfrm_link_add(struct netlink *nl, const char *name, uint32_t number, uint32_t mtu,
                  uint32_t *ret_link)
{
    struct nlmsghdr *request =
        netlink_begin(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    struct ifinfomsg *info = mnl_nlmsg_get_payload(request);
    struct nlattr *outer, *inner;
    uint32_t link = 0;
    info->ifi_flags = info->ifi_change = IFF_UP;
    mnl_attr_put_strz(request, IFLA_IFNAME, name);
    mnl_attr_put_u32(request, IFLA_MTU, mtu);
    outer = mnl_attr_nest_start(request, IFLA_LINKINFO);
    mnl_attr_put_strz(request, IFLA_INFO_KIND, KIND);
    inner = mnl_attr_nest_start(request, IFLA_INFO_DATA);
    mnl_attr_put_u32(request, IFLA_XFRM_IF_ID, number);
    mnl_attr_nest_end(request, inner);
    mnl_attr_nest_end(request, outer);
    int error = netlink_request(nl, request);
    if (error != ERR_OK)
        return error;
    request = netlink_begin(nl, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(request, IFLA_IFNAME, name);
    error = netlink_query(nl, request, find_index, &link);
    if (error == ERR_OK)
        *ret_link = link;
    return error;
}

int xfrm_link_delete(struct netlink *nl, uint32_t link)
{
    struct nlmsghdr *request = netlink_begin(nl, RTM_DELLINK, 0, sizeof(struct ifinfomsg));
    ((struct ifinfomsg *)mnl_nlmsg_get_payload(request))->ifi_index = (int)link;
    int error = netlink_request(nl, request);
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

struct leftovers {
    uint32_t first, last;
    size_t count;
    uint32_t links[FLUSH_BATCH];
};

/* 0: not an XFRM interface. */
static uint32_t number_in(const struct nlattr *outer)
{
    const struct nlattr *attribute, *inner;
    uint32_t number = 0;
    bool is_kind = false;
    mnl_attr_for_each_nested(attribute, outer)
    {
        if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND &&
            mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
            is_kind = strcmp(mnl_attr_get_str(attribute), KIND) == 0;
        if (mnl_attr_get_type(attribute) != IFLA_INFO_DATA)
            continue;
        mnl_attr_for_each_nested(inner, attribute)
        {
            if (mnl_attr_get_type(inner) == IFLA_XFRM_IF_ID &&
                mnl_attr_validate(inner, MNL_TYPE_U32) >= 0)
                number = mnl_attr_get_u32(inner);
        }
    }
    return is_kind ? number : 0;
}

static int take_link(const struct nlmsghdr *message, void *context)
{
    struct leftovers *left = context;
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
    const struct nlattr *attribute;
    if (message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof(*info))
        return ERR_OK;
    mnl_attr_for_each(attribute, message, sizeof(*info))
    {
        if (mnl_attr_get_type(attribute) != IFLA_LINKINFO)
            continue;
        const uint32_t number = number_in(attribute);
        if (number >= left->first && number <= left->last && left->count < FLUSH_BATCH)
            left->links[left->count++] = (uint32_t)info->ifi_index;
    }
    return ERR_OK;
}

int xfrm_link_flush(struct netlink *nl, uint32_t first, uint32_t last)
{
    struct leftovers left;
    int error;
    do {
        left = (struct leftovers){.first = first, .last = last};
        error =
            netlink_query(nl, netlink_begin(nl, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg)),
                          take_link, &left);
        for (size_t i = 0; i < left.count && error == ERR_OK; i++)
            error = xfrm_link_delete(nl, left.links[i]);
    } while (error == ERR_AGAIN || (error == ERR_OK && left.count == FLUSH_BATCH));
    return error;
}

int xfrm_link_trust(struct netlink *nl, uint32_t link)
{
    struct nlmsghdr *request = netlink_begin(nl, RTM_NEWLINK, 0, sizeof(struct ifinfomsg));
    ((struct ifinfomsg *)mnl_nlmsg_get_payload(request))->ifi_index = (int)link;
    struct nlattr *families = mnl_attr_nest_start(request, IFLA_AF_SPEC);
    struct nlattr *ipv4 = mnl_attr_nest_start(request, AF_INET);
    struct nlattr *settings = mnl_attr_nest_start(request, IFLA_INET_CONF);
    mnl_attr_put_u32(request, IPV4_DEVCONF_NOPOLICY, 1);
    mnl_attr_nest_end(request, settings);
    mnl_attr_nest_end(request, ipv4);
    mnl_attr_nest_end(request, families);
    return netlink_request(nl, request);
}
