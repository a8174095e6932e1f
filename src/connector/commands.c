/* Requests of the control socket: the host database and what follows from its changes, and figures.
 */
#include "connector/commands.h"

#include <stdlib.h>
#include <string.h>

#include "connector/hosts.h"
#include "connector/session.h"
#include "io/clock.h"

static struct hosts_zone zone_of(const struct connector *connector)
{
    return (struct hosts_zone){.name = connector->config.zone, .zone = connector->zone};
}

static json_t *fail_without_database(const struct connector *connector)
{
    return hosts_fail("the host database %s cannot be read now; detec-connector's log tells why",
                      connector->config.database);
}

/* The name that a key has without a row in the database. */
static int dynamic_name(const struct connector *connector, const struct public_key *key,
                        char ret_name[NAME_TEXT_CAP])
{
    char label[PUBLIC_KEY_LABEL_CAP], full[2 * NAME_TEXT_CAP];
    snprintf(full, sizeof full, "%s.%s", public_key_label(key, label), connector->config.zone);
    return name_normalize(full, ret_name);
}

static json_t *run_host_add(struct connector *connector, const json_t *request)
{
    const struct hosts_zone zone = zone_of(connector);
    struct database_host host;
    char dynamic[NAME_TEXT_CAP], key[PUBLIC_KEY_TEXT_CAP];
    const uint64_t now_us = clock_now_us();
    if (connector->database == NULL)
        return fail_without_database(connector);
    json_t *answer = hosts_add(connector->database, &zone, request, &host);
    if (answer == NULL || json_object_get(answer, "error") != NULL)
        return answer;
    log_info("%s: bound to the key %s by command", host.name, public_key_format(&host.key, key));
    /* Who had the name, and the key under its dynamic name, log in anew. */
    registry_evict(connector->registry, host.name, now_us);
    if (dynamic_name(connector, &host.key, dynamic) == ERR_OK)
        registry_evict(connector->registry, dynamic, now_us);
    return answer;
}

static json_t *run_host_remove(struct connector *connector, const json_t *request)
{
    const struct hosts_zone zone = zone_of(connector);
    char name[NAME_TEXT_CAP];
    if (connector->database == NULL)
        return fail_without_database(connector);
    json_t *answer = hosts_remove(connector->database, &zone, request, name);
    if (answer == NULL || json_object_get(answer, "error") != NULL)
        return answer;
    log_info("%s: removed by command", name);
    registry_evict(connector->registry, name, clock_now_us());
    return answer;
}

/* Adds what is known of a host that holds a name: its session and lease. */
static void describe_online(const struct connector *connector, json_t *host,
                            const struct registry_host_info *info, uint64_t now_us)
{
    const uint64_t left_us = info->lease_end_us > now_us ? info->lease_end_us - now_us : 0;
    (void)json_object_set_new(host, "is_logged_in", json_boolean(info->is_online));
    (void)json_object_set_new(host, "lease_s", json_integer((json_int_t)(left_us / SECOND_US)));
    if (!info->is_online)
        return;
    const uint64_t since_us = session_since_us(connector, info->session);
    const struct endpoint *remote = session_remote(connector, info->session);
    char text[ENDPOINT_TEXT_CAP];
    (void)json_object_set_new(host, "since_s",
                              json_integer((json_int_t)((now_us - since_us) / SECOND_US)));
    if (remote != NULL)
        (void)json_object_set_new(host, "from",
                                  json_string(endpoint_format(remote, text, sizeof text)));
}

/* Every member is there, with null for what does not apply. */
static void set_nulls(json_t *host)
{
    static const char *const members[] = {"lease_s", "since_s", "from"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (json_object_get(host, members[i]) == NULL)
            (void)json_object_set_new(host, members[i], json_null());
    }
}

static json_t *run_host_list(struct connector *connector, const json_t *request)
{
    struct registry_host_info info;
    const void *cursor = NULL;
    const uint64_t now_us = clock_now_us();
    bool has_failed;
    size_t i;
    json_t *host;
    if (connector->database == NULL)
        return fail_without_database(connector);
    json_t *hosts = hosts_list(connector->database, &has_failed);
    if (has_failed)
        return hosts;
    json_array_foreach(hosts, i, host)
    {
        if (registry_find(connector->registry, json_string_value(json_object_get(host, "name")),
                          &info) == ERR_OK)
            describe_online(connector, host, &info, now_us);
        set_nulls(host);
    }
    while (registry_walk(connector->registry, &cursor, &info)) {
        struct public_key key;
        char text[PUBLIC_KEY_TEXT_CAP];
        if (info.is_static)
            continue; /* a row, above */
        memcpy(key.bytes, info.key, sizeof key.bytes);
        host = json_pack("{s:s, s:s, s:n, s:b}", "name", info.name, "key",
                         public_key_format(&key, text), "mac", "is_static", 0);
        describe_online(connector, host, &info, now_us);
        set_nulls(host);
        (void)json_array_append_new(hosts, host);
    }
    return json_pack("{s:b, s:o}", "done", 1, "hosts", hosts);
}

