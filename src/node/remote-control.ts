/** Remote control as a part of a worker: its logical clock, what commands see of it, and its mailbox. */
import { Mailbox } from '../control/mailbox.ts';
import { Panel } from '../control/panel.ts';
import type { Component } from '../lifecycle/component.ts';
import type { StateDb } from '../statedb/state-db.ts';
import { LamportClock } from '../std/lamport-clock.ts';
import { remoteCommands } from './open-control.ts';
import { WorkerSurface, type WorkerSurfaceParams } from './worker-surface.ts';

export interface RemoteControlParams extends Omit<WorkerSurfaceParams, 'clock'> {
  readonly stateDb: StateDb;
}

/** Started last and stopped first: a worker that answers can do what it is told. */
export function remoteControl(params: RemoteControlParams): Component {
  const { settings } = params.config;
  const { stateDb } = params;
  const clock = new LamportClock((value) => {
    stateDb.logicalClock = value;
  });
  const mailbox = new Mailbox({
    broker: params.broker,
    panel: new Panel(remoteCommands()),
    surface: new WorkerSurface({ ...params, clock }),
    namespace: settings.control_exchange,
    acceptContent: settings.accept_content,
    queueExpiresMs: settings.control_queue_expires * 1000,
    queueTtlMs: settings.control_queue_ttl * 1000,
    log: params.log,
  });
  return {
    name: mailbox.name,
    start: async () => {
      clock.adjust(stateDb.logicalClock);
      if (settings.worker_enable_remote_control) await mailbox.start();
    },
    stop: () => mailbox.stop(),
  };
}
