/* Messages in fragments: on good and bad networks, with peers that take none, and everything that a
 * stranger or a peer may do with them. */
#include "ike/fragment.h"
#include "net.h"
#include "pki.h"
#include <string.h>

#define LEN 300

/* Two peers with certificates, whose messages do not fit one fragment. */
struct pair {
    struct net net;
    struct ike_peer_entry entries[2];
    struct signer *signer;
    struct chain *chain;
    struct anchors *anchors;
    struct packet_sim caught[64]; /* what catch_requests() has kept back */
    size_t count;
};

static void pair_init(struct pair *p, uint64_t seed, bool has_cbc)
{
    memset(p, 0, sizeof(*p));
    net_init(&p->net, seed);
    p->signer = pki_signer("rsa.key");
    p->chain = pki_chain("rsa.pem", "middle.pem");
    p->anchors = pki_anchors("ca.pem");
    for (size_t i = 0; i < 2; i++) {
        struct ike_peer_entry *e = &p->entries[i];
        struct ike_config *c = &p->net.nodes[i].config;
        e->own = (struct ike_credentials){
            .proof = IKE_PROOF_CERT, .signer = p->signer, .chain = p->chain};
        assert_int_equal(ike_name_parse("gate.example.net", &e->own.name), ERR_OK);
        e->expected.proofs = IKE_PROOF_CERT;
        e->expected.anchors = p->anchors;
        net_want_child(&p->net, i, SPUT_AES256_GCM);
        c->peers = e;
        c->peer_count = 1;
        c->fragment_len = LEN;
        if (has_cbc) {
            memset(c->ciphers, 0, sizeof(c->ciphers));
            c->ciphers[0] = IKE_CIPHER_AES128_CBC;
            c->integs[0] = HASH_SHA256;
        }
    }
}

static void pair_open(struct pair *p)
{
    for (size_t i = 0; i < 2; i++) {
        net_open(&p->net, i, NULL);
        ike_table_set_time(p->net.nodes[i].table, PKI_NOW);
    }
}

static void pair_done(struct pair *p)
{
    net_done(&p->net);
    signer_free(p->signer);
    chain_free(p->chain);
    anchors_free(p->anchors);
}

static size_t longest_sealed;

/* The longest message that is not IKE_SA_INIT. */
static bool measure(struct net *net, struct packet_sim *p)
{
    struct ike_header header;
    assert_int_equal(ike_header_parse(p->bytes, p->len, &header), ERR_OK);
    if (header.exchange != IKE_EXCHANGE_SA_INIT && p->len > longest_sealed)
        longest_sealed = p->len;
    (void)net;
    return true;
}

static void test_good_network(void **state)
{
    for (int has_cbc = 0; has_cbc < 2; has_cbc++) {
        struct pair p;
        pair_init(&p, 1, has_cbc);
        pair_open(&p);
        longest_sealed = 0;
        p.net.tamper = measure;
        struct watch *a = net_connect(&p.net, 0, 1);
        net_run(&p.net, NET_MS(81)); /* not a round trip more */
        struct watch *b = net_newest(&p.net, 1);
        assert_true(a->is_established && b->is_established);
        assert_in_range(longest_sealed, LEN - 16, LEN);
        assert_null(a->sa->current->reassembly);
        /* after a rekey too */
        assert_int_equal(ike_sa_rekey(a->sa), ERR_OK);
        net_drive(a);
        net_run(&p.net, NET_SECOND(1));
        assert_true(a->sa->current->has_fragments && b->sa->current->has_fragments);
        uint8_t data[1000];
        memset(data, 7, sizeof(data));
        assert_int_equal(ike_sa_send_notify(a->sa, 56999, data, sizeof(data)), ERR_OK);
        net_drive(a);
        net_run(&p.net, NET_SECOND(1));
        assert_int_equal(b->notify_len, sizeof(data));
        assert_memory_equal(b->notify_data, data, sizeof(data));
        assert_in_range(longest_sealed, LEN - 16, LEN);
        pair_done(&p);
    }
    (void)state;
}

static void test_bad_network(void **state)
{
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct pair p;
        pair_init(&p, 100 + seed, seed % 2);
        for (size_t i = 0; i < 2; i++)
            p.net.nodes[i].config.establish_timeout_us =
                p.net.nodes[i].config.half_open_timeout_us = NET_SECOND(60);
        p.net.loss_percent = 20;
        p.net.double_percent = 20;
        p.net.jitter_us = NET_MS(100);
        pair_open(&p);
        struct watch *a = net_connect(&p.net, 0, 1);
        net_run(&p.net, NET_SECOND(60));
        assert_true(a->is_established);
        pair_done(&p);
    }
    (void)state;
}

