/**
 * Tells systemd how the worker is, for units of Type=notify and Type=notify-reload.
 *
 * Does nothing when NOTIFY_SOCKET is not set. The variable is left in the environment, because the worker needs it again after
 * it executes itself; whoever starts children must leave it out of theirs.
 */

import { sendUnixDatagram } from './libc.ts';

export interface SdNotify {
  /** Is there anybody to tell? */
  readonly active: boolean;
  /** Half of what systemd allows between two signs of life; null when it asks for none. */
  readonly watchdogIntervalMs: number | null;
  /** Each returns whether the message was sent. */
  ready(status?: string): boolean;
  /** Never before a restart in place: systemd would end what comes back. */
  stopping(status?: string): boolean;
  /** Before the configuration is read again; followed by `ready`. */
  reloading(status?: string): boolean;
  status(text: string): boolean;
  watchdog(): boolean;
}

export function createSdNotify(env: Readonly<Record<string, string | undefined>> = process.env): SdNotify {
  const socketPath = env.NOTIFY_SOCKET ?? '';
  const active = socketPath.startsWith('/') || socketPath.startsWith('@');
  const send = (lines: readonly string[], status: string | undefined): boolean => {
    if (!active) return false;
    const all = status === undefined ? lines : [...lines, `STATUS=${status.replaceAll('\n', ' ')}`];
    return sendUnixDatagram(socketPath, Buffer.from(all.join('\n')));
  };
  return {
    active,
    watchdogIntervalMs: active ? watchdogIntervalMs(env) : null,
    ready: (status) => send(['READY=1'], status),
    stopping: (status) => send(['STOPPING=1'], status),
    // CLOCK_MONOTONIC, by which systemd tells this reload's READY from an earlier one.
    reloading: (status) => send(['RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`], status),
    status: (text) => send([], text),
    watchdog: () => send(['WATCHDOG=1'], undefined),
  };
}

function watchdogIntervalMs(env: Readonly<Record<string, string | undefined>>): number | null {
  const limitUs = Number(env.WATCHDOG_USEC);
  const forPid = env.WATCHDOG_PID;
  if (!(limitUs > 0) || (forPid !== undefined && Number(forPid) !== process.pid)) return null;
  return limitUs / 2000;
}
