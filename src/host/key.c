/* The private key: read, or made at the first start. */
#include "host/key.h"

#include "base/log.h"
#include "crypto/memory.h"
#include "io/file.h"
#include <stdlib.h>

#define KEY_FILE_CAP 4096

int key_load(const struct host_config *config, bool may_create, struct identity **ret_identity)
{
    char *text = NULL;
    size_t len = 0;
    char pem[IDENTITY_PEM_CAP];
    char key[PUBLIC_KEY_TEXT_CAP];
    int error = file_read_secret(config->key_file, KEY_FILE_CAP, &text, &len);
    if (error == ERR_OK) {
        error = identity_from_pem(text, len, ret_identity);
        crypto_wipe(text, len);
        free(text);
        if (error != ERR_OK)
            log_error(
                "%s: [host] key: %s is not an Ed25519 private key in PEM; `detec genkey` makes one",
                config->file, config->key_file);
        return error;
    }
    if (error != ERR_NOT_FOUND || !may_create) {
        log_error("%s: [host] key: %s: %s", config->file, config->key_file, file_error_text(error));
        return error;
    }
    error = identity_generate(ret_identity);
    int pem_len = error == ERR_OK ? identity_to_pem(*ret_identity, pem, sizeof(pem)) : error;
    if (pem_len > 0)
        error = file_make_parent(config->key_file, 0700);
    if (pem_len > 0 && error == ERR_OK)
        error = file_create_secret(config->key_file, pem, (size_t)pem_len);
    crypto_wipe(pem, sizeof(pem));
    if (error != ERR_OK || pem_len < 0) {
        log_error("%s: a new key cannot be written: %s", config->key_file, file_error_text(error));
        return error != ERR_OK ? error : pem_len;
    }
    log_info("new key written to %s; its public key: %s", config->key_file,
             public_key_format(identity_public(*ret_identity), key));
    return ERR_OK;
}
