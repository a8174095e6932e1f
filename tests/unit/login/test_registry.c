/* Logins at the connector: names, leases, double logins; clients against the registry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/identity.h"
#include "world.h"

static struct world *new_world(const struct registry_config *config)
{
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_init(world, config);
    return world;
}

static void free_world(struct world *world)
{
    world_done(world);
    free(world);
}

static const char *dynamic_name(uint8_t key_byte, char name[NAME_TEXT_CAP])
{
    struct public_key key;
    char label[PUBLIC_KEY_LABEL_CAP];
    memset(key.bytes, key_byte, sizeof key.bytes);
    snprintf(name, NAME_TEXT_CAP, "%s." ZONE, public_key_label(&key, label));
    return name;
}

static struct login_config wanting(const char *name)
{
    struct login_config config = {.port = 32589};
    strcpy(config.name, name);
    return config;
}

static void test_dynamic(void **state)
{
    struct world *world = new_world(NULL);
    struct world_host *host = world_add_host(world, 1, NULL);
    char name[NAME_TEXT_CAP];
    world_run(world, SECOND_US);
    assert_int_equal(host->dones, 1);
    assert_string_equal(host->name.name, dynamic_name(1, name));
    assert_int_equal(strlen(name), 15 + 1 + strlen(ZONE));
    assert_string_equal(host->name.zone, ZONE);
    assert_int_equal(host->name.lease_s, REGISTRY_LEASE_S);
    assert_int_equal(host->name.stun_port, 4500);
    assert_false(host->name.is_static);
    assert_int_equal(world->published, 1);
    assert_false(world->last_is_static);
    assert_string_equal(world->last_published, name);
    struct registry_host_info info;
    assert_int_equal(registry_find(world->registry, name, &info), ERR_OK);
    assert_true(info.is_online && !info.is_static);
    assert_int_equal(info.session, host->session);
    const void *cursor = NULL;
    assert_true(registry_walk(world->registry, &cursor, &info));
    assert_string_equal(info.name, name);
    assert_false(registry_walk(world->registry, &cursor, &info));
    /* A wish for a name that is in no database: the dynamic one, and it says why. */
    const struct login_config config = wanting("fancy." ZONE);
    struct world_host *other = world_add_host(world, 2, &config);
    world_run(world, SECOND_US);
    assert_string_equal(other->name.name, dynamic_name(2, name));
    assert_true(other->name.reason[0] != '\0');
    free_world(world);
}

static void test_static(void **state)
{
    struct world *world = new_world(NULL);
    static const uint8_t mac[NOTIFY_MAC_LEN] = {2, 0, 0, 0, 0, 1};
    world_add_row(world, "pc." ZONE, 1, NULL);
    world_add_row(world, "bound." ZONE, 2, mac);
    world_add_row(world, "two." ZONE, 1, NULL);
    struct login_config config = wanting("pc." ZONE);
    struct world_host *pc = world_add_host(world, 1, &config);
    struct world_host *thief = world_add_host(world, 9, &config);
    config = wanting("bound." ZONE);
    struct world_host *no_mac = world_add_host(world, 2, &config);
    world_run(world, SECOND_US);
    assert_int_equal(pc->dones, 1);
    assert_true(pc->name.is_static);
    assert_true(world->last_is_static);
    assert_string_equal(pc->name.name, "pc." ZONE);
    assert_int_equal(thief->refusals, 1);
    assert_int_equal(thief->name.result, NAME_OF_ANOTHER_KEY);
    assert_int_equal(no_mac->name.result, NAME_MAC_DIFFERS);
    assert_int_equal(world->published, 1);

    config.has_mac = true;
    memset(config.mac, 7, sizeof config.mac);
    struct world_host *wrong_mac = world_add_host(world, 2, &config);
    world_run(world, SECOND_US);
    assert_int_equal(wrong_mac->name.result, NAME_MAC_DIFFERS);
    memcpy(config.mac, mac, sizeof mac);
    struct world_host *right_mac = world_add_host(world, 2, &config);
    world_run(world, SECOND_US);
    assert_string_equal(right_mac->name.name, "bound." ZONE);
    /* A key with two names gets the one it wants. */
    config = wanting("two." ZONE);
    struct world_host *second = world_add_host(world, 1, &config);
    world_run(world, SECOND_US);
    assert_string_equal(second->name.name, "two." ZONE);
    assert_string_equal(world->last_withdrawn, "pc." ZONE); /* one session a key */
    free_world(world);
}

