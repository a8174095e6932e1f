/* nf_tables expressions in netlink form. */
#include "io/nft_rule.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <net/if.h>
#include <string.h>

void nft_rule_begin(struct nft *nft, const char *chain)
{
    nft_message_begin(nft, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    nft_put_text(nft, NFTA_RULE_TABLE, nft->table);
    nft_put_text(nft, NFTA_RULE_CHAIN, chain);
    nft->expressions = nft_nest_begin(nft, NFTA_RULE_EXPRESSIONS);
}

void nft_rule_end(struct nft *nft)
{
    nft_nest_end(nft, nft->expressions);
    nft->expressions = NULL;
    nft_message_end(nft);
}

struct expression {
    struct nlattr *element;
    struct nlattr *data;
};

static struct expression begin(struct nft *nft, const char *name)
{
    struct expression e;

    e.element = nft_nest_begin(nft, NFTA_LIST_ELEM);
    nft_put_text(nft, NFTA_EXPR_NAME, name);
    e.data = nft_nest_begin(nft, NFTA_EXPR_DATA);
    return e;
}

static void end(struct nft *nft, struct expression e)
{
    nft_nest_end(nft, e.data);
    nft_nest_end(nft, e.element);
}

static void put_register(struct nft *nft, uint16_t type, unsigned reg)
{
    nft_put_u32(nft, type, NFT_REG32_00 + reg);
}

static void put_value(struct nft *nft, uint16_t type, const void *data, size_t len)
{
    struct nlattr *nest = nft_nest_begin(nft, type);

    nft_put(nft, NFTA_DATA_VALUE, data, len);
    nft_nest_end(nft, nest);
}

void nft_load_meta(struct nft *nft, unsigned reg, enum nft_meta_keys key)
{
    struct expression e = begin(nft, "meta");

    nft_put_u32(nft, NFTA_META_KEY, key);
    put_register(nft, NFTA_META_DREG, reg);
    end(nft, e);
}

void nft_load_payload(struct nft *nft, unsigned reg, enum nft_payload_bases base, uint32_t offset,
                      uint32_t len)
{
    struct expression e = begin(nft, "payload");

    put_register(nft, NFTA_PAYLOAD_DREG, reg);
    nft_put_u32(nft, NFTA_PAYLOAD_BASE, base);
    nft_put_u32(nft, NFTA_PAYLOAD_OFFSET, offset);
    nft_put_u32(nft, NFTA_PAYLOAD_LEN, len);
    end(nft, e);
}

void nft_load_address(struct nft *nft, unsigned reg, enum address_family family, bool is_source)
{
    if (family == ADDRESS_IPV4)
        nft_load_payload(nft, reg, NFT_PAYLOAD_NETWORK_HEADER, is_source ? 12 : 16, 4);
    else
        nft_load_payload(nft, reg, NFT_PAYLOAD_NETWORK_HEADER, is_source ? 8 : 24, 16);
}

void nft_load_port(struct nft *nft, unsigned reg)
{
    nft_load_payload(nft, reg, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
}

void nft_compare(struct nft *nft, unsigned reg, bool is_equal, const void *data, size_t len)
{
    struct expression e = begin(nft, "cmp");

    put_register(nft, NFTA_CMP_SREG, reg);
    nft_put_u32(nft, NFTA_CMP_OP, is_equal ? NFT_CMP_EQ : NFT_CMP_NEQ);
    put_value(nft, NFTA_CMP_DATA, data, len);
    end(nft, e);
}

static void mask(struct nft *nft, unsigned reg, const void *bits, size_t len)
{
    static const uint8_t zeroes[16];
    struct expression e = begin(nft, "bitwise");

    put_register(nft, NFTA_BITWISE_SREG, reg);
    put_register(nft, NFTA_BITWISE_DREG, reg);
    nft_put_u32(nft, NFTA_BITWISE_LEN, (uint32_t)len);
    put_value(nft, NFTA_BITWISE_MASK, bits, len);
    put_value(nft, NFTA_BITWISE_XOR, zeroes, len);
    end(nft, e);
}

void nft_lookup(struct nft *nft, unsigned reg, const char *set, bool is_in)
{
    struct expression e = begin(nft, "lookup");

    nft_put_text(nft, NFTA_LOOKUP_SET, set);
    put_register(nft, NFTA_LOOKUP_SREG, reg);
    if (!is_in)
        nft_put_u32(nft, NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
    end(nft, e);
}

void nft_match_family(struct nft *nft, enum address_family family)
{
    uint8_t protocol = family == ADDRESS_IPV4 ? NFPROTO_IPV4 : NFPROTO_IPV6;

    nft_load_meta(nft, 0, NFT_META_NFPROTO);
    nft_compare(nft, 0, true, &protocol, sizeof protocol);
}

static void match_interface(struct nft *nft, enum nft_meta_keys key, const char *interface,
                            bool is_equal)
{
    char name[IFNAMSIZ] = {0};

    memcpy(name, interface, strnlen(interface, sizeof name - 1));
    nft_load_meta(nft, 0, key);
    nft_compare(nft, 0, is_equal, name, sizeof name);
}

void nft_match_in(struct nft *nft, const char *interface, bool is_equal)
{
    match_interface(nft, NFT_META_IIFNAME, interface, is_equal);
}

void nft_match_out(struct nft *nft, const char *interface, bool is_equal)
{
    match_interface(nft, NFT_META_OIFNAME, interface, is_equal);
}

void nft_match_mark(struct nft *nft, uint32_t mark, bool is_equal)
{
    nft_load_meta(nft, 0, NFT_META_MARK);
    nft_compare(nft, 0, is_equal, &mark, sizeof mark);
}

void nft_match_protocol(struct nft *nft, uint8_t protocol)
{
    nft_load_meta(nft, 0, NFT_META_L4PROTO);
    nft_compare(nft, 0, true, &protocol, sizeof protocol);
}

void nft_match_port(struct nft *nft, uint16_t port)
{
    uint16_t big_endian = htons(port);

    nft_load_port(nft, 0);
    nft_compare(nft, 0, true, &big_endian, sizeof big_endian);
}

void nft_match_tcp_syn(struct nft *nft, bool is_syn)
{
    static const uint8_t syn = 2, none = 0;

    nft_match_protocol(nft, IPPROTO_TCP);
    nft_load_payload(nft, 0, NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1);
    mask(nft, 0, &syn, 1);
    nft_compare(nft, 0, !is_syn, &none, 1);
}

void nft_match_address(struct nft *nft, const struct prefix *prefix, bool is_source, bool is_equal)
{
    size_t len = address_len(&prefix->address);
    uint8_t bits[16] = {0};
    size_t i;

    nft_load_address(nft, 0, prefix->address.family, is_source);
    if (prefix->bits < len * 8) {
        for (i = 0; i < prefix->bits; i++)
            bits[i / 8] |= (uint8_t)(0x80 >> i % 8);
        mask(nft, 0, bits, len);
    }
    nft_compare(nft, 0, is_equal, prefix->address.bytes, len);
}

void nft_match_state(struct nft *nft, uint32_t states)
{
    static const uint32_t none;
    struct expression e = begin(nft, "ct");

    put_register(nft, NFTA_CT_DREG, 0);
    nft_put_u32(nft, NFTA_CT_KEY, NFT_CT_STATE);
    end(nft, e);
    mask(nft, 0, &states, sizeof states);
    nft_compare(nft, 0, false, &none, sizeof none);
}

void nft_set_original_zone(struct nft *nft, uint16_t zone)
{
    static const uint8_t original = IP_CT_DIR_ORIGINAL;
    struct expression e = begin(nft, "immediate");

    put_register(nft, NFTA_IMMEDIATE_DREG, 0);
    put_value(nft, NFTA_IMMEDIATE_DATA, &zone, sizeof zone);
    end(nft, e);
    e = begin(nft, "ct");
    put_register(nft, NFTA_CT_SREG, 0);
    nft_put_u32(nft, NFTA_CT_KEY, NFT_CT_ZONE);
    nft_put(nft, NFTA_CT_DIRECTION, &original, sizeof original);
    end(nft, e);
}

void nft_count(struct nft *nft, const char *counter)
{
    struct expression e = begin(nft, "objref");

    nft_put_u32(nft, NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
    nft_put_text(nft, NFTA_OBJREF_IMM_NAME, counter);
    end(nft, e);
}

void nft_verdict(struct nft *nft, int verdict)
{
    struct expression e = begin(nft, "immediate");
    struct nlattr *data;
    struct nlattr *code;

    nft_put_u32(nft, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    data = nft_nest_begin(nft, NFTA_IMMEDIATE_DATA);
    code = nft_nest_begin(nft, NFTA_DATA_VERDICT);
    nft_put_u32(nft, NFTA_VERDICT_CODE, (uint32_t)verdict);
    nft_nest_end(nft, code);
    nft_nest_end(nft, data);
    end(nft, e);
}

void nft_redirect(struct nft *nft, uint16_t port)
{
    uint16_t big_endian = htons(port);
    struct expression e = begin(nft, "immediate");

    put_register(nft, NFTA_IMMEDIATE_DREG, 0);
    put_value(nft, NFTA_IMMEDIATE_DATA, &big_endian, sizeof big_endian);
    end(nft, e);
    e = begin(nft, "redir");
    put_register(nft, NFTA_REDIR_REG_PROTO_MIN, 0);
    end(nft, e);
}

void nft_masquerade(struct nft *nft)
{
    struct expression e = begin(nft, "masq");

    end(nft, e);
}
