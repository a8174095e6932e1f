/* Bringing up and taking down, timers and signals. */
#include "connector/server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "connector/admission.h"
#include "connector/commands.h"
#include "connector/connector.h"
#include "connector/control.h"
#include "connector/dns_server.h"
#include "connector/key.h"
#include "connector/records.h"
#include "connector/session.h"
#include "connector/stun_server.h"
#include "connector/tickets.h"
#include "connector/tls.h"
#include "connector/udp_server.h"
#include "connector/user.h"
#include "crypto/aead.h"
#include "crypto/memory.h"
#include "io/clock.h"
#include "io/control_socket.h"
#include "io/file.h"
#include "io/library_pages.h"
#include "io/privileges.h"
#include "login/voucher.h"

#define CHECK_US (2 * SECOND_US) /* between looks at the database file */
#define STOP_US  (3 * SECOND_US) /* for goodbyes */
/* A loop's turn that brings forth more than this many rounds of events goes on in the next turn. */
#define ROUNDS_MAX 1000
/* Connections of DNS and of the control socket, the database, the listeners. */
#define OTHER_FILES ((size_t)1280)

static bool has_seen(void *context, const struct endpoint *endpoint, const void *proof, size_t len)
{
    const struct connector *connector = context;
    return connector->stun != NULL && stun_server_has_seen(connector->stun, endpoint, proof, len);
}

static int vouch(void *context, const char *name, const uint8_t key[NOTIFY_KEY_LEN],
                 struct notify_vouched *ret_vouched)
{
    const struct connector *connector = context;
    const struct voucher_claim claim = {connector->config.zone, name, key};
    ret_vouched->left_s = VOUCHER_LIFE_S;
    return voucher_sign(connector->identity, &claim, (uint64_t)clock_wall_seconds(),
                        &ret_vouched->voucher);
}

void connector_registry_config(struct connector *connector, struct registry_config *ret_config)
{
    const struct connector_config *config = &connector->config;
    memset(ret_config, 0, sizeof *ret_config);
    memcpy(ret_config->zone, config->zone, sizeof ret_config->zone);
    ret_config->is_strict = config->is_strict;
    ret_config->has_dynamic = config->has_dynamic;
    ret_config->lease_s = (uint16_t)(config->lease_us / SECOND_US);
    ret_config->stun_port = connector->stun != NULL ? stun_server_port(connector->stun) : 0;
    ret_config->sessions_max = config->sessions_max;
    ret_config->has_relay = config->has_relay;
    ret_config->find_static = session_find_static;
    ret_config->has_seen = has_seen;
    ret_config->vouch = vouch;
    ret_config->context = connector;
}

struct relay_config connector_relay_config(const struct connector *connector)
{
    const struct connector_config *config = &connector->config;
    const uint32_t bytes = 1000 / 8; /* in a kbit */
    return (struct relay_config){.rate = config->has_relay ? config->relay_rate * bytes : 0,
                                 .rate_total = config->relay_rate_total * bytes};
}

int connector_make_profile(const struct connector *connector, struct ike_profile **ret_profile)
{
    struct ike_config ike;
    ike_config_init(&ike, connector->identity);
    memcpy(ike.id, connector->config.zone, sizeof ike.id);
    ike.is_reliable = true;
    ike.tickets = connector_tickets_engine(connector->tickets);
    ike.half_open_timeout_us = SESSION_AUTH_US;
    /* Silent for a third of its lease: asked; no answer in another third: gone. */
    ike.dpd_interval_us = connector->config.lease_us / 3;
    ike.request_timeout_us = connector->config.lease_us / 3;
    return ike_profile_new(&ike, ret_profile);
}

static void close_parts(struct connector *connector)
{
    sessions_stop_listening(connector);
    stun_server_close(connector->stun);
    udp_server_close(connector->dns_udp);
    dns_server_close(connector->dns);
    if (connector->control != NULL)
        control_socket_remove(connector->config.socket);
    control_close(connector->control);
    connector->stun = NULL;
    connector->dns_udp = NULL;
    connector->dns = NULL;
    connector->control = NULL;
}

