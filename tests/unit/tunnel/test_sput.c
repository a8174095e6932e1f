/* SPUT: the vectors, every suite there and back, and each attack of docs/protocol.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "crypto/hash.h"
#include "samples.h"
#include "tunnel/sput.h"
#include "vectors.h"

static const uint8_t key_there[SUITE_KEY_CAP] = {1, 2, 3, [20] = 4, [50] = 5};
static const uint8_t key_back[SUITE_KEY_CAP] = {9, 8, 7, [20] = 6, [50] = 5};

struct pair {
    struct sput_sender sender;
    struct sput_receiver receiver;
    enum suite suite;
};

static void pair_init(struct pair *p, enum suite suite, const uint8_t *key)
{
    p->suite = suite;
    assert_int_equal(
        sput_sender_init(&p->sender, suite, key, suite_key_len(suite), SPUT_REKEY_AT_DEFAULT),
        ERR_OK);
    assert_int_equal(sput_receiver_init(&p->receiver, suite, key, suite_key_len(suite), 0), ERR_OK);
}

static void pair_done(struct pair *p)
{
    sput_sender_done(&p->sender);
    sput_receiver_done(&p->receiver);
}

static void seal_text(struct pair *p, struct packet *packet, const char *text)
{
    packet_fill(packet, text, strlen(text));
    assert_int_equal(sput_seal(&p->sender, packet, SPUT_DATA, 17, 0, NULL), ERR_OK);
}

static void test_vectors(void **state)
{
    struct vector_case c = {0};
    FILE *in = vectors_open("sput-paper.txt");
    int cases = 0;

    for (; vectors_next(in, &c); cases++) {
        uint8_t key[SUITE_KEY_CAP], payload[4096], expected[4200], digest[32];
        struct packet packet;
        struct pair p;
        vector_hex(&c, "key", key, 16);
        vector_hex(&c, "mac_key", key + 16, 32);
        vector_hex(&c, "salt", key + 48, 11);
        pair_init(&p, SPUT_PAPER, key);
        const bool is_long = vector_find(&c, "payload_len") != NULL;
        size_t len = is_long ? vector_number(&c, "payload_len")
                             : vector_hex(&c, "payload", payload, sizeof(payload));
        for (size_t i = 0; is_long && i < len; i++)
            payload[i] = (uint8_t)(i % 251);

        const uint32_t number = (uint32_t)vector_number(&c, "number");
        const struct sput_header sent = {number, (uint8_t)vector_number(&c, "command"),
                                         (uint8_t)vector_number(&c, "next_header"),
                                         (uint16_t)vector_number(&c, "flags")};
        atomic_store(&p.sender.next, number);
        uint32_t used = 0;
        packet_fill(&packet, payload, len);
        assert_int_equal(
            sput_seal(&p.sender, &packet, sent.command, sent.next_header, sent.flags, &used),
            ERR_OK);
        assert_int_equal(used, number);
        if (is_long) {
            const struct piece piece = {packet.data, packet.len};
            assert_int_equal(sha256(&piece, 1, digest), ERR_OK);
            vector_hex(&c, "message_sha256", expected, 32);
            assert_memory_equal(digest, expected, 32);
        } else {
            assert_int_equal(packet.len, vector_hex(&c, "message", expected, sizeof(expected)));
            assert_memory_equal(packet.data, expected, packet.len);
        }
        struct sput_header header;
        assert_int_equal(sput_open(&p.receiver, &packet, &header), ERR_OK);
        assert_memory_equal(&header, &sent, sizeof(header));
        assert_int_equal(packet.len, len);
        if (len > 0)
            assert_memory_equal(packet.data, payload, len);
        pair_done(&p);
    }
    fclose(in);
    assert_int_equal(cases, 4);
}

static void test_every_length(void **state)
{
    static uint8_t payload[4096];
    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)(i * 31);
    for (size_t s = 0; s < SPUT_SUITE_COUNT; s++) {
        struct packet packet;
        struct pair p;
        uint32_t expected = 1;
        pair_init(&p, all_suites[s], key_there);
        for (size_t len = 0; len <= 4092; len += len < 300 || len > 4080 ? 1 : 61, expected++) {
            struct sput_header header;
            packet_fill(&packet, payload, len);
            assert_int_equal(sput_seal(&p.sender, &packet, SPUT_DATA, 6, SPUT_FLAG_IPV6, NULL),
                             ERR_OK);
            assert_int_equal(packet.len, len + suite_overhead(all_suites[s]));
            assert_int_equal(sput_number_read(packet.data), expected);
            assert_int_equal(sput_open(&p.receiver, &packet, &header), ERR_OK);
            assert_int_equal(header.number, expected);
            assert_int_equal(header.next_header, 6);
            assert_int_equal(header.flags, SPUT_FLAG_IPV6);
            assert_int_equal(packet.len, len);
            if (len > 0)
                assert_memory_equal(packet.data, payload, len);
        }
        pair_done(&p);
    }
}

/* Refused with any of these, unchanged, and nothing about the receiver has moved. */
static void check_refused(struct pair *p, const uint8_t *bytes, size_t len, bool may_be_replay)
{
    struct packet packet;
    struct sput_header header = {77, 7, 7, 7};
    const struct replay before = p->receiver.replay;
    packet_fill(&packet, bytes, len);
    int error = sput_open(&p->receiver, &packet, &header);
    assert_true(error == ERR_AUTH || error == ERR_INVALID ||
                (may_be_replay && error == ERR_REPLAY));
    assert_int_equal(packet.len, len);
    if (len > 0)
        assert_memory_equal(packet.data, bytes, len);
    assert_int_equal(header.number, 77);
    assert_memory_equal(&p->receiver.replay, &before, sizeof(before));
}

