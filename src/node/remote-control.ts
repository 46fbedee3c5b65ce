/** Remote control as a part of a worker: its commands, what they see of it, and its mailbox. */
import { Mailbox } from '../control/mailbox.ts';
import { Panel } from '../control/panel.ts';
import type { Component } from '../lifecycle/component.ts';
import { remoteCommands } from './open-control.ts';
import { WorkerSurface, type WorkerSurfaceParams } from './worker-surface.ts';

/** Started last and stopped first: a worker that answers can do what it is told. */
export function remoteControl(params: WorkerSurfaceParams): Component {
  const { settings } = params.config;
  const mailbox = new Mailbox({
    broker: params.broker,
    panel: new Panel(remoteCommands()),
    surface: new WorkerSurface(params),
    namespace: settings.control_exchange,
    acceptContent: settings.accept_content,
    queueExpiresMs: settings.control_queue_expires * 1000,
    queueTtlMs: settings.control_queue_ttl * 1000,
    log: params.log,
  });
  const start = async (): Promise<void> => {
    if (settings.worker_enable_remote_control) await mailbox.start();
  };
  return { name: mailbox.name, start, stop: () => mailbox.stop() };
}
