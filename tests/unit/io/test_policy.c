/* Who gets in, with real sockets at both ends:
 *
 *   peers (one namespace)          this namespace                         LAN
 *     0.0.0.86, 0.0.0.87   ── tun9   0.0.0.2            lan0 ── veth ──   172.16.0.2
 *     2001:20::86, ::87              2001:20::2         172.16.0.1        (container, or hostile)
 */
#include "testnet.h"

#include "io/policy.h"
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct policy policy;
static struct policy_options options;
static int peers;
static int lan;

static void neighbours(const char *near_addresses, const char *far_addresses)
{
    /* The policy leaves a TUN no neighbour discovery; the veth in its place is told. */
    testnet_run(
        "near=$(cat /sys/class/net/tun9/address);"
        "far=$(nsenter -t %d -n ip -br link show far | awk '{print $3}');"
        "for a in %s; do ip neigh add $a lladdr $far dev tun9 nud permanent; done;"
        "for a in %s; do nsenter -t %d -n ip neigh add $a lladdr $near dev far nud permanent;"
        " done",
        peers, far_addresses, near_addresses, peers);
}

static int set_up(void **state)
{
    testnet_enter();
    peers = testnet_peer("tun9", "far");
    lan = testnet_peer("lan0", "lan1");
    testnet_run(
        "ip address add 0.0.0.2/32 dev tun9; ip address add 2001:20::2/128 dev tun9 nodad;"
        "ip route add 0.0.0.0/8 dev tun9 src 0.0.0.2;"
        "ip route add 2001:20::/28 dev tun9 src 2001:20::2;"
        "ip address add 172.16.0.1/24 dev lan0; ip address add 2001:db8:16::1/64 dev lan0 nodad;"
        "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding;"
        "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done");
    testnet_run(
        "nsenter -t %d -n sh -c 'for a in 0.0.0.86 0.0.0.87; do ip address add $a/32 dev far; done;"
        "for a in 2001:20::86 2001:20::87; do ip address add $a/128 dev far nodad; done;"
        "ip route add 0.0.0.2/32 dev far; ip route add 2001:20::2/128 dev far;"
        "ip route add 172.16.0.0/24 via 0.0.0.2 dev far onlink'",
        peers);
    testnet_run(
        "nsenter -t %d -n sh -c 'ip address add 172.16.0.2/24 dev lan1;"
        "ip address add 0.0.0.86/32 dev lan1; ip address add 2001:db8:16::2/64 dev lan1 nodad;"
        "ip route add 0.0.0.0/8 via 172.16.0.1; ip route add 2001:20::/28 via 2001:db8:16::1;"
        "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done'",
        lan);
    neighbours("0.0.0.2 2001:20::2", "0.0.0.86 0.0.0.87 2001:20::86 2001:20::87");
    options = (struct policy_options){
        .table = "cap",
        .tun_name = "tun9",
        .own_ipv4 = testnet_address("0.0.0.2"),
        .own_ipv6 = testnet_address("2001:20::2"),
        .pool_ipv4 = testnet_prefix("0.0.0.0/8"),
        .pool_ipv6 = testnet_prefix("2001:20::/28"),
    };
    return 0;
}

static int tear_down(void **state)
{
    testnet_leave(peers);
    testnet_leave(lan);
    return 0;
}

static int open_policy(void **state)
{
    testnet_switch(0);
    testnet_run("conntrack -F 2>/dev/null");
    return policy_open(&policy, &options);
}

static int close_policy(void **state)
{
    policy_close(&policy);
    return 0;
}

static struct sockaddr_storage sockaddr_of(const char *text, socklen_t *len)
{
    struct endpoint endpoint = testnet_endpoint(text);
    struct sockaddr_storage address;

    *len = endpoint_to_sockaddr(&endpoint, false, &address);
    return address;
}

/* A datagram from a socket bound to `from` in namespace `where` (0: here) to `to`. The socket. */
static int send_from(int where, const char *from, const char *to)
{
    socklen_t len;
    struct sockaddr_storage address = sockaddr_of(to, &len);
    int fd;

    testnet_switch(where);
    fd = testnet_bind(SOCK_DGRAM, from);
    testnet_switch(0);
    (void)sendto(fd, "ping", 4, 0, (struct sockaddr *)&address, len);
    return fd;
}

