/* The frame of state files: whatever happens to a file is seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "names/state.h"

static char *build(size_t *ret_len)
{
    struct state_builder b;
    char *text = NULL;

    state_builder_init(&b, "detec-test 1 extra");
    state_builder_line(&b, "one %d", 1);
    state_builder_line(&b, "two words");
    assert_int_equal(state_builder_finish(&b, &text, ret_len), ERR_OK);
    assert_int_equal(strlen(text), *ret_len);
    return text;
}

/* Reads all lines; ERR_NOT_FOUND means that all was well. */
static int read_all(const char *text, size_t len, struct state_damage *ret_damage)
{
    struct state_reader r;

    int error = state_reader_init(&r, text, len, "detec-test", ret_damage);
    while (error == ERR_OK)
        error = state_reader_next(&r, ret_damage);
    return error;
}

static void test_reads_back(void **state)
{
    struct state_damage damage;
    struct state_reader r;
    size_t len = 0;
    char *text = build(&len);

    assert_int_equal(state_reader_init(&r, text, len, "detec-test", &damage), ERR_OK);
    assert_int_equal(r.word_count, 3);
    assert_string_equal(r.words[2], "extra");
    assert_int_equal(state_reader_next(&r, &damage), ERR_OK);
    assert_int_equal(r.line, 2);
    assert_int_equal(r.word_count, 2);
    assert_string_equal(r.words[0], "one");
    assert_string_equal(r.words[1], "1");
    assert_int_equal(state_reader_next(&r, &damage), ERR_OK);
    assert_int_equal(state_reader_next(&r, &damage), ERR_NOT_FOUND);
    free(text);
}

