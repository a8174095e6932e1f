/* The connector's half of behaviour discovery: what it answers, from where, to whom, and how much.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "path/binding.h"
#include "sim.h"
#include "wire/stun.h"

static const uint8_t id[STUN_TRANSACTION_LEN] = "transaction";
static const uint8_t key[BINDING_TICKET_KEY_LEN] = "0123456789abcdef0123456789abcdef";

struct request {
    bool has_change, change_address, change_port, has_ticket, has_fingerprint;
    uint16_t response_port;
    size_t padding; /* + 1; 0: none */
    const uint8_t *ticket;
};

struct answer {
    int error;
    uint8_t data[BINDING_DISCOVERY_CAP];
    size_t len;
    struct binding_route route;
    struct stun_message m; /* only with ERR_OK */
};

static size_t build(const struct request *r, uint8_t data[1600])
{
    struct writer w;
    writer_init(&w, data, 1600);
    stun_build_begin(&w, STUN_REQUEST, STUN_BINDING, id);
    if (r->has_change)
        stun_build_change_request(&w, r->change_address, r->change_port);
    if (r->response_port != 0)
        stun_build_response_port(&w, r->response_port);
    if (r->has_ticket)
        stun_build_ticket(&w, r->ticket != NULL ? r->ticket : id,
                          r->ticket != NULL ? BINDING_TICKET_LEN : 0);
    if (r->padding > 0)
        stun_build_padding(&w, r->padding - 1);
    if (r->has_fingerprint)
        stun_build_fingerprint(&w);
    assert_int_equal(stun_build_end(&w), ERR_OK);
    return w.len;
}

static struct binding_server full_server(const char *at, const char *other)
{
    return (struct binding_server){sim_endpoint(at), sim_endpoint(other), key, 5000};
}

static struct answer discover(const struct request *r, const char *from,
                              const struct binding_server *server)
{
    uint8_t data[1600];
    const struct endpoint source = sim_endpoint(from);
    struct answer a = {.route = {.port = 77}};
    struct writer w;
    const size_t len = build(r, data);
    writer_init(&w, a.data, sizeof a.data);
    a.error = binding_discover(data, len, &source, server, &w, &a.route);
    a.len = w.len;
    if (a.error != ERR_OK) {
        assert_int_equal(a.route.port, 77); /* untouched */
        return a;
    }
    assert_int_equal(stun_parse(a.data, a.len, &a.m), ERR_OK);
    /* Never more than was asked with, but for a plain answer's address or error. */
    assert_true(a.len <= len || a.len <= BINDING_ANSWER_CAP);
    if (a.route.change_address || a.route.change_port || a.route.port != 0)
        assert_true(a.len <= len);
    return a;
}

static void expect(const struct endpoint *e, const char *text)
{
    const struct endpoint expected = sim_endpoint(text);
    assert_true(endpoint_is_equal(e, &expected));
}

static void test_plain_requests_get_plain_answers(void **state)
{
    const struct request plain = {.has_fingerprint = false};
    const struct binding_server server = full_server("203.0.113.1:4500", "203.0.113.2:4501");
    const struct answer a = discover(&plain, "198.51.100.1:5", &server);
    assert_int_equal(a.error, ERR_OK);
    assert_int_equal(a.len, 32);
    assert_false(a.m.has_response_origin || a.m.has_other_address || a.m.other_port != 0);
    expect(&a.m.xor_mapped, "198.51.100.1:5");
}

