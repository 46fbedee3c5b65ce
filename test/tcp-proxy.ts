/** A TCP proxy on loopback that a test can cut, or freeze: then both ends stay connected and hear nothing, as with a dead cable. Or it makes the way longer. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Test } from 'tap';

export class TcpProxy {
  readonly #target: number;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #server: Server | null = null;
  readonly #silent = new Set<readonly [Socket, Socket]>();
  #frozen = false;
  /** What goes through takes so long on its way, in each direction. */
  delayMs = 0;
  /** Looks at what clients send; true: that goes nowhere, and all is cut. */
  cutsAt: (chunk: Buffer) => boolean = () => false;

  private constructor(target: number) {
    this.#target = target;
  }

  /** Ends with the test. */
  static async start(t: Pick<Test, 'teardown'>, targetPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort);
    const server = createServer((socket) => proxy.#accept(socket));
    proxy.#server = server;
    t.teardown(() => {
      proxy.cut();
      server.close();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    const address = this.#server?.address();
    if (typeof address !== 'object' || address === null) throw new Error('the proxy is not listening');
    return address.port;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /** Nothing goes through any more, and nobody is told. Connections made after this stand still as well. */
  freeze(): void {
    this.#frozen = true;
    for (const pair of this.#pairs) for (const socket of pair) socket.pause();
  }

  /** As `freeze`, for the connections there are: those made after this go through. Neither end hears of the other's end. */
  silence(): void {
    for (const pair of this.#pairs) {
      this.#silent.add(pair);
      for (const socket of pair) socket.pause();
    }
  }

  /** What stood still is cut; what comes now goes through. */
  thaw(): void {
    this.#frozen = false;
    this.cut();
  }

  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  /** Timers of one length end in the order in which they were set. */
  #pass(to: Socket, chunk: Buffer): void {
    if (this.delayMs === 0) to.write(chunk);
    else
      setTimeout(() => {
        if (!this.#frozen && to.writable) to.write(chunk);
      }, this.delayMs);
  }

  #accept(client: Socket): void {
    const server = connect(this.#target, '127.0.0.1');
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    const end = (): void => {
      if (this.#frozen || this.#silent.has(pair)) return;
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.on('error', end);
      from.on('close', end);
      from.on('data', (chunk: Buffer) => {
        if (from === client && this.cutsAt(chunk)) this.cut();
        else if (!this.#frozen) this.#pass(to, chunk);
      });
      if (this.#frozen) from.pause();
    }
  }
}