/* A row whose MAC address is all zero is no wildcard; a row of another key is nobody's. */
static void test_odd_rows(void **state)
{
    struct world *world = new_world(NULL);
    static const uint8_t zero[NOTIFY_MAC_LEN];
    world_add_row(world, "bound." ZONE, 2, zero);
    struct world_host *host = world_add_host(world, 2, NULL);
    world_run(world, SECOND_US);
    assert_int_equal(host->name.result, NAME_MAC_DIFFERS);

    char name[NAME_TEXT_CAP];
    struct registry_static row = {.name = "pc." ZONE};
    memset(row.key, 9, sizeof row.key);
    const struct notify_login login = {.port = 1};
    uint8_t buffer[NOTIFY_LEN_MAX], key[NOTIFY_KEY_LEN];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_login(&w, &login);
    memset(key, 8, sizeof key);
    assert_int_equal(registry_session_open(world->registry, 900, key, world->now_us), ERR_OK);
    assert_int_equal(
        registry_notify(world->registry, 900, NOTIFY_LOGIN, buffer, w.len, &row, world->now_us),
        ERR_OK);
    world_drain(world);
    assert_string_equal(world->last_published, dynamic_name(8, name));
    free_world(world);
}

static void test_strict_and_no_dynamic(void **state)
{
    const struct registry_config strict = {.is_strict = true, .has_dynamic = true};
    struct world *world = new_world(&strict);
    world_add_row(world, "pc." ZONE, 1, NULL);
    struct world_host *known = world_add_host(world, 1, NULL);
    struct world_host *stranger = world_add_host(world, 2, NULL);
    const struct login_config guest_config = {.is_guest = true, .port = 1};
    struct world_host *guest = world_add_host(world, 3, &guest_config);
    assert_int_equal(login_client_lookup(guest->client, 1, "pc." ZONE, world->now_us), ERR_OK);
    world_run(world, SECOND_US);
    assert_string_equal(known->name.name, "pc." ZONE);
    assert_int_equal(stranger->name.result, NAME_KEY_UNKNOWN);
    assert_int_equal(guest->name.result, NAME_GUEST); /* strict concerns names, not callers */
    assert_string_equal(guest->name.name, "");
    assert_int_equal(registry_name_count(world->registry), 1);
    free_world(world);

    const struct registry_config none = {.has_dynamic = false};
    world = new_world(&none);
    stranger = world_add_host(world, 2, NULL);
    world_run(world, SECOND_US);
    assert_int_equal(stranger->name.result, NAME_NO_DYNAMIC);
    assert_int_equal(registry_session_count(world->registry), 0);
    free_world(world);
}

static void test_lease(void **state)
{
    struct world *world = new_world(NULL);
    struct world_host *host = world_add_host(world, 1, NULL);
    world_run(world, 1000 * SECOND_US);
    /* Keepalives alone hold it. */
    assert_int_equal(host->connects, 1);
    assert_in_range(host->keepalives, 24, 26);
    assert_int_equal(world->withdrawn, 0);

    /* Lost, and gone for good: the name stays for the lease, then goes. */
    host->is_unreachable = true;
    world_break(host);
    assert_int_equal(host->downs, 1);
    world_run(world, 60 * SECOND_US);
    assert_int_equal(world->withdrawn, 0);
    assert_int_equal(registry_name_count(world->registry), 1);
    world_run(world, 61 * SECOND_US);
    assert_int_equal(world->withdrawn, 1);
    assert_int_equal(registry_name_count(world->registry), 0);
    assert_true(registry_deadline(world->registry) == DEADLINE_NEVER);
    free_world(world);
}

