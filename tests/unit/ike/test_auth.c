/* The proof in IKE_AUTH: its bytes (RFC 7427, RFC 8420, RFC 7670), every bit of it flipped, and
 * every way in which ID, CERT and AUTH may not fit together. */
#include "ike/auth.h"
#include "net.h"
#include <string.h>

/* A responder that has just been sent an IKE_AUTH request, and the payloads of that. */
struct scene {
    struct net net;
    struct ike_generation *g;
    struct watch *initiator;
    struct packet_sim packet;
    struct ike_message message;
    struct ike_id id;
    struct ike_cert cert;
    struct ike_auth auth;
};

static void open_scene(struct scene *s, bool has_name)
{
    uint8_t first;
    const uint8_t *data;
    size_t len;

    net_init(&s->net, 1);
    if (has_name)
        strcpy(s->net.nodes[0].config.id, "a.detec.example.net");
    net_open(&s->net, 0, NULL);
    net_open(&s->net, 1, NULL);
    s->initiator = net_connect(&s->net, 0, 1);
    net_run(&s->net, NET_MS(45));
    s->g = net_newest(&s->net, 1)->sa->current;
    s->packet = *s->net.packets;
    assert_int_equal(
        ike_keys_open(&s->g->keys, true, s->packet.bytes, s->packet.len, &first, &data, &len),
        ERR_OK);
    assert_int_equal(ike_message_parse(first, data, len, &s->message), ERR_OK);
    struct ike_chain chain = s->message.chain;
    assert_true(ike_message_next_cert(&chain, IKE_PAYLOAD_CERT, &s->cert));
    assert_int_equal(ike_id_parse(s->message.id_i.body, s->message.id_i.len, &s->id), ERR_OK);
    assert_int_equal(ike_auth_parse(s->message.auth.body, s->message.auth.len, &s->auth), ERR_OK);
}

/* What the responder thinks of these payloads; cert NULL: none. */
static enum ike_reason judge(struct scene *s, const struct ike_id *id, const struct ike_cert *cert,
                             const struct ike_auth *auth, struct ike_auth_result *ret_result)
{
    uint8_t bytes[1024];
    struct writer w;
    struct ike_builder b;
    struct ike_message m;
    const struct ike_header header = {.major_version = 2};

    writer_init(&w, bytes, sizeof(bytes));
    ike_build_begin(&b, &w, &header);
    ike_build_id(&b, IKE_PAYLOAD_IDI, id->type, id->data, id->len);
    if (cert != NULL)
        ike_build_cert(&b, IKE_PAYLOAD_CERT, cert->encoding, cert->data, cert->len);
    ike_build_auth(&b, auth->method, auth->data, auth->len);
    ike_build_end(&b, 0);
    assert_true(writer_is_ok(&w));
    assert_int_equal(
        ike_message_parse(bytes[16], bytes + IKE_HEADER_LEN, w.len - IKE_HEADER_LEN, &m), ERR_OK);
    assert_int_equal(ike_auth_check(s->g, &m, ret_result), ERR_OK);
    return ret_result->reason;
}

static void expect_key(struct scene *s, const struct identity *identity)
{
    s->g->sa->profile->config.has_expected_key = true;
    s->g->sa->profile->config.expected_key = *identity_public(identity);
}

static void test_wire_bytes(void **state)
{
    static const uint8_t prefix[] = {7, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70};
    static const uint8_t spki_prefix[] = {0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0};
    struct scene s;
    struct ike_auth_result result;

    for (int named = 0; named < 2; named++) {
        open_scene(&s, named);
        const struct public_key *key = identity_public(s.net.nodes[0].identity);
        assert_int_equal(s.auth.method, 14);
        assert_int_equal(s.auth.len, 8 + 64);
        assert_memory_equal(s.auth.data, prefix, 8);
        assert_int_equal(s.cert.encoding, 15);
        assert_int_equal(s.cert.len, 44);
        assert_memory_equal(s.cert.data, spki_prefix, 12);
        assert_memory_equal(s.cert.data + 12, key->bytes, 32);
        assert_int_equal(s.id.type, named ? IKE_ID_FQDN : IKE_ID_KEY_ID);
        assert_memory_equal(s.id.data, named ? (const void *)"a.detec.example.net" : key->bytes,
                            s.id.len);
        assert_int_equal(judge(&s, &s.id, &s.cert, &s.auth, &result), IKE_REASON_NONE);
        assert_true(public_key_is_equal(&result.key, key));
        assert_string_equal(result.id, named ? "a.detec.example.net" : "");
        net_done(&s.net);
    }
    (void)state;
}

