/* What is sealed as one super-packet, and what is opened where it lies in one super-datagram: alike
 * in every byte to packets that come one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ends.h"
#include "tunnel/sput_batch.h"
#include "wire/ip.h"
#include "wire/suite.h"

#define COUNT  20
#define BEFORE 64 /* of the buffer, behind which the first datagram begins */

static const enum suite suites[] = {
    SPUT_PAPER,         SPUT_AES128_GCM,       SPUT_CHACHA20_POLY1305, ESP_AES128_GCM,
    ESP_AES128_GCM_IIV, ESP_AES128_CTR_SHA256, ESP_AES128_CBC_SHA256};

static void add_child(struct ends *e, enum suite suite, enum child_mode mode)
{
    uint8_t forth[SUITE_KEY_CAP], back[SUITE_KEY_CAP];
    for (size_t i = 0; i < SUITE_KEY_CAP; i++) {
        forth[i] = (uint8_t)i;
        back[i] = (uint8_t)(i + 100);
    }
    struct tunnel_child child = {.id = 1,
                                 .suite = suite,
                                 .key_in = back,
                                 .key_out = forth,
                                 .key_len = suite_key_len(suite),
                                 .remote = e->b.view,
                                 .spi_in = 0x1001,
                                 .spi_out = 0x1002,
                                 .mode = mode,
                                 .has_commands = true};
    assert_int_equal(tunnel_add_child(e->a.tunnel, &child), ERR_OK);
    child.key_in = forth;
    child.key_out = back;
    child.spi_in = 0x1002;
    child.spi_out = 0x1001;
    child.remote = e->a.view;
    assert_int_equal(tunnel_add_child(e->b.tunnel, &child), ERR_OK);
    assert_int_equal(tunnel_set_outbound(e->a.tunnel, 1), ERR_OK);
}

/* UDP between the hosts of both ends; of IPv6 on odd turns where asked. */
static void local_packet(const struct end *end, struct packet *packet, bool is_ipv6, size_t len)
{
    static uint8_t udp[2000], bytes[2100];
    const struct view *v = &end->view;
    const struct address *own = is_ipv6 ? &v->own_ipv6 : &v->own_ipv4;
    const struct address *peer = is_ipv6 ? &v->peer_ipv6 : &v->peer_ipv4;
    make_transport(udp, own, peer, 17, 8 + len);
    packet_fill(packet, bytes, make_ip(bytes, own, peer, 17, udp, 8 + len));
}

/* ---- out ---- */

static enum drop_reason begin(struct end *end, struct packet *packet, struct tunnel_run *run)
{
    struct ip_view ip;
    assert_int_equal(ip_parse(packet->data, packet->len, &ip), ERR_OK);
    return tunnel_run_begin(end->tunnel, packet, &ip, NOW, run);
}

static void check_run(enum suite suite, enum child_mode mode, bool is_ipv6)
{
    static struct packet packets[COUNT], plain;
    struct packet *all[COUNT];
    struct tunnel_run run = {0};
    struct tunnel_status one_by_one, together;
    struct sput_batch *batch;
    struct ends e, other;
    ends_init(&e);
    ends_init(&other);
    add_child(&e, suite, mode);
    add_child(&other, suite, mode);
    assert_int_equal(sput_batch_new(&batch), ERR_OK);
    tunnel_read_begin();
    for (unsigned i = 0; i < COUNT; i++) {
        all[i] = &packets[i];
        local_packet(&e.a, all[i], is_ipv6, i == COUNT - 1 ? 7 : 900);
        if (i == 0) {
            assert_int_equal(begin(&e.a, all[i], &run), DROP_NONE);
            assert_ptr_equal(run.tunnel, e.a.tunnel);
            continue;
        }
        (void)packet_pull(all[i], run.header_len);
        assert_int_equal(tunnel_run_seal(&run, all[i]), DROP_NONE);
    }
    local_packet(&e.a, &plain, is_ipv6, 901); /* longer than the first: no packet of this one */
    (void)packet_pull(&plain, run.header_len);
    assert_int_equal(tunnel_run_seal(&run, &plain), DROP_TOO_BIG);
    tunnel_run_end(&run);
    assert_null(run.tunnel);
    sput_batch_seal(batch, all, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        local_packet(&other.a, &plain, is_ipv6, i == COUNT - 1 ? 7 : 900);
        assert_int_equal(tunnel_seal(other.a.tunnel, &plain, NOW), DROP_NONE);
        assert_int_equal(all[i]->len, plain.len);
        assert_memory_equal(all[i]->data, plain.data, plain.len);
        assert_true(endpoint_is_equal(&all[i]->peer, &plain.peer));
        assert_int_equal(all[i]->tos, plain.tos);
    }
    tunnel_read_end();
    tunnel_get_status(e.a.tunnel, &together);
    tunnel_get_status(other.a.tunnel, &one_by_one);
    assert_int_equal(together.packets_out, COUNT);
    assert_int_equal(together.packets_out, one_by_one.packets_out);
    assert_int_equal(together.bytes_out, one_by_one.bytes_out);
    assert_int_equal(together.drops[DROP_TOO_BIG], 1);
    sput_batch_free(batch);
    ends_done(&e);
    ends_done(&other);
}

static void test_runs(void **state)
{
    for (size_t s = 0; s < sizeof(suites) / sizeof(suites[0]); s++) {
        check_run(suites[s], CHILD_BEET, false);
        check_run(suites[s], CHILD_BEET, true);
    }
    check_run(ESP_AES128_GCM, CHILD_TUNNEL, false);
}