static void test_lost_and_back(void **state)
{
    struct world *world = new_world(NULL);
    struct world_host *host = world_add_host(world, 1, NULL);
    world_run(world, 100 * SECOND_US);
    for (int i = 0; i < 10; i++) {
        world_break(host);
        world_run(world, 100 * SECOND_US);
    }
    assert_int_equal(host->dones, 11);
    /* The name was there all the time: nothing to publish anew. */
    assert_int_equal(world->published, 1);
    assert_int_equal(world->withdrawn, 0);
    free_world(world);
}

/* The connector still believes in the old connection. */
static void test_lost_silently(void **state)
{
    struct world *world = new_world(NULL);
    struct world_host *host = world_add_host(world, 1, NULL);
    world_run(world, 100 * SECOND_US);
    world_break_silently(host);
    assert_int_equal(registry_session_count(world->registry), 1);
    world_run(world, 10 * SECOND_US);
    assert_int_equal(host->dones, 2);
    assert_int_equal(host->refusals, 0);
    assert_int_equal(registry_session_count(world->registry), 1);
    assert_int_equal(world->last_close, REGISTRY_REPLACED);
    assert_int_equal(world->published, 1);
    /* And if it never comes back, the session ends with its lease. */
    host->is_unreachable = true;
    world_break_silently(host);
    world_run(world, 121 * SECOND_US);
    assert_int_equal(world->last_close, REGISTRY_EXPIRED);
    assert_int_equal(world->withdrawn, 1);
    assert_int_equal(registry_session_count(world->registry), 0);
    free_world(world);
}

static void test_logout(void **state)
{
    struct world *world = new_world(NULL);
    struct world_host *host = world_add_host(world, 1, NULL);
    world_run(world, SECOND_US);
    login_client_stop(host->client);
    world_drain(world);
    assert_int_equal(world->withdrawn, 1);
    assert_int_equal(registry_name_count(world->registry), 0);
    assert_int_equal(registry_session_count(world->registry), 0);
    free_world(world);
}

static void test_lease_wanted(void **state)
{
    static const struct {
        uint16_t wanted, given;
    } cases[] = {{60, 60}, {5, REGISTRY_LEASE_MIN_S}, {65535, REGISTRY_LEASE_S}};
    for (size_t i = 0; i < 3; i++) {
        struct world *world = new_world(NULL);
        const struct login_config config = {.port = 1, .lease_s = cases[i].wanted};
        struct world_host *host = world_add_host(world, 1, &config);
        world_run(world, SECOND_US);
        assert_int_equal(host->name.lease_s, cases[i].given);
        free_world(world);
    }
}

/* Two hosts with a cloned key: the newer wins, the older waits ten minutes; no endless fight. */
static void test_cloned_key(void **state)
{
    struct world *world = new_world(NULL);
    struct world_host *first = world_add_host(world, 1, NULL);
    world_run(world, 100 * SECOND_US);
    struct world_host *second = world_add_host(world, 1, NULL);
    world_run(world, SECOND_US);
    assert_int_equal(second->dones, 1);
    assert_int_equal(first->refusals, 1);
    assert_int_equal(first->name.result, NAME_REPLACED);
    assert_true(first->name.reason[0] != '\0');
    assert_int_equal(world->last_close, REGISTRY_REPLACED);
    assert_int_equal(world->published, 1);
    world_run(world, 598 * SECOND_US);
    assert_int_equal(first->connects, 1);
    world_run(world, 3600 * SECOND_US);
    assert_true(first->connects + second->connects <= 2 + 3600 / 600 + 1);
    assert_true(registry_session_count(world->registry) == 1);
    assert_int_equal(world->withdrawn, 0);
    free_world(world);
}

static void send_login(struct world *world, uint64_t session, const struct registry_static *row,
                       bool is_guest)
{
    const struct notify_login login = {.is_guest = is_guest, .port = 1};
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_login(&w, &login);
    const int result =
        registry_notify(world->registry, session, NOTIFY_LOGIN, buffer, w.len, row, world->now_us);
    assert_true(result <= 0);
}

