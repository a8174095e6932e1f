/* `detec genkey` and `detec pubkey`: key files. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "crypto/identity.h"
#include "crypto/memory.h"
#include "io/file.h"

#define KEY_FILE_CAP ((size_t)16 * 1024)

static int print_public(struct cli *cli, const struct identity *identity)
{
    char text[PUBLIC_KEY_TEXT_CAP];
    fprintf(cli->output.out, "%s\n", public_key_format(identity_public(identity), text));
    return output_flush(&cli->output) == ERR_OK ? EXIT_DONE : EXIT_FAILED;
}

static int write_private(struct cli *cli, const struct identity *identity, const char *file)
{
    char pem[IDENTITY_PEM_CAP];
    const int len = identity_to_pem(identity, pem, sizeof pem);
    int error = len < 0 ? len : file_create_secret(file, pem, (size_t)len);
    if (error == ERR_EXISTS)
        output_error(&cli->output,
                     "%s exists and is not overwritten; `detec pubkey %s` shows its "
                     "public key",
                     file, file);
    else if (error != ERR_OK)
        output_error(&cli->output, "%s: the key could not be written: %s%s", file,
                     error == ERR_NOT_FOUND ? "there is no such directory" : file_error_text(error),
                     error == ERR_NOT_FOUND ? "; `install -d -m 700 DIRECTORY` makes it" : "");
    crypto_wipe(pem, sizeof pem);
    return error;
}

int keys_generate(struct cli *cli)
{
    const char *file = cli->options.operands[0];
    struct identity *identity = NULL;
    const int error = identity_generate(&identity);
    if (error != ERR_OK) {
        output_error(&cli->output, "no key could be made: %s", error_text(error));
        return EXIT_FAILED;
    }
    int status = EXIT_FAILED;
    if (write_private(cli, identity, file) == ERR_OK)
        status = print_public(cli, identity);
    identity_free(identity);
    return status;
}

int keys_show_public(struct cli *cli)
{
    const char *file = cli->options.operands[0];
    char *pem = NULL;
    size_t len = 0;
    /* Not file_read_secret: root may look at the keys of the daemons' own users. */
    int error = file_read(file, KEY_FILE_CAP, &pem, &len);
    if (error != ERR_OK) {
        output_error(&cli->output, "%s: cannot be read: %s", file, file_error_text(error));
        return EXIT_FAILED;
    }
    struct identity *identity = NULL;
    error = identity_from_pem(pem, len, &identity);
    crypto_wipe(pem, len);
    free(pem);
    if (error != ERR_OK) {
        output_error(&cli->output,
                     "%s: not an Ed25519 private key in PEM; `detec genkey FILE` makes "
                     "one",
                     file);
        return EXIT_FAILED;
    }
    const int status = print_public(cli, identity);
    identity_free(identity);
    return status;
}
