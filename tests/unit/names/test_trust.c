/* Pins: the first key is remembered, a changed one refused, a damaged store refuses all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names/trust.h"

#define NAME  "home-pc.detec.example.net"
#define NOW_S ((uint64_t)1735776000) /* 2025-01-02 */

static const uint8_t SEED[16] = {6};
static const struct public_key KEY_A = {{0xaa}}, KEY_B = {{0xbb}};

static struct trust *new_trust(void)
{
    struct trust *trust = NULL;
    assert_int_equal(trust_new(SEED, &trust), ERR_OK);
    return trust;
}

static enum trust_result check(const struct trust *trust, enum trust_kind kind,
                               const struct public_key *key, enum trust_level source,
                               enum trust_level accept, struct trust_verdict *verdict)
{
    assert_int_equal(trust_check(trust, kind, NAME, key, source, accept, verdict), ERR_OK);
    assert_int_equal(verdict->is_accepted,
                     verdict->result == TRUST_KNOWN || verdict->result == TRUST_NEW);
    assert_int_equal(verdict->is_accepted, strlen(verdict->message) == 0);
    return verdict->result;
}

/* With the default: the connector's word is enough. */
static enum trust_result check_plain(const struct trust *trust, const struct public_key *key)
{
    struct trust_verdict verdict;
    return check(trust, TRUST_HOST, key, TRUST_LEVEL_CONNECTOR, TRUST_LEVEL_CONNECTOR, &verdict);
}

static int pin(struct trust *trust, enum trust_kind kind, const struct public_key *key,
               bool *ret_is_new)
{
    struct trust_verdict verdict;
    return trust_pin(trust, kind, NAME, key, TRUST_LEVEL_CONNECTOR, TRUST_LEVEL_CONNECTOR, NOW_S,
                     &verdict, ret_is_new);
}

static void test_first_contact_and_change(void **state)
{
    struct trust *trust = new_trust();
    struct trust_verdict verdict;
    struct public_key found;
    enum trust_origin origin;
    char text[PUBLIC_KEY_TEXT_CAP];
    bool is_new = false;

    assert_int_equal(check_plain(trust, &KEY_A), TRUST_NEW);
    assert_int_equal(trust_count(trust), 0); /* a check pins nothing */
    assert_false(trust_is_dirty(trust));
    assert_int_equal(pin(trust, TRUST_HOST, &KEY_A, &is_new), ERR_OK);
    assert_true(is_new);
    assert_true(trust_is_dirty(trust));
    assert_int_equal(pin(trust, TRUST_HOST, &KEY_A, &is_new), ERR_OK);
    assert_false(is_new);
    assert_int_equal(check_plain(trust, &KEY_A), TRUST_KNOWN);
    assert_int_equal(trust_find(trust, TRUST_HOST, NAME, &found, &origin), ERR_OK);
    assert_true(public_key_is_equal(&found, &KEY_A));
    assert_int_equal(origin, TRUST_ORIGIN_CONNECTOR);

    assert_int_equal(
        check(trust, TRUST_HOST, &KEY_B, TRUST_LEVEL_CONNECTOR, TRUST_LEVEL_CONNECTOR, &verdict),
        TRUST_CONTRADICTION);
    assert_non_null(strstr(verdict.message, "type: detec trust " NAME));
    assert_non_null(strstr(verdict.message, "2025-01-02"));
    assert_non_null(strstr(verdict.message, public_key_format(&KEY_A, text)));
    assert_non_null(strstr(verdict.message, public_key_format(&KEY_B, text)));
    is_new = true;
    assert_int_equal(pin(trust, TRUST_HOST, &KEY_B, &is_new), ERR_REFUSED);
    assert_int_equal(check_plain(trust, &KEY_A), TRUST_KNOWN);
    /* Not even DNSSEC moves a pin. */
    assert_int_equal(
        check(trust, TRUST_HOST, &KEY_B, TRUST_LEVEL_DNSSEC, TRUST_LEVEL_CONNECTOR, &verdict),
        TRUST_CONTRADICTION);

    assert_int_equal(trust_remove(trust, TRUST_HOST, NAME), ERR_OK);
    assert_int_equal(trust_remove(trust, TRUST_HOST, NAME), ERR_NOT_FOUND);
    assert_int_equal(check_plain(trust, &KEY_B), TRUST_NEW);
    trust_free(trust);
    trust_free(NULL);
}

