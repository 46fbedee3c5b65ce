/** What the server is told of the prefetch, and when: of the consumer's where that is enough, of the channel's where it is not. */
import t from 'tap';
import { PrefetchCount } from '../../../src/broker/amqp/prefetch-count.ts';
import type { AmqpChannel } from '../../../src/driver/amqp-channel.ts';
import { FakeClock } from '../../../src/std/clock.ts';
import { RecordingLog } from '../../driver/recording-log.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function bench(start: { readonly prefetch: number; readonly queues?: number; readonly consumersOnly?: boolean }) {
  const said: string[] = [];
  const state = { prefetch: start.prefetch, deferred: 0, setAside: 0, queues: start.queues ?? 1, mayRenew: true };
  const clock = new FakeClock();
  const channel = {
    qos: async (count: number, global: boolean) => void said.push(`${global ? 'channel' : 'consumer'} ${count}`),
  } as unknown as AmqpChannel;
  const count = new PrefetchCount({
    channel: () => channel,
    prefetch: () => state.prefetch,
    deferred: () => state.deferred,
    setAside: () => state.setAside,
    queues: () => state.queues,
    mayRenew: () => state.mayRenew,
    renew: async (before, endFirst = false) => {
      if (endFirst) said.push('none');
      await before(channel);
      said.push('consumers');
    },
    log: new RecordingLog(),
    clock,
  });
  await count.begin(channel, start.consumersOnly ?? false, state.queues);
  /** What the server was told since the last look. */
  const take = (): string[] => said.splice(0);
  const change = async (to: Partial<typeof state>): Promise<string[]> => {
    Object.assign(state, to);
    count.recount();
    await turn();
    await turn();
    return take();
  };
  return { count, clock, take, change };
}

t.test('one queue: the count of its consumer; much more at once, anything else after a while', async (t) => {
  const { clock, take, change } = await bench({ prefetch: 8 });
  t.strictSame(take(), ['consumer 8']);
  t.strictSame(await change({ prefetch: 16 }), ['consumer 16', 'consumers']);
  t.strictSame(await change({ prefetch: 20 }), []);
  t.strictSame(await change({ prefetch: 10 }), []);
  clock.advance(1000);
  await turn();
  t.strictSame(take(), ['consumer 10', 'consumers']);
  t.strictSame(await change({ prefetch: 11 }), []);
  t.strictSame(await change({ prefetch: 10 }), []);
  clock.advance(1000);
  await turn();
  t.strictSame(take(), [], 'the server knows that already');
});

t.test('deferred messages do not count: the count of the channel, at once, and back when there are none', async (t) => {
  const { clock, take, change } = await bench({ prefetch: 8 });
  take();
  t.strictSame(await change({ deferred: 1 }), ['consumer 0', 'channel 9', 'consumers'], 'never without a limit');
  t.strictSame(await change({ deferred: 3 }), ['channel 11']);
  clock.advance(5000);
  await turn();
  t.strictSame(take(), []);
  t.strictSame(await change({ deferred: 0 }), ['channel 8']);
  clock.advance(1000);
  await turn();
  t.strictSame(take(), ['none', 'consumer 8', 'consumers', 'channel 0'], 'never without a limit');
});

t.test('several queues, or no limit: the count of the channel', async (t) => {
  const several = await bench({ prefetch: 8, queues: 2 });
  t.strictSame(several.take(), ['channel 8']);
  t.strictSame(await several.change({ prefetch: 9 }), ['channel 9']);
  const grown = await bench({ prefetch: 8 });
  grown.take();
  t.strictSame(await grown.change({ queues: 2 }), ['consumer 0', 'channel 8', 'consumers']);
  const staying = await bench({ prefetch: 8 });
  staying.take();
  t.strictSame(await staying.change({ mayRenew: false, prefetch: 64 }), ['consumer 0', 'channel 64', 'consumers']);
  const unlimited = await bench({ prefetch: 0 });
  t.strictSame(unlimited.take(), ['channel 0']);
  t.strictSame(await unlimited.change({ prefetch: 70_000 }), [], 'more than AMQP can count');
});

t.test('quorum queues: the count of the consumer in any case', async (t) => {
  const { clock, take, change } = await bench({ prefetch: 8, queues: 2, consumersOnly: true });
  t.strictSame(take(), ['consumer 8']);
  t.strictSame(await change({ deferred: 3 }), []);
  clock.advance(1000);
  await turn();
  t.strictSame(take(), ['consumer 11', 'consumers']);
  t.strictSame(await change({ deferred: 9 }), ['consumer 17', 'consumers'], 'much more at once: all that it may hold could be deferred');
});

t.test('nothing is said while nothing is consumed, or after the channel has ended', async (t) => {
  const { count, clock, take, change } = await bench({ prefetch: 8 });
  take();
  t.strictSame(await change({ queues: 0, prefetch: 64 }), []);
  t.strictSame(await change({ queues: 1, prefetch: 9 }), []);
  count.end();
  clock.advance(1000);
  await turn();
  t.strictSame(take(), []);
});

t.test('what is set aside changes often: the count of the channel, at once; where there is none, in leaps', async (t) => {
  const exact = await bench({ prefetch: 8 });
  exact.take();
  t.strictSame(await exact.change({ prefetch: 11, setAside: 3 }), ['consumer 0', 'channel 11', 'consumers']);
  t.strictSame(await exact.change({ prefetch: 12, setAside: 4 }), ['channel 12']);
  const leaps = await bench({ prefetch: 8, consumersOnly: true });
  leaps.take();
  t.strictSame(await leaps.change({ prefetch: 13, setAside: 5 }), ['consumer 16', 'consumers'], 'as if it were 8');
  await leaps.change({ prefetch: 16, setAside: 8 });
  leaps.clock.advance(1000);
  await turn();
  t.strictSame(leaps.take(), []);
});
