/* Bursts through simulated NATs that give every destination another port: who ends direct, how much
 * is sent, and that nobody can aim it.
 *
 *   caller ── NAT (mapping × ports) ── public ── NAT (mapping × ports) ── called host
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/deadline.h"
#include "call.h"

enum kind { EASY, ADDRESS_SEQUENTIAL, SEQUENTIAL, ADDRESS_RANDOM, RANDOM, KINDS };

static void add_nat(struct call *call, unsigned realm, const char *outer, enum kind kind)
{
    sim_add_nat(&call->sim, realm, 0, outer, FILTER_ADDRESS_AND_PORT);
    struct sim_nat *nat = &call->sim.nats[realm];
    nat->is_symmetric = kind == SEQUENTIAL || kind == RANDOM;
    nat->is_by_address = kind == ADDRESS_SEQUENTIAL || kind == ADDRESS_RANDOM;
    nat->is_random = kind == RANDOM || kind == ADDRESS_RANDOM;
}

static struct call *new_call(uint64_t seed, enum kind caller, enum kind called)
{
    struct call *call = malloc(sizeof *call);
    assert_non_null(call);
    call_init(call, seed);
    add_nat(call, 1, "198.51.100.1", caller);
    add_nat(call, 2, "198.51.100.2", called);
    call_place(&call->caller, 1, "192.168.1.10:32589", "192.168.1.0/24");
    call_place(&call->called, 2, "10.0.0.10:32589", "10.0.0.0/24");
    return call;
}

static void free_call(struct call *call)
{
    call_done(call);
    free(call);
}

static const struct punch_counters *counters(const struct party *party)
{
    return punch_counters(party->punch);
}

static bool is_random(enum kind kind)
{
    return kind == RANDOM || kind == ADDRESS_RANDOM;
}

/* A random port is met by a birthday attempt if the other side's is known; two ports in order meet;
 * nothing meets where two ports must be guessed of which one is random. */
static bool is_direct(enum kind a, enum kind b)
{
    return a == EASY || b == EASY || (!is_random(a) && !is_random(b));
}

static void test_every_pair_ends_as_theory_says(void **state)
{
    unsigned birthdays = 0, won = 0;
    for (enum kind a = EASY; a < KINDS; a++) {
        for (enum kind b = EASY; b < KINDS; b++) {
            const bool is_birthday = is_direct(a, b) && (is_random(a) || is_random(b));
            unsigned direct = 0;
            for (unsigned round = 0; round < 8; round++) {
                struct call *call = new_call(100 * a + 10 * b + round, a, b);
                call_start(call);
                call_run(call, 20 * SECOND_US);
                assert_true(call->caller.has_nominated == call->called.has_nominated);
                if (call->caller.has_nominated)
                    call_check_data(call);
                direct += call->caller.has_nominated;
                free_call(call);
            }
            if (!is_birthday)
                assert_int_equal(direct, is_direct(a, b) ? 8 : 0);
            birthdays += is_birthday ? 8 : 0;
            won += is_birthday ? direct : 0;
        }
    }
    assert_true(10 * won >= 8 * birthdays); /* 97% is to be expected */
    print_message("birthday attempts: %u of %u met\n", won, birthdays);
}

static void test_other_hosts_take_ports_meanwhile(void **state)
{
    static const enum kind pairs[][2] = {
        {SEQUENTIAL, EASY}, {EASY, SEQUENTIAL}, {SEQUENTIAL, SEQUENTIAL}};
    for (size_t i = 0; i < 3; i++) {
        for (int step = -2; step <= 2; step += 4) {
            struct call *call = new_call(7 + i, pairs[i][0], pairs[i][1]);
            call->sim.nats[1].noise = call->sim.nats[2].noise = i < 2 ? 4 : 0;
            call->sim.nats[1].step = call->sim.nats[2].step = step;
            call_start(call);
            call->sim.nats[1].next_port = (uint16_t)(call->sim.nats[1].next_port + 12 * step);
            call->sim.nats[2].next_port = (uint16_t)(call->sim.nats[2].next_port + 9 * step);
            call_run(call, 20 * SECOND_US);
            call_check_data(call);
            free_call(call);
        }
    }
}

static void test_prediction_is_quick(void **state)
{
    struct call *call = new_call(3, SEQUENTIAL, EASY);
    call_start(call);
    call_run(call, 20 * SECOND_US);
    call_check_data(call);
    assert_true(call->caller.nominated_us <= call->start_us + 400 * MS_US);
    free_call(call);
}