/* Where one side takes none, messages go whole. */
static void test_not_taken(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        struct pair p;
        pair_init(&p, 1, false);
        p.net.nodes[i].config.fragment_len = 0;
        pair_open(&p);
        struct watch *a = net_connect(&p.net, 0, 1);
        net_run(&p.net, NET_MS(81));
        assert_true(a->is_established);
        assert_true(p.net.longest > 2 * LEN);
        pair_done(&p);
    }
    (void)state;
}

static bool catch_requests(struct net *net, struct packet_sim *packet)
{
    struct pair *p = (struct pair *)net->tamper_context;
    struct ike_header header;

    assert_int_equal(ike_header_parse(packet->bytes, packet->len, &header), ERR_OK);
    if (header.next_payload != IKE_PAYLOAD_SKF || (header.flags & IKE_FLAG_RESPONSE) != 0)
        return true;
    assert_true(p->count < 64);
    p->caught[p->count++] = *packet;
    return false;
}

/* The initiator's IKE_AUTH request is caught; the responder waits for it. */
static struct ike_generation *catch_all(struct pair *p)
{
    p->net.tamper = catch_requests;
    p->net.tamper_context = p;
    pair_open(p);
    net_connect(&p->net, 0, 1);
    net_run(&p->net, NET_MS(41));
    assert_in_range(p->count, 5, IKE_FRAGMENTS_MAX);
    return net_newest(&p->net, 1)->sa->current;
}

static int inject(struct pair *p, const struct packet_sim *packet, size_t len)
{
    return net_inject(&p->net, 1, &packet->source, packet->bytes, len);
}

static void test_any_order(void **state)
{
    struct pair p;
    pair_init(&p, 1, false);
    struct ike_generation *g = catch_all(&p);
    for (size_t i = p.count; i > 0; i--) {
        assert_false(net_newest(&p.net, 1)->is_established);
        assert_int_equal(inject(&p, &p.caught[i - 1], p.caught[i - 1].len), ERR_OK);
        if (i > 1) {
            assert_int_equal(g->reassembly->count, p.count - i + 1);
            assert_int_equal(inject(&p, &p.caught[i - 1], p.caught[i - 1].len), ERR_REPLAY);
        }
    }
    struct watch *b = net_newest(&p.net, 1);
    assert_true(b->is_established);
    /* the first one again: the answer again, all of it; the others say nothing */
    const unsigned sent = p.net.sent_count;
    assert_int_equal(inject(&p, &p.caught[1], p.caught[1].len), ERR_REPLAY);
    assert_int_equal(p.net.sent_count, sent);
    assert_int_equal(inject(&p, &p.caught[0], p.caught[0].len), ERR_OK);
    assert_true(p.net.sent_count > sent + 4);
    pair_done(&p);
    (void)state;
}

/* What is not authentic is not kept, and does no harm to what is. */
static void test_forged(void **state)
{
    struct pair p;
    pair_init(&p, 1, false);
    struct ike_generation *g = catch_all(&p);
    struct packet_sim forged;

    for (size_t bit = 8 * IKE_HEADER_LEN; bit < 8 * p.caught[0].len; bit++) {
        forged = p.caught[0];
        forged.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(inject(&p, &forged, forged.len), ERR_OK);
        assert_null(g->reassembly);
    }
    for (size_t cut = 0; cut < p.caught[0].len; cut++)
        assert_int_not_equal(inject(&p, &p.caught[0], cut), ERR_OK);
    assert_null(g->reassembly);
    /* others' numbers: covered by the tag */
    for (unsigned number = 0; number < 70; number++) {
        for (unsigned total = 0; total < 70; total += 23) {
            forged = p.caught[1];
            uint8_t *head = forged.bytes + IKE_HEADER_LEN + IKE_PAYLOAD_HEADER_LEN;
            head[1] = (uint8_t)number;
            head[3] = (uint8_t)total;
            assert_int_not_equal(inject(&p, &forged, forged.len), ERR_OK);
        }
    }
    assert_null(g->reassembly);
    for (size_t i = 0; i < p.count; i++)
        assert_int_equal(inject(&p, &p.caught[i], p.caught[i].len), ERR_OK);
    assert_true(net_newest(&p.net, 1)->is_established);
    pair_done(&p);
    (void)state;
}

