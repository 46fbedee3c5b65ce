/** Calls become messages as Celery sends them, and results come back, on the memory broker and backend. */
import t, { type Test } from 'tap';
import { MemoryBackend } from '../../src/backend/memory.ts';
import type { Delivery } from '../../src/broker/broker.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { MemoryHub } from '../../src/broker/memory/memory-hub.ts';
import { Client, type ClientParams } from '../../src/client/client.ts';
import { UmbelError } from '../../src/errors.ts';
import { type Event, readEvents } from '../../src/protocol/event.ts';
import { RemoteTaskError } from '../../src/protocol/remote-error.ts';
import type { ResultRecord } from '../../src/protocol/result.ts';
import { readContent, readReceipt, type TaskHeader } from '../../src/protocol/task-message.ts';
import type { CallOptions } from '../../src/task/call-options.ts';
import { publisher } from '../../src/task/publisher.ts';
import { group, signature } from '../../src/task/workflow.ts';
import { type Inbox, openInbox } from '../broker/inbox.ts';
import { queueTable } from '../consumer/doubles.ts';
import { RecordingLog } from '../driver/recording-log.ts';

interface Bench {
  readonly client: Client;
  readonly broker: MemoryBroker;
  readonly backend: MemoryBackend;
  readonly inbox: Inbox;
}

async function open(t: Test, params: Partial<ClientParams> = {}): Promise<Bench> {
  const broker = new MemoryBroker();
  const backend = new MemoryBackend({ resultExpiresMs: null });
  const client = new Client({
    broker,
    backend,
    routing: { queues: queueTable() },
    taskProtocol: 2,
    ...params,
  });
  await client.start();
  t.teardown(() => client.stop());
  return { client, broker, backend, inbox: await openInbox(broker, ['celery', 'mail']) };
}

function headerOf(delivery: Delivery): TaskHeader {
  const receipt = readReceipt(delivery);
  if (receipt.kind !== 'task') throw new Error(`a client sends task messages, got ${receipt.kind}`);
  return receipt.header;
}

const call = (options: CallOptions = {}): { task: string; args: unknown[]; kwargs: Record<string, unknown>; options: CallOptions } => ({
  task: 'tasks.add',
  args: [1, 2],
  kwargs: { z: 3 },
  options,
});

