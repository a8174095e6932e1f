/* STUN Binding and behaviour discovery, the server's half. */
#include "path/binding.h"

#include "base/reader.h"
#include "crypto/hash.h"
#include "crypto/memory.h"
#include "wire/stun.h"
#include <string.h>

#define MAC_LEN         (BINDING_TICKET_LEN - 4)
#define ADDRESS_ATTR(e) (8 + address_len(&(e)->address)) /* MAPPED-ADDRESS and its like */
#define PORT_ATTR       8
#define TICKET_ATTR     (4 + BINDING_TICKET_LEN)
#define FINGERPRINT     8
#define COSTLY_LEN      256

static const struct binding_server plain_server;

/* Whether a change stays on the address that was asked. */
static bool has_address(const struct binding_server *server)
{
    return server->other.port != 0 &&
           !address_is_equal(&server->at.address, &server->other.address);
}

static bool is_understood(uint16_t type, const struct stun_message *request,
                          const struct binding_server *server)
{
    switch (type) {
    case STUN_CHANGE_REQUEST:
        /* RFC 5780, 6.1: error 420 where there is nothing to change to. */
        return server->other.port != 0 && (!request->change_address || has_address(server));
    case STUN_PADDING:
        return true;
    case STUN_RESPONSE_PORT:
        return server->ticket_key != NULL;
    default:
        return false;
    }
}

static size_t find_unknown(const struct stun_message *request, const struct binding_server *server,
                           uint16_t ret_types[STUN_UNKNOWN_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < request->unknown_count && i < STUN_UNKNOWN_MAX; i++) {
        if (request->unknown_count > STUN_UNKNOWN_MAX ||
            !is_understood(request->unknown[i], request, server))
            ret_types[count++] = request->unknown[i];
    }
    return count;
}

/* What a ticket says and its proof: this port of this address asked us at that time. */
static int make_ticket(const uint8_t *key, const struct address *address, uint16_t port,
                       uint32_t at_s, uint8_t ret_ticket[BINDING_TICKET_LEN])
{
    uint8_t mac[SHA256_LEN];
    const uint8_t head[] = {(uint8_t)(at_s >> 24), (uint8_t)(at_s >> 16), (uint8_t)(at_s >> 8),
                            (uint8_t)at_s};
    const uint8_t tail[] = {(uint8_t)(port >> 8), (uint8_t)port, address->family};
    const struct piece pieces[] = {
        {head, sizeof head}, {tail, sizeof tail}, {address->bytes, sizeof address->bytes}};
    const int error = hmac_sha256(key, BINDING_TICKET_KEY_LEN, pieces, 3, mac);
    if (error != ERR_OK)
        return error;
    memcpy(ret_ticket, head, sizeof head);
    memcpy(ret_ticket + sizeof head, mac, MAC_LEN);
    return ERR_OK;
}

bool binding_has_seen(const uint8_t key[BINDING_TICKET_KEY_LEN], const struct endpoint *endpoint,
                      const void *ticket, size_t len, uint32_t now_s)
{
    uint8_t expected[BINDING_TICKET_LEN];
    struct reader r;
    if (ticket == NULL || len != BINDING_TICKET_LEN)
        return false;
    reader_init(&r, ticket, len);
    const uint32_t at_s = reader_u32(&r);
    return at_s <= now_s && now_s - at_s <= BINDING_TICKET_LIFE_S &&
           make_ticket(key, &endpoint->address, endpoint->port, at_s, expected) == ERR_OK &&
           crypto_is_equal(expected, ticket, sizeof expected);
}

static bool is_ticket_good(const struct stun_message *request, const struct endpoint *from,
                           const struct binding_server *server)
{
    const struct endpoint asked = {from->address, request->response_port};
    return binding_has_seen(server->ticket_key, &asked, request->ticket, request->ticket_len,
                            server->now_s);
}

static void build_refusal(struct writer *w, const struct stun_message *request, uint16_t code,
                          const uint16_t *types, size_t count)
{
    stun_build_begin(w, STUN_ERROR, STUN_BINDING, request->transaction_id);
    stun_build_error(w, code, "");
    if (count > 0)
        stun_build_unknown(w, types, count);
}

