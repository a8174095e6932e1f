/* Whether packets get in unasked, asked of the connector's own STUN engine through filters of all
 * kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "path/binding.h"
#include "path/openness.h"

enum filter { OPEN, BY_ADDRESS, BY_ADDRESS_AND_PORT };

/* Connector, NAT and host. */
struct world {
    struct openness *openness;
    struct endpoint server, other, host, mapped;
    bool has_second_address, is_plain; /* of the connector; plain: RFC 8489 alone */
    bool is_symmetric;                 /* the NAT: another port to each destination */
    enum filter filter;
    unsigned lose; /* so many of the first requests */
    uint64_t now_us;
    unsigned sent;
    uint8_t last[BINDING_DISCOVERY_CAP]; /* what the host got last */
    size_t last_len;
    struct endpoint last_from;
    bool has_sent_elsewhere;
};

static struct endpoint at(uint32_t address, uint16_t port)
{
    return (struct endpoint){address_from_ipv4(address), port};
}

static void init(struct world *w, bool has_second_address, enum filter filter)
{
    memset(w, 0, sizeof *w);
    w->server = at(0xcb00710a, 4500);
    w->other = has_second_address ? at(0xcb007163, 4501) : at(0xcb00710a, 4501);
    w->host = at(0x0a000102, 32589);
    w->mapped = at(0xc6336405, 41000);
    w->has_second_address = has_second_address;
    w->filter = filter;
    w->now_us = SECOND_US;
    assert_int_equal(openness_new(&w->server, NULL, w->now_us, &w->openness), ERR_OK);
}

static bool gets_in(const struct world *w, const struct endpoint *from)
{
    if (w->has_sent_elsewhere || w->filter == OPEN || endpoint_is_equal(from, &w->server))
        return true;
    return w->filter == BY_ADDRESS && address_is_equal(&from->address, &w->server.address);
}

static void serve(struct world *w, const uint8_t *data, size_t len, const struct endpoint *to)
{
    const bool is_elsewhere = endpoint_is_equal(to, &w->other);
    struct endpoint from = w->mapped, origin = {0};
    struct binding_route route = {0};
    struct binding_server server = {.at = *to, .other = is_elsewhere ? w->server : w->other};
    struct writer out;
    if (w->is_symmetric && is_elsewhere)
        from.port++;
    if (w->is_plain)
        server.other.port = 0;
    writer_init(&out, w->last, sizeof w->last);
    if (binding_discover(data, len, &from, &server, &out, &route) != ERR_OK)
        return;
    origin.address = route.change_address ? server.other.address : to->address;
    origin.port = route.change_port ? server.other.port : to->port;
    w->has_sent_elsewhere |= is_elsewhere;
    w->last_len = out.len;
    w->last_from = origin;
    if (gets_in(w, &origin))
        assert_int_equal(openness_receive(w->openness, w->last, w->last_len, &origin, w->now_us),
                         ERR_OK);
}

static struct openness_result run(struct world *w)
{
    struct openness_result result = {0};
    while (!openness_is_done(w->openness, &result)) {
        uint8_t data[OPENNESS_CAP];
        struct endpoint to;
        struct writer out;
        writer_init(&out, data, sizeof data);
        if (openness_transmit(w->openness, &out, &to, w->now_us) == ERR_OK) {
            assert_true(out.len <= OPENNESS_CAP);
            if (++w->sent > w->lose)
                serve(w, data, out.len, &to);
            continue;
        }
        assert_true(openness_deadline(w->openness) > w->now_us);
        w->now_us = openness_deadline(w->openness);
        openness_expire(w->openness, w->now_us);
    }
    assert_true(openness_deadline(w->openness) == DEADLINE_NEVER);
    openness_free(w->openness);
    return result;
}

