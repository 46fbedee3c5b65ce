/**
 * `[queues.NAME]`: the queues of an installation, each a table in Celery's words.
 *
 * Owns the keys, and which of them go together. What they mean to a broker is node/routing-params.ts.
 */
import { readJsonText } from './json-text.ts';
import { boolean, integer, type Kind, oneOf, Refusal, seconds, shown, text, tomlString } from './kind.ts';
import { inlineTable, plainTable } from './plain-table.ts';
import { field, fieldsText, type TableOf, table } from './table-kind.ts';

export const exchangeType = oneOf(['direct', 'topic', 'fanout', 'headers']);

/** 1 and 2, or Celery's words for them. */
export const deliveryMode: Kind<1 | 2> = {
  rule: "'persistent' (2) or 'transient' (1)",
  label: 'delivery mode',
  readText: (given) => deliveryModeOf(/^\d+$/.test(given.trim()) ? Number(given) : given.trim()),
  readValue: deliveryModeOf,
  toToml: (mode) => (mode === 1 ? '"transient"' : '"persistent"'),
};

function deliveryModeOf(value: unknown): 1 | 2 | Refusal {
  if (value === 1 || value === 'transient') return 1;
  if (value === 2 || value === 'persistent') return 2;
  return new Refusal(`must be 'persistent' (2) or 'transient' (1), got ${shown(value)}`);
}

const exchangeName = { ...text(), ...nameKind('the name of an exchange, or "" for none') };

/** A name that may be empty. */
function nameKind(rule: string): Pick<Kind<string>, 'rule' | 'readText' | 'readValue'> {
  const readValue = (value: unknown): string | Refusal =>
    typeof value === 'string' ? value : new Refusal(`must be ${rule}, got ${shown(value)}`);
  return { rule, readText: readValue, readValue };
}

const bindingFields = {
  exchange: field(text({ rule: 'the name of an exchange' }), 'the exchange; must be given.'),
  exchange_type: field(exchangeType, 'its type.'),
  routing_key: field({ ...text(), ...nameKind('a routing key') }, 'the key of the binding. Default empty.'),
  arguments: field(plainTable(), 'arguments of the binding: what a headers exchange compares.'),
};

const queueFields = {
  exchange: field(exchangeName, 'the exchange the queue is bound to. Default task.default_exchange.'),
  exchange_type: field(
    exchangeType,
    'its type. Default: what another queue says of the exchange; for the default exchange task.default_exchange_type; else direct.',
  ),
  routing_key: field(
    { ...text(), ...nameKind('a routing key') },
    'the key of the binding, and of messages to the queue. Default its name.',
  ),
  bindings: field(bindingList(), 'further bindings, each a table of exchange, exchange_type, routing_key and arguments.'),
  broadcast: field(
    boolean(),
    'every worker gets each message: each has a queue of its own, called bcast. and a random id, on a fanout exchange of this name.',
  ),
  durable: field(boolean(), 'whether the queue outlives a restart of the broker. Default true.'),
  auto_delete: field(boolean(), 'whether it goes with its last consumer. Default false, for broadcasts true.'),
  exclusive: field(
    boolean(),
    'whether one connection alone may consume from it, that of its worker, with which it goes. Default false. Calls do not declare it: what is sent while no worker has it is lost (RabbitMQ).',
  ),
  expires: field(seconds({ above: 0 }), 'delete the queue when nobody has used it for so long (RabbitMQ).'),
  message_ttl: field(seconds(), 'drop messages that have waited for so long (RabbitMQ).'),
  max_length: field(integer({ min: 0 }), 'most messages that wait; then the oldest go (RabbitMQ).'),
  max_length_bytes: field(integer({ min: 0 }), 'the same, in bytes (RabbitMQ).'),
  max_priority: field(integer({ min: 1, max: 255 }), 'the highest priority the queue tells apart (RabbitMQ).'),
  delivery_mode: field(deliveryMode, 'of messages to the queue whose call names none.'),
  queue_arguments: field(plainTable(), 'further arguments of the queue (RabbitMQ), such as x-queue-type or x-dead-letter-exchange.'),
  binding_arguments: field(plainTable(), 'arguments of the binding: what a headers exchange compares.'),
  consumer_arguments: field(plainTable(), 'arguments of consuming (RabbitMQ), such as x-priority.'),
  no_declare: field(boolean(), 'declare nothing: queue, exchange and bindings are there already.'),
};

export type QueueSetting = TableOf<typeof queueFields>;
export type QueueSettings = Readonly<Record<string, QueueSetting>>;

export const queueFieldsText = fieldsText(queueFields);

/** Keys that are queue arguments with a name of their own. */
export const argumentOfKey = {
  expires: 'x-expires',
  message_ttl: 'x-message-ttl',
  max_length: 'x-max-length',
  max_length_bytes: 'x-max-length-bytes',
  max_priority: 'x-max-priority',
} as const;

