/* Authentication with peers that are not Detec hosts, engine against engine: every method with
 * every other, and everything that may be wrong with a name, a secret, a key or a certificate. */
#include "ike/auth_internal.h"
#include "ike/generation.h"
#include "net.h"
#include "pki.h"
#include <string.h>

static const uint8_t secret[] = "correct horse battery staple";
static const char *const kinds[] = {"ed25519", "p256", "p384", "p521", "rsa"};

/* All that the tests present; made once. */
static struct {
    struct signer *signers[5];
    struct verifier *keys[5];
    struct chain *chains[5];
    struct anchors *anchors, *other_anchors;
} pki;

static int set_up(void **state)
{
    char name[32];

    for (size_t i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "%s.key", kinds[i]);
        pki.signers[i] = pki_signer(name);
        snprintf(name, sizeof(name), "%s.pub", kinds[i]);
        pki.keys[i] = pki_verifier(name);
        snprintf(name, sizeof(name), "%s.pem", kinds[i]);
        pki.chains[i] = pki_chain(name, NULL);
    }
    pki.anchors = pki_anchors("ca.pem");
    pki.other_anchors = pki_anchors("other-ca.pem");
    (void)state;
    return 0;
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < 5; i++) {
        signer_free(pki.signers[i]);
        verifier_free(pki.keys[i]);
        chain_free(pki.chains[i]);
    }
    anchors_free(pki.anchors);
    anchors_free(pki.other_anchors);
    (void)state;
    return 0;
}

static struct ike_name name_of(const char *text)
{
    struct ike_name name;
    assert_int_equal(ike_name_parse(text, &name), ERR_OK);
    return name;
}

/* Methods: 0 a secret, 1 nothing, 2 to 6 keys, 7 to 11 certificates. */
#define METHODS 12

static void give(struct ike_credentials *own, unsigned method, const char *name)
{
    static const enum ike_proof proofs[] = {IKE_PROOF_PSK, IKE_PROOF_NULL};

    *own = (struct ike_credentials){.name = name_of(name)};
    own->proof = method < 2 ? proofs[method] : method < 7 ? IKE_PROOF_KEY : IKE_PROOF_CERT;
    if (method == 0) {
        own->psk = secret;
        own->psk_len = sizeof(secret);
    }
    if (method >= 2)
        own->signer = pki.signers[(method - 2) % 5];
    if (method >= 7)
        own->chain = pki.chains[method - 7];
}

static void expect(struct ike_expected *expected, unsigned method, const char *name)
{
    static const unsigned proofs[] = {IKE_PROOF_PSK, IKE_PROOF_NULL};

    *expected = (struct ike_expected){.name = name_of(name)};
    expected->proofs = method < 2 ? proofs[method] : method < 7 ? IKE_PROOF_KEY : IKE_PROOF_CERT;
    if (method == 0) {
        expected->psk = secret;
        expected->psk_len = sizeof(secret);
    }
    if (method >= 2 && method < 7)
        expected->keys[0] = pki.keys[method - 2];
    if (method >= 7)
        expected->anchors = pki.anchors;
}

/* Two peers that know of each other. */
struct pair {
    struct net net;
    struct ike_peer_entry entries[2];
    struct watch *a, *b;
};

static void pair_init(struct pair *p, uint64_t seed, unsigned method_a, unsigned method_b)
{
    net_init(&p->net, seed);
    memset(p->entries, 0, sizeof(p->entries));
    /* the certificates are of this name */
    give(&p->entries[0].own, method_a, "gate.example.net");
    expect(&p->entries[1].expected, method_a, "gate.example.net");
    give(&p->entries[1].own, method_b, "O=Example, CN=gate");
    expect(&p->entries[0].expected, method_b, "O=Example, CN=gate");
    for (size_t i = 0; i < 2; i++) {
        struct ike_config *c = &p->net.nodes[i].config;
        net_want_child(&p->net, i, SPUT_AES256_GCM);
        c->identity = NULL;
        c->peers = &p->entries[i];
        c->peer_count = 1;
    }
}

