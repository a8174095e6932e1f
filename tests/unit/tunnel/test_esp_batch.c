/* ICVs of ESP's suites with HMAC, made and foreseen together: the bytes and the verdicts are those
 * of one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "ends.h"
#include "tunnel/sput_batch.h"

#define BATCH 40
#define SPI   0x5b000001u

static const enum suite esp_suites[ESP_SUITE_COUNT] = {
    ESP_AES128_GCM,        ESP_AES256_GCM,        ESP_CHACHA20_POLY1305,
    ESP_AES128_GCM_IIV,    ESP_AES256_GCM_IIV,    ESP_CHACHA20_POLY1305_IIV,
    ESP_AES128_CBC_SHA256, ESP_AES256_CBC_SHA256, ESP_AES128_CTR_SHA256,
    ESP_AES256_CTR_SHA256};

static const uint8_t key[SUITE_KEY_CAP] = {1, 2, [17] = 3, [40] = 4, [60] = 5};

static void add_child(struct ends *e, uint64_t id, enum suite suite, bool has_esn)
{
    struct tunnel_child child = {.id = id,
                                 .suite = suite,
                                 .key_in = key,
                                 .key_out = key,
                                 .key_len = suite_key_len(suite),
                                 .remote = e->b.view,
                                 .spi_in = SPI + (uint32_t)id,
                                 .spi_out = SPI + (uint32_t)id,
                                 .has_esn = has_esn,
                                 .mode = CHILD_BEET,
                                 .has_commands = true};
    assert_int_equal(tunnel_add_child(e->a.tunnel, &child), ERR_OK);
    child.remote = e->a.view;
    assert_int_equal(tunnel_add_child(e->b.tunnel, &child), ERR_OK);
    assert_int_equal(tunnel_set_outbound(e->a.tunnel, id), ERR_OK);
}

static void local_packet(const struct end *end, struct packet *packet, size_t len)
{
    uint8_t payload[1400] = {0}, bytes[1500];
    memset(payload, (int)len, len);
    packet_fill(packet, bytes,
                make_ip(bytes, &end->view.own_ipv4, &end->view.peer_ipv4, 50, payload, len));
}

/* Two senders with the same keys, of which one defers. */
static void check_deferred(struct sput_batch *batch, enum suite suite, bool has_esn, unsigned count)
{
    static struct packet deferred[BATCH], plain;
    struct packet *all[BATCH];
    struct ends one, other;
    ends_init(&one);
    ends_init(&other);
    add_child(&one, 1, suite, has_esn);
    add_child(&other, 1, suite, has_esn);
    tunnel_read_begin();
    for (unsigned i = 0; i < count; i++) {
        local_packet(&one.a, &deferred[i], i * 31);
        assert_int_equal(tunnel_seal_deferring(one.a.tunnel, &deferred[i], NOW), DROP_NONE);
        all[i] = &deferred[i];
    }
    sput_batch_seal(batch, all, count);
    tunnel_read_end();
    for (unsigned i = 0; i < count; i++) {
        local_packet(&other.a, &plain, i * 31);
        assert_int_equal(tunnel_seal(other.a.tunnel, &plain, NOW), DROP_NONE);
        assert_null(deferred[i].tag_keys);
        assert_int_equal(deferred[i].len, plain.len);
        assert_memory_equal(deferred[i].data, plain.data, plain.len);
    }
    ends_done(&one);
    ends_done(&other);
}

static void test_deferred(void **state)
{
    struct sput_batch *batch;
    assert_int_equal(sput_batch_new(&batch), ERR_OK);
    for (size_t s = 0; s < ESP_SUITE_COUNT; s++) {
        for (unsigned count = 1; count <= BATCH; count += 13) {
            check_deferred(batch, esp_suites[s], false, count);
            check_deferred(batch, esp_suites[s], true, count);
        }
    }
    sput_batch_free(batch);
}

/* Some altered (also in the ICV, which the high half of the number displaces for a moment), some
 * cut off, some of an older child, one replayed; SPUT among them. */
