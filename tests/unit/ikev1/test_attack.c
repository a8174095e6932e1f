/* Who is on the path can cut, change, repeat, reorder and make up messages, and flood: nothing
 * comes of it, and nothing grows beyond its cap. */
#include "net.h"
#include "wire/isakmp_sa.h"
#include <stdlib.h>
#include <string.h>

static void drain(struct net *net, size_t node)
{
    uint8_t bytes[IKEV1_MESSAGE_CAP];
    struct ikev1_event event;
    struct endpoint to;
    struct writer w;

    do {
        writer_init(&w, bytes, sizeof(bytes));
    } while (ikev1_table_transmit(net->nodes[node].table, &w, &to) == ERR_OK);
    do {
        ikev1_table_next_event(net->nodes[node].table, &event);
        assert_true(event.type == IKEV1_EVENT_NONE || event.type == IKEV1_EVENT_REFUSED);
    } while (event.type != IKEV1_EVENT_NONE);
}

/* The state of a handshake before its n-th message is delivered: that message goes to `victim`. */
static unsigned stop_at;
static bool stop(struct net *net, struct packet *p)
{
    return net->sent < stop_at;
}

static struct packet bring_to(struct net *net, unsigned message)
{
    net_init(net);
    stop_at = message;
    net->filter = stop;
    net_open(net, 0);
    net_open(net, 1);
    net_call(net, 0, 1);
    assert_in_range(net->sent, message, message + 1); /* 9: and the question behind it */
    return net->kept[message - 1];
}

/* And then the true one arrives: all is well. */
static void finish(struct net *net, const struct packet *p)
{
    net->filter = NULL;
    (void)!net_inject(net, p->to, &p->source, p->bytes, p->len);
    net_run(net, 5 * SECOND_US);
    net_assert_joined(net, 0, 1);
    net_done(net);
}

static void test_cut_messages(void **state)
{
    struct net net;

    for (unsigned message = 1; message <= 9; message++) {
        const struct packet p = bring_to(&net, message);
        for (size_t len = 0; len < p.len; len++) {
            uint8_t *cut = (uint8_t *)malloc(len > 0 ? len : 1); /* so that ASan sees every byte */
            assert_non_null(cut);
            memcpy(cut, p.bytes, len);
            assert_int_not_equal(net_inject(&net, p.to, &p.source, cut, len), ERR_OK);
            /* the same with a length field that fits */
            if (len >= IKE_HEADER_LEN) {
                cut[26] = (uint8_t)(len >> 8);
                cut[27] = (uint8_t)len;
                const int error = net_inject(&net, p.to, &p.source, cut, len);
                assert_int_not_equal(error, ERR_OK);
            }
            free(cut);
        }
        drain(&net, p.to);
        finish(&net, &p);
    }
}

/* Whole payloads of 1 and 2 stand in the clear, and a change there may pass until the proofs (SAi_b
 * is under them); what is under keys may not. */
static void test_flipped_bits(void **state)
{
    struct net net;

    for (unsigned message = 5; message <= 9; message++) {
        const struct packet p = bring_to(&net, message);
        for (size_t bit = 0; bit < p.len * 8; bit++) {
            struct packet bad = p;
            /* IKEv1 authenticates nothing of the header but the message ID; what we don't read
             * there may be anything: the minor version, the commit flag. */
            if ((bit >= 17 * 8 && bit < 17 * 8 + 4) || bit == 19 * 8 + 1)
                continue;
            bad.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_not_equal(net_inject(&net, bad.to, &bad.source, bad.bytes, bad.len), ERR_OK);
        }
        drain(&net, p.to);
        finish(&net, &p);
    }
}

static void test_flipped_bits_in_the_clear(void **state)
{
    struct net net;

    for (unsigned message = 1; message <= 4; message++) {
        const struct packet p = bring_to(&net, message);
        net_done(&net);
        for (size_t bit = 0; bit < p.len * 8; bit += 5) {
            struct packet now = bring_to(&net, message);
            now.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            net.filter = NULL;
            (void)!net_inject(&net, now.to, &now.source, now.bytes, now.len);
            net_drive(&net);
            /* Where it came up, both have the same; what may be changed without notice is what
             * nobody relies on: vendor IDs, our own NAT-D, reserved fields. */
            if (net_kid(&net.nodes[0]) != NULL && net_kid(&net.nodes[1]) != NULL)
                net_assert_joined(&net, 0, 1);
            else
                assert_int_equal(net.nodes[0].established + net.nodes[1].established, 0);
            net_done(&net);
        }
    }
}

