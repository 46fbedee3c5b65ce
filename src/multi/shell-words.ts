/** Words as a POSIX shell reads and writes them: quotes and backslashes, nothing else. */
import { UmbelError } from '../errors.ts';

/** Throws USAGE when a quote is not closed. */
export function splitShellWords(text: string): readonly string[] {
  const words: string[] = [];
  let word: string | null = null;
  const pattern = /\s+|'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"|\\([\s\S])|([^\s'"\\]+)|[\s\S]/g;
  for (const [whole, single, double, escaped, plain] of text.matchAll(pattern)) {
    const part = single ?? double?.replaceAll(/\\(["\\$`])/g, '$1') ?? escaped ?? plain;
    if (part !== undefined) word = (word ?? '') + part;
    else if (/^\s/.test(whole)) {
      if (word !== null) words.push(word);
      word = null;
    } else throw new UmbelError('USAGE', `every quote must be closed, got ${text}`);
  }
  if (word !== null) words.push(word);
  return words;
}

/** As it can be pasted into a shell. */
export function shellQuoted(word: string): string {
  return word !== '' && !/[\s"'\\$`;&|<>()*?[\]#~!{}]/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
