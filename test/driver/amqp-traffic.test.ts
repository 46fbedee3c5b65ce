/** What is known of the bytes under way over a socket, plain or with TLS. */
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import t from 'tap';
import { trafficOf } from '../../src/driver/amqp-session.ts';
import { certificates, noCertificates } from './certificates.ts';

for (const kind of ['plain', 'TLS'] as const) {
  t.test(kind, { skip: kind === 'TLS' && noCertificates }, async (t) => {
    const path = kind === 'TLS' ? certificates(t, 'rabbit.test') : () => '';
    const file = (name: string): Buffer => readFileSync(path(name));
    const server =
      kind === 'TLS'
        ? createTlsServer({ key: file('server.key'), cert: file('server.pem'), pauseOnConnect: true })
        : createServer({ pauseOnConnect: true });
    const accepted = new Promise<Socket>((resolve) => server.once(kind === 'TLS' ? 'secureConnection' : 'connection', resolve));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const place = { port, host: '127.0.0.1' };
    const client = kind === 'TLS' ? connectTls({ ...place, ca: file('ca.pem'), servername: 'rabbit.test' }) : connect(place);
    const peer = await accepted;
    t.teardown(() => {
      client.destroy();
      peer.destroy();
      server.close();
    });
    const write = (bytes: number): Promise<void> => new Promise((resolve) => client.write(Buffer.alloc(bytes), () => resolve()));

    const { bytesSent: greeting } = trafficOf(client);
    await write(1000);
    const first = trafficOf(client);
    t.ok(first.bytesSent - greeting >= 1000);
    t.equal(first.bytesUnsent, 0, 'the system takes it at once');

    const written = write(50_000_000);
    const stuck = await until(client, ({ bytesUnsent }) => bytesUnsent > 0);
    t.ok(stuck.bytesSent < 50_000_000);
    // More waits, and some of it goes.
    const more = write(50_000_000);
    peer.resume();
    const steps = new Set<number>();
    await until(client, ({ bytesSent }) => {
      steps.add(bytesSent);
      return bytesSent >= 50_000_000;
    });
    t.ok(steps.size > 5, 'it is seen while one write is on its way');
    await Promise.all([written, more]);
    const last = trafficOf(client);
    t.equal(last.bytesUnsent, 0);
    t.ok(last.bytesSent >= 100_001_000);
  });
}

async function until(socket: Socket, holds: (traffic: ReturnType<typeof trafficOf>) => boolean): Promise<ReturnType<typeof trafficOf>> {
  for (;;) {
    const traffic = trafficOf(socket);
    if (holds(traffic)) return traffic;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
