/**
 * A small HTTP server for probes and metrics: GET only, one answer for each path, on a loopback port or a Unix socket.
 *
 * Owns the socket. What an answer says is the caller's.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { messageOf, UmbelError } from '../errors.ts';
import { freeSocketPath } from './socket-path.ts';

export interface ProbeAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** host:port, or the path of a Unix socket. */
export type ProbePlace = { readonly host: string; readonly port: number } | { readonly path: string };

export class ProbeServer {
  readonly #place: ProbePlace;
  readonly #answer: (path: string) => ProbeAnswer | null | Promise<ProbeAnswer | null>;
  #server: Server | null = null;

  /** null: there is no such path. */
  constructor(place: ProbePlace, answer: (path: string) => ProbeAnswer | null | Promise<ProbeAnswer | null>) {
    this.#place = place;
    this.#answer = answer;
  }

  /** The port in use; null on a Unix socket and before the start. */
  get port(): number | null {
    const address = this.#server?.address();
    return typeof address === 'object' && address !== null ? address.port : null;
  }

  /** Rejects with FILE_CANNOT_CREATE. */
  async start(): Promise<void> {
    const server = createServer((request, response) => void this.#onRequest(request, response));
    server.headersTimeout = 5000;
    server.keepAliveTimeout = 1000;
    const place = this.#place;
    try {
      if ('path' in place) await freeSocketPath(place.path);
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(place, () => resolve());
      });
    } catch (error) {
      const where = 'path' in place ? place.path : `${place.host}:${place.port}`;
      throw new UmbelError('FILE_CANNOT_CREATE', `worker.health_listen must be free to listen on, got ${where}: ${messageOf(error)}`, {
        cause: error,
      });
    }
    server.unref();
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/' } = request;
    request.resume();
    let answer: ProbeAnswer | null;
    try {
      answer = await this.#answer(url.split('?')[0] ?? '/');
    } catch (error) {
      answer = { status: 500, contentType: 'text/plain', body: `${messageOf(error)}\n` };
    }
    if (method !== 'GET' && method !== 'HEAD') answer = { status: 405, contentType: 'text/plain', body: 'only GET\n' };
    const { status, contentType, body } = answer ?? { status: 404, contentType: 'text/plain', body: 'no such page\n' };
    response.writeHead(status, { 'Content-Type': `${contentType}; charset=utf-8`, 'Content-Length': Buffer.byteLength(body) });
    response.end(method === 'HEAD' ? undefined : body);
  }
}
