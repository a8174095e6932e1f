/* Requests to the XFRM part of the kernel, byte by byte as linux/xfrm.h lays them out. */
#include "io/xfrm.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/ipsec.h>
#include <linux/udp.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <string.h>

#define FLUSH_BATCH 64

static bool is_usable(const struct xfrm_sa *sa)
{
    return sa->from.address.family == ADDRESS_IPV4 && sa->to.address.family == ADDRESS_IPV4 &&
           sa->inner_from.family == ADDRESS_IPV4 && sa->inner_to.family == ADDRESS_IPV4 &&
           sa->aead.key_len <= XFRM_KEY_CAP && sa->cipher.key_len <= XFRM_KEY_CAP &&
           sa->mac.key_len <= XFRM_KEY_CAP && sa->window <= XFRM_WINDOW_MAX;
}

static void put_ipv4(xfrm_address_t *to, const struct address *from)
{
    to->a4 = htonl(address_to_ipv4(from));
}

static void put_selector(struct xfrm_selector *selector, const struct xfrm_sa *sa)
{
    put_ipv4(&selector->saddr, &sa->inner_from);
    put_ipv4(&selector->daddr, &sa->inner_to);
    selector->prefixlen_s = selector->prefixlen_d = 32;
    selector->family = AF_INET;
}

static uint8_t mode_of(enum xfrm_form form)
{
    return form == XFRM_FORM_BEET ? XFRM_MODE_BEET : XFRM_MODE_TUNNEL;
}

static void put_lifetime(struct xfrm_lifetime_cfg *lifetime, uint64_t seconds)
{
    lifetime->soft_byte_limit = lifetime->hard_byte_limit = XFRM_INF;
    lifetime->soft_packet_limit = lifetime->hard_packet_limit = XFRM_INF;
    lifetime->hard_add_expires_seconds = seconds;
}

/* All three kinds lead with name, key length in bits, and where they truncate that; key last. */
static void put_algorithm(struct nlmsghdr *request, uint16_t type,
                          const struct xfrm_algorithm *algorithm)
{
    union {
        struct xfrm_algo plain;
        struct xfrm_algo_aead aead; /* laid out as xfrm_algo_auth */
        uint8_t bytes[sizeof(struct xfrm_algo_aead) + XFRM_KEY_CAP];
    } data = {0};
    size_t fixed = type == XFRMA_ALG_CRYPT ? sizeof(data.plain) : sizeof(data.aead);
    memcpy(data.plain.alg_name, algorithm->name, strnlen(algorithm->name, XFRM_NAME_CAP - 1));
    data.plain.alg_key_len = (unsigned int)(8 * algorithm->key_len);
    if (type != XFRMA_ALG_CRYPT)
        data.aead.alg_icv_len = algorithm->tag_bits;
    memcpy(data.bytes + fixed, algorithm->key, algorithm->key_len);
    mnl_attr_put(request, type, fixed + algorithm->key_len, &data);
    explicit_bzero(&data, sizeof(data));
}

static void put_window(struct nlmsghdr *request, const struct xfrm_sa *sa)
{
    union {
        struct xfrm_replay_state_esn state;
        uint8_t bytes[sizeof(struct xfrm_replay_state_esn) + XFRM_WINDOW_MAX / 8];
    } replay = {0};
    const uint32_t window = sa->window < 32 ? 32 : sa->window;
    replay.state.bmp_len = (window + 31) / 32;
    replay.state.replay_window = window;
    mnl_attr_put(request, XFRMA_REPLAY_ESN_VAL,
                 sizeof(replay.state) + replay.state.bmp_len * sizeof(uint32_t), &replay);
}

