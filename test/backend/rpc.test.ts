/** Results as replies: the suite of every backend through a loop, the wire as Celery has it, and what becomes of replies nobody can get. */
import { randomUUID } from 'node:crypto';
import t, { type Test } from 'tap';
import type { ResultBackend } from '../../src/backend/backend.ts';
import { RpcBackend, type RpcBackendParams } from '../../src/backend/rpc.ts';
import type { BrokerState, QueueDeclaration } from '../../src/broker/broker.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { Client } from '../../src/client/client.ts';
import { UmbelError } from '../../src/errors.ts';
import type { ResultRecord } from '../../src/protocol/result.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { openInbox, textOf } from '../broker/inbox.ts';
import { queueTable, settled } from '../consumer/doubles.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { loadVectors } from '../protocol/vectors.ts';
import { backendConformance, record } from './conformance.ts';

/** Sends to itself what is stored without an address, and stores only when it has come: the suite knows no senders. */
class Loop extends RpcBackend {
  override async start(): Promise<void> {
    await super.start();
    await this.openReplies();
  }

  override async store(stored: ResultRecord): Promise<void> {
    const replyTo = await this.openReplies();
    await super.store({ ...stored, replyTo });
    // Replies keep their order.
    const last = randomUUID();
    const seen = this.wait(last, { timeoutMs: null });
    await super.store({ ...record(last, 'SUCCESS', null), replyTo });
    await seen;
    await this.forget(last);
  }
}

backendConformance(t, {
  name: 'rpc',
  open: async () => {
    const broker = new MemoryBroker();
    await broker.start();
    return {
      create: async (resultExpiresMs): Promise<ResultBackend> =>
        new Loop({ broker, resultExpiresMs, persistent: false, log: new RecordingLog() }),
      shared: false,
      wholeDocuments: false,
      close: () => broker.stop(),
    };
  },
});

async function open(t: Test, params: Partial<RpcBackendParams> = {}) {
  const broker = new MemoryBroker();
  const declared: QueueDeclaration[] = [];
  const declareQueue = broker.declareQueue.bind(broker);
  broker.declareQueue = (queue) => {
    declared.push(queue);
    return declareQueue(queue);
  };
  const log = new RecordingLog();
  const backend = new RpcBackend({ broker, resultExpiresMs: 86_400_000, persistent: false, log, ...params });
  await broker.start();
  await backend.start();
  t.teardown(async () => {
    await backend.stop();
    await broker.stop();
  });
  return { broker, backend, declared, log };
}

interface RpcVectors {
  readonly client_methods: readonly { readonly method: string; readonly [key: string]: unknown }[];
  readonly result_messages: readonly {
    readonly message: {
      readonly routing_key: string;
      readonly exchange: string;
      readonly properties: Readonly<Record<string, unknown>>;
      readonly headers: object;
      readonly body_json: Readonly<Record<string, unknown>>;
    };
  }[];
}

t.test("messages and queue as Celery's", async (t) => {
  const loaded = loadVectors(t, 'results-rpc.json') as RpcVectors | null;
  if (loaded === null) return;
  const { broker, backend, declared } = await open(t);
  const { client_methods: methods, result_messages: messages } = loaded;
  const inbox = await openInbox(broker, ['there']);
  for (const { message } of messages) {
    const { task_id: taskId, status, result, traceback, children } = message.body_json;
    await backend.store({
      ...record(String(taskId), String(status), result),
      traceback: traceback as string | null,
      childrenJson: JSON.stringify(children),
      replyTo: 'there',
    });
    const sent = await inbox.deliveries.next();
    t.same(JSON.parse(textOf(sent)), message.body_json);
    t.same(Object.keys(JSON.parse(textOf(sent)) as object), Object.keys(message.body_json), 'in the same order');
    t.same(sent.headers, message.headers);
    t.match(sent, { exchange: message.exchange, routingKey: 'there' });
    const { properties } = sent;
    t.same(
      {
        content_type: properties.contentType,
        content_encoding: properties.contentEncoding,
        delivery_mode: properties.deliveryMode,
        priority: properties.priority,
        correlation_id: properties.correlationId,
      },
      message.properties,
    );
  }
  t.same(declared, [], 'who replies declares nothing');
  const oid = await backend.openReplies();
  const queue = methods.find(({ method }) => method === 'queue.declare');
  t.same(declared, [{ name: oid, exchange: '', durable: queue?.durable, autoDelete: queue?.auto_delete, arguments: queue?.arguments }]);
});

t.test('persistent replies, and results that never expire', async (t) => {
  const { broker, backend, declared } = await open(t, { persistent: true, resultExpiresMs: null });
  const inbox = await openInbox(broker, ['there']);
  await backend.store({ ...record('a', 'SUCCESS', 1), replyTo: 'there' });
  t.equal((await inbox.deliveries.next()).properties.deliveryMode, 2);
  await backend.openReplies();
  t.equal(declared[0]?.arguments, undefined);
});

t.test('confirmed later, or soon where the task waits for it; persistent ones each by itself', async (t) => {
  for (const persistent of [false, true]) {
    const { broker, backend } = await open(t, { persistent });
    const asked: (string | undefined)[] = [];
    broker.publish = async (_message, { confirm }) => void asked.push(confirm);
    const states = ['STARTED', 'PROGRESS', 'RETRY', 'SUCCESS', 'FAILURE', 'REVOKED'];
    for (const state of states) await backend.store({ ...record('a', state, null), replyTo: 'there' });
    t.strictSame(asked, persistent ? states.map(() => undefined) : ['later', 'soon', 'later', 'later', 'later', 'later']);
  }
});

