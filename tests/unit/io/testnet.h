/* A network namespace of its own for a test process, and a look at it with the ordinary tools. */
#ifndef TESTNET_H
#define TESTNET_H

#include "base/address.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Puts this process into fresh network and mount namespaces with lo up. Ends it with 77 (skipped)
 * where that is not permitted. Nothing done afterwards reaches the machine's own network. */
void testnet_enter(void);
/* Runs a shell command that must succeed. */
void testnet_run(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Runs a shell command and returns what it prints (both streams), in a static buffer. */
const char *testnet_output(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A second namespace, to be reached over a pair of interfaces: `near_name` here, `far_name` there.
 * Returns the pid of a process that holds it; testnet_leave ends that process. */
int testnet_peer(const char *near_name, const char *far_name);
void testnet_leave(int peer);
/* From now on new sockets of this process are the peer's; 0: this namespace's again. Sockets that
 * exist stay where they are. */
void testnet_switch(int peer);
/* Sockets bound to an endpoint given as text ("192.0.2.1:53"); TCP ones listen. Non-blocking. */
int testnet_bind(int type, const char *endpoint);
/* Is there something to be read, or an error, within timeout_ms? */
bool testnet_is_readable(int fd, int timeout_ms);
/* Waits until condition(context) holds: false after timeout_ms. */
bool testnet_wait(bool (*condition)(void *context), void *context, unsigned timeout_ms);

struct address testnet_address(const char *text);
struct endpoint testnet_endpoint(const char *text);
struct prefix testnet_prefix(const char *text);

#endif
