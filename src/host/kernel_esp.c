/* Which tunnels' ESP the kernel does, and what follows from what happens to them. */
#include "host/kernel_esp.h"

#include "host/host.h"
#include "host/kernel_tunnel.h"
#include "host/peer.h"
#include "host/plain.h"
#include "io/route.h"
#include "io/xfrm_link.h"
#include <stdlib.h>
#include <string.h>

#define REASON_CAP 192
#define REFUSED    "the kernel has refused it"
#define REKEY_AT   ((uint64_t)1 << 31) /* numbers of 32 bits; see tunnel/esp.h */
#define SPARE_S    60
#define PROBE_SPI  0x0de7ec01
#define PROBE_MTU  1280
#define PROBE_LIFE 5 /* s: should nobody come to remove it */

struct kernel_esp {
    struct netlink xfrm;
    bool is_there;
    char reason[REASON_CAP]; /* why not */
    bool is_used[KERNEL_TUNNELS_MAX];
};

/* ---- what the kernel can ---- */

/* Interfaces even where SAs cannot be had. */
static int flush(struct netlink *xfrm, struct netlink *netlink)
{
    int error = xfrm_flush(xfrm, KERNEL_NUMBER_FIRST, KERNEL_NUMBER_LAST);
    int link_error = xfrm_link_flush(netlink, KERNEL_NUMBER_FIRST, KERNEL_NUMBER_LAST);
    return error != ERR_OK ? error : link_error;
}

int kernel_esp_cleanup(struct netlink *netlink)
{
    struct netlink xfrm;
    int error = netlink_open(&xfrm, NETLINK_XFRM);
    if (error == ERR_UNSUPPORTED)
        return ERR_OK; /* a kernel without it keeps nothing */
    if (error == ERR_OK)
        error = flush(&xfrm, netlink);
    if (error != ERR_OK)
        log_error("ESP in the kernel: what was left cannot be removed: %s; %s",
                  netlink_error(&xfrm), netlink_error(netlink));
    netlink_close(&xfrm);
    return error;
}

/* All that a tunnel needs, between addresses for documentation (RFC 5737), and away again. */
static int try_form(struct host *host, enum child_mode mode)
{
    struct kernel_terms terms = {.own = host->own, .mode = mode};
    struct ike_event_child_ready child = {.child = 1,
                                          .suite = ESP_AES128_GCM,
                                          .key_len = suite_key_len(ESP_AES128_GCM),
                                          .spi_in = PROBE_SPI,
                                          .spi_out = PROBE_SPI,
                                          .has_esn = true};
    struct kernel_tunnel *tunnel;
    terms.local = terms.wire_own = terms.remote_peer = address_from_ipv4(0xC0000201);
    terms.remote.address = terms.wire_peer = terms.remote_own = address_from_ipv4(0xC6336401);
    terms.remote.port = 4500;
    terms.peer = terms.remote.address;
    int error =
        kernel_tunnel_new(host, &host->kernel->xfrm, KERNEL_NUMBER_LAST, &terms, NULL, &tunnel);
    if (error != ERR_OK)
        return error;
    error = kernel_tunnel_add(tunnel, &child, PROBE_LIFE);
    if (error == ERR_OK)
        error = kernel_tunnel_set_outbound(tunnel, 1, PROBE_MTU);
    kernel_tunnel_free(tunnel);
    return error;
}

static void try_out(struct host *host)
{
    static const enum child_mode modes[] = {CHILD_TUNNEL, CHILD_TRANSPORT};
    struct kernel_esp *kernel = host->kernel;
    struct netlink *talker = &kernel->xfrm;
    int error = netlink_open(&kernel->xfrm, NETLINK_XFRM);
    if (error == ERR_OK)
        error = flush(&kernel->xfrm, &host->netlink);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]) && error == ERR_OK; i++)
        error = try_form(host, modes[i]);
    kernel->is_there = error == ERR_OK;
    if (error == ERR_OK)
        return;
    if (kernel->xfrm.error_number == 0)
        talker = &host->netlink;
    snprintf(kernel->reason, sizeof(kernel->reason),
             "the kernel lacks ESP, XFRM interfaces or traffic control (%s)",
             netlink_error(talker));
}