static void pair_open(struct pair *p)
{
    for (size_t i = 0; i < 2; i++) {
        net_open(&p->net, i, NULL);
        ike_table_set_time(p->net.nodes[i].table, PKI_NOW);
    }
}

static void pair_connect(struct pair *p)
{
    pair_open(p);
    p->a = net_connect(&p->net, 0, 1);
    net_run(&p->net, NET_SECOND(20));
    p->b = net_newest(&p->net, 1);
}

static void expect_good(struct pair *p)
{
    assert_true(p->a->is_established && p->b->is_established);
    assert_false(p->a->is_closed || p->b->is_closed);
    assert_ptr_equal(ike_sa_entry(p->a->sa), &p->entries[0]);
    assert_ptr_equal(ike_sa_entry(p->b->sa), &p->entries[1]);
    assert_null(ike_sa_peer_key(p->a->sa));
    const struct kid *ka = watch_sending(p->a), *kb = watch_sending(p->b);
    assert_non_null(ka);
    assert_non_null(kb);
    assert_memory_equal(ka->ready.key_in, kb->ready.key_out, ka->ready.key_len);
}

/* The responder finds the initiator wanting, or (is_responder) the other way round. */
static void expect_bad(struct pair *p, bool is_responder, enum ike_reason reason)
{
    const struct watch *judge = is_responder ? p->a : p->b;
    const struct watch *judged = is_responder ? p->b : p->a;

    assert_true(judge->is_closed && !judge->is_established);
    assert_int_equal(judge->closed.reason, reason);
    assert_true(judged->is_closed);
    assert_int_equal(judged->closed.reason, IKE_REASON_REFUSED_BY_PEER);
    assert_int_equal(judge->kid_count, 0);
}

static void test_every_method(void **state)
{
    static const enum kex_group groups[] = {KEX_X25519, KEX_ECP256, KEX_ECP384, KEX_MODP3072};

    for (unsigned a = 0; a < METHODS; a++) {
        for (unsigned b = 0; b < METHODS; b++) {
            struct pair p;
            pair_init(&p, a * METHODS + b, a, b);
            for (size_t i = 0; i < 2; i++) {
                struct ike_config *c = &p.net.nodes[i].config;
                c->groups[0] = groups[a % 4];
                c->prfs[0] = (enum hash_algorithm)(1 + b % 3);
                if (a % 2 == 0) {
                    memset(c->ciphers, 0, sizeof(c->ciphers));
                    c->ciphers[0] = b % 2 == 0 ? IKE_CIPHER_AES256_CBC : IKE_CIPHER_AES128_CBC;
                    c->integs[0] = (enum hash_algorithm)(1 + a % 3);
                }
            }
            pair_connect(&p);
            expect_good(&p);
            assert_string_equal(p.a->peer_id, "O=Example, CN=gate");
            assert_string_equal(p.b->peer_id, "gate.example.net");
            net_done(&p.net);
        }
    }
    (void)state;
}

static void test_nobody_at_all(void **state)
{
    struct pair p;
    pair_init(&p, 1, 1, 1);
    for (size_t i = 0; i < 2; i++) {
        p.entries[i].own.name = (struct ike_name){.type = 0};
        p.entries[i].expected.name = name_of("*");
    }
    pair_connect(&p);
    expect_good(&p);
    assert_string_equal(p.b->peer_id, "nobody");
    net_done(&p.net);
    (void)state;
}

static void spoil_secret(struct ike_credentials *own, struct ike_expected *expected)
{
    static const uint8_t wrong[] = "correct horse battery stapl";
    own->psk = wrong;
    own->psk_len = sizeof(wrong);
    (void)expected;
}

static void spoil_key(struct ike_credentials *own, struct ike_expected *expected)
{
    own->signer = pki.signers[own->signer == pki.signers[1] ? 2 : 1];
    (void)expected;
}

static void spoil_name(struct ike_credentials *own, struct ike_expected *expected)
{
    own->name = name_of("evil.example.net");
    expected->name = name_of("evil.example.net"); /* but no certificate binds it */
}

