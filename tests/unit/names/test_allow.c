/* The policy: nobody gets in by a slip of a rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "names/allow.h"

#define ZONE "detec.example.net"

static void add(struct allow *allow, const char *text)
{
    char message[ALLOW_MESSAGE_CAP] = "";
    if (allow_add(allow, text, message) != ERR_OK)
        fail_msg("%s: %s", text, message);
}

static struct allow_verdict decide(const struct allow *allow, const char *name, bool is_static)
{
    struct allow_verdict verdict;
    allow_decide(allow, name, is_static, ZONE, &verdict);
    return verdict;
}

static bool permits(const struct allow *allow, const char *name, uint8_t protocol, uint16_t port)
{
    struct allow_verdict verdict = decide(allow, name, false);
    return allow_verdict_permits(&verdict, protocol, port);
}

static void test_default(void **state)
{
    struct allow allow;
    allow_init(&allow);
    struct allow_verdict verdict = decide(&allow, "home." ZONE, true);

    assert_true(verdict.is_allowed && verdict.is_any && verdict.is_ping);
    assert_true(allow_verdict_permits(&verdict, IPPROTO_TCP, 22));
    assert_false(decide(&allow, "home." ZONE, false).is_allowed); /* a dynamic name */
    assert_false(decide(&allow, "home.example.net", true).is_allowed);
    assert_false(decide(&allow, "xdetec.example.net", true).is_allowed);
    assert_false(decide(&allow, ZONE, true).is_allowed);
    assert_false(decide(&allow, NULL, true).is_allowed);
    assert_false(decide(&allow, "", true).is_allowed);
    assert_false(decide(&allow, "Home." ZONE, true).is_allowed); /* not canonical: not from us */
    allow_decide(&allow, "home." ZONE, true, NULL, &verdict);
    assert_false(verdict.is_allowed);
    allow_done(&allow);
}

static void test_rules(void **state)
{
    struct allow allow;
    allow_init(&allow);

    add(&allow, "*.friends.example.org tcp/22, tcp/8000-8100,udp/53");
    add(&allow, "boss.example.org");
    add(&allow, "*.example.com\ticmp");
    add(&allow, "a.friends.example.org udp/*");
    assert_true(permits(&allow, "b.friends.example.org", IPPROTO_TCP, 22));
    assert_true(permits(&allow, "b.c.friends.example.org", IPPROTO_TCP, 8000));
    assert_true(permits(&allow, "b.friends.example.org", IPPROTO_TCP, 8100));
    assert_false(permits(&allow, "b.friends.example.org", IPPROTO_TCP, 8101));
    assert_false(permits(&allow, "b.friends.example.org", IPPROTO_TCP, 7999));
    assert_false(permits(&allow, "b.friends.example.org", IPPROTO_TCP, 53));
    assert_true(permits(&allow, "b.friends.example.org", IPPROTO_UDP, 53));
    assert_false(permits(&allow, "b.friends.example.org", IPPROTO_GRE, 0));
    assert_false(permits(&allow, "friends.example.org", IPPROTO_TCP, 22));
    assert_false(permits(&allow, "evilfriends.example.org", IPPROTO_TCP, 22));
    assert_true(permits(&allow, "boss.example.org", IPPROTO_GRE, 0));
    assert_true(permits(&allow, "a.friends.example.org", IPPROTO_UDP, 9999)); /* the union */
    assert_true(permits(&allow, "a.friends.example.org", IPPROTO_TCP, 22));
    assert_true(decide(&allow, "b.friends.example.org", false).is_ping);
    struct allow_verdict verdict = decide(&allow, "x.example.com", false);
    assert_true(verdict.is_allowed && verdict.is_ping && !verdict.is_any);
    assert_int_equal(verdict.port_count, 0);
    /* With any rule, the default is gone. */
    assert_false(decide(&allow, "home." ZONE, true).is_allowed);
    allow_done(&allow);
}

