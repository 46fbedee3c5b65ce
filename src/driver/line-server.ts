/**
 * A Unix socket on which one asks in lines and is answered in lines: for processes of the same machine and user.
 *
 * Owns the socket file, with mode 0600. A file left behind by a process that is gone is replaced; one that somebody listens on is not.
 */
import { chmodSync, mkdirSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { messageOf, UmbelError } from '../errors.ts';
import { freeSocketPath } from './socket-path.ts';

/** Nobody asks for more in one line. */
const longestLine = 1024 * 1024;

export interface LineServerParams {
  readonly path: string;
  /** One line for each line; must not reject. */
  answer(line: string): Promise<string>;
}

export class LineServer {
  readonly #params: LineServerParams;
  readonly #sockets = new Set<Socket>();
  #server: Server | null = null;

  constructor(params: LineServerParams) {
    this.#params = params;
  }

  /** Rejects with FILE_CANNOT_CREATE, also when another process listens there. */
  async start(): Promise<void> {
    const { path } = this.#params;
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      await freeSocketPath(path);
      await this.#listen(path);
    } catch (error) {
      throw new UmbelError('FILE_CANNOT_CREATE', `a socket must be makeable, got ${path}: ${messageOf(error)}`, { cause: error });
    }
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  #listen(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const before = process.umask(0o177);
      const server = createServer((socket) => this.#onSocket(socket));
      server.once('error', reject);
      server.listen(path, () => {
        chmodSync(path, 0o600);
        this.#server = server;
        server.unref();
        resolve();
      });
      process.umask(before);
    });
  }

  #onSocket(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    let pending = 0;
    socket.on('data', (chunk: Buffer) => {
      const end = chunk.lastIndexOf(0x0a);
      pending = end === -1 ? pending + chunk.length : chunk.length - end;
      if (pending > longestLine) socket.destroy();
    });
    // Whoever asks twice takes the first line for the first answer.
    let written = Promise.resolve();
    createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (line) => {
      const answer = this.#params.answer(line);
      written = written.then(async () => {
        const text = await answer;
        if (!socket.destroyed) socket.write(`${text}\n`);
      });
    });
  }
}

/** One line to it, and its answer. Rejects with LOCAL_UNREACHABLE. */
export function askLine(path: string, line: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path, () => socket.write(`${line}\n`));
    const failed = (why: string): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new UmbelError('LOCAL_UNREACHABLE', `no worker answers on ${path}: ${why}`));
    };
    const timer = setTimeout(() => failed(`nothing within ${timeoutMs / 1000} s`), timeoutMs);
    const chunks: Buffer[] = [];
    socket.on('error', (error) => failed(error.message));
    socket.on('close', () => failed('it hung up'));
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      if (!chunk.includes(0x0a)) return;
      clearTimeout(timer);
      const text = Buffer.concat(chunks).toString('utf8');
      resolve(text.slice(0, text.indexOf('\n')));
      socket.destroy();
    });
  });
}
