/* One probe at a time: sent, answered or given up, then the next. */
#include "host/ping.h"

#include "host/datapath.h"
#include "host/host.h"
#include "host/plain_ikev1.h"
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
    /* A plain peer knows no probes. */
    bool is_by_ike, is_by_ikev1;
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
    struct peer *peer = peer_find_by_address(ping->host, &ping->peer);
    struct tunnel_status status = {.has_commands = true};
    ping->is_by_ikev1 = peer != NULL && peer->plain != NULL && plain_ikev1_ask(peer->plain, now_us);
    if (peer != NULL && peer->sa != NULL && peer->tunnel != NULL)
        tunnel_get_status(peer->tunnel, &status);
    ping->is_by_ike = !status.has_commands;
    if (ping->is_by_ike) {
        ike_sa_check_alive(peer->sa);
        host_pump_ike(ping->host, peer->sa, now_us);
    } else if (!ping->is_by_ikev1) {
        (void)datapath_send_command(ping->host->datapath, &ping->peer, SPUT_PROBE);
    }
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
        if (ping->is_waiting && !ping->is_by_ike && !ping->is_by_ikev1 && ping->number == 0 &&
            address_is_equal(&ping->peer, peer)) {
            ping->number = number;
            return;
        }
    }
}

static void take_reply(struct ping *ping, const struct peer *peer, uint64_t now_us)
{
    char text[ENDPOINT_TEXT_CAP];
    ping->is_waiting = false;
    ping->received++;
    control_send(
        ping->client,
        json_pack("{s:I, s:f, s:s}", "reply", (json_int_t)ping->sent, "ms",
                  (double)(now_us - ping->sent_us) / 1000, "path",
                  peer != NULL ? endpoint_format(&peer->path, text, sizeof(text)) : "gone"));
    task_set(&ping->host->tasks, &ping->task,
             now_us + (ping->sent < ping->count ? INTERVAL_US : 0));
}

void ping_on_reply(struct host *host, const struct address *peer, uint32_t number, uint64_t now_us)
{
    for (struct ping *ping = host->pings; ping != NULL; ping = ping->next) {
        if (!ping->is_waiting || ping->is_by_ike || ping->is_by_ikev1 || ping->number != number ||
            !address_is_equal(&ping->peer, peer))
            continue;
        take_reply(ping, peer_find_by_address(host, peer), now_us);
        return;
    }
}

void ping_on_ikev1(struct host *host, uint64_t now_us)
{
    struct ping *next;
    for (struct ping *ping = host->pings; ping != NULL; ping = next) {
        const struct peer *peer =
            ping->is_waiting && ping->is_by_ikev1 ? peer_find_by_address(host, &ping->peer) : NULL;
        next = ping->next;
        if (peer != NULL && peer->plain != NULL && peer->tunnel != NULL &&
            !plain_ikev1_is_asking(peer->plain))
            take_reply(ping, peer, now_us);
    }
}

void ping_on_ike(struct host *host, const struct ike_sa *sa, uint64_t now_us)
{
    for (struct ping *ping = host->pings; ping != NULL; ping = ping->next) {
        const struct peer *peer =
            ping->is_waiting && ping->is_by_ike ? peer_find_by_address(host, &ping->peer) : NULL;
        if (peer == NULL || peer->sa != sa || ike_sa_unanswered_us(sa, now_us) != 0)
            continue;
        take_reply(ping, peer, now_us);
        return;
    }
}