static void spoil_ca(struct ike_credentials *own, struct ike_expected *expected)
{
    expected->anchors = pki.other_anchors;
    (void)own;
}

static void spoil_proof(struct ike_credentials *own, struct ike_expected *expected)
{
    expected->proofs = IKE_PROOF_KEY;
    expected->keys[0] = pki.keys[4];
    expected->anchors = NULL;
    (void)own;
}

static void test_wrong_proofs(void **state)
{
    static const struct {
        unsigned method;
        void (*spoil)(struct ike_credentials *own, struct ike_expected *expected);
    } cases[] = {
        {0, spoil_secret}, {2, spoil_key},   {3, spoil_key},   {6, spoil_key},
        {7, spoil_name},   {8, spoil_name},  {8, spoil_ca},    {11, spoil_ca},
        {0, spoil_proof},  {1, spoil_proof}, {8, spoil_proof},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (unsigned responder = 0; responder < 2; responder++) {
            struct pair p;
            pair_init(&p, i, responder ? 0 : cases[i].method, responder ? cases[i].method : 0);
            cases[i].spoil(&p.entries[responder].own, &p.entries[1 - responder].expected);
            pair_connect(&p);
            expect_bad(&p, responder, IKE_REASON_PEER_NOT_AUTHENTIC);
            net_done(&p.net);
        }
    }
    (void)state;
}

static void test_wrong_names(void **state)
{
    static const char *const names[] = {"gate.example.com", "*.example.net", "192.0.2.7",
                                        "gate@example.net", "keyid:00",      "O=Example, CN=gat"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (unsigned responder = 0; responder < 2; responder++) {
            struct pair p;
            struct ike_name other = {.type = IKE_ID_FQDN, .len = 13, .bytes = "*.example.net"};
            pair_init(&p, i, 8, 8);
            if (i != 1)
                other = name_of(names[i]);
            p.entries[1 - responder].expected.name = other;
            pair_connect(&p);
            if (!responder) {
                expect_bad(&p, false, IKE_REASON_PEER_ID);
            } else {
                /* the initiator names whom it wants, and nobody here is that */
                assert_int_equal(p.a->closed.reason, IKE_REASON_REFUSED_BY_PEER);
                assert_int_equal(p.b->closed.reason, IKE_REASON_PEER_ID);
            }
            net_done(&p.net);
        }
    }
    (void)state;
}

