/**
 * A step of the start that needs the broker, taken again when the connection broke under it.
 *
 * A worker that comes up while its broker goes down must wait for it, as it does before the first connection and after the start.
 */
import type { Broker } from '../broker/broker.ts';
import { UmbelError } from '../errors.ts';

/** `step` may be taken several times. Rejects with its error when that has another cause, or when the connection is given up. */
export async function patiently<T>(broker: Broker, step: () => Promise<T>): Promise<T> {
  let changes = 0;
  let wake = (): void => {};
  broker.onStateChange(() => {
    changes += 1;
    wake();
  });
  for (;;) {
    const before = changes;
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof UmbelError && error.code.startsWith('BROKER_'))) throw error;
      // With the connection as it was, it is the broker that says no.
      if (changes === before && broker.state !== 'lost') throw error;
      while (broker.state === 'lost') {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      if (broker.state !== 'connected') throw error;
    }
  }
}
