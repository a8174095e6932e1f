/* Port mapping in virtual time, against a gateway played here. */
#include "path/mapping.h"

#include "base/reader.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PORT     32589
#define EXTERNAL 41000
#define CLIENT   0x0a00010a
#define PUBLIC   0xc6336507

struct gateway {
    bool is_silent, speaks_pcp, speaks_legacy;
    uint16_t result; /* that it answers with */
    uint32_t lifetime_s;
    uint32_t public_address;
    uint16_t external_port;
    uint64_t restarted_us;
    bool is_mapped;
    unsigned maps, deletions, addresses, seen; /* requests */
};

struct world {
    struct mapping *mapping;
    struct gateway gateway;
    uint64_t now_us;
    unsigned granted, lost, unavailable;
    struct endpoint external;
};

static const struct mapping_config CONFIG = {
    .gateway = {{ADDRESS_IPV4, {10, 0, 1, 1}}, PCP_SERVER_PORT},
    .client = {ADDRESS_IPV4, {10, 0, 1, 10}},
    .port = PORT,
    .nonce = "unguessable!",
};

static uint32_t epoch(const struct world *world)
{
    return (uint32_t)((world->now_us - world->gateway.restarted_us) / SECOND_US);
}

static void answer(struct world *world, const struct writer *w)
{
    int error = mapping_receive(world->mapping, w->base, w->len, &CONFIG.gateway, world->now_us);
    assert_true(error == ERR_OK || error == ERR_NOT_FOUND);
}

static void answer_pcp(struct world *world, const uint8_t *request, uint32_t lifetime_s)
{
    struct gateway *gateway = &world->gateway;
    uint8_t buffer[60];
    struct writer w;
    writer_init(&w, buffer, sizeof(buffer));
    writer_u8(&w, PCP_VERSION);
    writer_u8(&w, 0x80 | PCP_MAP);
    writer_u8(&w, 0);
    writer_u8(&w, (uint8_t)gateway->result);
    writer_u32(&w, gateway->result == 0 && lifetime_s == 0 ? 0 : gateway->lifetime_s);
    writer_u32(&w, epoch(world));
    writer_zero(&w, 12);
    writer_bytes(&w, request + 24, 18); /* nonce, protocol, internal port */
    writer_u16(&w, gateway->external_port);
    writer_zero(&w, 10);
    writer_u16(&w, 0xffff);
    writer_u32(&w, gateway->public_address);
    answer(world, &w);
}

static void answer_legacy(struct world *world, uint8_t opcode, uint16_t result, uint32_t lifetime_s)
{
    struct gateway *gateway = &world->gateway;
    uint8_t buffer[16];
    struct writer w;
    writer_init(&w, buffer, sizeof(buffer));
    writer_u8(&w, PCP_VERSION_NAT_PMP);
    writer_u8(&w, 0x80 | opcode);
    writer_u16(&w, result);
    writer_u32(&w, epoch(world));
    if (result == 0 && opcode == PCP_ANNOUNCE)
        writer_u32(&w, gateway->public_address);
    if (result == 0 && opcode == PCP_MAP) {
        writer_u16(&w, PORT);
        writer_u16(&w, lifetime_s > 0 ? gateway->external_port : 0);
        writer_u32(&w, lifetime_s > 0 ? gateway->lifetime_s : 0);
    }
    answer(world, &w);
}

static void note_map(struct gateway *gateway, uint32_t lifetime_s)
{
    if (lifetime_s > 0)
        gateway->maps++;
    else
        gateway->deletions++;
    if (gateway->result == 0)
        gateway->is_mapped = lifetime_s > 0;
}

