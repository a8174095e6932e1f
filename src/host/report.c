/* The daemon's state as JSON, for `detec status` and `detec peers`. */
#include "host/call.h"
#include "host/commands.h"
#include "host/datapath.h"
#include "host/kernel_esp.h"
#include "host/nat.h"
#include "host/plain.h"
#include "host/plain_ikev1.h"
#include "host/portmap.h"
#include "host/relay.h"
#include "host/resolver.h"
#include "host/session.h"
#include "host/streams.h"
#include "host/wake.h"
#include "io/clock.h"
#include "names/pool_ipv6.h"
#include "wire/suite.h"

#define SEEN_MAX 8 /* own public endpoints told */

static double seconds_since(uint64_t then_us, uint64_t now_us)
{
    return then_us == 0 || then_us > now_us ? 0 : (double)((now_us - then_us) / MS_US) / 1000;
}

static json_t *text_or_null(const char *text)
{
    return text == NULL || text[0] == '\0' ? json_null() : json_string(text);
}

static json_t *endpoint_json(const struct endpoint *endpoint)
{
    char text[ENDPOINT_TEXT_CAP];
    if (endpoint == NULL || endpoint->address.family == ADDRESS_NONE || endpoint->port == 0)
        return json_null();
    return json_string(endpoint_format(endpoint, text, sizeof(text)));
}

static const char *login_text(enum login_state state, const char *error)
{
    switch (state) {
    case LOGIN_UP:
        return "logged-in";
    case LOGIN_CONNECTING:
        return "connecting";
    case LOGIN_NAMING:
        return "authenticating";
    default:
        return strstr(error, "refused") != NULL ? "refused" : "down";
    }
}

static json_t *report_login(struct host *host, uint64_t now_us)
{
    struct session *session = session_own(host);
    if (session == NULL)
        return json_pack("{s:s}", "state", "down");
    struct login_client *login = session_login(session);
    const struct notify_name *name = login_client_name(login);
    enum login_state state = login_client_state(login);
    uint64_t due_us = login_client_deadline(login);
    char key_text[PUBLIC_KEY_TEXT_CAP];
    const struct public_key *key = session_key(session);
    char way[DIAL_TEXT_CAP];
    return json_pack("{s:s, s:o, s:o, s:o, s:f, s:i, s:f, s:o, s:f}", "state",
                     login_text(state, session_error(session)), "connector",
                     endpoint_json(session_connector(session)), "way",
                     text_or_null(session_way(session, way)), "connector_key",
                     text_or_null(key != NULL ? public_key_format(key, key_text) : NULL), "since_s",
                     state == LOGIN_UP ? seconds_since(session_since_us(session), now_us) : 0.0,
                     "lease_s", name != NULL ? (int)name->lease_s : 0, "rtt_ms",
                     (double)session_round_trip_us(session) / 1000, "error",
                     text_or_null(session_error(session)), "retry_s",
                     state == LOGIN_WAITING && due_us != DEADLINE_NEVER && due_us > now_us
                         ? (double)(due_us - now_us) / 1e6
                         : 0.0);
}

static json_t *report_nat(struct host *host)
{
    struct endpoint seen[SEEN_MAX];
    json_t *local = json_array(), *public = json_array();
    size_t count = sessions_reflexive(host, seen, SEEN_MAX);
    bool is_public = false;
    for (size_t i = 0; i < host->local_count; i++) {
        struct endpoint endpoint = {host->locals[i], host->config.port};
        json_array_append_new(local, endpoint_json(&endpoint));
        is_public = is_public || (count > 0 && endpoint_is_equal(&endpoint, &seen[0]));
    }
    for (size_t i = 0; i < count; i++)
        json_array_append_new(public, endpoint_json(&seen[i]));
    json_t *report = json_pack("{s:s, s:o, s:o, s:o}", "class",
                               count == 0  ? "unknown"
                               : is_public ? "public"
                                           : "behind NAT",
                               "public", count > 0 ? endpoint_json(&seen[0]) : json_null(), "seen",
                               public, "local", local);
    if (nat_is_learning(host))
        json_object_set_new(report, "is_learning", json_true());
    const struct behaviour_result *checked = netcheck_result(host);
    if (checked != NULL) {
        json_object_set_new(report, "mapping", json_string(behaviour_kind_text(checked->mapping)));
        json_object_set_new(report, "filtering",
                            json_string(behaviour_kind_text(checked->filtering)));
    }
    return report;
}

static json_t *report_dns(struct host *host)
{
    struct resolver_status status = {0};
    if (host->resolver != NULL)
        resolver_get_status(host->resolver, &status);
    return json_pack("{s:s, s:b, s:I, s:I, s:o}", "mode",
                     host->config.dns == DNS_MODE_CAPTURE ? "capture" : "off", "is_active",
                     status.is_active, "queries", (json_int_t)status.queries, "rewritten",
                     (json_int_t)host->rewritten_count, "error", text_or_null(status.error));
}

