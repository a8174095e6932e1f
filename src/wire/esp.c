/* ESP's header, padding and trailer. */
#include "wire/esp.h"

static void put32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

void esp_header_write(const struct esp_header *header, uint8_t bytes[ESP_HEADER_LEN])
{
    put32(bytes, header->spi);
    put32(bytes + 4, header->sequence);
}

void esp_header_read(const uint8_t bytes[ESP_HEADER_LEN], struct esp_header *ret_header)
{
    ret_header->spi = get32(bytes);
    ret_header->sequence = get32(bytes + 4);
}

size_t esp_padding_len(size_t payload_len, size_t alignment)
{
    const size_t over = (payload_len + ESP_TRAILER_LEN) % alignment;
    return over == 0 ? 0 : alignment - over;
}

void esp_trailer_write(uint8_t *at, size_t padding_len, uint8_t next_header)
{
    for (size_t i = 0; i < padding_len; i++)
        at[i] = (uint8_t)(i + 1);
    at[padding_len] = (uint8_t)padding_len;
    at[padding_len + 1] = next_header;
}

int esp_trailer_read(const uint8_t *text, size_t len, size_t *ret_payload_len,
                     uint8_t *ret_next_header)
{
    if (len < ESP_TRAILER_LEN)
        return ERR_INVALID;
    const size_t padding_len = text[len - 2];
    if (padding_len > len - ESP_TRAILER_LEN)
        return ERR_INVALID;
    *ret_payload_len = len - ESP_TRAILER_LEN - padding_len;
    *ret_next_header = text[len - 1];
    return ERR_OK;
}
