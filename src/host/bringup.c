/* From configuration to a running daemon and back, in the order in which nothing can leak: guard,
 * policy, TUN, data path, and only then names that lead there. */
#include "host/bringup.h"

#include "crypto/aead.h"
#include "host/call.h"
#include "host/control.h"
#include "host/engines.h"
#include "host/export.h"
#include "host/host.h"
#include "host/interface_setup.h"
#include "host/kernel_esp.h"
#include "host/key.h"
#include "host/mobility.h"
#include "host/plain.h"
#include "host/portmap.h"
#include "host/resolver.h"
#include "host/session.h"
#include "host/streams.h"
#include "host/threads.h"
#include "io/clock.h"
#include "io/control_socket.h"
#include "io/file.h"
#include "io/library_pages.h"
#include "io/policy.h"
#include "io/privileges.h"
#include "io/udp.h"
#include "names/pool_ipv6.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GUARD_TABLE    "detec-guard"
#define GUARD_CHECK_US (2 * SECOND_US)
#define STOP_WAIT_US   (2 * SECOND_US) /* for goodbyes to get out */

static void stop(struct host *host);

/* ---- guard ---- */

static void describe_guard(const struct host_config *config, struct guard *ret_guard)
{
    static const uint8_t orchid[16] = {0x20, 0x01, 0x00, 0x20};
    /* What DNS64 makes of 0.0.0.1 and its like: programs whose look-ups go past the daemon. */
    static const uint8_t made_up[16] = {0x00, 0x64, 0xff, 0x9b};
    *ret_guard =
        (struct guard){.count = 3, .table = HOST_TABLE, .preference = HOST_RULE_PREFERENCE};
    ret_guard->prefixes[0] = config->pool;
    ret_guard->prefixes[1].address = address_from_bytes(ADDRESS_IPV6, orchid);
    ret_guard->prefixes[1].bits = 28;
    ret_guard->prefixes[2].address = address_from_bytes(ADDRESS_IPV6, made_up);
    ret_guard->prefixes[2].bits = 104;
    if (config->plain.count > 0) /* only plain peers have IPv6 inside */
        ret_guard->prefixes[ret_guard->count++] = pool_ipv6_prefix();
    ret_guard->count += plain_networks(config, ret_guard->prefixes + ret_guard->count);
}

/* Both halves: routing rules, and a packet filter for sockets that routing rules do not bind. */
static int install_guard(const struct host_config *config, struct guard *ret_guard,
                         struct netlink *netlink, struct guard_filter *filter)
{
    describe_guard(config, ret_guard);
    int error = netlink_open(netlink, NETLINK_ROUTE);
    if (error == ERR_OK)
        error = guard_install(netlink, ret_guard);
    if (error != ERR_OK) {
        log_error("the leak guard cannot be set up: %s", netlink_error(netlink));
        return error;
    }
    error = guard_filter_open(filter, GUARD_TABLE, ret_guard, config->interface);
    if (error == ERR_OK)
        error = guard_filter_install(filter);
    if (error != ERR_OK)
        log_error("the leak guard's filter cannot be set up: %s", guard_filter_error(filter));
    return error;
}

static void restore_guard(struct host *host)
{
    bool is_intact;
    if (guard_is_intact(&host->netlink, &host->guard, &is_intact) != ERR_OK || !is_intact) {
        host->guard_restored++;
        log_warn("leak guard: somebody changed its rules; restoring them");
        if (guard_install(&host->netlink, &host->guard) != ERR_OK)
            log_error("leak guard: cannot be restored: %s", netlink_error(&host->netlink));
    }
    if (guard_filter_is_intact(&host->guard_filter, &is_intact) != ERR_OK || !is_intact) {
        host->guard_restored++;
        log_warn("leak guard: somebody removed its filter; restoring it");
        if (guard_filter_install(&host->guard_filter) != ERR_OK)
            log_error("leak guard: cannot be restored: %s",
                      guard_filter_error(&host->guard_filter));
    }
    if (host->tun.fd < 0 || host->is_stopping)
        return;
    if (!tun_is_there(&host->tun)) {
        log_error("interface %s was deleted, and comes back only with a new start: stopping",
                  host->config.interface);
        host->error = ERR_STATE;
        stop(host);
    } else if (!interface_setup_is_intact(host)) {
        host->guard_restored++;
        log_warn("interface %s: somebody changed its address, state or route; restoring them",
                 host->config.interface);
        (void)!interface_setup(host);
    }
}

