/* STUN Binding: the client against the server, and against a lying and a silent one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "path/binding.h"
#include "path/reflexive.h"
#include "sim.h"
#include "wire/stun.h"

#define SERVER "203.0.113.200:4500"

struct fixture {
    struct reflexive *reflexive;
    struct endpoint server;
    uint64_t now_us;
    uint8_t request[REFLEXIVE_DATAGRAM_CAP];
    size_t request_len;
};

static struct fixture start(void)
{
    struct fixture f = {.server = sim_endpoint(SERVER), .now_us = 7 * SECOND_US};
    assert_int_equal(reflexive_new(&f.server, 0, f.now_us, &f.reflexive), ERR_OK);
    return f;
}

static bool transmit(struct fixture *f)
{
    struct writer w;
    struct endpoint to;
    writer_init(&w, f->request, sizeof f->request);
    const int error = reflexive_transmit(f->reflexive, &w, &to, f->now_us);
    if (error == ERR_AGAIN)
        return false;
    assert_int_equal(error, ERR_OK);
    assert_true(endpoint_is_equal(&to, &f->server));
    f->request_len = w.len;
    return true;
}

static size_t answer(const struct fixture *f, const char *seen, uint8_t ret[BINDING_ANSWER_CAP])
{
    const struct endpoint from = sim_endpoint(seen);
    struct writer w;
    writer_init(&w, ret, BINDING_ANSWER_CAP);
    assert_int_equal(binding_answer(f->request, f->request_len, &from, &w), ERR_OK);
    return w.len;
}

static void expect(struct fixture *f, enum reflexive_event_type type, const char *endpoint)
{
    struct reflexive_event event;
    assert_true(reflexive_next_event(f->reflexive, &event));
    assert_int_equal(event.type, type);
    if (endpoint != NULL) {
        const struct endpoint e = sim_endpoint(endpoint);
        assert_true(endpoint_is_equal(&event.endpoint, &e));
    }
    assert_false(reflexive_next_event(f->reflexive, &event));
}

static void test_found_and_changed(void **state)
{
    struct fixture f = start();
    uint8_t reply[BINDING_ANSWER_CAP];
    struct reflexive_event event;
    assert_null(reflexive_endpoint(f.reflexive));
    assert_true(transmit(&f));
    assert_false(transmit(&f));
    f.now_us += 30 * MS_US;
    size_t len = answer(&f, "198.51.100.1:20000", reply);
    assert_int_equal(reflexive_receive(f.reflexive, reply, len, &f.server, f.now_us), ERR_OK);
    expect(&f, REFLEXIVE_FOUND, "198.51.100.1:20000");
    assert_int_equal(reflexive_round_trip_us(f.reflexive), 30 * MS_US);
    /* The same once more is nobody's. */
    assert_int_equal(reflexive_receive(f.reflexive, reply, len, &f.server, f.now_us),
                     ERR_NOT_FOUND);

    assert_true(reflexive_deadline(f.reflexive) == f.now_us + REFLEXIVE_REFRESH_US);
    const struct fixture before = f;
    f.now_us += REFLEXIVE_REFRESH_US;
    reflexive_expire(f.reflexive, f.now_us);
    assert_true(transmit(&f));
    assert_memory_not_equal(before.request + 8, f.request + 8, STUN_TRANSACTION_LEN);
    len = answer(&f, "198.51.100.1:20000", reply);
    assert_int_equal(reflexive_receive(f.reflexive, reply, len, &f.server, f.now_us), ERR_OK);
    assert_false(reflexive_next_event(f.reflexive, &event)); /* no news */

    reflexive_refresh(f.reflexive, f.now_us);
    assert_true(transmit(&f));
    len = answer(&f, "[2001:db8::1]:20001", reply);
    assert_int_equal(reflexive_receive(f.reflexive, reply, len, &f.server, f.now_us), ERR_OK);
    expect(&f, REFLEXIVE_CHANGED, "[2001:db8::1]:20001");
    reflexive_free(f.reflexive);
}

