/* Hops towards an address behind a router:
 *
 *   this namespace: ext 10.7.0.1 ── far 10.7.0.2 (router; further on nobody answers)
 */
#include "testnet.h"

#include "io/hops.h"
#include <unistd.h>

static int peer;

static int set_up(void **state)
{
    testnet_enter();
    peer = testnet_peer("ext", "far");
    testnet_run("ip address add 10.7.0.1/24 dev ext; ip route add default via 10.7.0.2");
    testnet_run("nsenter -t %d -n sh -c 'ip address add 10.7.0.2/24 dev far;"
                "sysctl -qw net.ipv4.ip_forward=1; ip link add sink type veth peer name end;"
                "ip link set sink up; ip link set end up; ip route add 203.0.113.0/24 dev sink'",
                peer);
    return 0;
}

static int tear_down(void **state)
{
    testnet_leave(peer);
    return 0;
}

struct answer {
    int fd;
    unsigned number;
    struct address router;
};

static bool has_answered(void *context)
{
    struct answer *answer = context;

    return hops_receive(answer->fd, &answer->number, &answer->router) == ERR_OK;
}

static void routers_answer_with_their_number(void **state)
{
    const struct address to = testnet_address("203.0.113.9");
    const struct address router = testnet_address("10.7.0.2");
    struct answer answer;

    assert_int_equal(hops_open(&to, 3, 7, &answer.fd), ERR_OK);
    assert_true(testnet_wait(has_answered, &answer, 2000));
    assert_int_equal(answer.number, 1);
    assert_true(address_is_equal(&answer.router, &router));
    assert_false(testnet_wait(has_answered, &answer, 50));
    close(answer.fd);
}

/* Port unreachable is no router's answer. */
static void the_destination_is_no_hop(void **state)
{
    const struct address to = testnet_address("10.7.0.2");
    struct answer answer;

    assert_int_equal(hops_open(&to, HOPS_MAX, 0, &answer.fd), ERR_OK);
    assert_false(testnet_wait(has_answered, &answer, 100));
    close(answer.fd);
}

static void mistakes_are_refused(void **state)
{
    const struct address six = testnet_address("2001:db8::1");
    const struct address four = testnet_address("203.0.113.9");
    int fd = -7;

    assert_int_equal(hops_open(&six, 3, 0, &fd), ERR_INVALID);
    assert_int_equal(hops_open(&four, HOPS_MAX + 1, 0, &fd), ERR_INVALID);
    assert_int_equal(fd, -7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routers_answer_with_their_number),
        cmocka_unit_test(the_destination_is_no_hop),
        cmocka_unit_test(mistakes_are_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
