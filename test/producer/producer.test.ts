/** What the producer does with a message on its way: declares, routes, dresses, tries again. Where it goes: destination.test.ts. */
import t from 'tap';
import type { QueueDeclaration } from '../../src/broker/broker.ts';
import { UmbelError } from '../../src/errors.ts';
import { Producer, type ProducerParams, type PublishRequest, type Route } from '../../src/producer/producer.ts';
import { FunctionRouter, MapRouter, type TaskToRoute } from '../../src/producer/router.ts';
import { encodeTask } from '../../src/protocol/task-message.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { deliveryOf, queueTable, Recorder, RecordingBroker, settled } from '../consumer/doubles.ts';

interface Bench {
  readonly producer: Producer;
  readonly recorder: Recorder;
  readonly broker: RecordingBroker;
  readonly declared: QueueDeclaration[];
  send(route?: Route, more?: Partial<PublishRequest>): Promise<void>;
}

const message = deliveryOf({});

function open(params: Partial<ProducerParams> = {}): Bench {
  const recorder = new Recorder();
  const broker = new RecordingBroker(recorder);
  const declared: QueueDeclaration[] = [];
  const declareQueue = broker.declareQueue.bind(broker);
  broker.declareQueue = (queue) => {
    declared.push(queue);
    return declareQueue(queue);
  };
  const producer = new Producer({ broker, queues: queueTable(), retry: false, ...params });
  const send = (route: Route = {}, more: Partial<PublishRequest> = {}): Promise<void> =>
    producer.publish(message, { taskName: 'mail.send', taskId: 'id-1', route, dueAtMs: null, ...more });
  return { recorder, broker, declared, producer, send };
}

t.test('a due time goes along', async (t) => {
  const { send, broker } = open();
  await send({}, { dueAtMs: 1_800_000_000_000 });
  t.same(broker.published[0]?.destination, { exchange: '', routingKey: 'celery', impatient: true, dueAtMs: 1_800_000_000_000 });
});

t.test('who tries again by himself does not wait at the broker, unless he says that he does', async (t) => {
  const { send, broker } = open({ retry: true });
  await send();
  await send({ retry: false });
  await send({}, { retry: false });
  t.strictSame(
    broker.published.map(({ destination }) => destination.impatient),
    [true, true, false],
  );
});

t.test('what is mandatory goes along, also when a router decides where', async (t) => {
  const { send, broker } = open({ routers: [new MapRouter([['mail.*', { exchange: 'news', routingKey: 'k' }]])] });
  await send({ mandatory: true });
  await send({ mandatory: false }, { dueAtMs: 1_800_000_000_000 });
  await send({ mandatory: true }, { dueAtMs: 1_800_000_000_000 });
  t.same(
    broker.published.map(({ destination }) => destination),
    [
      { exchange: 'news', routingKey: 'k', impatient: true, mandatory: true },
      { exchange: 'news', routingKey: 'k', impatient: true, dueAtMs: 1_800_000_000_000 },
      { exchange: 'news', routingKey: 'k', impatient: true, dueAtMs: 1_800_000_000_000, mandatory: true },
    ],
  );
});

t.test('a queue is declared before the first message to it, once; an exchange nobody has declared is not ours to declare', async (t) => {
  const { send, recorder } = open();
  await Promise.all([send({ queue: 'a' }), send({ queue: 'a' })]);
  await send({ queue: 'b' });
  await send({ exchange: 'news', routingKey: 'k' });
  t.same(
    recorder.calls.map(({ name, detail }) => `${name} ${detail}`),
    ['declare a', 'publish a', 'publish a', 'declare b', 'publish b', 'publish k'],
  );
});

t.test('whole declarations, and all queues of an exchange before a message to it; of a broadcast nothing', async (t) => {
  const topic = { exchange: 'tasks', exchangeType: 'topic' } as const;
  const queues = queueTable({
    queues: [
      { name: 'video', ...topic, routingKey: 'video.#', arguments: { 'x-max-priority': 5 } },
      { name: 'image', exchange: '', bindings: [{ ...topic, routingKey: 'image.#' }] },
      { name: 'other' },
      { name: 'bcast.1', alias: 'reload', broadcast: true, exchange: 'reload', exchangeType: 'fanout', routingKey: 'celery' },
    ],
  });
  const { send, broker, declared } = open({ queues });
  await send({ queue: 'reload' });
  t.same(declared, []);
  t.same(broker.published[0]?.destination, { exchange: 'reload', routingKey: 'celery', impatient: true });
  await send({ exchange: 'tasks', routingKey: 'video.compress' });
  t.same(
    declared.map(({ name }) => name),
    ['video', 'image'],
  );
  t.match(declared[0], { exchangeType: 'topic', routingKey: 'video.#', arguments: { 'x-max-priority': 5 } });
  await send({ exchange: 'tasks', routingKey: 'video.compress' });
  await send({ queue: 'video' });
  t.equal(declared.length, 2);
  t.same(broker.published.at(-1)?.destination, { exchange: 'tasks', routingKey: 'video.#', impatient: true });
  // A retry of what came by the default exchange: to nobody else who listens to the exchange of the queue.
  await send({ queue: 'video', exchange: '', routingKey: 'video' });
  t.same(broker.published.at(-1)?.destination, { exchange: '', routingKey: 'video', impatient: true });
});

