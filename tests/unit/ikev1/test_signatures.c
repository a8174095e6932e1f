/* Main Mode with signatures: every kind of key, by certificate and by itself, and everything that
 * may be wrong with a key, a certificate or an identity. */
#include "ikev1/signature.h"
#include "net.h"
#include "pki.h"
#include "wire/isakmp_sa.h"
#include <stdlib.h>
#include <string.h>

enum { P256, P384, P521, RSA, KINDS };
static const char *const kinds[] = {"p256", "p384", "p521", "rsa"};

/* All that the tests present; made once. */
static struct {
    struct signer *signers[KINDS], *ed25519, *other_signer;
    struct verifier *keys[KINDS], *other_key;
    struct chain *chains[KINDS], *behind_middle;
    struct anchors *anchors, *other_anchors;
} pki;

static int set_up(void **state)
{
    char name[32];

    for (size_t i = 0; i < KINDS; i++) {
        snprintf(name, sizeof(name), "%s.key", kinds[i]);
        pki.signers[i] = pki_signer(name);
        snprintf(name, sizeof(name), "%s.pub", kinds[i]);
        pki.keys[i] = pki_verifier(name);
        snprintf(name, sizeof(name), "%s.pem", kinds[i]);
        pki.chains[i] = pki_chain(name, NULL);
    }
    pki.ed25519 = pki_signer("ed25519.key");
    pki.other_signer = pki_signer("p256-other.key");
    pki.other_key = pki_verifier("p256-other.pub");
    pki.behind_middle = pki_chain("behind-middle.pem", "middle.pem");
    pki.anchors = pki_anchors("ca.pem");
    pki.other_anchors = pki_anchors("other-ca.pem");
    return 0;
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < KINDS; i++) {
        signer_free(pki.signers[i]);
        verifier_free(pki.keys[i]);
        chain_free(pki.chains[i]);
    }
    signer_free(pki.ed25519);
    signer_free(pki.other_signer);
    verifier_free(pki.other_key);
    chain_free(pki.behind_middle);
    anchors_free(pki.anchors);
    anchors_free(pki.other_anchors);
    return 0;
}

static void set_id(struct ikev1_id *id, uint8_t type, const void *bytes, size_t len)
{
    *id = (struct ikev1_id){.type = type, .len = (uint16_t)len};
    memcpy(id->bytes, bytes, len);
}

/* One of the names that the certificates bind, of each type in turn. */
static void set_good_id(struct ikev1_id *id, unsigned which)
{
    static const uint8_t ipv6[] = {0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};
    static const uint8_t ipv4[] = {192, 0, 2, 7};
    uint8_t der[DN_LEN_MAX];

    switch (which % 5) {
    case 0:
        set_id(id, ISAKMP_ID_FQDN, "gate.example.net", 16);
        break;
    case 1:
        set_id(id, ISAKMP_ID_USER_FQDN, "gate@example.net", 16);
        break;
    case 2:
        set_id(id, ISAKMP_ID_IPV4, ipv4, 4);
        break;
    case 3:
        set_id(id, ISAKMP_ID_IPV6, ipv6, 16);
        break;
    default:
        set_id(id, ISAKMP_ID_DER_DN, der, (size_t)dn_parse("O=Example, CN=gate", der));
    }
}

/* Both sign with keys of this kind; `certified`: bit 0 the caller by a certificate, bit 1 the one
 * that is called. */
static void sign_init(struct net *net, unsigned kind, unsigned certified, unsigned id)
{
    net_init(net);
    net->wall_s = PKI_NOW;
    for (unsigned i = 0; i < 2; i++) {
        struct ikev1_config *c = &net->nodes[i].config;
        const bool is_certified = (certified >> i & 1) != 0;
        const bool is_peer_certified = (certified >> (1 - i) & 1) != 0;
        c->psk_len = 0;
        c->signer = pki.signers[kind];
        c->chain = is_certified ? pki.chains[kind] : NULL;
        c->peer_key = is_peer_certified ? NULL : pki.keys[kind];
        c->anchors = is_peer_certified ? pki.anchors : NULL;
        set_good_id(&c->id, id + i);
        set_good_id(&c->peer_id, id + 1 - i);
    }
}

