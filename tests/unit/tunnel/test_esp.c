/* ESP: published packets, those of another program, every suite there and back, extended sequence
 * numbers against an oracle, and attacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "crypto/cipher_mac.h"
#include "samples.h"
#include "tunnel/esp.h"
#include "vectors.h"

#define SPI 0x5a5a0102u

static const uint8_t key_there[SUITE_KEY_CAP] = {1, 2, 3, [20] = 4, [50] = 5};
static const uint8_t key_other[SUITE_KEY_CAP] = {9, 8, 7, [20] = 6, [50] = 7};

static const enum suite esp_suites[ESP_SUITE_COUNT] = {
    ESP_AES128_GCM,        ESP_AES256_GCM,        ESP_CHACHA20_POLY1305,
    ESP_AES128_GCM_IIV,    ESP_AES256_GCM_IIV,    ESP_CHACHA20_POLY1305_IIV,
    ESP_AES128_CBC_SHA256, ESP_AES256_CBC_SHA256, ESP_AES128_CTR_SHA256,
    ESP_AES256_CTR_SHA256};

struct pair {
    struct esp_sender sender;
    struct esp_receiver receiver;
};

static void pair_init(struct pair *p, enum suite suite, bool has_esn)
{
    const struct esp_terms terms = {.suite = suite, .spi = SPI, .has_esn = has_esn};
    assert_int_equal(esp_sender_init(&p->sender, &terms, key_there, suite_key_len(suite), 0),
                     ERR_OK);
    assert_int_equal(esp_receiver_init(&p->receiver, &terms, key_there, suite_key_len(suite), 64),
                     ERR_OK);
}

static void pair_done(struct pair *p)
{
    esp_sender_done(&p->sender);
    esp_receiver_done(&p->receiver);
}

static void seal_text(struct pair *p, struct packet *packet, const char *text)
{
    packet_fill(packet, text, strlen(text));
    assert_int_equal(esp_seal(&p->sender, packet, 17, NULL), ERR_OK);
}

/* Of a packet that is to be refused: nothing of it, nor of the receiver, changes. */
static void check_refused(struct pair *p, struct packet *packet, int error)
{
    struct esp_message message = {.number = 77};
    struct packet before;
    const struct replay replay = p->receiver.replay;
    memcpy(&before, packet, sizeof(before));
    assert_int_equal(esp_open(&p->receiver, packet, &message), error);
    assert_int_equal(message.number, 77);
    assert_memory_equal(&replay, &p->receiver.replay, sizeof(replay));
    assert_int_equal(packet->len, before.len);
    assert_memory_equal(packet->data, before.storage + (packet->data - packet->storage),
                        before.len);
}

static int check_file(const char *file, bool seals)
{
    struct vector_case c = {0};
    FILE *in = vectors_open(file);
    int cases = 0;

    for (; vectors_next(in, &c); cases++) {
        uint8_t key[SUITE_KEY_CAP], payload[256], wire[512];
        struct esp_terms terms = {.spi = (uint32_t)vector_number(&c, "spi"),
                                  .has_esn = vector_number(&c, "esn") != 0};
        struct esp_message message;
        struct esp_receiver receiver;
        struct esp_sender sender;
        struct packet packet;
        const uint64_t number = vector_number(&c, "number");
        const size_t key_len = vector_hex(&c, "key", key, sizeof(key));
        const size_t payload_len = vector_hex(&c, "payload", payload, sizeof(payload));
        const size_t wire_len = vector_hex(&c, "message", wire, sizeof(wire));
        assert_int_equal(suite_parse(vector_text(&c, "suite"), &terms.suite), ERR_OK);

        assert_int_equal(esp_receiver_init(&receiver, &terms, key, key_len, 0), ERR_OK);
        receiver.replay.highest = number - 1; /* where such a number is the next */
        packet_fill(&packet, wire, wire_len);
        assert_int_equal(esp_open(&receiver, &packet, &message), ERR_OK);
        assert_int_equal(message.number, number);
        assert_int_equal(message.next_header, vector_number(&c, "next_header"));
        assert_int_equal(packet.len, payload_len);
        assert_memory_equal(packet.data, payload, payload_len);
        esp_receiver_done(&receiver);
        if (!seals)
            continue;
        assert_int_equal(esp_sender_init(&sender, &terms, key, key_len, 0), ERR_OK);
        atomic_store(&sender.next, number);
        packet_fill(&packet, payload, payload_len);
        assert_int_equal(esp_seal(&sender, &packet, message.next_header, NULL), ERR_OK);
        assert_int_equal(packet.len, wire_len);
        assert_memory_equal(packet.data, wire, wire_len);
        esp_sender_done(&sender);
    }
    fclose(in);
    return cases;
}

