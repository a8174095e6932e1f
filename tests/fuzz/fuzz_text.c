/* Texts from people, files and the network: names, addresses, encodings, durations, keys. What is
 * taken has one canonical form. */
#include "fuzz.h"

#include <string.h>

#include "base/address.h"
#include "base/text.h"
#include "crypto/identity.h"

static void check_names(const char *text)
{
    char name[NAME_TEXT_CAP], again[NAME_TEXT_CAP];
    if (name_normalize(text, name) != 0)
        return;
    must(name_normalize(name, again) == 0 && strcmp(name, again) == 0);
    must(name_is_in_zone(name, name) && name_matches("*", name) && name_matches(name, name));
    for (const char *parent = name_parent(name); parent != NULL; parent = name_parent(parent))
        must(name_is_in_zone(name, parent) && !name_is_in_zone(parent, name));
}

static void check_addresses(const char *text)
{
    struct address address, address_again;
    struct endpoint endpoint, endpoint_again;
    struct prefix prefix, prefix_again;
    char buffer[64];
    if (address_parse(text, &address) == 0) {
        must(address_parse(address_format(&address, buffer, sizeof(buffer)), &address_again) == 0);
        must(address_is_equal(&address, &address_again));
    }
    if (endpoint_parse(text, 4500, &endpoint) == 0) {
        must(endpoint_parse(endpoint_format(&endpoint, buffer, sizeof(buffer)), 0,
                            &endpoint_again) == 0);
        must(endpoint_is_equal(&endpoint, &endpoint_again));
    }
    if (prefix_parse(text, &prefix) == 0) {
        must(prefix_parse(prefix_format(&prefix, buffer, sizeof(buffer)), &prefix_again) == 0);
        must(prefix_contains(&prefix, &prefix_again.address) && prefix.bits == prefix_again.bits);
    }
}

static void check_encodings(const char *text)
{
    uint8_t bytes[256];
    char buffer[512];
    uint64_t us;
    struct public_key key;
    const int base64_len = base64_decode(text, bytes, sizeof(bytes));
    if (base64_len >= 0) {
        must(base64_encode(bytes, (size_t)base64_len, buffer, sizeof(buffer)) >= 0);
        must(strcmp(buffer, text) == 0);
    }
    const int hex_len = hex_decode(text, bytes, sizeof(bytes));
    must(hex_len < 0 || (size_t)hex_len * 2 == strlen(text));
    if (duration_parse(text, &us) == 0)
        (void)duration_format(us, buffer, sizeof(buffer));
    if (public_key_parse(text, &key) == 0) {
        char shown[PUBLIC_KEY_TEXT_CAP];
        must(strcmp(public_key_format(&key, shown), text) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct public_key key;
    struct identity *identity = NULL;
    uint8_t spki[PUBLIC_KEY_SPKI_LEN];
    char *text = malloc(len + 1);
    if (text == NULL)
        return 0;
    if (len > 0)
        memcpy(text, data, len);
    text[len] = '\0';
    check_names(text);
    check_addresses(text);
    check_encodings(text);
    if (public_key_from_spki(data, len, &key) == 0) {
        public_key_to_spki(&key, spki);
        must(len == sizeof(spki) && memcmp(spki, data, len) == 0);
    }
    if (identity_from_pem(text, len, &identity) == 0)
        identity_free(identity);
    free(text);
    return 0;
}
