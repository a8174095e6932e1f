/* One end of a manual ESP SA over UDP: what detecd's data path does with keys, between a TUN device
 * and a socket, and nothing else. For judges that have static SAs and no IKE; it leaves keys,
 * routes and addresses to whoever starts it.
 *
 *   esp_peer INTERFACE PORT REMOTE:PORT SUITE MODE esn|short SPI-IN KEY-IN SPI-OUT KEY-OUT
 *            OWN PEER WIRE-OWN WIRE-PEER FIRST-NUMBER
 *
 * Numbers of both directions begin at FIRST-NUMBER. Lines on stdin:
 *   stat         prints what has been carried and dropped
 *   keep         the next datagram received is kept; `again` opens it once more, `flip` opens it
 *                with one bit of its ICV turned
 *   resend, bad  sends the last datagram once more; with one bit of its ICV turned
 *   dummy        sends a packet of next header 59 */
#include "io/tun.h"
#include "io/udp.h"
#include "tunnel/tunnel_internal.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW   64
#define CHILD_ID 1
#define LINE_CAP 64

struct end {
    struct tun tun;
    struct udp udp;
    struct tunnel_table *table;
    struct tunnel *tunnel;
    struct endpoint remote;
    struct child *child;
    bool is_keeping;
    struct packet kept, sent;
};

static uint64_t now_us(void)
{
    return 1;
}

static void copy(struct packet *to, const struct packet *from)
{
    packet_reset(to);
    memcpy(to->data, from->data, from->len);
    to->len = from->len;
    to->peer = from->peer;
}

static void send_one(struct end *end, const struct packet *packet)
{
    (void)!udp_send(&end->udp, &end->remote, packet->tos, packet->data, packet->len);
}

static void from_tun(struct end *end)
{
    struct packet packet;
    packet_reset(&packet);
    while (tun_read(&end->tun, &packet) == ERR_OK) {
        tunnel_read_begin();
        const enum drop_reason reason = tunnel_seal(end->tunnel, &packet, now_us());
        tunnel_read_end();
        if (reason == DROP_NONE) {
            copy(&end->sent, &packet);
            send_one(end, &packet);
        }
        packet_reset(&packet);
    }
}

static void open_one(struct end *end, struct packet *packet)
{
    struct tunnel_message message;
    struct tunnel *tunnel;
    tunnel_read_begin();
    const enum drop_reason reason =
        tunnel_open_any(end->table, packet, now_us(), &tunnel, &message);
    tunnel_read_end();
    if (reason == DROP_NONE && message.kind == TUNNEL_DATA)
        (void)!tun_write(&end->tun, packet);
}

static void from_udp(struct end *end)
{
    struct packet storage, *packet = &storage;
    unsigned count;
    for (;;) {
        packet_reset(packet);
        if (udp_receive_batch(&end->udp, &packet, 1, &count) != ERR_OK)
            return;
        if (end->is_keeping)
            copy(&end->kept, packet);
        end->is_keeping = false;
        open_one(end, packet);
    }
}

static void tell(const struct end *end)
{
    struct tunnel_status status;
    tunnel_get_status(end->tunnel, &status);
    printf("sent=%llu number=%llu received=%llu highest=%llu",
           (unsigned long long)status.packets_out,
           (unsigned long long)atomic_load(&end->child->esp.sender.next),
           (unsigned long long)status.packets_in,
           (unsigned long long)end->child->esp.receiver.replay.highest);
    for (int i = 1; i < DROP_REASON_COUNT; i++)
        printf(" %s=%llu", drop_name((enum drop_reason)i), (unsigned long long)status.drops[i]);
    printf(" .\n");
}

static void send_dummy(struct end *end)
{
    static const uint8_t noise[100] = {0xde, 0xad};
    struct packet packet;
    packet_reset(&packet);
    memcpy(packet.data, noise, sizeof(noise));
    packet.len = sizeof(noise);
    if (esp_seal(&end->child->esp.sender, &packet, ESP_NEXT_DUMMY, NULL) == ERR_OK) {
        packet.tos = 0;
        send_one(end, &packet);
    }
}

static void obey(struct end *end, const char *line)
{
    struct packet packet;
    if (strcmp(line, "stat") == 0) {
        tell(end);
    } else if (strcmp(line, "keep") == 0) {
        end->is_keeping = true;
    } else if (strcmp(line, "again") == 0 || strcmp(line, "flip") == 0) {
        copy(&packet, &end->kept);
        if (line[0] == 'f')
            packet.data[packet.len - 1] ^= 1;
        packet.tos = 0;
        open_one(end, &packet);
    } else if (strcmp(line, "resend") == 0 || strcmp(line, "bad") == 0) {
        copy(&packet, &end->sent);
        if (line[0] == 'b')
            packet.data[packet.len - 1] ^= 1;
        packet.tos = 0;
        send_one(end, &packet);
    } else if (strcmp(line, "dummy") == 0) {
        send_dummy(end);
    }
    printf("did %s\n", line);
    fflush(stdout);
}

