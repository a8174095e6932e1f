/* JSON lines with key material. */
#include "host/export.h"

#include "crypto/memory.h"
#include "host/host.h"
#include "io/clock.h"
#include "wire/suite.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int export_open(struct host *host, const char *file)
{
    int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || (host->export = fdopen(fd, "a")) == NULL) {
        log_error("%s: keys cannot be exported to it: %s", file, strerror(errno));
        if (fd >= 0)
            close(fd);
        return ERR_IO;
    }
    log_warn("KEYS OF ALL TUNNELS ARE WRITTEN TO %s: whoever reads that file reads the traffic",
             file);
    return ERR_OK;
}

void export_close(struct host *host)
{
    if (host->export != NULL)
        fclose(host->export);
    host->export = NULL;
}

/* Key material in the order of docs/protocol.md: paper key 16, MAC key 32, salt 11; AEAD key,
 * salt 8. */
static void export_direction(const struct peer *peer, const struct ike_event_child_ready *child,
                             const char *direction, const uint8_t *material)
{
    char key[HEX_TEXT_CAP(32)], mac_key[HEX_TEXT_CAP(32)], salt[HEX_TEXT_CAP(11)],
        remote[ENDPOINT_TEXT_CAP];
    bool is_paper = child->suite == SPUT_PAPER;
    size_t key_len = is_paper ? 16 : child->key_len - SUITE_AEAD_SALT_LEN;
    size_t mac_len = is_paper ? 32 : 0;
    size_t salt_len = child->key_len - key_len - mac_len;
    if (hex_encode(material, key_len, key, sizeof(key)) < 0 ||
        hex_encode(material + key_len, mac_len, mac_key, sizeof(mac_key)) < 0 ||
        hex_encode(material + key_len + mac_len, salt_len, salt, sizeof(salt)) < 0)
        return;
    json_t *line = json_pack(
        "{s:I, s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:s}", "time", (json_int_t)clock_wall_seconds(),
        "peer", peer->name, "remote", endpoint_format(&peer->path, remote, sizeof(remote)),
        "direction", direction, "suite", suite_name(child->suite), "child",
        (json_int_t)child->child, "key", key, "mac_key", mac_key, "salt", salt);
    if (line != NULL && json_dumpf(line, peer->host->export, JSON_COMPACT) == 0)
        fputc('\n', peer->host->export);
    json_decref(line);
    fflush(peer->host->export);
    crypto_wipe(key, sizeof(key));
    crypto_wipe(mac_key, sizeof(mac_key));
}

void export_child(const struct peer *peer, const struct ike_event_child_ready *child)
{
    if (peer->host->export == NULL)
        return;
    export_direction(peer, child, "in", child->key_in);
    export_direction(peer, child, "out", child->key_out);
}
