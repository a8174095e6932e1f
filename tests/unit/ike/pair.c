/* The two plain peers; see pair.h. */
#include "pair.h"
#include <string.h>

static const uint8_t secret[] = "a secret that both know";

const char *const pair_names[2] = {"a.example.net", "b.example.net"};

void pair_make(struct pair *p, uint64_t seed, const char *const names[2], enum suite suite)
{
    memset(p, 0, sizeof(*p));
    net_init(&p->net, seed);
    for (size_t i = 0; i < 2; i++) {
        struct ike_peer_entry *e = &p->entries[i];
        e->own = (struct ike_credentials){
            .proof = IKE_PROOF_PSK, .psk = secret, .psk_len = sizeof(secret)};
        assert_int_equal(ike_name_parse(names[i], &e->own.name), ERR_OK);
        e->expected.proofs = IKE_PROOF_PSK;
        e->expected.psk = secret;
        e->expected.psk_len = sizeof(secret);
        net_want_child(&p->net, i, suite);
        p->net.nodes[i].config.peers = e;
        p->net.nodes[i].config.peer_count = 1;
    }
}

void pair_want_esp(struct pair *p, enum child_mode mode)
{
    for (size_t i = 0; i < 2; i++) {
        struct ike_config *c = &p->net.nodes[i].config;
        c->esp_modes[0] = mode;
        c->esp_mode_count = 1;
        c->has_esp_commands = false;
    }
}

void pair_set_inner(struct pair *p)
{
    for (size_t i = 0; i < 2; i++) {
        struct ike_config *c = &p->net.nodes[i].config;
        c->addresses.own_ipv4 = address_from_ipv4(0x0a000001u + (uint32_t)i);
        c->addresses.other_ipv4 = address_from_ipv4(0x0a000002u - (uint32_t)i);
    }
}