static void close_signals(struct connector *connector)
{
    for (size_t i = 0; i < 3; i++) {
        if (connector->signals[i].data != NULL)
            uv_close((uv_handle_t *)&connector->signals[i], NULL);
        connector->signals[i].data = NULL;
    }
}

/* No session is left, or time is up: the loop runs out of handles and ends. */
static void finish_stop(struct connector *connector)
{
    sessions_cut(connector);
    close_signals(connector);
    uv_close((uv_handle_t *)&connector->timer, NULL);
    uv_close((uv_handle_t *)&connector->settle, NULL);
}

static void begin_stop(struct connector *connector, uint64_t now_us)
{
    connector->is_stopping = true;
    connector->stop_at_us = now_us + STOP_US;
    close_parts(connector);
    sessions_close(connector, now_us);
}

/* Has the database changed under us, or become unreadable, or readable again? */
static void check_database(struct connector *connector, uint64_t now_us)
{
    const char *file = connector->config.database;
    char text[256];
    bool has_changed = false;
    if (connector->database != NULL &&
        database_check_changed(connector->database, &has_changed) != ERR_OK) {
        log_error("host database %s: %s; log-ins are refused until it can be read again", file,
                  database_error_text(connector->database));
        database_close(connector->database);
        connector->database = NULL;
    } else if (connector->database == NULL &&
               database_reopen(file, &connector->database, text, sizeof text) == ERR_OK) {
        log_info("host database %s: can be read again", file);
        has_changed = true;
    }
    if (has_changed && connector->database != NULL)
        commands_recheck_hosts(connector, now_us);
}

static uint64_t next_deadline(const struct connector *connector)
{
    uint64_t at_us = connector->is_stopping ? connector->stop_at_us : connector->check_at_us;
    at_us = deadline_min(at_us, registry_deadline(connector->registry));
    at_us = deadline_min(at_us, sessions_deadline(connector));
    at_us = deadline_min(at_us, relay_deadline(connector->relay));
    return deadline_min(at_us, dns_server_deadline(connector->dns));
}

static void on_timer(uv_timer_t *timer)
{
    struct connector *connector = timer->data;
    const uint64_t now_us = clock_now_us();
    sessions_expire(connector, now_us);
    registry_expire(connector->registry, now_us);
    relay_expire(connector->relay, now_us);
    dns_server_expire(connector->dns, now_us);
    if (!connector->is_stopping && now_us >= connector->check_at_us) {
        connector->check_at_us = now_us + CHECK_US;
        connector_tickets_tick(connector->tickets);
        check_database(connector, now_us);
    }
}

/* Before the loop sleeps: every event is acted on, and the timer knows the next deadline. */
static void on_settle(uv_prepare_t *settle)
{
    struct connector *connector = settle->data;
    const uint64_t now_us = clock_now_us();
    bool has_done = true;
    for (int round = 0; has_done && round < ROUNDS_MAX; round++) {
        has_done = sessions_drive(connector, now_us);
        has_done = records_drain(connector, now_us) || has_done;
    }
    if (connector->is_stopping &&
        (connector->stream_count == 0 || now_us >= connector->stop_at_us)) {
        finish_stop(connector);
        return;
    }
    const uint64_t at_us = has_done ? now_us : next_deadline(connector);
    const uint64_t wait_ms = at_us > now_us ? (at_us - now_us + MS_US - 1) / MS_US : 0;
    uv_update_time(&connector->loop);
    uv_timer_start(&connector->timer, on_timer, wait_ms, 0);
}

