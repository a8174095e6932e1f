/* Addresses, routes, rules and look-ups, compared with what ip(8) says:
 *
 *   this namespace: ext 192.0.2.1/24 ── veth ── 192.0.2.254 (gateway)
 *                   pool0 (veth)
 */
#include "testnet.h"

#include "io/interface.h"
#include "io/monitor.h"
#include "io/route.h"
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <unistd.h>

static struct netlink nl;
static uint32_t ext;
static uint32_t pool0;

static int set_up(void **state)
{
    testnet_enter();
    testnet_run(
        "ip link add ext type veth peer name far && ip link set ext up && ip link set far up");
    testnet_run("ip address add 192.0.2.1/24 dev ext && ip route add default via 192.0.2.254");
    testnet_run("ip address add 2001:db8::1/64 dev ext nodad");
    testnet_run("ip link add pool0 type veth peer name pool1 && ip link set pool1 up");
    if (netlink_open(&nl, NETLINK_ROUTE) < 0 || interface_find(&nl, "ext", &ext) < 0 ||
        interface_find(&nl, "pool0", &pool0) < 0)
        return 1;
    return interface_start(&nl, pool0, 1400);
}

static int tear_down(void **state)
{
    netlink_close(&nl);
    return 0;
}

static void interfaces_are_found_and_started(void **state)
{
    struct interface_state link;
    uint32_t index;

    assert_int_equal(interface_find(&nl, "lo", &index), ERR_OK);
    assert_int_equal(index, 1);
    assert_int_equal(interface_find(&nl, "nosuch0", &index), ERR_NOT_FOUND);
    assert_int_equal(interface_find(&nl, "", &index), ERR_NOT_FOUND);
    assert_int_equal(interface_find(&nl, "a-name-that-is-too-long", &index), ERR_NOT_FOUND);
    assert_int_equal(interface_state(&nl, pool0, &link), ERR_OK);
    assert_true(link.is_up);
    assert_int_equal(link.mtu, 1400);
    assert_int_equal(interface_set_mtu(&nl, pool0, 1300), ERR_OK);
    assert_non_null(strstr(testnet_output("ip link show pool0"), "mtu 1300"));
    /* No link-local address, nothing for a TUN to drop. */
    assert_string_equal(testnet_output("ip -6 address show dev pool0"), "");
    assert_int_equal(interface_state(&nl, 9999, &link), ERR_NOT_FOUND);
}

static void addresses_come_and_go(void **state)
{
    struct address own = testnet_address("0.0.0.2");
    struct address orchid = testnet_address("2001:20::1");
    bool has = false;

    for (int i = 0; i < 2; i++) {
        assert_int_equal(interface_address_add(&nl, pool0, &own, 32), ERR_OK);
        assert_int_equal(interface_address_add(&nl, pool0, &orchid, 128), ERR_OK);
    }
    assert_non_null(strstr(testnet_output("ip -4 address show dev pool0"), "inet 0.0.0.2/32"));
    assert_non_null(strstr(testnet_output("ip -6 address show dev pool0"), "inet6 2001:20::1/128"));
    assert_null(strstr(testnet_output("ip -6 address show dev pool0"), "tentative"));
    assert_int_equal(interface_has_address(&nl, pool0, &own, &has), ERR_OK);
    assert_true(has);
    assert_int_equal(interface_has_address(&nl, ext, &own, &has), ERR_OK);
    assert_false(has);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(interface_address_delete(&nl, pool0, &own, 32), ERR_OK);
        assert_int_equal(interface_address_delete(&nl, pool0, &orchid, 128), ERR_OK);
    }
    assert_string_equal(testnet_output("ip -o address show dev pool0"), "");
}