static void add_drops(struct tunnel *tunnel, void *context)
{
    uint64_t *totals = context;
    struct tunnel_status status;
    tunnel_get_status(tunnel, &status);
    for (size_t i = 1; i < DROP_REASON_COUNT; i++)
        totals[i] += status.drops[i];
}

static void set_count(json_t *drops, const char *reason, uint64_t count)
{
    if (count > 0)
        json_object_set_new(drops, reason, json_integer((json_int_t)count));
}

static json_t *report_drops(struct host *host)
{
    uint64_t totals[DROP_REASON_COUNT] = {0};
    json_t *drops = json_object();
    tunnel_foreach(host->tunnels, add_drops, totals);
    for (size_t i = 1; i < DROP_REASON_COUNT; i++) {
        totals[i] += drop_counted(tunnel_table_drops(host->tunnels), (enum drop_reason)i);
        totals[i] += datapath_drops(host->datapath, (enum drop_reason)i);
        set_count(drops, drop_name((enum drop_reason)i), totals[i]);
    }
    /* What strangers send to the control thread. */
    set_count(drops, "stray-stun", host->stray_stun_count);
    set_count(drops, "stray-ike", host->stray_ike_count);
    set_count(drops, "control-busy", datapath_not_handed_over(host->datapath));
    return drops;
}

static json_t *report_refused(struct host *host, uint64_t now_us)
{
    json_t *list = json_array();
    char text[PUBLIC_KEY_TEXT_CAP];
    bool is_listed[HOST_REFUSED_MAX] = {false};
    for (size_t n = 0; n < HOST_REFUSED_MAX; n++) {
        struct refused_caller *newest = NULL;
        for (size_t i = 0; i < HOST_REFUSED_MAX; i++) {
            struct refused_caller *entry = &host->refused[i];
            if (entry->count > 0 && !is_listed[i] &&
                (newest == NULL || entry->last_us > newest->last_us))
                newest = entry;
        }
        if (newest == NULL)
            break;
        is_listed[newest - host->refused] = true;
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:I, s:f}", "name", newest->name, "key",
                                        public_key_format(&newest->key, text), "reason",
                                        newest->reason, "count", (json_int_t)newest->count, "ago_s",
                                        seconds_since(newest->last_us, now_us)));
    }
    return list;
}

/* Both versions. */
static json_t *report_ike(const struct host *host)
{
    uint32_t count = ike_table_count(host->ike), half_open = ike_table_half_open_count(host->ike);
    plain_ikev1_count(host, &count, &half_open);
    return json_pack("{s:I, s:I}", "sas", (json_int_t)count, "half_open", (json_int_t)half_open);
}

json_t *report_status(struct host *host)
{
    uint64_t now_us = clock_now_us();
    char key[PUBLIC_KEY_TEXT_CAP], own[ADDRESS_TEXT_CAP], pool[PREFIX_TEXT_CAP];
    bool is_intact = false;
    if (guard_is_intact(&host->netlink, &host->guard, &is_intact) != ERR_OK)
        is_intact = false;
    json_t *status =
        json_pack("{s:s, s:o, s:s, s:b, s:s, s:s, s:s, s:i, s:f}", "version", DETEC_VERSION, "name",
                  text_or_null(host->name), "zone", host->config.zone, "is_static", host->is_static,
                  "key", public_key_format(identity_public(host->identity), key), "address",
                  address_format(&host->own, own, sizeof(own)), "pool",
                  prefix_format(&host->config.pool, pool, sizeof(pool)), "port",
                  (int)host->config.port, "uptime_s", seconds_since(host->started_us, now_us));
    if (status == NULL)
        return NULL;
    json_object_set_new(status, "login", report_login(host, now_us));
    json_object_set_new(status, "nat", report_nat(host));
    json_object_set_new(status, "port_mapping", portmap_report(host->portmap, now_us));
    json_object_set_new(status, "keepalive", keeper_report(host, now_us));
    json_object_set_new(status, "dns", report_dns(host));
    json_object_set_new(status, "guard",
                        json_pack("{s:b, s:I}", "is_intact", is_intact, "restored",
                                  (json_int_t)host->guard_restored));
    json_object_set_new(status, "esp_offload", kernel_esp_report(host));
    json_object_set_new(status, "tunnels", json_integer((json_int_t)host->tunnel_count));
    json_object_set_new(status, "calls", json_integer((json_int_t)host->call_count));
    json_object_set_new(status, "resting", json_integer((json_int_t)wake_count(host)));
    json_object_set_new(status, "ike", report_ike(host));
    json_object_set_new(status, "drops", report_drops(host));
    json_object_set_new(status, "refused", report_refused(host, now_us));
    return status;
}

static json_t *spi_json(uint32_t spi)
{
    char text[16];
    snprintf(text, sizeof(text), "%08x", spi);
    return json_string(text);
}

