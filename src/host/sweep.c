/* See host/sweep.h. */
#include "host/sweep.h"

#include "host/host.h"
#include "host/peer.h"

static void run(struct task *task, uint64_t now_us)
{
    struct sweep *sweep = CONTAINER_OF(task, struct sweep, task);
    sweep->is_running = true;
    for (unsigned i = 0; i < SWEEP_COUNT && sweep->next != NULL; i++) {
        struct peer *peer = sweep->next;
        sweep->next = peer->next;
        sweep->visit(sweep, peer, now_us);
    }
    sweep->is_running = false;
    const bool is_over = sweep->next == NULL;
    struct host *host = sweep->host;
    if (is_over)
        sweep_stop(sweep);
    const bool goes_on = sweep->pause == NULL || sweep->pause(sweep, is_over, now_us);
    if (!is_over && goes_on)
        task_set(&host->tasks, &sweep->task, now_us);
}

void sweep_start(struct host *host, struct sweep *sweep, uint64_t now_us)
{
    if (sweep->is_running) {
        sweep->next = host->peers;
        return;
    }
    sweep_stop(sweep);
    sweep->host = host;
    sweep->next = host->peers;
    sweep->task.run = run;
    sweep->is_under_way = true;
    sweep->others = host->sweeps;
    host->sweeps = sweep;
    run(&sweep->task, now_us);
}

void sweep_stop(struct sweep *sweep)
{
    if (!sweep->is_under_way)
        return;
    struct sweep **link = &sweep->host->sweeps;
    while (*link != sweep)
        link = &(*link)->others;
    *link = sweep->others;
    sweep->is_under_way = false;
    sweep->next = NULL;
    task_clear(&sweep->host->tasks, &sweep->task);
}

void sweeps_forget(struct host *host, const struct peer *peer)
{
    for (struct sweep *sweep = host->sweeps; sweep != NULL; sweep = sweep->others) {
        if (sweep->next == peer)
            sweep->next = peer->next;
    }
}
