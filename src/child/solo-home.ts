/**
 * A child in the worker itself: `-P solo`. Task code runs in the worker's own event loop, and blocks it when it blocks.
 *
 * Owns that the parent's work does not run in the context of a task, and that nothing of the child stays behind when it ends.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { LocalChild, LocalParent } from '../ipc/local-child.ts';
import type { ChildHome, HomeEvents } from './child-home.ts';
import type { Carrier } from './child-port.ts';
import { ChildRuntime } from './runtime.ts';

export function startSoloChild(parent: LocalParent): LocalChild {
  const home = new SoloHome(parent);
  new ChildRuntime(home);
  return home;
}

class SoloHome implements ChildHome, LocalChild {
  readonly sharedWithParent = true;
  readonly noun = 'worker';
  readonly #parent: LocalParent;
  /** The context of whoever started the pool: that of no task. */
  readonly #outside = AsyncLocalStorage.snapshot();
  /** null: before `open` and after the end. */
  #events: HomeEvents | null = null;

  constructor(parent: LocalParent) {
    this.#parent = parent;
  }

  open(events: HomeEvents): Carrier {
    this.#events = events;
    process.on('uncaughtException', events.onUncaught);
    process.on('exit', events.onExit);
    return { write: (bytes) => this.#say(bytes), hold: () => {}, close: () => {} };
  }

  settle(): void {}

  end(status: number): void {
    if (this.#leave()) this.#parent.onEnd(status);
  }

  hear(bytes: Buffer): void {
    this.#events?.onBytes(bytes);
  }

  drop(): void {
    this.#leave();
  }

  /** The buffer is filled again while the parent still reads: what it does may make the child say more. */
  #say(bytes: Buffer): boolean {
    if (this.#events !== null) this.#outside(() => this.#parent.onBytes(Buffer.from(bytes)));
    return true;
  }

  /** false: it has gone before. */
  #leave(): boolean {
    const events = this.#events;
    if (events === null) return false;
    process.off('uncaughtException', events.onUncaught);
    process.off('exit', events.onExit);
    events.onExit();
    this.#events = null;
    return true;
  }
}
