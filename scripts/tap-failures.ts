/**
 * The failed assertions of a run, to be said once more at its end and in short: where the record of a run is cut, the end is what is kept. A failing file
 * has printed everything where it ran.
 *
 * Follows TAP line by line; what belongs to what is in its indentation. A subtest that failed because of something in it is not said for itself.
 */

/** Of failures, of lines of one of them, and of characters of a line. */
const most = { failures: 20, lines: 12, length: 160 } as const;

/** Of the diagnostics of an assertion without a difference: what tells why. */
const tellingKeys = /^(?:type|message|code|error|expired|signal|exitCode|found|wanted|pattern): (?!null$|\||>)/;

interface Subtest {
  readonly name: string;
  readonly indent: number;
  /** Something in it has failed. */
  failed: boolean;
}

interface Failure {
  /** File, subtests, assertion. */
  readonly path: readonly string[];
  /** Its diagnostics, without their indentation. */
  readonly details: string[];
}

export class TapFailures {
  readonly #failures: Failure[] = [];
  /** From the file inwards. */
  #open: Subtest[] = [];
  /** tap says the end of a subtest whose time was over twice. */
  #closed: Subtest | null = null;
  /** Where diagnostics of the last result would be. */
  #result: { readonly indent: number; readonly failure: Failure | null } | null = null;
  #inDetails = false;

  line(line: string): void {
    const subtest = /^( *)# Subtest: (.*)$/.exec(line);
    // Diagnostics that a killed process has not ended are over with the next file.
    if (this.#inDetails && subtest?.[1] !== '') {
      this.#detail(line);
      return;
    }
    this.#inDetails = false;
    if (this.#result !== null && line === `${' '.repeat(this.#result.indent + 2)}---`) {
      this.#inDetails = true;
      return;
    }
    this.#result = null;
    if (subtest !== null) {
      const indent = subtest[1]?.length ?? 0;
      this.#open = this.#around(indent);
      this.#open.push({ name: subtest[2] ?? '', indent, failed: false });
      return;
    }
    const result = /^( *)(not )?ok \d+(?: - (.*))?$/.exec(line);
    if (result !== null) this.#onResult(result[1]?.length ?? 0, result[2] === undefined, result[3] ?? '');
  }

  /** Lines; none when nothing has failed. */
  summary(): string[] {
    if (this.#failures.length === 0) return [];
    const lines = ['What has failed, in short (- expected, + actual):', ...this.#failures.slice(0, most.failures).flatMap(inShort)];
    const left = this.#failures.length - most.failures;
    return left > 0 ? [...lines, `  and ${left} more`] : lines;
  }

  #detail(line: string): void {
    const { indent = 0, failure = null } = this.#result ?? {};
    if (line === `${' '.repeat(indent + 2)}...`) {
      this.#inDetails = false;
      this.#result = null;
    } else failure?.details.push(line.slice(indent + 2));
  }

  #onResult(indent: number, ok: boolean, text: string): void {
    const name = text.replace(/ # time=.*$/, '');
    const around = this.#around(indent);
    const closed = this.#open.find((one) => one.indent === indent && one.name === name) ?? null;
    const again = closed === null && this.#closed?.indent === indent && this.#closed.name === name;
    const counts = !ok && !again && !/ # (?:TODO|SKIP)\b/i.test(text);
    const failure = counts && closed?.failed !== true ? { path: [...around.map((one) => one.name), name], details: [] } : null;
    if (failure !== null) this.#failures.push(failure);
    if (counts) for (const one of around) one.failed = true;
    // Of one that has begun and is still open nothing is forgotten when the end of another one is said.
    if (closed !== null || indent === 0) this.#open = around;
    this.#closed = closed ?? (again ? this.#closed : null);
    this.#result = { indent, failure };
  }

  /** What is open around something with this indentation. */
  #around(indent: number): Subtest[] {
    return this.#open.filter((one) => one.indent < indent);
  }
}

function inShort({ path, details }: Failure): string[] {
  const lines = differenceOf(details) ?? details.filter((line) => tellingKeys.test(line));
  const shown = lines.slice(0, most.lines).map((line) => cut(`      ${line}`));
  return [cut(`  not ok - ${path.join(' > ')}${placeOf(details)}`, 2 * most.length), ...shown];
}

/** Lines that differ; those around them as well when that is not too much. null: there is none. */
function differenceOf(details: readonly string[]): string[] | null {
  const begin = details.findIndex((line) => line.startsWith('diff: '));
  if (begin === -1) return null;
  const rest = details.slice(begin + 1);
  const end = rest.findIndex((line) => /^\S/.test(line));
  const lines = rest.slice(0, end === -1 ? undefined : end).map((line) => line.slice(2));
  const hunks = lines.filter((line) => !/^(?:--- expected|\+\+\+ actual|@@ .* @@)$/.test(line));
  return hunks.length <= most.lines ? hunks : hunks.filter((line) => /^[-+]/.test(line));
}

function placeOf(details: readonly string[]): string {
  const value = (key: string): string | undefined => details.find((line) => line.startsWith(`  ${key}: `))?.slice(key.length + 4);
  const file = value('fileName');
  return file === undefined ? '' : ` (${file}:${value('lineNumber')})`;
}

function cut(line: string, length: number = most.length): string {
  return line.length <= length ? line : `${line.slice(0, length)}…`;
}