static void reload(struct connector *connector)
{
    struct connector_config config;
    struct registry_config registry;
    struct ike_profile *profile = NULL;
    const char *file = connector->config.file;
    if (connector_config_load(file, &config, stderr) != ERR_OK) {
        log_error("%s: bad, see above; the configuration stays as it was", file);
        return;
    }
    const char *fixed = connector_config_fixed_change(&connector->config, &config);
    if (fixed != NULL) {
        log_error(
            "%s: [connector] %s has changed, which needs a restart; the configuration stays as "
            "it was",
            file, fixed);
        return;
    }
    connector->config = config;
    connector_registry_config(connector, &registry);
    int error = connector_make_profile(connector, &profile);
    if (error == ERR_OK)
        error = registry_set_config(connector->registry, &registry);
    if (error != ERR_OK) {
        log_error("%s: could not be taken over: %s; restart detec-connector", file,
                  error_text(error));
        ike_profile_free(profile);
        return;
    }
    ike_profile_free(connector->profile);
    connector->profile = profile;
    const struct relay_config relay = connector_relay_config(connector);
    relay_set_config(connector->relay, &relay);
    log_set_level(config.log_level);
    log_info("%s: read again; sessions that are up keep their lease until they log in anew", file);
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct connector *connector = signal->data;
    if (number == SIGHUP) {
        if (!connector->is_stopping)
            reload(connector);
        return;
    }
    const uint64_t now_us = clock_now_us();
    if (connector->is_stopping) {
        connector->stop_at_us = now_us; /* told twice: no more waiting */
        return;
    }
    log_info("stopping: saying goodbye to %zu sessions", connector->sessions.count);
    begin_stop(connector, now_us);
}

static int fail(const char *what, int error)
{
    log_error("%s: %s", what, error == ERR_IO ? strerror(errno) : error_text(error));
    return error;
}

/* Certificates of other programs are often for root alone to read, and port 443 too. Where nobody
 * has asked for that port, another server may hold it. */
static int open_tls(struct connector *connector)
{
    struct connector_config *config = &connector->config;
    char text[ENDPOINT_TEXT_CAP];
    int error = connector_tls_new(config, &connector->tls);
    if (error != ERR_OK || !config->has_listen_tls)
        return error;
    error = sessions_listen_tls(connector);
    if (error == ERR_OK)
        return error;
    const char *why = strerror(errno);
    endpoint_format(&config->listen_tls, text, sizeof text);
    if (config->is_listen_tls_wanted) {
        log_error("%s: [connector] listen-tls = %s cannot be opened: %s", config->file, text, why);
        return error;
    }
    log_warn("%s cannot be opened: %s; hosts in networks that let only port 443 out cannot log in "
             "(listen-tls in %s)",
             text, why, config->file);
    return ERR_OK;
}

/* Each session is a file. What else needs some, DNS over TCP above all, must not go without because
 * strangers hold them. */
static void allow_files(struct connector *connector)
{
    const struct connector_config *config = &connector->config;
    const size_t files = privileges_allow_files();
    connector->open_max = files - (files / 4 < OTHER_FILES ? files / 4 : OTHER_FILES);
    if (connector->open_max < config->sessions_max)
        log_info("%s: [connector] sessions = %u: the system allows %zu open files, which is enough "
                 "for %zu sessions; raise it (LimitNOFILE of systemd, `ulimit -n`)",
                 config->file, config->sessions_max, files, connector->open_max);
}

/* Opens every port, as the user that started us. */
static int open_ports(struct connector *connector)
{
    const struct connector_config *config = &connector->config;
    char text[ENDPOINT_TEXT_CAP];
    int error = sessions_listen(connector);
    if (error == ERR_OK)
        error = stun_server_new(&connector->loop, config, &connector->stun);
    if (error != ERR_OK) {
        log_error("%s: [connector] listen = %s cannot be opened: %s", config->file,
                  endpoint_format(&config->listen, text, sizeof text),
                  error == ERR_IO ? strerror(errno) : error_text(error));
        return error;
    }
    error = open_tls(connector);
    if (error != ERR_OK || !config->has_dns)
        return error;
    error = udp_server_new(&connector->loop, &config->dns, dns_server_answer_udp, connector,
                           &connector->dns_udp);
    if (error == ERR_OK)
        error = dns_server_new(connector, config->dns.port, &connector->dns);
    if (error != ERR_OK)
        log_error("%s: [connector] dns = %s cannot be opened: %s; ports below 1024 need "
                  "CAP_NET_BIND_SERVICE, and another DNS server may hold it",
                  config->file, endpoint_format(&config->dns, text, sizeof text),
                  error == ERR_IO ? strerror(errno) : error_text(error));
    return error;
}

