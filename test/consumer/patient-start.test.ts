import t from 'tap';
import type { Broker, BrokerState } from '../../src/broker/broker.ts';
import { StateSignal } from '../../src/broker/state-signal.ts';
import { patiently } from '../../src/consumer/patient-start.ts';
import { UmbelError } from '../../src/errors.ts';

/** Of a broker, only its state. */
class Link {
  readonly signal = new StateSignal();
  readonly broker: Broker;

  constructor() {
    const { signal } = this;
    this.signal.set('connected', null);
    this.broker = {
      get state(): BrokerState {
        return signal.value;
      },
      onStateChange: (listener: Parameters<Broker['onStateChange']>[0]) => signal.onChange(listener),
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
  link.signal.set('connected', null);
  t.equal(await taken, 'done');
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
  for (const error of [broke(), new UmbelError('QUEUE_UNKNOWN', 'not declared'), new Error('else')]) {
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
  }
});
