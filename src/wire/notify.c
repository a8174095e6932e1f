/* Private Notify payloads: the elements they share, then each payload's parser beside its builder.
 */
#include "wire/notify_internal.h"

#include <string.h>

enum login_flag { LOGIN_FLAG_MAC = 1, LOGIN_FLAG_GUEST = 2 };
enum name_flag { NAME_FLAG_STATIC = 1 };
enum call_flag { CALL_FLAG_RELAY = 1, CALL_FLAG_VOUCHED = 2, CALL_FLAG_STATIC = 4 };
enum relay_flag { RELAY_FLAG_CLOSED = 1 };
enum key_flag { KEY_FLAG_STATIC = 1 };
enum candidates_flag { COUNT_FLAG_PATTERN = 0x80, TYPE_FLAG_OBSERVED = 0x80 };
enum pattern_flag { PATTERN_FLAG_BY_ADDRESS = 1 };
enum key_result { KEY_RESULT_KNOWN = 0, KEY_RESULT_UNKNOWN = 1 };
/* What may follow CALL and ANSWER: type, length (16 bits), data. */
enum field_type {
    FIELD_IKE = 1,
    FIELD_RELAY = 2,
    FIELD_WAKE = 3,
    FIELD_PROOF = 4,
    FIELD_VOUCHER = 5,
};

static bool is_printable(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e)
            return false;
    }
    return true;
}

static void parse_text(struct reader *r, char *ret_text, size_t cap)
{
    const size_t len = reader_u8(r);
    if (len >= cap)
        reader_fail(r, ERR_INVALID);
    const uint8_t *bytes = reader_bytes(r, len);
    if (bytes == NULL)
        return;
    if (!is_printable((const char *)bytes, len)) {
        reader_fail(r, ERR_INVALID);
        return;
    }
    memcpy(ret_text, bytes, len);
    ret_text[len] = '\0';
}

static void build_text(struct writer *w, const char *text, size_t cap)
{
    const size_t len = strnlen(text, cap);
    if (len >= cap || !is_printable(text, len)) {
        writer_fail(w, ERR_INVALID);
        return;
    }
    writer_u8(w, (uint8_t)len);
    writer_bytes(w, text, len);
}

static bool is_canonical(const char *name)
{
    char normal[NAME_TEXT_CAP];
    return name_normalize(name, normal) == ERR_OK && strcmp(name, normal) == 0;
}

static void parse_name(struct reader *r, char ret_name[NAME_TEXT_CAP], bool may_be_empty)
{
    parse_text(r, ret_name, NAME_TEXT_CAP);
    if (!reader_is_ok(r))
        return;
    if (ret_name[0] == '\0' ? !may_be_empty : !is_canonical(ret_name))
        reader_fail(r, ERR_INVALID);
}

static void build_name(struct writer *w, const char *name, bool may_be_empty)
{
    if (name[0] == '\0' ? !may_be_empty : !is_canonical(name))
        writer_fail(w, ERR_INVALID);
    build_text(w, name, NAME_TEXT_CAP);
}

static void parse_address(struct reader *r, unsigned family, struct address *ret_address)
{
    if (family != ADDRESS_IPV4 && family != ADDRESS_IPV6)
        reader_fail(r, ERR_INVALID);
    const uint8_t *bytes = reader_bytes(r, family == ADDRESS_IPV4 ? 4 : 16);
    if (bytes == NULL)
        return;
    *ret_address = address_from_bytes(family, bytes);
    if (ret_address->family != family) /* IPv4-mapped: it has a form of its own */
        reader_fail(r, ERR_INVALID);
}

static void build_address(struct writer *w, const struct address *address)
{
    if (address_len(address) == 0)
        writer_fail(w, ERR_INVALID);
    writer_bytes(w, address->bytes, address_len(address));
}

static void parse_credentials(struct reader *r, struct credentials *ret_credentials)
{
    reader_copy(r, ret_credentials->fragment, CREDENTIALS_FRAGMENT_LEN);
    reader_copy(r, ret_credentials->password, CREDENTIALS_PASSWORD_LEN);
}

static void build_credentials(struct writer *w, const struct credentials *credentials)
{
    if (!credentials_are_valid(credentials))
        writer_fail(w, ERR_INVALID);
    writer_bytes(w, credentials->fragment, CREDENTIALS_FRAGMENT_LEN);
    writer_bytes(w, credentials->password, CREDENTIALS_PASSWORD_LEN);
}

static bool credentials_are_zero(const struct credentials *credentials)
{
    static const char zero[CREDENTIALS_PASSWORD_LEN + 1];
    return memcmp(credentials->fragment, zero, sizeof credentials->fragment) == 0 &&
           memcmp(credentials->password, zero, sizeof credentials->password) == 0;
}