static void test_every_damage(void **state)
{
    struct state_damage damage;
    size_t len = 0;
    char *text = build(&len);

    for (size_t cut = 0; cut < len; cut++) {
        /* An own allocation of the exact length: a sanitizer sees any byte read beyond it. */
        char *copy = malloc(cut > 0 ? cut : 1);
        assert_non_null(copy);
        memcpy(copy, text, cut);
        assert_int_equal(read_all(copy, cut, &damage), ERR_INVALID);
        if (cut > 0)
            copy[cut - 1] = '\n';
        assert_int_equal(read_all(copy, cut, &damage), ERR_INVALID);
        free(copy);
    }
    for (size_t bit = 0; bit < len * 8; bit++) {
        text[bit / 8] ^= (char)(1 << bit % 8);
        memset(&damage, 0, sizeof damage);
        assert_int_equal(read_all(text, len, &damage), ERR_INVALID);
        assert_true(strlen(damage.message) > 0);
        text[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_int_equal(read_all(text, len, &damage), ERR_NOT_FOUND);
    free(text);
}

/* A checksum that fits, around lines that don't. */
static void assert_line_refused(const char *line)
{
    struct state_damage damage = {.line = 0};
    struct state_builder b;
    char *text = NULL;
    size_t len = 0;

    state_builder_init(&b, "detec-test 1");
    state_builder_line(&b, "%s", line);
    assert_int_equal(state_builder_finish(&b, &text, &len), ERR_OK);
    assert_int_equal(read_all(text, len, &damage), ERR_INVALID);
    assert_int_equal(damage.line, 2);
    free(text);
}

static void test_odd_lines(void **state)
{
    struct state_damage damage;
    struct state_builder b;
    char *text = NULL;
    size_t len = 0;

    assert_line_refused("");
    assert_line_refused(" a");
    assert_line_refused("a ");
    assert_line_refused("a  b");
    assert_line_refused("a\tb");
    assert_line_refused("a\x80");
    assert_line_refused("1 2 3 4 5 6 7 8 9");

    state_builder_init(&b, "detec-test 2");
    assert_int_equal(state_builder_finish(&b, &text, &len), ERR_OK);
    assert_int_equal(read_all(text, len, &damage), ERR_INVALID);
    free(text);
    state_builder_init(&b, "detec-other 1");
    assert_int_equal(state_builder_finish(&b, &text, &len), ERR_OK);
    assert_int_equal(read_all(text, len, &damage), ERR_INVALID);
    free(text);
}

static void test_number(void **state)
{
    uint64_t value = 7;

    assert_int_equal(state_parse_number("0", &value), ERR_OK);
    assert_true(value == 0);
    assert_int_equal(state_parse_number("18446744073709551615", &value), ERR_OK);
    assert_true(value == UINT64_MAX);
    assert_int_equal(state_parse_number("18446744073709551616", &value), ERR_INVALID);
    assert_int_equal(state_parse_number("", &value), ERR_INVALID);
    assert_int_equal(state_parse_number("01", &value), ERR_INVALID);
    assert_int_equal(state_parse_number("+1", &value), ERR_INVALID);
    assert_int_equal(state_parse_number("1x", &value), ERR_INVALID);
    assert_true(value == UINT64_MAX);
}

/* ---- room for lines that are added ---- */

#define ROOM 4

static char *build_with_room(const char *title, struct state_room *ret_room, size_t *ret_len)
{
    struct state_builder b;
    char *text = NULL;

    state_builder_init(&b, title);
    state_builder_line(&b, "one");
    assert_int_equal(state_builder_finish_with_room(&b, ROOM, &text, ret_len, ret_room), ERR_OK);
    assert_int_equal(strlen(text), *ret_len);
    return text;
}

static void add(char *text, struct state_room *room, const char *line)
{
    char record[STATE_RECORD_LEN];
    size_t at = 0;

    assert_int_equal(state_room_add(room, record, &at, "%s", line), ERR_OK);
    assert_int_equal(at % STATE_RECORD_LEN, 0); /* one sector, never two */
    memcpy(text + at, record, sizeof record);
}

static void test_added_lines(void **state)
{
    static const char *const lines[ROOM + 1] = {"one", "two 2", "three", "four", "five"};
    char record[STATE_RECORD_LEN], wide[STATE_RECORD_LEN];
    struct state_damage damage;
    struct state_room room;
    struct state_reader r;
    size_t len = 0, at = 0;
    char *text = build_with_room("detec-test 1", &room, &len);

    for (size_t added = 0; added <= ROOM; added++) {
        int error = state_reader_init(&r, text, len, "detec-test", &damage);
        for (size_t i = 0; i <= added; i++) {
            assert_int_equal(error, ERR_OK);
            error = state_reader_next(&r, &damage);
            assert_int_equal(error, ERR_OK);
            assert_memory_equal(r.words[0], lines[i], strcspn(lines[i], " "));
            assert_int_equal(r.line, i == 0 ? 2 : 3 + i); /* the last of the frame is the third */
        }
        assert_int_equal(state_reader_next(&r, &damage), ERR_NOT_FOUND);
        if (added < ROOM)
            add(text, &room, lines[added + 1]);
    }
    assert_int_equal(state_room_add(&room, record, &at, "six"), ERR_FULL);
    free(text);

    memset(wide, 'x', sizeof wide);
    text = build_with_room("detec-test 1", &room, &len);
    assert_int_equal(state_room_add(&room, record, &at, "%.*s", STATE_RECORD_LEN - 18, wide),
                     ERR_FULL);
    assert_int_equal(state_room_add(&room, record, &at, "%.*s", STATE_RECORD_LEN - 19, wide),
                     ERR_OK);
    memcpy(text + at, record, sizeof record);
    assert_int_equal(read_all(text, len, &damage), ERR_NOT_FOUND);
    free(text);
}

static void test_damage_of_added_lines(void **state)
{
    struct state_damage damage;
    struct state_room room, other_room;
    size_t len = 0, other_len = 0;
    char *text = build_with_room("detec-test 1", &room, &len);
    char *other = build_with_room("detec-test 1 other", &other_room, &other_len);
    const size_t first = room.at, second = first + STATE_RECORD_LEN;
    char kept[STATE_RECORD_LEN];

    add(text, &room, "two 2");
    add(text, &room, "three");
    add(other, &other_room, "two 2");
    for (size_t cut = 0; cut < len; cut++) {
        char *copy = malloc(cut > 0 ? cut : 1);
        assert_non_null(copy);
        memcpy(copy, text, cut);
        assert_int_equal(read_all(copy, cut, &damage), ERR_INVALID);
        free(copy);
    }
    for (size_t bit = 0; bit < len * 8; bit++) {
        text[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_equal(read_all(text, len, &damage), ERR_INVALID);
        text[bit / 8] ^= (char)(1 << bit % 8);
    }
    /* Another file's, at another place, twice, or one missing before it. */
    memcpy(kept, text + first, sizeof kept);
    memcpy(text + first, other + other_room.at - STATE_RECORD_LEN, STATE_RECORD_LEN);
    assert_int_equal(read_all(text, len, &damage), ERR_INVALID);
    memcpy(text + first, text + second, STATE_RECORD_LEN);
    assert_int_equal(read_all(text, len, &damage), ERR_INVALID);
    memset(text + first, ' ', STATE_RECORD_LEN - 1);
    assert_int_equal(read_all(text, len, &damage), ERR_INVALID);
    memcpy(text + first, kept, sizeof kept);
    assert_int_equal(read_all(text, len, &damage), ERR_NOT_FOUND);
    free(text);
    free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_back),  cmocka_unit_test(test_every_damage),
        cmocka_unit_test(test_odd_lines),   cmocka_unit_test(test_number),
        cmocka_unit_test(test_added_lines), cmocka_unit_test(test_damage_of_added_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
