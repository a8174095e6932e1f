/* Path MTU by probes, over a path in virtual time that drops what is too long and says nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "path/pmtu.h"

#define FLIGHT_MAX 256

struct flight {
    uint64_t at_us;
    uint32_t number;
};

/* The path and its far end. */
struct world {
    struct pmtu pmtu;
    uint64_t now_us;
    uint64_t round_trip_us;
    uint32_t mtu;     /* of the path; 0: nothing gets there */
    unsigned loss;    /* of 1000, of probe and answer together */
    bool is_shuffled; /* answers take up to twice as long, in any order */
    uint32_t number;
    unsigned random;
    unsigned sent;
    uint64_t sent_at_us[4096];
    struct flight flights[FLIGHT_MAX];
    unsigned flight_count;
    uint64_t large_us, heard_us;
};

static unsigned draw(struct world *w, unsigned range)
{
    w->random = w->random * 1103515245 + 12345;
    return (w->random >> 16) % range;
}

static void init(struct world *w, uint32_t path_mtu, uint64_t round_trip_us)
{
    memset(w, 0, sizeof *w);
    w->mtu = path_mtu;
    w->round_trip_us = round_trip_us;
    w->now_us = 1000 * SECOND_US;
    w->random = 1;
    pmtu_init(&w->pmtu, 1500, 1500, 0);
}

static void send_all(struct world *w)
{
    uint32_t size, token;
    while (pmtu_transmit(&w->pmtu, &size, &token, w->now_us) == ERR_OK) {
        assert_in_range(size, PMTU_MIN, 1500);
        assert_true(w->sent < 4096);
        w->sent_at_us[w->sent++] = w->now_us;
        pmtu_on_sent(&w->pmtu, token, ++w->number);
        if (size > w->mtu || draw(w, 1000) < w->loss)
            continue;
        assert_true(w->flight_count < FLIGHT_MAX);
        const uint64_t more_us = w->is_shuffled ? draw(w, 1000) * w->round_trip_us / 1000 : 0;
        w->flights[w->flight_count++] =
            (struct flight){w->now_us + w->round_trip_us + more_us, w->number};
    }
}

static struct flight *next_flight(struct world *w)
{
    struct flight *next = NULL;
    for (unsigned i = 0; i < w->flight_count; i++) {
        if (next == NULL || w->flights[i].at_us < next->at_us)
            next = &w->flights[i];
    }
    return next;
}

/* Until then, or until nothing more happens. */
static void run(struct world *w, uint64_t until_us)
{
    for (;;) {
        send_all(w);
        struct flight *flight = next_flight(w);
        const uint64_t due_us = pmtu_deadline(&w->pmtu);
        const uint64_t at_us =
            deadline_min(due_us, flight != NULL ? flight->at_us : DEADLINE_NEVER);
        if (at_us > until_us)
            break;
        assert_true(at_us >= w->now_us);
        w->now_us = at_us;
        if (flight != NULL && flight->at_us == at_us) {
            const uint32_t number = flight->number;
            *flight = w->flights[--w->flight_count];
            w->heard_us = at_us;
            (void)pmtu_on_answer(&w->pmtu, number, at_us);
        }
        pmtu_expire(&w->pmtu, w->now_us);
    }
    w->now_us = until_us;
}

static void settle(struct world *w)
{
    run(w, w->now_us + 60 * SECOND_US);
    assert_true(pmtu_deadline(&w->pmtu) == DEADLINE_NEVER);
}

/* Large packets all the time; acknowledged by small ones unless they are too long. Looks as often
 * as it is told to, and each second as the owner does. */
static void run_busy(struct world *w, uint64_t until_us, bool is_heard)
{
    while (w->now_us < until_us) {
        w->large_us = w->now_us;
        if (is_heard || pmtu_mtu(&w->pmtu) <= w->mtu)
            w->heard_us = w->now_us;
        uint64_t next_us = pmtu_note_traffic(&w->pmtu, w->large_us, w->heard_us, w->now_us);
        next_us = deadline_min(next_us, w->now_us + SECOND_US);
        run(w, deadline_min(next_us > w->now_us ? next_us : w->now_us + 1, until_us));
    }
}

