/** `umbel help [COMMAND]`: what there is and how it is used. */
import { exitStatus } from '../errors.ts';
import type { Command } from './command.ts';
import { findCommand } from './find-command.ts';
import { commandHelp, described, generalHelp } from './help-text.ts';

export const command: Command = {
  arguments: ['[command]'],
  options: [],
  settings: [],
  async run(ctx) {
    const {
      args: [name],
      commands,
      stdout,
    } = ctx;
    if (name === undefined) {
      stdout(generalHelp(commands));
    } else {
      const entry = findCommand(commands, name);
      const loaded = await entry.load();
      stdout(commandHelp(entry, await described(loaded.command, ctx)));
    }
    return exitStatus.ok;
  },
};
