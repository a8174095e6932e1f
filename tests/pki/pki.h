/* Reading the files of this folder in tests. */
#ifndef TEST_PKI_H
#define TEST_PKI_H

#include "crypto/chain.h"
#include <stdio.h>
#include <stdlib.h>

#define PKI_NOW 1767225600u /* 2026-01-01: all is good that is not meant to be bad */

/* The file as text, NUL behind it; the caller frees. */
static inline char *pki_read(const char *name, size_t *ret_len)
{
    char path[1024];
    char *text = (char *)malloc(65536);

    snprintf(path, sizeof(path), "%s/%s", PKI_DIR, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_non_null(text);
    *ret_len = fread(text, 1, 65535, file);
    text[*ret_len] = '\0';
    fclose(file);
    return text;
}

static inline struct signer *pki_signer(const char *name)
{
    struct signer *signer;
    size_t len;
    char *text = pki_read(name, &len);
    assert_int_equal(signer_from_pem(text, len, &signer), ERR_OK);
    free(text);
    return signer;
}

static inline struct verifier *pki_verifier(const char *name)
{
    struct verifier *verifier;
    size_t len;
    char *text = pki_read(name, &len);
    assert_int_equal(verifier_from_pem(text, len, &verifier), ERR_OK);
    free(text);
    return verifier;
}

/* Of one file, or two. */
static inline struct chain *pki_chain(const char *name, const char *second)
{
    struct chain *chain;
    size_t len, second_len = 0;
    char *text = pki_read(name, &len);
    char *more = second != NULL ? pki_read(second, &second_len) : NULL;
    char *both = (char *)malloc(len + second_len + 1);

    assert_non_null(both);
    memcpy(both, text, len);
    if (more != NULL)
        memcpy(both + len, more, second_len);
    assert_int_equal(chain_from_pem(both, len + second_len, &chain), ERR_OK);
    free(both);
    free(more);
    free(text);
    return chain;
}

static inline struct anchors *pki_anchors(const char *name)
{
    struct anchors *anchors;
    size_t len;
    char *text = pki_read(name, &len);
    assert_int_equal(anchors_from_pem(text, len, &anchors), ERR_OK);
    free(text);
    return anchors;
}

#endif