static void test_finds_every_size(void **state)
{
    static const uint64_t round_trips_us[] = {100, 20 * MS_US, 300 * MS_US, 1500 * MS_US};
    for (uint32_t mtu = PMTU_MIN; mtu <= 1500; mtu += 7) {
        struct world w;
        init(&w, mtu, round_trips_us[mtu % 4]);
        assert_int_equal(pmtu_state(&w.pmtu), PMTU_UNTRIED);
        pmtu_search(&w.pmtu, w.now_us);
        settle(&w);
        assert_true(pmtu_mtu(&w.pmtu) <= mtu && pmtu_mtu(&w.pmtu) + PMTU_STEP > mtu);
        assert_int_equal(pmtu_state(&w.pmtu),
                         pmtu_mtu(&w.pmtu) < PMTU_BASE ? PMTU_ERROR : PMTU_COMPLETE);
        assert_true(w.sent <= 100);
    }
    /* What links commonly carry is found to the byte. */
    static const uint32_t exact[] = {PMTU_BASE, 1280, 1400, 1492, 1500};
    for (size_t i = 0; i < sizeof exact / sizeof exact[0]; i++) {
        struct world w;
        init(&w, exact[i], MS_US);
        pmtu_search(&w.pmtu, w.now_us);
        settle(&w);
        assert_int_equal(pmtu_mtu(&w.pmtu), exact[i]);
    }
}

/* An ordinary path costs five probes and one round trip; what was guessed is in force meanwhile. */
static void test_ordinary_path(void **state)
{
    struct world w;
    init(&w, 1500, 40 * MS_US);
    pmtu_search(&w.pmtu, w.now_us);
    run(&w, w.now_us + 39 * MS_US);
    assert_int_equal(pmtu_mtu(&w.pmtu), 1500);
    assert_int_equal(pmtu_state(&w.pmtu), PMTU_IN_BASE);
    run(&w, w.now_us + 2 * MS_US);
    assert_int_equal(pmtu_state(&w.pmtu), PMTU_COMPLETE);
    assert_int_equal(pmtu_mtu(&w.pmtu), 1500);
    assert_int_equal(w.sent, PMTU_SIZES);
    assert_true(pmtu_deadline(&w.pmtu) == DEADLINE_NEVER);
    /* Nothing large, nothing sent. */
    assert_true(pmtu_note_traffic(&w.pmtu, w.now_us - SECOND_US, w.now_us,
                                  w.now_us + 3600 * SECOND_US) == DEADLINE_NEVER);
    assert_int_equal(pmtu_deadline(&w.pmtu), DEADLINE_NEVER);
}

/* The first conclusion on a narrow path comes after three time-outs, with a size that arrives. */
static void test_narrow_from_the_start(void **state)
{
    struct world w;
    init(&w, 1280, 20 * MS_US);
    pmtu_search(&w.pmtu, w.now_us);
    run(&w, w.now_us + 400 * MS_US);
    assert_int_equal(pmtu_mtu(&w.pmtu), 1280);
    settle(&w);
    assert_int_equal(pmtu_mtu(&w.pmtu), 1280);
}

/* Down within three seconds, whether small packets get through all the time or all is stuck. */
static void test_black_hole(void **state)
{
    for (int is_heard = 0; is_heard <= 1; is_heard++) {
        for (uint64_t round_trip_us = MS_US; round_trip_us <= 100 * MS_US; round_trip_us *= 10) {
            struct world w;
            init(&w, 1500, round_trip_us);
            run_busy(&w, w.now_us + 30 * SECOND_US + draw(&w, 1000) * MS_US, is_heard);
            assert_int_equal(pmtu_mtu(&w.pmtu), 1500);
            w.mtu = 1124;
            uint64_t at_us = w.now_us;
            run_busy(&w, at_us + 3 * SECOND_US, is_heard);
            assert_int_equal(pmtu_mtu(&w.pmtu), 1124);
        }
    }
}

/* A line that takes its time, as applications fill its queue: every answer comes, seconds late.
 * That is no narrow path, and searching would make the queue longer still. */
