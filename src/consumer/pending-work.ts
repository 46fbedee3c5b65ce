/** Settlements under way, so that the end can wait for them. Owns their count only. */
export class PendingWork {
  #count = 0;
  #waiters: (() => void)[] = [];

  begun(): void {
    this.#count += 1;
  }

  done(): void {
    this.#count -= 1;
    if (this.#count === 0) for (const resolve of this.#waiters.splice(0)) resolve();
  }

  /** Resolves when all that has begun is done. */
  async idle(): Promise<void> {
    if (this.#count > 0) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }
}
