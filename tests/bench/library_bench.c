/* Direct calls for AEAD, bursts of jobs for HMAC. */
#include "library_bench.h"

#ifdef HAVE_IPSEC_MB
#include "bench_clock.h"
#define NO_COMPAT_IMB_API_053
#include <intel-ipsec-mb.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 64

static uint8_t texts[BATCH][2048];

static void bench_gcm(aes_gcm_enc_dec_t call, const struct gcm_key_data *key, const char *name,
                      const char *direction, size_t len, int passes)
{
    struct gcm_context_data context;
    struct bench bench = BENCH_NONE;
    uint8_t iv[12] = {0}, tag[16];
    for (int pass = 0; pass < passes; pass++) {
        bench_begin(&bench);
        for (int i = 0; i < BATCH; i++)
            call(key, &context, texts[i], texts[i], len, iv, iv, 8, tag, sizeof(tag));
        bench_end(&bench, BATCH);
    }
    bench_print(&bench, "library", name, "ipsec-mb", len, direction);
}

static void bench_hmac(IMB_MGR *manager, size_t len, int passes)
{
    static IMB_JOB jobs[BATCH];
    static uint8_t tags[BATCH][32];
    static const uint32_t state[8] = {1};
    struct bench bench = BENCH_NONE;
    for (int i = 0; i < BATCH; i++) {
        memset(&jobs[i], 0, sizeof(jobs[i]));
        jobs[i].cipher_mode = IMB_CIPHER_NULL;
        jobs[i].cipher_direction = IMB_DIR_ENCRYPT;
        jobs[i].chain_order = IMB_ORDER_HASH_CIPHER;
        jobs[i].hash_alg = IMB_AUTH_HMAC_SHA_256;
        jobs[i].src = texts[i];
        jobs[i].msg_len_to_hash_in_bytes = len;
        jobs[i].auth_tag_output = tags[i];
        jobs[i].auth_tag_output_len_in_bytes = 32;
        jobs[i].u.HMAC._hashed_auth_key_xor_ipad = (const uint8_t *)state;
        jobs[i].u.HMAC._hashed_auth_key_xor_opad = (const uint8_t *)state;
    }
    for (int pass = 0; pass < passes; pass++) {
        bench_begin(&bench);
        if (IMB_SUBMIT_HASH_BURST_NOCHECK(manager, jobs, BATCH, IMB_AUTH_HMAC_SHA_256) != BATCH)
            abort();
        bench_end(&bench, BATCH);
    }
    bench_print(&bench, "library", "hmac-sha256", "ipsec-mb", len, "both");
}

void library_bench(size_t len, int passes)
{
    static const uint8_t bytes[32] = {1};
    static struct gcm_key_data key __attribute__((aligned(64)));
    IMB_MGR *manager = alloc_mb_mgr(0);
    if (manager == NULL)
        return;
    init_mb_mgr_auto(manager, NULL);
    if (imb_get_errno(manager) == 0) {
        IMB_AES128_GCM_PRE(manager, bytes, &key);
        bench_gcm(manager->gcm128_enc, &key, "aes128-gcm", "seal", len, passes);
        bench_gcm(manager->gcm128_dec, &key, "aes128-gcm", "open", len, passes);
        IMB_AES256_GCM_PRE(manager, bytes, &key);
        bench_gcm(manager->gcm256_enc, &key, "aes256-gcm", "seal", len, passes);
        bench_gcm(manager->gcm256_dec, &key, "aes256-gcm", "open", len, passes);
        bench_hmac(manager, len, passes);
    }
    free_mb_mgr(manager);
}
#else
void library_bench(size_t len, int passes)
{
}
#endif
