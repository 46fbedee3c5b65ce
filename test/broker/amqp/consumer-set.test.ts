/** Consumers brought in line with what is wanted, on doubles: what is begun, ended and tried again, and what one queue costs the others. */
import t from 'tap';
import { ConsumerSet } from '../../../src/broker/amqp/consumer-set.ts';
import type { Topology } from '../../../src/broker/amqp/topology.ts';
import type { AmqpConnection } from '../../../src/driver/amqp.ts';
import type { AmqpChannel } from '../../../src/driver/amqp-channel.ts';
import { AmqpFailure, type AmqpFailureKind } from '../../../src/driver/amqp-failure.ts';
import { UmbelError } from '../../../src/errors.ts';
import { FakeClock } from '../../../src/std/clock.ts';
import { settled } from '../../consumer/doubles.ts';
import { RecordingLog } from '../../driver/recording-log.ts';

class Bench {
  readonly calls: string[] = [];
  readonly log = new RecordingLog();
  readonly clock = new FakeClock();
  readonly wanted = new Set<string>();
  /** Queues that cannot be declared, and why. */
  readonly refused = new Map<string, Error>();
  /** Queues that the server lets nobody consume from, and why. */
  readonly forbidden = new Map<string, AmqpFailure>();
  readonly declaredAgain: string[] = [];
  /** What is asked beforehand hears nothing of it. */
  silent = false;
  readonly set: ConsumerSet;
  readonly cancelledByServer = new Map<string, () => void>();
  readonly connection = { state: 'connected', epoch: 1 };
  channel: AmqpChannel;
  #cancelling: Promise<void> = Promise.resolve();

  constructor() {
    this.channel = this.#newChannel();
    const ensure = async (queue: string): Promise<void> => {
      const failure = this.refused.get(queue);
      if (failure !== undefined) throw failure;
      this.calls.push(`declare ${queue}`);
    };
    this.set = new ConsumerSet({
      connection: this.connection as AmqpConnection,
      topology: { ensure, declaration: (name: string) => ({ name }) } as unknown as Topology,
      noAck: false,
      channel: () => this.channel,
      wanted: () => this.wanted,
      belongs: (queue) => this.wanted.has(queue),
      onMessage: () => {},
      unlessRefused: async ({ name }, _failure, begin) => {
        this.calls.push(`ask ${name}`);
        if (this.forbidden.has(name) && !this.silent) return false;
        await begin();
        return true;
      },
      onDeclaredAgain: async (queue) => {
        this.declaredAgain.push(queue);
      },
      onRefused: () => true,
      log: this.log,
      clock: this.clock,
    });
  }

  /** What the server answers to a cancellation waits for the function returned. */
  holdCancels(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#cancelling = promise;
    return resolve;
  }

  /** The channel ends, and there is another. */
  anotherChannel(): AmqpChannel {
    Object.assign(this.channel, { closed: true });
    this.set.clear();
    this.channel = this.#newChannel();
    return this.channel;
  }

  #newChannel(): AmqpChannel {
    const channel = {
      closed: false,
      consume: async (queue: string, { noAck }: { noAck: boolean }, onMessage: (message: null) => void) => {
        if (channel.closed) throw failure('channel');
        const forbidden = this.forbidden.get(queue);
        if (forbidden !== undefined) {
          channel.closed = true;
          throw forbidden;
        }
        this.calls.push(`consume ${queue}${noAck ? ' without acks' : ''}`);
        this.cancelledByServer.set(queue, () => onMessage(null));
      },
      cancel: async (tag: string) => {
        await this.#cancelling;
        this.calls.push(`cancel ${tag}`);
      },
    };
    return channel as unknown as AmqpChannel;
  }

  take(): string[] {
    return this.calls.splice(0);
  }

  async after(ms: number): Promise<string[]> {
    await settled();
    this.clock.advance(ms);
    await settled();
    return this.take();
  }
}

const failure = (kind: AmqpFailureKind): AmqpFailure => new AmqpFailure(kind, `${kind} it is`);

t.test('a queue that is wanted again before its consumer has ended gets another one', async (t) => {
  const bench = new Bench();
  bench.wanted.add('a').add('b').add('c');
  await bench.set.align();
  t.strictSame(bench.take(), ['consume a', 'consume b', 'consume c']);
  const answered = bench.holdCancels();
  bench.wanted.delete('c');
  const first = bench.set.align();
  await settled();
  // Another change is under way: `b` leaves and is back before its turn.
  bench.wanted.delete('b');
  bench.set.end('b');
  const left = bench.set.align();
  bench.wanted.add('b');
  const back = bench.set.align();
  answered();
  await Promise.all([first, left, back]);
  t.strictSame(bench.take(), ['cancel umbel-3', 'cancel umbel-2', 'consume b']);
});

