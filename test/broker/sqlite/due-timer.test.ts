/** When delayed and deferred messages of the embedded broker are due, by a wall clock that may be set. */
import t, { type Test } from 'tap';
import { SqliteBroker } from '../../../src/broker/sqlite/sqlite-broker.ts';
import { FakeClock } from '../../../src/std/clock.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { eventually } from '../../pool/eventually.ts';
import { openInbox, textMessage, textOf } from '../inbox.ts';
import { storeAt, temporaryFolder } from './temporary-store.ts';

const queue = 'celery';

/** Two messages wait: one was published so, the other taken and deferred. */
async function bench(t: Test, afterMs: number) {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const clock = new FakeClock();
  const log = new RecordingLog();
  const broker = new SqliteBroker({ store: storeAt(folder.path('broker.db'), log), leaseMs: 30_000, log, clock });
  await broker.start();
  t.teardown(() => broker.stop());
  const startMs = clock.now();
  const { subscription, deliveries } = await openInbox(broker, [queue]);
  await broker.publish(textMessage('deferred'), { exchange: '', routingKey: queue });
  t.equal(await subscription.defer(await deliveries.next(), startMs + afterMs), 'done');
  await broker.publish(textMessage('published'), { exchange: '', routingKey: queue, dueAtMs: startMs + afterMs });
  const came: string[] = [];
  /** What has come since the last look: this message has come, so whatever was made visible before it has, too. */
  const look = async (): Promise<string[]> => {
    await broker.publish(textMessage('look'), { exchange: '', routingKey: queue });
    for (let text = textOf(await deliveries.next()); text !== 'look'; text = textOf(await deliveries.next())) came.push(text);
    return came.splice(0).sort();
  };
  /** As `look`, when something is sure to come. */
  const both = async (): Promise<string[]> => {
    await eventually(t, 'both are due', () => deliveries.size === 2);
    return look();
  };
  return { clock, startMs, look, both };
}

t.test('to the millisecond', async (t) => {
  const { clock, look, both } = await bench(t, 5000);
  clock.advance(4999);
  t.strictSame(await look(), []);
  clock.advance(1);
  t.strictSame(await both(), ['deferred', 'published']);
});

t.test('a clock that is set back: nothing is due before its time', async (t) => {
  const { clock, startMs, look, both } = await bench(t, 10_000);
  clock.advance(5000);
  clock.jumpTo(startMs - 60_000);
  for (let passedMs = 0; passedMs < 60_000; passedMs += 10_000) {
    clock.advance(10_000);
    t.strictSame(await look(), []);
  }
  clock.advance(9999);
  t.strictSame(await look(), []);
  clock.advance(1);
  t.strictSame(await both(), ['deferred', 'published']);
});

t.test('a clock that is set forward, or a machine that slept: noticed within a minute', async (t) => {
  const { clock, startMs, look, both } = await bench(t, 3_600_000);
  clock.jumpTo(startMs + 3_599_000);
  clock.advance(999);
  t.strictSame(await look(), []);
  clock.advance(60_000);
  t.strictSame(await both(), ['deferred', 'published']);
});
