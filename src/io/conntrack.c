/* ctnetlink: look-up of one connection, and deletion of chosen ones. */
#include "io/conntrack.h"

#include "io/attribute.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <limits.h>
#include <linux/if.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <string.h>
#include <sys/socket.h>

struct tuple {
    struct endpoint source;
    struct endpoint destination;
    uint8_t protocol;
};

static struct nlmsghdr *begin(struct netlink *nl, uint16_t type, uint16_t flags, uint8_t family)
{
    struct nlmsghdr *request = netlink_begin(nl, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type),
                                             flags, sizeof(struct nfgenmsg));
    struct nfgenmsg *header = mnl_nlmsg_get_payload(request);

    header->nfgen_family = family;
    header->version = NFNETLINK_V0;
    return request;
}

static void put_tuple(struct nlmsghdr *request, uint16_t type, const struct tuple *tuple)
{
    bool is_ipv4 = tuple->source.address.family == ADDRESS_IPV4;
    struct nlattr *outer = mnl_attr_nest_start(request, type);
    struct nlattr *inner = mnl_attr_nest_start(request, CTA_TUPLE_IP);

    attribute_put_address(request, is_ipv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, &tuple->source.address);
    attribute_put_address(request, is_ipv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST,
                          &tuple->destination.address);
    mnl_attr_nest_end(request, inner);
    inner = mnl_attr_nest_start(request, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(request, CTA_PROTO_NUM, tuple->protocol);
    mnl_attr_put_u16(request, CTA_PROTO_SRC_PORT, htons(tuple->source.port));
    mnl_attr_put_u16(request, CTA_PROTO_DST_PORT, htons(tuple->destination.port));
    mnl_attr_nest_end(request, inner);
    mnl_attr_nest_end(request, outer);
}

static void parse_addresses(const struct nlattr *nest, struct tuple *tuple)
{
    const struct nlattr *attribute;

    mnl_attr_for_each_nested(attribute, nest)
    {
        switch (mnl_attr_get_type(attribute)) {
        case CTA_IP_V4_SRC:
            attribute_get_address(attribute, AF_INET, &tuple->source.address);
            break;
        case CTA_IP_V4_DST:
            attribute_get_address(attribute, AF_INET, &tuple->destination.address);
            break;
        case CTA_IP_V6_SRC:
            attribute_get_address(attribute, AF_INET6, &tuple->source.address);
            break;
        case CTA_IP_V6_DST:
            attribute_get_address(attribute, AF_INET6, &tuple->destination.address);
            break;
        default:
            break;
        }
    }
}

static void parse_ports(const struct nlattr *nest, struct tuple *tuple)
{
    const struct nlattr *attribute;

    mnl_attr_for_each_nested(attribute, nest)
    {
        size_t len = mnl_attr_get_payload_len(attribute);

        switch (mnl_attr_get_type(attribute)) {
        case CTA_PROTO_NUM:
            if (len == 1)
                tuple->protocol = mnl_attr_get_u8(attribute);
            break;
        case CTA_PROTO_SRC_PORT:
            if (len == 2)
                tuple->source.port = ntohs(mnl_attr_get_u16(attribute));
            break;
        case CTA_PROTO_DST_PORT:
            if (len == 2)
                tuple->destination.port = ntohs(mnl_attr_get_u16(attribute));
            break;
        default:
            break;
        }
    }
}

static void parse_tuple(const struct nlattr *nest, struct tuple *tuple)
{
    const struct nlattr *attribute;

    mnl_attr_for_each_nested(attribute, nest)
    {
        if (mnl_attr_get_type(attribute) == CTA_TUPLE_IP)
            parse_addresses(attribute, tuple);
        if (mnl_attr_get_type(attribute) == CTA_TUPLE_PROTO)
            parse_ports(attribute, tuple);
    }
}

struct entry {
    struct tuple original;
    struct tuple reply;
    uint32_t status;
    uint32_t id;   /* network order */
    uint16_t zone; /* network order */
    const struct nlattr *original_attribute;
};

static int parse_entry(const struct nlmsghdr *message, struct entry *entry)
{
    const struct nlattr *attribute;

    memset(entry, 0, sizeof *entry);
    if (mnl_nlmsg_get_payload_len(message) < sizeof(struct nfgenmsg))
        return ERR_INVALID;
    mnl_attr_for_each(attribute, message, sizeof(struct nfgenmsg))
    {
        size_t len = mnl_attr_get_payload_len(attribute);

        switch (mnl_attr_get_type(attribute)) {
        case CTA_TUPLE_ORIG:
            parse_tuple(attribute, &entry->original);
            entry->original_attribute = attribute;
            break;
        case CTA_TUPLE_REPLY:
            parse_tuple(attribute, &entry->reply);
            break;
        case CTA_STATUS:
            if (len == 4)
                entry->status = ntohl(mnl_attr_get_u32(attribute));
            break;
        case CTA_ID:
            if (len == 4)
                entry->id = mnl_attr_get_u32(attribute);
            break;
        case CTA_ZONE:
            if (len == 2)
                entry->zone = mnl_attr_get_u16(attribute);
            break;
        default:
            break;
        }
    }
    return ERR_OK;
}

static int take_entry(const struct nlmsghdr *message, void *context)
{
    return parse_entry(message, context);
}

int conntrack_original(struct netlink *nl, uint8_t protocol, const struct endpoint *client,
                       const struct endpoint *listener, struct endpoint *ret_server)
{
    struct nlmsghdr *request = begin(nl, IPCTNL_MSG_CT_GET, 0, attribute_family(&client->address));
    struct tuple reply = {.source = *listener, .destination = *client, .protocol = protocol};
    struct entry entry = {0};
    int error;

    if (client->address.family != listener->address.family)
        return ERR_INVALID;
    put_tuple(request, CTA_TUPLE_REPLY, &reply);
    error = netlink_query(nl, request, take_entry, &entry);
    if (error < 0)
        return error;
    if (!(entry.status & IPS_DST_NAT) || entry.original.destination.address.family == ADDRESS_NONE)
        return ERR_NOT_FOUND;
    *ret_server = entry.original.destination;
    return ERR_OK;
}

int conntrack_original_tcp(int fd, struct endpoint *ret_server)
{
    struct sockaddr_storage local = {0};
    struct sockaddr_storage original = {0};
    socklen_t local_len = sizeof local;
    socklen_t len = sizeof original;
    struct endpoint listener;
    struct endpoint server;
    bool is_ipv4;
    int error;

    if (getsockname(fd, (struct sockaddr *)&local, &local_len) < 0)
        return ERR_IO;
    error = endpoint_from_sockaddr((const struct sockaddr *)&local, &listener);
    if (error < 0)
        return error;
    /* A dual-stack socket's IPv4 connections are IPv4's to the tracker. */
    is_ipv4 = listener.address.family == ADDRESS_IPV4;
    if (getsockopt(fd, is_ipv4 ? SOL_IP : SOL_IPV6,
                   is_ipv4 ? SO_ORIGINAL_DST : IP6T_SO_ORIGINAL_DST, &original, &len) < 0)
        return errno == ENOENT || errno == ENOPROTOOPT ? ERR_NOT_FOUND : ERR_IO;
    error = endpoint_from_sockaddr((const struct sockaddr *)&original, &server);
    if (error < 0)
        return error;
    if (endpoint_is_equal(&server, &listener))
        return ERR_NOT_FOUND;
    *ret_server = server;
    return ERR_OK;
}

/* Deletions of one pass; the kernel's table must not be changed while it is being dumped. */
#define PASS_CAP   128
#define TUPLE_CAP  128 /* an IPv6 tuple takes 76 bytes */
#define PASS_LIMIT 256

struct selection {
    bool (*is_wanted)(const struct entry *entry, const struct selection *selection);
    uint16_t port;
    struct address source;
    bool (*is_source)(const struct address *source, const void *context);
    const void *context;
    struct {
        uint8_t family;
        uint16_t zone;
        uint32_t id;
        uint16_t tuple_len;
        uint8_t tuple[TUPLE_CAP];
    } found[PASS_CAP];
    size_t count;
};

static bool has_ports(const struct entry *entry)
{
    return entry->original.protocol == IPPROTO_UDP || entry->original.protocol == IPPROTO_TCP;
}

static bool is_redirected_to_port(const struct entry *entry, const struct selection *selection)
{
    return (entry->status & IPS_DST_NAT) && entry->reply.source.port == selection->port &&
           entry->original.destination.port != selection->port && has_ports(entry);
}

static bool is_direct_to_port(const struct entry *entry, const struct selection *selection)
{
    return !(entry->status & (IPS_SRC_NAT | IPS_DST_NAT)) &&
           entry->original.destination.port == selection->port && has_ports(entry);
}

static bool is_from_source(const struct entry *entry, const struct selection *selection)
{
    return address_is_equal(&entry->original.source.address, &selection->source);
}

static bool is_from_sources(const struct entry *entry, const struct selection *selection)
{
    return selection->is_source(&entry->original.source.address, selection->context);
}

static int take_selected(const struct nlmsghdr *message, void *context)
{
    struct selection *selection = context;
    struct entry entry;
    size_t len;

    if (parse_entry(message, &entry) < 0 || entry.original_attribute == NULL ||
        selection->count == PASS_CAP || !selection->is_wanted(&entry, selection))
        return ERR_OK;
    len = mnl_attr_get_payload_len(entry.original_attribute);
    if (len > TUPLE_CAP)
        return ERR_OK;
    selection->found[selection->count].family = attribute_family(&entry.original.source.address);
    selection->found[selection->count].zone = entry.zone;
    selection->found[selection->count].id = entry.id;
    selection->found[selection->count].tuple_len = (uint16_t)len;
    memcpy(selection->found[selection->count].tuple, mnl_attr_get_payload(entry.original_attribute),
           len);
    selection->count++;
    return ERR_OK;
}

static int delete_found(struct netlink *nl, const struct selection *selection, unsigned *count)
{
    size_t i;

    for (i = 0; i < selection->count; i++) {
        struct nlmsghdr *request = begin(nl, IPCTNL_MSG_CT_DELETE, 0, selection->found[i].family);
        int error;

        mnl_attr_put(request, CTA_TUPLE_ORIG | NLA_F_NESTED, selection->found[i].tuple_len,
                     selection->found[i].tuple);
        /* So that a new connection of the same addresses is left alone. */
        mnl_attr_put_u32(request, CTA_ID, selection->found[i].id);
        if (selection->found[i].zone != 0)
            mnl_attr_put_u16(request, CTA_ZONE, selection->found[i].zone);
        error = netlink_request(nl, request);
        if (error == ERR_OK)
            (*count)++;
        else if (error != ERR_NOT_FOUND)
            return error;
    }
    return ERR_OK;
}

static int release(struct netlink *nl, uint8_t family, struct selection *selection,
                   unsigned *ret_count)
{
    unsigned count = 0;
    unsigned pass;

    for (pass = 0; pass < PASS_LIMIT; pass++) {
        int error;

        selection->count = 0;
        error = netlink_query(nl, begin(nl, IPCTNL_MSG_CT_GET, NLM_F_DUMP, family), take_selected,
                              selection);
        if (error == ERR_OK || error == ERR_AGAIN)
            error = delete_found(nl, selection, &count);
        if (error < 0)
            return error;
        if (selection->count < PASS_CAP)
            break;
    }
    if (ret_count != NULL)
        *ret_count = count;
    return ERR_OK;
}

int conntrack_release_redirected(struct netlink *nl, uint16_t port, unsigned *ret_count)
{
    struct selection selection = {.is_wanted = is_redirected_to_port, .port = port};

    return release(nl, AF_UNSPEC, &selection, ret_count);
}

int conntrack_release_direct(struct netlink *nl, uint16_t port, unsigned *ret_count)
{
    struct selection selection = {.is_wanted = is_direct_to_port, .port = port};

    return release(nl, AF_UNSPEC, &selection, ret_count);
}

int conntrack_release_source(struct netlink *nl, const struct address *source, unsigned *ret_count)
{
    struct selection selection = {.is_wanted = is_from_source, .source = *source};

    return release(nl, attribute_family(source), &selection, ret_count);
}

int conntrack_release_sources(struct netlink *nl,
                              bool (*is_wanted)(const struct address *source, const void *context),
                              const void *context)
{
    struct selection selection = {
        .is_wanted = is_from_sources, .is_source = is_wanted, .context = context};

    return release(nl, AF_UNSPEC, &selection, NULL);
}
