/**
 * The text kept as a failure's traceback: the stack of what was thrown, of its causes and of the errors that an AggregateError holds,
 * without the frames of this program.
 */
import { inspect } from 'node:util';

/** Frames of the runtime and of this program say nothing about the task. */
const foreignFrame = /\((?:node:|umbel:)|at (?:async )?node:|\/src\/(?:child|task|ipc)\/[a-z-]+\.ts|\(?[^ (]*umbel\.cjs:/;
/** With the first: a circle ends, and an AggregateError of a thousand errors is no book. */
const maxErrors = 8;

export function tracebackOf(thrown: unknown): string {
  const parts: string[] = [];
  addTo(parts, '', thrown);
  return `${parts.join('\n')}\n`;
}

/** The error, those it holds, and its cause, each with its own. */
function addTo(parts: string[], heading: string, thrown: unknown): void {
  if (parts.length >= maxErrors) return;
  parts.push(`${heading}${stackOf(thrown)}`);
  if (!(thrown instanceof Error)) return;
  if (thrown instanceof AggregateError && Array.isArray(thrown.errors)) {
    for (const [index, error] of thrown.errors.entries()) addTo(parts, `Error ${index + 1} of ${thrown.errors.length}: `, error);
  }
  if (thrown.cause !== undefined) addTo(parts, 'Caused by: ', thrown.cause);
}

function stackOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return `Thrown: ${textOf(thrown)}`;
  const stack = typeof thrown.stack === 'string' ? thrown.stack : `${thrown.name}: ${thrown.message}`;
  return stack
    .split('\n')
    .filter((line) => !(/^\s+at /.test(line) && foreignFrame.test(line)))
    .join('\n');
}

/** An object by its members: `[object Object]` says nothing. */
function textOf(thrown: unknown): string {
  if ((typeof thrown !== 'object' || thrown === null) && typeof thrown !== 'function') return String(thrown);
  return inspect(thrown, { depth: 2, breakLength: Number.POSITIVE_INFINITY, maxStringLength: 1024 });
}
