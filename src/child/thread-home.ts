/**
 * A child in a thread of the worker's process.
 *
 * Owns the port it was started with. What is posted on it is out of the reach of task code at once, as with a pipe: the parent finds it
 * there also when this thread blocks or is ended.
 */
import { type MessagePort, workerData } from 'node:worker_threads';
import type { ThreadStart } from '../ipc/thread-start.ts';
import type { ChildHome, HomeEvents } from './child-home.ts';
import type { Carrier } from './child-port.ts';
import { ChildRuntime } from './runtime.ts';

/** Become a pool child. Returns at once; the thread lives until the parent says stop or ends it. */
export function startThreadChild(): void {
  new ChildRuntime(new ThreadHome((workerData as ThreadStart).port));
}

class ThreadHome implements ChildHome {
  readonly sharedWithParent = false;
  readonly noun = 'child';
  readonly #port: MessagePort;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  open({ onBytes, onUncaught, onExit }: HomeEvents): Carrier {
    process.on('uncaughtException', onUncaught);
    process.on('exit', onExit);
    this.#port.on('message', (bytes: Uint8Array) => onBytes(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)));
    return new PortCarrier(this.#port);
  }

  settle(): void {}

  end(status: number): never {
    process.exit(status);
  }
}

class PortCarrier implements Carrier {
  readonly #port: MessagePort;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  /** A port takes everything at once, so there is nothing to be late for. */
  write(bytes: Buffer): boolean {
    const own = new Uint8Array(bytes);
    this.#port.postMessage(own, [own.buffer]);
    return true;
  }

  hold(hold: boolean): void {
    if (hold) this.#port.ref();
    else this.#port.unref();
  }

  close(): void {
    this.#port.close();
  }
}