static int open_control(struct connector *connector)
{
    int listener = -1;
    int error = control_socket_listen(connector->config.socket, 0600, &listener);
    if (error == ERR_OK)
        error = control_new(connector, listener, &connector->control);
    if (error != ERR_OK)
        log_error("%s: [connector] socket = %s cannot be opened: %s", connector->config.file,
                  connector->config.socket,
                  error == ERR_IO       ? strerror(errno)
                  : error == ERR_EXISTS ? "another detec-connector is running"
                                        : error_text(error));
    return error;
}

static int open_database(struct connector *connector)
{
    char text[256];
    const char *file = connector->config.database;
    int error = file_make_parent(file, 0700);
    if (error != ERR_OK) {
        log_error("host database %s: its directory cannot be made: %s", file,
                  file_error_text(error));
        return error;
    }
    error = database_open(file, &connector->database, text, sizeof text);
    if (error != ERR_OK)
        log_error("host database %s: %s; refusing to start, as static names would be lost: repair "
                  "or restore the file, or move it away to begin with an empty one",
                  file, text);
    return error;
}

static int make_relay(struct connector *connector)
{
    const struct relay_config config = connector_relay_config(connector);
    uint8_t seed[16];
    const int error = crypto_random(seed, sizeof seed);
    return error == ERR_OK ? relay_new(&config, seed, &connector->relay) : error;
}

static int make_engines(struct connector *connector)
{
    const struct connector_config *config = &connector->config;
    struct registry_config registry;
    struct ike_table_limits limits;
    struct zone_config zone = {
        .name = config->zone,
        .name_server = config->name_server[0] != '\0' ? config->name_server : NULL,
        .address = config->address,
        .other_address = config->other_address,
        .port = config->listen.port,
        .key = *identity_public(connector->identity),
        .serial = (uint32_t)clock_wall_seconds(),
    };
    ike_table_limits_init(&limits);
    limits.sas_max = config->sessions_max;
    limits.replies_per_second = config->sessions_max; /* refused tickets, over TCP */
    limits.half_open_max = config->sessions_max;
    limits.half_open_per_address_max = config->sessions_per_address_max;
    connector_registry_config(connector, &registry);
    int error = crypto_random(zone.seed, sizeof zone.seed);
    if (error == ERR_OK)
        error = zone_new(&zone, &connector->zone);
    if (error == ERR_OK)
        error = registry_new(&registry, &connector->registry);
    if (error == ERR_OK)
        error = make_relay(connector);
    if (error == ERR_OK)
        error = ike_table_new(&limits, clock_now_us(), &connector->ike);
    if (error == ERR_OK)
        error = connector_tickets_new(config, connector->identity, &connector->tickets);
    if (error == ERR_OK)
        error = connector_make_profile(connector, &connector->profile);
    return error == ERR_OK ? error : fail("the connector's tables cannot be made", error);
}

static int init(struct connector *connector)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    uint8_t seeds[4][16];
    int error = crypto_random(seeds, sizeof seeds);
    if (error == ERR_OK)
        error = map_init(&connector->sessions, seeds[0]);
    if (error == ERR_OK)
        error = admission_init(connector, seeds[3]);
    if (error == ERR_OK)
        error = strangers_init(&connector->tls_strangers, seeds[1]);
    if (error == ERR_OK)
        error = strangers_init(&connector->strangers, seeds[2]);
    deadline_heap_init(&connector->session_deadlines);
    if (error != ERR_OK)
        return fail("detec-connector cannot start", error);
    uv_timer_init(&connector->loop, &connector->timer);
    connector->timer.data = connector;
    uv_prepare_init(&connector->loop, &connector->settle);
    connector->settle.data = connector;
    uv_prepare_start(&connector->settle, on_settle);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uv_signal_init(&connector->loop, &connector->signals[i]);
        connector->signals[i].data = connector;
        if (uv_signal_start(&connector->signals[i], on_signal, numbers[i]) != 0)
            return fail("signals", ERR_NOMEM);
    }
    return ERR_OK;
}

