/* Sealing and opening alone, in cycles a packet and a byte: each algorithm by each library, bare
 * and through our interface, and each suite's whole message as the data path makes and takes it, in
 * batches.
 *
 *   crypto_bench [PASSES]
 *
 * One line each. The best of several passes, since others may use the processor: what the machine
 * can, not what it did. Cycles are those of the time-stamp counter. */
#include "bench_clock.h"
#include "crypto/aead_backend.h"
#include "crypto/cipher_mac.h"
#include "crypto/mac_batch.h"
#include "library_bench.h"
#include "message_bench.h"
#include <stdlib.h>
#include <string.h>

/* Enough to fill a time slice's worth of cache, not more. */
#define BATCH 64

static const size_t lens[] = {64, 512, 1400};
#define LENS (sizeof(lens) / sizeof(lens[0]))

static const struct {
    const char *name;
    enum aead_algorithm algorithm;
} aeads[] = {
    {"aes128-gcm", AEAD_AES128_GCM},
    {"aes256-gcm", AEAD_AES256_GCM},
    {"chacha20-poly1305", AEAD_CHACHA20_POLY1305},
};

static uint8_t texts[BATCH][2048];

static void bench_aead(const struct aead_backend *backend, void *keyed, const char *name,
                       size_t len, int passes)
{
    uint8_t nonce[AEAD_NONCE_LEN] = {0}, tags[BATCH][AEAD_TAG_LEN];
    struct bench seal = BENCH_NONE, open = BENCH_NONE;
    int failures = 0;
    for (int pass = 0; pass < passes; pass++) {
        bench_begin(&seal);
        for (int i = 0; i < BATCH; i++)
            failures += backend->seal(keyed, nonce, nonce, 8, texts[i], len, tags[i]) != ERR_OK;
        bench_end(&seal, BATCH);
        bench_begin(&open);
        for (int i = 0; i < BATCH; i++)
            failures += backend->open(keyed, nonce, nonce, 8, texts[i], len, tags[i]) != ERR_OK;
        bench_end(&open, BATCH);
    }
    if (failures > 0)
        abort();
    bench_print(&seal, "algorithm", name, backend->name, len, "seal");
    bench_print(&open, "algorithm", name, backend->name, len, "open");
}

static void bench_aeads(int passes)
{
    static const struct aead_backend *const backends[] = {&aead_libcrypto, &aead_ipsec_mb};
    const uint8_t key[AEAD_KEY_LEN_MAX] = {1};
    for (size_t a = 0; a < sizeof(aeads) / sizeof(aeads[0]); a++) {
        for (size_t b = 0; b < sizeof(backends) / sizeof(backends[0]); b++) {
            struct aead *keyed;
            if (aead_new_with(backends[b], aeads[a].algorithm, key, &keyed) != ERR_OK)
                continue;
            for (size_t l = 0; l < LENS; l++)
                bench_aead(backends[b], keyed, aeads[a].name, lens[l], passes);
            aead_free(keyed);
        }
        printf("chosen here for %s: %s\n", aeads[a].name, aead_backend_name(aeads[a].algorithm));
    }
}