t.test('a task without an address: nothing is sent', async (t) => {
  const { broker, backend } = await open(t);
  let sent = 0;
  broker.publish = async () => void sent++;
  await backend.store(record('a', 'SUCCESS', 1));
  await backend.store({ ...record('a', 'SUCCESS', 1), replyTo: '' });
  t.equal(sent, 0);
});

t.test('who sent nothing can read nothing', async (t) => {
  const { backend } = await open(t);
  await t.rejects(backend.get('x'), { code: 'NOT_SUPPORTED' });
  await t.rejects(backend.wait('x', { timeoutMs: null }), { code: 'NOT_SUPPORTED' });
});

t.test('a reply that is none is dropped and said', async (t) => {
  const { broker, backend, log } = await open(t);
  const oid = await backend.openReplies();
  await broker.publish(
    { properties: { contentType: 'text/plain', contentEncoding: 'utf-8' }, headers: {}, body: Buffer.from('?') },
    { exchange: '', routingKey: oid },
  );
  await backend.store({ ...record('a', 'SUCCESS', 1), replyTo: oid });
  t.match(await backend.wait('a', { timeoutMs: null }), { result: 1 });
  t.equal(log.lines.filter(({ event }) => event === 'result.undecodable').length, 1);
});

t.test('an end is not taken back by what was sent before it and comes later', async (t) => {
  const { backend } = await open(t);
  const replyTo = await backend.openReplies();
  const tell = (status: string, result: unknown) => backend.store({ ...record('a', status, result), replyTo });
  for (const [status, shown] of [
    ['RETRY', 'RETRY'],
    ['FAILURE', 'FAILURE'],
    ['RETRY', 'FAILURE'],
    ['SUCCESS', 'SUCCESS'],
    ['FAILURE', 'SUCCESS'],
  ] as const) {
    await tell(status, 1);
    // Behind another that is certain to have come.
    await backend.store({ ...record(`after ${status} ${shown}`, 'SUCCESS', 1), replyTo });
    await backend.wait(`after ${status} ${shown}`, { timeoutMs: null });
    t.equal((await backend.get('a'))?.status, shown);
  }
});

t.test('a broker that is away is tried again for a while', async (t) => {
  const clock = new FakeClock();
  const { broker, backend } = await open(t, { clock });
  let tries = 0;
  let failing = 3;
  broker.publish = async () => {
    tries += 1;
    if (tries <= failing) throw new UmbelError('BROKER_UNAVAILABLE', 'away');
  };
  const stored = backend.store({ ...record('a', 'SUCCESS', 1), replyTo: 'there' });
  for (let second = 0; second < 3; second++) {
    await settled();
    clock.advance(1000);
  }
  await stored;
  t.equal(tries, 4);
  failing = Number.POSITIVE_INFINITY;
  const lost = t.rejects(backend.store({ ...record('b', 'SUCCESS', 1), replyTo: 'there' }), { code: 'BROKER_UNAVAILABLE' });
  for (let second = 0; second < 22; second++) {
    await settled();
    clock.advance(1000);
  }
  await lost;
  t.equal(tries, 4 + 21);
});

t.test('while there is no connection a result waits, however long that is', async (t) => {
  const clock = new FakeClock();
  const { broker, backend } = await open(t, { clock });
  let state: BrokerState = 'lost';
  Object.defineProperty(broker, 'state', { configurable: true, get: () => state });
  t.teardown(() => Reflect.deleteProperty(broker, 'state'));
  let sent = 0;
  broker.publish = async () => {
    if (state !== 'connected') throw new UmbelError('BROKER_LOST', 'away');
    sent += 1;
  };
  const stored = backend.store({ ...record('a', 'SUCCESS', 1), replyTo: 'there' });
  const seconds = async (count: number): Promise<void> => {
    for (let second = 0; second < count; second++) {
      await settled();
      clock.advance(1000);
    }
  };
  await seconds(60);
  t.equal(sent, 0);
  state = 'connected';
  await seconds(1);
  await stored;
  t.equal(sent, 1);
  state = 'lost';
  const given = t.rejects(backend.store({ ...record('b', 'SUCCESS', 1), replyTo: 'there' }), { code: 'BROKER_LOST' });
  await seconds(2);
  state = 'stopped';
  await seconds(1);
  await given;
});

t.test('stopping wakes whoever waits, and takes the queue away', async (t) => {
  const { broker, backend } = await open(t);
  const oid = await backend.openReplies();
  const waiting = t.rejects(backend.wait('a', { timeoutMs: null }), { code: 'BACKEND_UNAVAILABLE' });
  await backend.stop();
  await waiting;
  await broker.publish(
    { properties: { contentType: 'x', contentEncoding: 'x' }, headers: {}, body: Buffer.alloc(0) },
    { exchange: '', routingKey: 'other' },
  );
  t.equal(await broker.countReady(oid), 0);
});

t.test('a client sends its address with each task, and gets the replies', async (t) => {
  const { broker, backend } = await open(t);
  const client = new Client({ broker, backend, routing: { queues: queueTable() }, taskProtocol: 2 });
  await client.start();
  t.teardown(() => client.stop());
  const inbox = await openInbox(broker, ['celery']);
  const result = await client.call<number>({ task: 'tasks.add', args: [], kwargs: {}, options: {} });
  const delivery = await inbox.deliveries.next();
  t.equal(delivery.properties.replyTo, await backend.openReplies());
  const worker = new RpcBackend({ broker, resultExpiresMs: null, persistent: false, log: new RecordingLog() });
  const replyTo = delivery.properties.replyTo ?? '';
  await worker.store({ ...record(result.id, 'STARTED', { pid: 1 }), replyTo });
  await worker.store({ ...record(result.id, 'SUCCESS', 7), replyTo });
  t.equal(await result.get(), 7);
  t.equal(await result.state(), 'SUCCESS');
  t.ok(client.resultsAreReplies);
});