/* Rules are watched; the filter has to be looked at. */
static void on_guard_task(struct task *task, uint64_t now_us)
{
    struct host *host = CONTAINER_OF(task, struct host, guard_task);
    restore_guard(host);
    if (host->is_stopping)
        return;
    state_keep(host);
    task_set(&host->tasks, task, now_us + GUARD_CHECK_US);
}

/* The pool wins (else any network could claim peers' addresses), so a network in it is cut off. */
static void warn_of_overlap(const struct host *host, const struct address *before, size_t count)
{
    char network[PREFIX_TEXT_CAP], pool[PREFIX_TEXT_CAP];
    for (size_t i = 0; i < host->local_count; i++) {
        bool is_known = false;
        for (size_t j = 0; j < count; j++)
            is_known = is_known || address_is_equal(&before[j], &host->locals[i]);
        if (!is_known && (prefix_contains(&host->config.pool, &host->subnets[i].address) ||
                          prefix_contains(&host->subnets[i], &host->config.pool.address)))
            log_warn("network %s overlaps the pool %s: its addresses stand for peers now and are "
                     "not reached otherwise; choose another `pool =`",
                     prefix_format(&host->subnets[i], network, sizeof(network)),
                     prefix_format(&host->config.pool, pool, sizeof(pool)));
    }
}

static void refresh_locals(struct host *host)
{
    struct address before[HOST_LOCALS_MAX];
    size_t count = host->local_count;
    memcpy(before, host->locals, sizeof(before));
    if (interface_addresses(&host->netlink, host->tun.link, host->locals, host->subnets,
                            HOST_LOCALS_MAX, &host->local_count) == ERR_OK)
        warn_of_overlap(host, before, count);
}

static void on_monitor(uv_poll_t *poll, int status, int events)
{
    struct host *host = poll->data;
    unsigned changes;
    if (monitor_read(&host->monitor, &changes) != ERR_OK)
        return;
    if (changes & (MONITOR_RULES | MONITOR_ROUTES | MONITOR_LINKS | MONITOR_ADDRESSES))
        restore_guard(host);
    if (host->is_stopping)
        return;
    if (changes & MONITOR_ADDRESSES) {
        struct address before[HOST_LOCALS_MAX];
        size_t count = host->local_count;
        memcpy(before, host->locals, sizeof(before));
        refresh_locals(host);
        if (count != host->local_count ||
            memcmp(before, host->locals, count * sizeof(before[0])) != 0)
            sessions_on_addresses(host, clock_now_us());
    }
    if (changes & (MONITOR_ADDRESSES | MONITOR_ROUTES)) {
        nat64_refresh(host, clock_now_us());
        portmap_on_network(host->portmap, clock_now_us());
        mobility_on_network(host, clock_now_us());
    }
}

/* ---- interface ---- */

static int open_interface(struct host *host)
{
    static const struct prefix no_prefix = {0};
    const struct host_config *config = &host->config;
    const struct policy_options policy = {
        .table = "detec",
        .tun_name = config->interface,
        .own_ipv4 = host->own,
        .own_ipv6 = host->own_ipv6,
        .pool_ipv4 = config->pool,
        .pool_ipv6 = host->own_ipv6.family != ADDRESS_NONE ? pool_ipv6_prefix() : no_prefix,
    };
    unsigned flags = config->has_tun_offload ? TUN_OFFLOAD : 0;
    if (threads_wanted(config) > 1)
        flags |= TUN_MULTI_QUEUE | TUN_FIRST_QUEUE;
    int error = tun_open(config->interface, flags, &host->tun);
    if (error != ERR_OK) {
        log_error("interface %s cannot be made: %s", config->interface,
                  error == ERR_EXISTS ? "there is one of that name; does another detecd run?"
                                      : error_text(error));
        return error;
    }
    host->policy = calloc(1, sizeof(*host->policy));
    if (host->policy == NULL)
        return ERR_NOMEM;
    error = policy_open(host->policy, &policy);
    if (error != ERR_OK) {
        log_error("who may come in cannot be enforced: %s", policy_error(host->policy));
        return error;
    }
    host->guard.link = host->tun.link;
    error = access_networks(host);
    return error == ERR_OK ? interface_setup(host) : error;
}

