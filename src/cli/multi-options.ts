/**
 * Options of `umbel multi` that a worker does not have, or has with another meaning. multi reads its words itself (multi/): what stands
 * here is for completion, and tells an option with a value from one without.
 */
import { text } from '../config/kind.ts';
import { executableOption } from './detach.ts';
import { flagOption, type OptionSpec, valueOption } from './option-spec.ts';

const word = (name: string, argument: string, doc: string): OptionSpec => valueOption({ names: [name], argument, kind: text(), doc });

export const multiOptions: readonly OptionSpec[] = [
  flagOption({ names: ['--rolling'], doc: 'Restart the nodes one after the other.' }),
  flagOption({ names: ['--nosplash'], doc: 'Do not print the version.' }),
  flagOption({ names: ['--verbose'], doc: 'Print the command lines of the nodes that are started.' }),
  word('--prefix', 'TEXT', 'What stands before the names of nodes.'),
  word('--suffix', 'HOST', 'Host of nodes that are named without one.'),
  word('--range-prefix', 'TEXT', 'Name of the nodes of a number, instead of celery.'),
  word('--cmd', 'WORDS', 'What starts a node, instead of worker --detach.'),
  word('--append', 'WORDS', 'Words after the options of each node.'),
  word(
    '--nodes-file',
    'PATH',
    'For services that name no nodes: keeps which were started, so that they are stopped when they are no longer declared.',
  ),
  executableOption,
];
