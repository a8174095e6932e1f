/* The TUN device: raw IP packets from and to the host's own network stack. */
#ifndef IO_TUN_H
#define IO_TUN_H

#include "base/offload.h"
#include "base/packet.h"
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum tun_flag {
    TUN_MULTI_QUEUE = 1, /* tun_open again with the same name opens one more queue */
    TUN_OFFLOAD = 2,     /* super-packets and open checksums, as far as the kernel has them */
    TUN_FIRST_QUEUE = 4, /* with TUN_MULTI_QUEUE: the interface must not be there yet */
};

#define TUN_PARTS_MAX 65 /* of one tun_write_parts() */
#define TUN_ROOM      16

struct tun {
    int fd; /* non-blocking; -1 while closed */
    uint32_t link;
    char name[IFNAMSIZ];
    bool has_offload;     /* every packet is led by its struct virtio_net_hdr */
    bool has_udp_offload; /* UDP super-packets too (Linux 6.2) */
};

/* Creates the interface (it vanishes with its last queue's descriptor). name: at most 15
 * characters; a
 * "%d" in it becomes the first free number. It starts down, without address: see interface.h.
 * ERR_EXISTS: the name is taken; ERR_REFUSED: no permission; ERR_NOT_FOUND: the kernel has no TUN.
 */
MUST_USE int tun_open(const char *name, unsigned flags, struct tun *ret_tun);
void tun_close(struct tun *tun);
/* False once the interface has been deleted: the descriptor is good for nothing then. */
bool tun_is_there(const struct tun *tun);
/* Reads one packet behind packet->data (its len before does not count). ERR_AGAIN: none is waiting.
 * One that is longer than the packet's room is cut: its IP header tells. */
MUST_USE int tun_read(const struct tun *tun, struct packet *packet);
/* Reads one packet, or super-packet, into a buffer of OFFLOAD_LEN_MAX bytes, with TUN_ROOM bytes
 * before it that are overwritten, too. ERR_AGAIN: none is waiting; ERR_INVALID: one of a kind that
 * was not asked for, or cut; it is lost. */
MUST_USE int tun_read_super(const struct tun *tun, uint8_t *buffer, uint32_t *ret_len,
                            struct offload *ret_offload);
/* Hands one packet to the stack that lies in up to TUN_PARTS_MAX parts. Other kinds than
 * OFFLOAD_NONE, and open checksums, only with has_offload. Errors as tun_write(). */
MUST_USE int tun_write_parts(const struct tun *tun, const struct offload *offload,
                             const struct iovec *parts, unsigned count);
/* Hands one packet to the stack. ERR_INVALID: not an IP packet; ERR_AGAIN: no room; ERR_STATE: the
 * interface is down. */
MUST_USE int tun_write(const struct tun *tun, const struct packet *packet);

#endif
