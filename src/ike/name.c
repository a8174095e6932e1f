/* Typed names; see ike/credentials.h. */
#include "ike/credentials.h"

#include "base/address.h"
#include "base/text.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int set(struct ike_name *ret_name, enum ike_id_type type, const void *bytes, size_t len)
{
    if (len == 0 || len > IKE_NAME_LEN_MAX)
        return ERR_INVALID;
    *ret_name = (struct ike_name){.type = (uint8_t)type, .len = (uint16_t)len};
    memcpy(ret_name->bytes, bytes, len);
    return ERR_OK;
}

static int set_dn(const char *text, struct ike_name *ret_name)
{
    uint8_t der[DN_LEN_MAX];
    const int len = dn_parse(text, der);

    return len < 0 ? len : set(ret_name, IKE_ID_DER_ASN1_DN, der, (size_t)len);
}

static int set_key_id(const char *hex, struct ike_name *ret_name)
{
    uint8_t bytes[IKE_NAME_LEN_MAX];
    const int len = hex_decode(hex, bytes, sizeof(bytes));

    return len < 0 ? ERR_INVALID : set(ret_name, IKE_ID_KEY_ID, bytes, (size_t)len);
}

int ike_name_parse(const char *text, struct ike_name *ret_name)
{
    static const char key_id[] = "keyid:";
    struct address address;
    char name[NAME_TEXT_CAP];

    if (strcmp(text, "*") == 0) {
        memset(ret_name, 0, sizeof(*ret_name));
        return ERR_OK;
    }
    if (strncasecmp(text, key_id, sizeof(key_id) - 1) == 0)
        return set_key_id(text + sizeof(key_id) - 1, ret_name);
    if (strchr(text, '=') != NULL)
        return set_dn(text, ret_name);
    if (text[0] == '@')
        return set(ret_name, IKE_ID_FQDN, text + 1, strlen(text + 1));
    if (strchr(text, '@') != NULL)
        return set(ret_name, IKE_ID_RFC822_ADDR, text, strlen(text));
    if (address_parse(text, &address) == ERR_OK)
        return set(ret_name, address.family == ADDRESS_IPV4 ? IKE_ID_IPV4_ADDR : IKE_ID_IPV6_ADDR,
                   address.bytes, address_len(&address));
    const int error = name_normalize(text, name);
    return error != ERR_OK ? error : set(ret_name, IKE_ID_FQDN, name, strlen(name));
}

static void format_text(const struct ike_name *name, char *text, size_t cap)
{
    size_t len = 0;

    for (size_t i = 0; i < name->len && len + 1 < cap; i++)
        text[len++] = name->bytes[i] > ' ' && name->bytes[i] < 0x7f ? (char)name->bytes[i] : '?';
    text[len] = '\0';
}

static void format_address(const struct ike_name *name, char *text, size_t cap)
{
    struct address a = {.family = name->len == 4 ? ADDRESS_IPV4 : ADDRESS_IPV6};

    if (name->len != (name->type == IKE_ID_IPV4_ADDR ? 4 : 16)) {
        snprintf(text, cap, "bad address");
        return;
    }
    memcpy(a.bytes, name->bytes, name->len);
    address_format(&a, text, cap);
}

const char *ike_name_format(const struct ike_name *name, char text[IKE_NAME_TEXT_CAP])
{
    switch (name->type) {
    case 0:
        strcpy(text, "*");
        break;
    case IKE_ID_FQDN:
    case IKE_ID_RFC822_ADDR:
        format_text(name, text, IKE_NAME_TEXT_CAP);
        break;
    case IKE_ID_IPV4_ADDR:
    case IKE_ID_IPV6_ADDR:
        format_address(name, text, IKE_NAME_TEXT_CAP);
        break;
    case IKE_ID_DER_ASN1_DN:
        if (dn_format(name->bytes, name->len, text, IKE_NAME_TEXT_CAP) != ERR_OK)
            strcpy(text, "bad distinguished name");
        break;
    case IKE_ID_NULL:
        strcpy(text, "nobody");
        break;
    default:
        strcpy(text, "keyid:");
        if (hex_encode(name->bytes, name->len, text + 6, IKE_NAME_TEXT_CAP - 6) < 0)
            text[6] = '\0';
        break;
    }
    return text;
}

bool ike_name_is_equal(const struct ike_name *a, const struct ike_name *b)
{
    if (a->type != b->type || a->type == 0)
        return false;
    switch (a->type) {
    case IKE_ID_NULL:
        return true;
    case IKE_ID_DER_ASN1_DN:
        return dn_is_equal(a->bytes, a->len, b->bytes, b->len);
    case IKE_ID_FQDN:
    case IKE_ID_RFC822_ADDR:
        return a->len == b->len && memchr(a->bytes, '\0', a->len) == NULL &&
               strncasecmp((const char *)a->bytes, (const char *)b->bytes, a->len) == 0;
    default:
        return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
    }
}
