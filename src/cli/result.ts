/** `umbel result ID`: the result of a task that was called earlier. */
import { exitStatus, UmbelError } from '../errors.ts';
import { openClient } from '../node/open-client.ts';
import { readyStates } from '../protocol/result.ts';
import type { Command } from './command.ts';
import { flagOption } from './option-spec.ts';
import { printResult } from './print-result.ts';
import { waitOption } from './repeated-options.ts';

const wait = waitOption('Wait until there is one, at most so long.');
const state = flagOption({
  names: ['--state'],
  doc: 'Print the state instead: PENDING, STARTED, SUCCESS, FAILURE, RETRY, REVOKED or one of the task.',
});
const traceback = flagOption({
  names: ['--traceback'],
  doc: 'Print the traceback instead, of a task that failed or is tried again; an empty line where there is none.',
});

export const command: Command = {
  arguments: ['<id>'],
  description:
    'Prints the result as JSON. A failed task ends it with status 1; a task that has no result yet with 75, or with --wait when the time is over.',
  examples: [
    'umbel result 7bd8b1a2-5f0e-4f3e-9c61-52c4b6a6a5a8 --wait 10',
    'umbel result 7bd8b1a2-5f0e-4f3e-9c61-52c4b6a6a5a8 --traceback',
  ],
  options: [wait, state, traceback],
  settings: [],
  async run(ctx) {
    const [id = ''] = ctx.args;
    if (ctx.option(traceback) === true && (ctx.option(state) === true || ctx.option(wait) !== undefined))
      throw new UmbelError('USAGE', '--traceback is given without --state and --wait');
    const client = openClient(ctx.loadConfig(), ctx.env);
    if (client.resultsAreReplies)
      throw new UmbelError(
        'NOT_SUPPORTED',
        'result.backend must be one that keeps results, got rpc://: only the program that sent a task gets its result',
      );
    await client.start();
    try {
      const result = client.result(id);
      if (ctx.option(state) === true) {
        ctx.stdout(await result.state());
        return exitStatus.ok;
      }
      if (ctx.option(traceback) === true) {
        ctx.stdout(`${(await result.traceback()) ?? ''}\n`);
        return exitStatus.ok;
      }
      const waited = ctx.option(wait);
      if (waited === undefined) {
        const now = await result.state();
        if (!readyStates.has(now)) {
          const unknown = now === 'PENDING' ? ' (or there is no such task)' : '';
          throw new UmbelError('RESULT_TIMEOUT', `task ${id} has no result yet: its state is ${now}${unknown}`);
        }
      }
      return await printResult(ctx, result, waited === undefined ? 0 : waited === true ? undefined : waited * 1000);
    } finally {
      await client.stop();
    }
  },
};
