/** Migration between two memory brokers: what is moved, what stays, and what a failure in the middle leaves. */
import t, { type Test } from 'tap';
import type { Broker, ConsumeParams, Destination, QueueDeclaration, Subscription } from '../../src/broker/broker.ts';
import { MemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { Migration, type MigrationParams, type MigrationProgress } from '../../src/broker/migration.ts';
import { UmbelError } from '../../src/errors.ts';
import type { Message } from '../../src/protocol/message.ts';
import { ownHeaders } from '../../src/protocol/named-headers.ts';
import { FakeClock } from '../../src/std/clock.ts';
import { openInbox, textMessage, textOf } from './inbox.ts';

class Refusing extends MemoryBroker {
  /** Texts of messages that it does not take. */
  readonly refused = new Set<string>();
  readonly taken: Destination[] = [];

  override async publish(message: Message, destination: Destination): Promise<void> {
    if (this.refused.has(textOf(message))) throw new UmbelError('BROKER_FULL', 'it is full');
    this.taken.push(destination);
    await super.publish(message, destination);
  }
}

interface Scene {
  readonly source: MemoryBroker;
  readonly destination: Refusing;
  readonly progress: MigrationProgress[];
  migration(queues: readonly (readonly [string, QueueDeclaration])[], params?: Partial<MigrationParams>): Migration;
}

async function scene(t: Test): Promise<Scene> {
  const [source, destination] = [new MemoryBroker(), new Refusing()];
  await Promise.all([source.start(), destination.start()]);
  t.teardown(() => Promise.all([source.stop(), destination.stop()]));
  const progress: MigrationProgress[] = [];
  return {
    source,
    destination,
    progress,
    migration: (queues, params = {}) =>
      new Migration({
        source,
        destination,
        queues: queues.map(([from, to]) => ({ from, to })),
        tasks: null,
        limit: null,
        timeoutMs: 100,
        acknowledge: true,
        onMigrated: (one) => progress.push(one),
        ...params,
      }),
  };
}

async function send(broker: Broker, queue: string, texts: readonly string[], task?: string): Promise<void> {
  for (const text of texts) {
    const message = textMessage(text);
    const headers = task === undefined ? message.headers : { ...message.headers, task };
    await broker.publish({ ...message, headers }, { exchange: '', routingKey: queue });
  }
}

async function textsIn(broker: Broker, queue: string): Promise<string[]> {
  const count = await broker.countReady(queue);
  const inbox = await openInbox(broker, [queue]);
  const found = (await inbox.deliveries.take(count)).map(textOf);
  await inbox.subscription.release();
  return found;
}

t.test('all of it, in order, as it was', async (t) => {
  const { source, destination, progress, migration } = await scene(t);
  const body = Buffer.from([0, 255, 10]);
  const message: Message = {
    properties: {
      contentType: 'application/x-test',
      contentEncoding: 'binary',
      correlationId: 'c',
      replyTo: 'r',
      deliveryMode: 1,
      priority: 3,
    },
    headers: { task: 'a.b', id: '1', deep: { list: [1, null, 'ü'] }, 'x-delivery-count': 4 },
    body,
  };
  await source.declareQueue({ name: 'feeds', exchange: 'news', exchangeType: 'topic', routingKey: '#' });
  await source.publish(message, { exchange: 'news', routingKey: 'sport.golf' });
  await source.publish(textMessage('later'), { exchange: '', routingKey: 'feeds', dueAtMs: Date.now() + 3_600_000 });
  // Somebody else at the destination wants a copy of what is sent to the exchange, and had it already.
  await destination.declareQueue({ name: 'audit', exchange: 'news', exchangeType: 'topic', routingKey: '#' });
  const feeds: QueueDeclaration = { name: 'feeds', exchange: 'news', exchangeType: 'topic', routingKey: '#' };
  const result = await migration([
    ['feeds', feeds],
    ['none', { name: 'none' }],
  ]).run();
  t.same(result, { count: 2, left: 0, repeatable: 0, missing: ['none'] });
  t.same(progress, [
    { count: 1, total: 2, task: 'a.b', id: '1' },
    { count: 2, total: 2, task: '?', id: '?' },
  ]);
  t.equal(await destination.countReady('audit'), 0);
  t.equal(await source.countReady('feeds'), 0);
  const inbox = await openInbox(destination, ['feeds']);
  const moved = await inbox.deliveries.next();
  t.match(moved, { exchange: 'news', routingKey: 'sport.golf', redelivered: false, properties: message.properties });
  t.strictSame(moved.headers, { task: 'a.b', id: '1', deep: { list: [1, null, 'ü'] } }, 'without what the source has counted');
  t.ok(moved.body.equals(body));
  t.equal(textOf(await inbox.deliveries.next()), 'later', 'what waits in the source for its time is not left behind');
  await destination.publish(textMessage('new'), { exchange: 'news', routingKey: 'k' });
  t.equal(textOf(await inbox.deliveries.next()), 'new', 'and the queue is bound');
});

t.test('what had been delivered before is no second copy of itself at a destination that cannot mark it', async (t) => {
  const { source, destination, migration } = await scene(t);
  for (const text of ['held', 'waiting']) {
    const message = textMessage(text);
    await source.publish(
      { ...message, headers: { ...message.headers, [ownHeaders.once]: `mark-${text}` } },
      { exchange: '', routingKey: 'q' },
    );
  }
  const worker = await openInbox(source, ['q'], 1);
  await worker.deliveries.next();
  await worker.subscription.release();
  t.match(await migration([['q', { name: 'q' }]]).run(), { count: 2 });
  const inbox = await openInbox(destination, ['q']);
  t.strictSame(
    (await inbox.deliveries.take(2)).map(({ headers }) => headers),
    [{ id: 'held' }, { id: 'waiting', [ownHeaders.once]: 'mark-waiting' }],
  );
});

t.test('many, and into a queue of another name', async (t) => {
  const { source, destination, migration } = await scene(t);
  const texts = Array.from({ length: 1000 }, (_, index) => String(index));
  await send(source, 'mail', texts);
  t.match(await migration([['mail', { name: 'post' }]]).run(), { count: 1000, left: 0 });
  t.same(destination.taken[0], { exchange: '', routingKey: 'post', queue: 'post', mandatory: true, redelivered: false });
  t.same(await textsIn(destination, 'post'), texts);
});

t.test('without acknowledgement they are copied', async (t) => {
  const { source, destination, migration } = await scene(t);
  await send(source, 'q', ['0', '1', '2']);
  t.match(await migration([['q', { name: 'q' }]], { acknowledge: false }).run(), { count: 3, left: 0 });
  t.same(await textsIn(destination, 'q'), ['0', '1', '2']);
  t.same(await textsIn(source, 'q'), ['0', '1', '2']);
});

t.test('only some tasks, more of the others than there is room for, and no more than the limit', async (t) => {
  const { source, destination, migration } = await scene(t);
  const others = Array.from({ length: 500 }, (_, index) => `other ${index}`);
  await send(source, 'q', others, 'other');
  await send(source, 'q', ['0', '1', '2'], 'wanted');
  const wanted = { tasks: new Set(['wanted']) };
  t.match(await migration([['q', { name: 'q' }]], { ...wanted, limit: 2 }).run(), { count: 2 });
  t.same(await textsIn(destination, 'q'), ['0', '1']);
  t.match(await migration([['q', { name: 'q' }]], wanted).run(), { count: 1, left: 500 });
  t.same(await textsIn(destination, 'q'), ['0', '1', '2']);
  t.same(await textsIn(source, 'q'), others, 'in their order');
});

t.test('what the destination does not take stays at the source', async (t) => {
  const { source, destination, migration } = await scene(t);
  destination.refused.add('2');
  await send(source, 'q', ['0', '1', '2']);
  await t.rejects(migration([['q', { name: 'q' }]]).run(), { code: 'BROKER_FULL' });
  t.same(await textsIn(destination, 'q'), ['0', '1']);
  t.same(await textsIn(source, 'q'), ['2']);
});

t.test('what comes later, until it is told to stop', async (t) => {
  const { source, destination, progress, migration } = await scene(t);
  await source.declareQueue({ name: 'q' });
  const third = Promise.withResolvers<void>();
  const endless = migration([['q', { name: 'q' }]], {
    timeoutMs: null,
    onMigrated: (one) => {
      progress.push(one);
      if (one.count === 3) third.resolve();
    },
  });
  const running = endless.run();
  await send(source, 'q', ['0', '1', '2']);
  await third.promise;
  endless.stop();
  t.match(await running, { count: 3, left: 0 });
  t.same(await textsIn(destination, 'q'), ['0', '1', '2']);
  endless.stop();
});

t.test('a source that is slow to begin is not one that is empty', async (t) => {
  const clock = new FakeClock();
  const slow = new (class extends MemoryBroker {
    override async consume(params: ConsumeParams): Promise<Subscription> {
      clock.advance(5000);
      return super.consume(params);
    }
  })();
  const { destination, migration } = await scene(t);
  await slow.start();
  t.teardown(() => slow.stop());
  await send(slow, 'q', ['0', '1']);
  const result = migration([['q', { name: 'q' }]], { source: slow, clock, limit: 2, timeoutMs: 1000 }).run();
  t.match(await result, { count: 2 });
  t.same(await textsIn(destination, 'q'), ['0', '1']);
});

t.test('a process that stood still has not listened: what has come meanwhile is moved', async (t) => {
  const { source, destination, migration } = await scene(t);
  const texts = Array.from({ length: 1000 }, (_, index) => String(index));
  await send(source, 'q', texts);
  const timeoutMs = 20;
  const standStill = (): void => {
    for (const untilMs = performance.now() + 3 * timeoutMs; performance.now() < untilMs; );
  };
  const result = migration([['q', { name: 'q' }]], { timeoutMs, onMigrated: ({ count }) => count % 100 === 0 && standStill() }).run();
  t.match(await result, { count: 1000, left: 0 });
  t.same(await textsIn(destination, 'q'), texts);
});
