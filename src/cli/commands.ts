/** The list of commands, in the order `umbel help` shows them. Each file is loaded only when its command is asked for. */
import type { CommandEntry } from './command.ts';

export const commands: readonly CommandEntry[] = [
  { name: 'config', summary: 'Check or show the configuration, print an example', load: () => import('./config.ts') },
  { name: 'help', summary: 'Explain a command', load: () => import('./help.ts') },
];
