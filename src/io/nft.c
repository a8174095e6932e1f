/* Building and sending of nf_tables batches. What goes into them is nft_object.c and nft_rule.c. */
#include "io/nft.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int nft_open(struct nft *nft, const char *table)
{
    int error;

    memset(nft, 0, sizeof *nft);
    if (table[0] == 0 || strlen(table) >= sizeof nft->table)
        return ERR_INVALID;
    error = netlink_open(&nft->netlink, NETLINK_NETFILTER);
    if (error < 0)
        return error;
    nft->batch = malloc(NFT_BATCH_CAP);
    if (nft->batch == NULL) {
        netlink_close(&nft->netlink);
        return ERR_NOMEM;
    }
    snprintf(nft->table, sizeof nft->table, "%s", table);
    return ERR_OK;
}

void nft_close(struct nft *nft)
{
    netlink_close(&nft->netlink);
    free(nft->batch);
    nft->batch = NULL;
}

const char *nft_error(const struct nft *nft)
{
    return netlink_error(&nft->netlink);
}

bool nft_has_room(struct nft *nft, size_t len)
{
    size_t used;

    if (nft->batch == NULL) {
        nft->error = ERR_STATE;
        return false;
    }
    used = nft->len + (nft->message == NULL ? 0 : nft->message->nlmsg_len);

    if (nft->error == ERR_OK && (len > NFT_BATCH_CAP || used > NFT_BATCH_CAP - len))
        nft->error = ERR_FULL;
    return nft->error == ERR_OK;
}

static struct nlmsghdr *begin_raw(struct nft *nft, uint16_t type, uint16_t flags, uint8_t family,
                                  uint16_t resource)
{
    struct nlmsghdr *message;
    struct nfgenmsg *header;

    if (!nft_has_room(nft, MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof *header)))
        return NULL;
    message = mnl_nlmsg_put_header(nft->batch + nft->len);
    message->nlmsg_type = type;
    message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    message->nlmsg_seq = ++nft->netlink.sequence;
    header = mnl_nlmsg_put_extra_header(message, sizeof *header);
    header->nfgen_family = family;
    header->version = NFNETLINK_V0;
    header->res_id = htons(resource);
    nft->message = message;
    return message;
}

void nft_message_end(struct nft *nft)
{
    if (nft->message != NULL)
        nft->len += MNL_ALIGN(nft->message->nlmsg_len);
    nft->message = NULL;
}

void nft_message_begin(struct nft *nft, uint16_t type, uint16_t flags)
{
    begin_raw(nft, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, NFPROTO_INET, 0);
}

void nft_begin(struct nft *nft)
{
    nft->len = 0;
    nft->message = NULL;
    nft->expressions = NULL;
    nft->error = ERR_OK;
    nft->set_count = 0;
    nft->first_sequence = nft->netlink.sequence + 1;
    begin_raw(nft, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    nft_message_end(nft);
}

void nft_put(struct nft *nft, uint16_t type, const void *data, size_t len)
{
    if (nft->message != NULL && nft_has_room(nft, MNL_ATTR_HDRLEN + MNL_ALIGN(len)))
        mnl_attr_put(nft->message, type, len, data);
}

void nft_put_u32(struct nft *nft, uint16_t type, uint32_t value)
{
    uint32_t big_endian = htonl(value);

    nft_put(nft, type, &big_endian, sizeof big_endian);
}

void nft_put_u64(struct nft *nft, uint16_t type, uint64_t value)
{
    uint64_t big_endian = htobe64(value);

    nft_put(nft, type, &big_endian, sizeof big_endian);
}

void nft_put_text(struct nft *nft, uint16_t type, const char *text)
{
    nft_put(nft, type, text, strlen(text) + 1);
}

struct nlattr *nft_nest_begin(struct nft *nft, uint16_t type)
{
    if (nft->message == NULL || !nft_has_room(nft, MNL_ATTR_HDRLEN))
        return NULL;
    return mnl_attr_nest_start(nft->message, type);
}

void nft_nest_end(struct nft *nft, struct nlattr *nest)
{
    if (nest != NULL && nft->message != NULL)
        mnl_attr_nest_end(nft->message, nest);
}

/* What the message with this number was to do, as text: "rule in chain output". */
static void describe(const struct nft *nft, uint32_t sequence, char *text, size_t cap)
{
    static const struct {
        uint16_t type;
        uint16_t name; /* attribute */
        const char *text;
    } kinds[] = {
        {NFT_MSG_NEWTABLE, NFTA_TABLE_NAME, "add table"},
        {NFT_MSG_DELTABLE, NFTA_TABLE_NAME, "delete table"},
        {NFT_MSG_NEWCHAIN, NFTA_CHAIN_NAME, "add chain"},
        {NFT_MSG_NEWRULE, NFTA_RULE_CHAIN, "add rule in chain"},
        {NFT_MSG_DELRULE, NFTA_RULE_CHAIN, "flush chain"},
        {NFT_MSG_NEWSET, NFTA_SET_NAME, "add set"},
        {NFT_MSG_NEWSETELEM, NFTA_SET_ELEM_LIST_SET, "add element of set"},
        {NFT_MSG_DELSETELEM, NFTA_SET_ELEM_LIST_SET, "delete element of set"},
        {NFT_MSG_NEWOBJ, NFTA_OBJ_NAME, "add counter"},
    };
    const struct nlmsghdr *message = (const struct nlmsghdr *)(const void *)nft->batch;
    const struct nlattr *attribute;
    int left = (int)nft->len;
    size_t i;

    snprintf(text, cap, "table %s", nft->table);
    for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
        if (message->nlmsg_seq != sequence)
            continue;
        for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            if (message->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | kinds[i].type))
                continue;
            mnl_attr_for_each(attribute, message, sizeof(struct nfgenmsg))
            {
                if (mnl_attr_get_type(attribute) == kinds[i].name)
                    snprintf(text, cap, "table %s: %s %s", nft->table, kinds[i].text,
                             mnl_attr_get_str(attribute));
            }
        }
    }
}

