/* Deadlines of the control thread, on a real loop. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "base/map.h"
#include "host/task.h"
#include "io/clock.h"
#include <string.h>

struct fixture {
    uv_loop_t loop;
    uv_async_t keep; /* as in the daemon, there is always something to wait for */
    struct task_queue queue;
    struct task tasks[4];
    char ran[32];
    size_t count;
};

static struct fixture *fixture;

static void note(struct task *task, uint64_t now_us)
{
    assert_true(clock_now_us() >= now_us);
    fixture->ran[fixture->count++] = (char)('a' + (task - fixture->tasks));
}

static void note_and_again(struct task *task, uint64_t now_us)
{
    note(task, now_us);
    if (fixture->count < 3)
        task_set(&fixture->queue, task, now_us);
}

static void note_and_clear_next(struct task *task, uint64_t now_us)
{
    note(task, now_us);
    task_clear(&fixture->queue, task + 1);
}

static void run_until(size_t count)
{
    while (fixture->count < count)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    uv_run(&fixture->loop, UV_RUN_NOWAIT);
    assert_int_equal(fixture->count, count);
}

static int set_up(void **state)
{
    static struct fixture made;
    memset(&made, 0, sizeof(made));
    fixture = &made;
    assert_int_equal(uv_loop_init(&made.loop), 0);
    assert_int_equal(uv_async_init(&made.loop, &made.keep, NULL), 0);
    assert_int_equal(task_queue_init(&made.queue, &made.loop), ERR_OK);
    for (size_t i = 0; i < 4; i++)
        made.tasks[i].run = note;
    return 0;
}

static int tear_down(void **state)
{
    task_queue_close(&fixture->queue);
    uv_close((uv_handle_t *)&fixture->keep, NULL);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    task_queue_done(&fixture->queue);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    return 0;
}

static void test_order(void **state)
{
    uint64_t now_us = clock_now_us();
    task_set(&fixture->queue, &fixture->tasks[0], now_us + 20 * MS_US);
    task_set(&fixture->queue, &fixture->tasks[1], now_us + 5 * MS_US);
    task_set(&fixture->queue, &fixture->tasks[2], now_us + 10 * MS_US);
    task_set(&fixture->queue, &fixture->tasks[3], now_us + 1 * MS_US);
    task_set(&fixture->queue, &fixture->tasks[2], now_us + 30 * MS_US); /* moved */
    task_set(&fixture->queue, &fixture->tasks[3], DEADLINE_NEVER);      /* taken out */
    run_until(3);
    assert_string_equal(fixture->ran, "bac");
    assert_true(clock_now_us() - now_us >= 30 * MS_US);
}

static void test_set_while_running(void **state)
{
    fixture->tasks[0].run = note_and_again;
    task_set(&fixture->queue, &fixture->tasks[0], 0);
    run_until(3);
    assert_string_equal(fixture->ran, "aaa");
}

static void note_for_ever(struct task *task, uint64_t now_us)
{
    fixture->count++;
    task_set(&fixture->queue, task, 0);
}

static void note_end(struct task *task, uint64_t now_us)
{
    fixture->ran[0] = 'b';
}

/* What is always due is run once each time round, however long ago it was to be; so are others. */
static void test_always_due(void **state)
{
    fixture->tasks[0].run = note_for_ever;
    fixture->tasks[1].run = note_end;
    task_set(&fixture->queue, &fixture->tasks[0], 0);
    task_set(&fixture->queue, &fixture->tasks[1], clock_now_us() + 5 * MS_US);
    size_t rounds = 0;
    while (fixture->ran[0] == 0) {
        uv_run(&fixture->loop, UV_RUN_ONCE);
        rounds++;
        assert_true(fixture->count <= rounds);
    }
    assert_true(fixture->count > 1);
    task_clear(&fixture->queue, &fixture->tasks[0]);
}

static void test_clear_one_that_is_due(void **state)
{
    fixture->tasks[0].run = note_and_clear_next;
    task_set(&fixture->queue, &fixture->tasks[0], 1);
    task_set(&fixture->queue, &fixture->tasks[1], 2);
    task_clear(&fixture->queue, &fixture->tasks[2]); /* was never set */
    run_until(1);
    assert_string_equal(fixture->ran, "a");
}

static void note_late(struct task_queue *queue, uint64_t late_us, uint64_t now_us)
{
    assert_ptr_equal(queue, &fixture->queue);
    assert_true(late_us >= TASK_LATE_US && late_us < 2 * TASK_LATE_US);
    fixture->ran[fixture->count++] = 'L';
}

/* The machine has slept meanwhile: said once, before anything that has become due is run. What is
 * set to a time long past is not late. */
static void test_sleep(void **state)
{
    fixture->queue.on_late = note_late;
    task_set(&fixture->queue, &fixture->tasks[0], 1);
    run_until(1);
    task_set(&fixture->queue, &fixture->tasks[0], clock_now_us() + 20 * MS_US);
    task_set(&fixture->queue, &fixture->tasks[1], clock_now_us() + 21 * MS_US);
    uv_run(&fixture->loop, UV_RUN_NOWAIT);
    assert_int_equal(fixture->count, 1);
    fixture->queue.expected_us -= TASK_LATE_US + 10 * MS_US;
    run_until(4);
    assert_string_equal(fixture->ran, "aLab");
}

static void count_only(struct task *task, uint64_t now_us)
{
    fixture->count++;
}

/* Thousands that are due at once do not keep what else waits from its turn. */
static void test_by_turns(void **state)
{
    static struct task many[1000];
    size_t turns = 0;
    memset(many, 0, sizeof(many));
    for (size_t i = 0; i < 1000; i++) {
        many[i].run = count_only;
        task_set(&fixture->queue, &many[i], 1);
    }
    for (size_t before = 0; fixture->count < 1000; before = fixture->count, turns++) {
        uv_run(&fixture->loop, UV_RUN_ONCE);
        assert_true(fixture->count - before <= 100);
    }
    assert_true(turns >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_set_while_running, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_always_due, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clear_one_that_is_due, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sleep, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_by_turns, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