static void take_request(struct world *world, const uint8_t *data, size_t len)
{
    struct gateway *gateway = &world->gateway;
    struct reader r;
    gateway->seen++;
    if (gateway->is_silent ||
        (data[0] == PCP_VERSION ? !gateway->speaks_pcp && !gateway->speaks_legacy
                                : !gateway->speaks_legacy))
        return;
    reader_init(&r, data, len);
    if (data[0] == PCP_VERSION) {
        assert_int_equal(len, 60);
        assert_memory_equal(data + 24, CONFIG.nonce, PCP_NONCE_LEN);
        reader_skip(&r, 4);
        uint32_t lifetime_s = reader_u32(&r);
        if (!gateway->speaks_pcp) {
            answer_legacy(world, PCP_MAP, PCP_UNSUPP_VERSION, 0);
            return;
        }
        note_map(gateway, lifetime_s);
        answer_pcp(world, data, lifetime_s);
    } else if (data[1] == PCP_ANNOUNCE) {
        assert_int_equal(len, 2);
        gateway->addresses++;
        answer_legacy(world, PCP_ANNOUNCE, 0, 0);
    } else {
        assert_int_equal(len, 12);
        reader_skip(&r, 8);
        uint32_t lifetime_s = reader_u32(&r);
        note_map(gateway, lifetime_s);
        answer_legacy(world, PCP_MAP, gateway->result, lifetime_s);
    }
}

static void drain(struct world *world)
{
    uint8_t buffer[MAPPING_DATAGRAM_CAP];
    struct mapping_event event;
    struct writer w;
    for (writer_init(&w, buffer, sizeof(buffer));
         mapping_transmit(world->mapping, &w, world->now_us) == ERR_OK;
         writer_init(&w, buffer, sizeof(buffer)))
        take_request(world, buffer, w.len);
    while (mapping_next_event(world->mapping, &event)) {
        world->granted += event.type == MAPPING_GRANTED;
        world->lost += event.type == MAPPING_LOST;
        world->unavailable += event.type == MAPPING_UNAVAILABLE;
        if (event.type == MAPPING_GRANTED)
            world->external = event.external;
    }
}

static void run_for(struct world *world, uint64_t us)
{
    const uint64_t end_us = world->now_us + us;
    drain(world);
    for (unsigned steps = 0; mapping_deadline(world->mapping) <= end_us; steps++) {
        assert_true(steps < 100000);
        world->now_us = mapping_deadline(world->mapping);
        mapping_expire(world->mapping, world->now_us);
        drain(world);
    }
    world->now_us = end_us;
}

static void start(struct world *world, bool speaks_pcp, bool speaks_legacy)
{
    *world = (struct world){.now_us = 1000 * SECOND_US};
    world->gateway = (struct gateway){.speaks_pcp = speaks_pcp,
                                      .speaks_legacy = speaks_legacy,
                                      .lifetime_s = 600,
                                      .public_address = PUBLIC,
                                      .external_port = EXTERNAL};
    assert_int_equal(mapping_new(&CONFIG, world->now_us, &world->mapping), ERR_OK);
}

static struct mapping_status status(const struct world *world)
{
    struct mapping_status status;
    mapping_get_status(world->mapping, &status);
    return status;
}

static void assert_mapped(const struct world *world, enum mapping_protocol protocol)
{
    struct mapping_status now = status(world);
    assert_true(now.is_mapped);
    assert_int_equal(now.protocol, protocol);
    assert_int_equal(now.external.port, world->gateway.external_port);
    assert_int_equal(address_to_ipv4(&now.external.address), world->gateway.public_address);
    assert_true(endpoint_is_equal(&now.external, &world->external));
    assert_string_equal(now.error, "");
}

static void test_pcp(void **state)
{
    struct world world;
    start(&world, true, true);
    drain(&world);
    assert_mapped(&world, MAPPING_PCP);
    assert_int_equal(world.granted, 1);
    assert_int_equal(world.gateway.seen, 1);
    /* Renewed between half and 5/8 of the life, without news. */
    run_for(&world, 299 * SECOND_US);
    assert_int_equal(world.gateway.maps, 1);
    run_for(&world, 77 * SECOND_US);
    assert_int_equal(world.gateway.maps, 2);
    run_for(&world, 24 * 3600 * SECOND_US);
    assert_in_range(world.gateway.maps, 200, 300);
    assert_int_equal(world.granted, 1);
    assert_int_equal(world.lost + world.unavailable, 0);
    mapping_free(world.mapping);
}

