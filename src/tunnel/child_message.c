/* The messages of a child, of whichever protocol: SPUT's header says all; ESP says a next header,
 * of which one stands for a command between Detec hosts (docs/protocol.md). */
#include "tunnel/bytes.h"
#include "tunnel/tunnel_internal.h"
#include "wire/ip.h"

static int open_sput(struct child *child, struct packet *packet, struct message_header *ret_header)
{
    struct sput_header header;
    int result = sput_open(&child->sput.receiver, packet, &header);

    if (result == ERR_OK)
        *ret_header = (struct message_header){.number = header.number,
                                              .command = header.command,
                                              .next_header = header.next_header,
                                              .is_ipv6 = (header.flags & SPUT_FLAG_IPV6) != 0};
    return result;
}

static int open_esp(struct child *child, struct packet *packet, struct message_header *ret_header)
{
    struct esp_message message;

    if (packet->len < ESP_HEADER_LEN || get32(packet->data) != child->spi_in || child->is_in_kernel)
        return ERR_NOT_FOUND;
    int result = esp_open(&child->esp.receiver, packet, &message);
    if (result != ERR_OK)
        return result;
    struct message_header header = {.number = (uint32_t)message.number,
                                    .command = SPUT_DATA,
                                    .next_header = message.next_header,
                                    .is_ipv6 = translate_bare_is_ipv6(&child->translation)};
    if (child->has_commands && message.next_header == ESP_NEXT_COMMAND) {
        if (packet->len < ESP_COMMAND_LEN || packet->data[0] == SPUT_DATA)
            return ERR_LIMIT;
        header.command = packet->data[0];
        header.next_header = 0;
        packet_pull(packet, ESP_COMMAND_LEN);
    }
    *ret_header = header;
    return ERR_OK;
}

int child_open(struct child *child, struct packet *packet, struct message_header *ret_header)
{
    return child->is_esp ? open_esp(child, packet, ret_header)
                         : open_sput(child, packet, ret_header);
}

static int seal_sput(struct child *child, struct packet *packet,
                     const struct message_header *header, bool may_defer, uint32_t *ret_number)
{
    const uint16_t flags = header->is_ipv6 ? SPUT_FLAG_IPV6 : 0;

    return (may_defer ? sput_seal_deferring : sput_seal)(
        &child->sput.sender, packet, header->command, header->next_header, flags, ret_number);
}

static int seal_esp(struct child *child, struct packet *packet, const struct message_header *header,
                    bool may_defer, uint32_t *ret_number)
{
    uint8_t next_header = header->next_header;
    uint64_t number = 0;

    if (header->command != SPUT_DATA) {
        if (!child->has_commands)
            return ERR_UNSUPPORTED;
        uint8_t *command = packet_push(packet, ESP_COMMAND_LEN);
        if (command == NULL)
            return ERR_FULL;
        put32(command, (uint32_t)header->command << 24);
        next_header = ESP_NEXT_COMMAND;
    }
    int result = (may_defer ? esp_seal_deferring : esp_seal)(&child->esp.sender, packet,
                                                             next_header, &number);
    if (result == ERR_OK && ret_number != NULL)
        *ret_number = (uint32_t)number;
    return result;
}

int child_seal(struct child *child, struct packet *packet, const struct message_header *header,
               bool may_defer, uint32_t *ret_number)
{
    return child->is_esp ? seal_esp(child, packet, header, may_defer, ret_number)
                         : seal_sput(child, packet, header, may_defer, ret_number);
}

bool child_is_rekey_due(const struct child *child)
{
    if (child->is_in_kernel)
        return false; /* whoever asks the kernel counts */
    return child->is_esp ? esp_sender_is_rekey_due(&child->esp.sender)
                         : sput_sender_is_rekey_due(&child->sput.sender);
}
