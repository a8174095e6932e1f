/* Extra sockets on their way to the data path, whose queue may be full at that moment. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "host/datapath.h"
#include "host/host.h"
#include "host/sockets.h"
#include "io/clock.h"
#include <stdlib.h>

#define WAIT_US (5 * SECOND_US)

static const uint8_t seed[16] = {1};
static int refusals, added, removed;

bool __wrap_datapath_add_socket(struct datapath *datapath, uint16_t number, const struct udp *udp);
bool __wrap_datapath_remove_socket(struct datapath *datapath, uint16_t number);

bool __wrap_datapath_add_socket(struct datapath *datapath, uint16_t number, const struct udp *udp)
{
    assert_true(number != 0 && udp->fd >= 0);
    if (refusals > 0) {
        refusals--;
        return false;
    }
    added++;
    return true;
}

bool __wrap_datapath_remove_socket(struct datapath *datapath, uint16_t number)
{
    removed++;
    return true;
}

static void run_until_added(struct host *host)
{
    const uint64_t end_us = clock_now_us() + WAIT_US;
    while (added == 0 && clock_now_us() < end_us)
        (void)uv_run(&host->loop, UV_RUN_ONCE);
}

static void test_full_queue(void **state)
{
    struct host *host = calloc(1, sizeof(*host));
    struct call *const call = (struct call *)host; /* only compared */
    uint16_t first = 0;
    assert_non_null(host);
    assert_int_equal(uv_loop_init(&host->loop), 0);
    assert_int_equal(task_queue_init(&host->tasks, &host->loop), ERR_OK);
    assert_int_equal(map_init(&host->peers_by_name, seed), ERR_OK);
    const unsigned opened = sockets_open(host, call, 3, &first);
    if (opened == 0)
        skip(); /* marked sockets need a privilege */
    assert_int_equal(opened, 3);
    host->datapath = (struct datapath *)host; /* likewise */
    refusals = 2;
    sockets_release(host, call, first);
    assert_int_equal(host->sockets.count, 1);
    assert_non_null(sockets_find(host, first));
    run_until_added(host);
    assert_int_equal(refusals, 0);
    assert_int_equal(added, 1);
    host->datapath = NULL;
    sockets_close(host);
    task_queue_close(&host->tasks);
    (void)uv_run(&host->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&host->loop), 0);
    assert_int_equal(added + removed, 1);
    task_queue_done(&host->tasks);
    map_done(&host->peers_by_name);
    free(host);
}

/* Calls that fan out at the same time, and all meet: no more are kept than the data path takes, and
 * the one too many is told so. */
static void test_one_too_many(void **state)
{
    struct host *host = calloc(1, sizeof(*host));
    uint16_t numbers[DATAPATH_SOCKETS_MAX + 1];
    assert_non_null(host);
    assert_int_equal(uv_loop_init(&host->loop), 0);
    assert_int_equal(task_queue_init(&host->tasks, &host->loop), ERR_OK);
    assert_int_equal(map_init(&host->peers_by_name, seed), ERR_OK);
    added = removed = refusals = 0;
    for (size_t i = 0; i <= DATAPATH_SOCKETS_MAX; i++) {
        struct call *const call = (struct call *)((char *)host + i); /* only compared */
        if (sockets_open(host, call, 1, &numbers[i]) == 0)
            skip();
    }
    host->datapath = (struct datapath *)host;
    for (size_t i = 0; i <= DATAPATH_SOCKETS_MAX; i++) {
        const struct call *call = (struct call *)((char *)host + i);
        const bool is_kept = i < DATAPATH_SOCKETS_MAX - 1; /* the NAT port's has a place */
        assert_int_equal(sockets_release(host, call, numbers[i]), is_kept);
        assert_int_equal(sockets_find(host, numbers[i]) != NULL, is_kept);
    }
    assert_int_equal(added, DATAPATH_SOCKETS_MAX - 1);
    assert_int_equal(host->sockets.count, DATAPATH_SOCKETS_MAX - 1);
    host->datapath = NULL;
    sockets_close(host);
    task_queue_close(&host->tasks);
    (void)uv_run(&host->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&host->loop), 0);
    task_queue_done(&host->tasks);
    map_done(&host->peers_by_name);
    free(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_full_queue),
                                       cmocka_unit_test(test_one_too_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