t.test('nothing is published to a queue that is still being declared', async (t) => {
  const { send, recorder } = open();
  recorder.hold('declare');
  const publishing = send();
  await settled();
  t.same(recorder.names, ['declare']);
  await recorder.pass('declare');
  await publishing;
  t.same(recorder.names, ['declare', 'publish']);
});

t.test('a declaration that failed is tried again with the next message', async (t) => {
  const { send, recorder } = open();
  recorder.fail('declare', new UmbelError('BROKER_UNAVAILABLE', 'away'));
  await t.rejects(send(), { code: 'BROKER_UNAVAILABLE' });
  recorder.fail('declare', null);
  await send();
  t.same(recorder.names, ['declare', 'declare', 'publish']);
});

t.test('without create_missing_queues only known queues are sent to', async (t) => {
  const { send, recorder } = open({ queues: queueTable({ createMissing: false, queues: [{ name: 'mail' }, { name: 'celery' }] }) });
  await t.rejects(send({ queue: 'typo' }), {
    code: 'QUEUE_UNKNOWN',
    message: "a queue must be declared when task.create_missing_queues is false, got 'typo'",
  });
  t.same(recorder.names, []);
  await send({ queue: 'mail' });
  await send();
  t.equal(recorder.names.filter((name) => name === 'publish').length, 2);
});

t.test('priority: call, route, calling task, default; the message as it is otherwise', async (t) => {
  const routers = [new MapRouter([['mail.send', { priority: 5 }]])];
  const priorityOf = async (route: Route, params: Partial<ProducerParams>): Promise<number | undefined> => {
    const { send, broker } = open(params);
    await send(route);
    return broker.published[0]?.message.properties.priority;
  };
  t.equal(await priorityOf({ priority: 0, inheritedPriority: 7 }, { routers, defaultPriority: 3 }), 0);
  t.equal(await priorityOf({ inheritedPriority: 7 }, { routers, defaultPriority: 3 }), 5);
  t.equal(await priorityOf({ inheritedPriority: 7 }, { defaultPriority: 3 }), 7);
  t.equal(await priorityOf({}, { defaultPriority: 3 }), 3);
  t.equal(await priorityOf({}, { defaultPriority: null }), message.properties.priority);
});

t.test('delivery mode: call, route, queue, default', async (t) => {
  const queues = queueTable({ queues: [{ name: 'celery' }, { name: 'fast', deliveryMode: 1 }] });
  const modeOf = async (route: Route, params: Partial<ProducerParams> = {}): Promise<number | undefined> => {
    const { send, broker } = open({ queues, ...params });
    await send(route);
    return broker.published[0]?.message.properties.deliveryMode;
  };
  t.equal(await modeOf({}), 2);
  t.equal(await modeOf({}, { defaultDeliveryMode: 1 }), 1);
  t.equal(await modeOf({ queue: 'fast' }), 1);
  t.equal(await modeOf({ queue: 'fast' }, { routers: [new MapRouter([['*', { deliveryMode: 2 }]])] }), 2);
  t.equal(await modeOf({ queue: 'fast', deliveryMode: 2 }), 2);
});

t.test('a message that is to stay as it is, is not copied', async (t) => {
  const { producer, broker } = open();
  const whole = encodeTask({ task: 'mail.send', id: 'i', args: [], kwargs: {}, origin: 'o' });
  await producer.publish(whole, { taskName: 'mail.send', taskId: 'i', route: {}, dueAtMs: null });
  t.equal(broker.published[0]?.message, whole);
});