static void test_kinds_are_apart(void **state)
{
    struct trust *trust = new_trust();
    struct trust_verdict verdict;
    struct public_key found;
    enum trust_origin origin;
    bool is_new = false;

    assert_int_equal(pin(trust, TRUST_CONNECTOR, &KEY_A, &is_new), ERR_OK);
    assert_int_equal(check_plain(trust, &KEY_B), TRUST_NEW);
    assert_int_equal(trust_find(trust, TRUST_HOST, NAME, &found, &origin), ERR_NOT_FOUND);
    assert_int_equal(trust_find(trust, TRUST_CONNECTOR, NAME, &found, &origin), ERR_OK);
    assert_int_equal(origin, TRUST_ORIGIN_FIRST_CONTACT);
    assert_int_equal(check(trust, TRUST_CONNECTOR, &KEY_B, TRUST_LEVEL_CONNECTOR,
                           TRUST_LEVEL_CONNECTOR, &verdict),
                     TRUST_CONTRADICTION);
    assert_non_null(strstr(verdict.message, "detec trust --connector " NAME));
    trust_free(trust);
}

static void test_levels(void **state)
{
    static const struct {
        enum trust_level source;
        enum trust_level accept;
        enum trust_result want;
    } table[] = {
        {TRUST_LEVEL_CONNECTOR, TRUST_LEVEL_CONNECTOR, TRUST_NEW},
        {TRUST_LEVEL_CONNECTOR, TRUST_LEVEL_DNSSEC, TRUST_TOO_WEAK},
        {TRUST_LEVEL_CONNECTOR, TRUST_LEVEL_PINNED, TRUST_TOO_WEAK},
        {TRUST_LEVEL_DNSSEC, TRUST_LEVEL_CONNECTOR, TRUST_NEW},
        {TRUST_LEVEL_DNSSEC, TRUST_LEVEL_DNSSEC, TRUST_NEW},
        {TRUST_LEVEL_DNSSEC, TRUST_LEVEL_PINNED, TRUST_TOO_WEAK},
    };
    struct trust *trust = new_trust();
    struct trust_verdict verdict;
    bool is_new = false;

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(
            check(trust, TRUST_HOST, &KEY_A, table[i].source, table[i].accept, &verdict),
            table[i].want);
        if (table[i].want == TRUST_TOO_WEAK)
            assert_non_null(strstr(verdict.message, "pin = " NAME " "));
    }
    check(trust, TRUST_CONNECTOR, &KEY_A, TRUST_LEVEL_CONNECTOR, TRUST_LEVEL_PINNED, &verdict);
    assert_non_null(strstr(verdict.message, "connector-key = " NAME " "));
    /* A pin is enough for every level. */
    assert_int_equal(pin(trust, TRUST_HOST, &KEY_A, &is_new), ERR_OK);
    assert_int_equal(
        check(trust, TRUST_HOST, &KEY_A, TRUST_LEVEL_CONNECTOR, TRUST_LEVEL_PINNED, &verdict),
        TRUST_KNOWN);

    assert_int_equal(trust_check(trust, TRUST_HOST, "Upper", &KEY_A, TRUST_LEVEL_CONNECTOR,
                                 TRUST_LEVEL_CONNECTOR, &verdict),
                     ERR_INVALID);
    assert_int_equal(trust_check(trust, TRUST_HOST, NAME, &KEY_A, TRUST_LEVEL_PINNED,
                                 TRUST_LEVEL_CONNECTOR, &verdict),
                     ERR_INVALID);
    assert_int_equal(
        trust_check(trust, TRUST_HOST, NAME, &KEY_A, TRUST_LEVEL_CONNECTOR, 0, &verdict),
        ERR_INVALID);
    trust_free(trust);
}

