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

/** A word after an option: a short one took it for its value, a long one left it for a name. */
export interface DoubtfulWord {
  /** As typed: with what stands after the colon. */
  readonly option: string;
  readonly word: string;
}

export interface OptionWords {
  /** Words that are no options: the names. */
  readonly names: readonly string[];
  readonly options: OptionValues;
  /** What stands after the colon, as typed → options. */
  readonly forSome: ReadonlyMap<string, OptionValues>;
  /** Where a name may have been meant otherwise: see mistaken-words.ts. */
  readonly doubtful: readonly DoubtfulWord[];
  /** `--` and what follows. */
  readonly passthrough: readonly string[];
}

export function readOptionWords(words: readonly string[]): OptionWords {
  const names: string[] = [];
  const options: OptionValues = new Map();
  const forSome = new Map<string, OptionValues>();
  const doubtful: DoubtfulWord[] = [];
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
    if (word === '--') return { names, options, forSome, doubtful, passthrough: given.slice(at) };
    const next = given[at + 1];
    const isFollowed = next !== undefined && !next.startsWith('-');
    if (word.startsWith('-') && !word.includes('=') && isFollowed) doubtful.push({ option: word, word: next });
    if (word.startsWith('--')) {
      const equals = word.indexOf('=');
      add(word, equals < 0 ? word : word.slice(0, equals), equals < 0 ? null : word.slice(equals + 1));
    } else if (word.startsWith('-')) {
      add(word, word, isFollowed ? next : null);
      if (isFollowed) at += 1;
    } else names.push(word);
  }
  return { names, options, forSome, doubtful, passthrough: [] };
}