function bindingList(): Kind<readonly TableOf<typeof bindingFields>[]> {
  const one = table(bindingFields, {}, 'exact');
  const readValue = (value: unknown): readonly TableOf<typeof bindingFields>[] | Refusal => {
    if (!Array.isArray(value)) return new Refusal(`must be a list of bindings, got ${shown(value)}`);
    const bindings: TableOf<typeof bindingFields>[] = [];
    for (const [index, item] of value.entries()) {
      const binding = one.readValue(item);
      if (binding instanceof Refusal) return binding.within(index);
      if (binding.exchange === undefined) return new Refusal('must have an exchange', [index]);
      bindings.push(binding);
    }
    return Object.freeze(bindings);
  };
  return {
    rule: 'a list of bindings',
    label: 'list of bindings',
    readValue,
    readText: () => new Refusal('must be a list of bindings'),
    toToml: (bindings) => `[${bindings.map((binding) => one.toToml(binding)).join(', ')}]`,
  };
}

export function queueTables(): Kind<QueueSettings> {
  const one = table(queueFields, {}, 'exact');
  const rule = 'a table for each queue, [queues.NAME]';
  const readValue = (value: unknown): QueueSettings | Refusal => {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Date)
      return new Refusal(`must be ${rule}, got ${shown(value)}`);
    const queues: Record<string, QueueSetting> = {};
    const types = new Map<string, { readonly type: string; readonly queue: string }>();
    const wrong: Refusal[] = [];
    for (const [name, given] of Object.entries(value)) {
      if (name === '') {
        wrong.push(new Refusal('must have a name for each queue, got an empty one'));
        continue;
      }
      const queue = one.readValue(given);
      const problem = queue instanceof Refusal ? queue : (contradiction(queue) ?? otherType(name, queue, types));
      if (problem !== null) wrong.push(problem.within(name));
      else if (!(queue instanceof Refusal)) queues[name] = queue;
    }
    return Refusal.of(wrong) ?? Object.freeze(queues);
  };
  return {
    rule,
    label: 'tables',
    readValue,
    readText: (given) => readJsonText(given, rule, readValue),
    toToml: (queues) => inlineTable(Object.entries(queues).map(([name, queue]) => [name, one.toToml(queue)])),
  };
}

/** Keys that cannot stand together. */
function contradiction(queue: QueueSetting): Refusal | null {
  const { broadcast, exchange, exchange_type: type, queue_arguments: extra = {} } = queue;
  if (broadcast) {
    if (type !== undefined && type !== 'fanout')
      return new Refusal(`must be left out or 'fanout' where broadcast is true, got '${type}'`, ['exchange_type']);
    for (const key of ['bindings', 'no_declare', 'binding_arguments'] as const)
      if (queue[key] !== undefined) return new Refusal('cannot stand beside broadcast: each worker declares a queue of its own', [key]);
    if (exchange === '') return new Refusal('must name an exchange where broadcast is true, got ""', ['exchange']);
  }
  if (exchange === '') {
    for (const key of ['exchange_type', 'routing_key', 'binding_arguments'] as const)
      if (queue[key] !== undefined) return new Refusal('cannot stand beside exchange = "": there is no binding of its own', [key]);
  }
  for (const [key, argument] of Object.entries(argumentOfKey))
    if (queue[key as keyof typeof argumentOfKey] !== undefined && Object.hasOwn(extra, argument))
      return new Refusal(`says the same as the key ${key}; one of them must go`, ['queue_arguments', argument]);
  if (extra['x-queue-type'] === 'quorum') {
    for (const [key, wrong] of [
      ['durable', false],
      ['exclusive', true],
      ['auto_delete', true],
    ] as const)
      if (queue[key] === wrong) return new Refusal(`cannot be ${wrong} for a quorum queue`, [key]);
    if (queue.max_priority !== undefined) return new Refusal('cannot stand here: quorum queues have no x-max-priority', ['max_priority']);
  }
  return null;
}

/** An exchange has one type. */
function otherType(name: string, queue: QueueSetting, types: Map<string, { type: string; queue: string }>): Refusal | null {
  const own = queue.broadcast ? { exchange: queue.exchange ?? name, type: 'fanout', path: ['broadcast'] } : null;
  const named = { exchange: queue.exchange, type: queue.exchange_type, path: ['exchange_type'] };
  const further = (queue.bindings ?? []).map((binding, index) => ({
    exchange: binding.exchange,
    type: binding.exchange_type,
    path: ['bindings', index, 'exchange_type'],
  }));
  for (const { exchange, type, path } of [own ?? named, ...further]) {
    if (exchange === undefined || type === undefined) continue;
    const other = types.get(exchange);
    if (other !== undefined && other.type !== type)
      return new Refusal(
        `must be '${other.type}' as queue ${other.queue} says of the exchange ${tomlString(exchange)}, got '${type}'`,
        path,
      );
    types.set(exchange, { type, queue: name });
  }
  return null;
}
