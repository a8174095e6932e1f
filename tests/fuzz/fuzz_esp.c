/* ESP from the network, and what an authentic but hostile peer puts into it, in each form: nothing
 * crashes, and what comes out goes to this host. Byte 0: form; byte 1: next header; byte 2: DSCP
 * and ECN outside; the rest is sealed. The whole is taken as a datagram of its own, too. */
#include "fuzz.h"

#include <string.h>

#include "tunnel/tunnel.h"
#include "wire/ip.h"

#define FORMS 4

static struct {
    struct tunnel_table *table;
    struct esp_sender senders[FORMS];
    struct endpoint remote;
    struct address own;
    struct selector_pair networks;
} world;

static struct address ipv4(uint32_t number)
{
    return address_from_ipv4(number);
}

static void add(unsigned form)
{
    static const uint8_t key[36] = {1, 2, 3};
    static const enum child_mode modes[FORMS] = {CHILD_BEET, CHILD_BEET, CHILD_TUNNEL,
                                                 CHILD_TUNNEL};
    const struct view local = {.own_ipv4 = world.own, .peer_ipv4 = ipv4(100 + form)};
    const struct view remote = {.own_ipv4 = ipv4(0x0a000005), .peer_ipv4 = ipv4(0x0a00004d)};
    const struct tunnel_child child = {.id = 1,
                                       .suite = ESP_AES256_GCM,
                                       .key_in = key,
                                       .key_out = key,
                                       .key_len = sizeof(key),
                                       .remote = remote,
                                       .spi_in = 0x5a000000 + form,
                                       .spi_out = 0x5b000000 + form,
                                       .mode = modes[form],
                                       .has_commands = form == 0,
                                       .selectors = form == 3 ? &world.networks : NULL};
    const struct esp_terms terms = {.suite = ESP_AES256_GCM, .spi = child.spi_in};
    struct tunnel *tunnel;
    must(tunnel_add(world.table, &local, NULL, &tunnel) == ERR_OK);
    must(tunnel_add_child(tunnel, &child) == ERR_OK);
    must(tunnel_set_outbound(tunnel, 1) == ERR_OK);
    must(esp_sender_init(&world.senders[form], &terms, key, sizeof(key), 0) == ERR_OK);
}

static void begin(void)
{
    static const uint8_t seed[16] = {7};
    const struct address first = ipv4(0x0a010000), last = ipv4(0x0a01ffff);
    tunnel_thread_register();
    must(tunnel_table_new(seed, &world.table) == ERR_OK);
    world.own = ipv4(2);
    world.remote = (struct endpoint){ipv4(0xc0000201), 4500, 0};
    world.networks.own.count = world.networks.peer.count = 1;
    world.networks.own.list[0] = world.networks.peer.list[0] = selector_of(&first, &last);
    for (unsigned form = 0; form < FORMS; form++)
        add(form);
}

static enum drop_reason receive(struct packet *packet, struct tunnel_message *message)
{
    struct tunnel *tunnel;
    tunnel_read_begin();
    packet->peer = world.remote;
    const enum drop_reason reason = tunnel_open_any(world.table, packet, 1, &tunnel, message);
    tunnel_read_end();
    return reason;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct packet packet;
    struct tunnel_message message;
    struct ip_view v;
    if (world.table == NULL)
        begin();
    if (len < 3 || len > 4000)
        return 0;
    packet_reset(&packet);
    memcpy(packet.data, data, len);
    packet.len = (uint32_t)len;
    must(receive(&packet, &message) != DROP_NONE); /* not authentic */

    packet_reset(&packet);
    memcpy(packet.data, data + 3, len - 3);
    packet.len = (uint32_t)len - 3;
    must(esp_seal(&world.senders[data[0] % FORMS], &packet, data[1], NULL) == ERR_OK);
    packet.tos = data[2];
    if (receive(&packet, &message) != DROP_NONE || message.kind != TUNNEL_DATA)
        return 0;
    must(ip_parse(packet.data, packet.len, &v) == ERR_OK && v.total_len == packet.len);
    must(address_is_equal(&v.dst, &world.own) ||
         (data[0] % FORMS == 3 && selector_holds(&world.networks.own.list[0], &v.dst)));
    must(!v.has_source_route);
    return 0;
}