static void candidates_leave_out_what_nobody_can_reach(void **state)
{
    struct address own = testnet_address("10.9.9.9");
    struct address wanted[] = {testnet_address("192.0.2.1"), testnet_address("2001:db8::1")};
    struct address found[8];
    struct prefix subnets[8];
    char text[PREFIX_TEXT_CAP];
    size_t count = 0;

    assert_int_equal(interface_address_add(&nl, pool0, &own, 32), ERR_OK);
    testnet_run("ip address add 169.254.1.1/16 dev ext");
    testnet_run("ip address add 2001:db8::dead/64 dev ext nodad preferred_lft 0");
    assert_int_equal(interface_addresses(&nl, pool0, found, NULL, 8, &count), ERR_OK);
    assert_int_equal(count, 2);
    assert_true(address_is_equal(&found[0], &wanted[0]));
    assert_true(address_is_equal(&found[1], &wanted[1]));
    assert_int_equal(interface_addresses(&nl, 0, found, NULL, 8, &count), ERR_OK);
    assert_int_equal(count, 3);
    assert_int_equal(interface_addresses(&nl, 0, found, subnets, 1, &count), ERR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(interface_addresses(&nl, pool0, found, subnets, 8, &count), ERR_OK);
    assert_string_equal(prefix_format(&subnets[0], text, sizeof(text)), "192.0.2.0/24");
    assert_string_equal(prefix_format(&subnets[1], text, sizeof(text)), "2001:db8::/64");
    assert_int_equal(interface_address_delete(&nl, pool0, &own, 32), ERR_OK);
}

#define MANY                                                                                       \
    "ip link add many type veth peer name other && echo 0 "                                        \
    ">/proc/sys/net/ipv6/conf/many/accept_dad"                                                     \
    " && echo %d >/proc/sys/net/ipv6/conf/many/use_tempaddr && ip link set many up && ip link "    \
    "set "                                                                                         \
    "other up"

static void many_of_one_family_leave_room_for_the_other(void **state)
{
    struct address found[8];
    size_t count = 0, ipv6_count = 0;

    testnet_run(MANY, 0);
    testnet_run("for i in 1 2 3 4 5 6 7 8 9; do ip address add 198.51.100.$i/24 dev many; "
                "ip address add 2001:db8:5::$i/64 dev many nodad; done");
    assert_int_equal(interface_addresses(&nl, 0, found, NULL, 8, &count), ERR_OK);
    assert_int_equal(count, 8);
    for (size_t i = 0; i < count; i++)
        ipv6_count += found[i].family == ADDRESS_IPV6;
    assert_int_equal(ipv6_count, 4);
    testnet_run("ip link delete many");
}

/* An address that tells the hardware's is a candidate unless there is a temporary one beside it. */
/* The kernel takes the temporary address into use a moment after the other one. */
static void temporary_addresses_stand_for_the_others(void **state)
{
    struct address hardware = testnet_address("2001:db8:6::211:22ff:fe33:4455");
    struct prefix subnet = {testnet_address("2001:db8:6::"), 64};

    for (int with_temporary = 0; with_temporary < 2; with_temporary++) {
        bool has_hardware = with_temporary;
        size_t ours = 0;

        testnet_run(MANY, 2 * with_temporary);
        testnet_run("ip address add 2001:db8:6::211:22ff:fe33:4455/64 dev many nodad mngtmpaddr "
                    "valid_lft 30000 preferred_lft 20000");
        for (int turn = 0; turn < 500 && has_hardware == with_temporary; turn++) {
            struct address found[8];
            size_t count = 0;

            assert_int_equal(interface_addresses(&nl, 0, found, NULL, 8, &count), ERR_OK);
            has_hardware = false;
            ours = 0;
            for (size_t i = 0; i < count; i++) {
                has_hardware |= address_is_equal(&found[i], &hardware);
                ours += prefix_contains(&subnet, &found[i]);
            }
            if (has_hardware == with_temporary)
                usleep(10000);
        }
        assert_int_equal(ours, 1);
        assert_int_equal(has_hardware, !with_temporary);
        testnet_run("ip link delete many");
    }
}

static int count_route(const struct route *route, void *context)
{
    size_t *count = context;

    assert_int_equal(route->table, 5100);
    (*count)++;
    return ERR_OK;
}

static void routes_stand_in_their_table(void **state)
{
    struct address own = testnet_address("0.0.0.2");
    struct route pool = {.to = testnet_prefix("0.0.0.0/8"),
                         .table = 5100,
                         .link = pool0,
                         .source = own,
                         .mtu = 1280};
    struct route orchid = {.to = testnet_prefix("2001:20::/28"), .table = 5100, .link = pool0};
    struct route stop = {
        .to = testnet_prefix("10.1.0.0/16"), .table = 5100, .kind = ROUTE_UNREACHABLE};
    size_t count = 0;

    assert_int_equal(route_walk(&nl, 5100, count_route, &count), ERR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(interface_address_add(&nl, pool0, &own, 32), ERR_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(route_set(&nl, &pool), ERR_OK);
        assert_int_equal(route_set(&nl, &orchid), ERR_OK);
        assert_int_equal(route_set(&nl, &stop), ERR_OK);
    }
    assert_non_null(strstr(testnet_output("ip route show table 5100"), "0.0.0.0/8 dev pool0"));
    assert_non_null(strstr(testnet_output("ip route show table 5100"), "src 0.0.0.2 mtu 1280"));
    assert_non_null(strstr(testnet_output("ip route show table 5100"), "unreachable 10.1.0.0/16"));
    assert_non_null(
        strstr(testnet_output("ip -6 route show table 5100"), "2001:20::/28 dev pool0"));
    assert_null(strstr(testnet_output("ip route show table main"), "pool0"));
    assert_int_equal(route_walk(&nl, 5100, count_route, &count), ERR_OK);
    assert_int_equal(count, 3);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(route_delete(&nl, &pool), ERR_OK);
        assert_int_equal(route_delete(&nl, &orchid), ERR_OK);
        assert_int_equal(route_delete(&nl, &stop), ERR_OK);
    }
    assert_string_equal(testnet_output("ip route show table 5100; ip -6 route show table 5100"),
                        "");
    assert_int_equal(interface_address_delete(&nl, pool0, &own, 32), ERR_OK);
}

static void rules_are_told_apart(void **state)
{
    struct route_rule look = {.to = testnet_prefix("0.0.0.0/8"), .preference = 10, .table = 5100};
    struct route_rule stop = {.to = testnet_prefix("0.0.0.0/8"), .preference = 11};
    struct route_rule six = {.to = testnet_prefix("2001:20::/28"), .preference = 11};
    bool is_present = true;

    assert_int_equal(route_rule_is_present(&nl, &look, &is_present), ERR_OK);
    assert_false(is_present);
    /* Rules that are alike but catch less do not count. */
    testnet_run("ip rule add to 0.0.0.0/8 from 10.0.0.1 lookup 5100 pref 10");
    testnet_run("ip rule add to 0.0.0.0/8 fwmark 5 lookup 5100 pref 10");
    testnet_run("ip rule add to 0.0.0.0/8 iif lo unreachable pref 11");
    testnet_run("ip rule add to 0.0.0.0/9 lookup 5100 pref 10");
    testnet_run("ip rule add to 0.0.0.0/8 lookup 5101 pref 10");
    testnet_run("ip rule add not to 0.0.0.0/8 unreachable pref 11");
    assert_int_equal(route_rule_is_present(&nl, &look, &is_present), ERR_OK);
    assert_false(is_present);
    assert_int_equal(route_rule_is_present(&nl, &stop, &is_present), ERR_OK);
    assert_false(is_present);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(route_rule_add(&nl, &look), ERR_OK);
        assert_int_equal(route_rule_add(&nl, &stop), ERR_OK);
        assert_int_equal(route_rule_add(&nl, &six), ERR_OK);
    }
    assert_int_equal(route_rule_is_present(&nl, &look, &is_present), ERR_OK);
    assert_true(is_present);
    assert_non_null(strstr(testnet_output("ip rule"), "10:\tfrom all to 0.0.0.0/8 lookup 5100"));
    assert_non_null(strstr(testnet_output("ip rule"), "11:\tfrom all to 0.0.0.0/8 unreachable"));
    assert_non_null(
        strstr(testnet_output("ip -6 rule"), "11:\tfrom all to 2001:20::/28 unreachable"));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(route_rule_delete(&nl, &look), ERR_OK);
        assert_int_equal(route_rule_delete(&nl, &six), ERR_OK);
    }
    assert_int_equal(route_rule_is_present(&nl, &look, &is_present), ERR_OK);
    assert_false(is_present);
    assert_int_equal(route_rule_is_present(&nl, &stop, &is_present), ERR_OK);
    assert_true(is_present);
    assert_int_equal(route_rule_delete(&nl, &stop), ERR_OK);
    /* The others' are still there. */
    assert_non_null(strstr(testnet_output("ip rule"), "from 10.0.0.1 to 0.0.0.0/8 lookup 5100"));
    testnet_run("for p in 10 10 10 10 11 11; do ip rule delete pref $p; done");
}

