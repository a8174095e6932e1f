/* Text encodings of binary data: base64, base32, hexadecimal, MAC addresses. Not for secrets that
 * must be encoded in constant time: private keys are kept in files of their own format. */
#include "base/text.h"

#include <string.h>

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base32_digits[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char hex_digits[] = "0123456789abcdef";

int base64_encode(const void *data, size_t len, char *ret_text, size_t cap)
{
    const uint8_t *bytes = data;
    if (len > INT32_MAX / 2 || cap < BASE64_TEXT_CAP(len))
        return ERR_FULL;
    char *out = ret_text;
    for (size_t i = 0; i < len; i += 3) {
        const size_t count = len - i < 3 ? len - i : 3;
        uint32_t group = (uint32_t)bytes[i] << 16;
        if (count > 1)
            group |= (uint32_t)bytes[i + 1] << 8;
        if (count > 2)
            group |= bytes[i + 2];
        *out++ = base64_digits[group >> 18];
        *out++ = base64_digits[group >> 12 & 63];
        *out++ = count > 1 ? base64_digits[group >> 6 & 63] : '=';
        *out++ = count > 2 ? base64_digits[group & 63] : '=';
    }
    *out = '\0';
    return (int)(out - ret_text);
}

/* Value of a digit; -1 if it is none. */
static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

int base64_decode(const char *text, void *ret_data, size_t cap)
{
    const size_t text_len = strlen(text);
    uint8_t *out = ret_data;
    if (text_len % 4 != 0 || text_len > INT32_MAX)
        return ERR_INVALID;
    size_t padding = 0;
    while (padding < 2 && padding < text_len && text[text_len - 1 - padding] == '=')
        padding++;
    const size_t digits = text_len - padding;
    for (size_t i = 0; i < digits; i++) {
        if (base64_value(text[i]) < 0)
            return ERR_INVALID;
    }
    /* The bits that no byte takes must be zero: each byte string has one text only. */
    const unsigned spare = padding == 1 ? 3 : padding == 2 ? 15 : 0;
    if (digits > 0 && ((unsigned)base64_value(text[digits - 1]) & spare) != 0)
        return ERR_INVALID;
    const size_t len = text_len / 4 * 3 - padding;
    if (len > cap)
        return ERR_FULL;
    for (size_t i = 0; i < len; i++) {
        const char *at = text + i / 3 * 4 + i % 3;
        const unsigned high = (unsigned)base64_value(at[0]), low = (unsigned)base64_value(at[1]);
        out[i] = (uint8_t)(i % 3 == 0   ? high << 2 | low >> 4
                           : i % 3 == 1 ? high << 4 | low >> 2
                                        : high << 6 | low);
    }
    return (int)len;
}

int base32_encode(const void *data, size_t len, char *ret_text, size_t cap)
{
    const uint8_t *bytes = data;
    if (len > INT32_MAX / 2 || cap < BASE32_TEXT_CAP(len))
        return ERR_FULL;
    char *out = ret_text;
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | bytes[i];
        count += 8;
        while (count >= 5) {
            count -= 5;
            *out++ = base32_digits[bits >> count & 31];
        }
    }
    if (count > 0)
        *out++ = base32_digits[bits << (5 - count) & 31];
    *out = '\0';
    return (int)(out - ret_text);
}

int hex_encode(const void *data, size_t len, char *ret_text, size_t cap)
{
    const uint8_t *bytes = data;
    if (len > INT32_MAX / 2 - 1 || cap < HEX_TEXT_CAP(len))
        return ERR_FULL;
    for (size_t i = 0; i < len; i++) {
        ret_text[2 * i] = hex_digits[bytes[i] >> 4];
        ret_text[2 * i + 1] = hex_digits[bytes[i] & 15];
    }
    ret_text[2 * len] = '\0';
    return (int)(2 * len);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int hex_decode(const char *text, void *ret_data, size_t cap)
{
    const size_t text_len = strlen(text);
    uint8_t *out = ret_data;
    if (text_len % 2 != 0 || text_len > INT32_MAX)
        return ERR_INVALID;
    for (size_t i = 0; i < text_len; i++) {
        if (hex_value(text[i]) < 0)
            return ERR_INVALID;
    }
    if (text_len / 2 > cap)
        return ERR_FULL;
    for (size_t i = 0; i < text_len / 2; i++)
        out[i] = (uint8_t)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
    return (int)(text_len / 2);
}

int mac_parse(const char *text, uint8_t ret_mac[MAC_ADDRESS_LEN])
{
    char digits[HEX_TEXT_CAP(MAC_ADDRESS_LEN)] = "";
    uint8_t mac[MAC_ADDRESS_LEN];
    if (strlen(text) != MAC_TEXT_CAP - 1)
        return ERR_INVALID;
    for (size_t i = 0; i < MAC_ADDRESS_LEN; i++) {
        memcpy(digits + 2 * i, text + 3 * i, 2);
        if (i + 1 < MAC_ADDRESS_LEN && text[3 * i + 2] != ':')
            return ERR_INVALID;
    }
    if (hex_decode(digits, mac, sizeof mac) != MAC_ADDRESS_LEN)
        return ERR_INVALID;
    memcpy(ret_mac, mac, sizeof mac);
    return ERR_OK;
}

const char *mac_format(const uint8_t mac[MAC_ADDRESS_LEN], char text[MAC_TEXT_CAP])
{
    for (size_t i = 0; i < MAC_ADDRESS_LEN; i++) {
        text[3 * i] = hex_digits[mac[i] >> 4];
        text[3 * i + 1] = hex_digits[mac[i] & 15];
        text[3 * i + 2] = i + 1 < MAC_ADDRESS_LEN ? ':' : '\0';
    }
    return text;
}

int text_each_word(const char *text, size_t cap, int (*take)(const char *word, void *context),
                   void *context)
{
    static const char between[] = ", \t";
    char word[64];
    int error = strlen(text) < cap ? ERR_OK : ERR_INVALID;
    while (error == ERR_OK && *(text += strspn(text, between)) != '\0') {
        const size_t len = strcspn(text, between);
        if (len >= sizeof(word))
            return ERR_INVALID;
        memcpy(word, text, len);
        word[len] = '\0';
        text += len;
        error = take(word, context);
    }
    return error;
}
