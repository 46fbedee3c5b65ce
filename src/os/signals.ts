/**
 * Installs the handlers of the signal table.
 *
 * Owns the handlers and the count of repeated signals. A handler here calls one function and returns; the function it is given
 * must only enqueue. Every signal of the table gets an explicit handler, because as PID 1 a process without one ignores it.
 */

import { isatty } from 'node:tty';
import { UmbelError } from '../errors.ts';
import { childSignals, type SignalMeaning, signalTable, type WorkerSignal } from './signal-table.ts';

export interface ReceivedSignal {
  readonly signal: WorkerSignal;
  /** How many of this signal have come, this one included. */
  readonly count: number;
  /** Status to exit with if this step ends the worker; null when it does not. */
  readonly exitStatus: number | null;
}

export type SignalHandlers = Readonly<Record<SignalMeaning, (received: ReceivedSignal) => void>>;

export interface ListenSignalsParams {
  readonly handlers: SignalHandlers;
  /** For REMAP_SIGTERM. Default process.env. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface SignalListener {
  /** Give the signals back to their default action. Safe to call again. */
  close(): void;
}

/** Throws CONFIG_INVALID when REMAP_SIGTERM names something else than SIGQUIT. */
export function listenSignals(params: ListenSignalsParams): SignalListener {
  const remapTerm = remapOf((params.env ?? process.env).REMAP_SIGTERM);
  const hadTerminal = isatty(0);
  const installed = new Map<WorkerSignal, () => void>();

  for (const signal of Object.keys(signalTable) as WorkerSignal[]) {
    const { steps } = signalTable[signal === 'SIGTERM' ? remapTerm : signal];
    let count = 0;
    const onSignal = (): void => {
      const step = steps[Math.min(count, steps.length - 1)] ?? steps[0];
      count++;
      if (step.meaning === 'restart' && hadTerminal && !isatty(0)) {
        // The terminal was closed: nobody asked for a restart.
        params.handlers.warm({ signal, count, exitStatus: 0 });
      } else {
        params.handlers[step.meaning]({ signal, count, exitStatus: step.exitStatus });
      }
    };
    installed.set(signal, onSignal);
    process.on(signal, onSignal);
  }

  return {
    close() {
      for (const [signal, onSignal] of installed) process.off(signal, onSignal);
      installed.clear();
    },
  };
}

/** In a pool child: signals that a terminal or a supervisor sends to the whole group are the parent's business. */
export function ignoreGroupSignals(): void {
  for (const signal of childSignals.ignored) process.on(signal, () => {});
}

function remapOf(value: string | undefined): 'SIGTERM' | 'SIGQUIT' {
  if (value === undefined || value === '') return 'SIGTERM';
  if (value === 'SIGQUIT') return value;
  throw new UmbelError('CONFIG_INVALID', `REMAP_SIGTERM must be SIGQUIT, got ${JSON.stringify(value)} (environment)`);
}
