/* HTTP CONNECT (RFC 9110, 9.3.6): the URL of a proxy, the request for a tunnel, and the head of the
 * answer. Nothing else of HTTP. */
#ifndef WIRE_HTTP_CONNECT_H
#define WIRE_HTTP_CONNECT_H

#include "base/address.h"
#include "base/text.h"
#include "base/writer.h"

#define HTTP_PROXY_PORT        80  /* of an http URL without one (RFC 9110, 4.2.1) */
#define HTTP_CREDENTIALS_MAX   128 /* "user:password" */
#define HTTP_AUTHORIZATION_CAP BASE64_TEXT_CAP(HTTP_CREDENTIALS_MAX)
#define HTTP_REQUEST_CAP       1024
#define HTTP_RESPONSE_MAX      ((size_t)8 * 1024) /* head of an answer; longer ones are refused */
#define HTTP_PROXY_TEXT_CAP    (NAME_TEXT_CAP + 16)

struct http_proxy {
    char name[NAME_TEXT_CAP];                   /* canonical; empty where the URL has an address */
    struct endpoint endpoint;                   /* address (ADDRESS_NONE with a name) and port */
    char authorization[HTTP_AUTHORIZATION_CAP]; /* Basic credentials (RFC 7617); secret; or empty */
};

/* "http://[user[:password]@]host[:port][/]"; user and password percent-encoded, at most 128 bytes
 * together. ERR_UNSUPPORTED: another scheme; ERR_INVALID. */
MUST_USE int http_proxy_parse(const char *url, struct http_proxy *ret_proxy);
/* "http://host:port", never the credentials: for logs. Writes into buffer and returns it. */
const char *http_proxy_format(const struct http_proxy *proxy, char *buffer, size_t cap);
/* The request for a tunnel to `authority` ("name:port", "192.0.2.1:443", "[2001:db8::1]:443"); w
 * takes HTTP_REQUEST_CAP bytes. Wipe it afterwards. */
void http_connect_build(struct writer *w, const struct http_proxy *proxy, const char *authority);
/* The head of an answer, from the first byte received. ERR_AGAIN: it is not complete;
 * ERR_INVALID: not HTTP; ERR_LIMIT: longer than HTTP_RESPONSE_MAX. *ret_len: bytes of the head;
 * those behind it are the tunnel's, if *ret_status is 200 to 299. */
MUST_USE int http_connect_parse(const void *data, size_t len, unsigned *ret_status,
                                size_t *ret_len);

#endif