static void check_foreseen(struct sput_batch *batch, enum suite suite, bool has_esn)
{
    static struct packet packets[BATCH];
    struct packet *all[BATCH];
    struct ends e;
    struct tunnel_message message;
    struct tunnel *tunnel;
    ends_init(&e);
    add_child(&e, 1, suite, has_esn);
    for (unsigned i = 0; i < BATCH; i++) {
        if (i == 8)
            add_child(&e, 2, suite, has_esn);
        local_packet(&e.a, &packets[i], 100 + i);
        assert_int_equal(tunnel_seal(e.a.tunnel, &packets[i], NOW), DROP_NONE);
        packets[i].peer = e.a.endpoint;
        if (i % 5 == 0)
            packets[i].data[8 + i] ^= 4;
        if (i % 5 == 1)
            packets[i].data[packets[i].len - 1 - i % 16] ^= 1;
        if (i == 34)
            packets[i].len = 7;
        all[i] = &packets[i];
    }
    packets[23] = packets[22]; /* a replay in the same batch */
    packets[23].data = packets[23].storage + (packets[22].data - packets[22].storage);
    tunnel_read_begin();
    sput_batch_foresee(batch, e.b.table, all, BATCH);
    for (unsigned i = 0; i < BATCH; i++) {
        const enum drop_reason reason =
            tunnel_open_any(e.b.table, &packets[i], NOW, &tunnel, &message);
        if (i == 23)
            assert_int_equal(reason, DROP_REPLAY);
        else if (i == 34)
            assert_int_not_equal(reason, DROP_NONE);
        else
            assert_int_equal(reason, i % 5 < 2 ? DROP_NOT_AUTHENTIC : DROP_NONE);
        if (reason == DROP_NONE)
            assert_int_equal(message.child_id, i < 8 ? 1 : 2);
    }
    tunnel_read_end();
    ends_done(&e);
}

static void test_foreseen(void **state)
{
    struct sput_batch *batch;
    assert_int_equal(sput_batch_new(&batch), ERR_OK);
    for (size_t s = 0; s < ESP_SUITE_COUNT; s++) {
        check_foreseen(batch, esp_suites[s], false);
        check_foreseen(batch, esp_suites[s], true);
    }
    sput_batch_free(batch);
}

/* What was foreseen for another high half of the number counts for nothing. */
static void test_numbers_wrap(void **state)
{
    const struct esp_terms terms = {.suite = ESP_AES128_CTR_SHA256, .spi = SPI, .has_esn = true};
    const uint64_t around = (uint64_t)1 << 32;
    struct esp_sender sender;
    struct esp_receiver receiver;
    assert_int_equal(esp_sender_init(&sender, &terms, key, suite_key_len(terms.suite), 0), ERR_OK);
    assert_int_equal(esp_receiver_init(&receiver, &terms, key, suite_key_len(terms.suite), 64),
                     ERR_OK);
    sender.next = around - 3;
    assert_true(replay_mark(&receiver.replay, around - 4));
    for (uint64_t number = around - 3; number < around + 3; number++) {
        struct packet packet;
        struct esp_message message;
        uint32_t high = 7;
        packet_fill(&packet, "text", 4);
        assert_int_equal(esp_seal(&sender, &packet, 59, NULL), ERR_OK);
        assert_true(esp_receiver_guess(&receiver, &packet, &high));
        assert_int_equal(high, number >> 32);
        packet.tag_keys = &receiver.keys;
        packet.foreseen_high = high + 1;
        memset(packet.foreseen_tag, 0x5a, sizeof(packet.foreseen_tag));
        assert_int_equal(esp_open(&receiver, &packet, &message), ERR_OK);
        assert_int_equal(message.number, number);
    }
    /* … and what was foreseen rightly is what decides. */
    struct packet packet;
    struct esp_message message;
    packet_fill(&packet, "text", 4);
    assert_int_equal(esp_seal(&sender, &packet, 59, NULL), ERR_OK);
    packet.tag_keys = &receiver.keys;
    packet.foreseen_high = 1;
    memset(packet.foreseen_tag, 0x5a, sizeof(packet.foreseen_tag));
    assert_int_equal(esp_open(&receiver, &packet, &message), ERR_AUTH);
    packet.len -= 1; /* no length of this suite's; another's SPI */
    assert_false(esp_receiver_guess(&receiver, &packet, &packet.foreseen_high));
    packet.len += 1;
    packet.data[0] ^= 1;
    assert_false(esp_receiver_guess(&receiver, &packet, &packet.foreseen_high));
    packet.len = 0;
    assert_false(esp_receiver_guess(&receiver, &packet, &packet.foreseen_high));
    esp_sender_done(&sender);
    esp_receiver_done(&receiver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_deferred),
                                       cmocka_unit_test(test_foreseen),
                                       cmocka_unit_test(test_numbers_wrap)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