static void test_nat_pmp(void **state)
{
    struct world world;
    start(&world, false, true);
    drain(&world);
    assert_mapped(&world, MAPPING_NAT_PMP);
    assert_int_equal(world.gateway.maps, 1);
    run_for(&world, 3600 * SECOND_US);
    assert_in_range(world.gateway.maps, 9, 13);
    assert_int_equal(world.granted, 1);
    mapping_release(world.mapping, world.now_us);
    drain(&world);
    assert_true(mapping_is_released(world.mapping));
    assert_int_equal(world.gateway.deletions, 1);
    assert_false(world.gateway.is_mapped);
    mapping_free(world.mapping);
}

/* One that drops PCP silently is found by the second round. */
static void test_old_nat_pmp(void **state)
{
    struct world world;
    uint8_t buffer[MAPPING_DATAGRAM_CAP];
    struct writer w;
    start(&world, false, true);
    writer_init(&w, buffer, sizeof(buffer));
    assert_int_equal(mapping_transmit(world.mapping, &w, world.now_us), ERR_OK); /* lost */
    assert_int_equal(buffer[0], PCP_VERSION);
    assert_int_equal(mapping_transmit(world.mapping, &w, world.now_us), ERR_AGAIN);
    world.now_us += 4 * SECOND_US;
    mapping_expire(world.mapping, world.now_us);
    writer_init(&w, buffer, sizeof(buffer));
    assert_int_equal(mapping_transmit(world.mapping, &w, world.now_us), ERR_OK); /* lost */
    drain(&world);
    assert_mapped(&world, MAPPING_NAT_PMP);
    assert_int_equal(world.unavailable, 1); /* UPnP was tried meanwhile */
    mapping_free(world.mapping);
}

static void test_silence(void **state)
{
    struct world world;
    start(&world, true, true);
    world.gateway.is_silent = true;
    run_for(&world, 2 * SECOND_US);
    assert_int_equal(world.unavailable, 0);
    run_for(&world, 2 * SECOND_US);
    assert_int_equal(world.unavailable, 1);
    assert_true(strlen(status(&world).error) > 0);
    /* A day of silence costs little (two a round). */
    run_for(&world, 24 * 3600 * SECOND_US);
    assert_in_range(world.gateway.seen, 100, 250);
    assert_int_equal(world.unavailable, 1);
    world.gateway.is_silent = false;
    run_for(&world, 1200 * SECOND_US);
    assert_mapped(&world, MAPPING_PCP);
    mapping_free(world.mapping);
}

static void test_nobody_listens(void **state)
{
    struct world world;
    start(&world, true, true);
    mapping_refused(world.mapping, world.now_us); /* nothing asked yet: nothing to refuse */
    world.gateway.is_silent = true;
    drain(&world);
    assert_int_equal(world.unavailable, 0);
    mapping_refused(world.mapping, world.now_us);
    drain(&world);
    assert_int_equal(world.unavailable, 1);
    run_for(&world, 1000 * SECOND_US);
    assert_int_equal(world.gateway.seen, 1);
    mapping_free(world.mapping);
}

static void test_refusals(void **state)
{
    static const uint16_t results[] = {PCP_NOT_AUTHORIZED,  PCP_NO_RESOURCES,
                                       PCP_NETWORK_FAILURE, PCP_ADDRESS_MISMATCH,
                                       PCP_UNSUPP_VERSION,  200};
    for (size_t i = 0; i < 2 * sizeof(results) / sizeof(results[0]); i++) {
        struct world world;
        start(&world, true, true);
        world.gateway.result = results[i / 2];
        world.gateway.lifetime_s = i % 2 ? UINT32_MAX : 0; /* neither at once nor never again */
        drain(&world);
        assert_false(status(&world).is_mapped);
        assert_string_equal(status(&world).error, pcp_result_text(world.gateway.result));
        assert_int_equal(world.unavailable, 1);
        assert_int_equal(world.gateway.seen, 1);
        run_for(&world, 29 * SECOND_US);
        assert_int_equal(world.gateway.seen, 1);
        world.gateway.result = 0;
        world.gateway.lifetime_s = 600;
        run_for(&world, 2100 * SECOND_US);
        assert_mapped(&world, MAPPING_PCP);
        assert_int_equal(world.unavailable, 1);
        mapping_free(world.mapping);
    }
}

