/* Attackers on the path and off it: changed, cut, replayed, reflected and forged messages, and
 * whole false responders. None may change anything that an authentic message did not. */
#include "ike/state.h"
#include "net.h"
#include <stdlib.h>
#include <string.h>

#define RECORD_MAX 256

static void open_nodes(struct net *net, uint64_t seed, size_t count)
{
    net_init(net, seed);
    for (size_t i = 0; i < count; i++) {
        net_want_child(net, i, SPUT_AES128_GCM);
        net->nodes[i].config.rekey_child_us = net->nodes[i].config.rekey_ike_us = 0;
    }
    net->nodes[0].config.has_expected_key = true;
    net->nodes[0].config.expected_key = *identity_public(net->nodes[1].identity);
    for (size_t i = 0; i < count; i++)
        net_open(net, i, NULL);
}

/* What the tampering hook does with the message of this number. */
struct plan {
    unsigned count, victim;
    size_t bit; /* to flip */
    size_t cut; /* bytes to leave, where has_cut */
    bool has_cut;
    bool is_extra; /* the genuine one follows */
    size_t victim_len;
};

static bool flip_or_cut(struct net *net, struct packet_sim *p)
{
    struct plan *plan = (struct plan *)net->tamper_context;

    if (plan->count++ != plan->victim)
        return true;
    plan->victim_len = p->len;
    struct packet_sim changed = *p;
    if (plan->has_cut)
        changed.len = plan->cut < p->len ? plan->cut : p->len;
    else
        changed.bytes[plan->bit / 8 % p->len] ^= (uint8_t)(1u << plan->bit % 8);
    if (!plan->is_extra) {
        *p = changed;
        return true;
    }
    /* It arrives first. */
    for (size_t i = 0; i < NET_NODES; i++)
        if (net->nodes[i].table != NULL &&
            endpoint_is_equal(&net->nodes[i].endpoint, &p->destination))
            (void)net_inject(net, i, &p->source, changed.bytes, changed.len);
    return true;
}

/* Runs a handshake with one message changed; it must come to the same end. */
static size_t try_plan(struct plan plan)
{
    struct net net;

    open_nodes(&net, 1, 2);
    net.nodes[0].config.establish_timeout_us = NET_SECOND(30);
    net.tamper = flip_or_cut;
    net.tamper_context = &plan;
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(12));
    assert_true(a->is_established);
    assert_false(a->is_closed);
    assert_true(public_key_is_equal(&a->peer_key, identity_public(net.nodes[1].identity)));
    size_t established = 0;
    for (const struct watch *b = net_newest(&net, 1); b != NULL; b = b->next) {
        bool is_up = b->is_established && !b->is_closed;
        established += is_up;
        if (!is_up)
            continue;
        assert_int_equal(watch_sending(b)->ready.spi_in, watch_sending(a)->ready.spi_out);
        assert_memory_equal(watch_sending(b)->ready.key_in, watch_sending(a)->ready.key_out, 24);
    }
    assert_int_equal(established, 1);
    net_done(&net);
    return plan.victim_len;
}

static void test_flipped_bits(void **state)
{
    for (unsigned victim = 0; victim < 4; victim++) {
        for (int extra = 0; extra < 2; extra++) {
            size_t len = 1;
            for (size_t bit = victim; bit < len * 8; bit += 5)
                len = try_plan((struct plan){.victim = victim, .bit = bit, .is_extra = extra});
        }
    }
    (void)state;
}

static void test_cut_messages(void **state)
{
    for (unsigned victim = 0; victim < 4; victim++) {
        size_t len = 1;
        for (size_t cut = 0; cut < len; cut += 5)
            len = try_plan(
                (struct plan){.victim = victim, .cut = cut, .has_cut = true, .is_extra = cut % 2});
    }
    (void)state;
}

struct record {
    struct packet_sim packets[RECORD_MAX];
    size_t count;
};

static bool record_all(struct net *net, struct packet_sim *p)
{
    struct record *record = (struct record *)net->tamper_context;
    assert_true(record->count < RECORD_MAX);
    record->packets[record->count++] = *p;
    return true;
}

static size_t node_at(const struct net *net, const struct endpoint *e)
{
    for (size_t i = 0; i < NET_NODES; i++)
        if (endpoint_is_equal(&net->nodes[i].endpoint, e))
            return i;
    fail();
    return 0;
}

