/* Sessions and hosts of the registry: how they come, how long they last, how they go. */
#include "login/registry.h"

#include "crypto/memory.h"
#include "login/registry_internal.h"
#include <stdlib.h>
#include <string.h>

static int seed_map(struct map *map)
{
    uint8_t seed[16];
    const int error = crypto_random(seed, sizeof seed);
    return error != ERR_OK ? error : map_init(map, seed);
}

static void apply_config(struct registry *registry, const struct registry_config *config)
{
    registry->config = *config;
    if (registry->config.lease_s == 0)
        registry->config.lease_s = REGISTRY_LEASE_S;
    if (registry->config.lease_s < REGISTRY_LEASE_MIN_S)
        registry->config.lease_s = REGISTRY_LEASE_MIN_S;
    if (registry->config.sessions_max == 0)
        registry->config.sessions_max = REGISTRY_SESSIONS_MAX;
}

int registry_new(const struct registry_config *config, struct registry **ret_registry)
{
    if (config->zone[0] == '\0' || config->find_static == NULL)
        return ERR_INVALID;
    struct registry *registry = calloc(1, sizeof *registry);
    if (registry == NULL)
        return ERR_NOMEM;
    apply_config(registry, config);
    registry->events_end = &registry->events;
    deadline_heap_init(&registry->login_waits);
    deadline_heap_init(&registry->leases);
    deadline_heap_init(&registry->forgets);
    struct map *const maps[] = {&registry->sessions, &registry->keys, &registry->names,
                                &registry->calls};
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        const int error = seed_map(maps[i]);
        if (error != ERR_OK) {
            registry_free(registry);
            return error;
        }
    }
    *ret_registry = registry;
    return ERR_OK;
}

int registry_set_config(struct registry *registry, const struct registry_config *config)
{
    if (strcmp(registry->config.zone, config->zone) != 0 || config->find_static == NULL)
        return ERR_STATE;
    apply_config(registry, config);
    return ERR_OK;
}

struct session *registry_find_session(const struct registry *registry, uint64_t id)
{
    const uint64_t hash = map_hash(&registry->sessions, &id, sizeof id);
    struct map_node *node = map_first(&registry->sessions, hash);
    for (; node != NULL; node = map_next(node)) {
        struct session *session = CONTAINER_OF(node, struct session, by_id);
        if (session->id == id)
            return session;
    }
    return NULL;
}

struct host *registry_find_host_name(const struct registry *registry, const char *name)
{
    const uint64_t hash = map_hash(&registry->names, name, strlen(name));
    struct map_node *node = map_first(&registry->names, hash);
    for (; node != NULL; node = map_next(node)) {
        struct host *host = CONTAINER_OF(node, struct host, by_name);
        if (strcmp(host->name, name) == 0)
            return host;
    }
    return NULL;
}

/* A key may be logged in once with a name, and once as a guest. */
struct host *registry_find_host_key(const struct registry *registry, const uint8_t *key,
                                    bool is_guest)
{
    const uint64_t hash = map_hash(&registry->keys, key, NOTIFY_KEY_LEN);
    struct map_node *node = map_first(&registry->keys, hash);
    for (; node != NULL; node = map_next(node)) {
        struct host *host = CONTAINER_OF(node, struct host, by_key);
        if (memcmp(host->key, key, NOTIFY_KEY_LEN) == 0 && (host->name == NULL) == is_guest)
            return host;
    }
    return NULL;
}

static void remove_name(struct registry *registry, struct host *host)
{
    if (host->name == NULL)
        return;
    registry_emit_withdraw(registry, host->name);
    map_remove(&registry->names, &host->by_name);
    free(host->name);
    host->name = NULL;
}

struct host *registry_host_new(struct registry *registry, const uint8_t *key)
{
    struct host *host = calloc(1, sizeof *host);
    if (host == NULL)
        return NULL;
    memcpy(host->key, key, sizeof host->key);
    const uint64_t hash = map_hash(&registry->keys, key, NOTIFY_KEY_LEN);
    if (map_insert(&registry->keys, &host->by_key, hash) != ERR_OK) {
        free(host);
        return NULL;
    }
    return host;
}

int registry_host_set_name(struct registry *registry, struct host *host, const char *name)
{
    if (host->name != NULL && strcmp(host->name, name) == 0)
        return ERR_OK;
    char *copy = strdup(name);
    if (copy == NULL)
        return ERR_NOMEM;
    remove_name(registry, host);
    if (map_insert(&registry->names, &host->by_name,
                   map_hash(&registry->names, name, strlen(name))) != ERR_OK) {
        free(copy);
        return ERR_NOMEM;
    }
    host->name = copy;
    return ERR_OK;
}

