/* The inside of a profile, for this folder alone. */
#ifndef IKE_PROFILE_H
#define IKE_PROFILE_H

#include "base/deadline.h"
#include "ike/suite.h"

struct ike_profile {
    struct ike_config config;
    uint32_t references;
};

/* Takes one more reference. */
struct ike_profile *ike_profile_share(struct ike_profile *profile);

#endif
