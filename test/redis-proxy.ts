/**
 * Between a client and its Redis server, on loopback: every command of the client passes through a test's hands, and replies may be swallowed.
 *
 * Understands just enough of the protocol to tell one command from the next. What it puts in a command's place must be answered by the
 * server with one reply as well, so that replies stay in order.
 */
import { connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';
import type { RedisServer } from './redis-server.ts';

export interface ProxiedConnection {
  /** 1, 2, … in the order in which they came. */
  readonly number: number;
  /** Replies of the server are thrown away. */
  mute: boolean;
}

/** Words of a command as text. Returns what the server gets instead. */
export type Rewrite = (words: readonly string[], connection: ProxiedConnection) => readonly string[];

export class RedisProxy {
  readonly connections: ProxiedConnection[] = [];
  /** Asked for every command; null: all pass. */
  rewrite: Rewrite | null = null;
  readonly #sockets = new Set<Socket>();
  #port = 0;

  static async start(t: Pick<Test, 'teardown'>, server: RedisServer): Promise<RedisProxy> {
    const proxy = new RedisProxy();
    const listener = createServer((client) => proxy.#accept(client, connect(server.port, server.host)));
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const address = listener.address();
    if (typeof address === 'object' && address !== null) proxy.#port = address.port;
    t.teardown(() => {
      for (const socket of proxy.#sockets) socket.destroy();
      listener.close();
    });
    return proxy;
  }

  url(db = 0): string {
    return `redis://127.0.0.1:${this.#port}/${db}`;
  }

  #accept(client: Socket, server: Socket): void {
    const connection: ProxiedConnection = { number: this.connections.length + 1, mute: false };
    this.connections.push(connection);
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
    let rest: Buffer = Buffer.alloc(0);
    client.on('data', (data: Buffer) => {
      rest = Buffer.concat([rest, data]);
      for (let command = firstCommand(rest); command !== null; command = firstCommand(rest)) {
        const words = command.words;
        const wanted = this.rewrite?.(words, connection) ?? words;
        server.write(wanted === words ? rest.subarray(0, command.end) : encode(wanted));
        rest = rest.subarray(command.end);
      }
    });
    server.on('data', (data: Buffer) => {
      if (!connection.mute) client.write(data);
    });
  }
}

/** The command at the beginning; null: it has not come as a whole. */
function firstCommand(data: Buffer): { readonly words: readonly string[]; readonly end: number } | null {
  let at = 0;
  const number = (mark: string): number | null => {
    const end = data.indexOf('\r\n', at);
    if (end < 0) return null;
    const line = data.toString('latin1', at, end);
    if (!line.startsWith(mark)) throw new Error(`the proxy expects ${mark}, got ${line}`);
    at = end + 2;
    return Number(line.slice(1));
  };
  const count = number('*');
  if (count === null) return null;
  const words: string[] = [];
  for (let word = 0; word < count; word++) {
    const length = number('$');
    if (length === null || data.length < at + length + 2) return null;
    words.push(data.toString('latin1', at, at + length));
    at += length + 2;
  }
  return { words, end: at };
}

function encode(words: readonly string[]): Buffer {
  return Buffer.from(`*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`, 'latin1');
}