static void test_room(void **state)
{
    static const char *const froms[] = {"198.51.100.1:5", "[2001:db8::1]:5"};
    for (size_t i = 0; i < 2; i++) {
        const struct binding_server server =
            i == 0 ? full_server("203.0.113.1:4500", "203.0.113.2:4501")
                   : full_server("[2001:db8::11]:4500", "[2001:db8::12]:4501");
        for (size_t padding = 0; padding <= 140; padding += 4) {
            const struct request r = {
                .padding = 1 + padding, .has_ticket = true, .has_fingerprint = padding % 8 == 0};
            const struct answer a = discover(&r, froms[i], &server);
            assert_int_equal(a.error, ERR_OK);
            if (padding < 100)
                continue;
            assert_true(a.m.has_response_origin && a.m.has_other_address);
            expect(&a.m.response_origin, i == 0 ? "203.0.113.1:4500" : "[2001:db8::11]:4500");
            expect(&a.m.other_address, i == 0 ? "203.0.113.2:4501" : "[2001:db8::12]:4501");
            assert_int_equal(a.m.ticket_len, BINDING_TICKET_LEN);
            assert_int_equal(a.m.has_fingerprint, r.has_fingerprint);
        }
    }
}

static void test_changes(void **state)
{
    static const struct {
        bool change_address, change_port;
        const char *origin;
    } cases[] = {{false, false, "203.0.113.1:4500"},
                 {false, true, "203.0.113.1:4501"},
                 {true, false, "203.0.113.2:4500"},
                 {true, true, "203.0.113.2:4501"}};
    for (size_t i = 0; i < 4; i++) {
        struct request r = {.has_change = true,
                            .change_address = cases[i].change_address,
                            .change_port = cases[i].change_port,
                            .padding = 101};
        struct binding_server server = full_server("203.0.113.1:4500", "203.0.113.2:4501");
        struct answer a = discover(&r, "198.51.100.1:5", &server);
        assert_int_equal(a.error, ERR_OK);
        assert_int_equal(a.m.class, STUN_SUCCESS);
        assert_int_equal(a.route.change_address, cases[i].change_address);
        assert_int_equal(a.route.change_port, cases[i].change_port);
        assert_int_equal(a.route.port, 0);
        expect(&a.m.response_origin, cases[i].origin);
        /* Without room for the answer nothing leaves from elsewhere. */
        r.padding = 0;
        a = discover(&r, "198.51.100.1:5", &server);
        assert_int_equal(a.error, ERR_INVALID);
        /* One address: only the port changes. */
        server = full_server("203.0.113.1:4500", "203.0.113.1:4501");
        r.padding = 101;
        a = discover(&r, "198.51.100.1:5", &server);
        assert_int_equal(a.m.class, cases[i].change_address ? STUN_ERROR : STUN_SUCCESS);
        assert_false(a.route.change_address || (cases[i].change_address && a.route.change_port));
        assert_false(a.m.has_other_address);
        assert_int_equal(a.m.other_port, cases[i].change_address ? 0 : 4501);
        assert_int_equal(a.m.error_code, cases[i].change_address ? STUN_UNKNOWN_ATTRIBUTE : 0);
        /* Neither: RFC 5780, 6.1. */
        server.other.port = 0;
        a = discover(&r, "198.51.100.1:5", &server);
        assert_int_equal(a.m.error_code, STUN_UNKNOWN_ATTRIBUTE);
        assert_false(a.route.change_address || a.route.change_port);
    }
}