t.test('a plain call', async (t) => {
  const { client, inbox } = await open(t);
  const result = await client.call(call());
  const delivery = await inbox.deliveries.next();
  t.match(result.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  t.match(headerOf(delivery), {
    protocol: 2,
    task: 'tasks.add',
    id: result.id,
    rootId: result.id,
    parentId: null,
    retries: 0,
    etaMs: null,
    expiresMs: null,
    ignoreResult: null,
    origin: new RegExp(`^gen${process.pid}@`),
  });
  t.match(delivery.properties, {
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    correlationId: result.id,
    deliveryMode: 2,
    priority: 0,
  });
  t.match(readContent(delivery, 2), { args: [1, 2], kwargs: { z: 3 }, callbacks: null, chain: null });
  t.equal(delivery.queue, 'celery');
});

t.test('options', async (t) => {
  const { client, inbox } = await open(t);
  const sent = async (options: CallOptions): Promise<Delivery> => {
    await client.call(call(options));
    return inbox.deliveries.next();
  };
  t.equal(headerOf(await sent({ taskId: 'mine' })).id, 'mine');
  t.equal((await sent({ queue: 'mail' })).queue, 'mail');
  t.equal((await sent({ priority: 7 })).properties.priority, 7);
  t.match(headerOf(await sent({ retries: 2, shadow: 'other', ignoreResult: true })), { retries: 2, shadow: 'other', ignoreResult: true });
  t.match((await sent({ headers: { mine: 'yes' } })).headers, { mine: 'yes', task: 'tasks.add' });
  const inAMinute = Date.now() + 60_000;
  const expires = await sent({ expires: 60 });
  t.ok(Math.abs((headerOf(expires).expiresMs ?? 0) - inAMinute) < 5000);
  t.ok(Number(expires.properties.expiration) > 50_000 && Number(expires.properties.expiration) <= 60_000);
  t.equal(headerOf(await sent({ expires: new Date(inAMinute) })).expiresMs, inAMinute);
});

t.test('due later: the header says when, and the broker keeps it until then', async (t) => {
  const { client, broker } = await open(t);
  const seen: (number | undefined)[] = [];
  const original = broker.publish.bind(broker);
  broker.publish = (message, destination) => {
    seen.push(destination.dueAtMs);
    t.equal(headerOf({ ...message, tag: 1 } as unknown as Delivery).etaMs, destination.dueAtMs);
    return original(message, destination);
  };
  const inAMinute = Date.now() + 60_000;
  await client.call(call({ countdown: 60 }));
  await client.call(call({ eta: new Date(inAMinute) }));
  await client.call(call({ eta: new Date(inAMinute).toISOString() }));
  t.ok(Math.abs((seen[0] ?? 0) - inAMinute) < 5000);
  t.same(seen.slice(1), [inAMinute, inAMinute]);
  await t.rejects(client.call(call({ eta: 'tomorrow' })), { code: 'USAGE', message: 'eta must be an ISO 8601 time, got "tomorrow"' });
});

t.test('settings: default queue, default priority, protocol 1, declared queues only', async (t) => {
  const { client, inbox } = await open(t, {
    routing: { queues: queueTable({ defaultQueue: { name: 'mail' }, createMissing: false }), defaultPriority: 4 },
    taskProtocol: 1,
  });
  await client.call(call());
  const delivery = await inbox.deliveries.next();
  t.equal(delivery.queue, 'mail');
  t.equal(delivery.properties.priority, 4);
  t.equal(headerOf(delivery).protocol, 1);
  await t.rejects(client.call(call({ queue: 'typo' })), { code: 'QUEUE_UNKNOWN' });
});

t.test('arguments that cannot be sent', async (t) => {
  const { client, inbox } = await open(t);
  const circular: unknown[] = [];
  circular.push(circular);
  await t.rejects(client.call({ ...call(), args: [circular] }), /Circular reference/);
  await t.rejects(client.call({ ...call(), args: [() => {}] }), TypeError);
  t.equal(inbox.deliveries.size, 0);
});

t.test('started, it is what task.delay() sends with', async (t) => {
  const { client } = await open(t);
  t.equal(publisher(), client);
});

const record = (taskId: string, status: string, resultJson: string): ResultRecord => ({
  taskId,
  status,
  resultJson,
  traceback: status === 'FAILURE' ? 'at line 3' : null,
  childrenJson: '[]',
  dateDoneMs: Date.now(),
  groupId: null,
  parentId: null,
});

t.test('results', async (t) => {
  const { client, backend } = await open(t);
  const result = client.result<number>('one');
  t.equal(await result.state(), 'PENDING');
  const waiting = result.get({ timeoutMs: 30_000 });
  await backend.store(record('one', 'STARTED', '{"pid":1}'));
  t.equal(await result.state(), 'STARTED');
  await backend.store(record('one', 'SUCCESS', '5'));
  t.equal(await waiting, 5);
  t.equal(await result.get(), 5, 'any number of times');
  await result.forget();
  t.equal(await result.state(), 'PENDING');
  await t.rejects(result.get({ timeoutMs: 1 }), { code: 'RESULT_TIMEOUT' });
});

t.test('failures are thrown with the names the worker stored, or given back', async (t) => {
  const { client, backend } = await open(t);
  await backend.store(record('bad', 'FAILURE', '{"exc_type":"ValueError","exc_message":["too far",3],"exc_module":"builtins"}'));
  const result = client.result('bad');
  const error = await result.get().then(
    () => t.fail('it must be thrown'),
    (thrown: unknown) => thrown,
  );
  t.type(error, RemoteTaskError);
  t.match(error, {
    name: 'ValueError',
    message: 'too far, 3',
    taskId: 'bad',
    state: 'FAILURE',
    remoteModule: 'builtins',
    remoteArguments: ['too far', 3],
    remoteTraceback: 'at line 3',
  });
  t.type(await result.get({ propagate: false }), RemoteTaskError);
  await backend.store(
    record('gone', 'REVOKED', '{"exc_type":"TaskRevokedError","exc_message":["expired"],"exc_module":"celery.exceptions"}'),
  );
  await t.rejects(client.result('gone').get(), { name: 'TaskRevokedError', state: 'REVOKED' });
});

t.test('without a result backend calls work, results say why not', async (t) => {
  const { client, inbox } = await open(t, { backend: null });
  const result = await client.call(call());
  await inbox.deliveries.next();
  for (const asked of [result.get(), result.state(), result.forget()]) await t.rejects(asked, { code: 'BACKEND_DISABLED' });
});

t.test('a backend that does not start: the broker is stopped again', async (t) => {
  const broker = new MemoryBroker();
  const backend = new MemoryBackend({ resultExpiresMs: null });
  backend.start = () => Promise.reject(new UmbelError('BACKEND_UNAVAILABLE', 'no'));
  const client = new Client({ broker, backend, routing: { queues: queueTable() }, taskProtocol: 2 });
  await t.rejects(client.start(), { code: 'BACKEND_UNAVAILABLE' });
  t.equal(broker.state, 'stopped');
  await client.stop();
});

t.test('a broker that is not there at the start is tried again, as a message is sent again', async (t) => {
  const starting = (failures: number, routing: Partial<ClientParams['routing']> = {}, final = false) => {
    const broker = new MemoryBroker();
    const start = broker.start.bind(broker);
    let attempts = 0;
    broker.start = () => {
      attempts += 1;
      return attempts <= failures ? Promise.reject(new UmbelError('BROKER_UNAVAILABLE', `no ${attempts}`, { final })) : start();
    };
    const retryPolicy = { maxRetries: 2, intervalStart: 0, intervalStep: 0, intervalMax: 0 };
    const client = new Client({ broker, backend: null, routing: { queues: queueTable(), retryPolicy, ...routing }, taskProtocol: 2 });
    t.teardown(() => client.stop());
    return { client, attempts: () => attempts };
  };
  const late = starting(2);
  await late.client.start();
  t.equal(late.attempts(), 3);
  const never = starting(3);
  await t.rejects(never.client.start(), { code: 'BROKER_UNAVAILABLE', message: 'no 3' });
  t.equal(never.attempts(), 3);
  const wrongPassword = starting(1, {}, true);
  await t.rejects(wrongPassword.client.start(), { message: 'no 1' }, 'another try would not mend it');
  const once = starting(1, { retry: false });
  await t.rejects(once.client.start(), { message: 'no 1' }, 'not wanted');
  const stopped = starting(1);
  const start = stopped.client.start();
  await stopped.client.stop();
  await t.rejects(start, { message: 'no 1' }, 'stopped meanwhile');
  t.equal(stopped.attempts(), 1);
});

t.test('no call connects, whatever it says of trying again; a start that has failed may be called again', async (t) => {
  const broker = new MemoryBroker();
  const start = broker.start.bind(broker);
  let starts = 0;
  broker.start = () => (++starts === 1 ? Promise.reject(new UmbelError('BROKER_UNAVAILABLE', 'away')) : start());
  const client = new Client({ broker, backend: null, routing: { queues: queueTable(), retry: false }, taskProtocol: 2 });
  t.teardown(() => client.stop());
  const retryPolicy = { maxRetries: 2, intervalStart: 0, intervalStep: 0, intervalMax: 0 };
  for (const options of [{ retry: false }, { retry: true, retryPolicy }])
    await t.rejects(client.call(call(options)), { code: 'BROKER_UNAVAILABLE', message: /not started/ });
  t.equal(starts, 0);
  await t.rejects(client.start(), { message: 'away' });
  await client.start();
  await client.call(call({ retry: false }));
  t.equal(await broker.countReady('celery'), 1);
});

t.test('what a call says of trying again holds as well where it is sent as a signature', async (t) => {
  const retryPolicy = { maxRetries: 5, intervalStart: 0, intervalStep: 0, intervalMax: 0 };
  const { client, broker } = await open(t, { routing: { queues: queueTable(), retryPolicy } });
  let attempts = 0;
  broker.publish = () => Promise.reject(new UmbelError('BROKER_LOST', `no ${++attempts}`));
  const attemptsOf = async (send: () => Promise<unknown>): Promise<number> => {
    attempts = 0;
    await t.rejects(send(), { code: 'BROKER_LOST' });
    return attempts;
  };
  const link = signature('tasks.next');
  const twice = { ...retryPolicy, maxRetries: 1 };
  for (const more of [{}, { link }, { linkError: link }, { stamps: { by: 'me' } }]) {
    t.equal(await attemptsOf(() => client.call(call(more))), 6);
    t.equal(await attemptsOf(() => client.call(call({ ...more, retry: false }))), 1);
    t.equal(await attemptsOf(() => client.call(call({ ...more, retryPolicy: twice }))), 2);
  }
  t.equal(await attemptsOf(() => signature('tasks.add').set({ retry: false }).applyAsync()), 1);
  t.equal(await attemptsOf(() => signature('tasks.add').applyAsync({ retryPolicy: twice })), 2);
});

t.test('with sentEvents an event is sent for each task, also of a workflow', async (t) => {
  const hub = new MemoryHub();
  const client = new Client({
    broker: new MemoryBroker({ hub }),
    backend: null,
    routing: { queues: queueTable() },
    taskProtocol: 2,
    sentEvents: { exchange: 'celeryev', log: new RecordingLog() },
  });
  await client.start();
  const listening = new MemoryBroker({ hub });
  await listening.start();
  t.teardown(() => listening.stop());
  const heard: [string, Event][] = [];
  const all = Promise.withResolvers<void>();
  await listening.listen({
    exchange: 'celeryev',
    exchangeType: 'topic',
    routingKey: '#',
    onMessage: (message, routingKey) => {
      for (const event of readEvents(message, ['json'])) heard.push([routingKey, event]);
      if (heard.length === 3) all.resolve();
    },
  });
  await client.call(call({ taskId: 'one', queue: 'mail' }));
  await group(signature('tasks.a', { args: [1] }), signature('tasks.b')).delay();
  await client.stop();
  await all.promise;
  t.same(
    heard.map(([routingKey, { type, name, clock }]) => [routingKey, type, name, clock]),
    [
      ['task.sent', 'task-sent', 'tasks.add', 1],
      ['task.sent', 'task-sent', 'tasks.a', 2],
      ['task.sent', 'task-sent', 'tasks.b', 3],
    ],
  );
  t.match(heard[0]?.[1], {
    hostname: new RegExp(`^gen${process.pid}@.`),
    pid: process.pid,
    uuid: 'one',
    root_id: 'one',
    parent_id: null,
    args: '(1, 2)',
    kwargs: "{'z': 3}",
    retries: 0,
    queue: 'mail',
    exchange: '',
    routing_key: 'mail',
  });
});
