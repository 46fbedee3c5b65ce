/**
 * A Map for what comes and goes all the time, such as the tasks in hand. Keeps the order of insertion. Not to be added to while it is iterated.
 *
 * V8 gives a Map that is full of gaps a new table; the old one keeps its last content and points to the new one. As soon as one such table has
 * outlived a full collection, all that follow it live until the next: each holds the tasks of its time, and the collector of young objects, which
 * had freed nearly everything, copies nearly everything. So the content moves to a Map of its own now and then, which no old table points to.
 */

/** Additions after which it moves, at the least; moving costs as much as so many of what is there. */
const fewestAdditions = 1024;
const additionsPerEntry = 4;

export class ChurnMap<K, V> implements ReadonlyMap<K, V> {
  #map = new Map<K, V>();
  #additions = 0;

  get size(): number {
    return this.#map.size;
  }

  get(key: K): V | undefined {
    return this.#map.get(key);
  }

  has(key: K): boolean {
    return this.#map.has(key);
  }

  set(key: K, value: V): this {
    this.#map.set(key, value);
    this.#additions += 1;
    if (this.#additions >= fewestAdditions && this.#additions >= this.#map.size * additionsPerEntry) this.#move();
    return this;
  }

  delete(key: K): boolean {
    return this.#map.delete(key);
  }

  clear(): void {
    this.#map.clear();
  }

  keys(): MapIterator<K> {
    return this.#map.keys();
  }

  values(): MapIterator<V> {
    return this.#map.values();
  }

  entries(): MapIterator<[K, V]> {
    return this.#map.entries();
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.#map.entries();
  }

  forEach(callback: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this.#map) callback(value, key, this);
  }

  #move(): void {
    const old = this.#map;
    this.#map = new Map(old);
    this.#additions = 0;
    old.clear();
  }
}
