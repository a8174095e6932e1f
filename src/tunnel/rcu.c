/* The library's thread that waits for readers, and frees what they do not see any more. */
#include "tunnel/rcu.h"

#include <pthread.h>
#include <signal.h>

const char rcu_grace_period;

/* It inherits what is blocked while it is made. */
static void begin(void)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    (void)urcu_memb_get_default_call_rcu_data();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void rcu_defer(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, begin);
    rcu_order_before(&rcu_grace_period);
    urcu_memb_call_rcu(head, func);
}
