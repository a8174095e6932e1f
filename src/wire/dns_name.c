/* Domain names: reading with compression, comparing, text. Writing with compression is in
 * dns_writer.c. */
#include "wire/dns_name.h"

#include "base/reader.h"
#include "wire/dns.h"
#include <stdio.h>
#include <string.h>

#define POINTER_BITS 0xc0 /* RFC 1035, 4.1.4 */
/* As many as a name can have labels; more is a name made to cost time. */
#define POINTERS_MAX 127

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

int dns_name_parse(const uint8_t *message, size_t len, size_t offset, struct dns_name *ret_name,
                   size_t *ret_end)
{
    struct dns_name name = {.len = 0};
    struct reader r;
    size_t part = offset; /* where the part being read starts: pointers go before it */
    size_t end = 0;
    bool has_end = false;
    int pointer_count = 0;

    reader_init(&r, message, len);
    reader_skip(&r, offset);
    for (;;) {
        uint8_t octet = reader_u8(&r);
        if ((octet & POINTER_BITS) == POINTER_BITS) {
            size_t target = (size_t)(octet & ~POINTER_BITS) << 8 | reader_u8(&r);
            if (!reader_is_ok(&r))
                return r.error;
            if (!has_end)
                end = reader_offset(&r);
            has_end = true;
            if (target >= part || target < DNS_HEADER_LEN || ++pointer_count > POINTERS_MAX)
                return ERR_INVALID;
            part = target;
            reader_init(&r, message, len);
            reader_skip(&r, target);
            continue;
        }
        const uint8_t *label = reader_bytes(&r, octet <= DNS_LABEL_LEN_MAX ? octet : 0);
        if (label == NULL)
            return r.error;
        if (octet > DNS_LABEL_LEN_MAX || name.len + 1 + octet + (octet > 0) > DNS_NAME_LEN_MAX)
            return ERR_INVALID;
        name.bytes[name.len] = octet;
        memcpy(name.bytes + name.len + 1, label, octet);
        name.len = (uint8_t)(name.len + 1 + octet);
        if (octet == 0)
            break;
    }
    *ret_name = name;
    if (ret_end != NULL)
        *ret_end = has_end ? end : reader_offset(&r);
    return ERR_OK;
}

int dns_name_from_text(const char *text, struct dns_name *ret_name)
{
    struct dns_name name = {.len = 0};

    if (strcmp(text, ".") == 0)
        text = "";
    while (*text != '\0') {
        size_t label_len = strcspn(text, ".");
        if (label_len == 0 || label_len > DNS_LABEL_LEN_MAX ||
            name.len + 1 + label_len + 1 > DNS_NAME_LEN_MAX)
            return ERR_INVALID;
        if (memchr(text, '\\', label_len) != NULL)
            return ERR_INVALID;
        name.bytes[name.len] = (uint8_t)label_len;
        memcpy(name.bytes + name.len + 1, text, label_len);
        name.len = (uint8_t)(name.len + 1 + label_len);
        text += label_len;
        if (*text == '.')
            text++;
    }
    name.bytes[name.len++] = 0;
    *ret_name = name;
    return ERR_OK;
}

int dns_name_to_host(const struct dns_name *name, char ret_host[NAME_TEXT_CAP])
{
    char text[DNS_NAME_LEN_MAX + 1];
    size_t len = 0;

    for (size_t at = 0; at < name->len && name->bytes[at] != 0; at += 1 + name->bytes[at]) {
        const uint8_t *label = name->bytes + at + 1;
        size_t label_len = name->bytes[at];
        /* Inside a label these would change what the text means. */
        if (memchr(label, '.', label_len) != NULL || memchr(label, '\0', label_len) != NULL)
            return ERR_INVALID;
        if (len > 0)
            text[len++] = '.';
        memcpy(text + len, label, label_len);
        len += label_len;
    }
    text[len] = '\0';
    return name_normalize(text, ret_host);
}

const char *dns_name_format(const struct dns_name *name, char *buffer, size_t cap)
{
    size_t len = 0;

    if (cap == 0)
        return buffer;
    buffer[0] = '\0';
    if (name->len <= 1)
        snprintf(buffer, cap, ".");
    for (size_t at = 0; at < name->len && name->bytes[at] != 0; at += 1 + name->bytes[at]) {
        for (size_t i = at == 0 ? 1 : 0; i <= name->bytes[at]; i++) {
            uint8_t c = i == 0 ? '.' : lower(name->bytes[at + i]);
            bool is_plain = i == 0 || (c > ' ' && c < 127 && c != '.' && c != '\\');
            if (cap - len < 5) /* "\DDD" and NUL */
                return buffer;
            len += (size_t)snprintf(buffer + len, cap - len, is_plain ? "%c" : "\\%03u", c);
        }
    }
    return buffer;
}

static bool is_equal_bytes(const uint8_t *a, const uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (lower(a[i]) != lower(b[i])) /* length octets are below 'A': not changed */
            return false;
    return true;
}

bool dns_name_is_equal(const struct dns_name *a, const struct dns_name *b)
{
    return a->len == b->len && is_equal_bytes(a->bytes, b->bytes, a->len);
}

bool dns_name_is_in(const struct dns_name *name, const struct dns_name *zone)
{
    size_t at = 0;

    while (at < name->len && (size_t)(name->len - at) > zone->len)
        at += 1 + (size_t)name->bytes[at];
    return name->len - at == zone->len && is_equal_bytes(name->bytes + at, zone->bytes, zone->len);
}

void dns_name_lower(struct dns_name *name)
{
    for (size_t i = 0; i < name->len; i++)
        name->bytes[i] = lower(name->bytes[i]);
}

unsigned dns_name_label_count(const struct dns_name *name)
{
    unsigned count = 0;

    for (size_t at = 0; at < name->len && name->bytes[at] != 0; at += 1 + (size_t)name->bytes[at])
        count++;
    return count;
}

int dns_name_strip(const struct dns_name *name, unsigned count, struct dns_name *ret_name)
{
    size_t at = 0;

    for (; count > 0; count--) {
        if (at >= name->len || name->bytes[at] == 0)
            return ERR_INVALID;
        at += 1 + (size_t)name->bytes[at];
    }
    struct dns_name stripped = {.len = (uint8_t)(name->len - at)};
    memcpy(stripped.bytes, name->bytes + at, stripped.len);
    *ret_name = stripped;
    return ERR_OK;
}
