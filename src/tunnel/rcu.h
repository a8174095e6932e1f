/* The one place that names liburcu's flavour. Private to this folder. ThreadSanitizer does not see
 * the orders that the uninstrumented library makes; in its builds they are told to it here. */
#ifndef TUNNEL_RCU_H
#define TUNNEL_RCU_H

#include <urcu/rculfhash.h>
#include <urcu/urcu-memb.h>

#if defined(__SANITIZE_THREAD__)
#define RCU_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RCU_TSAN 1
#endif
#endif

#ifdef RCU_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define rcu_order_after(address)  __tsan_acquire((void *)(uintptr_t)(address))
#define rcu_order_before(address) __tsan_release((void *)(uintptr_t)(address))
#else
#define rcu_order_after(address)  ((void)(address))
#define rcu_order_before(address) ((void)(address))
#endif

/* Stands for "all read sections so far" and "after the grace period". */
extern const char rcu_grace_period;

/* Calls func with head, in another thread, once no read section is left that began before. That
 * thread begins with the first call, and leaves signals to others. */
void rcu_defer(struct rcu_head *head, void (*func)(struct rcu_head *head));

#endif