static void test_grants_of_nothing(void **state)
{
    struct world world;
    start(&world, true, true);
    world.gateway.lifetime_s = 0;
    drain(&world);
    assert_false(status(&world).is_mapped);
    mapping_free(world.mapping);
    start(&world, true, true);
    world.gateway.public_address = 0;
    drain(&world);
    assert_false(status(&world).is_mapped);
    mapping_free(world.mapping);
    start(&world, true, true);
    world.gateway.lifetime_s = UINT32_MAX; /* a day is believed */
    drain(&world);
    assert_true(status(&world).expires_us - world.now_us == MAPPING_LIFETIME_MAX_S * SECOND_US);
    mapping_free(world.mapping);
    start(&world, true, true);
    world.gateway.lifetime_s = 1; /* and nobody makes us ask all the time */
    run_for(&world, 60 * SECOND_US);
    assert_in_range(world.gateway.seen, 2, 130);
    mapping_free(world.mapping);
}

static void test_lost(void **state)
{
    struct world world;
    start(&world, true, true);
    drain(&world);
    world.gateway.is_silent = true;
    run_for(&world, 599 * SECOND_US);
    assert_int_equal(world.lost, 0); /* it may hold to the lease's end */
    run_for(&world, 2 * SECOND_US);
    assert_int_equal(world.lost, 1);
    assert_false(status(&world).is_mapped);
    world.gateway.is_silent = false;
    world.gateway.external_port = EXTERNAL + 1;
    run_for(&world, 10 * SECOND_US);
    assert_mapped(&world, MAPPING_PCP);
    assert_int_equal(world.granted, 2);
    mapping_free(world.mapping);
}

static void test_another_address(void **state)
{
    struct world world;
    start(&world, true, true);
    drain(&world);
    world.gateway.public_address = PUBLIC + 1;
    run_for(&world, 6 * SECOND_US);
    mapping_refresh(world.mapping, world.now_us);
    run_for(&world, SECOND_US);
    assert_mapped(&world, MAPPING_PCP);
    assert_int_equal(world.granted, 2);
    assert_int_equal(world.lost, 0);
    mapping_free(world.mapping);
}

static int announce(struct world *world, uint32_t epoch_s, const struct endpoint *from)
{
    uint8_t message[24] = {PCP_VERSION, 0x80 | PCP_ANNOUNCE};
    message[10] = (uint8_t)(epoch_s >> 8);
    message[11] = (uint8_t)epoch_s;
    return mapping_announced(world->mapping, message, sizeof(message), from, world->now_us);
}

/* RFC 6887, 8.5 and 14.1: a gateway whose clock went back has forgotten its mappings. */
static void test_restarted(void **state)
{
    struct world world;
    struct endpoint stranger = CONFIG.gateway;
    start(&world, true, true);
    drain(&world);
    run_for(&world, 100 * SECOND_US);
    assert_int_equal(announce(&world, epoch(&world), &CONFIG.gateway), ERR_OK);
    run_for(&world, 10 * SECOND_US);
    assert_int_equal(world.gateway.maps, 1); /* all is well */
    stranger.address.bytes[3]++;
    assert_int_equal(announce(&world, 0, &stranger), ERR_NOT_FOUND);
    stranger = CONFIG.gateway;
    stranger.port++;
    assert_int_equal(announce(&world, 0, &stranger), ERR_NOT_FOUND);
    run_for(&world, 10 * SECOND_US);
    assert_int_equal(world.gateway.maps, 1);
    world.gateway.restarted_us = world.now_us;
    world.gateway.is_mapped = false;
    assert_int_equal(announce(&world, epoch(&world), &CONFIG.gateway), ERR_OK);
    run_for(&world, SECOND_US);
    assert_true(world.gateway.is_mapped);
    assert_int_equal(world.gateway.maps, 2);
    /* A flood of them, each with another clock, makes us ask each 5 s at most. */
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(announce(&world, i % 2 ? 0 : 30000, &CONFIG.gateway), ERR_OK);
        run_for(&world, 100 * MS_US);
    }
    assert_in_range(world.gateway.maps, 10, 23);
    assert_true(world.granted == 1);
    mapping_free(world.mapping);
}