struct nlmsghdr *xfrm_build_sa(struct netlink *nl, const struct xfrm_sa *sa)
{
    struct nlmsghdr *request = netlink_begin(nl, XFRM_MSG_NEWSA, NLM_F_CREATE | NLM_F_EXCL,
                                             sizeof(struct xfrm_usersa_info));
    struct xfrm_usersa_info *info = mnl_nlmsg_get_payload(request);
    const struct xfrm_encap_tmpl encap = {
        .encap_type = UDP_ENCAP_ESPINUDP,
        .encap_sport = htons(sa->from.port),
        .encap_dport = htons(sa->to.port),
    };
    /* BEET takes the header's addresses from here; tunnel form has its own. */
    if (sa->form == XFRM_FORM_BEET)
        put_selector(&info->sel, sa);
    else
        info->sel.family = AF_INET;
    put_ipv4(&info->saddr, &sa->from.address);
    put_ipv4(&info->id.daddr, &sa->to.address);
    info->id.spi = htonl(sa->spi);
    info->id.proto = IPPROTO_ESP;
    info->family = AF_INET;
    info->mode = mode_of(sa->form);
    info->reqid = sa->number;
    info->flags = sa->has_esn ? XFRM_STATE_ESN : 0;
    put_lifetime(&info->lft, sa->lifetime_s);
    if (sa->aead.name[0] != '\0') {
        put_algorithm(request, XFRMA_ALG_AEAD, &sa->aead);
    } else {
        put_algorithm(request, XFRMA_ALG_CRYPT, &sa->cipher);
        put_algorithm(request, XFRMA_ALG_AUTH_TRUNC, &sa->mac);
    }
    if (sa->is_inbound || sa->has_esn)
        put_window(request, sa);
    mnl_attr_put(request, XFRMA_ENCAP, sizeof(encap), &encap);
    mnl_attr_put_u32(request, XFRMA_IF_ID, sa->number);
    return request;
}

int xfrm_sa_add(struct netlink *nl, const struct xfrm_sa *sa)
{
    if (!is_usable(sa))
        return ERR_INVALID;
    int error = netlink_request(nl, xfrm_build_sa(nl, sa));
    explicit_bzero(nl->request, sizeof(nl->request));
    return error;
}

static struct nlmsghdr *begin_id(struct netlink *nl, uint16_t type, const struct address *to,
                                 uint32_t spi)
{
    struct nlmsghdr *request = netlink_begin(nl, type, 0, sizeof(struct xfrm_usersa_id));
    struct xfrm_usersa_id *id = mnl_nlmsg_get_payload(request);
    put_ipv4(&id->daddr, to);
    id->spi = htonl(spi);
    id->family = AF_INET;
    id->proto = IPPROTO_ESP;
    return request;
}

