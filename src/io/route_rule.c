/* Policy rules (ip-rule(8)) over rtnetlink(7): those that catch every packet to a prefix. */
#include "io/attribute.h"
#include "io/route.h"
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <string.h>

static struct nlmsghdr *begin_rule(struct netlink *nl, uint16_t type, uint16_t flags,
                                   const struct route_rule *rule)
{
    struct nlmsghdr *request = netlink_begin(nl, type, flags, sizeof(struct fib_rule_hdr));
    struct fib_rule_hdr *info = mnl_nlmsg_get_payload(request);

    info->family = attribute_family(&rule->to.address);
    info->dst_len = rule->to.bits;
    info->table = RT_TABLE_UNSPEC;
    info->action = rule->table != 0 ? FR_ACT_TO_TBL : FR_ACT_UNREACHABLE;
    attribute_put_address(request, FRA_DST, &rule->to.address);
    mnl_attr_put_u32(request, FRA_PRIORITY, rule->preference);
    if (rule->table != 0)
        mnl_attr_put_u32(request, FRA_TABLE, rule->table);
    /* systemd-networkd removes rules that it did not make when it restarts, but for the kernel's
     * own: a guard must not have that hole. */
    mnl_attr_put_u8(request, FRA_PROTOCOL, RTPROT_KERNEL);
    return request;
}

int route_rule_add(struct netlink *nl, const struct route_rule *rule)
{
    bool is_present = false;
    int error = route_rule_is_present(nl, rule, &is_present);

    /* Old kernels keep doubles for IPv6 where EXCL is not given, others call them an error. */
    if (error < 0 || is_present)
        return error;
    error = netlink_request(nl, begin_rule(nl, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule));
    return error == ERR_EXISTS ? ERR_OK : error;
}

int route_rule_delete(struct netlink *nl, const struct route_rule *rule)
{
    /* More than one can be there only if somebody doubled it. */
    int tries = 16;
    int error;

    do {
        error = netlink_request(nl, begin_rule(nl, RTM_DELRULE, 0, rule));
    } while (error == ERR_OK && --tries > 0);
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

struct rule_search {
    const struct route_rule *wanted;
    bool is_found;
};

/* Attributes that do not narrow what a rule catches. */
static bool is_plain(uint16_t type)
{
    return type == FRA_DST || type == FRA_PRIORITY || type == FRA_TABLE || type == FRA_PROTOCOL ||
           type == FRA_PAD;
}

static int take_rule(const struct nlmsghdr *message, void *context)
{
    struct rule_search *search = context;
    const struct fib_rule_hdr *info = mnl_nlmsg_get_payload(message);
    struct route_rule rule = {0};
    const struct nlattr *attribute;

    if (message->nlmsg_type != RTM_NEWRULE || mnl_nlmsg_get_payload_len(message) < sizeof *info)
        return ERR_OK;
    if (info->family != attribute_family(&search->wanted->to.address) || info->src_len != 0 ||
        info->tos != 0 || (info->flags & FIB_RULE_INVERT))
        return ERR_OK;
    rule.to.bits = info->dst_len;
    rule.to.address = address_from_bytes(search->wanted->to.address.family, (const uint8_t[16]){0});
    rule.table = info->table;
    mnl_attr_for_each(attribute, message, sizeof *info)
    {
        uint16_t type = mnl_attr_get_type(attribute);

        if (type == FRA_DST)
            attribute_get_address(attribute, info->family, &rule.to.address);
        else if (type == FRA_PRIORITY && mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
            rule.preference = mnl_attr_get_u32(attribute);
        else if (type == FRA_TABLE && mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
            rule.table = mnl_attr_get_u32(attribute);
        else if (type == FRA_SUPPRESS_PREFIXLEN &&
                 mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0 &&
                 mnl_attr_get_u32(attribute) == UINT32_MAX)
            continue; /* suppresses nothing */
        else if (!is_plain(type))
            return ERR_OK;
    }
    if (info->action != (search->wanted->table != 0 ? FR_ACT_TO_TBL : FR_ACT_UNREACHABLE))
        return ERR_OK;
    if (rule.preference == search->wanted->preference && rule.to.bits == search->wanted->to.bits &&
        address_is_equal(&rule.to.address, &search->wanted->to.address) &&
        (search->wanted->table == 0 || rule.table == search->wanted->table))
        search->is_found = true;
    return ERR_OK;
}

int route_rule_is_present(struct netlink *nl, const struct route_rule *rule, bool *ret_is_present)
{
    struct rule_search search = {.wanted = rule};
    int tries = 3;
    int error;

    do {
        struct nlmsghdr *request =
            netlink_begin(nl, RTM_GETRULE, NLM_F_DUMP, sizeof(struct fib_rule_hdr));
        struct fib_rule_hdr *info = mnl_nlmsg_get_payload(request);

        info->family = attribute_family(&rule->to.address);
        error = netlink_query(nl, request, take_rule, &search);
    } while (error == ERR_AGAIN && !search.is_found && --tries > 0);
    if (error < 0 && error != ERR_AGAIN)
        return error;
    *ret_is_present = search.is_found;
    return ERR_OK;
}
