/* Deadlines of the control thread: whatever has to happen at a time embeds a task; one libuv timer
 * serves them all. */
#ifndef HOST_TASK_H
#define HOST_TASK_H

#include "base/deadline.h"
#include <stdint.h>
#include <uv.h>

struct task {
    struct deadline deadline;
    void (*run)(struct task *task, uint64_t now_us);
};

struct task_queue {
    struct deadline_heap heap;
    uv_timer_t timer;
    uv_prepare_t prepare;
    uint64_t armed_us;
    uint64_t expected_us; /* when what is armed was to be run */
    uint64_t round_us;    /* 0: none of them is being run; else what is due then is */
    void (*on_late)(struct task_queue *queue, uint64_t late_us, uint64_t now_us); /* may be NULL */
};

/* What is due waits for less than this, unless the machine sleeps or the process is stopped: then
 * on_late hears of it before anything that is due is run. */
#define TASK_LATE_US (3 * SECOND_US)

MUST_USE int task_queue_init(struct task_queue *queue, uv_loop_t *loop);
/* Closes the handles; the loop must run once more before the queue's memory goes. */
void task_queue_close(struct task_queue *queue);
void task_queue_done(struct task_queue *queue);
/* Adds or moves; DEADLINE_NEVER takes it out. What a task sets is run after what has come in
 * meanwhile has been read, at the earliest: nothing that is always due keeps the others waiting.
 * Running out of memory for the heap ends the process: the control thread cannot keep its promises
 * without timers. */
void task_set(struct task_queue *queue, struct task *task, uint64_t at_us);
void task_clear(struct task_queue *queue, struct task *task);

#endif