struct verdict {
    bool is_acknowledged;
    int error;
};

static void take_reply(struct nft *nft, const struct nlmsghdr *message, uint32_t last_sequence,
                       struct verdict *verdict)
{
    const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);
    char what[80];

    if (message->nlmsg_type != NLMSG_ERROR || mnl_nlmsg_get_payload_len(message) < sizeof *error ||
        message->nlmsg_seq - nft->first_sequence > last_sequence - nft->first_sequence)
        return;
    if (error->error == 0) {
        verdict->is_acknowledged |= message->nlmsg_seq == last_sequence;
        return;
    }
    /* The first complaint is the cause; others follow from it. */
    if (verdict->error < 0)
        return;
    describe(nft, message->nlmsg_seq, what, sizeof what);
    verdict->error = netlink_fail(&nft->netlink, -error->error, what, netlink_explanation(message));
}

/* The kernel has put its whole answer into our queue by the time sending returns. */
static int read_verdict(struct nft *nft, uint32_t last_sequence)
{
    struct verdict verdict = {0};
    uint64_t buffer[4096];
    int fd = mnl_socket_get_fd(nft->netlink.socket);

    for (;;) {
        ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        const struct nlmsghdr *message = (const struct nlmsghdr *)buffer;
        int left = (int)got;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            break;
        if (got < 0)
            return netlink_fail(&nft->netlink, errno, nft->table, NULL);
        for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
            take_reply(nft, message, last_sequence, &verdict);
    }
    if (verdict.error < 0)
        return verdict.error;
    if (!verdict.is_acknowledged)
        return netlink_fail(&nft->netlink, EAGAIN, nft->table, NULL);
    return ERR_OK;
}

int nft_commit(struct nft *nft)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    uint32_t last_sequence = nft->netlink.sequence;
    struct nlmsghdr *last = NULL;
    struct nlmsghdr *at = (struct nlmsghdr *)(void *)nft->batch;
    int left = (int)nft->len;
    ssize_t sent;

    if (nft->netlink.socket == NULL)
        return ERR_STATE;
    for (; mnl_nlmsg_ok(at, left); at = mnl_nlmsg_next(at, &left))
        last = at;
    /* A batch of nothing needs no kernel. */
    if (nft->error == ERR_OK && (last == NULL || last->nlmsg_seq == nft->first_sequence))
        return ERR_OK;
    begin_raw(nft, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    nft_message_end(nft);
    if (nft->error < 0) {
        (void)netlink_fail(&nft->netlink, EMSGSIZE, nft->table, "transaction too large");
        return nft->error;
    }
    last->nlmsg_flags |= NLM_F_ACK;
    do {
        sent = sendto(mnl_socket_get_fd(nft->netlink.socket), nft->batch, nft->len, 0,
                      (struct sockaddr *)&kernel, sizeof kernel);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return netlink_fail(&nft->netlink, errno, nft->table, NULL);
    return read_verdict(nft, last_sequence);
}
