/**
 * Components and the order they start and stop in.
 *
 * A long-lived role is a component: constructed with its params, started once, stopped once. `start` of the list rolls back
 * what had started when one fails; `stop` runs in the reverse order, is idempotent, safe before `start`, and one component's
 * failure to stop never keeps the others from stopping.
 */

export interface Component {
  readonly name: string;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export class BootOrder {
  readonly #components: readonly Component[];
  /** Started and not yet stopped, in start order. Written by start and stop only. */
  #running: Component[] = [];

  constructor(components: readonly Component[]) {
    this.#components = components;
  }

  /** Start each in order. On failure the started ones are stopped again and the failure is thrown. */
  async start(): Promise<void> {
    for (const component of this.#components) {
      try {
        await component.start();
      } catch (error) {
        // What goes wrong on the way back must not hide why there was one.
        await this.stop().catch(() => {});
        throw error;
      }
      this.#running.push(component);
    }
  }

  /** Stop in reverse order. Throws the first failure after all had their turn. */
  async stop(): Promise<void> {
    const failures: unknown[] = [];
    for (let component = this.#running.pop(); component !== undefined; component = this.#running.pop()) {
      try {
        await component.stop();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
