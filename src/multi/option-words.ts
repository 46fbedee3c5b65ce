/**
 * The words after `umbel multi COMMAND` → node names, options for all nodes, options for some.
 *
 * The grammar is Celery's, with its edges: a short option takes the next word as its value unless that begins with a dash; a long one
 * only what stands after `=`; `-c:1-3 4` and `--concurrency:w1=4` are for the nodes named after the colon; `--` ends it, and what
 * follows goes to every worker. Knows no option by name. Throws USAGE.
 */
import { UmbelError } from '../errors.ts';

/** Option, with its dashes → value; null: none. In the order given. */
export type OptionValues = Map<string, string | null>;

export interface OptionWords {
  /** Words that are no options: the names. */
  readonly names: readonly string[];
  readonly options: OptionValues;
  /** What stands after the colon, as typed → options. */
  readonly forSome: ReadonlyMap<string, OptionValues>;
  /** `--` and what follows. */
  readonly passthrough: readonly string[];
}

export function readOptionWords(words: readonly string[]): OptionWords {
  const names: string[] = [];
  const options: OptionValues = new Map();
  const forSome = new Map<string, OptionValues>();
  const given = words.filter((word) => word !== '');

  const add = (word: string, name: string, value: string | null): void => {
    const [option = '', selector, ...more] = name.split(':');
    if (more.length > 0 || selector === '' || /^-*$/.test(option)) {
      throw new UmbelError(
        'USAGE',
        `an option must be -x, --name or either with :NODES after it, got ${JSON.stringify(word)} (umbel multi)`,
      );
    }
    if (selector === undefined) options.set(option, value);
    else forSome.set(selector, (forSome.get(selector) ?? new Map<string, string | null>()).set(option, value));
  };

  for (let at = 0; at < given.length; at += 1) {
    const word = given[at] ?? '';
    if (word === '--') return { names, options, forSome, passthrough: given.slice(at) };
    if (word.startsWith('--')) {
      const equals = word.indexOf('=');
      add(word, equals < 0 ? word : word.slice(0, equals), equals < 0 ? null : word.slice(equals + 1));
    } else if (word.startsWith('-')) {
      const next = given[at + 1];
      const value = next === undefined || next.startsWith('-') ? null : next;
      if (value !== null) at += 1;
      add(word, word, value);
    } else names.push(word);
  }
  return { names, options, forSome, passthrough: [] };
}