static void test_not_ours(void **state)
{
    struct fixture f = start();
    uint8_t reply[BINDING_ANSWER_CAP + 1];
    assert_true(transmit(&f));
    const size_t len = answer(&f, "198.51.100.1:20000", reply);
    const struct endpoint elsewhere = sim_endpoint("203.0.113.200:4501");
    assert_int_equal(reflexive_receive(f.reflexive, reply, len, &elsewhere, f.now_us),
                     ERR_NOT_FOUND);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_not_equal(reflexive_receive(f.reflexive, reply, cut, &f.server, f.now_us),
                             ERR_OK);
    for (size_t at = 8; at < STUN_HEADER_LEN; at++) {
        reply[at] ^= 1;
        assert_int_equal(reflexive_receive(f.reflexive, reply, len, &f.server, f.now_us),
                         ERR_NOT_FOUND);
        reply[at] ^= 1;
    }
    /* Our own request, sent back. */
    assert_int_equal(reflexive_receive(f.reflexive, f.request, f.request_len, &f.server, f.now_us),
                     ERR_NOT_FOUND);
    assert_int_equal(reflexive_receive(f.reflexive, reply, len, &f.server, f.now_us), ERR_OK);
    reflexive_free(f.reflexive);
}

static void test_lies(void **state)
{
    static const char *const seen[] = {"0.0.0.0:5", "224.0.0.1:5", "[::]:5"};
    for (size_t i = 0; i < sizeof seen / sizeof seen[0]; i++) {
        struct fixture f = start();
        uint8_t reply[BINDING_ANSWER_CAP];
        assert_true(transmit(&f));
        const size_t len = answer(&f, seen[i], reply);
        assert_int_equal(reflexive_receive(f.reflexive, reply, len, &f.server, f.now_us),
                         ERR_INVALID);
        assert_null(reflexive_endpoint(f.reflexive));
        reflexive_free(f.reflexive);
    }
}

static void run_into_loss(struct fixture *f)
{
    unsigned sent = 0;
    struct reflexive_event event;
    const uint64_t start_us = f->now_us;
    const bool was_known = reflexive_endpoint(f->reflexive) != NULL;
    for (;;) {
        sent += transmit(f);
        assert_int_equal(reflexive_is_silent(f->reflexive),
                         was_known && f->now_us - start_us >= 1400 * MS_US);
        assert_false(reflexive_next_event(f->reflexive, &event));
        assert_true(reflexive_deadline(f->reflexive) > f->now_us);
        f->now_us = reflexive_deadline(f->reflexive);
        reflexive_expire(f->reflexive, f->now_us);
        if (sent == REFLEXIVE_TRIES)
            break;
    }
    assert_true(f->now_us - start_us == 7800 * MS_US);
}

static void test_lost_and_found(void **state)
{
    struct fixture f = start();
    uint8_t reply[BINDING_ANSWER_CAP];
    struct reflexive_event event;
    run_into_loss(&f);
    expect(&f, REFLEXIVE_LOST, NULL);
    /* Retries go on, but tell nothing new. */
    for (int i = 0; i < 5; i++) {
        assert_false(transmit(&f));
        const uint64_t wait_us = reflexive_deadline(f.reflexive) - f.now_us;
        assert_true(wait_us >= REFLEXIVE_RETRY_US && wait_us <= REFLEXIVE_RETRY_MAX_US);
        f.now_us += wait_us;
        reflexive_expire(f.reflexive, f.now_us);
        run_into_loss(&f);
        assert_false(reflexive_next_event(f.reflexive, &event));
    }
    f.now_us = reflexive_deadline(f.reflexive);
    reflexive_expire(f.reflexive, f.now_us);
    assert_true(transmit(&f));
    const size_t len = answer(&f, "198.51.100.1:1", reply);
    assert_int_equal(reflexive_receive(f.reflexive, reply, len, &f.server, f.now_us), ERR_OK);
    expect(&f, REFLEXIVE_FOUND, "198.51.100.1:1");
    f.now_us += REFLEXIVE_REFRESH_US;
    reflexive_expire(f.reflexive, f.now_us);
    run_into_loss(&f);
    expect(&f, REFLEXIVE_LOST, "198.51.100.1:1");
    assert_false(reflexive_is_silent(f.reflexive));
    assert_null(reflexive_endpoint(f.reflexive));
    reflexive_free(f.reflexive);
}

