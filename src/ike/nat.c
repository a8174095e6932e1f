/* NAT detection: SHA-1(SPIi | SPIr | address | port) (RFC 7296, 2.23). */
#include "ike/nat.h"
#include "crypto/memory.h"
#include <string.h>

static int compute(uint64_t spi_i, uint64_t spi_r, const struct endpoint *e,
                   uint8_t ret_hash[SHA1_LEN])
{
    uint8_t input[16 + 16 + 2];
    struct writer w;
    size_t len = address_len(&e->address);

    writer_init(&w, input, sizeof(input));
    writer_u64(&w, spi_i);
    writer_u64(&w, spi_r);
    writer_bytes(&w, e->address.bytes, len > 0 ? len : 4);
    writer_u16(&w, e->port);
    const struct piece piece = {input, w.len};
    return sha1(&piece, 1, ret_hash);
}

static void build_one(struct ike_builder *b, uint16_t type, uint64_t spi_i, uint64_t spi_r,
                      const struct endpoint *e)
{
    uint8_t hash[SHA1_LEN];

    int error = compute(spi_i, spi_r, e, hash);
    if (error != ERR_OK)
        writer_fail(b->w, error);
    else
        ike_build_notify(b, type, hash, sizeof(hash));
}

/* The hash of no address. */
static void build_wrong(struct ike_builder *b)
{
    uint8_t hash[SHA1_LEN];

    int error = crypto_random(hash, sizeof(hash));
    if (error != ERR_OK)
        writer_fail(b->w, error);
    else
        ike_build_notify(b, IKE_NOTIFY_NAT_DETECTION_SOURCE_IP, hash, sizeof(hash));
}

void ike_nat_build(const struct ike_sa *sa, struct ike_builder *b, uint64_t spi_i, uint64_t spi_r,
                   const struct endpoint *remote)
{
    const struct ike_config *config = ike_sa_config(sa);

    if (config->is_reliable || ike_is_carried(&sa->remote))
        return;
    if (config->forces_encapsulation)
        build_wrong(b);
    else
        build_one(b, IKE_NOTIFY_NAT_DETECTION_SOURCE_IP, spi_i, spi_r, &config->local);
    build_one(b, IKE_NOTIFY_NAT_DETECTION_DESTINATION_IP, spi_i, spi_r, remote);
}

/* false only where notifies of this type came and none fits. */
static bool fits(const struct ike_message *message, uint16_t type, uint64_t spi_i, uint64_t spi_r,
                 const struct endpoint *e)
{
    struct ike_chain chain = message->chain;
    struct ike_notify n;
    uint8_t hash[SHA1_LEN];
    bool has_any = false;

    if (compute(spi_i, spi_r, e, hash) != ERR_OK)
        return false;
    while (ike_message_next_notify(&chain, &n)) {
        if (n.type != type)
            continue;
        has_any = true;
        if (n.len == SHA1_LEN && crypto_is_equal(n.data, hash, SHA1_LEN))
            return true;
    }
    return !has_any;
}

void ike_nat_check(struct ike_sa *sa, const struct ike_message *message, uint64_t spi_i,
                   uint64_t spi_r, const struct endpoint *remote)
{
    const struct ike_config *config = ike_sa_config(sa);

    if (config->is_reliable || ike_is_carried(remote))
        return;
    sa->is_nat_there = !fits(message, IKE_NOTIFY_NAT_DETECTION_SOURCE_IP, spi_i, spi_r, remote);
    sa->is_nat_here =
        !fits(message, IKE_NOTIFY_NAT_DETECTION_DESTINATION_IP, spi_i, spi_r, &config->local);
}

void ike_nat_float(struct ike_sa *sa, const struct ike_message *message)
{
    const struct ike_config *config = ike_sa_config(sa);
    const bool is_wanted = config->forces_encapsulation || sa->is_nat_here || sa->is_nat_there;

    if (config->nat_port == 0 || endpoint_is_stream(&sa->remote) || sa->remote.port != IKE_PORT ||
        !is_wanted || !ike_message_find_notify(message, IKE_NOTIFY_NAT_DETECTION_SOURCE_IP, NULL))
        return;
    sa->remote.port = config->nat_port;
    sa->is_floated = true;
}