/* The tunnel socket's older port towards the peer is not among those that come next. */
static void test_a_call_after_another(void **state)
{
    static const enum kind pairs[][2] = {{SEQUENTIAL, EASY},
                                         {EASY, SEQUENTIAL},
                                         {ADDRESS_SEQUENTIAL, EASY},
                                         {SEQUENTIAL, SEQUENTIAL},
                                         {ADDRESS_SEQUENTIAL, SEQUENTIAL},
                                         {ADDRESS_SEQUENTIAL, ADDRESS_SEQUENTIAL}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct call *call = new_call(40 + i, pairs[i][0], pairs[i][1]);
        const struct endpoint a = sim_reflexive(&call->sim, call->caller.host);
        const struct endpoint b = sim_reflexive(&call->sim, call->called.host);
        for (uint16_t port = 0; port < 200; port++) {
            const struct endpoint to_a = {a.address, (uint16_t)(a.port + port)};
            const struct endpoint to_b = {b.address, (uint16_t)(b.port + port)};
            sim_send(&call->sim, call->caller.host, port ? &to_b : &b, (const uint8_t *)"x", 1);
            sim_send(&call->sim, call->called.host, port ? &to_a : &a, (const uint8_t *)"x", 1);
        }
        call_start(call);
        call_run(call, 20 * SECOND_US);
        call_check_data(call);
        free_call(call);
    }
}

/* Of what comes in from everywhere, one can be answered: it must not be shut out by the rest. */
static void test_nats_that_let_everybody_in(void **state)
{
    for (unsigned open = 1; open <= 3; open++) {
        for (uint64_t round = 0; round < 8; round++) {
            struct call *call = new_call(60 + 10 * open + round, SEQUENTIAL, SEQUENTIAL);
            for (unsigned i = 1; i <= 2; i++) {
                if (open & i)
                    call->sim.nats[i].filter = FILTER_ENDPOINT;
            }
            call_start(call);
            call_run(call, 20 * SECOND_US);
            call_check_data(call);
            free_call(call);
        }
    }
}

/* A kernel's NAT without a filter: what comes first from outside spoils the port. */
static void test_a_called_fan_waits_for_the_caller(void **state)
{
    for (uint64_t round = 0; round < 8; round++) {
        struct call *call = new_call(90 + round, EASY, SEQUENTIAL);
        call->sim.nats[1].is_accepting = true;
        call->answer_us = 200 * MS_US;
        const struct endpoint a = sim_reflexive(&call->sim, call->caller.host);
        sim_send(&call->sim, call->called.host, &a, (const uint8_t *)"x", 1); /* of a call before */
        call_start(call);
        call_run(call, 20 * SECOND_US);
        call_check_data(call);
        free_call(call);
    }
}

/* The socket that met becomes the path; the other side sees nothing special. */
static void test_a_birthday_is_won_by_one_of_the_sockets(void **state)
{
    for (int is_caller_hard = 0; is_caller_hard < 2; is_caller_hard++) {
        struct call *call =
            new_call(4, is_caller_hard ? RANDOM : EASY, is_caller_hard ? EASY : RANDOM);
        const struct party *hard = is_caller_hard ? &call->caller : &call->called;
        const struct party *easy = is_caller_hard ? &call->called : &call->caller;
        call_start(call);
        call_run(call, 20 * SECOND_US);
        call_check_data(call);
        assert_int_equal(hard->sockets, PUNCH_BIRTHDAY_SOCKETS);
        assert_true(hard->nominated.endpoint.socket > 0);
        assert_int_equal(easy->nominated.endpoint.socket, 0);
        assert_int_equal(easy->nominated.candidate, CANDIDATE_PEER);
        free_call(call);
    }
}

static void test_losses(void **state)
{
    unsigned direct = 0;
    for (unsigned seed = 0; seed < 10; seed++) {
        struct call *call = new_call(seed, seed % 2 ? RANDOM : SEQUENTIAL, EASY);
        call->sim.loss = 10;
        call_start(call);
        call_run(call, 20 * SECOND_US);
        direct += call->caller.has_nominated && call->called.has_nominated;
        free_call(call);
    }
    assert_true(direct >= 8);
}

static bool sends_no_burst(struct call *call)
{
    call_start(call);
    call_run(call, 20 * SECOND_US);
    return counters(&call->caller)->burst_sent + counters(&call->called)->burst_sent == 0;
}

