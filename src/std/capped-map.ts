/** Values by name, for so many names: all further names share one value, so that nobody's names fill the memory or a monitor. */
export class CappedMap<V> {
  readonly #max: number;
  readonly #make: () => V;
  readonly #values = new Map<string, V>();

  constructor(max: number, make: () => V) {
    this.#max = max;
    this.#make = make;
  }

  /** Under its name, or `other` for one name too many. */
  get(name: string): V {
    const known = this.#values.get(name);
    if (known !== undefined) return known;
    const key = this.#values.size < this.#max ? name : 'other';
    const value = this.#values.get(key) ?? this.#make();
    this.#values.set(key, value);
    return value;
  }

  [Symbol.iterator](): IterableIterator<[string, V]> {
    return this.#values[Symbol.iterator]();
  }
}