/* Clones that ignore what they are told. */
static void test_cloned_key_hostile(void **state)
{
    struct world *world = new_world(NULL);
    uint8_t key[NOTIFY_KEY_LEN] = {5};
    unsigned replaced = 0, too_often = 0;
    for (uint64_t session = 1; session <= 300; session++) {
        assert_int_equal(registry_session_open(world->registry, session, key, world->now_us),
                         ERR_OK);
        send_login(world, session, NULL, false);
        const struct registry_event *event;
        while ((event = registry_next_event(world->registry)) != NULL) {
            if (event->type != REGISTRY_CLOSE)
                continue;
            if (event->close == REGISTRY_REPLACED) {
                assert_true(event->session != session);
                replaced++;
            } else {
                assert_int_equal(event->close, REGISTRY_DENIED);
                assert_int_equal(event->session, session);
                too_often++;
            }
        }
        world->now_us += 100 * MS_US;
    }
    assert_int_equal(replaced, REGISTRY_TAKEOVER_BURST + 14); /* 30 s: one more each 2 s */
    assert_int_equal(too_often, 299 - replaced);
    assert_int_equal(registry_session_count(world->registry), 1);
    free_world(world);
}

static void test_guest_beside_host(void **state)
{
    struct world *world = new_world(NULL);
    const uint8_t key[NOTIFY_KEY_LEN] = {5};
    for (uint64_t session = 1; session <= 3; session++) {
        assert_int_equal(registry_session_open(world->registry, session, key, world->now_us),
                         ERR_OK);
        send_login(world, session, NULL, session > 1);
    }
    world_drain(world);
    /* 2 was replaced by 3; 1 has the name and is left alone. */
    assert_int_equal(world->closed, 1);
    assert_int_equal(registry_session_count(world->registry), 2);
    assert_int_equal(registry_name_count(world->registry), 1);
    /* A session stays what it was. */
    send_login(world, 3, NULL, false);
    assert_int_equal(registry_counters(world->registry)->invalid, 1);
    registry_session_closed(world->registry, 3, false, world->now_us);
    assert_int_equal(registry_name_count(world->registry), 1);
    registry_session_closed(world->registry, 1, true, world->now_us);
    /* Of a guest nothing stays. */
    assert_true(registry_deadline(world->registry) == DEADLINE_NEVER);
    free_world(world);
}

static void test_never_logs_in(void **state)
{
    struct world *world = new_world(NULL);
    const uint8_t key[NOTIFY_KEY_LEN] = {5};
    assert_int_equal(registry_session_open(world->registry, 7, key, world->now_us), ERR_OK);
    assert_int_equal(registry_session_open(world->registry, 7, key, world->now_us), ERR_EXISTS);
    /* Nothing else before LOGIN. */
    static const uint8_t lookup[] = "\x01\0\0\0\0\0\0\0\x01\x01"
                                    "a";
    assert_int_equal(registry_notify(world->registry, 7, NOTIFY_LOOKUP, lookup, sizeof lookup - 1,
                                     NULL, world->now_us),
                     ERR_STATE);
    assert_true(registry_deadline(world->registry) == world->now_us + REGISTRY_LOGIN_WAIT_US);
    world->now_us += REGISTRY_LOGIN_WAIT_US;
    registry_expire(world->registry, world->now_us);
    const struct registry_event *event = registry_next_event(world->registry);
    assert_non_null(event);
    assert_int_equal(event->type, REGISTRY_CLOSE);
    assert_int_equal(event->close, REGISTRY_EXPIRED);
    assert_int_equal(registry_notify(world->registry, 7, NOTIFY_LOOKUP, lookup, sizeof lookup - 1,
                                     NULL, world->now_us),
                     ERR_NOT_FOUND);
    registry_session_closed(world->registry, 7, true, world->now_us);
    registry_touch(world->registry, 7, world->now_us);
    free_world(world);
}

