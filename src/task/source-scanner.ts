/**
 * A walk over JavaScript source text that knows where strings, templates, comments, regular expressions and brackets end.
 *
 * Just enough to find a function's parameter list and cut it at its commas. It never interprets an expression.
 */

/** The text is not what was expected; the caller falls back to "no names". */
export class ScanError extends Error {
  override readonly name: string = 'ScanError';
}

const wordStart = /[\p{ID_Start}$_\\#]/u;
const wordPart = /[\p{ID_Continue}$\\#]/u;
/** After these words a slash starts a regular expression. */
const expressionWords = new Set([
  'return',
  'typeof',
  'instanceof',
  'in',
  'of',
  'new',
  'delete',
  'void',
  'throw',
  'case',
  'do',
  'else',
  'await',
  'yield',
]);
const closers: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

export class SourceScanner {
  readonly text: string;
  position: number;
  /** The last significant token: a word, a punctuator, or '"' for a literal. */
  #last = '';

  constructor(text: string, position = 0) {
    this.text = text;
    this.position = position;
  }

  /** Skip blanks and comments; the character there, or '' at the end. */
  peek(): string {
    const { text } = this;
    for (;;) {
      const char = text.charAt(this.position);
      if (char === '/' && text[this.position + 1] === '/') {
        const end = text.slice(this.position).search(/[\n\r\u2028\u2029]/);
        this.position = end === -1 ? text.length : this.position + end;
      } else if (char === '/' && text[this.position + 1] === '*') {
        this.position = this.#after('*/', this.position + 2);
      } else if (char !== '' && /\s/.test(char)) {
        this.position += 1;
      } else {
        return char;
      }
    }
  }

  /** Is this text next? */
  at(token: string): boolean {
    this.peek();
    return this.text.startsWith(token, this.position);
  }

  /** Skip one token (a whole bracketed group counts as one); its text, '' at the end. */
  skip(): string {
    const char = this.peek();
    const start = this.position;
    if (char === '') return '';
    if (char === '"' || char === "'") {
      this.#skipString(char);
    } else if (char === '`') {
      this.#skipTemplate();
    } else if (closers[char] !== undefined) {
      this.skipGroup();
    } else if (char === '/' && this.#regexMayStart()) {
      this.#skipRegex();
    } else if (wordStart.test(this.#codePoint())) {
      while (this.position < this.text.length && wordPart.test(this.#codePoint())) this.position += this.#codePoint().length;
      const word = this.text.slice(start, this.position);
      this.#last = word;
      return word;
    } else if (/[0-9]/.test(char)) {
      const number = /^[0-9][0-9a-zA-Z_.]*/.exec(this.text.slice(start));
      this.position += number?.[0].length ?? 1;
      this.#last = '"';
    } else {
      this.position += this.text.startsWith('...', start) ? 3 : this.text.startsWith('=>', start) ? 2 : 1;
      this.#last = this.text.slice(start, this.position);
    }
    return this.text.slice(start, this.position);
  }

  /** From an opening bracket to behind its closing one; the text between. */
  skipGroup(): string {
    const close = closers[this.text.charAt(this.position)];
    if (close === undefined) throw new ScanError('a bracket was expected');
    this.position += 1;
    this.#last = '(';
    const start = this.position;
    for (;;) {
      const char = this.peek();
      if (char === '') throw new ScanError('a bracket is not closed');
      if (char === close) break;
      if (char === ')' || char === ']' || char === '}') throw new ScanError('a bracket is closed by another kind');
      this.skip();
    }
    const inner = this.text.slice(start, this.position);
    this.position += 1;
    this.#last = '"';
    return inner;
  }

  #codePoint(): string {
    return String.fromCodePoint(this.text.codePointAt(this.position) ?? 32);
  }

  #regexMayStart(): boolean {
    return this.#last === '' || expressionWords.has(this.#last) || (this.#last !== '"' && !wordPart.test(this.#last.charAt(0)));
  }

  #after(token: string, from: number): number {
    const end = this.text.indexOf(token, from);
    if (end === -1) throw new ScanError(`${token} is missing`);
    return end + token.length;
  }

  #skipString(quote: string): void {
    for (this.position += 1; this.text[this.position] !== quote; this.position += 1) {
      if (this.position >= this.text.length) throw new ScanError('a string is not closed');
      if (this.text[this.position] === '\\') this.position += 1;
    }
    this.position += 1;
    this.#last = '"';
  }

  #skipTemplate(): void {
    for (this.position += 1; this.text[this.position] !== '`'; ) {
      if (this.position >= this.text.length) throw new ScanError('a template is not closed');
      if (this.text.startsWith('${', this.position)) {
        this.position += 1;
        this.skipGroup();
      } else {
        this.position += this.text[this.position] === '\\' ? 2 : 1;
      }
    }
    this.position += 1;
    this.#last = '"';
  }

  #skipRegex(): void {
    let inClass = false;
    for (this.position += 1; inClass || this.text[this.position] !== '/'; this.position += 1) {
      const char = this.text[this.position];
      if (char === undefined || char === '\n') throw new ScanError('a regular expression is not closed');
      if (char === '\\') this.position += 1;
      else if (char === '[') inClass = true;
      else if (char === ']') inClass = false;
    }
    this.position += 1;
    while (/[a-z]/.test(this.text.charAt(this.position))) this.position += 1;
    this.#last = '"';
  }
}

/** Cut at the commas that stand outside of every bracket; a trailing comma adds no piece. Offsets are those in `text`. */
export function splitAtCommas(text: string): readonly { readonly text: string; readonly offset: number }[] {
  const pieces: { text: string; offset: number }[] = [];
  const scanner = new SourceScanner(text);
  let start = 0;
  for (;;) {
    const char = scanner.peek();
    if (char === ',') {
      pieces.push({ text: text.slice(start, scanner.position), offset: start });
      scanner.skip();
      start = scanner.position;
    } else if (char === '') {
      break;
    } else {
      scanner.skip();
    }
  }
  if (new SourceScanner(text, start).peek() !== '') pieces.push({ text: text.slice(start), offset: start });
  return pieces;
}
