/** `umbel migrate SRC DST`: the messages of queues, from one broker to another. */
import type { Broker } from '../broker/broker.ts';
import { type MigratedQueue, Migration, type MigrationResult } from '../broker/migration.ts';
import type { Config } from '../config/config.ts';
import { integer, listOf, seconds, text } from '../config/kind.ts';
import { exitStatus, messageOf, UmbelError } from '../errors.ts';
import { createLogger } from '../log/create-logger.ts';
import { brokerAt, configuredQueues, queueNamed } from '../node/open-client.ts';
import type { Command, CommandContext } from './command.ts';
import { flagOption, valueOption } from './option-spec.ts';
import { timeoutOption } from './repeated-options.ts';

const limit = valueOption({
  names: ['-n', '--limit'],
  argument: 'N',
  kind: integer({ min: 1 }),
  doc: 'Migrate so many tasks.',
  defaultText: 'all',
});
const timeout = timeoutOption('It is over when no task has come for so long.', '1', seconds({ above: 0 }));
const acknowledge = flagOption({
  names: ['-a', '--ack-messages'],
  doc: 'Take them away from the source, each when the destination has it. Without it they are copied.',
});
const tasks = valueOption({
  names: ['-T', '--tasks'],
  argument: 'NAMES',
  kind: listOf(text({ rule: 'the name of a task' }), 'names of tasks'),
  doc: 'Only tasks of these names, separated by commas.',
});
const queues = valueOption({
  names: ['-Q', '--queues'],
  argument: 'QUEUES',
  kind: listOf(text({ rule: 'the name of a queue, or two with a colon between' }), 'queue names'),
  doc: 'These queues, separated by commas; `mail:post` puts those of `mail` into `post`.',
  defaultText: 'those of the configuration',
});
const forever = flagOption({ names: ['-F', '--forever'], doc: 'Go on with what comes later, until Ctrl+C.' });

export const command: Command = {
  arguments: ['<source>', '<destination>'],
  description:
    'Source and destination are URLs as broker.url. Each message keeps its headers, properties and body, and goes to the queue it comes from, which is declared at the destination as the configuration says. What a worker holds is not there to be taken: stop the workers of the source first. When the command is ended in the middle, or a connection is lost, nothing is lost, but some messages can be there twice: run again, they are migrated again.',
  examples: [
    'umbel migrate -a sqlite:////srv/shop/umbel.db redis://localhost/0',
    'umbel migrate -a -F -Q mail:post redis://localhost/0 amqp://localhost//',
  ],
  options: [limit, timeout, acknowledge, tasks, queues, forever],
  settings: [],
  async run(ctx) {
    const [sourceUrl = '', destinationUrl = ''] = ctx.args;
    const config = ctx.loadConfig();
    const source = brokerOf(ctx, config, sourceUrl, 'the source');
    const destination = brokerOf(ctx, config, destinationUrl, 'the destination');
    const chosen = chosenQueues(config, ctx.option(queues));
    const circle = chosen.find(({ from, to }) => from === to.name);
    if (source.displayUrl === destination.displayUrl && circle !== undefined)
      throw new UmbelError(
        'USAGE',
        `source and destination must be two brokers, or have queues of different names (-Q old:new), got ${source.displayUrl} for both, and queue ${circle.from}`,
      );
    const wanted = ctx.option(tasks);
    const migration = new Migration({
      source,
      destination,
      queues: chosen,
      tasks: wanted === undefined ? null : new Set(wanted),
      limit: ctx.option(limit) ?? null,
      timeoutMs: ctx.option(forever) === true ? null : (ctx.option(timeout) ?? 1) * 1000,
      acknowledge: ctx.option(acknowledge) === true,
      onMigrated: ({ count, total, task, id }) => ctx.stdout(`Migrating task ${count}/${count > total ? '?' : total}: ${task}[${id}]`),
    });
    try {
      await Promise.all([source.start(), destination.start()]);
      sayResult(ctx, await untilSignal(migration));
    } finally {
      await Promise.all([source.stop(), destination.stop()]);
    }
    return exitStatus.ok;
  },
};

function brokerOf(ctx: CommandContext, config: Config, url: string, what: string): Broker {
  const log = createLogger({ level: 'warning', format: 'text', processName: 'umbel' });
  try {
    return brokerAt(config, ctx.env, url, log);
  } catch (error) {
    if (!(error instanceof UmbelError)) throw error;
    throw new UmbelError(error.code, messageOf(error).replace(/^broker\.url/, what), { cause: error });
  }
}

function chosenQueues(config: Config, named: readonly string[] | undefined): readonly MigratedQueue[] {
  if (named === undefined) return configuredQueues(config).map((to) => ({ from: to.name, to }));
  return named.map((pair) => {
    const [from = '', name = from] = pair.split(':');
    if (from === '' || name === '')
      throw new UmbelError('USAGE', `--queues must be names, or two with a colon between, got ${JSON.stringify(pair)}`);
    return { from, to: queueNamed(config, name) };
  });
}

/** INT and TERM end it in good order; a second one at once. */
async function untilSignal(migration: Migration): Promise<MigrationResult> {
  const stop = (): void => migration.stop();
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.once(signal, stop);
  try {
    return await migration.run();
  } finally {
    for (const signal of signals) process.removeListener(signal, stop);
  }
}

function sayResult(ctx: CommandContext, { count, left, repeatable, missing }: MigrationResult): void {
  for (const queue of missing) ctx.stderr(`The source has no queue ${queue}.`);
  const migrated = count === 0 ? 'No tasks' : count === 1 ? '1 task' : `${count} tasks`;
  const copied = count > 0 && ctx.option(acknowledge) !== true ? '; the source has them still (-a takes them away)' : '';
  ctx.stderr(`${migrated} migrated${copied}.`);
  if (left > 0) ctx.stderr(`${left} stayed at the source, by -T or -n or because it was ended.`);
  if (repeatable > 0)
    ctx.stderr(`${repeatable} of them may be at the source still: the connection was lost before they were acknowledged.`);
}
