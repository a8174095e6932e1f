/* Installing a tunnel in the kernel, and removing it. */
#include "host/kernel_tunnel.h"

#include "host/host.h"
#include "io/clock.h"
#include "io/divert.h"
#include "io/route.h"
#include "io/xfrm_link.h"
#include "tunnel/replay.h"
#include "wire/demux.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINK_MTU      4000 /* the largest `mtu`; what fits on the path is the kernel's to know */
#define INWARDS       1    /* priorities of its interface's filters */
#define INWARDS_REST  2
#define RECEIVE_TURNS 16

static void fill(struct xfrm_algorithm *algorithm, const char *name, const uint8_t *key,
                 size_t key_len, uint32_t tag_bits)
{
    snprintf(algorithm->name, sizeof(algorithm->name), "%s", name);
    memcpy(algorithm->key, key, key_len);
    algorithm->key_len = key_len;
    algorithm->tag_bits = tag_bits;
}

int kernel_suite(enum suite suite, const uint8_t *key, struct xfrm_sa *sa)
{
    const size_t key_len = suite_key_len(suite);
    const size_t cipher_len = key_len - SUITE_ESP_MAC_KEY_LEN;
    switch (suite) {
    case ESP_AES128_GCM:
    case ESP_AES256_GCM:
        fill(&sa->aead, "rfc4106(gcm(aes))", key, key_len, 128);
        return ERR_OK;
    case ESP_CHACHA20_POLY1305:
        fill(&sa->aead, "rfc7539esp(chacha20,poly1305)", key, key_len, 128);
        return ERR_OK;
    case ESP_AES128_CBC_SHA256:
    case ESP_AES256_CBC_SHA256:
        fill(&sa->cipher, "cbc(aes)", key, cipher_len, 0);
        break;
    case ESP_AES128_CTR_SHA256:
    case ESP_AES256_CTR_SHA256:
        fill(&sa->cipher, "rfc3686(ctr(aes))", key, cipher_len, 0);
        break;
    default:
        return ERR_UNSUPPORTED;
    }
    fill(&sa->mac, "hmac(sha256)", key + cipher_len, SUITE_ESP_MAC_KEY_LEN, 128);
    return ERR_OK;
}

/* ---- its socket ---- */

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct kernel_tunnel *tunnel = poll->data;
    struct host *host = tunnel->host;
    struct packet storage, *packet = &storage;
    unsigned count;
    if (status < 0)
        (void)!uv_poll_start(&tunnel->poll, UV_READABLE, on_readable);
    for (int turn = 0; turn < RECEIVE_TURNS; turn++) {
        packet_reset(packet);
        if (udp_receive_batch(&tunnel->udp, &packet, 1, &count) != ERR_OK)
            return;
        packet->peer.socket = HOST_SOCKET_NAT;
        if (datagram_classify(packet->data, packet->len) != DATAGRAM_IKE)
            continue;
        host_take_ike(host, packet->data + DEMUX_MARKER_LEN, packet->len - DEMUX_MARKER_LEN,
                      &packet->peer, clock_now_us());
        if (uv_is_closing((uv_handle_t *)poll))
            return; /* what came has ended it */
    }
}

static int open_socket(struct kernel_tunnel *tunnel, const struct udp *beside)
{
    struct host *host = tunnel->host;
    int error =
        udp_open_encapsulated(beside, &tunnel->terms.local, &tunnel->terms.remote, &tunnel->udp);
    if (error != ERR_OK)
        return error;
    if (uv_poll_init(host_loop(host), &tunnel->poll, tunnel->udp.fd) != 0)
        return ERR_IO;
    tunnel->poll.data = tunnel;
    return uv_poll_start(&tunnel->poll, UV_READABLE, on_readable) == 0 ? ERR_OK : ERR_IO;
}

/* ---- life ---- */

static uint16_t priority_of(const struct kernel_tunnel *tunnel)
{
    return (uint16_t)(tunnel->number - KERNEL_NUMBER_FIRST + 1);
}

/* What its SAs open comes in by the TUN, from the peer's address to ours; the rest never comes in.
 */
static int divert_inwards(const struct kernel_tunnel *tunnel)
{
    struct netlink *nl = &tunnel->host->netlink;
    const struct kernel_terms *terms = &tunnel->terms;
    const struct divert divert = {
        .link = tunnel->link,
        .is_inbound = true,
        .priority = INWARDS,
        .from = terms->remote_own,
        .to = terms->remote_peer,
        .new_from = terms->peer,
        .new_to = terms->own,
        .is_plain = true, /* a source route would be the peer's to choose */
        .makes_anew = terms->mode == CHILD_TRANSPORT, /* see translation.recomputes */
        .target = tunnel->host->tun.link,
    };
    int error = divert_open(nl, tunnel->link);
    if (error == ERR_OK)
        error = divert_drop_rest(nl, tunnel->link, INWARDS_REST);
    return error == ERR_OK ? divert_add(nl, &divert) : error;
}

