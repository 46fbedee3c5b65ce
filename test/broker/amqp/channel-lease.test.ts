/** Until when what is held on a channel is certainly ours, and how soon it is again after the server stood still. */
import t from 'tap';
import { ChannelLease } from '../../../src/broker/amqp/channel-lease.ts';
import type { AmqpChannel } from '../../../src/driver/amqp-channel.ts';
import { FakeClock } from '../../../src/std/clock.ts';

const heartbeatMs = 20_000;
/** Two heartbeats without the margin. */
const leaseMs = 39_000;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function bench(heartbeatSeconds: number | null = heartbeatMs / 1000) {
  const clock = new FakeClock();
  const told: number[] = [];
  const asked: { readonly atMs: number; answer(): void }[] = [];
  const channel = {
    barrier: () => new Promise<void>((resolve) => asked.push({ atMs: clock.monotonic(), answer: resolve })),
  } as unknown as AmqpChannel;
  const lease = new ChannelLease({ connection: { heartbeatSeconds }, clock, onHeld: () => told.push(clock.monotonic()) });
  lease.begin(channel, clock.monotonic());
  /** Times of the questions that nobody has looked at, when this one has been answered. */
  const answer = async (): Promise<number[]> => {
    for (const question of asked.splice(0)) question.answer();
    await turn();
    return asked.map(({ atMs }) => atMs);
  };
  return { clock, lease, channel, told, asked, answer };
}

t.test('asked every half heartbeat, and held for two from each question that was answered', async (t) => {
  const { clock, lease, told, asked, answer } = bench();
  t.strictSame([lease.untilMs, told], [leaseMs, [0]]);
  for (const atMs of [10_000, 20_000, 30_000]) {
    clock.advance(atMs - clock.monotonic() - 1);
    t.strictSame(asked, [], 'not yet');
    clock.advance(1);
    t.strictSame(
      asked.map((question) => question.atMs),
      [atMs],
    );
    clock.advance(300);
    t.strictSame(await answer(), []);
    t.equal(lease.untilMs, atMs + leaseMs);
  }
  t.strictSame(told, [0], 'it has never passed');
});

t.test('the server stood still for nearly two heartbeats: held again with the answer to what is asked then, and not before', async (t) => {
  const { clock, lease, told, asked, answer } = bench();
  clock.advance(10_000);
  clock.advance(leaseMs - 40);
  t.equal(asked.length, 1, 'one question at a time');
  t.strictSame(await answer(), [48_960], 'asked again at once');
  t.strictSame([lease.untilMs, told], [leaseMs, [0]], 'another 40 ms are no reason to start anything');
  clock.advance(5);
  t.strictSame(await answer(), []);
  t.strictSame([lease.untilMs, told], [48_960 + leaseMs, [0, 48_965]]);
  clock.advance(9_995);
  t.strictSame(
    asked.map(({ atMs }) => atMs),
    [58_960],
    'as ever',
  );
});

t.test('a late answer that comes while it is held makes it longer, and is no reason to wait for the next one', async (t) => {
  const { clock, lease, told, answer } = bench();
  clock.advance(10_000);
  clock.advance(28_000);
  t.strictSame(await answer(), [38_000]);
  t.equal(lease.untilMs, 10_000 + leaseMs);
  clock.advance(5);
  t.strictSame(await answer(), []);
  t.equal(lease.untilMs, 38_000 + leaseMs);
  t.strictSame(told, [0]);
});

t.test('what came so late that it proves nothing any more is asked again at once as well', async (t) => {
  const { clock, lease, told, answer } = bench();
  clock.advance(10_000);
  clock.advance(leaseMs + 500);
  t.strictSame(await answer(), [49_500]);
  t.strictSame(told, [0]);
  clock.advance(5);
  t.strictSame(await answer(), []);
  t.strictSame([lease.untilMs, told], [49_500 + leaseMs, [0, 49_505]]);
});

t.test('a server that is slow throughout: from the second late answer on each counts', async (t) => {
  const { clock, lease, told, answer } = bench();
  clock.advance(10_000);
  clock.advance(30_000);
  t.strictSame(await answer(), [40_000]);
  t.strictSame([lease.untilMs, told], [leaseMs, [0]]);
  clock.advance(30_000);
  t.strictSame(await answer(), [70_000]);
  t.strictSame([lease.untilMs, told], [40_000 + leaseMs, [0, 70_000]]);
  clock.advance(30_000);
  t.strictSame(await answer(), [100_000]);
  t.strictSame([lease.untilMs, told], [70_000 + leaseMs, [0, 70_000, 100_000]]);
});

t.test('a channel that is no more: its answers prove nothing, and nothing is asked', async (t) => {
  const { clock, lease, channel, answer } = bench();
  clock.advance(10_000);
  lease.stop();
  clock.advance(20_000);
  t.strictSame(await answer(), []);
  t.strictSame([lease.untilMs, clock.pending], [leaseMs, 0]);
  lease.begin(channel, clock.monotonic());
  t.equal(lease.untilMs, 30_000 + leaseMs);
});

t.test('without heartbeats it is held for ever, and nothing is asked', async (t) => {
  for (const none of [0, null]) {
    const { clock, lease, asked } = bench(none);
    clock.advance(3_600_000);
    t.strictSame([lease.untilMs, asked, clock.pending], [Number.POSITIVE_INFINITY, [], 0]);
  }
});
