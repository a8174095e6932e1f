/* The objects of an nf_tables table: the table itself, chains, sets, elements, counters. */
#include "io/nft.h"
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

void nft_table_add(struct nft *nft, unsigned flags, bool is_new)
{
    nft_message_begin(nft, NFT_MSG_NEWTABLE, (uint16_t)(NLM_F_CREATE | (is_new ? NLM_F_EXCL : 0)));
    nft_put_text(nft, NFTA_TABLE_NAME, nft->table);
    if (flags != 0)
        nft_put_u32(nft, NFTA_TABLE_FLAGS, flags);
    nft_message_end(nft);
}

void nft_table_delete(struct nft *nft)
{
    nft_message_begin(nft, NFT_MSG_DELTABLE, 0);
    nft_put_text(nft, NFTA_TABLE_NAME, nft->table);
    nft_message_end(nft);
}

void nft_chain_add(struct nft *nft, const struct nft_chain *chain)
{
    struct nlattr *hook;

    nft_message_begin(nft, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    nft_put_text(nft, NFTA_CHAIN_TABLE, nft->table);
    nft_put_text(nft, NFTA_CHAIN_NAME, chain->name);
    if (chain->type != NULL) {
        hook = nft_nest_begin(nft, NFTA_CHAIN_HOOK);
        nft_put_u32(nft, NFTA_HOOK_HOOKNUM, chain->hook);
        nft_put_u32(nft, NFTA_HOOK_PRIORITY, (uint32_t)chain->priority);
        nft_nest_end(nft, hook);
        nft_put_text(nft, NFTA_CHAIN_TYPE, chain->type);
        nft_put_u32(nft, NFTA_CHAIN_POLICY, chain->is_drop ? NF_DROP : NF_ACCEPT);
    }
    nft_message_end(nft);
}

void nft_chain_flush(struct nft *nft, const char *chain)
{
    nft_message_begin(nft, NFT_MSG_DELRULE, 0);
    nft_put_text(nft, NFTA_RULE_TABLE, nft->table);
    nft_put_text(nft, NFTA_RULE_CHAIN, chain);
    nft_message_end(nft);
}

static uint32_t field_len(uint8_t field)
{
    return field == NFT_FIELD_IPV6       ? 16
           : field == NFT_FIELD_PROTOCOL ? 1
           : field == NFT_FIELD_PORT     ? 2
                                         : 4;
}

void nft_set_add(struct nft *nft, const struct nft_set *set)
{
    uint32_t type = 0;
    uint32_t len = 0;
    uint32_t flags = set->has_timeout || set->timeout_ms != 0 ? NFT_SET_TIMEOUT : 0;
    size_t count = 0;

    /* The type is nft(8)'s business: 6 bits for each field. A single field has its own length, the
     * fields of a concatenation are padded to 4 bytes each. */
    for (; count < NFT_FIELDS && set->fields[count] != NFT_FIELD_NONE; count++) {
        type = type << 6 | set->fields[count];
        len += (field_len(set->fields[count]) + 3) & ~3U;
    }
    if (count == 1)
        len = field_len(set->fields[0]);
    nft_message_begin(nft, NFT_MSG_NEWSET, NLM_F_CREATE);
    nft_put_text(nft, NFTA_SET_TABLE, nft->table);
    nft_put_text(nft, NFTA_SET_NAME, set->name);
    nft_put_u32(nft, NFTA_SET_ID, ++nft->set_count);
    nft_put_u32(nft, NFTA_SET_KEY_TYPE, type);
    nft_put_u32(nft, NFTA_SET_KEY_LEN, len);
    if (flags != 0)
        nft_put_u32(nft, NFTA_SET_FLAGS, flags);
    if (set->timeout_ms != 0)
        nft_put_u64(nft, NFTA_SET_TIMEOUT, set->timeout_ms);
    nft_message_end(nft);
}

static void element(struct nft *nft, uint16_t type, uint16_t flags, const char *set,
                    const void *key, size_t key_len, uint32_t timeout_ms)
{
    struct nlattr *list;
    struct nlattr *one;
    struct nlattr *data;

    nft_message_begin(nft, type, flags);
    nft_put_text(nft, NFTA_SET_ELEM_LIST_TABLE, nft->table);
    nft_put_text(nft, NFTA_SET_ELEM_LIST_SET, set);
    if (key != NULL) {
        list = nft_nest_begin(nft, NFTA_SET_ELEM_LIST_ELEMENTS);
        one = nft_nest_begin(nft, NFTA_LIST_ELEM);
        data = nft_nest_begin(nft, NFTA_SET_ELEM_KEY);
        nft_put(nft, NFTA_DATA_VALUE, key, key_len);
        nft_nest_end(nft, data);
        if (timeout_ms != 0)
            nft_put_u64(nft, NFTA_SET_ELEM_TIMEOUT, timeout_ms);
        nft_nest_end(nft, one);
        nft_nest_end(nft, list);
    }
    nft_message_end(nft);
}

void nft_element_add(struct nft *nft, const char *set, const void *key, size_t key_len,
                     uint32_t timeout_ms)
{
    element(nft, NFT_MSG_NEWSETELEM, NLM_F_CREATE, set, key, key_len, timeout_ms);
}

void nft_element_delete(struct nft *nft, const char *set, const void *key, size_t key_len)
{
    element(nft, NFT_MSG_DELSETELEM, 0, set, key, key_len, 0);
}

void nft_set_flush(struct nft *nft, const char *set)
{
    element(nft, NFT_MSG_DELSETELEM, 0, set, NULL, 0, 0);
}

void nft_counter_add(struct nft *nft, const char *name)
{
    struct nlattr *data;

    nft_message_begin(nft, NFT_MSG_NEWOBJ, NLM_F_CREATE);
    nft_put_text(nft, NFTA_OBJ_TABLE, nft->table);
    nft_put_text(nft, NFTA_OBJ_NAME, name);
    nft_put_u32(nft, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
    data = nft_nest_begin(nft, NFTA_OBJ_DATA);
    nft_nest_end(nft, data);
    nft_message_end(nft);
}

static struct nlmsghdr *begin_question(struct nft *nft, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *request =
        netlink_begin(&nft->netlink, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags,
                      sizeof(struct nfgenmsg));
    struct nfgenmsg *header = mnl_nlmsg_get_payload(request);

    header->nfgen_family = NFPROTO_INET;
    header->version = NFNETLINK_V0;
    return request;
}

static int take_counter(const struct nlmsghdr *message, void *context)
{
    uint64_t *packets = context;
    const struct nlattr *attribute;
    const struct nlattr *part;

    mnl_attr_for_each(attribute, message, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(attribute) != NFTA_OBJ_DATA)
            continue;
        mnl_attr_for_each_nested(part, attribute)
        {
            uint64_t value;

            if (mnl_attr_get_type(part) != NFTA_COUNTER_PACKETS ||
                mnl_attr_get_payload_len(part) != sizeof value)
                continue;
            memcpy(&value, mnl_attr_get_payload(part), sizeof value);
            *packets = be64toh(value);
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

int nft_counter_read(struct nft *nft, const char *name, uint64_t *ret_packets)
{
    struct nlmsghdr *request = begin_question(nft, NFT_MSG_GETOBJ, 0);
    uint64_t packets = 0;
    int error;

    mnl_attr_put_strz(request, NFTA_OBJ_TABLE, nft->table);
    mnl_attr_put_strz(request, NFTA_OBJ_NAME, name);
    mnl_attr_put_u32(request, NFTA_OBJ_TYPE, htobe32(NFT_OBJECT_COUNTER));
    error = netlink_query(&nft->netlink, request, take_counter, &packets);
    if (error < 0)
        return error;
    *ret_packets = packets;
    return ERR_OK;
}

static int take_rule(const struct nlmsghdr *message, void *context)
{
    unsigned *count = context;

    if (message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE))
        (*count)++;
    return ERR_OK;
}

static int take_nothing(const struct nlmsghdr *message, void *context)
{
    return ERR_OK;
}

int nft_rule_count(struct nft *nft, unsigned *ret_count)
{
    struct nlmsghdr *request = begin_question(nft, NFT_MSG_GETTABLE, 0);
    unsigned count = 0;
    int error;

    /* A dump of the rules of a missing table is empty, so ask for the table first. */
    mnl_attr_put_strz(request, NFTA_TABLE_NAME, nft->table);
    error = netlink_query(&nft->netlink, request, take_nothing, NULL);
    if (error < 0)
        return error;
    request = begin_question(nft, NFT_MSG_GETRULE, NLM_F_DUMP);
    mnl_attr_put_strz(request, NFTA_RULE_TABLE, nft->table);
    error = netlink_query(&nft->netlink, request, take_rule, &count);
    if (error < 0)
        return error;
    *ret_count = count;
    return ERR_OK;
}