/* The address of a victim is never that at which the connector sees who names it. */
static void test_only_towards_what_the_connector_has_observed(void **state)
{
    static const enum kind hard[] = {SEQUENTIAL, RANDOM};
    for (size_t i = 0; i < 2; i++) {
        struct call *call = new_call(5, hard[i], EASY);
        call->caller.is_observed = call->called.is_observed = false;
        assert_true(sends_no_burst(call));
        assert_true(call->caller.has_failed && call->called.has_failed);
        free_call(call);
    }
}

static void test_birthday_is_off_where_the_owner_says_so(void **state)
{
    struct call *call = new_call(6, RANDOM, EASY);
    call->called.may_try_birthday = false;
    call->caller.sockets_max = 0; /* … or there are no sockets */
    assert_true(sends_no_burst(call));
    free_call(call);
    call = new_call(6, SEQUENTIAL, EASY);
    call->called.may_try_birthday = call->caller.may_try_birthday = false;
    assert_false(sends_no_burst(call));
    call_check_data(call);
    free_call(call);
}

static void test_not_where_an_ordinary_check_gets_through(void **state)
{
    struct call *call = new_call(8, RANDOM, EASY);
    call->sim.nats[2].filter = FILTER_ADDRESS;
    assert_true(sends_no_burst(call));
    call_check_data(call);
    free_call(call);
}

/* ---- what one punch sends, and where: the peer is a stranger that answers nothing ---- */

struct stranger {
    struct punch_table *table;
    struct punch *punch;
    struct candidate_list candidates;
    uint64_t now_us;
};

static const struct port_pattern in_order = {
    .kind = PORT_PATTERN_SEQUENTIAL, .last = 65530, .step = 3};
static const struct port_pattern at_random = {.kind = PORT_PATTERN_RANDOM};

static struct punch *open_punch(struct punch_table *table, const struct port_pattern *own,
                                uint64_t now_us)
{
    struct punch_config config = {.is_controlling = true, .may_try_birthday = true};
    struct punch *punch;
    assert_int_equal(credentials_generate(&config.local), ERR_OK);
    if (own != NULL)
        config.own.pattern = *own;
    assert_int_equal(punch_table_open(table, &config, NULL, now_us, &punch), ERR_OK);
    return punch;
}

static void begin(struct punch_table *table, struct punch *punch,
                  const struct port_pattern *pattern, unsigned victim_last, uint64_t now_us)
{
    struct credentials remote;
    struct candidate_list list = {.count = 2};
    assert_int_equal(credentials_generate(&remote), ERR_OK);
    list.items[0] =
        (struct candidate){CANDIDATE_REFLEXIVE, sim_endpoint("198.51.100.9:4000"), true};
    list.items[1] = (struct candidate){
        CANDIDATE_REFLEXIVE, {address_from_ipv4(0xcb007100 + victim_last), 53}, false};
    if (pattern != NULL)
        list.pattern = *pattern;
    assert_int_equal(punch_table_set_remote(table, punch, &remote, &list, now_us), ERR_OK);
}

struct tally {
    unsigned total, to_victims, burst, fullest_second;
    unsigned ports; /* different ones of the observed address */
    bool is_seen[65536];
    uint16_t sockets; /* highest */
};

/* Runs the table until `until_us`; gives sockets to whoever wants some. */
static void run(struct punch_table *table, struct tally *tally, uint64_t now_us, uint64_t until_us)
{
    const struct endpoint observed = sim_endpoint("198.51.100.9:4000");
    uint64_t second_us = now_us;
    unsigned in_second = 0;
    while (now_us < until_us) {
        struct punch_event event;
        struct punch *punch;
        struct punch_target target;
        uint8_t buffer[PUNCH_DATAGRAM_CAP];
        struct writer w;
        punch_table_expire(table, now_us);
        while (punch_table_next_event(table, &punch, NULL, &event)) {
            if (event.type == PUNCH_WANTS_SOCKETS)
                assert_int_equal(
                    punch_table_give_sockets(table, punch, 1, event.socket_count, now_us), ERR_OK);
        }
        for (writer_init(&w, buffer, sizeof buffer);
             punch_table_transmit(table, &w, now_us, &target) == ERR_OK;
             writer_init(&w, buffer, sizeof buffer)) {
            tally->total++;
            in_second++;
            if (!address_is_equal(&target.to.address, &observed.address)) {
                tally->to_victims++;
                continue;
            }
            tally->ports += !tally->is_seen[target.to.port];
            tally->is_seen[target.to.port] = true;
            if (target.to.socket > tally->sockets)
                tally->sockets = target.to.socket;
        }
        if (in_second > tally->fullest_second)
            tally->fullest_second = in_second;
        if (now_us - second_us >= SECOND_US) {
            second_us = now_us;
            in_second = 0;
        }
        const uint64_t next_us = punch_table_deadline(table);
        now_us = next_us > now_us ? next_us : now_us + 1;
    }
}

