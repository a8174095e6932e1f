/* One probe at a time: sent, answered or given up, then the next. */
#include "host/ping.h"

#include "host/datapath.h"
#include "host/host.h"
#include "io/clock.h"
#include "wire/sput.h"
#include <stdlib.h>

#define COUNT_MAX   1000
#define INTERVAL_US (200 * MS_US)

struct ping {
    struct ping *next;
    struct host *host;
    struct control_client *client;
    struct address peer;
    struct task task;
    bool is_waiting; /* a probe is under way */
    uint32_t number; /* its message number; 0 until the data path has sealed it */
    uint64_t sent_us;
    uint64_t timeout_us;
    int64_t count, sent, received;
};

static void end(struct ping *ping)
{
    struct ping **link = &ping->host->pings;
    while (*link != ping)
        link = &(*link)->next;
    *link = ping->next;
    task_clear(&ping->host->tasks, &ping->task);
    free(ping);
}

static void on_gone(void *context)
{
    end(context);
}

static void finish(struct ping *ping)
{
    struct control_client *client = ping->client;
    json_t *answer = json_pack("{s:I, s:I}", "sent", (json_int_t)ping->sent, "received",
                               (json_int_t)ping->received);
    end(ping);
    control_finish(client, answer);
}

static void send_probe(struct ping *ping, uint64_t now_us)
{
    if (ping->sent == ping->count) {
        finish(ping);
        return;
    }
    ping->sent++;
    ping->sent_us = now_us;
    ping->is_waiting = true;
    ping->number = 0;
    (void)datapath_send_command(ping->host->datapath, &ping->peer, SPUT_PROBE);
    task_set(&ping->host->tasks, &ping->task, now_us + ping->timeout_us);
}

static void on_task(struct task *task, uint64_t now_us)
{
    struct ping *ping = CONTAINER_OF(task, struct ping, task);
    if (ping->is_waiting)
        control_send(ping->client, json_pack("{s:I}", "lost", (json_int_t)ping->sent));
    ping->is_waiting = false;
    send_probe(ping, now_us);
}

int ping_start(struct control_client *client, struct peer *peer, int64_t count, uint64_t timeout_us)
{
    struct ping *ping = calloc(1, sizeof(*ping));
    if (ping == NULL)
        return ERR_NOMEM;
    ping->host = peer->host;
    ping->client = client;
    ping->peer = peer->address;
    ping->count = count < 1 ? 1 : count > COUNT_MAX ? COUNT_MAX : count;
    ping->timeout_us = timeout_us;
    ping->task.run = on_task;
    ping->next = ping->host->pings;
    ping->host->pings = ping;
    control_on_gone(client, on_gone, ping);
    send_probe(ping, clock_now_us());
    return ERR_OK;
}

void ping_on_sent(struct host *host, const struct address *peer, uint32_t number)
{
    for (struct ping *ping = host->pings; ping != NULL; ping = ping->next) {
        if (ping->is_waiting && ping->number == 0 && address_is_equal(&ping->peer, peer)) {
            ping->number = number;
            return;
        }
    }
}

void ping_on_reply(struct host *host, const struct address *peer, uint32_t number, uint64_t now_us)
{
    for (struct ping *ping = host->pings; ping != NULL; ping = ping->next) {
        if (!ping->is_waiting || ping->number != number || !address_is_equal(&ping->peer, peer))
            continue;
        char text[ENDPOINT_TEXT_CAP];
        const struct peer *target = peer_find_by_address(host, peer);
        ping->is_waiting = false;
        ping->received++;
        control_send(ping->client,
                     json_pack("{s:I, s:f, s:s}", "reply", (json_int_t)ping->sent, "ms",
                               (double)(now_us - ping->sent_us) / 1000, "path",
                               target != NULL ? endpoint_format(&target->path, text, sizeof(text))
                                              : "gone"));
        task_set(&host->tasks, &ping->task, now_us + (ping->sent < ping->count ? INTERVAL_US : 0));
        return;
    }
}