/* Does a datagram get through? The veth delivers at once or never. */
static bool does_udp_pass(int where, const char *from, const char *to)
{
    int server = testnet_bind(SOCK_DGRAM, to);
    int client = send_from(where, from, to);
    bool has_arrived = testnet_is_readable(server, 100);

    close(client);
    close(server);
    return has_arrived;
}

static int connect_from(int where, const char *from, const char *to)
{
    socklen_t len;
    struct sockaddr_storage address = sockaddr_of(to, &len);
    struct sockaddr_storage local = sockaddr_of(from, &len);
    int fd;

    testnet_switch(where);
    fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    testnet_switch(0);
    assert_int_equal(bind(fd, (struct sockaddr *)&local, len), 0);
    if (connect(fd, (struct sockaddr *)&address, len) < 0)
        assert_int_equal(errno, EINPROGRESS);
    return fd;
}

static bool does_tcp_pass(int where, const char *from, const char *to)
{
    int server = testnet_bind(SOCK_STREAM, to);
    int client = connect_from(where, from, to);
    bool has_arrived = testnet_is_readable(server, 100);

    close(client);
    close(server);
    return has_arrived;
}

static bool does_ping_pass(int where, const char *from, const char *to)
{
    const char *output =
        testnet_output("nsenter -t %d -n ping -c 1 -W 0.3 -I %s %s", where, from, to);

    return strstr(output, " 0% packet loss") != NULL;
}

static uint64_t refused(void)
{
    struct policy_counts counts;

    assert_int_equal(policy_counts(&policy, &counts), ERR_OK);
    return counts.refused;
}

static uint64_t spoofed(void)
{
    struct policy_counts counts;

    assert_int_equal(policy_counts(&policy, &counts), ERR_OK);
    return counts.spoofed;
}

static void set(const char *peer, const struct policy_rule *rules, size_t count)
{
    struct address address = testnet_address(peer);

    assert_int_equal(policy_peer_set(&policy, &address, rules, count), ERR_OK);
    assert_int_equal(policy_release(&policy), ERR_OK);
    assert_false(policy_is_release_due(&policy));
}

static void clear(const char *peer)
{
    struct address address = testnet_address(peer);

    assert_int_equal(policy_peer_clear(&policy, &address), ERR_OK);
    assert_int_equal(policy_release(&policy), ERR_OK);
}

static void without_a_policy_all_comes_in(void **state)
{
    assert_true(does_udp_pass(peers, "0.0.0.86:0", "0.0.0.2:5000"));
    assert_true(does_tcp_pass(peers, "0.0.0.86:0", "0.0.0.2:5000"));
    assert_true(does_tcp_pass(peers, "[2001:20::86]:0", "[2001:20::2]:5000"));
    assert_true(does_ping_pass(peers, "0.0.0.86", "0.0.0.2"));
    assert_true(does_ping_pass(peers, "2001:20::86", "2001:20::2"));
    assert_true(does_udp_pass(lan, "0.0.0.86:0", "172.16.0.1:5000"));
}

static void nobody_comes_in_by_default(void **state)
{
    uint64_t before = refused();

    assert_false(does_udp_pass(peers, "0.0.0.86:0", "0.0.0.2:5000"));
    assert_false(does_tcp_pass(peers, "0.0.0.86:0", "0.0.0.2:5000"));
    assert_false(does_udp_pass(peers, "[2001:20::86]:0", "[2001:20::2]:5000"));
    assert_false(does_tcp_pass(peers, "[2001:20::86]:0", "[2001:20::2]:5000"));
    assert_false(does_ping_pass(peers, "0.0.0.86", "0.0.0.2"));
    assert_false(does_ping_pass(peers, "2001:20::86", "2001:20::2"));
    assert_true(refused() >= before + 6);
    assert_int_equal(spoofed(), 0);
    /* The rest of the machine is not concerned. */
    assert_true(does_udp_pass(lan, "172.16.0.2:0", "172.16.0.1:5000"));
    assert_true(does_udp_pass(0, "0.0.0.2:0", "0.0.0.2:5000"));
}