static void sign_call(struct net *net)
{
    net_open(net, 0);
    net_open(net, 1);
    net_call(net, 0, 1);
}

/* Is there a CERTREQ with this CA's name in the message? */
static bool asks(const struct packet *p)
{
    size_t len;
    const uint8_t *name = anchors_subject(pki.anchors, 0, &len);
    return memmem(p->bytes, p->len, name, len) != NULL;
}

static void test_every_key(void **state)
{
    static const enum hash_algorithm hashes[] = {HASH_SHA256, HASH_SHA384, HASH_SHA512};
    struct net net;

    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned certified = 0; certified < 4; certified++)
            for (unsigned h = 0; h < 3; h++) {
                sign_init(&net, kind, certified, kind + certified + h);
                for (size_t i = 0; i < 2; i++) {
                    struct ikev1_config *c = &net.nodes[i].config;
                    memset(c->proposals, 0, sizeof(c->proposals));
                    c->proposals[0] = (struct ikev1_proposal){32, hashes[h], KEX_ECP256};
                    c->mode = h == 0 ? CHILD_TRANSPORT : CHILD_TUNNEL;
                }
                sign_call(&net);
                net_assert_joined(&net, 0, 1);
                assert_true(ikev1_id_is_equal(&net.nodes[1].who.peer_id, &net.nodes[0].config.id));
                assert_true(ikev1_id_is_equal(&net.nodes[0].who.peer_id, &net.nodes[1].config.id));
                /* whoever has CAs asks for certificates, in message 3 or 4 */
                assert_int_equal(asks(&net.kept[2]), (certified & 2) != 0);
                assert_int_equal(asks(&net.kept[3]), (certified & 1) != 0);
                net_done(&net);
            }
}

static void test_intermediate(void **state)
{
    struct net net;

    sign_init(&net, P256, 3, 0);
    net.nodes[0].config.chain = pki.behind_middle;
    sign_call(&net);
    net_assert_joined(&net, 0, 1);
    net_done(&net);
}

/* Renewed, phase 1 is proven once more. */
static void test_renewal(void **state)
{
    struct net net;

    sign_init(&net, RSA, 3, 0);
    sign_call(&net);
    assert_int_equal(ikev1_sa_rekey(net.nodes[0].sa, net.now_us), ERR_OK);
    net_run(&net, SECOND_US);
    assert_int_equal(ikev1_sa_rekey(net.nodes[1].sa, net.now_us), ERR_OK);
    net_run(&net, SECOND_US);
    net_assert_joined(&net, 0, 1);
    assert_int_equal(net.nodes[0].closed + net.nodes[1].closed, 0);
    /* and no longer once the certificate's time is over */
    net.wall_s = 2208988801u;
    net_run(&net, SECOND_US);
    assert_int_equal(ikev1_sa_rekey(net.nodes[0].sa, net.now_us), ERR_OK);
    net_run(&net, SECOND_US);
    assert_int_equal(net.nodes[1].refused, 1);
    net_done(&net);
}

/* Nothing comes of it, and whoever refuses says why. */
static void assert_refused(struct net *net, size_t refuser, const char *words)
{
    net_run(net, 40 * SECOND_US);
    assert_int_equal(net->nodes[refuser].established, 0);
    assert_int_equal(net->nodes[0].kid_count + net->nodes[1].kid_count, 0);
    assert_true(net->nodes[refuser].refused > 0);
    if (strstr(net->nodes[refuser].refusal, words) == NULL)
        fail_msg("\"%s\" is not about \"%s\"", net->nodes[refuser].refusal, words);
    assert_int_equal(ikev1_table_half_open_count(net->nodes[1].table), 0);
    assert_int_equal(ikev1_table_count(net->nodes[0].table), 0);
    if (refuser == 0)
        assert_true(net->nodes[0].end.reason == IKEV1_REASON_NOT_AUTHENTIC ||
                    net->nodes[0].end.reason == IKEV1_REASON_PEER_ID);
}

