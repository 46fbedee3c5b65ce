/**
 * Remote control without a broker: a Unix socket that answers every inspect and control command, and some that are for this machine alone.
 *
 * A line is a request, { method, arguments, node? }; its answer a line, { node, value }, or { node, another: true } when another node was meant. Owns the socket and the memory of when the broker went away.
 */
import { accessSync, constants } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Settings } from '../config/settings-table.ts';
import { noReply } from '../control/command.ts';
import { errorText } from '../control/command-failure.ts';
import { localCommands } from '../control/local-commands.ts';
import { type Panel, withDefaults } from '../control/panel.ts';
import { LineServer } from '../driver/line-server.ts';
import { messageOf } from '../errors.ts';
import type { Component } from '../lifecycle/component.ts';
import type { Logger } from '../log/logger.ts';
import { isServiceFolder, makeFolder } from '../os/service-folder.ts';
import { encodeJson, parseJson } from '../protocol/json.ts';
import { expandTemplate } from '../std/node-name.ts';
import type { WorkerSurface } from './worker-surface.ts';

export interface LocalControlParams {
  /** Absolute; null: there is no socket. */
  readonly path: string | null;
  readonly panel: Panel;
  readonly surface: WorkerSurface;
  readonly log: Logger;
}

const serviceFolder = '/run/umbel';

/** The folder for sockets and the like: of systemd's unit, of the session, or of the service for root and who may write there; null: there is none. */
export function runtimeFolder(env: NodeJS.ProcessEnv): string | null {
  const ofUnit = env.RUNTIME_DIRECTORY?.split(':')[0];
  if (ofUnit?.startsWith('/')) return ofUnit;
  if (process.getuid?.() === 0) return serviceFolder;
  if (env.XDG_RUNTIME_DIR?.startsWith('/')) return join(env.XDG_RUNTIME_DIR, 'umbel');
  try {
    accessSync(serviceFolder, constants.W_OK);
    return serviceFolder;
  } catch {
    return null;
  }
}

/** Where a worker listens; null: nowhere. */
export function controlSocketPath(
  settings: Pick<Settings, 'worker_control_socket'>,
  nodeName: string,
  env: NodeJS.ProcessEnv,
): string | null {
  const { worker_control_socket: path } = settings;
  if (path === 'disabled') return null;
  if (path !== null) return expandTemplate(path, { nodeName, index: 0 });
  const folder = runtimeFolder(env);
  return folder === null ? null : join(folder, `${nodeName}.sock`);
}

/** A socket that cannot be made is said, and the worker goes on: it is there for a day on which other things are broken. */
export function localControl({ path, panel, surface, log }: LocalControlParams): Component {
  const server = path === null ? null : new LineServer({ path, answer: (line) => answer(line, panel, surface, log) });
  return {
    name: 'local control',
    start: async () => {
      try {
        if (path !== null && isServiceFolder(dirname(path))) makeFolder(dirname(path));
        await server?.start();
      } catch (error) {
        log.warning('control.no-socket', `umbel ctl will not reach this worker: ${messageOf(error)}`);
      }
    },
    stop: async () => server?.stop(),
  };
}

async function answer(line: string, panel: Panel, surface: WorkerSurface, log: Logger): Promise<string> {
  const { nodeName: node } = surface;
  try {
    const request = parseJson(line) as { readonly method?: unknown; readonly arguments?: unknown; readonly node?: unknown } | null;
    // Several workers may have been told the same path, and whoever names one of them must not stop another.
    if (typeof request?.node === 'string' && request.node !== node) return encodeJson({ node, another: true });
    const method = String(request?.method ?? '');
    const args = typeof request?.arguments === 'object' && request.arguments !== null ? { ...request.arguments } : {};
    const local = localCommands.find(({ name }) => name === method);
    if (local !== undefined) return encodeJson({ node, value: await local.run(surface, withDefaults(local, method, args)) });
    const value = await panel.call(surface, method, args, (error) =>
      log.error('control.failed', `local command error: ${errorText(error)}`, { method }),
    );
    return encodeJson({ node, value: value === noReply ? null : (value ?? null) });
  } catch (error) {
    return encodeJson({ node, value: { error: errorText(error) } });
  }
}