/* One fragment as the initiator could make it. */
static int inject_made(struct pair *p, struct ike_generation *initiator, unsigned number,
                       unsigned total, uint8_t first, size_t len)
{
    static const struct endpoint source = {{ADDRESS_IPV4, {198, 51, 100, 1}}, 4500};
    const struct ike_header header = {.spi_i = initiator->spi_i,
                                      .spi_r = initiator->spi_r,
                                      .major_version = 2,
                                      .exchange = IKE_EXCHANGE_AUTH,
                                      .flags = IKE_FLAG_INITIATOR,
                                      .message_id = 1};
    static uint8_t bytes[IKE_MESSAGE_CAP];
    struct writer w;
    struct ike_builder b;

    writer_init(&w, bytes, sizeof(bytes));
    ike_build_begin(&b, &w, &header);
    ike_build_skf(&b, first, (uint16_t)number, (uint16_t)total, 8, 1);
    writer_zero(&w, len);
    ike_build_end(&b, 16);
    /* numbers that cannot be are not even sealed */
    const int error = ike_keys_seal(&initiator->keys, true, initiator->iv_counter++, bytes, w.len);
    assert_true(error == ERR_OK || error == ERR_INVALID);
    return net_inject(&p->net, 1, &source, bytes, w.len);
}

/* A peer that has keys may still not fill our memory, nor confuse what is put together. */
static void test_hostile_peer(void **state)
{
    struct pair p;
    pair_init(&p, 1, false);
    struct ike_generation *g = catch_all(&p);
    struct ike_generation *i = p.net.nodes[0].watches->sa->current;

    assert_int_equal(inject_made(&p, i, 1, IKE_FRAGMENTS_MAX + 1, 35, 10), ERR_LIMIT);
    assert_int_equal(inject_made(&p, i, 1, 65535, 35, 10), ERR_LIMIT);
    assert_int_equal(inject_made(&p, i, 0, 3, 0, 10), ERR_INVALID);
    assert_int_equal(inject_made(&p, i, 4, 3, 0, 10), ERR_INVALID);
    assert_int_equal(inject_made(&p, i, 2, 3, 35, 10), ERR_INVALID);
    assert_null(g->reassembly);
    assert_int_equal(inject_made(&p, i, 1, 3, 35, 0), ERR_LIMIT); /* empty */
    /* more than a message may hold */
    assert_int_equal(inject_made(&p, i, 1, 4, 35, 3000), ERR_OK);
    assert_int_equal(inject_made(&p, i, 2, 4, 0, 3000), ERR_OK);
    assert_int_equal(inject_made(&p, i, 3, 4, 0, 3000), ERR_LIMIT);
    assert_int_equal(g->reassembly->len, 6000);
    /* fewer: ignored; more: begins anew */
    assert_int_equal(inject_made(&p, i, 1, 2, 35, 10), ERR_REPLAY);
    assert_int_equal(g->reassembly->total, 4);
    assert_int_equal(inject_made(&p, i, 2, 5, 0, 10), ERR_OK);
    assert_int_equal(g->reassembly->total, 5);
    assert_int_equal(g->reassembly->count, 1);
    assert_int_equal(g->reassembly->len, 10);
    /* old ones go with their time */
    net_run(&p.net, NET_SECOND(14));
    struct watch *b = net_newest(&p.net, 1);
    assert_true(b->sa == NULL || g->reassembly != NULL);
    net_run(&p.net, NET_SECOND(30));
    assert_true(b->is_closed);
    pair_done(&p);

    /* all there, and nonsense: the SA ends, and says so */
    pair_init(&p, 2, false);
    catch_all(&p);
    i = p.net.nodes[0].watches->sa->current;
    b = net_newest(&p.net, 1);
    assert_int_equal(inject_made(&p, i, 1, 2, 35, 10), ERR_OK);
    assert_int_equal(inject_made(&p, i, 2, 2, 0, 10), ERR_OK);
    assert_true(b->is_closed);
    assert_int_equal(b->closed.reason, IKE_REASON_PROTOCOL);
    pair_done(&p);

    /* where none have been agreed on none are taken */
    pair_init(&p, 3, false);
    g = catch_all(&p);
    g->has_fragments = false;
    assert_int_equal(inject(&p, &p.caught[0], p.caught[0].len), ERR_UNSUPPORTED);
    assert_null(g->reassembly);
    pair_done(&p);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_network), cmocka_unit_test(test_bad_network),
        cmocka_unit_test(test_not_taken),    cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_forged),       cmocka_unit_test(test_hostile_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