static void test_configuration_wins(void **state)
{
    struct trust *trust = new_trust();
    struct trust_verdict verdict;
    char *text = NULL;
    size_t len = 0;
    bool is_new = false;

    assert_int_equal(pin(trust, TRUST_HOST, &KEY_A, &is_new), ERR_OK);
    assert_int_equal(trust_set_configuration(trust, TRUST_HOST, NAME, &KEY_B), ERR_OK);
    assert_int_equal(trust_set_configuration(trust, TRUST_HOST, NAME, &KEY_B), ERR_OK);
    assert_int_equal(trust_set_configuration(trust, TRUST_HOST, NAME, &KEY_A), ERR_EXISTS);
    assert_int_equal(check_plain(trust, &KEY_B), TRUST_KNOWN);
    assert_int_equal(
        check(trust, TRUST_HOST, &KEY_A, TRUST_LEVEL_CONNECTOR, TRUST_LEVEL_CONNECTOR, &verdict),
        TRUST_CONTRADICTION);
    assert_non_null(strstr(verdict.message, "configuration"));
    assert_int_equal(trust_set(trust, TRUST_HOST, NAME, &KEY_A, NOW_S), ERR_STATE);
    assert_int_equal(trust_save(trust, &text, &len), ERR_OK);
    assert_null(strstr(text, "configuration"));
    free(text);
    trust_clear_configuration(trust);
    assert_int_equal(check_plain(trust, &KEY_A), TRUST_KNOWN);
    trust_free(trust);
}

static void test_users_word(void **state)
{
    struct trust *trust = new_trust();
    struct public_key found;
    enum trust_origin origin;
    bool is_new = false;

    assert_int_equal(pin(trust, TRUST_HOST, &KEY_A, &is_new), ERR_OK);
    assert_int_equal(trust_set(trust, TRUST_HOST, NAME, &KEY_B, NOW_S), ERR_OK);
    assert_int_equal(check_plain(trust, &KEY_B), TRUST_KNOWN);
    assert_int_equal(check_plain(trust, &KEY_A), TRUST_CONTRADICTION);
    assert_int_equal(trust_find(trust, TRUST_HOST, NAME, &found, &origin), ERR_OK);
    assert_int_equal(origin, TRUST_ORIGIN_COMMAND);
    assert_int_equal(trust_set(trust, TRUST_HOST, "a..b", &KEY_B, NOW_S), ERR_INVALID);
    assert_int_equal(trust_set(trust, TRUST_HOST, "other.example.net", &KEY_B, NOW_S), ERR_OK);
    assert_int_equal(trust_count(trust), 2);
    trust_free(trust);
}

static void count_pin(const struct trust_pin_view *view, void *context)
{
    assert_true(view->since_s == NOW_S);
    assert_int_equal(view->kind, strstr(view->name, "host") != NULL ? TRUST_HOST : TRUST_CONNECTOR);
    ++*(unsigned *)context;
}

/* Two hosts and a connector. */
static char *sample(size_t *ret_len)
{
    struct trust *trust = new_trust();
    char *text = NULL;

    assert_int_equal(trust_set(trust, TRUST_HOST, "host-1.example.net", &KEY_A, NOW_S), ERR_OK);
    assert_int_equal(trust_set(trust, TRUST_HOST, "host-2.example.net", &KEY_B, NOW_S), ERR_OK);
    assert_int_equal(trust_set(trust, TRUST_CONNECTOR, "zone.example.net", &KEY_A, NOW_S), ERR_OK);
    assert_int_equal(trust_save(trust, &text, ret_len), ERR_OK);
    assert_false(trust_is_dirty(trust));
    trust_free(trust);
    return text;
}

static void test_reload(void **state)
{
    struct trust *trust = new_trust();
    struct trust_verdict verdict;
    struct state_damage damage;
    unsigned count = 0;
    size_t len = 0;
    char *text = sample(&len);

    assert_int_equal(trust_load(trust, text, len, &damage), ERR_OK);
    assert_int_equal(trust_count(trust), 3);
    trust_walk(trust, count_pin, &count);
    assert_int_equal(count, 3);
    assert_int_equal(trust_check(trust, TRUST_HOST, "host-2.example.net", &KEY_A,
                                 TRUST_LEVEL_CONNECTOR, TRUST_LEVEL_CONNECTOR, &verdict),
                     ERR_OK);
    assert_int_equal(verdict.result, TRUST_CONTRADICTION);
    assert_int_equal(trust_load(trust, text, len, &damage), ERR_STATE);
    free(text);
    trust_free(trust);
}