int kernel_esp_open(struct host *host)
{
    const enum esp_offload mode = host->config.esp_offload;
    host->kernel = calloc(1, sizeof(*host->kernel));
    if (host->kernel == NULL)
        return ERR_NOMEM;
    if (mode == ESP_OFFLOAD_OFF) {
        snprintf(host->kernel->reason, sizeof(host->kernel->reason), "esp-offload = off");
        (void)!kernel_esp_cleanup(&host->netlink); /* of one that was not off, and was killed */
        return ERR_OK;
    }
    try_out(host);
    if (host->kernel->is_there || mode == ESP_OFFLOAD_AUTO)
        return ERR_OK;
    log_error("%s: [host] esp-offload = kernel: %s; `auto` does ESP in user space then",
              host->config.file, host->kernel->reason);
    return ERR_UNSUPPORTED;
}

void kernel_esp_close(struct host *host)
{
    if (host->kernel == NULL)
        return;
    netlink_close(&host->kernel->xfrm);
    free(host->kernel);
    host->kernel = NULL;
}

/* ---- which tunnels ---- */

/* No selectors, or just this address with all that it may carry. */
static bool is_single(const struct selectors *selectors, const struct address *address)
{
    const struct ike_selector *only = &selectors->list[0];
    return selectors->count == 0 ||
           (selectors->count == 1 && selectors_hold(selectors, address) &&
            address_is_equal(&only->first, address) && address_is_equal(&only->last, address));
}

static const char *why_not(const struct peer *peer, const struct ike_event_child_ready *child)
{
    const struct kernel_esp *kernel = peer->host->kernel;
    struct xfrm_sa sa = {0};
    if (kernel == NULL || !kernel->is_there)
        return kernel != NULL ? kernel->reason : "it is not there yet";
    if (!suite_is_esp(child->suite) || peer->plain == NULL)
        return "only tunnels to plain IPsec peers go there";
    if (peer->sa == NULL)
        return "IKEv1's do not go there";
    if (!is_single(&child->selectors.own, &child->own_addresses.own_ipv4) ||
        !is_single(&child->selectors.peer, &child->own_addresses.other_ipv4))
        return "networks behind the peer do not go there";
    if (peer->path.address.family != ADDRESS_IPV4 || peer->path.socket != HOST_SOCKET_NAT)
        return "only ESP in UDP over IPv4 goes there";
    if (child->own_addresses.own_ipv6.family != ADDRESS_NONE ||
        child->own_addresses.own_ipv4.family != ADDRESS_IPV4 ||
        child->own_addresses.other_ipv4.family != ADDRESS_IPV4 ||
        child->peer_addresses.own_ipv4.family != ADDRESS_IPV4 ||
        child->peer_addresses.other_ipv4.family != ADDRESS_IPV4)
        return "only IPv4 inside goes there";
    if (kernel_suite(child->suite, child->key_in, &sa) != ERR_OK)
        return "the kernel has no such suite";
    explicit_bzero(&sa, sizeof(sa));
    return NULL;
}

/* ERR_NOT_FOUND: no route at this moment; all but `local` is there. */
static int describe(const struct peer *peer, const struct ike_event_child_ready *child,
                    struct kernel_terms *ret_terms)
{
    struct route_lookup lookup;
    int error = route_lookup(&peer->host->netlink, &peer->path.address, HOST_MARK, &lookup);
    *ret_terms = (struct kernel_terms){
        .own = peer->host->own,
        .peer = peer->address,
        .wire_own = child->own_addresses.own_ipv4,
        .wire_peer = child->own_addresses.other_ipv4,
        .remote_own = child->peer_addresses.own_ipv4,
        .remote_peer = child->peer_addresses.other_ipv4,
        .remote = peer->path,
        .mode = child->mode,
    };
    if (error != ERR_OK || lookup.is_unreachable || lookup.source.family != ADDRESS_IPV4)
        return ERR_NOT_FOUND;
    ret_terms->local = lookup.source;
    return ERR_OK;
}

static bool is_same(const struct kernel_terms *a, const struct kernel_terms *b)
{
    return address_is_equal(&a->wire_own, &b->wire_own) &&
           address_is_equal(&a->wire_peer, &b->wire_peer) &&
           address_is_equal(&a->remote_own, &b->remote_own) &&
           address_is_equal(&a->remote_peer, &b->remote_peer) &&
           address_is_equal(&a->local, &b->local) && endpoint_is_equal(&a->remote, &b->remote) &&
           a->mode == b->mode;
}

