/* ICMP errors: the packet they quote is translated with all its checksums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "samples.h"
#include "wire/icmp.h"
#include "wire/ip.h"

struct ends {
    struct translation here, there;
};

static struct ends sample_ends(bool is_ipv6)
{
    struct ends e;
    e.here = sample_translation();
    if (is_ipv6) { /* make the views differ, as the protocol allows */
        e.here.remote.own_ipv6 = address_of("2001:db8::5");
        e.here.remote.peer_ipv6 = address_of("2001:db8::77");
    }
    e.there = sample_swapped(&e.here);
    return e;
}

static const struct address *own_of(const struct translation *t, bool is_ipv6)
{
    return is_ipv6 ? &t->local.own_ipv6 : &t->local.own_ipv4;
}

static const struct address *peer_of(const struct translation *t, bool is_ipv6)
{
    return is_ipv6 ? &t->local.peer_ipv6 : &t->local.peer_ipv4;
}

/* Sends a packet from `from` to `to`, header off and on. */
static enum drop_reason carry(const struct translation *from, const struct translation *to,
                              struct packet *packet)
{
    struct inner inner;
    enum drop_reason reason = translate_out(from, packet, &inner);
    return reason == DROP_NONE ? translate_in(to, packet, &inner) : reason;
}

/* A packet goes out, the far end's kernel answers it with an error that quotes `quoted` bytes, and
 * the error comes back: it must quote the very packet sent, right sums included. */
static void round_trip(bool is_ipv6, uint8_t protocol, size_t payload_len, size_t quoted)
{
    const struct ends e = sample_ends(is_ipv6);
    const size_t header_len = is_ipv6 ? 40 : 20, checksum_at = protocol == 6    ? 16
                                                               : protocol == 17 ? 6
                                                                                : 2;
    uint8_t payload[512], sent[600], bytes[600];
    struct packet packet;

    make_transport(payload, own_of(&e.here, is_ipv6), peer_of(&e.here, is_ipv6), protocol,
                   payload_len);
    const size_t sent_len = make_ip(sent, own_of(&e.here, is_ipv6), peer_of(&e.here, is_ipv6),
                                    protocol, payload, payload_len);
    packet_fill(&packet, sent, sent_len);
    assert_int_equal(carry(&e.here, &e.there, &packet), DROP_NONE);

    /* The far end's answer, made by hand: type 3 code 3, respectively 1 and 4. */
    const uint8_t icmp = is_ipv6 ? 58 : 1;
    uint8_t error[600] = {(uint8_t)(is_ipv6 ? 1 : 3), (uint8_t)(is_ipv6 ? 4 : 3)};
    if (quoted > packet.len)
        quoted = packet.len;
    const size_t error_len = 8 + quoted;
    memcpy(error + 8, packet.data, quoted);
    const struct address *far_own = own_of(&e.there, is_ipv6),
                         *far_peer = peer_of(&e.there, is_ipv6);
    put_u16(error + 2,
            0xffffu ^ (is_ipv6 ? transport_sum(far_own, far_peer, icmp, error, error_len, error_len)
                               : naive_sum(error, error_len, 0)));
    packet_fill(&packet, bytes, make_ip(bytes, far_own, far_peer, icmp, error, error_len));
    assert_int_equal(carry(&e.there, &e.here, &packet), DROP_NONE);

    const uint8_t *result = packet.data + header_len;
    const uint8_t *quote = result + 8;
    assert_int_equal(packet.len, header_len + error_len);
    assert_int_equal(is_ipv6 ? transport_sum(peer_of(&e.here, true), own_of(&e.here, true), 58,
                                             result, error_len, error_len)
                             : naive_sum(result, error_len, 0),
                     0xffff);
    if (!is_ipv6) {
        assert_int_equal(naive_sum(quote, 20, 0), 0xffff);
        assert_memory_equal(quote + 12, sent + 12, 8); /* addresses */
        assert_int_equal(quote[9], protocol);
    } else {
        assert_memory_equal(quote + 8, sent + 8, 32);
        assert_int_equal(quote[6], protocol);
    }
    const size_t quoted_payload = quoted - header_len;
    if (protocol == 1 || quoted_payload >= checksum_at + 2)
        assert_memory_equal(quote + header_len, sent + header_len, quoted_payload);
    else if (quoted_payload > 0) /* cut before or within its checksum */
        assert_memory_equal(quote + header_len, sent + header_len,
                            quoted_payload < checksum_at ? quoted_payload : checksum_at);
}