static void test_bad_certificates(void **state)
{
    static const char *const names[] = {
        "expired.pem",      "early.pem",          "of-other-ca.pem",
        "for-code.pem",     "sha1.pem",           "no-signing.pem",
        "self-signed.pem",  "signed-by-leaf.pem", "unknown-critical.pem",
        "behind-middle.pem"};
    struct net net;

    for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
        struct chain *chain = pki_chain(names[n], NULL);
        for (size_t bad = 0; bad < 2; bad++) {
            sign_init(&net, P256, 3, 0);
            net.nodes[bad].config.chain = chain;
            sign_call(&net);
            assert_refused(&net, 1 - bad, "its certificate is of none of the CAs");
            net_done(&net);
        }
        chain_free(chain);
    }
}

static void test_other_authority(void **state)
{
    struct net net;

    for (size_t i = 0; i < 2; i++) {
        sign_init(&net, RSA, 3, 0);
        net.nodes[i].config.anchors = pki.other_anchors;
        sign_call(&net);
        assert_refused(&net, i, "its certificate is of none of the CAs");
        net_done(&net);
    }
}

/* Nobody knows the time: no certificate is good. */
static void test_no_time(void **state)
{
    struct net net;

    sign_init(&net, P256, 3, 0);
    net.wall_s = 0;
    sign_call(&net);
    assert_refused(&net, 1, "its certificate is of none of the CAs");
    net_done(&net);
}

static void test_identities(void **state)
{
    struct net net;

    for (size_t i = 0; i < 2; i++) {
        /* expected, but not what the certificate is for */
        sign_init(&net, RSA, 3, 0);
        set_id(&net.nodes[i].config.id, ISAKMP_ID_FQDN, "other.example.net", 17);
        net.nodes[1 - i].config.peer_id = net.nodes[i].config.id;
        sign_call(&net);
        assert_refused(&net, 1 - i, "not for the identity");
        net_done(&net);
        /* a wildcard is no name */
        sign_init(&net, RSA, 3, 0);
        set_id(&net.nodes[i].config.id, ISAKMP_ID_FQDN, "a.wild.example.net", 18);
        net.nodes[1 - i].config.peer_id = net.nodes[i].config.id;
        sign_call(&net);
        assert_refused(&net, 1 - i, "not for the identity");
        net_done(&net);
        /* what the certificate is for, but not expected */
        sign_init(&net, RSA, 3, 0);
        set_good_id(&net.nodes[1 - i].config.peer_id, 4);
        sign_call(&net);
        assert_refused(&net, 1 - i, "it has the right key, but is");
        net_done(&net);
    }
}

static void test_wrong_keys(void **state)
{
    struct net net;

    for (size_t i = 0; i < 2; i++) {
        /* another key than the peer has been given */
        sign_init(&net, P256, 0, 0);
        net.nodes[i].config.peer_key = pki.other_key;
        sign_call(&net);
        assert_refused(&net, i, "its signature is not that of the key expected");
        net_done(&net);
        /* somebody's certificate, without its key: the engine itself would not present it */
        sign_init(&net, P256, 3, 0);
        net.nodes[i].config.signer = pki.other_signer;
        net.nodes[i].config.chain = NULL;
        sign_call(&net);
        assert_refused(&net, 1 - i, "it has sent no certificate");
        net_done(&net);
    }
}

/* A good certificate and signature, but of another kind of key than was agreed on: RSA's method
 * knows none of ECDSA, and neither curve the other's. */
