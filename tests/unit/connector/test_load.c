/* Memory of one logged-in host, measured on a running connector. `test_connector_load COUNT`
 * measures with another number of hosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "fixture.h"
#include "io/clock.h"

/* Of kernel sockets nothing counts here. Sanitizers and debug allocators need more. */
#define KIB_MAX 8.0

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

static size_t host_count = 300;

static void test_memory_per_host(void **state)
{
    struct fixture fixture;
    /* Of which the connector keeps some for other things than sessions. */
    const rlim_t most = 2 * host_count + 2048;
    struct rlimit files = {.rlim_cur = most, .rlim_max = most};
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        fail_msg("no room for %zu connections", host_count);
    struct client *clients = calloc(host_count, sizeof *clients);
    struct identity **keys = calloc(host_count, sizeof *keys);
    assert_true(clients != NULL && keys != NULL);
    fixture_init(&fixture);
    fixture.config.sessions_per_address_max = (uint32_t)host_count + 1;
    fixture_start(&fixture);
    /* One comes and goes first, for what is allocated once and for all. */
    assert_int_equal(identity_generate(&keys[0]), ERR_OK);
    client_log_in(&clients[0], &fixture, keys[0], "", false);
    client_done(&clients[0]);
    identity_free(keys[0]);
    const long before_kib = fixture_rss_kib(&fixture);
    const uint64_t start_us = clock_now_us();
    for (size_t i = 0; i < host_count; i++) {
        assert_int_equal(identity_generate(&keys[i]), ERR_OK);
        client_log_in(&clients[i], &fixture, keys[i], "", false);
        assert_int_equal(clients[i].names[0].result, NAME_OK);
    }
    const uint64_t took_us = clock_now_us() - start_us;
    const long after_kib = fixture_rss_kib(&fixture);
    const double each_kib = (double)(after_kib - before_kib) / (double)host_count;
    print_message(
        "%zu hosts logged in within %.2f s (both ends); connector %ld -> %ld KiB resident: "
        "%.2f KiB for each\n",
        host_count, (double)took_us / 1e6, before_kib, after_kib, each_kib);
    assert_true(IS_SANITIZED || each_kib < KIB_MAX);
    assert_int_equal(fixture_stop(&fixture, SIGTERM), 0);
    for (size_t i = 0; i < host_count; i++) {
        client_done(&clients[i]);
        identity_free(keys[i]);
    }
    fixture_done(&fixture);
    free(clients);
    free(keys);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory_per_host)};
    if (argc > 1)
        host_count = strtoul(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
