/**
 * Runs JavaScript one statement at a time, as Node's REPL does (with `await` at the top), without a terminal.
 *
 * Owns a REPL that nobody types into. Errors are thrown, and printed by nobody here.
 */
import repl from 'node:repl';
import { PassThrough } from 'node:stream';

/** Of a statement that has run. */
export interface Evaluated {
  readonly value: unknown;
}

export class Evaluator {
  readonly #server: repl.REPLServer;
  #onError: (error: unknown) => void = (error) => {
    this.#stray ??= { error };
  };
  /** Thrown while nothing ran: by a timer of an earlier statement. */
  #stray: { readonly error: unknown } | null = null;

  constructor(names: Readonly<Record<string, unknown>>) {
    const output = new PassThrough();
    output.resume();
    this.#server = repl.start({
      input: new PassThrough(),
      output,
      terminal: false,
      prompt: '',
      handleError: (error) => {
        this.#onError(error);
        return 'ignore';
      },
    });
    Object.assign(this.#server.context, names);
    // Its own one writes to where nobody reads.
    Object.defineProperty(this.#server.context, 'console', { value: console, writable: true, configurable: true });
  }

  /** The value of a promise is waited for. null: the statement is not complete. Rejects with what it throws. */
  async evaluate(statement: string): Promise<Evaluated | null> {
    if (this.#stray !== null) throw this.#stray.error;
    const waitElsewhere = this.#onError;
    try {
      const evaluated = await new Promise<Evaluated | null>((resolve, reject) => {
        this.#onError = reject;
        this.#server.eval(statement, this.#server.context, 'shell', (error, value: unknown) => {
          if (error instanceof repl.Recoverable) resolve(null);
          else if (error !== null) reject(error);
          else resolve({ value });
        });
      });
      return evaluated === null ? null : { value: await evaluated.value };
    } finally {
      this.#onError = waitElsewhere;
    }
  }

  close(): void {
    this.#server.close();
  }
}