static void test_round_trips(void **state)
{
    static const uint8_t protocols[] = {6, 17};
    for (size_t i = 0; i < sizeof(protocols); i++) {
        for (size_t quoted = 20; quoted < 120; quoted++)
            round_trip(false, protocols[i], 90, quoted);
        for (size_t quoted = 40; quoted < 140; quoted++)
            round_trip(true, protocols[i], 90, quoted);
    }
    round_trip(false, 1, 64, 500);
    round_trip(true, 58, 64, 500);
}

/* What icmp.h builds for a local application passes in the same way. */
static void test_own_errors_pass(void **state)
{
    for (int is_ipv6 = 0; is_ipv6 <= 1; is_ipv6++) {
        const struct ends e = sample_ends(is_ipv6);
        uint8_t payload[100], bytes[200], error[1500];
        struct packet packet;
        struct writer w;
        make_transport(payload, own_of(&e.here, is_ipv6), peer_of(&e.here, is_ipv6), 17,
                       sizeof(payload));
        packet_fill(&packet, bytes,
                    make_ip(bytes, own_of(&e.here, is_ipv6), peer_of(&e.here, is_ipv6), 17, payload,
                            sizeof(payload)));
        assert_int_equal(carry(&e.here, &e.there, &packet), DROP_NONE);
        writer_init(&w, error, sizeof(error));
        assert_int_equal(icmp_unreachable_build(&w, packet.data, packet.len), ERR_OK);
        packet_fill(&packet, error, w.len);
        assert_int_equal(carry(&e.there, &e.here, &packet), DROP_NONE);
    }
}

static enum drop_reason run(bool is_ipv6, const uint8_t *message, size_t len)
{
    const struct translation t = sample_translation();
    const struct inner inner = {.next_header = is_ipv6 ? 58 : 1, .is_ipv6 = is_ipv6};
    struct packet packet;
    packet_fill(&packet, message, len);
    return translate_in(&t, &packet, &inner);
}

/* An error about a packet between other addresses than these two, in this order. */
static void test_foreign_quotes(void **state)
{
    const struct translation t = sample_translation();
    const struct address *good4[] = {&t.remote.peer_ipv4, &t.remote.own_ipv4};
    const struct address *good6[] = {&t.remote.peer_ipv6, &t.remote.own_ipv6};
    const struct address other4 = address_of("127.0.0.1"), other6 = address_of("2001:db8::1");
    for (int is_ipv6 = 0; is_ipv6 <= 1; is_ipv6++) {
        const struct address *src = is_ipv6 ? good6[0] : good4[0],
                             *dst = is_ipv6 ? good6[1] : good4[1];
        const struct address *other = is_ipv6 ? &other6 : &other4;
        uint8_t message[100] = {(uint8_t)(is_ipv6 ? 1 : 3), 1}, payload[16] = {0};
        size_t len = 8 + make_ip(message + 8, src, dst, 17, payload, sizeof(payload));
        assert_int_equal(run(is_ipv6, message, len), DROP_NONE);
        make_ip(message + 8, dst, src, 17, payload,
                sizeof(payload)); /* a packet of the peer's own */
        assert_int_equal(run(is_ipv6, message, len), DROP_QUOTE);
        make_ip(message + 8, other, dst, 17, payload, sizeof(payload));
        assert_int_equal(run(is_ipv6, message, len), DROP_QUOTE);
        make_ip(message + 8, src, other, 17, payload, sizeof(payload));
        assert_int_equal(run(is_ipv6, message, len), DROP_QUOTE);
        /* A quote of the other version. */
        make_ip(message + 8, is_ipv6 ? good4[0] : good6[0], is_ipv6 ? good4[1] : good6[1], 17,
                payload, 8);
        assert_int_equal(run(is_ipv6, message, 8 + (is_ipv6 ? 28 : 48)), DROP_QUOTE);
    }
}

