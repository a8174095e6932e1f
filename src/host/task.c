/* One libuv timer for all deadlines of the control thread. */
#include "host/task.h"

#include "base/log.h"
#include "base/map.h"
#include "io/clock.h"
#include <stdlib.h>

#define RUN_MAX 32 /* tasks that are due are run in a row */

static void run_due(struct task_queue *queue)
{
    uint64_t now_us = clock_now_us();
    struct deadline *due;
    unsigned count = 0;
    if (queue->on_late != NULL && now_us > queue->expected_us + TASK_LATE_US)
        queue->on_late(queue, now_us - queue->expected_us, now_us);
    queue->round_us = now_us;
    /* The others in a moment, once what has come in meanwhile has been read. */
    while (count++ < RUN_MAX && (due = deadline_heap_pop(&queue->heap, now_us)) != NULL) {
        struct task *task = CONTAINER_OF(due, struct task, deadline);
        task->run(task, now_us);
    }
    queue->round_us = 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct task_queue *queue = timer->data;
    queue->armed_us = DEADLINE_NEVER;
    run_due(queue);
}

/* Before every wait: arms the timer for the earliest deadline. libuv counts milliseconds: round up,
 * so that a deadline is never polled for. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct task_queue *queue = prepare->data;
    uint64_t next_us = deadline_heap_next(&queue->heap);
    if (next_us == queue->armed_us)
        return;
    queue->armed_us = next_us;
    if (next_us == DEADLINE_NEVER) {
        uv_timer_stop(&queue->timer);
        return;
    }
    uint64_t now_us = clock_now_us();
    queue->expected_us = next_us > now_us ? next_us : now_us;
    uint64_t wait_ms = next_us > now_us ? (next_us - now_us + 999) / MS_US : 0;
    uv_update_time(prepare->loop);
    uv_timer_start(&queue->timer, on_timer, wait_ms, 0);
}

int task_queue_init(struct task_queue *queue, uv_loop_t *loop)
{
    deadline_heap_init(&queue->heap);
    queue->armed_us = DEADLINE_NEVER;
    queue->on_late = NULL;
    queue->round_us = 0;
    if (uv_timer_init(loop, &queue->timer) != 0 || uv_prepare_init(loop, &queue->prepare) != 0)
        return ERR_IO;
    queue->timer.data = queue;
    queue->prepare.data = queue;
    uv_unref((uv_handle_t *)&queue->prepare);
    return uv_prepare_start(&queue->prepare, on_prepare) == 0 ? ERR_OK : ERR_IO;
}

void task_queue_close(struct task_queue *queue)
{
    uv_close((uv_handle_t *)&queue->timer, NULL);
    uv_close((uv_handle_t *)&queue->prepare, NULL);
}

void task_queue_done(struct task_queue *queue)
{
    deadline_heap_done(&queue->heap);
}

void task_set(struct task_queue *queue, struct task *task, uint64_t at_us)
{
    if (at_us <= queue->round_us)
        at_us = queue->round_us + 1;
    if (deadline_set(&queue->heap, &task->deadline, at_us) != ERR_OK) {
        log_error(
            "out of memory for timers: giving up, so that the service manager can start anew");
        abort();
    }
}

void task_clear(struct task_queue *queue, struct task *task)
{
    deadline_clear(&queue->heap, &task->deadline);
}