/* Their senders choose their IVs otherwise. */
static void test_published(void **state)
{
    assert_int_equal(check_file("esp-published.txt", false), 13);
}

static void test_examples(void **state)
{
    assert_int_equal(check_file("esp.txt", true), 120);
}

static void test_there_and_back(void **state)
{
    static const size_t lens[] = {0, 1, 2, 3, 13, 14, 15, 16, 17, 40, 1399, 1400, 4092};
    for (size_t s = 0; s < ESP_SUITE_COUNT; s++) {
        for (int has_esn = 0; has_esn < 2; has_esn++) {
            struct pair p;
            pair_init(&p, esp_suites[s], has_esn);
            for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
                uint8_t payload[4092];
                struct packet packet;
                struct esp_message message;
                uint64_t number = 0;
                memset(payload, (int)i, sizeof(payload));
                packet_fill(&packet, payload, lens[i]);
                assert_int_equal(esp_seal(&p.sender, &packet, (uint8_t)(i + 3), &number), ERR_OK);
                assert_int_equal(number, i + 1);
                /* What fits is just what the table says. */
                assert_true(suite_payload_in(esp_suites[s], packet.len) >= lens[i]);
                assert_true(packet.len >= suite_overhead(esp_suites[s]) + lens[i]);
                assert_true(packet.len <= suite_overhead(esp_suites[s]) + lens[i] +
                                              suite_alignment(esp_suites[s]) - 1);
                assert_int_equal(esp_open(&p.receiver, &packet, &message), ERR_OK);
                assert_int_equal(message.number, number);
                assert_int_equal(message.next_header, i + 3);
                assert_int_equal(packet.len, lens[i]);
                assert_memory_equal(packet.data, payload, lens[i]);
            }
            pair_done(&p);
        }
    }
}

/* Each bit flipped, cut at every length, lengthened, under another SPI and key: nothing moves. */
static void test_altered(void **state)
{
    for (size_t s = 0; s < ESP_SUITE_COUNT; s++) {
        struct pair p;
        struct packet packet, good;
        struct esp_message message;
        const struct esp_terms terms = {.suite = esp_suites[s], .spi = SPI, .has_esn = true};
        pair_init(&p, esp_suites[s], true);
        seal_text(&p, &good, "to be altered");
        const uint32_t len = good.len;
        for (uint32_t bit = 0; bit < len * 8; bit++) {
            packet_fill(&packet, good.data, len);
            packet.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            uint32_t low = 0;
            for (int i = 4; i < 8; i++)
                low = low << 8 | packet.data[i];
            const bool is_before = low == 0 || low >= (uint32_t)-63; /* the first of all */
            check_refused(&p, &packet, bit < 32 ? ERR_INVALID : is_before ? ERR_REPLAY : ERR_AUTH);
        }
        for (uint32_t cut = 0; cut < len; cut++) {
            struct esp_message none;
            packet_fill(&packet, good.data, cut);
            const int error = esp_open(&p.receiver, &packet, &none);
            assert_true(error == ERR_INVALID || error == ERR_AUTH);
            assert_int_equal(packet.len, cut);
        }
        for (uint32_t more = 1; more <= 32; more++) {
            packet_fill(&packet, good.data, len);
            memset(packet.data + len, 0, more);
            packet.len += more;
            check_refused(&p, &packet,
                          more % suite_alignment(esp_suites[s]) == 0 ? ERR_AUTH : ERR_INVALID);
        }
        esp_sender_done(&p.sender);
        assert_int_equal(
            esp_sender_init(&p.sender, &terms, key_other, suite_key_len(terms.suite), 0), ERR_OK);
        seal_text(&p, &packet, "under another key");
        check_refused(&p, &packet, ERR_AUTH);
        /* And the one that was meant all the while is fine. */
        packet_fill(&packet, good.data, len);
        assert_int_equal(esp_open(&p.receiver, &packet, &message), ERR_OK);
        assert_int_equal(message.number, 1);
        packet_fill(&packet, good.data, len);
        check_refused(&p, &packet, ERR_REPLAY);
        pair_done(&p);
    }
}

