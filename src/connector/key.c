/* Reading the connector's key, making it at the first start. */
#include "connector/key.h"

#include <stdlib.h>

#include "base/log.h"
#include "crypto/memory.h"
#include "io/file.h"

#define FILE_CAP ((size_t)16 * 1024)

int key_read(const char *file, struct identity **ret_identity)
{
    char *pem = NULL;
    size_t len = 0;
    int error = file_read_secret(file, FILE_CAP, &pem, &len);
    if (error == ERR_NOT_FOUND)
        return error;
    if (error == ERR_REFUSED) {
        log_error(
            "key %s: others can read or write it, or own it; `chmod 600` and `chown` it to the "
            "connector's user, and make a new one if others may have read it",
            file);
        return error;
    }
    if (error != ERR_OK) {
        log_error("key %s: cannot be read: %s", file, file_error_text(error));
        return error;
    }
    error = identity_from_pem(pem, len, ret_identity);
    crypto_wipe(pem, len);
    free(pem);
    if (error != ERR_OK)
        log_error("key %s: not an Ed25519 private key in PEM; `detec genkey FILE` makes one", file);
    return error;
}

static int write_key(const char *file, const struct identity *identity)
{
    char pem[IDENTITY_PEM_CAP];
    const int len = identity_to_pem(identity, pem, sizeof pem);
    int error = len < 0 ? len : file_make_parent(file, 0700);
    if (error == ERR_OK)
        error = file_create_secret(file, pem, (size_t)len);
    crypto_wipe(pem, sizeof pem);
    if (error != ERR_OK)
        log_error("key %s: cannot be made: %s", file, file_error_text(error));
    return error;
}

int key_load(const char *file, struct identity **ret_identity)
{
    struct identity *identity = NULL;
    int error = key_read(file, ret_identity);
    if (error != ERR_NOT_FOUND)
        return error;
    error = identity_generate(&identity);
    if (error != ERR_OK) {
        log_error("key %s: cannot be made: %s", file, error_text(error));
        return error;
    }
    error = write_key(file, identity);
    if (error != ERR_OK) {
        identity_free(identity);
        return error;
    }
    log_info("key %s: made, as there was none", file);
    *ret_identity = identity;
    return ERR_OK;
}