static void test_binding(void **state)
{
    static const uint8_t id[STUN_TRANSACTION_LEN] = {1, 2, 3};
    const struct endpoint from = sim_endpoint("[2001:db8::7]:4500");
    uint8_t request[600], reply[BINDING_ANSWER_CAP];
    struct writer w, out;
    struct stun_message m;
    writer_init(&w, request, sizeof request);
    stun_build_begin(&w, STUN_REQUEST, STUN_BINDING, id);
    stun_build_fingerprint(&w);
    assert_int_equal(stun_build_end(&w), ERR_OK);
    writer_init(&out, reply, sizeof reply);
    assert_int_equal(binding_answer(request, w.len, &from, &out), ERR_OK);
    assert_int_equal(stun_parse(reply, out.len, &m), ERR_OK);
    assert_int_equal(m.class, STUN_SUCCESS);
    assert_memory_equal(m.transaction_id, id, sizeof id);
    assert_true(m.has_fingerprint && m.is_fingerprint_right);
    assert_true(endpoint_is_equal(&m.xor_mapped, &from));
    assert_true(out.len <= w.len + 24); /* amplification */

    for (size_t cut = 0; cut < w.len; cut++) {
        writer_init(&out, reply, sizeof reply);
        assert_int_not_equal(binding_answer(request, cut, &from, &out), ERR_OK);
        assert_int_equal(out.len, 0);
    }
    request[w.len - 1] ^= 1; /* FINGERPRINT wrong */
    writer_init(&out, reply, sizeof reply);
    assert_int_equal(binding_answer(request, w.len, &from, &out), ERR_INVALID);
    request[w.len - 1] ^= 1;
    request[4] ^= 1; /* no cookie */
    assert_int_not_equal(binding_answer(request, w.len, &from, &out), ERR_OK);

    static const enum stun_class classes[] = {STUN_INDICATION, STUN_SUCCESS, STUN_ERROR};
    for (size_t i = 0; i < 3; i++) {
        writer_init(&w, request, sizeof request);
        stun_build_begin(&w, classes[i], STUN_BINDING, id);
        assert_int_equal(stun_build_end(&w), ERR_OK);
        writer_init(&out, reply, sizeof reply);
        assert_int_equal(binding_answer(request, w.len, &from, &out), ERR_NOT_FOUND);
        assert_int_equal(out.len, 0);
    }
    writer_init(&w, request, sizeof request);
    stun_build_begin(&w, STUN_REQUEST, 0x003, id);
    assert_int_equal(stun_build_end(&w), ERR_OK);
    assert_int_equal(binding_answer(request, w.len, &from, &out), ERR_UNSUPPORTED);
    memset(request, 0, sizeof request);
    assert_int_not_equal(binding_answer(request, sizeof request, &from, &out), ERR_OK);
}

static void test_binding_unknown(void **state)
{
    /* CHANGE-REQUEST (0x0003) twelve times: comprehension is required, and not there. */
    uint8_t request[20 + 12 * 8] = {0, 1, 0, 12 * 8, 0x21, 0x12, 0xa4, 0x42};
    for (size_t i = 0; i < 12; i++) {
        request[20 + 8 * i + 1] = 3;
        request[20 + 8 * i + 3] = 4;
    }
    const struct endpoint from = sim_endpoint("192.0.2.7:4500");
    uint8_t reply[BINDING_ANSWER_CAP];
    struct writer out;
    struct stun_message m;
    writer_init(&out, reply, sizeof reply);
    assert_int_equal(binding_answer(request, sizeof request, &from, &out), ERR_OK);
    assert_int_equal(stun_parse(reply, out.len, &m), ERR_OK);
    assert_int_equal(m.class, STUN_ERROR);
    assert_int_equal(m.error_code, STUN_UNKNOWN_ATTRIBUTE);
    assert_false(m.has_xor_mapped);
}

