/**
 * `umbel shell`: JavaScript with the application and its tasks at hand.
 *
 * On a terminal Node's own REPL, with its history; otherwise, and with --eval, each statement in turn, until one fails.
 */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import repl from 'node:repl';
import { inspect } from 'node:util';
import { defaultBrokerPath } from '../client/connections.ts';
import { text } from '../config/kind.ts';
import { exitStatus } from '../errors.ts';
import { openShell, type Shell } from '../node/open-shell.ts';
import { version } from '../std/version.ts';
import type { Command, CommandContext } from './command.ts';
import { Evaluator } from './evaluator.ts';
import { flagOption, valueOption } from './option-spec.ts';

const withoutTasks = flagOption({ names: ['-T', '--without-tasks'], doc: 'Load no task modules.' });
const code = valueOption({
  names: ['-e', '--eval'],
  argument: 'CODE',
  kind: text({ rule: 'JavaScript' }),
  doc: 'Run this, print its value, and end.',
});

export const command: Command = {
  arguments: [],
  description:
    'The names there are: app (also celery), every task by the last part of its name, tasks["NAME"], taskHandle("NAME") for those that are not loaded, ' +
    'result(ID), chain, group, chord, chunks, xmap, xstarmap, signature, control, State. What is sent is sent as a program would; task(…) runs here.\n' +
    'Without a terminal it runs what comes from standard input; the first failure ends it with status 1.',
  examples: [
    'umbel shell -A tasks.ts',
    "umbel shell -e 'await (await add.delay(2, 3)).get()'",
    'echo \'await control.broadcast("ping")\' | umbel shell -T',
  ],
  options: [withoutTasks, code],
  settings: [],
  async run(ctx) {
    const given = ctx.option(code);
    const shell = await openShell(ctx.loadConfig(), ctx.env, ctx.option(withoutTasks) !== true);
    try {
      if (given !== undefined) return await runLines(ctx, shell, given.split('\n'));
      if (!process.stdin.isTTY) return await runLines(ctx, shell, createInterface({ input: process.stdin }));
      return await talk(ctx, shell);
    } finally {
      await shell.stop();
    }
  },
};

async function talk(ctx: CommandContext, shell: Shell): Promise<number> {
  const count = shell.tasks.length;
  ctx.stderr(`umbel ${version()}, ${shell.broker}, ${count} ${count === 1 ? 'task' : 'tasks'}: ${Object.keys(shell.names).join(', ')}`);
  const server = repl.start({ prompt: 'umbel> ', ignoreUndefined: true });
  Object.assign(server.context, shell.names);
  const history = historyFile(ctx.env);
  if (history !== null) server.setupHistory(history, () => {});
  await new Promise<void>((resolve) => server.on('exit', () => resolve()));
  return exitStatus.ok;
}

/** Beside the embedded broker's usual place. null: there is no such folder and none can be made. */
function historyFile(env: NodeJS.ProcessEnv): string | null {
  const folder = dirname(defaultBrokerPath(env));
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return join(folder, 'shell_history');
  } catch {
    return null;
  }
}

/** A statement may take several lines. The value of a promise is waited for, so that nothing asked for is left undone. */
async function runLines(ctx: CommandContext, shell: Shell, lines: Iterable<string> | AsyncIterable<string>): Promise<number> {
  const evaluator = new Evaluator(shell.names);
  let statement = '';
  try {
    for await (const line of lines) {
      statement += `${line}\n`;
      const ended = await evaluator.evaluate(statement);
      if (ended === null) continue;
      statement = '';
      if (ended.value !== undefined) ctx.stdout(typeof ended.value === 'string' ? ended.value : inspect(ended.value, { depth: 6 }));
    }
    if (statement.trim() === '') return exitStatus.ok;
    ctx.problem('Uncaught SyntaxError: the last statement is not complete');
    return exitStatus.failure;
  } catch (error) {
    ctx.problem(`Uncaught ${inspect(error)}`);
    return exitStatus.failure;
  } finally {
    evaluator.close();
  }
}