static void test_certificates(void **state)
{
    static const struct {
        const char *leaf, *second;
        bool is_good;
    } cases[] = {
        {"behind-middle.pem", "middle.pem", true},
        {"behind-middle.pem", NULL, false},
        {"expired.pem", NULL, false},
        {"early.pem", NULL, false},
        {"of-other-ca.pem", NULL, false},
        {"for-code.pem", NULL, false},
        {"unknown-critical.pem", NULL, false},
        {"sha1.pem", NULL, false},
        {"self-signed.pem", NULL, false},
        {"for-ike.pem", NULL, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (unsigned responder = 0; responder < 2; responder++) {
            struct pair p;
            struct chain *chain = pki_chain(cases[i].leaf, cases[i].second);
            pair_init(&p, i, 8, 8);
            p.entries[responder].own.chain = chain;
            p.entries[responder].own.name = name_of("gate@example.net");
            p.entries[1 - responder].expected.name = name_of("gate@example.net");
            pair_connect(&p);
            if (cases[i].is_good)
                expect_good(&p);
            else
                expect_bad(&p, responder, IKE_REASON_PEER_NOT_AUTHENTIC);
            net_done(&p.net);
            chain_free(chain);
        }
    }
    (void)state;
}

/* Without a clock no certificate is good. */
static void test_no_time(void **state)
{
    struct pair p;
    pair_init(&p, 1, 8, 8);
    pair_open(&p);
    ike_table_set_time(p.net.nodes[1].table, 0);
    p.a = net_connect(&p.net, 0, 1);
    net_run(&p.net, NET_SECOND(20));
    p.b = net_newest(&p.net, 1);
    expect_bad(&p, false, IKE_REASON_PEER_NOT_AUTHENTIC);
    net_done(&p.net);
    (void)state;
}

/* The responder knows many: by the ID the right one is taken, with its credentials, our name for
 * it, and its profile. */
static void test_choice_of_peer(void **state)
{
    static const char *const names[] = {"one.example.net", "two.example.net", "*"};
    static const uint8_t secrets[3][8] = {"first", "second", "third"};

    for (size_t i = 0; i < 3; i++) {
        struct pair p;
        struct ike_peer_entry many[3] = {{.user = NULL}};
        struct ike_profile *profile;
        pair_init(&p, i, 0, 0);
        struct ike_config own = p.net.nodes[1].config;
        own.suites[0] = SPUT_CHACHA20_POLY1305;
        for (size_t j = 0; j < 3; j++) {
            give(&many[j].own, 0, j == 2 ? "rest.example.net" : "server.example.net");
            expect(&many[j].expected, 0, names[j]);
            many[j].own.psk = many[j].expected.psk = secrets[j];
            many[j].own.psk_len = many[j].expected.psk_len = sizeof(secrets[j]);
        }
        own.peers = &many[i];
        assert_int_equal(ike_profile_new(&own, &profile), ERR_OK);
        many[i].profile = profile;
        p.net.nodes[1].config.peers = many;
        p.net.nodes[1].config.peer_count = 3;
        p.net.nodes[0].config.suites[1] = SPUT_CHACHA20_POLY1305;
        p.entries[0].own.name = name_of(i == 2 ? "whoever@example.net" : names[i]);
        p.entries[0].own.psk = p.entries[0].expected.psk = secrets[i];
        p.entries[0].own.psk_len = p.entries[0].expected.psk_len = sizeof(secrets[i]);
        p.entries[0].expected.name = i == 1 ? name_of("*") : many[i].own.name;
        pair_connect(&p);
        assert_true(p.a->is_established);
        assert_ptr_equal(ike_sa_entry(p.b->sa), &many[i]);
        assert_int_equal(ike_sa_suite(p.a->sa), SPUT_CHACHA20_POLY1305);
        net_done(&p.net);
        /* the one with another's secret is none of them */
        pair_init(&p, i + 10, 0, 0);
        p.net.nodes[1].config.peers = many;
        p.net.nodes[1].config.peer_count = 3;
        p.entries[0].own.name = name_of("one.example.net");
        p.entries[0].own.psk = secrets[1];
        p.entries[0].own.psk_len = sizeof(secrets[1]);
        p.entries[0].expected.name = name_of("*");
        pair_connect(&p);
        expect_bad(&p, false, IKE_REASON_PEER_NOT_AUTHENTIC);
        net_done(&p.net);
        ike_profile_free(profile);
    }
    (void)state;
}

/* Detec hosts beside configured peers, where the owner wants that; and not where it doesn't. */
static void test_hosts_beside_peers(void **state)
{
    for (int takes = 0; takes < 2; takes++) {
        struct pair p;
        pair_init(&p, 1, 0, 0);
        p.net.nodes[0].config.peer_count = 0;
        p.net.nodes[0].config.identity = p.net.nodes[0].identity;
        p.net.nodes[1].config.identity = p.net.nodes[1].identity;
        p.net.nodes[1].config.takes_others = takes;
        pair_connect(&p);
        assert_int_equal(p.a->is_established, takes);
        if (takes) {
            assert_null(ike_sa_entry(p.b->sa));
            assert_true(public_key_is_equal(ike_sa_peer_key(p.b->sa),
                                            identity_public(p.net.nodes[0].identity)));
        } else {
            assert_int_equal(p.b->closed.reason, IKE_REASON_PEER_ID);
        }
        net_done(&p.net);
    }
    (void)state;
}

/* A responder that is about to be sent IKE_AUTH, its inside, and the payloads of that. */
struct scene {
    struct pair p;
    struct ike_generation *g;
    uint8_t bytes[IKE_MESSAGE_CAP];
    struct ike_message message;
    struct ike_auth auth;
};

/* hashes: those that the initiator believes the responder to take. */
static void scene_open(struct scene *s, unsigned method, unsigned hashes)
{
    uint8_t first;
    const uint8_t *data;
    size_t len;

    pair_init(&s->p, method, method, 0);
    pair_open(&s->p);
    s->p.a = net_connect(&s->p.net, 0, 1);
    net_run(&s->p.net, NET_MS(25));
    s->g = net_newest(&s->p.net, 1)->sa->current;
    struct ike_generation *init = s->p.a->sa->generations;
    init->handshake->peer_hashes = hashes;
    /* once more, by hand */
    struct ike_outgoing out;
    net_run(&s->p.net, NET_MS(16));
    struct ike_generation *auth = s->p.a->sa->current;
    assert_int_equal(auth->state, IKE_GENERATION_AUTH);
    auth->handshake->peer_hashes = hashes;
    ike_generation_begin(auth, &out, IKE_EXCHANGE_AUTH, false, 1);
    assert_int_equal(ike_auth_build(auth, &out.b), ERR_OK);
    ike_build_end(&out.b, ike_keys_tag_len(&auth->keys));
    assert_int_equal(ike_keys_seal(&auth->keys, true, 77, out.w.base, out.w.len), ERR_OK);
    memcpy(s->bytes, out.w.base, out.w.len);
    assert_int_equal(ike_keys_open(&s->g->keys, true, s->bytes, out.w.len, &first, &data, &len),
                     ERR_OK);
    assert_int_equal(ike_message_parse(first, data, len, &s->message), ERR_OK);
    assert_int_equal(ike_auth_parse(s->message.auth.body, s->message.auth.len, &s->auth), ERR_OK);
}

static enum ike_reason judge(struct scene *s)
{
    struct ike_auth_result result;
    assert_int_equal(ike_auth_check(s->g, &s->message, &result), ERR_OK);
    assert_int_equal(result.entry != NULL, result.reason == IKE_REASON_NONE);
    return result.reason;
}

/* Peers that say nothing of hashes get the methods of RFC 4754. */
static void test_old_methods(void **state)
{
    static const uint8_t methods[] = {0, 9, 10, 11};
    static const size_t lens[] = {0, 64, 96, 132};

    for (unsigned kind = 1; kind < 4; kind++) {
        for (unsigned is_cert = 0; is_cert < 2; is_cert++) {
            struct scene s;
            scene_open(&s, 2 + 5 * is_cert + kind, 0);
            assert_int_equal(s.auth.method, methods[kind]);
            assert_int_equal(s.auth.len, lens[kind]);
            assert_int_equal(judge(&s), IKE_REASON_NONE);
            /* by the name of another curve it is none; nor as RSA with SHA-1 */
            uint8_t *method = (uint8_t *)(uintptr_t)s.message.auth.body;
            for (unsigned other = 0; other < 16; other++) {
                *method = (uint8_t)other;
                if (other != methods[kind])
                    assert_int_equal(judge(&s), IKE_REASON_PEER_NOT_AUTHENTIC);
            }
            net_done(&s.p.net);
        }
    }
    (void)state;
}

static void test_hashes(void **state)
{
    static const struct {
        unsigned method, hashes, oid_at;
        uint8_t oid;
    } cases[] = {
        {3, 1u << 2, 12, 2}, {3, 1u << 3 | 1u << 4, 12, 3}, {4, 0x1c, 12, 3}, {4, 1u << 4, 12, 4},
        {5, 0x1c, 12, 4},    {6, 1u << 3, 30, 2},           {6, 0x3c, 30, 1}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene s;
        scene_open(&s, cases[i].method, cases[i].hashes);
        assert_int_equal(s.auth.method, 14);
        assert_int_equal(s.auth.data[cases[i].oid_at], cases[i].oid);
        assert_int_equal(judge(&s), IKE_REASON_NONE);
        net_done(&s.p.net);
    }
    /* nothing in common: nothing is signed */
    static const unsigned none[][2] = {{2, 0x1c}, {6, 0}, {6, 1u << 5}, {3, 1u << 1}};
    for (size_t i = 0; i < 4; i++) {
        struct pair p;
        struct ike_outgoing out;
        pair_init(&p, i, none[i][0], 0);
        pair_open(&p);
        p.a = net_connect(&p.net, 0, 1);
        net_run(&p.net, NET_MS(41));
        struct ike_generation *g = p.a->sa->current;
        g->handshake->peer_hashes = none[i][1];
        ike_generation_begin(g, &out, IKE_EXCHANGE_AUTH, false, 1);
        assert_int_equal(ike_auth_build(g, &out.b), ERR_UNSUPPORTED);
        net_done(&p.net);
    }
    (void)state;
}

/* Each bit of ID, CERT and AUTH, and each length of AUTH. */
static void test_every_bit(void **state)
{
    static const unsigned methods[] = {0, 1, 2, 3, 6, 8};

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        struct scene s;
        struct ike_cert cert;
        scene_open(&s, methods[i], 0x3c);
        assert_int_equal(judge(&s), IKE_REASON_NONE);
        struct ike_chain chain = s.message.chain;
        if (methods[i] == 8) {
            assert_true(ike_message_next_cert(&chain, IKE_PAYLOAD_CERT, &cert));
            uint8_t *der = (uint8_t *)(uintptr_t)cert.data;
            for (size_t bit = 0; bit < 8 * cert.len; bit += 7) {
                der[bit / 8] ^= (uint8_t)(1u << bit % 8);
                assert_int_equal(judge(&s), IKE_REASON_PEER_NOT_AUTHENTIC);
                der[bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
        }
        const struct ike_payload *parts[] = {&s.message.auth, &s.message.id_i};
        for (size_t j = 0; j < 2; j++) {
            uint8_t *body = (uint8_t *)(uintptr_t)parts[j]->body;
            for (size_t bit = 0; bit < 8 * parts[j]->len; bit++) {
                if (j == 0 && bit / 8 >= 1 && bit / 8 < 4)
                    continue; /* reserved */
                body[bit / 8] ^= (uint8_t)(1u << bit % 8);
                assert_int_not_equal(judge(&s), IKE_REASON_NONE);
                body[bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
        }
        const size_t len = s.message.auth.len;
        for (s.message.auth.len = 0; s.message.auth.len < len; s.message.auth.len++)
            assert_int_equal(judge(&s), IKE_REASON_PEER_NOT_AUTHENTIC);
        assert_int_equal(judge(&s), IKE_REASON_NONE);
        net_done(&s.p.net);
    }
    (void)state;
}

/* Raw keys go along where they are asked for, and need not. */
static void test_raw_keys_asked_for(void **state)
{
    for (int asked = 0; asked < 2; asked++) {
        struct scene s;
        struct ike_cert cert;
        struct pair p;
        pair_init(&p, 1, 3, 3);
        net_done(&p.net);
        scene_open(&s, 3, 0x3c);
        struct ike_generation *g = s.p.a->sa->current;
        struct ike_outgoing out;
        g->handshake->wants_raw_key = asked;
        ike_generation_begin(g, &out, IKE_EXCHANGE_AUTH, false, 1);
        assert_int_equal(ike_auth_build(g, &out.b), ERR_OK);
        ike_build_end(&out.b, 16);
        struct ike_message m;
        const uint8_t *inside = out.w.base + out.b.sealed_at;
        assert_int_equal(ike_message_parse(out.w.base[out.b.sk_at], inside,
                                           out.w.len - 17 - out.b.sealed_at, &m),
                         ERR_OK);
        struct ike_chain chain = m.chain;
        assert_int_equal(ike_message_next_cert(&chain, IKE_PAYLOAD_CERT, &cert), asked);
        if (asked) {
            size_t len;
            const uint8_t *spki = verifier_spki(pki.keys[1], &len);
            assert_int_equal(cert.encoding, IKE_CERT_RAW_PUBLIC_KEY);
            assert_int_equal(cert.len, len);
            assert_memory_equal(cert.data, spki, len);
        }
        net_done(&s.p.net);
    }
    (void)state;
}

static void test_bad_entries(void **state)
{
    struct ike_peer_entry e;

    for (unsigned method = 0; method < METHODS; method++) {
        memset(&e, 0, sizeof(e));
        give(&e.own, method, "a.example.net");
        expect(&e.expected, method, "*");
        assert_int_equal(ike_peer_entry_check(&e), ERR_OK);
        struct ike_peer_entry bad = e;
        bad.own.signer = NULL;
        bad.own.psk = NULL;
        assert_int_equal(ike_peer_entry_check(&bad), method == 1 ? ERR_OK : ERR_INVALID);
        bad = e;
        bad.own.name.type = 0;
        assert_int_equal(ike_peer_entry_check(&bad), method == 1 ? ERR_OK : ERR_INVALID);
        bad = e;
        bad.expected.proofs = 0;
        assert_int_equal(ike_peer_entry_check(&bad), ERR_INVALID);
        bad = e;
        bad.expected.keys[0] = NULL;
        bad.expected.anchors = NULL;
        bad.expected.psk_len = 0;
        assert_int_equal(ike_peer_entry_check(&bad), method == 1 ? ERR_OK : ERR_INVALID);
        if (method >= 7) {
            bad = e;
            bad.own.signer = pki.signers[(method - 6) % 5];
            assert_int_equal(ike_peer_entry_check(&bad), ERR_INVALID);
        }
    }
    (void)state;
}

static void test_names(void **state)
{
    static const struct {
        const char *text;
        uint8_t type;
        const char *shown;
    } good[] = {
        {"192.0.2.1", IKE_ID_IPV4_ADDR, "192.0.2.1"},
        {"2001:db8::1", IKE_ID_IPV6_ADDR, "2001:db8::1"},
        {"VPN.example.net", IKE_ID_FQDN, "vpn.example.net"},
        {"@weird name", IKE_ID_FQDN, "weird?name"},
        {"a@example.net", IKE_ID_RFC822_ADDR, "a@example.net"},
        {"CN=gate,O=Example", IKE_ID_DER_ASN1_DN, "CN=gate, O=Example"},
        {"keyid:6f66", IKE_ID_KEY_ID, "keyid:6f66"},
        {"*", 0, "*"},
    };
    static const char *const bad[] = {"", "@", "keyid:", "keyid:6", "keyid:xy", "CN=", "a..b", "="};
    char text[IKE_NAME_TEXT_CAP];
    struct ike_name name, other;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(ike_name_parse(good[i].text, &name), ERR_OK);
        assert_int_equal(name.type, good[i].type);
        assert_string_equal(ike_name_format(&name, text), good[i].shown);
        for (size_t j = 0; j < sizeof(good) / sizeof(good[0]); j++) {
            assert_int_equal(ike_name_parse(good[j].text, &other), ERR_OK);
            assert_int_equal(ike_name_is_equal(&name, &other), i == j && good[i].type != 0);
        }
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(ike_name_parse(bad[i], &name), ERR_INVALID);
    name = name_of("gate.example.net");
    other = name_of("@GATE.example.net");
    assert_true(ike_name_is_equal(&name, &other));
    /* whatever a peer sends can be shown */
    for (unsigned type = 0; type < 256; type++) {
        memset(&name, 0x1b, sizeof(name));
        name.type = (uint8_t)type;
        name.len = IKE_NAME_LEN_MAX;
        assert_true(strlen(ike_name_format(&name, text)) < sizeof(text));
        for (const char *c = text; *c != '\0'; c++)
            assert_in_range(*c, ' ', '~');
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_method),   cmocka_unit_test(test_nobody_at_all),
        cmocka_unit_test(test_wrong_proofs),   cmocka_unit_test(test_wrong_names),
        cmocka_unit_test(test_certificates),   cmocka_unit_test(test_no_time),
        cmocka_unit_test(test_choice_of_peer), cmocka_unit_test(test_hosts_beside_peers),
        cmocka_unit_test(test_old_methods),    cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_every_bit),      cmocka_unit_test(test_raw_keys_asked_for),
        cmocka_unit_test(test_bad_entries),    cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
