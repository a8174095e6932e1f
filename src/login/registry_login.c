/* LOGIN at the connector: which name a key gets, and what happens to an older session of the same
 * key. */
#include "crypto/identity.h"
#include "login/registry_internal.h"
#include <stdio.h>
#include <string.h>

struct decision {
    enum name_result result;
    bool is_static;
    char name[NAME_TEXT_CAP];
    const char *reason;
};

static void send_name(struct registry *registry, const struct session *session,
                      enum name_result result, const struct host *host, const char *reason)
{
    const bool is_named = host != NULL && host->name != NULL;
    struct notify_name answer = {.result = (uint8_t)result,
                                 .is_static = is_named && host->is_static,
                                 .lease_s = host != NULL ? host->lease_s : 0,
                                 .stun_port = registry->config.stun_port};
    if (is_named)
        memcpy(answer.name, host->name, strlen(host->name) + 1);
    memcpy(answer.zone, registry->config.zone, sizeof answer.zone);
    snprintf(answer.reason, sizeof answer.reason, "%s", reason);
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_name(&w, &answer);
    registry_emit_send(registry, session, NOTIFY_NAME, &w);
}

void registry_send_refusal(struct registry *registry, const struct session *session,
                           enum name_result result, const char *reason)
{
    send_name(registry, session, result, NULL, reason);
}

static struct decision refuse(enum name_result result, const char *reason)
{
    return (struct decision){.result = result, .reason = reason};
}

/* A row is good for this key and zone only; anything else in the database gives nobody a name. */
static bool row_is_usable(const struct registry *registry, const struct registry_static *row,
                          const struct session *session)
{
    const char *zone = registry->config.zone;
    return memcmp(row->key, session->key, sizeof row->key) == 0 &&
           name_is_in_zone(row->name, zone) && strcmp(row->name, zone) != 0;
}

static struct decision decide_static(const struct registry_static *row,
                                     const struct notify_login *login)
{
    if (row->has_mac && (!login->has_mac || memcmp(row->mac, login->mac, sizeof row->mac) != 0))
        return refuse(NAME_MAC_DIFFERS, "this name is bound to another MAC address");
    struct decision decision = {.result = NAME_OK, .is_static = true, .reason = ""};
    memcpy(decision.name, row->name, sizeof decision.name);
    if (login->name[0] != '\0' && strcmp(login->name, row->name) != 0)
        decision.reason = "the name wanted is not in the host database; this key has this one";
    return decision;
}

static struct decision decide_dynamic(const struct registry *registry,
                                      const struct session *session,
                                      const struct notify_login *login)
{
    const struct registry_config *config = &registry->config;
    if (config->is_strict)
        return refuse(NAME_KEY_UNKNOWN, "only keys of the host database are taken here");
    if (!config->has_dynamic)
        return refuse(NAME_NO_DYNAMIC, "this key is not in the host database");
    struct public_key key;
    char label[PUBLIC_KEY_LABEL_CAP];
    struct decision decision = {.result = NAME_OK, .reason = ""};
    memcpy(key.bytes, session->key, sizeof key.bytes);
    const int len = snprintf(decision.name, sizeof decision.name, "%s.%s",
                             public_key_label(&key, label), config->zone);
    if (len < 0 || (size_t)len >= sizeof decision.name)
        return refuse(NAME_NO_DYNAMIC, "the zone's name is too long for dynamic names");
    struct registry_static row;
    const int error = config->find_static(config->context, decision.name, &row);
    if (error == ERR_OK)
        return row_is_usable(registry, &row, session)
                   ? decide_static(&row, login)
                   : refuse(NAME_OF_ANOTHER_KEY,
                            "the dynamic name of this key is bound to another");
    if (error != ERR_NOT_FOUND)
        return refuse(NAME_TOO_MANY_HOSTS, "the host database cannot be read now");
    if (login->name[0] != '\0' && strcmp(login->name, decision.name) != 0)
        decision.reason = "this key is not in the host database, so its name is a dynamic one";
    return decision;
}

/* What the database says, sessions left aside. */
static struct decision decide_name(const struct registry *registry, const struct session *session,
                                   const struct notify_login *login,
                                   const struct registry_static *row)
{
    const struct registry_config *config = &registry->config;
    struct registry_static wanted;
    if (login->name[0] != '\0' && name_is_in_zone(login->name, config->zone)) {
        const int error = config->find_static(config->context, login->name, &wanted);
        if (error == ERR_OK && memcmp(wanted.key, session->key, sizeof wanted.key) != 0)
            return refuse(NAME_OF_ANOTHER_KEY, "the name wanted belongs to another key");
        if (error == ERR_OK)
            row = &wanted; /* a key may have several names: the one wanted goes first */
        else if (error != ERR_NOT_FOUND)
            return refuse(NAME_TOO_MANY_HOSTS, "the host database cannot be read now");
    }
    if (row != NULL && row_is_usable(registry, row, session))
        return decide_static(row, login);
    return decide_dynamic(registry, session, login);
}

/* The newer session of a key wins, and the older is told. ERR_LIMIT when that happens too often:
 * two hosts with one key would push each other out for ever. */
