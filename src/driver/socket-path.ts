/** A path for a Unix socket: whether somebody listens there. What a process that is gone left there is removed, and nothing else. */
import { statSync, unlinkSync } from 'node:fs';
import { createConnection } from 'node:net';

/** Rejects when somebody listens there, or what is there is no socket: it may be anything, named by mistake. */
export async function freeSocketPath(path: string): Promise<void> {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error('it is there and is no socket');
  if (await isListening(path)) throw new Error('another process listens on it');
  unlinkSync(path);
}

/** Also when it cannot be asked: it may not be ours, or be too busy to answer. */
export function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'));
  });
}
