/* Texts of the error values, for logs and for the command line. */
#include "base/error.h"

const char *error_text(int error)
{
    switch ((enum error)error) {
    case ERR_OK:
        return "success";
    case ERR_NOMEM:
        return "out of memory";
    case ERR_TRUNCATED:
        return "input ends too early";
    case ERR_INVALID:
        return "malformed input";
    case ERR_UNSUPPORTED:
        return "not supported by this version";
    case ERR_FULL:
        return "no room left";
    case ERR_AUTH:
        return "not authentic";
    case ERR_REPLAY:
        return "replayed or too old";
    case ERR_NOT_FOUND:
        return "not found";
    case ERR_EXISTS:
        return "exists already";
    case ERR_STATE:
        return "not allowed in the present state";
    case ERR_LIMIT:
        return "refused by a limit";
    case ERR_IO:
        return "system call failed";
    case ERR_TIMEOUT:
        return "timed out";
    case ERR_REFUSED:
        return "refused";
    case ERR_AGAIN:
        return "nothing available now";
    case ERR_CRYPTO:
        return "the crypto library failed";
    }
    return "unknown error";
}