static void snapshot(const struct watch *w, struct watch *ret)
{
    *ret = *w;
    assert_int_equal(ike_sa_state(w->sa), IKE_STATE_ESTABLISHED);
}

static void check_untouched(const struct watch *w, const struct watch *before)
{
    assert_memory_equal(w, before, sizeof(*w));
    assert_int_equal(ike_sa_state(w->sa), IKE_STATE_ESTABLISHED);
}

/* A busy session, recorded; then every message again, from its sender and from elsewhere, to its
 * receiver and back to its sender; and every bit of each flipped. */
static void test_replayed_and_reflected(void **state)
{
    struct net net;
    struct record *record = (struct record *)calloc(1, sizeof(*record));
    struct watch before_a, before_b;
    const struct endpoint elsewhere = {address_from_ipv4(0xcb007107), 999};

    assert_non_null(record);
    open_nodes(&net, 2, 2);
    net.tamper = record_all;
    net.tamper_context = record;
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(1));
    struct watch *b = net_newest(&net, 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ike_sa_send_notify(a->sa, 56800, &i, 4), ERR_OK);
        assert_int_equal(ike_sa_send_notify(b->sa, 56801, &i, 4), ERR_OK);
        assert_int_equal(ike_sa_rekey_child(i % 2 ? a->sa : b->sa), ERR_OK);
        if (i == 2)
            assert_int_equal(ike_sa_rekey(a->sa), ERR_OK);
        net_drive(a);
        net_drive(b);
        net_run(&net, NET_SECOND(3));
    }
    net_run(&net, NET_SECOND(7));
    assert_true(record->count > 30);
    assert_int_equal(a->notify_count, 4);
    assert_int_equal(b->notify_count, 4);
    net.tamper = NULL;
    snapshot(a, &before_a);
    snapshot(b, &before_b);
    unsigned watches[] = {net.nodes[0].watch_count, net.nodes[1].watch_count};
    for (size_t i = 0; i < record->count; i++) {
        const struct packet_sim *p = &record->packets[i];
        size_t to = node_at(&net, &p->destination), from = node_at(&net, &p->source);
        (void)net_inject(&net, to, &p->source, p->bytes, p->len);
        (void)net_inject(&net, to, &elsewhere, p->bytes, p->len);
        if (i > 0) /* the very first one would be a proper request to its sender, too */
            (void)net_inject(&net, from, &p->destination, p->bytes, p->len);
        for (size_t bit = 0; i >= 2 && bit < p->len * 8; bit++) {
            uint8_t bytes[IKE_MESSAGE_CAP];
            memcpy(bytes, p->bytes, p->len);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_not_equal(net_inject(&net, to, &p->source, bytes, p->len), ERR_OK);
        }
        check_untouched(a, &before_a);
        check_untouched(b, &before_b);
    }
    /* The replayed first request came from another address once: that alone is a new half-open SA.
     */
    assert_int_equal(net.nodes[0].watch_count, watches[0]);
    assert_int_equal(net.nodes[1].watch_count, watches[1] + 1);
    assert_true(net.nodes[0].errors[-ERR_REPLAY] > 0);
    net_run(&net, NET_SECOND(40));
    assert_int_equal(ike_sa_state(a->sa), IKE_STATE_ESTABLISHED);
    assert_int_equal(ike_sa_state(b->sa), IKE_STATE_ESTABLISHED);
    net_done(&net);
    free(record);
    (void)state;
}

