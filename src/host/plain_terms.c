/* Lists of words, each once. */
#include "host/plain_terms.h"

#include "base/text.h"
#include <string.h>

#define TEXT_CAP 192
#define WORD_CAP 32

/* ---- words of IKE ---- */

struct term {
    const char *word;
    enum ike_cipher cipher;
    enum hash_algorithm hash;
    enum kex_group group;
};

static const struct term TERMS[] = {
    {.word = "aes256-gcm", .cipher = IKE_CIPHER_AES256_GCM},
    {.word = "aes128-gcm", .cipher = IKE_CIPHER_AES128_GCM},
    {.word = "chacha20-poly1305", .cipher = IKE_CIPHER_CHACHA20_POLY1305},
    {.word = "aes256-cbc", .cipher = IKE_CIPHER_AES256_CBC},
    {.word = "aes128-cbc", .cipher = IKE_CIPHER_AES128_CBC},
    {.word = "sha256", .hash = HASH_SHA256},
    {.word = "sha384", .hash = HASH_SHA384},
    {.word = "sha512", .hash = HASH_SHA512},
    {.word = "x25519", .group = KEX_X25519},
    {.word = "ecp256", .group = KEX_ECP256},
    {.word = "ecp384", .group = KEX_ECP384},
    {.word = "modp3072", .group = KEX_MODP3072},
    {.word = "modp2048", .group = KEX_MODP2048},
};

static enum kex_group find_group(const char *word)
{
    for (size_t i = 0; i < sizeof(TERMS) / sizeof(TERMS[0]); i++)
        if (strcmp(TERMS[i].word, word) == 0)
            return TERMS[i].group;
    return KEX_NONE;
}

/* ---- ESP ---- */

struct esp_terms {
    enum suite suites[SUITE_COUNT + 1];
    enum kex_group pfs;
};

static int take_esp(const char *word, void *context)
{
    struct esp_terms *terms = context;
    enum suite *suites = terms->suites, suite;
    const enum kex_group group = find_group(word);
    char name[WORD_CAP];
    size_t count = 0;
    if (group != KEX_NONE && terms->pfs != KEX_NONE)
        return ERR_INVALID;
    if (group != KEX_NONE) {
        terms->pfs = group;
        return ERR_OK;
    }
    if (strlen(word) + 5 > sizeof(name))
        return ERR_INVALID;
    strcpy(name, "esp-");
    strcat(name, word);
    if (suite_parse(name, &suite) != ERR_OK || suite_iv_len(suite) == 0)
        return ERR_INVALID; /* implicit IVs are for Detec hosts: nobody else knows them */
    for (; suites[count] != SUITE_NONE; count++) {
        if (suites[count] == suite)
            return ERR_INVALID;
    }
    suites[count] = suite;
    return ERR_OK;
}

int plain_terms_esp(const char *text, enum suite ret_suites[SUITE_COUNT], enum kex_group *ret_pfs)
{
    struct esp_terms terms = {.pfs = KEX_NONE}, usual = {.pfs = KEX_NONE};
    int error = text_each_word(text, TEXT_CAP, take_esp, &terms);
    if (error == ERR_OK)
        error = text_each_word(PLAIN_ESP_WORDS, TEXT_CAP, take_esp, &usual);
    /* A group alone is for all suites; but a list of nothing at all is a mistake. */
    const bool has_suites = terms.suites[0] != SUITE_NONE;
    if (error != ERR_OK || (text[0] != '\0' && !has_suites && terms.pfs == KEX_NONE))
        return ERR_INVALID;
    memcpy(ret_suites, has_suites ? terms.suites : usual.suites, SUITE_COUNT * sizeof(*ret_suites));
    *ret_pfs = terms.pfs;
    return ERR_OK;
}

/* ---- IKE ---- */

struct ike_terms {
    enum ike_cipher ciphers[IKE_CIPHER_COUNT + 1];
    enum hash_algorithm hashes[IKE_HASH_COUNT + 1];
    enum kex_group groups[KEX_GROUP_COUNT + 1];
};

/* Appends to a list that 0 ends; ERR_INVALID: it is there. */
#define APPEND(list, value)                                                                        \
    do {                                                                                           \
        size_t at = 0;                                                                             \
        while ((list)[at] != 0 && (list)[at] != (value))                                           \
            at++;                                                                                  \
        if ((list)[at] != 0)                                                                       \
            return ERR_INVALID;                                                                    \
        (list)[at] = (value);                                                                      \
    } while (0)

static int take_ike(const char *word, void *context)
{
    struct ike_terms *terms = context;
    for (size_t i = 0; i < sizeof(TERMS) / sizeof(TERMS[0]); i++) {
        const struct term *term = &TERMS[i];
        if (strcmp(term->word, word) != 0)
            continue;
        if (term->cipher != IKE_CIPHER_NONE)
            APPEND(terms->ciphers, term->cipher);
        else if (term->hash != HASH_NONE)
            APPEND(terms->hashes, term->hash);
        else
            APPEND(terms->groups, term->group);
        return ERR_OK;
    }
    return ERR_INVALID;
}

static int seek_group(const char *word, void *context)
{
    bool *has_group = context;
    *has_group = *has_group || find_group(word) != KEX_NONE;
    return ERR_OK;
}

bool plain_terms_has_group(const char *text)
{
    bool has_group = false;
    return text_each_word(text, TEXT_CAP, seek_group, &has_group) == ERR_OK && has_group;
}

int plain_terms_ike(const char *text, struct ike_config *config)
{
    /* MODP-2048 only by name: it is weak. */
    static const struct ike_terms usual = {
        .ciphers = {IKE_CIPHER_AES256_GCM, IKE_CIPHER_AES128_GCM, IKE_CIPHER_CHACHA20_POLY1305,
                    IKE_CIPHER_AES256_CBC, IKE_CIPHER_AES128_CBC},
        .hashes = {HASH_SHA256, HASH_SHA384, HASH_SHA512},
        .groups = {KEX_X25519, KEX_ECP256, KEX_ECP384, KEX_MODP3072},
    };
    struct ike_terms terms = {.ciphers = {IKE_CIPHER_NONE}};
    int error = text_each_word(text, TEXT_CAP, take_ike, &terms);
    if (error != ERR_OK)
        return error;
    const enum ike_cipher *ciphers = terms.ciphers[0] != 0 ? terms.ciphers : usual.ciphers;
    const enum hash_algorithm *hashes = terms.hashes[0] != 0 ? terms.hashes : usual.hashes;
    const enum kex_group *groups = terms.groups[0] != 0 ? terms.groups : usual.groups;
    memcpy(config->ciphers, ciphers, sizeof(config->ciphers));
    memcpy(config->prfs, hashes, sizeof(config->prfs));
    memcpy(config->integs, hashes, sizeof(config->integs));
    memcpy(config->groups, groups, sizeof(config->groups));
    return ERR_OK;
}
