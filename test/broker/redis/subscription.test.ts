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

function opened(): { subscription: RedisSubscription; operations: Operation[]; looked: ((reply: unknown) => Promise<void>)[] } {
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
  const params = {
    connection,
    layout: new KeyLayout({}, 0),
    lease: { id: 'umbel-1', held: true, heldUntilMs: 77, revive() {} },
    watch: { add: () => watched },
    routing: { broadcastExchange: () => null },
    queueOrderStrategy: 'round_robin',
    clock: new FakeClock(),
    log: new RecordingLog(),
    consume: { queues: ['celery'], prefetch: 2, onDelivery() {}, onLost() {}, onHeld() {} },
    takeSequence: (count: number) => {
      sequence += count;
      return sequence - count;
    },
    ended() {},
  };
  const subscription = new RedisSubscription(params as unknown as RedisSubscriptionParams);
  return { subscription, operations, looked };
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
