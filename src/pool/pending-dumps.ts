/** Questions to a child what it is doing that are not answered yet. Owns their numbers and their patience. */
import type { DumpMeta } from '../ipc/exchange.ts';

export class PendingDumps {
  readonly #answers = new Map<number, (meta: DumpMeta) => void>();
  #requests = 0;

  /** null: no answer in time. `send` puts the question with this number. */
  ask(timeoutMs: number, send: (request: number) => void): Promise<DumpMeta | null> {
    const request = ++this.#requests;
    return new Promise((resolve) => {
      let late: NodeJS.Immediate | undefined;
      const timer = setTimeout(() => {
        // This process may have stood still, and the answer be there: it is heard before what is said here.
        late = setImmediate(() => {
          this.#answers.delete(request);
          resolve(null);
        });
      }, timeoutMs);
      this.#answers.set(request, (meta) => {
        clearTimeout(timer);
        clearImmediate(late);
        this.#answers.delete(request);
        resolve(meta);
      });
      send(request);
    });
  }

  answered(request: number, meta: DumpMeta): void {
    this.#answers.get(request)?.(meta);
  }

  /** Nobody will answer any more: it does nothing. */
  end(): void {
    for (const answer of [...this.#answers.values()]) answer({ jobs: [], waiting: 0 });
  }
}
