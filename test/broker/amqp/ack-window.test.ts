/** Which acknowledgements become one, how long one may wait, and when it is called done. */
import t from 'tap';
import { AckWindow } from '../../../src/broker/amqp/ack-window.ts';
import type { SettleOutcome } from '../../../src/broker/broker.ts';
import type { AmqpChannel } from '../../../src/driver/amqp-channel.ts';
import { FakeClock } from '../../../src/std/clock.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

class FakeChannel {
  readonly sent: string[] = [];
  readonly barriers: (() => void)[] = [];

  ack(tag: number, multiple: boolean): void {
    this.sent.push(multiple ? `ack ..${tag}` : `ack ${tag}`);
  }

  reject(tag: number, requeue: boolean): void {
    this.sent.push(`${requeue ? 'requeue' : 'drop'} ${tag}`);
  }

  barrier(): Promise<void> {
    this.sent.push('barrier');
    return new Promise((resolve) => this.barriers.push(resolve));
  }

  /** What was sent since the last look. */
  take(): string[] {
    return this.sent.splice(0);
  }
}

/** A tag before all others. */
const before = 0.5;

async function bench(deliveries: number, prefetch = 0, isIdle = false) {
  const channel = new FakeChannel();
  const clock = new FakeClock();
  const window = new AckWindow(channel as unknown as AmqpChannel, clock);
  window.prefetch = prefetch;
  if (!isIdle) {
    // A question of a moment ago.
    window.delivered(before);
    void window.ack(before);
    window.flush();
    for (const answer of channel.barriers.splice(0)) answer();
    await turn();
    channel.take();
  }
  for (let tag = 1; tag <= deliveries; tag++) window.delivered(tag);
  return { channel, clock, window };
}

t.test('those of a turn become one frame as far as they reach from the oldest on', async (t) => {
  const { channel, clock, window } = await bench(6);
  for (const tag of [3, 1, 2]) void window.ack(tag);
  t.strictSame(channel.take(), [], 'at the end of the turn');
  await turn();
  t.strictSame(channel.take(), ['ack ..3']);
  clock.advance(9);
  t.strictSame(channel.take(), [], 'the barrier is for those of ten milliseconds');
  clock.advance(1);
  t.strictSame(channel.take(), ['barrier']);
  void window.ack(4);
  await turn();
  t.strictSame(channel.take(), ['ack 4']);
  clock.advance(20);
  t.strictSame(channel.take(), [], 'no second barrier before the first is answered');
  channel.barriers[0]?.();
  await turn();
  clock.advance(10);
  t.strictSame(channel.take(), ['barrier']);
});

t.test('on an idle worker the question comes a millisecond behind, and under load not more often than every ten', async (t) => {
  const { channel, clock, window } = await bench(3, 0, true);
  void window.ack(1);
  await turn();
  t.strictSame(channel.take(), ['ack 1']);
  clock.advance(1);
  t.strictSame(channel.take(), ['barrier']);
  channel.barriers[0]?.();
  await turn();
  clock.advance(2);
  void window.ack(2);
  await turn();
  clock.advance(7);
  t.strictSame(channel.take(), ['ack 2'], 'ten milliseconds behind the last one');
  clock.advance(1);
  t.strictSame(channel.take(), ['barrier']);
  channel.barriers[1]?.();
  await turn();
  clock.advance(100);
  void window.ack(3);
  await turn();
  clock.advance(1);
  t.strictSame(channel.take(), ['ack 3', 'barrier'], 'idle again');
});

t.test('one behind a gap waits for it a few milliseconds, and then no more for the same gap', async (t) => {
  const { channel, clock, window } = await bench(9);
  for (const tag of [1, 3, 4]) void window.ack(tag);
  await turn();
  t.strictSame(channel.take(), ['ack 1']);
  void window.ack(2);
  await turn();
  t.strictSame(channel.take(), ['ack ..4'], 'the gap has closed');
  void window.ack(6);
  await turn();
  t.strictSame(channel.take(), []);
  clock.advance(5);
  t.strictSame(channel.take(), ['ack 6'], 'within 5 ms');
  void window.ack(7);
  await turn();
  t.strictSame(channel.take(), ['ack 7'], 'the oldest is a long task');
  void window.ack(5);
  void window.ack(8);
  await turn();
  t.strictSame(channel.take(), ['ack ..8']);
});