t.test('others take the place of consumers before those end: a queue may go with its last one', async (t) => {
  const bench = new Bench();
  bench.wanted.add('a').add('b');
  await bench.set.align();
  bench.take();
  await bench.set.renew(async () => void bench.calls.push('before'));
  t.strictSame(bench.take(), ['before', 'consume a', 'cancel umbel-1', 'consume b', 'cancel umbel-2']);
  await bench.set.renew(async () => void bench.calls.push('before'), true);
  t.strictSame(
    bench.take(),
    ['cancel umbel-3', 'cancel umbel-4', 'before', 'consume a', 'consume b'],
    'where the old ones would be in the way',
  );
  bench.set.end('a');
  await bench.set.renew();
  t.strictSame(bench.take(), ['cancel umbel-5', 'consume b', 'cancel umbel-6', 'consume a'], 'one that was ended first makes room');
});

t.test('a step that was under way as its channel ended leaves no consumer behind', async (t) => {
  const bench = new Bench();
  bench.wanted.add('red');
  await bench.set.align();
  t.same(bench.take(), ['consume red']);
  // The last answer and the end of the channel come in one piece: the step goes on after both.
  const answer = bench.holdCancels();
  const renewed = bench.set.renew();
  await settled();
  answer();
  const channel = bench.anotherChannel();
  await renewed;
  t.same(bench.take(), ['consume red', 'cancel umbel-1']);
  await bench.set.begin(channel);
  t.same(bench.take(), ['consume red'], 'on the new one');
});

t.test('a queue that cannot be declared any more is left out, said once, and tried again; the others are consumed from', async (t) => {
  const bench = new Bench();
  bench.wanted.add('good').add('bad');
  bench.refused.set('bad', new UmbelError('BROKER_REFUSED', 'queue bad must exist'));
  await bench.set.ensure('good');
  await bench.set.ensure('bad');
  await bench.set.align();
  t.strictSame(bench.take(), ['declare good', 'consume good']);
  t.equal(bench.set.isRefused('bad'), true);
  t.strictSame(await bench.after(5000), []);
  bench.refused.delete('bad');
  t.strictSame(await bench.after(5000), ['declare bad', 'ask bad', 'consume bad']);
  bench.refused.set('bad', new UmbelError('BROKER_REFUSED', 'queue bad must exist'));
  bench.anotherChannel();
  await bench.set.ensure('bad');
  bench.refused.delete('bad');
  t.strictSame(await bench.after(5000), ['declare bad', 'ask bad', 'consume good', 'consume bad']);
  const failed = 'broker.consume-failed Queue bad cannot be consumed from: queue bad must exist. Trying again';
  t.strictSame(
    bench.log.lines.map(({ event, message }) => `${event} ${message}`),
    [failed, 'broker.consuming Consuming from bad', failed, 'broker.consuming Consuming again from bad'],
  );
});

t.test(
  'a queue that the server has deleted and that cannot be declared: no other change consumes from it, and it is tried again at once',
  async (t) => {
    const bench = new Bench();
    bench.wanted.add('good').add('bad');
    await bench.set.align();
    bench.take();
    bench.refused.set('bad', new UmbelError('BROKER_REFUSED', 'queue bad must exist'));
    bench.cancelledByServer.get('bad')?.();
    await settled();
    t.equal(bench.set.isRefused('bad'), true);
    await bench.set.align();
    t.strictSame(bench.take(), []);
    t.strictSame(await bench.after(100), []);
    t.strictSame(bench.declaredAgain, []);
    bench.refused.delete('bad');
    t.strictSame(await bench.after(200), ['declare bad', 'ask bad', 'consume bad']);
    t.strictSame(bench.declaredAgain, ['bad']);
    t.equal(bench.set.isRefused('bad'), false);
    bench.cancelledByServer.get('bad')?.();
    await settled();
    t.strictSame(bench.take(), ['declare bad', 'consume bad']);
    t.strictSame(bench.declaredAgain, ['bad', 'bad']);
  },
);

