/** `umbel dead list | show | retry | purge`: the messages that were put aside (worker.dead_queue). */
import type { DeadAction, DeadLetter, DeadLetters } from '../broker/dead-letters.ts';
import { exitStatus, UmbelError } from '../errors.ts';
import { withDeadLetters } from '../node/open-client.ts';
import { encodeJson, parseJson } from '../protocol/json.ts';
import { didYouMean } from '../std/nearest-name.ts';
import type { Command, CommandContext } from './command.ts';
import { flagOption } from './option-spec.ts';
import { jsonOption } from './repeated-options.ts';

const asJson = jsonOption('Print JSON: one object a line.');
const all = flagOption({ names: ['--all'], doc: 'With retry and purge: all of them, instead of those named.' });

type Visit = (letters: DeadLetters, ids: readonly string[], ctx: CommandContext) => Promise<number>;

const actions: Readonly<Record<string, Visit>> = { list, show, retry, purge };

export const command: Command = {
  arguments: ['<action>', '[...ids]'],
  description: [
    'list           one line for each: when, id, task, what happened',
    'show ID...     everything that is known of them: signal, peak memory, stack, message',
    'retry ID...    send them back to the queues they came from, as they were sent',
    'purge ID...    remove them for good',
  ]
    .map((line) => `  ${line}`)
    .join('\n'),
  examples: ['umbel dead list', 'umbel dead show 7bd8b1a2-5f0e-4f3e-9c61-52c4b6a6a5a8', 'umbel dead retry --all'],
  options: [asJson, all],
  settings: [],
  async run(ctx) {
    const [name = '', ...ids] = ctx.args;
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    if (action === undefined) {
      const hint = didYouMean(name, Object.keys(actions));
      throw new UmbelError('USAGE', `the action must be list, show, retry or purge, got ${JSON.stringify(name)}${hint}`);
    }
    const everything = ctx.option(all) === true;
    if (everything && (name === 'list' || name === 'show')) throw new UmbelError('USAGE', `--all goes with retry and purge, got ${name}`);
    if (name === 'list' && ids.length > 0) throw new UmbelError('USAGE', `list takes no ids, got ${ids.join(' ')}`);
    if (name !== 'list' && everything === ids.length > 0)
      throw new UmbelError(
        'USAGE',
        name === 'show' ? 'show needs the id of a message, got none' : `${name} needs ids or --all, got ${everything ? 'both' : 'neither'}`,
      );
    return withDeadLetters(ctx.loadConfig(), ctx.env, (letters) => action(letters, ids, ctx));
  },
};

async function list(letters: DeadLetters, _ids: readonly string[], ctx: CommandContext): Promise<number> {
  const visited = await letters.visit(() => 'keep');
  for (const { letter } of visited) ctx.stdout(ctx.option(asJson) === true ? JSON.stringify(summaryOf(letter)) : lineOf(letter));
  if (visited.length === 0) ctx.stderr(`Nothing is put aside in ${letters.queue}.`);
  return exitStatus.ok;
}

async function show(letters: DeadLetters, ids: readonly string[], ctx: CommandContext): Promise<number> {
  const visited = await letters.visit(() => 'keep');
  const chosen = visited.map(({ letter }) => letter).filter(({ id }) => ids.includes(id));
  for (const letter of chosen) ctx.stdout(ctx.option(asJson) === true ? encodeJson(everythingOf(letter)) : pageOf(letter));
  return missing(letters, ids, chosen);
}

async function retry(letters: DeadLetters, ids: readonly string[], ctx: CommandContext): Promise<number> {
  return carryOut(letters, ids, ctx, 'retry', ({ cause }) => (cause === null ? null : `sent back to ${cause.queue}`));
}

