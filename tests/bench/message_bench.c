/* Two tunnels against each other: a local packet is looked up by nobody, but translated, numbered,
 * sealed, authenticated, opened and translated back, 64 in a batch as on a busy data path. */
#include "message_bench.h"

#include "bench_clock.h"
#include "tunnel/sput_batch.h"
#include <stdlib.h>
#include <string.h>

#define BATCH 64
#define NOW   1000000

static const enum suite suites[] = {
    SPUT_AES128_GCM,       SPUT_AES256_GCM,       SPUT_CHACHA20_POLY1305,    SPUT_PAPER,
    ESP_AES128_GCM_IIV,    ESP_AES256_GCM_IIV,    ESP_CHACHA20_POLY1305_IIV, ESP_AES128_GCM,
    ESP_AES256_GCM,        ESP_CHACHA20_POLY1305, ESP_AES128_CTR_SHA256,     ESP_AES256_CTR_SHA256,
    ESP_AES128_CBC_SHA256, ESP_AES256_CBC_SHA256};

struct end {
    struct tunnel_table *table;
    struct tunnel *tunnel;
    struct endpoint endpoint;
};

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

static struct address address_of(const char *text)
{
    struct address address;
    must(address_parse(text, &address) == ERR_OK);
    return address;
}

static void end_init(struct end *end, const struct view *view, const char *endpoint)
{
    static const uint8_t seed[16] = {1};
    must(endpoint_parse(endpoint, 0, &end->endpoint) == ERR_OK);
    must(tunnel_table_new(seed, &end->table) == ERR_OK);
    must(tunnel_add(end->table, view, NULL, &end->tunnel) == ERR_OK);
}

static void end_join(struct end *end, const struct end *other, const struct view *remote,
                     enum suite suite, uint32_t spi_in, uint32_t spi_out)
{
    static const uint8_t key[SUITE_KEY_CAP] = {3, 1, 4};
    const struct tunnel_child child = {.id = 1,
                                       .suite = suite,
                                       .key_in = key,
                                       .key_out = key,
                                       .key_len = suite_key_len(suite),
                                       .remote = *remote,
                                       .spi_in = spi_in,
                                       .spi_out = spi_out,
                                       .has_esn = true,
                                       .mode = CHILD_BEET,
                                       .has_commands = true};
    must(tunnel_set_path(end->table, end->tunnel, &other->endpoint, 1500) == ERR_OK);
    must(tunnel_add_child(end->tunnel, &child) == ERR_OK);
    must(tunnel_set_outbound(end->tunnel, 1) == ERR_OK);
}

/* IPv4 and UDP without a checksum: what the application's bytes are does not matter here. */
static void fill(struct packet *packet, const struct view *view, size_t len)
{
    uint8_t header[28] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17};
    const size_t total = sizeof(header) + len, datagram = total - 20;
    header[2] = (uint8_t)(total >> 8);
    header[3] = (uint8_t)total;
    memcpy(header + 12, view->own_ipv4.bytes, 4);
    memcpy(header + 16, view->peer_ipv4.bytes, 4);
    header[20] = header[22] = 7;
    header[24] = (uint8_t)(datagram >> 8);
    header[25] = (uint8_t)datagram;
    packet_reset(packet);
    memcpy(packet->data, header, sizeof(header));
    memset(packet->data + sizeof(header), 0x5a, len);
    packet->len = (uint32_t)total;
}

static void pass_over(struct end *a, struct end *b, struct packet *const *packets,
                      struct sput_batch *tags, struct bench *seal, struct bench *open)
{
    bool is_right = true;
    tunnel_read_begin();
    bench_begin(seal);
    for (int i = 0; i < BATCH; i++)
        is_right = tunnel_seal_deferring(a->tunnel, packets[i], NOW) == DROP_NONE && is_right;
    sput_batch_seal(tags, packets, BATCH);
    bench_end(seal, BATCH);
    for (int i = 0; i < BATCH; i++)
        packets[i]->peer = a->endpoint;
    bench_begin(open);
    sput_batch_foresee(tags, b->table, packets, BATCH);
    for (int i = 0; i < BATCH; i++) {
        struct tunnel_message message;
        struct tunnel *tunnel;
        is_right =
            tunnel_open_any(b->table, packets[i], NOW, &tunnel, &message) == DROP_NONE && is_right;
    }
    bench_end(open, BATCH);
    tunnel_read_end();
    must(is_right);
}

static void bench_suite(enum suite suite, size_t len, int passes)
{
    const struct view here = {.own_ipv4 = address_of("0.0.0.2"),
                              .peer_ipv4 = address_of("0.0.0.86")};
    const struct view there = {.own_ipv4 = address_of("10.9.0.5"),
                               .peer_ipv4 = address_of("10.9.0.77")};
    struct bench seal = BENCH_NONE, open = BENCH_NONE;
    struct packet *packets[BATCH];
    struct packet_pool pool;
    struct sput_batch *tags = NULL;
    struct end a, b;
    end_init(&a, &here, "192.0.2.1:32589");
    end_init(&b, &there, "198.51.100.9:40000");
    end_join(&a, &b, &there, suite, 0x1001, 0x2001);
    end_join(&b, &a, &here, suite, 0x2001, 0x1001);
    must(packet_pool_init(&pool, BATCH) == ERR_OK && sput_batch_new(&tags) == ERR_OK);
    for (int i = 0; i < BATCH; i++)
        packets[i] = packet_take(&pool);
    for (int pass = 0; pass < passes; pass++) {
        for (int i = 0; i < BATCH; i++)
            fill(packets[i], &here, len);
        pass_over(&a, &b, packets, tags, &seal, &open);
    }
    bench_print(&seal, "message", suite_name(suite), "chosen", len, "seal");
    bench_print(&open, "message", suite_name(suite), "chosen", len, "open");
    for (int i = 0; i < BATCH; i++)
        packet_give_back(&pool, packets[i]);
    packet_pool_done(&pool);
    sput_batch_free(tags);
    tunnel_table_free(a.table);
    tunnel_table_free(b.table);
}

void message_bench(size_t len, int passes)
{
    tunnel_thread_register();
    for (size_t s = 0; s < sizeof(suites) / sizeof(suites[0]); s++)
        bench_suite(suites[s], len, passes);
    tunnel_thread_unregister();
}