static void test_flip_every_bit(void **state)
{
    for (size_t s = 0; s < SPUT_SUITE_COUNT; s++) {
        struct packet packet;
        struct pair p;
        struct sput_header header;
        uint8_t bytes[128];
        pair_init(&p, all_suites[s], key_there);
        seal_text(&p, &packet, "the quick brown fox jumps");
        const size_t len = packet.len;
        memcpy(bytes, packet.data, len);
        for (size_t bit = 0; bit < len * 8; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            check_refused(&p, bytes, len, false);
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        assert_int_equal(sput_open(&p.receiver, &packet, &header), ERR_OK);
        pair_done(&p);
    }
}

static void test_every_truncation(void **state)
{
    for (size_t s = 0; s < SPUT_SUITE_COUNT; s++) {
        struct packet packet;
        struct pair p;
        uint8_t bytes[256] = {0};
        pair_init(&p, all_suites[s], key_there);
        seal_text(&p, &packet, "the quick brown fox jumps");
        memcpy(bytes, packet.data, packet.len);
        for (size_t len = 0; len < sizeof(bytes); len++) {
            if (len != packet.len)
                check_refused(&p, bytes, len, false);
        }
        pair_done(&p);
    }
}

static void test_lengths_and_room(void **state)
{
    for (size_t s = 0; s < SPUT_SUITE_COUNT; s++) {
        struct packet packet;
        struct pair p;
        static uint8_t bytes[PACKET_CAP];
        pair_init(&p, all_suites[s], key_there);
        packet_reset(&packet);
        packet.len = PACKET_CAP - PACKET_HEADROOM - (uint32_t)suite_tag_len(all_suites[s]) + 1;
        assert_int_equal(sput_seal(&p.sender, &packet, 0, 6, 0, NULL), ERR_FULL); /* no tail-room */
        packet.data = packet.storage + SPUT_HEADER_LEN - 1;
        packet.len = 10;
        assert_int_equal(sput_seal(&p.sender, &packet, 0, 6, 0, NULL), ERR_FULL); /* no head-room */
        assert_int_equal(packet.len, 10);
        if (all_suites[s] == SPUT_PAPER) {
            packet_fill(&packet, bytes, 4093);
            assert_int_equal(sput_seal(&p.sender, &packet, 0, 6, 0, NULL), ERR_FULL);
            bytes[0] = 1;
            check_refused(&p, bytes, 4133, false);
        }
        assert_int_equal(sput_sender_count(&p.sender), 0); /* no number was spent */
        pair_done(&p);
    }
}

/* A host gets its own packet back: other direction, other key. */
static void test_reflection(void **state)
{
    for (size_t s = 0; s < SPUT_SUITE_COUNT; s++) {
        struct packet packet;
        struct pair there, back;
        pair_init(&there, all_suites[s], key_there);
        pair_init(&back, all_suites[s], key_back);
        seal_text(&there, &packet, "reflect me");
        check_refused(&back, packet.data, packet.len, false);
        pair_done(&there);
        pair_done(&back);
    }
}

static void test_replay(void **state)
{
    for (size_t s = 0; s < SPUT_SUITE_COUNT; s++) {
        struct packet packets[3], copy;
        struct pair p;
        struct sput_header header;
        pair_init(&p, all_suites[s], key_there);
        for (int i = 0; i < 3; i++)
            seal_text(&p, &packets[i], "once");
        static const int order[] = {1, 0, 2};
        for (int i = 0; i < 3; i++) {
            packet_fill(&copy, packets[order[i]].data, packets[order[i]].len);
            assert_int_equal(sput_open(&p.receiver, &copy, &header), ERR_OK);
            check_refused(&p, packets[order[i]].data, packets[order[i]].len, true);
        }
        for (int i = 0; i < 3; i++) {
            packet_fill(&copy, packets[i].data, packets[i].len);
            assert_int_equal(sput_open(&p.receiver, &copy, &header), ERR_REPLAY);
        }
        pair_done(&p);
    }
}

/* One captured packet with a high number must not push the window over all that follows. */
static void test_renumbering(void **state)
{
    for (size_t s = 0; s < SPUT_SUITE_COUNT; s++) {
        struct packet packet, next;
        struct pair p;
        struct sput_header header;
        uint8_t bytes[128];
        pair_init(&p, all_suites[s], key_there);
        seal_text(&p, &packet, "first");
        memcpy(bytes, packet.data, packet.len);
        bytes[0] = 0xf0;
        bytes[1] = bytes[2] = bytes[3] = 0xff;
        check_refused(&p, bytes, packet.len, false);
        memset(bytes, 0, 4); /* 0 would read as the non-ESP marker */
        check_refused(&p, bytes, packet.len, false);
        assert_int_equal(p.receiver.replay.highest, 0);
        seal_text(&p, &next, "second");
        assert_int_equal(sput_open(&p.receiver, &next, &header), ERR_OK);
        assert_int_equal(sput_open(&p.receiver, &packet, &header), ERR_OK);
        pair_done(&p);
    }
}

/* Command, next header and flags are encrypted by XOR: they change as the attacker likes, and it
 * shows. */
static void test_altered_header(void **state)
{
    for (size_t s = 0; s < SPUT_SUITE_COUNT; s++) {
        struct packet packet;
        struct pair p;
        uint8_t bytes[128];
        pair_init(&p, all_suites[s], key_there);
        seal_text(&p, &packet, "payload");
        for (size_t at = 4; at < 8; at++) {
            for (unsigned int delta = 1; delta < 256; delta++) {
                memcpy(bytes, packet.data, packet.len);
                bytes[at] ^= (uint8_t)delta;
                check_refused(&p, bytes, packet.len, false);
            }
        }
        pair_done(&p);
    }
}

/* No key stream is used twice: neither by two numbers, nor by two directions. */
static void test_key_streams_differ(void **state)
{
    static const uint8_t zero[64];
    for (size_t s = 0; s < SPUT_SUITE_COUNT; s++) {
        struct packet a, b, c;
        struct pair there, back;
        pair_init(&there, all_suites[s], key_there);
        pair_init(&back, all_suites[s], key_back);
        packet_fill(&a, zero, sizeof(zero));
        packet_fill(&b, zero, sizeof(zero));
        packet_fill(&c, zero, sizeof(zero));
        assert_int_equal(sput_seal(&there.sender, &a, 0, 0, 0, NULL), ERR_OK);
        assert_int_equal(sput_seal(&there.sender, &b, 0, 0, 0, NULL), ERR_OK);
        assert_int_equal(sput_seal(&back.sender, &c, 0, 0, 0, NULL), ERR_OK);
        assert_memory_not_equal(a.data + 4, b.data + 4, 16);
        assert_memory_not_equal(a.data + 4, c.data + 4, 16);
        assert_memory_not_equal(a.data + 20, b.data + 20, 16);
        pair_done(&there);
        pair_done(&back);
    }
}

static void test_number_limits(void **state)
{
    for (size_t s = 0; s < SPUT_SUITE_COUNT; s++) {
        struct packet packet;
        struct pair p;
        struct sput_header header;
        pair_init(&p, all_suites[s], key_there);
        p.sender.rekey_at = 2;
        seal_text(&p, &packet, "1");
        assert_false(sput_sender_is_rekey_due(&p.sender));
        seal_text(&p, &packet, "2");
        assert_true(sput_sender_is_rekey_due(&p.sender));
        assert_int_equal(sput_sender_count(&p.sender), 2);

        atomic_store(&p.sender.next, UINT32_MAX);
        seal_text(&p, &packet, "the last one");
        assert_int_equal(sput_number_read(packet.data), UINT32_MAX);
        assert_int_equal(sput_open(&p.receiver, &packet, &header), ERR_OK);
        for (int i = 0; i < 5; i++) {
            packet_fill(&packet, "none", 4);
            assert_int_equal(sput_seal(&p.sender, &packet, 0, 6, 0, NULL), ERR_STATE);
            assert_int_equal(packet.len, 4);
            assert_memory_equal(packet.data, "none", 4);
        }
        assert_int_equal(sput_sender_count(&p.sender), UINT32_MAX);
        pair_done(&p);
    }
}

/* What a newer SA refuses still opens under the older one, whatever suites they have. */
static void test_newer_then_older(void **state)
{
    for (size_t newer = 0; newer < SPUT_SUITE_COUNT; newer++) {
        for (size_t older = 0; older < SPUT_SUITE_COUNT; older++) {
            struct packet packet;
            struct pair n, o;
            struct sput_header header;
            pair_init(&n, all_suites[newer], key_back);
            pair_init(&o, all_suites[older], key_there);
            seal_text(&o, &packet, "sealed before the rekey");
            assert_int_equal(sput_open(&n.receiver, &packet, &header), ERR_AUTH);
            assert_int_equal(sput_open(&o.receiver, &packet, &header), ERR_OK);
            assert_int_equal(packet.len, 23);
            assert_memory_equal(packet.data, "sealed before the rekey", 23);
            pair_done(&n);
            pair_done(&o);
        }
    }
}

static void test_wipe(void **state)
{
    static const struct sput_sender no_sender;
    static const struct sput_receiver no_receiver;
    for (size_t s = 0; s < SPUT_SUITE_COUNT; s++) {
        struct pair p;
        struct packet packet;
        pair_init(&p, all_suites[s], key_there);
        seal_text(&p, &packet, "x");
        pair_done(&p);
        assert_memory_equal(&p.sender, &no_sender, sizeof(no_sender));
        assert_memory_equal(&p.receiver, &no_receiver, sizeof(no_receiver));
        pair_done(&p); /* zeroed ones */
    }
}

static void test_bad_keys(void **state)
{
    struct sput_sender sender;
    struct sput_receiver receiver;
    for (size_t s = 0; s < SPUT_SUITE_COUNT; s++) {
        size_t len = suite_key_len(all_suites[s]);
        assert_int_equal(sput_sender_init(&sender, all_suites[s], key_there, len - 1, 1),
                         ERR_INVALID);
        assert_int_equal(sput_receiver_init(&receiver, all_suites[s], key_there, len + 1, 1),
                         ERR_INVALID);
    }
    assert_int_equal(sput_sender_init(&sender, (enum suite)1029, key_there, 24, 1),
                     ERR_UNSUPPORTED);
    assert_int_equal(sput_receiver_init(&receiver, (enum suite)0, key_there, 0, 1),
                     ERR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_flip_every_bit),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_lengths_and_room),
        cmocka_unit_test(test_reflection),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_renumbering),
        cmocka_unit_test(test_altered_header),
        cmocka_unit_test(test_key_streams_differ),
        cmocka_unit_test(test_number_limits),
        cmocka_unit_test(test_newer_then_older),
        cmocka_unit_test(test_wipe),
        cmocka_unit_test(test_bad_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
