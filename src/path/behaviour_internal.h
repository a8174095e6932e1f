/* What behaviour.c (asking) and behaviour_result.c (concluding) share. */
#ifndef PATH_BEHAVIOUR_INTERNAL_H
#define PATH_BEHAVIOUR_INTERNAL_H

#include "path/behaviour.h"
#include "path/binding.h"
#include "wire/stun.h"

/* Sockets by what they are for. Each has sent to the connector's main port only, unless said. */
enum {
    SOCKET_MAPPING,   /* sends to the other port and address too */
    SOCKET_FILTERING, /* must not */
    SOCKET_HAIRPIN_A, /* send to each other's outer address */
    SOCKET_HAIRPIN_B,
    SOCKET_SPARE, /* MTU; asks for answers to the sockets of the lifetime */
    SOCKET_LIFETIME,
};

enum question_kind {
    ASK_REACH,          /* main address, main port */
    ASK_OTHER_ADDRESS,  /* other address, main port: test II of RFC 5780, 4.3 */
    ASK_OTHER_PORT,     /* other address (if there is one), other port: test III */
    ASK_FROM_ELSEWHERE, /* the answer comes from other address and port: 4.4, test II */
    ASK_FROM_OTHER_PORT,
    ASK_HAIRPIN, /* own outer address */
    ASK_MTU,
    ASK_TICKET, /* makes a mapping and then is silent */
    ASK_ALIVE,  /* the answer goes to the silent mapping: 4.6 */
};

enum question_state {
    QUESTION_ASKING,
    QUESTION_ANSWERED,
    QUESTION_SILENT,  /* no answer to any try */
    QUESTION_REFUSED, /* the server does not do that */
    QUESTION_LATE,    /* answered when it had been taken for silent */
};

struct question {
    uint8_t kind;
    uint8_t state;
    uint8_t socket;    /* that it is sent from */
    uint8_t at_socket; /* where the answer arrives */
    struct endpoint to;
    struct endpoint from; /* where the answer comes from; not with ASK_HAIRPIN */
    uint16_t len;         /* of the request; 0: as short as it is */
    uint16_t response_port;
    uint8_t tries, tries_max;
    bool is_paced; /* all tries close together, then one long wait */
    bool is_due;
    uint64_t at_us; /* next try, or the end of waiting */
    uint64_t rto_us;
    uint64_t sent_us; /* the last try */
    uint8_t id[STUN_TRANSACTION_LEN];
    /* of the answer */
    struct endpoint mapped;
    uint64_t answered_us;
    uint64_t round_trip_us; /* 0: not told apart, as there were several tries */
};

#define QUESTIONS_MAX 64

struct behaviour {
    struct behaviour_config config;
    struct question questions[QUESTIONS_MAX];
    size_t count;
    bool has_begun;            /* the tests beyond the first contact */
    bool has_mapping;          /* that test was begun, */
    bool has_hairpin;          /* and that */
    struct endpoint elsewhere; /* other address and port of the server; port 0: there is none */
    uint64_t round_trip_us;    /* the shortest; 0: none yet */

    bool is_padding_refused; /* a server without RFC 5780 */
    bool is_mtu_done;
    uint32_t mtu_good; /* got there */
    uint32_t mtu_bad;  /* did not, or is too long for the host itself */

    unsigned lifetime_count;
    uint64_t silences_us[BEHAVIOUR_LIFETIMES];
    uint8_t tickets[BEHAVIOUR_LIFETIMES][BINDING_TICKET_LEN];
    bool has_ticket[BEHAVIOUR_LIFETIMES];
    bool is_asked[BEHAVIOUR_LIFETIMES];
};

/* The question of that kind and socket (of where its answer arrives); NULL: it was not asked. */
const struct question *behaviour_find(const struct behaviour *b, enum question_kind kind,
                                      unsigned at_socket);
/* From where else the server answers, as it says in its answer: another address and port, or
 * another port. False: from nowhere. nat64: what IPv4 servers are reached through; NULL: nothing.
 */
bool behaviour_find_elsewhere(const struct stun_message *m, const struct endpoint *server,
                              const struct prefix *pool, const struct nat64_prefixes *nat64,
                              struct endpoint *ret_elsewhere);
bool behaviour_has_alternate_address(const struct behaviour *b);

#endif