static bool is_wire_type(unsigned type)
{
    return type >= CANDIDATE_HOST && type <= CANDIDATE_MAPPED;
}

static void parse_pattern(struct reader *r, struct port_pattern *ret_pattern)
{
    struct port_pattern pattern = {.kind = reader_u8(r)};
    pattern.is_by_address = reader_u8(r) & PATTERN_FLAG_BY_ADDRESS;
    pattern.last = reader_u16(r);
    pattern.step = (int16_t)reader_u16(r);
    if (pattern.kind == PORT_PATTERN_NONE || !port_pattern_is_valid(&pattern))
        reader_fail(r, ERR_INVALID);
    *ret_pattern = pattern;
}

static void parse_candidates(struct reader *r, struct candidate_list *ret_list)
{
    const unsigned head = reader_u8(r);
    const size_t count = head & ~(unsigned)COUNT_FLAG_PATTERN;
    if (count > CANDIDATE_MAX)
        reader_fail(r, ERR_INVALID);
    for (size_t i = 0; reader_is_ok(r) && i < count; i++) {
        struct candidate *c = &ret_list->items[i];
        const unsigned type = reader_u8(r);
        c->type = (uint8_t)(type & ~(unsigned)TYPE_FLAG_OBSERVED);
        c->is_observed = type & TYPE_FLAG_OBSERVED;
        if (!is_wire_type(c->type))
            reader_fail(r, ERR_INVALID);
        const unsigned family = reader_u8(r);
        c->endpoint.port = reader_u16(r);
        parse_address(r, family, &c->endpoint.address);
        ret_list->count = i + 1;
    }
    if (head & COUNT_FLAG_PATTERN)
        parse_pattern(r, &ret_list->pattern);
}

static void build_candidates(struct writer *w, const struct candidate_list *list)
{
    const struct port_pattern *pattern = &list->pattern;
    const bool has_pattern = pattern->kind != PORT_PATTERN_NONE;
    if (list->count > CANDIDATE_MAX || !port_pattern_is_valid(pattern)) {
        writer_fail(w, ERR_INVALID);
        return;
    }
    writer_u8(w, (uint8_t)(list->count | (has_pattern ? COUNT_FLAG_PATTERN : 0)));
    for (size_t i = 0; i < list->count; i++) {
        const struct candidate *c = &list->items[i];
        if (!is_wire_type(c->type))
            writer_fail(w, ERR_INVALID);
        writer_u8(w, (uint8_t)(c->type | (c->is_observed ? TYPE_FLAG_OBSERVED : 0)));
        writer_u8(w, c->endpoint.address.family);
        writer_u16(w, c->endpoint.port);
        build_address(w, &c->endpoint.address);
    }
    if (!has_pattern)
        return;
    writer_u8(w, pattern->kind);
    writer_u8(w, pattern->is_by_address ? PATTERN_FLAG_BY_ADDRESS : 0);
    writer_u16(w, pattern->last);
    writer_u16(w, (uint16_t)pattern->step);
}

static void parse_ike(struct reader *r, size_t len, uint8_t ret_data[NOTIFY_IKE_MAX],
                      uint16_t *ret_len)
{
    if (len == 0 || len > NOTIFY_IKE_MAX || *ret_len > 0)
        reader_fail(r, ERR_INVALID);
    const uint8_t *bytes = reader_bytes(r, len);
    if (bytes == NULL)
        return;
    memcpy(ret_data, bytes, len);
    *ret_len = (uint16_t)len;
}

static void parse_proof(struct reader *r, size_t len, struct candidate_list *ret_list)
{
    if (len == 0 || len > CANDIDATE_PROOF_MAX || ret_list->proof_len > 0)
        reader_fail(r, ERR_INVALID);
    const uint8_t *bytes = reader_bytes(r, len);
    if (bytes == NULL)
        return;
    memcpy(ret_list->proof, bytes, len);
    ret_list->proof_len = (uint8_t)len;
}

static void build_proof(struct writer *w, const struct candidate_list *list)
{
    if (list->proof_len == 0)
        return;
    if (list->proof_len > CANDIDATE_PROOF_MAX)
        writer_fail(w, ERR_INVALID);
    writer_u8(w, FIELD_PROOF);
    writer_u16(w, list->proof_len);
    writer_bytes(w, list->proof, list->proof_len <= CANDIDATE_PROOF_MAX ? list->proof_len : 0);
}

