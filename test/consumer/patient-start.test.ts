import t from 'tap';
import type { Broker, BrokerState } from '../../src/broker/broker.ts';
import { StateSignal } from '../../src/broker/state-signal.ts';
import { patient, patiently } from '../../src/consumer/patient-start.ts';
import { UmbelError } from '../../src/errors.ts';
import { FakeClock } from '../../src/std/clock.ts';

/** Of a broker, only its state. */
class Link {
  readonly signal = new StateSignal();
  readonly broker: Broker;
  /** Who hears of its state. */
  listeners = 0;

  constructor() {
    const { signal } = this;
    this.signal.set('connected', null);
    this.broker = {
      get state(): BrokerState {
        return signal.value;
      },
      onStateChange: (listener: Parameters<Broker['onStateChange']>[0]) => {
        const end = signal.onChange(listener);
        this.listeners += 1;
        return () => {
          end();
          this.listeners -= 1;
        };
      },
    } as Broker;
  }
}

const broke = (): UmbelError => new UmbelError('BROKER_LOST', 'the connection broke before the reply');

void t.test('a step whose connection breaks is taken again when there is one', async (t) => {
  const link = new Link();
  const steps: Array<() => Promise<string>> = [
    async () => {
      link.signal.set('lost', null);
      throw broke();
    },
    // It was away and back before the step heard of it.
    async () => {
      link.signal.set('lost', null);
      link.signal.set('connected', null);
      throw broke();
    },
    async () => 'done',
  ];
  const taken = patiently(link.broker, async () => (steps.shift() as () => Promise<string>)());
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(steps.length, 2, 'waits while the connection is lost');
  t.equal(link.listeners, 1);
  link.signal.set('connected', null);
  t.equal(await taken, 'done');
  t.equal(link.listeners, 0, 'and listens no more');
});

void t.test('a connection that is given up ends the waiting', async (t) => {
  const link = new Link();
  const taken = patiently(link.broker, async () => {
    link.signal.set('lost', null);
    throw broke();
  });
  const refused = t.rejects(taken, { code: 'BROKER_LOST' });
  await new Promise((resolve) => setImmediate(resolve));
  link.signal.set('stopped', broke());
  await refused;
});

void t.test('what the broker itself refuses, and what has nothing to do with it, is not tried again', async (t) => {
  for (const error of [new UmbelError('BROKER_REFUSED', 'no'), new UmbelError('QUEUE_UNKNOWN', 'not declared'), new Error('else')]) {
    let steps = 0;
    const link = new Link();
    await t.rejects(
      patiently(link.broker, async () => {
        steps += 1;
        throw error;
      }),
      error,
    );
    t.equal(steps, 1);
    t.equal(link.listeners, 0);
  }
});

void t.test('what was lost without a loss: it may be told a moment later; not for ever', async (t) => {
  const link = new Link();
  const clock = new FakeClock();
  let tries = 0;
  const failing = (until: number) => async (): Promise<string> => {
    tries += 1;
    if (tries < until) throw broke();
    return 'done';
  };
  const pass = async (count: number): Promise<void> => {
    for (let pause = 0; pause < count; pause++) {
      await new Promise((resolve) => setImmediate(resolve));
      clock.advance(500);
    }
  };
  const taken = patiently(link.broker, failing(6), clock);
  await pass(5);
  t.equal(await taken, 'done');
  tries = 0;
  const refused = t.rejects(patiently(link.broker, failing(Number.POSITIVE_INFINITY), clock), { code: 'BROKER_LOST' });
  await pass(6);
  await refused;
  t.equal(tries, 6);
});

void t.test('a part of the worker that needs the broker is started again, and stopped once', async (t) => {
  const link = new Link();
  const calls: string[] = [];
  const part = patient(link.broker, {
    name: 'part',
    start: async () => {
      calls.push('start');
      if (calls.length > 1) return;
      link.signal.set('lost', null);
      link.signal.set('connected', null);
      throw broke();
    },
    stop: async () => void calls.push('stop'),
  });
  t.equal(part.name, 'part');
  await part.start();
  await part.stop();
  t.strictSame(calls, ['start', 'start', 'stop']);
});
