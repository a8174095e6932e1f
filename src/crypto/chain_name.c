/* Names in certificates, and distinguished names as text; see crypto/chain.h. */
#include "crypto/chain_internal.h"

#include <ctype.h>
#include <limits.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <strings.h>

#define TEXT_MAX 1024

static X509_NAME *read_name(const uint8_t *der, size_t len)
{
    const unsigned char *at = der;
    X509_NAME *name = len <= INT_MAX ? d2i_X509_NAME(NULL, &at, (long)len) : NULL;

    if (name != NULL && at != der + len) {
        X509_NAME_free(name);
        name = NULL;
    }
    ERR_clear_error();
    return name;
}

static bool has_subject(const struct certificate *certificate, const uint8_t *der, size_t len)
{
    X509_NAME *name = read_name(der, len);
    const bool is_equal = name != NULL && X509_NAME_entry_count(name) > 0 &&
                          X509_NAME_cmp(name, X509_get_subject_name(certificate->x509)) == 0;

    X509_NAME_free(name);
    return is_equal;
}

bool certificate_has_name(const struct certificate *certificate, enum certificate_name type,
                          const uint8_t *name, size_t len)
{
    static const int types[] = {GEN_DNS, GEN_EMAIL, GEN_IPADD};
    bool is_found = false;

    if (type == CERTIFICATE_SUBJECT)
        return has_subject(certificate, name, len);
    GENERAL_NAMES *names =
        (GENERAL_NAMES *)X509_get_ext_d2i(certificate->x509, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && len > 0; i++) {
        const GENERAL_NAME *entry = sk_GENERAL_NAME_value(names, i);
        if (entry->type != types[type])
            continue;
        /* All three are strings of bytes. */
        const ASN1_STRING *value = type == CERTIFICATE_ADDRESS ? entry->d.iPAddress
                                   : type == CERTIFICATE_DNS   ? entry->d.dNSName
                                                               : entry->d.rfc822Name;
        const uint8_t *data = ASN1_STRING_get0_data(value);
        if ((size_t)ASN1_STRING_length(value) != len)
            continue;
        if (type == CERTIFICATE_ADDRESS)
            is_found |= memcmp(data, name, len) == 0;
        else
            is_found |= memchr(name, '\0', len) == NULL && memchr(name, '*', len) == NULL &&
                        strncasecmp((const char *)data, (const char *)name, len) == 0;
    }
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return is_found;
}

bool certificate_binds_id(const struct certificate *certificate, uint8_t type, const uint8_t *id,
                          size_t len)
{
    static const struct {
        uint8_t id;
        size_t len; /* 0: any */
        enum certificate_name type;
    } types[] = {
        {1, 4, CERTIFICATE_ADDRESS},  /* IPv4 */
        {2, 0, CERTIFICATE_DNS},      /* FQDN */
        {3, 0, CERTIFICATE_MAIL},     /* RFC822_ADDR, USER_FQDN */
        {5, 16, CERTIFICATE_ADDRESS}, /* IPv6 */
        {9, 0, CERTIFICATE_SUBJECT},  /* DER_ASN1_DN */
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (types[i].id == type && (types[i].len == 0 || types[i].len == len))
            return certificate_has_name(certificate, types[i].type, id, len);
    return false;
}

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        text[--len] = '\0';
    return text;
}

/* "CN=x" */
static bool add_part(X509_NAME *name, char *part)
{
    char *value = strchr(part, '=');

    if (value == NULL)
        return false;
    *value++ = '\0';
    part = trim(part);
    value = trim(value);
    for (char *c = part; *c != '\0' && OBJ_txt2nid(part) == NID_undef; c++)
        *c = (char)toupper((unsigned char)*c); /* "cn" */
    return part[0] != '\0' && value[0] != '\0' &&
           X509_NAME_add_entry_by_txt(name, part, MBSTRING_UTF8, (const unsigned char *)value, -1,
                                      -1, 0) == 1;
}

int dn_parse(const char *text, uint8_t ret_der[DN_LEN_MAX])
{
    char copy[TEXT_MAX];
    uint8_t *at = ret_der;
    char *next = copy;
    int len = ERR_INVALID;

    if (strlen(text) >= sizeof(copy))
        return ERR_INVALID;
    strcpy(copy, text);
    X509_NAME *name = X509_NAME_new();
    if (name == NULL)
        return ERR_NOMEM;
    while (next != NULL) {
        char *part = next;
        next = strchr(part, ',');
        if (next != NULL)
            *next++ = '\0';
        if (!add_part(name, part))
            goto done;
    }
    if (i2d_X509_NAME(name, NULL) <= DN_LEN_MAX)
        len = i2d_X509_NAME(name, &at);
done:
    X509_NAME_free(name);
    ERR_clear_error();
    return len > 0 ? len : ERR_INVALID;
}

int dn_format(const uint8_t *der, size_t len, char *ret_text, size_t cap)
{
    X509_NAME *name = read_name(der, len);
    BIO *bio = name != NULL ? BIO_new(BIO_s_mem()) : NULL;
    char *data;
    int result = ERR_INVALID;

    if (bio != NULL && cap > 0 &&
        X509_NAME_print_ex(bio, name, 0,
                           (XN_FLAG_RFC2253 & ~XN_FLAG_DN_REV & ~XN_FLAG_SEP_MASK) |
                               XN_FLAG_SEP_CPLUS_SPC) >= 0) {
        const long text_len = BIO_get_mem_data(bio, &data);
        const size_t used = text_len > 0 && (size_t)text_len < cap ? (size_t)text_len : cap - 1;
        memcpy(ret_text, data, text_len > 0 ? used : 0);
        ret_text[text_len > 0 ? used : 0] = '\0';
        result = ERR_OK;
    }
    BIO_free(bio);
    X509_NAME_free(name);
    ERR_clear_error();
    return result;
}

bool dn_is_equal(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    X509_NAME *x = read_name(a, a_len);
    X509_NAME *y = read_name(b, b_len);
    const bool is_equal = x != NULL && y != NULL && X509_NAME_cmp(x, y) == 0;

    X509_NAME_free(x);
    X509_NAME_free(y);
    return is_equal;
}
