/** `umbel purge`: remove the messages of queues. */
import { listOf, text } from '../config/kind.ts';
import { exitStatus } from '../errors.ts';
import { configuredQueues, withBroker } from '../node/open-client.ts';
import { encodeJson } from '../protocol/json.ts';
import type { Command } from './command.ts';
import { confirm } from './confirm.ts';
import { flagOption, valueOption } from './option-spec.ts';
import { jsonOption } from './repeated-options.ts';

const queueNames = listOf(text({ rule: 'the name of a queue' }), 'queue names');
const force = flagOption({ names: ['-f', '--force'], doc: 'Do not ask.' });
const queues = valueOption({
  names: ['-Q', '--queues'],
  argument: 'QUEUES',
  kind: queueNames,
  doc: 'Of these queues, separated by commas.',
  defaultText: 'those of the configuration',
});
const exclude = valueOption({
  names: ['-X', '--exclude-queues'],
  argument: 'QUEUES',
  kind: queueNames,
  doc: 'Not of these, separated by commas.',
});
const json = jsonOption('Print how many of each queue, as one line of JSON.');

export const command: Command = {
  arguments: [],
  description:
    'What a worker holds stays: tasks that run, that it has reserved, or that wait there for their time. There is no way back. Asks first; the answer no, or no answer, ends it with status 1.',
  examples: ['umbel purge', 'umbel purge -f -Q mail,feeds'],
  options: [force, queues, exclude, json],
  settings: [],
  async run(ctx) {
    const config = ctx.loadConfig();
    const excluded = ctx.option(exclude) ?? [];
    const included = ctx.option(queues) ?? configuredQueues(config).map(({ name }) => name);
    const names = [...new Set(included)].filter((name) => !excluded.includes(name)).sort();
    const asJson = ctx.option(json) === true;
    const headline = names.length === 1 ? 'queue' : 'queues';
    if (names.length > 0 && ctx.option(force) !== true) {
      ctx.prompt(
        `WARNING: This will remove all tasks from ${headline}: ${names.join(', ')}.\n` +
          '         There is no undo for this operation!\n\n(to skip this prompt use the -f option)\n',
      );
      if (!(await confirm(ctx, 'Are you sure you want to delete all tasks?'))) {
        ctx.problem('Aborted!');
        return exitStatus.failure;
      }
    }
    if (names.length === 0) {
      if (asJson) ctx.stdout('{}');
      return exitStatus.ok;
    }
    const purged = await withBroker(config, ctx.env, async (broker) => {
      const counts: Record<string, number> = {};
      for (const name of names) counts[name] = await broker.purgeQueue(name);
      return counts;
    });
    const count = Object.values(purged).reduce((total, one) => total + one, 0);
    if (asJson) ctx.stdout(encodeJson(purged));
    else if (count === 0) ctx.stdout(`No messages purged from ${names.length} ${headline}.`);
    else ctx.stdout(`Purged ${count} ${count === 1 ? 'message' : 'messages'} from ${names.length} known task ${headline}.`);
    return exitStatus.ok;
  },
};
