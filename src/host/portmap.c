/* Port mapping: which gateway, which protocol, and the sockets for it. */
#include "host/portmap.h"

#include "crypto/hash.h"
#include "crypto/memory.h"
#include "host/host.h"
#include "host/upnp.h"
#include "io/clock.h"
#include "io/gateway_socket.h"
#include "io/route.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The anycast address of PCP servers (RFC 7723): no network is there, so the way to it is the
 * default route. */
static const struct address FAR_AWAY = {ADDRESS_IPV4, {192, 0, 0, 9}};
static const struct endpoint ANNOUNCEMENTS = {{ADDRESS_IPV4, {224, 0, 0, 1}}, PCP_ANNOUNCE_PORT};

/* A socket in the loop. Lives until the loop has let go of it. */
struct link {
    uv_poll_t poll;
    int fd;
    struct portmap *portmap;
};

struct portmap {
    struct host *host;
    struct endpoint gateway; /* port 0: none is known, or none is needed */
    struct address local;    /* of ours, towards it */
    struct mapping *mapping; /* NULL: without a gateway */
    struct task task;
    struct link *gateway_link, *announce_link;
    struct upnp upnp;
    bool is_stopping;
    struct endpoint told; /* by the log */
};

/* ---- sockets ---- */

static void on_link_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void link_close(struct link **link)
{
    if (*link == NULL)
        return;
    uv_close((uv_handle_t *)&(*link)->poll, on_link_closed);
    close((*link)->fd);
    *link = NULL;
}

/* Consumes fd. NULL on failure. */
static struct link *link_open(struct portmap *portmap, int fd, uv_poll_cb callback)
{
    struct link *link = calloc(1, sizeof(*link));
    if (link == NULL || uv_poll_init(host_loop(portmap->host), &link->poll, fd) != 0) {
        close(fd);
        free(link);
        return NULL;
    }
    link->fd = fd;
    link->portmap = portmap;
    link->poll.data = link;
    if (uv_poll_start(&link->poll, UV_READABLE, callback) != 0)
        link_close(&link);
    return link;
}

/* ---- what is mapped ---- */

static enum mapping_protocol mapped(const struct portmap *portmap, struct endpoint *ret_external,
                                    uint64_t *ret_expires_us)
{
    struct mapping_status status = {0};
    if (portmap->mapping != NULL)
        mapping_get_status(portmap->mapping, &status);
    if (status.is_mapped) {
        *ret_external = status.external;
        *ret_expires_us = status.expires_us;
        return status.protocol;
    }
    if (portmap->mapping != NULL && portmap->upnp.is_wanted && portmap->upnp.is_mapped) {
        *ret_external = portmap->upnp.external;
        *ret_expires_us = portmap->upnp.expires_us;
        return MAPPING_UPNP;
    }
    return MAPPING_NONE;
}

/* Neither this host nor what it sits behind has a public address there: one more NAT follows. */
static bool is_usable(const struct endpoint *external)
{
    return !address_is_private(&external->address);
}

static void tell(struct portmap *portmap)
{
    struct endpoint external = {0};
    uint64_t expires_us;
    char text[ENDPOINT_TEXT_CAP], gateway[ADDRESS_TEXT_CAP];
    enum mapping_protocol protocol = mapped(portmap, &external, &expires_us);
    if (endpoint_is_equal(&external, &portmap->told) || portmap->is_stopping)
        return;
    portmap->told = external;
    address_format(&portmap->gateway.address, gateway, sizeof(gateway));
    if (protocol == MAPPING_NONE)
        log_info("port mapping: lost");
    else
        log_info("port mapping: %s by %s at %s%s", endpoint_format(&external, text, sizeof(text)),
                 mapping_protocol_text(protocol), gateway,
                 is_usable(&external) ? "" : "; of no use, as that is a private address itself");
}

/* ---- PCP and NAT-PMP ---- */

