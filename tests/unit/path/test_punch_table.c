/* The table of punches: finding the right one, its caps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/deadline.h"
#include "path/check.h"
#include "path/punch_table.h"
#include "sim.h"

static struct punch_config new_config(bool is_controlling)
{
    struct punch_config config = {.is_controlling = is_controlling};
    assert_int_equal(credentials_generate(&config.local), ERR_OK);
    return config;
}

static struct candidate_list one_candidate(uint16_t port)
{
    struct candidate_list list = {.count = 1};
    list.items[0] = (struct candidate){CANDIDATE_HOST, sim_endpoint("198.51.100.9:1")};
    list.items[0].endpoint.port = port;
    return list;
}

static void test_cap(void **state)
{
    struct punch_table *table;
    struct punch *punch = NULL;
    assert_int_equal(punch_table_new(&table), ERR_OK);
    struct punch_config config = new_config(true);
    assert_int_equal(punch_table_open(table, &config, NULL, 0, &punch), ERR_OK);
    assert_int_equal(punch_table_open(table, &config, NULL, 0, &punch), ERR_EXISTS);
    for (size_t i = 1; i < PUNCH_TABLE_MAX; i++) {
        config = new_config(true);
        assert_int_equal(punch_table_open(table, &config, NULL, 0, &punch), ERR_OK);
    }
    config = new_config(true);
    struct punch *refused = NULL;
    assert_int_equal(punch_table_open(table, &config, NULL, 0, &refused), ERR_LIMIT);
    assert_null(refused);
    assert_int_equal(punch_table_count(table), PUNCH_TABLE_MAX);
    assert_true(punch_table_deadline(table) == DEADLINE_NEVER);
    punch_table_close(table, punch);
    assert_int_equal(punch_table_open(table, &config, NULL, 0, &refused), ERR_OK);
    punch_table_close(table, NULL);
    punch_table_free(table);
}

struct sent {
    uint8_t data[PUNCH_DATAGRAM_CAP];
    size_t len;
    struct endpoint to;
};

static bool next(struct punch_table *table, uint64_t now_us, struct sent *ret_sent)
{
    struct writer w;
    writer_init(&w, ret_sent->data, sizeof ret_sent->data);
    struct punch_target target;
    const int error = punch_table_transmit(table, &w, now_us, &target);
    if (error == ERR_AGAIN)
        return false;
    ret_sent->to = target.to;
    ret_sent->len = w.len;
    assert_int_equal(error, ERR_OK);
    return true;
}

/* Two calls at once over one socket: each datagram finds its own. */
static void test_demux(void **state)
{
    struct punch_table *table;
    struct punch_config configs[2] = {new_config(true), new_config(true)};
    struct credentials peers[2];
    struct punch *punches[2];
    int contexts[2];
    uint64_t now_us = 1000;
    assert_int_equal(punch_table_new(&table), ERR_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(credentials_generate(&peers[i]), ERR_OK);
        assert_int_equal(punch_table_open(table, &configs[i], &contexts[i], now_us, &punches[i]),
                         ERR_OK);
        const struct candidate_list list = one_candidate((uint16_t)(100 + i));
        assert_int_equal(punch_table_set_remote(table, punches[i], &peers[i], &list, now_us),
                         ERR_OK);
    }
    struct sent sent, checks[2];
    size_t count = 0;
    while (next(table, now_us, &sent)) {
        assert_true(count < 2);
        checks[sent.to.port - 100] = sent;
        count++;
    }
    assert_int_equal(count, 2);
    assert_true(punch_table_deadline(table) == now_us + PUNCH_RTO_FIRST_US);

    /* The answer to the second one's check nominates the second only. */
    struct stun_message m;
    assert_int_equal(stun_parse(checks[1].data, checks[1].len, &m), ERR_OK);
    struct writer w;
    uint8_t buffer[PUNCH_DATAGRAM_CAP];
    writer_init(&w, buffer, sizeof buffer);
    assert_int_equal(check_build_success(&w, m.transaction_id, &checks[1].to, peers[1].password),
                     ERR_OK);
    now_us += 5 * MS_US;
    assert_int_equal(punch_table_receive(table, buffer, w.len, &checks[1].to, now_us), ERR_OK);
    struct punch *told;
    void *context;
    struct punch_event event;
    assert_true(punch_table_next_event(table, &told, &context, &event));
    assert_ptr_equal(told, punches[1]);
    assert_ptr_equal(context, &contexts[1]);
    assert_int_equal(event.type, PUNCH_NOMINATED);
    assert_false(punch_table_next_event(table, &told, &context, &event));
    assert_ptr_equal(punch_table_find_validated(table, &checks[1].to, &context), punches[1]);
    assert_ptr_equal(context, &contexts[1]);
    assert_null(punch_table_find_validated(table, &checks[0].to, NULL));

    /* A request for the first. */
    const struct check_request request = {.id = {9}, .priority = 3};
    writer_init(&w, buffer, sizeof buffer);
    assert_int_equal(check_build_request(&w, &request, &configs[0].local, peers[0].fragment),
                     ERR_OK);
    assert_int_equal(punch_table_receive(table, buffer, w.len, &checks[0].to, now_us), ERR_OK);
    assert_ptr_equal(punch_table_find_validated(table, &checks[0].to, NULL), punches[0]);
    /* And one with the first's fragment, sealed for the second. */
    struct credentials mixed = configs[0].local;
    memcpy(mixed.password, configs[1].local.password, sizeof mixed.password);
    writer_init(&w, buffer, sizeof buffer);
    assert_int_equal(check_build_request(&w, &request, &mixed, peers[0].fragment), ERR_OK);
    assert_int_equal(punch_table_receive(table, buffer, w.len, &checks[0].to, now_us), ERR_AUTH);
    while (next(table, now_us, &sent)) {
    }

    punch_table_close(table, punches[1]);
    writer_init(&w, buffer, sizeof buffer);
    assert_int_equal(check_build_request(&w, &request, &configs[1].local, peers[1].fragment),
                     ERR_OK);
    assert_int_equal(punch_table_receive(table, buffer, w.len, &checks[1].to, now_us),
                     ERR_NOT_FOUND);
    punch_table_free(table);
}

