/** Tasks whose messages are delivered again while they run here, or after they ended here: known again, and by nothing else. */
import t from 'tap';
import type { Broker, Delivery, SettleOutcome, Subscription } from '../../src/broker/broker.ts';
import { Orphans } from '../../src/consumer/orphans.ts';
import { Request } from '../../src/consumer/request.ts';
import type { Decision } from '../../src/consumer/strategy.ts';
import type { TaskHeader } from '../../src/protocol/task-message.ts';
import { ChurnMap } from '../../src/std/churn-map.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { settled as promised, taskOffer } from './doubles.ts';

let tags = 0;
const delivery = (redelivered = true): Delivery => ({ tag: ++tags, redelivered }) as unknown as Delivery;
const header = (id: string, retries = 0): TaskHeader =>
  ({ id, retries, task: 'tasks.add', shadow: null, ignoreResult: null }) as unknown as TaskHeader;

function bench(redelivers = true) {
  const settled: string[] = [];
  const log = new RecordingLog();
  /** What settling comes to. */
  const outcome: { is: SettleOutcome } = { is: 'done' };
  const orphans = new Orphans({ log, backend: null, broker: { features: { redelivers } } as unknown as Broker });
  const held = new ChurnMap<Delivery, { request: Request; job: { withdrawn: boolean; child: object | null } }>();
  const carriedOut: Delivery[] = [];
  const subscription: Pick<Subscription, 'ack' | 'reject'> = {
    ack: async ({ tag }) => {
      settled.push(`ack ${tag}`);
      return outcome.is;
    },
    reject: async ({ tag }) => {
      settled.push(`drop ${tag}`);
      return outcome.is;
    },
  };
  const active = (id: string, acksLate = true): Request => {
    const offer = taskOffer('tasks.add', { acksLate });
    const request = new Request({ delivery: delivery(), header: header(id), offer, listener: {} as never });
    request.state = 'active';
    request.acknowledged = !acksLate;
    held.set(request.delivery, { request, job: { withdrawn: false, child: {} } });
    return request;
  };
  /** One that the pool is asked to give back. */
  const leaving = (id: string, acksLate = true): Request => {
    const request = active(id, acksLate);
    Object.assign(request, { state: 'reserved', acknowledged: false, lost: true });
    held.get(request.delivery)!.job.withdrawn = true;
    orphans.leaves(request);
    return request;
  };
  orphans.attach({ held, subscription, carryOut: (one) => carriedOut.push(one) });
  const reunite = (one: Delivery, of: TaskHeader): boolean => orphans.reunite(one, { kind: 'run', header: of } as unknown as Decision);
  return { orphans, settled, outcome, log, held, active, leaving, reunite, carriedOut };
}

t.test('a running task gets its message back', async (t) => {
  const { orphans, settled, log, held, active, reunite } = bench();
  const request = active('a');
  const lost = request.delivery;
  t.equal(orphans.goesOn(request), true);
  t.equal(request.orphaned, true);
  t.equal(reunite(delivery(), header('b')), false, 'another task');
  t.equal(reunite(delivery(), header('a', 1)), false, 'a retry of it is another message');
  t.equal(reunite(delivery(false), header('a')), false, 'not marked: another message');
  const again = delivery();
  t.equal(reunite(again, header('a')), true);
  t.equal(request.delivery, again);
  t.strictSame([request.lost, request.orphaned], [false, false]);
  t.strictSame([held.has(lost), held.get(again)?.request], [false, request]);
  t.strictSame(settled, [], 'to be acknowledged when it ends');
  t.equal(reunite(delivery(), header('a')), false, 'once');
  t.match((await log.event('task.redelivered')).message, /running here: it is not started a second time/);
});

t.test('one that has ended, and whose result cannot be stored yet, gets its message back and is not said to run', async (t) => {
  const { orphans, log, held, active, reunite } = bench();
  const request = active('a');
  orphans.goesOn(request);
  held.get(request.delivery)!.job.child = null;
  const again = delivery();
  t.equal(reunite(again, header('a')), true);
  t.equal(request.delivery, again, 'to be acknowledged when its result is stored');
  t.match((await log.event('task.redelivered')).message, /has ended here: it is not started a second time/);
});

t.test('what has not begun does not go on, nor does anything where lost means that somebody has it', async (t) => {
  const { orphans, active } = bench();
  const waiting = active('waiting');
  waiting.state = 'reserved';
  t.equal(orphans.goesOn(waiting), false);
  const leased = bench(false);
  const request = leased.active('a', false);
  t.equal(leased.orphans.goesOn(request), false);
  leased.orphans.stale(request, 'ack', true);
  t.equal(request.lost, true);
  t.equal(leased.reunite(delivery(), request.header), false, 'its end here is not recorded, so it must run again');
});