static void test_tickets(void **state)
{
    const struct request wish = {.has_ticket = true, .padding = 101};
    struct binding_server server = full_server("203.0.113.1:4500", "203.0.113.2:4501");
    uint8_t ticket[BINDING_TICKET_LEN];
    struct answer a = discover(&wish, "198.51.100.1:5555", &server);
    assert_int_equal(a.m.ticket_len, sizeof ticket);
    memcpy(ticket, a.m.ticket, sizeof ticket);

    /* Asked from another port of the same address. */
    struct request r = {.response_port = 5555, .has_ticket = true, .ticket = ticket};
    a = discover(&r, "198.51.100.1:6", &server);
    assert_int_equal(a.m.class, STUN_SUCCESS);
    assert_int_equal(a.route.port, 5555);
    expect(&a.m.xor_mapped, "198.51.100.1:6");
    /* Nobody else's address, no other port, no changed bit, not for ever. */
    a = discover(&r, "198.51.100.2:6", &server);
    assert_int_equal(a.m.error_code, STUN_UNKNOWN_ATTRIBUTE);
    assert_int_equal(a.route.port, 0);
    r.response_port = 5556;
    a = discover(&r, "198.51.100.1:6", &server);
    assert_int_equal(a.m.error_code, STUN_UNKNOWN_ATTRIBUTE);
    assert_int_equal(a.route.port, 0);
    r.response_port = 5555;
    for (size_t bit = 0; bit < 8 * sizeof ticket; bit++) {
        ticket[bit / 8] ^= (uint8_t)(1u << bit % 8);
        a = discover(&r, "198.51.100.1:6", &server);
        assert_int_equal(a.m.error_code, STUN_UNKNOWN_ATTRIBUTE);
        assert_int_equal(a.route.port, 0);
        ticket[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    const struct endpoint port = sim_endpoint("198.51.100.1:5555"),
                          from = sim_endpoint("198.51.100.1:6");
    assert_true(binding_has_seen(key, &port, ticket, sizeof ticket, server.now_s));
    assert_false(binding_has_seen(key, &from, ticket, sizeof ticket, server.now_s));
    assert_false(binding_has_seen(key, &port, ticket, sizeof ticket - 1, server.now_s));
    assert_false(binding_has_seen(key, &port, ticket, sizeof ticket,
                                  server.now_s + BINDING_TICKET_LIFE_S + 1));
    server.now_s += BINDING_TICKET_LIFE_S;
    assert_int_equal(discover(&r, "198.51.100.1:6", &server).route.port, 5555);
    server.now_s++;
    assert_int_equal(discover(&r, "198.51.100.1:6", &server).route.port, 0);
    server.now_s = 4999; /* a ticket of the future: another server's */
    assert_int_equal(discover(&r, "198.51.100.1:6", &server).route.port, 0);
    /* RFC 5780, 7.5: not with PADDING. */
    server.now_s = 5000;
    r.padding = 41;
    a = discover(&r, "198.51.100.1:6", &server);
    assert_int_equal(a.m.error_code, STUN_BAD_REQUEST);
    assert_int_equal(a.route.port, 0);
    /* Nor with a ticket and a change, nor without a ticket, nor where none are given. */
    r = (struct request){.response_port = 5555, .has_ticket = true, .ticket = ticket};
    r.has_change = r.change_port = true;
    assert_int_equal(discover(&r, "198.51.100.1:6", &server).m.error_code, STUN_BAD_REQUEST);
    r.has_change = r.has_ticket = false;
    assert_int_equal(discover(&r, "198.51.100.1:6", &server).m.error_code, STUN_UNKNOWN_ATTRIBUTE);
    server.ticket_key = NULL;
    r.has_ticket = true;
    assert_int_equal(discover(&r, "198.51.100.1:6", &server).m.error_code, STUN_UNKNOWN_ATTRIBUTE);
}

static void test_long_requests(void **state)
{
    const struct binding_server server = full_server("203.0.113.1:4500", "203.0.113.2:4501");
    struct request r = {.padding = 1 + BINDING_REQUEST_LEN_MAX - 24};
    const struct answer a = discover(&r, "198.51.100.1:5", &server);
    assert_int_equal(a.error, ERR_OK);
    assert_true(a.len <= BINDING_DISCOVERY_CAP);
    r.padding += 4;
    assert_int_equal(discover(&r, "198.51.100.1:5", &server).error, ERR_INVALID);
}

static void test_costly(void **state)
{
    static const struct {
        struct request request;
        bool is_costly;
    } cases[] = {{{.has_fingerprint = true}, false}, {{.padding = 105}, false},
                 {{.padding = 401}, true},           {{.has_change = true, .padding = 101}, true},
                 {{.has_change = true}, true},       {{.response_port = 5}, true}};
    uint8_t data[1600];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t len = build(&cases[i].request, data);
        assert_int_equal(binding_is_costly(data, len), cases[i].is_costly);
    }
    assert_false(binding_is_costly("x", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_requests_get_plain_answers),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_tickets),
        cmocka_unit_test(test_long_requests),
        cmocka_unit_test(test_costly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