static void replies_and_errors_come_back(void **state)
{
    static const struct {
        const char *own, *peer;
    } pairs[] = {{"0.0.0.2:0", "0.0.0.86:7000"}, {"[2001:20::2]:0", "[2001:20::86]:7000"}};

    for (int i = 0; i < 2; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        char text[8];
        int server, client, accepted;

        testnet_switch(peers);
        server = testnet_bind(SOCK_STREAM, pairs[i].peer);
        testnet_switch(0);
        client = connect_from(0, pairs[i].own, pairs[i].peer);
        assert_true(testnet_is_readable(server, 2000));
        accepted = accept(server, NULL, NULL);
        assert_int_equal(send(accepted, "hello", 5, 0), 5);
        assert_true(testnet_is_readable(client, 2000));
        close(accepted);
        close(client);
        close(server);

        testnet_switch(peers);
        server = testnet_bind(SOCK_DGRAM, pairs[i].peer);
        testnet_switch(0);
        client = send_from(0, pairs[i].own, pairs[i].peer);
        assert_true(testnet_is_readable(server, 2000));
        assert_int_equal(recvfrom(server, text, sizeof text, 0, (struct sockaddr *)&from, &len), 4);
        assert_int_equal(sendto(server, "pong", 4, 0, (struct sockaddr *)&from, len), 4);
        assert_true(testnet_is_readable(client, 2000));
        close(client);
        close(server);

        /* Nobody there now: ICMP port unreachable gets through as an error on the socket. */
        client = testnet_bind(SOCK_DGRAM, pairs[i].own);
        from = sockaddr_of(pairs[i].peer, &len);
        assert_int_equal(connect(client, (struct sockaddr *)&from, len), 0);
        assert_int_equal(send(client, "ping", 4, 0), 4);
        assert_true(testnet_is_readable(client, 2000));
        assert_int_equal(recv(client, text, sizeof text, 0), -1);
        assert_int_equal(errno, ECONNREFUSED);
        close(client);
    }
    assert_non_null(strstr(testnet_output("ping -c 1 -W 2 0.0.0.86"), " 0% packet loss"));
}

static void a_port_opens_for_one_peer_alone(void **state)
{
    static const struct policy_rule ssh[] = {{.protocol = IPPROTO_TCP, .port = 5022}};

    set("0.0.0.86", ssh, 1);
    set("2001:20::86", ssh, 1);
    assert_true(does_tcp_pass(peers, "0.0.0.86:0", "0.0.0.2:5022"));
    assert_false(does_tcp_pass(peers, "0.0.0.86:0", "0.0.0.2:5023"));
    assert_false(does_udp_pass(peers, "0.0.0.86:0", "0.0.0.2:5022"));
    assert_false(does_tcp_pass(peers, "0.0.0.87:0", "0.0.0.2:5022"));
    assert_true(does_ping_pass(peers, "0.0.0.86", "0.0.0.2"));
    assert_false(does_ping_pass(peers, "0.0.0.87", "0.0.0.2"));
    assert_true(does_tcp_pass(peers, "[2001:20::86]:0", "[2001:20::2]:5022"));
    assert_false(does_tcp_pass(peers, "[2001:20::86]:0", "[2001:20::2]:5023"));
    assert_false(does_tcp_pass(peers, "[2001:20::87]:0", "[2001:20::2]:5022"));
    assert_true(does_ping_pass(peers, "2001:20::86", "2001:20::2"));
    assert_false(does_ping_pass(peers, "2001:20::87", "2001:20::2"));
}

static void protocols_and_everything(void **state)
{
    static const struct policy_rule udp[] = {{.protocol = IPPROTO_UDP}};
    static const struct policy_rule all[] = {{.protocol = 0, .port = 9}};

    set("0.0.0.86", udp, 1);
    set("0.0.0.87", all, 1);
    assert_true(does_udp_pass(peers, "0.0.0.86:0", "0.0.0.2:5000"));
    assert_true(does_udp_pass(peers, "0.0.0.86:0", "0.0.0.2:5001"));
    assert_false(does_tcp_pass(peers, "0.0.0.86:0", "0.0.0.2:5000"));
    assert_true(does_udp_pass(peers, "0.0.0.87:0", "0.0.0.2:5000"));
    assert_true(does_tcp_pass(peers, "0.0.0.87:0", "0.0.0.2:5000"));
    /* Only to the address behind the tunnel, not to others of this host. */
    assert_false(does_udp_pass(peers, "0.0.0.87:0", "172.16.0.1:5000"));
}

