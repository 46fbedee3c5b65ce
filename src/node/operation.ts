/** What a worker is operated by: remote control over the broker, its socket on this machine, its probes. Started last and stopped first. */
import { readListenPlace } from '../config/listen-kind.ts';
import { patient } from '../consumer/patient-start.ts';
import type { Settler } from '../consumer/settle.ts';
import { Mailbox } from '../control/mailbox.ts';
import { Panel } from '../control/panel.ts';
import type { Component } from '../lifecycle/component.ts';
import { health } from './health.ts';
import { controlSocketPath, localControl } from './local-control.ts';
import { builtinCommands, remoteCommands } from './module-commands.ts';
import { WorkerSurface, type WorkerSurfaceParams } from './worker-surface.ts';

export interface OperationParams extends WorkerSurfaceParams {
  readonly env: NodeJS.ProcessEnv;
  readonly settler: Settler;
  /** Started, and not asked to stop. */
  isRunning(): boolean;
}

/** In the order of their start: who is told that this worker is ready can rely on it. */
export function operation(params: OperationParams): Component[] {
  const { config, broker, names, env, log } = params;
  const { settings } = config;
  const panel = new Panel(builtinCommands);
  const ownCommands = { name: 'control modules', start: async () => panel.add(await remoteCommands(config)), stop: async () => {} };
  const surface = new WorkerSurface(params);
  const local = localControl({ path: controlSocketPath(settings, names.nodeName, env), panel, surface, log });
  const { worker_health_listen: listen } = settings;
  const probes = health({ place: listen === null ? null : readListenPlace(listen), ...params });
  if (!settings.worker_enable_remote_control) return [ownCommands, probes, local];
  const mailbox = new Mailbox({
    broker,
    panel,
    surface,
    namespace: settings.control_exchange,
    acceptContent: settings.accept_content,
    queueExpiresMs: settings.control_queue_expires * 1000,
    queueTtlMs: settings.control_queue_ttl * 1000,
    log,
  });
  return [ownCommands, probes, local, patient(broker, mailbox)];
}