/* An unencrypted notify in an answer to IKE_SA_INIT, arriving before the true answer. */
static bool forge_refusal(struct net *net, struct packet_sim *p)
{
    static const uint16_t notifies[] = {
        IKE_NOTIFY_NO_PROPOSAL_CHOSEN,
        IKE_NOTIFY_INVALID_KE_PAYLOAD,
        IKE_NOTIFY_INVALID_SYNTAX,
        IKE_NOTIFY_AUTHENTICATION_FAILED,
        IKE_NOTIFY_COOKIE,
    };
    unsigned *index = (unsigned *)net->tamper_context;
    struct ike_header header;
    uint8_t bytes[256];
    struct writer w;
    struct ike_builder b;

    assert_int_equal(ike_header_parse(p->bytes, p->len, &header), ERR_OK);
    if (header.exchange != IKE_EXCHANGE_SA_INIT || header.spi_r != 0)
        return true;
    header.flags = IKE_FLAG_RESPONSE;
    writer_init(&w, bytes, sizeof(bytes));
    ike_build_begin(&b, &w, &header);
    ike_build_notify(&b, notifies[*index % 5], "0123456789", 2 + *index);
    ike_build_end(&b, 0);
    assert_true(writer_is_ok(&w));
    struct packet_sim *forged = (struct packet_sim *)calloc(1, sizeof(*forged));
    assert_non_null(forged);
    forged->source = p->destination;
    forged->destination = p->source;
    forged->len = w.len;
    memcpy(forged->bytes, bytes, w.len);
    forged->next = net->packets;
    forged->due_us = net->now_us;
    net->packets = forged;
    return true;
}

static void test_forged_refusals(void **state)
{
    for (unsigned i = 0; i < 5; i++) {
        struct net net;
        open_nodes(&net, 3, 2);
        net.tamper = forge_refusal;
        net.tamper_context = &i;
        struct watch *a = net_connect(&net, 0, 1);
        net_run(&net, NET_SECOND(8));
        assert_true(a->is_established);
        net_done(&net);
    }
    (void)state;
}

/* An attacker that reads all that goes to node 1 and answers faster, with a table of its own. */
static bool copy_to_attacker(struct net *net, struct packet_sim *p)
{
    if (endpoint_is_equal(&p->destination, &net->nodes[1].endpoint)) {
        struct packet_sim *copy = (struct packet_sim *)malloc(sizeof(*copy));
        assert_non_null(copy);
        *copy = *p;
        copy->destination = net->nodes[2].endpoint;
        copy->due_us = net->now_us;
        copy->next = net->packets;
        net->packets = copy;
    }
    return true;
}

static void test_false_responder(void **state)
{
    struct net net;
    /* quick: done before the true responder has even answered; slow: interleaved */
    for (unsigned delay = 1; delay < 60; delay += 6) {
        open_nodes(&net, 4, 3);
        net.jitter_us = NET_MS(delay);
        net.tamper = copy_to_attacker;
        struct watch *a = net_connect(&net, 0, 1);
        net_run(&net, NET_SECOND(6));
        assert_true(a->is_established);
        assert_false(a->is_closed);
        assert_true(public_key_is_equal(&a->peer_key, identity_public(net.nodes[1].identity)));
        assert_int_equal(a->kid_count, 1);
        struct watch *true_one = net_newest(&net, 1);
        assert_true(true_one->is_established);
        assert_int_equal(watch_sending(true_one)->ready.spi_in, watch_sending(a)->ready.spi_out);
        for (struct watch *w = net_newest(&net, 2); w != NULL; w = w->next)
            assert_true(!w->is_established || w->is_closed);
        net_done(&net);
    }
    (void)state;
}

/* Which byte of the answer to IKE_SA_INIT is changed in a second copy of it. */
struct copy_plan {
    size_t at, len;
    bool is_first; /* arrives before the genuine one, else right behind it */
};

static bool add_changed_copy(struct net *net, struct packet_sim *p)
{
    struct copy_plan *plan = (struct copy_plan *)net->tamper_context;
    struct ike_header header;

    assert_int_equal(ike_header_parse(p->bytes, p->len, &header), ERR_OK);
    if (header.exchange != IKE_EXCHANGE_SA_INIT || (header.flags & IKE_FLAG_RESPONSE) == 0 ||
        plan->len != 0)
        return true;
    plan->len = p->len;
    struct packet_sim *copy = (struct packet_sim *)malloc(sizeof(*copy));
    assert_non_null(copy);
    *copy = *p;
    copy->bytes[plan->at % p->len] ^= 1;
    copy->due_us = net->now_us + net->delay_us + (plan->is_first ? 0 : 1);
    struct packet_sim **link = &net->packets;
    while (*link != NULL && (*link)->due_us <= copy->due_us)
        link = &(*link)->next;
    copy->next = *link;
    *link = copy;
    return true;
}

/* Who reads on the path, and sends a copy with one byte changed: the copy leads to other keys, or
 * to the same. Neither may get in the way of the genuine answer, or of what follows. */