static void parse_voucher(struct reader *r, size_t len, struct notify_call *ret_call)
{
    if (len != NOTIFY_VOUCHER_LEN || ret_call->has_voucher)
        reader_fail(r, ERR_INVALID);
    notify_read_voucher(r, &ret_call->voucher);
    ret_call->has_voucher = true;
}

static void build_voucher(struct writer *w, const struct notify_call *call)
{
    if (!call->has_voucher)
        return;
    writer_u8(w, FIELD_VOUCHER);
    writer_u16(w, NOTIFY_VOUCHER_LEN);
    notify_write_voucher(w, &call->voucher);
}

/* To the end; unknown ones are for later versions. relay and call are NULL where there are no such
 * fields. */
static void parse_fields(struct reader *r, struct notify_ike *ret_ike, uint8_t *ret_relay,
                         struct candidate_list *ret_list, struct notify_call *ret_call)
{
    while (reader_is_ok(r) && reader_left(r) > 0) {
        const unsigned type = reader_u8(r);
        const size_t len = reader_u16(r);
        if (type == FIELD_IKE) {
            parse_ike(r, len, ret_ike->data, &ret_ike->len);
        } else if (type == FIELD_WAKE) {
            parse_ike(r, len, ret_ike->wake, &ret_ike->wake_len);
        } else if (type == FIELD_PROOF) {
            parse_proof(r, len, ret_list);
        } else if (type == FIELD_VOUCHER && ret_call != NULL) {
            parse_voucher(r, len, ret_call);
        } else if (type == FIELD_RELAY && ret_relay != NULL) {
            if (len != 1 || *ret_relay != ANSWER_RELAY_UNSAID)
                reader_fail(r, ERR_INVALID);
            *ret_relay = reader_u8(r);
            if (*ret_relay == ANSWER_RELAY_UNSAID)
                reader_fail(r, ERR_INVALID);
        } else {
            (void)reader_bytes(r, len);
        }
    }
    if (ret_ike->len + ret_ike->wake_len > NOTIFY_IKE_MAX)
        reader_fail(r, ERR_INVALID);
}

static void build_message(struct writer *w, enum field_type type, const uint8_t *data, uint16_t len)
{
    if (len == 0)
        return;
    if (len > NOTIFY_IKE_MAX)
        writer_fail(w, ERR_INVALID);
    writer_u8(w, (uint8_t)type);
    writer_u16(w, len);
    writer_bytes(w, data, len <= NOTIFY_IKE_MAX ? len : 0);
}

static void build_ike(struct writer *w, const struct notify_ike *ike)
{
    if (ike->len + ike->wake_len > NOTIFY_IKE_MAX)
        writer_fail(w, ERR_INVALID);
    build_message(w, FIELD_IKE, ike->data, ike->len);
    build_message(w, FIELD_WAKE, ike->wake, ike->wake_len);
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    uint8_t all = 0;
    for (size_t i = 0; i < len; i++)
        all |= bytes[i];
    return all == 0;
}

int notify_parse_login(const void *data, size_t len, struct notify_login *ret_login)
{
    struct notify_login login = {0};
    struct reader r;
    notify_start_parse(&r, data, len);
    const unsigned flags = reader_u8(&r);
    login.has_mac = flags & LOGIN_FLAG_MAC;
    login.is_guest = flags & LOGIN_FLAG_GUEST;
    login.lease_s = reader_u16(&r);
    reader_copy(&r, login.mac, sizeof login.mac);
    if (!login.has_mac && !is_zero(login.mac, sizeof login.mac))
        reader_fail(&r, ERR_INVALID);
    parse_name(&r, login.name, true);
    login.port = reader_u16(&r);
    login.address_count = reader_u8(&r);
    if (login.address_count > NOTIFY_ADDRESS_MAX)
        reader_fail(&r, ERR_INVALID);
    for (size_t i = 0; reader_is_ok(&r) && i < login.address_count; i++) {
        const unsigned family = reader_u8(&r);
        parse_address(&r, family, &login.addresses[i]);
    }
    const int error = notify_end_parse(&r);
    if (error == ERR_OK)
        *ret_login = login;
    return error;
}

void notify_build_login(struct writer *w, const struct notify_login *login)
{
    static const uint8_t no_mac[NOTIFY_MAC_LEN];
    if (login->address_count > NOTIFY_ADDRESS_MAX) {
        writer_fail(w, ERR_INVALID);
        return;
    }
    writer_u8(w, NOTIFY_VERSION);
    writer_u8(w, (uint8_t)((login->has_mac ? LOGIN_FLAG_MAC : 0) |
                           (login->is_guest ? LOGIN_FLAG_GUEST : 0)));
    writer_u16(w, login->lease_s);
    writer_bytes(w, login->has_mac ? login->mac : no_mac, NOTIFY_MAC_LEN);
    build_name(w, login->name, true);
    writer_u16(w, login->port);
    writer_u8(w, (uint8_t)login->address_count);
    for (size_t i = 0; i < login->address_count; i++) {
        writer_u8(w, login->addresses[i].family);
        build_address(w, &login->addresses[i]);
    }
}

