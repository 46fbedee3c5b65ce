/** Says on standard error what went wrong, and which exit status goes with it. */
import { messageOf, UmbelError } from '../errors.ts';
import type { Surroundings } from './surroundings.ts';

/** `umbel: <message> [CODE]`; the code stands at the end of the first line. */
export function reportError(thrown: unknown, { env, stderr }: Surroundings): number {
  const error = thrown instanceof UmbelError ? thrown : new UmbelError('INTERNAL', messageOf(thrown), { cause: thrown });
  const [first = '', ...more] = error.message.split('\n');
  const red = stderr.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
  const name = red ? '\u001b[31mumbel:\u001b[39m' : 'umbel:';
  stderr.write(`${[`${name} ${first} [${error.code}]`, ...more].join('\n')}\n`);
  if (env.UMBEL_DEBUG) stderr.write(`${stackOf(thrown)}\n`);
  else if (error.code === 'INTERNAL') stderr.write('  UMBEL_DEBUG=1 shows where it happened.\n');
  return error.exitStatus;
}

/** The stack and those of its causes. */
function stackOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const own = thrown.stack ?? thrown.message;
  return thrown.cause === undefined ? own : `${own}\ncaused by ${stackOf(thrown.cause)}`;
}