static void test_bad_proofs(void **state)
{
    struct scene s;
    struct ike_auth_result result;
    uint8_t bytes[80], spki[PUBLIC_KEY_SPKI_LEN];

    open_scene(&s, true);
    struct ike_auth auth = s.auth;
    auth.data = bytes;
    for (size_t bit = 0; bit < s.auth.len * 8; bit++) {
        memcpy(bytes, s.auth.data, s.auth.len);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(judge(&s, &s.id, &s.cert, &auth, &result), IKE_REASON_PEER_NOT_AUTHENTIC);
    }
    memcpy(bytes, s.auth.data, s.auth.len);
    for (auth.len = 0; auth.len < s.auth.len; auth.len++)
        assert_int_equal(judge(&s, &s.id, &s.cert, &auth, &result), IKE_REASON_PEER_NOT_AUTHENTIC);
    auth = s.auth;
    auth.method = 1;
    assert_int_equal(judge(&s, &s.id, &s.cert, &auth, &result), IKE_REASON_PEER_NOT_AUTHENTIC);

    /* the ID is signed with it */
    struct ike_id id = {IKE_ID_FQDN, (const uint8_t *)"b.detec.example.net", 19};
    assert_int_equal(judge(&s, &id, &s.cert, &s.auth, &result), IKE_REASON_PEER_NOT_AUTHENTIC);
    /* another's key does not fit the signature */
    public_key_to_spki(identity_public(s.net.nodes[2].identity), spki);
    struct ike_cert cert = {IKE_CERT_RAW_PUBLIC_KEY, spki, sizeof(spki)};
    assert_int_equal(judge(&s, &s.id, &cert, &s.auth, &result), IKE_REASON_PEER_NOT_AUTHENTIC);
    cert.len--;
    assert_int_equal(judge(&s, &s.id, &cert, &s.auth, &result), IKE_REASON_PEER_NOT_AUTHENTIC);
    cert.encoding = 4; /* an X.509 certificate: as good as none */
    assert_int_equal(judge(&s, &s.id, &cert, &s.auth, &result), IKE_REASON_PEER_NOT_AUTHENTIC);
    net_done(&s.net);

    /* signed with our own key over an ID that is none, or another's */
    static const struct {
        uint8_t type;
        const char *text;
        size_t len;
    } ids[] = {{IKE_ID_FQDN, "a..net", 6},
               {IKE_ID_FQDN, "a\0.net", 6},
               {IKE_ID_FQDN, "", 0},
               {IKE_ID_KEY_ID, "12345678901234567890123456789012", 32},
               {IKE_ID_KEY_ID, "short", 5}};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        open_scene(&s, true);
        struct ike_generation *g = s.initiator->sa->current;
        uint8_t body[64] = {ids[i].type}, mac[SHA256_LEN], octets[1024];
        struct writer w;
        memcpy(body + 4, ids[i].text, ids[i].len);
        const struct piece piece = {body, 4 + ids[i].len};
        assert_int_equal(hmac_sha256(ike_keys_part(&g->keys, IKE_SK_PI, NULL), 32, &piece, 1, mac),
                         ERR_OK);
        writer_init(&w, octets, sizeof(octets));
        writer_bytes(&w, g->handshake->init_request, g->handshake->init_request_len);
        writer_bytes(&w, g->handshake->peer_nonce, g->handshake->peer_nonce_len);
        writer_bytes(&w, mac, sizeof(mac));
        memcpy(bytes, s.auth.data, 8);
        assert_int_equal(identity_sign(s.net.nodes[0].identity, octets, w.len, bytes + 8), ERR_OK);
        auth = (struct ike_auth){14, bytes, 72};
        id = (struct ike_id){ids[i].type, (const uint8_t *)ids[i].text, ids[i].len};
        assert_int_equal(judge(&s, &id, &s.cert, &auth, &result), IKE_REASON_PEER_ID);
        net_done(&s.net);
    }
    (void)state;
}

static void test_expected_key(void **state)
{
    struct scene s;
    struct ike_auth_result result;

    /* no CERT: only a configured key can help */
    open_scene(&s, true);
    assert_int_equal(judge(&s, &s.id, NULL, &s.auth, &result), IKE_REASON_PEER_NOT_AUTHENTIC);
    expect_key(&s, s.net.nodes[0].identity);
    assert_int_equal(judge(&s, &s.id, NULL, &s.auth, &result), IKE_REASON_NONE);
    assert_int_equal(judge(&s, &s.id, &s.cert, &s.auth, &result), IKE_REASON_NONE);
    struct ike_cert other = {4, (const uint8_t *)"x509", 4};
    assert_int_equal(judge(&s, &s.id, &other, &s.auth, &result), IKE_REASON_NONE);
    expect_key(&s, s.net.nodes[2].identity);
    assert_int_equal(judge(&s, &s.id, NULL, &s.auth, &result), IKE_REASON_PEER_NOT_AUTHENTIC);
    assert_int_equal(judge(&s, &s.id, &s.cert, &s.auth, &result), IKE_REASON_PEER_KEY);
    net_done(&s.net);
    (void)state;
}

/* The initiator signs something else than it sent: as after a change of its first message. */
static void test_bad_signature_ends_it(void **state)
{
    for (int side = 0; side < 2; side++) {
        struct net net;
        net_init(&net, 2);
        for (size_t i = 0; i < 2; i++) {
            net.nodes[i].config.is_reliable = true;
            net_open(&net, i, NULL);
        }
        struct watch *a = net_connect(&net, 0, 1);
        net_run(&net, NET_MS(side == 0 ? 1 : 25));
        struct watch *b = net_newest(&net, 1);
        struct ike_handshake *h = (side == 0 ? a->sa->generations : b->sa->generations)->handshake;
        (side == 0 ? h->init_request : h->init_responses[0].data)[40] ^= 1;
        net_run(&net, NET_SECOND(1));
        b = net_newest(&net, 1);
        assert_true(a->is_closed && b->is_closed);
        assert_int_equal(a->closed.reason,
                         side == 0 ? IKE_REASON_REFUSED_BY_PEER : IKE_REASON_PEER_NOT_AUTHENTIC);
        assert_int_equal(b->closed.reason,
                         side == 0 ? IKE_REASON_PEER_NOT_AUTHENTIC : IKE_REASON_REFUSED_BY_PEER);
        assert_false(a->is_established);
        net_done(&net);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wire_bytes),
        cmocka_unit_test(test_bad_proofs),
        cmocka_unit_test(test_expected_key),
        cmocka_unit_test(test_bad_signature_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