static void pump(struct portmap *portmap, uint64_t now_us)
{
    uint8_t datagram[MAPPING_DATAGRAM_CAP];
    struct writer w;
    struct mapping_event event;
    struct mapping_status status;
    if (portmap->mapping == NULL)
        return;
    writer_init(&w, datagram, sizeof(datagram));
    while (mapping_transmit(portmap->mapping, &w, now_us) == ERR_OK) {
        /* The error of an earlier one takes this one's place: once more. */
        if (gateway_socket_send(portmap->gateway_link->fd, datagram, w.len) == ERR_REFUSED) {
            mapping_refused(portmap->mapping, now_us);
            (void)!gateway_socket_send(portmap->gateway_link->fd, datagram, w.len);
        }
        writer_init(&w, datagram, sizeof(datagram));
    }
    bool is_changed = false;
    while (mapping_next_event(portmap->mapping, &event))
        is_changed = true;
    mapping_get_status(portmap->mapping, &status);
    if (is_changed && !portmap->is_stopping) {
        if (status.is_mapped)
            upnp_stop(&portmap->upnp, now_us);
        else if (status.error[0] != '\0')
            upnp_start(&portmap->upnp, &portmap->gateway.address, &portmap->local, now_us);
        tell(portmap);
    }
    task_set(&portmap->host->tasks, &portmap->task, mapping_deadline(portmap->mapping));
}

static void on_task(struct task *task, uint64_t now_us)
{
    struct portmap *portmap = CONTAINER_OF(task, struct portmap, task);
    if (portmap->mapping != NULL)
        mapping_expire(portmap->mapping, now_us);
    pump(portmap, now_us);
}

static void on_answer(uv_poll_t *poll, int status, int events)
{
    struct link *link = poll->data;
    struct portmap *portmap = link->portmap;
    uint64_t now_us = clock_now_us();
    uint8_t message[PCP_MESSAGE_CAP + 1];
    size_t len;
    int error;
    while ((error = gateway_socket_receive(link->fd, message, sizeof(message), &len)) == ERR_OK) {
        int result = mapping_receive(portmap->mapping, message, len, &portmap->gateway, now_us);
        if (result != ERR_OK)
            log_debug("port mapping: an answer is of no use: %s", error_text(result));
    }
    if (error == ERR_REFUSED)
        mapping_refused(portmap->mapping, now_us);
    pump(portmap, now_us);
}

static void on_announcement(uv_poll_t *poll, int status, int events)
{
    struct link *link = poll->data;
    struct portmap *portmap = link->portmap;
    uint64_t now_us = clock_now_us();
    uint8_t message[PCP_MESSAGE_CAP + 1];
    struct endpoint from;
    size_t len;
    while (announce_socket_receive(link->fd, message, sizeof(message), &len, &from) == ERR_OK)
        (void)!mapping_announced(portmap->mapping, message, len, &from, now_us);
    pump(portmap, now_us);
}

static void on_upnp(struct upnp *upnp, uint64_t now_us)
{
    struct portmap *portmap = CONTAINER_OF(upnp, struct portmap, upnp);
    if (upnp->error[0] != '\0')
        log_debug("port mapping: %s", upnp->error);
    tell(portmap);
}

/* ---- the gateway ---- */

/* The same for the same host, gateway and port, after a restart too, and nobody else's to know: the
 * gateway then takes a restarted daemon for the mapping's owner. */
static int derive_nonce(const struct portmap *portmap, uint8_t ret_nonce[PCP_NONCE_LEN])
{
    static const char label[] = "detec port mapping nonce";
    uint8_t message[sizeof(label) + 8 + 2], signature[SIGNATURE_LEN], digest[SHA256_LEN];
    const uint16_t port = portmap->host->config.port;
    memcpy(message, label, sizeof(label));
    memcpy(message + sizeof(label), portmap->gateway.address.bytes, 4);
    memcpy(message + sizeof(label) + 4, portmap->local.bytes, 4);
    message[sizeof(label) + 8] = (uint8_t)(port >> 8);
    message[sizeof(label) + 9] = (uint8_t)port;
    int error = identity_sign(portmap->host->identity, message, sizeof(message), signature);
    const struct piece piece = {signature, sizeof(signature)};
    if (error == ERR_OK)
        error = sha256(&piece, 1, digest);
    if (error == ERR_OK)
        memcpy(ret_nonce, digest, PCP_NONCE_LEN);
    crypto_wipe(signature, sizeof(signature));
    crypto_wipe(digest, sizeof(digest));
    return error;
}