static int open_udp(struct host *host)
{
    const struct udp_options options = {
        .port = host->config.port,
        .mark = HOST_MARK,
        .is_probing = true,
        .has_offload = host->config.has_udp_offload,
    };
    int error = udp_open(&options, &host->udp);
    if (error != ERR_OK)
        log_error("%s: [host] port = %u cannot be opened: %s", host->config.file, host->config.port,
                  error == ERR_EXISTS ? "another program has that UDP port"
                                      : file_error_text(error));
    return error;
}

static int watch_fd(struct host *host, uv_poll_t *poll, int fd, uv_poll_cb callback)
{
    if (uv_poll_init(&host->loop, poll, fd) != 0)
        return ERR_IO;
    poll->data = host;
    return uv_poll_start(poll, UV_READABLE, callback) == 0 ? ERR_OK : ERR_IO;
}

/* ---- stopping ---- */

static void close_handles(struct host *host)
{
    if (host->monitor_poll.data != NULL)
        uv_close((uv_handle_t *)&host->monitor_poll, NULL);
    threads_close(host);
    for (size_t i = 0; i < sizeof(host->signals) / sizeof(host->signals[0]); i++) {
        if (host->signals[i].data != NULL)
            uv_close((uv_handle_t *)&host->signals[i], NULL);
    }
}

/* Goodbyes are out, or have had their time: the loop ends when every handle is closed. */
static void on_stop_task(struct task *task, uint64_t now_us)
{
    struct host *host = CONTAINER_OF(task, struct host, stop_task);
    if (host->closing.is_under_way) {
        task_set(&host->tasks, &host->stop_task, now_us + MS_US);
        return;
    }
    if (!host->is_leaving) { /* those who are reached by the relay have been told by now */
        host->is_leaving = true;
        host->stop_us = now_us + STOP_WAIT_US;
        sessions_close(host, now_us);
    }
    if (now_us < host->stop_us && !(host->tunnel_count == 0 && sessions_are_closed(host) &&
                                    portmap_is_stopped(host->portmap))) {
        task_set(&host->tasks, &host->stop_task, now_us + 20 * MS_US);
        return;
    }
    plain_detach(host);
    peers_free(host);
    nat_free(host);
    sockets_close(host);
    streams_close(host);
    sessions_free(host);
    portmap_close(host->portmap);
    task_queue_close(&host->tasks);
    close_handles(host);
}

static void stop(struct host *host)
{
    uint64_t now_us = clock_now_us();
    if (host->is_stopping)
        return;
    host->is_stopping = true;
    resolver_free(host->resolver);
    host->resolver = NULL;
    watchdog_stop(&host->watchdog);
    if (host->control != NULL)
        control_socket_remove(host->config.socket);
    control_free(host->control);
    host->control = NULL;
    if (host->pool != NULL)
        state_keep(host);
    plain_stop(host);
    peers_close(host, now_us);
    keeper_stop(host);
    portmap_stop(host->portmap, now_us);
    nat64_stop(host);
    host->stop_task.run = on_stop_task;
    task_set(&host->tasks, &host->stop_task, now_us);
}

static void allow_anew(struct sweep *sweep, struct peer *peer, uint64_t now_us)
{
    if (peer->tunnel != NULL &&
        access_open(sweep->host, peer->name, peer->is_static, &peer->address) != ERR_OK)
        peer_down(peer, "what it may do here could not be set", true, now_us);
}

static bool tell_allowed(struct sweep *sweep, bool is_over, uint64_t now_us)
{
    if (!is_over)
        return true;
    access_release(sweep->host);
    log_info("[allow] and [peer] reloaded; other changes need a restart");
    return true;
}