static void test_everybody_and_nobody(void **state)
{
    char message[ALLOW_MESSAGE_CAP];
    struct allow allow;
    allow_init(&allow);

    add(&allow, "* tcp/80");
    assert_true(permits(&allow, "any.where.example", IPPROTO_TCP, 80));
    assert_false(permits(&allow, "any.where.example", IPPROTO_TCP, 81));
    assert_false(decide(&allow, NULL, false).is_allowed); /* a guest without a name */
    assert_int_equal(allow_add(&allow, "nobody", message), ERR_INVALID);
    allow_refuse_all(&allow);
    assert_false(decide(&allow, "any.where.example", true).is_allowed);
    allow_done(&allow);

    add(&allow, " nobody ");
    assert_false(decide(&allow, "home." ZONE, true).is_allowed);
    assert_int_equal(allow_add(&allow, "*", message), ERR_INVALID);
    assert_false(decide(&allow, "home." ZONE, true).is_allowed);
    allow_done(&allow);
}

static void test_errors(void **state)
{
    static const char *const bad[] = {
        "",
        "  ",
        "*example.net", /* evilexample.net */
        "laptop-*",     /* laptop-x.evil.org */
        "*.",
        "*.*",
        "a..b",
        "a_b!.example.net",
        "home.example.net 22",
        "home.example.net tcp",
        "home.example.net tcp/",
        "home.example.net tcp/0",
        "home.example.net tcp/65536",
        "home.example.net tcp/123456",
        "home.example.net tcp/22-21",
        "home.example.net tcp/22-",
        "home.example.net tcp/-22",
        "home.example.net tcp/22,",
        "home.example.net ,tcp/22",
        "home.example.net tcp/22 udp/53",
        "home.example.net TCP/22",
        "home.example.net tc/22",
        "home.example.net /22",
        "home.example.net icmp/8",
        "home.example.net ssh",
        "nobody tcp/22",
    };
    struct allow allow;
    allow_init(&allow);

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char message[ALLOW_MESSAGE_CAP] = "";
        if (allow_add(&allow, bad[i], message) != ERR_INVALID)
            fail_msg("'%s' was taken", bad[i]);
        assert_true(strlen(message) > 10);
        assert_int_equal(allow.rule_count, 0);
        assert_int_equal(allow.port_count, 0);
    }
    add(&allow, "*.example.net."); /* the last dot says nothing */
    assert_true(decide(&allow, "a.example.net", false).is_any);
    add(&allow, "HOME.example.org tcp/22");
    assert_true(permits(&allow, "home.example.org", IPPROTO_TCP, 22));
    add(&allow, "laptop-*.example.com");
    assert_true(decide(&allow, "laptop-1.example.com", false).is_any);
    assert_false(decide(&allow, "laptop-1.example.com.evil.org", false).is_any);
    allow_done(&allow);
}

static void test_caps(void **state)
{
    char text[4000] = "a.example.net tcp/1", message[ALLOW_MESSAGE_CAP];
    struct allow allow;
    allow_init(&allow);

    for (int i = 2; i <= ALLOW_PORTS_MAX / 2; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), ",tcp/%d", i);
    add(&allow, text);
    add(&allow, text);
    assert_int_equal(allow.port_count, ALLOW_PORTS_MAX);
    assert_int_equal(allow_add(&allow, "b.example.net tcp/1", message), ERR_FULL);
    assert_int_equal(decide(&allow, "a.example.net", false).port_count, ALLOW_PORTS_MAX);
    for (int i = 2; i < ALLOW_RULES_MAX; i++)
        add(&allow, "b.example.net");
    assert_int_equal(allow_add(&allow, "b.example.net", message), ERR_FULL);
    allow_done(&allow);
}

static void test_protocols(void **state)
{
    struct allow allow;
    allow_init(&allow);

    add(&allow, "a.example.net sctp/1,dccp/2,udplite/3");
    assert_true(permits(&allow, "a.example.net", IPPROTO_SCTP, 1));
    assert_true(permits(&allow, "a.example.net", 33, 2));
    assert_true(permits(&allow, "a.example.net", 136, 3));
    assert_string_equal(allow_protocol_text(33), "dccp");
    assert_null(allow_protocol_text(1));
    allow_done(&allow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_everybody_and_nobody),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_protocols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
