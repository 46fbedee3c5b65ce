/**
 * A set of texts bounded in number and age: what is too old, or one too many, is no member any more.
 *
 * Owns the members and when each became one, on the monotonic clock, so that a clock that is set makes nothing old. Asking costs one look
 * at a map.
 */
import type { Clock } from './clock.ts';

export interface ExpiringSetParams {
  readonly clock: Clock;
  /** The oldest go first. */
  readonly maxSize: number;
  readonly maxAgeMs: number;
}

export class ExpiringSet {
  readonly #params: ExpiringSetParams;
  /** Member → when it became one (Clock.monotonic), oldest first. */
  readonly #members = new Map<string, number>();

  constructor(params: ExpiringSetParams) {
    this.#params = params;
  }

  /** Those that are too old may still be counted. */
  get size(): number {
    return this.#members.size;
  }

  has(member: string): boolean {
    if (this.#members.size === 0) return false;
    const sinceMs = this.#members.get(member);
    return sinceMs !== undefined && this.#params.clock.monotonic() - sinceMs < this.#params.maxAgeMs;
  }

  /** From now on; one that is a member already becomes as young as a new one. */
  add(member: string): void {
    this.#members.delete(member);
    this.#members.set(member, this.#params.clock.monotonic());
    this.#prune();
  }

  /** Members of such ages. One that is a member already stays what is younger. Returns those that are new here. */
  merge(ages: Iterable<readonly [member: string, ageMs: number]>): string[] {
    const nowMs = this.#params.clock.monotonic();
    const added: string[] = [];
    for (const [member, ageMs] of ages) {
      if (ageMs >= this.#params.maxAgeMs) continue;
      const sinceMs = nowMs - Math.max(0, ageMs);
      const known = this.#members.get(member);
      if (known !== undefined && known >= sinceMs) continue;
      if (!this.has(member)) added.push(member);
      this.#members.set(member, sinceMs);
    }
    const sorted = [...this.#members].sort(([, a], [, b]) => a - b);
    this.#members.clear();
    for (const [member, sinceMs] of sorted) this.#members.set(member, sinceMs);
    this.#prune();
    return added.filter((member) => this.#members.has(member));
  }

  /** Every member and its age in milliseconds, oldest first. */
  *ages(): IterableIterator<[member: string, ageMs: number]> {
    this.#prune();
    const nowMs = this.#params.clock.monotonic();
    for (const [member, sinceMs] of this.#members) yield [member, nowMs - sinceMs];
  }

  /** Of one member; undefined: it is none. */
  age(member: string): number | undefined {
    const sinceMs = this.#members.get(member);
    return sinceMs === undefined ? undefined : this.#params.clock.monotonic() - sinceMs;
  }

  #prune(): void {
    const { clock, maxSize, maxAgeMs } = this.#params;
    const oldestMs = clock.monotonic() - maxAgeMs;
    for (const [member, sinceMs] of this.#members) {
      if (this.#members.size <= maxSize && sinceMs > oldestMs) return;
      this.#members.delete(member);
    }
  }
}
