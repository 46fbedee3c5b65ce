/**
 * The state of a broker, and who hears of it.
 *
 * Owns the listeners: each is told of every change, in the order they came, and of nothing that is no change. What a state means, and when it
 * changes, is the broker's business.
 */
import type { BrokerState } from './broker.ts';

export class StateSignal {
  readonly #listeners = new Set<(state: BrokerState, cause: Error | null) => void>();
  #value: BrokerState = 'stopped';

  get value(): BrokerState {
    return this.#value;
  }

  /** It may be used; its connection may be lost for the moment. */
  get started(): boolean {
    return this.#value === 'connected' || this.#value === 'lost';
  }

  /** Returns what ends it. */
  onChange(listener: (state: BrokerState, cause: Error | null) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** `cause` null: it was asked for, or all is well. */
  set(state: BrokerState, cause: Error | null): void {
    if (this.#value === state) return;
    this.#value = state;
    for (const listener of this.#listeners) listener(state, cause);
  }
}
