/* PCP and NAT-PMP answers from whoever sits at the gateway's address: the codec, and the engine
 * behind it, mapped and not. */
#include "fuzz.h"

#include "path/mapping.h"
#include <string.h>

static const struct mapping_config CONFIG = {
    .gateway = {{ADDRESS_IPV4, {10, 0, 1, 1}}, PCP_SERVER_PORT},
    .client = {ADDRESS_IPV4, {10, 0, 1, 10}},
    .port = 32589,
    .nonce = {0x56, 0x91, 0x92, 0xf2, 0xfe, 0x63, 0x27, 0x23, 0x0a, 0x23, 0x49, 0x00},
};

static void drain(struct mapping *mapping, uint64_t now_us)
{
    uint8_t buffer[MAPPING_DATAGRAM_CAP];
    struct mapping_event event;
    struct writer w;
    for (unsigned count = 0;; count++) {
        writer_init(&w, buffer, sizeof(buffer));
        if (mapping_transmit(mapping, &w, now_us) != ERR_OK)
            break;
        must(count < 4);
    }
    while (mapping_next_event(mapping, &event))
        must(event.type != MAPPING_GRANTED || event.external.port != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pcp_response response;
    struct mapping_status status;
    struct mapping *mapping;
    uint64_t now_us = SECOND_US;
    int error = pcp_response_parse(data, len, &response);
    must(error != ERR_OK || (response.opcode < 128 && pcp_result_text(response.result) != NULL));
    if (mapping_new(&CONFIG, now_us, &mapping) != ERR_OK)
        return 0;
    for (unsigned i = 0; i < 3; i++) {
        drain(mapping, now_us);
        if (mapping_receive(mapping, data, len, &CONFIG.gateway, now_us) == ERR_OK)
            must(error == ERR_OK);
        if (mapping_announced(mapping, data, len, &CONFIG.gateway, now_us) == ERR_OK)
            must(error == ERR_OK);
        mapping_get_status(mapping, &status);
        must(!status.is_mapped ||
             (status.external.port != 0 && status.expires_us > now_us &&
              status.expires_us - now_us <= MAPPING_LIFETIME_MAX_S * SECOND_US));
        must(mapping_deadline(mapping) >= now_us); /* nobody makes it busy */
        now_us = mapping_deadline(mapping);
        mapping_expire(mapping, now_us);
    }
    mapping_free(mapping);
    return 0;
}
