/**
 * `umbel worker --detach`: a worker in the background, and an answer when it is ready or has failed.
 *
 * Runs in the process that was called; the worker is the same command line in another (os/detached.ts). It says why a worker has
 * failed: what it wrote itself, and the end of its log. Its exit status is the worker's.
 */
import { constants } from 'node:os';
import type { Config } from '../config/config.ts';
import { path } from '../config/kind.ts';
import { exitStatus } from '../errors.ts';
import { workerNames } from '../node/worker-params.ts';
import { isDetached, type StartedProcess, startDetached } from '../os/detached.ts';
import { fileSize, lastLines } from '../os/file-end.ts';
import { currentCall } from '../os/reexec.ts';
import type { CommandContext } from './command.ts';
import { flagOption, valueOption } from './option-spec.ts';

const group = 'Daemon options';

export const detachOption = flagOption({
  names: ['-D', '--detach'],
  doc: 'Run in the background. The command ends when the worker is ready or has failed.',
  group,
});
export const executableOption = valueOption({
  names: ['--executable'],
  argument: 'PATH',
  kind: path(),
  doc: 'With --detach: the program that becomes the worker.',
  defaultText: 'this one',
  group,
});

const shownLogLines = 20;
const stillStartingMs = 10_000;

/** Is it for this process to start another one? UMBEL_FAKEFORK and C_FAKEFORK keep the worker in front. */
export function mustDetach(ctx: CommandContext): boolean {
  const inFront = ctx.env.UMBEL_FAKEFORK || ctx.env.C_FAKEFORK;
  return ctx.option(detachOption) === true && !inFront && !isDetached(ctx.env);
}

/** Resolves to the exit status of the command. Throws what is wrong with names and values before anything is started. */
export async function detach(ctx: CommandContext, config: Config): Promise<number> {
  const { nodeName, logFile } = workerNames(config);
  if (logFile === null) ctx.stderr('umbel: a worker in the background without --logfile keeps no log');
  const logSize = logFile === null ? 0 : fileSize(logFile);
  const own = currentCall();
  const executable = ctx.option(executableOption);
  // Another executable gets the command line, and neither script nor options of this runtime.
  const call = executable === undefined ? own : { file: executable, args: process.argv.slice(2) };
  const started = await startDetached({ call, env: ctx.env, onText: (text) => ctx.problem(text) });
  const watch = setInterval(() => {
    const [last] = logFile === null ? [] : lastLines(logFile, logSize, 1);
    ctx.stderr(`umbel: ${nodeName} (pid ${started.pid}) is still starting${last === undefined ? '' : `; the end of its log: ${last}`}`);
  }, stillStartingMs);
  const restore = passOn(started);
  const outcome = await started.outcome.finally(() => {
    clearInterval(watch);
    restore();
  });
  if (outcome.kind === 'ready') return exitStatus.ok;
  const { status, signal } = outcome;
  ctx.problem(`umbel: ${nodeName} ended with ${signal ?? `status ${status}`} before it was ready`);
  const lines = logFile === null ? [] : lastLines(logFile, logSize, shownLogLines);
  if (lines.length > 0) ctx.problem([`The end of ${logFile}:`, ...lines.map((line) => `  ${line}`)].join('\n'));
  if (signal !== null) return 128 + constants.signals[signal];
  return status || exitStatus.failure;
}

/** Who ends the command while it waits means the worker that is starting. Gives back the way to undo that. */
function passOn(started: StartedProcess): () => void {
  const end = (): void => started.kill('SIGTERM');
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.on(signal, end);
  return () => {
    for (const signal of signals) process.off(signal, end);
  };
}