static void test_other_kind(void **state)
{
    uint8_t bytes[IKEV1_MESSAGE_CAP], hash[HASH_LEN_MAX] = {7};
    const struct ike_header header = {.spi_i = 1, .major_version = ISAKMP_MAJOR_VERSION};
    const struct isakmp_id id = {
        .type = ISAKMP_ID_FQDN, .data = (const uint8_t *)"gate.example.net", .len = 16};
    struct ikev1_message m;
    struct ike_builder b;
    struct writer w;

    for (unsigned theirs = 0; theirs < KINDS; theirs++) {
        const struct ikev1_config other = {.signer = pki.signers[theirs],
                                           .chain = pki.chains[theirs]};
        writer_init(&w, bytes, sizeof(bytes));
        ike_build_begin(&b, &w, &header);
        assert_int_equal(ikev1_signature_build(&other, hash, 48, &b), ERR_OK);
        ike_build_end(&b, 0);
        assert_int_equal(ikev1_message_parse(&m, bytes[16], bytes + IKE_HEADER_LEN,
                                             w.len - IKE_HEADER_LEN, false),
                         ERR_OK);
        for (unsigned ours = 0; ours < KINDS; ours++)
            for (unsigned is_certified = 0; is_certified < 2; is_certified++) {
                const struct ikev1_config c = {
                    .signer = pki.signers[ours],
                    .peer_key = is_certified != 0 ? NULL : pki.keys[theirs],
                    .anchors = pki.anchors,
                };
                const char *why = "";
                assert_int_equal(ikev1_signature_check(&c, &m, &id, hash, 48, PKI_NOW, &why),
                                 ours == theirs ? ERR_OK : ERR_AUTH);
                assert_true(ours == theirs || strstr(why, "another kind") != NULL);
                hash[0] ^= 1;
                assert_int_equal(ikev1_signature_check(&c, &m, &id, hash, 48, PKI_NOW, &why),
                                 ERR_AUTH);
                hash[0] ^= 1;
            }
    }
}

static void test_wrong_method(void **state)
{
    static const char psk[] = "a long shared secret for tests";
    struct net net;

    sign_init(&net, RSA, 3, 0);
    net.nodes[1].config.signer = pki.signers[P256];
    net.nodes[1].config.chain = pki.chains[P256];
    sign_call(&net);
    assert_refused(&net, 1, "RSA signatures");
    assert_int_equal(net.nodes[0].end.notify, ISAKMP_NOTIFY_NO_PROPOSAL_CHOSEN);
    net_done(&net);
    for (size_t i = 0; i < 2; i++) {
        sign_init(&net, P256, 3, 0);
        struct ikev1_config *c = &net.nodes[i].config;
        c->signer = NULL;
        c->chain = NULL;
        c->anchors = NULL;
        memcpy(c->psk, psk, sizeof(psk));
        c->psk_len = sizeof(psk) - 1;
        sign_call(&net);
        assert_refused(&net, 1, i == 0 ? "pre-shared key" : "ECDSA-256");
        net_done(&net);
    }
}

static void test_config_sense(void **state)
{
    struct ikev1_profile *profile;
    struct net net;

    for (unsigned wrong = 0; wrong <= 9; wrong++) {
        sign_init(&net, P256, 3, 0);
        struct ikev1_config c = net.nodes[0].config;
        switch (wrong) {
        case 0:
            break; /* good */
        case 1:
            c.signer = pki.ed25519;
            c.chain = NULL;
            assert_non_null(strstr(ikev1_config_check_keys(&c), "RSA or ECDSA"));
            break;
        case 2:
            c.anchors = NULL;
            break;
        case 3:
            c.peer_key = pki.keys[P256];
            break;
        case 4:
            c.psk_len = 16;
            break;
        case 5:
            c.peer_id.type = 0;
            break;
        case 6:
            c.chain = pki.chains[RSA];
            break;
        case 7:
            c.anchors = NULL;
            c.peer_key = pki.keys[P384];
            assert_non_null(strstr(ikev1_config_check_keys(&c), "of one kind"));
            break;
        case 8:
            c.signer = NULL;
            c.psk_len = 16;
            break;
        default:
            c.signer = NULL;
        }
        assert_int_equal(ikev1_profile_new(&c, &profile), wrong == 0 ? ERR_OK : ERR_INVALID);
        if (wrong == 0)
            ikev1_profile_free(profile);
        net_done(&net);
    }
}

/* ---- under attack ---- */

static unsigned stop_at;
static bool stop(struct net *net, struct packet *p)
{
    return net->sent < stop_at;
}

