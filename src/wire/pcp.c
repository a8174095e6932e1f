/* PCP and NAT-PMP messages. */
#include "wire/pcp.h"

#include "base/reader.h"

#define RESPONSE_BIT 0x80
#define HEADER_LEN   24 /* RFC 6887, 7.2 */
#define MAP_LEN      36 /* RFC 6887, 11.1 */

/* IPv4 as IPv4-mapped IPv6 (RFC 6887, 5); none as all zeros, IPv4's. */
static void put_address(struct writer *w, const struct address *address)
{
    if (address->family == ADDRESS_IPV6) {
        writer_bytes(w, address->bytes, 16);
        return;
    }
    writer_zero(w, 10);
    writer_u16(w, 0xffff);
    writer_bytes(w, address->bytes, 4);
}

static struct address get_address(struct reader *r)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    uint8_t bytes[16];
    reader_copy(r, bytes, sizeof(bytes));
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0)
        return address_from_bytes(ADDRESS_IPV4, bytes + 12);
    return address_from_bytes(ADDRESS_IPV6, bytes);
}

int pcp_map_request_build(struct writer *w, const struct pcp_map_request *request)
{
    writer_u8(w, PCP_VERSION);
    writer_u8(w, PCP_MAP);
    writer_zero(w, 2);
    writer_u32(w, request->lifetime_s);
    put_address(w, &request->client);
    writer_bytes(w, request->nonce, PCP_NONCE_LEN);
    writer_u8(w, PCP_PROTOCOL_UDP);
    writer_zero(w, 3);
    writer_u16(w, request->internal_port);
    writer_u16(w, request->external.port);
    put_address(w, &request->external.address);
    return w->error;
}

int pcp_address_request_build(struct writer *w)
{
    writer_u8(w, PCP_VERSION_NAT_PMP);
    writer_u8(w, PCP_ANNOUNCE);
    return w->error;
}

int pcp_legacy_map_request_build(struct writer *w, const struct pcp_map_request *request)
{
    writer_u8(w, PCP_VERSION_NAT_PMP);
    writer_u8(w, PCP_MAP);
    writer_zero(w, 2);
    writer_u16(w, request->internal_port);
    writer_u16(w, request->lifetime_s > 0 ? request->external.port : 0);
    writer_u32(w, request->lifetime_s);
    return w->error;
}

static uint16_t translate_legacy_result(uint16_t result)
{
    switch (result) {
    case 3:
        return PCP_NETWORK_FAILURE;
    case 4:
        return PCP_NO_RESOURCES;
    case 5:
        return PCP_UNSUPP_OPCODE;
    default:
        return result; /* 0, 1 and 2 are the same; others are not known */
    }
}

static int parse_legacy(struct reader *r, struct pcp_response *response)
{
    response->result = translate_legacy_result(reader_u16(r));
    response->epoch_s = reader_u32(r);
    if (!reader_is_ok(r) || response->result != PCP_SUCCESS)
        return r->error;
    if (response->opcode == PCP_ANNOUNCE) {
        uint8_t bytes[4];
        reader_copy(r, bytes, sizeof(bytes));
        response->external.address = address_from_bytes(ADDRESS_IPV4, bytes);
        return r->error;
    }
    if (response->opcode != PCP_MAP)
        return ERR_UNSUPPORTED;
    response->has_map = true;
    response->protocol = PCP_PROTOCOL_UDP;
    response->internal_port = reader_u16(r);
    response->external.port = reader_u16(r);
    response->lifetime_s = reader_u32(r);
    return r->error;
}

static int parse_pcp(struct reader *r, size_t len, struct pcp_response *response)
{
    /* RFC 6887, 8.3: short ones, long ones and odd lengths are dropped. */
    if (len < HEADER_LEN)
        return ERR_TRUNCATED;
    if (len > PCP_MESSAGE_CAP || len % 4 != 0)
        return ERR_INVALID;
    reader_skip(r, 1);
    response->result = reader_u8(r);
    response->lifetime_s = reader_u32(r);
    response->epoch_s = reader_u32(r);
    reader_skip(r, 12);
    if (response->opcode != PCP_MAP)
        return r->error;
    if (reader_left(r) < MAP_LEN) /* an error need not repeat the request */
        return response->result == PCP_SUCCESS ? ERR_TRUNCATED : r->error;
    response->has_map = true;
    reader_copy(r, response->nonce, PCP_NONCE_LEN);
    response->protocol = reader_u8(r);
    reader_skip(r, 3);
    response->internal_port = reader_u16(r);
    response->external.port = reader_u16(r);
    response->external.address = get_address(r);
    return r->error;
}

int pcp_response_parse(const void *data, size_t len, struct pcp_response *ret_response)
{
    struct reader r;
    struct pcp_response response = {0};
    int error;
    reader_init(&r, data, len);
    response.version = reader_u8(&r);
    uint8_t opcode = reader_u8(&r);
    if (!reader_is_ok(&r))
        return r.error;
    if ((opcode & RESPONSE_BIT) == 0)
        return ERR_INVALID;
    response.opcode = opcode & (uint8_t)~RESPONSE_BIT;
    if (response.version == PCP_VERSION_NAT_PMP) {
        error = parse_legacy(&r, &response);
    } else if (response.version == PCP_VERSION) {
        error = parse_pcp(&r, len, &response);
    } else {
        /* Whatever else its header says, the result is where every version has it. */
        reader_skip(&r, 1);
        response.result = reader_u8(&r);
        error = r.error != ERR_OK                       ? r.error
                : response.result != PCP_UNSUPP_VERSION ? ERR_UNSUPPORTED
                                                        : ERR_OK;
    }
    if (error == ERR_OK)
        *ret_response = response;
    return error;
}

const char *pcp_result_text(uint16_t result)
{
    static const char *const texts[] = {
        [PCP_SUCCESS] = "granted",
        [PCP_UNSUPP_VERSION] = "the gateway speaks another version",
        [PCP_NOT_AUTHORIZED] = "the gateway does not allow it",
        [PCP_MALFORMED_REQUEST] = "the gateway did not understand the request",
        [PCP_UNSUPP_OPCODE] = "the gateway does not map ports",
        [PCP_UNSUPP_OPTION] = "the gateway does not know an option",
        [PCP_MALFORMED_OPTION] = "the gateway did not understand an option",
        [PCP_NETWORK_FAILURE] = "the gateway has no public address itself",
        [PCP_NO_RESOURCES] = "the gateway has no room for more mappings",
        [PCP_UNSUPP_PROTOCOL] = "the gateway does not map UDP ports",
        [PCP_USER_EX_QUOTA] = "this host has too many mappings",
        [PCP_CANNOT_PROVIDE_EXTERNAL] = "the gateway cannot give this port",
        [PCP_ADDRESS_MISMATCH] = "another NAT lies between this host and the gateway",
        [PCP_EXCESSIVE_REMOTE_PEERS] = "too many filters",
    };
    return result < sizeof(texts) / sizeof(texts[0]) ? texts[result]
                                                     : "the gateway refused for an unknown reason";
}
