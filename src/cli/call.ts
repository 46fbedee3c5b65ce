/** `umbel call TASK`: send one task, and with --wait print its result. */
import { integer, oneOf, seconds, text } from '../config/kind.ts';
import { exitStatus, UmbelError } from '../errors.ts';
import { openClient } from '../node/open-client.ts';
import { parseIsoTime } from '../protocol/iso-time.ts';
import { encodeJson, parseJson } from '../protocol/json.ts';
import type { CallOptions } from '../task/call-options.ts';
import type { Command, CommandContext } from './command.ts';
import { valueOption } from './option-spec.ts';
import { printResult } from './print-result.ts';
import { waitOption } from './repeated-options.ts';

const args = valueOption({
  names: ['-a', '--args'],
  argument: 'JSON',
  kind: text({ rule: 'a JSON array' }),
  doc: 'Positional arguments, a JSON array.',
});
const kwargs = valueOption({
  names: ['-k', '--kwargs'],
  argument: 'JSON',
  kind: text({ rule: 'a JSON object' }),
  doc: 'Keyword arguments, a JSON object.',
});
const countdown = valueOption({ names: ['--countdown'], argument: 'SECONDS', kind: seconds(), doc: 'Run it so many seconds from now.' });
const eta = valueOption({
  names: ['--eta'],
  argument: 'TIME',
  kind: text({ rule: 'an ISO 8601 time' }),
  doc: 'Run it at this time (ISO 8601; without an offset: UTC).',
});
const expires = valueOption({
  names: ['--expires'],
  argument: 'SECONDS|TIME',
  kind: text({ rule: 'seconds or an ISO 8601 time' }),
  doc: 'Do not run it after so many seconds, or after this time.',
});
const queue = valueOption({
  names: ['--queue'],
  argument: 'NAME',
  kind: text({ rule: 'the name of a queue' }),
  doc: 'Queue to send it to.',
});
const exchange = valueOption({
  names: ['--exchange'],
  argument: 'NAME',
  kind: text({ rule: 'the name of an exchange' }),
  doc: 'Exchange to send it to, instead of that of its queue.',
});
const routingKey = valueOption({
  names: ['--routing-key'],
  argument: 'KEY',
  kind: text({ rule: 'a routing key' }),
  doc: 'Routing key, instead of that of its queue.',
});
const serializer = valueOption({
  names: ['--serializer'],
  argument: 'NAME',
  kind: oneOf(['json']),
  doc: 'Serializer of the arguments. There is one.',
  defaultText: 'json',
});
const priority = valueOption({
  names: ['--priority'],
  argument: 'N',
  kind: integer({ min: 0, max: 255 }),
  doc: 'Priority of the message.',
});
const taskId = valueOption({
  names: ['--task-id'],
  argument: 'ID',
  kind: text({ rule: 'a task id' }),
  doc: 'Id of the task, instead of a new one.',
});
const wait = waitOption('Wait for the result, at most so long, and print it instead of the id.');

export const command: Command = {
  arguments: ['<task>'],
  description:
    'Prints the id of the task; with --wait its result as JSON. A failed task ends it with status 1, a result that does not come in time with 75.',
  examples: ["umbel call tasks.add --args '[2, 2]' --wait", 'umbel call jobs.email.send -k \'{"to": "a@example.com"}\' --countdown 60'],
  options: [args, kwargs, countdown, eta, expires, serializer, queue, exchange, routingKey, priority, taskId, wait],
  settings: [],
  async run(ctx) {
    const [task = ''] = ctx.args;
    if (task === '') throw new UmbelError('USAGE', 'the name of a task must not be empty');
    const positional = readJson(ctx.option(args), '--args', '[]');
    if (!Array.isArray(positional)) throw new UmbelError('USAGE', `--args must be a JSON array, got ${encodeJson(positional)}`);
    const keywords = readJson(ctx.option(kwargs), '--kwargs', '{}');
    if (typeof keywords !== 'object' || keywords === null || Array.isArray(keywords))
      throw new UmbelError('USAGE', `--kwargs must be a JSON object, got ${encodeJson(keywords)}`);
    const options = callOptions(ctx);
    const waited = ctx.option(wait);
    const client = openClient(ctx.loadConfig(), ctx.env);
    if (waited !== undefined && !client.storesResults)
      throw new UmbelError('BACKEND_DISABLED', '--wait needs results, which are disabled: set result.backend');
    await client.start();
    try {
      const result = await client.call<unknown>({ task, args: positional, kwargs: keywords as Record<string, unknown>, options });
      if (waited === undefined) {
        ctx.stdout(result.id);
        return exitStatus.ok;
      }
      return await printResult(ctx, result, waited === true ? undefined : waited * 1000);
    } finally {
      await client.stop();
    }
  },
};

function callOptions(ctx: CommandContext): CallOptions {
  const etaText = ctx.option(eta);
  if (etaText !== undefined && ctx.option(countdown) !== undefined)
    throw new UmbelError('USAGE', '--eta and --countdown cannot be given together');
  return {
    countdown: ctx.option(countdown),
    eta: etaText === undefined ? undefined : new Date(timeOf(etaText, '--eta')),
    expires: expiryOf(ctx.option(expires)),
    queue: ctx.option(queue),
    exchange: ctx.option(exchange),
    routingKey: ctx.option(routingKey),
    priority: ctx.option(priority),
    taskId: ctx.option(taskId),
  };
}

function expiryOf(given: string | undefined): number | Date | undefined {
  if (given === undefined) return undefined;
  return /^\d+(\.\d+)?$/.test(given) ? Number(given) : new Date(timeOf(given, '--expires'));
}

function timeOf(given: string, option: string): number {
  const ms = parseIsoTime(given);
  if (ms === null) throw new UmbelError('USAGE', `${option} must be an ISO 8601 time, got ${JSON.stringify(given)}`);
  return ms;
}

function readJson(given: string | undefined, option: string, otherwise: string): unknown {
  try {
    return parseJson(given ?? otherwise);
  } catch {
    throw new UmbelError('USAGE', `${option} must be JSON, got ${JSON.stringify(given)}`);
  }
}