/* Up to where message 3, 4, 5 or 6 is about to arrive. */
static struct packet bring_to(struct net *net, unsigned message, unsigned kind)
{
    sign_init(net, kind, 3, 0);
    stop_at = message;
    net->filter = stop;
    sign_call(net);
    assert_int_equal(net->sent, message);
    return net->kept[message - 1];
}

static void finish(struct net *net, const struct packet *p)
{
    net->filter = NULL;
    net->now_us += SECOND_US; /* signatures are looked at again */
    (void)!net_inject(net, p->to, &p->source, p->bytes, p->len);
    net_run(net, 5 * SECOND_US);
    net_assert_joined(net, 0, 1);
    net_done(net);
}

static void test_cut_messages(void **state)
{
    struct net net;

    for (unsigned message = 3; message <= 6; message++) {
        const struct packet p = bring_to(&net, message, message % 2 == 0 ? RSA : P256);
        for (size_t len = 0; len < p.len; len++) {
            uint8_t *cut = (uint8_t *)malloc(len > 0 ? len : 1); /* so that ASan sees every byte */
            assert_non_null(cut);
            memcpy(cut, p.bytes, len);
            assert_int_not_equal(net_inject(&net, p.to, &p.source, cut, len), ERR_OK);
            if (len >= IKE_HEADER_LEN) {
                cut[26] = (uint8_t)(len >> 8);
                cut[27] = (uint8_t)len;
                assert_int_not_equal(net_inject(&net, p.to, &p.source, cut, len), ERR_OK);
            }
            free(cut);
        }
        finish(&net, &p);
    }
}

static void test_flipped_bits(void **state)
{
    struct net net;

    for (unsigned message = 5; message <= 6; message++) {
        const struct packet p = bring_to(&net, message, P256);
        for (size_t bit = IKE_HEADER_LEN * 8; bit < p.len * 8; bit++) {
            struct packet bad = p;
            bad.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            net.now_us += 2 * MS_US; /* so that signatures are looked at now and then */
            const int error = net_inject(&net, p.to, &p.source, bad.bytes, bad.len);
            assert_int_not_equal(error, ERR_OK);
        }
        finish(&net, &p);
    }
}

/* Signatures cost time: of one handshake few are looked at in a second, and those of others come
 * through meanwhile. */
static void test_many_proofs(void **state)
{
    unsigned looked_at = 0;
    struct net net;

    const struct packet p = bring_to(&net, 5, P256);
    for (unsigned i = 0; i < 200; i++) {
        struct packet bad = p;
        bad.bytes[p.len - 40 - i % 16] ^= 1; /* in the signature */
        const int error = net_inject(&net, p.to, &p.source, bad.bytes, bad.len);
        assert_true(error == ERR_AUTH || error == ERR_LIMIT || error == ERR_INVALID);
        looked_at += error == ERR_AUTH;
    }
    assert_in_range(looked_at, 1, 4);
    assert_int_equal(net_inject(&net, p.to, &p.source, p.bytes, p.len), ERR_LIMIT);
    finish(&net, &p);
}

/* The responder's own proof does not serve as an initiator's. */
static void test_reflection(void **state)
{
    struct net net;

    const struct packet p = bring_to(&net, 6, P256);
    assert_int_not_equal(net_inject(&net, 1, &net.kept[4].source, p.bytes, p.len), ERR_OK);
    finish(&net, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_key),       cmocka_unit_test(test_intermediate),
        cmocka_unit_test(test_renewal),         cmocka_unit_test(test_bad_certificates),
        cmocka_unit_test(test_other_authority), cmocka_unit_test(test_no_time),
        cmocka_unit_test(test_identities),      cmocka_unit_test(test_wrong_keys),
        cmocka_unit_test(test_other_kind),      cmocka_unit_test(test_wrong_method),
        cmocka_unit_test(test_config_sense),    cmocka_unit_test(test_cut_messages),
        cmocka_unit_test(test_flipped_bits),    cmocka_unit_test(test_many_proofs),
        cmocka_unit_test(test_reflection),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