static void test_caps(void **state)
{
    const struct registry_config config = {.has_dynamic = true, .sessions_max = 4};
    struct world *world = new_world(&config);
    for (uint64_t session = 1; session <= 4; session++) {
        const uint8_t key[NOTIFY_KEY_LEN] = {(uint8_t)session};
        assert_int_equal(registry_session_open(world->registry, session, key, world->now_us),
                         ERR_OK);
        send_login(world, session, NULL, false);
    }
    const uint8_t fifth[NOTIFY_KEY_LEN] = {99};
    assert_int_equal(registry_session_open(world->registry, 5, fifth, world->now_us), ERR_LIMIT);
    /* Lost sessions keep names: they count too. */
    registry_session_closed(world->registry, 1, false, world->now_us);
    world_drain(world);
    assert_int_equal(registry_session_open(world->registry, 5, fifth, world->now_us), ERR_OK);
    send_login(world, 5, NULL, false);
    world_drain(world);
    assert_int_equal(world->last_close, REGISTRY_DENIED);
    assert_int_equal(registry_name_count(world->registry), 4);
    /* LOGIN again and again in one session. */
    unsigned limited = 0;
    for (int i = 0; i < 100; i++) {
        send_login(world, 2, NULL, false);
        world_drain(world);
    }
    limited = (unsigned)registry_counters(world->registry)->limited;
    assert_int_equal(limited, 1 + 100 - (REGISTRY_LOGIN_BURST - 1));
    assert_int_equal(world->published, 4);
    free_world(world);
}

/* The database changes while hosts are logged in. */
static void test_database_changes(void **state)
{
    struct world *world = new_world(NULL);
    struct world_host *host = world_add_host(world, 1, NULL);
    world_run(world, SECOND_US);
    char dynamic[NAME_TEXT_CAP];
    dynamic_name(1, dynamic);
    /* The key gets a static name: with its next LOGIN. */
    world_add_row(world, "pc." ZONE, 1, NULL);
    const struct address address = address_from_ipv4(0xcb007101);
    login_client_set_addresses(host->client, &address, 1, world->now_us);
    world_drain(world);
    assert_string_equal(world->last_withdrawn, dynamic);
    assert_string_equal(world->last_published, "pc." ZONE);
    assert_true(world->last_is_static);
    assert_true(host->name.is_static);
    /* The name gets another key. */
    memset(world->rows[0].key, 2, NOTIFY_KEY_LEN);
    struct world_host *other = world_add_host(world, 2, NULL);
    world_run(world, SECOND_US);
    assert_string_equal(other->name.name, "pc." ZONE);
    assert_int_equal(host->name.result, NAME_OF_ANOTHER_KEY);
    struct registry_host_info info;
    assert_int_equal(registry_find(world->registry, "pc." ZONE, &info), ERR_OK);
    assert_memory_equal(info.key, other->key, NOTIFY_KEY_LEN);
    /* The row is taken out. */
    world->row_count = 0;
    registry_evict(world->registry, "pc." ZONE, world->now_us);
    registry_evict(world->registry, "nobody." ZONE, world->now_us);
    world_drain(world);
    assert_int_equal(world->last_close, REGISTRY_EVICTED);
    assert_int_equal(registry_name_count(world->registry), 0);
    /* Its host is not refused, only sent away, and comes back soon for what is its name now. */
    world_run(world, 3 * SECOND_US);
    assert_int_equal(other->name.result, NAME_OK);
    assert_false(other->name.is_static);
    free_world(world);
}

/* The row is taken out while its host is logged in, which then logs in anew. */
static void test_refused_later(void **state)
{
    const struct registry_config strict = {.is_strict = true};
    struct world *world = new_world(&strict);
    world_add_row(world, "pc." ZONE, 1, NULL);
    struct world_host *host = world_add_host(world, 1, NULL);
    world_run(world, SECOND_US);
    assert_int_equal(host->dones, 1);
    world->row_count = 0;
    const struct address address = address_from_ipv4(0xcb007101);
    login_client_set_addresses(host->client, &address, 1, world->now_us);
    world_drain(world);
    assert_int_equal(host->name.result, NAME_KEY_UNKNOWN);
    assert_string_equal(world->last_withdrawn, "pc." ZONE);
    assert_int_equal(registry_name_count(world->registry), 0);
    assert_true(registry_deadline(world->registry) == DEADLINE_NEVER);
    free_world(world);
}

