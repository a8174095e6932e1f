/* JSON lines with key material, and the same as tables of Wireshark's. */
#include "host/export.h"

#include "crypto/memory.h"
#include "host/host.h"
#include "ike/export.h"
#include "io/clock.h"
#include "wire/suite.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEEN_MAX    256 /* pairs of SPIs remembered: of old ones a line may come twice */
#define EXPORTS_MAX 8

struct exporter {
    FILE *lines;  /* JSON */
    FILE *esp_sa; /* Wireshark's */
    FILE *ikev2;
    uint64_t seen[SEEN_MAX][2]; /* SPIs of IKE SAs, a ring */
    size_t seen_next;
};

static int open_one(const char *file, const char *ending, FILE **ret_file)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s%s", file, ending) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return ERR_IO;
    }
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return ERR_IO;
    *ret_file = fdopen(fd, "a");
    if (*ret_file == NULL) {
        close(fd);
        return ERR_IO;
    }
    return ERR_OK;
}

int export_open(struct host *host, const char *file)
{
    struct exporter *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return ERR_NOMEM;
    host->export = e;
    if (open_one(file, "", &e->lines) != ERR_OK ||
        open_one(file, ".esp_sa", &e->esp_sa) != ERR_OK ||
        open_one(file, ".ikev2_decryption_table", &e->ikev2) != ERR_OK) {
        log_error("%s: keys cannot be exported to it: %s", file, strerror(errno));
        export_close(host);
        return ERR_IO;
    }
    log_warn("KEYS OF ALL TUNNELS ARE WRITTEN TO %s, .esp_sa and .ikev2_decryption_table: whoever "
             "reads these files reads the traffic",
             file);
    return ERR_OK;
}

static void close_one(FILE *file)
{
    if (file != NULL)
        fclose(file);
}

void export_close(struct host *host)
{
    struct exporter *e = host->export;
    if (e == NULL)
        return;
    close_one(e->lines);
    close_one(e->esp_sa);
    close_one(e->ikev2);
    free(e);
    host->export = NULL;
}

/* ---- children ---- */

/* Key material in the order of docs/protocol.md: of `paper` key, MAC key, salt; of ESP key, salt,
 * MAC key; of the other suites key, salt. */
struct parts {
    const uint8_t *key, *mac_key, *salt;
    size_t key_len, mac_len, salt_len;
};

static struct parts parts_of(enum suite suite, const uint8_t *material)
{
    struct parts p = {.key = material, .key_len = suite_cipher_key_len(suite)};
    const size_t rest = suite_key_len(suite) - p.key_len;
    if (suite == SPUT_PAPER)
        p.mac_len = 32;
    else if (suite >= ESP_AES128_CBC_SHA256)
        p.mac_len = SUITE_ESP_MAC_KEY_LEN;
    p.salt_len = rest - p.mac_len;
    const uint8_t *behind = material + p.key_len;
    p.mac_key = suite == SPUT_PAPER ? behind : behind + p.salt_len;
    p.salt = suite == SPUT_PAPER ? behind + p.mac_len : behind;
    return p;
}

/* Wireshark's names; NULL for what it cannot decrypt. */
static const char *esp_cipher(enum suite suite)
{
    switch (suite) {
    case ESP_AES128_GCM:
    case ESP_AES256_GCM:
        return "AES-GCM with 16 octet ICV [RFC4106]";
    case ESP_AES128_CBC_SHA256:
    case ESP_AES256_CBC_SHA256:
        return "AES-CBC [RFC3602]";
    case ESP_AES128_CTR_SHA256:
    case ESP_AES256_CTR_SHA256:
        return "AES-CTR [RFC3686]";
    default:
        return NULL;
    }
}

/* Whatever addresses NATs make of ours: the SPI tells. One line for each family. */
static void export_esp(FILE *out, enum suite suite, uint32_t spi, const uint8_t *material)
{
    static const char *const families[] = {"IPv4", "IPv6"};
    const struct parts p = parts_of(suite, material);
    char key[HEX_TEXT_CAP(SUITE_KEY_CAP)], mac_key[HEX_TEXT_CAP(SUITE_ESP_MAC_KEY_LEN)];
    if (esp_cipher(suite) == NULL ||
        hex_encode(p.key, suite_key_len(suite) - p.mac_len, key, sizeof(key)) < 0 ||
        hex_encode(p.mac_key, p.mac_len, mac_key, sizeof(mac_key)) < 0)
        return;
    for (size_t i = 0; i < 2; i++)
        fprintf(out, "\"%s\",\"*\",\"*\",\"0x%08x\",\"%s\",\"0x%s\",\"%s\",\"%s%s\"\n", families[i],
                spi, esp_cipher(suite), key, p.mac_len > 0 ? "HMAC-SHA-256-128 [RFC4868]" : "NULL",
                p.mac_len > 0 ? "0x" : "", mac_key);
    fflush(out);
    crypto_wipe(key, sizeof(key));
    crypto_wipe(mac_key, sizeof(mac_key));
}

