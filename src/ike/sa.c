/* What an owner can see of an SA; see ike/sa.h. */
#include "ike/sa.h"
#include "ike/child.h"
#include "ike/life.h"
#include "ike/profile.h"

void ike_sa_set_remote(struct ike_sa *sa, const struct endpoint *remote)
{
    sa->remote = *remote;
    sa->has_candidate = sa->has_spare = sa->has_move = false;
    sa->move_by_us = DEADLINE_NEVER;
}

void ike_sa_set_profile(struct ike_sa *sa, struct ike_profile *profile)
{
    struct ike_profile *before = sa->profile;
    sa->profile = ike_profile_share(profile);
    ike_profile_free(before);
}

void ike_sa_leave_list(struct ike_sa *sa)
{
    if (sa->listed_by == NULL)
        return;
    *sa->listed_by = sa->listed_next;
    if (sa->listed_next != NULL)
        sa->listed_next->listed_by = sa->listed_by;
    sa->listed_by = NULL;
    sa->listed_next = NULL;
}

void ike_sa_set_user(struct ike_sa *sa, void *user)
{
    ike_sa_leave_list(sa);
    sa->user = user;
}

void ike_sa_give_to(struct ike_sa *sa, void *user, struct ike_sa_list *list)
{
    ike_sa_set_user(sa, user);
    sa->listed_next = list->first;
    sa->listed_by = &list->first;
    if (list->first != NULL)
        list->first->listed_by = &sa->listed_next;
    list->first = sa;
}

void ike_sa_list_clear(struct ike_sa_list *list)
{
    while (list->first != NULL)
        ike_sa_set_user(list->first, NULL);
}

void *ike_sa_user(const struct ike_sa *sa)
{
    return sa->user;
}

enum ike_state ike_sa_state(const struct ike_sa *sa)
{
    return sa->state;
}

bool ike_sa_is_answered(const struct ike_sa *sa)
{
    return sa->current != NULL && sa->current->spi_r != 0;
}

bool ike_sa_is_initiator(const struct ike_sa *sa)
{
    return sa->is_initiator;
}

const struct public_key *ike_sa_peer_key(const struct ike_sa *sa)
{
    return sa->has_peer_key ? &sa->peer_key : NULL;
}

const struct ike_peer_entry *ike_sa_entry(const struct ike_sa *sa)
{
    return sa->was_established ? sa->entry : NULL;
}

const char *ike_sa_peer_id(const struct ike_sa *sa)
{
    return sa->peer_id != NULL ? sa->peer_id : "";
}

const struct endpoint *ike_sa_remote(const struct ike_sa *sa)
{
    return &sa->remote;
}

uint32_t ike_sa_child(const struct ike_sa *sa)
{
    const struct ike_child *child = ike_child_live(sa);
    return child != NULL ? child->number : 0;
}

enum suite ike_sa_suite(const struct ike_sa *sa)
{
    const struct ike_child *child = ike_child_live(sa);
    return child != NULL ? child->suite : SUITE_NONE;
}

enum ike_cipher ike_sa_cipher(const struct ike_sa *sa)
{
    return sa->current != NULL ? sa->current->keys.algorithms.cipher : IKE_CIPHER_NONE;
}

uint64_t ike_sa_heard_us(const struct ike_sa *sa)
{
    return sa->heard_us;
}

uint64_t ike_sa_round_trip_us(const struct ike_sa *sa)
{
    return sa->round_trip_us;
}

bool ike_sa_is_nat_here(const struct ike_sa *sa)
{
    return sa->is_nat_here;
}

bool ike_sa_is_nat_there(const struct ike_sa *sa)
{
    return sa->is_nat_there;
}

bool ike_sa_is_floated(const struct ike_sa *sa)
{
    return sa->is_floated;
}

void ike_sa_spis(const struct ike_sa *sa, uint64_t *ret_initiator, uint64_t *ret_responder)
{
    *ret_initiator = sa->current != NULL ? sa->current->spi_i : 0;
    *ret_responder = sa->current != NULL ? sa->current->spi_r : 0;
}

uint64_t ike_sa_deadline(const struct ike_sa *sa)
{
    /* The heap's place is kept with the latest time short of DEADLINE_NEVER. */
    return sa->deadline.at_us >= DEADLINE_NEVER - 1 ? DEADLINE_NEVER : sa->deadline.at_us;
}