static void rules_are_replaced_and_cleared(void **state)
{
    static const struct policy_rule first[] = {{IPPROTO_TCP, 5022}, {IPPROTO_TCP, 5080}};
    static const struct policy_rule second[] = {
        {IPPROTO_TCP, 5080}, {IPPROTO_TCP, 5443}, {IPPROTO_TCP, 5080}};

    set("0.0.0.86", first, 2);
    set("0.0.0.86", second, 3);
    assert_false(does_tcp_pass(peers, "0.0.0.86:0", "0.0.0.2:5022"));
    assert_true(does_tcp_pass(peers, "0.0.0.86:0", "0.0.0.2:5080"));
    assert_true(does_tcp_pass(peers, "0.0.0.86:0", "0.0.0.2:5443"));
    clear("0.0.0.86");
    clear("0.0.0.86");
    assert_false(does_tcp_pass(peers, "0.0.0.86:0", "0.0.0.2:5080"));
    assert_false(does_ping_pass(peers, "0.0.0.86", "0.0.0.2"));
    assert_null(strstr(testnet_output("nft list table inet cap"), "elements"));
    assert_int_equal(policy.peers.count, 0);
}

static void bad_rules_leave_the_old_ones(void **state)
{
    static const struct policy_rule good[] = {{IPPROTO_TCP, 5022}};
    static const struct policy_rule bad[] = {{IPPROTO_ICMP, 8}};
    struct policy_rule many[POLICY_RULE_CAP + 1];
    struct address peer = testnet_address("0.0.0.86");

    set("0.0.0.86", good, 1);
    assert_int_equal(policy_peer_set(&policy, &peer, bad, 1), ERR_INVALID);
    for (uint16_t i = 0; i <= POLICY_RULE_CAP; i++)
        many[i] = (struct policy_rule){IPPROTO_TCP, (uint16_t)(6000 + i)};
    assert_int_equal(policy_peer_set(&policy, &peer, many, POLICY_RULE_CAP + 1), ERR_LIMIT);
    assert_true(does_tcp_pass(peers, "0.0.0.86:0", "0.0.0.2:5022"));
    set("0.0.0.86", many, POLICY_RULE_CAP);
    assert_true(does_tcp_pass(peers, "0.0.0.86:0", "0.0.0.2:6000"));
    assert_true(does_tcp_pass(peers, "0.0.0.86:0", "0.0.0.2:6063"));
}

struct connection {
    int client, server;
};

static struct connection open_connection(const char *from, const char *to)
{
    struct connection connection;
    int listener = testnet_bind(SOCK_STREAM, to);

    connection.client = connect_from(peers, from, to);
    assert_true(testnet_is_readable(listener, 2000));
    connection.server = accept(listener, NULL, NULL);
    close(listener);
    return connection;
}

/* Does what the peer says still arrive? */
static bool is_alive(struct connection connection)
{
    char byte;

    assert_int_equal(send(connection.client, "x", 1, 0), 1);
    return testnet_is_readable(connection.server, 300) && recv(connection.server, &byte, 1, 0) == 1;
}

static void open_connections_end_with_their_right(void **state)
{
    static const struct policy_rule rules[] = {{IPPROTO_TCP, 5022}, {IPPROTO_TCP, 5080}};
    struct connection ssh, web, other;

    set("0.0.0.86", rules, 2);
    set("0.0.0.87", rules, 2);
    ssh = open_connection("0.0.0.86:0", "0.0.0.2:5022");
    web = open_connection("0.0.0.86:0", "0.0.0.2:5080");
    other = open_connection("0.0.0.87:0", "0.0.0.2:5022");
    assert_true(is_alive(ssh) && is_alive(web) && is_alive(other));
    set("0.0.0.86", &rules[1], 1);
    assert_false(is_alive(ssh));
    assert_true(is_alive(web));
    assert_true(is_alive(other));
    clear("0.0.0.86");
    assert_false(is_alive(web));
    assert_true(is_alive(other));
    close(ssh.client), close(ssh.server), close(web.client), close(web.server);
    close(other.client), close(other.server);
}