/* A forged answer needs the gateway's address, a request that is out, and the nonce. */
static void test_forgeries(void **state)
{
    struct world world;
    uint8_t request[MAPPING_DATAGRAM_CAP], message[60] = {PCP_VERSION, 0x81, 0, 0, 0, 0, 1};
    struct endpoint stranger = CONFIG.gateway;
    struct writer w;
    start(&world, true, true);
    memcpy(message + 24, CONFIG.nonce, PCP_NONCE_LEN);
    message[36] = PCP_PROTOCOL_UDP;
    message[40] = PORT >> 8;
    message[41] = PORT & 0xff;
    message[42] = 1;
    message[54] = message[55] = 0xff;
    message[56] = 9;
    assert_int_equal(mapping_receive(world.mapping, message, 60, &CONFIG.gateway, world.now_us),
                     ERR_NOT_FOUND); /* nothing was asked */
    writer_init(&w, request, sizeof(request));
    assert_int_equal(mapping_transmit(world.mapping, &w, world.now_us), ERR_OK);
    stranger.port++;
    assert_int_equal(mapping_receive(world.mapping, message, 60, &stranger, world.now_us),
                     ERR_NOT_FOUND);
    stranger = CONFIG.gateway;
    stranger.address.bytes[3]++;
    assert_int_equal(mapping_receive(world.mapping, message, 60, &stranger, world.now_us),
                     ERR_NOT_FOUND);
    for (size_t at = 24; at < 42; at++) {
        if (at >= 37 && at < 40)
            continue; /* reserved */
        message[at] ^= 1;
        assert_int_equal(mapping_receive(world.mapping, message, 60, &CONFIG.gateway, world.now_us),
                         ERR_NOT_FOUND);
        message[at] ^= 1;
    }
    for (size_t len = 0; len < 60; len++)
        assert_int_not_equal(
            mapping_receive(world.mapping, message, len, &CONFIG.gateway, world.now_us), ERR_OK);
    assert_false(status(&world).is_mapped);
    assert_int_equal(mapping_receive(world.mapping, message, 60, &CONFIG.gateway, world.now_us),
                     ERR_OK);
    assert_true(status(&world).is_mapped);
    mapping_free(world.mapping);
}

static void test_release(void **state)
{
    struct world world;
    start(&world, true, true);
    drain(&world);
    mapping_release(world.mapping, world.now_us);
    assert_false(mapping_is_released(world.mapping));
    drain(&world);
    assert_true(mapping_is_released(world.mapping));
    assert_int_equal(world.gateway.deletions, 1);
    assert_true(mapping_deadline(world.mapping) == DEADLINE_NEVER);
    mapping_free(world.mapping);
    /* A gateway that is gone costs three tries, below a second. */
    start(&world, true, true);
    drain(&world);
    world.gateway.is_silent = true;
    mapping_release(world.mapping, world.now_us);
    run_for(&world, SECOND_US);
    assert_true(mapping_is_released(world.mapping));
    assert_int_equal(world.gateway.seen, 4);
    mapping_free(world.mapping);
    /* Where nothing was granted, there is nothing to delete. */
    start(&world, true, true);
    world.gateway.is_silent = true;
    drain(&world);
    mapping_release(world.mapping, world.now_us);
    assert_true(mapping_is_released(world.mapping));
    mapping_free(world.mapping);
}

static void test_bad_configuration(void **state)
{
    struct mapping *mapping = NULL;
    struct mapping_config config = CONFIG;
    config.gateway.address.family = ADDRESS_IPV6;
    assert_int_equal(mapping_new(&config, 1, &mapping), ERR_INVALID);
    config = CONFIG;
    config.port = 0;
    assert_int_equal(mapping_new(&config, 1, &mapping), ERR_INVALID);
    assert_null(mapping);
    mapping_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pcp),
        cmocka_unit_test(test_nat_pmp),
        cmocka_unit_test(test_old_nat_pmp),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_grants_of_nothing),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_another_address),
        cmocka_unit_test(test_restarted),
        cmocka_unit_test(test_forgeries),
        cmocka_unit_test(test_release),
        cmocka_unit_test(test_bad_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