static void look_ups_answer_as_packets_go(void **state)
{
    struct address far = testnet_address("198.51.100.7");
    struct address gateway = testnet_address("192.0.2.254");
    struct address own = testnet_address("192.0.2.1");
    struct address nowhere = testnet_address("2001:db8:ffff::1");
    struct route_lookup found;

    assert_int_equal(route_lookup(&nl, &far, 0, &found), ERR_OK);
    assert_int_equal(found.link, ext);
    assert_true(address_is_equal(&found.source, &own));
    assert_true(address_is_equal(&found.gateway, &gateway));
    assert_false(found.is_local || found.is_unreachable);
    assert_int_equal(found.mtu, 0);
    assert_int_equal(route_lookup(&nl, &own, 0, &found), ERR_OK);
    assert_true(found.is_local);
    assert_int_equal(route_lookup(&nl, &nowhere, 0, &found), ERR_OK);
    assert_true(found.is_unreachable);
    testnet_run("ip route add 198.51.100.0/25 dev ext mtu 1300");
    assert_int_equal(route_lookup(&nl, &far, 0, &found), ERR_OK);
    assert_int_equal(found.mtu, 1300);
    assert_int_equal(found.gateway.family, ADDRESS_NONE);
    testnet_run("ip rule add fwmark 7 unreachable pref 20");
    assert_int_equal(route_lookup(&nl, &far, 7, &found), ERR_OK);
    assert_true(found.is_unreachable);
    testnet_run("ip rule delete pref 20; ip route delete 198.51.100.0/25 dev ext");
}