/* Sessions that hold no name. */
static size_t count_guests(const struct connector *connector)
{
    struct registry_host_info info;
    const void *cursor = NULL;
    size_t guests = registry_session_count(connector->registry);
    while (registry_walk(connector->registry, &cursor, &info))
        guests -= info.is_online && guests > 0;
    return guests;
}

static json_t *run_status(struct connector *connector, const json_t *request)
{
    const struct registry_counters *counters = registry_counters(connector->registry);
    char key[PUBLIC_KEY_TEXT_CAP];
    json_t *status = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "version",
        DETEC_VERSION, "zone", connector->config.zone, "key",
        public_key_format(identity_public(connector->identity), key), "sessions",
        (json_int_t)registry_session_count(connector->registry), "connections",
        (json_int_t)connector->sessions.count, "in_tls", (json_int_t)connector->tls_count, "guests",
        (json_int_t)count_guests(connector), "names",
        (json_int_t)registry_name_count(connector->registry), "calls_passed",
        (json_int_t)counters->calls, "calls_refused",
        (json_int_t)(counters->absent + counters->limited), "logins", (json_int_t)counters->logins,
        "resumed", (json_int_t)connector->resumed_count, "uptime_s",
        (json_int_t)((clock_now_us() - connector->started_us) / SECOND_US), "dns_queries",
        (json_int_t)connector->dns_queries, "is_database_readable", connector->database != NULL);
    /* What hosts did that they should not have. */
    if (status != NULL)
        (void)json_object_update_new(status, json_pack("{s:I, s:I, s:I}", "invalid",
                                                       (json_int_t)counters->invalid, "forged",
                                                       (json_int_t)counters->forged, "limited",
                                                       (json_int_t)counters->limited));
    const struct relay_counters *relay = relay_counters(connector->relay);
    if (status != NULL)
        (void)json_object_set_new(
            status, "relay",
            json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "is_on", connector->config.has_relay,
                      "channels", (json_int_t)relay_channel_count(connector->relay), "frames",
                      (json_int_t)relay->frames, "bytes", (json_int_t)relay->bytes, "limited",
                      (json_int_t)relay->limited, "refused", (json_int_t)relay->refused, "dropped",
                      (json_int_t)connector->relay_dropped));
    return json_pack("{s:b, s:o}", "done", 1, "status", status);
}

json_t *commands_run(struct connector *connector, const json_t *request)
{
    static const struct {
        const char *name;
        json_t *(*run)(struct connector *connector, const json_t *request);
    } commands[] = {
        {"host-add", run_host_add},
        {"host-remove", run_host_remove},
        {"host-list", run_host_list},
        {"status", run_status},
    };
    const char *name = json_string_value(json_object_get(request, "command"));
    for (size_t i = 0; name != NULL && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return commands[i].run(connector, request);
    }
    return hosts_fail("detec-connector knows no command \"%.64s\"; allowed: host-add, host-remove, "
                      "host-list, status",
                      name != NULL ? name : "");
}

/* Is this host's name still the one that the database gives it? Errors read as yes: what was
 * granted stays, nothing new is. */
static bool is_name_right(struct connector *connector, const struct registry_host_info *info)
{
    struct database_host host;
    struct public_key key;
    memcpy(key.bytes, info->key, sizeof key.bytes);
    const int error = database_find_key(connector->database, &key, &host);
    if (error == ERR_OK)
        return info->is_static && strcmp(host.name, info->name) == 0;
    return error == ERR_NOT_FOUND ? !info->is_static : true;
}

void commands_recheck_hosts(struct connector *connector, uint64_t now_us)
{
    struct registry_host_info info;
    const void *cursor = NULL;
    const size_t count = registry_name_count(connector->registry);
    char(*wrong)[NAME_TEXT_CAP] = NULL;
    size_t wrong_count = 0, cap = 0;
    /* The registry may not change while it is walked. */
    while (wrong_count <= count && registry_walk(connector->registry, &cursor, &info)) {
        if (is_name_right(connector, &info))
            continue;
        if (wrong_count == cap) {
            cap = cap > 0 ? cap * 2 : 16;
            char(*grown)[NAME_TEXT_CAP] = reallocarray(wrong, cap, sizeof *grown);
            if (grown == NULL)
                break;
            wrong = grown;
        }
        snprintf(wrong[wrong_count++], NAME_TEXT_CAP, "%s", info.name);
    }
    for (size_t i = 0; i < wrong_count; i++)
        registry_evict(connector->registry, wrong[i], now_us);
    free(wrong);
}
