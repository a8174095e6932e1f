/* Traffic selectors of a child in tunnel form (RFC 7296, 2.9): what it may carry. */
#ifndef WIRE_SELECTOR_H
#define WIRE_SELECTOR_H

#include "wire/ike_payload.h"
#include "wire/ip.h"
#include <stdbool.h>

#define SELECTORS_MAX 8

/* Of one end. None at all: nothing is covered. */
struct selectors {
    uint8_t count;
    struct ike_selector list[SELECTORS_MAX];
};

/* Of both ends of a child. */
struct selector_pair {
    struct selectors own, peer;
};

/* Everything from and to these ports and protocols, of one family. */
struct ike_selector selector_of(const struct address *first, const struct address *last);
bool selector_holds(const struct ike_selector *selector, const struct address *address);
/* Is there one for this end of the packet: its source (is_source) or destination? A selector with
 * ports covers whole packets and first fragments of protocols that have them. */
bool selectors_cover(const struct selectors *selectors, const struct ip_view *packet,
                     bool is_source);
/* Is there one for every protocol and port of this address? */
bool selectors_hold(const struct selectors *selectors, const struct address *address);
/* Appends what two selectors have in common, if anything, and if there is room. */
void selectors_intersect(const struct ike_selector *a, const struct ike_selector *b,
                         struct selectors *ret_selectors);

#endif