t.test('routers are asked in their order until one has an answer, with what is known of the task', async (t) => {
  const seen: TaskToRoute[] = [];
  const routers = [
    new MapRouter([['other', 'nowhere']]),
    new FunctionRouter((task) => {
      seen.push(task);
      return task.args[0] === 1 ? null : { queue: 'by-function' };
    }, 'test'),
    new MapRouter([['mail.*', 'by-map']]),
  ];
  const { producer, broker } = open({ routers });
  const send = (protocol: 1 | 2, first: number): Promise<void> =>
    producer.publish(encodeTask({ task: 'mail.send', id: 'i', args: [first], kwargs: { k: 2 }, origin: 'o', protocol }), {
      taskName: 'mail.send',
      taskId: 'i',
      route: { priority: 4 },
      dueAtMs: null,
    });
  await send(2, 1);
  await send(1, 0);
  t.same(
    broker.published.map(({ destination }) => destination.routingKey),
    ['by-map', 'by-function'],
  );
  t.match(seen[1]?.kwargs, { k: 2 });
  t.match(seen[0], { name: 'mail.send', id: 'i', options: { priority: 4 } });
});

t.test('a router that fails keeps the message from being sent', async (t) => {
  const answers: readonly (readonly [unknown, RegExp])[] = [
    [5, /router r returned what must be the name of a queue, .* got 5 \(task mail.send\[id-1\]\)/],
    [{ queue: 'a', routing_key: 'b' }, /has an option routing_key, which is none; did you mean routingKey\?/],
    [{ priority: 1.5 }, /has a priority that must be an integer from 0 to 255, got 1.5/],
    [Promise.resolve('a'), /must be there at once, got a promise/],
  ];
  for (const [answer, expected] of answers) {
    const { send, recorder } = open({ routers: [new FunctionRouter(() => answer as never, 'r')] });
    await t.rejects(send(), { code: 'ROUTER_FAILED', message: expected });
    t.same(recorder.names, []);
  }
  const throwing = new FunctionRouter(() => {
    throw new Error('no map');
  }, 'r');
  await t.rejects(open({ routers: [throwing] }).send(), { code: 'ROUTER_FAILED', message: /router r threw no map/ });
});

t.test('a broker that is away is tried again as the policy says, and what is refused is not', async (t) => {
  const clock = new FakeClock(0);
  const { send, recorder } = open({ retry: true, clock });
  await send();
  recorder.fail('publish', new UmbelError('BROKER_UNAVAILABLE', 'away'));
  const tries = (): number => recorder.names.filter((name) => name === 'publish').length - 1;
  const outcome = t.rejects(send(), { code: 'BROKER_UNAVAILABLE' });
  const waits: number[] = [];
  for (let expected = 1; expected <= 4; expected++) {
    await settled();
    const from = clock.now();
    while (tries() < expected && clock.now() - from < 5000) {
      clock.advance(10);
      await settled();
    }
    t.equal(tries(), expected);
    if (expected > 1) waits.push(clock.now() - from);
  }
  await outcome;
  t.same(waits.slice(1), [200, 400]);

  recorder.fail('publish', new UmbelError('NOT_SUPPORTED', 'no'));
  await t.rejects(send(), { code: 'NOT_SUPPORTED' });
  t.equal(tries(), 5);

  recorder.fail('publish', new UmbelError('BROKER_UNAVAILABLE', 'away'));
  await t.rejects(send({ retry: false }), { code: 'BROKER_UNAVAILABLE' });
  await t.rejects(send({}, { retry: false }), { code: 'BROKER_UNAVAILABLE' });
  t.equal(tries(), 7);
  const once = send({ retryPolicy: { maxRetries: 1 } });
  await settled();
  recorder.fail('publish', null);
  clock.advance(1);
  await once;
  t.equal(tries(), 9);
});

t.test('whoever wants to know is told of each message once the broker has it, with where it went', async (t) => {
  const { producer, broker, send } = open({ routers: [new MapRouter([['mail.*', { queue: 'mail', priority: 7 }]])] });
  const told: unknown[] = [];
  producer.onSent(({ message: sent, queue, exchange, routingKey }) => told.push([sent.properties.priority, queue, exchange, routingKey]));
  let release = (): void => {};
  const publish = broker.publish.bind(broker);
  broker.publish = async (...given) => {
    await new Promise<void>((resolve) => (release = resolve));
    return publish(...given);
  };
  const sending = send();
  await settled();
  t.same(told, [], 'not before');
  release();
  await sending;
  t.same(told, [[7, 'mail', '', 'mail']]);
  broker.publish = () => Promise.reject(new UmbelError('BROKER_REFUSED', 'no'));
  await t.rejects(send(), { code: 'BROKER_REFUSED' });
  t.equal(told.length, 1, 'nor of what was never sent');
});