static void test_changed_copies(void **state)
{
    size_t len = 1;

    for (size_t i = 0; i < 2 * len; i++) {
        struct copy_plan plan = {.at = i / 2, .is_first = i % 2 != 0};
        struct net net;
        open_nodes(&net, 8, 2);
        net.tamper = add_changed_copy;
        net.tamper_context = &plan;
        struct watch *a = net_connect(&net, 0, 1);
        net_run(&net, NET_MS(900));
        struct watch *b = net_newest(&net, 1);
        assert_true(a->is_established && b->is_established);
        assert_int_equal(net.nodes[1].watch_count, 1); /* at the first go */
        assert_int_equal(ike_sa_send_notify(a->sa, 56800, "a", 1), ERR_OK);
        assert_int_equal(ike_sa_send_notify(b->sa, 56801, "b", 1), ERR_OK);
        net_drive(a);
        net_drive(b);
        net_run(&net, NET_MS(400));
        assert_int_equal(a->notify_count, 1);
        assert_int_equal(b->notify_count, 1);
        net_run(&net, NET_SECOND(40));
        assert_false(a->is_closed || b->is_closed);
        net_done(&net);
        len = plan.len;
    }
    (void)state;
}

/* Seals any payloads under the keys of one side's current generation, as its next request. */
static int send_crafted(struct net *net, struct watch *from, size_t to, uint8_t exchange,
                        uint8_t first, const uint8_t *payloads, size_t len)
{
    struct ike_generation *g = from->sa->current;
    const struct ike_header header = {
        .spi_i = g->spi_i,
        .spi_r = g->spi_r,
        .major_version = 2,
        .exchange = exchange,
        .flags = g->is_initiator ? IKE_FLAG_INITIATOR : 0,
        .message_id = g->send_id,
    };
    uint8_t bytes[IKE_MESSAGE_CAP];
    struct writer w;
    struct ike_builder b;

    writer_init(&w, bytes, sizeof(bytes));
    ike_build_begin(&b, &w, &header);
    ike_build_sk(&b, IKE_IV_LEN, 1);
    writer_patch_u8(&w, b.sk_at, first);
    writer_bytes(&w, payloads, len);
    ike_build_end(&b, AEAD_TAG_LEN);
    assert_true(writer_is_ok(&w));
    assert_int_equal(ike_keys_seal(&g->keys, g->is_initiator, g->iv_counter++, bytes, w.len),
                     ERR_OK);
    int error = net_inject(net, to, &from->node->endpoint, bytes, w.len);
    if (error == ERR_OK)
        g->send_id++; /* the answer finds nobody who waits */
    return error;
}

static void test_authentic_nonsense(void **state)
{
    /* next, critical, length, body */
    static const uint8_t unknown_critical[] = {0, 0x80, 0, 6, 1, 2};
    static const uint8_t unknown[] = {0, 0, 0, 6, 1, 2};
    static const uint8_t known_critical[] = {0, 0x80, 0, 8, 0, 0, 0x40, 0x09};
    static const uint8_t unknown_status[] = {0, 0, 0, 9, 0, 0, 0x7f, 0xff, 1};
    static const uint8_t too_long[] = {0, 0, 0, 9, 1};
    static const uint8_t bad_delete[] = {0, 0, 0, 8, 1, 4, 0, 1};
    struct net net;

    open_nodes(&net, 5, 2);
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(1));
    struct watch *b = net_newest(&net, 1);
    /* unknown things are ignored, or refused without harm */
    assert_int_equal(send_crafted(&net, a, 1, IKE_EXCHANGE_INFORMATIONAL, 200, unknown_critical,
                                  sizeof(unknown_critical)),
                     ERR_OK);
    assert_int_equal(
        send_crafted(&net, a, 1, IKE_EXCHANGE_INFORMATIONAL, 200, unknown, sizeof(unknown)),
        ERR_OK);
    assert_int_equal(send_crafted(&net, a, 1, IKE_EXCHANGE_INFORMATIONAL, IKE_PAYLOAD_NOTIFY,
                                  unknown_status, sizeof(unknown_status)),
                     ERR_OK);
    assert_int_equal(send_crafted(&net, a, 1, IKE_EXCHANGE_INFORMATIONAL, IKE_PAYLOAD_NOTIFY,
                                  known_critical, sizeof(known_critical)),
                     ERR_OK);
    assert_false(b->is_closed);
    assert_int_equal(b->notify_count, 0);
    net_done(&net);

    /* broken ones end the SA */
    const struct {
        uint8_t exchange, first;
        const uint8_t *payloads;
        size_t len;
    } broken[] = {
        {IKE_EXCHANGE_INFORMATIONAL, IKE_PAYLOAD_NOTIFY, too_long, sizeof(too_long)},
        {IKE_EXCHANGE_INFORMATIONAL, IKE_PAYLOAD_DELETE, bad_delete, sizeof(bad_delete)},
        {IKE_EXCHANGE_CREATE_CHILD_SA, 0, NULL, 0},
        {IKE_EXCHANGE_AUTH, 0, NULL, 0},
        {99, 0, NULL, 0},
    };
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        open_nodes(&net, 6, 2);
        a = net_connect(&net, 0, 1);
        net_run(&net, NET_SECOND(1));
        b = net_newest(&net, 1);
        assert_int_equal(send_crafted(&net, a, 1, broken[i].exchange, broken[i].first,
                                      broken[i].payloads, broken[i].len),
                         ERR_OK);
        assert_true(b->is_closed);
        assert_int_equal(b->closed.reason, IKE_REASON_PROTOCOL);
        net_done(&net);
    }
    (void)state;
}

