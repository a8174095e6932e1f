/* Transactions as nft(8) sees them afterwards. */
#include "testnet.h"

#include "io/nft_rule.h"
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct nft nft;

static int set_up(void **state)
{
    testnet_enter();
    return nft_open(&nft, "test");
}

static int tear_down(void **state)
{
    nft_close(&nft);
    return 0;
}

static const char *listing(void)
{
    return testnet_output("nft list ruleset");
}

static void assert_listed(const char *text)
{
    if (strstr(listing(), text) == NULL)
        fail_msg("'%s' is not in:\n%s", text, listing());
}

static void a_table_of_everything(void **state)
{
    static const uint8_t tcp = 6;
    const struct nft_set set = {.name = "some",
                                .fields = {NFT_FIELD_IPV4, NFT_FIELD_PROTOCOL, NFT_FIELD_PORT}};
    const struct nft_set alive = {
        .name = "alive", .fields = {NFT_FIELD_PROTOCOL}, .timeout_ms = 60000};
    const struct nft_chain in = {
        .name = "in", .type = "filter", .hook = NF_INET_LOCAL_IN, .priority = -10, .is_drop = true};
    const struct nft_chain out = {
        .name = "out", .type = "nat", .hook = NF_INET_LOCAL_OUT, .priority = -100};
    const struct nft_chain post = {
        .name = "post", .type = "nat", .hook = NF_INET_POST_ROUTING, .priority = 100};
    const struct prefix pool = testnet_prefix("10.128.0.0/9");
    const struct prefix six = testnet_prefix("2001:20::1/128");
    const uint8_t key[12] = {10, 0, 0, 1, 6, 0, 0, 0, 0, 22, 0, 0};
    uint64_t packets = 99;
    unsigned count;

    nft_begin(&nft);
    nft_table_add(&nft, NFT_OWNED, true);
    nft_counter_add(&nft, "dropped");
    nft_set_add(&nft, &set);
    nft_set_add(&nft, &alive);
    nft_chain_add(&nft, &in);
    nft_chain_add(&nft, &out);
    nft_chain_add(&nft, &post);
    nft_element_add(&nft, "some", key, sizeof key, 0);
    nft_element_add(&nft, "alive", &tcp, 1, 0);
    nft_rule_begin(&nft, "in");
    nft_match_in(&nft, "tun0", true);
    nft_match_state(&nft, NFT_STATE_ESTABLISHED | NFT_STATE_RELATED);
    nft_verdict(&nft, NF_ACCEPT);
    nft_rule_end(&nft);
    nft_rule_begin(&nft, "in");
    nft_match_family(&nft, ADDRESS_IPV4);
    nft_match_address(&nft, &pool, true, true);
    nft_count(&nft, "dropped");
    nft_verdict(&nft, NF_DROP);
    nft_rule_end(&nft);
    nft_rule_begin(&nft, "in");
    nft_match_family(&nft, ADDRESS_IPV6);
    nft_match_address(&nft, &six, false, false);
    nft_verdict(&nft, NF_DROP);
    nft_rule_end(&nft);
    nft_rule_begin(&nft, "in");
    nft_match_family(&nft, ADDRESS_IPV4);
    nft_load_address(&nft, 0, ADDRESS_IPV4, true);
    nft_load_meta(&nft, 1, NFT_META_L4PROTO);
    nft_load_port(&nft, 2);
    nft_lookup(&nft, 0, "some", true);
    nft_verdict(&nft, NF_ACCEPT);
    nft_rule_end(&nft);
    nft_rule_begin(&nft, "out");
    nft_match_mark(&nft, 7, false);
    nft_match_protocol(&nft, 17);
    nft_match_port(&nft, 53);
    nft_redirect(&nft, 5353);
    nft_rule_end(&nft);
    nft_rule_begin(&nft, "post");
    nft_match_out(&nft, "tun0", true);
    nft_masquerade(&nft);
    nft_rule_end(&nft);
    assert_int_equal(nft_commit(&nft), ERR_OK);

    assert_listed("flags owner");
    assert_listed("type filter hook input priority filter - 10; policy drop");
    assert_listed("type nat hook output priority -100; policy accept");
    assert_listed("iifname \"tun0\" ct state established,related accept");
    assert_listed("ip saddr 10.128.0.0/9 counter name \"dropped\" drop");
    assert_listed("ip6 daddr != 2001:20::1 drop");
    assert_listed("th dport @some accept");
    assert_listed("type ipv4_addr . inet_proto . inet_service");
    assert_listed("10.0.0.1 . tcp . 22");
    assert_listed("timeout 1m");
    assert_listed("meta mark != 0x00000007");
    assert_listed("udp dport 53 redirect to :5353");
    assert_listed("oifname \"tun0\" masquerade");
    assert_int_equal(nft_counter_read(&nft, "dropped", &packets), ERR_OK);
    assert_int_equal(packets, 0);
    assert_int_equal(nft_counter_read(&nft, "other", &packets), ERR_NOT_FOUND);
    assert_int_equal(nft_rule_count(&nft, &count), ERR_OK);
    assert_int_equal(count, 6);
}