static void test_cut_errors(void **state)
{
    const struct translation t = sample_translation();
    for (int is_ipv6 = 0; is_ipv6 <= 1; is_ipv6++) {
        uint8_t message[100] = {(uint8_t)(is_ipv6 ? 1 : 3), 1}, payload[16] = {0};
        make_ip(message + 8, is_ipv6 ? &t.remote.peer_ipv6 : &t.remote.peer_ipv4,
                is_ipv6 ? &t.remote.own_ipv6 : &t.remote.own_ipv4, 17, payload, sizeof(payload));
        for (size_t len = 0; len < 64; len++) {
            const size_t header = is_ipv6 ? 48 : 28;
            assert_int_equal(run(is_ipv6, message, len), len < 8        ? DROP_MALFORMED
                                                         : len < header ? DROP_QUOTE
                                                                        : DROP_NONE);
        }
    }
}

/* A later fragment in the quote: only its header is translated. */
static void test_quoted_fragment(void **state)
{
    const struct translation t = sample_translation();
    const struct inner inner = {.next_header = 1};
    uint8_t message[80] = {11, 1}, payload[16];
    struct packet packet;
    memset(payload, 0x77, sizeof(payload));
    const size_t len = 8 + make_ip(message + 8, &t.remote.peer_ipv4, &t.remote.own_ipv4, 6, payload,
                                   sizeof(payload));
    put_u16(message + 8 + 6, 100);
    packet_fill(&packet, message, len);
    assert_int_equal(translate_in(&t, &packet, &inner), DROP_NONE);
    assert_memory_equal(packet.data + 20 + 8 + 20, payload, sizeof(payload));
    assert_memory_equal(packet.data + 20 + 8 + 12, t.local.own_ipv4.bytes, 4);
    assert_memory_equal(packet.data + 20 + 8 + 16, t.local.peer_ipv4.bytes, 4);
}

/* An error in fragments cannot be translated. */
static void test_fragmented_error(void **state)
{
    const struct translation t = sample_translation();
    const struct inner inner = {.next_header = 4};
    uint8_t message[64] = {3, 3}, bytes[128];
    struct packet packet;
    const size_t len =
        make_ip(bytes, &t.remote.own_ipv4, &t.remote.peer_ipv4, 1, message, sizeof(message));
    put_u16(bytes + 6, 0x2000);
    packet_fill(&packet, bytes, len);
    assert_int_equal(translate_in(&t, &packet, &inner), DROP_QUOTE);
    bytes[20] = 8; /* a big ping may come so */
    packet_fill(&packet, bytes, len);
    assert_int_equal(translate_in(&t, &packet, &inner), DROP_NONE);
}

static void test_router_messages(void **state)
{
    for (unsigned int type = 0; type < 256; type++) {
        const uint8_t message[64] = {(uint8_t)type};
        const bool is_router4 = type == 5 || type == 9 || type == 10;
        const bool is_router6 = type >= 133 && type <= 137;
        assert_int_equal(run(false, message, sizeof(message)) == DROP_ROUTER_MESSAGE, is_router4);
        assert_int_equal(run(true, message, sizeof(message)) == DROP_ROUTER_MESSAGE, is_router6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),     cmocka_unit_test(test_own_errors_pass),
        cmocka_unit_test(test_foreign_quotes),  cmocka_unit_test(test_cut_errors),
        cmocka_unit_test(test_quoted_fragment), cmocka_unit_test(test_fragmented_error),
        cmocka_unit_test(test_router_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
