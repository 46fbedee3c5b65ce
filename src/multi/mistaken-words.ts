/**
 * Words of a command line that Celery's grammar reads as something else than was meant: a name that an option took for its value, which
 * can make a command about every declared node; a value or a path that became a name; an option for a node that is none of those meant.
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
  const path = words.names.find((name) => name.includes('/'));
  if (path !== undefined)
    throw new UmbelError('USAGE', `the name of a node must not contain /, got ${path}; task modules stand after -A (umbel multi)`);
  if (words.names.length > 0) return;
  // In Celery -n is the host of all nodes; whoever leaves out the names has most likely named one with it.
  const host = words.options.get('-n');
  if (words.options.has('-n'))
    throw new UmbelError(
      'USAGE',
      `without a name this is for all declared nodes, and -n does not name one, got -n ${host ?? 'without a value'}: write ${host ?? 'the name'} ` +
        `without -n${host === null || host === undefined ? '' : `, or --hostname=${host} if it is the host of all of them`} (umbel multi)`,
    );
  refuseUnmeant(words, declared);
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

/** With names, one line of options may serve for several calls. Without any, whoever writes `stop -Q:w9 mail` means w9. */
function refuseUnmeant({ forSome }: OptionWords, declared: () => readonly string[]): void {
  const selectors = [...forSome.keys()].flatMap((selector) => selector.split(',')).filter((part) => !/^\d+(-\d+)?$/.test(part));
  if (selectors.length === 0) return;
  const names = declared();
  const stranger = selectors.find((part) => !names.some((name) => name === part || name.split('@')[0] === part.split('@')[0]));
  if (stranger !== undefined && names.length > 0)
    throw new UmbelError(
      'USAGE',
      `without a name this is for all declared nodes, and an option must be for one of them (${names.join(', ')}), got one for ${stranger} (umbel multi)`,
    );
}

function valueHint({ word }: DoubtfulWord, option: KnownOption | undefined): string {
  const long = option?.names.find((name) => name.startsWith('--'));
  return long === undefined ? '' : `, or ${long}=${word} if it is a value`;
}
