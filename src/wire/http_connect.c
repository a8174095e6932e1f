/* See wire/http_connect.h. */
#include "wire/http_connect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SCHEME "http://"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* RFC 3986, 2.1. Appends to w. */
static void put_decoded(struct writer *w, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int value = (unsigned char)text[i];
        if (text[i] == '%') {
            const int high = len - i > 2 ? hex_digit(text[i + 1]) : -1;
            const int low = len - i > 2 ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0) {
                writer_fail(w, ERR_INVALID);
                return;
            }
            value = high * 16 + low;
            i += 2;
        }
        if (value < 0x20 || value == 0x7f) /* would end up in a header (RFC 7617, 2) */
            writer_fail(w, ERR_INVALID);
        writer_u8(w, (uint8_t)value);
    }
}

/* The part before '@', as the value of Basic (RFC 7617). */
static int parse_credentials(const char *text, size_t len, char ret_text[HTTP_AUTHORIZATION_CAP])
{
    uint8_t plain[HTTP_CREDENTIALS_MAX];
    struct writer w;
    const char *colon = memchr(text, ':', len);
    const size_t user_len = colon != NULL ? (size_t)(colon - text) : len;
    writer_init(&w, plain, sizeof plain);
    put_decoded(&w, text, user_len);
    if (w.len == 0 || memchr(plain, ':', w.len) != NULL)
        writer_fail(&w, ERR_INVALID); /* the first colon ends the user's name */
    writer_u8(&w, ':');
    if (colon != NULL)
        put_decoded(&w, colon + 1, len - user_len - 1);
    const int result = writer_is_ok(&w)
                           ? base64_encode(plain, w.len, ret_text, HTTP_AUTHORIZATION_CAP)
                           : ERR_INVALID;
    explicit_bzero(plain, sizeof plain);
    return result < 0 ? ERR_INVALID : ERR_OK;
}

/* "host", "host:port", "192.0.2.1:port", "[address]:port". */
static int parse_authority(const char *text, struct http_proxy *proxy)
{
    char host[NAME_TEXT_CAP];
    if (endpoint_parse(text, HTTP_PROXY_PORT, &proxy->endpoint) == ERR_OK)
        return address_is_unspecified(&proxy->endpoint.address) ? ERR_INVALID : ERR_OK;
    const size_t len = strcspn(text, ":");
    if (len >= sizeof host)
        return ERR_INVALID;
    memcpy(host, text, len);
    host[len] = '\0';
    unsigned long port = HTTP_PROXY_PORT;
    if (text[len] == ':') {
        const char *digits = text + len + 1;
        const size_t count = strspn(digits, "0123456789");
        if (count == 0 || count > 5 || digits[count] != '\0')
            return ERR_INVALID;
        port = strtoul(digits, NULL, 10);
    }
    if (port == 0 || port > UINT16_MAX)
        return ERR_INVALID;
    proxy->endpoint = (struct endpoint){.port = (uint16_t)port};
    return name_normalize(host, proxy->name);
}

int http_proxy_parse(const char *url, struct http_proxy *ret_proxy)
{
    struct http_proxy proxy = {0};
    char authority[HTTP_PROXY_TEXT_CAP];
    if (strncasecmp(url, SCHEME, strlen(SCHEME)) != 0)
        return strstr(url, "://") != NULL ? ERR_UNSUPPORTED : ERR_INVALID;
    url += strlen(SCHEME);
    const size_t len = strcspn(url, "/?#");
    if (url[len] != '\0' && strcmp(url + len, "/") != 0)
        return ERR_INVALID;
    const char *at = memrchr(url, '@', len);
    const char *host = at != NULL ? at + 1 : url;
    const size_t host_len = len - (size_t)(host - url);
    int error = host_len == 0 || host_len >= sizeof authority ? ERR_INVALID : ERR_OK;
    if (error == ERR_OK && at != NULL)
        error = parse_credentials(url, (size_t)(at - url), proxy.authorization);
    if (error == ERR_OK) {
        memcpy(authority, host, host_len);
        authority[host_len] = '\0';
        error = parse_authority(authority, &proxy);
    }
    if (error == ERR_OK)
        *ret_proxy = proxy;
    explicit_bzero(&proxy, sizeof proxy);
    return error;
}

const char *http_proxy_format(const struct http_proxy *proxy, char *buffer, size_t cap)
{
    char text[ENDPOINT_TEXT_CAP];
    if (proxy->name[0] != '\0')
        snprintf(buffer, cap, SCHEME "%s:%u", proxy->name, proxy->endpoint.port);
    else
        snprintf(buffer, cap, SCHEME "%s", endpoint_format(&proxy->endpoint, text, sizeof text));
    return buffer;
}

static void put_text(struct writer *w, const char *text)
{
    writer_bytes(w, text, strlen(text));
}

void http_connect_build(struct writer *w, const struct http_proxy *proxy, const char *authority)
{
    put_text(w, "CONNECT ");
    put_text(w, authority);
    put_text(w, " HTTP/1.1\r\nHost: ");
    put_text(w, authority);
    put_text(w, "\r\n");
    if (proxy->authorization[0] != '\0') {
        put_text(w, "Proxy-Authorization: Basic ");
        put_text(w, proxy->authorization);
        put_text(w, "\r\n");
    }
    put_text(w, "\r\n");
}

/* "HTTP/1.x nnn", then a space or the line's end. */
static int parse_status(const char *text, size_t len, unsigned *ret_status)
{
    static const char version[] = "HTTP/1.";
    const size_t version_len = sizeof version - 1;
    if (len < version_len + 5 || memcmp(text, version, version_len) != 0)
        return ERR_INVALID;
    text += version_len;
    if ((text[0] != '0' && text[0] != '1') || text[1] != ' ')
        return ERR_INVALID;
    unsigned status = 0;
    for (size_t i = 2; i < 5; i++) {
        if (text[i] < '0' || text[i] > '9')
            return ERR_INVALID;
        status = status * 10 + (unsigned)(text[i] - '0');
    }
    if (len > version_len + 5 && text[5] != ' ' && text[5] != '\r')
        return ERR_INVALID;
    *ret_status = status;
    return ERR_OK;
}

int http_connect_parse(const void *data, size_t len, unsigned *ret_status, size_t *ret_len)
{
    static const char begin[] = "HTTP/1.";
    const size_t known = len < sizeof begin - 1 ? len : sizeof begin - 1;
    const size_t seen = len < HTTP_RESPONSE_MAX ? len : HTTP_RESPONSE_MAX;
    unsigned status;
    if (memcmp(data, begin, known) != 0)
        return ERR_INVALID;
    const char *end = memmem(data, seen, "\r\n\r\n", 4);
    if (end == NULL)
        return seen < HTTP_RESPONSE_MAX ? ERR_AGAIN : ERR_LIMIT;
    const size_t head_len = (size_t)(end - (const char *)data) + 4;
    const int error = parse_status(data, head_len, &status);
    if (error != ERR_OK)
        return error;
    *ret_status = status;
    *ret_len = head_len;
    return ERR_OK;
}
