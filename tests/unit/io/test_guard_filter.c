/* What policy rules cannot stop, the filter does:
 *
 *   this namespace: ext 192.0.2.1/24, 2001:db8::1/64 ── veth ── far, a hostile neighbour that
 * answers for 0.0.0.86 and 2001:20::86
 */
#include "testnet.h"

#include "io/guard_filter.h"
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct netlink nl;
static struct guard guard;
static int peer;
static int thief;

static int set_up(void **state)
{
    testnet_enter();
    peer = testnet_peer("ext", "far");
    testnet_run("ip address add 192.0.2.1/24 dev ext; ip address add 2001:db8::1/64 dev ext nodad");
    testnet_run("ip route add default via 192.0.2.2");
    testnet_run("nsenter -t %d -n sh -c 'ip address add 192.0.2.2/24 dev far;"
                "ip address add 0.0.0.86/32 dev far; ip address add 2001:20::86/128 dev far nodad'",
                peer);
    guard = (struct guard){
        .prefixes = {testnet_prefix("0.0.0.0/8"), testnet_prefix("2001:20::/28")},
        .count = 2,
        .table = 5100,
        .preference = 10,
    };
    testnet_switch(peer);
    thief = testnet_bind(SOCK_DGRAM, "0.0.0.86:7");
    testnet_switch(0);
    return netlink_open(&nl, NETLINK_ROUTE);
}

static int tear_down(void **state)
{
    netlink_close(&nl);
    testnet_leave(peer);
    return 0;
}

/* Sends to 0.0.0.86 and says whether the neighbour got it. */
static bool does_leak(const char *device)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    char text[8];
    ssize_t sent;

    to.sin_addr.s_addr = htonl(86);
    if (device != NULL)
        assert_int_equal(
            setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)), 0);
    sent = sendto(fd, "leak", 4, 0, (struct sockaddr *)&to, sizeof to);
    close(fd);
    if (!testnet_is_readable(thief, sent == 4 ? 300 : 0))
        return false;
    assert_int_equal(recv(thief, text, sizeof text, 0), 4);
    return true;
}

static void rules_do_not_bind_sockets_bound_to_a_device(void **state)
{
    assert_true(does_leak(NULL)); /* the test sees a leak */
    assert_int_equal(guard_install(&nl, &guard), ERR_OK);
    assert_false(does_leak(NULL));
    assert_true(does_leak("ext"));
}

static void the_filter_does(void **state)
{
    struct guard_filter filter;
    bool is_intact = true;

    assert_int_equal(guard_filter_open(&filter, "cap-guard", &guard, "tun9"), ERR_OK);
    assert_int_equal(guard_filter_is_intact(&filter, &is_intact), ERR_OK);
    assert_false(is_intact);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(guard_filter_install(&filter), ERR_OK);
        assert_int_equal(guard_filter_is_intact(&filter, &is_intact), ERR_OK);
        assert_true(is_intact);
        assert_false(does_leak("ext"));
    }
    /* Even with a rule of lower preference in the way. */
    testnet_run("ip rule add lookup main pref 5");
    assert_false(does_leak(NULL));
    testnet_run("ip rule delete pref 5");
    testnet_run("ping -c 1 -W 2 192.0.2.2 >/dev/null && ping -c 1 -W 2 0.0.0.0 >/dev/null");
    guard_filter_close(&filter);
    assert_false(does_leak("ext"));
}

static void it_outlives_its_maker_and_is_taken_over(void **state)
{
    struct guard_filter filter;
    bool is_intact = false;
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct guard_filter own;

        _exit(guard_filter_open(&own, "cap-guard", &guard, "tun9") < 0 ||
              guard_filter_install(&own) < 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_false(does_leak("ext"));
    assert_int_equal(guard_filter_open(&filter, "cap-guard", &guard, "tun9"), ERR_OK);
    assert_int_equal(guard_filter_is_intact(&filter, &is_intact), ERR_OK);
    assert_true(is_intact);
    assert_int_equal(guard_filter_install(&filter), ERR_OK);
    if (!filter.is_plain) {
        struct guard_filter other;

        testnet_run("nft flush ruleset");
        assert_false(does_leak("ext"));
        assert_int_equal(guard_filter_open(&other, "cap-guard", &guard, "tun9"), ERR_OK);
        assert_true(guard_filter_install(&other) < 0);
        guard_filter_close(&other);
    }
    assert_int_equal(guard_filter_remove(&filter), ERR_OK);
    assert_int_equal(guard_filter_remove(&filter), ERR_OK);
    assert_true(does_leak("ext"));
    guard_filter_close(&filter);
    assert_string_equal(testnet_output("nft list tables"), "");
}

static void a_plain_table_is_watched(void **state)
{
    struct guard_filter filter;
    bool is_intact = false;

    assert_int_equal(guard_filter_open(&filter, "cap-guard", &guard, "tun9"), ERR_OK);
    filter.is_plain = true;
    assert_int_equal(guard_filter_install(&filter), ERR_OK);
    assert_int_equal(guard_filter_is_intact(&filter, &is_intact), ERR_OK);
    assert_true(is_intact);
    testnet_run("nft flush chain inet cap-guard postrouting");
    assert_int_equal(guard_filter_is_intact(&filter, &is_intact), ERR_OK);
    assert_false(is_intact);
    assert_int_equal(guard_filter_install(&filter), ERR_OK);
    assert_false(does_leak("ext"));
    testnet_run("nft flush ruleset");
    assert_int_equal(guard_filter_is_intact(&filter, &is_intact), ERR_OK);
    assert_false(is_intact);
    assert_int_equal(guard_filter_install(&filter), ERR_OK);
    assert_false(does_leak("ext"));
    assert_int_equal(guard_filter_remove(&filter), ERR_OK);
    guard_filter_close(&filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_do_not_bind_sockets_bound_to_a_device),
        cmocka_unit_test(the_filter_does),
        cmocka_unit_test(it_outlives_its_maker_and_is_taken_over),
        cmocka_unit_test(a_plain_table_is_watched),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