static void test_replays(void **state)
{
    struct net net;

    net_init(&net);
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    ikev1_sa_check_alive(net.nodes[0].sa, net.now_us);
    assert_int_equal(ikev1_sa_rekey_child(net.nodes[0].sa, net.now_us), ERR_OK);
    net_run(&net, SECOND_US);
    const size_t count = net.kept_count, kids = net.nodes[1].kid_count;
    const unsigned sent = net.sent;
    for (unsigned round = 0; round < 30; round++) {
        for (size_t i = 0; i < count; i++)
            assert_int_not_equal(net_inject(&net, net.kept[i].to, &net.kept[i].source,
                                            net.kept[i].bytes, net.kept[i].len),
                                 ERR_OK);
        net_drive(&net);
    }
    assert_int_equal(net.nodes[1].kid_count, kids);
    assert_int_equal(net.nodes[0].established + net.nodes[1].established, 2);
    assert_int_equal(ikev1_table_half_open_count(net.nodes[1].table), 0);
    /* Copies are answered a few times, not for ever; each answer is itself a copy to the other. */
    assert_in_range(net.sent - sent, 0, 64);
    net_run(&net, 40 * SECOND_US);
    net_assert_joined(&net, 0, 1);
    net_done(&net);
}

static size_t message_1(struct net *net, uint64_t cookie, uint8_t *bytes)
{
    struct writer w;

    memcpy(bytes, net->kept[0].bytes, net->kept[0].len);
    writer_init(&w, bytes, 8);
    writer_u64(&w, cookie);
    return net->kept[0].len;
}

static void test_flood(void **state)
{
    uint8_t bytes[IKEV1_MESSAGE_CAP];
    struct net net;

    const struct packet p = bring_to(&net, 1);
    for (uint32_t i = 0; i < 5000; i++) {
        const struct endpoint source = {.address = address_from_ipv4(0x0b000000u + i / 6),
                                        .port = (uint16_t)(1024 + i)};
        const size_t len = message_1(&net, 1000 + i, bytes);
        const int error = net_inject(&net, 1, &source, bytes, len);
        /* four of one address, 32 in all; above, not a word */
        assert_int_equal(error, i / 6 < 8 && i % 6 < 4 ? ERR_OK : ERR_LIMIT);
        assert_in_range(ikev1_table_half_open_count(net.nodes[1].table), 1, 32);
    }
    assert_int_equal(ikev1_table_count(net.nodes[1].table), 0);
    drain(&net, 1);
    assert_int_equal(net_inject(&net, 1, &p.source, p.bytes, p.len), ERR_LIMIT);
    net.filter = NULL;
    /* They are forgotten in time, and the honest caller gets through. */
    net_run(&net, 29 * SECOND_US);
    net.nodes[0].config.establish_timeout_us = 60 * SECOND_US;
    net_run(&net, 2 * SECOND_US);
    assert_int_equal(ikev1_table_half_open_count(net.nodes[1].table), 0);
    net_call(&net, 0, 1);
    net_run(&net, 5 * SECOND_US);
    net_assert_joined(&net, 0, 1);
    net_done(&net);
}

/* One cookie, one answer: the same initiator's cookie with another offer is not taken beside. */
static void test_one_answer_a_cookie(void **state)
{
    uint8_t bytes[IKEV1_MESSAGE_CAP];
    struct net net;

    const struct packet p = bring_to(&net, 1);
    assert_int_equal(net_inject(&net, 1, &p.source, p.bytes, p.len), ERR_OK);
    memcpy(bytes, p.bytes, p.len);
    bytes[p.len - 1] ^= 1;
    assert_int_equal(net_inject(&net, 1, &p.source, bytes, p.len), ERR_AGAIN);
    assert_int_equal(ikev1_table_half_open_count(net.nodes[1].table), 1);
    net_done(&net);
}

