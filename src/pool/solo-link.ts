/**
 * The child that lives in this very process: `-P solo`.
 *
 * Owns being its other end. It cannot be ended from outside: one that is given up is heard no more, and what it runs ends with this
 * process.
 */
import type { LocalChild, StartLocalChild } from '../ipc/local-child.ts';
import { noInspector } from './child-inspector.ts';
import type { ChildEnd, ChildKind, ChildLink, LinkEvents, LinkParams } from './child-link.ts';

/** `start`: how the program becomes its own pool child. */
export function soloChild(start: StartLocalChild): ChildKind {
  const features = { resize: false, terminate: false, memoryLimits: false } as const;
  return { name: 'solo', features, processes: false, replaceable: false, open: (params) => new SoloLink(start, params) };
}

class SoloLink implements ChildLink {
  readonly inspector = noInspector('no stack: it runs in MainProcess');
  readonly pid = process.pid;
  readonly #child: LocalChild;
  readonly #events: LinkEvents;
  #end: ChildEnd | null = null;

  constructor(start: StartLocalChild, { events }: LinkParams) {
    this.#events = events;
    this.#child = start({
      onBytes: (bytes) => {
        if (this.#end === null) events.onBytes(bytes);
      },
      onEnd: (status) => this.#gone({ exitCode: status, signal: null, failure: null }),
    });
  }

  write(frames: Buffer): void {
    this.#child.hear(frames);
  }

  rest(): void {}

  async freeze(): Promise<boolean> {
    return false;
  }

  thaw(): void {}

  kill(signal: NodeJS.Signals): void {
    this.#gone({ exitCode: null, signal, failure: null });
    this.#child.drop();
  }

  /** Whoever can ask here is not blocked, and neither is the child. */
  /** It has no output but that of its tasks, which it captures itself. */
  jobEnded(): void {}

  /** Told in a turn of its own, as the end of a process is. */
  #gone(end: ChildEnd): void {
    if (this.#end !== null) return;
    this.#end = end;
    setImmediate(() => this.#events.onGone(end));
  }
}
