/* What parsing and building of STUN messages share; not for others. */
#ifndef WIRE_STUN_BUILD_H
#define WIRE_STUN_BUILD_H

#define STUN_ATTRIBUTE_LEN   4 /* type and length */
#define STUN_FAMILY_IPV4     1
#define STUN_FAMILY_IPV6     2
#define STUN_FINGERPRINT_XOR 0x5354554eu /* RFC 8489, 14.7 */

#define STUN_CHANGE_ADDRESS 4u /* RFC 5780, 7.2 */
#define STUN_CHANGE_PORT    2u

#endif
