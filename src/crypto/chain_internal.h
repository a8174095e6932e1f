/* The inside of a certificate, for this folder alone. */
#ifndef CRYPTO_CHAIN_INTERNAL_H
#define CRYPTO_CHAIN_INTERNAL_H

#include "crypto/chain.h"
#include "crypto/libcrypto.h"
#include <openssl/x509.h>

struct certificate {
    X509 *x509;
    struct verifier *key; /* NULL until asked for */
};

#endif
