/**
 * The words of a command line → options with their values, and the other words.
 *
 * Understands the forms Celery does: `--concurrency 2`, `--concurrency=2`, `-c 2`, `-c2`, `-linfo`, short flags together (`-CE`), and `--`,
 * after which nothing is an option. A value may begin with a dash unless it is itself the name of an option.
 *
 * Never does: reading values; that is for the kind of the option. Throws USAGE.
 */
import { UmbelError } from '../errors.ts';
import { didYouMean } from '../std/nearest-name.ts';
import type { OptionSpec } from './option-spec.ts';

export interface GivenOption {
  readonly spec: OptionSpec;
  /** true: no value. */
  readonly value: string | true;
}

export interface SplitWords {
  readonly options: readonly GivenOption[];
  readonly words: readonly string[];
  /** What was not looked at, when stopping at the first word. */
  readonly rest: readonly string[];
}

interface SplitParams {
  readonly specs: readonly OptionSpec[];
  /** Stop after the first word that is no option: the name of the command. */
  readonly stopAtWord?: boolean;
  /** For messages: 'umbel worker'. */
  readonly program: string;
}

export function splitWords(argv: readonly string[], { specs, stopAtWord = false, program }: SplitParams): SplitWords {
  const byName = new Map<string, OptionSpec>();
  for (const spec of specs) for (const name of spec.names) byName.set(name, spec);
  const options: GivenOption[] = [];
  const words: string[] = [];
  let at = 0;

  /** The value of `spec`, known as `name` here: attached to the name, or the next word. */
  const valueFor = (spec: OptionSpec, name: string, attached: string | null): string | true => {
    if (spec.argument === null) {
      if (attached !== null) throw usage(`${name} takes no value, got ${JSON.stringify(attached)}`, program);
      return true;
    }
    if (attached !== null) return attached;
    const next = argv[at + 1];
    if (spec.optional !== undefined && (next === undefined || !spec.optional.test(next))) return true;
    if (next === undefined || next === '--' || byName.has(next)) {
      throw usage(
        `${name} needs a value (${spec.argument}), got ${next === undefined ? 'the end of the line' : `the option ${next}`}`,
        program,
      );
    }
    at += 1;
    return next;
  };

  for (; at < argv.length; at++) {
    const word = argv[at] ?? '';
    if (word === '--') {
      words.push(...argv.slice(at + 1));
      break;
    }
    if (word.startsWith('--')) {
      const equals = word.indexOf('=');
      const name = equals < 0 ? word : word.slice(0, equals);
      const spec = byName.get(name) ?? fail(unknownOption(name, byName, program));
      options.push({ spec, value: valueFor(spec, name, equals < 0 ? null : word.slice(equals + 1)) });
    } else if (word.startsWith('-') && word !== '-') {
      for (let letter = 1; letter < word.length; letter++) {
        const name = `-${word[letter]}`;
        const spec = byName.get(name) ?? fail(unknownOption(letter === 1 ? word : name, byName, program));
        const attached = word.slice(letter + 1);
        if (spec.argument === null) {
          options.push({ spec, value: true });
          continue;
        }
        options.push({ spec, value: valueFor(spec, name, attached === '' ? null : attached) });
        break;
      }
    } else {
      words.push(word);
      if (stopAtWord) return { options, words, rest: argv.slice(at + 1) };
    }
  }
  return { options, words, rest: [] };
}

function fail(error: Error): never {
  throw error;
}

function usage(message: string, program: string): UmbelError {
  return new UmbelError('USAGE', `${message}; see ${program} --help`);
}

function unknownOption(name: string, byName: ReadonlyMap<string, OptionSpec>, program: string): UmbelError {
  const known = [...byName.keys()].filter((one) => one.startsWith('--'));
  const place = program === 'umbel' ? ' (options of a command stand after its name)' : '';
  return usage(`${name} is not an option of ${program}${place}${didYouMean(name, known)}`, program);
}
