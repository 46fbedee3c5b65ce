/** What a subscription says it holds while the server has not answered: replies come when the test gives them. */
import t from 'tap';
import { KeyLayout } from '../../../src/broker/redis/key-layout.ts';
import { RedisSubscription, type RedisSubscriptionParams } from '../../../src/broker/redis/subscription.ts';
import { FakeClock } from '../../../src/std/clock.ts';
import { RecordingLog } from '../../driver/recording-log.ts';

interface Operation {
  commands(): readonly unknown[];
  done(replies: readonly unknown[]): void;
  failed(failure: { readonly kind: string; readonly uncertain: boolean; readonly message: string }): void;
}

interface Opened {
  readonly subscription: RedisSubscription;
  readonly operations: Operation[];
  readonly looked: ((reply: unknown) => Promise<void>)[];
  /** As the watch does when this list, or any, may have got something. */
  awake(key: string | null): void;
}

function opened(queues: readonly string[] = ['celery']): Opened {
  const operations: Operation[] = [];
  const looked: ((reply: unknown) => Promise<void>)[] = [];
  const connection = {
    state: 'connected',
    epoch: 1,
    server: { majorVersion: 7, minorVersion: 0 },
    enqueue: (operation: Operation) => operations.push(operation),
    run: () =>
      new Promise((resolve) =>
        looked.push(async (reply) => {
          resolve(reply);
          await new Promise((next) => setImmediate(next));
        }),
      ),
  };
  const watched = { setKeys() {}, stop() {}, busy() {}, refused() {}, empty: () => true };
  let sequence = 0;
  let awake: Opened['awake'] = () => {};
  const params = {
    connection,
    layout: new KeyLayout({}, 0),
    lease: { id: 'umbel-1', held: true, heldUntilMs: 77, revive() {} },
    watch: {
      add: (_keys: readonly string[], wake: Opened['awake']) => {
        awake = wake;
        return watched;
      },
    },
    routing: { broadcastExchange: () => null },
    queueOrderStrategy: 'round_robin',
    clock: new FakeClock(),
    log: new RecordingLog(),
    consume: { queues, prefetch: 2, onDelivery() {}, onLost() {}, onHeld() {} },
    takeSequence: (count: number) => {
      sequence += count;
      return sequence - count;
    },
    ended() {},
  };
  const subscription = new RedisSubscription(params as unknown as RedisSubscriptionParams);
  return { subscription, operations, looked, awake };
}

t.test('what a reservation may have taken is held before its reply is there, and while it is looked for', async (t) => {
  const { subscription, operations, looked } = opened();
  const held = (): string[] => [...subscription.heldTags(), ...subscription.deferredTags()];
  await subscription.start();
  t.equal(subscription.heldUntilMs, 77, 'as the lease says');
  const [reservation] = operations as [Operation];
  t.same(held(), [], 'nothing is sent yet');
  reservation.commands();
  t.same(held(), ['umbel-1.0', 'umbel-1.1']);
  reservation.failed({ kind: 'lost', uncertain: true, message: 'no reply' });
  t.same(held(), ['umbel-1.0', 'umbel-1.1'], 'nobody knows');
  subscription.wake();
  t.equal(looked.length, 1);
  t.same(held(), ['umbel-1.0', 'umbel-1.1'], 'it is looked for');
  await looked[0]!([null, null]);
  t.same(held(), [], 'it took nothing');
  operations[1]!.commands();
  t.same(held(), ['umbel-1.2', 'umbel-1.3']);
  operations[1]!.done([[]]);
  t.same(held(), []);
});

/** The lists that are looked at in that order, and what stands for each queue. */
function listsOf(operation: Operation): { lists: string[]; queues: number; steps: number; names: string[] } {
  const [command] = operation.commands() as [readonly unknown[]];
  const at = command.indexOf('umbel-1');
  const [queues, steps] = [Number(command[at + 3]), Number(command[at + 4])];
  const keys = command.slice(0, at).map(String);
  const first = keys.length - queues * steps - queues;
  return { lists: keys.slice(first, first + queues * steps), queues, steps, names: command.slice(at + 7).map(String) };
}

t.test('woken for one list: the reservation is made from it and the more urgent ones of its queue, the next one from all', async (t) => {
  const { subscription, operations, awake } = opened(['celery', 'other']);
  await subscription.start();
  const all = {
    lists: [
      'celery',
      'other',
      'celery\x06\x163',
      'other\x06\x163',
      'celery\x06\x166',
      'other\x06\x166',
      'celery\x06\x169',
      'other\x06\x169',
    ],
    queues: 2,
    steps: 4,
    names: ['"celery"', '"other"'],
  };
  const answered = (reply: unknown[] = []): ReturnType<typeof listsOf> => {
    const operation = operations.shift()!;
    const lists = listsOf(operation);
    operation.done([reply]);
    return lists;
  };
  t.same(answered(), all);
  awake('other');
  t.same(answered(), { lists: ['other'], queues: 1, steps: 1, names: ['"other"'] });
  awake('celery\x06\x166');
  t.same(answered(), { lists: ['celery', 'celery\x06\x163', 'celery\x06\x166'], queues: 1, steps: 3, names: ['"celery"'] });
  awake(null);
  t.same(answered(), all);
  awake('celery');
  awake(null);
  t.same(answered(), all, 'something else may have come before it was sent');
  awake('gone');
  t.same(answered(), all, 'a list nobody looks at any more');
  subscription.pause();
  awake('other');
  t.equal(operations.length, 0);
  subscription.resume();
  t.same(answered(), all, 'what could not be asked for at once');
});