void registry_host_remove(struct registry *registry, struct host *host)
{
    remove_name(registry, host);
    map_remove(&registry->keys, &host->by_key);
    deadline_clear(&registry->leases, &host->lease);
    if (host->session != NULL)
        host->session->host = NULL;
    free(host);
}

static void session_free(struct registry *registry, struct session *session)
{
    if (session->host != NULL)
        session->host->session = NULL;
    map_remove(&registry->sessions, &session->by_id);
    deadline_clear(&registry->login_waits, &session->login_wait);
    free(session);
}

void registry_session_close(struct registry *registry, struct session *session,
                            enum registry_close reason)
{
    registry_emit_close(registry, session, reason);
    session_free(registry, session);
}

int registry_session_open(struct registry *registry, uint64_t id, const uint8_t key[NOTIFY_KEY_LEN],
                          uint64_t now_us)
{
    if (registry->sessions.count >= registry->config.sessions_max) {
        registry->counters.limited++;
        return ERR_LIMIT;
    }
    if (registry_find_session(registry, id) != NULL)
        return ERR_EXISTS;
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return ERR_NOMEM;
    session->id = id;
    session->heard_us = now_us;
    memcpy(session->key, key, sizeof session->key);
    int error =
        deadline_set(&registry->login_waits, &session->login_wait, now_us + REGISTRY_LOGIN_WAIT_US);
    if (error == ERR_OK)
        error = map_insert(&registry->sessions, &session->by_id,
                           map_hash(&registry->sessions, &id, sizeof id));
    if (error != ERR_OK) {
        deadline_clear(&registry->login_waits, &session->login_wait);
        free(session);
    }
    return error;
}

int registry_notify(struct registry *registry, uint64_t id, uint16_t type, const void *data,
                    size_t len, const struct registry_static *row, uint64_t now_us)
{
    struct session *session = registry_find_session(registry, id);
    if (session == NULL)
        return ERR_NOT_FOUND;
    session->heard_us = now_us;
    int error;
    if (type == NOTIFY_LOGIN)
        error = registry_take_login(registry, session, data, len, row, now_us);
    else if (type != NOTIFY_CALL && type != NOTIFY_ANSWER && type != NOTIFY_LOOKUP &&
             type != NOTIFY_VOUCH)
        error = ERR_UNSUPPORTED;
    else if (session->host == NULL)
        error = ERR_STATE;
    else if (type == NOTIFY_CALL)
        error = registry_take_call(registry, session, data, len, now_us);
    else if (type == NOTIFY_ANSWER)
        error = registry_take_answer(registry, session, data, len);
    else if (type == NOTIFY_LOOKUP)
        error = registry_take_lookup(registry, session, data, len, now_us);
    else
        error = registry_take_vouch(registry, session, data, len, now_us);
    if (error == ERR_LIMIT)
        registry->counters.limited++;
    else if (error == ERR_REFUSED)
        registry->counters.forged++;
    else if (error == ERR_NOMEM)
        registry->counters.dropped++;
    else if (error != ERR_OK)
        registry->counters.invalid++;
    return error;
}

void registry_session_closed(struct registry *registry, uint64_t id, bool is_logout,
                             uint64_t now_us)
{
    struct session *session = registry_find_session(registry, id);
    if (session == NULL)
        return;
    struct host *host = session->host;
    const uint64_t heard_us = session->heard_us;
    session_free(registry, session);
    if (host == NULL)
        return;
    /* Without a place in the heap the name would stay for ever. */
    const uint64_t end_us = heard_us + host->lease_s * SECOND_US;
    if (is_logout || host->name == NULL || end_us <= now_us ||
        deadline_set(&registry->leases, &host->lease, end_us) != ERR_OK)
        registry_host_remove(registry, host);
}

void registry_session_observed(struct registry *registry, uint64_t id,
                               const struct address *address)
{
    struct session *session = registry_find_session(registry, id);
    if (session != NULL)
        session->observed = *address;
}

void registry_touch(struct registry *registry, uint64_t id, uint64_t now_us)
{
    struct session *session = registry_find_session(registry, id);
    if (session != NULL)
        session->heard_us = now_us;
}

