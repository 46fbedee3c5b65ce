/** What a worker's parent holds in memory: of the machine's, and of its heap after a garbage collection, through its inspector. */
import { readFileSync } from 'node:fs';
import type { LiveWorker } from './live-worker.ts';

/** What the worker's parent has of the machine's memory. Pages of its executable that it happens to have read do not count. */
export function residentBytes({ pid }: LiveWorker): number {
  const [, kibibytes] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kibibytes) * 1024;
}

/** Through the inspector of the worker's parent: what it holds after a garbage collection, buffers included. */
export class HeldMemory {
  readonly #socket: WebSocket;
  #id = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  static async of(worker: LiveWorker): Promise<HeldMemory> {
    worker.kill('SIGUSR2');
    const { message } = await worker.event('inspector.open');
    const socket = new WebSocket(/ws:\S+/.exec(message)?.[0] ?? '');
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve);
      socket.addEventListener('error', reject);
    });
    return new HeldMemory(socket);
  }

  async bytes(): Promise<number> {
    await this.#call('HeapProfiler.collectGarbage');
    const { usedSize = 0, backingStorageSize = 0 } = await this.#call('Runtime.getHeapUsage');
    return usedSize + backingStorageSize;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#socket.addEventListener('close', resolve));
    this.#socket.close();
    await closed;
  }

  #call(method: string): Promise<Record<string, number>> {
    const id = ++this.#id;
    return new Promise((resolve) => {
      const hear = ({ data }: MessageEvent): void => {
        const answer = JSON.parse(String(data)) as { id: number; result: Record<string, number> };
        if (answer.id !== id) return;
        this.#socket.removeEventListener('message', hear);
        resolve(answer.result);
      };
      this.#socket.addEventListener('message', hear);
      this.#socket.send(JSON.stringify({ id, method }));
    });
  }
}