/* [allow] and [peer] can change under way; the rest needs a restart. */
static void reload(struct host *host)
{
    struct host_config *config = calloc(1, sizeof(*config));
    if (config == NULL || host_config_load(host->config.file, config, stderr) != ERR_OK ||
        plain_reload(host, config, clock_now_us()) != ERR_OK) {
        log_error("configuration not reloaded: the one before stays in force");
        if (config != NULL)
            host_config_done(config);
        free(config);
        return;
    }
    if (engines_load_allow(host, config) != ERR_OK)
        log_error("[allow] not reloaded: the one before stays in force");
    host_config_done(config);
    free(config);
    (void)!access_networks(host); /* on failure those before stay */
    host->allowing.visit = allow_anew;
    host->allowing.pause = tell_allowed;
    sweep_start(host, &host->allowing, clock_now_us());
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct host *host = handle->data;
    if (number == SIGHUP) {
        reload(host);
    } else {
        log_info("stopping: logging out");
        stop(host);
    }
}

static int open_signals(struct host *host)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (uv_signal_init(&host->loop, &host->signals[i]) != 0)
            return ERR_IO;
        host->signals[i].data = host;
        if (uv_signal_start(&host->signals[i], on_signal, numbers[i]) != 0)
            return ERR_IO;
    }
    return ERR_OK;
}

/* ---- all of it ---- */

static int open_control(struct host *host)
{
    int listener;
    int error = control_socket_listen(host->config.socket, 0600, &listener);
    if (error == ERR_OK)
        return control_new(host, listener, &host->control);
    log_error("%s: %s", host->config.socket,
              error == ERR_EXISTS ? "another detecd answers there" : file_error_text(error));
    return error;
}

/* DNS is captured without one as well; only less is put right when the daemon is killed. */
static void open_watchdog(struct host *host)
{
    int error = host->config.dns == DNS_MODE_CAPTURE ? watchdog_start(&host->watchdog) : ERR_OK;
    if (error != ERR_OK)
        log_warn("DNS: no watchdog process: %s", file_error_text(error));
}

static int bring_up(struct host *host)
{
    if (!privileges_has(PRIVILEGE_NET_ADMIN)) {
        log_error("the network cannot be set up without CAP_NET_ADMIN: start detecd as root, or by "
                  "`systemctl start detecd`");
        return ERR_REFUSED;
    }
    open_watchdog(host);
    aead_choose();
    (void)library_pages_release(); /* before anything else needs memory: so the peak is low, too */
    int error = key_load(&host->config, true, &host->identity);
    if (error == ERR_OK)
        error = open_control(host);
    if (error == ERR_OK)
        error = open_signals(host);
    if (error == ERR_OK)
        error = engines_open(host);
    if (error == ERR_OK)
        error = install_guard(&host->config, &host->guard, &host->netlink, &host->guard_filter);
    if (error == ERR_OK)
        error = monitor_open(&host->monitor);
    if (error == ERR_OK)
        error = open_udp(host);
    if (error == ERR_OK)
        error = plain_open(host);
    if (error == ERR_OK)
        error = open_interface(host);
    if (error == ERR_OK)
        error = kernel_esp_open(host);
    if (error == ERR_OK)
        error = watch_fd(host, &host->monitor_poll, host->monitor.fd, on_monitor);
    if (error == ERR_OK && host->config.dns == DNS_MODE_CAPTURE)
        error = resolver_new(host, &host->resolver);
    if (error == ERR_OK)
        error = threads_open(host);
    if (error == ERR_OK)
        error = privileges_keep(PRIVILEGE_NET_ADMIN);
    if (error == ERR_OK)
        error = threads_start(host);
    if (error != ERR_OK)
        return error;
    host->guard_task.run = on_guard_task;
    task_set(&host->tasks, &host->guard_task, clock_now_us() + GUARD_CHECK_US);
    refresh_locals(host);
    nat64_refresh(host, clock_now_us());
    strcpy(host->name, host->config.name);
    error = portmap_start(host, clock_now_us());
    if (error == ERR_OK && host->config.zone[0] != '\0')
        error = session_start_own(host);
    if (error == ERR_OK)
        met_start(host, clock_now_us());
    if (error == ERR_OK)
        error = plain_start(host, clock_now_us());
    if (error == ERR_OK && host->resolver != NULL)
        error = resolver_start(host->resolver);
    return error;
}