static void assert_refuses(struct trust *trust)
{
    struct trust_verdict verdict;
    struct public_key found;
    enum trust_origin origin;
    char *text = NULL;
    size_t len = 0;

    assert_int_equal(
        check(trust, TRUST_HOST, &KEY_A, TRUST_LEVEL_DNSSEC, TRUST_LEVEL_CONNECTOR, &verdict),
        TRUST_DAMAGED);
    assert_non_null(strstr(verdict.message, "restore"));
    assert_int_equal(trust_find(trust, TRUST_HOST, "host-1.example.net", &found, &origin),
                     ERR_NOT_FOUND);
    assert_int_equal(trust_set(trust, TRUST_HOST, NAME, &KEY_A, NOW_S), ERR_STATE);
    assert_int_equal(trust_remove(trust, TRUST_HOST, NAME), ERR_STATE);
    assert_int_equal(trust_save(trust, &text, &len), ERR_STATE);
    /* What the configuration says needs no file. */
    assert_int_equal(trust_set_configuration(trust, TRUST_HOST, NAME, &KEY_A), ERR_OK);
    assert_int_equal(check_plain(trust, &KEY_A), TRUST_KNOWN);
}

static void test_damage(void **state)
{
    size_t len = 0;
    char *text = sample(&len);

    for (size_t i = 0; i < 2 * len; i++) {
        struct trust *trust = new_trust();
        struct state_damage damage = {.line = 0};
        if (i >= len)
            text[i - len] ^= 2;
        assert_int_equal(trust_load(trust, text, i < len ? i : len, &damage), ERR_INVALID);
        if (i >= len)
            text[i - len] ^= 2;
        assert_true(strlen(damage.message) > 0);
        assert_refuses(trust);
        trust_free(trust);
    }
    free(text);
    struct trust *trust = new_trust();
    trust_refuse_all(trust, "it cannot be read");
    assert_refuses(trust);
    trust_free(trust);
}

static void test_wrong_lines(void **state)
{
    static const char key[] = "qgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    static const char *const formats[] = {
        "guest a.b %s command 1", "host A.b %s command 1",       "host a.b %.40s command 1",
        "host a.b %s word 1",     "host a.b %s configuration 1", "host a.b %s command x",
        "host a.b %s command",    "host a.b %s command 1 2",
    };
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct trust *trust = new_trust();
        struct state_damage damage = {.line = 0};
        struct state_builder b;
        char line[128], *text = NULL;
        size_t len = 0;
        const char *at = strchr(formats[i], '%');
        int key_len = strncmp(at, "%.40s", 5) == 0 ? 40 : 44;
        snprintf(line, sizeof line, "%.*s%.*s%s", (int)(at - formats[i]), formats[i], key_len, key,
                 strchr(at, 's') + 1);
        state_builder_init(&b, "detec-trust 1");
        state_builder_line(&b, "host c.d %s command 1", key);
        state_builder_line(&b, "%s", line);
        assert_int_equal(state_builder_finish(&b, &text, &len), ERR_OK);
        assert_int_equal(trust_load(trust, text, len, &damage), ERR_INVALID);
        assert_int_equal(damage.line, 3);
        free(text);
        trust_free(trust);
    }
    /* Two keys of one name. */
    struct trust *trust = new_trust();
    struct state_damage damage = {.line = 0};
    struct state_builder b;
    char *text = NULL;
    size_t len = 0;
    state_builder_init(&b, "detec-trust 1");
    state_builder_line(&b, "host c.d %s command 1", key);
    state_builder_line(&b, "host c.d %s dnssec 2", key);
    assert_int_equal(state_builder_finish(&b, &text, &len), ERR_OK);
    assert_int_equal(trust_load(trust, text, len, &damage), ERR_INVALID);
    free(text);
    trust_free(trust);
}

