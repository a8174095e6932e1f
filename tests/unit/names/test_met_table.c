/* Peers that were met: the newest are kept, none for ever; the file is read back as it was, and any
 * damage leaves nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names/met_table.h"

#define NOW_S ((uint64_t)1800000000)

static const struct public_key KEY = {{7}}, OTHER_KEY = {{8}};

static void meet(struct met_table *table, const char *name, const struct public_key *key,
                 uint8_t number, uint64_t wall_s)
{
    const uint8_t id[MET_ID_LEN] = {number}, secret[MET_SECRET_LEN] = {number, 1};
    assert_int_equal(met_table_note_proof(table, name, key, true, id, secret, wall_s), ERR_OK);
}

static struct endpoint at(const char *text)
{
    struct endpoint endpoint;
    assert_int_equal(endpoint_parse(text, 0, &endpoint), ERR_OK);
    return endpoint;
}

static const struct met_peer *by_proof(const struct met_table *table, uint8_t number,
                                       const struct met_proof **ret_proof)
{
    const uint8_t id[MET_ID_LEN] = {number};
    return met_table_find_proof(table, id, NOW_S, ret_proof);
}

static void test_proofs(void **state)
{
    struct met_table table = {0};
    const struct met_proof *proof;
    meet(&table, "a.example", &KEY, 1, NOW_S);
    meet(&table, "a.example", &KEY, 2, NOW_S);
    const struct met_peer *peer = met_table_find(&table, "a.example", NOW_S);
    assert_non_null(peer);
    assert_int_equal(peer->proof_count, 2);
    assert_int_equal(peer->proofs[0].id[0], 2);
    assert_ptr_equal(by_proof(&table, 1, &proof), peer);
    assert_int_equal(proof->secret[0], 1);
    /* A third one displaces the first. */
    meet(&table, "a.example", &KEY, 3, NOW_S);
    assert_null(by_proof(&table, 1, &proof));
    assert_non_null(by_proof(&table, 2, &proof));
    /* Numbers only grow. */
    const uint8_t id[MET_ID_LEN] = {3};
    met_table_note_seen(&table, id, 50);
    met_table_note_seen(&table, id, 40);
    assert_non_null(by_proof(&table, 3, &proof));
    assert_int_equal(proof->seen, 50);
    /* Under another key it is another host. */
    const struct endpoint endpoint = at("192.0.2.1:5");
    met_table_note_endpoint(&table, "a.example", &endpoint, NOW_S);
    meet(&table, "a.example", &OTHER_KEY, 4, NOW_S);
    assert_null(by_proof(&table, 3, &proof));
    peer = met_table_find(&table, "a.example", NOW_S);
    assert_true(public_key_is_equal(&peer->key, &OTHER_KEY));
    assert_int_equal(peer->endpoint_count, 0);
    assert_int_equal(table.count, 1);
    met_table_forget(&table, "a.example");
    met_table_forget(&table, "a.example");
    assert_null(met_table_find(&table, "a.example", NOW_S));
    assert_int_equal(table.count, 0);
    met_table_done(&table);
}

static void test_endpoints(void **state)
{
    struct met_table table = {0};
    char text[ENDPOINT_TEXT_CAP];
    meet(&table, "a.example", &KEY, 1, NOW_S);
    for (unsigned i = 1; i <= MET_ENDPOINTS_MAX + 2; i++) {
        snprintf(text, sizeof text, "192.0.2.%u:4500", i);
        const struct endpoint endpoint = at(text);
        met_table_note_endpoint(&table, "a.example", &endpoint, NOW_S);
    }
    const struct met_peer *peer = met_table_find(&table, "a.example", NOW_S);
    assert_int_equal(peer->endpoint_count, MET_ENDPOINTS_MAX);
    assert_string_equal(endpoint_format(&peer->endpoints[0], text, sizeof text), "192.0.2.6:4500");
    assert_string_equal(endpoint_format(&peer->endpoints[3], text, sizeof text), "192.0.2.3:4500");
    /* One that is known comes first, and stays one. */
    const struct endpoint again = at("192.0.2.4:4500");
    met_table_note_endpoint(&table, "a.example", &again, NOW_S);
    met_table_note_endpoint(&table, "a.example", &again, NOW_S);
    assert_int_equal(peer->endpoint_count, MET_ENDPOINTS_MAX);
    assert_string_equal(endpoint_format(&peer->endpoints[0], text, sizeof text), "192.0.2.4:4500");
    assert_string_equal(endpoint_format(&peer->endpoints[1], text, sizeof text), "192.0.2.6:4500");
    assert_string_equal(endpoint_format(&peer->endpoints[3], text, sizeof text), "192.0.2.3:4500");
    met_table_note_endpoint(&table, "nobody.example", &again, NOW_S);
    assert_int_equal(table.count, 1);
    met_table_done(&table);
}