/* Both hosts call each other at once: IKE that comes in belongs to the call that came in. */
static void test_both_ways(void **state)
{
    for (int round = 0; round < 16; round++) {
        struct punch_table *table;
        struct punch *punches[2];
        assert_int_equal(punch_table_new(&table), ERR_OK);
        const struct endpoint from = sim_endpoint("198.51.100.9:1");
        for (int i = 0; i < 2; i++) {
            const struct punch_config config = new_config(i == 0);
            assert_int_equal(punch_table_open(table, &config, NULL, 0, &punches[i]), ERR_OK);
            struct writer w;
            uint8_t buffer[PUNCH_DATAGRAM_CAP];
            const struct check_request request = {.priority = 1, .is_controlling = i != 0};
            writer_init(&w, buffer, sizeof buffer);
            assert_int_equal(check_build_request(&w, &request, &config.local, "whatever"), ERR_OK);
            assert_int_equal(punch_table_receive(table, buffer, w.len, &from, 1), ERR_OK);
        }
        assert_ptr_equal(punch_table_find_validated(table, &from, NULL), punches[1]);
        punch_table_free(table);
    }
}

/* Strangers' STUN: silence, whatever it is. */
static void test_strangers(void **state)
{
    struct punch_table *table;
    struct punch *punch;
    assert_int_equal(punch_table_new(&table), ERR_OK);
    struct punch_config config = new_config(false);
    assert_int_equal(punch_table_open(table, &config, NULL, 0, &punch), ERR_OK);
    const struct endpoint from = sim_endpoint("203.0.113.5:7");
    struct credentials stranger;
    struct sent sent;
    for (int i = 0; i < 10000; i++) {
        struct writer w;
        uint8_t buffer[PUNCH_DATAGRAM_CAP];
        const struct check_request request = {.priority = 1, .is_controlling = true};
        if (i % 100 == 0)
            assert_int_equal(credentials_generate(&stranger), ERR_OK);
        writer_init(&w, buffer, sizeof buffer);
        assert_int_equal(check_build_request(&w, &request, &stranger, "whatever"), ERR_OK);
        assert_int_equal(punch_table_receive(table, buffer, w.len, &from, (uint64_t)i),
                         ERR_NOT_FOUND);
    }
    uint8_t plain[64];
    struct writer w;
    writer_init(&w, plain, sizeof plain);
    stun_build_begin(&w, STUN_REQUEST, STUN_BINDING, (const uint8_t[STUN_TRANSACTION_LEN]){1});
    assert_int_equal(stun_build_end(&w), ERR_OK);
    assert_int_equal(punch_table_receive(table, plain, w.len, &from, 1), ERR_NOT_FOUND);
    assert_int_equal(punch_table_receive(table, plain, 3, &from, 1), ERR_INVALID);
    assert_false(next(table, 1, &sent));
    assert_null(punch_table_find_validated(table, &from, NULL));
    punch_table_free(table);
}

/* Many at once: the deadlines lead each to its end. */
static void test_many_deadlines(void **state)
{
    struct punch_table *table;
    assert_int_equal(punch_table_new(&table), ERR_OK);
    for (uint16_t i = 0; i < 100; i++) {
        struct punch *punch;
        const struct punch_config config = new_config(i % 2);
        const struct candidate_list list = one_candidate((uint16_t)(1000 + i));
        struct credentials remote;
        assert_int_equal(credentials_generate(&remote), ERR_OK);
        assert_int_equal(punch_table_open(table, &config, NULL, i * MS_US, &punch), ERR_OK);
        assert_int_equal(punch_table_set_remote(table, punch, &remote, &list, i * MS_US), ERR_OK);
    }
    size_t failed = 0, wakes = 0;
    uint64_t now_us = 100 * MS_US;
    while (punch_table_count(table) > 0) {
        struct sent sent;
        struct punch *punch;
        struct punch_event event;
        punch_table_expire(table, now_us);
        while (next(table, now_us, &sent)) {
        }
        while (punch_table_next_event(table, &punch, NULL, &event)) {
            failed += event.type == PUNCH_FAILED;
            if (event.type == PUNCH_ENDED)
                punch_table_close(table, punch);
        }
        const uint64_t at_us = punch_table_deadline(table);
        assert_true(at_us > now_us);
        now_us = at_us;
        assert_true(++wakes < 10000);
    }
    assert_int_equal(failed, 100);
    punch_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_demux),
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_many_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
