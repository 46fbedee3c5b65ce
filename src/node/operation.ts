/**
 * What a worker is operated by: its supervisor, the socket on its machine, its probes, remote control over the broker.
 *
 * Owns when each is there: who looks after a worker hears of it from its first moment on; whoever is on its machine can ask it as soon as it has children,
 * also while it waits for its broker; remote control comes last, when all it is about is there.
 */
import { readListenPlace } from '../config/listen-kind.ts';
import type { Settler } from '../consumer/settle.ts';
import { Mailbox } from '../control/mailbox.ts';
import { Panel } from '../control/panel.ts';
import type { Component } from '../lifecycle/component.ts';
import type { SdNotify } from '../os/sd-notify.ts';
import { dispensable } from './dispensable.ts';
import { health } from './health.ts';
import { controlSocketPath, localControl } from './local-control.ts';
import { builtinCommands, remoteCommands } from './module-commands.ts';
import { unready } from './readiness.ts';
import { StatusLine } from './status-line.ts';
import { Watchdog } from './watchdog.ts';
import { WorkerSurface, type WorkerSurfaceParams } from './worker-surface.ts';

export interface OperationParams extends WorkerSurfaceParams {
  readonly env: NodeJS.ProcessEnv;
  readonly settler: Settler;
  readonly notify: SdNotify;
  /** It should get messages, gets none, and has done all against it that it may. */
  isHelpless(): boolean;
}

export interface Operation {
  /** From the beginning. */
  readonly supervised: Component[];
  /** Behind the children, before the broker. */
  readonly local: Component[];
  /** Last: who is told that this worker is ready can rely on it. */
  readonly remote: Component[];
}

export function operation(params: OperationParams): Operation {
  const { config, broker, names, env, log, notify, isHelpless } = params;
  const { settings } = config;
  const panel = new Panel(builtinCommands);
  const ownCommands = { name: 'control modules', start: async () => panel.add(await remoteCommands(config)), stop: async () => {} };
  const surface = new WorkerSurface(params);
  const local = localControl({ path: controlSocketPath(settings, names.nodeName, env), panel, surface, log });
  const { worker_health_listen: listen } = settings;
  const probes = health({ place: listen === null ? null : readListenPlace(listen), ...params });
  const status = new StatusLine({ notify, nodeName: names.nodeName, problem: () => unready(params) });
  const here = { supervised: [new Watchdog({ notify, isHelpless, log }), status], local: [ownCommands, probes, local] };
  if (!settings.worker_enable_remote_control) return { ...here, remote: [] };
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
  const without = 'Remote control does not reach this worker, umbel ctl does';
  return { ...here, remote: [dispensable({ broker, without, log }, mailbox)] };
}
