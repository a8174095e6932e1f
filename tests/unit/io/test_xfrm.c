/* Requests for ESP in the kernel, to the byte; answers, whole and cut. What the kernel makes of
 * them is shown by scripts/interop, in a machine that has ESP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/divert.h"
#include "io/xfrm.h"
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_nat.h>
#include <linux/xfrm.h>
#include <string.h>

static struct netlink nl;

static struct address ip(const char *text)
{
    struct address address;
    assert_int_equal(address_parse(text, &address), ERR_OK);
    return address;
}

static struct xfrm_sa sample(void)
{
    struct xfrm_sa sa = {
        .from = {ip("192.0.2.1"), 4500},
        .to = {ip("198.51.100.7"), 40500},
        .spi = 0x11223344,
        .number = 0xDE7EC003,
        .form = XFRM_FORM_BEET,
        .inner_from = ip("10.1.2.3"),
        .inner_to = ip("10.4.5.6"),
        .has_esn = true,
        .is_inbound = true,
        .window = 4096,
        .lifetime_s = 7260,
    };
    strcpy(sa.aead.name, "rfc4106(gcm(aes))");
    for (uint8_t i = 0; i < 20; i++)
        sa.aead.key[i] = i;
    sa.aead.key_len = 20;
    sa.aead.tag_bits = 128;
    return sa;
}

/* The attribute behind `fixed` bytes; it must be there, once. */
static const struct nlattr *find(const struct nlmsghdr *message, size_t fixed, uint16_t type)
{
    const struct nlattr *attribute, *found = NULL;
    mnl_attr_for_each(attribute, message, fixed)
    {
        if (mnl_attr_get_type(attribute) == type) {
            assert_null(found);
            found = attribute;
        }
    }
    return found;
}

static void check_bytes(const struct nlattr *attribute, const void *bytes, size_t len)
{
    assert_non_null(attribute);
    assert_int_equal(mnl_attr_get_payload_len(attribute), len);
    assert_memory_equal(mnl_attr_get_payload(attribute), bytes, len);
}

