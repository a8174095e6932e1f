/* What a datagram is, by its start: every rule and its edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "wire/demux.h"

static enum datagram_kind classify(const void *datagram, size_t len)
{
    uint8_t *exact = calloc(len > 0 ? len : 1, 1);
    memcpy(exact, datagram, len);
    enum datagram_kind kind = datagram_classify(exact, len);
    free(exact);
    return kind;
}

static void test_short_is_keepalive(void **state)
{
    assert_int_equal(classify("", 0), DATAGRAM_KEEPALIVE);
    assert_int_equal(classify("\xff", 1), DATAGRAM_KEEPALIVE);
    assert_int_equal(classify("\0\0\0", 3), DATAGRAM_KEEPALIVE);
    assert_int_equal(classify("\1\0\0", 3), DATAGRAM_KEEPALIVE);
}

static void test_marker_is_ike(void **state)
{
    assert_int_equal(classify("\0\0\0\0", 4), DATAGRAM_IKE);
    assert_int_equal(classify("\0\0\0\0abc", 7), DATAGRAM_IKE);
    assert_int_equal(classify("\0\0\0\1", 4), DATAGRAM_DATA);
    assert_int_equal(classify("\1\0\0\0", 4), DATAGRAM_DATA); /* SPUT message 1 */
    /* The marker comes before the magic cookie. */
    uint8_t both[20] = {0, 0, 0, 0, 0x21, 0x12, 0xa4, 0x42};
    assert_int_equal(classify(both, sizeof both), DATAGRAM_IKE);
}

static void test_stun(void **state)
{
    uint8_t stun[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
    assert_int_equal(classify(stun, 20), DATAGRAM_STUN_MAYBE);
    for (size_t len = 4; len < 20; len++)
        assert_int_equal(classify(stun, len), DATAGRAM_DATA);
    for (unsigned first = 0; first < 256; first++) {
        stun[0] = (uint8_t)first;
        assert_int_equal(classify(stun, 20), first <= 1 ? DATAGRAM_STUN_MAYBE : DATAGRAM_DATA);
    }
    stun[0] = 1;
    for (unsigned bit = 0; bit < 32; bit++) {
        stun[4 + bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(classify(stun, 20), DATAGRAM_DATA);
        stun[4 + bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_is_keepalive),
        cmocka_unit_test(test_marker_is_ike),
        cmocka_unit_test(test_stun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
