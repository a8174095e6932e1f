/* Vouchers through the connector: who gets one, for what, how often; and how they travel in calls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

enum { HOST_KEY = 1, CALLED_KEY = 2, GUEST_KEY = 4 };

static unsigned asked;
static char asked_name[NAME_TEXT_CAP];
static uint8_t asked_key[NOTIFY_KEY_LEN];
static int vouch_result;

static int vouch(void *context, const char *name, const uint8_t key[NOTIFY_KEY_LEN],
                 struct notify_vouched *ret_vouched)
{
    asked++;
    strcpy(asked_name, name);
    memcpy(asked_key, key, sizeof asked_key);
    *ret_vouched = (struct notify_vouched){.left_s = 120, .voucher.expires_s = 1000 + asked};
    return vouch_result;
}

struct fixture {
    struct world world;
    struct world_host *host, *called, *guest;
};

static struct fixture *start(registry_vouch *by)
{
    const struct registry_config config = {.has_dynamic = true, .stun_port = 4500, .vouch = by};
    const struct login_config guest = {.is_guest = true, .port = 1};
    struct fixture *f = malloc(sizeof *f);
    assert_non_null(f);
    asked = 0;
    vouch_result = ERR_OK;
    world_init(&f->world, &config);
    world_add_row(&f->world, "host." ZONE, HOST_KEY, NULL);
    world_add_row(&f->world, "called." ZONE, CALLED_KEY, NULL);
    f->host = world_add_host(&f->world, HOST_KEY, NULL);
    f->called = world_add_host(&f->world, CALLED_KEY, NULL);
    f->guest = world_add_host(&f->world, GUEST_KEY, &guest);
    assert_int_equal(login_client_lookup(f->guest->client, 1, "host." ZONE, f->world.now_us),
                     ERR_OK);
    world_run(&f->world, SECOND_US);
    assert_int_equal(f->host->dones + f->called->dones + f->guest->dones, 3);
    return f;
}

static void finish(struct fixture *f)
{
    world_done(&f->world);
    free(f);
}

static int ask(struct fixture *f, const struct world_host *host)
{
    const int error = registry_notify(f->world.registry, host->session, NOTIFY_VOUCH, "\x01", 1,
                                      NULL, f->world.now_us);
    world_drain(&f->world);
    return error;
}

/* For the name and key of the session that asks, whatever that says. */
static void test_vouched(void **state)
{
    struct fixture *f = start(vouch);
    assert_int_equal(login_client_vouch(f->host->client), ERR_OK);
    world_drain(&f->world);
    assert_int_equal(f->host->vouchers, 1);
    assert_true(f->host->vouched.left_s == 120 && f->host->vouched.voucher.expires_s == 1001);
    assert_string_equal(asked_name, "host." ZONE);
    assert_memory_equal(asked_key, f->host->key, NOTIFY_KEY_LEN);
    assert_int_equal(f->called->vouchers, 0);
    assert_int_equal(registry_counters(f->world.registry)->vouchers, 1);
    /* There is no room for anything that it could say. */
    assert_int_equal(registry_notify(f->world.registry, f->host->session, NOTIFY_VOUCH, "\x01\x01",
                                     2, NULL, f->world.now_us),
                     ERR_INVALID);
    assert_int_equal(asked, 1);
    finish(f);
}

static void test_not_for_guests(void **state)
{
    struct fixture *f = start(vouch);
    assert_int_equal(login_client_vouch(f->guest->client), ERR_STATE);
    assert_int_equal(ask(f, f->guest), ERR_STATE);
    assert_int_equal(asked, 0);
    /* Nor does one take what it cannot have asked for. */
    const struct notify_vouched made_up = {.left_s = 9};
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_vouched(&w, &made_up);
    assert_int_equal(
        login_client_notify(f->guest->client, NOTIFY_VOUCHER, buffer, w.len, f->world.now_us),
        ERR_REFUSED);
    /* Nobody who has not logged in. */
    const uint8_t key[NOTIFY_KEY_LEN] = {9};
    assert_int_equal(registry_session_open(f->world.registry, 999, key, f->world.now_us), ERR_OK);
    assert_int_equal(
        registry_notify(f->world.registry, 999, NOTIFY_VOUCH, "\x01", 1, NULL, f->world.now_us),
        ERR_STATE);
    world_break(f->host);
    world_drain(&f->world);
    assert_int_equal(login_client_vouch(f->host->client), ERR_STATE);
    finish(f);
}

/* The database has the last word, as in a look-up; and where it cannot be read nothing is said. */
static void test_the_database(void **state)
{
    struct fixture *f = start(vouch);
    memset(f->world.rows[0].key, 77, NOTIFY_KEY_LEN);
    assert_int_equal(ask(f, f->host), ERR_REFUSED);
    f->world.is_database_broken = true;
    assert_true(ask(f, f->host) < 0);
    f->world.is_database_broken = false;
    assert_int_equal(asked, 0);
    memset(f->world.rows[0].key, HOST_KEY, NOTIFY_KEY_LEN);
    vouch_result = ERR_CRYPTO;
    assert_int_equal(ask(f, f->host), ERR_CRYPTO);
    assert_int_equal(f->host->vouchers, 0);
    finish(f);
}

static void test_limit(void **state)
{
    struct fixture *f = start(vouch);
    for (unsigned i = 0; i < 100; i++)
        (void)!ask(f, f->host);
    /* One of them was for LOGIN. */
    assert_int_equal(asked, REGISTRY_LOGIN_BURST - 1);
    assert_int_equal(registry_counters(f->world.registry)->limited, 100 - asked);
    world_run(&f->world, REGISTRY_LOGIN_US);
    assert_int_equal(ask(f, f->host), ERR_OK);
    assert_int_equal(ask(f, f->host), ERR_LIMIT);
    finish(f);
}

static void test_no_vouching(void **state)
{
    struct fixture *f = start(NULL);
    assert_int_equal(ask(f, f->host), ERR_STATE);
    assert_int_equal(f->host->vouchers, 0);
    finish(f);
}

/* Passed on with a name of another zone; of no use, and gone, with any other. */
static void test_in_calls(void **state)
{
    struct fixture *f = start(vouch);
    const struct notify_voucher voucher = {.expires_s = 7, .signature = {1, 2, 3}};
    static const struct {
        const char *claimed;
        bool is_guest, is_passed;
    } cases[] = {{"pc.home.example", true, true},
                 {"", true, false},
                 {"host." ZONE, false, false},
                 {"pc.home.example", false, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world_host *from = cases[i].is_guest ? f->guest : f->host;
        assert_int_equal(login_client_call(from->client, i + 1, "called." ZONE, cases[i].claimed,
                                           &world_credentials, &world_candidates, NULL, &voucher,
                                           f->world.now_us),
                         ERR_OK);
        world_drain(&f->world);
        assert_int_equal(f->called->calls, i + 1);
        assert_int_equal(f->called->call.has_voucher, cases[i].is_passed);
        if (cases[i].is_passed)
            assert_memory_equal(&f->called->call.voucher, &voucher, sizeof voucher);
    }
    finish(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vouched),      cmocka_unit_test(test_not_for_guests),
        cmocka_unit_test(test_the_database), cmocka_unit_test(test_limit),
        cmocka_unit_test(test_no_vouching),  cmocka_unit_test(test_in_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