static void run(struct end *end)
{
    struct pollfd polls[] = {{.fd = end->tun.fd, .events = POLLIN},
                             {.fd = end->udp.fd, .events = POLLIN},
                             {.fd = STDIN_FILENO, .events = POLLIN}};
    char line[LINE_CAP];
    size_t len = 0;
    for (;;) {
        (void)poll(polls, 3, -1);
        from_tun(end);
        from_udp(end);
        if (polls[2].revents == 0)
            continue;
        if (read(STDIN_FILENO, &line[len], 1) <= 0)
            return;
        if (line[len] == '\n') {
            line[len] = '\0';
            obey(end, line);
            len = 0;
        } else if (len + 2 < sizeof(line)) {
            len++;
        }
    }
}

/* Hexadecimal digits; false: not as many as these. */
static bool parse_key(const char *text, uint8_t *ret_key, size_t len)
{
    unsigned byte;
    if (strlen(text) != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        ret_key[i] = (uint8_t)byte;
    }
    return true;
}

static bool parse_mode(const char *text, enum child_mode *ret_mode)
{
    for (int i = 0; i < CHILD_MODE_COUNT; i++) {
        if (strcmp(child_mode_name((enum child_mode)i), text) == 0) {
            *ret_mode = (enum child_mode)i;
            return true;
        }
    }
    return false;
}

static bool make_tunnel(struct end *end, char **words)
{
    uint8_t key_in[SUITE_KEY_CAP], key_out[SUITE_KEY_CAP];
    const uint8_t seed[16] = {1};
    struct tunnel_child child = {.id = CHILD_ID, .window = WINDOW};
    struct view local = {0};
    const uint64_t first = strtoull(words[14], NULL, 0);
    if (endpoint_parse(words[2], 0, &end->remote) != ERR_OK ||
        suite_parse(words[3], &child.suite) != ERR_OK || !parse_mode(words[4], &child.mode) ||
        !parse_key(words[7], key_in, suite_key_len(child.suite)) ||
        !parse_key(words[9], key_out, suite_key_len(child.suite)) ||
        address_parse(words[10], &local.own_ipv4) != ERR_OK ||
        address_parse(words[11], &local.peer_ipv4) != ERR_OK ||
        address_parse(words[12], &child.wire.own_ipv4) != ERR_OK ||
        address_parse(words[13], &child.wire.peer_ipv4) != ERR_OK)
        return false;
    child.has_esn = strcmp(words[5], "esn") == 0;
    child.spi_in = (uint32_t)strtoul(words[6], NULL, 0);
    child.spi_out = (uint32_t)strtoul(words[8], NULL, 0);
    child.key_in = key_in;
    child.key_out = key_out;
    child.key_len = suite_key_len(child.suite);
    child.remote.own_ipv4 = child.wire.peer_ipv4;
    child.remote.peer_ipv4 = child.wire.own_ipv4;
    if (tunnel_table_new(seed, &end->table) != ERR_OK ||
        tunnel_add(end->table, &local, NULL, &end->tunnel) != ERR_OK ||
        tunnel_add_child(end->tunnel, &child) != ERR_OK ||
        tunnel_set_outbound(end->tunnel, CHILD_ID) != ERR_OK ||
        tunnel_set_path(end->table, end->tunnel, &end->remote, TUNNEL_PATH_MTU_DEFAULT) != ERR_OK)
        return false;
    tunnel_read_begin();
    end->child = child_find_by_spi(end->table, child.spi_in);
    tunnel_read_end();
    if (first > 1) {
        atomic_store(&end->child->esp.sender.next, first);
        replay_mark(&end->child->esp.receiver.replay, first - 1);
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct end end;
    if (argc != 16) {
        fprintf(stderr, "usage: esp_peer INTERFACE PORT REMOTE:PORT SUITE MODE esn|short SPI-IN "
                        "KEY-IN SPI-OUT KEY-OUT OWN PEER WIRE-OWN WIRE-PEER FIRST-NUMBER\n");
        return 2;
    }
    const struct udp_options options = {.port = (uint16_t)atoi(argv[2])};
    tunnel_thread_register();
    if (!make_tunnel(&end, argv + 1) || tun_open(argv[1], 0, &end.tun) != ERR_OK ||
        udp_open(&options, &end.udp) != ERR_OK) {
        fprintf(stderr, "esp_peer: cannot start\n");
        return 1;
    }
    packet_reset(&end.kept);
    packet_reset(&end.sent);
    printf("ready\n");
    fflush(stdout);
    run(&end);
    return 0;
}
