/* The answer of whatever calls itself a proxy, and the URL of one. */
#include "fuzz.h"

#include "wire/http_connect.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    unsigned status = 0;
    size_t head = 0;
    char url[1024], text[HTTP_PROXY_TEXT_CAP];
    struct http_proxy proxy;
    const int error = http_connect_parse(data, len, &status, &head);
    must(error != ERR_OK ||
         (head >= 4 && head <= len && head <= HTTP_RESPONSE_MAX && status < 1000));
    must(error != ERR_AGAIN || len < HTTP_RESPONSE_MAX);
    if (len >= sizeof(url) || memchr(data, '\0', len) != NULL)
        return 0;
    memcpy(url, data, len);
    url[len] = '\0';
    if (http_proxy_parse(url, &proxy) == ERR_OK) {
        must(proxy.endpoint.port != 0);
        must(strpbrk(proxy.authorization, "\r\n ") == NULL);
        must(strncmp(http_proxy_format(&proxy, text, sizeof(text)), "http://", 7) == 0);
    }
    return 0;
}
