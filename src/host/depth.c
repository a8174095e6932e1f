/* Asks the first hops on the way to a connector for their addresses. Private ones at the beginning
 * are taken for NATs; a router of the carrier's without NAT among them does no harm, as an opener
 * that goes one hop further dies before the other side's NAT all the same. */
#include "host/depth.h"

#include "host/host.h"
#include "io/hops.h"
#include <unistd.h>

#define WAIT_FIRST_US (20 * MS_US)
#define WAIT_LAST_US  (1280 * MS_US) /* doubled up to this: 2.5 s in all */

static void collect(struct depth *depth)
{
    unsigned number;
    struct address router;
    while (depth->is_measuring && hops_receive(depth->fd, &number, &router) == ERR_OK) {
        if (number <= DEPTH_MAX && address_is_private(&router))
            depth->is_private[number - 1] = true;
    }
}

static void on_task(struct task *task, uint64_t now_us)
{
    struct host *host = CONTAINER_OF(task, struct host, depth.task);
    struct depth *depth = &host->depth;
    collect(depth);
    depth->wait_us *= 2;
    if (depth->wait_us <= WAIT_LAST_US) {
        task_set(&host->tasks, &depth->task, now_us + depth->wait_us);
        return;
    }
    depth_stop(host);
    log_debug("%u NATs between here and the public network, as far as openers go", depth_get(host));
}

void depth_measure(struct host *host, const struct address *towards, uint64_t now_us)
{
    struct depth *depth = &host->depth;
    if (depth->is_measuring || address_is_private(towards) ||
        hops_open(towards, DEPTH_MAX, HOST_MARK, &depth->fd) != ERR_OK)
        return;
    memset(depth->is_private, 0, sizeof(depth->is_private));
    depth->is_measuring = depth->was_measured = true;
    depth->wait_us = WAIT_FIRST_US;
    depth->task.run = on_task;
    task_set(&host->tasks, &depth->task, now_us + depth->wait_us);
}

unsigned depth_get(struct host *host)
{
    struct depth *depth = &host->depth;
    unsigned count = 0;
    collect(depth);
    while (count < DEPTH_MAX && depth->is_private[count])
        count++;
    return count > 0 ? count : 1;
}

void depth_stop(struct host *host)
{
    struct depth *depth = &host->depth;
    if (!depth->is_measuring)
        return;
    task_clear(&host->tasks, &depth->task);
    close(depth->fd);
    depth->is_measuring = false;
}
