/**
 * Commands that only the socket of a worker answers: they show or open what is nobody's business over a broker.
 *
 * `umbel ctl --help` and the checks of arguments come from these values, as those of remote commands do.
 */
import type { ControlCommand } from './command.ts';
import { CommandFailure } from './command-failure.ts';
import { countOf } from './command-values.ts';
import type { ControlSurface } from './control-surface.ts';

export interface LocalSurface extends ControlSurface {
  /** One sentence. */
  why(): Promise<string>;
  /** Into the log of the worker. */
  dump(): Promise<void>;
  /** Open the inspector of a child: where it listens. Throws CommandFailure where that cannot be. */
  openDebugger(index: number): Promise<string>;
  closeDebugger(index: number): Promise<boolean>;
}

export interface LocalCommand extends Omit<ControlCommand, 'kind' | 'run'> {
  run(surface: LocalSurface, args: Readonly<Record<string, unknown>>): unknown;
}

export const localCommands: readonly LocalCommand[] = [
  {
    name: 'why',
    arguments: [],
    help: 'Say in one sentence why nothing runs, or what does.',
    run: async (surface) => ({ ok: await surface.why() }),
  },
  {
    name: 'dump',
    arguments: [],
    help: 'Write into the log what the worker and every child are doing, as USR1 does.',
    timeoutSeconds: 15,
    run: async (surface) => {
      await surface.dump();
      return { ok: 'written to the log' };
    },
  },
  {
    name: 'debug',
    arguments: [
      { name: 'index', type: 'integer' },
      { name: 'what', default: 'open' },
    ],
    signature: '<index> [close]',
    help: 'Open the inspector of a child on a loopback port, and say how to attach a debugger (worker.enable_inspector); or close it again.',
    timeoutSeconds: 15,
    run: async (surface, { index, what }) => {
      const number = countOf('index', index);
      if (what === 'close') return { ok: (await surface.closeDebugger(number)) ? 'the inspector is closed' : 'the inspector is not open' };
      if (what !== 'open') throw new CommandFailure(null, `debug takes the index of a child, and close or nothing, got ${String(what)}`);
      const url = await surface.openDebugger(number);
      const place = new URL(url).host;
      return {
        ok: `the inspector of PoolChild-${number} listens on ${url}\nattach with: node inspect ${place}, or chrome://inspect\nclose it with: umbel ctl debug ${number} close`,
      };
    },
  },
];