static void errors_carry_the_kernels_words(void **state)
{
    struct route route = {.to = testnet_prefix("10.0.0.0/8"),
                          .table = 5100,
                          .link = ext,
                          .gateway = testnet_address("203.0.113.1")};

    assert_true(route_set(&nl, &route) < 0);
    assert_int_equal(nl.error_number, ENETUNREACH);
    assert_non_null(strstr(netlink_error(&nl), "gateway"));
}

static bool has_change(void *context)
{
    unsigned *wanted_and_seen = context;
    struct monitor *m = (struct monitor *)(void *)&wanted_and_seen[2];
    unsigned changes = 0;
    int error = monitor_read(m, &changes);

    assert_true(error == ERR_OK || error == ERR_AGAIN);
    wanted_and_seen[1] |= changes;
    return (wanted_and_seen[1] & wanted_and_seen[0]) == wanted_and_seen[0];
}

static void wait_for_change(struct monitor *m, unsigned wanted)
{
    unsigned context[3] = {wanted, 0, (unsigned)m->fd};

    assert_true(testnet_wait(has_change, context, 2000));
}

static void monitor_tells_what_changed(void **state)
{
    static const struct {
        const char *command;
        unsigned change;
    } cases[] = {
        {"ip rule add to 10.0.0.0/8 unreachable pref 30", MONITOR_RULES},
        {"ip rule delete pref 30", MONITOR_RULES},
        {"ip -6 rule add to 2001:20::/28 unreachable pref 30", MONITOR_RULES},
        {"ip -6 rule delete pref 30", MONITOR_RULES},
        {"ip address add 10.8.8.8/32 dev pool0", MONITOR_ADDRESSES},
        {"ip address add 2001:db8:8::8/128 dev pool0", MONITOR_ADDRESSES},
        {"ip route add 10.7.0.0/16 dev pool0 table 5100", MONITOR_ROUTES},
        {"ip -6 route add 2001:db8:7::/48 dev pool0 table 5100", MONITOR_ROUTES},
        {"ip link set pool0 mtu 1290", MONITOR_LINKS},
    };
    struct monitor m;
    unsigned changes;

    assert_int_equal(monitor_open(&m), ERR_OK);
    assert_int_equal(monitor_read(&m, &changes), ERR_AGAIN);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        testnet_run("%s", cases[i].command);
        wait_for_change(&m, cases[i].change);
        while (monitor_read(&m, &changes) == ERR_OK) {
        }
    }
    monitor_close(&m);
    assert_int_equal(m.fd, -1);
}

static void monitor_survives_a_flood(void **state)
{
    struct route_rule rule = {.to = testnet_prefix("10.0.0.0/8"), .preference = 40};
    struct monitor m;
    unsigned changes = 0;

    assert_int_equal(monitor_open(&m), ERR_OK);
    for (int i = 0; i < 600; i++) {
        assert_int_equal(route_rule_add(&nl, &rule), ERR_OK);
        assert_int_equal(route_rule_delete(&nl, &rule), ERR_OK);
    }
    assert_int_equal(monitor_read(&m, &changes), ERR_OK);
    assert_int_equal(changes, MONITOR_ALL);
    monitor_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interfaces_are_found_and_started),
        cmocka_unit_test(addresses_come_and_go),
        cmocka_unit_test(candidates_leave_out_what_nobody_can_reach),
        cmocka_unit_test(many_of_one_family_leave_room_for_the_other),
        cmocka_unit_test(temporary_addresses_stand_for_the_others),
        cmocka_unit_test(routes_stand_in_their_table),
        cmocka_unit_test(rules_are_told_apart),
        cmocka_unit_test(look_ups_answer_as_packets_go),
        cmocka_unit_test(errors_carry_the_kernels_words),
        cmocka_unit_test(monitor_tells_what_changed),
        cmocka_unit_test(monitor_survives_a_flood),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