static void leave_gateway(struct portmap *portmap, uint64_t now_us)
{
    if (portmap->mapping != NULL) {
        /* One try: it may be out of reach already, and the lease ends anyway. */
        mapping_release(portmap->mapping, now_us);
        pump(portmap, now_us);
        mapping_free(portmap->mapping);
        portmap->mapping = NULL;
    }
    task_clear(&portmap->host->tasks, &portmap->task);
    link_close(&portmap->gateway_link);
    link_close(&portmap->announce_link);
    upnp_stop(&portmap->upnp, now_us);
    portmap->gateway = (struct endpoint){0};
}

static int join_gateway(struct portmap *portmap, const struct endpoint *gateway, uint64_t now_us)
{
    struct mapping_config config = {.gateway = *gateway, .port = portmap->host->config.port};
    int fd;
    int error = gateway_socket_open(gateway, HOST_MARK, &fd, &portmap->local);
    if (error != ERR_OK)
        return error;
    portmap->gateway = *gateway;
    portmap->gateway_link = link_open(portmap, fd, on_answer);
    if (portmap->gateway_link == NULL)
        return ERR_IO;
    config.client = portmap->local;
    error = derive_nonce(portmap, config.nonce);
    if (error == ERR_OK)
        error = mapping_new(&config, now_us, &portmap->mapping);
    if (error != ERR_OK)
        return error;
    /* Without announcements a restarted gateway is noticed at the next renewal. */
    if (announce_socket_open(&ANNOUNCEMENTS, &portmap->local, &fd) == ERR_OK)
        portmap->announce_link = link_open(portmap, fd, on_announcement);
    pump(portmap, now_us);
    return ERR_OK;
}

/* The default route's gateway, where our address towards it is a private one: else there is no NAT
 * (of IPv4; through IPv6 firewalls holes are punched). */
static bool find_gateway(struct portmap *portmap, struct endpoint *ret_gateway,
                         struct address *ret_local)
{
    struct host *host = portmap->host;
    struct route_lookup lookup;
    if (route_lookup(&host->netlink, &FAR_AWAY, HOST_MARK, &lookup) != ERR_OK ||
        lookup.is_unreachable || lookup.is_local || lookup.link == host->tun.link ||
        lookup.gateway.family != ADDRESS_IPV4 || !address_is_private(&lookup.source))
        return false;
    *ret_gateway = (struct endpoint){lookup.gateway, PCP_SERVER_PORT};
    *ret_local = lookup.source;
    return true;
}

void portmap_on_network(struct portmap *portmap, uint64_t now_us)
{
    struct endpoint gateway;
    struct address local;
    if (portmap == NULL || portmap->is_stopping)
        return;
    bool is_there = find_gateway(portmap, &gateway, &local);
    if (is_there && endpoint_is_equal(&gateway, &portmap->gateway) &&
        address_is_equal(&local, &portmap->local))
        return;
    if (portmap->gateway.port != 0)
        leave_gateway(portmap, now_us);
    if (is_there && join_gateway(portmap, &gateway, now_us) != ERR_OK)
        leave_gateway(portmap, now_us);
    tell(portmap);
}

void portmap_on_public_address(struct portmap *portmap, uint64_t now_us)
{
    if (portmap == NULL || portmap->mapping == NULL || portmap->is_stopping)
        return;
    mapping_refresh(portmap->mapping, now_us);
    pump(portmap, now_us);
}

