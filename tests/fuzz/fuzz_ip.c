/* IP packets from a tunnel or an application: parsing, whole and quoted, replacing of addresses
 * with correction of the checksum, and the ICMP errors built in answer. */
#include "fuzz.h"

#include <string.h>

#include "wire/checksum.h"
#include "wire/icmp.h"
#include "wire/ip.h"

static void check_view(const uint8_t *data, size_t len, const struct ip_view *v)
{
    must(v->version == 4 || v->version == 6);
    must(v->header_len <= len && v->payload_len <= len - v->header_len);
    must(v->payload_len == 0 || v->payload >= data);
    must(v->payload_len == 0 || v->payload + v->payload_len <= data + len);
}

static struct address other_address(uint8_t version, uint8_t last)
{
    uint8_t bytes[16] = {0};
    bytes[version == 4 ? 3 : 15] = last;
    return address_from_bytes(version == 4 ? ADDRESS_IPV4 : ADDRESS_IPV6, bytes);
}

/* There and back again gives the same packet: the correction of checksums is exact. */
static void check_translation(const uint8_t *data, size_t len, const struct ip_view *v)
{
    const struct address src = other_address(v->version, 86), dst = other_address(v->version, 87);
    uint8_t *packet = malloc(len);
    struct ip_view moved;
    if (packet == NULL)
        return;
    memcpy(packet, data, len);
    ip_replace_addresses(packet, &src, &dst);
    must(ip_parse(packet, len, &moved) == 0);
    must(address_is_equal(&moved.src, &src) && address_is_equal(&moved.dst, &dst));
    must(moved.payload_len == v->payload_len);
    ip_replace_addresses(packet, &v->src, &v->dst);
    must(ip_parse(packet, len, &moved) == 0);
    must(address_is_equal(&moved.src, &v->src) && address_is_equal(&moved.dst, &v->dst));
    if (v->fragment_offset == 0)
        (void)!checksum_fix_payload(v->protocol, packet + v->header_len, v->payload_len, &v->src,
                                    &v->dst, &src, &dst);
    free(packet);
}

static void check_error(const uint8_t *data, size_t len)
{
    uint8_t buffer[1400];
    struct writer w;
    struct ip_view v;
    writer_init(&w, buffer, sizeof(buffer));
    if (icmp_unreachable_build(&w, data, len) == 0)
        must(w.len <= IP6_MTU_MIN && ip_parse(buffer, w.len, &v) == 0);
    writer_init(&w, buffer, sizeof(buffer));
    if (icmp_too_big_build(&w, data, len, 1452) == 0)
        must(w.len <= IP6_MTU_MIN && ip_parse(buffer, w.len, &v) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct ip_view v;
    if (ip_parse(data, len, &v) == 0) {
        must(v.total_len <= len);
        check_view(data, len, &v);
        check_translation(data, len, &v);
    }
    if (ip_parse_quoted(data, len, &v) == 0)
        check_view(data, len, &v);
    check_error(data, len);
    return 0;
}
