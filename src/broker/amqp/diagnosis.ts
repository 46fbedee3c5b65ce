/**
 * What a RabbitMQ server has of what a worker needs.
 *
 * Nothing is changed: a queue or exchange is looked at passively first, and only one that is there is declared as the worker would, which for one that is
 * there compares and does no more. One message is published, to a queue that does not exist, and comes back: a server that has an alarm says so
 * only to who publishes.
 */
import { AmqpConnection, type AmqpConnectOptions } from '../../driver/amqp.ts';
import type { AmqpChannel } from '../../driver/amqp-channel.ts';
import { AmqpFailure } from '../../driver/amqp-failure.ts';
import type { AmqpPlace } from '../../driver/amqp-url.ts';
import type { Logger } from '../../log/logger.ts';
import { newUuid } from '../../std/new-uuid.ts';
import type { ExchangeType, QueueDeclaration } from '../broker.ts';
import type { DiagnosisParams, RabbitmqExchangeReport, RabbitmqQueueReport, RabbitmqReport } from '../broker-report.ts';
import { refusalToConsume } from './may-consume.ts';
import { notExclusive } from './topology.ts';
import { toWire } from './wire-message.ts';

/** A server without an alarm answers at once; one that has one stops reading, and says why. */
const publishWaitMs = 3000;

export interface DiagnoseAmqpParams extends DiagnosisParams {
  readonly place: AmqpPlace;
  readonly options: Partial<AmqpConnectOptions>;
  readonly log: Logger;
}

/** Rejects with an AmqpFailure when there is no connection. */
export async function diagnoseAmqp({ place, options, log, queues }: DiagnoseAmqpParams): Promise<RabbitmqReport> {
  const once = { ...options, startRetries: 0, reconnectRetries: 0 };
  const connection = new AmqpConnection({ place, options: once, log });
  await connection.acquire();
  const { server } = connection;
  if (server === null) throw connection.unavailable();
  const look = new Look(connection);
  try {
    const queueReports: RabbitmqQueueReport[] = [];
    const exchangeReports = new Map<string, RabbitmqExchangeReport>();
    for (const queue of queues) {
      queueReports.push({ ...(await look.queue(queue)), deadLetterQueue: await look.deadLetterQueue(queue) });
      for (const { exchange, type, durable } of exchangesOf(queue))
        if (!exchangeReports.has(exchange)) exchangeReports.set(exchange, await look.exchange(exchange, type, durable));
    }
    const published = await publishNowhere(new AmqpConnection({ place, options: once, forPublishing: true, log }));
    return {
      kind: 'rabbitmq',
      displayUrl: connection.displayUrl,
      server,
      ...published,
      queues: queueReports,
      exchanges: [...exchangeReports.values()],
    };
  } finally {
    await connection.release();
  }
}

/** With type null: it must be there, of whatever type. */
function exchangesOf(
  queue: QueueDeclaration,
): readonly { readonly exchange: string; readonly type: ExchangeType | null; readonly durable: boolean }[] {
  const { name, exchange = name, exchangeType = 'direct', exchangeDurable: durable = true, bindings = [], noDeclare = false } = queue;
  const deadLetters = queue.arguments?.['x-dead-letter-exchange'];
  return [
    { exchange, type: noDeclare ? null : exchangeType, durable },
    ...bindings.map((binding) => ({ exchange: binding.exchange, type: binding.exchangeType ?? ('direct' as const), durable })),
    ...(typeof deadLetters === 'string' ? [{ exchange: deadLetters, type: null, durable }] : []),
  ].filter((one) => one.exchange !== '' && !one.exchange.startsWith('amq.'));
}

/** A refusal ends the channel, and the next step has another one. */
class Look {
  readonly #connection: AmqpConnection;
  #channel: AmqpChannel | null = null;

  constructor(connection: AmqpConnection) {
    this.#connection = connection;
  }