/* The security associations that a tunnel lives by. */
static json_t *report_sa(const struct peer *peer, const struct tunnel_status *status,
                         uint64_t now_us)
{
    const bool is_esp = suite_is_esp(status->suite);
    uint64_t spi_i = 0, spi_r = 0;
    char text[40] = "";
    if (peer->tunnel != NULL && peer->plain != NULL && peer->sa == NULL)
        plain_cookies(peer->plain, text);
    if (peer->tunnel != NULL && peer->sa != NULL) {
        ike_sa_spis(peer->sa, &spi_i, &spi_r);
        snprintf(text, sizeof(text), "%016llx_%016llx", (unsigned long long)spi_i,
                 (unsigned long long)spi_r);
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "protocol",
                     text_or_null(status->outbound_id == 0 ? NULL
                                  : is_esp                 ? "esp"
                                                           : "sput"),
                     "mode", text_or_null(is_esp ? child_mode_name(status->mode) : NULL),
                     "is_extended", is_esp ? json_boolean(status->has_esn) : json_null(), "spi_in",
                     is_esp ? spi_json(status->spi_in) : json_null(), "spi_out",
                     is_esp ? spi_json(status->spi_out) : json_null(), "ike_spis",
                     text_or_null(text), "keys_age_s",
                     status->outbound_id != 0 ? json_real(seconds_since(peer->keys_us, now_us))
                                              : json_null());
}

json_t *report_peer(struct peer *peer)
{
    uint64_t now_us = clock_now_us();
    char address[ADDRESS_TEXT_CAP], key[PUBLIC_KEY_TEXT_CAP], endpoint[ENDPOINT_TEXT_CAP],
        path[RELAY_TEXT_CAP + 8] = "";
    struct tunnel_status status = {0};
    bool is_up = peer->tunnel != NULL;
    bool is_relayed = is_up && relay_is_endpoint(&peer->path);
    if (is_up && peer->kernel != NULL)
        kernel_esp_count(peer, now_us);
    if (is_up) {
        tunnel_get_status(peer->tunnel, &status);
        if (is_relayed)
            relay_format(peer->host, &peer->path, path);
        else
            snprintf(path, sizeof(path), "direct %s%s",
                     endpoint_format(&peer->path, endpoint, sizeof(endpoint)),
                     streams_suffix(&peer->path));
    }
    uint64_t round_trip_us = peer->sa != NULL ? ike_sa_round_trip_us(peer->sa) : 0;
    json_t *report = json_pack(
        "{s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:s}", "name", peer->name, "address",
        address_format(&peer->address, address, sizeof(address)), "key",
        text_or_null(peer->has_key ? public_key_format(&peer->key, key) : NULL), "state",
        peer->is_closing                               ? "closing"
        : is_up                                        ? "up"
        : peer->call                                   ? "calling"
        : peer->plain && plain_is_calling(peer->plain) ? "calling"
                                                       : "down",
        "path", text_or_null(path), "endpoint",
        is_up && !is_relayed ? endpoint_json(&peer->path) : json_null(), "suite",
        is_up && status.outbound_id != 0 ? json_string(suite_name(status.suite)) : json_null(),
        "direction", peer->is_caller ? "in" : "out");
    if (report == NULL)
        return NULL;
    if (peer->plain != NULL && peer->host->has_ipv6_inside) {
        const struct address twin = pool_ipv6_of(&peer->address);
        json_object_set_new(report, "address_ipv6",
                            json_string(address_format(&twin, address, sizeof(address))));
    }
    json_object_set_new(report, "path_reason", text_or_null(is_relayed ? peer->relay_why : NULL));
    json_object_update_new(
        report,
        json_pack("{s:f, s:f, s:I, s:I, s:I, s:I, s:o, s:I, s:o}", "age_s",
                  seconds_since(peer->up_since_us, now_us), "idle_s",
                  seconds_since(peer->activity_us, now_us), "bytes_in", (json_int_t)status.bytes_in,
                  "bytes_out", (json_int_t)status.bytes_out, "packets_in",
                  (json_int_t)status.packets_in, "packets_out", (json_int_t)status.packets_out,
                  "rtt_ms",
                  round_trip_us > 0 ? json_real((double)round_trip_us / 1000) : json_null(), "mtu",
                  (json_int_t)status.mtu, "last_error", text_or_null(peer->last_error)));
    json_object_update_new(report, report_sa(peer, &status, now_us));
    if (is_up && suite_is_esp(status.suite))
        json_object_set_new(report, "esp_offload", kernel_esp_report_peer(peer));
    json_object_set_new(report, "path_mtu", is_up ? json_integer(status.path_mtu) : json_null());
    json_object_set_new(report, "mtu_state",
                        is_up && !is_relayed ? json_string(pmtu_state_text(pmtu_state(&peer->pmtu)))
                                             : json_null());
    return report;
}

bool report_has_peer(const struct peer *peer)
{
    return peer->tunnel != NULL || peer->call != NULL || peer->plain != NULL ||
           peer->last_error[0] != '\0';
}