static int replace_session(struct registry *registry, struct host *host, uint64_t now_us)
{
    struct session *older = host->session;
    if (older == NULL)
        return ERR_OK;
    if (!bucket_take(&host->takeovers, REGISTRY_TAKEOVER_BURST, REGISTRY_TAKEOVER_US, now_us))
        return ERR_LIMIT;
    registry->counters.replaced++;
    registry_send_refusal(registry, older, NAME_REPLACED,
                          "a newer login with the same key has replaced this one");
    registry_session_close(registry, older, REGISTRY_REPLACED);
    return ERR_OK;
}

/* A host with another key under this name: a database row decides, else who came first. */
static int clear_name(struct registry *registry, const struct decision *decision,
                      const struct session *session)
{
    struct host *holder = registry_find_host_name(registry, decision->name);
    if (holder == NULL || memcmp(holder->key, session->key, sizeof holder->key) == 0)
        return ERR_OK;
    if (!decision->is_static)
        return ERR_EXISTS;
    struct session *older = holder->session;
    registry_host_remove(registry, holder);
    if (older == NULL)
        return ERR_OK;
    registry_send_refusal(registry, older, NAME_OF_ANOTHER_KEY,
                          "the name now belongs to another key");
    registry_session_close(registry, older, REGISTRY_EVICTED);
    return ERR_OK;
}

static int deny(struct registry *registry, struct session *session, enum name_result result,
                const char *reason)
{
    struct host *host = session->host;
    registry->counters.refused++;
    registry_send_refusal(registry, session, result, reason);
    registry_session_close(registry, session, REGISTRY_DENIED);
    /* Its earlier LOGIN was right and this one is not: the name doesn't outlive the reason for it.
     */
    if (host != NULL)
        registry_host_remove(registry, host);
    return ERR_OK;
}

static uint16_t lease_of(const struct registry *registry, const struct notify_login *login)
{
    if (login->lease_s == 0 || login->lease_s > registry->config.lease_s)
        return registry->config.lease_s;
    return login->lease_s < REGISTRY_LEASE_MIN_S ? REGISTRY_LEASE_MIN_S : login->lease_s;
}

/* Joins session and host. ERR_NOMEM: nothing is joined, and the host is gone. */
static int join(struct registry *registry, struct session *session, struct host *host,
                const struct decision *decision, uint16_t lease_s, uint64_t now_us)
{
    const bool is_news = decision->result == NAME_OK &&
                         (host->name == NULL || strcmp(host->name, decision->name) != 0 ||
                          host->is_static != decision->is_static);
    host->lease_s = lease_s;
    int error = deadline_set(&registry->leases, &host->lease, now_us + lease_s * SECOND_US);
    if (error == ERR_OK && decision->result == NAME_OK)
        error = registry_host_set_name(registry, host, decision->name);
    if (error != ERR_OK) {
        registry_host_remove(registry, host);
        return error;
    }
    host->is_static = decision->is_static;
    host->session = session;
    session->host = host;
    deadline_clear(&registry->login_waits, &session->login_wait);
    if (is_news)
        registry_emit_publish(registry, host);
    return ERR_OK;
}

int registry_take_login(struct registry *registry, struct session *session, const void *data,
                        size_t len, const struct registry_static *row, uint64_t now_us)
{
    struct notify_login login;
    int error = notify_parse_login(data, len, &login);
    if (error != ERR_OK)
        return error;
    if (!bucket_take(&session->logins, REGISTRY_LOGIN_BURST, REGISTRY_LOGIN_US, now_us))
        return ERR_LIMIT;
    if (session->host != NULL && (session->host->name == NULL) != login.is_guest)
        return ERR_STATE; /* a session stays what it was */

    const struct decision decision = login.is_guest
                                         ? (struct decision){.result = NAME_GUEST, .reason = ""}
                                         : decide_name(registry, session, &login, row);
    if (decision.result != NAME_OK && decision.result != NAME_GUEST)
        return deny(registry, session, decision.result, decision.reason);
    struct host *host = registry_find_host_key(registry, session->key, login.is_guest);
    if (!login.is_guest && clear_name(registry, &decision, session) != ERR_OK)
        return deny(registry, session, NAME_OF_ANOTHER_KEY,
                    "the dynamic name of this key is in use");
    if (host != NULL && host->session != session &&
        replace_session(registry, host, now_us) != ERR_OK)
        return deny(registry, session, NAME_TOO_OFTEN,
                    "logins of this key replace each other too often");
    if (host == NULL && registry->keys.count >= registry->config.sessions_max)
        return deny(registry, session, NAME_TOO_MANY_HOSTS, "this connector is full");
    if (host == NULL && (host = registry_host_new(registry, session->key)) == NULL)
        return ERR_NOMEM;
    error = join(registry, session, host, &decision, lease_of(registry, &login), now_us);
    if (error != ERR_OK) {
        session->host = NULL;
        registry_session_close(registry, session, REGISTRY_EXPIRED);
        return error;
    }
    registry->counters.logins++;
    send_name(registry, session, decision.result, host, decision.reason);
    return ERR_OK;
}