void registry_evict(struct registry *registry, const char *name, uint64_t now_us)
{
    struct host *host = registry_find_host_name(registry, name);
    if (host == NULL)
        return;
    struct session *session = host->session;
    registry_host_remove(registry, host);
    if (session == NULL)
        return;
    /* Without a word: told that it is refused, it would not come back for minutes, and it may well
     * be to get another name now. */
    registry_session_close(registry, session, REGISTRY_EVICTED);
}

uint64_t registry_deadline(const struct registry *registry)
{
    const uint64_t at_us = deadline_min(deadline_heap_next(&registry->login_waits),
                                        deadline_heap_next(&registry->leases));
    return deadline_min(at_us, deadline_heap_next(&registry->forgets));
}

/* The lease moves with every message; its place in the heap only when it comes up. */
static void check_lease(struct registry *registry, struct host *host, uint64_t now_us)
{
    struct session *session = host->session;
    if (session != NULL) {
        const uint64_t end_us = session->heard_us + host->lease_s * SECOND_US;
        if (end_us > now_us && deadline_set(&registry->leases, &host->lease, end_us) == ERR_OK)
            return;
        registry_session_close(registry, session, REGISTRY_EXPIRED);
    }
    registry_host_remove(registry, host);
}

void registry_expire(struct registry *registry, uint64_t now_us)
{
    struct deadline *due;
    while ((due = deadline_heap_pop(&registry->login_waits, now_us)) != NULL)
        registry_session_close(registry, CONTAINER_OF(due, struct session, login_wait),
                               REGISTRY_EXPIRED);
    while ((due = deadline_heap_pop(&registry->leases, now_us)) != NULL)
        check_lease(registry, CONTAINER_OF(due, struct host, lease), now_us);
    while ((due = deadline_heap_pop(&registry->forgets, now_us)) != NULL) {
        registry->counters.expired++;
        registry_call_forget(registry, CONTAINER_OF(due, struct call, forget));
    }
}

static void fill_info(const struct host *host, struct registry_host_info *ret_info)
{
    const struct session *session = host->session;
    ret_info->name = host->name;
    ret_info->key = host->key;
    ret_info->is_static = host->is_static;
    ret_info->is_online = session != NULL;
    ret_info->session = session != NULL ? session->id : 0;
    ret_info->lease_end_us =
        session != NULL ? session->heard_us + host->lease_s * SECOND_US : host->lease.at_us;
}

int registry_find(const struct registry *registry, const char *name,
                  struct registry_host_info *ret_info)
{
    const struct host *host = registry_find_host_name(registry, name);
    if (host == NULL)
        return ERR_NOT_FOUND;
    fill_info(host, ret_info);
    return ERR_OK;
}

bool registry_walk(const struct registry *registry, const void **cursor,
                   struct registry_host_info *ret_info)
{
    struct map_node *node = map_walk(&registry->names, (struct map_node *)*cursor);
    if (node == NULL)
        return false;
    *cursor = node;
    fill_info(CONTAINER_OF(node, struct host, by_name), ret_info);
    return true;
}

size_t registry_session_count(const struct registry *registry)
{
    return registry->sessions.count;
}

size_t registry_name_count(const struct registry *registry)
{
    return registry->names.count;
}

const struct registry_counters *registry_counters(const struct registry *registry)
{
    return &registry->counters;
}

size_t registry_host_size(void)
{
    return sizeof(struct session) + sizeof(struct host);
}

void registry_free(struct registry *registry)
{
    if (registry == NULL)
        return;
    struct map_node *node, *next;
    for (node = map_walk(&registry->calls, NULL); node != NULL; node = next) {
        next = map_walk(&registry->calls, node);
        registry_call_forget(registry, CONTAINER_OF(node, struct call, by_number));
    }
    for (node = map_walk(&registry->keys, NULL); node != NULL; node = next) {
        next = map_walk(&registry->keys, node);
        registry_host_remove(registry, CONTAINER_OF(node, struct host, by_key));
        registry_events_free(registry);
    }
    for (node = map_walk(&registry->sessions, NULL); node != NULL; node = next) {
        next = map_walk(&registry->sessions, node);
        session_free(registry, CONTAINER_OF(node, struct session, by_id));
    }
    registry_events_free(registry);
    map_done(&registry->calls);
    map_done(&registry->keys);
    map_done(&registry->names);
    map_done(&registry->sessions);
    deadline_heap_done(&registry->login_waits);
    deadline_heap_done(&registry->leases);
    deadline_heap_done(&registry->forgets);
    free(registry);
}