/* A new pin is one line more in the file; whatever else changes has it written anew. */
static void test_added_lines(void **state)
{
    struct trust *trust = new_trust(), *fresh = new_trust();
    struct trust_verdict verdict;
    struct state_damage damage;
    struct public_key key;
    enum trust_origin origin;
    char record[STATE_RECORD_LEN], name[64];
    char *text = NULL;
    size_t len = 0, at = 0;
    bool is_new = false;

    assert_int_equal(trust_save(trust, &text, &len), ERR_OK);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "h%u.example.net", i);
        assert_int_equal(trust_pin(trust, TRUST_HOST, name, &KEY_A, TRUST_LEVEL_CONNECTOR,
                                   TRUST_LEVEL_CONNECTOR, NOW_S, &verdict, &is_new),
                         ERR_OK);
        assert_true(is_new && trust_is_dirty(trust));
        assert_int_equal(trust_save_new(trust, TRUST_HOST, name, record, &at), ERR_OK);
        assert_false(trust_is_dirty(trust));
        memcpy(text + at, record, sizeof record);
    }
    assert_int_equal(trust_load(fresh, text, len, &damage), ERR_OK);
    assert_int_equal(trust_count(fresh), 20);
    assert_int_equal(trust_find(fresh, TRUST_HOST, "h19.example.net", &key, &origin), ERR_OK);
    assert_true(public_key_is_equal(&key, &KEY_A) && origin == TRUST_ORIGIN_CONNECTOR);

    assert_int_equal(trust_remove(trust, TRUST_HOST, "h3.example.net"), ERR_OK);
    assert_int_equal(pin(trust, TRUST_HOST, &KEY_B, &is_new), ERR_OK);
    assert_int_equal(trust_save_new(trust, TRUST_HOST, NAME, record, &at), ERR_FULL);
    /* One that has no file of its own to go on in. */
    assert_int_equal(pin(fresh, TRUST_HOST, &KEY_B, &is_new), ERR_OK);
    assert_int_equal(trust_save_new(fresh, TRUST_HOST, NAME, record, &at), ERR_FULL);
    free(text);
    trust_free(trust);
    trust_free(fresh);
}

static void test_strangers_cannot_fill_it(void **state)
{
    struct trust *trust = new_trust();
    struct trust_verdict verdict;
    char name[64];
    bool is_new = false;

    for (int i = 0; i < TRUST_AUTO_PINS_MAX; i++) {
        snprintf(name, sizeof name, "host-%d.example.net", i);
        assert_int_equal(trust_pin(trust, TRUST_HOST, name, &KEY_A, TRUST_LEVEL_CONNECTOR,
                                   TRUST_LEVEL_CONNECTOR, NOW_S, &verdict, &is_new),
                         ERR_OK);
    }
    assert_int_equal(pin(trust, TRUST_HOST, &KEY_A, &is_new), ERR_REFUSED);
    assert_int_equal(check_plain(trust, &KEY_A), TRUST_FULL);
    /* Those that are pinned stay, and the user's word still counts. */
    assert_int_equal(trust_check(trust, TRUST_HOST, "host-0.example.net", &KEY_B,
                                 TRUST_LEVEL_CONNECTOR, TRUST_LEVEL_CONNECTOR, &verdict),
                     ERR_OK);
    assert_int_equal(verdict.result, TRUST_CONTRADICTION);
    assert_int_equal(trust_set(trust, TRUST_HOST, NAME, &KEY_A, NOW_S), ERR_OK);
    assert_int_equal(check_plain(trust, &KEY_A), TRUST_KNOWN);
    assert_int_equal(trust_remove(trust, TRUST_HOST, "host-0.example.net"), ERR_OK);
    assert_int_equal(trust_remove(trust, TRUST_HOST, NAME), ERR_OK);
    assert_int_equal(check_plain(trust, &KEY_A), TRUST_NEW);
    trust_free(trust);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_contact_and_change),
        cmocka_unit_test(test_kinds_are_apart),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_configuration_wins),
        cmocka_unit_test(test_users_word),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_wrong_lines),
        cmocka_unit_test(test_added_lines),
        cmocka_unit_test(test_strangers_cannot_fill_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