static void test_long_queue(void **state)
{
    static const uint64_t queues_us[] = {500 * MS_US, 2 * SECOND_US, 4 * SECOND_US, 6 * SECOND_US};
    for (size_t i = 0; i < sizeof queues_us / sizeof queues_us[0]; i++) {
        struct world w;
        init(&w, 1500, 10 * MS_US);
        run_busy(&w, w.now_us + 30 * SECOND_US, true);
        const unsigned before = w.sent;
        w.round_trip_us = queues_us[i];
        for (int second = 0; second < 60; second++) {
            run_busy(&w, w.now_us + SECOND_US, true);
            assert_int_equal(pmtu_mtu(&w.pmtu), 1500);
            assert_int_equal(pmtu_state(&w.pmtu), PMTU_COMPLETE);
        }
        assert_in_range(w.sent - before, 3, 12 + 60 * SECOND_US / (2 * SECOND_US + queues_us[i]));
        w.mtu = 1280; /* and yet a narrow one is noticed */
        run_busy(&w, w.now_us + 12 * queues_us[i] + 20 * SECOND_US, true);
        assert_in_range(pmtu_mtu(&w.pmtu), 1277, 1280);
    }
}

/* One probe in two seconds at most, in spite of all traffic, and none without. */
static void test_rate(void **state)
{
    struct world w;
    init(&w, 1500, 10 * MS_US);
    run_busy(&w, w.now_us + 10 * SECOND_US, true);
    const unsigned before = w.sent;
    run_busy(&w, w.now_us + 1000 * SECOND_US, true);
    assert_in_range(w.sent - before, 400, 500);
    const unsigned busy = w.sent;
    for (int i = 0; i < 1000; i++) {
        w.now_us += SECOND_US;
        assert_true(pmtu_note_traffic(&w.pmtu, w.large_us, w.now_us, w.now_us) != 0);
        send_all(&w);
    }
    assert_true(w.sent - busy <= 1);
    /* One way alone, as of a broadcast that nobody answers: not above one a second. */
    run_busy(&w, w.now_us + SECOND_US, true);
    const unsigned start = w.sent;
    for (int i = 0; i < 1000; i++) {
        w.large_us = w.now_us;
        (void)pmtu_note_traffic(&w.pmtu, w.large_us, w.now_us - 500 * MS_US, w.now_us);
        run(&w, w.now_us + 100 * MS_US);
    }
    assert_true(w.sent - start <= 101);
}

/* A wider path is found by the raise timer, not before, and only if somebody wants it. */
static void test_raise(void **state)
{
    struct world w;
    init(&w, 1280, 10 * MS_US);
    pmtu_search(&w.pmtu, w.now_us);
    settle(&w);
    assert_int_equal(pmtu_mtu(&w.pmtu), 1280);
    w.mtu = 1500;
    run_busy(&w, w.now_us + PMTU_RAISE_US - 61 * SECOND_US, true);
    assert_int_equal(pmtu_mtu(&w.pmtu), 1280);
    run_busy(&w, w.now_us + 65 * SECOND_US, true);
    assert_int_equal(pmtu_mtu(&w.pmtu), 1500);
}

/* Losses that have nothing to do with size leave the size alone, nearly always. */
static void test_loss(void **state)
{
    unsigned lowered = 0;
    for (unsigned seed = 1; seed <= 200; seed++) {
        struct world w;
        init(&w, 1500, 30 * MS_US);
        w.random = seed;
        w.loss = 100;
        w.is_shuffled = true;
        pmtu_search(&w.pmtu, w.now_us);
        settle(&w);
        lowered += pmtu_mtu(&w.pmtu) < 1500;
    }
    assert_true(lowered <= 2);
    /* Nothing arrives, then all does: an outage is no narrow path. */
    struct world w;
    init(&w, 0, 30 * MS_US);
    pmtu_search(&w.pmtu, w.now_us);
    run(&w, w.now_us + 1700 * MS_US);
    w.mtu = 1500;
    settle(&w);
    assert_int_equal(pmtu_mtu(&w.pmtu), 1500);
}

/* A dead path moves nothing, and is asked ever more rarely. */
static void test_dead_path(void **state)
{
    struct world w;
    init(&w, 0, 30 * MS_US);
    run_busy(&w, w.now_us + 3600 * SECOND_US, true);
    assert_int_equal(pmtu_mtu(&w.pmtu), 1500);
    assert_true(w.sent <= 70 * (PMTU_SIZES + 1) * PMTU_TRIES_MAX);
    w.mtu = 1300;
    run_busy(&w, w.now_us + 2 * PMTU_DEAD_MAX_US, true);
    assert_true(pmtu_mtu(&w.pmtu) <= 1300 && pmtu_mtu(&w.pmtu) > 1290);
}