/* What the first one may not, none does. */
static void test_no_run(void **state)
{
    static struct packet packet;
    struct tunnel_run run = {0};
    struct ends e;
    ends_init(&e);
    tunnel_read_begin();
    local_packet(&e.a, &packet, false, 100);
    assert_int_equal(begin(&e.a, &packet, &run), DROP_NO_CHILD);
    assert_null(run.tunnel);
    add_child(&e, SPUT_AES128_GCM, CHILD_BEET);
    local_packet(&e.a, &packet, false, 1700);
    assert_int_equal(begin(&e.a, &packet, &run), DROP_TOO_BIG);
    assert_int_equal(packet.len, 1728);
    assert_null(run.tunnel);
    tunnel_read_end();
    ends_done(&e);
}

/* ---- in ---- */

/* All of one length but for the last; of each other one, the tenth is spoilt. */
static void check_lent(enum suite suite, bool is_ipv6, bool foresees)
{
    static uint8_t buffer[BEFORE + COUNT * 1000];
    static struct packet lent[COUNT], plain[COUNT];
    struct packet *all[COUNT];
    struct sput_batch *batch;
    struct tunnel_message message;
    struct ends e, other;
    uint32_t at = BEFORE;
    ends_init(&e);
    ends_init(&other);
    add_child(&e, suite, CHILD_BEET);
    add_child(&other, suite, CHILD_BEET);
    assert_int_equal(sput_batch_new(&batch), ERR_OK);
    memset(buffer, 0xaa, BEFORE);
    for (unsigned i = 0; i < COUNT; i++) {
        local_packet(&e.a, &plain[i], is_ipv6, i == COUNT - 1 ? 7 : 40);
        assert_int_equal(tunnel_seal(e.a.tunnel, &plain[i], NOW), DROP_NONE);
        plain[i].data[plain[i].len - 1] ^= i == 10;
        const uint32_t len = plain[i].len;
        memcpy(buffer + at, plain[i].data, len);
        packet_reset(&lent[i]);
        packet_lend(&lent[i], buffer + at - 16, 16 + len, buffer + at, len);
        lent[i].peer = plain[i].peer = e.a.endpoint;
        all[i] = &lent[i];
        at += len;
    }
    tunnel_read_begin();
    if (foresees)
        sput_batch_foresee(batch, e.b.table, all, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        const enum drop_reason expected = i == 10 ? DROP_NOT_AUTHENTIC : DROP_NONE;
        assert_int_equal(receive(&e.b, &lent[i], &message), expected);
        assert_int_equal(receive(&other.b, &plain[i], &message), expected);
    }
    tunnel_read_end();
    /* None has spoilt what another one has become. */
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(lent[i].len, plain[i].len);
        if (i != 10)
            assert_memory_equal(lent[i].data, plain[i].data, plain[i].len);
    }
    for (unsigned i = 0; i < BEFORE - 16; i++)
        assert_int_equal(buffer[i], 0xaa);
    sput_batch_free(batch);
    ends_done(&e);
    ends_done(&other);
}

static void test_lent(void **state)
{
    for (size_t s = 0; s < sizeof(suites) / sizeof(suites[0]); s++) {
        check_lent(suites[s], false, false);
        check_lent(suites[s], true, false);
        check_lent(suites[s], false, true);
    }
}

static uint64_t dropped(const struct tunnel *tunnel, enum drop_reason reason)
{
    struct tunnel_status status;
    tunnel_get_status(tunnel, &status);
    return status.drops[reason];
}

/* The tunnel that the one before was for is tried first; another one is found all the same, and
 * what is none of both is refused once. */
static void test_likely(void **state)
{
    static struct packet packet, again;
    struct tunnel_message message;
    struct tunnel *tunnel = NULL, *other;
    struct ends e;
    struct view view = {.own_ipv4 = address_of("10.9.0.5"), .peer_ipv4 = address_of("10.9.0.99")};
    ends_init(&e);
    add_child(&e, SPUT_AES128_GCM, CHILD_BEET);
    assert_int_equal(tunnel_add(e.b.table, &view, NULL, &other), ERR_OK);
    tunnel_read_begin();
    for (unsigned i = 0; i < 3; i++) {
        struct tunnel *likely = i % 2 == 0 ? e.b.tunnel : other;
        local_packet(&e.a, &packet, false, 100);
        assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW), DROP_NONE);
        packet.peer = e.a.endpoint;
        packet.data[20] ^= i >= 2;
        packet_fill(&again, packet.data, packet.len);
        again.peer = packet.peer;
        const enum drop_reason expected = i < 2 ? DROP_NONE : DROP_NOT_AUTHENTIC;
        assert_int_equal(tunnel_open_next(e.b.table, likely, &packet, NOW, &tunnel, &message),
                         expected);
        assert_ptr_equal(tunnel, e.b.tunnel);
        assert_int_equal(dropped(e.b.tunnel, DROP_NOT_AUTHENTIC), i < 2 ? 0 : i - 1);
        assert_int_equal(tunnel_open_next(e.b.table, likely, &again, NOW, &tunnel, &message),
                         i < 2 ? DROP_REPLAY : DROP_NOT_AUTHENTIC);
        assert_int_equal(dropped(e.b.tunnel, DROP_REPLAY), i < 2 ? i + 1 : 2);
    }
    tunnel_read_end();
    assert_int_equal(dropped(other, DROP_NOT_AUTHENTIC) + dropped(other, DROP_NO_CHILD), 0);
    ends_done(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_no_run),
        cmocka_unit_test(test_lent),
        cmocka_unit_test(test_likely),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