static int make(struct peer *peer, const struct kernel_terms *terms)
{
    struct host *host = peer->host;
    const struct udp *beside = sockets_find(host, HOST_SOCKET_NAT);
    size_t i = 0;
    while (i < KERNEL_TUNNELS_MAX && host->kernel->is_used[i])
        i++;
    if (i == KERNEL_TUNNELS_MAX || beside == NULL)
        return ERR_FULL;
    int error = kernel_tunnel_new(host, &host->kernel->xfrm, KERNEL_NUMBER_FIRST + (uint32_t)i,
                                  terms, beside, &peer->kernel);
    host->kernel->is_used[i] = error == ERR_OK;
    return error;
}

static void let_go(struct peer *peer)
{
    if (peer->kernel == NULL)
        return;
    peer->host->kernel->is_used[peer->kernel->number - KERNEL_NUMBER_FIRST] = false;
    kernel_tunnel_free(peer->kernel);
    peer->kernel = NULL;
}

static int add(struct peer *peer, const struct ike_event_child_ready *child)
{
    const uint64_t lifetime_s = 2 * plain_rekey_us(peer->plain) / SECOND_US + SPARE_S;
    struct kernel_terms terms;
    int error = describe(peer, child, &terms);
    /* Without a route just now the local address stays as it was; a new one is noticed later. */
    if (error == ERR_NOT_FOUND && peer->kernel != NULL) {
        terms.local = peer->kernel->terms.local;
        error = ERR_OK;
    }
    /* What the new child says of addresses holds for all: those before it are about to go. */
    if (error == ERR_OK && peer->kernel != NULL && !is_same(&terms, &peer->kernel->terms))
        let_go(peer);
    if (error == ERR_OK && peer->kernel == NULL)
        error = make(peer, &terms);
    if (error == ERR_OK)
        error = kernel_tunnel_add(peer->kernel, child, lifetime_s);
    if (error != ERR_OK)
        log_warn("%s: ESP in the kernel cannot be set up: %s (%s; %s)", peer->name,
                 error_text(error), netlink_error(&peer->host->kernel->xfrm),
                 netlink_error(&peer->host->netlink));
    return error;
}

bool kernel_esp_take(struct peer *peer, const struct ike_event_child_ready *child)
{
    peer->is_kernel_lost = false;
    peer->kernel_why = peer->is_kernel_refused ? REFUSED : why_not(peer, child);
    if (peer->kernel_why == NULL && add(peer, child) == ERR_OK)
        return true;
    if (peer->kernel_why == NULL)
        peer->kernel_why = REFUSED; /* this time */
    /* Its socket would keep the new child's datagrams from user space. */
    let_go(peer);
    return false;
}

/* ---- what happens to them ---- */

void kernel_esp_set_outbound(struct peer *peer, uint64_t child)
{
    if (peer->kernel == NULL || kernel_tunnel_find(peer->kernel, child) == NULL)
        return;
    if (kernel_tunnel_set_outbound(peer->kernel, child, tunnel_mtu(peer->tunnel)) == ERR_OK) {
        peer->is_kernel_lost = false;
        return;
    }
    /* Nothing leaves with these keys, in any other way neither: new ones are user space's. */
    log_error("%s: the kernel does not send with its new keys (%s; %s)", peer->name,
              netlink_error(&peer->host->kernel->xfrm), netlink_error(&peer->host->netlink));
    let_go(peer);
    peer->is_kernel_refused = peer->is_kernel_lost = true;
    peer->kernel_why = REFUSED;
}

void kernel_esp_drop(struct peer *peer, uint64_t child)
{
    if (peer->kernel != NULL)
        kernel_tunnel_drop(peer->kernel, child);
}

void kernel_esp_down(struct peer *peer)
{
    let_go(peer);
    peer->is_kernel_refused = peer->is_kernel_lost = false;
}

/* The keys stay where they were used: what a key has numbered, nobody may number again. */
static void renew(struct peer *peer, uint64_t now_us)
{
    if (peer->sa == NULL)
        return;
    (void)!ike_sa_rekey_child(peer->sa);
    host_pump_ike(peer->host, peer->sa, now_us);
}

static bool has_moved(const struct peer *peer)
{
    const struct kernel_terms *terms = &peer->kernel->terms;
    struct route_lookup lookup;
    if (!endpoint_is_equal(&peer->path, &terms->remote))
        return true;
    return route_lookup(&peer->host->netlink, &peer->path.address, HOST_MARK, &lookup) == ERR_OK &&
           !lookup.is_unreachable && lookup.source.family == ADDRESS_IPV4 &&
           !address_is_equal(&lookup.source, &terms->local);
}

