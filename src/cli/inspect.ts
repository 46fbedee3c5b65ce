/** `umbel inspect COMMAND`: look at workers, ours and those of Python. */
import type { Command } from './command.ts';
import { callRemote, describeAll, describeCommands, remoteOptions } from './remote-call.ts';

export const command: Command = {
  arguments: ['<command>', '[...arguments]'],
  description: describeCommands('inspect'),
  describe: (ctx) => describeAll(ctx, 'inspect'),
  examples: ['umbel inspect active', 'umbel inspect query_task 7bd8b1a2-5f0e-4f3e-9c61-52c4b6a6a5a8 -d worker1@example.com'],
  options: remoteOptions,
  settings: [],
  run: (ctx) => callRemote(ctx, 'inspect'),
};