static void test_filters(void **state)
{
    static const enum filter filters[] = {OPEN, BY_ADDRESS, BY_ADDRESS_AND_PORT};
    for (int has_second = 0; has_second <= 1; has_second++) {
        for (int i = 0; i < 3; i++) {
            struct world w;
            init(&w, has_second, filters[i]);
            const struct openness_result r = run(&w);
            assert_true(r.is_known);
            assert_true(endpoint_is_equal(&r.mapped, &w.mapped));
            assert_int_equal(r.is_open,
                             filters[i] == OPEN || (filters[i] == BY_ADDRESS && !has_second));
            assert_int_equal(r.is_by_address, r.is_open && has_second);
            assert_int_equal(r.is_mapping_same, r.is_by_address);
            assert_true(w.now_us <= 12 * SECOND_US);
        }
    }
}

static void test_symmetric(void **state)
{
    struct world w;
    init(&w, true, OPEN);
    w.is_symmetric = true;
    const struct openness_result r = run(&w);
    assert_true(r.is_open && r.is_by_address && !r.is_mapping_same);
}

static void test_servers_that_cannot(void **state)
{
    struct world w;
    init(&w, false, OPEN);
    w.is_plain = true;
    struct openness_result r = run(&w);
    assert_false(r.is_known || r.is_open);
    init(&w, true, OPEN);
    w.lose = 1000; /* gone */
    r = run(&w);
    assert_false(r.is_known || r.is_open);
    assert_int_equal(w.sent, OPENNESS_TRIES);
}

static void test_losses(void **state)
{
    for (unsigned lose = 1; lose < OPENNESS_TRIES; lose++) {
        struct world w;
        init(&w, true, OPEN);
        w.lose = lose;
        const struct openness_result r = run(&w);
        assert_true(r.is_open && r.is_by_address && r.is_mapping_same);
    }
}

/* Sends the first request, answers it, and leaves the second one unanswered at the NAT. */
static void ask_unasked(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        uint8_t data[OPENNESS_CAP];
        struct endpoint to;
        struct writer out;
        writer_init(&out, data, sizeof data);
        assert_int_equal(openness_transmit(w->openness, &out, &to, w->now_us), ERR_OK);
        serve(w, data, out.len, &to);
    }
}

/* Nothing but the very answer proves anything, and only from where it has to come. */
static void test_forged(void **state)
{
    struct world w;
    struct openness_result result;
    uint8_t forged[BINDING_DISCOVERY_CAP];
    init(&w, true, BY_ADDRESS_AND_PORT);
    ask_unasked(&w);
    for (size_t cut = 0; cut < w.last_len; cut++)
        assert_true(openness_receive(w.openness, w.last, cut, &w.last_from, w.now_us) < 0);
    for (size_t byte = 0; byte < w.last_len; byte++) {
        memcpy(forged, w.last, w.last_len);
        if (byte >= 20)
            continue; /* what follows the header is for the mapped address alone */
        forged[byte] ^= 0x40;
        (void)!openness_receive(w.openness, forged, w.last_len, &w.last_from, w.now_us);
        assert_false(openness_is_done(w.openness, &result) && result.is_open);
    }
    const struct endpoint strangers[] = {at(0xcb007164, 4501), at(0xcb007163, 4500),
                                         at(0xcb007163, 4502)};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(openness_receive(w.openness, w.last, w.last_len, &strangers[i], w.now_us),
                         ERR_NOT_FOUND);
    assert_false(openness_is_done(w.openness, &result));
    openness_free(w.openness);
    /* A server that answers from where it was asked, as if it had not understood. */
    init(&w, true, BY_ADDRESS_AND_PORT);
    ask_unasked(&w);
    assert_int_equal(openness_receive(w.openness, w.last, w.last_len, &w.server, w.now_us), ERR_OK);
    assert_true(openness_is_done(w.openness, &result));
    assert_false(result.is_open);
    /* Late, when all is over. */
    assert_int_equal(openness_receive(w.openness, w.last, w.last_len, &w.last_from, w.now_us),
                     ERR_NOT_FOUND);
    openness_free(w.openness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_symmetric),
        cmocka_unit_test(test_servers_that_cannot),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_forged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
