/* Opens queues and sockets for all threads, and listens to what they hand over. */
#include "host/threads.h"

#include "host/datapath.h"
#include "io/processors.h"
#include "io/tun.h"
#include "io/udp.h"
#include <stdlib.h>

_Static_assert(HOST_THREADS_MAX <= DATAPATH_THREADS_MAX, "each has its place");

/* Up to so many processors one thread for both directions is quicker there and back, and loses
 * nothing (docs/performance.md). */
#define ONE_THREAD_PROCESSORS 2
#define AUTOMATIC_MAX         4

struct threads {
    unsigned count;
    struct tun tuns[DATAPATH_THREADS_MAX]; /* the first are host->tun and host->udp */
    struct udp udps[DATAPATH_THREADS_MAX];
    uv_poll_t polls[DATAPATH_THREADS_MAX][2];
};

unsigned threads_wanted(const struct host_config *config)
{
    if (config->threads > 0)
        return config->threads;
    const unsigned processors = processors_count();
    if (processors <= ONE_THREAD_PROCESSORS)
        return 1;
    return processors < AUTOMATIC_MAX ? processors : AUTOMATIC_MAX;
}

/* ---- what they hand over ---- */

static void take_local(struct host *host)
{
    struct handoff *handoff;
    for (unsigned i = 0; (handoff = datapath_from_local(host->datapath, i)) != NULL; i++)
        host_take_handoff(host, handoff);
}

/* A probe's number is told before its answer can come, but by another queue: so those are emptied
 * between looking what came from the network and taking it. */
static void on_network(uv_poll_t *poll, int status, int events)
{
    struct host *host = poll->data;
    uint32_t counts[DATAPATH_THREADS_MAX] = {0};
    struct handoff *handoff;
    for (unsigned i = 0; (handoff = datapath_from_network(host->datapath, i)) != NULL; i++) {
        handoff_clear_wake(handoff);
        counts[i] = handoff_count(handoff);
    }
    take_local(host);
    for (unsigned i = 0; (handoff = datapath_from_network(host->datapath, i)) != NULL; i++) {
        host_take_handoff_some(host, handoff, counts[i]);
        if (handoff_count(handoff) > 0)
            handoff_wake(handoff);
    }
}

static void on_local(uv_poll_t *poll, int status, int events)
{
    take_local(poll->data);
}

static int watch(struct host *host, uv_poll_t *poll, const struct handoff *handoff,
                 uv_poll_cb callback)
{
    if (uv_poll_init(&host->loop, poll, handoff->wake_fd) != 0)
        return ERR_IO;
    poll->data = host;
    return uv_poll_start(poll, UV_READABLE, callback) == 0 ? ERR_OK : ERR_IO;
}

static int watch_all(struct host *host)
{
    int error = ERR_OK;
    for (unsigned i = 0; i < host->threads->count && error == ERR_OK; i++) {
        error = watch(host, &host->threads->polls[i][0], datapath_from_network(host->datapath, i),
                      on_network);
        if (error == ERR_OK)
            error = watch(host, &host->threads->polls[i][1], datapath_from_local(host->datapath, i),
                          on_local);
    }
    return error;
}

/* ---- queues and sockets ---- */

static int open_one(struct host *host, struct tun *ret_tun, struct udp *ret_udp)
{
    const struct host_config *config = &host->config;
    const struct udp_options options = {.port = config->port,
                                        .mark = HOST_MARK,
                                        .is_probing = true,
                                        .is_shared = true,
                                        .has_offload = config->has_udp_offload};
    int error = tun_open(config->interface,
                         TUN_MULTI_QUEUE | (config->has_tun_offload ? TUN_OFFLOAD : 0), ret_tun);
    if (error != ERR_OK)
        return error;
    error = udp_open(&options, ret_udp);
    if (error != ERR_OK)
        tun_close(ret_tun);
    return error;
}

static void open_all(struct host *host, struct threads *threads)
{
    const unsigned wanted = threads_wanted(&host->config);
    threads->tuns[0] = host->tun;
    threads->udps[0] = host->udp;
    threads->count = 1;
    int error = wanted > 1 ? udp_share(&host->udp) : ERR_OK;
    while (error == ERR_OK && threads->count < wanted) {
        error = open_one(host, &threads->tuns[threads->count], &threads->udps[threads->count]);
        if (error == ERR_OK)
            threads->count++;
    }
    if (error != ERR_OK)
        log_warn("data path: %u of %u threads: the system gives no more queues or sockets: %s",
                 threads->count, wanted, error_text(error));
}

int threads_open(struct host *host)
{
    host->threads = calloc(1, sizeof(*host->threads));
    if (host->threads == NULL)
        return ERR_NOMEM;
    open_all(host, host->threads);
    return ERR_OK;
}

int threads_start(struct host *host)
{
    struct threads *threads = host->threads;
    const struct datapath_config config = {
        .threads = threads->count,
        .tun = threads->tuns,
        .udp = threads->udps,
        .tunnels = host->tunnels,
        .pool = host->config.pool,
        .own = host->own,
        .own_ipv6 = host->own_ipv6,
    };
    int error = datapath_start(&config, &host->datapath);
    if (error == ERR_OK)
        error = watch_all(host);
    if (error != ERR_OK)
        log_error("data path cannot be started: %s", error_text(error));
    return error;
}

void threads_close(struct host *host)
{
    struct threads *threads = host->threads;
    for (unsigned i = 0; threads != NULL && i < threads->count; i++) {
        for (unsigned j = 0; j < 2; j++) {
            if (threads->polls[i][j].data != NULL)
                uv_close((uv_handle_t *)&threads->polls[i][j], NULL);
        }
    }
}

void threads_stop(struct host *host)
{
    struct threads *threads = host->threads;
    datapath_stop(host->datapath);
    host->datapath = NULL;
    for (unsigned i = 1; threads != NULL && i < threads->count; i++) {
        tun_close(&threads->tuns[i]);
        udp_close(&threads->udps[i]);
    }
    free(threads);
    host->threads = NULL;
}