t.test('few may wait when the prefetch is small: the server would send no more', async (t) => {
  const { channel, window } = await bench(8, 8);
  for (const tag of [2, 3, 4]) void window.ack(tag);
  await turn();
  t.strictSame(channel.take(), ['ack 2', 'ack 3', 'ack 4']);
  for (const [prefetch, most] of [
    [60, 15],
    [64, 32],
  ] as const) {
    const large = await bench(prefetch, prefetch);
    for (let tag = 2; tag < 2 + most; tag += 1) void large.window.ack(tag);
    await turn();
    large.clock.advance(1);
    t.strictSame(large.channel.take(), [], `${most} of ${prefetch}`);
    void large.window.ack(2 + most);
    await turn();
    large.clock.advance(1);
    t.equal(large.channel.take().length, most + 1, 'one more, and none waits');
  }
});

t.test('of a large prefetch, few are gathered for a millisecond while others are unsettled', async (t) => {
  const { channel, clock, window } = await bench(100, 64);
  for (const tag of [1, 2]) void window.ack(tag);
  await turn();
  t.strictSame(channel.take(), []);
  clock.advance(1);
  t.strictSame(channel.take(), ['ack ..2']);
  for (const tag of [3, 4, 5]) void window.ack(tag);
  await turn();
  for (const tag of [6, 7, 8, 9, 10]) void window.ack(tag);
  await turn();
  t.strictSame(channel.take(), []);
  for (let tag = 11; tag <= 18; tag += 1) void window.ack(tag);
  await turn();
  t.strictSame(channel.take(), ['ack ..18'], 'a quarter is not gathered');
  clock.advance(8);
  t.strictSame(channel.take(), []);
  const fewer = await bench(100, 56);
  for (let tag = 1; tag <= 6; tag += 1) void fewer.window.ack(tag);
  await turn();
  t.strictSame(fewer.channel.take(), []);
  void fewer.window.ack(7);
  await turn();
  t.strictSame(fewer.channel.take(), ['ack ..7'], 'nor an eighth of a smaller one');
  const last = await bench(1, 64);
  void last.window.ack(1);
  await turn();
  t.strictSame(last.channel.take(), ['ack 1'], 'with nothing unsettled there is nothing to wait for');
});

t.test('rejected ones are no gap and are never acknowledged', async (t) => {
  const { channel, clock, window } = await bench(4);
  void window.reject(2, true);
  void window.ack(1);
  void window.ack(3);
  await turn();
  t.strictSame(channel.take(), ['requeue 2', 'ack ..3']);
  clock.advance(10);
  t.strictSame(channel.take(), ['barrier']);
  t.equal(await window.ack(2), 'stale');
  t.equal(await window.reject(3, false), 'stale');
});

t.test('done when the server has answered behind it, stale when the channel ended before', async (t) => {
  const { channel, clock, window } = await bench(4);
  const outcomes: SettleOutcome[] = [];
  void window.ack(1).then((outcome) => outcomes.push(outcome));
  await turn();
  clock.advance(10);
  await turn();
  t.strictSame(outcomes, []);
  const second = window.ack(2);
  await turn();
  channel.barriers[0]?.();
  await turn();
  t.strictSame(outcomes, ['done'], 'the second was written behind the barrier');
  clock.advance(10);
  t.strictSame(channel.take(), ['ack 1', 'barrier', 'ack 2', 'barrier']);
  window.end('stale');
  t.equal(await second, 'stale');
  t.equal(await window.ack(3), 'stale');
  await turn();
  t.strictSame(channel.take(), [], 'nothing goes to a channel that has ended');
});

t.test('a barrier that is due waits for what is not written yet', async (t) => {
  const { channel, clock, window } = await bench(100, 64);
  void window.ack(1);
  await turn();
  clock.advance(1);
  t.strictSame(channel.take(), ['ack 1']);
  clock.advance(8);
  void window.ack(2);
  await turn();
  clock.advance(1);
  t.strictSame(channel.take(), ['ack 2', 'barrier'], 'and stands behind it');
  channel.barriers[0]?.();
  await turn();
  void window.ack(3);
  await turn();
  clock.advance(1);
  t.strictSame(channel.take(), ['ack 3'], 'the next one waits for others again');
  window.end('stale');
  clock.advance(100);
  t.strictSame(channel.take(), [], 'not on a channel that has ended');
});

t.test('before a farewell everything is written', async (t) => {
  const { channel, window } = await bench(4);
  for (const tag of [1, 3]) void window.ack(tag);
  const outcomes: SettleOutcome[] = [];
  const last = window.ack(4).then((outcome) => outcomes.push(outcome));
  window.flush();
  t.strictSame(channel.take(), ['ack 1', 'ack 3', 'ack 4', 'barrier']);
  await turn();
  t.strictSame(outcomes, [], 'not done before that is answered');
  window.end('done');
  await last;
  t.strictSame(outcomes, ['done']);
});
