/* The leak guard against hostile routes, deleted rules and a dead process:
 *
 *   ext 192.0.2.1/24, default route and 0.0.0.86/32 through 192.0.2.254 (hostile)
 *   pool0 (veth, in place of the TUN), table 5100
 */
#include "testnet.h"

#include "io/guard.h"
#include "io/interface.h"
#include "io/route.h"
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct netlink nl;
static struct guard guard;

static int set_up(void **state)
{
    testnet_enter();
    testnet_run(
        "ip link add ext type veth peer name far && ip link set ext up && ip link set far up");
    testnet_run("ip address add 192.0.2.1/24 dev ext && ip route add default via 192.0.2.254");
    testnet_run(
        "ip address add 2001:db8::1/64 dev ext nodad && ip route add default via 2001:db8::2");
    testnet_run(
        "ip route add 0.0.0.86/32 via 192.0.2.254 && ip route add 2001:20::86 via 2001:db8::2");
    guard = (struct guard){
        .prefixes = {testnet_prefix("0.0.0.0/8"), testnet_prefix("2001:20::/28")},
        .count = 2,
        .table = 5100,
        .preference = 10,
    };
    return netlink_open(&nl, NETLINK_ROUTE);
}

static int tear_down(void **state)
{
    netlink_close(&nl);
    return 0;
}

static bool is_intact(void)
{
    bool intact = false;

    assert_int_equal(guard_is_intact(&nl, &guard, &intact), ERR_OK);
    return intact;
}

static bool is_unreachable(const char *text)
{
    struct address address = testnet_address(text);
    struct route_lookup found;

    assert_int_equal(route_lookup(&nl, &address, 0, &found), ERR_OK);
    return found.is_unreachable;
}

static void without_it_packets_leak(void **state)
{
    assert_false(is_intact());
    assert_false(is_unreachable("0.0.0.86"));
    assert_false(is_unreachable("2001:20::86"));
}

static void it_stops_them_even_against_more_specific_routes(void **state)
{
    assert_int_equal(guard_install(&nl, &guard), ERR_OK);
    assert_int_equal(guard_install(&nl, &guard), ERR_OK);
    assert_true(is_intact());
    assert_true(is_unreachable("0.0.0.86"));
    assert_true(is_unreachable("0.255.255.255"));
    assert_true(is_unreachable("2001:20::86"));
    assert_true(is_unreachable("2001:2f:ffff::1"));
    assert_false(is_unreachable("1.0.0.1"));
    assert_false(is_unreachable("2001:30::1"));
    assert_null(strstr(testnet_output("ip route get 2001:20::86 oif ext"), "dev ext"));
}

static void deleted_rules_are_noticed_and_restored(void **state)
{
    static const char *const deletions[] = {"ip rule delete pref 10", "ip rule delete pref 11",
                                            "ip -6 rule delete pref 10",
                                            "ip -6 rule delete pref 11", "ip rule flush"};

    for (size_t i = 0; i < sizeof deletions / sizeof deletions[0]; i++) {
        testnet_run("%s", deletions[i]);
        assert_false(is_intact());
        assert_int_equal(guard_install(&nl, &guard), ERR_OK);
        assert_true(is_intact());
    }
    testnet_run("ip rule add lookup main pref 32766; ip rule add lookup default pref 32767");
}

static void foreign_routes_in_the_table_are_taken_out(void **state)
{
    struct address own = testnet_address("0.0.0.2");
    struct route route = {.to = testnet_prefix("0.0.0.0/8"), .table = 5100, .source = own};

    testnet_run("ip link add pool0 type veth peer name pool1 && ip link set pool0 up && ip link "
                "set pool1 up");
    assert_int_equal(interface_find(&nl, "pool0", &route.link), ERR_OK);
    assert_int_equal(interface_address_add(&nl, route.link, &own, 32), ERR_OK);
    assert_int_equal(route_set(&nl, &route), ERR_OK);
    assert_false(is_intact()); /* no TUN is known */
    guard.link = route.link;
    assert_true(is_intact());
    assert_false(is_unreachable("0.0.0.86"));
    assert_non_null(strstr(testnet_output("ip route get 0.0.0.86"), "dev pool0"));
    testnet_run(
        "for i in `seq 1 70`; do ip route add 0.0.1.$i/32 via 192.0.2.254 table 5100; done");
    testnet_run("ip -6 route add 2001:20::86 via 2001:db8::2 table 5100");
    assert_false(is_intact());
    assert_int_equal(guard_install(&nl, &guard), ERR_OK);
    assert_true(is_intact());
    assert_non_null(strstr(testnet_output("ip route show table 5100"), "0.0.0.0/8 dev pool0"));
    assert_null(strstr(testnet_output("ip route show table 5100"), "ext"));
    /* The device goes, as a TUN does with its daemon: nothing leaks. */
    testnet_run("ip link delete pool0");
    guard.link = 0;
    assert_true(is_unreachable("0.0.0.86"));
}

static void it_outlives_the_process(void **state)
{
    pid_t child;
    int status;

    assert_int_equal(guard_remove(&nl, &guard), ERR_OK);
    assert_false(is_intact());
    assert_false(is_unreachable("0.0.0.86"));
    assert_null(strstr(testnet_output("ip rule; ip -6 rule"), "unreachable"));
    assert_int_equal(guard_remove(&nl, &guard), ERR_OK);
    child = fork();
    if (child == 0) {
        struct netlink own;

        _exit(netlink_open(&own, NETLINK_ROUTE) < 0 || guard_install(&own, &guard) < 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(is_intact());
    assert_true(is_unreachable("0.0.0.86"));
    assert_int_equal(guard_remove(&nl, &guard), ERR_OK);
}

static void it_does_without_ipv6(void **state)
{
    struct guard four = guard;

    four.count = 1;
    assert_int_equal(guard_install(&nl, &four), ERR_OK);
    assert_false(is_intact());
    assert_int_equal(guard_remove(&nl, &four), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_it_packets_leak),
        cmocka_unit_test(it_stops_them_even_against_more_specific_routes),
        cmocka_unit_test(deleted_rules_are_noticed_and_restored),
        cmocka_unit_test(foreign_routes_in_the_table_are_taken_out),
        cmocka_unit_test(it_outlives_the_process),
        cmocka_unit_test(it_does_without_ipv6),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
