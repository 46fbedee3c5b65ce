/** Messages put aside, on the memory broker: shown without harm, sent back as they were sent, removed. All brokers: test/live/poison.test.ts. */
import t, { type Test } from 'tap';
import type { Delivery } from '../../src/broker/broker.ts';
import { type DeadCause, DeadLetters } from '../../src/broker/dead-letters.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { UmbelError } from '../../src/errors.ts';
import { encodeTask } from '../../src/protocol/task-message.ts';
import { FakeClock } from '../../src/std/clock.ts';

const cause: DeadCause = {
  reason: 'crashed',
  text: 'Worker exited prematurely.',
  signal: 'SIGKILL',
  exitCode: null,
  peakRssBytes: 1024,
  stack: 'here',
  crashes: 3,
  worker: 'one@h',
  atMs: 1_700_000_000_000,
  queue: 'jobs',
  task: 'tasks.add',
  id: 'a',
};

async function started(t: Test): Promise<{ broker: MemoryBroker; letters: DeadLetters; clock: FakeClock }> {
  const broker = new MemoryBroker();
  await broker.start();
  t.teardown(() => broker.stop());
  const clock = new FakeClock();
  return { broker, letters: new DeadLetters({ broker, queue: 'umbel.dead', clock }), clock };
}

const messageOf = (id: string, headers = {}) => {
  const message = encodeTask({ task: 'tasks.add', id, args: [1, 2], kwargs: {}, origin: 'gen1@test' });
  return {
    ...message,
    properties: { ...message.properties, expiration: '5000', priority: 3 },
    headers: { ...message.headers, ...headers },
  };
};

async function taken(broker: MemoryBroker, queue: string): Promise<Delivery> {
  const got = Promise.withResolvers<Delivery>();
  await broker.consume({ queues: [queue], prefetch: 1, onDelivery: got.resolve, onLost() {}, onHeld() {} });
  return got.promise;
}

t.test('what is looked at stays, in its order', async (t) => {
  const { letters, broker } = await started(t);
  for (const id of ['a', 'b', 'c']) await letters.put(messageOf(id), { ...cause, id });
  for (let time = 0; time < 2; time += 1) {
    const visited = await letters.visit(() => 'keep');
    t.same(
      visited.map(({ letter }) => [letter.id, letter.task, letter.cause?.signal, letter.cause?.crashes]),
      ['a', 'b', 'c'].map((id) => [id, 'tasks.add', 'SIGKILL', 3]),
    );
  }
  t.equal(await broker.countReady('umbel.dead'), 3);
});

t.test('the queue is deleted: it is declared again, and what is put aside then is there', async (t) => {
  const { letters, broker } = await started(t);
  await letters.put(messageOf('a'), cause);
  await broker.deleteQueue('umbel.dead');
  // As RabbitMQ; in memory a queue is there as soon as something is sent to it.
  const { publish, declareQueue } = broker;
  broker.publish = () => Promise.reject(new UmbelError('BROKER_REFUSED', 'no queue takes the message'));
  broker.declareQueue = async (queue) => {
    Object.assign(broker, { publish, declareQueue });
    await broker.declareQueue(queue);
  };
  await letters.put(messageOf('b'), { ...cause, id: 'b' });
  t.same(
    (await letters.visit(() => 'keep')).map(({ letter }) => letter.id),
    ['b'],
  );
});

t.test('retry: back in its queue as it was sent, not counted and without a bound on its life', async (t) => {
  const { letters, broker } = await started(t);
  await broker.declareQueue({ name: 'jobs' });
  await letters.put(messageOf('a', { umbel_crashes: 2, 'x-delivery-count': 4, mine: 'kept' }), cause);
  await letters.put(messageOf('b'), { ...cause, id: 'b' });
  await letters.visit(({ id }) => (id === 'a' ? 'retry' : 'keep'));
  const { headers, properties, body } = await taken(broker, 'jobs');
  const sent = messageOf('a', { mine: 'kept' });
  t.same(headers, sent.headers);
  t.same(body, sent.body);
  const { expiration: _expiration, ...left } = sent.properties;
  t.same(properties, left);
  t.same(
    (await letters.visit(() => 'keep')).map(({ letter }) => letter.id),
    ['b'],
  );
});

t.test('remove some, purge all', async (t) => {
  const { letters } = await started(t);
  for (const id of ['a', 'b', 'c']) await letters.put(messageOf(id), { ...cause, id });
  await letters.visit(({ id }) => (id === 'b' ? 'remove' : 'keep'));
  t.same(
    (await letters.visit(() => 'keep')).map(({ letter }) => letter.id),
    ['a', 'c'],
  );
  t.equal(await letters.purge(), 2);
  t.same(await letters.visit(() => 'keep'), []);
});

t.test('what somebody else has put there is shown, and cannot be sent back', async (t) => {
  const { letters, broker } = await started(t);
  await broker.publish(messageOf('x', { umbel_dead: '{"reason":' }), { exchange: '', routingKey: 'umbel.dead' });
  t.match(await letters.visit(() => 'keep'), [{ letter: { id: 'x', cause: null } }]);
  await t.rejects(
    letters.visit(() => 'retry'),
    { code: 'USAGE', message: /must say where it came from/ },
  );
  t.equal(await broker.countReady('umbel.dead'), 1, 'and it is still there');
});

t.test('those that another one looks at are not waited for for ever', async (t) => {
  const { letters, broker, clock } = await started(t);
  for (const id of ['a', 'b']) await letters.put(messageOf(id), { ...cause, id });
  const counted = Promise.withResolvers<void>();
  const count = broker.countReady.bind(broker);
  broker.countReady = async (name) => {
    const ready = await count(name);
    await taken(broker, name);
    counted.resolve();
    return ready;
  };
  const visiting = letters.visit(() => 'keep');
  await counted.promise;
  for (let turn = 0; turn < 5; turn += 1) await clock.advanceAsync(1000);
  t.same(
    (await visiting).map(({ letter }) => letter.id),
    ['b'],
  );
});
