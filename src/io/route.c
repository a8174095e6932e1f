/* Routes over rtnetlink(7). Policy rules are in route_rule.c. */
#include "io/route.h"

#include "io/attribute.h"
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <string.h>

static struct nlmsghdr *begin_route(struct netlink *nl, uint16_t type, uint16_t flags,
                                    const struct route *route)
{
    struct nlmsghdr *request = netlink_begin(nl, type, flags, sizeof(struct rtmsg));
    struct rtmsg *info = mnl_nlmsg_get_payload(request);

    info->rtm_family = attribute_family(&route->to.address);
    info->rtm_dst_len = route->to.bits;
    info->rtm_table = RT_TABLE_UNSPEC; /* RTA_TABLE says it in full */
    info->rtm_type = route->kind == ROUTE_UNREACHABLE ? RTN_UNREACHABLE : RTN_UNICAST;
    mnl_attr_put_u32(request, RTA_TABLE, route->table);
    attribute_put_address(request, RTA_DST, &route->to.address);
    return request;
}

int route_set(struct netlink *nl, const struct route *route)
{
    struct nlmsghdr *request = begin_route(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route);
    struct rtmsg *info = mnl_nlmsg_get_payload(request);

    info->rtm_protocol = RTPROT_STATIC;
    info->rtm_scope = route->kind == ROUTE_UNICAST && route->gateway.family == ADDRESS_NONE
                          ? RT_SCOPE_LINK
                          : RT_SCOPE_UNIVERSE;
    if (route->link != 0)
        mnl_attr_put_u32(request, RTA_OIF, route->link);
    attribute_put_address(request, RTA_GATEWAY, &route->gateway);
    attribute_put_address(request, RTA_PREFSRC, &route->source);
    if (route->mtu != 0) {
        struct nlattr *metrics = mnl_attr_nest_start(request, RTA_METRICS);

        mnl_attr_put_u32(request, RTAX_MTU, route->mtu);
        mnl_attr_nest_end(request, metrics);
    }
    return netlink_request(nl, request);
}