/* An SA with extended numbers and one without do not understand each other. */
static void test_esn_is_authenticated(void **state)
{
    for (size_t s = 0; s < ESP_SUITE_COUNT; s++) {
        struct pair p, q;
        struct packet packet;
        pair_init(&p, esp_suites[s], true);
        pair_init(&q, esp_suites[s], false);
        seal_text(&p, &packet, "extended");
        check_refused(&q, &packet, ERR_AUTH);
        seal_text(&q, &packet, "short");
        check_refused(&p, &packet, ERR_AUTH);
        pair_done(&p);
        pair_done(&q);
    }
}

static void test_no_number_twice(void **state)
{
    struct pair p;
    struct packet packet;
    struct esp_message message;
    pair_init(&p, ESP_AES128_GCM, false);
    atomic_store(&p.sender.next, UINT32_MAX);
    p.receiver.replay.highest = UINT32_MAX - 1;
    seal_text(&p, &packet, "the last one");
    assert_int_equal(esp_open(&p.receiver, &packet, &message), ERR_OK);
    for (int i = 0; i < 3; i++) {
        packet_fill(&packet, "one more", 8);
        assert_int_equal(esp_seal(&p.sender, &packet, 17, NULL), ERR_STATE);
        assert_int_equal(packet.len, 8);
        assert_memory_equal(packet.data, "one more", 8);
    }
    pair_done(&p);

    pair_init(&p, ESP_AES128_GCM, true); /* goes on */
    atomic_store(&p.sender.next, UINT32_MAX);
    p.receiver.replay.highest = UINT32_MAX - 1;
    for (uint64_t number = UINT32_MAX; number < (uint64_t)UINT32_MAX + 100; number++) {
        seal_text(&p, &packet, "across");
        assert_int_equal(esp_open(&p.receiver, &packet, &message), ERR_OK);
        assert_int_equal(message.number, number);
    }
    atomic_store(&p.sender.next, UINT64_MAX / 2 + 1);
    packet_fill(&packet, "one more", 8);
    assert_int_equal(esp_seal(&p.sender, &packet, 17, NULL), ERR_STATE);
    pair_done(&p);
}

static void test_rekey_due(void **state)
{
    const struct esp_terms terms = {.suite = ESP_AES128_GCM, .spi = SPI};
    struct esp_sender sender;
    struct packet packet;
    assert_int_equal(esp_sender_init(&sender, &terms, key_there, 20, 2), ERR_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(esp_sender_is_rekey_due(&sender), i == 2);
        packet_fill(&packet, "x", 1);
        assert_int_equal(esp_seal(&sender, &packet, 17, NULL), ERR_OK);
    }
    esp_sender_done(&sender);
    assert_int_equal(esp_sender_init(&sender, &terms, key_there, 20, 0), ERR_OK);
    assert_int_equal(sender.rekey_at, (uint64_t)1 << 31);
    esp_sender_done(&sender);
}

/* RFC 4303, appendix A2: whatever of the last 2^31 numbers or the next 2^31 comes, in or before the
 * window, is taken for what it is. Random walks across subspaces. */
static void test_extended_numbers(void **state)
{
    static const uint64_t starts[] = {
        0,          1,           63,          64,          0xffffff00,
        0xffffffff, 0x100000000, 0x10000003f, 0x100000040, 0x7ffffffffff,
        0x500000020};
    uint64_t seed = 4711;
    for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
        struct pair p;
        pair_init(&p, ESP_AES128_GCM_IIV, true);
        p.receiver.replay.highest = starts[s];
        for (int i = 0; i < 400; i++) {
            const uint64_t highest = p.receiver.replay.highest;
            const uint64_t random = sample_random(&seed);
            const uint64_t ahead = i % 50 == 0 ? random % 0xf0000000 : random % 100;
            /* a duplicate, one in the window, or ahead of it */
            const uint64_t number =
                i % 3 == 0 && highest > 64 ? highest - random % 64 : highest + 1 + ahead;
            const bool is_new = replay_is_new(&p.receiver.replay, number);
            struct esp_message message;
            struct packet packet;
            packet_fill(&packet, "walk", 4);
            atomic_store(&p.sender.next, number);
            assert_int_equal(esp_seal(&p.sender, &packet, 17, NULL), ERR_OK);
            if (!is_new) {
                check_refused(&p, &packet, ERR_REPLAY);
                continue;
            }
            assert_int_equal(esp_open(&p.receiver, &packet, &message), ERR_OK);
            assert_int_equal(message.number, number);
            assert_int_equal(p.receiver.replay.highest, number > highest ? number : highest);
        }
        pair_done(&p);
    }
}