static void test_bounds(void **state)
{
    struct met_table table = {0};
    const struct met_proof *proof;
    char name[64];
    for (unsigned i = 0; i < MET_PEERS_MAX + 10; i++) {
        snprintf(name, sizeof name, "h%u.example", i);
        meet(&table, name, &KEY, (uint8_t)i, NOW_S);
        if (i % 2 == 0)
            meet(&table, "h1.example", &KEY, 1, NOW_S); /* is met again and again */
    }
    assert_int_equal(table.count, MET_PEERS_MAX);
    assert_null(met_table_find(&table, "h0.example", NOW_S));
    assert_non_null(met_table_find(&table, "h1.example", NOW_S));
    assert_string_equal(table.newest->name, "h265.example");
    /* Nobody is known for ever, also where nobody tidies up. */
    assert_non_null(met_table_find(&table, "h1.example", NOW_S + MET_AGE_S - 1));
    assert_null(met_table_find(&table, "h1.example", NOW_S + MET_AGE_S));
    const uint8_t id[MET_ID_LEN] = {200};
    assert_null(met_table_find_proof(&table, id, NOW_S + MET_AGE_S, &proof));
    meet(&table, "h7.example", &KEY, 7, NOW_S + 1);
    met_table_expire(&table, NOW_S + MET_AGE_S);
    assert_int_equal(table.count, 1);
    assert_string_equal(table.newest->name, "h7.example");
    met_table_done(&table);
}

static void fill(struct met_table *table)
{
    const struct endpoint endpoints[] = {at("[2001:db8::1]:32589"), at("192.0.2.1:1")};
    const uint8_t id[MET_ID_LEN] = {2};
    meet(table, "b.example", &OTHER_KEY, 9, NOW_S - 5);
    meet(table, "a.example", &KEY, 1, NOW_S);
    meet(table, "a.example", &KEY, 2, NOW_S);
    met_table_note_seen(table, id, 123456789);
    for (size_t i = 0; i < 2; i++)
        met_table_note_endpoint(table, "a.example", &endpoints[i], NOW_S);
}

static void test_file(void **state)
{
    struct met_table table = {0}, read = {0};
    struct state_damage damage;
    char *text, *again;
    size_t len, again_len;
    fill(&table);
    assert_true(table.is_dirty);
    assert_int_equal(met_table_save(&table, &text, &len), ERR_OK);
    assert_false(table.is_dirty);
    assert_int_equal(met_table_load(&read, text, len, NOW_S, &damage), ERR_OK);
    assert_false(read.is_dirty);
    assert_int_equal(met_table_save(&read, &again, &again_len), ERR_OK);
    assert_string_equal(text, again);
    const struct met_peer *peer = met_table_find(&read, "a.example", NOW_S);
    assert_true(peer->is_static);
    assert_int_equal(peer->endpoint_count, 2);
    assert_int_equal(peer->proofs[0].seen, 123456789);
    assert_int_equal(peer->proofs[1].secret[0], 1);
    assert_int_equal(met_table_load(&read, text, len, NOW_S, &damage), ERR_STATE);
    met_table_done(&read);
    /* Too old; and from a time that is still to come. */
    assert_int_equal(met_table_load(&read, text, len, NOW_S - 4 + MET_AGE_S, &damage), ERR_OK);
    assert_int_equal(read.count, 1);
    assert_true(read.is_dirty); /* what is gone here goes from the disk */
    met_table_done(&read);
    assert_int_equal(met_table_load(&read, text, len, 1000, &damage), ERR_OK);
    assert_null(met_table_find(&read, "a.example", 1000 + MET_AGE_S));
    met_table_done(&read);
    free(again);
    free(text);
    met_table_done(&table);
}

/* Cut, or any byte changed: nothing is left, and nothing secret is said. */
static void test_damage(void **state)
{
    struct met_table table = {0}, read = {0};
    struct state_damage damage;
    char *text;
    size_t len;
    fill(&table);
    assert_int_equal(met_table_save(&table, &text, &len), ERR_OK);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_not_equal(met_table_load(&read, text, cut, NOW_S, &damage), ERR_OK);
    for (size_t i = 0; i < len; i++) {
        text[i] ^= 1;
        assert_int_not_equal(met_table_load(&read, text, len, NOW_S, &damage), ERR_OK);
        assert_int_equal(read.count, 0);
        text[i] ^= 1;
    }
    free(text);
    met_table_done(&table);
}

/* In a frame that is right: whoever wrote it. */
static void test_lines(void **state)
{
    static const char *const bad[] = {
        "proof 0100000000000000 0101 0",
        "peer a.example KEY static 1",
        "peer a.example KEY known 1 -",
        "peer A.example KEY static 1 -",
        "peer a.example key static 1 -",
        "peer a.example KEY static x -",
        "peer a.example KEY static 1 192.0.2.1",
        "peer a.example KEY static 1 192.0.2.1:0",
        "peer a.example KEY static 1 1.1.1.1:1,1.1.1.1:2,1.1.1.1:3,1.1.1.1:4,1.1.1.1:5",
        "somebody a.example KEY static 1 -",
    };
    char key[PUBLIC_KEY_TEXT_CAP], line[STATE_LINE_CAP];
    struct state_damage damage;
    public_key_format(&KEY, key);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct met_table table = {0};
        struct state_builder b;
        char *text;
        size_t len;
        const char *place = strstr(bad[i], "KEY");
        const int head = place != NULL ? (int)(place - bad[i]) : (int)strlen(bad[i]);
        snprintf(line, sizeof line, "%.*s%s%s", head, bad[i], place != NULL ? key : "",
                 place != NULL ? place + 3 : "");
        state_builder_init(&b, "detec-met 1");
        state_builder_line(&b, "%s", line);
        assert_int_equal(state_builder_finish(&b, &text, &len), ERR_OK);
        assert_int_equal(met_table_load(&table, text, len, NOW_S, &damage), ERR_INVALID);
        assert_int_equal(damage.line, 2);
        assert_int_equal(table.count, 0);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_proofs), cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_file),
        cmocka_unit_test(test_damage), cmocka_unit_test(test_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
