/* Offers in words, for the log line that says what was refused; see ikev1/suite.h. */
#include "ikev1/suite.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Transforms described of one offer; more would only make a line too long. */
#define DESCRIBED_MAX 4

struct word {
    uint32_t value;
    const char *text;
};

static const struct word ciphers[] = {
    {1, "DES-CBC"},  {2, "IDEA-CBC"}, {3, "Blowfish-CBC"}, {4, "RC5-CBC"}, {5, "3DES-CBC"},
    {6, "CAST-CBC"}, {7, "AES-CBC"},  {8, "Camellia-CBC"}, {0, NULL},
};
static const struct word hashes[] = {
    {1, "MD5"},     {2, "SHA-1"},   {3, "Tiger"}, {4, "SHA-256"},
    {5, "SHA-384"}, {6, "SHA-512"}, {0, NULL},
};
static const struct word auths[] = {
    {1, "pre-shared key"},     {2, "DSS signatures"},
    {3, "RSA signatures"},     {4, "RSA encryption"},
    {5, "RSA encryption"},     {9, "ECDSA-256"},
    {10, "ECDSA-384"},         {11, "ECDSA-521"},
    {64221, "hybrid auth"},    {65001, "XAUTH with pre-shared key"},
    {65005, "XAUTH with RSA"}, {0, NULL},
};
static const struct word transforms[] = {
    {2, "DES"},      {3, "3DES"},       {7, "Blowfish"},    {11, "no encryption"}, {12, "AES-CBC"},
    {13, "AES-CTR"}, {18, "AES-GCM-8"}, {19, "AES-GCM-12"}, {20, "AES-GCM-16"},    {0, NULL},
};
static const struct word integs[] = {
    {1, "HMAC-MD5"},     {2, "HMAC-SHA-1"}, {5, "HMAC-SHA-256"}, {6, "HMAC-SHA-384"},
    {7, "HMAC-SHA-512"}, {9, "AES-XCBC"},   {0, NULL},
};
static const struct word modes[] = {
    {1, "tunnel without UDP"},
    {2, "transport without UDP"},
    {3, "tunnel in UDP"},
    {4, "transport in UDP"},
    {61443, "tunnel in UDP (draft)"},
    {61444, "transport in UDP (draft)"},
    {0, NULL},
};

struct line {
    char *text;
    size_t cap, len;
    bool has_word; /* of the present transform */
};

static void append(struct line *line, const char *format, ...) PRINTF_LIKE(2, 3);
static void append(struct line *line, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    const int n = vsnprintf(line->text + line->len, line->cap - line->len, format, arguments);
    va_end(arguments);
    if (n > 0)
        line->len += (size_t)n < line->cap - line->len ? (size_t)n : line->cap - line->len - 1;
}

static void append_word(struct line *line, const struct word *words, const char *kind,
                        uint32_t value)
{
    append(line, "%s", line->has_word ? ", " : "");
    line->has_word = true;
    for (; words != NULL && words->text != NULL; words++) {
        if (words->value == value) {
            append(line, "%s", words->text);
            return;
        }
    }
    append(line, "%s %u", kind, (unsigned)value);
}

static void describe_phase1(struct line *line, struct isakmp_transform *transform)
{
    struct isakmp_attribute a;

    while (isakmp_attribute_next(transform, &a) == ERR_OK) {
        switch (a.type) {
        case ISAKMP_P1_CIPHER:
            append_word(line, ciphers, "cipher", a.value);
            break;
        case ISAKMP_P1_HASH:
            append_word(line, hashes, "hash", a.value);
            break;
        case ISAKMP_P1_AUTH:
            append_word(line, auths, "authentication", a.value);
            break;
        case ISAKMP_P1_GROUP:
            append_word(line, NULL, "group", a.value);
            break;
        case ISAKMP_P1_KEY_LENGTH:
            append(line, "-%u", (unsigned)a.value);
            break;
        case ISAKMP_P1_LIFE_TYPE:
        case ISAKMP_P1_LIFE:
            break;
        default:
            append_word(line, NULL, "attribute", a.type);
        }
    }
}

static void describe_phase2(struct line *line, struct isakmp_transform *transform)
{
    struct isakmp_attribute a;

    append_word(line, transforms, "ESP transform", transform->id);
    while (isakmp_attribute_next(transform, &a) == ERR_OK) {
        switch (a.type) {
        case ISAKMP_P2_INTEG:
            append_word(line, integs, "authentication", a.value);
            break;
        case ISAKMP_P2_MODE:
            append_word(line, modes, "mode", a.value);
            break;
        case ISAKMP_P2_GROUP:
            append_word(line, NULL, "group", a.value);
            break;
        case ISAKMP_P2_KEY_LENGTH:
            append_word(line, NULL, "key bits", a.value);
            break;
        case ISAKMP_P2_LIFE_TYPE:
        case ISAKMP_P2_LIFE:
            break;
        default:
            append_word(line, NULL, "attribute", a.type);
        }
    }
}

static void describe(const uint8_t *body, size_t len, char *text, size_t cap, uint8_t protocol,
                     void (*one)(struct line *line, struct isakmp_transform *transform))
{
    struct isakmp_proposals proposals;
    struct ike_proposal proposal;
    struct isakmp_transform transform;
    struct line line = {.text = text, .cap = cap};
    unsigned count = 0;

    text[0] = '\0';
    if (isakmp_proposals_init(&proposals, body, len) != ERR_OK)
        return;
    while (isakmp_proposals_next(&proposals, &proposal) == ERR_OK) {
        while (isakmp_transform_next(&proposal, &transform) == ERR_OK) {
            if (count++ >= DESCRIBED_MAX)
                continue;
            append(&line, "%s", count > 1 ? "; " : "");
            line.has_word = false;
            if (proposal.protocol == protocol)
                one(&line, &transform);
            else
                append_word(&line, NULL, "protocol", proposal.protocol);
        }
    }
    if (count > DESCRIBED_MAX)
        append(&line, "; and %u more", count - DESCRIBED_MAX);
}

void ikev1_suite_describe_phase1(const uint8_t *body, size_t len, char *text, size_t cap)
{
    describe(body, len, text, cap, ISAKMP_PROTOCOL_ISAKMP, describe_phase1);
}

void ikev1_suite_describe_phase2(const uint8_t *body, size_t len, char *text, size_t cap)
{
    describe(body, len, text, cap, ISAKMP_PROTOCOL_ESP, describe_phase2);
}