/* A datagram to the peers' server comes from our own address, and the answer finds its way back. */
/* A network behind the peers' side (192.168.9.0/24), and the LAN as ours: what [allow] says is
 * opened there, replies pass, nothing is masqueraded; other sources are not forwarded. */
static void networks_open_what_is_allowed(void **state)
{
    const struct policy_rule rules[] = {{IPPROTO_UDP, 5000}};
    const struct prefix locals[] = {testnet_prefix("172.16.0.0/24")};
    struct policy_network network = {
        .remote = testnet_prefix("192.168.9.0/24"),
        .locals = locals,
        .local_count = 1,
        .stands = testnet_address("172.16.0.1"),
        .rules = rules,
        .rule_count = 1,
    };
    testnet_run("ip route replace 192.168.9.0/24 dev tun9 src 0.0.0.2;"
                "nsenter -t %d -n sh -c 'ip address replace 192.168.9.9/32 dev far';"
                "nsenter -t %d -n ip route replace 192.168.9.0/24 via 172.16.0.1;"
                "ip neigh replace 192.168.9.9 lladdr $(nsenter -t %d -n ip -br link show far | awk "
                "'{print $3}') dev tun9 nud permanent",
                peers, lan, peers);
    assert_false(does_udp_pass(peers, "192.168.9.9:0", "0.0.0.2:5000"));
    assert_int_equal(policy_networks_set(&policy, &network, 1), ERR_OK);
    assert_true(does_udp_pass(peers, "192.168.9.9:0", "0.0.0.2:5000"));
    assert_false(does_udp_pass(peers, "192.168.9.9:0", "0.0.0.2:5001"));
    assert_false(does_udp_pass(peers, "0.0.0.86:0", "0.0.0.2:5000")); /* is another's right */
    /* Into the LAN, and out of it. */
    for (unsigned port = 5000; port < 5002; port++) {
        char to[32];
        snprintf(to, sizeof(to), "172.16.0.2:%u", port);
        testnet_switch(lan);
        const int server = testnet_bind(SOCK_DGRAM, to);
        testnet_switch(0);
        const int client = send_from(peers, "192.168.9.9:0", to);
        assert_int_equal(testnet_is_readable(server, 100), port == 5000);
        close(server), close(client);
    }
    testnet_switch(peers);
    const int server = testnet_bind(SOCK_DGRAM, "192.168.9.9:6000");
    testnet_switch(0);
    int client = send_from(lan, "172.16.0.2:7000", "192.168.9.9:6000");
    struct sockaddr_in from = {0};
    socklen_t len = sizeof(from);
    char bytes[8];
    assert_true(testnet_is_readable(server, 1000));
    assert_int_equal(recvfrom(server, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &len), 4);
    assert_int_equal(ntohl(from.sin_addr.s_addr), 0xac100002); /* its own address */
    assert_int_equal(ntohs(from.sin_port), 7000);
    close(client);
    client = send_from(lan, "0.0.0.86:0", "192.168.9.9:6000"); /* none of the LAN's */
    assert_false(testnet_is_readable(server, 100));
    close(client), close(server);
    testnet_run("nsenter -t %d -n ip address add 192.168.9.9/32 dev lan1", lan);
    assert_false(does_udp_pass(lan, "192.168.9.9:0", "172.16.0.1:5000")); /* a neighbour's lie */
    testnet_run("nsenter -t %d -n ip address del 192.168.9.9/32 dev lan1", lan);
    assert_int_equal(policy_networks_set(&policy, NULL, 0), ERR_OK);
    assert_false(does_udp_pass(peers, "192.168.9.9:0", "0.0.0.2:5000"));
    testnet_run("nsenter -t %d -n ip address del 192.168.9.9/32 dev far", peers);
}

static void assert_masqueraded(int server, int client)
{
    struct address own = testnet_address("0.0.0.2");
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    struct endpoint sender;
    char text[8];

    assert_true(testnet_is_readable(server, 2000));
    assert_int_equal(recvfrom(server, text, sizeof text, 0, (struct sockaddr *)&from, &len), 4);
    assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&from, &sender), ERR_OK);
    assert_true(address_is_equal(&sender.address, &own));
    assert_int_equal(sendto(server, "pong", 4, 0, (struct sockaddr *)&from, len), 4);
    assert_true(testnet_is_readable(client, 2000));
    close(client);
}

