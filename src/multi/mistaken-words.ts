/**
 * Words of a command line that Celery's grammar reads as something else than was meant: a name that an option took for its value, which
 * can make a command about every declared node, and a value that became a name.
 *
 * Only for commands that do something to nodes; what merely prints is as in Celery. Changes nothing. Throws USAGE.
 */
import { UmbelError } from '../errors.ts';
import type { DoubtfulWord, OptionWords } from './option-words.ts';

/** An option of the worker, or of multi. */
export interface KnownOption {
  readonly names: readonly string[];
  readonly takesValue: boolean;
}

export interface MistakenWordsParams {
  readonly words: OptionWords;
  readonly known: readonly KnownOption[];
  /** The nodes are started: a value that is missing would keep them from it. */
  readonly starts: boolean;
  declared(): readonly string[];
}

export function refuseMistakenWords({ words, known, starts, declared }: MistakenWordsParams): void {
  // Another program may have other options.
  const isOwn = !words.options.has('--cmd');
  const find = (name: string): KnownOption | undefined => (isOwn ? known.find(({ names }) => names.includes(name)) : undefined);
  for (const { option, word } of words.doubtful) {
    const [name = ''] = option.split(':');
    const isLong = name.startsWith('--');
    if (isLong && starts && find(name)?.takesValue === true)
      throw new UmbelError(
        'USAGE',
        `the value of a long option must stand after =, got ${option} ${word}: ${word} would be a node; write ${option}=${word} (umbel multi)`,
      );
    // -E, and -c4, which has its value.
    const isWhole = name.length > 2 ? find(name.slice(0, 2)) !== undefined : find(name)?.takesValue === false;
    if (!isLong && isWhole)
      throw new UmbelError(
        'USAGE',
        `a short option takes the next word for its value, so names must stand before ${option}, got ${option} ${word} (umbel multi)`,
      );
  }
  if (words.names.length > 0) return;
  // -Q:mail mail names the node already.
  const taken = words.doubtful.filter(({ option }) => !option.startsWith('--') && !option.includes(':'));
  const names = taken.length === 0 ? [] : declared();
  const mistaken = taken.find(({ word }) => names.some((name) => name === word || name.startsWith(`${word}@`)));
  if (mistaken !== undefined)
    throw new UmbelError(
      'USAGE',
      `without a name this is for all declared nodes, and ${mistaken.option} took the name of one for its value, got ` +
        `${mistaken.option} ${mistaken.word}: write names before the options${valueHint(mistaken, find(mistaken.option))} (umbel multi)`,
    );
}

function valueHint({ word }: DoubtfulWord, option: KnownOption | undefined): string {
  const long = option?.names.find((name) => name.startsWith('--'));
  return long === undefined ? '' : `, or ${long}=${word} if it is a value`;
}
