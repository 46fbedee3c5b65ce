/** Work under way, so that the end can wait for it. Owns its count only. */
export class PendingWork {
  #count = 0;
  #waiters: (() => void)[] = [];

  get size(): number {
    return this.#count;
  }

  begun(): void {
    this.#count += 1;
  }

  done(): void {
    this.#count -= 1;
    if (this.#count === 0) this.#wake();
  }

  /** What is under way does not matter any more, and must not say `done`. */
  forget(): void {
    this.#count = 0;
    this.#wake();
  }

  /** Resolves when all that has begun is done or forgotten. */
  async idle(): Promise<void> {
    if (this.#count > 0) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}