static void take_down(struct host *host)
{
    depth_stop(host);
    portmap_free(host->portmap);
    threads_stop(host);
    export_close(host);
    engines_close(host);
    plain_free(host);
    streams_free(host);
    kernel_esp_close(host);
    tun_close(&host->tun);
    if (host->policy != NULL)
        policy_close(host->policy);
    free(host->policy);
    monitor_close(&host->monitor);
    udp_close(&host->udp);
    guard_filter_close(&host->guard_filter);
    netlink_close(&host->netlink);
    identity_free(host->identity);
    task_queue_done(&host->tasks);
}

int host_run(const struct host_config *config, const char *export_file)
{
    struct host *host = calloc(1, sizeof(*host));
    if (host == NULL)
        return ERR_NOMEM;
    host->config = *config;
    host->udp.fd = host->tun.fd = host->monitor.fd = host->watchdog.fd = -1;
    host->started_us = clock_now_us();
    tunnel_thread_register();
    (void)privileges_protect_memory();
    int error =
        uv_loop_init(&host->loop) == 0 ? task_queue_init(&host->tasks, &host->loop) : ERR_IO;
    if (error != ERR_OK) {
        free(host);
        return error;
    }
    if (export_file != NULL)
        error = export_open(host, export_file);
    if (error == ERR_OK)
        error = bring_up(host);
    if (error == ERR_OK) {
        char text[PUBLIC_KEY_TEXT_CAP];
        host->tasks.on_late = mobility_on_late;
        (void)library_pages_release();
        log_info("ready: interface %s, UDP port %u, key %s", host->config.interface,
                 host->config.port, public_key_format(identity_public(host->identity), text));
    } else {
        stop(host);
    }
    uv_run(&host->loop, UV_RUN_DEFAULT);
    if (error == ERR_OK)
        error = host->error;
    take_down(host);
    uv_loop_close(&host->loop);
    tunnel_thread_unregister();
    free(host);
    if (error == ERR_OK)
        log_info("stopped");
    return error;
}

int host_check(const struct host_config *config)
{
    struct identity *identity = NULL;
    if (access(config->key_file, F_OK) != 0) {
        int plain_error = plain_check(config);
        if (plain_error != ERR_OK)
            return plain_error;
        log_info("%s: good; %s is made at the first start", config->file, config->key_file);
        return ERR_OK;
    }
    int error = key_load(config, false, &identity);
    identity_free(identity);
    if (error == ERR_OK)
        error = plain_check(config);
    if (error == ERR_OK)
        log_info("%s: good", config->file);
    return error;
}

int host_guard(const struct host_config *config)
{
    struct guard guard;
    struct netlink netlink = {0};
    struct guard_filter filter = {0};
    int fd;
    if (control_socket_connect(config->socket, &fd) == ERR_OK) {
        close(fd);
        log_info("detecd runs (it answers on %s) and keeps the leak guard itself", config->socket);
        return ERR_OK;
    }
    int error = install_guard(config, &guard, &netlink, &filter);
    guard_filter_close(&filter);
    netlink_close(&netlink);
    return error;
}

int host_cleanup(const struct host_config *config)
{
    struct guard guard;
    struct guard_filter filter = {0};
    struct netlink netlink = {0};
    int fd;
    if (control_socket_connect(config->socket, &fd) == ERR_OK) {
        close(fd);
        log_error("detecd runs (it answers on %s): stop it first", config->socket);
        return ERR_STATE;
    }
    describe_guard(config, &guard);
    int error = netlink_open(&netlink, NETLINK_ROUTE);
    if (error == ERR_OK)
        error = guard_remove(&netlink, &guard);
    if (error != ERR_OK)
        log_error("the leak guard cannot be removed: %s", netlink_error(&netlink));
    int kernel_error = netlink.socket != NULL ? kernel_esp_cleanup(&netlink) : ERR_OK;
    netlink_close(&netlink);
    int filter_error = guard_filter_open(&filter, GUARD_TABLE, &guard, config->interface);
    if (filter_error == ERR_OK)
        filter_error = guard_filter_remove(&filter);
    if (filter_error != ERR_OK)
        log_error("the leak guard's filter cannot be removed: %s", guard_filter_error(&filter));
    guard_filter_close(&filter);
    if (error == ERR_OK)
        error = filter_error;
    return error != ERR_OK ? error : kernel_error;
}
