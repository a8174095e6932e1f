/* The SPUT header's bytes and the lengths of messages. */
#include "wire/sput.h"

void sput_header_write(const struct sput_header *header, uint8_t bytes[SPUT_HEADER_LEN])
{
    for (unsigned i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(header->number >> (8 * i));
    bytes[4] = header->command;
    bytes[5] = header->next_header;
    bytes[6] = (uint8_t)header->flags;
    bytes[7] = (uint8_t)(header->flags >> 8);
}

uint32_t sput_number_read(const uint8_t bytes[SPUT_CLEAR_LEN])
{
    return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
}

void sput_header_read(const uint8_t bytes[SPUT_HEADER_LEN], struct sput_header *ret_header)
{
    ret_header->number = sput_number_read(bytes);
    ret_header->command = bytes[4];
    ret_header->next_header = bytes[5];
    ret_header->flags = (uint16_t)(bytes[7] << 8 | bytes[6]);
}

static size_t len_max(size_t tag_len)
{
    return tag_len == SPUT_MAC_LEN ? SPUT_PAPER_LEN_MAX : SPUT_AEAD_LEN_MAX;
}

bool sput_len_is_valid(size_t len, size_t tag_len)
{
    return len >= SPUT_HEADER_LEN + tag_len && len <= len_max(tag_len);
}

size_t sput_payload_max(size_t tag_len)
{
    return len_max(tag_len) - SPUT_HEADER_LEN - tag_len;
}