int route_delete(struct netlink *nl, const struct route *route)
{
    struct nlmsghdr *request = begin_route(nl, RTM_DELROUTE, 0, route);
    struct rtmsg *info = mnl_nlmsg_get_payload(request);
    int error;

    info->rtm_scope = RT_SCOPE_NOWHERE; /* any */
    if (route->link != 0)
        mnl_attr_put_u32(request, RTA_OIF, route->link);
    attribute_put_address(request, RTA_GATEWAY, &route->gateway);
    error = netlink_request(nl, request);
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

static void parse_metrics(const struct nlattr *metrics, struct route *route)
{
    const struct nlattr *metric;

    mnl_attr_for_each_nested(metric, metrics)
    {
        if (mnl_attr_get_type(metric) == RTAX_MTU && mnl_attr_validate(metric, MNL_TYPE_U32) >= 0)
            route->mtu = mnl_attr_get_u32(metric);
    }
}

static void parse_attribute(const struct nlattr *attribute, uint8_t family, struct route *route)
{
    bool is_u32 = mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0;

    switch (mnl_attr_get_type(attribute)) {
    case RTA_DST:
        attribute_get_address(attribute, family, &route->to.address);
        break;
    case RTA_GATEWAY:
        attribute_get_address(attribute, family, &route->gateway);
        break;
    case RTA_PREFSRC:
        attribute_get_address(attribute, family, &route->source);
        break;
    case RTA_TABLE:
        if (is_u32)
            route->table = mnl_attr_get_u32(attribute);
        break;
    case RTA_OIF:
        if (is_u32)
            route->link = mnl_attr_get_u32(attribute);
        break;
    case RTA_METRICS:
        if (mnl_attr_validate(attribute, MNL_TYPE_NESTED) >= 0)
            parse_metrics(attribute, route);
        break;
    default:
        break;
    }
}

/* ERR_INVALID unless the message is a route. */
static int parse_route(const struct nlmsghdr *message, struct route *ret_route,
                       struct rtmsg *ret_info)
{
    const struct rtmsg *info = mnl_nlmsg_get_payload(message);
    struct route route = {0};
    const struct nlattr *attribute;

    if (message->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(message) < sizeof *info)
        return ERR_INVALID;
    route.to.address.family = info->rtm_family == AF_INET6 ? ADDRESS_IPV6 : ADDRESS_IPV4;
    route.to.bits = info->rtm_dst_len;
    route.table = info->rtm_table;
    route.kind = info->rtm_type == RTN_UNICAST ? ROUTE_UNICAST : ROUTE_UNREACHABLE;
    mnl_attr_for_each(attribute, message, sizeof *info)
        parse_attribute(attribute, info->rtm_family, &route);
    *ret_route = route;
    *ret_info = *info;
    return ERR_OK;
}

struct walk {
    uint32_t table;
    route_take *take;
    void *context;
};

static int take_route(const struct nlmsghdr *message, void *context)
{
    struct walk *walk = context;
    struct route route;
    struct rtmsg info;

    if (parse_route(message, &route, &info) < 0 || (info.rtm_flags & RTM_F_CLONED) ||
        route.table != walk->table)
        return ERR_OK;
    return walk->take(&route, walk->context);
}

int route_walk(struct netlink *nl, uint32_t table, route_take *take, void *context)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    struct walk walk = {.table = table, .take = take, .context = context};
    size_t i;

    for (i = 0; i < sizeof families; i++) {
        struct nlmsghdr *request =
            netlink_begin(nl, RTM_GETROUTE, NLM_F_DUMP, sizeof(struct rtmsg));
        struct rtmsg *info = mnl_nlmsg_get_payload(request);
        int error;

        info->rtm_family = families[i];
        mnl_attr_put_u32(request, RTA_TABLE, table);
        error = netlink_query(nl, request, take_route, &walk);
        /* A table that never had a route does not exist: it is empty. */
        if (error < 0 && error != ERR_NOT_FOUND && error != ERR_UNSUPPORTED)
            return error;
    }
    return ERR_OK;
}

struct lookup_answer {
    struct route route;
    struct rtmsg info;
};

static int take_lookup(const struct nlmsghdr *message, void *context)
{
    struct lookup_answer *answer = context;

    return parse_route(message, &answer->route, &answer->info);
}

int route_lookup(struct netlink *nl, const struct address *to, uint32_t mark,
                 struct route_lookup *ret_lookup)
{
    struct nlmsghdr *request = netlink_begin(nl, RTM_GETROUTE, 0, sizeof(struct rtmsg));
    struct rtmsg *info = mnl_nlmsg_get_payload(request);
    struct lookup_answer answer = {0};
    struct route_lookup lookup = {0};
    int error;

    info->rtm_family = attribute_family(to);
    info->rtm_dst_len = (uint8_t)(address_len(to) * 8);
    attribute_put_address(request, RTA_DST, to);
    if (mark != 0)
        mnl_attr_put_u32(request, RTA_MARK, mark);
    error = netlink_query(nl, request, take_lookup, &answer);
    /* The kernel answers with a route, or with the error that a packet would get. */
    if (error < 0 && nl->error_number != EHOSTUNREACH && nl->error_number != ENETUNREACH &&
        nl->error_number != EACCES && nl->error_number != EINVAL)
        return error;
    if (error < 0 ||
        (answer.info.rtm_type != RTN_UNICAST && answer.info.rtm_type != RTN_LOCAL &&
         answer.info.rtm_type != RTN_BROADCAST && answer.info.rtm_type != RTN_MULTICAST)) {
        lookup.is_unreachable = true;
    } else {
        lookup.link = answer.route.link;
        lookup.source = answer.route.source;
        lookup.gateway = answer.route.gateway;
        lookup.mtu = answer.route.mtu;
        lookup.is_local = answer.info.rtm_type == RTN_LOCAL;
    }
    *ret_lookup = lookup;
    return ERR_OK;
}