/* ---- the whole ---- */

int portmap_start(struct host *host, uint64_t now_us)
{
    if (!host->config.has_port_mapping)
        return ERR_OK;
    struct portmap *portmap = calloc(1, sizeof(*portmap));
    if (portmap == NULL)
        return ERR_NOMEM;
    portmap->host = host;
    portmap->task.run = on_task;
    portmap->upnp.host = host;
    portmap->upnp.on_change = on_upnp;
    host->portmap = portmap;
    portmap_on_network(portmap, now_us);
    return ERR_OK;
}

size_t portmap_endpoints(const struct portmap *portmap, struct endpoint *ret_endpoints, size_t cap)
{
    struct endpoint external;
    uint64_t expires_us;
    if (portmap == NULL || cap == 0 || mapped(portmap, &external, &expires_us) == MAPPING_NONE ||
        !is_usable(&external))
        return 0;
    ret_endpoints[0] = external;
    return 1;
}

void portmap_stop(struct portmap *portmap, uint64_t now_us)
{
    if (portmap == NULL || portmap->is_stopping)
        return;
    portmap->is_stopping = true;
    if (portmap->mapping != NULL)
        mapping_release(portmap->mapping, now_us);
    upnp_stop(&portmap->upnp, now_us);
    pump(portmap, now_us);
}

bool portmap_is_stopped(const struct portmap *portmap)
{
    return portmap == NULL ||
           ((portmap->mapping == NULL || mapping_is_released(portmap->mapping)) &&
            upnp_is_idle(&portmap->upnp));
}

void portmap_close(struct portmap *portmap)
{
    if (portmap == NULL)
        return;
    portmap->is_stopping = true;
    portmap->upnp.is_wanted = portmap->upnp.is_mapped = false;
    upnp_kill(&portmap->upnp);
    task_clear(&portmap->host->tasks, &portmap->task);
    link_close(&portmap->gateway_link);
    link_close(&portmap->announce_link);
}

void portmap_free(struct portmap *portmap)
{
    if (portmap == NULL)
        return;
    mapping_free(portmap->mapping);
    free(portmap);
}

/* Both answers say why: PCP's is the more telling one where there was one. */
static const char *why_not(const struct portmap *portmap)
{
    struct mapping_status status = {.error = ""};
    if (portmap->mapping != NULL)
        mapping_get_status(portmap->mapping, &status);
    if (status.protocol == MAPPING_NONE && portmap->upnp.error[0] != '\0')
        return portmap->upnp.error;
    return status.error;
}

json_t *portmap_report(const struct portmap *portmap, uint64_t now_us)
{
    char text[ENDPOINT_TEXT_CAP], gateway[ADDRESS_TEXT_CAP];
    struct endpoint external = {0};
    uint64_t expires_us = 0;
    if (portmap == NULL)
        return json_pack("{s:s}", "state", "off");
    if (portmap->gateway.port == 0)
        return json_pack("{s:s}", "state", "not needed");
    enum mapping_protocol protocol = mapped(portmap, &external, &expires_us);
    address_format(&portmap->gateway.address, gateway, sizeof(gateway));
    if (protocol == MAPPING_NONE) {
        const char *error = why_not(portmap);
        bool is_searching = error[0] == '\0' || portmap->upnp.job == UPNP_JOB_MAP;
        return json_pack("{s:s, s:s, s:o}", "state", is_searching ? "searching" : "unavailable",
                         "gateway", gateway, "error",
                         error[0] != '\0' ? json_string(error) : json_null());
    }
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:b, s:o}", "state", "mapped", "gateway", gateway, "protocol",
        mapping_protocol_text(protocol), "external", endpoint_format(&external, text, sizeof(text)),
        "is_usable", is_usable(&external), "expires_s",
        expires_us == DEADLINE_NEVER
            ? json_null()
            : json_real(expires_us > now_us ? (double)((expires_us - now_us) / MS_US) / 1000 : 0));
}
