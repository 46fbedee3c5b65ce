/** A Set for what comes and goes all the time: std/churn-map.ts says why. Keeps the order of insertion. Not to be added to while it is iterated. */
import { ChurnMap } from './churn-map.ts';

export class ChurnSet<T> implements Iterable<T> {
  readonly #map = new ChurnMap<T, true>();

  get size(): number {
    return this.#map.size;
  }

  has(value: T): boolean {
    return this.#map.has(value);
  }

  add(value: T): this {
    this.#map.set(value, true);
    return this;
  }

  delete(value: T): boolean {
    return this.#map.delete(value);
  }

  clear(): void {
    this.#map.clear();
  }

  values(): MapIterator<T> {
    return this.#map.keys();
  }

  [Symbol.iterator](): MapIterator<T> {
    return this.#map.keys();
  }
}