static struct tally *new_tally(void)
{
    struct tally *tally = calloc(1, sizeof *tally);
    assert_non_null(tally);
    return tally;
}

static void test_bounds_of_one_punch(void **state)
{
    static const struct {
        const struct port_pattern *own, *peer;
        unsigned burst, ports;
        uint16_t sockets;
    } cases[] = {
        {NULL, NULL, 0, 1, 0},
        {NULL, &in_order, 2 * PUNCH_PREDICT_PORTS, PUNCH_PREDICT_PORTS + 1, 0},
        {NULL, &at_random, PUNCH_BIRTHDAY_CHECKS, PUNCH_BIRTHDAY_CHECKS, 0},
        {&at_random, NULL, 2 * PUNCH_BIRTHDAY_SOCKETS, 1, PUNCH_BIRTHDAY_SOCKETS},
        {&in_order, &in_order, 2 * PUNCH_PREDICT_PORTS, 2, PUNCH_PREDICT_PORTS},
        {&at_random, &in_order, 0, 1, 0},
        {&in_order, &at_random, 0, 1, 0},
        {&at_random, &at_random, 0, 1, 0},
        {&in_order, NULL, 2 * PUNCH_PREDICT_SOCKETS, 1, PUNCH_PREDICT_SOCKETS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct punch_table *table;
        struct tally *tally = new_tally();
        const uint64_t now_us = 1000 * SECOND_US;
        assert_int_equal(punch_table_new(&table), ERR_OK);
        struct punch *punch = open_punch(table, cases[i].own, now_us);
        begin(table, punch, cases[i].peer, 7, now_us);
        run(table, tally, now_us, now_us + 10 * SECOND_US);
        assert_int_equal(punch_counters(punch)->burst_sent, cases[i].burst);
        /* The observed endpoint itself may be one of the ports. */
        assert_in_range(tally->ports, cases[i].ports, cases[i].ports + 1);
        assert_int_equal(tally->sockets, cases[i].sockets);
        assert_true(tally->to_victims <= PUNCH_ADDRESS_CHECKS + PUNCH_OPENERS);
        assert_true(tally->fullest_second <= 500 + 2 * PUNCH_BURST + 30);
        punch_table_free(table);
        free(tally);
    }
}

/* A pattern is a hint that its sender may lie about: never another address, never more ports. */
static void test_lying_patterns(void **state)
{
    static const struct port_pattern lies[] = {
        {.kind = PORT_PATTERN_SEQUENTIAL, .last = 1, .step = -PORT_PATTERN_STEP_MAX},
        {.kind = PORT_PATTERN_SEQUENTIAL, .last = 65535, .step = PORT_PATTERN_STEP_MAX},
        {.kind = PORT_PATTERN_SEQUENTIAL, .last = 0, .step = 1},
        {.kind = PORT_PATTERN_SEQUENTIAL, .last = 5, .step = 0},
        {.kind = PORT_PATTERN_SEQUENTIAL, .last = 5, .step = 32767},
        {.kind = 77, .last = 5, .step = 1},
        {.kind = PORT_PATTERN_RANDOM, .last = 5},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct punch_table *table;
        struct tally *tally = new_tally();
        const uint64_t now_us = 1000 * SECOND_US;
        assert_int_equal(punch_table_new(&table), ERR_OK);
        struct punch *punch = open_punch(table, NULL, now_us);
        begin(table, punch, &lies[i], 7, now_us);
        run(table, tally, now_us, now_us + 10 * SECOND_US);
        assert_int_equal(punch_counters(punch)->burst_sent, i < 2 ? 2 * PUNCH_PREDICT_PORTS : 0);
        assert_true(tally->ports <= PUNCH_PREDICT_PORTS + 1);
        for (unsigned port = 0; port < 1024; port++)
            assert_false(tally->is_seen[port]);
        punch_table_free(table);
        free(tally);
    }
}

/* A hundred calls, each of which would be worth a thousand packets. */
static void test_many_calls_share_one_budget(void **state)
{
    struct punch_table *table;
    struct tally *tally = new_tally();
    const uint64_t start_us = 1000 * SECOND_US;
    uint64_t now_us = start_us;
    unsigned burst = 0;
    assert_int_equal(punch_table_new(&table), ERR_OK);
    for (unsigned round = 0; round < 10; round++) {
        struct punch *punches[10];
        for (unsigned i = 0; i < 10; i++) {
            punches[i] = open_punch(table, i % 2 ? NULL : &at_random, now_us);
            begin(table, punches[i], i % 2 ? &at_random : NULL, i, now_us);
        }
        run(table, tally, now_us, now_us + 5 * SECOND_US);
        now_us += 5 * SECOND_US;
        unsigned bursting = 0;
        for (unsigned i = 0; i < 10; i++) {
            burst += punch_counters(punches[i])->burst_sent;
            bursting += punch_counters(punches[i])->burst_sent > 0;
            punch_table_close(table, punches[i]);
        }
        assert_true(bursting <= PUNCH_BUDGET_BIRTHDAYS);
        const uint64_t most = PUNCH_BUDGET_PACKETS + (now_us - start_us) / PUNCH_BUDGET_REFILL_US;
        assert_true(burst <= most);
    }
    assert_true(burst >= PUNCH_BUDGET_PACKETS);
    punch_table_free(table);
    free(tally);
}

static void test_what_is_not_sent_goes_back(void **state)
{
    const uint64_t now_us = 1000 * SECOND_US;
    struct punch_table *table;
    assert_int_equal(punch_table_new(&table), ERR_OK);
    for (unsigned i = 0; i < 50; i++) { /* each ends at once: all of them may begin */
        struct tally *tally = new_tally();
        const uint64_t at_us = now_us + i * SECOND_US;
        struct punch *punch = open_punch(table, NULL, at_us);
        begin(table, punch, &at_random, 7, at_us);
        run(table, tally, at_us, at_us + PUNCH_BIRTHDAY_AFTER_US + 50 * MS_US);
        assert_in_range(punch_counters(punch)->burst_sent, 8, 20);
        punch_table_close(table, punch);
        free(tally);
    }
    punch_table_free(table);
}

static void test_sockets_are_given_once_and_only_where_wanted(void **state)
{
    const uint64_t now_us = 1000 * SECOND_US;
    struct punch_table *table;
    struct punch_event event;
    struct punch *punch, *told;
    assert_int_equal(punch_table_new(&table), ERR_OK);
    punch = open_punch(table, &at_random, now_us);
    assert_int_equal(punch_table_give_sockets(table, punch, 1, 4, now_us), ERR_STATE);
    begin(table, punch, NULL, 7, now_us);
    assert_int_equal(punch_table_give_sockets(table, punch, 1, 4, now_us), ERR_STATE);
    punch_table_expire(table, now_us + PUNCH_BIRTHDAY_AFTER_US);
    assert_true(punch_table_next_event(table, &told, NULL, &event));
    assert_int_equal(event.type, PUNCH_WANTS_SOCKETS);
    assert_int_equal(event.socket_count, PUNCH_BIRTHDAY_SOCKETS);
    assert_int_equal(punch_table_give_sockets(table, punch, 0, 4, now_us), ERR_INVALID);
    assert_int_equal(punch_table_give_sockets(table, punch, 1, 0, now_us), ERR_INVALID);
    assert_int_equal(punch_table_give_sockets(table, punch, 1, PUNCH_BIRTHDAY_SOCKETS + 1, now_us),
                     ERR_INVALID);
    assert_int_equal(punch_table_give_sockets(table, punch, 65535, 4, now_us), ERR_INVALID);
    assert_int_equal(punch_table_give_sockets(table, punch, 65532, 4, now_us), ERR_OK);
    assert_int_equal(punch_table_give_sockets(table, punch, 1, 4, now_us), ERR_STATE);
    punch_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair_ends_as_theory_says),
        cmocka_unit_test(test_other_hosts_take_ports_meanwhile),
        cmocka_unit_test(test_prediction_is_quick),
        cmocka_unit_test(test_a_call_after_another),
        cmocka_unit_test(test_nats_that_let_everybody_in),
        cmocka_unit_test(test_a_called_fan_waits_for_the_caller),
        cmocka_unit_test(test_a_birthday_is_won_by_one_of_the_sockets),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_only_towards_what_the_connector_has_observed),
        cmocka_unit_test(test_birthday_is_off_where_the_owner_says_so),
        cmocka_unit_test(test_not_where_an_ordinary_check_gets_through),
        cmocka_unit_test(test_bounds_of_one_punch),
        cmocka_unit_test(test_lying_patterns),
        cmocka_unit_test(test_many_calls_share_one_budget),
        cmocka_unit_test(test_what_is_not_sent_goes_back),
        cmocka_unit_test(test_sockets_are_given_once_and_only_where_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
