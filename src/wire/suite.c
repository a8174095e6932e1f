/* The table of SPUT's suites. */
#include "wire/suite.h"

#include "wire/sput.h"
#include <string.h>

struct suite {
    enum sput_suite id;
    const char *name;
    size_t key_len; /* key material of one direction */
    size_t tag_len;
};

static const struct suite suites[] = {
    {SPUT_PAPER, "paper", SUITE_KEY_CAP, SPUT_MAC_LEN},
    {SPUT_AES128_GCM, "aes128-gcm", 16 + SUITE_AEAD_SALT_LEN, SPUT_TAG_LEN},
    {SPUT_AES256_GCM, "aes256-gcm", 32 + SUITE_AEAD_SALT_LEN, SPUT_TAG_LEN},
    {SPUT_CHACHA20_POLY1305, "chacha20-poly1305", 32 + SUITE_AEAD_SALT_LEN, SPUT_TAG_LEN},
};

static const struct suite *find(unsigned int id)
{
    for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
        if ((unsigned int)suites[i].id == id)
            return &suites[i];
    }
    return NULL;
}

bool suite_is_known(unsigned int id)
{
    return find(id) != NULL;
}

const char *suite_name(enum sput_suite suite)
{
    const struct suite *s = find(suite);
    if (s != NULL)
        return s->name;
    return suite == SPUT_SUITE_NONE ? "none" : "unknown";
}

int suite_parse(const char *name, enum sput_suite *ret_suite)
{
    for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
        if (strcmp(suites[i].name, name) == 0) {
            *ret_suite = suites[i].id;
            return ERR_OK;
        }
    }
    return ERR_NOT_FOUND;
}

size_t suite_key_len(enum sput_suite suite)
{
    const struct suite *s = find(suite);
    return s != NULL ? s->key_len : 0;
}

size_t suite_tag_len(enum sput_suite suite)
{
    const struct suite *s = find(suite);
    return s != NULL ? s->tag_len : 0;
}

size_t suite_overhead(enum sput_suite suite)
{
    const struct suite *s = find(suite);
    return s != NULL ? SPUT_HEADER_LEN + s->tag_len : 0;
}

size_t suite_payload_max(enum sput_suite suite)
{
    const struct suite *s = find(suite);
    return s != NULL ? sput_payload_max(s->tag_len) : 0;
}
