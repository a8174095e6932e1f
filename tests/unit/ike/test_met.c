/* Proofs of having met: both sides of an SA have the same; the first message of the next one says
 * so, and nothing that was changed, cut, sent back or made with other keys does. */
#include "ike/state.h"
#include "net.h"
#include "wire/notify.h"
#include <string.h>

struct caught {
    uint8_t bytes[IKE_MESSAGE_CAP];
    size_t len;
    unsigned count;
};

struct fixture {
    struct net net;
    struct watch *a, *b;
    struct ike_met met;
    struct caught first;
};

static const struct public_key *key_of(const struct fixture *f, size_t node)
{
    return identity_public(f->net.nodes[node].identity);
}

static bool catch_first(struct net *net, struct packet_sim *p)
{
    struct caught *caught = net->tamper_context;
    if (!p->is_data && p->bytes[18] == IKE_EXCHANGE_SA_INIT && p->bytes[19] == IKE_FLAG_INITIATOR) {
        memcpy(caught->bytes, p->bytes, p->len);
        caught->len = p->len;
        caught->count++;
    }
    return true;
}

static void set_up(struct fixture *f, uint64_t seed)
{
    memset(&f->first, 0, sizeof(f->first));
    net_init(&f->net, seed);
    for (size_t i = 0; i < 2; i++) {
        net_want_child(&f->net, i, SPUT_AES128_GCM);
        net_open(&f->net, i, NULL);
    }
    f->a = net_connect(&f->net, 0, 1);
    net_run(&f->net, NET_SECOND(1));
    f->b = net_newest(&f->net, 1);
    assert_int_equal(ike_sa_met(f->a->sa, &f->met), ERR_OK);
}

/* a calls once more, with what it knows. */
static struct watch *call_again(struct fixture *f, uint64_t number)
{
    struct ike_config *config = &f->net.nodes[0].config;
    config->has_expected_key = config->has_met = true;
    config->expected_key = *key_of(f, 1);
    config->met = f->met;
    config->met_number = number;
    f->net.tamper = catch_first;
    f->net.tamper_context = &f->first;
    return net_connect(&f->net, 0, 1);
}

static bool is_right(const struct fixture *f, const uint8_t *message, size_t len)
{
    struct ike_met_claim claim;
    return ike_met_parse(message, len, &claim) == ERR_OK &&
           memcmp(claim.id, f->met.id, IKE_MET_ID_LEN) == 0 &&
           ike_met_is_right(&f->met, &claim, key_of(f, 0), key_of(f, 1));
}

static void test_both_know(void **state)
{
    struct fixture f;
    struct ike_met other, next;
    set_up(&f, 1);
    assert_int_equal(ike_sa_met(f.b->sa, &other), ERR_OK);
    assert_memory_equal(&f.met, &other, sizeof(other));
    /* Another SA, another proof. */
    struct watch *again = net_connect(&f.net, 0, 1);
    assert_int_equal(ike_sa_met(again->sa, &next), ERR_STATE);
    net_run(&f.net, NET_SECOND(1));
    assert_int_equal(ike_sa_met(again->sa, &next), ERR_OK);
    assert_memory_not_equal(next.id, f.met.id, sizeof(next.id));
    assert_memory_not_equal(next.secret, f.met.secret, sizeof(next.secret));
    net_done(&f.net);
    (void)state;
}

static void test_first_message(void **state)
{
    struct fixture f;
    struct ike_met_claim claim;
    set_up(&f, 2);
    struct watch *again = call_again(&f, 7000);
    net_run(&f.net, NET_SECOND(1));
    assert_true(again->is_established); /* who does not know of it takes no notice */
    assert_int_equal(f.first.count, 1);
    assert_true(is_right(&f, f.first.bytes, f.first.len));
    assert_int_equal(ike_met_parse(f.first.bytes, f.first.len, &claim), ERR_OK);
    assert_int_equal(claim.number, 7000);
    /* The other way round it is what somebody sends back. */
    assert_false(ike_met_is_right(&f.met, &claim, key_of(&f, 1), key_of(&f, 0)));
    assert_false(ike_met_is_right(&f.met, &claim, key_of(&f, 0), key_of(&f, 0)));
    struct ike_met wrong = f.met;
    wrong.secret[31] ^= 1;
    assert_false(ike_met_is_right(&wrong, &claim, key_of(&f, 0), key_of(&f, 1)));
    claim.number++;
    assert_false(ike_met_is_right(&f.met, &claim, key_of(&f, 0), key_of(&f, 1)));
    net_done(&f.net);
    (void)state;
}