static void test_refusals_are_limited(void **state)
{
    uint8_t bytes[IKEV1_MESSAGE_CAP];
    struct net net;
    struct ikev1_event event;
    struct endpoint to;
    struct writer w;
    unsigned answers = 0, words = 0;

    (void)bring_to(&net, 1);
    for (uint32_t i = 0; i < 1000; i++) {
        const struct endpoint source = {.address = address_from_ipv4(0x0b000000u + i), .port = 500};
        const size_t len = message_1(&net, 1000 + i, bytes);
        bytes[18] = ISAKMP_EXCHANGE_AGGRESSIVE;
        assert_int_equal(net_inject(&net, 1, &source, bytes, len), ERR_AGAIN);
    }
    writer_init(&w, bytes, sizeof(bytes));
    while (ikev1_table_transmit(net.nodes[1].table, &w, &to) == ERR_OK) {
        /* never more than what came */
        assert_true(w.len < net.kept[0].len);
        writer_init(&w, bytes, sizeof(bytes));
        answers++;
    }
    for (;;) {
        ikev1_table_next_event(net.nodes[1].table, &event);
        if (event.type == IKEV1_EVENT_NONE)
            break;
        words++;
    }
    assert_in_range(answers, 1, 5);
    assert_in_range(words, 1, 8);
    net_done(&net);
}

static void test_no_responder(void **state)
{
    struct net net;

    const struct packet p = bring_to(&net, 1);
    net.nodes[1].takes = false;
    assert_int_equal(net_inject(&net, 1, &p.source, p.bytes, p.len), ERR_REFUSED);
    drain(&net, 1);
    net_done(&net);
}

/* Every message at every stage, also those of another handshake, mixed at random. */
static void test_wrong_state(void **state)
{
    struct packet all[18];
    struct net net;
    size_t count = 0;
    uint32_t chance = 1;

    for (unsigned run = 0; run < 2; run++) {
        net_init(&net);
        net_open(&net, 0);
        net_open(&net, 1);
        net_call(&net, 0, 1);
        for (size_t i = 0; i < 9; i++)
            all[count++] = net.kept[i];
        net_done(&net);
    }
    for (unsigned message = 1; message <= 9; message++) {
        const struct packet p = bring_to(&net, message);
        for (unsigned i = 0; i < 300; i++) {
            chance = chance * 1664525u + 1013904223u;
            struct packet other = all[(chance >> 16) % 18];
            /* with this handshake's cookies */
            if (chance >> 30 != 0)
                memcpy(other.bytes, p.bytes, 16);
            if ((chance >> 29 & 1) != 0)
                other.bytes[18] = (uint8_t[]){2, 4, 5, 32}[chance >> 8 & 3];
            const int error = net_inject(&net, p.to, &p.source, other.bytes, other.len);
            /* A handshake of the past may begin anew at the one that is called; at other stages
             * messages in the clear may be taken for those that are waited for. */
            if (message >= 5 && memcmp(other.bytes + 8, "\0\0\0\0\0\0\0\0", 8) != 0)
                assert_int_not_equal(error, ERR_OK);
        }
        assert_in_range(ikev1_table_half_open_count(net.nodes[1].table), 0, 32);
        net_drive(&net);
        if (message >= 5)
            finish(&net, &p);
        else
            net_done(&net);
    }
}

/* The peer itself, gone mad: payloads of all kinds under its own keys are what fuzz/fuzz_ikev1.c
 * sends; here too many children. */
static void test_many_children(void **state)
{
    struct net net;

    net_init(&net);
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    for (unsigned i = 0; i < 40; i++) {
        (void)!ikev1_sa_rekey_child(net.nodes[0].sa, net.now_us);
        net_run(&net, SECOND_US);
        assert_in_range(net_open_kids(&net.nodes[1]), 1, 8);
    }
    net_run(&net, 60 * SECOND_US);
    assert_int_equal(net_open_kids(&net.nodes[1]), 1);
    net_assert_joined(&net, 0, 1);
    net_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_messages),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_flipped_bits_in_the_clear),
        cmocka_unit_test(test_replays),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_one_answer_a_cookie),
        cmocka_unit_test(test_refusals_are_limited),
        cmocka_unit_test(test_no_responder),
        cmocka_unit_test(test_wrong_state),
        cmocka_unit_test(test_many_children),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