int notify_parse_name(const void *data, size_t len, struct notify_name *ret_name)
{
    struct notify_name name = {0};
    struct reader r;
    notify_start_parse(&r, data, len);
    name.result = reader_u8(&r);
    name.is_static = reader_u8(&r) & NAME_FLAG_STATIC;
    name.lease_s = reader_u16(&r);
    parse_name(&r, name.name, true);
    parse_name(&r, name.zone, true);
    name.stun_port = reader_u16(&r);
    parse_text(&r, name.reason, sizeof name.reason);
    const int error = notify_end_parse(&r);
    if (error == ERR_OK)
        *ret_name = name;
    return error;
}

void notify_build_name(struct writer *w, const struct notify_name *name)
{
    writer_u8(w, NOTIFY_VERSION);
    writer_u8(w, name->result);
    writer_u8(w, name->is_static ? NAME_FLAG_STATIC : 0);
    writer_u16(w, name->lease_s);
    build_name(w, name->name, true);
    build_name(w, name->zone, true);
    writer_u16(w, name->stun_port);
    build_text(w, name->reason, sizeof name->reason);
}

int notify_parse_call(const void *data, size_t len, struct notify_call *ret_call)
{
    struct notify_call call = {0};
    struct reader r;
    notify_start_parse(&r, data, len);
    const unsigned flags = reader_u8(&r);
    call.wants_relay = flags & CALL_FLAG_RELAY;
    call.is_vouched = flags & CALL_FLAG_VOUCHED;
    call.is_static = flags & CALL_FLAG_STATIC;
    call.number = reader_u64(&r);
    parse_name(&r, call.called, false);
    parse_name(&r, call.caller, true);
    reader_copy(&r, call.caller_key, sizeof call.caller_key);
    parse_credentials(&r, &call.credentials);
    if (reader_is_ok(&r) && !credentials_are_valid(&call.credentials))
        reader_fail(&r, ERR_INVALID);
    parse_candidates(&r, &call.candidates);
    parse_fields(&r, &call.ike, NULL, &call.candidates, &call);
    const int error = notify_end_parse(&r);
    if (error == ERR_OK)
        *ret_call = call;
    return error;
}

void notify_build_call(struct writer *w, const struct notify_call *call)
{
    writer_u8(w, NOTIFY_VERSION);
    writer_u8(w, (uint8_t)((call->wants_relay ? CALL_FLAG_RELAY : 0) |
                           (call->is_vouched ? CALL_FLAG_VOUCHED : 0) |
                           (call->is_static ? CALL_FLAG_STATIC : 0)));
    writer_u64(w, call->number);
    build_name(w, call->called, false);
    build_name(w, call->caller, true);
    writer_bytes(w, call->caller_key, sizeof call->caller_key);
    build_credentials(w, &call->credentials);
    build_candidates(w, &call->candidates);
    build_ike(w, &call->ike);
    build_proof(w, &call->candidates);
    build_voucher(w, call);
}

/* A refusal carries nothing of the called host's, an acceptance needs credentials. */
static bool answer_is_consistent(const struct notify_answer *answer)
{
    if (answer->result == ANSWER_ACCEPTED)
        return credentials_are_valid(&answer->credentials);
    return credentials_are_zero(&answer->credentials) && answer->candidates.count == 0 &&
           answer->candidates.pattern.kind == PORT_PATTERN_NONE && answer->ike.len == 0 &&
           answer->ike.wake_len == 0 && answer->candidates.proof_len == 0;
}

int notify_parse_answer(const void *data, size_t len, struct notify_answer *ret_answer)
{
    struct notify_answer answer = {0};
    struct reader r;
    notify_start_parse(&r, data, len);
    answer.result = reader_u8(&r);
    answer.number = reader_u64(&r);
    reader_copy(&r, answer.called_key, sizeof answer.called_key);
    parse_credentials(&r, &answer.credentials);
    parse_candidates(&r, &answer.candidates);
    parse_text(&r, answer.reason, sizeof answer.reason);
    parse_fields(&r, &answer.ike, &answer.relay, &answer.candidates, NULL);
    if (reader_is_ok(&r) && !answer_is_consistent(&answer))
        reader_fail(&r, ERR_INVALID);
    const int error = notify_end_parse(&r);
    if (error == ERR_OK)
        *ret_answer = answer;
    return error;
}