t.test('a queue of another connection is left out before the first channel, and what to do is said', async (t) => {
  const bench = new Bench();
  bench.wanted.add('good').add('locked');
  bench.refused.set('locked', failure('locked'));
  bench.set.leaveOut('locked', new UmbelError('BROKER_REFUSED', 'locked it is', { cause: failure('locked') }));
  await bench.set.align();
  t.strictSame(bench.take(), ['consume good']);
  t.match(
    bench.log.lines.map(({ message }) => message),
    [
      /^Queue locked cannot be consumed from: locked it is\. It is free when that one has ended .*, or leave the queue out here\. Trying again$/,
    ],
  );
  t.strictSame(await bench.after(5000), []);
  bench.refused.clear();
  t.strictSame(await bench.after(5000), ['declare locked', 'ask locked', 'consume locked']);
});

t.test('one that was cancelled while it was refused can be had when the server has nothing against it', async (t) => {
  const bench = new Bench();
  bench.wanted.add('locked');
  bench.set.leaveOut('locked', failure('locked'));
  bench.wanted.delete('locked');
  t.strictSame(await bench.after(5000), []);
  bench.wanted.add('locked');
  await bench.set.align();
  t.strictSame(bench.take(), [], 'nobody has asked');
  bench.set.forgive('locked');
  await bench.set.align();
  t.strictSame(bench.take(), ['consume locked']);
});

t.test('an attempt of before a reconnection is not taken up beside that of after it', async (t) => {
  const bench = new Bench();
  bench.wanted.add('bad');
  bench.refused.set('bad', failure('locked'));
  await bench.set.ensure('bad');
  await bench.after(2000);
  bench.set.forgive();
  await bench.set.ensure('bad');
  bench.refused.delete('bad');
  t.strictSame(await bench.after(3000), [], 'that of before');
  t.strictSame(await bench.after(2000), ['declare bad', 'ask bad', 'consume bad']);
});

t.test(
  'what shows only as consuming begins is asked for in the same rhythm, and costs the channel of the others nothing more',
  async (t) => {
    for (const kind of ['denied', 'in-use', 'unconsumable', 'invalid'] as const) {
      const bench = new Bench();
      bench.wanted.add('bad').add('good');
      bench.forbidden.set('bad', failure(kind));
      await t.rejects(bench.set.begin(bench.channel), { message: `${kind} it is` });
      await bench.set.begin(bench.anotherChannel());
      t.strictSame(bench.take(), ['consume good']);
      for (let times = 0; times < 3; times++) t.strictSame(await bench.after(5000), ['declare bad', 'ask bad']);
      t.equal(bench.set.isRefused('bad'), true);
      bench.forbidden.clear();
      t.strictSame(await bench.after(5000), ['declare bad', 'ask bad', 'consume bad']);
      t.strictSame(await bench.after(60_000), []);
      t.strictSame(
        bench.log.lines.map(({ message }) => message),
        [`Queue bad cannot be consumed from: ${kind} it is. Trying again`, 'Consuming from bad'],
      );
    }
  },
);

t.test('one that is refused after all, though the answer was another, costs the others their channel less and less often', async (t) => {
  const bench = new Bench();
  bench.silent = true;
  bench.wanted.add('bad');
  bench.forbidden.set('bad', failure('denied'));
  const begun = async (): Promise<void> => {
    await t.rejects(bench.set.begin(bench.anotherChannel()), { message: 'denied it is' });
    bench.anotherChannel();
  };
  await begun();
  const waits: number[] = [];
  for (let times = 0; times < 8; times++) {
    let seconds = 0;
    do {
      seconds += 5;
    } while ((await bench.after(5000)).length === 0 && seconds < 1000);
    bench.anotherChannel();
    waits.push(seconds);
  }
  t.strictSame(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
  bench.set.forgive();
  await begun();
  t.strictSame(await bench.after(5000), ['declare bad', 'ask bad'], 'as with any other over another connection');
});

t.test('a queue that is not wanted any more is not asked for', async (t) => {
  const bench = new Bench();
  bench.wanted.add('left');
  bench.refused.set('left', failure('locked'));
  await bench.set.ensure('left');
  bench.refused.clear();
  bench.wanted.delete('left');
  t.strictSame(await bench.after(60_000), []);
});

t.test('a loss is no fault of the queue', async (t) => {
  for (const kind of ['lost', 'stopped', 'channel'] as const) {
    const bench = new Bench();
    bench.refused.set('a', failure(kind));
    await t.rejects(bench.set.ensure('a'), { message: `${kind} it is` });
    t.equal(bench.set.isRefused('a'), false);
  }
  const bench = new Bench();
  bench.refused.set('a', failure('not-found'));
  const ensured = bench.set.ensure('a');
  bench.connection.epoch = 2;
  await t.rejects(ensured, { message: 'not-found it is' }, 'an answer of another connection');
  t.strictSame(bench.log.lines, []);
});
