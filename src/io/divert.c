/* Traffic control: a u32 filter with the actions nat, csum and mirred, on both hooks of clsact. */
#include "io/divert.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_csum.h>
#include <linux/tc_act/tc_gact.h>
#include <linux/tc_act/tc_mirred.h>
#include <linux/tc_act/tc_nat.h>
#include <string.h>
#include <sys/socket.h>

#define KEYS_MAX 4

int divert_open(struct netlink *nl, uint32_t link)
{
    struct nlmsghdr *request =
        netlink_begin(nl, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct tcmsg));
    struct tcmsg *info = mnl_nlmsg_get_payload(request);
    info->tcm_ifindex = (int)link;
    info->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
    info->tcm_parent = TC_H_CLSACT;
    mnl_attr_put_strz(request, TCA_KIND, "clsact");
    int error = netlink_request(nl, request);
    return error == ERR_EXISTS ? ERR_OK : error;
}

static struct nlmsghdr *begin_filter(struct netlink *nl, uint16_t type, uint16_t flags,
                                     uint32_t link, bool is_inbound, uint16_t priority)
{
    struct nlmsghdr *request = netlink_begin(nl, type, flags, sizeof(struct tcmsg));
    struct tcmsg *info = mnl_nlmsg_get_payload(request);
    info->tcm_family = AF_UNSPEC;
    info->tcm_ifindex = (int)link;
    info->tcm_parent = TC_H_MAKE(TC_H_CLSACT, is_inbound ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
    info->tcm_info = TC_H_MAKE((uint32_t)priority << 16, htons(ETH_P_IP));
    return request;
}

/* A struct tc_u32_sel with its keys behind it. */
struct match {
    uint8_t bytes[sizeof(struct tc_u32_sel) + KEYS_MAX * sizeof(struct tc_u32_key)];
    unsigned char count;
};

/* Of the 32 bits at that offset of the IP header. */
static void match_add(struct match *match, int offset, uint32_t value, uint32_t mask)
{
    const struct tc_u32_key key = {.mask = htonl(mask), .val = htonl(value), .off = offset};
    memcpy(match->bytes + sizeof(struct tc_u32_sel) + match->count++ * sizeof(key), &key,
           sizeof(key));
}

static void put_match(struct nlmsghdr *request, struct match *match)
{
    const struct tc_u32_sel selector = {.flags = TC_U32_TERMINAL, .nkeys = match->count};
    memcpy(match->bytes, &selector, sizeof(selector));
    mnl_attr_put(request, TCA_U32_SEL, sizeof(selector) + match->count * sizeof(struct tc_u32_key),
                 match->bytes);
}

static void put_action(struct nlmsghdr *request, unsigned int *number, const char *kind,
                       uint16_t type, const void *data, size_t len)
{
    struct nlattr *action = mnl_attr_nest_start(request, (uint16_t)++ * number);
    mnl_attr_put_strz(request, TCA_ACT_KIND, kind);
    struct nlattr *options = mnl_attr_nest_start(request, TCA_ACT_OPTIONS);
    mnl_attr_put(request, type, len, data);
    mnl_attr_nest_end(request, options);
    mnl_attr_nest_end(request, action);
}

static void put_nat(struct nlmsghdr *request, unsigned int *number, bool is_source,
                    const struct address *before, const struct address *after)
{
    const struct tc_nat nat = {
        .action = TC_ACT_PIPE,
        .old_addr = htonl(address_to_ipv4(before)),
        .new_addr = htonl(address_to_ipv4(after)),
        .mask = UINT32_MAX,
        .flags = is_source ? TCA_NAT_FLAG_EGRESS : 0,
    };
    put_action(request, number, "nat", TCA_NAT_PARMS, &nat, sizeof(nat));
}

struct nlmsghdr *divert_build(struct netlink *nl, const struct divert *divert)
{
    const struct tc_csum csum = {
        .action = TC_ACT_PIPE,
        .update_flags = TCA_CSUM_UPDATE_FLAG_TCP | TCA_CSUM_UPDATE_FLAG_UDP,
    };
    const struct tc_mirred mirred = {
        .action = TC_ACT_STOLEN,
        .eaction = divert->is_inbound && !divert->is_turned ? TCA_INGRESS_REDIR : TCA_EGRESS_REDIR,
        .ifindex = divert->target,
    };
    struct nlmsghdr *request = begin_filter(nl, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL,
                                            divert->link, divert->is_inbound, divert->priority);
    struct match match = {0};
    unsigned int actions = 0;
    match_add(&match, 12, address_to_ipv4(&divert->from), UINT32_MAX);
    match_add(&match, 16, address_to_ipv4(&divert->to), UINT32_MAX);
    if (divert->is_bare || divert->is_plain)
        match_add(&match, 0, 0x45000000, 0xff000000); /* header of 20 bytes */
    if (divert->is_bare)
        match_add(&match, 4, 0, 0x00003fff); /* MF and offset */
    mnl_attr_put_strz(request, TCA_KIND, "u32");
    struct nlattr *options = mnl_attr_nest_start(request, TCA_OPTIONS);
    put_match(request, &match);
    struct nlattr *list = mnl_attr_nest_start(request, TCA_U32_ACT);
    put_nat(request, &actions, true, &divert->from, &divert->new_from);
    put_nat(request, &actions, false, &divert->to, &divert->new_to);
    if (divert->makes_anew)
        put_action(request, &actions, "csum", TCA_CSUM_PARMS, &csum, sizeof(csum));
    put_action(request, &actions, "mirred", TCA_MIRRED_PARMS, &mirred, sizeof(mirred));
    mnl_attr_nest_end(request, list);
    mnl_attr_nest_end(request, options);
    return request;
}

int divert_add(struct netlink *nl, const struct divert *divert)
{
    return netlink_request(nl, divert_build(nl, divert));
}

int divert_remove(struct netlink *nl, uint32_t link, bool is_inbound, uint16_t priority)
{
    int error =
        netlink_request(nl, begin_filter(nl, RTM_DELTFILTER, 0, link, is_inbound, priority));
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

int divert_drop_rest(struct netlink *nl, uint32_t link, uint16_t priority)
{
    const struct tc_gact drop = {.action = TC_ACT_SHOT};
    struct nlmsghdr *request =
        begin_filter(nl, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, link, true, priority);
    struct tcmsg *info = mnl_nlmsg_get_payload(request);
    struct match match = {0};
    unsigned int actions = 0;
    info->tcm_info = TC_H_MAKE((uint32_t)priority << 16, htons(ETH_P_ALL));
    match_add(&match, 0, 0, 0);
    mnl_attr_put_strz(request, TCA_KIND, "u32");
    struct nlattr *options = mnl_attr_nest_start(request, TCA_OPTIONS);
    put_match(request, &match);
    struct nlattr *list = mnl_attr_nest_start(request, TCA_U32_ACT);
    put_action(request, &actions, "gact", TCA_GACT_PARMS, &drop, sizeof(drop));
    mnl_attr_nest_end(request, list);
    mnl_attr_nest_end(request, options);
    return netlink_request(nl, request);
}
