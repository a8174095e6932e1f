/* The glue that the daemons are, in virtual time. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const struct credentials world_credentials = {"fragment", "passwordpasswordpassword"};
const struct candidate_list world_candidates = {
    .count = 1, .items = {{CANDIDATE_REFLEXIVE, {{ADDRESS_IPV4, {203, 0, 113, 9}}, 32589}}}};

int world_find_static(void *context, const char *name, struct registry_static *ret_row)
{
    const struct world *world = context;
    if (world->is_database_broken)
        return ERR_IO;
    for (size_t i = 0; i < world->row_count; i++) {
        if (strcmp(world->rows[i].name, name) == 0) {
            *ret_row = world->rows[i];
            return ERR_OK;
        }
    }
    return ERR_NOT_FOUND;
}

const struct registry_static *world_row_of(const struct world *world, const uint8_t *key)
{
    for (size_t i = 0; i < world->row_count; i++) {
        if (memcmp(world->rows[i].key, key, NOTIFY_KEY_LEN) == 0)
            return &world->rows[i];
    }
    return NULL;
}

void world_init(struct world *world, const struct registry_config *config)
{
    memset(world, 0, sizeof *world);
    world->now_us = 5000 * SECOND_US;
    struct registry_config full = {.has_dynamic = true, .stun_port = 4500};
    if (config != NULL)
        full = *config;
    strcpy(full.zone, ZONE);
    full.find_static = world_find_static;
    full.context = world;
    assert_int_equal(registry_new(&full, &world->registry), ERR_OK);
}

void world_done(struct world *world)
{
    for (size_t i = 0; i < world->host_count; i++)
        login_client_free(world->hosts[i].client);
    registry_free(world->registry);
}

void world_add_row(struct world *world, const char *name, uint8_t key, const uint8_t *mac)
{
    assert_true(world->row_count < WORLD_ROWS);
    struct registry_static *row = &world->rows[world->row_count++];
    memset(row, 0, sizeof *row);
    strcpy(row->name, name);
    memset(row->key, key, sizeof row->key);
    row->has_mac = mac != NULL;
    if (mac != NULL)
        memcpy(row->mac, mac, sizeof row->mac);
}

struct world_host *world_add_host(struct world *world, uint8_t key,
                                  const struct login_config *config)
{
    assert_true(world->host_count < WORLD_HOSTS);
    struct world_host *host = &world->hosts[world->host_count++];
    *host = (struct world_host){.world = world, .connects_us = DEADLINE_NEVER};
    memset(host->key, key, sizeof host->key);
    const struct login_config nothing = {.port = 32589};
    assert_int_equal(
        login_client_new(config != NULL ? config : &nothing, world->now_us, &host->client), ERR_OK);
    return host;
}

static void close_session(struct world_host *host, bool is_logout)
{
    host->connects_us = DEADLINE_NEVER;
    if (host->session != 0)
        registry_session_closed(host->world->registry, host->session, is_logout,
                                host->world->now_us);
    host->session = 0;
}

static void take_client_event(struct world_host *host, const struct login_event *event)
{
    struct world *world = host->world;
    switch (event->type) {
    case LOGIN_CONNECT:
        assert_int_equal(host->session, 0);
        host->connects++;
        host->last_connect_us = world->now_us;
        host->connects_us = world->now_us + 50 * MS_US;
        break;
    case LOGIN_SEND:
        host->sends++;
        if (host->session != 0) {
            const int result =
                registry_notify(world->registry, host->session, event->send.type, event->send.data,
                                event->send.len, world_row_of(world, host->key), world->now_us);
            assert_true(result <= 0);
            login_client_touch(host->client, world->now_us);
        }
        break;
    case LOGIN_KEEPALIVE:
        host->keepalives++;
        if (host->session != 0) {
            registry_touch(world->registry, host->session, world->now_us);
            login_client_touch(host->client, world->now_us);
        }
        break;
    case LOGIN_CLOSE:
        host->closes++;
        close_session(host, true);
        break;
    case LOGIN_DONE:
        host->dones++;
        host->name = event->name;
        break;
    case LOGIN_REFUSED:
        host->refusals++;
        host->name = event->name;
        break;
    case LOGIN_CALL:
        host->calls++;
        host->call = event->call;
        if (host->answers_calls)
            assert_int_equal(login_client_answer(host->client, host->call.number, ANSWER_ACCEPTED,
                                                 &world_credentials, &world_candidates, NULL, NULL,
                                                 world->now_us),
                             ERR_OK);
        break;
    case LOGIN_ANSWER:
        host->answers++;
        host->answer = event->answer;
        break;
    case LOGIN_RELAY:
        host->relays++;
        host->relay = event->relay;
        break;
    case LOGIN_VOUCHER:
        host->vouchers++;
        host->vouched = event->vouched;
        break;
    case LOGIN_KEY:
        host->keys++;
        host->looked_up = event->key;
        break;
    case LOGIN_DOWN:
        host->downs++;
        host->down_retry_us = event->down.retry_us;
        break;
    }
}

static struct world_host *find_host(struct world *world, uint64_t session)
{
    for (size_t i = 0; i < world->host_count; i++) {
        if (world->hosts[i].session == session)
            return &world->hosts[i];
    }
    return NULL;
}

static void take_registry_event(struct world *world, const struct registry_event *event)
{
    struct world_host *host = event->session != 0 ? find_host(world, event->session) : NULL;
    switch (event->type) {
    case REGISTRY_SEND:
        if (host != NULL)
            assert_int_equal(login_client_notify(host->client, event->send.type, event->send.data,
                                                 event->send.len, world->now_us),
                             ERR_OK);
        break;
    case REGISTRY_CLOSE:
        world->closed++;
        world->last_close = event->close;
        if (host != NULL) {
            host->session = 0;
            login_client_disconnected(host->client, LOGIN_END_LOST, world->now_us);
        }
        break;
    case REGISTRY_RELAY:
        world->relays++;
        world->last_relay = *event;
        break;
    case REGISTRY_PUBLISH:
        world->published++;
        world->last_is_static = event->record.is_static;
        strcpy(world->last_published, event->record.name);
        break;
    case REGISTRY_WITHDRAW:
        world->withdrawn++;
        strcpy(world->last_withdrawn, event->record.name);
        break;
    }
}

void world_drain(struct world *world)
{
    bool is_busy = true;
    while (is_busy) {
        is_busy = false;
        for (size_t i = 0; i < world->host_count; i++) {
            const struct login_event *event;
            while ((event = login_client_next_event(world->hosts[i].client)) != NULL) {
                take_client_event(&world->hosts[i], event);
                is_busy = true;
            }
        }
        const struct registry_event *event;
        while ((event = registry_next_event(world->registry)) != NULL) {
            take_registry_event(world, event);
            is_busy = true;
        }
    }
}

static void connect_host(struct world_host *host)
{
    struct world *world = host->world;
    host->connects_us = DEADLINE_NEVER;
    if (host->is_unreachable) {
        login_client_disconnected(host->client, LOGIN_END_LOST, world->now_us);
        return;
    }
    host->session = ++world->next_session;
    assert_int_equal(
        registry_session_open(world->registry, host->session, host->key, world->now_us), ERR_OK);
    login_client_connected(host->client, (struct login_early){0}, world->now_us);
}

void world_run(struct world *world, uint64_t for_us)
{
    const uint64_t end_us = world->now_us + for_us;
    world_drain(world);
    for (unsigned steps = 0;; steps++) {
        assert_true(steps < 100000); /* no timer may spin */
        uint64_t at_us = registry_deadline(world->registry);
        for (size_t i = 0; i < world->host_count; i++) {
            at_us = deadline_min(at_us, world->hosts[i].connects_us);
            at_us = deadline_min(at_us, login_client_deadline(world->hosts[i].client));
        }
        if (at_us > end_us)
            break;
        if (at_us > world->now_us)
            world->now_us = at_us;
        registry_expire(world->registry, world->now_us);
        for (size_t i = 0; i < world->host_count; i++) {
            if (world->hosts[i].connects_us <= world->now_us)
                connect_host(&world->hosts[i]);
            login_client_expire(world->hosts[i].client, world->now_us);
        }
        world_drain(world);
    }
    world->now_us = end_us;
}

void world_break(struct world_host *host)
{
    close_session(host, false);
    login_client_disconnected(host->client, LOGIN_END_LOST, host->world->now_us);
    world_drain(host->world);
}

void world_break_silently(struct world_host *host)
{
    host->session = 0;
    login_client_disconnected(host->client, LOGIN_END_LOST, host->world->now_us);
    world_drain(host->world);
}