void notify_build_answer(struct writer *w, const struct notify_answer *answer)
{
    if (!answer_is_consistent(answer)) {
        writer_fail(w, ERR_INVALID);
        return;
    }
    writer_u8(w, NOTIFY_VERSION);
    writer_u8(w, answer->result);
    writer_u64(w, answer->number);
    writer_bytes(w, answer->called_key, sizeof answer->called_key);
    writer_bytes(w, answer->credentials.fragment, CREDENTIALS_FRAGMENT_LEN);
    writer_bytes(w, answer->credentials.password, CREDENTIALS_PASSWORD_LEN);
    build_candidates(w, &answer->candidates);
    build_text(w, answer->reason, sizeof answer->reason);
    build_ike(w, &answer->ike);
    build_proof(w, &answer->candidates);
    if (answer->relay != ANSWER_RELAY_UNSAID) {
        writer_u8(w, FIELD_RELAY);
        writer_u16(w, 1);
        writer_u8(w, answer->relay);
    }
}

/* Open with both limits, or closed with none. */
static bool relay_is_consistent(const struct notify_relay *relay)
{
    if (relay->channel == 0)
        return false;
    return relay->is_closed ? relay->rate == 0 && relay->len_max == 0
                            : relay->rate > 0 && relay->len_max > 0;
}

int notify_parse_relay(const void *data, size_t len, struct notify_relay *ret_relay)
{
    struct notify_relay relay = {0};
    struct reader r;
    notify_start_parse(&r, data, len);
    relay.is_closed = reader_u8(&r) & RELAY_FLAG_CLOSED;
    relay.number = reader_u64(&r);
    relay.channel = reader_u32(&r);
    relay.rate = reader_u32(&r);
    relay.len_max = reader_u16(&r);
    if (reader_is_ok(&r) && !relay_is_consistent(&relay))
        reader_fail(&r, ERR_INVALID);
    const int error = notify_end_parse(&r);
    if (error == ERR_OK)
        *ret_relay = relay;
    return error;
}

void notify_build_relay(struct writer *w, const struct notify_relay *relay)
{
    if (!relay_is_consistent(relay)) {
        writer_fail(w, ERR_INVALID);
        return;
    }
    writer_u8(w, NOTIFY_VERSION);
    writer_u8(w, relay->is_closed ? RELAY_FLAG_CLOSED : 0);
    writer_u64(w, relay->number);
    writer_u32(w, relay->channel);
    writer_u32(w, relay->rate);
    writer_u16(w, relay->len_max);
}

int notify_parse_lookup(const void *data, size_t len, struct notify_lookup *ret_lookup)
{
    struct notify_lookup lookup = {0};
    struct reader r;
    notify_start_parse(&r, data, len);
    lookup.number = reader_u64(&r);
    parse_name(&r, lookup.name, false);
    const int error = notify_end_parse(&r);
    if (error == ERR_OK)
        *ret_lookup = lookup;
    return error;
}

void notify_build_lookup(struct writer *w, const struct notify_lookup *lookup)
{
    writer_u8(w, NOTIFY_VERSION);
    writer_u64(w, lookup->number);
    build_name(w, lookup->name, false);
}

int notify_parse_key(const void *data, size_t len, struct notify_key *ret_key)
{
    struct notify_key key = {0};
    struct reader r;
    notify_start_parse(&r, data, len);
    key.number = reader_u64(&r);
    const unsigned result = reader_u8(&r);
    key.is_known = result == KEY_RESULT_KNOWN;
    key.is_static = reader_u8(&r) & KEY_FLAG_STATIC;
    reader_copy(&r, key.key, sizeof key.key);
    if (result > KEY_RESULT_UNKNOWN || (!key.is_known && !is_zero(key.key, sizeof key.key)))
        reader_fail(&r, ERR_INVALID);
    const int error = notify_end_parse(&r);
    if (error == ERR_OK)
        *ret_key = key;
    return error;
}

void notify_build_key(struct writer *w, const struct notify_key *key)
{
    static const uint8_t none[NOTIFY_KEY_LEN];
    writer_u8(w, NOTIFY_VERSION);
    writer_u64(w, key->number);
    writer_u8(w, key->is_known ? KEY_RESULT_KNOWN : KEY_RESULT_UNKNOWN);
    writer_u8(w, key->is_static ? KEY_FLAG_STATIC : 0);
    writer_bytes(w, key->is_known ? key->key : none, NOTIFY_KEY_LEN);
}