  async queue(queue: QueueDeclaration): Promise<Omit<RabbitmqQueueReport, 'deadLetterQueue'>> {
    const { name, durable = true, exclusive = false, autoDelete = false, arguments: args = {}, noDeclare = false } = queue;
    const state = await this.#try((channel) => channel.checkQueue(name));
    if (state.failure !== null) {
      const { kind, replyText } = state.failure;
      const exists = kind !== 'not-found';
      // An exclusive queue belongs to the worker that has it: so it should be.
      const denied = exists && kind !== 'locked' ? replyText : null;
      return { name, exists, ready: 0, consumers: 0, difference: null, denied, consumeRefusal: null };
    }
    const options = { durable, exclusive, autoDelete, arguments: args };
    const { failure } = noDeclare ? { failure: null } : await this.#try((channel) => channel.declareQueue(name, options));
    const consumeRefusal = await refusalToConsume(this.#connection, name);
    return {
      name,
      exists: true,
      ready: state.value.messages,
      consumers: state.value.consumers,
      // It answered a passive declaration, so it is nobody's own.
      difference: failure?.kind === 'locked' ? notExclusive : failure?.kind === 'differs' ? failure.replyText : null,
      denied: failure?.kind === 'denied' ? failure.replyText : null,
      consumeRefusal: consumeRefusal?.kind === 'denied' ? consumeRefusal.replyText : null,
    };
  }

  async deadLetterQueue({ arguments: args = {} }: QueueDeclaration): Promise<RabbitmqQueueReport['deadLetterQueue']> {
    const { 'x-dead-letter-exchange': exchange, 'x-dead-letter-routing-key': name } = args;
    if (exchange !== '' || typeof name !== 'string' || name === '') return null;
    const { failure } = await this.#try((channel) => channel.checkQueue(name));
    return { name, exists: failure?.kind !== 'not-found' };
  }

  async exchange(name: string, type: ExchangeType | null, durable: boolean): Promise<RabbitmqExchangeReport> {
    const there = await this.#try((channel) => channel.checkExchange(name));
    if (there.failure !== null) return { name, exists: there.failure.kind !== 'not-found', difference: null };
    if (type === null) return { name, exists: true, difference: null };
    const { failure } = await this.#try((channel) => channel.declareExchange(name, type, { durable, autoDelete: false }));
    return { name, exists: true, difference: failure?.kind === 'differs' ? failure.replyText : null };
  }

  /** What the server refuses is an answer; that it is gone is none. */
  async #try<T>(step: (channel: AmqpChannel) => Promise<T>): Promise<{ value: T; failure: null } | { failure: AmqpFailure }> {
    if (this.#channel === null || this.#channel.closed) this.#channel = await this.#connection.openChannel();
    try {
      return { value: await step(this.#channel), failure: null };
    } catch (error) {
      if (!(error instanceof AmqpFailure) || error.kind === 'lost') throw error;
      return { failure: error };
    }
  }
}

/** To nobody, over a connection of its own: one that the server has stopped reading says no goodbye. */
async function publishNowhere(connection: AmqpConnection): Promise<Pick<RabbitmqReport, 'blocked' | 'publishRefusal'>> {
  await connection.acquire();
  let timer: NodeJS.Timeout | undefined;
  try {
    const { promise, resolve } = Promise.withResolvers<Pick<RabbitmqReport, 'blocked' | 'publishRefusal'>>();
    connection.onBlocked((blocked) => {
      if (blocked !== null) resolve({ blocked, publishRefusal: null });
    });
    const channel = await connection.openChannel({ confirm: true });
    channel.onReturn(() => {});
    const wire = toWire(
      { headers: null, properties: { contentType: 'text/plain', contentEncoding: 'utf-8' }, body: Buffer.alloc(0) },
      '',
      `umbel.doctor.${newUuid()}`,
      true,
    );
    channel.publish(wire, Buffer.alloc(0), (failure) => resolve({ blocked: connection.blocked, publishRefusal: failure?.message ?? null }));
    timer = setTimeout(() => resolve({ blocked: `no answer within ${publishWaitMs / 1000} s`, publishRefusal: null }), publishWaitMs);
    const said = await promise;
    if (said.blocked === null) await connection.release();
    return said;
  } finally {
    clearTimeout(timer);
    connection.abandon();
  }
}