static void other_sources_are_masqueraded(void **state)
{
    int server;

    testnet_switch(peers);
    server = testnet_bind(SOCK_DGRAM, "0.0.0.87:7000");
    testnet_switch(0);
    assert_masqueraded(server, send_from(lan, "172.16.0.2:0", "0.0.0.87:7000")); /* a container */
    assert_masqueraded(server, send_from(0, "172.16.0.1:0", "0.0.0.87:7000"));   /* bound */
    assert_masqueraded(server, send_from(0, "0.0.0.2:0", "0.0.0.87:7000"));
    close(server);
}

static void nothing_new_is_forwarded_out_of_the_tunnel(void **state)
{
    static const struct policy_rule all[] = {{0}};
    uint64_t before = refused();
    int server, client;

    set("0.0.0.87", all, 1);
    testnet_switch(lan);
    server = testnet_bind(SOCK_DGRAM, "172.16.0.2:7000");
    testnet_switch(0);
    client = send_from(peers, "0.0.0.87:0", "172.16.0.2:7000");
    assert_false(testnet_is_readable(server, 200));
    assert_true(refused() > before);
    close(client);
    client = send_from(0, "172.16.0.1:0", "172.16.0.2:7000");
    assert_true(testnet_is_readable(server, 2000)); /* it could have got there */
    close(client);
    close(server);
}

static void a_neighbour_does_not_pass_for_a_peer(void **state)
{
    static const struct policy_rule all[] = {{0}};
    uint64_t before = spoofed();
    uint64_t after;

    set("0.0.0.86", all, 1);
    set("2001:20::86", all, 1);
    assert_false(does_udp_pass(lan, "0.0.0.86:0", "172.16.0.1:5000"));
    after = spoofed();
    assert_true(after > before);
    assert_false(does_udp_pass(lan, "172.16.0.2:0", "0.0.0.2:5000"));
    assert_true(spoofed() > after);
    after = spoofed();
    assert_false(does_udp_pass(lan, "[2001:db8:16::2]:0", "[2001:20::2]:5000"));
    assert_true(spoofed() > after);
    assert_true(does_udp_pass(lan, "172.16.0.2:0", "172.16.0.1:5000"));
}

static void a_family_without_address_is_refused(void **state)
{
    static const struct policy_rule all[] = {{0}};
    struct policy_options four = options;

    policy_close(&policy);
    four.own_ipv6 = (struct address){0};
    assert_int_equal(policy_open(&policy, &four), ERR_OK);
    set("0.0.0.86", all, 1);
    set("2001:20::86", all, 1);
    assert_true(does_udp_pass(peers, "0.0.0.86:0", "0.0.0.2:5000"));
    assert_false(does_udp_pass(peers, "[2001:20::86]:0", "[2001:20::2]:5000"));
    four.own_ipv6 = testnet_address("10.0.0.1");
    {
        struct policy second;

        assert_int_equal(policy_open(&second, &four), ERR_INVALID);
        assert_true(policy_open(&second, &options) < 0); /* the name is taken */
        policy_close(&second);
    }
}

static void it_is_gone_with_the_daemon(void **state)
{
    policy_close(&policy);
    assert_string_equal(testnet_output("nft list tables"), "");
    policy_close(&policy);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_policy, close_policy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_policy_all_comes_in),
        TEST(nobody_comes_in_by_default),
        TEST(replies_and_errors_come_back),
        TEST(a_port_opens_for_one_peer_alone),
        TEST(protocols_and_everything),
        TEST(rules_are_replaced_and_cleared),
        TEST(bad_rules_leave_the_old_ones),
        TEST(open_connections_end_with_their_right),
        TEST(other_sources_are_masqueraded),
        TEST(nothing_new_is_forwarded_out_of_the_tunnel),
        TEST(a_neighbour_does_not_pass_for_a_peer),
        TEST(networks_open_what_is_allowed),
        TEST(a_family_without_address_is_refused),
        TEST(it_is_gone_with_the_daemon),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
