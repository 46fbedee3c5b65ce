/**
 * A virtual host of a test's own: on the RabbitMQ server of the whole run, which `make test` starts and names in the environment, else on a
 * server that starts for this test.
 *
 * Owns the virtual host, which is deleted when the test ends; nothing in it is shared with anybody. What concerns the whole server (its end, its memory,
 * its users, its settings) is not for such a test: it starts a server.
 */
import { type Listed, RabbitmqControl } from './rabbitmq-control.ts';
import { RabbitmqServer } from './rabbitmq-server.ts';
import type { Owner } from './test-server.ts';

/** The server of the run: its port and the path of its control socket. */
const variable = 'UMBEL_TEST_RABBITMQ';

interface Place {
  readonly port: number;
  readonly control: RabbitmqControl;
}

let count = 0;

export class RabbitmqVhost {
  readonly name: string;
  readonly port: number;
  readonly control: RabbitmqControl;

  private constructor(name: string, { port, control }: Place) {
    this.name = name;
    this.port = port;
    this.control = control;
  }

  static async open(owner: Owner): Promise<RabbitmqVhost> {
    const place = serverOfTheRun() ?? (await RabbitmqServer.start(owner));
    const vhost = new RabbitmqVhost(`test-${process.pid}-${++count}`, place);
    owner.teardown(() => vhost.control.deleteVhost(vhost.name));
    await vhost.control.addVhost(vhost.name);
    return vhost;
  }

  /** `user` as in a URL, with its password; another virtual host, percent-encoded, on the same server. */
  url({ user = 'guest:guest', vhost = this.name, port = this.port } = {}): string {
    return `amqp://${user}@127.0.0.1:${port}/${vhost}`;
  }

  list(what: Listed, ...items: readonly string[]): Promise<string> {
    return this.control.list(what, items, this.name);
  }
}

function serverOfTheRun(): Place | null {
  const given = process.env[variable];
  if (given === undefined || given === '') return null;
  const [port, path] = given.split(' ');
  if (path === undefined) throw new Error(`${variable} must be a port and the path of a socket, got ${given}`);
  return { port: Number(port), control: new RabbitmqControl(path) };
}

/** What the tests that a run starts need to find its server. */
export function environmentOf(server: RabbitmqServer): Readonly<Record<string, string>> {
  return { [variable]: `${server.port} ${server.controlPath}` };
}
