/**
 * The parameters of a function, read from its source text, so that keyword arguments can be bound by name.
 *
 * JavaScript keeps no parameter names at run time; `Function.prototype.toString` is exact, so reading it is reliable.
 * Functions without source (native, bound) have no names: null.
 */
import { ScanError, SourceScanner, splitAtCommas } from './source-scanner.ts';

export interface Parameter {
  /** null for a destructuring pattern. */
  readonly name: string | null;
  readonly kind: 'name' | 'object' | 'array' | 'rest';
  readonly hasDefault: boolean;
  /** The default is written `{}`. */
  readonly defaultIsEmptyObject: boolean;
  /** The keys an object pattern takes out; null for every other kind. */
  readonly keys: readonly string[] | null;
  /** The object pattern has a rest element or a computed key: it takes any key. */
  readonly takesAnyKey: boolean;
  /** For messages: the name, or the pattern's text. */
  readonly label: string;
  /** Where the binding ends in the function's source text. */
  readonly end: number;
}

/** In order; null when the function has no readable source. */
export function parseParameters(fn: (...args: never[]) => unknown): readonly Parameter[] | null {
  const source = Function.prototype.toString.call(fn);
  if (/\{\s*\[native code\]\s*\}\s*$/.test(source)) return null;
  try {
    return parseSource(source);
  } catch (error) {
    if (error instanceof ScanError) return null;
    throw error;
  }
}

/** Is it declared with `class`? Such a function cannot be called. */
export function isClass(fn: (...args: never[]) => unknown): boolean {
  return /^class\b/.test(Function.prototype.toString.call(fn));
}

/**
 * The parameter list is the first parenthesis of the text, whatever comes before it: `function f(`, `async (`, `*name(`,
 * `['computed'](`. An arrow met before it belongs to a single parameter without parentheses.
 */
function parseSource(source: string): readonly Parameter[] {
  const scanner = new SourceScanner(source);
  let lastWord = '';
  for (;;) {
    if (scanner.at('(')) {
      const start = scanner.position + 1;
      return splitAtCommas(scanner.skipGroup()).map((piece) => parseParameter(piece.text, start + piece.offset));
    }
    const token = scanner.skip();
    if (token === '=>') return [parseParameter(lastWord, source.indexOf(lastWord))];
    if (token === '') throw new ScanError('no parameter list');
    lastWord = token;
  }
}

function parseParameter(text: string, offset: number): Parameter {
  const scanner = new SourceScanner(text);
  const isRest = scanner.at('...');
  if (isRest) scanner.skip();
  const first = scanner.peek();
  const start = scanner.position;
  scanner.skip();
  const end = scanner.position;
  const label = text.slice(start, end);
  const hasDefault = scanner.at('=');
  if (hasDefault) scanner.skip();
  const defaultText = hasDefault ? text.slice(scanner.position) : '';
  const pattern = first === '{' ? parseObjectPattern(label.slice(1, -1)) : null;
  const isPattern = first === '{' || first === '[';
  return {
    name: isPattern ? null : label,
    kind: isRest ? 'rest' : first === '{' ? 'object' : first === '[' ? 'array' : 'name',
    hasDefault,
    defaultIsEmptyObject: isEmptyObject(defaultText),
    keys: isRest ? null : (pattern?.keys ?? null),
    takesAnyKey: !isRest && (pattern?.takesAnyKey ?? false),
    label: isPattern ? label.replaceAll(/\s+/g, ' ') : label,
    end: offset + end,
  };
}

function parseObjectPattern(inner: string): { readonly keys: readonly string[]; readonly takesAnyKey: boolean } {
  const keys: string[] = [];
  let takesAnyKey = false;
  for (const piece of splitAtCommas(inner)) {
    const scanner = new SourceScanner(piece.text);
    if (scanner.at('...') || scanner.at('[')) {
      takesAnyKey = true;
    } else {
      const isString = scanner.at('"') || scanner.at("'");
      const key = scanner.skip();
      keys.push(isString ? key.slice(1, -1) : key);
    }
  }
  return { keys, takesAnyKey };
}

function isEmptyObject(text: string): boolean {
  const scanner = new SourceScanner(text);
  if (!scanner.at('{')) return false;
  const inner = scanner.skipGroup();
  return new SourceScanner(inner).peek() === '' && scanner.peek() === '';
}
