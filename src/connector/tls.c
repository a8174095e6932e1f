/* See connector/tls.h. */
#include "connector/tls.h"

#include <stdlib.h>

#include "base/log.h"
#include "crypto/memory.h"
#include "io/file.h"

#define FILE_CAP ((size_t)64 * 1024)

int connector_tls_new(const struct connector_config *config, struct tls_context **ret_context)
{
    char *certificate = NULL, *key = NULL;
    size_t key_len = 0;
    const char *file = config->certificate;
    int error;
    if (file[0] == '\0') {
        error = tls_server_new(NULL, NULL, config->zone, ret_context);
        if (error != ERR_OK)
            log_error("the certificate for TLS cannot be made: %s", error_text(error));
        return error;
    }
    error = file_read(file, FILE_CAP, &certificate, NULL);
    if (error == ERR_OK) {
        file = config->certificate_key;
        error = file_read_secret(file, FILE_CAP, &key, &key_len);
    }
    if (error != ERR_OK)
        log_error("%s: %s cannot be read: %s%s", config->file, file, file_error_text(error),
                  error == ERR_REFUSED ? "; others must not be able to read or write it" : "");
    else if ((error = tls_server_new(certificate, key, config->zone, ret_context)) != ERR_OK)
        log_error("%s: [connector] certificate = %s, certificate-key = %s: not a certificate and "
                  "its private key in PEM",
                  config->file, config->certificate, config->certificate_key);
    crypto_wipe(key, key_len);
    free(key);
    free(certificate);
    return error;
}
