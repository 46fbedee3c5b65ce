/**
 * Finds every module specifier a TypeScript source names: static and type-only imports, re-exports, import types, dynamic
 * import and require.
 *
 * It reads tokens, not a syntax tree, because the tools that give a tree drop `import type` first. Comments, strings,
 * templates and regular expressions are skipped properly, so text that looks like an import is none.
 */

export interface FoundImport {
  /** The text between the quotes; null for `import(expression)` and `require(expression)`. */
  readonly specifier: string | null;
  readonly kind: 'import' | 'export' | 'export *' | 'dynamic' | 'require';
  readonly line: number;
  /** `import type` or `export type`: gone when the program runs. */
  readonly typeOnly: boolean;
}

export interface Scan {
  readonly imports: readonly FoundImport[];
  /** `export` statements that are not re-exports. */
  readonly ownExports: number;
}

interface Token {
  /** 'word' includes keywords and numbers; 'mark' is one punctuation character. */
  readonly kind: 'word' | 'string' | 'template' | 'mark';
  readonly text: string;
  readonly line: number;
}

/** After one of these words a slash begins a regular expression, not a division. */
const wordsBeforeExpression = new Set([
  'return',
  'typeof',
  'case',
  'in',
  'of',
  'do',
  'else',
  'void',
  'delete',
  'throw',
  'new',
  'await',
  'yield',
]);

class Tokenizer {
  readonly #source: string;
  #at = 0;
  #line = 1;
  readonly tokens: Token[] = [];

  constructor(source: string) {
    this.#source = source;
  }

  /** Reads to the end, or to the brace that closes a template's `${`. */
  run(insideTemplate: boolean): void {
    let depth = 0;
    while (this.#at < this.#source.length) {
      const char = this.#source.charAt(this.#at);
      const two = this.#source.slice(this.#at, this.#at + 2);
      if (char === '\n') {
        this.#line += 1;
        this.#at += 1;
      } else if (/\s/.test(char)) this.#at += 1;
      else if (two === '//' || two === '#!') this.#skipTo('\n', 0);
      else if (two === '/*') this.#skipTo('*/', 2);
      else if (char === "'" || char === '"') this.#string(char);
      else if (char === '`') this.#template();
      else if (/[\w$#]/.test(char)) this.#word();
      else if (char === '/' && this.#expressionMayBegin()) this.#regularExpression();
      else {
        if (char === '{') depth += 1;
        if (char === '}') {
          if (insideTemplate && depth === 0) return;
          depth -= 1;
        }
        this.#push('mark', char);
        this.#at += 1;
      }
    }
  }

  #push(kind: Token['kind'], text: string): void {
    this.tokens.push({ kind, text, line: this.#line });
  }

  #skipTo(end: string, extra: number): void {
    const found = this.#source.indexOf(end, this.#at + 2);
    const stop = found < 0 ? this.#source.length : found + extra;
    for (; this.#at < stop; this.#at += 1) if (this.#source.charAt(this.#at) === '\n') this.#line += 1;
  }

  #string(quote: string): void {
    const from = this.#at + 1;
    this.#at = from;
    while (this.#at < this.#source.length && this.#source.charAt(this.#at) !== quote && this.#source.charAt(this.#at) !== '\n') {
      this.#at += this.#source.charAt(this.#at) === '\\' ? 2 : 1;
    }
    this.#push('string', this.#source.slice(from, this.#at));
    this.#at += 1;
  }

  #template(): void {
    const from = this.#at + 1;
    let plain = true;
    for (this.#at = from; this.#at < this.#source.length && this.#source.charAt(this.#at) !== '`'; this.#at += 1) {
      const char = this.#source.charAt(this.#at);
      if (char === '\n') this.#line += 1;
      if (char === '\\') this.#at += 1;
      if (char === '$' && this.#source.charAt(this.#at + 1) === '{') {
        plain = false;
        this.#at += 2;
        this.run(true);
      }
    }
    if (plain) this.#push('string', this.#source.slice(from, this.#at));
    else this.#push('template', '');
    this.#at += 1;
  }

  #word(): void {
    const match = /[\w$#]+/y;
    match.lastIndex = this.#at;
    const text = match.exec(this.#source)?.[0] ?? this.#source.charAt(this.#at);
    this.#push('word', text);
    this.#at += text.length;
  }

  #expressionMayBegin(): boolean {
    const last = this.tokens.at(-1);
    if (last === undefined) return true;
    if (last.kind === 'word') return wordsBeforeExpression.has(last.text);
    return last.kind === 'mark' && last.text !== ')' && last.text !== ']' && last.text !== '}';
  }

  #regularExpression(): void {
    let inClass = false;
    for (this.#at += 1; this.#at < this.#source.length; this.#at += 1) {
      const char = this.#source.charAt(this.#at);
      if (char === '\\') this.#at += 1;
      else if (char === '[') inClass = true;
      else if (char === ']') inClass = false;
      else if ((char === '/' && !inClass) || char === '\n') break;
    }
    this.#at += 1;
    this.#push('template', '');
  }
}

export function scanImports(source: string): Scan {
  const tokenizer = new Tokenizer(source);
  tokenizer.run(false);
  const { tokens } = tokenizer;
  const imports: FoundImport[] = [];
  let ownExports = 0;
  const isMark = (index: number, text: string): boolean => tokens[index]?.kind === 'mark' && tokens[index].text === text;
  for (const [index, token] of tokens.entries()) {
    if (token.kind !== 'word' || isMark(index - 1, '.')) continue;
    if (token.text === 'import' || token.text === 'require') {
      if (isMark(index + 1, '(')) {
        const argument = tokens[index + 2];
        const literal = argument?.kind === 'string' && (isMark(index + 3, ')') || isMark(index + 3, ',')) ? argument.text : null;
        // `import(…)` in a type position is `import('x').Name`: the same token sequence, and it counts as well.
        imports.push({ specifier: literal, kind: token.text === 'import' ? 'dynamic' : 'require', line: token.line, typeOnly: false });
      } else if (token.text === 'import' && !isMark(index + 1, '.')) {
        const specifier = specifierAfter(tokens, index + 1);
        if (specifier !== null) imports.push({ specifier, kind: 'import', line: token.line, typeOnly: tokens[index + 1]?.text === 'type' });
      }
    } else if (token.text === 'export') {
      const start = tokens[index + 1]?.text === 'type' ? index + 2 : index + 1;
      const reExport = isMark(start, '*') || isMark(start, '{') ? specifierAfter(tokens, start) : null;
      if (reExport === null) ownExports += 1;
      else
        imports.push({
          specifier: reExport,
          kind: isMark(start, '*') ? 'export *' : 'export',
          line: token.line,
          typeOnly: start > index + 1,
        });
    }
  }
  return { imports, ownExports };
}

/** The string that ends an import or export clause starting at `index`: only names, braces, commas and stars may stand before it. */
function specifierAfter(tokens: readonly Token[], index: number): string | null {
  for (let at = index; at < tokens.length; at += 1) {
    const token = tokens[at];
    if (token === undefined) return null;
    if (token.kind === 'string') {
      const before = tokens[at - 1];
      // A bare `import 'x'`, or the word before the string is `from`; a quoted name inside the braces is neither.
      if (at === index || (before?.kind === 'word' && before.text === 'from')) return token.text;
      continue;
    }
    if (token.kind === 'template' || (token.kind === 'mark' && !'{},*'.includes(token.text))) return null;
    if (at > index && token.kind === 'word' && (token.text === 'import' || token.text === 'export')) return null;
  }
  return null;
}
