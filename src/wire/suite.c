/* The table of suites. */
#include "wire/suite.h"

#include "wire/esp.h"
#include "wire/sput.h"
#include <string.h>

#define GCM_IV   8 /* RFC 4106, 3.1; RFC 7634, 2; RFC 3686, 3.1 */
#define CBC_IV   16
#define WORD     4 /* RFC 4303, 2.4 */
#define BLOCK    16
#define SALT     SUITE_ESP_SALT_LEN
#define MAC_KEY  SUITE_ESP_MAC_KEY_LEN
#define SPUT_KEY SUITE_AEAD_SALT_LEN

static const struct row {
    enum suite id;
    const char *name;
    uint8_t cipher_key; /* bytes */
    uint8_t other_keys; /* salt, nonce, MAC key: behind it */
    uint8_t tag;
    uint8_t iv;
    uint8_t alignment;
} rows[] = {
    {SPUT_PAPER, "paper", 16, 43, SPUT_MAC_LEN, 0, 1},
    {SPUT_AES128_GCM, "aes128-gcm", 16, SPUT_KEY, SPUT_TAG_LEN, 0, 1},
    {SPUT_AES256_GCM, "aes256-gcm", 32, SPUT_KEY, SPUT_TAG_LEN, 0, 1},
    {SPUT_CHACHA20_POLY1305, "chacha20-poly1305", 32, SPUT_KEY, SPUT_TAG_LEN, 0, 1},
    {ESP_AES128_GCM, "esp-aes128-gcm", 16, SALT, ESP_ICV_LEN, GCM_IV, WORD},
    {ESP_AES256_GCM, "esp-aes256-gcm", 32, SALT, ESP_ICV_LEN, GCM_IV, WORD},
    {ESP_CHACHA20_POLY1305, "esp-chacha20-poly1305", 32, SALT, ESP_ICV_LEN, GCM_IV, WORD},
    {ESP_AES128_GCM_IIV, "esp-aes128-gcm-iiv", 16, SALT, ESP_ICV_LEN, 0, WORD},
    {ESP_AES256_GCM_IIV, "esp-aes256-gcm-iiv", 32, SALT, ESP_ICV_LEN, 0, WORD},
    {ESP_CHACHA20_POLY1305_IIV, "esp-chacha20-poly1305-iiv", 32, SALT, ESP_ICV_LEN, 0, WORD},
    {ESP_AES128_CBC_SHA256, "esp-aes128-cbc-sha256", 16, MAC_KEY, ESP_ICV_LEN, CBC_IV, BLOCK},
    {ESP_AES256_CBC_SHA256, "esp-aes256-cbc-sha256", 32, MAC_KEY, ESP_ICV_LEN, CBC_IV, BLOCK},
    {ESP_AES128_CTR_SHA256, "esp-aes128-ctr-sha256", 16, SALT + MAC_KEY, ESP_ICV_LEN, GCM_IV, WORD},
    {ESP_AES256_CTR_SHA256, "esp-aes256-ctr-sha256", 32, SALT + MAC_KEY, ESP_ICV_LEN, GCM_IV, WORD},
};

_Static_assert(sizeof(rows) / sizeof(rows[0]) == SUITE_COUNT, "a row for each");

static const struct row *find(unsigned int id)
{
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        if ((unsigned int)rows[i].id == id)
            return &rows[i];
    }
    return NULL;
}

static bool row_is_esp(const struct row *row)
{
    return row->id >= ESP_AES128_GCM;
}

const char *child_mode_name(enum child_mode mode)
{
    static const char *const names[CHILD_MODE_COUNT] = {
        [CHILD_TRANSPORT] = "transport", [CHILD_BEET] = "beet", [CHILD_TUNNEL] = "tunnel"};
    return (unsigned int)mode < CHILD_MODE_COUNT ? names[mode] : "unknown";
}

bool suite_is_known(unsigned int id)
{
    return find(id) != NULL;
}

const char *suite_name(enum suite suite)
{
    const struct row *row = find(suite);
    if (row != NULL)
        return row->name;
    return suite == SUITE_NONE ? "none" : "unknown";
}

int suite_parse(const char *name, enum suite *ret_suite)
{
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            *ret_suite = rows[i].id;
            return ERR_OK;
        }
    }
    return ERR_NOT_FOUND;
}

enum ike_protocol suite_protocol(enum suite suite)
{
    const struct row *row = find(suite);
    if (row == NULL)
        return IKE_PROTOCOL_NONE;
    return row_is_esp(row) ? IKE_PROTOCOL_ESP : IKE_PROTOCOL_SPUT;
}

size_t suite_key_len(enum suite suite)
{
    const struct row *row = find(suite);
    return row != NULL ? (size_t)row->cipher_key + row->other_keys : 0;
}

size_t suite_cipher_key_len(enum suite suite)
{
    const struct row *row = find(suite);
    return row != NULL ? row->cipher_key : 0;
}

size_t suite_tag_len(enum suite suite)
{
    const struct row *row = find(suite);
    return row != NULL ? row->tag : 0;
}

size_t suite_iv_len(enum suite suite)
{
    const struct row *row = find(suite);
    return row != NULL ? row->iv : 0;
}

size_t suite_alignment(enum suite suite)
{
    const struct row *row = find(suite);
    return row != NULL ? row->alignment : 0;
}

/* Header, IV and tag: what stands around the aligned part. */
static size_t frame_len(const struct row *row)
{
    return (row_is_esp(row) ? ESP_HEADER_LEN + (size_t)row->iv : SPUT_HEADER_LEN) + row->tag;
}

size_t suite_overhead(enum suite suite)
{
    const struct row *row = find(suite);
    if (row == NULL)
        return 0;
    return frame_len(row) + (row_is_esp(row) ? ESP_TRAILER_LEN : 0);
}

size_t suite_payload_max(enum suite suite)
{
    const struct row *row = find(suite);
    if (row == NULL)
        return 0;
    return row_is_esp(row) ? suite_payload_in(suite, ESP_LEN_MAX) : sput_payload_max(row->tag);
}

size_t suite_payload_in(enum suite suite, size_t len)
{
    const struct row *row = find(suite);
    if (row == NULL || len < suite_overhead(suite))
        return 0;
    len -= frame_len(row);
    if (row_is_esp(row)) {
        len -= len % row->alignment;
        return len < ESP_TRAILER_LEN ? 0 : len - ESP_TRAILER_LEN;
    }
    return len < sput_payload_max(row->tag) ? len : sput_payload_max(row->tag);
}
