/* Error values of every layer: 0 is success, failures are negative. Libraries return them;
 * programs log them once, with what the user can do. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#define MUST_USE                 __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

enum error {
    ERR_OK = 0,
    ERR_NOMEM = -1,       /* allocation failed */
    ERR_TRUNCATED = -2,   /* input ends too early */
    ERR_INVALID = -3,     /* input breaks a rule of its format */
    ERR_UNSUPPORTED = -4, /* well-formed, but not something this version does */
    ERR_FULL = -5,        /* output buffer, queue or table has no room */
    ERR_AUTH = -6,        /* not authentic: MAC, tag, signature or key is wrong */
    ERR_REPLAY = -7,      /* authentic, but seen before or too old */
    ERR_NOT_FOUND = -8,
    ERR_EXISTS = -9,
    ERR_STATE = -10, /* not allowed in the present state */
    ERR_LIMIT = -11, /* a cap or rate limit refuses it */
    ERR_IO = -12,    /* a system call failed; errno says why */
    ERR_TIMEOUT = -13,
    ERR_REFUSED = -14, /* policy or the other side refuses it */
    ERR_AGAIN = -15,   /* nothing now; ask again later */
    ERR_CRYPTO = -16,  /* the crypto library failed */
};

/* One lower-case English phrase, without a full stop; never NULL. */
const char *error_text(int error);

#endif
