/** The signal among the words of a command that stops nodes: `-9`, `-15`, `-TERM`, `-SIGQUIT`. The last one counts, as in Celery. */
import { constants } from 'node:os';
import { UmbelError } from '../errors.ts';
import { nearestName } from '../std/nearest-name.ts';

export interface SignalChoice {
  /** Without SIG; a number that has no name is its own. */
  readonly name: string;
  readonly number: number;
  /** The words without it: left there it would be read as an option. */
  readonly words: readonly string[];
}

const numbers = constants.signals as Readonly<Record<string, number>>;
const shortNames = Object.keys(numbers).map((name) => name.slice('SIG'.length));
const highestNumber = 64;
/** Signals that do not end a worker; who waits for its end would wait for ever. */
const notEnding = ['HUP', 'USR1', 'USR2', 'TTIN', 'TTOU', 'TSTP', 'CONT', 'STOP', 'CHLD', 'WINCH', 'URG'];

/** Throws USAGE. `mustEnd`: whether the nodes are waited for. */
export function signalWord(words: readonly string[], mustEnd: boolean): SignalChoice {
  let number = constants.signals.SIGTERM;
  const others: string[] = [];
  const end = words.includes('--') ? words.indexOf('--') : words.length;
  for (const [at, word] of words.entries()) {
    const found = at < end ? signalNumber(word) : null;
    if (found === null) others.push(word);
    else number = found;
  }
  const name = Object.keys(numbers).find((known) => numbers[known] === number);
  const short = name === undefined ? String(number) : name.slice('SIG'.length);
  if (mustEnd && notEnding.includes(short))
    throw new UmbelError(
      'USAGE',
      `a signal that is waited for must end a worker, got ${short}; umbel multi stop sends it and does not wait`,
    );
  return { name: short, number, words: others };
}

function signalNumber(word: string): number | null {
  const [, text] = /^-([A-Z][A-Z0-9]+|\d+)$/.exec(word) ?? [];
  if (text === undefined) return null;
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number >= 1 && number <= highestNumber) return number;
    throw new UmbelError('USAGE', `the number of a signal must be from 1 to ${highestNumber}, got ${word} (umbel multi)`);
  }
  const isSpeltOut = text.startsWith('SIG');
  const name = isSpeltOut ? text : `SIG${text}`;
  const number = numbers[name];
  if (number !== undefined) return number;
  // An option would take the name of a node for its value, and the signal would be another one.
  const nearest = nearestName(name.slice('SIG'.length), shortNames);
  if (!isSpeltOut && nearest === null) return null;
  const hint = nearest === null ? '' : `; did you mean -${nearest}?`;
  throw new UmbelError('USAGE', `a signal must be one of this system, got ${word}${hint} (umbel multi)`);
}
