/* Two ports, on one or two addresses. Where `listen` names all addresses, one socket a port serves
 * both, and the address asked tells which; else each pair has its own. All answers are limited by
 * source, so that nobody is flooded under a forged one. */
#include "connector/stun_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "connector/limiter.h"
#include "connector/udp_server.h"
#include "crypto/memory.h"
#include "io/clock.h"
#include "path/binding.h"

enum { PORT_MAIN, PORT_ALTERNATE };
enum { ADDRESS_MAIN, ADDRESS_ALTERNATE };

struct stun_server {
    struct udp_server *sockets[2][2]; /* by address, by port; NULL: none */
    bool is_any;                      /* those of ADDRESS_MAIN take datagrams to all addresses */
    struct address main;              /* where is_any: the address that goes with `alternate` */
    struct address alternate;         /* ADDRESS_NONE: only another port */
    struct limiter limiter, costly_limiter;
    uint8_t ticket_key[BINDING_TICKET_KEY_LEN];
};

static struct udp_server *socket_of(const struct stun_server *server, bool is_alternate_address,
                                    unsigned port)
{
    return server
        ->sockets[is_alternate_address && !server->is_any ? ADDRESS_ALTERNATE : ADDRESS_MAIN][port];
}

/* What RFC 5780 calls the alternate of the address and port that were asked. */
static void find_other(const struct stun_server *server, const struct endpoint *asked,
                       struct endpoint *ret_other)
{
    const bool is_alternate = address_is_equal(&asked->address, &server->alternate);
    const bool is_main_port = asked->port == stun_server_port(server);
    const struct udp_server *other =
        server->sockets[ADDRESS_MAIN][is_main_port ? PORT_ALTERNATE : PORT_MAIN];
    memset(ret_other, 0, sizeof *ret_other);
    if (other == NULL || asked->address.family == ADDRESS_NONE)
        return;
    ret_other->port = udp_server_port(other);
    ret_other->address = asked->address;
    if (server->alternate.family == asked->address.family)
        ret_other->address = is_alternate ? server->main : server->alternate;
}

static size_t answer(void *context, const struct udp_request *request, struct udp_reply *reply)
{
    struct stun_server *server = context;
    const uint64_t now_us = clock_now_us();
    const struct address *from = &request->from.address;
    struct binding_server place = {
        .at = request->to, .ticket_key = server->ticket_key, .now_s = (uint32_t)(now_us / 1000000)};
    struct binding_route route;
    struct writer w;
    if (!limiter_take(&server->limiter, from, now_us) ||
        (binding_is_costly(request->data, request->len) &&
         !limiter_take(&server->costly_limiter, from, now_us)))
        return 0;
    find_other(server, &request->to, &place.other);
    writer_init(&w, reply->data, UDP_SERVER_LEN_MAX);
    if (binding_discover(request->data, request->len, &request->from, &place, &w, &route) != ERR_OK)
        return 0;
    if (route.port != 0)
        reply->to.port = route.port;
    if (route.change_address)
        reply->source = place.other.address;
    if (route.change_address || route.change_port) {
        const bool is_main = request->to.port == stun_server_port(server);
        reply->via = socket_of(server, address_is_equal(&reply->source, &server->alternate),
                               is_main != route.change_port ? PORT_MAIN : PORT_ALTERNATE);
    }
    return reply->via != NULL ? w.len : 0;
}

/* Opens one of the sockets that hosts can do without. */
static bool open_other(struct stun_server *server, uv_loop_t *loop,
                       const struct connector_config *config, const struct endpoint *at,
                       struct udp_server **socket)
{
    char text[ENDPOINT_TEXT_CAP];
    if (udp_server_new(loop, at, answer, server, socket) == ERR_OK)
        return true;
    log_warn("%s: UDP %s cannot be opened: %s; hosts find out less about their NATs without it "
             "([connector] stun-alternate-port and stun-alternate-address choose another)",
             config->file, endpoint_format(at, text, sizeof text), strerror(errno));
    return false;
}

static void open_alternates(struct stun_server *server, uv_loop_t *loop,
                            const struct connector_config *config)
{
    const uint16_t port = stun_server_port(server);
    struct endpoint at = config->listen;
    struct udp_server *trial;
    if (!config->has_stun_alternate)
        return;
    at.port = config->stun_alternate_port != 0 ? config->stun_alternate_port
              : port < UINT16_MAX              ? port + 1
                                               : port - 1;
    if (!open_other(server, loop, config, &at, &server->sockets[ADDRESS_MAIN][PORT_ALTERNATE]) ||
        config->stun_alternate_address.family == ADDRESS_NONE)
        return;
    at.address = config->stun_alternate_address;
    if (server->is_any) {
        /* The sockets are there; is the address ours? */
        const struct endpoint trial_at = {at.address, 0};
        if (!open_other(server, loop, config, &trial_at, &trial))
            return;
        udp_server_close(trial);
    } else {
        struct udp_server **sockets = server->sockets[ADDRESS_ALTERNATE];
        if (!open_other(server, loop, config, &at, &sockets[PORT_ALTERNATE]))
            return;
        at.port = port;
        if (!open_other(server, loop, config, &at, &sockets[PORT_MAIN])) {
            udp_server_close(sockets[PORT_ALTERNATE]);
            sockets[PORT_ALTERNATE] = NULL;
            return;
        }
    }
    server->alternate = at.address;
}

static int init(struct stun_server *server)
{
    uint8_t seeds[2][16];
    int error = crypto_random(seeds, sizeof seeds);
    if (error == ERR_OK)
        error = crypto_random(server->ticket_key, sizeof server->ticket_key);
    if (error == ERR_OK)
        error = limiter_init(&server->limiter, seeds[0], STUN_PER_SECOND, STUN_BURST);
    if (error == ERR_OK)
        error = limiter_init(&server->costly_limiter, seeds[1], STUN_COSTLY_PER_SECOND,
                             STUN_COSTLY_BURST);
    return error;
}

int stun_server_new(uv_loop_t *loop, const struct connector_config *config,
                    struct stun_server **ret_server)
{
    struct stun_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return ERR_NOMEM;
    server->is_any = address_is_unspecified(&config->listen.address);
    server->main = server->is_any ? config->address : config->listen.address;
    int error = init(server);
    if (error == ERR_OK)
        error = udp_server_new(loop, &config->listen, answer, server,
                               &server->sockets[ADDRESS_MAIN][PORT_MAIN]);
    if (error != ERR_OK) {
        const int reason = errno;
        stun_server_close(server);
        errno = reason;
        return error;
    }
    open_alternates(server, loop, config);
    *ret_server = server;
    return ERR_OK;
}

void stun_server_close(struct stun_server *server)
{
    if (server == NULL)
        return;
    for (size_t i = 0; i < 4; i++)
        udp_server_close(server->sockets[i / 2][i % 2]);
    limiter_done(&server->limiter);
    limiter_done(&server->costly_limiter);
    crypto_wipe(server->ticket_key, sizeof server->ticket_key);
    free(server);
}

uint16_t stun_server_port(const struct stun_server *server)
{
    return udp_server_port(server->sockets[ADDRESS_MAIN][PORT_MAIN]);
}

bool stun_server_has_seen(const struct stun_server *server, const struct endpoint *endpoint,
                          const void *ticket, size_t len)
{
    return binding_has_seen(server->ticket_key, endpoint, ticket, len,
                            (uint32_t)(clock_now_us() / 1000000));
}