/* The attributes of discovery, as far as the request's length has room for them. */
static int build_discovery(struct writer *w, const struct stun_message *request, size_t room,
                           const struct endpoint *from, const struct binding_server *server,
                           const struct binding_route *route)
{
    const struct endpoint origin = {route->change_address ? server->other.address
                                                          : server->at.address,
                                    route->change_port ? server->other.port : server->at.port};
    uint8_t ticket[BINDING_TICKET_LEN];
    if (server->other.port != 0 && w->len + ADDRESS_ATTR(&origin) <= room)
        stun_build_response_origin(w, &origin);
    if (has_address(server) && w->len + ADDRESS_ATTR(&server->other) <= room)
        stun_build_other_address(w, &server->other);
    if (server->other.port != 0 && !has_address(server) && w->len + PORT_ATTR <= room)
        stun_build_other_port(w, server->other.port);
    if (server->ticket_key == NULL || request->ticket == NULL || request->ticket_len != 0 ||
        w->len + TICKET_ATTR > room)
        return ERR_OK;
    const int error =
        make_ticket(server->ticket_key, &from->address, from->port, server->now_s, ticket);
    if (error == ERR_OK)
        stun_build_ticket(w, ticket, sizeof ticket);
    return error;
}

static int build_success(struct writer *w, const struct stun_message *request, size_t len,
                         const struct endpoint *from, const struct binding_server *server,
                         struct binding_route *ret_route)
{
    const size_t tail = request->has_fingerprint ? FINGERPRINT : 0;
    const size_t room = len > tail ? len - tail : 0;
    const struct binding_route route = {request->change_address, request->change_port,
                                        request->response_port};
    stun_build_begin(w, STUN_SUCCESS, STUN_BINDING, request->transaction_id);
    stun_build_xor_mapped(w, from);
    if (request->has_change_request || request->response_port != 0) {
        if (w->len > room)
            return ERR_INVALID; /* what goes another way never is longer than what asked for it */
        *ret_route = route;
    }
    return build_discovery(w, request, room, from, server, &route);
}

static int parse_request(const void *data, size_t len, struct stun_message *ret_request)
{
    struct stun_message request;
    if (len > BINDING_REQUEST_LEN_MAX)
        return ERR_INVALID;
    const int error = stun_parse(data, len, &request);
    if (error != ERR_OK)
        return error;
    if (request.class != STUN_REQUEST)
        return ERR_NOT_FOUND;
    if (request.method != STUN_BINDING)
        return ERR_UNSUPPORTED;
    if ((request.has_fingerprint && !request.is_fingerprint_right) ||
        (len > BINDING_PLAIN_LEN_MAX && !request.has_padding))
        return ERR_INVALID;
    *ret_request = request;
    return ERR_OK;
}

int binding_discover(const void *data, size_t len, const struct endpoint *from,
                     const struct binding_server *server, struct writer *w,
                     struct binding_route *ret_route)
{
    struct stun_message request;
    struct binding_route route = {0};
    uint16_t types[STUN_UNKNOWN_MAX];
    static const uint16_t response_port = STUN_RESPONSE_PORT;
    int error = parse_request(data, len, &request);
    if (error != ERR_OK)
        return error;
    const size_t count = find_unknown(&request, server, types);
    if (count > 0)
        build_refusal(w, &request, STUN_UNKNOWN_ATTRIBUTE, types, count);
    else if (request.response_port != 0 && (request.has_padding || request.has_change_request))
        build_refusal(w, &request, STUN_BAD_REQUEST, NULL, 0); /* RFC 5780, 7.5 */
    else if (request.response_port != 0 && !is_ticket_good(&request, from, server))
        build_refusal(w, &request, STUN_UNKNOWN_ATTRIBUTE, &response_port, 1);
    else
        error = build_success(w, &request, len, from, server, &route);
    if (request.has_fingerprint)
        stun_build_fingerprint(w);
    if (error == ERR_OK)
        error = stun_build_end(w);
    if (error == ERR_OK)
        *ret_route = route;
    return error;
}

int binding_answer(const void *data, size_t len, const struct endpoint *from, struct writer *w)
{
    struct binding_route route;
    if (len > BINDING_PLAIN_LEN_MAX)
        return ERR_INVALID;
    return binding_discover(data, len, from, &plain_server, w, &route);
}

bool binding_is_costly(const void *data, size_t len)
{
    struct stun_message request;
    if (parse_request(data, len, &request) != ERR_OK)
        return false;
    return len > COSTLY_LEN || request.has_change_request || request.response_port != 0;
}
