/** `umbel events`: what workers and clients say they do, as lines, as JSON, or to a camera. Ends with INT or TERM. */
import { seconds, text } from '../config/kind.ts';
import { exitStatus, UmbelError } from '../errors.ts';
import { Camera } from '../event/camera.ts';
import { EventLines } from '../event/event-lines.ts';
import type { ReceivedEvent } from '../event/receiver.ts';
import { State } from '../event/state.ts';
import { createLogger } from '../log/create-logger.ts';
import type { Logger } from '../log/logger.ts';
import { loadCamera } from '../node/module-camera.ts';
import { openEvents } from '../node/open-events.ts';
import { encodeJson } from '../protocol/json.ts';
import { perSecond } from '../std/rate-limit.ts';
import type { Command, CommandContext } from './command.ts';
import { flagOption, valueOption } from './option-spec.ts';
import { jsonOption } from './repeated-options.ts';

const dump = flagOption({ names: ['-d', '--dump'], doc: 'Print each event as a line, as Celery does.' });
const json = jsonOption('Print each event as a line of JSON.');
const camera = valueOption({
  names: ['-c', '--camera'],
  argument: 'MODULE',
  kind: text({ rule: 'the path of a module' }),
  doc: 'Hand the state of the cluster to this module, which exports onShutter(state).',
});
const frequency = valueOption({
  names: ['-F', '--frequency', '--freq'],
  argument: 'SECONDS',
  kind: seconds({ above: 0 }),
  doc: 'With --camera: take a snapshot every so often.',
  defaultText: '1',
});
const maxRate = valueOption({
  names: ['-r', '--maxrate'],
  argument: 'RATE',
  kind: text({ rule: 'a rate as 10/m' }),
  doc: 'With --camera: take no more snapshots than that.',
});

export const command: Command = {
  arguments: [],
  description:
    'Workers tell of tasks with -E, or after `umbel control enable_events`. One of --dump, --json and --camera must be given. It ends with Ctrl+C.',
  examples: ['umbel events --dump', 'umbel events --json', 'umbel events --camera camera.ts --frequency 2'],
  options: [dump, json, camera, frequency, maxRate],
  settings: [],
  async run(ctx) {
    const modes = [ctx.option(dump), ctx.option(json), ctx.option(camera)].filter((mode) => mode !== undefined);
    if (modes.length !== 1)
      throw new UmbelError('USAGE', `one of --dump, --json and --camera must be given, got ${modes.length || 'none'}`);
    const module = ctx.option(camera);
    if (module === undefined && (ctx.option(frequency) !== undefined || ctx.option(maxRate) !== undefined))
      throw new UmbelError('USAGE', '--frequency and --maxrate go with --camera');
    if (module !== undefined) return photograph(ctx, module);
    const lines = new EventLines();
    if (ctx.option(json) === true) return capture(ctx, (event) => ctx.stdout(encodeJson(event)));
    ctx.stdout('-> evdump: starting capture...');
    return capture(ctx, (event) => ctx.stdout(lines.line(event)));
  },
};

async function capture(ctx: CommandContext, onEvent: (event: ReceivedEvent) => void): Promise<number> {
  const ended = endSignal();
  const stop = await listen(ctx, eventLog(), onEvent);
  await ended;
  await stop();
  return exitStatus.ok;
}

async function photograph(ctx: CommandContext, module: string): Promise<number> {
  const rate = ctx.option(maxRate);
  const perSecondMost = rate === undefined ? 0 : perSecond(rate);
  if (perSecondMost === null) throw new UmbelError('USAGE', `--maxrate must be a rate as 10/m, got ${JSON.stringify(rate)}`);
  const interval = ctx.option(frequency) ?? 1;
  const functions = await loadCamera(module, ctx.cwd);
  const ended = endSignal();
  const log = eventLog();
  const state = new State({ log });
  const stop = await listen(ctx, log, (event) => state.event(event));
  const photographer = new Camera({
    functions,
    state,
    intervalMs: interval * 1000,
    ...(perSecondMost === 0 ? null : { minIntervalMs: 1000 / perSecondMost }),
    log,
  });
  photographer.start();
  ctx.stdout(`-> evcam: Taking snapshots with ${module} (every ${interval} secs.)`);
  await ended;
  await stop();
  await photographer.stop();
  return exitStatus.ok;
}

async function listen(ctx: CommandContext, log: Logger, onEvent: (event: ReceivedEvent) => void): Promise<() => Promise<void>> {
  const onLost = (): void => ctx.stderr('-> Connection lost, attempting reconnect');
  const { stop } = await openEvents({ config: ctx.loadConfig(), env: ctx.env, log, onEvent, onLost });
  return stop;
}

/** On standard error: what is wrong while it listens. */
function eventLog(): Logger {
  return createLogger({ level: 'warning', format: 'text', processName: 'umbel' });
}

/** INT or TERM; from now on they do not end the process by themselves. A second one does. */
function endSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
}
