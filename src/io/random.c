/* getrandom(2), complete or an error. */
#include "io/random.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

int random_bytes(void *ret, size_t len)
{
    unsigned char *at = ret;
    size_t left = len;

    while (left > 0) {
        ssize_t got = getrandom(at, left, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            memset(ret, 0, len);
            return ERR_IO;
        }
        at += got;
        left -= (size_t)got;
    }
    return ERR_OK;
}