static void the_owner_alone_changes_it(void **state)
{
    struct nft other;

    assert_non_null(strstr(testnet_output("nft delete table inet test"), "not permitted"));
    testnet_run("nft flush ruleset");
    assert_listed("th dport @some accept");
    assert_int_equal(nft_open(&other, "test"), ERR_OK);
    nft_begin(&other);
    nft_set_flush(&other, "some");
    assert_int_equal(nft_commit(&other), ERR_REFUSED);
    nft_begin(&other);
    nft_table_add(&other, NFT_OWNED, true);
    assert_true(nft_commit(&other) < 0);
    nft_close(&other);
}

static void elements_come_and_go(void **state)
{
    const uint8_t key[12] = {10, 0, 0, 2, 17, 0, 0, 0, 0, 53, 0, 0};

    nft_begin(&nft);
    nft_element_add(&nft, "some", key, sizeof key, 0);
    assert_int_equal(nft_commit(&nft), ERR_OK);
    assert_listed("10.0.0.2 . udp . 53");
    nft_begin(&nft);
    nft_element_delete(&nft, "some", key, sizeof key);
    nft_element_add(&nft, "some", key, sizeof key, 0);
    assert_int_equal(nft_commit(&nft), ERR_OK);
    assert_listed("10.0.0.2 . udp . 53");
    nft_begin(&nft);
    nft_element_delete(&nft, "some", key, sizeof key);
    assert_int_equal(nft_commit(&nft), ERR_OK);
    assert_null(strstr(listing(), "10.0.0.2"));
    nft_begin(&nft);
    nft_set_flush(&nft, "some");
    nft_set_flush(&nft, "some");
    assert_int_equal(nft_commit(&nft), ERR_OK);
    assert_null(strstr(listing(), "10.0.0.1"));
}

static void refusals_name_the_part_and_change_nothing(void **state)
{
    const uint8_t key[12] = {10, 0, 0, 3, 17, 0, 0, 0, 0, 53, 0, 0};
    const uint8_t missing[12] = {10, 0, 0, 4};

    nft_begin(&nft);
    nft_element_add(&nft, "some", key, sizeof key, 0);
    nft_element_delete(&nft, "some", missing, sizeof missing);
    assert_int_equal(nft_commit(&nft), ERR_NOT_FOUND);
    assert_string_equal(nft_error(&nft),
                        "table test: delete element of set some: No such file or directory");
    assert_null(strstr(listing(), "10.0.0.3"));
    nft_begin(&nft);
    nft_rule_begin(&nft, "nosuch");
    nft_verdict(&nft, NF_ACCEPT);
    nft_rule_end(&nft);
    assert_true(nft_commit(&nft) < 0);
    assert_non_null(strstr(nft_error(&nft), "add rule in chain nosuch"));
}

static void too_much_is_refused_here(void **state)
{
    uint8_t key[12] = {10};
    unsigned i;

    nft_begin(&nft);
    for (i = 0; i < 2000; i++) {
        key[2] = (uint8_t)(i >> 8);
        key[3] = (uint8_t)i;
        nft_element_add(&nft, "some", key, sizeof key, 0);
    }
    assert_int_equal(nft_commit(&nft), ERR_FULL);
    assert_null(strstr(listing(), "10.0.0.0 ."));
    /* Forgotten with the next begin. */
    nft_begin(&nft);
    assert_int_equal(nft_commit(&nft), ERR_OK);
    nft_begin(&nft);
    for (i = 0; i < 500; i++) {
        key[2] = (uint8_t)(i >> 8);
        key[3] = (uint8_t)i;
        nft_element_add(&nft, "some", key, sizeof key, 0);
    }
    assert_int_equal(nft_commit(&nft), ERR_OK);
    assert_listed("10.0.1.243 .");
}

static void it_dies_with_its_owner(void **state)
{
    pid_t child;
    int pipes[2];
    char byte;

    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        struct nft own;

        if (nft_open(&own, "childs") < 0)
            _exit(1);
        nft_begin(&own);
        nft_table_add(&own, NFT_OWNED, true);
        if (nft_commit(&own) < 0 || write(pipes[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(pipes[1]);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    assert_listed("table inet childs");
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_null(strstr(listing(), "childs"));
    close(pipes[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_of_everything),
        cmocka_unit_test(the_owner_alone_changes_it),
        cmocka_unit_test(elements_come_and_go),
        cmocka_unit_test(refusals_name_the_part_and_change_nothing),
        cmocka_unit_test(too_much_is_refused_here),
        cmocka_unit_test(it_dies_with_its_owner),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
