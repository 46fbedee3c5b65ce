/**
 * Finds the line of every key in a TOML text that is known to be valid.
 *
 * Understands what can stand around a key: tables, arrays of tables, dotted and quoted keys, inline tables, nested arrays,
 * comments, and all four kinds of strings (whose content may look like keys). It reads values only to get past them.
 *
 * Never does: judging the text; on an invalid one it stops early and knows fewer lines.
 */

/** Line numbers from 1, by path. */
export class KeyLines {
  readonly #lines = new Map<string, number>();

  /** The first place where the key or table at `path` stands; null when it stands nowhere. */
  lineOf(path: readonly (string | number)[]): number | null {
    return this.#lines.get(JSON.stringify(path)) ?? null;
  }

  record(path: readonly (string | number)[], line: number): void {
    const key = JSON.stringify(path);
    if (!this.#lines.has(key)) this.#lines.set(key, line);
  }
}

export function findKeyLines(source: string): KeyLines {
  const scanner = new Scanner(source);
  scanner.document();
  return scanner.lines;
}

type Path = readonly (string | number)[];

class Scanner {
  readonly lines = new KeyLines();
  readonly #source: string;
  #at = 0;
  /** Line of `#countedTo`; lines are counted forward only. */
  #line = 1;
  #countedTo = 0;

  constructor(source: string) {
    this.#source = source;
  }

  document(): void {
    let table: Path = [];
    const arrayLengths = new Map<string, number>();
    for (this.#skipBlank(); this.#at < this.#source.length; this.#skipBlank()) {
      const start = this.#at;
      if (this.#source[this.#at] === '[') {
        const isArray = this.#source[this.#at + 1] === '[';
        this.#at += isArray ? 2 : 1;
        table = this.#key([]);
        if (isArray) {
          const key = JSON.stringify(table);
          const length = arrayLengths.get(key) ?? 0;
          arrayLengths.set(key, length + 1);
          table = [...table, length];
          this.lines.record(table, this.#lineHere());
        }
        this.#take(isArray ? ']]' : ']');
      } else {
        this.#assignment(table);
      }
      if (this.#at === start) return;
    }
  }

  #assignment(table: Path): void {
    const path = this.#key(table);
    this.#skipSpace();
    this.#take('=');
    this.#value(path);
  }

  /** A dotted key; every part of it is recorded. */
  #key(table: Path): Path {
    let path = table;
    for (;;) {
      this.#skipSpace();
      const part = this.#keyPart();
      path = [...path, part];
      this.lines.record(path, this.#lineHere());
      this.#skipSpace();
      if (this.#source[this.#at] !== '.') return path;
      this.#at += 1;
    }
  }

  #keyPart(): string {
    const start = this.#at;
    const quote = this.#source[start];
    if (quote === '"' || quote === "'") {
      this.#string();
      const inside = this.#source.slice(start + 1, this.#at - 1);
      return quote === '"' ? unescaped(inside) : inside;
    }
    while (/[A-Za-z0-9_-]/.test(this.#source[this.#at] ?? '')) this.#at += 1;
    return this.#source.slice(start, this.#at);
  }

  #value(path: Path): void {
    this.#skipSpace();
    const first = this.#source[this.#at];
    if (first === '"' || first === "'") this.#string();
    else if (first === '[') this.#sequence(']', (index) => this.#element([...path, index]));
    else if (first === '{') this.#sequence('}', () => this.#assignment(path));
    else while (this.#at < this.#source.length && !/[,\]}#\n\r]/.test(this.#source[this.#at] ?? '')) this.#at += 1;
  }

  #element(path: Path): void {
    this.lines.record(path, this.#lineHere());
    this.#value(path);
  }

  #sequence(end: string, item: (index: number) => void): void {
    this.#at += 1;
    for (let index = 0; ; index++) {
      this.#skipBlank();
      if (this.#source[this.#at] === end || this.#at >= this.#source.length) break;
      const start = this.#at;
      item(index);
      this.#skipBlank();
      if (this.#source[this.#at] === ',') this.#at += 1;
      if (this.#at === start) break;
    }
    this.#take(end);
  }

  #string(): void {
    const quote = this.#source[this.#at] ?? '';
    const triple = quote.repeat(3);
    const delimiter = this.#source.startsWith(triple, this.#at) ? triple : quote;
    this.#at += delimiter.length;
    while (this.#at < this.#source.length && !this.#source.startsWith(delimiter, this.#at))
      this.#at += this.#source[this.#at] === '\\' && quote === '"' ? 2 : 1;
    this.#at += delimiter.length;
    // A multi-line string may end in up to two quotes of its own.
    for (let extra = 0; delimiter === triple && extra < 2 && this.#source[this.#at] === quote; extra++) this.#at += 1;
  }

  #take(text: string): void {
    if (this.#source.startsWith(text, this.#at)) this.#at += text.length;
  }

  #skipSpace(): void {
    while (this.#source[this.#at] === ' ' || this.#source[this.#at] === '\t') this.#at += 1;
  }

  /** Space, line ends and comments. */
  #skipBlank(): void {
    for (;;) {
      const here = this.#source[this.#at];
      if (here === ' ' || here === '\t' || here === '\n' || here === '\r') this.#at += 1;
      else if (here === '#') while (this.#at < this.#source.length && this.#source[this.#at] !== '\n') this.#at += 1;
      else return;
    }
  }

  #lineHere(): number {
    for (; this.#countedTo < this.#at; this.#countedTo++) if (this.#source[this.#countedTo] === '\n') this.#line += 1;
    return this.#line;
  }
}

/** The content of a basic string. Escapes that TOML has and JSON has not are rewritten first. */
function unescaped(inside: string): string {
  const json = inside.replace(
    /\\(?:U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|(e)|[\s\S])/g,
    (all, long: string | undefined, byte: string | undefined, short: string | undefined) => {
      if (long !== undefined) return JSON.stringify(String.fromCodePoint(Number.parseInt(long, 16))).slice(1, -1);
      if (byte !== undefined) return `\\u00${byte}`;
      return short === undefined ? all : '\\u001b';
    },
  );
  try {
    return String(JSON.parse(`"${json}"`));
  } catch {
    return inside;
  }
}
