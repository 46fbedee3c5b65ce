/**
 * Where tasks of a test wait until the test lets them go: a socket at which a task says its name.
 *
 * Owns the server. Nothing is known of a task that has not arrived, and a task that has arrived stays until it is let go or dies.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { inGoodTime } from '../in-good-time.ts';

export interface Arrival {
  readonly name: string;
  readonly pid: number;
  /** Which child: its process, and its thread where it is one. */
  readonly child: string;
  /** Let the task go on; it gets the text. */
  open(text?: string): void;
}

export class Gates {
  readonly path: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #arrived: Arrival[] = [];
  #waiting: { readonly name: string; resolve(arrival: Arrival): void }[] = [];

  private constructor(path: string) {
    this.path = path;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#onSocket(socket));
  }

  static async open(t: Test): Promise<Gates> {
    const folder = mkdtempSync(join(tmpdir(), 'umbel-gate-'));
    const gates = new Gates(join(folder, 'gate'));
    await new Promise<void>((resolve, reject) => {
      gates.#server.once('error', reject);
      // A thousand may come at one time, and on a Unix socket whoever finds the queue full is refused.
      gates.#server.listen({ path: gates.path, backlog: 4096 }, resolve);
    });
    t.teardown(async () => {
      for (const socket of gates.#sockets) socket.destroy();
      await new Promise((resolve) => gates.#server.close(resolve));
      rmSync(folder, { recursive: true, force: true });
    });
    return gates;
  }

  /** The next task with this name, come or to come. */
  arrival(name: string): Promise<Arrival> {
    const index = this.#arrived.findIndex((arrival) => arrival.name === name);
    const [arrival] = index === -1 ? [] : this.#arrived.splice(index, 1);
    if (arrival !== undefined) return Promise.resolve(arrival);
    const come = inGoodTime(
      new Promise<Arrival>((resolve) => this.#waiting.push({ name, resolve })),
      () => `a task must arrive at gate ${name}`,
    );
    // A test may look away from one that is not to come.
    come.catch(() => {});
    return come;
  }

  #onSocket(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    let said = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      const end = said.indexOf('\n');
      if (end === -1) return;
      const [name = '', child = ''] = said.slice(0, end).split(' ');
      this.#onArrival({ name, child, pid: Number.parseInt(child, 10), open: (answer = '') => socket.end(answer) });
    });
  }

  #onArrival(arrival: Arrival): void {
    const index = this.#waiting.findIndex(
      ({ name }) => name === arrival.name || (name.endsWith('*') && arrival.name.startsWith(name.slice(0, -1))),
    );
    const [waiting] = index === -1 ? [] : this.#waiting.splice(index, 1);
    if (waiting === undefined) this.#arrived.push(arrival);
    else waiting.resolve(arrival);
  }
}