/* What a router says is tried, never believed; what it cannot know is passed over. */
static void test_hints(void **state)
{
    struct world w;
    init(&w, 1500, 20 * MS_US);
    pmtu_search(&w.pmtu, w.now_us);
    settle(&w);
    pmtu_on_hint(&w.pmtu, 576, w.now_us); /* too small */
    pmtu_on_hint(&w.pmtu, 0, w.now_us);
    pmtu_on_hint(&w.pmtu, 1500, w.now_us); /* no news */
    assert_true(pmtu_deadline(&w.pmtu) == DEADLINE_NEVER);
    for (int i = 0; i < 1000; i++) { /* forged */
        pmtu_on_hint(&w.pmtu, 700, w.now_us);
        run(&w, w.now_us + 10 * MS_US);
        assert_int_equal(pmtu_mtu(&w.pmtu), 1500);
    }
    settle(&w);
    assert_true(w.sent < 20);
    w.mtu = 1337;
    pmtu_on_hint(&w.pmtu, 1337, w.now_us);
    run(&w, w.now_us + 350 * MS_US);
    assert_int_equal(pmtu_mtu(&w.pmtu), 1337);
    settle(&w);
    assert_int_equal(pmtu_mtu(&w.pmtu), 1337);
}

/* The own interface is believed at once, and named exactly. */
static void test_limit(void **state)
{
    struct world w;
    init(&w, 1500, 20 * MS_US);
    pmtu_search(&w.pmtu, w.now_us);
    send_all(&w);
    pmtu_on_limit(&w.pmtu, 1420, w.now_us);
    assert_int_equal(pmtu_mtu(&w.pmtu), 1420);
    pmtu_on_limit(&w.pmtu, 1460, w.now_us); /* of an earlier one */
    pmtu_on_limit(&w.pmtu, 20, w.now_us);   /* no interface is so narrow */
    run(&w, w.now_us + 21 * MS_US);
    assert_int_equal(pmtu_mtu(&w.pmtu), 1420);
    assert_int_equal(pmtu_state(&w.pmtu), PMTU_COMPLETE);
    pmtu_on_limit(&w.pmtu, 1000, w.now_us);
    assert_int_equal(pmtu_mtu(&w.pmtu), 1000);
}

/* Answers to what was never asked, or asked before, say nothing; those that come late still do. */
static void test_forged_and_late_answers(void **state)
{
    struct world w;
    uint32_t size, token, largest = 0;
    init(&w, 0, 0);
    pmtu_search(&w.pmtu, w.now_us);
    for (uint32_t number = 100; pmtu_transmit(&w.pmtu, &size, &token, w.now_us) == ERR_OK;
         number++) {
        pmtu_on_sent(&w.pmtu, token, number);
        pmtu_on_sent(&w.pmtu, token + 1000, 7); /* no such try */
        largest = size == 1500 ? number : largest;
    }
    for (uint32_t number = 0; number < 100; number++)
        assert_false(pmtu_on_answer(&w.pmtu, number, w.now_us));
    /* The smallest arrives, the others not in time; the largest then does. */
    assert_true(pmtu_on_answer(&w.pmtu, 100, w.now_us + 10 * MS_US));
    for (uint64_t at_us = w.now_us; at_us < w.now_us + 290 * MS_US; at_us += 10 * MS_US) {
        pmtu_expire(&w.pmtu, at_us);
        while (pmtu_transmit(&w.pmtu, &size, &token, at_us) == ERR_OK)
            pmtu_on_sent(&w.pmtu, token, 0); /* could not be sealed */
    }
    assert_int_equal(pmtu_state(&w.pmtu), PMTU_IN_BASE);
    assert_true(pmtu_on_answer(&w.pmtu, largest, w.now_us + 290 * MS_US));
    assert_int_equal(pmtu_state(&w.pmtu), PMTU_COMPLETE);
    assert_int_equal(pmtu_mtu(&w.pmtu), 1500);
    assert_false(pmtu_on_answer(&w.pmtu, largest, w.now_us + 300 * MS_US)); /* once more */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_every_size),
        cmocka_unit_test(test_ordinary_path),
        cmocka_unit_test(test_narrow_from_the_start),
        cmocka_unit_test(test_black_hole),
        cmocka_unit_test(test_long_queue),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_raise),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_dead_path),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_forged_and_late_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
