/**
 * Pieces of JSON text, cut out without being parsed: the elements of an array, the value of a key.
 *
 * A result that only passes through keeps every digit and every envelope it was written with, and costs no parse.
 * The text must be JSON (Python's dialect included); of text that is not, the pieces are undefined or null.
 */

const openers = '{[';
const closers = '}]';
const whitespace = ' \t\n\r';

/** The texts of an array's elements; null when it is no array. */
export function sliceElements(text: string): string[] | null {
  let at = skipWhitespace(text, 0);
  if (text[at] !== '[') return null;
  const elements: string[] = [];
  at = skipWhitespace(text, at + 1);
  if (text[at] === ']') return elements;
  while (at < text.length) {
    const end = endOfValue(text, at);
    elements.push(text.slice(at, end));
    at = skipWhitespace(text, end);
    if (text[at] === ']') return elements;
    if (text[at] !== ',') return null;
    at = skipWhitespace(text, at + 1);
  }
  return null;
}

/** The text of the value that an object has under this key (the last one, as in Python); null when it has none. */
export function sliceMember(text: string, key: string): string | null {
  let at = skipWhitespace(text, 0);
  if (text[at] !== '{') return null;
  const wanted = JSON.stringify(key);
  let found: string | null = null;
  at = skipWhitespace(text, at + 1);
  while (at < text.length && text[at] === '"') {
    const keyEnd = endOfString(text, at);
    const isWanted = text.slice(at, keyEnd) === wanted;
    at = skipWhitespace(text, keyEnd);
    if (text[at] !== ':') return null;
    at = skipWhitespace(text, at + 1);
    const end = endOfValue(text, at);
    if (isWanted) found = text.slice(at, end);
    at = skipWhitespace(text, end);
    if (text[at] !== ',') return found;
    at = skipWhitespace(text, at + 1);
  }
  return found;
}

/** The place after the value that begins at `start`. Always moves on. */
function endOfValue(text: string, start: number): number {
  let depth = 0;
  let at = start;
  while (at < text.length) {
    const character = text.charAt(at);
    if (character === '"') {
      at = endOfString(text, at);
      if (depth === 0) return at;
      continue;
    }
    if (openers.includes(character)) depth += 1;
    else if (closers.includes(character)) {
      depth -= 1;
      if (depth === 0) return at + 1;
      // The bracket of what the value stands in.
      if (depth < 0) return at;
    } else if (depth === 0 && (character === ',' || whitespace.includes(character))) return at;
    at += 1;
  }
  return text.length;
}

function endOfString(text: string, open: number): number {
  let at = text.indexOf('"', open + 1);
  while (at !== -1) {
    let backslashes = 0;
    while (text[at - 1 - backslashes] === '\\') backslashes += 1;
    if (backslashes % 2 === 0) return at + 1;
    at = text.indexOf('"', at + 1);
  }
  return text.length;
}

function skipWhitespace(text: string, from: number): number {
  let at = from;
  while (at < text.length && whitespace.includes(text.charAt(at))) at += 1;
  return at;
}