static void test_without(void **state)
{
    struct fixture f;
    struct ike_met_claim claim;
    set_up(&f, 3);
    f.net.tamper = catch_first;
    f.net.tamper_context = &f.first;
    (void)net_connect(&f.net, 0, 1);
    net_run(&f.net, NET_SECOND(1));
    assert_int_equal(f.first.count, 1);
    assert_int_equal(ike_met_parse(f.first.bytes, f.first.len, &claim), ERR_NOT_FOUND);
    net_done(&f.net);
    (void)state;
}

/* Nobody with whom it was not made gets anything by changing or cutting it: the proof itself, the
 * SPI, the nonce, the key exchange. */
static void test_changed(void **state)
{
    struct fixture f;
    struct ike_met_claim claim;
    set_up(&f, 4);
    (void)call_again(&f, 1);
    net_run(&f.net, NET_SECOND(1));
    uint8_t *bytes = f.first.bytes;
    assert_int_equal(ike_met_parse(bytes, f.first.len, &claim), ERR_OK);
    const struct {
        const uint8_t *at;
        size_t len;
    } covered[] = {{claim.id - 1, IKE_MET_LEN},
                   {claim.spi, 8},
                   {claim.nonce, claim.nonce_len},
                   {claim.exchange, claim.exchange_len}};
    for (size_t i = 0; i < sizeof(covered) / sizeof(covered[0]); i++) {
        for (size_t bit = 0; bit < covered[i].len * 8; bit++) {
            uint8_t *byte = bytes + (covered[i].at - bytes) + bit / 8;
            *byte ^= (uint8_t)(1u << bit % 8);
            assert_false(is_right(&f, bytes, f.first.len));
            *byte ^= (uint8_t)(1u << bit % 8);
        }
    }
    for (size_t len = 0; len < f.first.len; len++) {
        uint8_t cut[IKE_MESSAGE_CAP];
        memcpy(cut, bytes, len);
        assert_false(is_right(&f, cut, len));
    }
    assert_true(is_right(&f, bytes, f.first.len));
    bytes[19] |= IKE_FLAG_RESPONSE;
    assert_int_equal(ike_met_parse(bytes, f.first.len, &claim), ERR_NOT_FOUND);
    bytes[19] = IKE_FLAG_INITIATOR;
    bytes[15] = 1; /* a responder's SPI */
    assert_int_equal(ike_met_parse(bytes, f.first.len, &claim), ERR_NOT_FOUND);
    net_done(&f.net);
    (void)state;
}

/* What is sent again for a cookie is a message of its own, with a greater number. */
static void test_cookie(void **state)
{
    struct ike_table_limits limits;
    struct ike_met_claim claim;
    struct fixture f;
    set_up(&f, 5);
    ike_table_limits_init(&limits);
    limits.cookie_threshold = 0;
    net_open(&f.net, 2, &limits);
    struct ike_config *config = &f.net.nodes[0].config;
    config->has_expected_key = config->has_met = true;
    config->expected_key = *identity_public(f.net.nodes[2].identity);
    config->met = f.met;
    config->met_number = 100;
    f.net.tamper = catch_first;
    f.net.tamper_context = &f.first;
    (void)net_connect(&f.net, 0, 2);
    net_run(&f.net, NET_SECOND(1));
    assert_int_equal(f.first.count, 2);
    assert_int_equal(ike_met_parse(f.first.bytes, f.first.len, &claim), ERR_OK);
    assert_int_equal(claim.number, 101);
    assert_true(ike_met_is_right(&f.met, &claim, key_of(&f, 0), key_of(&f, 2)));
    net_done(&f.net);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_know), cmocka_unit_test(test_first_message),
        cmocka_unit_test(test_without),   cmocka_unit_test(test_changed),
        cmocka_unit_test(test_cookie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