/* Random payloads under the right keys: an authentic peer gone mad harms itself only. */
static void test_authentic_noise(void **state)
{
    struct net net;
    for (uint64_t seed = 0; seed < 300; seed++) {
        uint8_t noise[300];
        open_nodes(&net, seed, 2);
        struct watch *a = net_connect(&net, 0, 1);
        net_run(&net, NET_SECOND(1));
        for (int i = 0; i < 5 && !net_newest(&net, 1)->is_closed; i++) {
            size_t len = net_random(&net, sizeof(noise));
            for (size_t j = 0; j < len; j++)
                noise[j] = (uint8_t)net_random(&net, 256);
            if (len > 4) { /* make the first payload fit, so that more is read */
                noise[0] = 0;
                noise[2] = (uint8_t)(len >> 8);
                noise[3] = (uint8_t)len;
            }
            (void)send_crafted(&net, a, 1, (uint8_t)(35 + net_random(&net, 3)),
                               (uint8_t)(33 + net_random(&net, 16)), noise, len);
        }
        net_done(&net);
    }
    (void)state;
}

/* Half an exchange in the clear, from anybody. */
static void test_unencrypted_requests(void **state)
{
    struct net net;
    struct watch before;
    uint8_t bytes[128];

    open_nodes(&net, 7, 2);
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(1));
    struct watch *b = net_newest(&net, 1);
    snapshot(b, &before);
    for (int i = 0; i < 3; i++) {
        struct ike_generation *g = a->sa->current;
        const struct ike_header header = {.spi_i = g->spi_i,
                                          .spi_r = g->spi_r,
                                          .major_version = 2,
                                          .exchange = IKE_EXCHANGE_INFORMATIONAL,
                                          .flags = IKE_FLAG_INITIATOR,
                                          .message_id = g->send_id};
        struct writer w;
        struct ike_builder builder;
        writer_init(&w, bytes, sizeof(bytes));
        ike_build_begin(&builder, &w, &header);
        if (i == 0)
            ike_build_delete_ike(&builder);
        else if (i == 1)
            ike_build_notify(&builder, IKE_NOTIFY_AUTHENTICATION_FAILED, NULL, 0);
        ike_build_end(&builder, 0);
        assert_int_equal(net_inject(&net, 1, &net.nodes[0].endpoint, bytes, w.len), ERR_INVALID);
        check_untouched(b, &before);
    }
    net_done(&net);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flipped_bits),           cmocka_unit_test(test_cut_messages),
        cmocka_unit_test(test_replayed_and_reflected), cmocka_unit_test(test_forged_refusals),
        cmocka_unit_test(test_false_responder),        cmocka_unit_test(test_authentic_nonsense),
        cmocka_unit_test(test_authentic_noise),        cmocka_unit_test(test_unencrypted_requests),
        cmocka_unit_test(test_changed_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
