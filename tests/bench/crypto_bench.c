/* Sealing and opening, suite by suite and library by library, in cycles a byte and a packet.
 *
 *   crypto_bench [MESSAGES-EACH]
 *
 * One line each: suite, back-end, length, direction, cycles a packet, cycles a byte, Gbit/s. The
 * best of several rounds, since others may use the processor. */
#include "crypto/aead_backend.h"
#include "tunnel/sput.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#define ROUNDS 7

static const struct {
    const char *name;
    enum suite suite;
    enum aead_algorithm algorithm;
} suites[] = {
    {"aes128-gcm", SPUT_AES128_GCM, AEAD_AES128_GCM},
    {"aes256-gcm", SPUT_AES256_GCM, AEAD_AES256_GCM},
    {"chacha20-poly1305", SPUT_CHACHA20_POLY1305, AEAD_CHACHA20_POLY1305},
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now_cycles(void)
{
#if defined(__x86_64__)
    return __rdtsc();
#else
    return now_ns();
#endif
}

struct result {
    double cycles, ns;
};

static void print(const char *suite, const char *backend, size_t len, const char *direction,
                  struct result best)
{
    printf("%-18s %-10s %5zu %-5s %8.0f cycles/packet %7.2f cycles/byte %7.2f Gbit/s\n", suite,
           backend, len, direction, best.cycles, best.cycles / (double)len,
           (double)len * 8 / best.ns);
}

static struct result time_aead(const struct aead_backend *backend, void *keyed, size_t len,
                               bool is_sealing, int count)
{
    static uint8_t data[4096];
    uint8_t nonce[12] = {0}, tag[16] = {0};
    struct result best = {1e18, 1e18};
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t ns = now_ns(), cycles = now_cycles();
        for (int i = 0; i < count; i++) {
            int ignored = is_sealing ? backend->seal(keyed, nonce, nonce, 4, data, len, tag)
                                     : backend->open(keyed, nonce, nonce, 4, data, len, tag);
            (void)ignored; /* opening fails: it costs the same */
        }
        const double took = (double)(now_cycles() - cycles) / count;
        const double took_ns = (double)(now_ns() - ns) / count;
        if (took < best.cycles)
            best = (struct result){took, took_ns};
    }
    return best;
}

/* The whole message: header, number, key stream, MAC. */
static struct result time_sput(enum suite suite, size_t len, int count)
{
    static struct packet packet;
    struct sput_sender sender;
    uint8_t key[SUITE_KEY_CAP] = {1};
    struct result best = {1e18, 1e18};
    if (sput_sender_init(&sender, suite, key, suite_key_len(suite), UINT32_MAX) != ERR_OK)
        return best;
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t ns = now_ns(), cycles = now_cycles();
        for (int i = 0; i < count; i++) {
            packet.data = packet.storage + PACKET_HEADROOM;
            packet.len = (uint32_t)len;
            if (sput_seal(&sender, &packet, SPUT_DATA, 6, 0, NULL) != ERR_OK)
                abort();
        }
        const double took = (double)(now_cycles() - cycles) / count;
        const double took_ns = (double)(now_ns() - ns) / count;
        if (took < best.cycles)
            best = (struct result){took, took_ns};
    }
    sput_sender_done(&sender);
    return best;
}

int main(int argc, char **argv)
{
    static const struct aead_backend *const backends[] = {&aead_libcrypto, &aead_ipsec_mb};
    static const size_t lens[] = {64, 512, 1400};
    const uint8_t key[AEAD_KEY_LEN_MAX] = {1};
    const int count = argc > 1 ? atoi(argv[1]) : 20000;
    for (size_t s = 0; s < sizeof(suites) / sizeof(suites[0]); s++) {
        for (size_t b = 0; b < sizeof(backends) / sizeof(backends[0]); b++) {
            void *keyed = NULL;
            if (backends[b]->make(suites[s].algorithm, key, &keyed) != ERR_OK)
                continue;
            for (size_t l = 0; l < sizeof(lens) / sizeof(lens[0]); l++) {
                print(suites[s].name, backends[b]->name, lens[l], "seal",
                      time_aead(backends[b], keyed, lens[l], true, count));
                print(suites[s].name, backends[b]->name, lens[l], "open",
                      time_aead(backends[b], keyed, lens[l], false, count));
            }
            backends[b]->destroy(keyed);
        }
        printf("%-18s chosen: %s\n", suites[s].name, aead_backend_name(suites[s].algorithm));
    }
    for (size_t l = 0; l < sizeof(lens) / sizeof(lens[0]); l++) {
        print("aes128-gcm", "message", lens[l], "seal", time_sput(SPUT_AES128_GCM, lens[l], count));
        print("paper", "message", lens[l], "seal", time_sput(SPUT_PAPER, lens[l], count));
    }
    return 0;
}
