/* Requests about the host database, without a connector: what is asked for is done or refused with
 * a reason, line by line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connector/hosts.h"

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="

static char directory[64], file[96];
static struct database *database;

static int set_up(void **state)
{
    char text[256];
    snprintf(directory, sizeof directory, "/tmp/detec-hosts-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(file, sizeof file, "%s/hosts.db", directory);
    return database_open(file, &database, text, sizeof text) == ERR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-journal", ".old"};
    char path[128];
    database_close(database);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        snprintf(path, sizeof path, "%s%s", file, endings[i]);
        unlink(path);
    }
    return rmdir(directory);
}

/* The answers to these lines, each with its line's end; to be freed. */
static char *serve(const char *lines)
{
    char *text = NULL;
    size_t len;
    FILE *in = fmemopen((void *)(uintptr_t)lines, strlen(lines), "r");
    FILE *out = open_memstream(&text, &len);
    assert_non_null(in);
    assert_non_null(out);
    assert_int_equal(hosts_serve(database, in, out), ERR_OK);
    fclose(in);
    fclose(out);
    return text;
}

static void expect(const char *line, const char *part)
{
    char *text = serve(line);
    if (strstr(text, part) == NULL || strstr(text, "\"done\":true") == NULL)
        fail_msg("%s: '%s' is not in %s", line, part, text);
    free(text);
}

static void test_added_shown_removed(void **state)
{
    expect("{\"command\":\"host-list\"}\n", "\"hosts\":[]");
    expect("{\"command\":\"host-add\",\"name\":\"B.Z.example\",\"key\":\"" KEY_A
           "\",\"mac\":\"02:00:5e:10:00:01\"}\n",
           "\"name\":\"b.z.example\"");
    expect("{\"command\":\"host-list\"}\n", "\"name\":\"b.z.example\",\"key\":\"" KEY_A
                                            "\",\"mac\":\"02:00:5e:10:00:01\",\"is_static\":true,"
                                            "\"is_logged_in\":false");
    expect("{\"command\":\"host-remove\",\"name\":\"b.z.example\"}\n", "\"name\":\"b.z.example\"");
    expect("{\"command\":\"host-remove\",\"name\":\"b.z.example\"}\n",
           "b.z.example is not in the host database");
}

static void test_one_key_one_name(void **state)
{
    expect("{\"command\":\"host-add\",\"name\":\"a.z.example\",\"key\":\"" KEY_A "\"}\n",
           "\"name\"");
    expect("{\"command\":\"host-add\",\"name\":\"b.z.example\",\"key\":\"" KEY_A "\"}\n",
           "this key belongs to a.z.example already");
    expect("{\"command\":\"host-add\",\"name\":\"a.z.example\",\"key\":\"" KEY_B "\"}\n",
           "a.z.example is there already");
    expect("{\"command\":\"host-list\"}\n", "\"hosts\":[{\"name\":\"a.z.example\"");
}

static void test_mistakes_change_nothing(void **state)
{
    static const struct {
        const char *line, *part;
    } cases[] = {
        {"", "the request is not a JSON object"},
        {"[]", "the request is not a JSON object"},
        {"{\"command\":\"host-list\"", "the request is not a JSON object"},
        {"{\"command\":\"host-list\",\"command\":\"host-add\"}",
         "the request is not a JSON object"},
        {"{}", "without a running connector there are only"},
        {"{\"command\":\"shutdown\"}", "without a running connector there are only"},
        {"{\"command\":7}", "without a running connector there are only"},
        {"{\"command\":\"host-add\",\"key\":\"" KEY_A "\"}", "is not a host name"},
        {"{\"command\":\"host-add\",\"name\":\"a b.z.example\",\"key\":\"" KEY_A "\"}",
         "is not a host name"},
        {"{\"command\":\"host-add\",\"name\":\"a\",\"key\":\"" KEY_A "\"}",
         "the zone is not known"},
        {"{\"command\":\"host-add\",\"name\":\"a.z.example\"}", "is not a public key"},
        {"{\"command\":\"host-add\",\"name\":\"a.z.example\",\"key\":\"AAEC\"}",
         "is not a public key"},
        {"{\"command\":\"host-add\",\"name\":\"a.z.example\",\"key\":\"" KEY_A "\",\"mac\":5}",
         "the MAC address is bad"},
        {"{\"command\":\"host-add\",\"name\":\"a.z.example\",\"key\":\"" KEY_A
         "\",\"mac\":\"02:00:5e:10:00\"}",
         "the MAC address is bad"},
        {"{\"command\":\"host-remove\"}", "is not a host name"},
    };
    char line[1024];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(line, sizeof line, "%s\n", cases[i].line);
        expect(line, cases[i].part);
    }
    expect("{\"command\":\"host-list\"}\n", "\"hosts\":[]");
}

static void test_names_are_of_the_zone(void **state)
{
    struct database_host host;
    json_t *request = json_pack("{s:s, s:s}", "name", "a.other.example", "key", KEY_A);
    const struct hosts_zone zone = {.name = "z.example"};
    json_t *answer = hosts_add(database, &zone, request, &host);
    assert_string_equal(
        json_string_value(json_object_get(answer, "error")),
        "a.other.example is not below the zone z.example that this connector serves");
    json_decref(answer);
    json_object_set_new(request, "name", json_string("Z.example"));
    answer = hosts_add(database, &zone, request, &host);
    assert_non_null(json_object_get(answer, "error"));
    json_decref(answer);
    json_decref(request);
    expect("{\"command\":\"host-list\"}\n", "\"hosts\":[]");
}

static void test_lines_in_a_row(void **state)
{
    enum { LEN = HOSTS_LINE_CAP + 100 };
    char *lines = malloc(LEN + 200);
    memset(lines, ' ', LEN);
    strcpy(lines + LEN, "{}\n{\"command\":\"host-list\"}\n{\"command\":\"host-list\"}");
    char *text = serve(lines);
    assert_string_equal(text, "{\"done\":true,\"error\":\"the request is not a JSON object\"}\n"
                              "{\"done\":true,\"hosts\":[]}\n{\"done\":true,\"hosts\":[]}\n");
    free(text);
    free(lines);
}

static void test_answers_that_cannot_be_written(void **state)
{
    const char *line = "{\"command\":\"host-list\"}\n";
    FILE *in = fmemopen((void *)(uintptr_t)line, strlen(line), "r");
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    assert_int_equal(hosts_serve(database, in, full), ERR_IO);
    fclose(in);
    fclose(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_added_shown_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_key_one_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mistakes_change_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names_are_of_the_zone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lines_in_a_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_answers_that_cannot_be_written, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
