/* The parts of libcrypto that this folder uses; only its .c files include this. libcrypto has a
 * type of the name ERR_STATE, which is one of our error values: it goes by another name here. */
#ifndef CRYPTO_LIBCRYPTO_H
#define CRYPTO_LIBCRYPTO_H

#define ERR_STATE LIBCRYPTO_ERR_STATE
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#undef ERR_STATE

#endif
