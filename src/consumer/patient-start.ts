/**
 * A step of the start that needs the broker, taken again when the connection broke under it.
 *
 * A worker that comes up while its broker goes down must wait for it, as it does before the first connection and after the start.
 */
import type { Broker } from '../broker/broker.ts';
import { UmbelError } from '../errors.ts';
import type { Component } from '../lifecycle/component.ts';
import { type Clock, systemClock } from '../std/clock.ts';

/** A connection that broke is told a moment later at times: what was lost without a loss is tried again so often, after so long. */
const mostUnexplained = 5;
const unexplainedPauseMs = 500;

/** A part of the worker that cannot start without the broker. Its start may be called several times. */
export function patient(broker: Broker, component: Component): Component {
  return { name: component.name, start: () => patiently(broker, () => component.start()), stop: () => component.stop() };
}

/** `step` may be taken several times. Rejects with its error when that has another cause, or when the connection is given up. */
export async function patiently<T>(broker: Broker, step: () => Promise<T>, clock: Clock = systemClock): Promise<T> {
  let unexplained = 0;
  let changes = 0;
  let wake = (): void => {};
  const unlisten = broker.onStateChange(() => {
    changes += 1;
    wake();
  });
  try {
    for (;;) {
      const before = changes;
      try {
        return await step();
      } catch (error) {
        if (!(error instanceof UmbelError && error.code.startsWith('BROKER_'))) throw error;
        if (changes === before && broker.state !== 'lost') {
          // With the connection as it was, it is the broker that says no.
          if (error.code !== 'BROKER_LOST' || ++unexplained > mostUnexplained) throw error;
          await new Promise<void>((resolve) => clock.setTimer(resolve, unexplainedPauseMs));
        }
        while (broker.state === 'lost') {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
        if (broker.state !== 'connected') throw error;
      }
    }
  } finally {
    unlisten();
  }
}
