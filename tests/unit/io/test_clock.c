/* The clocks move forward and agree with the system's. */
#include "testnet.h"

#include "io/clock.h"
#include "io/random.h"
#include <time.h>

static void now_never_goes_back(void **state)
{
    uint64_t last = clock_now_us();

    for (int i = 0; i < 10000; i++) {
        uint64_t now = clock_now_us();

        assert_true(now >= last);
        last = now;
    }
}

static void now_counts_microseconds_since_boot(void **state)
{
    struct timespec boot;
    uint64_t now = clock_now_us();

    assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &boot), 0);
    assert_true((uint64_t)boot.tv_sec * 1000000 + (uint64_t)boot.tv_nsec / 1000 - now < 1000000);
    assert_true(clock_asleep_us() <= now);
}

static void wall_is_wall(void **state)
{
    int64_t off = clock_wall_seconds() - (int64_t)time(NULL);

    assert_true(off >= -1 && off <= 1);
}

static void random_fills_all(void **state)
{
    uint8_t bytes[1000] = {0};
    uint8_t all = 0;

    assert_int_equal(random_bytes(bytes, sizeof bytes), ERR_OK);
    /* 40 zero bytes in a row are out of the question. */
    for (size_t i = 0; i < sizeof bytes; i++) {
        all |= bytes[i];
        if (i % 40 == 39) {
            assert_int_not_equal(all, 0);
            all = 0;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(now_never_goes_back),
        cmocka_unit_test(now_counts_microseconds_since_boot),
        cmocka_unit_test(wall_is_wall),
        cmocka_unit_test(random_fills_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
