/**
 * Which parameters TypeScript marks as optional: `y?: number`.
 *
 * Removing the types removes the question mark, so a running function does not show it. Node's removal keeps every other
 * character at its offset: the function's text is looked up in the stripped text of the file, and the mark is read from the
 * original at the same place. Done only before an argument is reported missing, so it costs nothing otherwise.
 */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import type { Parameter } from './parameters.ts';
import { SourceScanner } from './source-scanner.ts';

/** Indices into `parameters` (a tail of the function's own list). `files`: where the function may have been written. */
export function findOptionalParameters(
  fn: (...args: never[]) => unknown,
  parameters: readonly Parameter[],
  files: readonly string[],
): ReadonlySet<number> {
  const text = Function.prototype.toString.call(fn);
  for (const file of files) {
    if (!/\.[mc]?ts$/.test(file)) continue;
    const original = readSource(file);
    const offset = original.stripped.indexOf(text);
    if (offset === -1) continue;
    const marked = parameters.flatMap((parameter, index) =>
      new SourceScanner(original.text, offset + parameter.end).peek() === '?' ? [index] : [],
    );
    return new Set(marked);
  }
  return new Set();
}

/** A file that is gone or has changed for the worse by now simply answers nothing. */
function readSource(file: string): { readonly text: string; readonly stripped: string } {
  try {
    const text = readFileSync(file, 'utf8');
    const stripped = stripTypeScriptTypes(text);
    return stripped.length === text.length ? { text, stripped } : { text: '', stripped: '' };
  } catch {
    return { text: '', stripped: '' };
  }
}
