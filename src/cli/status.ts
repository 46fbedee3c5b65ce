/** `umbel status`: which workers are there. */
import type { Command } from './command.ts';
import { remoteOptions, showStatus } from './remote-call.ts';

export const command: Command = {
  arguments: [],
  description: 'Prints a line for every worker that answers, ours and those of Python. Status 69 when none does.',
  options: remoteOptions,
  settings: [],
  run: showStatus,
};