void kernel_esp_on_path(struct peer *peer, uint64_t now_us)
{
    if (peer->kernel == NULL || !has_moved(peer))
        return;
    log_info("%s: its ESP in the kernel gets new keys for the new path", peer->name);
    let_go(peer);
    peer->is_kernel_lost = true;
    renew(peer, now_us);
}

static bool count(struct peer *peer, struct kernel_child *child, uint64_t now_us)
{
    struct netlink *xfrm = &peer->host->kernel->xfrm;
    struct xfrm_counts in, out;
    if (xfrm_sa_counts(xfrm, &child->in.to.address, child->in.spi, &in) != ERR_OK ||
        xfrm_sa_counts(xfrm, &child->out.to.address, child->out.spi, &out) != ERR_OK)
        return false;
    tunnel_add_counts(peer->tunnel, in.packets - child->seen_in.packets,
                      in.bytes - child->seen_in.bytes, out.packets - child->seen_out.packets,
                      out.bytes - child->seen_out.bytes, now_us);
    child->seen_in = in;
    child->seen_out = out;
    return true;
}

void kernel_esp_count(struct peer *peer, uint64_t now_us)
{
    for (size_t i = 0; peer->kernel != NULL && i < KERNEL_CHILDREN_MAX; i++) {
        if (peer->kernel->children[i].id != 0)
            (void)count(peer, &peer->kernel->children[i], now_us);
    }
}

/* Routers tell the kernel, as the datagrams are its own. */
static void fit(struct peer *peer)
{
    const struct udp *beside = sockets_find(peer->host, HOST_SOCKET_NAT);
    struct tunnel_status status;
    uint32_t known;
    tunnel_get_status(peer->tunnel, &status);
    uint32_t mtu = status.path_mtu;
    if (beside != NULL && udp_path_mtu(beside, &peer->path, &known) == ERR_OK && known < mtu)
        mtu = known;
    if (kernel_tunnel_set_mtu(peer->kernel, translate_mtu(mtu, status.suite, ADDRESS_IPV4)) !=
        ERR_OK)
        log_warn("%s: its MTU cannot be set: %s", peer->name, netlink_error(&peer->host->netlink));
}

void kernel_esp_watch(struct peer *peer, uint64_t now_us)
{
    bool is_due = peer->is_kernel_lost && peer->kernel == NULL;
    for (size_t i = 0; peer->kernel != NULL && i < KERNEL_CHILDREN_MAX; i++) {
        struct kernel_child *child = &peer->kernel->children[i];
        if (child->id == 0)
            continue;
        const bool is_outbound = peer->kernel->outbound == child->id;
        if (!count(peer, child, now_us) && is_outbound) {
            log_warn("%s: its SAs have gone from the kernel", peer->name);
            is_due = true;
        }
        is_due = is_due || (is_outbound && child->seen_out.packets >= REKEY_AT);
    }
    if (peer->kernel != NULL && peer->kernel->outbound != 0)
        fit(peer);
    if (is_due)
        renew(peer, now_us);
    else
        kernel_esp_on_path(peer, now_us);
}

bool kernel_esp_send(const struct peer *peer, const uint8_t *data, size_t len)
{
    struct packet packet;
    if (peer->kernel == NULL || peer->kernel->outbound == 0)
        return false;
    packet_reset(&packet);
    if (len > packet_tailroom(&packet))
        return true;
    memcpy(packet.data, data, len);
    packet.len = (uint32_t)len;
    (void)!tun_write(&peer->host->tun, &packet);
    return true;
}

/* ---- reports ---- */

json_t *kernel_esp_report(const struct host *host)
{
    static const char *const modes[] = {
        [ESP_OFFLOAD_AUTO] = "auto",
        [ESP_OFFLOAD_KERNEL] = "kernel",
        [ESP_OFFLOAD_OFF] = "off",
    };
    const struct kernel_esp *kernel = host->kernel;
    const bool is_there = kernel != NULL && kernel->is_there;
    return json_pack("{s:s, s:b, s:o}", "mode", modes[host->config.esp_offload], "is_active",
                     is_there, "reason",
                     is_there || kernel == NULL ? json_null() : json_string(kernel->reason));
}

json_t *kernel_esp_report_peer(const struct peer *peer)
{
    const bool is_there = peer->kernel != NULL;
    return json_pack("{s:b, s:o}", "is_active", is_there, "reason",
                     is_there || peer->kernel_why == NULL ? json_null()
                                                          : json_string(peer->kernel_why));
}