/* The wish for a ticket: now and then, in a request as long as its answer; not where it is refused.
 */
static void test_ticket(void **state)
{
    static const uint8_t key[BINDING_TICKET_KEY_LEN] = "0123456789abcdef0123456789abcdef";
    struct fixture f = start();
    struct binding_server server = {.at = f.server, .ticket_key = key, .now_s = 5000};
    struct endpoint from = sim_endpoint("198.51.100.7:1234");
    uint8_t data[BINDING_DISCOVERY_CAP];
    struct binding_route route;
    size_t len;
    server.other = sim_endpoint("203.0.113.201:4501");
    reflexive_want_ticket(f.reflexive);
    assert_null(reflexive_ticket(f.reflexive, &len));
    unsigned wishes = 0;
    for (unsigned i = 0; i < 31; i++) { /* ten minutes of refreshes */
        struct writer w;
        assert_true(transmit(&f));
        wishes += f.request_len == REFLEXIVE_WISH_LEN;
        writer_init(&w, data, sizeof data);
        assert_int_equal(binding_discover(f.request, f.request_len, &from, &server, &w, &route),
                         ERR_OK);
        assert_true(w.len <= f.request_len || w.len <= BINDING_ANSWER_CAP);
        assert_int_equal(reflexive_receive(f.reflexive, data, w.len, &f.server, f.now_us), ERR_OK);
        const uint8_t *ticket = reflexive_ticket(f.reflexive, &len);
        assert_non_null(ticket);
        assert_true(binding_has_seen(key, &from, ticket, len, server.now_s));
        f.now_us = reflexive_deadline(f.reflexive);
        server.now_s = 5000 + (uint32_t)(f.now_us / SECOND_US);
        reflexive_expire(f.reflexive, f.now_us);
    }
    assert_int_equal(wishes, 3);
    /* Of another endpoint it proves nothing. */
    assert_true(transmit(&f));
    const size_t answer_len = answer(&f, "198.51.100.7:4321", data);
    assert_int_equal(reflexive_receive(f.reflexive, data, answer_len, &f.server, f.now_us), ERR_OK);
    assert_null(reflexive_ticket(f.reflexive, &len));
    reflexive_free(f.reflexive);

    /* A server that knows no PADDING is asked without, at once. */
    f = start();
    reflexive_want_ticket(f.reflexive);
    assert_true(transmit(&f));
    struct stun_message request;
    assert_int_equal(stun_parse(f.request, f.request_len, &request), ERR_OK);
    static const uint16_t padding = STUN_PADDING;
    struct writer w;
    writer_init(&w, data, sizeof data);
    stun_build_begin(&w, STUN_ERROR, STUN_BINDING, request.transaction_id);
    stun_build_error(&w, STUN_UNKNOWN_ATTRIBUTE, "");
    stun_build_unknown(&w, &padding, 1);
    assert_int_equal(stun_build_end(&w), ERR_OK);
    assert_int_equal(reflexive_receive(f.reflexive, data, w.len, &f.server, f.now_us), ERR_OK);
    assert_true(transmit(&f));
    assert_true(f.request_len < REFLEXIVE_WISH_LEN);
    len = answer(&f, "198.51.100.7:1234", data);
    assert_int_equal(reflexive_receive(f.reflexive, data, len, &f.server, f.now_us), ERR_OK);
    expect(&f, REFLEXIVE_FOUND, "198.51.100.7:1234");
    reflexive_free(f.reflexive);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_and_changed),
        cmocka_unit_test(test_not_ours),
        cmocka_unit_test(test_lies),
        cmocka_unit_test(test_lost_and_found),
        cmocka_unit_test(test_binding),
        cmocka_unit_test(test_ticket),
        cmocka_unit_test(test_binding_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