t.test('acknowledged early and in vain: at once, also when it has ended since', async (t) => {
  const { orphans, settled, active, reunite } = bench();
  const [running, over] = [active('running', false), active('over', false)];
  for (const request of [running, over]) orphans.stale(request, 'ack', true);
  t.strictSame([running.lost, over.lost], [false, false], 'their ends are recorded');
  over.state = 'settled';
  const deliveries = [delivery(), delivery()];
  t.equal(reunite(deliveries[0]!, running.header), true);
  t.equal(reunite(deliveries[1]!, over.header), true);
  t.strictSame(
    settled,
    deliveries.map(({ tag }) => `ack ${tag}`),
  );
});

t.test('one that ended and could not say so is not run again, and one that is to run again is', async (t) => {
  const { orphans, settled, active, reunite } = bench();
  const requests = [active('done'), active('dropped'), active('requeued')];
  for (const [index, request] of requests.entries()) {
    orphans.goesOn(request);
    request.state = 'settled';
    orphans.stale(request, (['ack', 'drop', 'requeue'] as const)[index]!, false);
  }
  const deliveries = requests.map(() => delivery());
  t.strictSame(
    requests.map((request, index) => reunite(deliveries[index]!, request.header)),
    [true, true, false],
  );
  t.strictSame(settled, [`ack ${deliveries[0]!.tag}`, `drop ${deliveries[1]!.tag}`]);
  t.equal(reunite(delivery(), requests[0]!.header), false, 'once: what comes after that is another message');
});

t.test('what is acknowledged in vain when it has come again is still known when it comes once more', async (t) => {
  const { orphans, settled, outcome, active, reunite } = bench();
  const [running, over] = [active('running', false), active('over')];
  orphans.stale(running, 'ack', true);
  orphans.stale(over, 'drop', false);
  outcome.is = 'stale';
  const again = [delivery(), delivery()];
  t.equal(reunite(again[0]!, running.header), true);
  t.equal(reunite(again[1]!, over.header), true);
  await promised();
  outcome.is = 'done';
  t.equal(reunite(delivery(), running.header), true, 'it runs here');
  t.equal(reunite(delivery(), over.header), true, 'it has ended here');
  await promised();
  t.equal(settled.length, 4);
  t.same([reunite(delivery(), running.header), reunite(delivery(), over.header)], [false, false], 'and no more than that');
});

t.test('the message of one that was put back and runs anew belongs to the new run', async (t) => {
  const { orphans, active, reunite } = bench();
  const [before, now] = [active('a'), active('a')];
  orphans.goesOn(now);
  orphans.stale(before, 'requeue', false);
  const again = delivery();
  t.equal(reunite(again, now.header), true);
  t.equal(now.delivery, again);
});

t.test('messages that went elsewhere do not pile up', async (t) => {
  const { orphans, active, reunite } = bench();
  const first = active('first');
  orphans.stale(first, 'ack', false);
  for (let number = 0; number < 10_000; number++) orphans.stale({ header: header(`${number}`) } as Request, 'ack', false);
  t.equal(reunite(delivery(), first.header), false);
  t.equal(reunite(delivery(), header('9999')), true);
});

t.test('one that is to leave the pool: its message waits until it has left', async (t) => {
  const { orphans, leaving, reunite, carriedOut, settled } = bench();
  const request = leaving('a');
  const again = delivery();
  t.equal(reunite(delivery(), header('a', 1)), false, 'a retry of it is another message');
  t.equal(reunite(again, request.header), true);
  t.equal(reunite(delivery(), request.header), false, 'one message waits');
  t.strictSame(carriedOut, []);
  orphans.gone(leaving('other'));
  t.strictSame(carriedOut, []);
  orphans.gone(request);
  t.strictSame(carriedOut, [again]);
  t.strictSame(settled, []);
  t.equal(reunite(delivery(), request.header), false, 'nothing is remembered');
});

t.test('one that is to leave and has begun after all is a running one', async (t) => {
  const { orphans, leaving, reunite, held, carriedOut, settled } = bench();
  const [before, after] = [leaving('before'), leaving('after', false)];
  const deliveries = [delivery(), delivery()];
  t.equal(reunite(deliveries[0]!, before.header), true);
  for (const request of [before, after]) {
    request.state = 'active';
    orphans.started(request);
    t.equal(request.lost, false, 'its end is recorded');
  }
  t.equal(before.delivery, deliveries[0]);
  t.equal(held.get(deliveries[0]!)?.request, before);
  after.acknowledged = true;
  t.equal(reunite(deliveries[1]!, after.header), true);
  t.equal(held.get(deliveries[1]!)?.job.withdrawn, false);
  t.strictSame(settled, [`ack ${deliveries[1]!.tag}`], 'what was acknowledged early is so again');
  for (const request of [before, after]) orphans.gone(request);
  t.strictSame(carriedOut, []);
});

t.test('a message that waits can be lost as well', async (t) => {
  const { orphans, leaving, reunite, carriedOut } = bench();
  const request = leaving('a');
  const [second, third] = [delivery(), delivery()];
  t.equal(reunite(second, request.header), true);
  orphans.lost(delivery());
  orphans.lost(second);
  t.equal(reunite(third, request.header), true);
  orphans.gone(request);
  t.strictSame(carriedOut, [third]);
});
