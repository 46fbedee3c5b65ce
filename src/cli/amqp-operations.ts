/** The operations of `umbel amqp`: their arguments in Celery's order, what they ask of the broker, and what they say, as Celery says it. */
import type { ExchangeType } from '../broker/broker.ts';
import type { GotMessage, OperatorChannel, QueueState } from '../broker/operator-channel.ts';
import { UmbelError } from '../errors.ts';
import type { Message } from '../protocol/message.ts';
import { pythonPretty } from '../std/python-repr.ts';

export interface AmqpOperation {
  /** Its name and its arguments, those in brackets can be left out. */
  readonly usage: string;
  /** Resolves to lines to print. */
  run(channel: OperatorChannel, words: readonly string[]): Promise<readonly string[]>;
}

const ok = 'OK';

export const amqpOperations: readonly AmqpOperation[] = [
  {
    usage: 'exchange.declare EXCHANGE TYPE [PASSIVE] [DURABLE] [AUTO_DELETE]',
    run: async (channel, [exchange = '', type = '', ...flags]) => {
      await channel.declareExchange(exchange, exchangeType(type), declareOptions(flags));
      return [ok];
    },
  },
  {
    usage: 'exchange.delete EXCHANGE [IF_UNUSED]',
    run: async (channel, [exchange = '', ifUnused]) => {
      await channel.deleteExchange(exchange, { ifUnused: flag(ifUnused, 'IF_UNUSED') });
      return [ok];
    },
  },
  {
    usage: 'queue.bind QUEUE EXCHANGE ROUTING_KEY',
    run: async (channel, [queue = '', exchange = '', routingKey = '']) => {
      await channel.bindQueue(queue, exchange, routingKey);
      return [ok];
    },
  },
  {
    usage: 'queue.declare QUEUE [PASSIVE] [DURABLE] [AUTO_DELETE]',
    run: async (channel, [queue = '', ...flags]) => [stateLine(queue, await channel.declareQueue(queue, declareOptions(flags))), ok],
  },
  {
    usage: 'queue.delete QUEUE [IF_UNUSED] [IF_EMPTY]',
    run: async (channel, [queue = '', ifUnused, ifEmpty]) => {
      const conditions = { ifUnused: flag(ifUnused, 'IF_UNUSED'), ifEmpty: flag(ifEmpty, 'IF_EMPTY') };
      return [deleted(await channel.deleteQueue(queue, conditions)), ok];
    },
  },
  {
    usage: 'queue.purge QUEUE',
    run: async (channel, [queue = '']) => [deleted(await channel.purgeQueue(queue)), ok],
  },
  {
    usage: 'basic.publish MESSAGE EXCHANGE ROUTING_KEY [MANDATORY] [IMMEDIATE]',
    run: async (channel, [text = '', exchange = '', routingKey = '', mandatory, immediate]) => {
      if (flag(immediate, 'IMMEDIATE'))
        throw new UmbelError('NOT_SUPPORTED', 'basic.publish: IMMEDIATE must be no: RabbitMQ has dropped it, and no other broker has it');
      await channel.publish(textMessage(text), { exchange, routingKey, mandatory: flag(mandatory, 'MANDATORY') });
      return [ok];
    },
  },
  {
    usage: 'basic.get QUEUE [NO_ACK]',
    run: async (channel, [queue = '', noAck]) => {
      const message = await channel.get(queue, { noAck: flag(noAck, 'NO_ACK') });
      return [message === null ? 'No messages in queue. basic.publish something.' : pythonPretty(shown(message)), ok];
    },
  },
  {
    usage: 'basic.ack DELIVERY_TAG',
    run: async (channel, [tag = '']) => {
      if (!/^\d{1,15}$/.test(tag))
        throw new UmbelError('USAGE', `basic.ack: DELIVERY_TAG must be a whole number, got ${JSON.stringify(tag)}`);
      await channel.ack(Number(tag));
      return [ok];
    },
  },
];

export function nameOfOperation({ usage }: AmqpOperation): string {
  return usage.split(' ')[0] ?? '';
}

/** Throws USAGE, and what the broker refuses. */
export async function runOperation(
  operation: AmqpOperation,
  channel: OperatorChannel,
  words: readonly string[],
): Promise<readonly string[]> {
  const [, ...places] = operation.usage.split(' ');
  const needed = places.filter((place) => !place.startsWith('[')).length;
  if (words.length < needed || words.length > places.length)
    throw new UmbelError('USAGE', `usage: ${operation.usage}: got ${words.length} ${words.length === 1 ? 'argument' : 'arguments'}`);
  return operation.run(channel, words);
}

const booleans: ReadonlyMap<string, boolean> = new Map([
  ...['1', 'true', 't', 'yes', 'y', 'on'].map((word) => [word, true] as const),
  ...['0', 'false', 'f', 'no', 'n', 'off'].map((word) => [word, false] as const),
]);

function flag(word: string | undefined, name: string): boolean {
  const value = word === undefined ? false : booleans.get(word.toLowerCase());
  if (value === undefined) throw new UmbelError('USAGE', `${name} must be yes or no, got ${JSON.stringify(word)}`);
  return value;
}

function declareOptions([passive, durable, autoDelete]: readonly string[]): Parameters<OperatorChannel['declareQueue']>[1] {
  return { passive: flag(passive, 'PASSIVE'), durable: flag(durable, 'DURABLE'), autoDelete: flag(autoDelete, 'AUTO_DELETE') };
}

function exchangeType(word: string): ExchangeType {
  if (word === 'direct' || word === 'topic' || word === 'fanout' || word === 'headers') return word;
  throw new UmbelError('USAGE', `TYPE must be direct, topic, fanout or headers, got ${JSON.stringify(word)}`);
}

function stateLine(queue: string, { ready, consumers }: QueueState): string {
  return `queue:${queue} messages:${ready} consumers:${consumers ?? '?'}`;
}

function deleted(count: number): string {
  return `${count} messages deleted.`;
}

function textMessage(text: string): Message {
  return { properties: { contentType: 'text/plain', contentEncoding: 'utf-8' }, headers: null, body: Buffer.from(text) };
}

/** With the names of the AMQP library that Celery shows them with. */
function shown({ properties, headers, body, exchange, routingKey, redelivered, tag, ready }: GotMessage): unknown {
  const text = body.toString('utf8');
  const named: Record<string, unknown> = {
    application_headers: headers,
    content_encoding: properties.contentEncoding,
    content_type: properties.contentType,
    correlation_id: properties.correlationId,
    delivery_mode: properties.deliveryMode,
    expiration: properties.expiration,
    priority: properties.priority,
    reply_to: properties.replyTo,
    ...properties.extra,
  };
  return {
    body: Buffer.from(text).equals(body) ? text : body,
    delivery_info: { delivery_tag: tag, exchange, message_count: ready, redelivered, routing_key: routingKey },
    properties: Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined && value !== null && value !== '')),
  };
}