/* The parts of the suite `paper`: its key stream, and the MAC by either library. */
static void bench_paper(int passes)
{
    const uint8_t keys[STREAM_KEY_LEN + MAC_KEY_LEN + STREAM_SALT_LEN] = {1};
    uint8_t macs[BATCH][MAC_LEN];
    struct mac_message messages[BATCH];
    struct stream_mac *context = NULL;
    struct mac_batch *batch = NULL;
    if (stream_mac_new(keys, keys + STREAM_KEY_LEN, keys + STREAM_KEY_LEN + MAC_KEY_LEN,
                       &context) != ERR_OK)
        abort();
    const bool has_batch = mac_batch_new(&batch) == ERR_OK;
    for (size_t l = 0; l < LENS; l++) {
        struct bench stream = BENCH_NONE, single = BENCH_NONE, many = BENCH_NONE;
        int failures = 0;
        for (int i = 0; i < BATCH; i++)
            messages[i] =
                (struct mac_message){stream_mac_states(context), texts[i], lens[l], macs[i]};
        for (int pass = 0; pass < passes; pass++) {
            bench_begin(&stream);
            for (int i = 0; i < BATCH; i++)
                failures += stream_mac_crypt(context, (uint32_t)i + 1, texts[i], lens[l]) != ERR_OK;
            bench_end(&stream, BATCH);
            bench_begin(&single);
            for (int i = 0; i < BATCH; i++)
                failures += stream_mac_compute(context, texts[i], lens[l], macs[i]) != ERR_OK;
            bench_end(&single, BATCH);
            bench_begin(&many);
            failures += has_batch && mac_batch_compute(batch, messages, BATCH) != ERR_OK;
            bench_end(&many, BATCH);
        }
        if (failures > 0)
            abort();
        bench_print(&stream, "algorithm", "paper's key stream", "libcrypto", lens[l], "both");
        bench_print(&single, "algorithm", "hmac-sha256", "libcrypto", lens[l], "both");
        if (has_batch)
            bench_print(&many, "algorithm", "hmac-sha256", "ipsec-mb", lens[l], "both");
    }
    mac_batch_free(batch);
    stream_mac_free(context);
}

/* What ESP's suites with HMAC use, packet by packet. */
static void bench_cipher_mac(enum cipher_mode mode, const char *name, int passes)
{
    const uint8_t key[16] = {1}, mac_key[CIPHER_MAC_KEY_LEN] = {2};
    uint8_t iv[CIPHER_BLOCK_LEN] = {0}, mac[CIPHER_MAC_LEN];
    struct cipher_mac *context = NULL;
    if (cipher_mac_new(mode, key, sizeof(key), mac_key, &context) != ERR_OK)
        abort();
    for (size_t l = 0; l < LENS; l++) {
        const size_t len = lens[l] / CIPHER_BLOCK_LEN * CIPHER_BLOCK_LEN;
        struct bench seal = BENCH_NONE, open = BENCH_NONE;
        int failures = 0;
        for (int pass = 0; pass < passes; pass++) {
            bench_begin(&seal);
            for (int i = 0; i < BATCH; i++) {
                const struct piece piece = {texts[i], len};
                failures += cipher_mac_encrypt(context, iv, texts[i], len) != ERR_OK ||
                            cipher_mac_compute(context, &piece, 1, mac) != ERR_OK;
            }
            bench_end(&seal, BATCH);
            bench_begin(&open);
            for (int i = 0; i < BATCH; i++) {
                const struct piece piece = {texts[i], len};
                failures += cipher_mac_compute(context, &piece, 1, mac) != ERR_OK ||
                            cipher_mac_decrypt(context, iv, texts[i], len) != ERR_OK;
            }
            bench_end(&open, BATCH);
        }
        if (failures > 0)
            abort();
        bench_print(&seal, "algorithm", name, "libcrypto", len, "seal");
        bench_print(&open, "algorithm", name, "libcrypto", len, "open");
    }
    cipher_mac_free(context);
}

int main(int argc, char **argv)
{
    const int passes = argc > 1 ? atoi(argv[1]) : 1000;
    if (passes <= 0) {
        fprintf(stderr, "usage: crypto_bench [PASSES]\n");
        return 2;
    }
    for (size_t l = 0; l < LENS; l++)
        library_bench(lens[l], passes);
    bench_aeads(passes);
    bench_paper(passes);
    bench_cipher_mac(CIPHER_AES_CTR, "aes128-ctr, hmac-sha256", passes);
    bench_cipher_mac(CIPHER_AES_CBC, "aes128-cbc, hmac-sha256", passes);
    for (size_t l = 0; l < LENS; l++)
        message_bench(lens[l], passes);
    return 0;
}