async function purge(letters: DeadLetters, ids: readonly string[], ctx: CommandContext): Promise<number> {
  if (ctx.option(all) !== true) return carryOut(letters, ids, ctx, 'remove', () => 'removed');
  const count = await letters.purge();
  ctx.stdout(ctx.option(asJson) === true ? JSON.stringify({ removed: count }) : `${count} removed`);
  return exitStatus.ok;
}

/** `done` says what has happened to a letter, null: it cannot be done to it. */
async function carryOut(
  letters: DeadLetters,
  ids: readonly string[],
  ctx: CommandContext,
  action: DeadAction,
  done: (letter: DeadLetter) => string | null,
): Promise<number> {
  const everything = ctx.option(all) === true;
  const visited = await letters.visit((letter) => ((everything || ids.includes(letter.id)) && done(letter) !== null ? action : 'keep'));
  const changed = visited.filter((one) => one.action === action).map(({ letter }) => letter);
  for (const letter of changed)
    ctx.stdout(ctx.option(asJson) === true ? JSON.stringify({ id: letter.id, action }) : `${letter.id} ${letter.task} ${done(letter)}`);
  for (const { letter } of visited)
    if ((everything || ids.includes(letter.id)) && done(letter) === null)
      ctx.stderr(`${letter.id} does not say where it came from, and stays in ${letters.queue}`);
  if (everything && changed.length === 0) ctx.stderr(`Nothing is put aside in ${letters.queue}.`);
  return missing(
    letters,
    ids,
    visited.map(({ letter }) => letter),
  );
}

function missing(letters: DeadLetters, ids: readonly string[], found: readonly DeadLetter[]): number {
  const absent = ids.filter((id) => !found.some((letter) => letter.id === id));
  if (absent.length === 0) return exitStatus.ok;
  throw new UmbelError('DEAD_LETTER_UNKNOWN', `the id must be one of a message in ${letters.queue}, got ${absent.join(' ')}`);
}

function summaryOf({ id, task, cause }: DeadLetter): Readonly<Record<string, unknown>> {
  return { id, task, ...cause };
}

/** With the arguments where they can be read. */
function everythingOf(letter: DeadLetter): Readonly<Record<string, unknown>> {
  const { headers, properties, body } = letter.message;
  return { ...summaryOf(letter), message: { headers, properties, body: contentOf(body, properties.contentType) } };
}

function contentOf(body: Buffer, contentType: string): unknown {
  if (contentType !== 'application/json') return body.toString('base64');
  try {
    return parseJson(body.toString('utf8'));
  } catch {
    return body.toString('base64');
  }
}

function lineOf({ id, task, cause }: DeadLetter): string {
  if (cause === null) return `-                        ${id} ${task}`;
  return `${new Date(cause.atMs).toISOString()} ${id} ${task} ${cause.reason === 'crashed' ? `ended ${cause.crashes} children` : cause.reason}: ${cause.text}`;
}

function pageOf(letter: DeadLetter): string {
  const { cause } = letter;
  const lines: [string, string | null][] = [
    ['id', letter.id],
    ['task', letter.task],
    ['reason', cause?.reason ?? null],
    ['what happened', cause?.text ?? null],
    ['children ended', cause === null || cause.crashes === 0 ? null : String(cause.crashes)],
    ['signal', cause?.signal ?? null],
    ['exit code', cause === null || cause.exitCode === null ? null : String(cause.exitCode)],
    ['peak memory', cause === null || cause.peakRssBytes === null ? null : `${Math.round(cause.peakRssBytes / 1024)} KiB`],
    ['put aside', cause === null ? null : `${new Date(cause.atMs).toISOString()} by ${cause.worker}`],
    ['came from', cause?.queue ?? null],
    ['body', letter.message.body.toString('utf8', 0, 1024)],
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  const shown = lines.filter(([, value]) => value !== null).map(([name, value]) => `${name.padEnd(width)}  ${value}`);
  if (cause?.stack != null) shown.push('stack', ...cause.stack.split('\n').map((line) => `  ${line}`));
  return `${shown.join('\n')}\n`;
}