static void an_sa_with_aead(void **state)
{
    const struct xfrm_sa sa = sample();
    const struct nlmsghdr *message = xfrm_build_sa(&nl, &sa);
    const struct xfrm_usersa_info *info = mnl_nlmsg_get_payload(message);
    const uint8_t *bytes = (const uint8_t *)info;
    const size_t fixed = sizeof(*info);
    /* espinudp, ports in the network's order, no address of its own */
    const uint8_t encap[24] = {2, 0, 0x11, 0x94, 0x9e, 0x34};
    uint8_t aead[64 + 4 + 4 + 20] = "rfc4106(gcm(aes))";
    uint8_t replay[24 + 512] = {128};
    assert_int_equal(message->nlmsg_type, XFRM_MSG_NEWSA);
    assert_int_equal(message->nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    /* struct xfrm_usersa_info: selector 56, id 24, source 16, lifetimes … */
    assert_memory_equal(bytes, "\x0a\x04\x05\x06", 4);
    assert_memory_equal(bytes + 16, "\x0a\x01\x02\x03", 4);
    assert_int_equal(info->sel.prefixlen_d, 32);
    assert_int_equal(info->sel.prefixlen_s, 32);
    assert_memory_equal(bytes + 56, "\xc6\x33\x64\x07", 4);
    assert_memory_equal(bytes + 72, "\x11\x22\x33\x44\x32", 5);
    assert_memory_equal(bytes + 80, "\xc0\x00\x02\x01", 4);
    assert_int_equal(info->lft.hard_add_expires_seconds, 7260);
    assert_true(info->lft.hard_byte_limit == XFRM_INF && info->lft.hard_packet_limit == XFRM_INF);
    assert_int_equal(info->family, 2);
    assert_int_equal(info->mode, 4);
    assert_int_equal(info->reqid, 0xDE7EC003);
    assert_int_equal(info->flags, 128);
    check_bytes(find(message, fixed, XFRMA_ENCAP), encap, sizeof(encap));
    assert_int_equal(mnl_attr_get_u32(find(message, fixed, XFRMA_IF_ID)), 0xDE7EC003);
    memcpy(aead + 64, (const uint32_t[]){160, 128}, 8);
    for (uint8_t i = 0; i < 20; i++)
        aead[72 + i] = i;
    check_bytes(find(message, fixed, XFRMA_ALG_AEAD), aead, sizeof(aead));
    memcpy(replay + 20, (const uint32_t[]){4096}, 4);
    check_bytes(find(message, fixed, XFRMA_REPLAY_ESN_VAL), replay, sizeof(replay));
    assert_null(find(message, fixed, XFRMA_ALG_CRYPT));
}

static void an_sa_with_hmac(void **state)
{
    struct xfrm_sa sa = sample();
    memset(&sa.aead, 0, sizeof(sa.aead));
    strcpy(sa.cipher.name, "cbc(aes)");
    strcpy(sa.mac.name, "hmac(sha256)");
    memset(sa.cipher.key, 7, 16);
    memset(sa.mac.key, 9, 32);
    sa.cipher.key_len = 16;
    sa.mac.key_len = 32;
    sa.mac.tag_bits = 128;
    sa.form = XFRM_FORM_TUNNEL;
    sa.has_esn = sa.is_inbound = false;
    const struct nlmsghdr *message = xfrm_build_sa(&nl, &sa);
    const struct xfrm_usersa_info *info = mnl_nlmsg_get_payload(message);
    uint8_t cipher[64 + 4 + 16] = "cbc(aes)";
    uint8_t mac[64 + 8 + 32] = "hmac(sha256)";
    memcpy(cipher + 64, (const uint32_t[]){128}, 4);
    memset(cipher + 68, 7, 16);
    memcpy(mac + 64, (const uint32_t[]){256, 128}, 8);
    memset(mac + 72, 9, 32);
    assert_int_equal(info->mode, 1);
    assert_int_equal(info->flags, 0);
    assert_int_equal(info->sel.prefixlen_d, 0); /* packets say their addresses themselves */
    check_bytes(find(message, sizeof(*info), XFRMA_ALG_CRYPT), cipher, sizeof(cipher));
    check_bytes(find(message, sizeof(*info), XFRMA_ALG_AUTH_TRUNC), mac, sizeof(mac));
    assert_null(find(message, sizeof(*info), XFRMA_REPLAY_ESN_VAL)); /* nothing to be replayed */
    assert_null(find(message, sizeof(*info), XFRMA_ALG_AEAD));
}

static void a_policy(void **state)
{
    const struct xfrm_sa sa = sample();
    const struct nlmsghdr *message = xfrm_build_policy(&nl, &sa);
    const struct xfrm_userpolicy_info *info = mnl_nlmsg_get_payload(message);
    const struct nlattr *attribute = find(message, sizeof(*info), XFRMA_TMPL);
    assert_int_equal(message->nlmsg_type, XFRM_MSG_UPDPOLICY);
    assert_int_equal(info->dir, 1);
    assert_int_equal(info->action, 0);
    assert_int_equal(info->sel.saddr.a4, htonl(0x0a010203));
    assert_int_equal(info->sel.daddr.a4, htonl(0x0a040506));
    assert_non_null(attribute);
    assert_int_equal(mnl_attr_get_payload_len(attribute), sizeof(struct xfrm_user_tmpl));
    const struct xfrm_user_tmpl *tmpl = mnl_attr_get_payload(attribute);
    assert_int_equal(tmpl->id.spi, htonl(0x11223344)); /* that SA and no other */
    assert_int_equal(tmpl->id.daddr.a4, htonl(0xc6336407));
    assert_int_equal(tmpl->saddr.a4, htonl(0xc0000201));
    assert_int_equal(tmpl->optional, 0); /* no SA: nothing leaves */
    assert_int_equal(tmpl->mode, 4);
    assert_int_equal(mnl_attr_get_u32(find(message, sizeof(*info), XFRMA_IF_ID)), 0xDE7EC003);
}

static void what_does_not_fit(void **state)
{
    struct xfrm_sa sa = sample();
    sa.aead.key_len = XFRM_KEY_CAP + 1;
    assert_int_equal(xfrm_sa_add(&nl, &sa), ERR_INVALID);
    sa = sample();
    sa.window = XFRM_WINDOW_MAX + 1;
    assert_int_equal(xfrm_sa_add(&nl, &sa), ERR_INVALID);
    sa = sample();
    sa.to.address = ip("2001:db8::1");
    assert_int_equal(xfrm_sa_add(&nl, &sa), ERR_INVALID);
    assert_int_equal(xfrm_policy_set(&nl, &sa), ERR_INVALID);
    sa = sample();
    assert_true(xfrm_sa_add(&nl, &sa) < 0); /* no socket */
    for (size_t i = 0; i < sizeof(nl.request) / sizeof(nl.request[0]); i++)
        assert_int_equal(nl.request[i], 0); /* its key is wiped */
}

static void counts_are_read(void **state)
{
    struct {
        struct nlmsghdr header;
        struct xfrm_usersa_info info;
    } message = {.header = {.nlmsg_len = sizeof(message), .nlmsg_type = XFRM_MSG_NEWSA}};
    struct xfrm_counts counts = {.packets = 99};
    message.info.curlft.packets = 5;
    message.info.curlft.bytes = 420;
    message.info.stats.replay = 2;
    message.info.stats.replay_window = 1;
    message.info.stats.integrity_failed = 4;
    for (uint32_t len = sizeof(message.header); len < sizeof(message); len++) {
        message.header.nlmsg_len = len;
        assert_int_equal(xfrm_take_counts(&message.header, &counts), ERR_INVALID);
        assert_int_equal(counts.packets, 99);
    }
    message.header.nlmsg_len = sizeof(message);
    message.header.nlmsg_type = XFRM_MSG_NEWPOLICY;
    assert_int_equal(xfrm_take_counts(&message.header, &counts), ERR_INVALID);
    message.header.nlmsg_type = XFRM_MSG_NEWSA;
    assert_int_equal(xfrm_take_counts(&message.header, &counts), ERR_OK);
    assert_int_equal(counts.packets, 5);
    assert_int_equal(counts.bytes, 420);
    assert_int_equal(counts.replayed, 3);
    assert_int_equal(counts.altered, 4);
}

/* Only what says that it is ours is removed: cut anywhere, it says nothing. */
static void numbers_are_read(void **state)
{
    const struct xfrm_sa sa = sample();
    struct nlmsghdr *message = xfrm_build_sa(&nl, &sa);
    const uint32_t whole = message->nlmsg_len;
    assert_int_equal(xfrm_number_of(message), 0xDE7EC003);
    for (uint32_t len = sizeof(*message); len + 4 <= whole; len++) { /* aligned, as read */
        message->nlmsg_len = len; /* its last attribute is the number */
        assert_int_equal(xfrm_number_of(message), 0);
    }
    message = xfrm_build_policy(&nl, &sa);
    assert_int_equal(xfrm_number_of(message), 0); /* a request, and not in a dump */
    message->nlmsg_type = XFRM_MSG_NEWPOLICY;
    assert_int_equal(xfrm_number_of(message), 0xDE7EC003);
}

static void a_diversion(void **state)
{
    const struct divert divert = {
        .link = 7,
        .priority = 3,
        .from = ip("0.0.0.2"),
        .to = ip("0.0.0.86"),
        .new_from = ip("192.168.10.1"),
        .new_to = ip("192.168.20.1"),
        .is_bare = true,
        .makes_anew = true,
        .target = 9,
    };
    static const char *const kinds[] = {"nat", "nat", "csum", "mirred"};
    const struct nlmsghdr *message = divert_build(&nl, &divert);
    const struct tcmsg *info = mnl_nlmsg_get_payload(message);
    const struct nlattr *options = find(message, sizeof(*info), TCA_OPTIONS), *attribute, *part;
    const struct nlattr *actions = NULL;
    size_t count = 0;
    assert_int_equal(info->tcm_ifindex, 7);
    assert_int_equal(info->tcm_parent, 0xfffffff3); /* what goes out */
    assert_int_equal(info->tcm_info, 3u << 16 | htons(0x0800));
    mnl_attr_for_each_nested(attribute, options)
    {
        if (mnl_attr_get_type(attribute) == TCA_U32_ACT)
            actions = attribute;
        if (mnl_attr_get_type(attribute) != TCA_U32_SEL)
            continue;
        const uint8_t *selector = mnl_attr_get_payload(attribute);
        static const uint8_t keys[] = {
            0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2,  12, 0, 0, 0, 0, 0, 0, 0,
            0xff, 0xff, 0xff, 0xff, 0, 0, 0, 86, 16, 0, 0, 0, 0, 0, 0, 0,
        };
        assert_int_equal(mnl_attr_get_payload_len(attribute), 16 + 4 * 16);
        assert_int_equal(selector[0], 1); /* terminal */
        assert_int_equal(selector[2], 4);
        assert_memory_equal(selector + 16, keys, sizeof(keys));
    }
    assert_non_null(actions);
    mnl_attr_for_each_nested(attribute, actions)
    {
        mnl_attr_for_each_nested(part, attribute)
        {
            if (mnl_attr_get_type(part) == TCA_ACT_KIND)
                assert_string_equal(mnl_attr_get_str(part), kinds[count]);
        }
        count++;
        assert_int_equal(mnl_attr_get_type(attribute), count);
    }
    assert_int_equal(count, 4);
}

/* What comes in: no options, so that no source route says where it goes on to; fragments may. */
static void a_diversion_without_options(void **state)
{
    const struct divert divert = {
        .link = 7,
        .is_inbound = true,
        .priority = 1,
        .from = ip("192.168.20.1"),
        .to = ip("192.168.10.1"),
        .new_from = ip("0.0.0.86"),
        .new_to = ip("0.0.0.2"),
        .is_plain = true,
        .target = 9,
    };
    static const uint8_t key[] = {0xff, 0, 0, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    const struct nlmsghdr *message = divert_build(&nl, &divert);
    const struct nlattr *options = find(message, sizeof(struct tcmsg), TCA_OPTIONS), *attribute;
    bool is_found = false;
    assert_non_null(options);
    mnl_attr_for_each_nested(attribute, options)
    {
        const uint8_t *selector = mnl_attr_get_payload(attribute);
        if (mnl_attr_get_type(attribute) != TCA_U32_SEL)
            continue;
        assert_int_equal(mnl_attr_get_payload_len(attribute), 16 + 3 * 16);
        assert_int_equal(selector[2], 3);
        assert_memory_equal(selector + 16 + 2 * 16, key, sizeof(key));
        is_found = true;
    }
    assert_true(is_found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_sa_with_aead), cmocka_unit_test(an_sa_with_hmac),
        cmocka_unit_test(a_policy),        cmocka_unit_test(what_does_not_fit),
        cmocka_unit_test(counts_are_read), cmocka_unit_test(numbers_are_read),
        cmocka_unit_test(a_diversion),     cmocka_unit_test(a_diversion_without_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
