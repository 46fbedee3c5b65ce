/** The pid file as a part of a worker: taken at the start, given up at the very end, kept over a restart in place. */
import type { Component } from '../lifecycle/component.ts';
import type { Logger } from '../log/logger.ts';
import { acquirePidfile, type Pidfile } from '../os/pidfile.ts';

export class PidfileComponent implements Component {
  readonly name = 'pidfile';
  readonly #path: string | null;
  readonly #log: Logger;
  #pidfile: Pidfile | null = null;

  constructor(params: { readonly path: string | null; readonly log: Logger }) {
    this.#path = params.path;
    this.#log = params.log;
  }

  async start(): Promise<void> {
    if (this.#path !== null) this.#pidfile = acquirePidfile(this.#path, this.#log);
  }

  /** The last message is given back later than that. */
  async stop(): Promise<void> {}

  /** Safe to call again. */
  release(): void {
    this.#pidfile?.release();
  }

  /** The next program under this pid finds its own pid in it. */
  keep(): void {
    this.#pidfile = null;
  }
}