/* Ports first, as who started us; then everything else, as who we shall be. */
static int bring_up(struct connector *connector)
{
    const struct connector_config *config = &connector->config;
    int error = init(connector);
    allow_files(connector);
    if (error == ERR_OK)
        error = open_ports(connector);
    if (error == ERR_OK)
        error = user_become(config);
    if (error == ERR_OK)
        error = key_load(config->key, &connector->identity);
    if (error == ERR_OK)
        error = open_database(connector);
    if (error == ERR_OK)
        error = make_engines(connector);
    if (error == ERR_OK)
        error = open_control(connector);
    return error;
}

static void tell_ready(const struct connector *connector)
{
    const struct connector_config *config = &connector->config;
    char key[PUBLIC_KEY_TEXT_CAP], listen[ENDPOINT_TEXT_CAP], tls[ENDPOINT_TEXT_CAP],
        dns[ENDPOINT_TEXT_CAP] = "off";
    if (config->has_dns)
        endpoint_format(&config->dns, dns, sizeof dns);
    log_info("serving zone %s: log-ins at %s%s%s, DNS at %s", config->zone,
             endpoint_format(&config->listen, listen, sizeof listen),
             connector->is_tls_listening ? " and " : "",
             connector->is_tls_listening ? endpoint_format(&config->listen_tls, tls, sizeof tls)
                                         : "",
             dns);
    log_info("public key of this connector, for `connector-key =` of its hosts: %s",
             public_key_format(identity_public(connector->identity), key));
}

static void free_all(struct connector *connector)
{
    ike_table_free(connector->ike);
    ike_profile_free(connector->profile);
    connector_tickets_free(connector->tickets);
    registry_free(connector->registry);
    relay_free(connector->relay);
    zone_free(connector->zone);
    database_close(connector->database);
    identity_free(connector->identity);
    map_done(&connector->sessions);
    admission_done(connector);
    strangers_done(&connector->tls_strangers);
    strangers_done(&connector->strangers);
    tls_context_free(connector->tls);
    deadline_heap_done(&connector->session_deadlines);
    uv_loop_close(&connector->loop);
    free(connector);
}

int server_run(const struct connector_config *config)
{
    struct connector *connector = calloc(1, sizeof *connector);
    if (connector == NULL || uv_loop_init(&connector->loop) != 0) {
        free(connector);
        return fail("detec-connector cannot start", ERR_NOMEM);
    }
    connector->config = *config;
    connector->started_us = clock_now_us();
    connector->check_at_us = connector->started_us + CHECK_US;
    aead_choose();
    (void)library_pages_release(); /* before anything else needs memory: so the peak is low, too */
    const int error = bring_up(connector);
    if (error == ERR_OK) {
        tell_ready(connector);
        (void)library_pages_release();
        uv_run(&connector->loop, UV_RUN_DEFAULT);
        log_info("stopped");
    } else {
        close_parts(connector);
        close_signals(connector);
        if (connector->timer.data != NULL)
            uv_close((uv_handle_t *)&connector->timer, NULL);
        if (connector->settle.data != NULL)
            uv_close((uv_handle_t *)&connector->settle, NULL);
        uv_run(&connector->loop, UV_RUN_DEFAULT);
    }
    free_all(connector);
    return error;
}

int server_check(const struct connector_config *config)
{
    struct identity *identity = NULL;
    struct database *database = NULL;
    char text[256];
    int error = key_read(config->key, &identity);
    identity_free(identity);
    if (error == ERR_NOT_FOUND) {
        log_info("key %s: does not exist yet; it is made at the first start", config->key);
        error = ERR_OK;
    }
    if (error != ERR_OK)
        return error;
    error = database_reopen(config->database, &database, text, sizeof text);
    database_close(database);
    if (error == ERR_NOT_FOUND) {
        log_info("host database %s: does not exist yet; it is made at the first start",
                 config->database);
        return ERR_OK;
    }
    if (error != ERR_OK)
        log_error("host database %s: %s", config->database, text);
    return error;
}