int kernel_tunnel_new(struct host *host, struct netlink *xfrm, uint32_t number,
                      const struct kernel_terms *terms, const struct udp *beside,
                      struct kernel_tunnel **ret_tunnel)
{
    char name[HOST_INTERFACE_CAP];
    struct kernel_tunnel *tunnel = calloc(1, sizeof(*tunnel));
    if (tunnel == NULL)
        return ERR_NOMEM;
    *tunnel = (struct kernel_tunnel){
        .host = host, .xfrm = xfrm, .number = number, .terms = *terms, .udp.fd = -1};
    snprintf(name, sizeof(name), "detec-esp%u", number - KERNEL_NUMBER_FIRST);
    int error = xfrm_link_add(&host->netlink, name, number, LINK_MTU, &tunnel->link);
    if (error == ERR_OK)
        error = divert_inwards(tunnel);
    if (error == ERR_OK)
        error = divert_open(&host->netlink, host->tun.link);
    if (error == ERR_OK)
        error = xfrm_link_trust(&host->netlink, host->tun.link);
    if (error == ERR_OK && beside != NULL)
        error = open_socket(tunnel, beside);
    if (error != ERR_OK) {
        kernel_tunnel_free(tunnel);
        return error;
    }
    *ret_tunnel = tunnel;
    return ERR_OK;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static struct route route_of(const struct kernel_tunnel *tunnel)
{
    return (struct route){.to = {.address = tunnel->terms.peer, .bits = 32},
                          .table = HOST_TABLE,
                          .link = tunnel->host->tun.link,
                          .source = tunnel->terms.own,
                          .kind = ROUTE_UNICAST};
}

static void note(const struct kernel_tunnel *tunnel, int error, const char *what)
{
    if (error != ERR_OK)
        log_warn("ESP in the kernel: %s could not be removed: %s", what, error_text(error));
}

static void stop_diverting(struct kernel_tunnel *tunnel)
{
    struct netlink *nl = &tunnel->host->netlink;
    const struct kernel_child *child = kernel_tunnel_find(tunnel, tunnel->outbound);
    const struct route route = route_of(tunnel);
    if (tunnel->outbound == 0)
        return;
    tunnel->outbound = 0;
    for (int is_inbound = 0; is_inbound < 2; is_inbound++)
        note(tunnel, divert_remove(nl, tunnel->host->tun.link, is_inbound, priority_of(tunnel)),
             "a filter");
    note(tunnel, route_delete(nl, &route), "a route");
    if (child != NULL)
        note(tunnel, xfrm_policy_delete(tunnel->xfrm, &child->out), "a policy");
}

void kernel_tunnel_free(struct kernel_tunnel *tunnel)
{
    if (tunnel == NULL)
        return;
    stop_diverting(tunnel);
    for (size_t i = 0; i < KERNEL_CHILDREN_MAX; i++)
        kernel_tunnel_drop(tunnel, tunnel->children[i].id);
    if (tunnel->link != 0)
        note(tunnel, xfrm_link_delete(&tunnel->host->netlink, tunnel->link), "an interface");
    if (tunnel->poll.data != NULL) {
        uv_poll_stop(&tunnel->poll);
        uv_close((uv_handle_t *)&tunnel->poll, on_closed);
        udp_close(&tunnel->udp);
        return;
    }
    udp_close(&tunnel->udp);
    free(tunnel);
}

/* ---- children ---- */

struct kernel_child *kernel_tunnel_find(struct kernel_tunnel *tunnel, uint64_t child)
{
    for (size_t i = 0; i < KERNEL_CHILDREN_MAX && child != 0; i++) {
        if (tunnel->children[i].id == child)
            return &tunnel->children[i];
    }
    return NULL;
}

static void describe(const struct kernel_tunnel *tunnel, const struct ike_event_child_ready *child,
                     uint64_t lifetime_s, struct xfrm_sa *in, struct xfrm_sa *out)
{
    const struct kernel_terms *terms = &tunnel->terms;
    const struct endpoint own = {.address = terms->local, .port = tunnel->udp.port};
    *in = (struct xfrm_sa){
        .from = terms->remote,
        .to = own,
        .spi = child->spi_in,
        .number = tunnel->number,
        .form = terms->mode == CHILD_TUNNEL ? XFRM_FORM_TUNNEL : XFRM_FORM_BEET,
        .inner_from = terms->remote_own,
        .inner_to = terms->remote_peer,
        .has_esn = child->has_esn,
        .is_inbound = true,
        .window = REPLAY_WINDOW_DEFAULT,
        .lifetime_s = lifetime_s,
    };
    *out = *in;
    out->from = own;
    out->to = terms->remote;
    out->spi = child->spi_out;
    out->inner_from = terms->wire_own;
    out->inner_to = terms->wire_peer;
    out->is_inbound = false;
}

static void wipe_keys(struct xfrm_sa *sa)
{
    explicit_bzero(&sa->aead, sizeof(sa->aead));
    explicit_bzero(&sa->cipher, sizeof(sa->cipher));
    explicit_bzero(&sa->mac, sizeof(sa->mac));
}

int kernel_tunnel_add(struct kernel_tunnel *tunnel, const struct ike_event_child_ready *child,
                      uint64_t lifetime_s)
{
    struct kernel_child *place = NULL;
    for (size_t i = 0; i < KERNEL_CHILDREN_MAX && place == NULL; i++) {
        if (tunnel->children[i].id == 0)
            place = &tunnel->children[i];
    }
    if (place == NULL)
        return ERR_FULL;
    *place = (struct kernel_child){0};
    describe(tunnel, child, lifetime_s, &place->in, &place->out);
    int error = kernel_suite((enum suite)child->suite, child->key_in, &place->in);
    if (error == ERR_OK)
        error = kernel_suite((enum suite)child->suite, child->key_out, &place->out);
    if (error == ERR_OK)
        error = xfrm_sa_add(tunnel->xfrm, &place->in);
    if (error == ERR_OK) {
        error = xfrm_sa_add(tunnel->xfrm, &place->out);
        if (error != ERR_OK)
            note(tunnel, xfrm_sa_delete(tunnel->xfrm, &place->in.to.address, place->in.spi),
                 "an SA");
    }
    wipe_keys(&place->in);
    wipe_keys(&place->out);
    if (error == ERR_OK)
        place->id = child->child;
    return error;
}

int kernel_tunnel_set_mtu(struct kernel_tunnel *tunnel, uint32_t mtu)
{
    struct route route = route_of(tunnel);
    route.mtu = mtu;
    if (mtu == tunnel->mtu)
        return ERR_OK;
    tunnel->mtu = mtu;
    return route_set(&tunnel->host->netlink, &route);
}

/* What programs send; and what detecd has kept of that until there were keys, which it writes into
 * the TUN. */
static int start_diverting(struct kernel_tunnel *tunnel, uint32_t mtu)
{
    const struct kernel_terms *terms = &tunnel->terms;
    struct netlink *nl = &tunnel->host->netlink;
    struct divert divert = {
        .link = tunnel->host->tun.link,
        .priority = priority_of(tunnel),
        .from = terms->own,
        .to = terms->peer,
        .new_from = terms->wire_own,
        .new_to = terms->wire_peer,
        .is_bare = terms->mode != CHILD_TUNNEL,
        .target = tunnel->link,
    };
    int error = kernel_tunnel_set_mtu(tunnel, mtu);
    if (error == ERR_OK)
        error = divert_add(nl, &divert);
    divert.is_inbound = divert.is_turned = true;
    return error == ERR_OK ? divert_add(nl, &divert) : error;
}

int kernel_tunnel_set_outbound(struct kernel_tunnel *tunnel, uint64_t id, uint32_t mtu)
{
    const struct kernel_child *child = kernel_tunnel_find(tunnel, id);
    if (child == NULL)
        return ERR_NOT_FOUND;
    int error = xfrm_policy_set(tunnel->xfrm, &child->out);
    if (error == ERR_OK && tunnel->outbound == 0)
        error = start_diverting(tunnel, mtu);
    tunnel->outbound = id; /* to be removed, whatever there is of it */
    return error;
}

void kernel_tunnel_drop(struct kernel_tunnel *tunnel, uint64_t id)
{
    struct kernel_child *child = kernel_tunnel_find(tunnel, id);
    if (child == NULL)
        return;
    if (tunnel->outbound == id)
        stop_diverting(tunnel);
    note(tunnel, xfrm_sa_delete(tunnel->xfrm, &child->in.to.address, child->in.spi), "an SA");
    note(tunnel, xfrm_sa_delete(tunnel->xfrm, &child->out.to.address, child->out.spi), "an SA");
    child->id = 0;
}