int xfrm_sa_delete(struct netlink *nl, const struct address *to, uint32_t spi)
{
    int error = netlink_request(nl, begin_id(nl, XFRM_MSG_DELSA, to, spi));
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

int xfrm_take_counts(const struct nlmsghdr *message, void *ret_counts)
{
    const struct xfrm_usersa_info *info = mnl_nlmsg_get_payload(message);
    struct xfrm_counts *counts = ret_counts;
    if (message->nlmsg_type != XFRM_MSG_NEWSA || mnl_nlmsg_get_payload_len(message) < sizeof(*info))
        return ERR_INVALID;
    *counts = (struct xfrm_counts){.packets = info->curlft.packets,
                                   .bytes = info->curlft.bytes,
                                   .replayed = info->stats.replay + info->stats.replay_window,
                                   .altered = info->stats.integrity_failed};
    return ERR_OK;
}

int xfrm_sa_counts(struct netlink *nl, const struct address *to, uint32_t spi,
                   struct xfrm_counts *ret_counts)
{
    struct xfrm_counts counts = {0};
    int error = netlink_query(nl, begin_id(nl, XFRM_MSG_GETSA, to, spi), xfrm_take_counts, &counts);
    if (error == ERR_OK)
        *ret_counts = counts;
    return error;
}

/* ---- policies ---- */

struct nlmsghdr *xfrm_build_policy(struct netlink *nl, const struct xfrm_sa *sa)
{
    struct nlmsghdr *request =
        netlink_begin(nl, XFRM_MSG_UPDPOLICY, 0, sizeof(struct xfrm_userpolicy_info));
    struct xfrm_userpolicy_info *info = mnl_nlmsg_get_payload(request);
    struct xfrm_user_tmpl tmpl = {
        .id = {.spi = htonl(sa->spi), .proto = IPPROTO_ESP},
        .family = AF_INET,
        .reqid = sa->number,
        .mode = mode_of(sa->form),
        .aalgos = UINT32_MAX,
        .ealgos = UINT32_MAX,
        .calgos = UINT32_MAX,
    };
    put_selector(&info->sel, sa);
    put_lifetime(&info->lft, 0);
    info->dir = XFRM_POLICY_OUT;
    info->action = XFRM_POLICY_ALLOW;
    put_ipv4(&tmpl.id.daddr, &sa->to.address);
    put_ipv4(&tmpl.saddr, &sa->from.address);
    mnl_attr_put(request, XFRMA_TMPL, sizeof(tmpl), &tmpl);
    mnl_attr_put_u32(request, XFRMA_IF_ID, sa->number);
    return request;
}

int xfrm_policy_set(struct netlink *nl, const struct xfrm_sa *sa)
{
    return is_usable(sa) ? netlink_request(nl, xfrm_build_policy(nl, sa)) : ERR_INVALID;
}

static struct nlmsghdr *begin_policy_id(struct netlink *nl, const struct xfrm_selector *selector,
                                        uint8_t direction, uint32_t number)
{
    struct nlmsghdr *request =
        netlink_begin(nl, XFRM_MSG_DELPOLICY, 0, sizeof(struct xfrm_userpolicy_id));
    struct xfrm_userpolicy_id *id = mnl_nlmsg_get_payload(request);
    id->sel = *selector;
    id->dir = direction;
    mnl_attr_put_u32(request, XFRMA_IF_ID, number);
    return request;
}

int xfrm_policy_delete(struct netlink *nl, const struct xfrm_sa *sa)
{
    struct xfrm_selector selector = {0};
    put_selector(&selector, sa);
    int error = netlink_request(nl, begin_policy_id(nl, &selector, XFRM_POLICY_OUT, sa->number));
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

/* ---- what was left behind ---- */

uint32_t xfrm_number_of(const struct nlmsghdr *message)
{
    const size_t fixed = message->nlmsg_type == XFRM_MSG_NEWSA
                             ? sizeof(struct xfrm_usersa_info)
                             : sizeof(struct xfrm_userpolicy_info);
    const struct nlattr *attribute;
    if ((message->nlmsg_type != XFRM_MSG_NEWSA && message->nlmsg_type != XFRM_MSG_NEWPOLICY) ||
        mnl_nlmsg_get_payload_len(message) < fixed)
        return 0;
    mnl_attr_for_each(attribute, message, fixed)
    {
        if (mnl_attr_get_type(attribute) == XFRMA_IF_ID &&
            mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
            return mnl_attr_get_u32(attribute);
    }
    return 0;
}

struct leftovers {
    uint32_t first, last;
    size_t count;
    union {
        struct xfrm_usersa_info sas[FLUSH_BATCH];
        struct xfrm_userpolicy_info policies[FLUSH_BATCH];
    };
    uint32_t numbers[FLUSH_BATCH];
};

static int take_leftover(const struct nlmsghdr *message, void *context)
{
    struct leftovers *left = context;
    const uint32_t number = xfrm_number_of(message);
    if (number < left->first || number > left->last || left->count == FLUSH_BATCH)
        return ERR_OK;
    if (message->nlmsg_type == XFRM_MSG_NEWSA)
        memcpy(&left->sas[left->count], mnl_nlmsg_get_payload(message), sizeof(left->sas[0]));
    else
        memcpy(&left->policies[left->count], mnl_nlmsg_get_payload(message),
               sizeof(left->policies[0]));
    left->numbers[left->count++] = number;
    return ERR_OK;
}

static int collect(struct netlink *nl, uint16_t type, struct leftovers *left)
{
    left->count = 0;
    int error = netlink_query(nl, netlink_begin(nl, type, NLM_F_DUMP, 0), take_leftover, left);
    return error == ERR_AGAIN ? ERR_OK : error; /* what is missed shows in the next round */
}

static int delete_one(struct netlink *nl, uint16_t type, const struct leftovers *left, size_t i)
{
    int error;
    if (type == XFRM_MSG_GETSA) {
        const struct address to = address_from_ipv4(ntohl(left->sas[i].id.daddr.a4));
        return xfrm_sa_delete(nl, &to, ntohl(left->sas[i].id.spi));
    }
    error = netlink_request(
        nl, begin_policy_id(nl, &left->policies[i].sel, left->policies[i].dir, left->numbers[i]));
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

int xfrm_flush(struct netlink *nl, uint32_t first, uint32_t last)
{
    static const uint16_t types[] = {XFRM_MSG_GETPOLICY, XFRM_MSG_GETSA};
    struct leftovers left = {.first = first, .last = last};
    int error = ERR_OK;
    for (size_t t = 0; t < sizeof(types) / sizeof(types[0]) && error == ERR_OK; t++) {
        do {
            error = collect(nl, types[t], &left);
            for (size_t i = 0; i < left.count && error == ERR_OK; i++)
                error = delete_one(nl, types[t], &left, i);
        } while (error == ERR_OK && left.count == FLUSH_BATCH);
    }
    explicit_bzero(&left, sizeof(left));
    return error;
}
