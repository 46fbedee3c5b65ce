/** Between a client and its server: loses the replies that fit, and the connection with them; `meanwhile` happens before there is another. */
import { connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';
import type { RedisServer } from '../../redis-server.ts';
import { freePort } from '../../test-server.ts';

export async function lossy(
  t: Test,
  server: RedisServer,
): Promise<{ readonly url: string; loseReplies(fits: RegExp, meanwhile?: () => void): void; readonly lost: () => number }> {
  const port = await freePort();
  let losing: RegExp | null = null;
  let then: (() => void) | undefined;
  let lost = 0;
  const sockets = new Set<Socket>();
  const relay = createServer((client) => {
    const upstream = connect(server.port, server.host);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        client.destroy();
        upstream.destroy();
      });
    }
    client.on('data', (bytes) => upstream.write(bytes));
    upstream.on('data', (bytes) => {
      if (losing?.test(bytes.toString('latin1')) !== true) {
        client.write(bytes);
        return;
      }
      losing = null;
      lost++;
      client.destroy();
      then?.();
    });
  });
  await new Promise<void>((resolve) => relay.listen(port, '127.0.0.1', resolve));
  t.teardown(() => {
    relay.close();
    for (const socket of sockets) socket.destroy();
  });
  return {
    url: `redis://127.0.0.1:${port}/0`,
    loseReplies: (fits, meanwhile) => {
      losing = fits;
      then = meanwhile;
    },
    lost: () => lost,
  };
}
