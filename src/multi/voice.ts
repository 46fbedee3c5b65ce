/** What `umbel multi` says, and in which colour: Celery's wording, by the four switches of `multi`. */

/** The little of a stream that is used here. */
export interface MultiOutput {
  write(text: string): unknown;
}

export interface VoiceParams {
  readonly stdout: MultiOutput;
  readonly stderr: MultiOutput;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly nosplash: boolean;
  readonly color: boolean;
  readonly version: string;
}

const colors = { red: 31, green: 32, blue: 34, magenta: 35, cyan: 36 } as const;

export class Voice {
  readonly #params: VoiceParams;

  constructor(params: VoiceParams) {
    this.#params = params;
  }

  /** Data: a whole line, also with --quiet. */
  say(text: string): void {
    this.#params.stdout.write(`${text}\n`);
  }

  /** A problem: whole lines, also with --quiet. */
  carp(text: string): void {
    this.#params.stderr.write(`${text}\n`);
  }

  /** Talk: exactly this text. */
  note(text: string): void {
    if (!this.#params.quiet) this.#params.stdout.write(text);
  }

  /** Talk with --verbose. */
  info(text: string): void {
    if (this.#params.verbose) this.note(text);
  }

  splash(): void {
    if (!this.#params.nosplash) this.note(`${this.colored('cyan', `umbel multi v${this.#params.version}`)}\n`);
  }

  colored(color: keyof typeof colors, text: string): string {
    return this.#params.color ? `\u001b[1;${colors[color]}m${text}\u001b[0m` : text;
  }

  get ok(): string {
    return this.colored('green', 'OK');
  }

  get failed(): string {
    return this.colored('red', 'FAILED');
  }

  get down(): string {
    return this.colored('magenta', 'DOWN');
  }
}
