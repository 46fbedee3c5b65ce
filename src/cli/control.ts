/** `umbel control COMMAND`: tell workers what to do, ours and those of Python. */
import type { Command } from './command.ts';
import { callRemote, describeAll, describeCommands, remoteOptions } from './remote-call.ts';

export const command: Command = {
  arguments: ['<command>', '[...arguments]'],
  description: describeCommands('control'),
  describe: (ctx) => describeAll(ctx, 'control'),
  examples: ['umbel control rate_limit tasks.add 10/m', 'umbel control revoke 7bd8b1a2-5f0e-4f3e-9c61-52c4b6a6a5a8'],
  options: remoteOptions,
  settings: [],
  run: (ctx) => callRemote(ctx, 'control'),
};