/* The row is gone, but the host that had the dynamic name by it still has it. */
static void test_dynamic_name_in_use(void **state)
{
    struct world *world = new_world(NULL);
    char name[NAME_TEXT_CAP];
    world_add_row(world, dynamic_name(1, name), 2, NULL);
    struct world_host *owner = world_add_host(world, 2, NULL);
    world_run(world, SECOND_US);
    assert_string_equal(owner->name.name, name);
    world->row_count = 0;
    struct world_host *host = world_add_host(world, 1, NULL);
    world_run(world, SECOND_US);
    assert_int_equal(host->name.result, NAME_OF_ANOTHER_KEY);
    assert_int_equal(registry_name_count(world->registry), 1);
    free_world(world);
}

/* A row that gives the dynamic name of one key to another wins. */
static void test_dynamic_name_taken(void **state)
{
    struct world *world = new_world(NULL);
    char name[NAME_TEXT_CAP];
    world_add_row(world, dynamic_name(1, name), 2, NULL);
    struct world_host *host = world_add_host(world, 1, NULL);
    struct world_host *owner = world_add_host(world, 2, NULL);
    world_run(world, SECOND_US);
    assert_int_equal(host->name.result, NAME_OF_ANOTHER_KEY);
    assert_string_equal(owner->name.name, name);
    free_world(world);
}

static void test_broken_database(void **state)
{
    struct world *world = new_world(NULL);
    world_add_row(world, "pc." ZONE, 1, NULL);
    world->is_database_broken = true;
    const struct login_config config = wanting("pc." ZONE);
    struct world_host *host = world_add_host(world, 9, &config);
    world_run(world, SECOND_US);
    assert_int_equal(host->dones, 0);
    assert_int_equal(host->refusals, 1);
    world->is_database_broken = false;
    world_run(world, 200 * SECOND_US);
    assert_int_equal(host->name.result, NAME_OF_ANOTHER_KEY);
    free_world(world);
}

static void test_bad_rows(void **state)
{
    struct world *world = new_world(NULL);
    char name[NAME_TEXT_CAP];
    world_add_row(world, ZONE, 1, NULL); /* the zone itself */
    world_add_row(world, "pc.elsewhere.example", 2, NULL);
    struct world_host *apex = world_add_host(world, 1, NULL);
    struct world_host *outside = world_add_host(world, 2, NULL);
    world_run(world, SECOND_US);
    assert_string_equal(apex->name.name, dynamic_name(1, name));
    assert_string_equal(outside->name.name, dynamic_name(2, name));
    free_world(world);
}

static void test_size_and_many(void **state)
{
    struct world *world = new_world(NULL);
    assert_true(registry_host_size() <= 320);
    const uint64_t count = 20000;
    for (uint64_t session = 1; session <= count; session++) {
        uint8_t key[NOTIFY_KEY_LEN] = {0};
        memcpy(key, &session, sizeof session);
        assert_int_equal(registry_session_open(world->registry, session, key, world->now_us),
                         ERR_OK);
        send_login(world, session, NULL, false);
        while (registry_next_event(world->registry) != NULL) {
        }
    }
    assert_int_equal(registry_name_count(world->registry), count);
    for (uint64_t session = 1; session <= count; session += 2)
        registry_touch(world->registry, session, world->now_us + 60 * SECOND_US);
    world->now_us += 121 * SECOND_US;
    registry_expire(world->registry, world->now_us);
    assert_int_equal(registry_name_count(world->registry), count / 2);
    assert_int_equal(registry_session_count(world->registry), count / 2);
    free_world(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dynamic),
        cmocka_unit_test(test_static),
        cmocka_unit_test(test_odd_rows),
        cmocka_unit_test(test_strict_and_no_dynamic),
        cmocka_unit_test(test_lease),
        cmocka_unit_test(test_lost_and_back),
        cmocka_unit_test(test_lost_silently),
        cmocka_unit_test(test_logout),
        cmocka_unit_test(test_lease_wanted),
        cmocka_unit_test(test_cloned_key),
        cmocka_unit_test(test_cloned_key_hostile),
        cmocka_unit_test(test_guest_beside_host),
        cmocka_unit_test(test_never_logs_in),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_database_changes),
        cmocka_unit_test(test_dynamic_name_taken),
        cmocka_unit_test(test_refused_later),
        cmocka_unit_test(test_dynamic_name_in_use),
        cmocka_unit_test(test_broken_database),
        cmocka_unit_test(test_bad_rows),
        cmocka_unit_test(test_size_and_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