static void export_direction(const struct peer *peer, const struct ike_event_child_ready *child,
                             bool is_in)
{
    const uint8_t *material = is_in ? child->key_in : child->key_out;
    const struct parts p = parts_of(child->suite, material);
    char key[HEX_TEXT_CAP(32)], mac_key[HEX_TEXT_CAP(32)], salt[HEX_TEXT_CAP(11)],
        remote[ENDPOINT_TEXT_CAP];
    if (hex_encode(p.key, p.key_len, key, sizeof(key)) < 0 ||
        hex_encode(p.mac_key, p.mac_len, mac_key, sizeof(mac_key)) < 0 ||
        hex_encode(p.salt, p.salt_len, salt, sizeof(salt)) < 0)
        return;
    FILE *out = peer->host->export->lines;
    json_t *line = json_pack("{s:I, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s}", "time",
                             (json_int_t)clock_wall_seconds(), "peer", peer->name, "remote",
                             endpoint_format(&peer->path, remote, sizeof(remote)), "direction",
                             is_in ? "in" : "out", "suite", suite_name(child->suite), "child",
                             (json_int_t)child->child, "spi",
                             (json_int_t)(is_in ? child->spi_in : child->spi_out), "key", key,
                             "mac_key", mac_key, "salt", salt);
    if (line != NULL && json_dumpf(line, out, JSON_COMPACT) == 0)
        fputc('\n', out);
    json_decref(line);
    fflush(out);
    crypto_wipe(key, sizeof(key));
    crypto_wipe(mac_key, sizeof(mac_key));
    if (suite_is_esp(child->suite))
        export_esp(peer->host->export->esp_sa, child->suite, is_in ? child->spi_in : child->spi_out,
                   material);
}

void export_child(const struct peer *peer, const struct ike_event_child_ready *child)
{
    if (peer->host->export == NULL)
        return;
    export_direction(peer, child, true);
    export_direction(peer, child, false);
}

/* ---- IKE SAs ---- */

/* Wireshark's names; NULL for what it cannot decrypt. */
static const char *ike_cipher_label(enum ike_cipher cipher)
{
    switch (cipher) {
    case IKE_CIPHER_AES256_GCM:
        return "AES-GCM-256 with 16 octet ICV [RFC5282]";
    case IKE_CIPHER_AES128_GCM:
        return "AES-GCM-128 with 16 octet ICV [RFC5282]";
    case IKE_CIPHER_AES256_CBC:
        return "AES-CBC-256 [RFC3602]";
    case IKE_CIPHER_AES128_CBC:
        return "AES-CBC-128 [RFC3602]";
    default:
        return NULL;
    }
}

static const char *ike_integ_label(enum hash_algorithm integ)
{
    switch (integ) {
    case HASH_SHA256:
        return "HMAC_SHA2_256_128 [RFC4868]";
    case HASH_SHA384:
        return "HMAC_SHA2_384_192 [RFC4868]";
    case HASH_SHA512:
        return "HMAC_SHA2_512_256 [RFC4868]";
    default:
        return "NONE [RFC4306]";
    }
}

static bool is_seen(struct exporter *e, const struct ike_export *x)
{
    for (size_t i = 0; i < SEEN_MAX; i++) {
        if (e->seen[i][0] == x->spi_i && e->seen[i][1] == x->spi_r)
            return true;
    }
    e->seen[e->seen_next][0] = x->spi_i;
    e->seen[e->seen_next][1] = x->spi_r;
    e->seen_next = (e->seen_next + 1) % SEEN_MAX;
    return false;
}

static void put_part(FILE *out, const struct ike_keys *keys, enum ike_key_part part)
{
    char text[HEX_TEXT_CAP(HASH_LEN_MAX)];
    size_t len = 0;
    const uint8_t *bytes = ike_keys_part(keys, part, &len);
    if (hex_encode(bytes, len, text, sizeof(text)) >= 0)
        fputs(text, out);
    crypto_wipe(text, sizeof(text));
}

void export_sa(struct host *host, const struct ike_sa *sa)
{
    struct ike_export exports[EXPORTS_MAX];
    if (host->export == NULL)
        return;
    const size_t count = ike_sa_export(sa, exports, EXPORTS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct ike_algorithms *a = &exports[i].keys->algorithms;
        FILE *out = host->export->ikev2;
        if (ike_cipher_label(a->cipher) == NULL || is_seen(host->export, &exports[i]))
            continue;
        fprintf(out, "%016llx,%016llx,", (unsigned long long)exports[i].spi_i,
                (unsigned long long)exports[i].spi_r);
        put_part(out, exports[i].keys, IKE_SK_EI);
        fputc(',', out);
        put_part(out, exports[i].keys, IKE_SK_ER);
        fprintf(out, ",\"%s\",", ike_cipher_label(a->cipher));
        put_part(out, exports[i].keys, IKE_SK_AI);
        fputc(',', out);
        put_part(out, exports[i].keys, IKE_SK_AR);
        fprintf(out, ",\"%s\"\n", ike_integ_label(a->integ));
        fflush(out);
    }
}
