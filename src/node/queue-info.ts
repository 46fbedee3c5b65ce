/** A queue consumed from, as `inspect active_queues` shows it. Source: protocol notes, control.md §4. */
import type { TaskQueue } from '../producer/queue-table.ts';

const numberOf = (value: unknown): number | null => (typeof value === 'number' ? value : null);
const secondsOf = (value: unknown): number | null => (typeof value === 'number' ? value / 1000 : null);

export function queueInfo(queue: TaskQueue): Readonly<Record<string, unknown>> {
  const { name, exchange = name, exchangeType = 'direct', routingKey = name, arguments: given = {} } = queue;
  // kombu has settings of its own for these.
  const {
    'x-expires': expires,
    'x-message-ttl': messageTtl,
    'x-max-length': maxLength,
    'x-max-length-bytes': maxLengthBytes,
    'x-max-priority': maxPriority,
    ...others
  } = given;
  return {
    name,
    exchange: {
      name: exchange,
      type: exchangeType,
      arguments: null,
      durable: queue.exchangeDurable ?? true,
      passive: false,
      auto_delete: false,
      delivery_mode: queue.deliveryMode ?? null,
      no_declare: false,
    },
    routing_key: routingKey,
    queue_arguments: Object.keys(others).length === 0 ? null : others,
    binding_arguments: queue.bindingArguments ?? null,
    consumer_arguments: queue.consumerArguments ?? null,
    durable: queue.durable ?? true,
    exclusive: queue.exclusive ?? false,
    auto_delete: queue.autoDelete ?? false,
    no_ack: false,
    alias: queue.alias ?? null,
    bindings: (queue.bindings ?? []).map((binding) => ({
      exchange: binding.exchange,
      routing_key: binding.routingKey ?? '',
      arguments: binding.arguments ?? null,
    })),
    no_declare: queue.noDeclare ?? null,
    expires: secondsOf(expires),
    message_ttl: secondsOf(messageTtl),
    max_length: numberOf(maxLength),
    max_length_bytes: numberOf(maxLengthBytes),
    max_priority: numberOf(maxPriority),
  };
}