/* Left of the window: the low half means a number far ahead then, under which nothing is authentic;
 * before the first of all it means none. The window stays. */
static void test_too_old(void **state)
{
    struct pair p;
    struct packet packet;
    pair_init(&p, ESP_AES256_CBC_SHA256, true);
    p.receiver.replay.highest = 0x300000100;
    atomic_store(&p.sender.next, 0x300000080);
    seal_text(&p, &packet, "old");
    check_refused(&p, &packet, ERR_AUTH);
    p.receiver.replay.highest = 10;
    atomic_store(&p.sender.next, 0xfffffff0);
    seal_text(&p, &packet, "before the first");
    check_refused(&p, &packet, ERR_REPLAY);
    pair_done(&p);
}

/* The peer may pad as it likes, with whatever bytes, but not beyond the packet. Its packet is made
 * by hand: CTR, so that changing the text and making the MAC anew is enough. */
static void test_padding_of_others(void **state)
{
    for (unsigned padding = 0; padding < 256; padding++) {
        const uint8_t *const key = key_there;
        struct packet packet;
        struct esp_message message = {0};
        struct cipher_mac *mac;
        struct pair p;
        uint8_t payload[46]; /* 48 with its trailer */
        pair_init(&p, ESP_AES128_CTR_SHA256, false);
        memset(payload, 0xaa, sizeof(payload));
        packet_fill(&packet, payload, sizeof(payload));
        assert_int_equal(esp_seal(&p.sender, &packet, 4, NULL), ERR_OK);
        const uint32_t covered = packet.len - ESP_ICV_LEN;
        packet.data[covered - 2] ^= (uint8_t)padding; /* it was 0 */
        const struct piece piece = {packet.data, covered};
        assert_int_equal(cipher_mac_new(CIPHER_AES_CTR, key, 16, key + 20, &mac), ERR_OK);
        assert_int_equal(cipher_mac_compute(mac, &piece, 1, packet.data + covered), ERR_OK);
        cipher_mac_free(mac);
        const int result = esp_open(&p.receiver, &packet, &message);
        assert_int_equal(result, padding <= sizeof(payload) ? ERR_OK : ERR_LIMIT);
        assert_int_equal(p.receiver.replay.highest, 1); /* authentic, in any case */
        if (result == ERR_OK) {
            assert_int_equal(packet.len, sizeof(payload) - padding);
            assert_memory_equal(packet.data, payload, packet.len);
        }
        pair_done(&p);
    }
}

static void test_refusals(void **state)
{
    struct esp_terms terms = {.suite = SPUT_AES128_GCM, .spi = SPI};
    struct esp_sender sender = {0};
    struct esp_receiver receiver = {0};
    struct packet packet;
    struct pair p;
    assert_int_equal(esp_sender_init(&sender, &terms, key_there, 24, 0), ERR_UNSUPPORTED);
    assert_int_equal(esp_receiver_init(&receiver, &terms, key_there, 24, 0), ERR_UNSUPPORTED);
    terms.suite = ESP_AES128_GCM;
    assert_int_equal(esp_sender_init(&sender, &terms, key_there, 24, 0), ERR_INVALID);
    esp_sender_done(&sender);
    esp_receiver_done(&receiver);

    pair_init(&p, ESP_AES256_CBC_SHA256, false);
    packet_fill(&packet, "no room", 7);
    packet.data = packet.storage + 23; /* header 8, IV 16 */
    assert_int_equal(esp_seal(&p.sender, &packet, 17, NULL), ERR_FULL);
    packet_reset(&packet);
    packet.len = PACKET_CAP - PACKET_HEADROOM - 17;
    assert_int_equal(esp_seal(&p.sender, &packet, 17, NULL), ERR_FULL);
    packet.len = PACKET_CAP - PACKET_HEADROOM - ESP_TAIL_MAX;
    assert_int_equal(esp_seal(&p.sender, &packet, 17, NULL), ERR_OK);
    assert_int_equal(atomic_load(&p.sender.next), 2); /* refusals took no number */
    pair_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_altered),
        cmocka_unit_test(test_esn_is_authenticated),
        cmocka_unit_test(test_no_number_twice),
        cmocka_unit_test(test_rekey_due),
        cmocka_unit_test(test_extended_numbers),
        cmocka_unit_test(test_too_old),
        cmocka_unit_test(test_padding_of_others),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
